//! Judges responses by the rules of RFC 6960 §3.2 and §4.2.2.2, and of RFC 9919.

use bytes::Bytes;

use super::facts::Facts;
use super::named::NamedStaple;
use super::refusal::Refusal;
use super::signer::Signer;
use super::verified::{Good, JudgePolicy, Judgement, Staple};
use crate::about::About;
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::chain::named::NamedCertificate;
use crate::der::{OCTET_STRING, Reader};
use crate::ocsp::response::{BasicResponse, Extension, SingleResponse};
use crate::ocsp::{CertId, CertIdHash, CertStatus, NONCE, OcspResponse};
use crate::signature::Weak;
use crate::time::Timestamp;

/// Judges responses for one certificate.
///
/// The time must be given, since this crate has no clock; everything else has a default: the strict
/// [`JudgePolicy`], no nonce, no delegates from outside.
///
/// ```
/// use stapled_ocsp::chain::CertChain;
/// use stapled_ocsp::staple::{Judge, Refusal, Staple};
///
/// fn staple(chain: &CertChain, response: Vec<u8>) -> Result<Option<Staple>, Refusal> {
///     let judgement = Judge::new(chain).at(std::time::SystemTime::now()).judge(response)?;
///     Ok(judgement.into_staple())
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Judge<'a, T = ()> {
    about: About<'a>,
    at: T,
    policy: JudgePolicy,
    nonce: Option<&'a [u8]>,
    delegates: &'a [Certificate],
}

impl<'a> Judge<'a> {
    /// A judge of responses about the end-entity certificate of `chain`.
    pub fn new(chain: &'a CertChain) -> Self {
        Judge::about(About::Chain(chain))
    }

    /// A judge of responses about a certificate of which only the issuer and the serial number are known. The rules are the
    /// same. Its judgements have no [`Staple`], but a [`NamedStaple`].
    pub fn of_named(certificate: &'a NamedCertificate) -> Self {
        Judge::about(About::Named(certificate))
    }

    fn about(about: About<'a>) -> Self {
        Judge { about, at: (), policy: JudgePolicy::default(), nonce: None, delegates: &[] }
    }
}

impl<'a, T> Judge<'a, T> {
    /// The time at which the response must be valid.
    pub fn at(self, at: impl Into<Timestamp>) -> Judge<'a, Timestamp> {
        let Judge { about, policy, nonce, delegates, .. } = self;
        Judge { about, at: at.into(), policy, nonce, delegates }
    }

    /// The rules that can be chosen.
    pub fn policy(self, policy: &JudgePolicy) -> Self {
        Judge { policy: *policy, ..self }
    }

    /// The nonce of the request, if it had one. A response with another nonce is refused. A response without a nonce is
    /// accepted: only its times show that it is current.
    pub fn nonce(self, nonce: Option<&'a [u8]>) -> Self {
        Judge { nonce, ..self }
    }

    /// Certificates of possible signers, for responses that do not contain their signer's certificate. A response that
    /// needs one of them is accepted, but does not become a staple, because clients do not have that certificate.
    pub fn delegates(self, delegates: &'a [Certificate]) -> Self {
        Judge { delegates, ..self }
    }
}

impl Judge<'_, Timestamp> {
    /// Judges one response.
    ///
    /// The staple holds the response in its smallest form: the signed part as received, with the certificate of the
    /// delegate that signed it, or without certificates if the issuer signed it. A response that is received in this
    /// form stays the same, byte for byte.
    ///
    /// # Errors
    ///
    /// The first rule that the response breaks. Weak algorithms and keys are checked last, so a
    /// [`Refusal::WeakSignature`] means that nothing else is wrong.
    pub fn judge(&self, response: impl Into<Bytes>) -> Result<Judgement, Refusal> {
        judge(response.into(), self.about, self.at, &self.policy, self.nonce, self.delegates)
    }
}

