//! `stapled inspect`: everything in responses, requests and certificates, in words and JSON, and what is none of them.

use std::fs::File;

use serde_json::{Value, json};
use stapled_ca::ocsp::{CertId, HashAlgorithm, NullParameters, OcspRequest, ResponseBuilder, ResponseStatus};
use stapled_ca::{ExtendedKeyUsage, Extension, KeyType, KeyUsage, NameAttribute, Reason, pem};

use crate::question::{DAY, NOW, Question, object, responder, server, times};
use crate::world::{Ended, PATIENCE, Running, command_in};

/// An unknown extension.
const ARCS: &[u64] = &[1, 3, 6, 1, 4, 1, 99_999, 1];

impl Question {
    fn inspect(&self, contents: &[u8], more: &[&str]) -> Ended {
        self.write("inspected", contents);
        self.run(&[&["inspect", "inspected"], more].concat())
    }

    /// The one object in these contents.
    fn object(&self, contents: &[u8]) -> Value {
        let ended = self.inspect(contents, &["--json"]);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
        object(&ended)
    }
}

/// The lines that begin with these words, less white space.
fn lines(ended: &Ended, name: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    ended.out.lines().map(words).filter(|line| line.starts_with(name)).collect()
}

#[test]
fn everything_in_a_response() {
    let question = Question::new(KeyType::EcdsaP256);
    let delegate = question.delegate(&responder());
    // Shaped as a certificate is, so the response can be read; but what it says cannot.
    let nonsense = Extension::new(&[2, 5, 29, 37], b"nonsense".to_vec());
    let unreadable = question.ca.issue(&server("odd.test").extended_key_usages([]).extension(nonsense)).unwrap();
    let serial = question.leaf.serial();
    let bare = CertId::with_parameters(question.ca.identity(), serial, HashAlgorithm::Sha256, NullParameters::Absent);
    let response = times(ResponseBuilder::signed_by(delegate))
        .responder_by_name()
        .revoked(&question.id(), NOW - DAY, Some(Reason::KeyCompromise))
        .single_extension(&Extension::critical(ARCS, vec![5, 0]))
        .unknown(&bare)
        .no_next_update()
        .nonce(&[0xab; 16])
        .further_certificate(unreadable.der())
        .build()
        .unwrap();
    let object = question.object(&response);
    assert_eq!(object["kind"], "ocsp_response");
    assert_eq!(object["size"], response.len());
    assert_eq!((&object["status"], &object["response_type"]), (&"successful".into(), &"id-pkix-ocsp-basic".into()));
    assert_eq!(object["version"], 0);
    assert!(object["responder_id"]["by_name"].as_str().unwrap().contains("CN=Responder"), "{object}");
    assert_eq!(object["produced_at"], "2027-01-15T07:59:00Z");
    assert_eq!(object["signature_algorithm"], "ecdsa-with-SHA256");
    assert_eq!(object["nonce"], "AB".repeat(16));
    assert_eq!(object["extensions"][0]["name"], "nonce");
    assert_eq!(object["extensions"][0]["value"], format!("0410{}", "AB".repeat(16)));
    let [first, second] = object["responses"].as_array().unwrap().as_slice() else { panic!("{object}") };
    assert_eq!((&first["status"], &first["revocation_reason"]), (&"revoked".into(), &"keyCompromise".into()));
    assert_eq!(first["revoked_at"], "2027-01-14T08:00:00Z");
    assert_eq!(
        (&first["this_update"], &first["next_update"]),
        (&"2027-01-15T07:59:00Z".into(), &"2027-01-22T08:00:00Z".into())
    );
    let extension = json!({ "oid": "1.3.6.1.4.1.99999.1", "name": null, "critical": true, "value": "0500" });
    assert_eq!(first["extensions"], json!([extension]));
    assert_eq!((&first["cert_id"]["hash"], &first["cert_id"]["null_parameters"]), (&"SHA-1".into(), &true.into()));
    assert_eq!(first["cert_id"]["serial"], serial.to_string());
    assert_eq!((&second["status"], &second["next_update"]), (&"unknown".into(), &().into()));
    assert_eq!((&second["cert_id"]["hash"], &second["cert_id"]["null_parameters"]), (&"SHA-256".into(), &false.into()));
    assert_eq!(second["cert_id"]["issuer_key_hash"].as_str().unwrap().len(), 64);
    let [delegate, broken] = object["certificates"].as_array().unwrap().as_slice() else { panic!("{object}") };
    assert_eq!(delegate["extended_key_usage"], json!(["OCSPSigning"]));
    assert_eq!(delegate["ocsp_no_check"], true);
    assert!(broken["detail"].as_str().unwrap().contains("2.5.29.37 cannot be read"), "{broken}");

    let words = question.inspect(&response, &[]);
    assert_eq!(words.code, 0);
    for line in [
        format!("OCSP response, {} bytes", response.len()),
        "responseStatus successful".to_owned(),
        "version 0 (v1)".to_owned(),
        "responderID byName CN=Responder".to_owned(),
        "response 1 of 2".to_owned(),
        "certStatus revoked (keyCompromise)".to_owned(),
        "revocationTime 2027-01-14T08:00:00Z (".to_owned(),
        "nextUpdate 2027-01-22T08:00:00Z (".to_owned(),
        "nextUpdate none".to_owned(),
        "CertID hash SHA-1, with NULL parameters".to_owned(),
        "CertID hash SHA-256, without parameters".to_owned(),
        "extension 1.3.6.1.4.1.99999.1, critical: 0500".to_owned(),
        "extension nonce, 1.3.6.1.5.5.7.48.1.2: 0410ABAB".to_owned(),
        "certificate 2 of 2: malformed: not an X.509 certificate: ".to_owned(),
    ] {
        assert!(!lines(&words, &line).is_empty(), "{line} in {}", words.out);
    }
    // What is said stands in one column.
    let column = |name: &str| {
        let line = words.out.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.len() - line.trim_start()[name.len()..].trim_start().len()
    };
    let columns = ["producedAt", "certStatus", "issuerKeyHash", "ocsp-nocheck"].map(column);
    assert!(columns.iter().all(|column| *column == columns[0]), "{columns:?}");
    // The distance of a time is counted from now.
    let last_second = b"\x18\x0f99991231235959Z".to_vec();
    let now = question.good().this_update(0).next_update_der(last_second).build().unwrap();
    let words = question.inspect(&now, &[]);
    assert!(lines(&words, "thisUpdate 1970-01-01T00:00:00Z (").iter().all(|line| line.ends_with("days ago)")));
    assert!(lines(&words, "nextUpdate 9999-12-31T23:59:59Z (in ").len() == 1, "{}", words.out);
}

