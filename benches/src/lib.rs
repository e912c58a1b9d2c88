//! Benches. Each program in `benches/` prints its figures, with a bare limit from the same run for comparison.
