//! What the renewer remembers of the last answer about a certificate.

use std::sync::Arc;

use bytes::Bytes;

use crate::staple::Staple;
use crate::time::Timestamp;

/// What the renewer remembers of the last answer about a certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct RenewalMemory {
    /// The URL that answered.
    pub(crate) url: Option<Arc<str>>,
    /// The validator of its answer.
    pub(crate) validator: Option<Arc<Validator>>,
    /// When the responder was asked for its answer, by this process or by another one that shares answers.
    pub(crate) asked_at: Option<Timestamp>,
}

/// A validator (RFC 9110 §8.8.3) with the request and the response that it belongs to.
#[derive(Debug)]
pub(crate) struct Validator {
    pub(crate) etag: String,
    /// The URL that was asked with GET.
    pub(crate) url: Arc<str>,
    /// The request in the URL.
    pub(crate) request: Bytes,
    /// The response, as in its staple.
    pub(crate) response: Bytes,
}

impl Validator {
    /// Whether the validator belongs to the staple that is held, for this request at this URL.
    pub(crate) fn is_of(&self, url: &str, request: &[u8], held: &Staple) -> bool {
        *self.url == *url && self.request == request && self.response == held.response()
    }
}
