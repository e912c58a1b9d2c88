//! OCSP from the responder's side (RFC 6960): questions are read, answers made.

mod cert_id;
mod request;
mod response;
mod signer;

pub use cert_id::{CertId, HashAlgorithm, IssuerIdentity, NullParameters, UnknownHash};
pub use request::{MOST_REQUESTS, OcspRequest, RequestError};
pub use response::{ResponseBuilder, ResponseError, ResponseStatus};
pub use signer::Signer;
