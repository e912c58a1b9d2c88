//! The rules of RFC 6960 §3.2 and §4.2.2.2, and of RFC 9919: when a response is believed.

use std::sync::Arc;

use bytes::Bytes;

use super::{Facts, JudgePolicy, Judgement, Refusal, Staple};
use crate::certificate::{Certificate, hex_upper, same_name};
use crate::chain::CertChain;
use crate::der::{OCTET_STRING, Reader};
use crate::ocsp::{
    BasicResponse, CertId, CertIdHash, CertStatus, Extension, NONCE, OcspResponse, ResponderId, SingleResponse,
};
use crate::signature::{self, SignatureError, Verified, Weak};
use crate::time::Timestamp;

/// What is signed, in refusals.
const DELEGATE: &str = "responder's certificate";

/// Judges `response` for `chain` at the time `at`.
///
/// `nonce` is the one that was asked with; a response without it is accepted and rests on its times, one with another
/// is refused. `delegates` are certificates of candidate signers from outside; a response that needs one is believed,
/// but is no staple, since clients do not have it.
pub fn judge(
    response: &Bytes,
    chain: &Arc<CertChain>,
    at: Timestamp,
    policy: &JudgePolicy,
    nonce: Option<&[u8]>,
    delegates: &[Certificate],
) -> Result<Judgement, Refusal> {
    if response.len() > policy.max_size {
        return Err(Refusal::TooLarge { size: response.len(), limit: policy.max_size });
    }
    let basic = match OcspResponse::from_der(response)? {
        OcspResponse::Basic(basic) => basic,
        OcspResponse::OtherType { .. } => return Err(Refusal::UnsupportedResponseType),
        OcspResponse::Error(status) => return Err(Refusal::ErrorStatus(status)),
    };
    if basic.version != 0 {
        return Err(Refusal::UnsupportedVersion { version: basic.version });
    }
    let signer = Signer::find(&basic, chain, at, delegates)?;
    check_extensions("the response", &basic.extensions)?;
    check_nonce(&basic.extensions, nonce)?;
    let single = select(&basic, chain)?;
    check_extensions("the single response", &single.extensions)?;
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
        response: response.clone(),
        facts: facts.clone(),
    });
    Ok(Judgement { status: single.status, facts, staple })
}

/// Who signed a response, by right.
struct Signer {
    name: String,
    /// Its signature on the response.
    signature: Verified,
    /// The issuer's signature on a delegate's certificate.
    certified: Option<Verified>,
    /// The end of a delegate's validity; none for the issuer itself, whose validity is the clients' affair.
    not_after: Option<Timestamp>,
    foreign: bool,
}

impl Signer {
    /// RFC 6960 §4.2.2.2: the issuer, or somebody whom the issuer itself certified for this.
    fn find(
        basic: &BasicResponse<'_>,
        chain: &CertChain,
        at: Timestamp,
        delegates: &[Certificate],
    ) -> Result<Self, Refusal> {
        let issuer = chain.issuer();
        if is_named(issuer, basic.responder_id) {
            match verify_response(basic, issuer) {
                Ok(signature) => return Ok(Self::issuer(issuer, signature)),
                // A delegate may bear the issuer's name, so an embedded certificate may still fit.
                Err(refusal) if basic.certificates.is_empty() && delegates.is_empty() => return Err(refusal),
                Err(_) => {}
            }
        }
        let mut refusals = Vec::new();
        let mut strangers = false;
        for der in &basic.certificates {
            match Certificate::from_der(der) {
                Err(error) => refusals.push(Refusal::ResponderCertMalformed(error)),
                Ok(delegate) if !is_named(&delegate, basic.responder_id) => strangers = true,
                Ok(delegate) => match Self::delegate(basic, chain, &delegate, at) {
                    Ok(signer) => return Ok(signer),
                    Err(refusal) => refusals.push(refusal),
                },
            }
        }
        for delegate in delegates.iter().filter(|delegate| is_named(delegate, basic.responder_id)) {
            match Self::delegate(basic, chain, delegate, at) {
                Ok(signer) => return Ok(Signer { foreign: true, ..signer }),
                Err(refusal) => refusals.push(refusal),
            }
        }
        // The refusal that says most: of a certificate that the responderID names, before that of one it does not.
        if let Some(place) = refusals.iter().position(|refusal| !matches!(refusal, Refusal::ResponderCertMalformed(_)))
        {
            return Err(refusals.swap_remove(place));
        }
        if is_named(issuer, basic.responder_id) {
            verify_response(basic, issuer)?;
        }
        if let Some(refusal) = refusals.pop() {
            return Err(refusal);
        }
        let responder = in_words(basic.responder_id);
        Err(if strangers {
            Refusal::ResponderIdMismatch { responder }
        } else {
            Refusal::ResponderCertMissing { responder }
        })
    }

