//! The default implementations of the traits: what touches files, sockets and timers.

pub mod directory;
pub mod file;
pub mod files;
pub(crate) mod heard;
pub mod http;
pub mod issuers;
pub mod memory;
mod stamp;
mod watch;
