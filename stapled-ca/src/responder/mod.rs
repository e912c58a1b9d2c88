//! An OCSP responder over HTTP, which answers for its authorities.
//!
//! A response about one certificate is signed when it is first asked for, or in advance with [`ResponderBuilder::presign`], and sent
//! again until half of its validity is over. If the background thread is late, a response that it signed is sent until three quarters are over.
//! A response with an old status is never sent. Responses about several certificates, and those with the status `unknown`, are
//! signed for each question. A nonce is ignored unless [`ResponderBuilder::echo_nonce`] is set; then such a response is signed for
//! each question, too.

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
