//! Benches. Each program in `benches/` prints its figures, with a bare limit from the same run for comparison. This library has the
//! parts that several of them need.

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

pub mod arguments;
pub mod counting_sink;
pub mod growth;
pub mod list;
pub mod usage;
