//! Every rule of "when is a response believed": a response that breaks just that rule, and one that barely keeps it.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use stapled_ca::ocsp::{
    CertId, HashAlgorithm, IssuerIdentity, NullParameters, ResponseBuilder, ResponseStatus, Signer,
};
use stapled_ca::{
    Authority, ExtendedKeyUsage, Extension, Issued, Key, KeyType, KeyUsage, Profile, Serial, SignatureScheme, der,
};
use stapled_core::Weak;
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::ocsp::{CertStatus, OcspResponse};
use stapled_core::sink::Requirements;
use stapled_core::staple::{JudgePolicy, Judgement, judge};
use stapled_core::time::Timestamp;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// A CA, a certificate of its, and what is judged of it.
struct Case {
    ca: Authority,
    leaf: Issued,
    chain: Arc<CertChain>,
}

impl Case {
    fn new(key: KeyType) -> Self {
        let ca = authority("Judged CA", key);
        let leaf = ca.issue(&server("judged.test")).unwrap();
        let chain = chain(&leaf, &ca);
        Case { ca, leaf, chain }
    }

    fn id(&self) -> CertId {
        self.ca.cert_id(self.leaf.serial(), HashAlgorithm::Sha1)
    }

    /// A good response as the issuer signs it; a test breaks it in one place.
    fn good(&self) -> ResponseBuilder {
        self.good_by(self.ca.signer())
    }

    fn good_by(&self, signer: Signer) -> ResponseBuilder {
        times(ResponseBuilder::signed_by(signer)).good(&self.id())
    }

    fn delegate(&self, profile: Profile) -> Signer {
        Signer::delegate(&self.ca.issue(&profile).unwrap())
    }

    fn judge_with(&self, response: &ResponseBuilder, policy: &JudgePolicy) -> Result<Judgement, String> {
        self.judge_bytes(response.build().unwrap(), policy, None)
    }

    fn judge_bytes(&self, response: Vec<u8>, policy: &JudgePolicy, nonce: Option<&[u8]>) -> Result<Judgement, String> {
        judge(&Bytes::from(response), &self.chain, Timestamp::from_unix(NOW), policy, nonce, &[])
            .map_err(|refusal| refusal.code().to_string())
    }

    /// `good`, `revoked`, `unknown`, or the reason code.
    fn verdict(&self, response: &ResponseBuilder) -> String {
        verdict(self.judge_with(response, &JudgePolicy::default()))
    }
}

fn verdict(judged: Result<Judgement, String>) -> String {
    match judged {
        Err(code) => code,
        Ok(judgement) => {
            assert_eq!(judgement.staple().is_some(), judgement.status == CertStatus::Good);
            match judgement.status {
                CertStatus::Good => "good".to_owned(),
                CertStatus::Revoked { .. } => "revoked".to_owned(),
                _ => "unknown".to_owned(),
            }
        }
    }
}

fn authority(name: &str, key: KeyType) -> Authority {
    let validity = stapled_ca::Validity::Between { not_before: NOW - 1000 * DAY, not_after: NOW + 1000 * DAY };
    Authority::root(name).key(key).validity(validity).create().unwrap()
}

fn server(name: &str) -> Profile {
    Profile::server(name).valid_between(NOW - 30 * DAY, NOW + 60 * DAY).ocsp_url("http://ocsp.test/")
}

fn responder() -> Profile {
    Profile::ocsp_responder("Responder").valid_between(NOW - DAY, NOW + DAY)
}

fn times(builder: ResponseBuilder) -> ResponseBuilder {
    builder.produced_at(NOW - 60).this_update(NOW - 60).next_update(NOW + 7 * DAY)
}

fn chain(leaf: &Issued, ca: &Authority) -> Arc<CertChain> {
    let leaf = Certificate::from_der(leaf.der()).unwrap();
    let issuer = Certificate::from_der(ca.certificate()).unwrap();
    Arc::new(CertChain::new(Arc::new(leaf), Arc::new(issuer)).unwrap())
}

#[test]
fn every_kind_of_key_signs_directly_and_by_delegate() {
    use KeyType::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa2048};
    for key in [EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa2048] {
        let case = Case::new(key);
        assert_eq!(case.verdict(&case.good()), "good", "{key:?} directly");
        assert_eq!(case.verdict(&case.good().corrupt_signature()), "bad_signature", "{key:?} directly");
        for delegate_key in [EcdsaP256, Ed25519, Rsa2048] {
            let delegate = case.delegate(responder().key(delegate_key));
            let response = case.good_by(delegate);
            assert_eq!(case.verdict(&response), "good", "{delegate_key:?} certified by {key:?}");
            let judgement = case.judge_with(&response, &JudgePolicy::default()).unwrap();
            assert!(judgement.facts.delegated);
            assert_eq!(judgement.into_staple().unwrap().expires(), Timestamp::from_unix(NOW + DAY), "ends with it");
            let corrupt = response.corrupt_signature();
            assert_eq!(case.verdict(&corrupt), "bad_signature", "{delegate_key:?} certified by {key:?}");
        }
    }
}

#[test]
fn every_scheme_of_rsa() {
    use SignatureScheme::{
        RsaPkcs1Sha256, RsaPkcs1Sha256WithoutNull, RsaPkcs1Sha384, RsaPkcs1Sha512, RsaPssSha256, RsaPssSha384,
    };
    let case = Case::new(KeyType::Rsa2048);
    for scheme in
        [RsaPkcs1Sha256, RsaPkcs1Sha256WithoutNull, RsaPkcs1Sha384, RsaPkcs1Sha512, RsaPssSha256, RsaPssSha384]
    {
        assert_eq!(case.verdict(&case.good().scheme(scheme)), "good", "{scheme:?}");
    }
    // An AlgorithmIdentifier that does not say what was done.
    let other = case.good().algorithm_identifier(RsaPkcs1Sha512.algorithm_identifier());
    assert_eq!(case.verdict(&other), "bad_signature");
    let foreign = case.good().algorithm_identifier(SignatureScheme::Ed25519.algorithm_identifier());
    assert_eq!(case.verdict(&foreign), "unsupported_algorithm");
}

