//! Tests of the signer and the signature.

use std::sync::Arc;

use bytes::Bytes;
use stapled_ca::ocsp::{IssuerIdentity, ResponseBuilder, Signer};
use stapled_ca::{Authority, ExtendedKeyUsage, Extension, Key, KeyType, KeyUsage, Profile, SignatureScheme, der};
use stapled_ocsp::Weak;
use stapled_ocsp::certificate::Certificate;
use stapled_ocsp::chain::CertChain;
use stapled_ocsp::ocsp::CertStatus;
use stapled_ocsp::staple::{Judge, JudgePolicy};
use stapled_ocsp::time::Timestamp;

use crate::case::{Case, DAY, NOW, authority, responder, server, verdict};

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
    // The key is used in the provider's form by now, once for each hash.
    for scheme in [RsaPkcs1Sha512, RsaPkcs1Sha256, RsaPkcs1Sha384, RsaPkcs1Sha256WithoutNull, RsaPssSha256] {
        let good = case.good().scheme(scheme);
        assert_eq!(case.verdict(&good), "good", "{scheme:?}");
        assert_eq!(case.verdict(&good.corrupt_signature()), "bad_signature", "{scheme:?}");
    }
    // An AlgorithmIdentifier that does not name the algorithm of the signature.
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
    // A weakness is reported only if nothing else is wrong.
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
fn only_the_issuer_and_its_delegates_may_sign() {
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
    // The responderID of another signer.
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
    check(valid(NOW + 1, NOW + DAY), "responder_cert_not_yet_valid", "a delegate of tomorrow");
    check(valid(NOW - DAY, NOW), "good", "a delegate's last second");
    check(valid(NOW, NOW + DAY), "good", "a delegate's first second");

    let foreign = Signer::delegate(&stranger.issue(&responder()).unwrap());
    check(case.good_by(foreign), "responder_wrong_issuer", "a stranger's delegate");
    // The same name with another key: this is not the issuer.
    let namesake = authority("Judged CA", KeyType::EcdsaP256);
    let forged = Signer::delegate(&namesake.issue(&responder()).unwrap());
    check(case.good_by(forged), "responder_wrong_issuer", "the delegate of a namesake");
    check(case.good_by(namesake.signer()), "responder_cert_missing", "a namesake itself, by key");
    check(case.good_by(namesake.signer()).responder_by_name(), "bad_signature", "a namesake itself, by name");
    // The same key with another name.
    let renamed = Authority::root("Other name").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    let delegate = Signer::delegate(&renamed.issue(&responder()).unwrap());
    check(case.good_by(delegate), "responder_wrong_issuer", "the delegate of another name with the same key");
    // A reissued authority: the same name and key in another certificate.
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

/// A delegate's certificate needs id-kp-OCSPSigning itself and, if it has keyUsage, a key that may sign (RFC 5280
/// §4.2.1.12).
#[test]
fn purposes_and_usages_of_delegates() {
    use ExtendedKeyUsage::{Any, OcspSigning, ServerAuth};
    use KeyUsage::{CrlSign, DigitalSignature, KeyEncipherment, NonRepudiation};
    let case = Case::new(KeyType::EcdsaP256);
    let purposes: [(&[ExtendedKeyUsage], bool); 6] = [
        (&[], false),
        (&[OcspSigning], true),
        (&[ServerAuth], false),
        (&[Any], false),
        (&[ServerAuth, OcspSigning], true),
        (&[Any, ServerAuth], false),
    ];
    let usages: [(&[KeyUsage], bool); 7] = [
        (&[], true),
        (&[DigitalSignature], true),
        (&[NonRepudiation], true),
        (&[KeyEncipherment], false),
        (&[CrlSign], false),
        (&[NonRepudiation, KeyEncipherment], true),
        (&[DigitalSignature, NonRepudiation], true),
    ];
    for (purposes, signs_responses) in purposes {
        for (usages, signs) in usages {
            let profile = responder().extended_key_usages(purposes.to_vec()).key_usages(usages.to_vec());
            let expected = match (signs_responses, signs) {
                (true, true) => "good",
                (true, false) => "responder_key_usage",
                (false, _) => "responder_missing_eku",
            };
            let response = case.good_by(case.delegate(profile));
            assert_eq!(case.verdict(&response), expected, "{purposes:?}, {usages:?}");
        }
    }
}

/// A delegate's certificate is verified once, but its times and its strength count in each judgement.
#[test]
fn a_delegate_that_is_known_may_be_expired_or_weak() {
    let case = Case::new(KeyType::EcdsaP256);
    let response = |delegate| Bytes::from(case.good_by(delegate).build().unwrap());
    let judge = |response: &Bytes, at: i64, policy: &JudgePolicy| {
        let judged = Judge::new(&case.chain).at(Timestamp::from_unix(at)).policy(policy).judge(response.clone());
        verdict(judged.map_err(|refusal| refusal.code().to_string()))
    };
    let strict = JudgePolicy::default();
    let of_today = response(case.delegate(responder()));
    for (at, expected) in [
        (NOW, "good"),
        (NOW + DAY + 1, "responder_cert_expired"),
        (NOW - DAY - 1, "responder_cert_not_yet_valid"),
        (NOW, "good"),
    ] {
        assert_eq!(judge(&of_today, at, &strict), expected, "{at}");
    }
    let weak = response(case.delegate(responder().key(KeyType::Rsa1024)));
    for (policy, expected) in [(strict.weak_keys(Weak::Allow), "good"), (strict, "weak_key")] {
        assert_eq!(judge(&weak, NOW, &policy), expected);
    }
    // A known delegate gives no other key the right to sign, and no other issuer's chain knows it.
    let known = case.delegate(responder());
    assert_eq!(judge(&response(known.clone()), NOW, &strict), "good");
    let forged = Signer::new(
        Arc::new(Key::generate(KeyType::EcdsaP256).unwrap()),
        known.identity().clone(),
        known.certificate().map(<[u8]>::to_vec),
    );
    assert_eq!(judge(&response(forged), NOW, &strict), "bad_signature");
    let namesake = Case::new(KeyType::EcdsaP256);
    let elsewhere = namesake.good_by(known);
    assert_eq!(namesake.verdict(&elsewhere), "responder_wrong_issuer");
}

/// Certificates that are taken apart, reassembled with another part, and signed again by the CA.
struct Resigned<'c> {
    case: &'c Case,
    scheme: SignatureScheme,
    algorithm: Vec<u8>,
}

