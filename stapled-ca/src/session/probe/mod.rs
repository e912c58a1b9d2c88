//! Tests of challenges: the authority asks the host that a name leads to.

mod address;
mod connect;
mod error;
mod http_01;
mod names;
mod prober;
mod tls_alpn_01;

pub use address::AddressRules;
pub use error::ProbeError;
pub use names::{Names, SystemNames};
pub use prober::{NetworkProber, Prober};