#[test]
fn sha1_and_short_keys_only_where_they_are_allowed() {
    let case = Case::new(KeyType::Rsa2048);
    let weak = case.good().scheme(SignatureScheme::RsaPkcs1Sha1);
    assert_eq!(case.verdict(&weak), "weak_signature");
    let mut policy = JudgePolicy::default();
    policy.sha1_signatures = Weak::Allow;
    assert_eq!(verdict(case.judge_with(&weak, &policy)), "good");
    assert_eq!(verdict(case.judge_with(&weak.clone().corrupt_signature(), &policy)), "bad_signature");
    // A weakness is told only when nothing else is wrong.
    assert_eq!(case.verdict(&weak.next_update(NOW - 1)), "expired");

    let case = Case::new(KeyType::Rsa1024);
    assert_eq!(case.verdict(&case.good()), "weak_key");
    let mut policy = JudgePolicy::default();
    policy.weak_keys = Weak::Allow;
    assert_eq!(verdict(case.judge_with(&case.good(), &policy)), "good");
    let case = Case::new(KeyType::EcdsaP256);
    let delegate = case.delegate(responder().key(KeyType::Rsa1024));
    assert_eq!(case.verdict(&case.good_by(delegate)), "weak_key");
}

#[test]
fn whose_signature_counts() {
    let case = Case::new(KeyType::EcdsaP256);
    let check = |response: ResponseBuilder, expected: &str, what: &str| {
        assert_eq!(case.verdict(&response), expected, "{what}");
    };
    check(case.good().responder_by_name(), "good", "the issuer by name");
    check(case.good().responder_by_key(), "good", "the issuer by key");
    let delegate = case.delegate(responder());
    check(case.good_by(delegate.clone()).responder_by_name(), "good", "a delegate by name");
    check(case.good_by(delegate.clone()).responder_by_key(), "good", "a delegate by key");
    check(case.good_by(delegate.clone()).certificates::<&[u8]>(&[]), "responder_cert_missing", "no certificate");
    // The responderID of somebody else.
    let id = |signer: &Signer| Signer::new(Arc::clone(delegate.key()), signer.identity().clone(), None);
    let own = delegate.certificate().unwrap();
    let stranger = authority("Stranger", KeyType::EcdsaP256);
    check(
        case.good_by(id(&stranger.signer())).further_certificate(own),
        "responder_id_mismatch",
        "an embedded delegate, but another's name",
    );
    check(case.good_by(id(&case.ca.signer())), "bad_signature", "the issuer's name on another's signature");

    let purposes = |purposes: &[ExtendedKeyUsage]| case.delegate(responder().extended_key_usages(purposes.to_vec()));
    check(case.good_by(purposes(&[])), "responder_missing_eku", "no extendedKeyUsage");
    check(case.good_by(purposes(&[ExtendedKeyUsage::Any])), "responder_missing_eku", "anyExtendedKeyUsage");
    check(case.good_by(purposes(&[ExtendedKeyUsage::ServerAuth])), "responder_missing_eku", "serverAuth");
    let both = purposes(&[ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::OcspSigning]);
    check(case.good_by(both), "good", "serverAuth and OCSPSigning");
    let sibling = case.delegate(server("sibling.test"));
    check(case.good_by(sibling), "responder_missing_eku", "a sibling's key");
    let own_key = Signer::delegate(&case.leaf);
    check(case.good_by(own_key), "responder_missing_eku", "the certificate's own key");

    let usages = |usages: &[KeyUsage]| case.delegate(responder().key_usages(usages.to_vec()));
    check(case.good_by(usages(&[KeyUsage::KeyEncipherment])), "responder_key_usage", "no digitalSignature");
    check(case.good_by(usages(&[])), "good", "no keyUsage at all");
    check(case.good_by(case.delegate(responder().ocsp_no_check(false))), "good", "no nocheck");
    let unknown = Extension::critical(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    check(case.good_by(case.delegate(responder().extension(unknown))), "unhandled_critical_extension", "critical");

    let valid = |from: i64, to: i64| case.good_by(case.delegate(responder().valid_between(from, to)));
    check(valid(NOW - DAY, NOW - 1), "responder_cert_expired", "a delegate of yesterday");
    check(valid(NOW + 1, NOW + DAY), "responder_cert_expired", "a delegate of tomorrow");
    check(valid(NOW - DAY, NOW), "good", "a delegate's last second");
    check(valid(NOW, NOW + DAY), "good", "a delegate's first second");

    let foreign = Signer::delegate(&stranger.issue(&responder()).unwrap());
    check(case.good_by(foreign), "responder_wrong_issuer", "a stranger's delegate");
    // Same name, another key: no more the issuer than any stranger.
    let namesake = authority("Judged CA", KeyType::EcdsaP256);
    let forged = Signer::delegate(&namesake.issue(&responder()).unwrap());
    check(case.good_by(forged), "responder_wrong_issuer", "the delegate of a namesake");
    check(case.good_by(namesake.signer()), "responder_cert_missing", "a namesake itself, by key");
    check(case.good_by(namesake.signer()).responder_by_name(), "bad_signature", "a namesake itself, by name");
    // Same key, another name.
    let renamed = Authority::root("Other name").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    let delegate = Signer::delegate(&renamed.issue(&responder()).unwrap());
    check(case.good_by(delegate), "responder_wrong_issuer", "the delegate of another name with the same key");
    // Reissued: same name, same key, another certificate.
    let reissued = Authority::root("Judged CA").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    let delegate = Signer::delegate(&reissued.issue(&responder()).unwrap());
    check(case.good_by(delegate), "good", "the delegate of the issuer under a new certificate");
    check(case.good().further_certificate(reissued.certificate()), "good", "the issuer embedded");
    // A delegate of a delegate.
    let middle = case.ca.intermediate("Middle").create().unwrap();
    let far = Signer::delegate(&middle.issue(&responder()).unwrap());
    check(
        case.good_by(far).further_certificate(middle.certificate()),
        "responder_wrong_issuer",
        "a delegate's delegate",
    );
}

/// What no client decodes is no staple, though the part that matters could be read.
#[test]
fn what_clients_cannot_decode() {
    let case = Case::new(KeyType::EcdsaP256);
    let beside = |certificate: &[u8]| case.verdict(&case.good().further_certificate(certificate));
    let odd = Extension::new(&[2, 5, 29, 35], vec![5, 0]);
    let odd = case.ca.issue(&responder().extension(odd)).unwrap();
    assert_eq!(beside(odd.der()), "good", "an extension's odd value is its reader's affair");
    assert_eq!(beside(b"\x30\x03\x02\x01\x00"), "malformed", "what is no certificate");
    let name = |value: &[u8]| {
        let attribute = der::sequence(&[der::oid(&[2, 5, 4, 3]), value.to_vec()]);
        der::sequence(&[der::value(0x31, &attribute)])
    };
    let utf8 = der::value(0x0c, b"x");
    // A certificate taken apart and put together again, with one part replaced.
    let with = |place: usize, part: Vec<u8>| {
        let mut outer = der::only(odd.der(), der::SEQUENCE).unwrap().contents;
        let mut tbs = der::expect(&mut outer, der::SEQUENCE).unwrap().contents;
        let mut parts = Vec::new();
        while let Some(element) = der::next(&mut tbs) {
            parts.push(element.whole.to_vec());
        }
        parts[place] = part;
        beside(&der::value(der::SEQUENCE, &[&der::sequence(&parts), outer].concat()))
    };
    assert_eq!(with(3, name(&utf8)), "good", "the name of another issuer");
    assert_eq!(with(3, name(&der::implicit(2, b"x"))), "malformed", "a name's value of no type");
    assert_eq!(with(3, name(&[&utf8[..], der::NULL].concat())), "malformed", "a name's attribute with more");
    assert_eq!(with(3, name(&der::value(0x0c, &[0xff]))), "malformed", "a name that is not UTF-8");
    assert_eq!(with(3, name(&der::value(0x1e, &[0]))), "malformed", "half a character");
    assert_eq!(with(3, name(&der::value(0x04, b"x"))), "malformed", "a name that is no string");
    assert_eq!(with(0, der::explicit(0, &der::unsigned(&[2]))), "good", "version 3");
    assert_eq!(with(0, der::explicit(0, &der::unsigned(&[1]))), "malformed", "extensions in version 2");
    assert_eq!(with(3, der::sequence(&[der::value(0x31, &[])])), "malformed", "a relative name of nothing");
    assert_eq!(with(1, der::value(der::INTEGER, &[0, 1])), "malformed", "a padded serial number");
    assert_eq!(with(1, der::value(der::OCTET_STRING, &[1])), "malformed", "a serial number that is no number");
    assert_eq!(with(4, der::sequence(&[der::NULL, der::NULL])), "malformed", "a validity without times");
    assert_eq!(with(7, der::explicit(3, &der::sequence(&[der::NULL]))), "malformed", "an extension that is none");
    // A delegate whose certificate names another algorithm inside than outside (RFC 5280 §4.1.1.2).
    let delegate = case.delegate(responder());
    let mut outer = der::only(delegate.certificate().unwrap(), der::SEQUENCE).unwrap().contents;
    let tbs = der::expect(&mut outer, der::SEQUENCE).unwrap().whole;
    let renamed: Vec<u8> = {
        let (this, other) = (SignatureScheme::EcdsaSha256, SignatureScheme::EcdsaSha384);
        let (this, other) = (this.algorithm_identifier(), other.algorithm_identifier());
        let place = tbs.windows(this.len()).position(|window| window == this).unwrap();
        [&tbs[..place], &other, &tbs[place + other.len()..]].concat()
    };
    let scheme = SignatureScheme::EcdsaSha256;
    let certificate = |tbs: &[u8]| {
        let signature = der::bit_string(&case.ca.key().sign_with(scheme, tbs).unwrap());
        der::sequence(&[tbs.to_vec(), scheme.algorithm_identifier(), signature])
    };
    let by = |certificate: Vec<u8>| case.verdict(&case.good_by(delegate.clone()).certificates(&[certificate]));
    assert_eq!(by(certificate(tbs)), "good");
    assert_eq!(by(certificate(&renamed)), "malformed");

    // Purposes with something else among them: others may read none, or other ones.
    let purposes = |purposes: &[Vec<u8>]| {
        let profile = responder().extended_key_usages([]);
        let extension = Extension::new(&[2, 5, 29, 37], der::sequence(purposes));
        case.verdict(&case.good_by(case.delegate(profile.extension(extension))))
    };
    let signing = der::oid(&[1, 3, 6, 1, 5, 5, 7, 3, 9]);
    assert_eq!(purposes(std::slice::from_ref(&signing)), "good");
    assert_eq!(purposes(&[signing, der::unsigned(&[1])]), "malformed");
    assert_eq!(purposes(&[]), "malformed");

    let by_name = |name: &[u8]| case.verdict(&case.good().responder_id_der(der::explicit(1, name)));
    assert_eq!(by_name(&name(&utf8)), "responder_cert_missing");
    assert_eq!(by_name(&name(&[&utf8[..], der::NULL].concat())), "malformed");
    // Numbers: that of the certificate, padded, is the same number and other bytes.
    let answer = |serial: Vec<u8>| {
        let id = case.id();
        let mut fields = der::only(id.as_der(), der::SEQUENCE).unwrap().contents;
        let kept: Vec<Vec<u8>> = (0..3).map(|_| der::next(&mut fields).unwrap().whole.to_vec()).collect();
        let id = der::sequence(&[der::concat(&kept), der::value(der::INTEGER, &serial)]);
        let next = der::explicit(0, &der::generalized_time(NOW + DAY));
        let single = der::sequence(&[id, der::implicit(0, &[]), der::generalized_time(NOW - 60), next]);
        let responder = der::explicit(1, &case.ca.identity().name);
        let data = der::sequence(&[responder, der::generalized_time(NOW - 60), der::sequence(&[single])]);
        let signature = der::bit_string(&case.ca.key().sign_with(scheme, &data).unwrap());
        let basic = der::sequence(&[data, scheme.algorithm_identifier(), signature]);
        let body = der::sequence(&[der::oid(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 1]), der::value(der::OCTET_STRING, &basic)]);
        let response = der::sequence(&[der::value(der::ENUMERATED, &[0]), der::explicit(0, &body)]);
        verdict(case.judge_bytes(response, &JudgePolicy::default(), None))
    };
    let serial = case.leaf.serial().integer_contents();
    assert_eq!(answer(serial.clone()), "good");
    assert_eq!(answer([&[0], &serial[..]].concat()), "malformed");
}

