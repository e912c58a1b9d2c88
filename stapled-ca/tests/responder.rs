//! Tests of the responder over HTTP: caching, limits, concurrency, malformed input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stapled_ca::ocsp::{HashAlgorithm, NullParameters, OcspRequest};
use stapled_ca::responder::{Access, AccessObserver, Limits, Outcome, RunningResponder};
use stapled_ca::{Authority, Issued, Profile, Reason, Responder, Serial, Status};
use support::{exchange, get, parse, path_of, post};

/// A free port of the loopback address.
fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A request about one certificate, DER.
fn request(ca: &Authority, serial: &Serial) -> Vec<u8> {
    OcspRequest::for_certificate(ca.cert_id(serial, HashAlgorithm::Sha1)).to_der()
}

/// An authority, an issued certificate, and a running responder.
fn running() -> (Authority, Issued, RunningResponder) {
    let ca = Authority::root("Example CA").create().unwrap();
    let issued = ca.issue(&Profile::server("example.org")).unwrap();
    let responder = Responder::builder().authority(&ca).start(any_port()).unwrap();
    (ca, issued, responder)
}

/// The tbsResponseData of a response, decoded by rasn: an independent decoder.
fn decode(response: &[u8]) -> rasn_ocsp::ResponseData {
    let response: rasn_ocsp::OcspResponse = rasn::der::decode(response).unwrap();
    let basic: rasn_ocsp::BasicOcspResponse = rasn::der::decode(&response.bytes.unwrap().response).unwrap();
    basic.tbs_response_data
}

#[test]
fn responses_have_cache_headers_and_answer_304() {
    let (ca, issued, responder) = running();
    let path = path_of(&request(&ca, issued.serial()));
    let first = get(responder.address(), &path, "");
    assert_eq!(first.status, 200);
    assert_eq!(first.header("content-type"), Some("application/ocsp-response"));
    assert_eq!(first.header("cache-control"), Some("max-age=302400, public, no-transform, must-revalidate"));
    assert!(first.header("expires").unwrap().ends_with(" GMT"));
    assert!(first.header("last-modified").unwrap().ends_with(" GMT"));
    let etag = first.header("etag").unwrap().to_owned();
    let again = get(responder.address(), &path, &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("etag"), Some(etag.as_str()));
    let other = get(responder.address(), &path, "If-None-Match: \"another\"\r\n");
    assert_eq!(other.body, first.body);
    assert_eq!(post(responder.address(), &request(&ca, issued.serial())).body, first.body);
    assert_eq!(responder.responder().tally().of(issued.serial()), 4);
    assert_eq!(responder.responder().tally().total(), 4);
}

