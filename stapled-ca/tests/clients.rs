//! Tests that OpenSSL, GnuTLS and rustls-webpki accept the certificates that are issued here, by their strict rules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use stapled_ca::{Authority, Issued, KeyType, Profile, Serial};
use support::{certtool, file, openssl};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

const URL: &str = "http://127.0.0.1:8888";

/// A root, an intermediate authority, and certificates of it.
struct World {
    directory: tempfile::TempDir,
    root: Authority,
    ca: Authority,
}

impl World {
    fn new(root: KeyType, intermediate: KeyType) -> Self {
        let root = Authority::root("Example Root").organization("Example").key(root).create().unwrap();
        let ca = root
            .intermediate("Example CA")
            .key(intermediate)
            .ocsp_url(format!("{URL}/"))
            .ca_issuers_url(format!("{URL}/example-root.crt"))
            .crl_url(format!("{URL}/example-root.crl"))
            .create()
            .unwrap();
        let world = Self { directory: tempfile::tempdir().unwrap(), root, ca };
        world.file("root.pem", world.root.certificate_pem());
        world.file("ca.pem", world.ca.certificate_pem());
        world.file("ca-chain.pem", world.ca.certificate_pem() + &world.root.certificate_pem());
        world
    }

    fn server(&self, key: KeyType) -> Issued {
        let profile = Profile::server("www.example.org")
            .dns("example.org")
            .dns("192.0.2.1")
            .key(key)
            .ocsp_url(format!("{URL}/"))
            .ca_issuers_url(format!("{URL}/example-ca.crt"))
            .crl_url(format!("{URL}/example-ca.crl"));
        self.ca.issue(&profile).unwrap()
    }

    fn file(&self, name: &str, text: String) -> String {
        file(self.directory.path(), name, text).display().to_string()
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

/// Key types of a root, an intermediate authority and a server.
const CHAINS: [(KeyType, KeyType, KeyType); 4] = [
    (KeyType::EcdsaP256, KeyType::EcdsaP256, KeyType::EcdsaP256),
    (KeyType::Rsa2048, KeyType::Rsa2048, KeyType::Rsa2048),
    (KeyType::EcdsaP384, KeyType::EcdsaP256, KeyType::Rsa2048),
    (KeyType::Rsa3072, KeyType::EcdsaP384, KeyType::EcdsaP384),
];

#[test]
fn openssl_accepts_them_by_its_strict_rules() {
    for (root, ca, server) in CHAINS {
        let world = World::new(root, ca);
        let (root, ca) = (world.path("root.pem"), world.path("ca.pem"));
        let verify = |name: &str, pem: String, purpose: &str| {
            let certificate = world.file(name, pem);
            let arguments = ["-x509_strict", "-purpose", purpose, "-CAfile", &root, "-untrusted", &ca, &certificate];
            openssl(&[&["verify"][..], &arguments].concat())
        };
        let (accepted, text) = verify("server.pem", world.server(server).certificate_pem(), "sslserver");
        assert!(accepted, "{server}: {text}");
        let delegate = world.ca.issue(&Profile::ocsp_responder("OCSP").key(server)).unwrap();
        let (accepted, text) = verify("delegate.pem", delegate.certificate_pem(), "ocsphelper");
        assert!(accepted, "{server}: {text}");
        assert!(!verify("delegate.pem", delegate.certificate_pem(), "sslserver").0, "a delegate is no server");
        let (accepted, text) = openssl(&["verify", "-x509_strict", "-CAfile", &root, &ca]);
        assert!(accepted, "{text}");
    }
}

#[test]
fn gnutls_accepts_them() {
    for (root, ca, server) in CHAINS {
        let world = World::new(root, ca);
        let issued = world.server(server);
        let delegate = world.ca.issue(&Profile::ocsp_responder("OCSP").key(server)).unwrap();
        for (issued, purpose) in [(&issued, "1.3.6.1.5.5.7.3.1"), (&delegate, "1.3.6.1.5.5.7.3.9")] {
            let chain = world.file("chain.pem", issued.certificate_pem() + &world.ca.certificate_pem());
            let root = world.path("root.pem");
            let arguments =
                ["--verify", "--load-ca-certificate", &root, "--verify-purpose", purpose, "--infile", &chain];
            let Some((accepted, text)) = certtool(&arguments) else { return };
            assert!(accepted && text.contains("Verified"), "{server} {purpose}: {text}");
        }
    }
}

#[test]
fn webpki_accepts_them_for_their_names_only() {
    for (root, ca, server) in CHAINS {
        let world = World::new(root, ca);
        let issued = world.server(server);
        let root = CertificateDer::from(world.root.certificate());
        let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
        let (leaf, ca) = (CertificateDer::from(issued.der()), CertificateDer::from(world.ca.certificate()));
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(issued.not_before().unsigned_abs() + 60));
        let certificate = webpki::EndEntityCert::try_from(&leaf).unwrap();
        let usage = webpki::KeyUsage::server_auth();
        certificate.verify_for_usage(algorithms, &anchors, &[ca], now, usage, None, None).unwrap();
        let is_named = |name: &str| {
            certificate.verify_is_valid_for_subject_name(&ServerName::try_from(name.to_owned()).unwrap()).is_ok()
        };
        assert!(["www.example.org", "example.org", "192.0.2.1"].iter().all(|name| is_named(name)));
        assert!(!["sub.example.org", "example.com", "192.0.2.2"].iter().any(|name| is_named(name)));
    }
}

/// The extensions of a certificate by their names, with whether they are critical.
fn extensions(certificate: &[u8]) -> Vec<(&'static str, bool)> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).unwrap();
    let name = |extension: &ParsedExtension<'_>| match extension {
        ParsedExtension::SubjectAlternativeName(_) => "subjectAltName",
        ParsedExtension::ExtendedKeyUsage(_) => "extKeyUsage",
        ParsedExtension::KeyUsage(_) => "keyUsage",
        ParsedExtension::SubjectKeyIdentifier(_) => "subjectKeyIdentifier",
        ParsedExtension::AuthorityKeyIdentifier(_) => "authorityKeyIdentifier",
        ParsedExtension::AuthorityInfoAccess(_) => "authorityInfoAccess",
        ParsedExtension::CRLDistributionPoints(_) => "cRLDistributionPoints",
        ParsedExtension::BasicConstraints(_) => "basicConstraints",
        _ => "another one",
    };
    parsed.extensions().iter().map(|extension| (name(extension.parsed_extension()), extension.critical)).collect()
}