/// A name is no proof: another key under the issuer's name, and the issuer's key under another name.
#[test]
fn delegates_that_look_like_the_issuer() {
    let case = Case::new(KeyType::EcdsaP256);
    // A delegate may bear the issuer's name; its own certificate decides.
    let same_name = Profile::ocsp_responder("Judged CA").valid_between(NOW - DAY, NOW + DAY);
    let namesake = case.delegate(same_name);
    assert_eq!(case.verdict(&case.good_by(namesake.clone()).responder_by_name()), "good");
    let bare = case.good_by(namesake.clone()).responder_by_name().certificates::<&[u8]>(&[]);
    assert_eq!(case.verdict(&bare), "bad_signature");
    let outside = Certificate::from_der(namesake.certificate().unwrap()).unwrap();
    let bare = Bytes::from(bare.build().unwrap());
    let judged = judge(&bare, &case.chain, Timestamp::from_unix(NOW), &JudgePolicy::default(), None, &[outside]);
    assert!(judged.is_ok_and(|judgement| judgement.facts.foreign_delegate && judgement.facts.delegated));
    // What is embedded beside does not make the issuer's own signature worse.
    assert_eq!(case.verdict(&case.good().responder_by_name().further_certificate(case.leaf.der())), "good");

    let embedded = |authority: &Authority| {
        let certificate = Some(authority.certificate().to_vec());
        Signer::new(Arc::clone(authority.key()), authority.identity().clone(), certificate)
    };
    let stranger = authority("Judged CA", KeyType::EcdsaP256);
    assert_eq!(case.verdict(&case.good_by(embedded(&stranger))), "responder_wrong_issuer");
    assert_eq!(case.verdict(&case.good_by(embedded(&stranger)).responder_by_name()), "responder_wrong_issuer");
    let renamed = Authority::root("Other name").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    assert_eq!(case.verdict(&case.good_by(embedded(&renamed)).responder_by_name()), "responder_wrong_issuer");
    let reissued = Authority::root("Judged CA").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    let judgement = case.judge_with(&case.good_by(embedded(&reissued)), &JudgePolicy::default()).unwrap();
    assert!(!judgement.facts.delegated && judgement.facts.responder_not_after.is_none());
    assert_eq!(judgement.facts.responder, "Judged CA");
}