/// The answer to HEAD on a connection that then answers a GET of the same path.
fn head(address: SocketAddr, path: &str, headers: &str) -> (support::Answer, support::Answer) {
    let (host, end) = (format!("HTTP/1.1\r\nHost: {address}\r\n"), "Connection: close\r\n\r\n");
    let both = format!("HEAD {path} {host}{headers}\r\nGET {path} {host}{headers}{end}");
    let bytes = exchange(address, both.as_bytes()).unwrap();
    let end = bytes.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap() + 4;
    (parse(&bytes[..end]), parse(&bytes[end..]))
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let ca = Authority::root("Example CA").create().unwrap();
    let issued = ca.issue(&Profile::server("example.org")).unwrap();
    let builder = Responder::builder().authority(&ca).publish_crls(Duration::from_secs(1000));
    let responder = builder.start(any_port()).unwrap();
    let question = path_of(&request(&ca, issued.serial()));
    stapled_tests::wait_until("the list", || get(responder.address(), "/ca.crl", "").status == 200);
    for path in [question.as_str(), "/ca.crt", "/ca.crl", "/nothing"] {
        let (head, get) = head(responder.address(), path, "");
        assert_eq!((head.status, head.header("content-length")), (get.status, get.header("content-length")), "{path}");
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()));
        for name in ["content-type", "cache-control", "etag", "expires", "last-modified"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
    let etag = get(responder.address(), &question, "").header("etag").unwrap().to_owned();
    let (head, get) = head(responder.address(), &question, &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((head.status, get.status), (304, 304));
}

#[test]
fn caches_keep_the_status_unknown_for_minutes_only() {
    let now = Arc::new(AtomicI64::new(1_800_000_000));
    let clock = Arc::clone(&now);
    let ca = Authority::root("CA").create().unwrap();
    let issued = ca.issue(&Profile::server("a.example")).unwrap();
    let builder = Responder::builder().authority(&ca).clock(Arc::new(move || clock.load(Ordering::SeqCst)));
    let responder = builder.start(any_port()).unwrap();
    let ask = |serials: &[&Serial]| {
        let cert_ids = serials.iter().map(|serial| ca.cert_id(serial, HashAlgorithm::Sha1)).collect();
        get(responder.address(), &path_of(&OcspRequest { cert_ids, nonce: None }.to_der()), "")
    };
    let (later, good) = (Serial::from(77), issued.serial());
    for serials in [&[&later][..], &[good, &later], &[&later, good]] {
        let answer = ask(serials);
        assert_eq!(answer.header("cache-control"), Some("max-age=300, public, no-transform, must-revalidate"));
        assert_eq!(answer.header("expires"), Some("Fri, 15 Jan 2027 08:05:00 GMT"));
    }
    assert_eq!(ask(&[good]).header("cache-control"), Some("max-age=302400, public, no-transform, must-revalidate"));
    ca.issue(&Profile::server("b.example").serial(later.clone())).unwrap();
    assert_eq!(ask(&[&later]).header("cache-control"), Some("max-age=302400, public, no-transform, must-revalidate"));
    // A response that is valid for less than that.
    responder.responder().set_validity(Duration::from_secs(100));
    let unknown = ask(&[&Serial::from(78)]);
    assert_eq!(unknown.header("cache-control"), Some("max-age=50, public, no-transform, must-revalidate"));
}

#[test]
fn prepared_responses_are_renewed_and_follow_the_ledger() {
    let ca = Authority::root("CA").create().unwrap();
    let issued = ca.issue(&Profile::server("a.example")).unwrap();
    let now = Arc::new(AtomicI64::new(1_800_000_000));
    let clock = Arc::clone(&now);
    let responder = Responder::builder()
        .authority(&ca)
        .validity(Duration::from_secs(1000))
        .backdate(Duration::from_secs(60))
        .clock(Arc::new(move || clock.load(Ordering::SeqCst)))
        .build();
    let ask = || responder.respond(&request(&ca, issued.serial()));
    let first = ask();
    let single = decode(&first).responses.remove(0);
    assert_eq!(single.this_update.timestamp(), 1_800_000_000 - 60);
    assert_eq!(single.next_update.unwrap().timestamp(), 1_800_001_000);
    now.fetch_add(499, Ordering::SeqCst);
    assert_eq!(ask(), first);
    now.fetch_add(1, Ordering::SeqCst);
    let second = ask();
    assert_ne!(second, first);
    ca.revoke(issued.serial(), Some(Reason::Superseded)).unwrap();
    let revoked = decode(&ask()).responses.remove(0);
    assert!(matches!(revoked.cert_status, rasn_ocsp::CertStatus::Revoked(_)));
    ca.set_status(issued.serial(), Status::Good).unwrap();
    assert!(matches!(decode(&ask()).responses.remove(0).cert_status, rasn_ocsp::CertStatus::Good));
}

#[test]
fn next_update_is_not_after_the_end_of_the_signer() {
    let ca = Authority::root("CA").create().unwrap();
    let issued = ca.issue(&Profile::server("a.example")).unwrap();
    let delegate = Profile::ocsp_responder("OCSP").valid_between(0, 2_000);
    let delegate = stapled_ca::ocsp::Signer::delegate(&ca.issue(&delegate).unwrap());
    let at = |now: i64| {
        let responder = Responder::builder().delegated(&ca, delegate.clone()).clock(Arc::new(move || now)).build();
        responder.respond(&request(&ca, issued.serial()))
    };
    assert_eq!(decode(&at(1_000)).responses[0].next_update.unwrap().timestamp(), 2_000);
    assert_eq!(at(2_000)[..], [0x30, 3, 0x0a, 1, 2], "internalError");
}

#[test]
fn the_bytes_of_the_cert_id_are_echoed() {
    let (ca, issued, responder) = running();
    for hash in HashAlgorithm::ALL {
        for parameters in [NullParameters::Present, NullParameters::Absent] {
            let id = stapled_ca::ocsp::CertId::with_parameters(ca.identity(), issued.serial(), hash, parameters);
            let answer = post(responder.address(), &OcspRequest::for_certificate(id.clone()).to_der());
            let echoed = answer.body.windows(id.as_der().len()).any(|window| window == id.as_der());
            assert!(echoed, "{hash} {parameters:?}");
        }
    }
}

#[test]
fn one_request_about_several_certificates() {
    let (ca, issued, responder) = running();
    let other = ca.issue(&Profile::server("b.example")).unwrap();
    ca.revoke(other.serial(), None).unwrap();
    let cert_ids = [issued.serial(), other.serial()].map(|serial| ca.cert_id(serial, HashAlgorithm::Sha256));
    let answer = post(responder.address(), &OcspRequest { cert_ids: cert_ids.to_vec(), nonce: None }.to_der());
    let singles = decode(&answer.body).responses;
    assert_eq!(singles.len(), 2);
    assert!(matches!(singles[0].cert_status, rasn_ocsp::CertStatus::Good));
    assert!(matches!(singles[1].cert_status, rasn_ocsp::CertStatus::Revoked(_)));
}

#[test]
fn certificates_of_issuers_are_served() {
    let root = Authority::root("Example Root").create().unwrap();
    let ca = root.intermediate("Example CA 1").create().unwrap();
    let responder = Responder::builder().authority(&ca).authority(&root).start(any_port()).unwrap();
    for (path, authority) in [("/ca.crt", &ca), ("/example-ca-1.crt", &ca), ("/example-root.crt", &root)] {
        let answer = get(responder.address(), path, "");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/pkix-cert")));
        assert_eq!(answer.body, authority.certificate());
        assert!(path == "/ca.crt" || responder.ca_issuers_url(authority).ends_with(path));
    }
    assert_eq!(get(responder.address(), "/unknown.crt", "").status, 404);
}

#[test]
fn malformed_input_is_refused_and_the_next_client_is_served() {
    let (ca, issued, responder) = running();
    let address = responder.address();
    assert_eq!(get(address, "/", "").status, 404);
    assert_eq!(get(address, "/%", "").status, 404);
    assert_eq!(get(address, "/MAAA", "").body, [0x30, 3, 0x0a, 1, 1]);
    assert_eq!(post(address, b"").body, [0x30, 3, 0x0a, 1, 1]);
    assert_eq!(post(address, &vec![0x30; 16 * 1024 + 1]).status, 413);
    let put = b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(parse(&exchange(address, put).unwrap()).status, 405);
    assert!(exchange(address, b"\x16\x03\x01 this is not HTTP\r\n\r\n").is_ok());

    let mut parameters = request(&ca, issued.serial());
    let null = parameters.windows(2).position(|octets| octets == [5, 0]).unwrap();
    parameters[null] = 4;
    assert_eq!(post(address, &parameters).body, [0x30, 3, 0x0a, 1, 1], "an empty OCTET STRING in place of NULL");

    // With one flipped bit, a request may have any answer, but it must have one.
    let whole = request(&ca, issued.serial());
    let mut stream = TcpStream::connect(address).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", changed.len());
        stream.write_all(&[head.as_bytes(), &changed].concat()).unwrap();
        assert_eq!(read_one(&mut stream)[0], 0x30);
    }
    assert_eq!(post(address, &whole).status, 200);
}

