//! `stapled verify`: every verdict with its exit code and reason, every form of file, every mistake.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder, ResponseStatus, Signer};
use stapled_ca::{Extension, KeyType, KeyUsage, NameAttribute, Reason, Serial, SignatureScheme, pem};

use crate::question::{DAY, NOW, Question, authority, object, responder, server, times};
use crate::world::{PATIENCE, Running, command_in};

/// The reason codes of the command.
const REASONS: [&str; 28] = [
    "bad_signature",
    "bad_times",
    "conflicting_responses",
    "error_status:internal_error",
    "error_status:malformed_request",
    "error_status:sig_required",
    "error_status:try_later",
    "error_status:unauthorized",
    "expired",
    "malformed",
    "missing_next_update",
    "no_matching_certid",
    "nonce_mismatch",
    "not_yet_valid",
    "responder_cert_expired",
    "responder_cert_missing",
    "responder_cert_not_yet_valid",
    "responder_id_mismatch",
    "responder_key_usage",
    "responder_missing_eku",
    "responder_wrong_issuer",
    "too_large",
    "unhandled_critical_extension",
    "unsupported_algorithm",
    "unsupported_response_type",
    "unsupported_version",
    "weak_key",
    "weak_signature",
];

#[test]
fn every_reason() {
    let mut reached = BTreeSet::new();
    let question = Question::new(KeyType::EcdsaP256);
    let stranger = authority("Stranger", KeyType::EcdsaP256);
    let rsa = Question::new(KeyType::Rsa2048);
    let short = Question::new(KeyType::Rsa1024);
    let mut check_in = |question: &Question, response: Vec<u8>, more: &[&str], reason: &'static str| {
        assert_eq!(question.verdict_of(&response, more), format!("20 {reason}"));
        reached.insert(reason);
    };
    {
        let mut check = |response: ResponseBuilder, reason| check_in(&question, response.build().unwrap(), &[], reason);
        check(question.good().corrupt_signature(), "bad_signature");
        check(question.good().this_update(NOW).next_update(NOW), "bad_times");
        check(question.good().unknown(&question.id()), "conflicting_responses");
        check(question.good().next_update(NOW), "expired");
        check(question.good().trailing(&[0]), "malformed");
        check(question.good().no_next_update(), "missing_next_update");
        check(times(ResponseBuilder::new(&question.ca)), "no_matching_certid");
        check(question.good().this_update(NOW + 301), "not_yet_valid");
        let delegated = |profile| question.good_by(question.delegate(&profile));
        check(delegated(responder().valid_between(NOW - DAY, NOW - 1)), "responder_cert_expired");
        check(delegated(responder().valid_between(NOW + 1, NOW + DAY)), "responder_cert_not_yet_valid");
        check(delegated(responder()).certificates::<&[u8]>(&[]), "responder_cert_missing");
        let delegate = question.delegate(&responder());
        let misnamed = Signer::new(delegate.key().clone(), stranger.signer().identity().clone(), None);
        check(question.good_by(misnamed).further_certificate(delegate.certificate().unwrap()), "responder_id_mismatch");
        check(delegated(responder().key_usages(vec![KeyUsage::KeyEncipherment])), "responder_key_usage");
        check(delegated(server("sibling.test")), "responder_missing_eku");
        let foreign = Signer::delegate(&stranger.issue(&responder()).unwrap());
        check(question.good_by(foreign), "responder_wrong_issuer");
        let arcs = &[1, 3, 6, 1, 4, 1, 99_999, 1];
        check(question.good().response_extension(&Extension::new(arcs, vec![0; 70_000])), "too_large");
        check(question.good().single_extension(&Extension::critical(arcs, vec![])), "unhandled_critical_extension");
        let ed25519 = SignatureScheme::Ed25519.algorithm_identifier();
        check(question.good().algorithm_identifier(ed25519), "unsupported_algorithm");
        check(question.good().response_type(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 99]), "unsupported_response_type");
        check(question.good().explicit_version(1), "unsupported_version");
    }
    for (status, reason) in [
        (ResponseStatus::InternalError, "error_status:internal_error"),
        (ResponseStatus::MalformedRequest, "error_status:malformed_request"),
        (ResponseStatus::SigRequired, "error_status:sig_required"),
        (ResponseStatus::TryLater, "error_status:try_later"),
        (ResponseStatus::Unauthorized, "error_status:unauthorized"),
    ] {
        check_in(&question, ResponseBuilder::error(status), &[], reason);
    }
    let nonce = question.good().nonce(&[1; 16]).build().unwrap();
    check_in(&question, nonce, &["--nonce", "00"], "nonce_mismatch");
    check_in(&short, short.good().build().unwrap(), &[], "weak_key");
    check_in(&rsa, rsa.good().scheme(SignatureScheme::RsaPkcs1Sha1).build().unwrap(), &[], "weak_signature");
    assert_eq!(reached, BTreeSet::from(REASONS));

    // An answer about the same number by another issuer; and a certificate that the issuer did not issue.
    let foreign = stranger.cert_id(question.leaf.serial(), HashAlgorithm::Sha1);
    assert_eq!(question.verdict(&times(ResponseBuilder::new(&question.ca)).good(&foreign), &[]), "20 wrong_issuer");
    let good = question.good().build().unwrap();
    question.write("ca.pem", stranger.certificate_pem());
    assert_eq!(question.verdict_of(&good, &[]), "20 wrong_issuer");
}