/// Of several things that are wrong, the one that is about the signer is told.
#[test]
fn which_refusal_is_told() {
    let case = Case::new(KeyType::EcdsaP256);
    // A certificate by its shape, whose keyUsage is none.
    let odd = responder().key_usages([]).extension(Extension::new(&[2, 5, 29, 15], vec![5, 0]));
    let unreadable = case.delegate(odd).certificate().unwrap().to_vec();
    assert!(Certificate::from_der(&unreadable).is_err());
    let signer = case.delegate(responder().extended_key_usages([]));
    let own = signer.certificate().unwrap().to_vec();
    for certificates in [[&unreadable, &own], [&own, &unreadable]] {
        assert_eq!(case.verdict(&case.good_by(signer.clone()).certificates(&certificates)), "responder_missing_eku");
    }
    assert_eq!(case.verdict(&case.good_by(signer).certificates(&[&unreadable])), "malformed");
    // The issuer is named and did not sign: that says more than a certificate that nobody named.
    let forged = case.good().responder_by_name().corrupt_signature();
    assert_eq!(case.verdict(&forged.clone().further_certificate(&unreadable)), "bad_signature");
    assert_eq!(case.verdict(&forged.further_certificate(case.leaf.der())), "bad_signature");
}

/// However much a stranger sends, what is told of it fits a line of a log.
#[test]
fn refusals_are_short() {
    let case = Case::new(KeyType::EcdsaP256);
    let told = |response: ResponseBuilder| {
        let bytes = Bytes::from(response.build().unwrap());
        let refusal =
            judge(&bytes, &case.chain, Timestamp::from_unix(NOW), &JudgePolicy::default(), None, &[]).unwrap_err();
        refusal.to_string()
    };
    let key = der::value(der::OCTET_STRING, &[0xab; 30_000]);
    let responder = told(case.good().responder_id_der(der::explicit(2, &key)));
    assert!(responder.contains(&"AB".repeat(20)) && responder.len() < 300, "{responder}");
    let oid: Vec<u64> = [1, 3].into_iter().chain(0..10_000).collect();
    let extension = told(case.good().response_extension(&Extension::critical(&oid, vec![5, 0])));
    assert!(extension.len() < 300, "{extension}");
}

#[test]
fn certificates_from_outside_are_believed_and_never_stapled() {
    let case = Case::new(KeyType::EcdsaP256);
    let delegate = case.delegate(responder());
    let outside = Certificate::from_der(delegate.certificate().unwrap()).unwrap();
    let response = Bytes::from(case.good_by(delegate).certificates::<&[u8]>(&[]).build().unwrap());
    let at = Timestamp::from_unix(NOW);
    let judgement = judge(&response, &case.chain, at, &JudgePolicy::default(), None, &[outside]).unwrap();
    assert_eq!(judgement.status, CertStatus::Good);
    assert!(judgement.staple().is_none());
}

