//! Tests of certificates from files: bundles in any order, with a key between them, DER, damage, and the fields of each
//! certificate.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stapled_ca::{Authority, ExtendedKeyUsage, Extension, Issued, KeyType, NameAttribute, Profile, SubjectName, der};
use stapled_ocsp::bundle::{Bundle, BundleError};
use stapled_ocsp::certificate::{Certificate, CertificateError};
use stapled_ocsp::chain::{CertChain, ChainError};
use stapled_ocsp::describe::{self, Object};
use stapled_ocsp::time::Timestamp;
use std::process::Command;
use std::sync::Arc;

const DAY: i64 = 86_400;
const NOW: i64 = 1_800_000_000;

fn ca() -> Authority {
    Authority::root("Files CA").create().unwrap()
}

fn profile(name: &str) -> Profile {
    Profile::server(name).valid_between(NOW - DAY, NOW + DAY)
}

fn read(issued: &Issued) -> Certificate {
    Certificate::from_der(issued.der()).unwrap()
}

#[test]
fn a_bundle_is_read_in_any_order_and_its_key_is_skipped() {
    let ca = ca();
    let middle = ca.intermediate("Middle").create().unwrap();
    let leaf = middle.issue(&profile("a.test")).unwrap();
    let (own, issuer, root, key) =
        (leaf.certificate_pem(), middle.certificate_pem(), ca.certificate_pem(), leaf.key_pem());
    for parts in [[&own, &issuer, &root, &key], [&key, &own, &issuer, &root], [&root, &key, &issuer, &own]] {
        let text = parts.map(String::as_str).join("what somebody noted between\n");
        let bundle = Bundle::read(text.as_bytes()).unwrap();
        assert_eq!(bundle.certificates.len(), 3);
        assert!(bundle.broken.is_empty());
        assert_eq!(bundle.end_entity().unwrap().name(), "a.test");
        let secret: String = key.lines().nth(1).unwrap().chars().take(20).collect();
        assert!(!format!("{bundle:?}").contains(&secret));
    }
    // Line ends of Windows, and no line end after the last line.
    let text = format!("{own}{issuer}").replace('\n', "\r\n");
    assert_eq!(Bundle::read(text.trim_end().as_bytes()).unwrap().certificates.len(), 2);
}

#[test]
fn a_known_certificate_is_copied_and_any_other_is_parsed() {
    let ca = ca();
    let issued = ca.issue(&profile("a.test")).unwrap();
    let stranger = Authority::root("Stranger").key(KeyType::EcdsaP256).create().unwrap();
    let known = [stranger.certificate(), ca.certificate()].map(|der| Arc::new(Certificate::from_der(der).unwrap()));
    let damaged = ca.certificate_pem().replacen("MII", "MIJ", 1);
    for text in [
        format!("{}{}", issued.certificate_pem(), ca.certificate_pem()),
        ca.certificate_pem().replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        format!("{}{damaged}", issued.certificate_pem()),
    ] {
        let (read, knowing) = (Bundle::read(text.as_bytes()), Bundle::read_knowing(text.as_bytes(), &known));
        assert_eq!(read, knowing);
        // What a certificate is not compared by is the same, too.
        assert_eq!(format!("{read:?}"), format!("{knowing:?}"));
    }
}

/// Some servers use a certificate that says that it is a CA's. A server has the key of its own certificate only.
#[test]
fn the_first_certificate_is_that_of_a_server_if_its_key_is_in_the_file() {
    let ca = ca();
    let appliance = ca.intermediate("appliance.test").create().unwrap();
    let (own, issuer, key) = (appliance.certificate_pem(), ca.certificate_pem(), appliance.key().to_pem());
    let end_entity = |text: &str| {
        let bundle = Bundle::read(text.as_bytes()).unwrap();
        (bundle.end_entity().map(|one| one.name().to_owned()), bundle.presented().map(|one| one.name().to_owned()))
    };
    let appliance = Some("appliance.test".to_owned());
    for text in [format!("{own}{issuer}{key}"), format!("{key}{own}{issuer}"), format!("{own}{key}")] {
        assert_eq!(end_entity(&text), (appliance.clone(), appliance.clone()));
    }
    assert_eq!(
        CertChain::from_pem(format!("{own}{issuer}{key}").as_bytes()).unwrap().end_entity().name(),
        "appliance.test"
    );
    // A bundle of CAs, as far as a file tells.
    assert_eq!(end_entity(&format!("{own}{issuer}")), (None, appliance.clone()));
    assert_eq!(CertChain::from_pem(format!("{own}{issuer}").as_bytes()).unwrap_err(), ChainError::NoEndEntity);
    // The first one might be that of the server.
    let damaged = own.replace(&own.lines().nth(3).unwrap()[..8], "!!!!!!!!");
    assert_eq!(end_entity(&format!("{damaged}{issuer}{key}")), (None, None));
    // One that is not a CA's comes before.
    let leaf = ca.issue(&profile("a.test")).unwrap();
    let expected = Some("a.test".to_owned());
    assert_eq!(
        end_entity(&format!("{issuer}{}{}", leaf.certificate_pem(), leaf.key_pem())),
        (expected.clone(), expected)
    );
}