#[test]
fn responses_that_are_no_answers() {
    let question = Question::new(KeyType::EcdsaP256);
    let refusal = question.object(&ResponseBuilder::error(ResponseStatus::TryLater));
    assert_eq!(refusal, json!({ "kind": "ocsp_response", "size": 5, "status": "tryLater", "response_type": null }));
    let other = question.good().response_type(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 99]).build().unwrap();
    assert_eq!(question.object(&other)["response_type"], "1.3.6.1.5.5.7.48.1.99");
    // Whatever is wrong with it is not judged here.
    let wrong = question.good().corrupt_signature().explicit_version(6).build().unwrap();
    assert_eq!(question.object(&wrong)["version"], 6);
    let odd = question.good().algorithm_identifier(b"\x30\x05\x06\x03\x2b\x65\x71".to_vec()).build().unwrap();
    assert_eq!(question.object(&odd)["signature_algorithm"], "Ed448");
    let nameless = question.good().algorithm_identifier(b"\x30\x02\x05\x00".to_vec()).build().unwrap();
    assert_eq!(question.object(&nameless)["signature_algorithm"], "an algorithm without a name");
}

#[test]
fn everything_in_a_request() {
    let question = Question::new(KeyType::EcdsaP256);
    let request = OcspRequest::for_certificate(question.id()).to_der();
    let object = question.object(&request);
    assert_eq!((&object["kind"], &object["version"]), (&"ocsp_request".into(), &0.into()));
    assert_eq!((&object["requestor_name"], &object["signature_algorithm"]), (&().into(), &().into()));
    assert_eq!(object["requests"][0]["cert_id"]["serial"], question.leaf.serial().to_string());
    let words = question.inspect(&request, &[]);
    for line in ["OCSP request, ", "requestorName none", "signature none", "nonce none", "request 1 of 1"] {
        assert!(!lines(&words, line).is_empty(), "{line} in {}", words.out);
    }
}

/// What another program asks with: a nonce, several certificates, a name and a signature.
#[test]
fn requests_of_openssl() {
    let question = Question::new(KeyType::EcdsaP256);
    let other = question.ca.issue(&server("other.test")).unwrap();
    question.write("other.pem", other.certificate_pem());
    let signer = question.ca.issue(&server("asker.test").subject([(NameAttribute::CommonName, "Asker".to_owned())]));
    let signer = signer.unwrap();
    question.write("signer.pem", signer.certificate_pem());
    question.write("signer.key", signer.key_pem());
    let arguments = "ocsp -issuer ca.pem -cert leaf.pem -sha256 -cert other.pem -reqout request \
                     -signer signer.pem -signkey signer.key";
    let openssl = std::process::Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(question.directory.path())
        .output()
        .unwrap();
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    let request = std::fs::read(question.path("request")).unwrap();
    let object = question.object(&request);
    let hashes: Vec<&str> =
        object["requests"].as_array().unwrap().iter().map(|one| one["cert_id"]["hash"].as_str().unwrap()).collect();
    assert_eq!(hashes, ["SHA-1", "SHA-256"]);
    assert_eq!(object["requestor_name"], "DirName:CN=Asker");
    assert_eq!(object["signature_algorithm"], "ecdsa-with-SHA256");
    assert_eq!(object["certificates"][0]["subject"], "CN=Asker");
    assert_eq!(object["nonce"].as_str().unwrap().len(), 32, "16 octets");
    assert_eq!(object["extensions"][0]["name"], "nonce");
    let words = question.inspect(&request, &[]);
    for line in ["requestorName DirName:CN=Asker", "signature ecdsa-with-SHA256", "request 2 of 2", "certificate 1 of"]
    {
        assert!(!lines(&words, line).is_empty(), "{line} in {}", words.out);
    }
}