#[test]
fn which_certificate_it_is_about() {
    let case = Case::new(KeyType::EcdsaP256);
    let serial = case.leaf.serial();
    let of = |id: CertId| times(ResponseBuilder::new(&case.ca)).good(&id);
    for hash in [HashAlgorithm::Sha1, HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        assert_eq!(case.verdict(&of(case.ca.cert_id(serial, hash))), "good", "{hash:?}");
        let bare = CertId::with_parameters(case.ca.identity(), serial, hash, NullParameters::Absent);
        assert_eq!(case.verdict(&of(bare)), "good", "{hash:?} without NULL");
    }
    let next = Serial::from_bytes(&[&serial.as_bytes()[..serial.as_bytes().len() - 1], &[0x5a]].concat());
    assert_eq!(case.verdict(&of(case.ca.cert_id(&next, HashAlgorithm::Sha1))), "no_matching_certid");
    let stranger = authority("Stranger", KeyType::EcdsaP256);
    assert_eq!(case.verdict(&of(stranger.cert_id(serial, HashAlgorithm::Sha1))), "wrong_issuer");
    // Right name with a wrong key, and the other way round.
    let namesake = authority("Judged CA", KeyType::EcdsaP256);
    assert_eq!(case.verdict(&of(namesake.cert_id(serial, HashAlgorithm::Sha256))), "wrong_issuer");
    let renamed = Authority::root("Other name").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    assert_eq!(case.verdict(&of(renamed.cert_id(serial, HashAlgorithm::Sha256))), "wrong_issuer");
    assert_eq!(case.verdict(&times(ResponseBuilder::new(&case.ca))), "no_matching_certid", "no answer at all");

    let other = case.ca.cert_id(&next, HashAlgorithm::Sha1);
    let two = of(other.clone()).good(&case.id());
    assert_eq!(case.verdict(&two), "good", "one of two");
    assert_eq!(case.judge_with(&two, &JudgePolicy::default()).unwrap().facts.single_responses, 2);
    assert_eq!(case.verdict(&case.good().revoked(&other, NOW - DAY, None)), "good", "the other is revoked");
    assert_eq!(case.verdict(&case.good().good(&case.id())), "good", "twice the same");
    assert_eq!(case.verdict(&case.good().revoked(&case.id(), NOW - DAY, None)), "conflicting_responses");
    assert_eq!(case.verdict(&case.good().unknown(&case.id())), "conflicting_responses");
    let sha256 = case.ca.cert_id(serial, HashAlgorithm::Sha256);
    assert_eq!(case.verdict(&case.good().revoked(&sha256, NOW - DAY, None)), "conflicting_responses");
    assert_eq!(case.verdict(&times(ResponseBuilder::new(&case.ca)).revoked(&case.id(), NOW - DAY, None)), "revoked");
    assert_eq!(case.verdict(&times(ResponseBuilder::new(&case.ca)).unknown(&case.id())), "unknown");
}

/// A CertID as it is in no certificate authority's tables.
#[test]
fn cert_ids_to_the_byte() {
    let case = Case::new(KeyType::EcdsaP256);
    let id = case.id().as_der().to_vec();
    let verdict = |from: &[u8], to: &[u8]| {
        let place = id.windows(from.len()).position(|window| window == from).unwrap();
        let mut changed = [&id[..place], to, &id[place + from.len()..]].concat();
        changed[1] = u8::try_from(changed.len() - 2).unwrap();
        case.verdict(&case.good().cert_id_der(changed))
    };
    let algorithm = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
    assert_eq!(verdict(algorithm, algorithm), "good");
    // RFC 6960 §4.1.1 has no other parameters than NULL.
    assert_eq!(verdict(algorithm, b"\x30\x0a\x06\x05\x2b\x0e\x03\x02\x1a\x04\x01\x00"), "malformed");
    // The right hashes under the name of a hash that is not known (here: MD5), or of another one.
    let md5 = b"\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00";
    assert_eq!(verdict(algorithm, md5), "no_matching_certid");
    let sha256 = b"\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00";
    assert_eq!(verdict(algorithm, sha256), "wrong_issuer");
    // The serial number with a byte too many, and with its sign turned.
    let serial = id[id.len() - 18..].to_vec();
    assert_eq!(serial[..2], [2, 16], "a serial number of 16 bytes");
    assert_eq!(verdict(&serial, &[&[2, 17, 0], &serial[2..]].concat()), "malformed");
    let negative = [&[2, 16, serial[2] | 0x80], &serial[3..]].concat();
    assert_eq!(verdict(&serial, &negative), "no_matching_certid");
    assert_eq!(verdict(&serial, b"\x02\x00"), "malformed");
}

/// Of answers about the same certificate that agree, the newest counts, in whatever order they come.
#[test]
fn the_newest_of_several_answers() {
    let case = Case::new(KeyType::EcdsaP256);
    let sha256 = case.ca.cert_id(case.leaf.serial(), HashAlgorithm::Sha256);
    let at = |cert_id: &CertId, response: ResponseBuilder, seconds: i64| {
        response.good(cert_id).this_update(NOW - seconds).next_update(NOW + DAY)
    };
    let none = || ResponseBuilder::new(&case.ca).produced_at(NOW - 10);
    for (first, second) in [(100, 50), (50, 100), (50, 50)] {
        let response = at(&sha256, at(&case.id(), none(), first), second);
        let facts = case.judge_with(&response, &JudgePolicy::default()).unwrap().facts;
        assert_eq!(facts.this_update, Timestamp::from_unix(NOW - 50), "{first}, {second}");
        // Of equally new ones, the first.
        assert_eq!(facts.cert_id.hash_name(), if second < first { "SHA-256" } else { "SHA-1" }, "{first}, {second}");
    }
    // Another issuer's certificate with the same serial number, by another hash, stands in nobody's way.
    let stranger = authority("Stranger", KeyType::EcdsaP256);
    let response = at(&stranger.cert_id(case.leaf.serial(), HashAlgorithm::Sha1), none(), 50);
    assert_eq!(case.verdict(&at(&sha256, response, 60)), "good");
    // By a hash that nobody knows, nobody can say whose it is.
    let unknown = |hash: &[u8]| {
        let algorithm = der::sequence(&[der::oid(&[1, 3, 6, 1, 4, 1, 99_999, 4])]);
        let hash = der::value(der::OCTET_STRING, hash);
        let serial = der::unsigned(case.leaf.serial().as_bytes());
        CertId::from_der(&der::sequence(&[&algorithm, &hash, &hash, &serial])).unwrap()
    };
    assert_eq!(case.verdict(&at(&unknown(&[1; 20]), none(), 50)), "no_matching_certid");
    assert!(!case.chain.is_named_by(&stapled_core::ocsp::CertId::new(
        stapled_core::ocsp::CertIdHash::Sha1,
        b"another name",
        case.chain.issuer().public_key(),
        case.chain.end_entity().serial()
    )));
    for hash in [stapled_core::ocsp::CertIdHash::Sha1, stapled_core::ocsp::CertIdHash::Sha512] {
        assert!(case.chain.is_named_by(&case.chain.cert_id(hash)));
        let mut next = case.chain.cert_id(hash);
        next.serial_number = vec![1];
        assert!(!case.chain.is_named_by(&next));
    }
}