    fn delegate(
        basic: &BasicResponse<'_>,
        chain: &CertChain,
        delegate: &Certificate,
        at: Timestamp,
    ) -> Result<Self, Refusal> {
        let issuer = chain.issuer();
        let responder = delegate.name().to_owned();
        let signature = verify_response(basic, delegate)?;
        // The issuer's certificate itself, or another of its certificates: same name and same key are the same issuer.
        if delegate.public_key() == issuer.public_key() && same_name(delegate.subject(), issuer.subject()) {
            return Ok(Self::issuer(delegate, signature));
        }
        let wrong_issuer =
            || Refusal::ResponderWrongIssuer { responder: responder.clone(), issuer: issuer.name().to_owned() };
        if !same_name(delegate.issuer(), issuer.subject()) {
            return Err(wrong_issuer());
        }
        let certified = match delegate.verify_issued_by(issuer) {
            Ok(certified) => certified,
            Err(SignatureError::BadSignature) => return Err(wrong_issuer()),
            Err(SignatureError::UnsupportedAlgorithm) => {
                return Err(Refusal::UnsupportedAlgorithm { of: DELEGATE });
            }
        };
        if !delegate.allows_ocsp_signing() {
            return Err(Refusal::ResponderMissingEku { responder });
        }
        if !delegate.allows_digital_signature() {
            return Err(Refusal::ResponderKeyUsage { responder });
        }
        if let Some(oid) = delegate.unknown_critical_extension() {
            return Err(Refusal::UnhandledCriticalExtension {
                place: "the responder's certificate",
                oid: oid.to_owned(),
            });
        }
        if at < delegate.not_before() || at.unix() > delegate.not_after().unix() {
            return Err(Refusal::ResponderCertExpired {
                responder,
                not_before: delegate.not_before(),
                not_after: delegate.not_after(),
                at,
            });
        }
        Ok(Signer {
            name: responder,
            signature,
            certified: Some(certified),
            not_after: Some(delegate.not_after()),
            foreign: false,
        })
    }

    fn issuer(issuer: &Certificate, signature: Verified) -> Self {
        Signer { name: issuer.name().to_owned(), signature, certified: None, not_after: None, foreign: false }
    }

    fn check_strength(&self, policy: &JudgePolicy) -> Result<(), Refusal> {
        let certified = self.certified.iter().map(|certified| (DELEGATE, certified));
        for (of, verified) in std::iter::once(("response", &self.signature)).chain(certified) {
            if verified.short_rsa && policy.weak_keys == Weak::Deny {
                return Err(Refusal::WeakKey { of });
            }
            if verified.sha1 && policy.sha1_signatures == Weak::Deny {
                return Err(Refusal::WeakSignature { of });
            }
        }
        Ok(())
    }
}

fn is_named(certificate: &Certificate, id: ResponderId<'_>) -> bool {
    match id {
        ResponderId::ByName(name) => same_name(name, certificate.subject()),
        // RFC 6960 §4.2.1: KeyHash is SHA-1, always.
        ResponderId::ByKey(hash) => CertIdHash::Sha1.digest(certificate.public_key()).as_ref() == hash,
    }
}

fn in_words(id: ResponderId<'_>) -> String {
    match id {
        ResponderId::ByName(name) => crate::certificate::name_in_words(name),
        // No SHA-1 hash is longer; what a stranger sends may be.
        ResponderId::ByKey(hash) => format!("the key with SHA-1 hash {}", hex_upper(hash.get(..20).unwrap_or(hash))),
    }
}

fn verify_response(basic: &BasicResponse<'_>, signer: &Certificate) -> Result<Verified, Refusal> {
    let key = signer.verification_key();
    signature::verify(basic.signature_algorithm, key, basic.tbs_response_data, basic.signature).map_err(|error| {
        match error {
            SignatureError::UnsupportedAlgorithm => Refusal::UnsupportedAlgorithm { of: "response" },
            SignatureError::BadSignature => Refusal::BadSignature { signer: signer.name().to_owned() },
        }
    })
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

/// The answer about the chain's certificate; of several that agree, the newest.
fn select<'r, 'a>(basic: &'r BasicResponse<'a>, chain: &CertChain) -> Result<&'r SingleResponse<'a>, Refusal> {
    let mut expected: Vec<(CertIdHash, CertId)> = Vec::with_capacity(1);
    let mut selected: Option<&SingleResponse<'_>> = None;
    let mut same_serial = false;
    let serial = || chain.end_entity().serial_hex();
    for single in &basic.responses {
        if single.cert_id.serial_number != chain.end_entity().serial() {
            continue;
        }
        // By a hash that is not known here, nobody can say whose certificate it is.
        let Some(hash) = single.cert_id.hash() else { continue };
        same_serial = true;
        if !expected.iter().any(|(known, _)| *known == hash) {
            expected.push((hash, chain.cert_id(hash)));
        }
        if !expected.iter().any(|(_, cert_id)| cert_id.names_same(&single.cert_id)) {
            continue;
        }
        match selected {
            Some(other) if std::mem::discriminant(&other.status) != std::mem::discriminant(&single.status) => {
                return Err(Refusal::ConflictingResponses { serial: serial() });
            }
            Some(other) if other.this_update >= single.this_update => {}
            _ => selected = Some(single),
        }
    }
    selected.ok_or_else(|| {
        if same_serial {
            Refusal::WrongIssuer { serial: serial() }
        } else {
            Refusal::NoMatchingCertId { serial: serial() }
        }
    })
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
