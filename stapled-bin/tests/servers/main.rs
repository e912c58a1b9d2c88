//! Servers that read staples from files, and servers that cannot: the real ones, seen by a client. The tables of
//! `docs/servers.md` say what each test expects.

// Tests fail by panicking, and print what they skip.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod configuration;
mod exim;
mod h2o;
mod hitch;
mod journey;
mod nginx;
mod refused;
mod several;
mod table;
#[allow(dead_code, unused_imports)] // Parts are for the other suite.
#[path = "../program/world.rs"]
mod world;
