//! Tests that each fault of the lab has the documented effect.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use stapled_ca::lab::{Fault, Lab};
use stapled_ca::ocsp::{HashAlgorithm, OcspRequest};
use stapled_ca::{Authority, Issued, Profile};
use support::{exchange, file, get, openssl, parse, path_of, post, post_bytes};

/// An authority with a lab and an issued certificate.
struct Setup {
    ca: Authority,
    issued: Issued,
    lab: Lab,
    directory: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let ca = Authority::root("Lab CA").create().unwrap();
        let lab = Lab::builder().authority(&ca).echo_nonce(true).start().unwrap();
        let issued = ca.issue(&Profile::server("example.org").ocsp_url(lab.url())).unwrap();
        let directory = tempfile::tempdir().unwrap();
        file(directory.path(), "ca.pem", ca.certificate_pem());
        file(directory.path(), "c.pem", issued.certificate_pem());
        Self { ca, issued, lab, directory }
    }

    fn request(&self) -> Vec<u8> {
        self.request_with(HashAlgorithm::Sha1, None)
    }

    fn request_with(&self, hash: HashAlgorithm, nonce: Option<Vec<u8>>) -> Vec<u8> {
        let cert_ids = vec![self.ca.cert_id(self.issued.serial(), hash)];
        OcspRequest { cert_ids, nonce }.to_der()
    }

    fn set(&self, fault: Fault) {
        self.lab.fault(self.issued.serial(), fault);
    }

    /// The output of OpenSSL about the answer with this fault.
    fn judged(&self, fault: Fault) -> String {
        self.set(fault);
        let path = |name| self.directory.path().join(name).display().to_string();
        let (ca, certificate) = (path("ca.pem"), path("c.pem"));
        let url = self.lab.url();
        openssl(&["ocsp", "-issuer", &ca, "-cert", &certificate, "-url", &url, "-CAfile", &ca, "-resp_text"]).1
    }

    fn ocsp_status(&self, fault: Fault) -> u8 {
        self.set(fault);
        let answer = post(self.lab.address(), &self.request());
        assert_eq!(answer.status, 200);
        // OCSPResponse { responseStatus } and nothing else.
        assert_eq!(answer.body[..4], [0x30, 3, 0x0a, 1]);
        answer.body[4]
    }
}

#[test]
fn responses_name_their_signer_by_its_name_if_that_is_set() {
    let ca = Authority::root("Lab CA").create().unwrap();
    let issued = ca.issue(&Profile::server("example.org")).unwrap();
    let id = ca.cert_id(issued.serial(), HashAlgorithm::Sha1);
    // ResponderID ::= CHOICE { byName [1] Name, byKey [2] KeyHash }: the name of the CA is in the response or not.
    let name = b"Lab CA".as_slice();
    for by_name in [true, false] {
        let lab = Lab::builder().authority(&ca).responder_by_name(by_name).start().unwrap();
        let answer = post(lab.address(), &OcspRequest::for_certificate(id.clone()).to_der());
        assert_eq!(answer.body.windows(name.len()).any(|part| part == name), by_name);
    }
}

#[test]
fn answers_are_right_without_a_fault() {
    let setup = Setup::new();
    let by_post = post(setup.lab.address(), &setup.request());
    assert_eq!((by_post.status, by_post.body[0]), (200, 0x30));
    let by_get = get(setup.lab.address(), &path_of(&setup.request()), "");
    assert_eq!(by_get.status, 200);
    assert_eq!(by_get.header("content-type"), Some("application/ocsp-response"));
    let requests = setup.lab.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].method.as_str(), requests[1].method.as_str()), ("POST", "GET"));
    assert_eq!(requests[0].serial.as_ref(), Some(setup.issued.serial()));
    assert_eq!((requests[0].hash, requests[0].nonce), (Some(HashAlgorithm::Sha1), false));
    assert_eq!(setup.lab.requests_for(setup.issued.serial()), 2);
    let issuer = get(setup.lab.address(), "/ca.crt", "");
    assert_eq!(issuer.body, setup.ca.certificate());
}

