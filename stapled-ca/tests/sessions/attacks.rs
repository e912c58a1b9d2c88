//! Requests, answers and addresses of clients that mean harm.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use rand::{Rng, SeedableRng};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use stapled_ca::der;
use stapled_ca::session::{
    CertificateRequest, Challenge, ChallengeType, Limits, Names, NetworkProber, Policy, ProbeError, Prober, Refusal,
    RequestError, SessionError,
};
use stapled_ca::{Extension, Profile};
use stapled_tests::{HttpServer, ok};

use crate::probes::{challenge, passing, prober, tls_server};
use crate::world::{QUEUES, World, csr, on_each_store};

on_each_store! {
    malformed_requests_leave_nothing
}

const LIMIT: usize = 20 * 1024;
const DNS: u8 = 0x82;
const ADDRESS: u8 = 0x87;

/// A request, signed by a new key, with this subjectAltName extension, whatever it contains.
fn with_san(contents: Vec<u8>) -> Vec<u8> {
    with_extensions(vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], contents)])
}

fn with_extensions(extensions: Vec<CustomExtension>) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.custom_extensions = extensions;
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn san(names: &[(u8, &[u8])]) -> Vec<u8> {
    der::sequence(&names.iter().map(|(tag, name)| der::value(*tag, name)).collect::<Vec<_>>())
}

fn read_names(names: &[(u8, &[u8])]) -> Result<Vec<String>, RequestError> {
    CertificateRequest::read(&with_san(san(names)), LIMIT).map(|request| request.name_texts())
}

async fn malformed_requests_leave_nothing(world: World) {
    let whole = csr(&["a.example"]);
    let refused = async |bytes: &[u8]| match world.sessions.submit(bytes, "192.0.2.1").await {
        Err(SessionError::Request(error)) => error,
        other => panic!("{other:?}"),
    };
    for end in (0..whole.len()).step_by(7) {
        assert_eq!(refused(&whole[..end]).await, RequestError::Malformed, "{end}");
    }
    for size in [LIMIT + 1, 1 << 20] {
        assert!(matches!(refused(&vec![0x30; size]).await, RequestError::TooLong { .. }));
    }
    assert!(matches!(refused(&with_san(san(&[(DNS, b"a\0.example")]))).await, RequestError::Name { .. }));
    for queue in QUEUES {
        assert_eq!(world.length(queue).await, 0, "{queue}");
    }
    assert_eq!(world.sessions.active().await.unwrap(), []);
}

#[test]
fn a_changed_request_is_refused_or_the_same() {
    let mut chance = rand::rngs::StdRng::seed_from_u64(1);
    let whole = csr(&["a.example", "192.0.2.1"]);
    for end in 0..whole.len() {
        assert_eq!(CertificateRequest::read(&whole[..end], LIMIT).unwrap_err(), RequestError::Malformed, "{end}");
    }
    let pem = CertificateRequest::read(&whole, LIMIT).unwrap().to_pem();
    for end in 0..pem.len() - 1 {
        // The last line may be cut in its dashes.
        if let Ok(request) = CertificateRequest::read(&pem.as_bytes()[..end], LIMIT) {
            assert_eq!(request.name_texts(), ["a.example", "192.0.2.1"]);
        }
    }
    for round in 0..4000 {
        let mut changed = if round % 4 == 0 { pem.clone().into_bytes() } else { whole.clone() };
        for _ in 0..chance.random_range(1..4) {
            let place = chance.random_range(0..changed.len());
            match chance.random_range(0..4) {
                0 => drop(changed.remove(place)),
                1 => changed.insert(place, chance.random()),
                2 => changed[place] ^= 1 << chance.random_range(0..8),
                _ => changed[place] = chance.random(),
            }
        }
        if let Ok(request) = CertificateRequest::read(&changed, LIMIT) {
            assert_eq!(request.name_texts(), ["a.example", "192.0.2.1"], "{changed:?}");
        }
    }
}

