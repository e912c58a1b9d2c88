//! Tests of the delivered form: the signed bytes as received, and the signer's certificate alone.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use stapled_ca::ocsp::{ResponseBuilder, Signer};
use stapled_ca::{Authority, Extension, KeyType, Profile, Validity, der};
use stapled_ocsp::certificate::Certificate;
use stapled_ocsp::chain::CertChain;
use stapled_ocsp::ocsp::OcspResponse;
use stapled_ocsp::ocsp::response::BasicResponse;
use stapled_ocsp::staple::{Judge, JudgePolicy, Staple};
use stapled_ocsp::time::Timestamp;

use crate::case::{Case, DAY, NOW, authority, chain, responder, server, verdict};

fn judged(bytes: &Bytes, chain: &Arc<CertChain>) -> Result<Staple, String> {
    let judgement = Judge::new(chain).at(Timestamp::from_unix(NOW)).judge(bytes.clone());
    judgement.map(|judgement| judgement.into_staple().unwrap()).map_err(|refusal| refusal.code().to_string())
}

fn staple(case: &Case, response: &ResponseBuilder) -> Staple {
    judged(&Bytes::from(response.build().unwrap()), &case.chain).unwrap()
}

fn basic(bytes: &[u8]) -> BasicResponse<'_> {
    let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(bytes) else { panic!("not read") };
    basic
}

/// Checks that the staple keeps the signed bytes, and this certificate alone.
fn check(case: &Case, response: &ResponseBuilder, certificate: Option<&[u8]>, what: &str) {
    let came = response.build().unwrap();
    let staple = judged(&Bytes::from(came.clone()), &case.chain).unwrap();
    let (came, delivered) = (basic(&came), basic(staple.response()));
    assert_eq!(delivered.tbs_response_data, came.tbs_response_data, "{what}");
    assert_eq!(delivered.signature_algorithm, came.signature_algorithm, "{what}");
    assert_eq!(delivered.signature, came.signature, "{what}");
    let expected: Vec<&[u8]> = certificate.into_iter().collect();
    assert_eq!(delivered.certificates, expected, "{what}");
    assert_eq!(has_certs(staple.response()), certificate.is_some(), "{what}");
    // The staple is in its smallest form now, so it stays unchanged, with the same meaning.
    let again = judged(staple.response(), &case.chain).unwrap();
    assert_eq!(again.response().as_ptr(), staple.response().as_ptr(), "{what}: copied");
    assert_eq!(format!("{:?}", again.facts()), format!("{:?}", staple.facts()), "{what}");
    assert_eq!(*staple.response(), rebuilt(&came, certificate), "{what}: everything else as it came");
}

/// Whether the response has a field `certs`.
fn has_certs(response: &[u8]) -> bool {
    let mut outer = der::only(response, der::SEQUENCE).unwrap().contents;
    der::expect(&mut outer, der::ENUMERATED).unwrap();
    let mut body = der::only(der::expect(&mut outer, 0xa0).unwrap().contents, der::SEQUENCE).unwrap().contents;
    der::expect(&mut body, der::OBJECT_IDENTIFIER).unwrap();
    let octets = der::expect(&mut body, der::OCTET_STRING).unwrap().contents;
    let mut basic = der::only(octets, der::SEQUENCE).unwrap().contents;
    for _ in 0..3 {
        der::next(&mut basic).unwrap();
    }
    !basic.is_empty()
}

/// The same response with these certificates, built by independent code.
fn rebuilt(basic: &BasicResponse<'_>, certificate: Option<&[u8]>) -> Vec<u8> {
    let mut fields = vec![
        basic.tbs_response_data.to_vec(),
        der::value(der::SEQUENCE, basic.signature_algorithm),
        der::bit_string(basic.signature),
    ];
    fields.extend(certificate.map(|certificate| der::explicit(0, &der::sequence(&[certificate]))));
    let octets = der::value(der::OCTET_STRING, &der::sequence(&fields));
    let body = der::sequence(&[der::oid(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 1]), octets]);
    der::sequence(&[der::value(der::ENUMERATED, &[0]), der::explicit(0, &body)])
}

/// A CA with the issuer's name and another key, its certificate with the delegate's name, and other look-alikes.
struct LookAlikes {
    namesake: Vec<u8>,
    by_namesake: Vec<u8>,
    self_signed: Vec<u8>,
    others: Vec<Vec<u8>>,
}

