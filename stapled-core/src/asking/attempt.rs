//! One question to a responder, with its result.

use std::time::Duration;

use crate::exchange::inquiry::Trouble;
use crate::fetch::{Answer, Method};
use crate::ocsp::{CertIdHash, OcspRequest};
use crate::staple::{Judgement, Refusal};
use crate::time::Timestamp;

/// One question and its result.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The responder's URL, without credentials.
    pub url: String,
    /// The request.
    pub request: OcspRequest,
    /// The method that carried the request.
    pub method: Method,
    /// The hash of the request's CertID.
    pub hash: CertIdHash,
    /// How long the exchange took.
    pub took: Duration,
    /// When the answer was judged, or when the exchange failed.
    pub at: Timestamp,
    /// The answer and its judgement. `None`: no answer came.
    pub answer: Option<(Answer, Result<Judgement, Refusal>)>,
    /// Why the answer is not believed, or why none came. `None`: the answer is believed, as good or as revoked.
    pub trouble: Option<Trouble>,
    /// Whether another question to the same responder follows.
    pub continues: bool,
}

impl Attempt {
    /// Whether the answer is believed: the certificate is good or revoked, and no other responder needs to be asked.
    pub fn is_believed(&self) -> bool {
        self.trouble.is_none()
    }

    /// The judgement of the answer, unless no answer came or it was refused.
    pub fn judgement(&self) -> Option<&Judgement> {
        self.answer.as_ref().and_then(|(_, judged)| judged.as_ref().ok())
    }

    /// The pause that the responder asks for.
    pub fn retry_after(&self) -> Option<Duration> {
        match (&self.answer, &self.trouble) {
            (Some((answer, _)), _) => answer.retry_after,
            (None, Some(Trouble::Fetch(error))) => error.retry_after(),
            (None, _) => None,
        }
    }
}
