//! The default implementations of the traits: the code that uses files, sockets and timers.
//!
//! The ones that most programs use are at the root of the crate, too: `DirectorySource`, `FileSink`, `HttpFetcher`.

pub(crate) mod blocking;
pub mod certificate_file;
#[cfg(feature = "files")]
pub mod directory;
#[cfg(feature = "files")]
pub mod fetched;
#[cfg(feature = "files")]
pub mod file;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "files")]
pub(crate) mod heard;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "files")]
pub mod issuers;
pub mod journal;
pub mod memory;
pub mod memory_sink;
pub mod memory_source;
#[cfg(feature = "metrics-facade")]
pub mod metrics_observer;
#[cfg(feature = "files")]
mod notices;
pub mod open;
pub mod own_socket;
pub mod pid_file;
pub mod screen;
#[cfg(feature = "files")]
mod stamp;
#[cfg(all(feature = "tracing", feature = "serde"))]
mod tracing_line;
#[cfg(feature = "tracing")]
pub mod tracing_observer;
#[cfg(feature = "files")]
mod watch;