fn look_alikes(case: &Case) -> LookAlikes {
    let namesake = authority("Judged CA", KeyType::EcdsaP256);
    let validity = Validity::Between { not_before: NOW - DAY, not_after: NOW + DAY };
    let self_signed = Authority::root("Responder").key(KeyType::EcdsaP256).validity(validity).create().unwrap();
    LookAlikes {
        by_namesake: namesake.issue(&responder()).unwrap().der().to_vec(),
        namesake: namesake.certificate().to_vec(),
        self_signed: self_signed.certificate().to_vec(),
        others: vec![case.leaf.der().to_vec(), case.ca.issue(&responder()).unwrap().der().to_vec()],
    }
}

#[test]
fn a_staple_keeps_the_delegates_certificate_alone() {
    let case = Case::new(KeyType::EcdsaP256);
    let delegate = case.delegate(responder());
    let own = delegate.certificate().unwrap();
    let odd = look_alikes(&case);
    let all: Vec<&[u8]> =
        [&odd.namesake, &odd.by_namesake, &odd.self_signed].into_iter().chain(&odd.others).map(Vec::as_slice).collect();
    for by_name in [true, false] {
        let good = || match by_name {
            true => case.good_by(delegate.clone()).responder_by_name(),
            false => case.good_by(delegate.clone()).responder_by_key(),
        };
        check(&case, &good(), Some(own), "as it should be");
        for other in all.iter().copied().chain([own, case.ca.certificate()]) {
            check(&case, &good().certificates(&[other, own]), Some(own), "one before");
            check(&case, &good().certificates(&[own, other]), Some(own), "one behind");
            check(&case, &good().certificates(&[other, own, other]), Some(own), "one on either side");
        }
        let around: Vec<&[u8]> = all.iter().copied().chain([own]).chain(all.iter().copied()).collect();
        check(&case, &good().certificates(&around), Some(own), "all of them");
    }
    // A staple in that form shares the received bytes.
    let bytes = Bytes::from(case.good_by(delegate).build().unwrap());
    assert_eq!(judged(&bytes, &case.chain).unwrap().response().as_ptr(), bytes.as_ptr());
}

#[test]
fn a_staple_of_the_issuer_has_no_certificate() {
    let case = Case::new(KeyType::EcdsaP256);
    let odd = look_alikes(&case);
    let reissued = Authority::root("Judged CA").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    let renamed = Authority::root("Other name").existing_key(Arc::clone(case.ca.key())).create().unwrap();
    let delegate = case.delegate(responder());
    let certificates: [&[u8]; 6] = [
        case.ca.certificate(),
        reissued.certificate(),
        renamed.certificate(),
        &odd.namesake,
        delegate.certificate().unwrap(),
        case.leaf.der(),
    ];
    for good in [case.good().responder_by_name(), case.good().responder_by_key()] {
        check(&case, &good, None, "as it should be");
        for certificate in certificates {
            check(&case, &good.clone().certificates(&[certificate]), None, "one");
        }
        check(&case, &good.clone().certificates(&certificates), None, "all of them");
    }
    let came = case.good().build().unwrap();
    let bytes = Bytes::from(came.clone());
    assert_eq!(judged(&bytes, &case.chain).unwrap().response().as_ptr(), bytes.as_ptr());
    // An empty list is not the smallest form.
    let parts = basic(&came);
    let empty = [
        parts.tbs_response_data.to_vec(),
        der::value(der::SEQUENCE, parts.signature_algorithm),
        der::bit_string(parts.signature),
        der::explicit(0, &der::sequence::<&[u8]>(&[])),
    ];
    let octets = der::value(der::OCTET_STRING, &der::sequence(&empty));
    let body = der::sequence(&[der::oid(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 1]), octets]);
    let empty = der::sequence(&[der::value(der::ENUMERATED, &[0]), der::explicit(0, &body)]);
    assert!(empty != came);
    assert_eq!(judged(&Bytes::from(empty), &case.chain).unwrap().response(), &came);
}

