//! What must hold of any bytes that a stranger sends: one function for each fuzz target in `../fuzz_targets`.
//!
//! Each takes bytes and panics where a promise is broken. `cargo fuzz` looks for such bytes; plain tests replay the
//! seeds (`tests/replay.rs`). Judged are `stapled-core`'s answers, by code that shares nothing with it: `rasn` decodes,
//! `stapled-ca` cuts, `aws-lc-rs` verifies.

// A promise that is broken is told by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod chain;
mod request;
mod response;
pub mod seeds;
pub mod world;

pub use chain::chain;
pub use request::request;
pub use response::response;
