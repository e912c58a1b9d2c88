//! A [`Scheduler`](stapled_core::scheduler::Scheduler) in one local file: its tasks and records survive the end of the
//! process and of the machine, and nothing needs to be installed.
//!
//! ```no_run
//! use stapled_embedded::EmbeddedScheduler;
//!
//! # fn open() -> Result<(), stapled_embedded::EmbeddedError> {
//! let scheduler = EmbeddedScheduler::open("sessions.redb")?;
//! # Ok(()) }
//! ```
//!
//! The file is a database of [redb](https://docs.rs/redb). Each call that changes something is one transaction, which is on
//! disk when the call returns. One process at a time has the file open.

mod error;
mod records;
mod scheduler;
mod stored;
mod tables;
mod tasks;

pub use error::EmbeddedError;
pub use scheduler::EmbeddedScheduler;

/// The code of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
