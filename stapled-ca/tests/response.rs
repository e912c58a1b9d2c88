//! Tests of the builder of responses: right by default, wrong in one place on demand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use stapled_ca::ocsp::{CertId, HashAlgorithm, ResponseBuilder, ResponseError, ResponseStatus, Signer};
use stapled_ca::{
    Authority, ExtendedKeyUsage, Extension, Issued, Key, KeyError, KeyType, Profile, Reason, SignatureScheme, der,
};
use support::{file, openssl};

struct Case {
    ca: Authority,
    issued: Issued,
    id: CertId,
}

impl Case {
    fn new(key_type: KeyType) -> Self {
        let ca = Authority::root("CA").key(key_type).create().unwrap();
        let issued = ca.issue(&Profile::server("example.org")).unwrap();
        let id = ca.cert_id(issued.serial(), HashAlgorithm::Sha1);
        Self { ca, issued, id }
    }

    fn builder(&self) -> ResponseBuilder {
        ResponseBuilder::new(&self.ca)
    }

    /// The output of OpenSSL about a response.
    fn judged(&self, response: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = |name, bytes: &[u8]| file(directory.path(), name, bytes).display().to_string();
        let ca = path("ca.pem", self.ca.certificate_pem().as_bytes());
        let certificate = path("c.pem", self.issued.certificate_pem().as_bytes());
        let response = path("response.der", response);
        let arguments = ["ocsp", "-issuer", &ca, "-cert", &certificate, "-respin", &response, "-CAfile", &ca];
        openssl(&[&arguments[..], &["-resp_text", "-no_nonce"]].concat()).1
    }
}

fn basic(response: &[u8]) -> rasn_ocsp::BasicOcspResponse {
    let response: rasn_ocsp::OcspResponse = rasn::der::decode(response).unwrap();
    rasn::der::decode(&response.bytes.unwrap().response).unwrap()
}

#[test]
fn every_scheme_verifies() {
    let rsa = [
        (SignatureScheme::RsaPkcs1Sha256, "sha256WithRSAEncryption"),
        (SignatureScheme::RsaPkcs1Sha256WithoutNull, "sha256WithRSAEncryption"),
        (SignatureScheme::RsaPkcs1Sha384, "sha384WithRSAEncryption"),
        (SignatureScheme::RsaPkcs1Sha512, "sha512WithRSAEncryption"),
        (SignatureScheme::RsaPssSha256, "rsassaPss"),
        (SignatureScheme::RsaPssSha384, "rsassaPss"),
        (SignatureScheme::RsaPssSha512, "rsassaPss"),
        (SignatureScheme::RsaPkcs1Sha1, "sha1WithRSAEncryption"),
    ];
    let p521 = [
        (SignatureScheme::EcdsaSha256, "ecdsa-with-SHA256"),
        (SignatureScheme::EcdsaSha384, "ecdsa-with-SHA384"),
        (SignatureScheme::EcdsaSha512, "ecdsa-with-SHA512"),
    ];
    for (key_type, schemes) in [(KeyType::Rsa2048, &rsa[..]), (KeyType::EcdsaP521, &p521[..])] {
        let case = Case::new(key_type);
        for (scheme, name) in schemes {
            let response = case.builder().good(&case.id).scheme(*scheme).build().unwrap();
            let text = case.judged(&response);
            assert!(text.contains(&format!("Signature Algorithm: {name}")), "{scheme:?}: {text}");
            assert!(text.contains("Response verify OK") && text.contains("c.pem: good"), "{scheme:?}: {text}");
        }
        let wrong = case.builder().good(&case.id).scheme(SignatureScheme::Ed25519).build();
        let mismatch = KeyError::SchemeMismatch { key_type, scheme: SignatureScheme::Ed25519 };
        assert_eq!(wrong, Err(ResponseError::Key(mismatch)));
    }
}

#[test]
fn an_algorithm_may_lack_its_null_or_be_another_than_was_used() {
    let case = Case::new(KeyType::Rsa2048);
    let parameters = |builder: ResponseBuilder| {
        let response = builder.good(&case.id).build().unwrap();
        basic(&response).signature_algorithm.parameters.map(|any| any.into_bytes())
    };
    assert_eq!(parameters(case.builder()), Some(vec![5, 0]));
    assert_eq!(parameters(case.builder().scheme(SignatureScheme::RsaPkcs1Sha256WithoutNull)), None);
    let lying = case
        .builder()
        .good(&case.id)
        .algorithm_identifier(SignatureScheme::RsaPkcs1Sha384.algorithm_identifier())
        .build()
        .unwrap();
    assert!(case.judged(&lying).contains("Response Verify Failure"));
}

#[test]
fn delegates_verify_only_with_their_purpose_and_their_time() {
    let case = Case::new(KeyType::EcdsaP256);
    let judged = |profile: &Profile| {
        let delegate = Signer::delegate(&case.ca.issue(profile).unwrap());
        case.judged(&case.builder().good(&case.id).sign_with(&delegate).build().unwrap())
    };
    let right = Profile::ocsp_responder("OCSP");
    assert!(judged(&right).contains("Response verify OK"));
    let text = judged(&right.clone().extended_key_usages([ExtendedKeyUsage::ServerAuth]));
    assert!(text.contains("missing ocspsigning usage"), "{text}");
    let text = judged(&right.clone().valid_between(0, 1));
    assert!(text.contains("certificate has expired"), "{text}");

    let delegate = Signer::delegate(&case.ca.issue(&right).unwrap());
    let signed = || case.builder().sign_with(&delegate).good(&case.id);
    let bare: [&[u8]; 0] = [];
    let text = case.judged(&signed().certificates(&bare).build().unwrap());
    assert!(text.contains("signer certificate not found"), "{text}");
    let response = signed().responder_by_name().further_certificate(case.ca.certificate()).build().unwrap();
    assert!(case.judged(&response).contains("Response verify OK"));
    assert_eq!(basic(&response).certs.unwrap().len(), 2);
    assert!(matches!(basic(&response).tbs_response_data.responder_id, rasn_ocsp::ResponderId::ByName(_)));
    // Any bytes may be in the list of certificates.
    let response = signed().further_certificate(&[0x30, 0x01, 0x00]).build().unwrap();
    assert!(response.windows(3).any(|window| window == [0x30, 0x01, 0x00]));
}