#[test]
fn signed_answers_are_wrong_in_exactly_one_way() {
    let setup = Setup::new();
    for (fault, wanted) in [
        (Fault::Expired, "Status times invalid"),
        (Fault::NotYetValid, "Status times invalid"),
        (Fault::WrongCertificate, "ERROR: No Status found"),
        (Fault::WrongSigner, "Response Verify Failure"),
        (Fault::SiblingSigner, "Response Verify Failure"),
        (Fault::BadSignature, "Response Verify Failure"),
        (Fault::Revoked, "c.pem: revoked"),
        (Fault::Unknown, "c.pem: unknown"),
        (Fault::WrongNonce, "Nonce Verify error"),
        (Fault::TryLater, "Responder Error: trylater (3)"),
        (Fault::InternalError, "Responder Error: internalerror (2)"),
        (Fault::Unauthorized, "Responder Error: unauthorized (6)"),
        (Fault::SigRequired, "Responder Error: sigrequired (5)"),
        (Fault::Malformed, "Responder Error: malformedrequest (1)"),
    ] {
        let text = setup.judged(fault.clone());
        assert!(text.contains(wanted), "{fault}: {text}");
        let signed = ["Status times", "No Status", "revoked", "unknown"].iter().any(|part| wanted.contains(part));
        assert_eq!(text.contains("Response verify OK"), signed, "{fault}: {text}");
    }
    let text = setup.judged(Fault::NoNextUpdate);
    assert!(text.contains("c.pem: good") && !text.contains("Next Update"), "{text}");
    let text = setup.judged(Fault::Multiple);
    assert!(text.contains("c.pem: good") && text.matches("Cert Status: good").count() == 2, "{text}");
    setup.lab.clear(setup.issued.serial());
    let path = setup.directory.path().join("ca.pem").display().to_string();
    let leaf = setup.directory.path().join("c.pem").display().to_string();
    let (_, text) = openssl(&["ocsp", "-issuer", &path, "-cert", &leaf, "-url", &setup.lab.url(), "-CAfile", &path]);
    assert!(text.contains("Response verify OK") && text.contains("c.pem: good"), "{text}");
}

#[test]
fn ocsp_errors_have_the_numbers_of_the_rfc() {
    let setup = Setup::new();
    for (fault, number) in [
        (Fault::Malformed, 1),
        (Fault::InternalError, 2),
        (Fault::TryLater, 3),
        (Fault::SigRequired, 5),
        (Fault::Unauthorized, 6),
        (Fault::OnlyHash(HashAlgorithm::Sha256), 6),
    ] {
        assert_eq!(setup.ocsp_status(fault), number);
    }
    setup.set(Fault::OnlyHash(HashAlgorithm::Sha256));
    let answer = post(setup.lab.address(), &setup.request_with(HashAlgorithm::Sha256, None));
    assert!(answer.body.len() > 100);
}

#[test]
fn http_faults() {
    let setup = Setup::new();
    let address = setup.lab.address();
    let ask = |fault| {
        setup.set(fault);
        post(address, &setup.request())
    };
    let answer = ask(Fault::HttpStatus { code: 503, retry_after: Some(120) });
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("120")));
    let answer = ask(Fault::Garbage);
    assert_eq!(answer.status, 200);
    assert_ne!(answer.body[0], 0x30);
    assert_eq!(ask(Fault::Empty).header("content-length"), Some("0"));
    assert_eq!(ask(Fault::Answer(vec![1, 2, 3])).body, [1, 2, 3]);
    let answer = ask(Fault::Oversized(100_000));
    assert_eq!((answer.header("content-length"), answer.body.len()), (Some("100000"), 100_000));
    let answer = ask(Fault::Truncated);
    let announced: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert_eq!(answer.body.len(), announced / 2);
    let answer = ask(Fault::Redirect("http://127.0.0.1:1/elsewhere".into()));
    assert_eq!((answer.status, answer.header("location")), (302, Some("http://127.0.0.1:1/elsewhere")));
    setup.set(Fault::RedirectLoop);
    let path = path_of(&setup.request());
    let answer = get(address, &path, "");
    assert_eq!(answer.header("location"), Some(format!("http://{address}{path}").as_str()));
    setup.set(Fault::NoGet);
    assert_eq!(get(address, &path, "").status, 405);
    assert_eq!(post(address, &setup.request()).status, 200);
}