#[test]
fn names_that_are_changed_and_signed_are_refused_or_certifiable() {
    let mut chance = rand::rngs::StdRng::seed_from_u64(2);
    let whole = san(&[(DNS, b"a.example"), (ADDRESS, &[192, 0, 2, 1]), (DNS, b"b.example")]);
    for _ in 0..1500 {
        let mut changed = whole.clone();
        for _ in 0..chance.random_range(1..4) {
            let place = chance.random_range(0..changed.len());
            match chance.random_range(0..3) {
                0 if changed.len() > 1 => drop(changed.remove(place)),
                1 => changed.insert(place, chance.random()),
                _ => changed[place] = chance.random(),
            }
        }
        if let Ok(request) = CertificateRequest::read(&with_san(changed), LIMIT) {
            for name in request.name_texts() {
                let is_host = name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.".contains(&octet));
                assert!(is_host && !name.is_empty() || name.parse::<IpAddr>().is_ok(), "{name:?}");
            }
        }
    }
}

#[test]
fn names_with_odd_bytes_are_refused() {
    let label = "a".repeat(64);
    let long = [&"a".repeat(63), "b", &"c".repeat(63), &"d".repeat(63), &"e".repeat(60)].join(".");
    assert_eq!(long.len(), 254);
    for name in [
        "",
        ".",
        "a..b",
        ".a",
        "a.",
        "a.example.",
        "a b",
        " a",
        "a ",
        "a\0",
        "a\0.example",
        "a\n",
        "a\x7f",
        "*",
        "*.a",
        "*.*.a",
        "a.*.b",
        "f*.a",
        "-a",
        "a-",
        "a_b",
        "a/b",
        "a@b",
        "a:80",
        "192.0.2.1",
        "1",
        "a.1",
        "0x7f000001",
        "0x7f.1",
        "a.0x1",
        "a.0X",
        "[::1]",
        "::1",
        "xn--",
        "xn--.a",
        &label,
        &long,
    ] {
        let refused = read_names(&[(DNS, name.as_bytes())]);
        assert_eq!(refused, Err(RequestError::Name { name: name.to_owned() }), "{name:?}");
    }
    for name in [&b"\xff\xfe"[..], "ä.example".as_bytes(), "а.example".as_bytes(), b"a\x80b"] {
        assert!(matches!(read_names(&[(DNS, name)]), Err(RequestError::Name { .. })), "{name:?}");
    }
    for address in [&[][..], &[127], &[192, 0, 2], &[192, 0, 2, 1, 0], &[0; 8], &[0; 15], &[0; 17]] {
        assert!(matches!(read_names(&[(ADDRESS, address)]), Err(RequestError::Name { .. })), "{address:?}");
    }
    // Other kinds of names, also those that are none.
    for tag in [0x81, 0x86, 0x88, 0xa0, 0xa3, 0xa4, 0xa5, 0x89, 0x9e] {
        let refused = read_names(&[(DNS, b"a.example"), (tag, b"a.example")]);
        assert!(matches!(refused, Err(RequestError::Name { .. } | RequestError::Malformed)), "{tag:x}: {refused:?}");
    }
    assert_eq!(read_names(&[]), Err(RequestError::NoName));
    let whole = [&"a".repeat(63), "b", &"c".repeat(63), &"d".repeat(63), &"e".repeat(59)].join(".");
    for name in ["XN--MNCHEN-3YA.Example", "a", "A.B", "1a", "0x.a", "a--b", &whole] {
        assert_eq!(read_names(&[(DNS, name.as_bytes())]), Ok(vec![name.to_ascii_lowercase()]));
    }
}

#[test]
fn messages_show_no_control_characters_and_stay_short() {
    for name in [b"a\n\r\x1b[31m\0".to_vec(), vec![b'*'; 10_000]] {
        let text = read_names(&[(DNS, &name)]).unwrap_err().to_string();
        assert!(text.len() < 600 && !text.chars().any(char::is_control), "{text:?}");
    }
    let text = read_names(&[(0x81, &[b'x'; 10_000])]).unwrap_err().to_string();
    assert!(text.len() < 600, "{text:?}");
}

#[test]
fn a_name_that_is_asked_for_twice_counts_once() {
    let twice: [(u8, &[u8]); 5] =
        [(DNS, b"a.example"), (ADDRESS, &[192, 0, 2, 1]), (DNS, b"A.Example"), (ADDRESS, &[192, 0, 2, 1]), (DNS, b"b")];
    assert_eq!(read_names(&twice).unwrap(), ["a.example", "192.0.2.1", "b"]);
}

