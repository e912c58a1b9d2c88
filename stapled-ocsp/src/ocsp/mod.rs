//! Reads and writes requests and responses (RFC 6960). Nothing here is verified; [`crate::staple`] verifies.

mod cert_id;
#[cfg(feature = "request")]
mod request;
mod request_contents;
mod response;

pub use cert_id::{CertId, CertIdHash};
#[cfg(feature = "request")]
pub use request::{EncodeError, OcspRequest};
pub use request_contents::{RequestContents, RequestError, RequestSignature, SingleRequest};
pub(crate) use response::NONCE;
pub use response::{
    BasicResponse, CertStatus, Extension, OcspResponse, ResponderId, ResponseError, ResponseStatus, SingleResponse,
    revocation_reason,
};