#[test]
fn clients_that_do_not_finish_are_disconnected() {
    let ca = Authority::root("CA").create().unwrap();
    let issued = ca.issue(&Profile::server("a.example")).unwrap();
    let mut limits = Limits::default();
    limits.connections = 2;
    limits.head = Duration::from_millis(100);
    limits.body_time = Duration::from_millis(100);
    let responder = Responder::builder().authority(&ca).limits(limits).start(any_port()).unwrap();
    let half_head = TcpStream::connect(responder.address()).unwrap();
    (&half_head).write_all(b"GET /").unwrap();
    let half_body = TcpStream::connect(responder.address()).unwrap();
    (&half_body).write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    // Two connections are the limit. This one is accepted when one of them ends.
    assert_eq!(post(responder.address(), &request(&ca, issued.serial())).status, 200);
    let mut rest = Vec::new();
    half_body.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (&half_body).read_to_end(&mut rest).unwrap();
    assert!(rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn many_clients_are_served_at_once() {
    let (ca, issued, responder) = running();
    let path = path_of(&request(&ca, issued.serial()));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(responder.address()).unwrap();
                for _ in 0..50 {
                    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
                    assert_eq!(read_one(&mut stream)[0], 0x30);
                }
            });
        }
    });
    assert_eq!(responder.responder().tally().of(issued.serial()), 800);
}

