//! Finds the signer of a response and checks its right to sign (RFC 6960 §4.2.2.2): the signer is the issuer, or a
//! delegate that the issuer certified.
//!
//! The field `certs` of a response is not signed. An attacker between responder and client can put any certificates
//! into it, in any order: other certificates with the delegate's name or key, or expired ones. So the search considers
//! every certificate that fits the responderID, and takes the best of those that give the right to sign.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::refusal::Refusal;
use super::verified::JudgePolicy;
use crate::certificate::{Certificate, CertificateError, Delegate, same_name};
use crate::hexadecimal::hex_upper;
use crate::ocsp::CertIdHash;
use crate::ocsp::response::{BasicResponse, ResponderId};
use crate::shape::subject_and_key;
use crate::signature::{self, PublicKey, SignatureError, Verified, Weak};
use crate::time::Timestamp;

/// The signed object of a refusal.
const RESPONSE: &str = "response";
const DELEGATE: &str = "responder's certificate";

/// The most signature checks for one response. Only certificates that fit the responderID cost checks: one or two in
/// honest responses, more if an attacker added look-alikes.
const MAX_CHECKS: usize = 128;
/// The most certificates that do not fit the responderID and are read all the same, to report an unreadable certificate
/// instead of a missing one.
const MAX_OTHERS: usize = 16;

/// The signer of a response, with the right to sign it.
pub(super) struct Signer<'a> {
    pub(super) name: Arc<str>,
    /// The signer's signature on the response.
    pub(super) signature: Verified,
    /// The issuer's signature on a delegate's certificate.
    certified: Option<Verified>,
    /// The end of a delegate's validity. `None` for the issuer itself: clients check the issuer's validity.
    pub(super) not_after: Option<Timestamp>,
    /// The delegate's certificate, as the response contains it.
    pub(super) certificate: Option<&'a [u8]>,
    /// Whether the delegate's certificate is not in the response, but was given by the caller.
    pub(super) foreign: bool,
}

impl<'a> Signer<'a> {
    /// Finds the signer: the issuer, or a delegate that the issuer itself certified to sign responses (RFC 6960
    /// §4.2.2.2).
    pub(super) fn find(
        basic: &BasicResponse<'a>,
        issuer: &Certificate,
        at: Timestamp,
        policy: &JudgePolicy,
        delegates: &[Certificate],
    ) -> Result<Self, Refusal> {
        let mut search = Search::new(basic, issuer, at, policy);
        if is_named(basic.responder_id, issuer.subject(), issuer.public_key()) {
            match search.verify(issuer, issuer.lasting_key()) {
                Ok(signature) => return Ok(Self::issuer(issuer, signature)),
                // A delegate may have the issuer's name, so an embedded certificate may still fit.
                Err(refusal) => search.refuse(refusal),
            }
        }
        for der in search.named() {
            if let Some(Delegate { certificate, certified }) = issuer.known_delegate(der).as_deref() {
                search.consider(certificate, Some(*certified), Some(der));
                continue;
            }
            match Certificate::from_der(der) {
                Err(error) => search.refuse(Refusal::ResponderCertMalformed(error)),
                Ok(delegate) => search.consider(&delegate, None, Some(der)),
            }
        }
        if search.found.is_none() {
            let is_named =
                |delegate: &&Certificate| is_named(basic.responder_id, delegate.subject(), delegate.public_key());
            for delegate in delegates.iter().filter(is_named) {
                let known = issuer.known_delegate(delegate.as_der());
                search.consider(delegate, known.map(|known| known.certified), None);
            }
        }
        search.outcome()
    }

    fn issuer(issuer: &Certificate, signature: Verified) -> Self {
        Signer {
            name: issuer.shared_name(),
            signature,
            certified: None,
            not_after: None,
            certificate: None,
            foreign: false,
        }
    }

