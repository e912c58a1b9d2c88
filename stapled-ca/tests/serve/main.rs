//! The program `stapled-ca` with sessions, run as processes, on both stores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod kills;
mod lives;
mod mistakes;
mod outages;
mod staples;
mod submissions;
mod world;