impl Resigned<'_> {
    fn with(&self, certificate: &[u8], validity: Option<Vec<u8>>) -> Vec<u8> {
        let mut outer = der::only(certificate, der::SEQUENCE).unwrap().contents;
        let mut tbs = der::expect(&mut outer, der::SEQUENCE).unwrap().contents;
        let mut parts = Vec::new();
        while let Some(element) = der::next(&mut tbs) {
            parts.push(element.whole.to_vec());
        }
        parts[2] = self.algorithm.clone();
        if let Some(validity) = validity {
            parts[4] = validity;
        }
        let tbs = der::sequence(&parts);
        let signature = der::bit_string(&self.case.ca.key().sign_with(self.scheme, &tbs).unwrap());
        der::sequence(&[tbs, self.algorithm.clone(), signature])
    }
}

/// OpenSSL's clients refuse a delegate with times in a form other than that of RFC 5280 §4.1.2.5.
#[test]
fn times_of_delegates() {
    let case = Case::new(KeyType::EcdsaP256);
    let scheme = SignatureScheme::EcdsaSha256;
    let resigned = Resigned { case: &case, scheme, algorithm: scheme.algorithm_identifier() };
    let delegate = case.delegate(responder());
    let own = delegate.certificate().unwrap();
    // NOW is 2027-01-15T08:00:00Z.
    let right = [der::value(0x17, b"270101000000Z"), der::value(0x17, b"270201000000Z")];
    let with = |place: usize, tag: u8, time: &[u8]| {
        let mut times = right.clone();
        times[place] = der::value(tag, time);
        let certificate = resigned.with(own, Some(der::sequence(&times)));
        case.verdict(&case.good_by(delegate.clone()).certificates(&[certificate]))
    };
    for (place, year) in [(0, "27"), (1, "28")] {
        let utc = |rest: &str| with(place, 0x17, format!("{year}{rest}").as_bytes());
        let generalized = |rest: &str| with(place, 0x18, format!("20{year}{rest}").as_bytes());
        assert_eq!(utc("0101000000Z"), "good");
        assert_eq!(generalized("0101000000Z"), "good", "clients take it, though RFC 5280 has UTCTime before 2050");
        for odd in ["01010000Z", "0101000000+0000", "0101000000-0100", "01010000+0000", "0101000000"] {
            assert_eq!(utc(odd), "malformed", "UTCTime {year}{odd}");
        }
        for odd in ["01010000Z", "0101000000+0000", "0101000000.0Z", "0101000000.5Z", "0101000000"] {
            assert_eq!(generalized(odd), "malformed", "GeneralizedTime {year}{odd}");
        }
    }
    assert_eq!(with(1, 0x18, b"20500101000000Z"), "good");
    assert_eq!(with(1, 0x18, b"99991231235959Z"), "good");
    assert_eq!(with(0, 0x17, b"500101000000Z"), "good", "1950");
    assert_eq!(with(1, 0x17, b"500101000000Z"), "responder_cert_expired", "1950");
    assert_eq!(with(0, 0x17, b"280101000000Z"), "responder_cert_not_yet_valid");
    // The error names the field and value of the certificate that the issuer issued, before the defects of a
    // look-alike.
    let odd = resigned.with(own, Some(der::sequence(&[der::value(0x17, b"2701010000Z"), right[1].clone()])));
    let look_alike = authority("Judged CA", KeyType::EcdsaP256).issue(&responder()).unwrap();
    for certificates in [[look_alike.der(), &odd], [&odd, look_alike.der()]] {
        let response = case.good_by(delegate.clone()).responder_by_name().certificates(&certificates);
        let bytes = Bytes::from(response.build().unwrap());
        let at = Timestamp::from_unix(NOW);
        let refusal = Judge::new(&case.chain).at(at).judge(bytes.clone()).unwrap_err().to_string();
        assert!(refusal.contains("notBefore") && refusal.contains("2701010000Z"), "{refusal}");
    }
    // Clients judge the certificate in question and its issuer.
    let leaf =
        resigned.with(case.leaf.der(), Some(der::sequence(&[der::value(0x17, b"2701010000Z"), right[1].clone()])));
    let leaf = Arc::new(Certificate::from_der(&leaf).unwrap());
    assert!(CertChain::new(leaf, Arc::clone(case.chain.issuer())).is_ok());
}