/// Authorities may send their certificates as a certs-only CMS message. OpenSSL writes the one of this test.
/// OpenSSL writes and reads them, and so do the servers that use it.
#[test]
fn older_forms_of_certificates_in_pem_are_read_without_openssls_settings() {
    let root = ca();
    let leaf = root.issue(&profile("a.test")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leaf.pem");
    std::fs::write(&path, leaf.certificate_pem()).unwrap();
    let arguments = ["-trustout", "-setalias", "a shop", "-addtrust", "serverAuth", "-in"];
    let written = Command::new("openssl").arg("x509").args(arguments).arg(&path).output().unwrap();
    let trusted = String::from_utf8(written.stdout).unwrap();
    assert!(trusted.starts_with("-----BEGIN TRUSTED CERTIFICATE-----\n"), "{trusted}");
    let old = root.certificate_pem().replace(" CERTIFICATE-----", " X509 CERTIFICATE-----");
    let text = format!("{}{trusted}{old}", leaf.key_pem());
    for text in [text.clone(), text.replace('\n', "\r\n")] {
        let bundle = Bundle::read(text.as_bytes()).unwrap();
        assert_eq!(bundle.broken, []);
        assert_eq!(bundle.end_entity().unwrap(), &read(&leaf));
        assert!(bundle.certificates[1].is_ca());
        assert!(Bundle::is_pem(text.as_bytes()));
        let kept = String::from_utf8(Bundle::certificates_only(text.as_bytes())).unwrap();
        assert!(!kept.contains("KEY"), "{kept}");
        assert_eq!(Bundle::read(kept.as_bytes()).unwrap(), bundle);
    }
    // The lines before and behind must fit each other, and other labels are none of certificates.
    let mixed = trusted.replace("END TRUSTED ", "END ");
    assert_eq!(Bundle::read(mixed.as_bytes()).unwrap().broken.len(), 1);
    let request = trusted.replace("TRUSTED CERTIFICATE", "CERTIFICATE REQUEST");
    assert!(matches!(Bundle::read(request.as_bytes()), Err(BundleError::OtherKind { .. })));
}

#[test]
fn issuers_are_read_from_a_certs_only_message() {
    let (ca, other) = (ca(), ca());
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("openssl");
    command.args(["crl2pkcs7", "-nocrl", "-outform", "DER"]);
    for (number, authority) in [&other, &ca].into_iter().enumerate() {
        let path = folder.path().join(number.to_string());
        std::fs::write(&path, authority.certificate_pem()).unwrap();
        command.arg("-certfile").arg(path);
    }
    let written = command.output().expect("openssl");
    assert!(written.status.success(), "{written:?}");
    let message = written.stdout;
    let bundle = Bundle::read_issuers(&message).unwrap();
    assert!(bundle.broken.is_empty());
    let mut read: Vec<&[u8]> = bundle.certificates.iter().map(Certificate::as_der).collect();
    let mut given = [ca.certificate(), other.certificate()];
    read.sort_unstable();
    given.sort_unstable();
    assert_eq!(read, given);
    // One certificate in DER or PEM is accepted as well.
    for one in [ca.certificate().to_vec(), ca.certificate_pem().into_bytes()] {
        assert_eq!(Bundle::read_issuers(&one).unwrap().certificates.len(), 1);
    }
    assert!(Bundle::read_issuers(&message[..message.len() - 1]).is_err());
    // Files that servers load are not CMS messages.
    assert!(Bundle::read(&message).is_err());
}

#[test]
fn der_is_read_if_it_is_exactly_one_certificate() {
    let leaf = ca().issue(&profile("a.test")).unwrap();
    assert_eq!(Bundle::read(leaf.der()).unwrap().end_entity().unwrap().name(), "a.test");
    let trailing = [leaf.der(), &[0]].concat();
    assert!(matches!(Bundle::read(&trailing), Err(BundleError::Certificate { number: 1, .. })));
}

#[test]
fn a_damaged_certificate_is_reported_by_its_place_and_costs_no_other() {
    let ca = ca();
    let leaf = ca.issue(&profile("a.test")).unwrap();
    let good = leaf.certificate_pem();
    let damaged = good.replace(&good.lines().nth(3).unwrap()[..8], "!!!!!!!!");
    let cut = &good[..good.len() / 2];
    let bundle = Bundle::read(format!("{damaged}{good}{cut}").as_bytes()).unwrap();
    assert_eq!(bundle.certificates.len(), 1);
    let places: Vec<usize> = bundle.broken.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [1, 3]);
    for nothing in [&b""[..], b"hello", &[0xff; 100]] {
        assert_eq!(Bundle::read(nothing), Err(BundleError::NoCertificate));
    }
    assert!(Bundle::read(good.repeat(1025).as_bytes()).is_err(), "too many");
    let large = [&[0x30, 0x83, 0x01, 0x00, 0x01][..], &vec![0; 0x1_0001]].concat();
    assert!(matches!(Certificate::from_der(&large), Err(CertificateError::TooLarge { .. })));
}