#[test]
fn what_is_allowed_is_believed() {
    let rsa = Question::new(KeyType::Rsa2048);
    let sha1 = rsa.good().scheme(SignatureScheme::RsaPkcs1Sha1);
    assert_eq!(rsa.verdict(&sha1, &["--allow-sha1"]), "0 good");
    assert_eq!(rsa.verdict(&sha1, &["--allow-weak-keys", "--allow-missing-next-update"]), "20 weak_signature");
    let short = Question::new(KeyType::Rsa1024);
    assert_eq!(short.verdict(&short.good(), &["--allow-weak-keys"]), "0 good");
    let question = Question::new(KeyType::EcdsaP256);
    let endless = question.good().no_next_update();
    let (code, object) = question.judge(&endless.build().unwrap(), &["--allow-missing-next-update"]);
    assert_eq!((code, &object["stapleable"], &object["next_update"]), (0, &false.into(), &().into()), "{object}");
    let early = question.good().this_update(NOW + 301);
    assert_eq!(question.verdict(&early, &["--clock-skew", "301"]), "0 good");
    assert_eq!(question.verdict(&question.good().this_update(NOW + 1), &["--clock-skew", "0"]), "20 not_yet_valid");
    let nonce = question.good().nonce(&[0xab, 0xcd]);
    assert_eq!(question.verdict(&nonce, &["--nonce", "aBCd"]), "0 good");
    assert_eq!(question.verdict(&question.good(), &["--nonce", "abcd"]), "0 good", "no nonce: the times decide");
}