fn judge(
    response: Bytes,
    about: About<'_>,
    at: Timestamp,
    policy: &JudgePolicy,
    nonce: Option<&[u8]>,
    delegates: &[Certificate],
) -> Result<Judgement, Refusal> {
    let Examined { status, facts, smaller } = examine(&response, about, at, policy, nonce, delegates)?;
    // A staple keeps the bytes as they were received, if they are in the smallest form: a copy would need memory of its own.
    let response = smaller.unwrap_or(response);
    let is_good = status == CertStatus::Good && !facts.foreign_delegate;
    let good = is_good.then(|| match about {
        About::Chain(chain) => Good::Chain(Staple { chain: chain.clone(), response, facts: facts.clone() }),
        About::Named(named) => Good::Named(NamedStaple { certificate: named.clone(), response, facts: facts.clone() }),
    });
    Ok(Judgement { status, facts, good })
}

/// The contents of a response that is accepted.
struct Examined {
    status: CertStatus,
    facts: Facts,
    /// The smallest form of the response, if it was received in another one.
    smaller: Option<Bytes>,
}

fn examine(
    response: &[u8],
    about: About<'_>,
    at: Timestamp,
    policy: &JudgePolicy,
    nonce: Option<&[u8]>,
    delegates: &[Certificate],
) -> Result<Examined, Refusal> {
    check_size(response, policy.max_received)?;
    let basic = match OcspResponse::from_der(response)? {
        OcspResponse::Basic(basic) => basic,
        OcspResponse::OtherType { .. } => return Err(Refusal::UnsupportedResponseType),
        OcspResponse::Error(status) => return Err(Refusal::ErrorStatus(status)),
    };
    if basic.version != 0 {
        return Err(Refusal::UnsupportedVersion { version: basic.version });
    }
    let signer = Signer::find(&basic, about.issuer(), at, policy, delegates)?;
    let smaller = Some(basic.with_certificate_alone(signer.certificate)).filter(|smallest| smallest != response);
    check_size(smaller.as_deref().unwrap_or(response), policy.max_size)?;
    check_extensions("the response", &basic.extensions)?;
    check_nonce(&basic.extensions, nonce)?;
    let single = select(&basic, about)?;
    check_times(single, at, policy)?;
    // The last check: a refusal for weakness means that nothing else is wrong.
    signer.check_strength(policy)?;

    let mut warnings = Vec::new();
    if basic.produced_at > at + policy.clock_skew {
        warnings.push(format!("producedAt {} is in the future", basic.produced_at));
    }
    if basic.produced_at < single.this_update {
        warnings.push(format!("producedAt {} is before thisUpdate {}", basic.produced_at, single.this_update));
    }
    let facts = Facts {
        produced_at: basic.produced_at,
        this_update: single.this_update,
        next_update: single.next_update,
        responder: signer.name,
        delegated: signer.not_after.is_some(),
        responder_not_after: signer.not_after,
        signature_algorithm: signer.signature.algorithm,
        cert_id: single.cert_id.clone(),
        // A response has a limit of size.
        single_responses: u32::try_from(basic.responses.len()).unwrap_or(u32::MAX),
        foreign_delegate: signer.foreign,
        warnings: warnings.into(),
    };
    Ok(Examined { status: single.status, facts, smaller: smaller.map(Bytes::from) })
}

fn check_size(response: &[u8], limit: usize) -> Result<(), Refusal> {
    let size = response.len();
    if size > limit { Err(Refusal::TooLarge { size, limit }) } else { Ok(()) }
}

/// Refuses critical extensions other than the nonce, the only extension that is supported (RFC 6960 §4.4).
fn check_extensions(place: &'static str, extensions: &[Extension<'_>]) -> Result<(), Refusal> {
    match extensions.iter().find(|extension| extension.critical && extension.oid != NONCE) {
        None => Ok(()),
        Some(extension) => Err(Refusal::UnhandledCriticalExtension { place, oid: crate::oid::dotted(extension.oid) }),
    }
}