/// RSASSA-PSS with parameters as other programs write them: in responses, on delegates' certificates, and on the
/// certificate itself.
#[test]
fn pss_parameters_in_all_places() {
    use SignatureScheme::{RsaPssSha256, RsaPssSha384};
    let case = Case::new(KeyType::Rsa2048);
    let delegate = case.delegate(responder());
    let algorithm = |last: u8, null: bool, salt: &[u8], trailer: bool| {
        let oid = der::oid(&[2, 16, 840, 1, 101, 3, 4, 2, u64::from(last)]);
        let hash = if null { der::sequence(&[oid, der::NULL.to_vec()]) } else { der::sequence(&[oid]) };
        let mask = der::sequence(&[der::oid(&[1, 2, 840, 113549, 1, 1, 8]), hash.clone()]);
        let mut fields = vec![der::explicit(0, &hash), der::explicit(1, &mask), der::explicit(2, &der::unsigned(salt))];
        fields.extend(trailer.then(|| der::explicit(3, &der::unsigned(&[1]))));
        der::sequence(&[der::oid(&[1, 2, 840, 113549, 1, 1, 10]), der::sequence(&fields)])
    };
    for (scheme, algorithm, expected) in [
        (RsaPssSha256, algorithm(1, true, &[32], false), "good"),
        (RsaPssSha256, algorithm(1, false, &[32], false), "good"),
        (RsaPssSha256, algorithm(1, true, &[32], true), "good"),
        (RsaPssSha384, algorithm(2, false, &[48], true), "good"),
        (RsaPssSha256, algorithm(1, true, &[31], false), "bad_signature"),
        (RsaPssSha384, algorithm(1, true, &[32], false), "bad_signature"),
        (RsaPssSha256, algorithm(8, true, &[32], false), "unsupported_algorithm"),
    ] {
        let what = format!("{algorithm:02x?}");
        let response = case.good().scheme(scheme).algorithm_identifier(algorithm.clone());
        assert_eq!(case.verdict(&response), expected, "a response, {what}");
        let resigned = Resigned { case: &case, scheme, algorithm };
        let certificate = resigned.with(delegate.certificate().unwrap(), None);
        let by_delegate = case.good_by(delegate.clone()).certificates(&[certificate]);
        let of_delegate = if expected == "bad_signature" { "responder_wrong_issuer" } else { expected };
        assert_eq!(case.verdict(&by_delegate), of_delegate, "a delegate's certificate, {what}");
        let leaf = Arc::new(Certificate::from_der(&resigned.with(case.leaf.der(), None)).unwrap());
        let chain = CertChain::new(leaf, Arc::clone(case.chain.issuer()));
        let of_leaf = if expected == "bad_signature" { "wrong_issuer" } else { expected };
        assert_eq!(chain.map_or_else(|error| error.code().as_str(), |_| "good"), of_leaf, "the certificate, {what}");
    }
}