/// A key inside a damaged certificate is skipped, and the error does not contain it.
#[test]
fn no_error_shows_contents_of_the_file() {
    let leaf = ca().issue(&profile("a.test")).unwrap();
    let (good, key) = (leaf.certificate_pem(), leaf.key_pem());
    let secret: String = key.lines().nth(1).unwrap().chars().take(20).collect();
    let lines: Vec<&str> = good.lines().collect();
    let unfinished = lines[..lines.len() - 1].join("\n");
    for key in [key.clone(), key.replace('\n', ""), key.replace('\n', " ")] {
        for text in [
            format!("{unfinished}\n{key}\n{good}"),
            format!("{unfinished}{key}{good}"),
            format!("-----BEGIN CERTIFICATE-----{key}{good}"),
            format!("-----BEGIN CERTIFICATE-----\n{key}-----END CERTIFICATE-----"),
            format!("{good}-----BEGIN CERTIFICATE-----{key}"),
        ] {
            let bundle = Bundle::read(text.as_bytes()).unwrap();
            assert!(!bundle.broken.is_empty(), "{text}");
            let numbers = format!("{:?}", secret.as_bytes());
            for (_, error) in &bundle.broken {
                let said = format!("{error} {error:?}");
                assert!(!said.contains(&secret) && !said.contains(numbers.trim_matches(['[', ']'])), "{said}");
                assert!(said.len() < 300, "{said}");
            }
        }
    }
}

#[test]
fn the_fields_of_a_certificate_are_read() {
    let ca = ca();
    let plain = read(&ca.issue(&profile("a.test")).unwrap());
    assert!(!plain.is_ca() && !plain.must_staple() && plain.allows_server_auth());
    assert!(plain.ocsp_urls().is_empty() && plain.ca_issuers_urls().is_empty());
    assert!(Certificate::from_der(ca.certificate()).unwrap().is_ca());

    let full = profile("a.test")
        .must_staple(true)
        .ocsp_url("http://one.test/ocsp")
        .ocsp_url("http://two.test")
        .ca_issuers_url("http://one.test/ca.crt");
    let full = read(&ca.issue(&full).unwrap());
    assert!(full.must_staple());
    assert_eq!(full.ocsp_urls(), ["http://one.test/ocsp", "http://two.test"]);
    assert_eq!(full.ca_issuers_urls(), ["http://one.test/ca.crt"]);

    let purposes = |purposes: &[ExtendedKeyUsage]| {
        read(&ca.issue(&profile("a.test").extended_key_usages(purposes.to_vec())).unwrap()).allows_server_auth()
    };
    assert!(purposes(&[]) && purposes(&[ExtendedKeyUsage::Any]) && purposes(&[ExtendedKeyUsage::ServerAuth]));
    assert!(!purposes(&[ExtendedKeyUsage::ClientAuth]));

    // More URLs than a certificate needs, and one that is too long.
    let many = (0..20).fold(profile("a.test"), |profile, n| profile.ocsp_url(format!("http://{n}.test/")));
    let many = many.ocsp_url(format!("http://{}.test/", "x".repeat(3000)));
    assert_eq!(read(&ca.issue(&many).unwrap()).ocsp_urls().len(), 8);
}

#[test]
fn names_of_any_legal_shape() {
    let ca = ca();
    let nameless = profile("a.test").names([]).subject([(NameAttribute::CommonName, "Grüße, \"Welt\"".to_owned())]);
    assert_eq!(read(&ca.issue(&nameless).unwrap()).name(), "Grüße, \"Welt\"");
    let hostile = profile("a.test").names([SubjectName::Dns("a\nb\u{1b}[2J.test".to_owned())]);
    if let Ok(issued) = ca.issue(&hostile) {
        assert!(!read(&issued).name().chars().any(char::is_control));
    }
    let address = profile("127.0.0.1");
    assert!(!read(&ca.issue(&address).unwrap()).name().is_empty());
}

