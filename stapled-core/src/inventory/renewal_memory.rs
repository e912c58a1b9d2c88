//! What the renewer remembers of the last answer about a certificate.

use std::sync::Arc;

use bytes::Bytes;

use crate::staple::Staple;
use crate::time::Timestamp;

/// What the renewer remembers of the last answer about a certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct RenewalMemory {
    /// The last answer. Behind one pointer, since there is none for a staple from an earlier run.
    pub(crate) answer: Option<Arc<LastAnswer>>,
    /// When the responder was asked for its answer, by this process or by another one that shares answers.
    pub(crate) asked_at: Option<Timestamp>,
}

/// An answer about a certificate.
#[derive(Debug)]
pub(crate) struct LastAnswer {
    /// The URL that was asked for it.
    pub(crate) url: Arc<str>,
    /// The validator of an answer to a GET.
    pub(crate) validator: Option<Validator>,
}

/// A validator (RFC 9110 §8.8.3) with the request and the response that it belongs to.
#[derive(Debug)]
pub(crate) struct Validator {
    pub(crate) etag: String,
    /// The request in the URL of the GET.
    pub(crate) request: Bytes,
    /// The response, as in its staple.
    pub(crate) response: Bytes,
}

impl RenewalMemory {
    /// The URL that answered last.
    pub(crate) fn url(&self) -> Option<&Arc<str>> {
        self.answer.as_ref().map(|answer| &answer.url)
    }

    /// The validator of the staple that is held, for this request at this URL.
    pub(crate) fn etag_of(&self, url: &str, request: &[u8], held: &Staple) -> Option<&str> {
        let answer = self.answer.as_ref().filter(|answer| *answer.url == *url)?;
        let validator = answer.validator.as_ref().filter(|validator| validator.request == request)?;
        // The response is mostly the staple's own, which need not be compared byte by byte.
        let is_own = std::ptr::eq(&*validator.response, &**held.response());
        (is_own || validator.response == held.response()).then_some(validator.etag.as_str())
    }
}
