//! Properties of certificates: read from any bytes, and joined with their issuers.

use std::sync::Arc;

use stapled_ca::ocsp::IssuerIdentity;
use stapled_core::bundle::Bundle;
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::time::Timestamp;

use crate::fixture::{self, Fixture};

/// A private key without value, and a part of it.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\n-----END PRIVATE KEY-----\n";
const SECRET: &str = "CQkJCQkJ";
/// The most certificates of one file that are joined with each other.
const JOINED: usize = 4;

/// Reads the bytes as a file, PEM or DER. Joins its certificates with each other and with the fixture's authority.
pub fn chain(bytes: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(bytes) {
        assert_eq!(certificate.as_der(), bytes);
    }
    if let Ok(fetched) = Bundle::read_issuers(bytes) {
        assert!(fetched.certificates.len() + fetched.broken.len() <= 1024);
        fetched.certificates.iter().for_each(check);
    }
    let Ok(bundle) = Bundle::read(bytes) else { return };
    assert!(!bundle.certificates.is_empty() || !bundle.broken.is_empty());
    assert!(bundle.certificates.len() + bundle.broken.len() <= 1024);
    // The certificates are shorter than their base64 and framing.
    assert!(bundle.certificates.iter().map(|certificate| certificate.as_der().len()).sum::<usize>() <= bytes.len());
    for (number, error) in &bundle.broken {
        assert!(*number > 0 && error.to_string().len() < 1000);
    }
    bundle.certificates.iter().for_each(check);
    is_without_key(bytes, &bundle);

    let issuer = Certificate::from_der(Fixture::get().ca.certificate()).unwrap();
    let joined: Vec<Arc<Certificate>> =
        bundle.certificates.into_iter().take(JOINED).chain([issuer]).map(Arc::new).collect();
    for end_entity in &joined {
        for issuer in &joined {
            join(end_entity, issuer);
        }
    }
}

/// A file with additional keys gives the same certificates, and nothing of the keys.
fn is_without_key(bytes: &[u8], bundle: &Bundle) {
    if bytes.first() == Some(&0x30) {
        return;
    }
    let keyed = [KEY.as_bytes(), bytes, b"\n", KEY.as_bytes()].concat();
    let read = Bundle::read(&keyed).expect("what was read before");
    assert_eq!(read.certificates, bundle.certificates);
    if !bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
        assert!(!format!("{read:?}").contains(SECRET));
    }
}

fn check(certificate: &Certificate) {
    assert_eq!(Certificate::from_der(certificate.as_der()).as_ref(), Ok(certificate));
    assert!(!certificate.name().chars().any(char::is_control));
    assert!(certificate.name().chars().count() <= 253);
    for urls in [certificate.ocsp_urls(), certificate.ca_issuers_urls()] {
        assert!(urls.len() <= 8 && urls.iter().all(|url| url.len() <= 2048));
    }
    assert!(!certificate.serial_hex().is_empty());
    assert!(certificate.as_der().windows(certificate.subject().len()).any(|window| window == certificate.subject()));
    if let Some(identity) = IssuerIdentity::from_certificate(certificate.as_der()) {
        assert_eq!(certificate.public_key(), identity.public_key);
        assert_eq!(certificate.subject(), identity.name);
    }
    let _ = (certificate.not_before().to_string(), certificate.not_after().to_string(), format!("{certificate:?}"));
    let _ = (certificate.is_ca(), certificate.must_staple(), certificate.is_self_issued(), certificate.fingerprint());
}

/// A chain has a certificate that its issuer's key signed.
fn join(end_entity: &Arc<Certificate>, issuer: &Arc<Certificate>) {
    let Ok(chain) = CertChain::new(Arc::clone(end_entity), Arc::clone(issuer)) else { return };
    assert!(fixture::has_issued(issuer.as_der(), end_entity.as_der()));
    assert_eq!(chain.subject().as_str().len(), 64);
    if chain.check_usable(Timestamp::from_unix(fixture::AT)).is_ok() {
        assert!(end_entity.allows_server_auth());
        assert!(end_entity.not_before().unix() <= fixture::AT && fixture::AT <= end_entity.not_after().unix());
    }
}
