//! `stapled fetch`: every question is shown, and the exit code says what came of them.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::Value;
use stapled_ca::lab::Fault;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder, Signer};
use stapled_ca::{Authority, KeyType, Profile};

use crate::world::{Ended, PATIENCE, Running, World};

/// A world with one certificate, `a.pem`, that its issuer is in.
fn world() -> (World, stapled_ca::Issued) {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile("a.test"));
    (world, issued)
}

fn fetch(world: &World, arguments: &[&str]) -> Ended {
    world.run(&[&["fetch", "certs/a.pem"], arguments].concat())
}

/// The one line of JSON.
fn json(ended: &Ended) -> Value {
    assert_eq!(ended.out.lines().count(), 1, "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

/// What each question was and met: `GET SHA-1 200 good`.
fn attempts(found: &Value) -> Vec<String> {
    let attempt = |attempt: &Value| {
        let status = attempt["http_status"].as_u64().map_or("-".to_owned(), |status| status.to_string());
        let text = |name: &str| attempt[name].as_str().unwrap().to_owned();
        assert_eq!(attempt["bytes"].is_u64(), status == "200", "{attempt}");
        assert!(attempt["milliseconds"].is_u64(), "{attempt}");
        format!("{} {} {status} {}", text("method"), text("hash"), text("outcome"))
    };
    found["attempts"].as_array().unwrap().iter().map(attempt).collect()
}

#[test]
fn a_good_answer_is_shown_and_saved() {
    let (world, _) = world();
    let ended = fetch(&world, &["-o", "a.ocsp"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let url = world.lab.url();
    for words in ["GET  SHA-1", "HTTP 200", " bytes", " ms", "good: ", "issuer: certs/a.pem", "saved to a.ocsp", &url] {
        assert!(ended.out.contains(words), "{words}: {}", ended.out);
    }
    // What was saved is what the other commands read.
    fs::write(world.path("issuer.pem"), world.ca.certificate_pem()).unwrap();
    let verified = world.run(&["verify", "--response", "a.ocsp", "--cert", "certs/a.pem", "--issuer", "issuer.pem"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let found = json(&fetch(&world, &["--json", "-o", "b.ocsp"]));
    assert_eq!(attempts(&found), ["GET SHA-1 200 good"]);
    assert_eq!(
        (&found["verdict"], &found["stapleable"], &found["saved"]),
        (&"valid".into(), &true.into(), &"b.ocsp".into())
    );
    assert_eq!((&found["certificate"], &found["url"]), (&"a.test".into(), &url.into()));
}

#[test]
fn each_fault_of_a_responder_is_shown_and_what_was_tried_after_it() {
    let (world, issued) = world();
    let sha256 = HashAlgorithm::Sha256;
    for (fault, code, expected) in [
        (Fault::NoGet, 0, &["GET SHA-1 405 http_status", "POST SHA-1 200 good"][..]),
        (
            Fault::OnlyHash(sha256),
            0,
            &[
                "GET SHA-1 200 error_status:unauthorized",
                "POST SHA-1 200 error_status:unauthorized",
                "GET SHA-256 200 good",
            ],
        ),
        (Fault::Revoked, 10, &["GET SHA-1 200 revoked"]),
        (
            Fault::Unknown,
            11,
            &["GET SHA-1 200 unknown", "POST SHA-1 200 unknown", "GET SHA-256 200 unknown", "POST SHA-256 200 unknown"],
        ),
        (Fault::TryLater, 20, &["GET SHA-1 200 error_status:try_later", "POST SHA-1 200 error_status:try_later"]),
        (Fault::Garbage, 20, &["GET SHA-1 200 malformed", "POST SHA-1 200 malformed"]),
        (Fault::BadSignature, 20, &["GET SHA-1 200 bad_signature", "POST SHA-1 200 bad_signature"]),
        (Fault::Expired, 20, &["GET SHA-1 200 expired", "POST SHA-1 200 expired"]),
        (Fault::RedirectLoop, 1, &["GET SHA-1 - bad_redirect", "POST SHA-1 - bad_redirect"]),
        (Fault::Reset, 1, &["GET SHA-1 - http_broken", "POST SHA-1 - http_broken"]),
        (Fault::Hang, 1, &["GET SHA-1 - timed_out", "POST SHA-1 - timed_out"]),
        (Fault::Oversized(300_000), 1, &["GET SHA-1 - too_large", "POST SHA-1 - too_large"]),
    ] {
        let name = format!("{fault:?}");
        world.lab.fault(issued.serial(), fault);
        let ended = fetch(&world, &["--json", "--timeout", "1", "-o", "a.ocsp"]);
        assert_eq!(ended.code, code, "{name}: {ended:?}");
        let found = json(&ended);
        assert_eq!(attempts(&found), expected, "{name}: {ended:?}");
        assert_eq!(world.path("a.ocsp").exists(), code == 0, "{name}");
        assert_eq!(found["saved"].is_string(), code == 0, "{name}");
        if code == 0 {
            fs::remove_file(world.path("a.ocsp")).unwrap();
        }
        // And in words: the same exit code, each question in a line.
        let ended = fetch(&world, &["--timeout", "1"]);
        assert_eq!(ended.code, code, "{name}: {ended:?}");
        let first = expected[0].split(' ').next_back().unwrap();
        assert!(ended.out.contains(first), "{name}: {ended:?}");
        assert_eq!(ended.out.contains("NO ANSWER"), code == 1, "{name}: {ended:?}");
    }
}

#[test]
fn what_is_asked_for_is_what_is_asked() {
    let (world, issued) = world();
    for (arguments, expected) in [
        ("--method post", "POST SHA-1 200 good"),
        ("--method get", "GET SHA-1 200 good"),
        ("--hash sha256", "GET SHA-256 200 good"),
        ("--hash sha1 --method post", "POST SHA-1 200 good"),
        ("--nonce", "POST SHA-1 200 good"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').chain(["--json"]).collect();
        let ended = fetch(&world, &arguments);
        assert_eq!((ended.code, attempts(&json(&ended))), (0, vec![expected.to_owned()]), "{arguments:?}");
    }
    // Nothing else is tried then.
    world.lab.fault(issued.serial(), Fault::NoGet);
    assert_eq!(fetch(&world, &["--method", "get"]).code, 1);
    world.lab.fault(issued.serial(), Fault::OnlyHash(HashAlgorithm::Sha256));
    assert_eq!(fetch(&world, &["--hash", "sha1"]).code, 20);
    // Another's nonce is noticed.
    world.lab.fault(issued.serial(), Fault::WrongNonce);
    let ended = fetch(&world, &["--nonce", "--json"]);
    assert_eq!((ended.code, &json(&ended)["reason"]), (20, &"nonce_mismatch".into()), "{ended:?}");
}

#[test]
fn a_bad_answer_is_saved_only_where_that_is_wanted() {
    let (world, issued) = world();
    fs::write(world.path("a.ocsp"), "what was there").unwrap();
    world.lab.fault(issued.serial(), Fault::Revoked);
    let ended = fetch(&world, &["-o", "a.ocsp"]);
    assert_eq!(ended.code, 10, "{ended:?}");
    assert!(ended.out.contains("nothing saved to a.ocsp"), "{ended:?}");
    assert_eq!(fs::read(world.path("a.ocsp")).unwrap(), b"what was there");
    let ended = fetch(&world, &["-o", "a.ocsp", "--save-any"]);
    assert_eq!(ended.code, 10, "{ended:?}");
    assert_eq!(fs::read(world.path("a.ocsp")).unwrap().first(), Some(&0x30));
    let inspected = world.run(&["inspect", "a.ocsp"]);
    assert!(inspected.code == 0 && inspected.out.contains("revoked"), "{inspected:?}");
    // A response that cannot be written is an error, and no success is reported.
    world.lab.clear(issued.serial());
    let ended = fetch(&world, &["-o", "missing/a.ocsp"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("missing/a.ocsp cannot be written: "), "{ended:?}");
}

#[test]
fn the_second_responder_is_asked_where_the_first_does_not_answer() {
    let world = World::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let profile = Profile::server("a.test").ocsp_url(format!("http://{closed}/")).ocsp_url(world.lab.url());
    world.issue("a.pem", &profile);
    let ended = fetch(&world, &["--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(attempts(&json(&ended)), ["GET SHA-1 - connect_failed", "GET SHA-1 200 good"]);
    // One that is named is asked alone.
    let ended = fetch(&world, &["--json", "--url", &format!("http://{closed}/")]);
    assert_eq!((ended.code, attempts(&json(&ended))), (1, vec!["GET SHA-1 - connect_failed".to_owned()]));
}

#[test]
fn what_came_instead_of_a_response_is_told() {
    let (world, _) = world();
    for (body, kind, words) in [
        (&b"<!DOCTYPE html><title>Login</title>"[..], "text/html", "an HTML page came instead of an OCSP response"),
        (b"<!DOCTYPE html><title>Login</title>", "text/html", "begins with \"<!DOCTYPE html><title>Login"),
        (b"<html>", "text/html", "a proxy, a captive portal or an error page answered"),
        (b"", "application/ocsp-response", "an empty answer came"),
        (b"-----BEGIN OCSP RESPONSE-----\nMII", "application/ocsp-response", "a PEM text came"),
        (b"{\"error\": 5}", "application/json", "content type application/json"),
        (b"\x1f\x8b\x08\0", "application/ocsp-response", "a gzip-compressed answer that cannot be unpacked"),
    ] {
        let url = serve_as(body.to_vec(), kind);
        let ended = fetch(&world, &["--url", &url, "--json"]);
        let found = json(&ended);
        assert_eq!((ended.code, &found["attempts"][0]["outcome"]), (20, &"malformed".into()), "{ended:?}");
        assert_eq!(found["attempts"][0]["content_type"], kind);
        assert_eq!(found["attempts"][0]["address"], "127.0.0.1");
        assert!(found["attempts"][0]["detail"].as_str().unwrap().contains(words), "{words}: {ended:?}");
        let ended = fetch(&world, &["--url", &url]);
        assert!(ended.out.contains(words), "{words}: {ended:?}");
    }
    // A type that is odd is no matter.
    let issued = world.issue("b.pem", &world.profile("b.test"));
    let id = world.ca.cert_id(issued.serial(), HashAlgorithm::Sha1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let builder = ResponseBuilder::new(&world.ca).good(&id);
    let response = builder.this_update(now - 60).next_update(now + 3600).build().unwrap();
    let url = serve_as(response, "text/html");
    assert_eq!(world.run(&["fetch", "certs/b.pem", "--url", &url]).code, 0);
}

#[test]
fn responders_are_asked_instead_of_those_that_certificates_name() {
    let world = World::new();
    let url = world.lab.url();
    let named = Profile::server("a.test").ocsp_url(" http://u:secret@ocsp.test/r3 ").ocsp_url("http://ocsp.test/r3");
    world.issue("a.pem", &named);
    world.issue("plain.pem", &Profile::server("plain.test"));
    let ended = fetch(&world, &["--json", "--responder", &format!("http://ocsp.test={url}")]);
    assert_eq!(
        (ended.code, &json(&ended)["url"]),
        (0, &format!("{}/r3", url.trim_end_matches('/')).into()),
        "{ended:?}"
    );
    let plain = world.run(&["fetch", "certs/plain.pem", "--default-responder", &url]);
    assert_eq!(plain.code, 0, "{plain:?}");
    // The daemon, by its file.
    let settings =
        format!("responder = [\"http://ocsp.test = {url}\"]\ndefault-responder = \"{url}\"\nprefer-ipv4 = true\n");
    fs::write(world.path("stapled.conf"), settings).unwrap();
    let ended = world.one_off(&["-c", "stapled.conf", "--json"]);
    let (rows, _) = ended.json();
    assert_eq!((ended.code, rows.len()), (0, 2), "{ended:?}");
    assert!(world.staple("a.pem").exists() && world.staple("plain.pem").exists());
    let check = world.run(&["check", "--no-haproxy-sockets", "-c", "stapled.conf", "-p", "certs"]);
    assert!(check.out.contains(&format!("asked at     {}/r3", url.trim_end_matches('/'))), "{check:?}");
    assert!(check.out.contains("OCSP URLs    http://***@ocsp.test/r3 http://ocsp.test/r3"), "{check:?}");
    let inspect = world.run(&["inspect", "certs/a.pem"]);
    for ended in [&ended, &check, &inspect] {
        assert!(!format!("{ended:?}").contains("secret"), "{ended:?}");
    }
}

#[test]
fn an_override_that_cannot_be_used_is_named() {
    let (world, _) = world();
    for (arguments, words) in [
        ("--responder http://ocsp.test/", "--responder: \"http://ocsp.test/\" is not of the form OLD=NEW"),
        ("--responder ocsp.test=mirror.test", "--responder: \"ocsp.test=mirror.test\" is not of the form OLD=NEW"),
        ("--responder http://a/=http://u:secret@b/", "--responder: \"http://***@b/\": a user name or password in it"),
        ("--responder http://a/=http://b/ --responder http://a=http://c/", "--responder: http://a/ is replaced twice"),
        (
            "--default-responder ocsp.test",
            "--default-responder: \"ocsp.test\": it does not begin with http:// or https://",
        ),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let daemon = [&["-p", "certs", "--check-config"], arguments.as_slice()].concat();
        for ended in [fetch(&world, &arguments), world.run(&daemon)] {
            assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
            assert!(ended.err.contains(words), "{arguments:?}\n  said {}\n  not  {words}", ended.err);
            assert!(!format!("{ended:?}").contains("secret"), "{ended:?}");
        }
    }
    fs::write(world.path("stapled.conf"), "\nresponder = \"http://a/\"\n").unwrap();
    let ended = world.run(&["-c", "stapled.conf", "-p", "certs", "--check-config"]);
    assert!(ended.code == 2 && ended.err.contains("stapled.conf:2:1: responder: "), "{ended:?}");
}

#[test]
fn the_issuer_is_found_where_the_daemon_finds_it() {
    let world = World::new();
    let ca = serve(world.ca.certificate().to_vec());
    let issued = world.issue("a.pem", &world.profile("a.test").ca_issuers_url(ca));
    let source = |ended: &Ended| json(ended)["issuer"].as_str().unwrap_or_default().to_owned();
    assert_eq!(source(&fetch(&world, &["--json"])), "certs/a.pem");
    fs::write(world.path("certs/a.pem"), issued.certificate_pem()).unwrap();
    let fetched = fetch(&world, &["--json"]);
    assert!(source(&fetched).starts_with("http://127.0.0.1"), "{fetched:?}");
    fs::write(world.path("certs/a.pem.issuer"), world.ca.certificate_pem()).unwrap();
    assert_eq!(source(&fetch(&world, &["--json"])), "certs/a.pem.issuer");
    fs::write(world.path("ca.pem"), world.ca.certificate_pem()).unwrap();
    assert_eq!(source(&fetch(&world, &["--json", "--issuer", "ca.pem"])), "ca.pem");
}

#[test]
fn what_cannot_be_asked_is_told_with_a_remedy() {
    let world = World::new();
    let elsewhere = Authority::root("Elsewhere").create().unwrap();
    fs::write(world.path("elsewhere.pem"), elsewhere.certificate_pem()).unwrap();
    world.issue("a.pem", &world.profile("a.test"));
    world.issue("plain.pem", &Profile::server("plain.test"));
    let lonely = elsewhere.issue(&world.profile("lonely.test")).unwrap();
    fs::write(world.path("certs/lonely.pem"), lonely.certificate_pem()).unwrap();
    fs::write(world.path("certs/rubbish.pem"), "rubbish").unwrap();
    for (arguments, code, words) in [
        ("certs/plain.pem", 1, "NO ANSWER (no_ocsp_url): the certificate names no OCSP responder: name one with --url"),
        ("certs/lonely.pem", 20, "issuer_missing"),
        ("certs/lonely.pem", 20, "name it with --issuer"),
        ("certs/a.pem --issuer elsewhere.pem", 20, "wrong_issuer"),
        ("certs/rubbish.pem", 20, "malformed"),
        ("certs/a.pem --url ftp://ocsp.test/", 1, "neither http nor https"),
        ("certs/a.pem --deny-private-responders", 1, "forbidden_address"),
    ] {
        let ended = world.run(&[vec!["fetch"], arguments.split(' ').collect()].concat());
        assert_eq!(ended.code, code, "{arguments}: {ended:?}");
        assert!(ended.out.contains(words), "{arguments}\n  said {}\n  not  {words}", ended.out);
        let ended = world.run(&[vec!["fetch", "--json"], arguments.split(' ').collect()].concat());
        assert_eq!((ended.code, &json(&ended)["verdict"]), (code, &"invalid".into()), "{arguments}: {ended:?}");
    }
    for (arguments, words) in [
        ("", "<CERT>"),
        ("certs/missing.pem", "certs/missing.pem cannot be read: No such file"),
        ("certs", "certs is not a regular file"),
        ("certs/a.pem --issuer missing.pem", "missing.pem cannot be read: No such file"),
        ("certs/a.pem --hash md5", "[possible values: auto, sha1, sha256]"),
        ("certs/a.pem --method put", "[possible values: auto, get, post]"),
        ("certs/a.pem --timeout 0", "at least 1s is needed"),
        ("certs/a.pem --save-any", "--output"),
        ("certs/a.pem --no-proxy x", "--no-proxy: belongs to http-proxy"),
        ("certs/a.pem --http-proxy socks5://p:1", "the proxy's URL: not of the form http://host:port"),
    ] {
        let ended =
            world.run(&[vec!["fetch"], arguments.split(' ').filter(|word| !word.is_empty()).collect()].concat());
        assert_eq!(ended.code, 2, "{arguments}: {ended:?}");
        assert!(ended.err.contains(words), "{arguments}\n  said {}\n  not  {words}", ended.err);
    }
}

#[test]
fn a_responder_with_tls_is_asked_if_the_system_trusts_it() {
    let world = World::new();
    let web = Authority::root("Web CA").create().unwrap();
    let identity = web.issue(&Profile::server("localhost")).unwrap();
    let url = serve_tls(&identity, world.lab.address());
    world.issue("a.pem", &Profile::server("a.test").ocsp_url(url));
    // The system's roots are what this names.
    fs::write(world.path("roots.pem"), web.certificate_pem()).unwrap();
    let run = |roots: &str| {
        let mut command = world.command(&["fetch", "certs/a.pem", "--json"]);
        command.env("SSL_CERT_FILE", world.path(roots));
        Running::start(command).end(PATIENCE)
    };
    let ended = run("roots.pem");
    assert_eq!((ended.code, attempts(&json(&ended))), (0, vec!["GET SHA-1 200 good".to_owned()]), "{ended:?}");
    fs::write(world.path("others.pem"), Authority::root("Others").create().unwrap().certificate_pem()).unwrap();
    let ended = run("others.pem");
    assert_eq!((ended.code, attempts(&json(&ended))), (1, vec!["GET SHA-1 - connect_failed".to_owned()]), "{ended:?}");
    assert!(ended.out.contains("UnknownIssuer"), "{ended:?}");
}

/// What is saved, and what one pass makes of a file, is the response without the certificates that no client needs.
#[test]
fn what_is_saved_is_in_its_smallest_form() {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile("a.test"));
    let namesake = Authority::root(world.ca.name()).create().unwrap();
    let responder = Profile::ocsp_responder("Responder");
    let (look_alike, delegate) =
        (namesake.issue(&responder).unwrap(), world.ca.issue(&responder.key(KeyType::Ed25519)).unwrap());
    let id = world.ca.cert_id(issued.serial(), HashAlgorithm::Sha1);
    let good = ResponseBuilder::signed_by(Signer::delegate(&delegate)).responder_by_name().good(&id);
    let smallest = good.clone().build().unwrap();
    let certificates = [look_alike.der(), namesake.certificate(), delegate.der(), world.ca.certificate()];
    let long = good.certificates(&certificates).build().unwrap();
    let url = serve(long.clone());
    for options in [&["-o", "a.ocsp"][..], &["-o", "a.ocsp", "--save-any"]] {
        let ended = fetch(&world, &[&["--json", "--url", &url], options].concat());
        assert_eq!((ended.code, attempts(&json(&ended))), (0, vec!["GET SHA-1 200 good".to_owned()]));
        assert!(fs::read(world.path("a.ocsp")).unwrap() == smallest, "{options:?}");
    }
    fs::write(world.staple("a.pem"), &long).unwrap();
    let ended = world.one_off(&[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(fs::read(world.staple("a.pem")).unwrap() == smallest);
}

/// The staple of a revoked certificate does not stay at the path where a good one is saved.
#[test]
fn a_staple_of_a_revoked_certificate_is_removed_where_it_would_be_replaced() {
    let (world, issued) = world();
    world.issue("b.pem", &world.profile("b.test"));
    assert_eq!(fetch(&world, &["-o", "a.ocsp"]).code, 0);
    assert_eq!(world.run(&["fetch", "certs/b.pem", "-o", "b.ocsp"]).code, 0);
    world.lab.revoke(issued.serial()).unwrap();
    let other = fs::read(world.path("b.ocsp")).unwrap();
    let ended = fetch(&world, &["-o", "b.ocsp"]);
    assert_eq!(ended.code, 10, "{ended:?}");
    assert!(ended.out.contains("nothing saved to b.ocsp") && fs::read(world.path("b.ocsp")).unwrap() == other);
    let ended = fetch(&world, &["-o", "a.ocsp"]);
    assert_eq!(ended.code, 10, "{ended:?}");
    assert!(ended.out.contains("removed its staple from a.ocsp"), "{ended:?}");
    assert!(!world.path("a.ocsp").exists());
    let ended = fetch(&world, &["-o", "a.ocsp", "--json"]);
    assert_eq!((ended.code, &json(&ended)["removed"]), (10, &Value::Null));
}

/// Whether a request is there with its body.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    request.len() >= head.len() + 4 + length.unwrap_or(0)
}

/// Serves these bytes to every request; returns the URL.
fn serve(bytes: Vec<u8>) -> String {
    serve_as(bytes, "application/pkix-cert")
}

/// The same, with this content type.
fn serve_as(bytes: Vec<u8>, kind: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ca.cer", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            while !is_whole(&request) {
                let mut part = [0; 1024];
                let length = stream.read(&mut part).unwrap();
                request.extend_from_slice(&part[..length]);
            }
            let length = bytes.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(&[head.as_bytes(), &bytes].concat()).unwrap();
        }
    });
    url
}

/// Puts TLS in front of a server; returns the URL.
fn serve_tls(identity: &stapled_ca::Issued, server: std::net::SocketAddr) -> String {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let chain = vec![CertificateDer::from(identity.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut tls, &mut stream);
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                match tls.read(&mut byte) {
                    Ok(1) => request.push(byte[0]),
                    // A client that does not trust us says so and goes.
                    _ => break,
                }
            }
            if request.is_empty() {
                continue;
            }
            // By GET: there is no body. The server closes when it has answered.
            let text = String::from_utf8(request).unwrap().replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
            let mut behind = TcpStream::connect(server).unwrap();
            behind.write_all(text.as_bytes()).unwrap();
            let mut answer = Vec::new();
            behind.read_to_end(&mut answer).unwrap();
            tls.write_all(&answer).unwrap();
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    format!("https://localhost:{port}/")
}
