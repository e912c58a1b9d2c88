//! OCSP staples, kept fresh.

mod adder;
pub mod bundle;
pub mod certificate;
pub mod chain;
pub mod clock;
mod der;
pub mod event;
pub mod fetch;
mod finder;
pub mod inventory;
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
pub mod task;
pub mod time;

pub use der::DerError;
pub use signature::Weak;
