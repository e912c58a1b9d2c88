//! Tests of OpenSSL signatures with every algorithm that a responder may use: accepted ones, ones that only the weak
//! settings accept, and ones that are never accepted. `algorithms/make.sh` made them.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use stapled_ocsp::Weak;
use stapled_ocsp::bundle::Bundle;
use stapled_ocsp::chain::CertChain;
use stapled_ocsp::ocsp::response::BasicResponse;
use stapled_ocsp::ocsp::{CertStatus, OcspResponse};
use stapled_ocsp::staple::{Judge, JudgePolicy};

/// The file; the verdict by default; the verdict if SHA-1 and short keys are allowed; the name of the algorithm.
const CASES: [(&str, &str, &str, &str); 34] = [
    ("ecdsa-brainpool-sha256", "unsupported_algorithm", "unsupported_algorithm", "ecdsa-with-SHA256"),
    ("ecdsa-p224-sha256", "unsupported_algorithm", "unsupported_algorithm", "ecdsa-with-SHA256"),
    ("ecdsa-p256-sha1", "weak_signature", "good", "ecdsa-with-SHA1"),
    ("ecdsa-p256-sha224", "unsupported_algorithm", "unsupported_algorithm", "ecdsa-with-SHA224"),
    ("ecdsa-p256-sha512", "good", "good", "ecdsa-with-SHA512"),
    ("ecdsa-p384-sha1", "weak_signature", "good", "ecdsa-with-SHA1"),
    // The signature on the certificate in question is for clients to judge.
    ("ecdsa-p384-sha1-certified", "good", "good", "ecdsa-with-SHA384"),
    ("ecdsa-p384-sha256", "good", "good", "ecdsa-with-SHA256"),
    ("ecdsa-p521-sha1", "weak_signature", "good", "ecdsa-with-SHA1"),
    ("ecdsa-p521-sha256", "good", "good", "ecdsa-with-SHA256"),
    ("ecdsa-secp256k1-sha256", "unsupported_algorithm", "unsupported_algorithm", "ecdsa-with-SHA256"),
    ("ed448", "unsupported_algorithm", "unsupported_algorithm", "Ed448"),
    ("ed448-elsewhere", "unsupported_algorithm", "unsupported_algorithm", "Ed448"),
    ("pss-2049-mask-sha1", "good", "good", "RSASSA-PSS-SHA256"),
    ("pss-2050-mask-sha1", "good", "good", "RSASSA-PSS-SHA512"),
    ("pss-certified-mask-sha1", "good", "good", "sha256WithRSAEncryption"),
    ("pss-certified-odd-salt", "good", "good", "sha256WithRSAEncryption"),
    ("pss-certified-sha1", "good", "good", "sha256WithRSAEncryption"),
    ("pss-key", "good", "good", "RSASSA-PSS-SHA256"),
    ("pss-key-restricted", "good", "good", "RSASSA-PSS-SHA256"),
    ("pss-mask-sha1", "good", "good", "RSASSA-PSS-SHA256"),
    ("pss-mask-sha512", "good", "good", "RSASSA-PSS-SHA384"),
    ("pss-max-salt", "good", "good", "RSASSA-PSS-SHA512"),
    ("pss-no-salt", "good", "good", "RSASSA-PSS-SHA384"),
    ("pss-odd-salt", "good", "good", "RSASSA-PSS-SHA256"),
    ("pss-sha1", "weak_signature", "good", "RSASSA-PSS-SHA1"),
    ("pss-sha224", "good", "good", "RSASSA-PSS-SHA224"),
    ("rsa1024-pss", "weak_key", "good", "RSASSA-PSS-SHA256"),
    // The provider has no algorithm for this signature with a key of that size.
    ("rsa1024-sha384", "unsupported_algorithm", "unsupported_algorithm", "sha384WithRSAEncryption"),
    ("rsa2048-md5", "unsupported_algorithm", "unsupported_algorithm", "md5WithRSAEncryption"),
    ("rsa2048-sha224", "unsupported_algorithm", "unsupported_algorithm", "sha224WithRSAEncryption"),
    ("rsa3072-sha512", "good", "good", "sha512WithRSAEncryption"),
    ("rsa4096-sha256", "good", "good", "sha256WithRSAEncryption"),
    ("rsa768-sha256", "unsupported_algorithm", "unsupported_algorithm", "sha256WithRSAEncryption"),
];

struct Case {
    certificates: Bundle,
    response: Bytes,
}

impl Case {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(folder().join(name).with_extension("pem")).unwrap();
        let (_, section) = text.split_once("-----BEGIN OCSP RESPONSE-----").unwrap();
        let (body, _) = section.split_once("-----END OCSP RESPONSE-----").unwrap();
        let response = BASE64_STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap();
        Case { certificates: Bundle::read(text.as_bytes()).unwrap(), response: response.into() }
    }

    /// The same case with one bit changed in the `part` of the response.
    fn changed<'r>(&'r self, part: impl Fn(&BasicResponse<'r>) -> &'r [u8]) -> Self {
        let part = part(&self.basic());
        let place = part.as_ptr() as usize - self.response.as_ptr() as usize + part.len() - 1;
        let mut response = self.response.to_vec();
        response[place] ^= 1;
        Case { certificates: self.certificates.clone(), response: response.into() }
    }

    fn basic(&self) -> BasicResponse<'_> {
        let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(&self.response) else { panic!("not read") };
        basic
    }

    fn verdict(&self, policy: &JudgePolicy) -> String {
        let [issuer, certificate] = self.certificates.certificates.as_slice() else { panic!("not two certificates") };
        let chain = match CertChain::new(Arc::new(certificate.clone()), Arc::new(issuer.clone())) {
            Ok(chain) => Arc::new(chain),
            Err(error) => return error.code().to_string(),
        };
        match Judge::new(&chain).at(self.basic().produced_at).policy(policy).judge(self.response.clone()) {
            Ok(judgement) if judgement.status == CertStatus::Good => {
                assert_eq!(judgement.facts.signature_algorithm, self.basic().signature_algorithm_name());
                "good".to_owned()
            }
            Ok(judgement) => panic!("{judgement:?}"),
            Err(refusal) => refusal.code().to_string(),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/algorithms")
}

#[test]
fn each_algorithm_has_its_verdict() {
    let mut weak = JudgePolicy::default();
    weak.sha1_signatures = Weak::Allow;
    weak.weak_keys = Weak::Allow;
    for (name, by_default, where_weak_is_allowed, algorithm) in CASES {
        let case = Case::read(name);
        assert_eq!(case.verdict(&JudgePolicy::default()), by_default, "{name}");
        assert_eq!(case.verdict(&weak), where_weak_is_allowed, "{name}, where weak ones are allowed");
        assert_eq!(case.basic().signature_algorithm_name(), algorithm, "{name}");
        if where_weak_is_allowed == "good" {
            let forged = case.changed(|basic| basic.signature);
            assert_eq!(forged.verdict(&weak), "bad_signature", "{name}, with another signature");
            // The signed bytes end with the Z of nextUpdate's time, so the change of a bit affects the byte before it.
            let forged = case.changed(|basic| match basic.tbs_response_data {
                [signed @ .., _zulu] => signed,
                [] => panic!("nothing signed"),
            });
            assert_eq!(forged.verdict(&weak), "bad_signature", "{name}, with other contents");
        }
    }
}

#[test]
fn every_file_is_a_case() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "pem"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, CASES.map(|(name, ..)| name));
}
