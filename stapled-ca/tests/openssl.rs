//! Tests with OpenSSL, which verifies certificates and responses.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::net::SocketAddr;
use std::path::Path;

use stapled_ca::responder::{RunningResponder, UnknownSerial};
use stapled_ca::session::{CertificateRequest, Policy, Refusal, RequestError};
use stapled_ca::{Authority, ExtendedKeyUsage, Issued, KeyType, Profile, Reason, Responder, Serial};
use support::{file, openssl};

/// A free port of the loopback address.
fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// The certificates in files, for OpenSSL.
struct Files {
    directory: tempfile::TempDir,
    root: String,
    issuer: String,
    certificate: String,
}

impl Files {
    fn of(root: &Authority, issuer: &Authority, issued: &Issued) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let write = |name, text| file(directory.path(), name, text).display().to_string();
        Self {
            root: write("root.pem", root.certificate_pem()),
            issuer: write("issuer.pem", issuer.certificate_pem()),
            certificate: write("certificate.pem", issued.certificate_pem()),
            directory,
        }
    }

    fn ask(&self, responder: &RunningResponder, more: &[&str]) -> (bool, String) {
        let url = responder.url();
        let mut arguments = vec!["ocsp", "-issuer", &self.issuer, "-cert", &self.certificate, "-url", &url];
        arguments.extend(["-CAfile", &self.root, "-resp_text"]);
        arguments.extend(more);
        openssl(&arguments)
    }

    /// The status in the response. OpenSSL must have verified its signature.
    fn status(&self, responder: &RunningResponder, more: &[&str]) -> String {
        let (success, text) = self.ask(responder, more);
        assert!(success && text.contains("Response verify OK"), "{text}");
        let line = text.lines().find(|line| line.starts_with(&self.certificate));
        line.unwrap_or_else(|| panic!("no status in {text}")).rsplit(": ").next().unwrap().to_owned()
    }
}

/// A certificate request of OpenSSL with a new key, DER; the path of its file.
fn request(directory: &Path, key: &[&str]) -> (Vec<u8>, String) {
    let path = |name: &str| directory.join(name).display().to_string();
    let (key_file, request) = (path("key"), path("request"));
    let new =
        ["req", "-new", "-nodes", "-subj", "/CN=a.example", "-outform", "DER", "-keyout", &key_file, "-out", &request];
    let (success, text) = openssl(&[&new[..], key].concat());
    assert!(success, "{key:?}: {text}");
    (std::fs::read(&request).unwrap(), request)
}

#[test]
fn keys_of_debians_blacklist_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (der, path) = request(directory.path(), &["-newkey", "rsa:2048"]);
    let (_, line) = openssl(&["req", "-inform", "DER", "-in", &path, "-noout", "-modulus"]);
    let line = file(directory.path(), "modulus", line).display().to_string();
    let (_, digest) = openssl(&["dgst", "-sha1", "-r", &line]);
    let digits = digest.split(' ').next().unwrap()[20..].to_owned();
    let found = CertificateRequest::read(&der, 20_000).unwrap();
    let mut policy = Policy::default();
    policy.check(&found).unwrap();
    let other = file(directory.path(), "other", format!("# RSA-2048\n{}\n", digits.replace(|digit| digit != '0', "0")));
    assert_eq!(policy.read_bad_keys(other).unwrap(), 1);
    policy.check(&found).unwrap();
    let list = file(directory.path(), "list", format!("# RSA-2048\n{digits}\n"));
    assert_eq!(policy.read_bad_keys(list).unwrap(), 1);
    assert_eq!(policy.check(&found), Err(Refusal::BadKey));
}

