//! One question to a responder, with its result.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use bytes::Bytes;

use crate::chain::CertChain;
use crate::describe::visible::Visible;
use crate::exchange::inquiry::Trouble;
use crate::fetch::{Answer, FetchError, Method};
use crate::ocsp::{CertIdHash, CertStatus, OcspRequest};
use crate::reason::ReasonCode;
use crate::sink::Requirements;
use crate::staple::{Judgement, Refusal};
use crate::time::Timestamp;
use crate::verdict::Verdict;

/// One question and its result. `Display` writes one line, and a second one with the trouble if the answer is not believed.
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

    /// Whether the certificate is revoked, by a judgement that is believed.
    pub fn is_revoked(&self) -> bool {
        matches!(self.judgement(), Some(judgement) if matches!(judgement.status, CertStatus::Revoked { .. }))
    }

    /// The attempt whose answer says most: believed before judged, judged before refused; of equals the first. `None`:
    /// no answer came.
    pub fn best_of(attempts: &[Attempt]) -> Option<&Attempt> {
        let rank = |attempt: &&Attempt| (attempt.is_believed(), attempt.judgement().is_some());
        let answered = attempts.iter().filter(|attempt| attempt.answer.is_some());
        // Of equals, the last one is the maximum.
        answered.rev().max_by_key(rank)
    }

    /// The verdict on the answer, for a server with these requirements, or on its absence.
    pub fn verdict(&self, chain: &CertChain, requirements: &Requirements) -> Verdict {
        let Some((answer, judged)) = &self.answer else {
            let why = self.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
            return Verdict::invalid(ReasonCode::new(self.outcome()), format!("no responder answered{why}"))
                .about(chain);
        };
        let response = answer.body.clone().unwrap_or_default();
        Verdict::of(judged, &response, chain, self.at, requirements)
    }

    /// The staple where the answer is one, in its smallest form; otherwise the answer as it came. Empty: no answer came.
    pub fn response(&self) -> Bytes {
        let staple = self.judgement().and_then(Judgement::staple);
        let answer = || self.answer.as_ref().and_then(|(answer, _)| answer.body.clone()).unwrap_or_default();
        staple.map_or_else(answer, |staple| staple.response().clone())
    }

    /// The result as a stable word: `good`, `revoked`, or the reason code of the trouble.
    pub fn outcome(&self) -> &'static str {
        match &self.trouble {
            Some(trouble) => trouble.code().as_str(),
            None if self.is_revoked() => "revoked",
            None => "good",
        }
    }

    /// The trouble as a sentence. `None` for a believed answer, and for the status unknown, which the outcome already says.
    fn detail(&self) -> Option<String> {
        let trouble = self.trouble.as_ref().filter(|trouble| !matches!(trouble, Trouble::Unknown));
        trouble.map(Trouble::to_string)
    }

    fn http_status(&self) -> Option<u16> {
        match &self.trouble {
            Some(Trouble::Fetch(FetchError::Status { status, .. })) => Some(*status),
            _ => self.answer.as_ref().map(|_| 200),
        }
    }

    /// The address that answered.
    fn address(&self) -> Option<String> {
        self.answer.as_ref().and_then(|(answer, _)| answer.from).map(|address| address.ip().to_string())
    }

    /// The size of the answer.
    fn size(&self) -> Option<usize> {
        self.answer.as_ref().map(|(answer, _)| answer.body.as_ref().map_or(0, Bytes::len))
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

impl Display for Attempt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let status = or_dash(self.http_status().map(|status| format!("HTTP {status}")));
        let bytes = or_dash(self.size().map(|bytes| format!("{bytes} bytes")));
        let (method, hash, outcome) = (self.method.as_str(), self.hash.name(), self.outcome());
        let took = self.took.as_millis();
        write!(
            f,
            "  {method:<4} {hash:<7} {status:<8} {bytes:>11} {took:>6} ms  {outcome:<22} {}",
            Visible::new(&self.url)
        )?;
        if let Some(address) = self.address() {
            write!(f, " ({})", Visible::new(&address))?;
        }
        writeln!(f)?;
        match self.detail() {
            Some(detail) => writeln!(f, "       {}", Visible::new(&detail)),
            None => Ok(()),
        }
    }
}

/// An object with the fields `url`, `address`, `method`, `hash`, `http_status`, `content_type`, `milliseconds`, `bytes`,
/// `outcome` and `detail`. What is not known is null.
#[cfg(feature = "serde")]
impl serde::Serialize for Attempt {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let content_type = self.answer.as_ref().and_then(|(answer, _)| answer.content_type.as_ref());
        let mut object = serializer.serialize_struct("Attempt", 10)?;
        object.serialize_field("url", &self.url)?;
        object.serialize_field("address", &self.address())?;
        object.serialize_field("method", self.method.as_str())?;
        object.serialize_field("hash", self.hash.name())?;
        object.serialize_field("http_status", &self.http_status())?;
        object.serialize_field("content_type", &content_type)?;
        object.serialize_field("milliseconds", &u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX))?;
        object.serialize_field("bytes", &self.size())?;
        object.serialize_field("outcome", self.outcome())?;
        object.serialize_field("detail", &self.detail())?;
        object.end()
    }
}
