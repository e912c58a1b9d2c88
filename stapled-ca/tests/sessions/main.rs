//! Sessions and their daemons, on each store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;
mod crashes;
mod daemons;
mod hooks;
mod limits;
mod lives;
mod names;
mod nine_ways;
mod probes;
mod redis_keys;
mod submissions;
mod vantage;
mod world;
