//! OCSP staples, kept fresh.

pub mod bundle;
pub mod certificate;
pub mod chain;
pub mod clock;
mod der;
pub mod fetch;
pub mod io;
pub mod ocsp;
pub mod reason;
pub mod scheduler;
mod signature;
pub mod sink;
pub mod source;
pub mod staple;
pub mod task;
pub mod time;

pub use der::DerError;
pub use signature::Weak;