#[tokio::test]
async fn thousands_of_names_are_refused() {
    let names: Vec<String> = (0..3000).map(|number| format!("{number:x}z")).collect();
    let names: Vec<(u8, &[u8])> = names.iter().map(|name| (DNS, name.as_bytes())).collect();
    let bytes = with_san(san(&names));
    assert!(bytes.len() < LIMIT, "{}", bytes.len());
    let request = CertificateRequest::read(&bytes, LIMIT).unwrap();
    assert_eq!(request.names.len(), 3000);
    let refused = Policy::default().check(&request);
    assert_eq!(refused, Err(Refusal::Names { count: 3000, limit: Policy::default().names }));
    assert!(CertificateRequest::read(&bytes, Limits::default().csr - 10_000).is_err());
}

#[test]
fn unknown_extensions_are_ignored_and_ambiguous_ones_refused() {
    let named = || CustomExtension::from_oid_content(&[2, 5, 29, 17], san(&[(DNS, b"a.example")]));
    let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![0xff; 100]);
    unknown.set_criticality(true);
    let request = CertificateRequest::read(&with_extensions(vec![named(), unknown]), LIMIT).unwrap();
    assert_eq!((request.name_texts(), request.must_staple), (vec!["a.example".to_owned()], false));
    // A request for a certificate of an authority gets one of a server.
    let authority = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 3, 1, 1, 0xff]);
    assert!(CertificateRequest::read(&with_extensions(vec![named(), authority]), LIMIT).is_ok());
    for extensions in [
        vec![named(), named()],
        vec![named(), CustomExtension::from_oid_content(&[2, 5, 29, 17], san(&[(DNS, b"b.example")]))],
        vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0x80, 0, 0])],
        vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], Vec::new())],
        vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], [san(&[(DNS, b"a.example")]), vec![0]].concat())],
    ] {
        let shown = format!("{extensions:?}");
        let refused = CertificateRequest::read(&with_extensions(extensions), LIMIT).map(|request| request.name_texts());
        assert_eq!(refused, Err(RequestError::Malformed), "{shown}");
    }
}

