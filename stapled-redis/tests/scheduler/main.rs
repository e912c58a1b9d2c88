//! The scheduler on a real redis-server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod conformance;
mod crashes;
mod cutting_proxy;
mod durability;
mod kills;
mod nine_ways;
mod pipeline;
mod recovery;
mod waking;