#[test]
fn everything_in_a_certificate() {
    let question = Question::new(KeyType::EcdsaP384);
    let profile = server("a.test")
        .dns("b.test")
        .dns("192.0.2.1")
        .key(KeyType::Rsa2048)
        .ocsp_url("http://second.test/")
        .ca_issuers_url("http://ca.test/ca.crt")
        .must_staple(true)
        .key_usages([KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment])
        .extended_key_usages([ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth])
        .extension(Extension::critical(ARCS, vec![5, 0]));
    let leaf = question.ca.issue(&profile).unwrap();
    let object = question.object(leaf.der());
    for (name, expected) in [
        ("kind", json!("certificate")),
        ("version", json!(2)),
        ("names", json!(["DNS:a.test", "DNS:b.test", "IP Address:192.0.2.1"])),
        ("issuer", json!("CN=Judged CA")),
        ("serial", json!(leaf.serial().to_string())),
        ("not_before", json!("2026-12-16T08:00:00Z")),
        ("not_after", json!("2027-03-16T08:00:00Z")),
        ("public_key", json!("RSA, 2048 bits")),
        ("signature_algorithm", json!("ecdsa-with-SHA384")),
        ("is_ca", json!(false)),
        ("key_usage", json!(["digitalSignature", "keyEncipherment"])),
        ("extended_key_usage", json!(["serverAuth", "clientAuth"])),
        ("ca_issuers_urls", json!(["http://ca.test/ca.crt"])),
        ("must_staple", json!(true)),
        ("ocsp_no_check", json!(false)),
        ("unknown_critical_extensions", json!(["1.3.6.1.4.1.99999.1"])),
        ("cert_ids", json!([])),
    ] {
        assert_eq!(object[name], expected, "{name}");
    }
    assert!(object["ocsp_urls"].as_array().unwrap().contains(&"http://second.test/".into()));
    assert_eq!(object["sha256_fingerprint"].as_str().unwrap().len(), 64);
    let words = question.inspect(leaf.der(), &[]);
    for line in [
        "certificate, ",
        "subjectAltName DNS:a.test",
        "DNS:b.test",
        "key RSA, 2048 bits",
        "CA no",
        "keyUsage digitalSignature, keyEncipherment",
        "extKeyUsage serverAuth, clientAuth",
        "caIssuers URL http://ca.test/ca.crt",
        "must-staple yes",
        "unknown and critical 1.3.6.1.4.1.99999.1",
    ] {
        assert!(!lines(&words, line).is_empty(), "{line} in {}", words.out);
    }
    let ca = question.object(question.ca.certificate());
    assert_eq!((&ca["is_ca"], &ca["public_key"]), (&true.into(), &"ECDSA, P-384".into()));
    let words = question.inspect(question.ca.certificate(), &[]);
    assert_eq!(lines(&words, "OCSP URL"), ["OCSP URL none"]);
}