#[test]
fn processes_share_an_authority_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ca");
    let ca = Authority::root("Disk CA").create_in(&place).unwrap();
    assert!(Authority::root("Disk CA").create_in(&place).is_err());
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(place.join("ca.key")).unwrap().permissions().mode() & 0o777, 0o600);
    let issued = ca.issue(&Profile::server("a.example")).unwrap();
    let responder = Responder::builder().authority(&ca).start(any_port()).unwrap();
    let status = || decode(&post(responder.address(), &request(&ca, issued.serial())).body).responses.remove(0);
    assert!(matches!(status().cert_status, rasn_ocsp::CertStatus::Good));

    // Opened from the files, as in another process.
    let elsewhere = Authority::open(&place).unwrap();
    assert_eq!(elsewhere.certificate(), ca.certificate());
    elsewhere.revoke(issued.serial(), Some(Reason::KeyCompromise)).unwrap();
    assert!(matches!(status().cert_status, rasn_ocsp::CertStatus::Revoked(_)));
    let later = elsewhere.issue(&Profile::server("b.example")).unwrap();
    let answer = post(responder.address(), &request(&ca, later.serial()));
    assert!(matches!(decode(&answer.body).responses[0].cert_status, rasn_ocsp::CertStatus::Good));
    assert_eq!(ca.records().unwrap().len(), 2);
    let entry = ca.ledger_file().unwrap().entry(later.serial()).unwrap().unwrap();
    assert_eq!(entry.certificate.as_deref(), Some(later.der()), "the ledger has the certificate");
    assert!(elsewhere.issue(&Profile::server("c.example").serial(later.serial().clone())).is_err());
}

#[test]
fn the_first_question_is_recorded_when_the_responder_stops_at_the_latest() {
    let directory = tempfile::tempdir().unwrap();
    let ca = Authority::root("Disk CA").create_in(directory.path()).unwrap();
    let asked = ca.issue(&Profile::server("a.example")).unwrap();
    let other = ca.issue(&Profile::server("b.example")).unwrap();
    let builder = Responder::builder().authority(&ca).record_first_questions(true).clock(Arc::new(|| 1_800_000_000));
    let responder = builder.start(any_port()).unwrap();
    for _ in 0..3 {
        assert_eq!(post(responder.address(), &request(&ca, asked.serial())).status, 200);
    }
    drop(responder);
    let ledger = Authority::open(directory.path()).unwrap().ledger_file().unwrap().clone();
    let seen = |serial| ledger.entry(serial).unwrap().unwrap().seen;
    assert_eq!((seen(asked.serial()), seen(other.serial())), (Some(1_800_000_000), None));
}

