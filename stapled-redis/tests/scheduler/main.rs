//! The scheduler on a real redis-server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
#[cfg(feature = "cluster")]
mod cluster;
mod conformance;
mod crashes;
mod durability;
mod keys;
mod kills;
mod model;
mod nine_ways;
mod pipeline;
mod recovery;
mod sentinels;
mod sessions;
mod settings;
mod status;
mod waking;