#[test]
fn every_status_in_words_and_json() {
    let question = Question::new(KeyType::EcdsaP256);
    let serial = question.leaf.serial().to_string();
    let delegate = question.delegate(&responder());
    let (code, object) = question.judge(&question.good_by(delegate).build().unwrap(), &[]);
    assert_eq!(code, 0);
    let expected = serde_json::json!({
        "verdict": "valid", "status": "good", "reason": null, "stapleable": true,
        "detail": "the certificate is good",
        "this_update": "2027-01-15T07:59:00Z", "next_update": "2027-01-22T08:00:00Z",
        "produced_at": "2027-01-15T07:59:00Z", "responder": "Responder", "delegated": true,
        "signature_algorithm": "ecdsa-with-SHA256", "serial": serial,
    });
    assert_eq!(object, expected);
    let order = ["verdict", "status", "reason", "stapleable", "detail", "this_update", "next_update", "produced_at"];
    let order = order.into_iter().chain(["responder", "delegated", "signature_algorithm", "serial"]);
    let line = question.verify(&["--json"]).out;
    let places: Vec<usize> = order.map(|name| line.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{line}");

    let words = question.verify(&[]).out;
    for part in [
        "good: the certificate is good\n",
        &format!("  certificate  judged.test, serial number {serial}\n"),
        "  responder    Responder, a delegate of the issuer\n",
        "  nextUpdate   2027-01-22T08:00:00Z\n",
        "  signature    ecdsa-with-SHA256\n",
        "  stapleable   yes\n",
    ] {
        assert!(words.contains(part), "{part} in {words}");
    }

    let of = || times(ResponseBuilder::new(&question.ca));
    let revoked = of().revoked(&question.id(), NOW - DAY, Some(Reason::KeyCompromise)).build().unwrap();
    let (code, object) = question.judge(&revoked, &[]);
    assert_eq!((code, &object["status"], &object["stapleable"]), (10, &"revoked".into(), &false.into()));
    assert_eq!(object["detail"], "the certificate was revoked at 2027-01-14T08:00:00Z (keyCompromise)");
    let words = question.verify(&[]);
    assert!(words.code == 10 && words.out.starts_with("REVOKED: the certificate was revoked"), "{words:?}");

    let (code, object) = question.judge(&of().unknown(&question.id()).build().unwrap(), &[]);
    assert_eq!((code, &object["status"], &object["stapleable"]), (11, &"unknown".into(), &false.into()));

    // A refused response shows its own claims; its signer is not verified.
    let (code, object) = question.judge(&question.good().next_update(NOW - 1).build().unwrap(), &[]);
    assert_eq!((code, &object["reason"], &object["status"]), (20, &"expired".into(), &().into()));
    assert_eq!(object["next_update"], "2027-01-15T07:59:59Z");
    assert_eq!((&object["responder"], &object["delegated"]), (&().into(), &false.into()));
    assert_eq!(object["serial"], serial.as_str());
    let words = question.verify(&[]).out;
    assert!(
        words.starts_with("INVALID (expired): the response expired at nextUpdate, 2027-01-15T07:59:59Z; the time is"),
        "{words}"
    );
    // Two answers: which of their times would be told?
    let two = question.good().revoked(&question.id(), NOW, None).build().unwrap();
    let (_, object) = question.judge(&two, &[]);
    assert_eq!((&object["reason"], &object["this_update"]), (&"conflicting_responses".into(), &().into()));
    // Odd and believed.
    let ahead = question.good().produced_at(NOW + DAY).build().unwrap();
    question.write("response", ahead);
    let words = question.verify(&[]);
    assert!(words.code == 0 && words.out.contains("  odd          producedAt 2027-01-16"), "{words:?}");
}

#[test]
fn what_haproxy_would_get() {
    let question = Question::new(KeyType::EcdsaP256);
    let stapleable = |response: ResponseBuilder| {
        let (code, object) = question.judge(&response.build().unwrap(), &[]);
        assert_eq!(code, 0, "{object}");
        (object["stapleable"].as_bool().unwrap(), object["detail"].as_str().unwrap().to_owned())
    };
    let (serial, of) = (question.leaf.serial(), || times(ResponseBuilder::new(&question.ca)));
    assert!(stapleable(question.good().next_update(NOW + 301)).0);
    for (response, why) in [
        (question.good().next_update(NOW + 300), "the server does not serve it in its last 300 s"),
        (of().good(&question.ca.cert_id(serial, HashAlgorithm::Sha256)), "SHA-1 CertID with NULL parameters only"),
        (
            question.good().good(&question.ca.cert_id(&Serial::from(5), HashAlgorithm::Sha1)),
            "2 single responses; the server takes one",
        ),
        (
            question.good().response_extension(&Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![0; 12_000])),
            "the server takes 11264",
        ),
    ] {
        let (is_stapleable, detail) = stapleable(response);
        assert!(!is_stapleable && detail.contains(why), "{why}: {detail}");
    }
}