    /// Checks that the signatures on the response and on a delegate's certificate are strong enough for the policy.
    pub(super) fn check_strength(&self, policy: &JudgePolicy) -> Result<(), Refusal> {
        let certified = self.certified.iter().map(|certified| (DELEGATE, certified));
        for (of, verified) in std::iter::once((RESPONSE, &self.signature)).chain(certified) {
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

/// A key's AlgorithmIdentifier and bits.
type Key = (Vec<u8>, Vec<u8>);

/// The search for the signer of one response.
struct Search<'s, 'a> {
    basic: &'s BasicResponse<'a>,
    issuer: &'s Certificate,
    at: Timestamp,
    policy: &'s JudgePolicy,
    /// The number of signature checks that are left.
    checks: usize,
    /// The keys that did not sign the response, or whose algorithm is not supported. Look-alikes with the same key cost
    /// one check.
    wrong_keys: Vec<(Key, SignatureError)>,
    found: Option<Signer<'a>>,
    /// The most specific refusal so far.
    refusal: Option<Refusal>,
    /// The embedded certificates that do not fit the responderID.
    others: Vec<&'a [u8]>,
}

impl<'s, 'a> Search<'s, 'a> {
    fn new(basic: &'s BasicResponse<'a>, issuer: &'s Certificate, at: Timestamp, policy: &'s JudgePolicy) -> Self {
        Search {
            basic,
            issuer,
            at,
            policy,
            checks: MAX_CHECKS,
            wrong_keys: Vec::new(),
            found: None,
            refusal: None,
            others: Vec::new(),
        }
    }

    /// The embedded certificates that fit the responderID, each once.
    fn named(&mut self) -> Vec<&'a [u8]> {
        let mut seen = BTreeSet::new();
        let mut named = Vec::new();
        for certificate in &self.basic.certificates {
            let is_this = subject_and_key(certificate)
                .is_some_and(|(subject, key)| is_named(self.basic.responder_id, subject, key));
            match is_this {
                true if seen.insert(*certificate) => named.push(*certificate),
                true => {}
                false => self.others.push(certificate),
            }
        }
        named
    }

    /// Takes the certificate as the signer's, if it gives the right to sign and no better certificate was found. `certified` is
    /// the issuer's signature on it, if that was verified before.
    fn consider(&mut self, delegate: &Certificate, certified: Option<Verified>, embedded: Option<&'a [u8]>) {
        let signer = match self.judge(delegate, certified, embedded) {
            Ok(signer) => signer,
            Err(refusal) => return self.refuse(refusal),
        };
        let worth = |signer: &Signer<'_>| (signer.check_strength(self.policy).is_ok(), signer.not_after);
        if self.found.as_ref().is_none_or(|found| worth(&signer) > worth(found)) {
            self.found = Some(signer);
        }
    }

    fn judge(
        &mut self,
        delegate: &Certificate,
        certified: Option<Verified>,
        embedded: Option<&'a [u8]>,
    ) -> Result<Signer<'a>, Refusal> {
        let issuer = self.issuer;
        let responder = delegate.name().to_owned();
        // Only a remembered certificate stays for further signatures.
        let key = if certified.is_some() { delegate.lasting_key() } else { delegate.verification_key() };
        let signature = self.verify(delegate, key)?;
        // The issuer's certificate, or another certificate of the issuer: the same name and the same key.
        if delegate.public_key() == issuer.public_key() && same_name(delegate.subject(), issuer.subject()) {
            return Ok(Signer { foreign: embedded.is_none(), ..Signer::issuer(delegate, signature) });
        }
        let wrong_issuer =
            || Refusal::ResponderWrongIssuer { responder: responder.clone(), issuer: issuer.name().to_owned() };
        if !same_name(delegate.issuer(), issuer.subject()) {
            return Err(wrong_issuer());
        }
        // A signature that was verified before counts, too, so that a judgement does not depend on those before it.
        self.count()?;
        let is_known = certified.is_some();
        let verified = certified.map_or_else(|| delegate.verify_issued_by(issuer), Ok);
        let certified = match verified {
            Ok(certified) => certified,
            Err(SignatureError::BadSignature) => return Err(wrong_issuer()),
            Err(SignatureError::UnsupportedAlgorithm | SignatureError::OtherKey) => {
                return Err(Refusal::UnsupportedAlgorithm { of: DELEGATE });
            }
        };
        if !delegate.allows_ocsp_signing() {
            return Err(Refusal::ResponderMissingEku { responder });
        }
        if !delegate.allows_signing_responses() {
            return Err(Refusal::ResponderKeyUsage { responder });
        }
        if let Some(oid) = delegate.unknown_critical_extension() {
            return Err(Refusal::UnhandledCriticalExtension {
                place: "the responder's certificate",
                oid: oid.to_owned(),
            });
        }
        if let Some(error) = delegate.odd_time() {
            return Err(Refusal::ResponderCertMalformed(error.clone()));
        }
        let (not_before, not_after, at) = (delegate.not_before(), delegate.not_after(), self.at);
        if at < not_before {
            return Err(Refusal::ResponderCertNotYetValid { responder, not_before, at });
        }
        if at.unix() > not_after.unix() {
            return Err(Refusal::ResponderCertExpired { responder, not_after, at });
        }
        // Only delegates that may sign now are remembered: neither the CA's other certificates nor former delegates displace them.
        if !is_known {
            issuer.remember_delegate(delegate, certified);
        }
        Ok(Signer {
            name: responder.into(),
            signature,
            certified: Some(certified),
            not_after: Some(not_after),
            certificate: embedded,
            foreign: embedded.is_none(),
        })
    }

    /// Verifies the response's signature with the key of this certificate.
    fn verify(&mut self, signer: &Certificate, key: PublicKey<'_>) -> Result<Verified, Refusal> {
        let is_this = |(algorithm, bits): &Key| *algorithm == key.algorithm && *bits == key.bits;
        let known = self.wrong_keys.iter().find(|(wrong, _)| is_this(wrong)).map(|(_, error)| *error);
        let basic = self.basic;
        let verified = match known {
            Some(error) => Err(error),
            None => {
                self.count()?;
                signature::verify(basic.signature_algorithm, key, basic.tbs_response_data, basic.signature)
            }
        };
        verified.map_err(|error| {
            if known.is_none() {
                self.wrong_keys.push(((key.algorithm.to_vec(), key.bits.to_vec()), error));
            }
            match error {
                SignatureError::UnsupportedAlgorithm | SignatureError::OtherKey => {
                    Refusal::UnsupportedAlgorithm { of: RESPONSE }
                }
                SignatureError::BadSignature => Refusal::BadSignature { signer: signer.name().to_owned() },
            }
        })
    }

    /// Counts one more signature check.
    fn count(&mut self) -> Result<(), Refusal> {
        let too_many = || Refusal::TooManyLookAlikes { limit: MAX_CHECKS };
        self.checks = self.checks.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }

    /// Keeps the most specific refusal: the one whose certificate passed the most checks. Of equally specific refusals,
    /// the first is kept.
    fn refuse(&mut self, refusal: Refusal) {
        if self.refusal.as_ref().is_none_or(|kept| weight(&refusal) > weight(kept)) {
            self.refusal = Some(refusal);
        }
    }

    fn outcome(self) -> Result<Signer<'a>, Refusal> {
        if let Some(found) = self.found {
            return Ok(found);
        }
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let unreadable = self.others.iter().take(MAX_OTHERS).find_map(|other| Certificate::from_der(other).err());
        if let Some(error) = unreadable {
            return Err(Refusal::ResponderCertMalformed(error));
        }
        let responder = in_words(self.basic.responder_id);
        Err(match self.others.is_empty() {
            true => Refusal::ResponderCertMissing { responder },
            false => Refusal::ResponderIdMismatch { responder },
        })
    }
}