#[test]
fn all_that_is_in_a_pem_file_but_the_key() {
    let question = Question::new(KeyType::EcdsaP256);
    let response = question.good().build().unwrap();
    let request = OcspRequest::for_certificate(question.id()).to_der();
    let key = question.leaf.key_pem();
    let text = [
        question.leaf.certificate_pem(),
        key.clone(),
        question.ca.certificate_pem(),
        pem::encode("OCSP RESPONSE", &response),
        pem::encode("OCSP REQUEST", &request),
    ]
    .concat();
    let secret: String = key.lines().nth(1).unwrap().chars().take(20).collect();
    let ended = question.inspect(text.as_bytes(), &["--json"]);
    let objects: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["certificate", "certificate", "ocsp_response", "ocsp_request"]);
    // The issuer is in the file, so it is known what the certificate is asked for by.
    let ids = objects[0]["cert_ids"].as_array().unwrap();
    assert_eq!(ids[0], objects[2]["responses"][0]["cert_id"]);
    assert_eq!(ids[0], objects[3]["requests"][0]["cert_id"]);
    assert_eq!((ids.len(), &ids[1]["hash"]), (2, &"SHA-256".into()));
    assert_eq!(objects[1]["cert_ids"], json!([]), "a root is asked for by nothing");
    let words = question.inspect(text.as_bytes(), &[]);
    assert_eq!((ended.code, words.code), (0, 0));
    assert!(words.out.contains("PRIVATE KEY: passed over"), "{}", words.out);
    for out in [&ended.out, &words.out, &ended.err, &words.err] {
        assert!(!out.contains(&secret));
    }

    // A damaged object is reported in its place, and the others are shown.
    let damaged = text.replacen("MI", "MJ", 1);
    let ended = question.inspect(damaged.as_bytes(), &["--json"]);
    let objects: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ended.code, objects.len()), (20, 4));
    assert_eq!((&objects[0]["kind"], &objects[0]["label"]), (&"malformed".into(), &"CERTIFICATE".into()));
    let words = question.inspect(damaged.as_bytes(), &[]);
    assert!(words.code == 20 && words.out.starts_with("CERTIFICATE: malformed: not a certificate: "), "{words:?}");
}

#[test]
fn forms_of_files() {
    let question = Question::new(KeyType::EcdsaP256);
    let response = question.good().build().unwrap();
    let text = pem::encode("OCSP RESPONSE", &response);
    let base64: String = text.lines().filter(|line| !line.starts_with("---")).collect();
    let expected = question.object(&response);
    for contents in [text.clone(), text.replace('\n', "\r\n"), base64.clone(), format!(" {base64}\r\n")] {
        assert_eq!(question.object(contents.as_bytes()), expected, "{contents}");
    }
    let mut command = command_in(question.directory.path(), &["inspect", "-", "--json"]);
    command.stdin(File::open(question.path("inspected")).unwrap());
    assert_eq!(object(&Running::start(command).end(PATIENCE)), expected);

    for (contents, message) in [
        (&b""[..], "the input is empty"),
        (b"hell", "not an OCSP response: not strict DER"),
        (b"hello!", "nor base64: Invalid symbol 33"),
        (b"\x30\x80\x00\x00", "not a certificate: not strict DER: an indefinite length"),
        (&[response.as_slice(), b"\0"].concat(), "bytes after the end"),
        (question.leaf.key_pem().as_bytes(), "no response, request or certificate in the input"),
        (b"-----BEGIN OCSP REQUEST-----\nMAA=\n-----END OCSP REQUEST-----", "OCSP REQUEST: malformed: not an OCSP"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n", "CERTIFICATE: malformed: the PEM section CERTIFICATE has no END line"),
        (pem::encode("CERTIFICATE", &[0x30, 0]).repeat(1025).as_bytes(), "more than 1024 PEM sections"),
    ] {
        let words = question.inspect(contents, &[]);
        assert_eq!(words.code, 20, "{words:?}");
        assert!(words.out.contains(message), "{message} in {}", words.out);
        let json = question.inspect(contents, &["--json"]);
        assert_eq!(json.code, 20);
        for line in json.out.lines() {
            assert_eq!(serde_json::from_str::<Value>(line).unwrap()["kind"], "malformed", "{line}");
        }
    }
    File::create(question.path("huge")).unwrap().set_len(1 << 30).unwrap();
    let huge = question.run(&["inspect", "huge"]);
    assert!(huge.code == 20 && huge.out.contains("more than the 1048576 bytes that are read"), "{huge:?}");
    for (file, message) in [("nowhere", "nowhere cannot be read: No such file"), (".", "is not a regular file")] {
        let ended = question.run(&["inspect", file]);
        assert!(ended.code == 2 && ended.err.contains(message) && ended.out.is_empty(), "{ended:?}");
    }
    for (arguments, message) in [
        (&["inspect"][..], "<FILE>"),
        (&["inspect", "a", "b"], "unexpected argument 'b'"),
        (&["inspect", "a", "--at", "1"], "unexpected argument '--at'"),
    ] {
        let ended = question.run(arguments);
        assert!(ended.code == 2 && ended.err.contains(message), "{ended:?}");
    }
    let help = question.run(&["inspect", "--help"]).out;
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
}

/// A file that asks for as much work as it can: certificates of one name, each of which may have issued each.
#[test]
fn a_crowd_of_namesakes_is_no_burden() {
    let question = Question::new(KeyType::EcdsaP521);
    let names = (0..8).map(|_| crate::question::authority("Judged CA", KeyType::EcdsaP521).certificate_pem());
    let text = names.collect::<String>().repeat(120);
    let start = std::time::Instant::now();
    let ended = question.inspect(text.as_bytes(), &["--json"]);
    assert_eq!((ended.code, ended.out.lines().count()), (0, 960));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}
