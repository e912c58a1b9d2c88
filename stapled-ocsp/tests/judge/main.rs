//! Tests of every rule of acceptance: a response that breaks only that rule, and a response that barely keeps it.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod case;
mod form;
mod signers;
mod smallest;