#[test]
fn delegates_from_outside_are_believed_and_not_stapled() {
    let question = Question::new(KeyType::EcdsaP256);
    let delegate = question.delegate(&responder());
    let bare = question.good_by(delegate.clone()).certificates::<&[u8]>(&[]).build().unwrap();
    let stranger = authority("Stranger", KeyType::EcdsaP256);
    question.write("delegate.pem", pem::encode("CERTIFICATE", delegate.certificate().unwrap()));
    question.write("delegate.der", delegate.certificate().unwrap());
    question.write("stranger.pem", stranger.certificate_pem());
    question.write("junk", "junk");
    assert_eq!(question.verdict_of(&bare, &[]), "20 responder_cert_missing");
    assert_eq!(question.verdict_of(&bare, &["--extra-cert", "stranger.pem"]), "20 responder_cert_missing");
    for file in ["delegate.pem", "delegate.der"] {
        let more = ["--extra-cert", "stranger.pem", "--extra-cert", file];
        let (code, object) = question.judge(&bare, &more);
        assert_eq!((code, &object["stapleable"], &object["delegated"]), (0, &false.into(), &true.into()));
        assert!(object["detail"].as_str().unwrap().contains("clients could not verify it"), "{object}");
    }
    // The same rules hold: an ordinary certificate of the CA does not sign, wherever it lies.
    let sibling = question.delegate(&server("sibling.test"));
    question.write("sibling.pem", pem::encode("CERTIFICATE", sibling.certificate().unwrap()));
    let bare = question.good_by(sibling).certificates::<&[u8]>(&[]).build().unwrap();
    assert_eq!(question.verdict_of(&bare, &["--extra-cert", "sibling.pem"]), "20 responder_missing_eku");
    // A file without certificates decides nothing, and is reported.
    question.write("response", question.good().build().unwrap());
    let ended = question.verify(&["--extra-cert", "junk"]);
    assert!(ended.code == 0 && ended.err.contains("--extra-cert junk: no certificate: neither"), "{ended:?}");
}

#[test]
fn every_form_of_file() {
    let question = Question::new(KeyType::EcdsaP256);
    let der = question.good().build().unwrap();
    let text = pem::encode("OCSP RESPONSE", &der);
    let base64: String = text.lines().filter(|line| !line.starts_with("---")).collect();
    let lines = base64.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned());
    let lines = lines.collect::<Vec<_>>();
    let corrupt = question.good().corrupt_signature().build().unwrap();
    for (what, contents) in [
        ("DER", der.clone()),
        ("PEM", text.clone().into()),
        ("PEM of another program", text.replace("OCSP RESPONSE", "X509 OCSP RESPONSE V1").into()),
        ("PEM as Windows writes it, with words before it", format!("Notes: ä\n{text}").replace('\n', "\r\n").into()),
        ("PEM behind a certificate", format!("{}{text}", question.leaf.certificate_pem()).into()),
        ("PEM behind a key", format!("{}{text}", question.leaf.key_pem()).into()),
        ("the first of two", format!("{text}{}", pem::encode("OCSP RESPONSE", &corrupt)).into()),
        ("base64 on one line", base64.clone().into()),
        ("base64 with a line end", format!("{base64}\n").into()),
        ("base64 without padding", base64.trim_end_matches('=').into()),
        ("base64 in lines", lines.join("\n").into()),
        ("base64 as Windows writes it", lines.join("\r\n").into()),
        ("base64 with a byte order mark", format!("\u{feff}{base64}").into()),
        ("base64 with white space", format!("\n \t{}\n", lines.join("\n  ")).into()),
    ] {
        assert_eq!(question.verdict_of(&contents, &[]), "0 good", "{what}");
    }
    for (what, contents) in [
        ("nothing", vec![]),
        ("white space", b" \r\n".to_vec()),
        ("words", b"<html>no such page</html>".to_vec()),
        ("DER behind white space", [b"\n", &der[..]].concat()),
        ("DER and a line end", [&der[..], b"\n"].concat()),
        ("base64 that is cut off", base64[..base64.len() / 2].into()),
        ("base64 with a stray character", format!("{base64}*").into()),
        ("PEM without its end", text.replace("-----END OCSP RESPONSE-----", "").into()),
        ("PEM with another end", text.replace("END OCSP RESPONSE", "END CERTIFICATE").into()),
        ("PEM of something else", question.leaf.certificate_pem().into()),
        ("PEM in base64", pem::encode("OCSP RESPONSE", base64.as_bytes()).into()),
        ("a byte order mark of UTF-16", [b"\xff\xfe".to_vec(), base64.bytes().flat_map(|b| [b, 0]).collect()].concat()),
    ] {
        assert_eq!(question.verdict_of(&contents, &[]), "20 malformed", "{what}");
    }
}