fn weight(refusal: &Refusal) -> u8 {
    match refusal {
        // The issuer issued this certificate, and only a time in it is malformed.
        Refusal::ResponderCertMalformed(CertificateError::Time { .. }) => 4,
        Refusal::ResponderCertMalformed(_) => 0,
        Refusal::BadSignature { .. } | Refusal::UnsupportedAlgorithm { of: RESPONSE } => 1,
        Refusal::TooManyLookAlikes { .. } => 2,
        Refusal::ResponderWrongIssuer { .. } => 3,
        _ => 4,
    }
}

fn is_named(id: ResponderId<'_>, subject: &[u8], key: &[u8]) -> bool {
    match id {
        ResponderId::ByName(name) => same_name(name, subject),
        // RFC 6960 §4.2.1: KeyHash is always made with SHA-1.
        ResponderId::ByKey(hash) => CertIdHash::Sha1.digest(key).as_ref() == hash,
    }
}

fn in_words(id: ResponderId<'_>) -> String {
    match id {
        ResponderId::ByName(name) => crate::certificate::name_in_words(name),
        // A SHA-1 hash has 20 bytes, but an unverified response may contain more.
        ResponderId::ByKey(hash) => format!("the key with SHA-1 hash {}", hex_upper(hash.get(..20).unwrap_or(hash))),
    }
}