#[test]
fn serial_numbers_of_any_legal_shape() {
    let ca = authority("Judged CA", KeyType::EcdsaP256);
    for bytes in [&[1][..], &[0x7f], &[0x80], &[0xff; 20], &[0x80, 0, 0, 0], &[0x12; 19]] {
        let leaf = ca.issue(&server("judged.test").serial(Serial::from_bytes(bytes))).unwrap();
        let chain = chain(&leaf, &ca);
        let case = Case { ca: ca.clone(), leaf, chain };
        assert_eq!(case.verdict(&case.good()), "good", "{bytes:02x?}");
    }
}

#[test]
fn times_to_the_second() {
    let case = Case::new(KeyType::EcdsaP256);
    let with = |this_update: i64, next_update: i64| {
        case.verdict(&case.good().this_update(this_update).next_update(next_update))
    };
    assert_eq!(with(NOW - DAY, NOW + 1), "good");
    assert_eq!(with(NOW - DAY, NOW), "expired");
    assert_eq!(with(NOW + 300, NOW + DAY), "good", "the clock skew that is allowed");
    assert_eq!(with(NOW + 301, NOW + DAY), "not_yet_valid");
    assert_eq!(with(NOW - 10, NOW - 10), "bad_times");
    assert_eq!(with(NOW + 100, NOW + 50), "bad_times");
    let mut policy = JudgePolicy::default();
    policy.clock_skew = Duration::ZERO;
    assert_eq!(verdict(case.judge_with(&case.good().this_update(NOW), &policy)), "good");
    assert_eq!(verdict(case.judge_with(&case.good().this_update(NOW + 1), &policy)), "not_yet_valid");
    let endless = case.good().no_next_update();
    assert_eq!(case.verdict(&endless), "missing_next_update");
    policy.missing_next_update = Weak::Allow;
    assert_eq!(verdict(case.judge_with(&endless, &policy)), "good");
    for produced_at in [NOW - 365 * DAY, NOW + 365 * DAY] {
        let odd = case.good().produced_at(produced_at);
        let judgement = case.judge_with(&odd, &JudgePolicy::default()).unwrap();
        assert_eq!(judgement.facts.warnings.len(), 1, "odd, told, and accepted");
    }
    for (produced_at, this_update, warnings) in
        [(NOW - 60, NOW - 60, 0), (NOW - 61, NOW - 60, 1), (NOW + 300, NOW, 0), (NOW + 301, NOW, 1)]
    {
        let response = case.good().produced_at(produced_at).this_update(this_update);
        let judgement = case.judge_with(&response, &JudgePolicy::default()).unwrap();
        assert_eq!(judgement.facts.warnings.len(), warnings, "{produced_at} {this_update}");
    }
    let form = |time: &[u8]| {
        let element = [&[0x18, time.len() as u8], time].concat();
        case.verdict(&case.good().this_update_der(element))
    };
    assert_eq!(form(b"20270101000000Z"), "good");
    for odd in [
        &b"20270101000000.0Z"[..],
        b"20270101000000.5Z",
        b"20270101000000+0000",
        b"202701010000Z",
        b"20270101000000",
        b"20271301000000Z",
        b"20270230000000Z",
        b"20270101240000Z",
        b"20261231235960Z", // a leap second
        b"2027010100000aZ",
        b"",
    ] {
        assert_eq!(form(odd), "malformed", "{:?}", String::from_utf8_lossy(odd));
    }
    assert_eq!(form(b"00010101000000Z"), "good", "long ago");
    assert_eq!(case.verdict(&case.good().next_update_der(b"\x18\x0f99991231235959Z".to_vec())), "good");
}

#[test]
fn error_statuses_types_and_versions() {
    use ResponseStatus::{InternalError, MalformedRequest, SigRequired, TryLater, Unauthorized};
    let case = Case::new(KeyType::EcdsaP256);
    for (status, code) in [
        (MalformedRequest, "error_status:malformed_request"),
        (InternalError, "error_status:internal_error"),
        (TryLater, "error_status:try_later"),
        (SigRequired, "error_status:sig_required"),
        (Unauthorized, "error_status:unauthorized"),
    ] {
        let judged = case.judge_bytes(ResponseBuilder::error(status), &JudgePolicy::default(), None);
        assert_eq!(verdict(judged), code);
    }
    for undefined in [0, 4, 7, 255] {
        let judged = case.judge_bytes(ResponseBuilder::status_only(undefined), &JudgePolicy::default(), None);
        assert_eq!(verdict(judged), "malformed", "{undefined}");
    }
    assert_eq!(
        case.verdict(&case.good().response_type(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 99])),
        "unsupported_response_type"
    );
    assert_eq!(case.verdict(&case.good().explicit_version(0)), "good", "v1 spelled out");
    assert_eq!(case.verdict(&case.good().explicit_version(1)), "unsupported_version");
    assert_eq!(case.verdict(&case.good().trailing(&[0])), "malformed");
}

