//! Tests of the encoding: strict DER within bounds.

use bytes::Bytes;
use proptest::prelude::*;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::{Extension, KeyType, Serial, SignatureScheme, der};
use stapled_ocsp::certificate::Certificate;
use stapled_ocsp::ocsp::{CertStatus, OcspResponse};
use stapled_ocsp::staple::{Judge, JudgePolicy};
use stapled_ocsp::time::Timestamp;

use crate::case::{Case, DAY, NOW, responder, verdict};

/// A response that no client decodes is not a staple, even if its important part is readable.
#[test]
fn responses_that_clients_cannot_decode_are_refused() {
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
    // A certificate that is taken apart and reassembled with one part replaced.
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
    // A delegate whose certificate names different algorithms inside and outside (RFC 5280 §4.1.1.2).
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

    // Purposes with another element among them: other readers may read no purposes, or different ones.
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
    // Serial numbers: the certificate's number with padding is the same number with other bytes.
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

/// If several things are wrong, the error is about the signer.
#[test]
fn the_most_specific_refusal_is_reported() {
    let case = Case::new(KeyType::EcdsaP256);
    // A certificate by its shape, whose keyUsage is not valid.
    let odd = responder().key_usages([]).extension(Extension::new(&[2, 5, 29, 15], vec![5, 0]));
    let unreadable = case.delegate(odd).certificate().unwrap().to_vec();
    assert!(Certificate::from_der(&unreadable).is_err());
    let signer = case.delegate(responder().extended_key_usages([]));
    let own = signer.certificate().unwrap().to_vec();
    for certificates in [[&unreadable, &own], [&own, &unreadable]] {
        assert_eq!(case.verdict(&case.good_by(signer.clone()).certificates(&certificates)), "responder_missing_eku");
    }
    assert_eq!(case.verdict(&case.good_by(signer).certificates(&[&unreadable])), "malformed");
    // The responderID names the issuer, which did not sign. This says more than a certificate that the responderID does
    // not name.
    let forged = case.good().responder_by_name().corrupt_signature();
    assert_eq!(case.verdict(&forged.clone().further_certificate(&unreadable)), "bad_signature");
    assert_eq!(case.verdict(&forged.further_certificate(case.leaf.der())), "bad_signature");
}

/// The error of a malformed field names the field and its value.
#[test]
fn malformed_fields_and_values() {
    let case = Case::new(KeyType::EcdsaP256);
    let told = |response: &[u8]| {
        let at = Timestamp::from_unix(NOW);
        Judge::new(&case.chain).at(at).judge(Bytes::copy_from_slice(response)).unwrap_err().to_string()
    };
    let of = |response: ResponseBuilder| told(&response.build().unwrap());
    let time = |text: &[u8]| der::value(0x18, text);
    for (told, field, value) in [
        (of(case.good().this_update_der(time(b"202701010000Z"))), "responses[0].thisUpdate: ", "\"202701010000Z\""),
        (of(case.good().next_update_der(time(b"20270301000000.5Z"))), "responses[0].nextUpdate: ", "20270301000000.5Z"),
        (
            of(case.good().produced_at_der(der::value(0x17, b"270101000000Z"))),
            "producedAt: ",
            "UTCTime \"270101000000Z\"",
        ),
        (of(case.good().responder_id_der(der::explicit(3, &[5, 0]))), "responderID: ", "[3]"),
        (of(case.good().single(&case.id(), der::implicit(5, &[]))), "responses[1].certStatus: ", "[5]"),
        (of(case.good().trailing(&[0])), "not strict DER: ", "bytes after the end"),
        (told(&ResponseBuilder::status_only(9)), "responseStatus: ", "ENUMERATED 09"),
        (told(&[0x30, 3, 10, 1, 0]), "responseBytes: ", "without a body"),
        (told(&[]), "not strict DER: ", "missing"),
    ] {
        assert!(told.contains(field) && told.contains(value), "{told}: {field}{value}");
        assert!(told.len() < 200, "{told}");
    }
    let odd = |certificate: &[u8]| of(case.good().certificates(&[case.ca.certificate(), certificate]));
    let told = odd(b"\x30\x03\x02\x01\x00");
    assert!(told.contains("certs[1].tbsCertificate: ") && told.contains("INTEGER 00"), "{told}");
    // A certificate whose serial number has padding.
    let mut outer = der::only(case.leaf.der(), der::SEQUENCE).unwrap().contents;
    let mut tbs = der::expect(&mut outer, der::SEQUENCE).unwrap().contents;
    let version = der::next(&mut tbs).unwrap().whole;
    der::next(&mut tbs).unwrap();
    let tbs = der::sequence(&[version, &der::value(der::INTEGER, &[0, 1]), tbs]);
    let told = odd(&der::value(der::SEQUENCE, &[&tbs, outer].concat()));
    assert!(told.contains("certs[1]: ") && told.contains("superfluous octets") && told.contains("0001"), "{told}");
    // A private key that was given as a response: the error does not show its contents.
    let key = case.ca.key().to_pem();
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let key = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, body).unwrap();
    for cut in 0..key.len() {
        let bytes = &key[cut..];
        let Err(error) = OcspResponse::from_der(bytes) else { panic!("a key was taken for a response") };
        let (told, hex) =
            (error.to_string(), |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02X}")).collect() });
        assert!(!bytes.windows(9).any(|window| told.contains(&hex(window))), "{told}");
    }
}

/// The error fits one line of a log, for a response of any size.
#[test]
fn refusals_are_short() {
    let case = Case::new(KeyType::EcdsaP256);
    let told = |response: ResponseBuilder| {
        let bytes = Bytes::from(response.build().unwrap());
        let refusal = Judge::new(&case.chain).at(Timestamp::from_unix(NOW)).judge(bytes.clone()).unwrap_err();
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

/// A second opinion: the hand-written reader agrees with a general ASN.1 library.
#[test]
fn another_decoder_reads_the_same() {
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

/// The number of changes to try; larger under `make prove`.
fn cases() -> u32 {
    if stapled_tests::is_full_proof() { 500_000 } else { 2_000 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// No change to a good response causes a panic, and an accepted response is signed. A change outside of the signed
    /// bytes may leave the response accepted; a change inside never does.
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

    /// Arbitrary bytes cause no panic.
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = OcspResponse::from_der(&bytes);
        let _ = Certificate::from_der(&bytes);
        let _ = stapled_ocsp::bundle::Bundle::read(&bytes);
    }
}