#[test]
fn requests_with_every_supported_key_are_read_and_others_are_told_why() {
    let directory = tempfile::tempdir().unwrap();
    let read = |key: &[&str]| CertificateRequest::read(&request(directory.path(), key).0, 20_000).map(|_| ());
    let [p256, p384, p521, k256] =
        ["P-256", "P-384", "P-521", "secp256k1"].map(|curve| format!("ec_paramgen_curve:{curve}"));
    let ec = |curve: &str, hash: &str| read(&["-newkey", "ec", "-pkeyopt", curve, hash]);
    for hash in ["-sha256", "-sha384", "-sha512"] {
        assert_eq!(ec(&p521, hash), Ok(()), "{hash}");
        assert_eq!(read(&["-newkey", "rsa:2048", hash]), Ok(()), "{hash}");
    }
    assert_eq!((ec(&p256, "-sha256"), ec(&p384, "-sha384")), (Ok(()), Ok(())));
    assert_eq!(read(&["-newkey", "ed25519"]), Ok(()));
    assert_eq!(ec(&p256, "-sha512"), Err(RequestError::Algorithm));
    assert_eq!(ec(&k256, "-sha256"), Err(RequestError::KeyType));
    for key in ["rsa:1024", "ed448"] {
        assert_eq!(read(&["-newkey", key]), Err(RequestError::KeyType), "{key}");
    }
    // The signature counts on this curve, too.
    let mut forged = request(directory.path(), &["-newkey", "ec", "-pkeyopt", &p521]).0;
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(CertificateRequest::read(&forged, 20_000).unwrap_err(), RequestError::Signature);
}

#[test]
fn points_that_are_not_on_a_known_curve_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ec = |curve: &str| {
        ["-newkey".to_owned(), "ec".to_owned(), "-pkeyopt".to_owned(), format!("ec_paramgen_curve:{curve}")]
    };
    let read = |der: &[u8]| CertificateRequest::read(der, 20_000).map(|request| request.name_texts());
    let refused = |der: &[u8], what: &str| {
        let error = read(der).unwrap_err();
        assert!(
            matches!(
                error,
                RequestError::Signature | RequestError::Algorithm | RequestError::KeyType | RequestError::Malformed
            ),
            "{what}: {error}"
        );
    };
    for curve in ["secp224r1", "secp256k1", "brainpoolP256r1", "brainpoolP384r1"] {
        let key = ec(curve);
        refused(&request(directory.path(), &key.each_ref().map(String::as_str)).0, curve);
    }
    // The parameters of P-256 in place of its name.
    let key = ec("P-256");
    let mut key = key.each_ref().map(String::as_str).to_vec();
    let whole = request(directory.path(), &key).0;
    assert_eq!(read(&whole).unwrap(), ["a.example"]);
    key.extend(["-pkeyopt", "ec_param_enc:explicit"]);
    refused(&request(directory.path(), &key).0, "explicit parameters");
    // Another name, or another point, in the request of a key on P-256.
    let name = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let place = whole.windows(name.len()).position(|window| window == name).unwrap();
    let mut renamed = whole.clone();
    renamed[place + 9] = 6;
    refused(&renamed, "an unknown curve");
    let point = place + name.len() + 3;
    assert_eq!(whole[point], 4, "an uncompressed point");
    for (what, offset, octet) in [("off the curve", 64, 1), ("compressed", 0, 6), ("at infinity", 0, 4)] {
        let mut changed = whole.clone();
        changed[point + offset] ^= octet;
        refused(&changed, what);
    }
}

#[test]
fn statuses_are_verified_for_every_key_type_directly_and_delegated() {
    let key_types = [KeyType::Rsa2048, KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::EcdsaP521, KeyType::Ed25519];
    for key_type in key_types {
        let root = Authority::root("Root").create().unwrap();
        let ca = root.intermediate("Issuing CA").key(key_type).create().unwrap();
        let issued = ca.issue(&Profile::server("example.org")).unwrap();
        let files = Files::of(&root, &ca, &issued);
        let direct = Responder::builder().authority(&ca).start(any_port()).unwrap();
        let delegate = ca.delegate(key_type).unwrap();
        let delegated =
            Responder::builder().delegated(&ca, delegate).responder_by_name(true).start(any_port()).unwrap();
        // The issuer is not a root: OpenSSL needs its certificate to build the chain.
        let chain = ["-verify_other", files.issuer.as_str()];
        for responder in [&direct, &delegated] {
            assert_eq!(files.status(responder, &chain), "good", "{key_type}");
        }
        ca.revoke(issued.serial(), Some(Reason::KeyCompromise)).unwrap();
        for responder in [&direct, &delegated] {
            assert_eq!(files.status(responder, &chain), "revoked", "{key_type}");
            let (_, text) = files.ask(responder, &chain);
            assert!(text.contains("Revocation Reason: keyCompromise"), "{text}");
        }
    }
}