#[test]
fn times_apply_to_the_last_single_response_or_to_all() {
    let case = Case::new(KeyType::Ed25519);
    let other = case.ca.cert_id(&7.into(), HashAlgorithm::Sha256);
    let response = case
        .builder()
        .this_update(1_000)
        .next_update(2_000)
        .good(&case.id)
        .revoked(&other, 500, Some(Reason::KeyCompromise))
        .this_update(1_500)
        .no_next_update()
        .produced_at(1_600)
        .build()
        .unwrap();
    let tbs = basic(&response).tbs_response_data;
    let times: Vec<_> = tbs
        .responses
        .iter()
        .map(|single| (single.this_update.timestamp(), single.next_update.map(|at| at.timestamp())))
        .collect();
    assert_eq!(times, [(1_000, Some(2_000)), (1_500, None)]);
    assert_eq!(tbs.produced_at.timestamp(), 1_600);

    let defaults = basic(&case.builder().good(&case.id).this_update(1_000).build().unwrap()).tbs_response_data;
    assert_eq!(defaults.produced_at.timestamp(), 1_000);
    assert_eq!(defaults.responses[0].next_update.unwrap().timestamp(), 1_000 + 7 * 86_400);
    let fraction = der::value(der::GENERALIZED_TIME, b"20250101000000.5Z");
    let odd = case.builder().good(&case.id).this_update_der(fraction.clone()).build().unwrap();
    assert!(odd.windows(fraction.len()).any(|window| window == fraction));
}

#[test]
fn extensions_version_and_type() {
    let case = Case::new(KeyType::EcdsaP256);
    let private = [1, 3, 6, 1, 4, 1, 99_999, 1];
    let response = case
        .builder()
        .good(&case.id)
        .single_extension(&Extension::critical(&private, der::NULL.to_vec()))
        .response_extension(&Extension::new(&private, der::NULL.to_vec()))
        .nonce(&[7; 32])
        .explicit_version(0)
        .build()
        .unwrap();
    let tbs = basic(&response).tbs_response_data;
    assert!(tbs.responses[0].single_extensions.as_ref().unwrap()[0].critical);
    let extensions = tbs.response_extensions.unwrap();
    assert_eq!((extensions.len(), extensions[0].critical), (2, false));
    let nonce: &[u8] = &extensions[1].extn_value;
    assert_eq!(nonce, [&[4, 32][..], &[7; 32]].concat());
    let explicit = [0xa0, 3, 2, 1, 0];
    assert!(response.windows(5).any(|window| window == explicit));
    let plain = case.builder().good(&case.id).build().unwrap();
    assert!(!plain.windows(5).any(|window| window == explicit));
    assert!(case.judged(&response).contains("Response verify OK"));

    let typed = case.builder().good(&case.id).response_type(&private).build().unwrap();
    let typed: rasn_ocsp::OcspResponse = rasn::der::decode(&typed).unwrap();
    assert_eq!(typed.bytes.unwrap().r#type.to_string(), "1.3.6.1.4.1.99999.1");
}

#[test]
fn status_signature_and_trailing_bytes_can_be_wrong() {
    let case = Case::new(KeyType::EcdsaP256);
    let right = case.builder().good(&case.id);
    let plain = right.build().unwrap();
    let trailing = right.clone().trailing(&[0]).build().unwrap();
    assert_eq!(trailing.len(), der_length(&trailing) + 1);
    assert_eq!(plain.len(), der_length(&plain));
    let later = right.clone().response_status(3).build().unwrap();
    assert!(case.judged(&later).contains("trylater"));
    assert!(case.judged(&right.clone().corrupt_signature().build().unwrap()).contains("Response Verify Failure"));
    assert!(case.judged(&right.responder_id_der(der::explicit(2, &[4, 1, 0])).build().unwrap()).contains("Failure"));
    assert_eq!(ResponseBuilder::error(ResponseStatus::Unauthorized), [0x30, 3, 0x0a, 1, 6]);
    assert_eq!(ResponseBuilder::status_only(0), [0x30, 3, 0x0a, 1, 0]);
}

#[test]
fn weak_keys_sign() {
    let case = Case::new(KeyType::Rsa1024);
    let response = case.builder().good(&case.id).build().unwrap();
    let text = case.judged(&response);
    // OpenSSL's default security level may refuse the CA's key, but not the signature.
    assert!(text.contains("Response verify OK") || text.contains("key too small"), "{text}");
    let other = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    let forged = Signer::new(other, case.ca.identity().clone(), None);
    let text = case.judged(&case.builder().good(&case.id).sign_with(&forged).build().unwrap());
    assert!(text.contains("Response Verify Failure"), "{text}");
}

fn der_length(bytes: &[u8]) -> usize {
    der::next(&mut &bytes[..]).unwrap().whole.len()
}
