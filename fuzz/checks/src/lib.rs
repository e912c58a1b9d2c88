//! Properties that hold for any bytes from outside: one function for each fuzz target in `../fuzz_targets`.
//!
//! Each function takes bytes, and panics if a property does not hold. `cargo fuzz` searches for such bytes; plain tests
//! replay the seeds (`tests/replay.rs`). The results of `stapled-core` are checked by independent code: `rasn` decodes,
//! `stapled-ca` cuts, `aws-lc-rs` verifies.

// A property that does not hold is a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod chain;
pub mod fixture;
mod intake;
mod request;
mod response;
pub mod seeds;

pub use chain::chain;
pub use intake::intake;
pub use request::request;
pub use response::response;
