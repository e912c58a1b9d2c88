//! RFC 6960 on the wire: what a request and a response say. Nothing here is vouched for; only [`crate::staple`]
//! judges.

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