/// A resolver that answers each question with the next of its answers, and the last one from then on.
#[derive(Debug)]
struct Changing(Mutex<Vec<Vec<&'static str>>>);

#[async_trait]
impl Names for Changing {
    async fn addresses(&self, _name: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Ok(answer.iter().map(|address| address.parse().unwrap()).collect())
    }
}

fn resolving(mut prober: NetworkProber, answers: &[&[&'static str]]) -> NetworkProber {
    prober.names = Box::new(Changing(Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect())));
    prober.rules.allowed = vec!["127.0.0.1".parse().unwrap()];
    prober
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_that_was_checked_is_the_one_that_is_asked() {
    let challenge = challenge(ChallengeType::Http01).await;
    // Listens on the allowed address and a refused one: 127.0.0.2.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = TcpListener::bind(("127.0.0.2", port)).unwrap();
    let (right, wrong) = (challenge.authorization.clone(), challenge.authorization.clone());
    let server = HttpServer::at(listener, move |_, stream| {
        let _ = stream.write_all(ok(&right).as_bytes());
        false
    });
    let other = HttpServer::at(refused, move |_, stream| {
        let _ = stream.write_all(ok(&wrong).as_bytes());
        false
    });
    // The first answer is checked and asked; a second one, which leads elsewhere, is never wanted.
    for answers in [
        &[&["127.0.0.1"][..], &["127.0.0.2"]][..],
        &[&["127.0.0.2", "127.0.0.1"]],
        &[&["::1", "169.254.169.254", "127.0.0.1", "127.0.0.2"]],
    ] {
        resolving(prober(port, 1), answers).prove(&challenge).await.unwrap();
    }
    for answers in [&[&["127.0.0.2"][..]][..], &[&["127.0.0.2", "::1", "0.0.0.0"]]] {
        let failure = resolving(prober(port, 1), answers).prove(&challenge).await;
        assert!(matches!(failure, Err(ProbeError::Address { .. })), "{failure:?}");
    }
    let failure = resolving(prober(port, 1), &[&[]]).prove(&challenge).await;
    assert!(matches!(failure, Err(ProbeError::Resolve { .. })), "{failure:?}");
    assert!(other.received.lock().unwrap().is_empty());

    // A redirect is resolved anew, and its addresses are checked as well.
    let redirecting =
        HttpServer::saying("HTTP/1.1 302 Found\r\nlocation: http://b.example/\r\ncontent-length: 0\r\n\r\n");
    let answers: &[&[&str]] = &[&["127.0.0.1"], &["127.0.0.2"]];
    let failure = resolving(prober(redirecting.address.port(), 1), answers).prove(&challenge).await;
    assert!(matches!(failure, Err(ProbeError::Address { .. })), "{failure:?}");
    assert!(other.received.lock().unwrap().is_empty());
    assert_eq!(server.received.lock().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_to_odd_places_are_refused() {
    let challenge = challenge(ChallengeType::Http01).await;
    let inside = HttpServer::saying(ok(&challenge.authorization));
    let port = inside.address.port();
    let long = format!("http://{}/", "a".repeat(60_000));
    for location in [
        // The real resolver reads numbers as addresses.
        &format!("http://127.0.0.2:{port}/"),
        &format!("http://2130706434:{port}/"),
        &format!("http://0x7f000002:{port}/"),
        &format!("http://0177.0.0.2:{port}/"),
        &format!("http://[::ffff:127.0.0.2]:{port}/"),
        &format!("http://user:pass@127.0.0.2:{port}/"),
        &format!("http://localhost.localdomain.invalid:{port}/"),
        &format!("//127.0.0.2:{port}/"),
        "https://a.example/",
        "ftp://a.example/",
        "file:///etc/passwd",
        "gopher://a.example/",
        "javascript:alert(1)",
        "http://",
        "http:///x",
        "http://a.example:0/",
        "http://a.example:99999/",
        "http://a b/",
        "..",
        "?",
        "\u{0}",
        &long,
    ] {
        let head =
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let server = HttpServer::saying(head);
        let mut prober = prober(server.address.port(), 1);
        prober.names = Box::new(FirstThenSystem(Mutex::new(true)));
        prober.rules.allowed = vec!["127.0.0.1".parse().unwrap()];
        let failure = prober.prove(&challenge).await.unwrap_err();
        assert!(failure.to_string().len() < 200_000, "{location}");
    }
    assert!(inside.received.lock().unwrap().is_empty());
}

/// The first name leads to this machine; the others are those of the system.
#[derive(Debug)]
struct FirstThenSystem(Mutex<bool>);

#[async_trait]
impl Names for FirstThenSystem {
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        if std::mem::replace(&mut *self.0.lock().unwrap(), false) {
            return Ok(vec!["127.0.0.1".parse().unwrap()]);
        }
        stapled_ca::session::SystemNames.addresses(name).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_end_and_their_connections_are_closed() {
    let challenge = challenge(ChallengeType::Http01).await;
    let endless: [(&str, &[u8], &[u8]); 6] = [
        ("a header", b"HTTP/1.1 200 OK\r\nx: ", b"x"),
        ("headers", b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        ("a status line", b"HTTP/1.1 200 ", b"x"),
        ("chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        ("a body", b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", b"x"),
        ("other answers", b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ];
    for (what, begin, repeated) in endless {
        let closed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let is_closed = closed.clone();
        let (begin, repeated) = (begin.to_vec(), repeated.repeat(100));
        let server = HttpServer::start(move |_, stream| {
            let _ = stream.write_all(&begin);
            while stream.write_all(&repeated).is_ok() {}
            closed.store(true, std::sync::atomic::Ordering::SeqCst);
            false
        });
        let mut prober = prober(server.address.port(), 1);
        prober.within = Duration::from_secs(2);
        let failure = prober.prove(&challenge).await.unwrap_err().to_string();
        assert!(failure.len() < 500, "{what}: {failure}");
        stapled_tests::wait_until(what, || is_closed.load(std::sync::atomic::Ordering::SeqCst));
    }
    // Octet by octet, for longer than the deadline.
    let dripping = HttpServer::start(|_, stream| {
        let _ = stream.set_nodelay(true);
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        for octet in b"HTTP/1.1 200 OK\r\ncontent-length: 66\r\n\r\n".iter().cycle() {
            // The next octet follows 50 ms later, unless the client closes the connection.
            if stream.write_all(&[*octet]).is_err() || matches!(stream.read(&mut [0; 512]), Ok(0)) {
                break;
            }
        }
        false
    });
    let mut prober = prober(dripping.address.port(), 1);
    prober.within = Duration::from_millis(500);
    let failure = prober.prove(&challenge).await;
    assert!(matches!(failure, Err(ProbeError::TimedOut { .. })), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_break_a_rule_of_rfc_8737_prove_nothing() {
    let challenge = challenge(ChallengeType::TlsAlpn01).await;
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 31];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, challenge.authorization.as_bytes());
    let right = der::value(der::OCTET_STRING, digest.as_ref());
    let sound = |name: &str| Profile::server(name);
    let wrong: Vec<(&str, Profile)> = vec![
        ("not critical", sound("a.example").extension(Extension::new(&oid, right.clone()))),
        ("bare digest", sound("a.example").extension(Extension::critical(&oid, digest.as_ref().to_vec()))),
        ("no digest", sound("a.example").extension(Extension::critical(&oid, der::value(der::OCTET_STRING, b"")))),
        (
            "half a digest",
            sound("a.example")
                .extension(Extension::critical(&oid, der::value(der::OCTET_STRING, &digest.as_ref()[..16]))),
        ),
        ("more after it", sound("a.example").extension(Extension::critical(&oid, [right.clone(), vec![0]].concat()))),
        (
            "another type",
            sound("a.example").extension(Extension::critical(&oid, der::value(der::BIT_STRING, digest.as_ref()))),
        ),
        (
            "the extension twice",
            sound("a.example")
                .extension(Extension::critical(&oid, right.clone()))
                .extension(Extension::critical(&oid, right.clone())),
        ),
        (
            "another identifier",
            sound("a.example").extension(Extension::critical(&[1, 3, 6, 1, 5, 5, 7, 1, 30], right.clone())),
        ),
        ("no extension", sound("a.example")),
        ("another name", passing(&with_name(&challenge, "b.example"))),
        ("a name below", passing(&with_name(&challenge, "x.a.example"))),
        ("a wildcard", passing(&with_name(&challenge, "*.example"))),
        ("two names", passing(&challenge).dns("b.example")),
        ("a name and an address", passing(&challenge).names([stapled_ca_name("192.0.2.1")])),
        ("an address in place of the name", passing(&with_name(&challenge, "127.0.0.1"))),
    ];
    for (what, profile) in wrong {
        let port = tls_server(&profile, &[b"acme-tls/1"]);
        let proved = prober(1, port).prove(&challenge).await;
        assert!(matches!(proved, Err(ProbeError::Answer(_) | ProbeError::Exchange(_))), "{what}: {proved:?}");
    }
    for protocols in [&[&b"http/1.1"[..]][..], &[b"acme-tls/2"], &[b"ACME-TLS/1"], &[b"h2", b"http/1.1"], &[]] {
        let port = tls_server(&passing(&challenge), protocols);
        assert!(prober(1, port).prove(&challenge).await.is_err(), "{protocols:?}");
    }
    let port = tls_server(&passing(&challenge), &[b"h2", b"acme-tls/1"]);
    prober(1, port).prove(&challenge).await.unwrap();
    // No TLS at all, and TLS that never goes on.
    for bytes in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[0x16, 3, 3, 0x40, 0], &[0xff; 100], b""] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bytes = bytes.to_vec();
        std::thread::spawn(move || {
            let kept: Vec<_> =
                listener.incoming().take(1).map(|stream| stream.map(|mut s| (s.write_all(&bytes), s))).collect();
            std::thread::park_timeout(Duration::from_secs(30));
            drop(kept);
        });
        let mut prober = prober(1, port);
        prober.within = Duration::from_secs(1);
        assert!(prober.prove(&challenge).await.is_err());
    }
}

fn with_name(challenge: &Challenge, name: &str) -> Challenge {
    let mut challenge = challenge.clone();
    challenge.name = name.to_owned();
    challenge
}

fn stapled_ca_name(address: &str) -> stapled_ca::SubjectName {
    stapled_ca::SubjectName::Ip(address.parse().unwrap())
}

/// The names of a session are those of its challenges, and each is tested by itself.
#[tokio::test]
async fn each_name_is_proved_by_itself() {
    let world = World::on_a_file().await;
    let id = world.submit(&["a.example", "b.a.example", "example"]).await;
    world.settle().await;
    let session = world.session(&id).await;
    let tokens: BTreeSet<&str> = session.challenges.iter().map(|challenge| challenge.token.as_str()).collect();
    assert_eq!(tokens.len(), 6, "a token is used once");
}