#[cfg(test)]
mod tests {
    use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder, Signer};
    use stapled_ca::{Authority, Issued, KeyType, Profile};

    use super::*;
    use crate::chain::CertChain;
    use crate::staple::Judge;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn responder() -> Profile {
        Profile::ocsp_responder("Responder").valid_between(NOW - DAY, NOW + DAY)
    }

    #[test]
    fn only_delegates_with_the_right_to_sign_are_remembered_and_not_too_many() {
        let ca = Authority::root("CA").key(KeyType::EcdsaP256).create().unwrap();
        let server = |name: &str| ca.issue(&Profile::server(name).valid_between(NOW - DAY, NOW + DAY)).unwrap();
        let leaf = server("a.test");
        let chain = CertChain::from_der(leaf.der(), ca.certificate()).unwrap();
        let id = ca.cert_id(leaf.serial(), HashAlgorithm::Sha1);
        let by = |signer: &Issued| {
            let response = ResponseBuilder::signed_by(Signer::delegate(signer)).good(&id);
            response.produced_at(NOW).this_update(NOW).next_update(NOW + DAY)
        };
        let judge = |response: &ResponseBuilder, at: i64| {
            Judge::new(&chain).at(Timestamp::from_unix(at)).judge(response.build().unwrap()).is_ok()
        };
        let is_known = |delegate: &Issued| chain.issuer().known_delegate(delegate.der()).is_some();

        let delegate = ca.issue(&responder()).unwrap();
        assert!(!judge(&by(&delegate).corrupt_signature(), NOW) && !is_known(&delegate));
        let sibling = server("b.test");
        assert!(!judge(&by(&sibling), NOW) && !is_known(&sibling));
        let stranger = Authority::root("CA").key(KeyType::EcdsaP256).create().unwrap().issue(&responder()).unwrap();
        assert!(!judge(&by(&stranger), NOW) && !is_known(&stranger));

        assert!(!judge(&by(&delegate), NOW + 2 * DAY) && !is_known(&delegate), "expired");
        assert!(judge(&by(&delegate), NOW) && is_known(&delegate));
        assert!(!judge(&by(&delegate), NOW + 2 * DAY) && is_known(&delegate), "known, and expired");
        // A delegate is remembered once, however often it is found.
        let certificate = Certificate::from_der(delegate.der()).unwrap();
        let certified = certificate.verify_issued_by(chain.issuer()).unwrap();
        (0..20).for_each(|_| chain.issuer().remember_delegate(&certificate, certified));
        let others: Vec<Issued> = (0..8).map(|_| ca.issue(&responder()).unwrap()).collect();
        for (other, number) in others.iter().zip(1..) {
            assert!(judge(&by(other), NOW) && is_known(other));
            assert_eq!(is_known(&delegate), number < 8, "{number} others");
        }
        assert!(!is_known(&delegate), "the oldest was forgotten");
        assert!(judge(&by(&delegate), NOW) && is_known(&delegate) && !is_known(&others[0]));

        // The remembered result counts, and the certificate is not verified again: this result says that its signature is weak.
        let another = ca.issue(&responder()).unwrap();
        let certificate = Certificate::from_der(another.der()).unwrap();
        chain.issuer().remember_delegate(&certificate, Verified { sha1: true, ..certified });
        let response = by(&another).build().unwrap();
        let judged = Judge::new(&chain).at(Timestamp::from_unix(NOW)).judge(response);
        assert_eq!(judged.unwrap_err(), Refusal::WeakSignature { of: DELEGATE });
    }
}
