//! Tests of certificate revocation lists, which OpenSSL, GnuTLS and rustls-webpki judge.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use stapled_ca::{Authority, Issued, KeyType, Profile, Reason, Responder, Serial, Status};
use stapled_tests::wait_until;
use support::{certtool, file, get, openssl};

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate with the URL of a list.
fn issue(ca: &Authority, name: &str) -> Issued {
    ca.issue(&Profile::server(name).crl_url("http://crl.example/ca.crl")).unwrap()
}

/// Files of an authority and its list, for OpenSSL and GnuTLS.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn of(ca: &Authority) -> Self {
        let directory = tempfile::tempdir().unwrap();
        file(directory.path(), "ca.pem", ca.certificate_pem());
        file(directory.path(), "crl.pem", ca.crl(DAY).unwrap().pem());
        Self { directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn certificate(&self, issued: &Issued) -> String {
        file(self.directory.path(), "certificate.pem", issued.certificate_pem()).display().to_string()
    }
}

#[test]
fn openssl_verifies_a_list_and_finds_the_revoked_certificate_in_it() {
    for key_type in [KeyType::EcdsaP256, KeyType::Rsa2048, KeyType::Ed25519, KeyType::EcdsaP384] {
        let ca = Authority::root("Example CA").key(key_type).create().unwrap();
        let (good, revoked) = (issue(&ca, "good.example"), issue(&ca, "revoked.example"));
        ca.revoke(revoked.serial(), Some(Reason::KeyCompromise)).unwrap();
        let files = Files::of(&ca);
        let (ca_file, crl_file) = (files.path("ca.pem"), files.path("crl.pem"));

        let (success, text) = openssl(&["crl", "-in", &crl_file, "-CAfile", &ca_file, "-noout", "-text", "-verify"]);
        assert!(success && text.contains("verify OK"), "{key_type}: {text}");
        for wanted in ["Authority Key Identifier", "CRL Number", "Key Compromise", &revoked.serial().to_string()] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        let verify = |issued: &Issued| {
            let certificate = files.certificate(issued);
            let arguments = ["-crl_check", "-x509_strict", "-CAfile", &ca_file, "-CRLfile", &crl_file, &certificate];
            openssl(&[&["verify"][..], &arguments].concat())
        };
        assert!(verify(&good).0, "{key_type}: {}", verify(&good).1);
        let (success, text) = verify(&revoked);
        assert!(!success && text.contains("certificate revoked"), "{key_type}: {text}");
    }
}

#[test]
fn gnutls_verifies_a_list_and_finds_the_revoked_certificate_in_it() {
    let ca = Authority::root("Example CA").create().unwrap();
    let (good, revoked) = (issue(&ca, "good.example"), issue(&ca, "revoked.example"));
    ca.revoke(revoked.serial(), None).unwrap();
    let files = Files::of(&ca);
    let (ca_file, crl_file) = (files.path("ca.pem"), files.path("crl.pem"));
    let verified = certtool(&["--verify-crl", "--load-ca-certificate", &ca_file, "--infile", &crl_file]);
    let Some((success, text)) = verified else { return };
    assert!(success && text.contains("Verified"), "{text}");
    let verify = |issued: &Issued| {
        let certificate = files.certificate(issued);
        let arguments = ["--verify", "--load-ca-certificate", &ca_file, "--load-crl", &crl_file];
        certtool(&[&arguments[..], &["--infile", &certificate]].concat()).unwrap()
    };
    assert!(verify(&good).0, "{}", verify(&good).1);
    let (success, text) = verify(&revoked);
    assert!(!success && text.contains("revoked"), "{text}");
}

#[test]
fn webpki_reads_a_list_of_many() {
    let ca = Authority::root("Example CA").create().unwrap();
    let empty = webpki::BorrowedCertRevocationList::from_der(ca.crl(DAY).unwrap().der()).is_ok();
    assert!(empty, "a list without entries");
    let reasons = Reason::ALL.map(|(_, reason)| Some(reason)).into_iter().chain([None]);
    let serials: Vec<Serial> = reasons
        .map(|reason| {
            let serial = issue(&ca, "a.example").serial().clone();
            ca.revoke(&serial, reason).unwrap();
            serial
        })
        .collect();
    let crl = ca.crl(DAY).unwrap();
    let parsed = webpki::BorrowedCertRevocationList::from_der(crl.der()).unwrap();
    let mut read: Vec<Serial> =
        parsed.into_iter().map(|entry| Serial::from_bytes(entry.unwrap().serial_number)).collect();
    read.sort();
    let mut wanted = serials;
    wanted.sort();
    assert_eq!(read, wanted);
}

#[test]
fn a_responder_publishes_the_list_and_signs_it_anew_after_a_revocation() {
    let directory = tempfile::tempdir().unwrap();
    let ca = Authority::root("Example CA").create_in(&directory.path().join("ca")).unwrap();
    let issued = issue(&ca, "a.example");
    let responder =
        Responder::builder().authority(&ca).publish_crls(DAY * 7).start("127.0.0.1:0".parse().unwrap()).unwrap();
    assert!(responder.crl_url(&ca).ends_with("/example-ca.crl"));
    let fetch = |headers: &str| get(responder.address(), "/example-ca.crl", headers);
    wait_until("the first list", || fetch("").status == 200);
    let first = fetch("");
    assert_eq!(first.header("content-type"), Some("application/pkix-crl"));
    assert_eq!(first.header("cache-control"), Some("max-age=3600, public, no-transform, must-revalidate"));
    assert!(first.header("expires").unwrap().ends_with(" GMT"));
    let etag = format!("If-None-Match: {}\r\n", first.header("etag").unwrap());
    assert_eq!(fetch(&etag).status, 304);
    assert_eq!(get(responder.address(), "/ca.crl", "").body, first.body);
    assert_eq!(get(responder.address(), "/other.crl", "").status, 404);

    // Revoked by another process.
    let elsewhere = Authority::open(&directory.path().join("ca")).unwrap();
    elsewhere.revoke(issued.serial(), Some(Reason::KeyCompromise)).unwrap();
    let names = |serial: &Serial| {
        let body = fetch("").body;
        let parsed = webpki::BorrowedCertRevocationList::from_der(&body).unwrap();
        parsed.into_iter().any(|entry| Serial::from_bytes(entry.unwrap().serial_number) == *serial)
    };
    wait_until("a list with the revocation", || names(issued.serial()));
    assert_eq!(fetch(&etag).status, 200, "the ETag is another one");
    elsewhere.set_status(issued.serial(), Status::Good).unwrap();
    wait_until("a list without it", || !names(issued.serial()));
}

#[test]
fn certificates_have_the_urls_of_the_list() {
    let ca = Authority::root("Root").create().unwrap();
    let profile =
        Profile::server("a.example").crl_url("http://one.example/ca.crl").crl_url("http://two.example/ca.crl");
    let issued = ca.issue(&profile).unwrap();
    let intermediate = ca.intermediate("CA").crl_url("http://one.example/root.crl").create().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let text = |name: &str, pem: String| {
        let path = file(directory.path(), name, pem).display().to_string();
        openssl(&["x509", "-in", &path, "-noout", "-ext", "crlDistributionPoints"]).1
    };
    let leaf = text("leaf.pem", issued.certificate_pem());
    assert!(leaf.contains("URI:http://one.example/ca.crl") && leaf.contains("URI:http://two.example/ca.crl"), "{leaf}");
    assert_eq!(leaf.matches("Full Name").count(), 1, "one distribution point: {leaf}");
    assert!(text("ca.pem", intermediate.certificate_pem()).contains("URI:http://one.example/root.crl"));
}
