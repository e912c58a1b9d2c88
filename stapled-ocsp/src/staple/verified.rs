//! What a judgement gives: facts, and the staple.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::chain::CertChain;
use crate::ocsp::{CertId, CertStatus};
use crate::signature::Weak;
use crate::time::Timestamp;

/// The size in bytes above which no response is read or looked at, unless told otherwise: some responders send a chain of
/// dozens of certificates with each.
pub const MAX_RECEIVED: usize = 256 * 1024;

/// A response that was verified against its chain and says `good`.
///
/// A [`Judge`](super::Judge) is its only origin. What is signed stays as it came; of the certificates, which are not signed, it keeps the
/// delegate's alone, or none where the issuer signed. That is what a client gets.
#[derive(Clone)]
pub struct Staple {
    pub(super) chain: CertChain,
    pub(super) response: Bytes,
    pub(super) facts: Facts,
}

/// What a judged response says.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When it was signed.
    pub produced_at: Timestamp,
    /// The status is known to be right at this time.
    pub this_update: Timestamp,
    /// Newer information is there at or before this time.
    pub next_update: Option<Timestamp>,
    /// The name of whoever signed.
    pub responder: String,
    /// Whether the signer is a delegate of the issuer rather than the issuer itself.
    pub delegated: bool,
    /// The end of the signer's own validity, for a delegate.
    pub responder_not_after: Option<Timestamp>,
    /// The name of the signature's algorithm, such as `ecdsa-with-SHA256`.
    pub signature_algorithm: &'static str,
    /// The CertID of the answer, as the responder spelled it.
    pub cert_id: CertId,
    /// How many SingleResponses the response has.
    pub single_responses: usize,
    /// Whether the signer's certificate had to be brought from outside of the response: clients could not verify it.
    pub foreign_delegate: bool,
    /// What is odd about the response and was accepted all the same.
    pub warnings: Vec<String>,
}

/// A believed response.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// What it says of the certificate.
    pub status: CertStatus,
    /// What else it says.
    pub facts: Facts,
    pub(super) staple: Option<Staple>,
}

/// The rules of a judgement that can be chosen.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct JudgePolicy {
    /// How far the responder's clock may be ahead. It does not extend nextUpdate.
    pub clock_skew: Duration,
    /// Signatures with SHA-1, of the response and of a delegate's certificate.
    pub sha1_signatures: Weak,
    /// RSA keys below 2048 bits.
    pub weak_keys: Weak,
    /// Responses without nextUpdate.
    pub missing_next_update: Weak,
    /// The largest response, in bytes, with the certificates that were sent with it. Above that none is looked at.
    pub max_received: usize,
    /// The largest response, in bytes, in its smallest form, without the certificates that a client does not need.
    pub max_size: usize,
}

impl Default for JudgePolicy {
    fn default() -> Self {
        JudgePolicy {
            clock_skew: Duration::from_secs(300),
            sha1_signatures: Weak::Deny,
            weak_keys: Weak::Deny,
            missing_next_update: Weak::Deny,
            max_received: MAX_RECEIVED,
            max_size: 64 * 1024,
        }
    }
}

impl Judgement {
    /// The staple, if the status is good and clients can verify the response as it is.
    pub fn staple(&self) -> Option<&Staple> {
        self.staple.as_ref()
    }

    /// The staple, as [`staple`](Judgement::staple) tells it.
    pub fn into_staple(self) -> Option<Staple> {
        self.staple
    }
}

impl Staple {
    /// The certificate that it is for.
    pub fn chain(&self) -> &CertChain {
        &self.chain
    }

    /// The response in its smallest form: the signed bytes as the responder sent them, with its delegate's certificate and
    /// no other.
    pub fn response(&self) -> &Bytes {
        &self.response
    }

    /// What it says.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The beginning of its validity.
    pub fn this_update(&self) -> Timestamp {
        self.facts.this_update
    }

    /// The end of its validity.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.facts.next_update
    }

    /// The instant from which it must not be served any more: nextUpdate, or the end of the validity of the delegate
    /// that signed it, whichever is sooner. A response without nextUpdate, where those are allowed, is served for a
    /// day from thisUpdate.
    pub fn expires(&self) -> Timestamp {
        let next_update = self.facts.next_update.unwrap_or(self.facts.this_update + Duration::from_secs(86_400));
        self.facts.responder_not_after.map_or(next_update, |end| next_update.min(end))
    }
}

impl PartialEq for Staple {
    fn eq(&self, other: &Self) -> bool {
        self.response == other.response && self.chain.subject() == other.chain.subject()
    }
}

impl fmt::Debug for Staple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staple").field("chain", &self.chain).field("facts", &self.facts).finish()
    }
}