#[test]
fn every_form_of_certificate() {
    let question = Question::new(KeyType::EcdsaP256);
    let middle = question.ca.intermediate("Middle").create().unwrap();
    let below = middle.issue(&server("below.test")).unwrap();
    let good = question.good().build().unwrap();
    let (leaf, ca) = (question.leaf.certificate_pem(), question.ca.certificate_pem());
    let verdict = |cert: &[u8], issuer: &[u8]| {
        question.write("leaf.pem", cert);
        question.write("ca.pem", issuer);
        question.verdict_of(&good, &[])
    };
    let damaged = leaf.replace("MI", "MJ");
    assert_eq!(verdict(question.leaf.der(), question.ca.certificate()), "0 good", "DER");
    assert_eq!(verdict(format!("{}{ca}{leaf}", question.leaf.key_pem()).as_bytes(), ca.as_bytes()), "0 good");
    assert_eq!(verdict(leaf.as_bytes(), format!("{ca}{leaf}{damaged}").as_bytes()), "0 good", "the issuer is first");
    assert_eq!(verdict(leaf.as_bytes(), format!("{leaf}{ca}").as_bytes()), "20 wrong_issuer");
    for broken in [&b""[..], b"junk", question.leaf.key_pem().as_bytes(), damaged.as_bytes(), b"\x30\x03\x02\x01\x00"] {
        assert_eq!(verdict(broken, ca.as_bytes()), "20 malformed");
        assert_eq!(verdict(leaf.as_bytes(), broken), "20 malformed");
    }
    // The one that is damaged may be the one in question; a CA's is not judged in its place.
    assert_eq!(verdict(format!("{damaged}{ca}").as_bytes(), ca.as_bytes()), "20 malformed");
    // A CA's certificate by itself is in question itself.
    question.write("ca.pem", &ca);
    question.write("leaf.pem", middle.certificate_pem());
    let serial = Serial::of_certificate(middle.certificate()).unwrap();
    let of_middle = times(ResponseBuilder::new(&question.ca)).good(&question.ca.cert_id(&serial, HashAlgorithm::Sha1));
    assert_eq!(question.verdict(&of_middle, &[]), "0 good");
    question.write("leaf.pem", below.certificate_pem());
    assert_eq!(question.verdict_of(&good, &[]), "20 wrong_issuer", "a grandchild");
}