#[test]
fn certificates_have_the_extensions_that_clients_look_for() {
    let world = World::new(KeyType::EcdsaP256, KeyType::EcdsaP256);
    let sorted = |mut list: Vec<(&'static str, bool)>| {
        list.sort_unstable();
        list
    };
    let server = world.server(KeyType::EcdsaP256);
    let expected = [
        ("authorityInfoAccess", false),
        ("authorityKeyIdentifier", false),
        ("basicConstraints", true),
        ("cRLDistributionPoints", false),
        ("extKeyUsage", false),
        ("keyUsage", true),
        ("subjectAltName", false),
        ("subjectKeyIdentifier", false),
    ];
    assert_eq!(sorted(extensions(server.der())), expected);
    let intermediate = expected.into_iter().filter(|(name, _)| !["extKeyUsage", "subjectAltName"].contains(name));
    assert_eq!(sorted(extensions(world.ca.certificate())), intermediate.collect::<Vec<_>>());

    let certificate = world.file("server.pem", server.certificate_pem());
    let (_, text) = openssl(&["x509", "-in", &certificate, "-noout", "-text"]);
    for wanted in [
        "OCSP - URI:http://127.0.0.1:8888/",
        "CA Issuers - URI:http://127.0.0.1:8888/example-ca.crt",
        "URI:http://127.0.0.1:8888/example-ca.crl",
        "DNS:www.example.org, DNS:example.org, IP Address:192.0.2.1",
        "TLS Web Server Authentication",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    // The identifier of the issuer's key is the one in the issuer's certificate.
    let identifier = |der: &[u8], of_issuer: bool| {
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(der).unwrap();
        let found = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(own) if !of_issuer => Some(own.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(issuer) if of_issuer => {
                Some(issuer.key_identifier.as_ref()?.0.to_vec())
            }
            _ => None,
        });
        found.unwrap()
    };
    for (subject, issuer) in
        [(server.der(), world.ca.certificate()), (world.ca.certificate(), world.root.certificate())]
    {
        assert_eq!(identifier(subject, true), identifier(issuer, false));
    }
    let delegate = world.ca.issue(&Profile::ocsp_responder("OCSP")).unwrap();
    assert_eq!(identifier(delegate.der(), true), identifier(world.ca.certificate(), false));
}

#[test]
fn serial_numbers_are_random_and_never_repeated() {
    let ca = Authority::root("CA").create().unwrap();
    let key = ca.key();
    let profile = Profile::server("a.example").existing_key(std::sync::Arc::clone(key));
    let serials: Vec<Serial> = (0..200).map(|_| ca.issue(&profile).unwrap().serial().clone()).collect();
    assert_eq!(serials.iter().collect::<HashSet<_>>().len(), serials.len());
    assert!(serials.iter().all(|serial| serial.as_bytes().len() == 16));
    // 126 of the 128 bits are random: each of them is set in some numbers, and clear in others.
    for bit in 2..128 {
        let set = serials.iter().filter(|serial| serial.as_bytes()[bit / 8] & (0x80 >> (bit % 8)) != 0).count();
        assert!((40..160).contains(&set), "bit {bit} is set in {set} of 200");
    }
    let taken = profile.serial(serials[0].clone());
    assert!(ca.issue(&taken).is_err(), "a number is used once");
}
