//! Reads and writes requests and responses (RFC 6960). Nothing here is verified; [`crate::staple`] verifies.

mod cert_id;
#[cfg(feature = "request")]
mod encode;
pub mod encoding;
pub mod request;
pub mod response;

pub use cert_id::{CertId, CertIdHash};
#[cfg(feature = "request")]
pub use encode::OcspRequest;
pub(crate) use response::NONCE;
pub use response::{CertStatus, OcspResponse, ResponseStatus};