#[test]
fn hash_algorithms_are_echoed() {
    let ca = Authority::root("CA").create().unwrap();
    let issued = ca.issue(&Profile::server("example.org")).unwrap();
    let files = Files::of(&ca, &ca, &issued);
    let responder = Responder::builder().authority(&ca).start(any_port()).unwrap();
    for hash in ["sha1", "sha256", "sha384", "sha512"] {
        let (_, text) = openssl(&[
            "ocsp",
            "-issuer",
            &files.issuer,
            &format!("-{hash}"),
            "-cert",
            &files.certificate,
            "-url",
            &responder.url(),
            "-CAfile",
            &files.root,
            "-resp_text",
            "-no_nonce",
        ]);
        assert!(text.contains(&format!("Hash Algorithm: {hash}")), "{text}");
        assert!(text.contains("certificate.pem: good"), "{text}");
    }
    assert_eq!(responder.responder().tally().of(issued.serial()), 4);
}

#[test]
fn a_nonce_is_echoed_only_on_request() {
    let ca = Authority::root("CA").create().unwrap();
    let issued = ca.issue(&Profile::server("example.org")).unwrap();
    let files = Files::of(&ca, &ca, &issued);
    let ignoring = Responder::builder().authority(&ca).start(any_port()).unwrap();
    let (_, text) = files.ask(&ignoring, &["-nonce"]);
    assert!(text.contains("WARNING: no nonce in response"), "{text}");
    let echoing = Responder::builder().authority(&ca).echo_nonce(true).start(any_port()).unwrap();
    let (_, text) = files.ask(&echoing, &["-nonce"]);
    assert!(text.contains("Response verify OK") && !text.contains("WARNING"), "{text}");
}

#[test]
fn certificates_never_issued_are_unknown_or_unauthorized() {
    let ca = Authority::root("CA").create().unwrap();
    let issued = ca.issue(&Profile::server("example.org")).unwrap();
    let files = Files::of(&ca, &ca, &issued);
    let ask = |responder: &RunningResponder, issuer: &str| {
        let serial = ["-serial", "0x1234"];
        let url = responder.url();
        openssl(&[&["ocsp", "-issuer", issuer], &serial[..], &["-url", &url, "-CAfile", &files.root]].concat()).1
    };
    let lenient = Responder::builder().authority(&ca).start(any_port()).unwrap();
    assert!(ask(&lenient, &files.issuer).contains("0x1234: unknown"));
    let strict =
        Responder::builder().authority(&ca).unknown_serial(UnknownSerial::Unauthorized).start(any_port()).unwrap();
    assert!(ask(&strict, &files.issuer).contains("Responder Error: unauthorized"));
    let namesake = Authority::root("CA").create().unwrap();
    let other = file(files.directory.path(), "other.pem", namesake.certificate_pem());
    assert!(ask(&lenient, &other.display().to_string()).contains("Responder Error: unauthorized"));
}

#[test]
fn one_responder_serves_several_authorities() {
    let root = Authority::root("Root").create().unwrap();
    let ca = root.intermediate("CA").create().unwrap();
    let own = root.issue(&Profile::server("a.example")).unwrap();
    let below = ca.issue(&Profile::server("b.example").serial(own.serial().clone())).unwrap();
    root.revoke(own.serial(), None).unwrap();
    let responder = Responder::builder().authority(&root).authority(&ca).start(any_port()).unwrap();
    assert_eq!(Files::of(&root, &root, &own).status(&responder, &[]), "revoked");
    let files = Files::of(&root, &ca, &below);
    assert_eq!(files.status(&responder, &["-verify_other", &files.issuer]), "good");
}