fn check_nonce(extensions: &[Extension<'_>], asked: Option<&[u8]>) -> Result<(), Refusal> {
    let Some(asked) = asked else { return Ok(()) };
    let Some(answered) = extensions.iter().find(|extension| extension.oid == NONCE) else { return Ok(()) };
    // By RFC 9654 §2.1, the value is an OCTET STRING. Some responders, older than RFC 6960, send the bare bytes.
    let mut reader = Reader::new(answered.value);
    let wrapped = reader.expect(OCTET_STRING).ok().filter(|_| reader.is_empty()).map(|element| element.contents);
    if wrapped == Some(asked) || answered.value == asked { Ok(()) } else { Err(Refusal::NonceMismatch) }
}

/// Selects the answer about the certificate in question. All answers about this certificate count, with any hash and any
/// extensions. If their statuses differ, the response is refused; otherwise the newest answer counts.
fn select<'r, 'a>(basic: &'r BasicResponse<'a>, about: About<'_>) -> Result<&'r SingleResponse<'a>, Refusal> {
    let mut own = OwnIds::new(about);
    let mut selected: Option<&SingleResponse<'_>> = None;
    let (mut others, mut doubtful) = (false, Vec::new());
    let conflict = || Refusal::ConflictingResponses { serial: about.serial_hex() };
    for single in &basic.responses {
        match own.whose(&single.cert_id) {
            Whose::OtherSerial => continue,
            Whose::OtherIssuer => {
                others = true;
                continue;
            }
            Whose::Doubtful => {
                doubtful.push(single);
                continue;
            }
            Whose::This => {}
        }
        check_extensions("the single response", &single.extensions)?;
        match selected {
            Some(other) if !is_same_status(other.status, single.status) => return Err(conflict()),
            Some(other) if other.this_update >= single.this_update => {}
            _ => selected = Some(single),
        }
    }
    let Some(selected) = selected else {
        let serial = about.serial_hex();
        return Err(match others {
            true => Refusal::WrongIssuer { serial },
            false => Refusal::NoMatchingCertId { serial },
        });
    };
    // An answer that may be about this certificate can take the good status away, but cannot give it.
    if selected.status == CertStatus::Good {
        for single in doubtful {
            if single.status != CertStatus::Good {
                return Err(conflict());
            }
            check_extensions("a single response with this serial number", &single.extensions)?;
        }
    }
    Ok(selected)
}

fn is_same_status(one: CertStatus, other: CertStatus) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

/// Compares CertIDs with one certificate. Keeps the certificate's own CertID for each hash that occurred.
struct OwnIds<'c> {
    about: About<'c>,
    known: Vec<(CertIdHash, CertId)>,
}

/// The certificate that a CertID names.
enum Whose {
    /// The certificate in question.
    This,
    /// A certificate with another serial number.
    OtherSerial,
    /// A certificate with this serial number, of another issuer.
    OtherIssuer,
    /// A certificate with this serial number, of an unknown issuer: the CertID's hash is not supported.
    Doubtful,
}

impl<'c> OwnIds<'c> {
    fn new(about: About<'c>) -> Self {
        OwnIds { about, known: Vec::with_capacity(1) }
    }

    fn whose(&mut self, cert_id: &CertId) -> Whose {
        if cert_id.serial_number() != self.about.serial() {
            return Whose::OtherSerial;
        }
        let Some(hash) = cert_id.hash() else { return Whose::Doubtful };
        if !self.known.iter().any(|(known, _)| *known == hash) {
            self.known.push((hash, self.about.cert_id(hash)));
        }
        match self.known.iter().any(|(_, known)| known.names_same(cert_id)) {
            true => Whose::This,
            false => Whose::OtherIssuer,
        }
    }
}

fn check_times(single: &SingleResponse<'_>, at: Timestamp, policy: &JudgePolicy) -> Result<(), Refusal> {
    let this_update = single.this_update;
    if let Some(next_update) = single.next_update
        && next_update <= this_update
    {
        return Err(Refusal::BadTimes { this_update, next_update });
    }
    if this_update > at + policy.clock_skew {
        return Err(Refusal::NotYetValid { this_update, at });
    }
    match single.next_update {
        Some(next_update) if next_update <= at => Err(Refusal::Expired { next_update, at }),
        None if policy.missing_next_update == Weak::Deny => Err(Refusal::MissingNextUpdate),
        _ => Ok(()),
    }
}