#[test]
fn extensions_and_nonces() {
    let case = Case::new(KeyType::EcdsaP256);
    let extension = |critical: bool| match critical {
        true => Extension::critical(&[1, 3, 6, 1, 4, 1, 99_999, 2], vec![5, 0]),
        false => Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 2], vec![5, 0]),
    };
    assert_eq!(case.verdict(&case.good().response_extension(&extension(false))), "good");
    assert_eq!(case.verdict(&case.good().single_extension(&extension(false))), "good");
    assert_eq!(case.verdict(&case.good().response_extension(&extension(true))), "unhandled_critical_extension");
    assert_eq!(case.verdict(&case.good().single_extension(&extension(true))), "unhandled_critical_extension");
    let twice = case.good().response_extension(&extension(false)).response_extension(&extension(false));
    assert_eq!(case.verdict(&twice), "malformed");

    let asked = [7; 32];
    let judged = |response: &ResponseBuilder| {
        verdict(case.judge_bytes(response.build().unwrap(), &JudgePolicy::default(), Some(&asked)))
    };
    assert_eq!(judged(&case.good().nonce(&asked)), "good");
    assert_eq!(judged(&case.good().nonce(&[8; 32])), "nonce_mismatch");
    assert_eq!(judged(&case.good().nonce(&asked[..31])), "nonce_mismatch");
    assert_eq!(judged(&case.good()), "good", "none at all: the times decide");
    let nonce = |critical: bool, value: &[u8]| {
        let oid = [1, 3, 6, 1, 5, 5, 7, 48, 1, 2];
        case.good().response_extension(&match critical {
            true => Extension::critical(&oid, value.to_vec()),
            false => Extension::new(&oid, value.to_vec()),
        })
    };
    assert_eq!(judged(&nonce(false, &asked)), "good", "the bare bytes, as some gave them before RFC 6960");
    assert_eq!(judged(&nonce(false, &[8; 32])), "nonce_mismatch");
    let wrapped = [&[4, 32][..], &asked].concat();
    assert_eq!(judged(&nonce(true, &wrapped)), "good", "it is understood, so it may be critical");
    assert_eq!(judged(&nonce(false, &[&wrapped[..], &[0]].concat())), "nonce_mismatch", "and something behind it");
    assert_eq!(case.verdict(&case.good().nonce(&asked)), "good", "one that nobody asked for");
}

#[test]
fn sizes() {
    let case = Case::new(KeyType::EcdsaP256);
    let bytes = case.good().build().unwrap();
    let mut policy = JudgePolicy::default();
    policy.max_size = bytes.len();
    assert_eq!(verdict(case.judge_bytes(bytes.clone(), &policy, None)), "good");
    policy.max_size = bytes.len() - 1;
    assert_eq!(verdict(case.judge_bytes(bytes, &policy, None)), "too_large");
    let padding = Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 3], vec![0; 70_000]);
    assert_eq!(case.verdict(&case.good().response_extension(&padding)), "too_large");
}

#[test]
fn a_staple_says_what_its_response_says() {
    let case = Case::new(KeyType::EcdsaP256);
    let mut policy = JudgePolicy::default();
    policy.missing_next_update = Weak::Allow;
    let staple = |response: &ResponseBuilder| case.judge_with(response, &policy).unwrap().into_staple().unwrap();
    let at = Timestamp::from_unix;
    let good = staple(&case.good().this_update(NOW - 100));
    assert_eq!((good.this_update(), good.next_update()), (at(NOW - 100), Some(at(NOW + 7 * DAY))));
    assert_eq!(good.expires(), at(NOW + 7 * DAY));
    assert!(Arc::ptr_eq(good.chain(), &case.chain));
    assert_eq!(good.facts().produced_at, at(NOW - 60));
    assert!(format!("{good:?}").contains("judged.test"));
    // Without nextUpdate, a day.
    let endless = staple(&case.good().this_update(NOW - 100).no_next_update());
    assert_eq!((endless.next_update(), endless.expires()), (None, at(NOW - 100 + DAY)));
    // The end of a delegate counts only where it is the sooner one.
    let long = case.delegate(Profile::ocsp_responder("Long").valid_between(NOW - DAY, NOW + 30 * DAY));
    assert_eq!(staple(&case.good_by(long)).expires(), at(NOW + 7 * DAY));

    // Equal is what has the same bytes and is for the same certificate.
    let both = case.good().build().unwrap();
    let judged = |chain: &Arc<CertChain>, bytes: &[u8]| {
        let response = Bytes::copy_from_slice(bytes);
        judge(&response, chain, at(NOW), &policy, None, &[]).unwrap().into_staple().unwrap()
    };
    let one = judged(&case.chain, &both);
    assert!(one == judged(&chain(&case.leaf, &case.ca), &both));
    assert!(one != good);
    let other = case.ca.issue(&server("other.test")).unwrap();
    let id = case.ca.cert_id(other.serial(), HashAlgorithm::Sha1);
    let both = case.good().good(&id).this_update(NOW - 60).next_update(NOW + 7 * DAY).build().unwrap();
    assert!(judged(&case.chain, &both) != judged(&chain(&other, &case.ca), &both));
}

#[test]
fn what_a_server_asks_of_a_staple() {
    let case = Case::new(KeyType::EcdsaP256);
    let staple =
        |response: ResponseBuilder| case.judge_with(&response, &JudgePolicy::default()).unwrap().into_staple().unwrap();
    let mut strict = Requirements::default()
        .cert_id_hash(stapled_core::ocsp::CertIdHash::Sha1)
        .margin(Duration::from_secs(300))
        .max_size(4096);
    strict.single_response = true;
    let check = |response: ResponseBuilder| match strict.check(&staple(response), Timestamp::from_unix(NOW)) {
        Ok(()) => "fits".to_owned(),
        Err(error) => error.code().to_string(),
    };
    assert_eq!(check(case.good()), "fits");
    assert_eq!(check(case.good().next_update(NOW + 301)), "fits");
    assert_eq!(check(case.good().next_update(NOW + 300)), "expires_too_soon");
    let of = |id: CertId| times(ResponseBuilder::new(&case.ca)).good(&id);
    assert_eq!(check(of(case.ca.cert_id(case.leaf.serial(), HashAlgorithm::Sha256))), "unfit_certid");
    let (identity, serial) = (case.ca.identity(), case.leaf.serial());
    let bare = CertId::with_parameters(identity, serial, HashAlgorithm::Sha1, NullParameters::Absent);
    assert_eq!(check(of(bare)), "unfit_certid");
    let other = case.ca.cert_id(&Serial::from(5), HashAlgorithm::Sha1);
    assert_eq!(check(case.good().good(&other)), "several_responses");
    let padding = Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 3], vec![0; 5000]);
    assert_eq!(check(case.good().response_extension(&padding)), "too_large");
}