/// With several certificates for the delegate's key, those without the right to sign are skipped in any order. Of the
/// others, the one with the longest validity counts, and so does its end.
#[test]
fn of_several_certificates_of_a_delegate_the_best_is_kept() {
    let case = Case::new(KeyType::EcdsaP256);
    let delegate = case.delegate(responder());
    let with =
        |profile: Profile| case.ca.issue(&profile.existing_key(Arc::clone(delegate.key()))).unwrap().der().to_vec();
    let expired = with(responder().valid_between(NOW - 9 * DAY, NOW - DAY));
    let early = with(responder().valid_between(NOW + DAY, NOW + 9 * DAY));
    let no_purpose = with(responder().extended_key_usages([]).valid_between(NOW - DAY, NOW + 50 * DAY));
    let short = with(responder().valid_between(NOW - DAY, NOW + DAY));
    let long = with(responder().valid_between(NOW - 2 * DAY, NOW + 3 * DAY));
    let right = [&expired, &early, &no_purpose, &short, &long];
    for turn in 0..right.len() {
        let mut order = right.to_vec();
        order.rotate_left(turn);
        for by_name in [true, false] {
            let good = case.good_by(delegate.clone()).certificates(&order);
            let good = if by_name { good.responder_by_name() } else { good.responder_by_key() };
            check(&case, &good, Some(&long), "the longest");
            let staple = staple(&case, &good);
            assert_eq!(staple.expires(), Timestamp::from_unix(NOW + 3 * DAY));
            assert_eq!(staple.facts().responder_not_after, Some(Timestamp::from_unix(NOW + 3 * DAY)));
        }
    }
    let none = case.good_by(delegate.clone()).certificates(&[&expired, &no_purpose]);
    assert_eq!(case.verdict(&none), "responder_cert_expired", "the first of those that come as far");
    let strange = look_alikes(&case).by_namesake;
    let none = case.good_by(delegate).responder_by_name().certificates(&[&strange, &no_purpose]);
    assert_eq!(case.verdict(&none), "responder_missing_eku", "what says more than that a look-alike did not sign");
}

/// Tests as many certificates as a chain may have and more, with any names: only certificates that fit the responderID
/// are checked, and of these only some dozens of keys.
#[test]
fn many_certificates_cost_few_checks() {
    let case = Case::new(KeyType::EcdsaP256);
    let delegate = case.delegate(responder());
    let own = delegate.certificate().unwrap().to_vec();
    let padding = || Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 3], vec![0; 1000]);
    let chain_of: Vec<Vec<u8>> = (0..60)
        .map(|number| case.ca.issue(&server(&format!("{number}.test")).extension(padding())).unwrap().der().to_vec())
        .collect();
    let whole: Vec<Vec<u8>> = std::iter::once(own.clone()).chain(chain_of).collect();
    let long = case.good_by(delegate.clone()).certificates(&whole);
    assert!(long.build().unwrap().len() > 70_000);
    check(&case, &long, Some(&own), "a chain of 60");
    assert!(staple(&case, &long).response().len() < 1500);

    let twins = |count: usize| {
        let certificate = |_| authority("Judged CA", KeyType::EcdsaP256).issue(&responder()).unwrap().der().to_vec();
        let twins: Vec<Vec<u8>> = (0..count).map(certificate).chain([own.clone()]).collect();
        case.good_by(delegate.clone()).responder_by_name().certificates(&twins)
    };
    check(&case, &twins(60), Some(&own), "60 twins before it");
    assert_eq!(case.verdict(&twins(130)), "too_large");
    // One key costs one check, for any number of certificates with it.
    let stranger = authority("Judged CA", KeyType::EcdsaP256);
    let key = stranger.issue(&responder()).unwrap();
    let same_key = |number| {
        let profile = responder().valid_between(NOW - DAY, NOW + DAY + number).existing_key(Arc::clone(key.key()));
        stranger.issue(&profile).unwrap().der().to_vec()
    };
    let twins: Vec<Vec<u8>> = (0..130).map(same_key).chain([own.clone()]).collect();
    check(&case, &case.good_by(delegate.clone()).responder_by_name().certificates(&twins), Some(&own), "one key");
}

#[test]
fn received_and_delivered_sizes_have_their_own_limits() {
    // Signatures of this type all have the same length.
    let case = Case::new(KeyType::Ed25519);
    let delegate = case.delegate(responder().key(KeyType::Ed25519));
    let own = delegate.certificate().unwrap();
    let alone = case.good_by(delegate.clone());
    let long = case.good_by(delegate.clone()).certificates(&[own, case.ca.certificate()]);
    let (small, large) = (alone.build().unwrap().len(), long.build().unwrap().len());
    let with = |max_received: usize, max_size: usize| {
        let mut policy = JudgePolicy::default();
        (policy.max_received, policy.max_size) = (max_received, max_size);
        verdict(case.judge_with(&long, &policy))
    };
    assert_eq!(with(large, small), "good", "what is not delivered does not count");
    assert_eq!(with(large, small - 1), "too_large");
    assert_eq!(with(large - 1, small), "too_large");
}

