//! The rules of RFC 6960 §3.2 and §4.2.2.2, and of RFC 9919: when a response is believed.

use std::sync::Arc;

use bytes::Bytes;

use super::signer::Signer;
use super::{Facts, JudgePolicy, Judgement, Refusal, Staple};
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::der::{OCTET_STRING, Reader};
use crate::ocsp::{BasicResponse, CertId, CertIdHash, CertStatus, Extension, NONCE, OcspResponse, SingleResponse};
use crate::signature::Weak;
use crate::time::Timestamp;

/// Judges `response` for `chain` at the time `at`.
///
/// `nonce` is the one that was asked with; a response without it is accepted and rests on its times, one with another
/// is refused. `delegates` are certificates of candidate signers from outside; a response that needs one is believed,
/// but is no staple, since clients do not have it.
///
/// The staple has the response in its smallest form: what is signed as it came, and the delegate's certificate alone, or
/// none where the issuer signed. A response that came so is kept byte for byte.
pub fn judge(
    response: &Bytes,
    chain: &Arc<CertChain>,
    at: Timestamp,
    policy: &JudgePolicy,
    nonce: Option<&[u8]>,
    delegates: &[Certificate],
) -> Result<Judgement, Refusal> {
    check_size(response, policy.max_received)?;
    let basic = match OcspResponse::from_der(response)? {
        OcspResponse::Basic(basic) => basic,
        OcspResponse::OtherType { .. } => return Err(Refusal::UnsupportedResponseType),
        OcspResponse::Error(status) => return Err(Refusal::ErrorStatus(status)),
    };
    if basic.version != 0 {
        return Err(Refusal::UnsupportedVersion { version: basic.version });
    }
    let signer = Signer::find(&basic, chain, at, policy, delegates)?;
    let smallest = smallest_form(response, &basic, signer.certificate);
    check_size(&smallest, policy.max_size)?;
    check_extensions("the response", &basic.extensions)?;
    check_nonce(&basic.extensions, nonce)?;
    let single = select(&basic, chain)?;
    check_times(single, at, policy)?;
    // Last, so that whoever reads the reason knows that nothing else is wrong.
    signer.check_strength(policy)?;

    let mut warnings = Vec::new();
    if basic.produced_at > at + policy.clock_skew {
        warnings.push(format!("producedAt {} lies ahead", basic.produced_at));
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
        single_responses: basic.responses.len(),
        foreign_delegate: signer.foreign,
        warnings,
    };
    let staple = (single.status == CertStatus::Good && !facts.foreign_delegate).then(|| Staple {
        chain: Arc::clone(chain),
        response: smallest,
        facts: facts.clone(),
    });
    Ok(Judgement { status: single.status, facts, staple })
}

/// The response with the signer's certificate and no other. One that came so is shared, not copied.
fn smallest_form(response: &Bytes, basic: &BasicResponse<'_>, certificate: Option<&[u8]>) -> Bytes {
    let smallest = basic.with_certificate_alone(certificate);
    if smallest == *response { response.clone() } else { Bytes::from(smallest) }
}

fn check_size(response: &[u8], limit: usize) -> Result<(), Refusal> {
    let size = response.len();
    if size > limit { Err(Refusal::TooLarge { size, limit }) } else { Ok(()) }
}

/// The nonce is the one extension that is understood; whatever else is critical is refused (RFC 6960 §4.4).
fn check_extensions(place: &'static str, extensions: &[Extension<'_>]) -> Result<(), Refusal> {
    match extensions.iter().find(|extension| extension.critical && extension.oid != NONCE) {
        None => Ok(()),
        Some(extension) => Err(Refusal::UnhandledCriticalExtension { place, oid: crate::oid::dotted(extension.oid) }),
    }
}

fn check_nonce(extensions: &[Extension<'_>], asked: Option<&[u8]>) -> Result<(), Refusal> {
    let Some(asked) = asked else { return Ok(()) };
    let Some(answered) = extensions.iter().find(|extension| extension.oid == NONCE) else { return Ok(()) };
    // RFC 9654 §2.1 has the value as an OCTET STRING; before RFC 6960 some responders gave the bare bytes.
    let mut reader = Reader::new(answered.value);
    let wrapped = reader.expect(OCTET_STRING).ok().filter(|_| reader.is_empty()).map(|element| element.contents);
    if wrapped == Some(asked) || answered.value == asked { Ok(()) } else { Err(Refusal::NonceMismatch) }
}

/// The answer about the chain's certificate. All answers about it count, by whatever hash and with whatever extensions: those
/// that disagree are no answer, and of those that agree the newest counts.
fn select<'r, 'a>(basic: &'r BasicResponse<'a>, chain: &CertChain) -> Result<&'r SingleResponse<'a>, Refusal> {
    let mut named = About::new(chain);
    let mut selected: Option<&SingleResponse<'_>> = None;
    let (mut others, mut doubtful) = (false, Vec::new());
    let conflict = || Refusal::ConflictingResponses { serial: chain.end_entity().serial_hex() };
    for single in &basic.responses {
        match named.of(&single.cert_id) {
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
        let serial = chain.end_entity().serial_hex();
        return Err(match others {
            true => Refusal::WrongIssuer { serial },
            false => Refusal::NoMatchingCertId { serial },
        });
    };
    // What may be about this certificate can only make it worse.
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

/// The CertIDs of one certificate, by the hashes that occurred.
struct About<'c> {
    chain: &'c CertChain,
    known: Vec<(CertIdHash, CertId)>,
}

/// Whose certificate a CertID names.
enum Whose {
    This,
    /// A certificate with another serial number.
    OtherSerial,
    /// One with this serial number, of another issuer.
    OtherIssuer,
    /// One with this serial number, by a hash that is not known here: nobody can say whose.
    Doubtful,
}

impl<'c> About<'c> {
    fn new(chain: &'c CertChain) -> Self {
        About { chain, known: Vec::with_capacity(1) }
    }

    fn of(&mut self, cert_id: &CertId) -> Whose {
        if cert_id.serial_number != self.chain.end_entity().serial() {
            return Whose::OtherSerial;
        }
        let Some(hash) = cert_id.hash() else { return Whose::Doubtful };
        if !self.known.iter().any(|(known, _)| *known == hash) {
            self.known.push((hash, self.chain.cert_id(hash)));
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