#[test]
fn streams_and_what_is_no_file() {
    let question = Question::new(KeyType::EcdsaP256);
    question.write("good", question.good().build().unwrap());
    let at = NOW.to_string();
    let with = |response: &str, cert: &str, stdin: Stdio| {
        let arguments = ["verify", "--response", response, "--cert", cert, "--issuer", "ca.pem", "--at", &at];
        let mut command = command_in(question.directory.path(), &arguments);
        Running::start({
            command.stdin(stdin);
            command
        })
        .end(PATIENCE)
    };
    let open = |name: &str| Stdio::from(File::open(question.path(name)).unwrap());
    for name in ["-", "/dev/stdin", "/dev/fd/0"] {
        assert_eq!(with(name, "leaf.pem", open("good")).code, 0, "{name}");
        assert_eq!(with("good", name, open("leaf.pem")).code, 0, "{name}");
    }
    // A pipe, as most people have it.
    let (reader, mut writer) = std::io::pipe().unwrap();
    let der = fs::read(question.path("good")).unwrap();
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &der));
    assert_eq!(with("-", "leaf.pem", reader.into()).code, 0);
    writing.join().unwrap().unwrap();
    let ended = with("-", "leaf.pem", Stdio::null());
    assert!(ended.code == 20 && ended.out.contains("the input is empty"), "{ended:?}");
    let ended = with("-", "-", open("good"));
    assert!(ended.code == 2 && ended.err.contains("--response and --cert are both read from standard input"));

    // Neither a FIFO without a writer nor an endless device delays it.
    let fifo = std::process::Command::new("mkfifo").arg(question.path("fifo")).status().unwrap();
    assert!(fifo.success());
    for name in ["fifo", "/dev/zero", "."] {
        let ended = with(name, "leaf.pem", Stdio::null());
        assert!(ended.code == 2 && ended.err.contains("is not a regular file"), "{ended:?}");
    }
    let ended = with("-", "leaf.pem", open("/dev/zero"));
    assert!(ended.code == 20 && ended.out.contains("too_large"), "{ended:?}");
    File::create(question.path("huge")).unwrap().set_len(1 << 30).unwrap();
    let start = Instant::now();
    for (response, cert) in [("huge", "leaf.pem"), ("good", "huge")] {
        let ended = with(response, cert, Stdio::null());
        assert!(ended.code == 20 && ended.out.contains("INVALID (too_large)"), "{ended:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "no more is read than is looked at");
    let ended = with("good", "nowhere", Stdio::null());
    assert!(ended.code == 2 && ended.err.contains("nowhere cannot be read: No such file"), "{ended:?}");
    assert_eq!(ended.out, "");
}

#[test]
fn what_cannot_be_written_is_no_answer() {
    let question = Question::new(KeyType::EcdsaP256);
    question.write("good", question.good().build().unwrap());
    let at = NOW.to_string();
    let arguments = ["verify", "--response", "good", "--cert", "leaf.pem", "--issuer", "ca.pem", "--at", &at];
    let run = |out: Stdio| command_in(question.directory.path(), &arguments).stdout(out).output().unwrap();
    let full = run(fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into());
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("cannot be written to standard output"));
    // Without a reader, the exit code is what counts.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(run(writer.into()).status.code(), Some(0));
}

#[test]
fn mistakes_in_the_arguments() {
    let question = Question::new(KeyType::EcdsaP256);
    question.write("response", question.good().build().unwrap());
    for (more, message) in [
        ("--nonce 0", "an even number of hexadecimal digits is needed"),
        ("--nonce 0g", "an even number of hexadecimal digits is needed"),
        ("--nonce +1", "an even number of hexadecimal digits is needed"),
        ("--nonce ää", "an even number of hexadecimal digits is needed"),
        ("--nonce=", "an even number of hexadecimal digits is needed"),
        ("--at soon", "a whole number of seconds since 1970 is needed"),
        ("--at 99999999999999999999", "a whole number of seconds since 1970 is needed"),
        ("--clock-skew -1", "unexpected argument '-1'"),
        ("--clock-skew 1x", "not a duration such as"),
        ("--extra-cert nowhere", "nowhere cannot be read: No such file"),
        ("--extra-cert", "a value is required for '--extra-cert <FILE>'"),
        ("--cert leaf.pem", "cannot be used multiple times"),
        ("--allow-md5", "unexpected argument '--allow-md5'"),
        ("more", "unexpected argument 'more'"),
    ] {
        let ended = question.verify(&more.split(' ').collect::<Vec<_>>());
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{more}: {ended:?}");
        assert!(ended.err.contains(message), "{more}\n  said {}\n  not  {message}", ended.err);
    }
    let ended = question.run(&["verify", "--response", "response"]);
    assert!(ended.code == 2 && ended.err.contains("--cert <FILE>") && ended.err.contains("--issuer <FILE>"));
    for (at, skew, code) in [
        ("-1", "3153600000", 0),
        ("-1", "300", 20),
        ("0", "3153600000", 0),
        ("9223372036854775807", "3153600000", 20),
        ("-9223372036854775808", "3153600000", 20),
    ] {
        let ended = question.verify(&["--at", at, "--clock-skew", skew]);
        assert_eq!(ended.code, code, "{at} {skew}: {ended:?}");
    }
    // Without a time it is now, which NOW is not.
    let now = question.run(&["verify", "--response", "response", "--cert", "leaf.pem", "--issuer", "ca.pem", "--json"]);
    assert_eq!((now.code, &object(&now)["verdict"]), (20, &"invalid".into()));
}

