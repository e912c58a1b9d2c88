//! The real program, run in directories of its own, against a certificate authority on 127.0.0.1.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod arguments;
mod file;
mod files;
mod hook;
mod one_off;
mod reload;
mod running;
mod status;
mod wait;
mod world;