#[test]
fn every_kind_of_key_and_malformed_extensions_are_read() {
    use KeyType::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa2048};
    for key in [Rsa2048, EcdsaP256, EcdsaP384, EcdsaP521, Ed25519] {
        let ca = Authority::root("Files CA").key(key).create().unwrap();
        let leaf = Arc::new(read(&ca.issue(&profile("a.test").key(key)).unwrap()));
        let issuer = Arc::new(Certificate::from_der(ca.certificate()).unwrap());
        assert!(CertChain::new(leaf, issuer).is_ok(), "{key:?}");
    }
    let ca = ca();
    let odd = Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 1], b"anything".to_vec());
    assert!(read(&ca.issue(&profile("a.test").extension(odd)).unwrap()).unknown_critical_extension().is_none());
    let critical = Extension::critical(&[1, 3, 6, 1, 4, 1, 99_999, 1], b"anything".to_vec());
    let critical = read(&ca.issue(&profile("a.test").extension(critical)).unwrap());
    assert_eq!(critical.unknown_critical_extension(), Some("1.3.6.1.4.1.99999.1"));
    // The description is short for an identifier of any length.
    let long: Vec<u64> = [1, 3].into_iter().chain(0..5000).collect();
    let long = read(&ca.issue(&profile("a.test").extension(Extension::critical(&long, vec![5, 0]))).unwrap());
    assert!(long.unknown_critical_extension().is_some_and(|told| told.len() < 100));
    // Extensions that decide about trust must be readable.
    let unreadable = Extension::new(&[2, 5, 29, 37], b"nonsense".to_vec());
    if let Ok(issued) = ca.issue(&profile("a.test").extended_key_usages([]).extension(unreadable)) {
        assert!(matches!(Certificate::from_der(issued.der()), Err(CertificateError::Malformed(_))));
    }
}

#[test]
fn validity_to_the_second() {
    let ca = ca();
    let chain = |profile: Profile| {
        let leaf = Arc::new(read(&ca.issue(&profile).unwrap()));
        CertChain::new(leaf, Arc::new(Certificate::from_der(ca.certificate()).unwrap())).unwrap()
    };
    let valid = chain(Profile::server("a.test").valid_between(NOW, NOW + 10));
    let usable = |second: i64| valid.check_usable(Timestamp::from_unix(second)).is_ok();
    assert_eq!([NOW - 1, NOW, NOW + 10, NOW + 11].map(usable), [false, true, true, false]);
    assert!(valid.check_usable(Timestamp::from_unix_millis((NOW + 10) * 1000 + 999)).is_ok(), "its last second, whole");
    // After 2050, where the encoding of times changes.
    let late = chain(Profile::server("a.test").valid_between(2_524_608_000 - 10, 2_524_608_000 + 10));
    assert!(late.check_usable(Timestamp::from_unix(2_524_608_005)).is_ok());
    let early = chain(Profile::server("a.test").valid_between(-DAY, DAY));
    assert!(early.check_usable(Timestamp::from_unix(-5)).is_ok());
}

/// The certificate as text.
fn words(certificate: &Certificate) -> Box<describe::object::Certificate> {
    match Object::certificate(certificate, None) {
        Object::Certificate(words) => words,
        other => panic!("{other:?}"),
    }
}

#[test]
fn certificates_are_described_in_words() {
    let ca = Authority::root("Files CA").organization("Example").key(KeyType::EcdsaP384).create().unwrap();
    let described = words(&Certificate::from_der(ca.certificate()).unwrap());
    assert_eq!(
        (described.subject.as_str(), described.issuer.as_str()),
        ("O=Example, CN=Files CA", "O=Example, CN=Files CA")
    );
    assert_eq!(
        (described.public_key.as_str(), described.signature_algorithm.as_str()),
        ("ECDSA, P-384", "ecdsa-with-SHA384")
    );
    assert!(described.key_usage.unwrap().contains(&"keyCertSign"));
    assert_eq!((described.version, described.extended_key_usage), (2, None));

    let odd = |critical: bool, arc: u64| match critical {
        true => Extension::critical(&[1, 3, 6, 1, 4, 1, 99_999, arc], vec![5, 0]),
        false => Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, arc], vec![5, 0]),
    };
    let leaf = profile("a.test")
        .dns("2001:db8::1")
        .key(KeyType::Ed25519)
        .must_staple(true)
        .extended_key_usages([ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::Any])
        .extension(odd(true, 1))
        .extension(odd(false, 2))
        .extension(odd(true, 3));
    let described = words(&read(&ca.issue(&leaf).unwrap()));
    assert_eq!(described.names, ["DNS:a.test", "IP Address:2001:db8::1"]);
    assert_eq!(described.public_key, "Ed25519");
    assert_eq!(described.extended_key_usage.unwrap(), ["anyExtendedKeyUsage", "serverAuth"]);
    assert_eq!(described.unknown_critical_extensions, ["1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.3"]);
    let nameless = profile("a.test").names([SubjectName::Dns("a.test".to_owned())]).subject([]);
    assert_eq!(words(&read(&ca.issue(&nameless).unwrap())).subject, "(empty)");
}