#[test]
fn chains_verify_and_have_the_contents_of_the_profile() {
    let root = Authority::root("Root").key(KeyType::Rsa2048).organization("Lab").create().unwrap();
    let middle = root.intermediate("Middle").key(KeyType::EcdsaP384).create().unwrap();
    let ca = middle.intermediate("Issuing").key(KeyType::Ed25519).create().unwrap();
    let issued = ca
        .issue(
            &Profile::server("example.org")
                .dns("www.example.org")
                .dns("127.0.0.1")
                .key(KeyType::Rsa2048)
                .ocsp_url("http://ocsp1.example/a/")
                .ocsp_url("http://ocsp2.example/")
                .ca_issuers_url("http://ca.example/ca.crt")
                .must_staple(true)
                .serial(Serial::from_bytes(&[0xff; 20])),
        )
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: String| file(directory.path(), name, text).display().to_string();
    let bundle = path("bundle.pem", issued.bundle_pem());
    let root_file = path("root.pem", ca.root_pem());
    let (success, text) = openssl(&["verify", "-x509_strict", "-CAfile", &root_file, "-untrusted", &bundle, &bundle]);
    assert!(success, "{text}");
    let (_, text) = openssl(&["x509", "-in", &bundle, "-noout", "-text", "-serial"]);
    for wanted in [
        "TLS Feature",
        "status_request",
        "OCSP - URI:http://ocsp1.example/a/",
        "OCSP - URI:http://ocsp2.example/",
        "CA Issuers - URI:http://ca.example/ca.crt",
        "DNS:example.org, DNS:www.example.org, IP Address:127.0.0.1",
        "TLS Web Server Authentication",
        &format!("serial={}", "FF".repeat(20)),
    ] {
        assert!(text.contains(wanted), "{wanted} missing in {text}");
    }
    assert!(!text.contains("TLS Feature: critical"));
    // The certificates of leaf, Issuing and Middle without the root's, and one key.
    assert_eq!(issued.bundle_pem().matches("BEGIN CERTIFICATE").count(), 3);
    assert_eq!(issued.bundle_pem().matches("PRIVATE KEY-----").count(), 2);
}

#[test]
fn purposes_and_validity_are_those_of_the_profile() {
    let ca = Authority::root("CA").create().unwrap();
    let text = |profile: &Profile| {
        let directory = tempfile::tempdir().unwrap();
        let path = file(directory.path(), "c.pem", ca.issue(profile).unwrap().certificate_pem());
        openssl(&["x509", "-in", path.to_str().unwrap(), "-noout", "-text"]).1
    };
    let plain = text(&Profile::server("a.example").extended_key_usages([]).valid_between(0, 86_400));
    assert!(!plain.contains("Extended Key Usage") && !plain.contains("Authority Information Access"), "{plain}");
    assert!(plain.contains("Not Before: Jan  1 00:00:00 1970 GMT"), "{plain}");
    assert!(plain.contains("Not After : Jan  2 00:00:00 1970 GMT"), "{plain}");
    let client = text(&Profile::server("a.example").extended_key_usages([ExtendedKeyUsage::ClientAuth]));
    assert!(client.contains("TLS Web Client Authentication") && !client.contains("Server"), "{client}");
    let responder = text(&Profile::ocsp_responder("OCSP"));
    assert!(responder.contains("OCSP Signing") && responder.contains("OCSP No Check"), "{responder}");
    let nameless = text(&Profile::server("a.example").subject([]));
    assert!(nameless.contains("Subject Alternative Name: critical"), "{nameless}");
}

#[test]
fn openssl_reads_every_key_type() {
    let ca = Authority::root("CA").create().unwrap();
    for name in KeyType::names() {
        let issued = ca.issue(&Profile::server("a.example").key(name.parse().unwrap())).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = file(directory.path(), "c.pem", issued.bundle_pem());
        let path = Path::to_str(&path).unwrap();
        let (success, from_key) = openssl(&["pkey", "-in", path, "-pubout"]);
        assert!(success, "{name}: {from_key}");
        assert_eq!(from_key, openssl(&["x509", "-in", path, "-noout", "-pubkey"]).1, "{name}");
    }
}
