//! Tests of responses in files, and of the responder that answers from them without a key.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use stapled_ca::ocsp::{CertId, HashAlgorithm, NullParameters, OcspRequest};
use stapled_ca::responder::{FileResponder, Question, ResponseFileError};
use stapled_ca::{Authority, Profile, Reason, Responder, Serial};
use support::path_of;

const NOW: i64 = 1_800_000_000;
const UNAUTHORIZED: [u8; 5] = [0x30, 3, 0x0a, 1, 6];
const INTERNAL_ERROR: [u8; 5] = [0x30, 3, 0x0a, 1, 2];
const MALFORMED: [u8; 5] = [0x30, 3, 0x0a, 1, 1];

/// An authority with a certificate, and a clock.
struct World {
    directory: tempfile::TempDir,
    ca: Authority,
    serial: Serial,
    now: Arc<AtomicI64>,
}

impl World {
    fn new() -> Self {
        let ca = Authority::root("Example CA").create().unwrap();
        let profile = Profile::server("a.example").valid_between(0, NOW * 2);
        let serial = ca.issue(&profile).unwrap().serial().clone();
        Self { directory: tempfile::tempdir().unwrap(), ca, serial, now: Arc::new(AtomicI64::new(NOW)) }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Writes responses that are made now and valid for a thousand seconds.
    fn write(&self, name: &str) {
        let now = self.now.load(Ordering::SeqCst);
        let builder = Responder::builder().authority(&self.ca).validity(Duration::from_secs(1000));
        let builder = builder.publish_crls(Duration::from_secs(1000)).clock(Arc::new(move || now));
        builder.build().write_responses(&self.path(name)).unwrap();
    }

    fn responder(&self, names: &[&str]) -> FileResponder {
        let now = Arc::clone(&self.now);
        let responder = FileResponder::open(names.iter().map(|name| self.path(name))).unwrap();
        responder.clock(Arc::new(move || now.load(Ordering::SeqCst)))
    }

    fn later(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    fn request(&self) -> Vec<u8> {
        OcspRequest::for_certificate(self.ca.cert_id(&self.serial, HashAlgorithm::Sha1)).to_der()
    }
}

/// An answer: its status, a function for its headers, its body.
struct Answer {
    status: StatusCode,
    headers: hyper::HeaderMap,
    body: Vec<u8>,
}

fn ask(responder: &FileResponder, method: &Method, path: &str, body: &[u8], etag: Option<&HeaderValue>) -> Answer {
    let response = responder.answer(Question { method, path, if_none_match: etag, body });
    let (head, body) = response.into_parts();
    let body = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(body)).unwrap().unwrap();
    Answer { status: head.status, headers: head.headers, body: body.to_bytes().to_vec() }
}

fn post(responder: &FileResponder, request: &[u8]) -> Vec<u8> {
    ask(responder, &Method::POST, "/", request, None).body
}

/// Whether a response says that the certificate is good. With rasn: an independent decoder.
fn is_good(response: &[u8]) -> bool {
    let response: rasn_ocsp::OcspResponse = rasn::der::decode(response).unwrap();
    let basic: rasn_ocsp::BasicOcspResponse = rasn::der::decode(&response.bytes.unwrap().response).unwrap();
    matches!(basic.tbs_response_data.responses[0].cert_status, rasn_ocsp::CertStatus::Good)
}

/// Whether the responseStatus is successful.
fn is_success(response: &[u8]) -> bool {
    let response: rasn_ocsp::OcspResponse = rasn::der::decode(response).unwrap();
    response.bytes.is_some()
}

#[test]
fn get_and_post_are_answered_with_cache_headers() {
    let world = World::new();
    world.write("one");
    let responder = world.responder(&["one"]);
    let path = path_of(&world.request());
    let first = ask(&responder, &Method::GET, &path, b"", None);
    assert_eq!(first.status, StatusCode::OK);
    assert!(is_good(&first.body));
    assert_eq!(first.headers["content-type"], "application/ocsp-response");
    assert_eq!(first.headers["cache-control"], "max-age=500, public, no-transform, must-revalidate");
    assert_eq!(post(&responder, &world.request()), first.body);
    let etag = &first.headers["etag"];
    assert_eq!(ask(&responder, &Method::GET, &path, b"", Some(etag)).status, StatusCode::NOT_MODIFIED);
    let put = ask(&responder, &Method::PUT, "/", b"", None);
    assert_eq!(
        (put.status, put.headers["allow"].as_bytes()),
        (StatusCode::METHOD_NOT_ALLOWED, &b"GET, HEAD, POST"[..])
    );
    for path in [path.as_str(), "/ca.crt", "/ca.crl"] {
        let (head, whole) =
            (ask(&responder, &Method::HEAD, path, b"", None), ask(&responder, &Method::GET, path, b"", None));
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{path}");
        assert_eq!(head.headers["content-length"], whole.body.len().to_string());
        assert_eq!(head.headers["content-type"], whole.headers["content-type"]);
        assert_eq!(head.headers.get("etag"), whole.headers.get("etag"));
    }
    assert_eq!(ask(&responder, &Method::HEAD, &path, b"", Some(etag)).status, StatusCode::NOT_MODIFIED);
    assert_eq!(ask(&responder, &Method::GET, "/", b"", None).status, StatusCode::NOT_FOUND);
    for (path, expected) in [("/ca.crt", world.ca.certificate()), ("/example-ca.crt", world.ca.certificate())] {
        assert_eq!(ask(&responder, &Method::GET, path, b"", None).body, expected);
    }
    let list = ask(&responder, &Method::GET, "/example-ca.crl", b"", None);
    assert_eq!((list.status, list.headers["content-type"].as_bytes()), (StatusCode::OK, &b"application/pkix-crl"[..]));
    let known = ask(&responder, &Method::GET, "/ca.crl", b"", Some(&list.headers["etag"]));
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
}

#[test]
fn caches_keep_a_list_for_an_hour_at_most() {
    let world = World::new();
    let max_age = |validity: u64| {
        let builder = Responder::builder().authority(&world.ca).publish_crls(Duration::from_secs(validity));
        builder.clock(Arc::new(|| NOW)).build().write_responses(&world.path("one")).unwrap();
        let list = ask(&world.responder(&["one"]), &Method::GET, "/ca.crl", b"", None);
        list.headers["cache-control"].to_str().unwrap().split(',').next().unwrap().to_owned()
    };
    assert_eq!(max_age(604_800), "max-age=3600");
    assert_eq!(max_age(1000), "max-age=500");
}

#[test]
fn cert_ids_are_found_in_every_encoding() {
    let world = World::new();
    world.write("one");
    let responder = world.responder(&["one"]);
    for hash in [HashAlgorithm::Sha1, HashAlgorithm::Sha256] {
        for parameters in [NullParameters::Present, NullParameters::Absent] {
            let id = CertId::with_parameters(world.ca.identity(), &world.serial, hash, parameters);
            let request = OcspRequest { cert_ids: vec![id], nonce: Some(vec![7; 16]) };
            assert!(is_good(&post(&responder, &request.to_der())), "{hash} {parameters:?}");
        }
    }
}

#[test]
fn what_is_not_in_a_file_is_not_answered() {
    let world = World::new();
    world.write("one");
    let responder = world.responder(&["one"]);
    let id = world.ca.cert_id(&world.serial, HashAlgorithm::Sha1);
    let ask = |cert_ids: Vec<CertId>| post(&responder, &OcspRequest { cert_ids, nonce: None }.to_der());
    assert_eq!(ask(vec![world.ca.cert_id(&99.into(), HashAlgorithm::Sha1)]), UNAUTHORIZED, "another number");
    assert_eq!(ask(vec![world.ca.cert_id(&world.serial, HashAlgorithm::Sha512)]), UNAUTHORIZED, "another hash");
    let other = Authority::root("Other CA").create().unwrap();
    assert_eq!(ask(vec![other.cert_id(&world.serial, HashAlgorithm::Sha1)]), UNAUTHORIZED, "another authority");
    assert_eq!(ask(vec![id.clone(), id]), UNAUTHORIZED, "two at once");
    assert_eq!(post(&responder, b"nonsense"), MALFORMED);
}

#[test]
fn an_expired_response_is_never_sent() {
    let world = World::new();
    world.write("one");
    let responder = world.responder(&["one"]);
    world.later(999);
    assert!(is_good(&post(&responder, &world.request())));
    world.later(1);
    assert_eq!(post(&responder, &world.request()), INTERNAL_ERROR);
    let list = |responder: &FileResponder| ask(responder, &Method::GET, "/ca.crl", b"", None).status;
    assert_eq!(list(&responder), StatusCode::SERVICE_UNAVAILABLE);
    world.later(-1001);
    assert_eq!(post(&responder, &world.request()), INTERNAL_ERROR, "before its time");
    world.later(1001);
    world.write("one");
    responder.reload();
    assert!(is_good(&post(&responder, &world.request())));
    assert_eq!(list(&responder), StatusCode::OK);
}

#[test]
fn the_newest_of_several_files_counts() {
    let world = World::new();
    world.write("old");
    world.later(10);
    world.ca.revoke(&world.serial, Some(Reason::KeyCompromise)).unwrap();
    world.write("new");
    for names in [["old", "new"], ["new", "old"]] {
        assert!(!is_good(&post(&world.responder(&names), &world.request())), "{names:?}");
    }
}

#[test]
fn a_replaced_file_is_read_again_and_a_bad_one_is_not_taken() {
    let world = World::new();
    world.write("old");
    std::fs::copy(world.path("old"), world.path("used")).unwrap();
    let responder = world.responder(&["used"]);
    let before = post(&responder, &world.request());
    let replace = |bytes: &[u8]| {
        std::fs::write(world.path("next"), bytes).unwrap();
        std::fs::rename(world.path("next"), world.path("used")).unwrap();
        responder.reload();
    };
    let old = std::fs::read(world.path("old")).unwrap();
    replace(&old[..old.len() / 2]);
    assert_eq!(post(&responder, &world.request()), before, "half a file");
    std::fs::remove_file(world.path("used")).unwrap();
    responder.reload();
    assert_eq!(post(&responder, &world.request()), before, "no file");

    world.later(10);
    world.ca.revoke(&world.serial, Some(Reason::KeyCompromise)).unwrap();
    world.write("new");
    replace(&std::fs::read(world.path("new")).unwrap());
    assert!(!is_good(&post(&responder, &world.request())), "the new file");
    replace(&old);
    assert!(!is_good(&post(&responder, &world.request())), "an older file does not undo a revocation");
}

/// How far a clock is ahead in tests, in seconds.
const AHEAD: i64 = 1_000_000;

#[test]
fn a_file_of_a_clock_that_was_ahead_is_replaced() {
    // The clock of the machine that signs is ahead, or that of the machine that answers as well.
    for both in [false, true] {
        let world = World::new();
        world.later(AHEAD);
        world.write("used");
        world.later(if both { 0 } else { -AHEAD });
        let responder = world.responder(&["used"]);
        responder.reload();
        assert_eq!(is_success(&post(&responder, &world.request())), both);
        world.later(if both { 100 - AHEAD } else { 100 });
        world.write("next");
        std::fs::rename(world.path("next"), world.path("used")).unwrap();
        responder.reload();
        assert!(is_success(&post(&responder, &world.request())), "both: {both}");
    }
}

#[test]
fn a_file_that_was_older_is_taken_once_the_clock_is_right() {
    let world = World::new();
    world.write("next");
    world.later(AHEAD);
    world.write("used");
    let responder = world.responder(&["used"]);
    std::fs::rename(world.path("next"), world.path("used")).unwrap();
    responder.reload();
    assert!(is_success(&post(&responder, &world.request())), "the newer one stays in use");
    world.later(-AHEAD);
    assert_eq!(post(&responder, &world.request()), INTERNAL_ERROR);
    responder.reload();
    assert!(is_success(&post(&responder, &world.request())));
}

#[test]
fn a_file_whose_signer_is_a_little_ahead_is_not_undone_by_an_older_one() {
    let world = World::new();
    world.write("old");
    world.later(100);
    world.ca.revoke(&world.serial, Some(Reason::KeyCompromise)).unwrap();
    world.write("used");
    world.later(-30);
    let responder = world.responder(&["used"]);
    responder.reload();
    world.later(40);
    std::fs::rename(world.path("old"), world.path("used")).unwrap();
    responder.reload();
    world.later(30);
    assert!(!is_good(&post(&responder, &world.request())));
}

#[test]
fn a_list_of_the_future_is_not_sent() {
    let world = World::new();
    world.write("now");
    world.later(AHEAD);
    world.write("future");
    world.later(-AHEAD);
    let list = |names: &[&str]| ask(&world.responder(names), &Method::GET, "/ca.crl", b"", None);
    assert_eq!(list(&["future"]).status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(list(&["future", "now"]).body, list(&["now"]).body);
}

#[test]
fn the_delegate_is_renewed_before_responses_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("ca");
    let ca = Authority::root("Example CA").create_in(&place).unwrap();
    ca.issue(&Profile::server("a.example")).unwrap();
    let file = directory.path().join("responses");
    let write = |days: i64| {
        let now = days * 86_400 + jiff::Timestamp::now().as_second();
        let builder = Responder::builder().installed_delegate(&ca).unwrap().clock(Arc::new(move || now));
        builder.build().write_responses(&file).map(|_| ca.installed_delegate().unwrap().certificate().unwrap().to_vec())
    };
    let first = ca.install_delegate(&Profile::ocsp_responder("OCSP").days(30)).unwrap().der().to_vec();
    assert_eq!(write(19).unwrap(), first);
    let second = write(21).unwrap();
    assert_ne!(second, first);
    let has = |certificate: &[u8]| {
        let responses = std::fs::read(&file).unwrap();
        responses.windows(certificate.len()).any(|part| part == certificate)
    };
    assert!(has(&second) && !has(&first), "the new one signs");
    // A failure is not hidden: the next renewals would fail as well, until the delegate ends.
    std::fs::write(place.join("ledger"), "x\n").unwrap();
    assert!(matches!(write(42), Err(ResponseFileError::Delegate { .. })));
    assert!(has(&second));
}

#[test]
fn a_file_that_could_not_be_read_is_read_again() {
    let world = World::new();
    world.write("used");
    let responder = world.responder(&["used"]);
    world.later(10);
    world.ca.revoke(&world.serial, Some(Reason::KeyCompromise)).unwrap();
    world.write("new");
    let new = std::fs::read(world.path("new")).unwrap();
    // The file is read while it is copied; then it has the same length and time.
    let mut half = new.clone();
    half[new.len() / 2..].fill(0);
    std::fs::write(world.path("used"), &half).unwrap();
    let time = std::fs::metadata(world.path("used")).unwrap().modified().unwrap();
    responder.reload();
    assert!(is_good(&post(&responder, &world.request())));
    let mut file = std::fs::File::options().write(true).open(world.path("used")).unwrap();
    std::io::Write::write_all(&mut file, &new).unwrap();
    file.set_modified(time).unwrap();
    world.later(9);
    responder.reload();
    assert!(is_good(&post(&responder, &world.request())), "not in every look: a file may be large");
    world.later(1);
    responder.reload();
    assert!(!is_good(&post(&responder, &world.request())));
}

#[test]
fn a_replaced_file_with_another_authority_of_the_same_file_name_is_not_taken() {
    let world = World::new();
    world.write("one");
    world.write("two");
    let responder = world.responder(&["one", "two"]);
    world.later(1);
    let other = Authority::root("example-ca").create().unwrap();
    let issued = other.issue(&Profile::server("b.example").valid_between(0, NOW * 2)).unwrap();
    let now = world.now.load(Ordering::SeqCst);
    let builder = Responder::builder().authority(&other).clock(Arc::new(move || now));
    builder.build().write_responses(&world.path("two")).unwrap();
    responder.reload();
    let serial = issued.serial();
    let of_other = OcspRequest::for_certificate(other.cert_id(serial, HashAlgorithm::Sha1)).to_der();
    assert_eq!(post(&responder, &of_other), UNAUTHORIZED);
    assert!(is_good(&post(&responder, &world.request())));
    assert_eq!(ask(&responder, &Method::GET, "/example-ca.crt", b"", None).body, world.ca.certificate());
    let both = [world.path("two"), world.path("one")];
    assert!(matches!(FileResponder::open(&both), Err(ResponseFileError::Names { path, .. }) if path == both[1]));
}

#[test]
fn a_bad_file_is_an_error_at_the_start() {
    let world = World::new();
    world.write("one");
    let open = |path: &Path| FileResponder::open([path]).unwrap_err();
    assert!(matches!(open(&world.path("none")), ResponseFileError::Read { .. }));
    let bytes = std::fs::read(world.path("one")).unwrap();
    std::fs::write(world.path("half"), &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(open(&world.path("half")), ResponseFileError::Damaged { .. }));
    std::fs::write(world.path("other"), world.ca.certificate_pem()).unwrap();
    assert!(matches!(open(&world.path("other")), ResponseFileError::OtherKind { .. }));
}
