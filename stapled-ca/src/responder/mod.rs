//! An OCSP responder over HTTP, which answers for its authorities.
//!
//! A response is signed when it is first asked for, or in advance with [`ResponderBuilder::presign`]. It is kept until half of its
//! validity is over, or until the status of the certificate changes. A nonce is ignored, as responders with prepared responses do, unless
//! [`ResponderBuilder::echo_nonce`] is set.

mod access;
mod answer;
mod builder;
mod file_names;
mod file_responder;
mod first_questions;
mod http;
mod policy;
mod prepared;
mod presigned;
mod published_crl;
mod response_file;
mod served;
mod server;
mod upkeep;

pub use crate::http_server::Limits;
pub use access::{Access, AccessObserver, Outcome, Tally};
pub use answer::Responder;
pub use builder::ResponderBuilder;
pub use file_names::{SameFileName, file_name};
pub use file_responder::{FileResponder, FileWatch};
pub use http::Question;
pub(crate) use http::{percent_decode, request_in_path};
pub use policy::{Clock, UnknownSerial};
pub use response_file::{ResponseFileError, Written};
pub(crate) use served::Served;
pub use server::RunningResponder;
pub use upkeep::Upkeep;