/// The second opinion: what is cut by hand says the same as what a general ASN.1 library decodes.
#[test]
fn what_is_read_is_what_another_decoder_reads() {
    let case = Case::new(KeyType::EcdsaP256);
    let delegate = case.delegate(responder());
    let other = case.ca.cert_id(&Serial::from(5), HashAlgorithm::Sha256);
    let responses = [
        case.good(),
        case.good_by(delegate).responder_by_name().nonce(&[1; 32]),
        case.good().revoked(&other, NOW - DAY, Some(stapled_ca::Reason::KeyCompromise)).explicit_version(0),
        case.good().unknown(&other).no_next_update(),
    ];
    for response in responses {
        let bytes = response.build().unwrap();
        let Ok(OcspResponse::Basic(ours)) = OcspResponse::from_der(&bytes) else { panic!("not read") };
        let theirs: rasn_ocsp::OcspResponse = rasn::der::decode(&bytes).unwrap();
        let theirs: rasn_ocsp::BasicOcspResponse = rasn::der::decode(&theirs.bytes.unwrap().response).unwrap();
        let data = &theirs.tbs_response_data;
        assert_eq!(ours.produced_at.unix(), data.produced_at.timestamp());
        assert_eq!(ours.certificates.len(), theirs.certs.as_ref().map_or(0, |certificates| certificates.len()));
        assert_eq!(ours.signature, theirs.signature.as_raw_slice());
        assert_eq!(ours.responses.len(), data.responses.len());
        assert_eq!(ours.extensions.len(), data.response_extensions.as_ref().map_or(0, |list| list.len()));
        for (ours, theirs) in ours.responses.iter().zip(data.responses.iter()) {
            assert_eq!(ours.cert_id.to_der(), rasn::der::encode(&theirs.cert_id).unwrap());
            assert_eq!(ours.this_update.unix(), theirs.this_update.timestamp());
            assert_eq!(ours.next_update.map(Timestamp::unix), theirs.next_update.map(|at| at.timestamp()));
            let same = matches!(
                (&ours.status, &theirs.cert_status),
                (CertStatus::Good, rasn_ocsp::CertStatus::Good)
                    | (CertStatus::Revoked { .. }, rasn_ocsp::CertStatus::Revoked(_))
                    | (CertStatus::Unknown, rasn_ocsp::CertStatus::Unknown(()))
            );
            assert!(same);
        }
    }
}

/// How many changes are tried: more where `make prove` asks for it.
fn cases() -> u32 {
    if std::env::var("STAPLED_PROVE").is_ok_and(|much| much == "full") { 500_000 } else { 2_000 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Whatever is changed in a good response, nothing panics, and what is believed is signed: a change outside of the
    /// signed bytes may leave it believed, one inside never does.
    #[test]
    fn a_changed_response_is_never_a_forgery(position in 0usize..10_000, value: u8, cut in 0usize..4) {
        thread_local! {
            static CASE: (Case, Vec<u8>) = {
                let case = Case::new(KeyType::EcdsaP256);
                let delegate = case.delegate(responder());
                let bytes = case.good_by(delegate).build().unwrap();
                (case, bytes)
            };
        }
        CASE.with(|(case, bytes)| {
            let mut changed = bytes.clone();
            let position = position % changed.len();
            match cut {
                0 => changed.truncate(position),
                1 => changed.insert(position, value),
                _ => changed[position] = value,
            }
            let believed = case.judge_bytes(changed.clone(), &JudgePolicy::default(), None).is_ok();
            if believed {
                let Ok(OcspResponse::Basic(original)) = OcspResponse::from_der(bytes) else { panic!("not read") };
                let Ok(OcspResponse::Basic(now)) = OcspResponse::from_der(&changed) else { panic!("believed unread") };
                assert_eq!(now.tbs_response_data, original.tbs_response_data);
            }
        });
    }

    /// Any bytes at all.
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = OcspResponse::from_der(&bytes);
        let _ = Certificate::from_der(&bytes);
        let _ = stapled_core::bundle::Bundle::read(&bytes);
    }
}

#[test]
fn a_chain_is_what_its_issuer_signed() {
    let case = Case::new(KeyType::EcdsaP256);
    let leaf = Arc::new(Certificate::from_der(case.leaf.der()).unwrap());
    let issuer = |authority: &Authority| Arc::new(Certificate::from_der(authority.certificate()).unwrap());
    assert!(CertChain::new(Arc::clone(&leaf), issuer(&case.ca)).is_ok());
    assert!(CertChain::new(Arc::clone(&leaf), issuer(&authority("Judged CA", KeyType::EcdsaP256))).is_err());
    let renamed = Authority::root("Other name").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    assert!(CertChain::new(Arc::clone(&leaf), issuer(&renamed)).is_err());
    // The same issuer under a new certificate makes the same subject.
    let reissued = Authority::root("Judged CA").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    let again = CertChain::new(leaf, issuer(&reissued)).unwrap();
    assert_eq!(again.subject(), case.chain.subject());
    let key = Key::generate(KeyType::EcdsaP256).unwrap();
    let identity: IssuerIdentity = case.ca.identity().clone();
    let forged = Signer::new(Arc::new(key), identity, None);
    assert_eq!(case.verdict(&case.good_by(forged)), "bad_signature");
}
