//! What is measured: each program in `benches/` prints its figures beside a bare limit from the same run.
