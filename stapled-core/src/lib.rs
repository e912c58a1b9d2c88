//! OCSP staples, kept fresh.

pub mod clock;
pub mod io;
pub mod reason;
pub mod scheduler;
pub mod task;
pub mod time;
