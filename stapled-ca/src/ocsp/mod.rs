//! OCSP from the responder's side (RFC 6960): reading requests and building responses.

mod cert_id;
mod contents;
mod request;
mod response;
mod signer;
mod single_response;
mod status;

pub use cert_id::CertId;
pub(crate) use contents::ResponseContents;
pub use request::{MOST_REQUESTS, OcspRequest, RequestError};
pub use response::{ResponseBuilder, ResponseError};
pub use signer::Signer;
pub use status::ResponseStatus;

pub use crate::hash::{HashAlgorithm, NullParameters, UnknownHash};
pub use crate::identity::IssuerIdentity;
