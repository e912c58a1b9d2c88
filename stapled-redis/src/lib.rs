//! Answers of OCSP responders, and tasks, that several processes share through Redis (6.2 or newer, or Valkey).
//!
//! - [`SharedFetcher`]: answers. One process asks, and all others take its answer.
//! - [`RedisScheduler`]: tasks. A [`Scheduler`](stapled_core::scheduler::Scheduler) whose tasks survive the end of every
//!   process.
//!
//! ```no_run
//! use stapled_redis::RedisScheduler;
//!
//! # async fn connect() -> Result<(), stapled_redis::RedisError> {
//! let scheduler = RedisScheduler::connect("redis://127.0.0.1/", "stapled").await?;
//! # Ok(()) }
//! ```

mod address;
mod connection;
mod durability;
mod error;
mod keys;
mod link;
mod operate;
mod recovery;
mod reply;
mod report;
mod scheduler;
mod script;
#[cfg(feature = "serde")]
mod serialize;
mod server;
mod shared_fetcher;
pub mod status;
mod waiting;

pub use address::{RedisAddress, RedisAddressError};
pub use durability::{Durability, Eviction, Loss};
pub use error::RedisError;
pub use keys::Keys;
pub use operate::{Repair, Retried, Retry};
pub use recovery::{Parked, Recovered, Recovery};
pub use report::Report;
pub use scheduler::RedisScheduler;
pub use shared_fetcher::SharedFetcher;

/// The code of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