/// A file in the form that servers use gives a chain in any order; otherwise the error names the missing part.
#[test]
fn a_chain_is_read_from_pem_and_from_der() {
    let ca = ca();
    let leaf = ca.issue(&profile("a.test")).unwrap();
    let (own, issuer, key) = (leaf.certificate_pem(), ca.certificate_pem(), leaf.key_pem());
    for text in [format!("{own}{issuer}{key}"), format!("{key}{issuer}{own}")] {
        let chain = CertChain::from_pem(text.as_bytes()).unwrap();
        assert_eq!((chain.end_entity().as_der(), chain.issuer().as_der()), (leaf.der(), ca.certificate()));
    }
    let chain = CertChain::from_der(leaf.der(), ca.certificate()).unwrap();
    assert_eq!(chain.end_entity().as_der(), leaf.der());

    let error = CertChain::from_pem(own.as_bytes()).unwrap_err();
    assert!(matches!(error, ChainError::IssuerMissing { .. }), "{error}");
    assert_eq!(error.to_string(), "a.test: the certificate of its issuer, Files CA, is not in the file: append it");
    let error = CertChain::from_pem(issuer.as_bytes()).unwrap_err();
    assert_eq!(error, ChainError::NoEndEntity);
    let namesake = Authority::root("Files CA").create().unwrap();
    let error = CertChain::from_pem(format!("{own}{}", namesake.certificate_pem()).as_bytes()).unwrap_err();
    assert!(matches!(error, ChainError::IssuerMissing { .. }), "of the issuer's name only: {error}");
    let error = CertChain::from_der(leaf.der(), namesake.certificate()).unwrap_err();
    assert!(matches!(error, ChainError::WrongIssuer { .. } | ChainError::UnsupportedAlgorithm { .. }), "{error}");
    assert!(matches!(CertChain::from_der(b"0", ca.certificate()), Err(ChainError::Certificate(_))));
}

/// The rule for an issuer is OpenSSL's, which servers use: each form of authorityKeyIdentifier gives the same answer.
#[test]
fn an_issuer_is_taken_as_openssl_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ca();
    let issuer = Certificate::from_der(ca.certificate()).unwrap();
    std::fs::write(folder.path().join("ca.pem"), ca.certificate_pem()).unwrap();
    let serial = |contents: &[u8]| der::value(0x82, contents);
    let name = |name: &[u8]| der::value(0xa1, &der::value(0xa4, name));
    let own_serial = der::unsigned_contents(issuer.serial());
    let other_name = read(&ca.issue(&profile("other.test")).unwrap()).subject().to_vec();
    let forms: [(&str, Vec<Vec<u8>>, bool); 7] = [
        ("nothing", vec![], true),
        ("another key", vec![der::value(0x80, b"another key")], false),
        ("the issuer and the serial number", vec![name(issuer.issuer()), serial(&own_serial)], true),
        ("the serial number", vec![serial(&own_serial)], true),
        ("another serial number", vec![serial(b"\x05")], false),
        ("another issuer", vec![name(&other_name), serial(&own_serial)], false),
        ("another key, the right serial number", vec![der::value(0x80, b"another key"), serial(&own_serial)], false),
    ];
    for (form, fields, is_taken) in forms {
        let extension = Extension::new(&[2, 5, 29, 35], der::sequence(&fields));
        let issued = ca.issue(&profile("a.test").authority_key_identifier(false).extension(extension)).unwrap();
        std::fs::write(folder.path().join("leaf.pem"), issued.certificate_pem()).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["verify", "-no_check_time", "-CAfile", "ca.pem", "leaf.pem"]).current_dir(folder.path());
        let verified = openssl.output().expect("openssl");
        assert_eq!(verified.status.success(), is_taken, "{form}: {verified:?}");
        assert_eq!(read(&issued).seems_issued_by(&issuer), is_taken, "{form}");
    }
}