/// A key with the delegate's bits and another algorithm does not replace the delegate's key.
#[test]
fn a_key_of_another_kind_with_the_same_bits_is_not_the_delegates() {
    let case = Case::new(KeyType::EcdsaP256);
    let delegate = case.delegate(responder());
    let own = delegate.certificate().unwrap();
    // An identifier of the same length: the certificate's lengths stay.
    let (p256, other) = (der::oid(&[1, 2, 840, 10045, 3, 1, 7]), der::oid(&[1, 2, 840, 10045, 3, 1, 4]));
    let place = own.windows(p256.len()).rposition(|window| window == p256).unwrap();
    let twin = [&own[..place], &other, &own[place + other.len()..]].concat();
    assert!(Certificate::from_der(&twin).is_ok());
    let good = case.good_by(delegate.clone()).responder_by_name();
    for order in [[twin.as_slice(), own], [own, twin.as_slice()]] {
        check(&case, &good.clone().certificates(&order), Some(own), "a twin on another curve");
    }
    assert_eq!(case.verdict(&good.certificates(&[&twin])), "unsupported_algorithm");
}

/// The set and order of certificates change neither the verdict nor the delivered form.
#[derive(Clone, Copy, Debug)]
enum Embedded {
    Own,
    Twin(usize),
    Other(usize),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_stands_beside_the_signers_certificate(
        beside in proptest::collection::vec(
            prop_oneof![Just(Embedded::Own), (0usize..4).prop_map(Embedded::Twin), (0usize..4).prop_map(Embedded::Other)],
            0..9,
        ),
        place: prop::sample::Index,
        direct: bool,
        by_name: bool,
    ) {
        thread_local! {
            static WORLD: (Case, Signer, [Vec<u8>; 4], [Vec<u8>; 4]) = {
                let case = Case::new(KeyType::EcdsaP256);
                let delegate = case.delegate(responder());
                let odd = look_alikes(&case);
                let expired = responder().valid_between(NOW - 9 * DAY, NOW - DAY).existing_key(Arc::clone(delegate.key()));
                let expired = case.ca.issue(&expired).unwrap().der().to_vec();
                let twins = [odd.by_namesake, odd.self_signed, expired, odd.others[1].clone()];
                let others = [case.leaf.der().to_vec(), case.ca.certificate().to_vec(), odd.namesake, {
                    authority("Stranger", KeyType::Ed25519).certificate().to_vec()
                }];
                (case, delegate, twins, others)
            };
        }
        WORLD.with(|(case, delegate, twins, others)| {
            let own = delegate.certificate().unwrap();
            let mut certificates: Vec<&[u8]> = beside
                .iter()
                .map(|one| match one {
                    Embedded::Own => own,
                    Embedded::Twin(number) => &twins[*number],
                    Embedded::Other(number) => &others[*number],
                })
                .collect();
            if !direct {
                certificates.insert(place.index(certificates.len() + 1), own);
            }
            let good = if direct { case.good() } else { case.good_by(delegate.clone()) };
            let good = good.certificates(&certificates);
            let good = if by_name { good.responder_by_name() } else { good.responder_by_key() };
            check(case, &good, (!direct).then_some(own), "whatever stands beside");
        });
    }
}

/// The judgement of other certificates of the same chain is the same.
#[test]
fn responses_about_several_certificates_keep_them() {
    let case = Case::new(KeyType::EcdsaP256);
    let other = case.ca.issue(&server("other.test")).unwrap();
    let id = case.ca.cert_id(other.serial(), stapled_ca::ocsp::HashAlgorithm::Sha1);
    let both =
        case.good().good(&id).this_update(NOW - 60).next_update(NOW + DAY).certificates(&[case.ca.certificate()]);
    let bytes = Bytes::from(both.build().unwrap());
    let (one, other) = (judged(&bytes, &case.chain).unwrap(), judged(&bytes, &chain(&other, &case.ca)).unwrap());
    assert_eq!(one.response(), other.response());
    assert!(one.response().len() < bytes.len());
}