#[test]
fn help_teaches() {
    let question = Question::new(KeyType::EcdsaP256);
    let help = question.run(&["verify", "--help"]);
    assert_eq!(help.code, 0);
    for words in
        ["Example:", "Exit codes:", "  10   valid: revoked", "[default: now]", "  stapleable  ", "--extra-cert"]
    {
        assert!(help.out.contains(words), "{words}");
    }
    let top = question.run(&["--help"]).out;
    assert!(top.contains("Commands:") && top.contains("  verify ") && top.contains("  inspect "), "{top}");
    for (words, command) in [("verfy --response x", "verify"), ("-R verify", "verify"), ("inspct x", "inspect")] {
        let ended = question.run(&words.split(' ').collect::<Vec<_>>());
        assert!(ended.code == 2 && ended.err.contains(&format!("did you mean the command `stapled {command}`?")));
    }
}

/// A name that misleads a reader of the output.
#[test]
fn names_do_not_break_out_of_their_lines() {
    let question = Question::new(KeyType::EcdsaP256);
    let name = "evil\u{202e}\u{1b}[2K\ngood: the certificate is good";
    let profile = server("x.test").names([]).subject([(NameAttribute::CommonName, name.to_owned())]);
    let leaf = question.ca.issue(&profile).unwrap();
    question.write("leaf.pem", leaf.certificate_pem());
    question.write("response", question.good().build().unwrap());
    for more in [&[][..], &["--json"]] {
        let out = question.verify(more).out;
        assert!(!out.contains(['\u{1b}', '\u{202e}']), "{out:?}");
        assert!(!out.contains("\ngood:"), "{out}");
    }
}

/// Any bytes in any of the files: an answer, quickly, and never a good one unless what matters is untouched.
#[test]
fn any_bytes_have_an_answer() {
    let question = Question::new(KeyType::EcdsaP256);
    let delegate = question.delegate(&responder());
    let originals = [
        ("response", question.good_by(delegate).build().unwrap()),
        ("leaf.pem", question.leaf.der().to_vec()),
        ("ca.pem", question.ca.certificate().to_vec()),
    ];
    for (name, bytes) in &originals {
        question.write(name, bytes);
    }
    assert_eq!(question.verify(&[]).code, 0);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut codes = BTreeSet::new();
    for round in 0..300 {
        let (name, bytes) = &originals[round % originals.len()];
        let mut bytes = bytes.clone();
        let place = chance.below(bytes.len());
        match chance.below(8) {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, chance.byte()),
            2 => bytes = (0..chance.below(500)).map(|_| chance.byte()).collect(),
            3 => {
                bytes = pem::encode(if *name == "response" { "OCSP RESPONSE" } else { "CERTIFICATE" }, &bytes[..place])
                    .into()
            }
            4 => drop(bytes.splice(place.., [])),
            _ => bytes[place] = chance.byte(),
        }
        question.write(name, &bytes);
        let ended = question.verify(&["--json"]);
        assert!([0, 10, 11, 20].contains(&ended.code), "{ended:?} for {name} {bytes:02x?}");
        let object = object(&ended);
        assert_eq!(object["reason"].is_null(), ended.code != 20, "{object}");
        assert_eq!(ended.err, "");
        codes.insert(ended.code);
        question.write(name, &originals[round % originals.len()].1);
    }
    assert!(codes.contains(&20), "{codes:?}");
}

/// Numbers that are the same in each run (xorshift64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 32) as u8
    }
}
