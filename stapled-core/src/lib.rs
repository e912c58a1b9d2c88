//! OCSP staples, kept fresh.

pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod io;
pub mod reason;
pub mod scheduler;
pub mod task;
pub mod time;
