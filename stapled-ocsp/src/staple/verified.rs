//! The result of a judgement: the status, the facts and the staple.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::facts::Facts;
use super::named::NamedStaple;
use crate::chain::CertChain;
use crate::ocsp::CertStatus;
use crate::signature::Weak;
use crate::time::Timestamp;

/// A response that was verified against its chain, with the status `good`.
///
/// Only a [`Judge`](super::Judge) makes staples. A staple has exactly the bytes that clients get: the signed part as
/// received, with the certificate of the delegate that signed it, or without certificates if the issuer signed it.
#[derive(Clone)]
pub struct Staple {
    pub(super) chain: CertChain,
    pub(super) response: Bytes,
    pub(super) facts: Facts,
}

/// The judgement of a response that was accepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Judgement {
    /// The status of the certificate.
    pub status: CertStatus,
    /// The other contents of the response.
    pub facts: Facts,
    pub(super) good: Option<Good>,
}

/// The staple of a judgement.
#[derive(Clone, Debug)]
pub(super) enum Good {
    /// For a certificate with its issuer.
    Chain(Staple),
    /// For a certificate of which only the issuer and the serial number are known.
    Named(NamedStaple),
}

/// The rules of a judgement that can be chosen.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct JudgePolicy {
    /// How far the responder's clock may be ahead. This does not extend nextUpdate.
    pub clock_skew: Duration,
    /// Whether signatures with SHA-1 are accepted, on the response and on a delegate's certificate.
    pub sha1_signatures: Weak,
    /// Whether RSA keys of fewer than 2048 bits are accepted.
    pub weak_keys: Weak,
    /// Whether responses without nextUpdate are accepted.
    pub missing_next_update: Weak,
    /// The largest response as received, in bytes, with all certificates in it.
    pub max_received: usize,
    /// The largest staple, in bytes: the response without the certificates that clients do not need.
    pub max_size: usize,
}

impl Default for JudgePolicy {
    fn default() -> Self {
        JudgePolicy {
            clock_skew: Duration::from_secs(300),
            sha1_signatures: Weak::Deny,
            weak_keys: Weak::Deny,
            missing_next_update: Weak::Deny,
            max_received: Staple::MAX_RECEIVED,
            max_size: 64 * 1024,
        }
    }
}

impl JudgePolicy {
    /// The same, for responders whose clocks may be this far ahead.
    pub fn clock_skew(self, clock_skew: Duration) -> Self {
        JudgePolicy { clock_skew, ..self }
    }

    /// The same, with this decision about signatures with SHA-1.
    pub fn sha1_signatures(self, sha1_signatures: Weak) -> Self {
        JudgePolicy { sha1_signatures, ..self }
    }

    /// The same, with this decision about RSA keys of fewer than 2048 bits.
    pub fn weak_keys(self, weak_keys: Weak) -> Self {
        JudgePolicy { weak_keys, ..self }
    }

    /// The same, with this decision about responses without nextUpdate.
    pub fn missing_next_update(self, missing_next_update: Weak) -> Self {
        JudgePolicy { missing_next_update, ..self }
    }

    /// The same, for received responses of this size in bytes at most.
    pub fn max_received(self, max_received: usize) -> Self {
        JudgePolicy { max_received, ..self }
    }

    /// The same, for staples of this size in bytes at most.
    pub fn max_size(self, max_size: usize) -> Self {
        JudgePolicy { max_size, ..self }
    }
}

impl Staple {
    /// The largest response that is read, in bytes, by default. Some responders send dozens of certificates with each
    /// response.
    pub const MAX_RECEIVED: usize = 256 * 1024;
}

impl Judgement {
    /// The staple, if the status is good and clients can verify the response with the certificates in it.
    pub fn staple(&self) -> Option<&Staple> {
        match &self.good {
            Some(Good::Chain(staple)) => Some(staple),
            _ => None,
        }
    }

    /// The staple, under the same conditions as [`staple`](Judgement::staple).
    pub fn into_staple(self) -> Option<Staple> {
        match self.good {
            Some(Good::Chain(staple)) => Some(staple),
            _ => None,
        }
    }

    /// The staple of a judgement by [`Judge::of_named`](super::Judge::of_named), under the same conditions.
    pub fn into_named_staple(self) -> Option<NamedStaple> {
        match self.good {
            Some(Good::Named(staple)) => Some(staple),
            _ => None,
        }
    }

    /// Whether the status is good, and clients can verify the response with the certificates in it.
    pub fn is_staple(&self) -> bool {
        self.good.is_some()
    }
}

impl Staple {
    /// The certificate that the staple is for, with its issuer.
    pub fn chain(&self) -> &CertChain {
        &self.chain
    }

    /// The bytes for clients: the signed part as received, with the certificate of the delegate that signed it and no
    /// other.
    pub fn response(&self) -> &Bytes {
        &self.response
    }

    /// The contents of the response.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The beginning of the staple's validity.
    pub fn this_update(&self) -> Timestamp {
        self.facts.this_update
    }

    /// The end of the staple's validity. A staple without it has no end of its own; see [`expires`](Staple::expires).
    pub fn next_update(&self) -> Option<Timestamp> {
        self.facts.next_update
    }

    /// The instant from which servers must not send the staple any more: nextUpdate, or the end of the validity of the
    /// delegate that signed it, whichever is sooner. A staple without nextUpdate expires one day after thisUpdate.
    pub fn expires(&self) -> Timestamp {
        self.facts.expires()
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
