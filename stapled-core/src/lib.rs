//! OCSP staples, kept fresh.

mod adder;
pub mod bundle;
pub mod certificate;
pub mod chain;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod der;
pub mod event;
pub mod fetch;
mod finder;
pub mod inventory;
pub mod io;
mod issuers;
mod lane;
pub mod ocsp;
mod parser;
mod queues;
pub mod reason;
pub mod refresh;
mod renewer;
mod responders;
pub mod scheduler;
mod signature;
pub mod sink;
pub mod source;
pub mod staple;
pub mod stapler;
pub mod task;
pub mod time;

pub use der::DerError;
pub use issuers::IssuerStore;
pub use signature::Weak;