#[test]
fn a_directory_of_an_earlier_version_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let ca = Authority::root("Disk CA").create_in(directory.path()).unwrap();
    let issued = ca.issue(&Profile::server("a.example")).unwrap();
    ca.revoke(issued.serial(), Some(Reason::Superseded)).unwrap();
    // The same records as the earlier version kept them.
    let records = ca.records().unwrap();
    std::fs::create_dir(directory.path().join("issued")).unwrap();
    let json = serde_json::to_vec_pretty(&records[0]).unwrap();
    std::fs::write(directory.path().join(format!("issued/{}.json", issued.serial())), json).unwrap();
    std::fs::remove_file(directory.path().join("ledger")).unwrap();
    let again = Authority::open(directory.path()).unwrap();
    assert_eq!(again.records().unwrap(), records);
    assert!(again.issue(&Profile::server("b.example").serial(issued.serial().clone())).is_err());
    assert!(directory.path().join("issued.old").is_dir());
}

#[test]
fn concurrent_changes_on_disk_are_all_kept() {
    let directory = tempfile::tempdir().unwrap();
    Authority::root("Disk CA").create_in(directory.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let ca = Authority::open(directory.path()).unwrap();
                for _ in 0..10 {
                    let issued = ca.issue(&Profile::server("a.example")).unwrap();
                    ca.revoke(issued.serial(), None).unwrap();
                }
            });
        }
    });
    let records = Authority::open(directory.path()).unwrap().records().unwrap();
    assert_eq!(records.len(), 40);
    assert!(records.iter().all(|record| matches!(record.status, Status::Revoked { .. })));
}

#[test]
fn dropping_a_responder_frees_its_port() {
    let (ca, _, responder) = running();
    let address = responder.address();
    drop(responder);
    let again = Responder::builder().authority(&ca).start(address).unwrap();
    assert_eq!(again.address(), address);
}

#[test]
fn an_observer_receives_every_question() {
    #[derive(Default)]
    struct Log(Mutex<Vec<Access>>);
    impl AccessObserver for Log {
        fn asked(&self, access: &Access) {
            self.0.lock().unwrap().push(access.clone());
        }
    }
    let ca = Authority::root("CA").create().unwrap();
    let issued = ca.issue(&Profile::server("a.example")).unwrap();
    let log = Arc::new(Log::default());
    let responder = Responder::builder().authority(&ca).observer(Arc::clone(&log) as _).start(any_port()).unwrap();
    post(responder.address(), &request(&ca, issued.serial()));
    get(responder.address(), &path_of(&request(&ca, issued.serial())), "If-None-Match: *\r\n");
    post(responder.address(), b"nonsense");
    let seen: Vec<_> = log.0.lock().unwrap().iter().map(|a| (a.method.clone(), a.serial.clone(), a.outcome)).collect();
    let serial = Some(issued.serial().clone());
    assert_eq!(
        seen,
        [
            ("POST".to_owned(), serial.clone(), Outcome::Signed),
            ("GET".to_owned(), serial, Outcome::NotModified),
            ("POST".to_owned(), None, Outcome::Refused),
        ]
    );
}

/// The body of one answer on a connection that stays open.
fn read_one(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).unwrap();
        assert_ne!(count, 0, "closed");
        bytes.extend_from_slice(&piece[..count]);
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let answer = parse(&bytes);
            let length: usize = answer.header("content-length").unwrap().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                return answer.body;
            }
        }
    }
}
