//! Tests of the local responder over HTTP, with a stapler that asks a CA that fails on command.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod asking;
mod client;
mod hostile;
mod world;