/// A name is not a proof: another key under the issuer's name is not the issuer, and neither is the issuer's key under
/// another name.
#[test]
fn delegates_with_the_issuers_name_or_key_need_their_own_right() {
    let case = Case::new(KeyType::EcdsaP256);
    // A delegate may have the issuer's name; its own certificate decides.
    let same_name = Profile::ocsp_responder("Judged CA").valid_between(NOW - DAY, NOW + DAY);
    let namesake = case.delegate(same_name);
    assert_eq!(case.verdict(&case.good_by(namesake.clone()).responder_by_name()), "good");
    let bare = case.good_by(namesake.clone()).responder_by_name().certificates::<&[u8]>(&[]);
    assert_eq!(case.verdict(&bare), "bad_signature");
    let outside = Certificate::from_der(namesake.certificate().unwrap()).unwrap();
    let bare = Bytes::from(bare.build().unwrap());
    let judged = Judge::new(&case.chain).at(Timestamp::from_unix(NOW)).delegates(&[outside]).judge(bare.clone());
    assert!(judged.is_ok_and(|judgement| judgement.facts.foreign_delegate && judgement.facts.delegated));
    // An embedded certificate does not invalidate the issuer's own signature.
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
    assert_eq!(*judgement.facts.responder, *"Judged CA");
}

#[test]
fn responses_that_need_other_certificates_are_accepted_and_never_stapled() {
    let case = Case::new(KeyType::EcdsaP256);
    let delegate = case.delegate(responder());
    let outside = Certificate::from_der(delegate.certificate().unwrap()).unwrap();
    let response = Bytes::from(case.good_by(delegate).certificates::<&[u8]>(&[]).build().unwrap());
    let at = Timestamp::from_unix(NOW);
    let judgement = Judge::new(&case.chain).at(at).delegates(&[outside]).judge(response.clone()).unwrap();
    assert_eq!(judgement.status, CertStatus::Good);
    assert!(judgement.staple().is_none());
}

#[test]
fn a_chain_needs_a_fitting_name_and_signature() {
    let case = Case::new(KeyType::EcdsaP256);
    let leaf = Arc::new(Certificate::from_der(case.leaf.der()).unwrap());
    let issuer = |authority: &Authority| Arc::new(Certificate::from_der(authority.certificate()).unwrap());
    assert!(CertChain::new(Arc::clone(&leaf), issuer(&case.ca)).is_ok());
    assert!(CertChain::new(Arc::clone(&leaf), issuer(&authority("Judged CA", KeyType::EcdsaP256))).is_err());
    let renamed = Authority::root("Other name").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    assert!(CertChain::new(Arc::clone(&leaf), issuer(&renamed)).is_err());
    // A new certificate of the same issuer gives the same subject.
    let reissued = Authority::root("Judged CA").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    let again = CertChain::new(leaf, issuer(&reissued)).unwrap();
    assert_eq!(again.subject(), case.chain.subject());
    let key = Key::generate(KeyType::EcdsaP256).unwrap();
    let identity: IssuerIdentity = case.ca.identity().clone();
    let forged = Signer::new(Arc::new(key), identity, None);
    assert_eq!(case.verdict(&case.good_by(forged)), "bad_signature");
}