#[test]
fn connection_faults() {
    let setup = Setup::new();
    let address = setup.lab.address();
    let request = post_bytes(address, &setup.request());
    setup.set(Fault::Reset);
    assert_eq!(exchange(address, &request).unwrap_err().kind(), ErrorKind::ConnectionReset);
    setup.set(Fault::Close);
    assert_eq!(exchange(address, &request).unwrap(), b"");

    // A hang: no byte comes, and the drop of the lab does not wait.
    setup.set(Fault::Hang);
    let mut hung = TcpStream::connect(address).unwrap();
    hung.write_all(&request).unwrap();
    assert!(setup.lab.wait_until(Duration::from_secs(10), |all| all.iter().any(|r| r.fault == Some(Fault::Hang))));
    hung.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = hung.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");

    setup.set(Fault::EndlessHeaders);
    let mut endless = TcpStream::connect(address).unwrap();
    endless.write_all(&request).unwrap();
    let mut head = vec![0; 300_000];
    endless.read_exact(&mut head).unwrap();
    assert!(!head.windows(4).any(|w| w == b"\r\n\r\n"));
    drop(endless);

    setup.set(Fault::Delay(Duration::from_millis(80)));
    let start = Instant::now();
    assert_eq!(post(address, &setup.request()).status, 200);
    assert!(start.elapsed() >= Duration::from_millis(80));

    setup.set(Fault::Drip(Duration::from_millis(1)));
    let start = Instant::now();
    let answer = parse(&exchange(address, &request).unwrap());
    assert!(start.elapsed() >= Duration::from_millis(answer.body.len() as u64));

    // A connection that hangs delays no other connection.
    setup.lab.clear_all();
    assert_eq!(post(address, &setup.request()).status, 200);
}

#[test]
fn faults_of_one_certificate_come_before_faults_of_all() {
    let setup = Setup::new();
    let address = setup.lab.address();
    let other = setup.ca.issue(&Profile::server("other.example")).unwrap();
    let ask_other = OcspRequest::for_certificate(setup.ca.cert_id(other.serial(), HashAlgorithm::Sha1)).to_der();
    let code = |code| Fault::HttpStatus { code, retry_after: None };
    setup.lab.fault_all(code(500));
    setup.lab.fault_times(setup.issued.serial(), code(503), 2);
    let ours: Vec<u16> = (0..3).map(|_| post(address, &setup.request()).status).collect();
    assert_eq!(ours, [503, 503, 500]);
    assert_eq!(post(address, &ask_other).status, 500);
    setup.lab.clear_all();
    assert_eq!(post(address, &ask_other).status, 200);
}

#[test]
fn revocation_and_validity_change_while_the_lab_runs() {
    let setup = Setup::new();
    setup.lab.set_validity(Duration::from_secs(20));
    let first = get(setup.lab.address(), &path_of(&setup.request()), "");
    assert_eq!(first.header("cache-control").unwrap().split(',').next(), Some("max-age=10"));
    setup.lab.revoke(setup.issued.serial()).unwrap();
    assert!(setup.judged(Fault::Delay(Duration::ZERO)).contains("c.pem: revoked"));
    setup.lab.reinstate(setup.issued.serial()).unwrap();
    assert!(setup.judged(Fault::Delay(Duration::ZERO)).contains("c.pem: good"));
}

#[test]
fn http_requests_change_faults_only_if_control_is_on() {
    let ca = Authority::root("CA").create().unwrap();
    let issued = ca.issue(&Profile::server("a.example")).unwrap();
    let lab = Lab::builder().authority(&ca).control(true).start().unwrap();
    let call = |method: &str, target: &str| {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n");
        parse(&exchange(lab.address(), head.as_bytes()).unwrap())
    };
    let request = OcspRequest::for_certificate(ca.cert_id(issued.serial(), HashAlgorithm::Sha1)).to_der();
    let serial = issued.serial();
    let answer = call("POST", &format!("/lab/fault?serial={serial}&fault=http_status%3A503&times=1"));
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"http_status:503\n"[..]));
    assert_eq!(post(lab.address(), &request).status, 503);
    assert_eq!(post(lab.address(), &request).status, 200);
    call("POST", "/lab/fault?serial=all&fault=http_status:502");
    assert_eq!(post(lab.address(), &request).status, 502);
    assert_eq!(call("DELETE", "/lab/fault").status, 200);
    assert_eq!(post(lab.address(), &request).status, 200);
    let log: serde_json::Value = serde_json::from_slice(&call("GET", "/lab/requests").body).unwrap();
    assert_eq!(log.as_array().unwrap().len(), 4);
    assert_eq!(log[0]["fault"], "http_status:503");
    assert_eq!(log[1]["serial"], serial.to_string());
    assert_eq!(call("POST", &format!("/lab/revoke?serial={serial}&reason=superseded")).status, 200);
    assert_eq!(call("POST", "/lab/fault?serial=all&fault=nonsense").status, 400);
    assert_eq!(call("POST", "/lab/revoke?serial=77").status, 400);
    assert_eq!(call("GET", "/lab/").status, 404);

    let closed = Lab::start([&ca]).unwrap();
    let head = b"POST /lab/fault?serial=all&fault=hang HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let answer = parse(&exchange(closed.address(), head).unwrap());
    // Without control, the request is an empty POST to an OCSP responder: malformedRequest.
    assert_eq!(answer.body, [0x30, 3, 0x0a, 1, 1]);
    assert_eq!(post(closed.address(), &request).status, 200);
}
