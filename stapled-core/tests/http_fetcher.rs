//! The fetcher over HTTP, against servers that say what they please.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod io_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use io_support::Example;
use stapled_ca::lab::Lab;
use stapled_ca::{Authority, Profile};
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use stapled_core::io::http::{HttpFetcher, HttpFetcherBuilder, HttpFetcherError, Resolver, get_url};
use stapled_core::ocsp::{CertIdHash, OcspRequest};
use stapled_core::staple::{JudgePolicy, judge};

/// A request as it came.
#[derive(Clone, Debug)]
struct Received {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    connection: usize,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A server in a thread of its own for each connection.
struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// `answer` gets each request and the connection; it returns whether the connection stays.
    fn start(answer: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    fn at(listener: TcpListener, answer: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&received), Arc::new(answer));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(request) = read_request(&mut reader, connection) {
                        log.lock().unwrap().push(request.clone());
                        if !answer(&request, &mut stream) {
                            break;
                        }
                    }
                });
            }
        });
        Server { address, received }
    }

    /// Answers every request with the same bytes, and closes.
    fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, stream| {
            let _ = stream.write_all(&answer);
            false
        })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn read_request(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Received> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut received = Received { line: line.trim_end().to_owned(), headers, body: Vec::new(), connection };
    let length = received.header("content-length").map_or(0, |length| length.parse().unwrap());
    received.body = vec![0; length];
    reader.read_exact(&mut received.body).ok()?;
    Some(received)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What is asked: an example's certificate.
struct Asker {
    example: Example,
    request: OcspRequest,
    fetcher: HttpFetcher,
}

impl Asker {
    fn new() -> Self {
        Self::with(quick())
    }

    fn with(builder: HttpFetcherBuilder) -> Self {
        let example = Example::new(&[]);
        let request = OcspRequest::new(&example.chain.cert_id(CertIdHash::Sha1), None).unwrap();
        Asker { example, request, fetcher: builder.build().unwrap() }
    }

    async fn ask(&self, method: Method, url: &str, etag: Option<&str>) -> Result<Answer, FetchError> {
        let question = Question { chain: &self.example.chain, request: &self.request, method, url, etag };
        self.fetcher.fetch(&question).await
    }

    async fn post(&self, url: &str) -> Result<Answer, FetchError> {
        self.ask(Method::Post, url, None).await
    }

    async fn get(&self, url: &str) -> Result<Answer, FetchError> {
        self.ask(Method::Get, url, None).await
    }
}

/// Deadlines long enough for a busy machine, where nothing should time out.
fn quick() -> HttpFetcherBuilder {
    HttpFetcher::builder()
}

/// Deadlines that are waited for.
fn impatient() -> HttpFetcherBuilder {
    HttpFetcher::builder().timeout(Duration::from_millis(400)).read_timeout(Duration::from_millis(200))
}

fn body(answer: Result<Answer, FetchError>) -> Vec<u8> {
    answer.unwrap().body.unwrap().to_vec()
}

fn code(answer: Result<Answer, FetchError>) -> &'static str {
    match answer {
        Err(error) => error.code().as_str(),
        Ok(answer) => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_post_carries_the_request_in_its_body() {
    let server = Server::saying(ok("answer"));
    let asker = Asker::new();
    assert_eq!(body(asker.post(&format!("{}/ocsp?ca=1#x", server.url())).await), b"answer");
    let request = &server.received()[0];
    assert_eq!(request.line, "POST /ocsp?ca=1 HTTP/1.1");
    assert_eq!(request.header("host"), Some(server.address.to_string().as_str()));
    assert_eq!(request.header("content-type"), Some("application/ocsp-request"));
    assert_eq!(request.header("accept"), Some("application/ocsp-response"));
    assert_eq!(request.header("user-agent"), Some(concat!("stapled/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.body, asker.request.as_der());
}

#[tokio::test]
async fn a_get_carries_the_request_in_its_url() {
    let server = Server::saying(ok("answer"));
    let asker = Asker::new();
    for path in ["/ca1", "/ca1/"] {
        assert_eq!(body(asker.get(&format!("{}{path}", server.url())).await), b"answer");
    }
    let expected = get_url("http://host/ca1", asker.request.as_der()).unwrap();
    let expected = expected.trim_start_matches("http://host");
    for request in server.received() {
        assert_eq!(request.line, format!("GET {expected} HTTP/1.1"));
        assert!(request.body.is_empty());
        assert_eq!(request.header("if-none-match"), None);
    }
    assert_eq!(code(asker.get(&format!("{}/?query", server.url())).await), "unsupported_url");
}

#[tokio::test]
async fn a_real_responders_answer_becomes_a_staple() {
    let authority = Authority::root("Example CA").create().unwrap();
    let issued = authority.issue(&Profile::server("example.org")).unwrap();
    let lab = Lab::start([&authority]).unwrap();
    let end_entity = Arc::new(Certificate::from_der(issued.der()).unwrap());
    let issuer = Arc::new(Certificate::from_der(authority.certificate()).unwrap());
    let chain = Arc::new(CertChain::new(end_entity, issuer).unwrap());
    let fetcher = HttpFetcher::new();
    for hash in [CertIdHash::Sha1, CertIdHash::Sha256] {
        let request = OcspRequest::new(&chain.cert_id(hash), None).unwrap();
        for method in [Method::Get, Method::Post] {
            let question = Question { chain: &chain, request: &request, method, url: &lab.url(), etag: None };
            let answer = fetcher.fetch(&question).await.unwrap();
            let response = answer.body.unwrap();
            let now = SystemClock.now();
            let judgement = judge(&response, &chain, now, &JudgePolicy::default(), None, &[]).unwrap();
            assert!(judgement.staple().is_some(), "{method:?}");
        }
    }
}

#[tokio::test]
async fn what_caches_may_do_is_told() {
    let asker = Asker::new();
    let server = Server::saying(
        "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=3600\r\nAge: 600\r\nETag: \"v1\"\r\n\
         Expires: Thu, 01 Jan 2099 00:00:00 GMT\r\nContent-Length: 1\r\n\r\nx",
    );
    let answer = asker.get(&server.url()).await.unwrap();
    assert_eq!(answer.max_age, Some(Duration::from_secs(3000)));
    assert_eq!((answer.expires, answer.etag.as_deref()), (None, Some("\"v1\"")));

    let server = Server::saying(
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nExpires: Thu, 01 Jan 2026 01:00:00 GMT\r\n\
         Content-Length: 1\r\n\r\nx",
    );
    let answer = asker.get(&server.url()).await.unwrap();
    let left = answer.expires.unwrap().since(SystemClock.now()).as_secs();
    assert!((3500..=3600).contains(&left), "{left}");
}

#[tokio::test]
async fn not_modified_answers_a_conditional_get_only() {
    let server = Server::saying("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=60\r\n\r\n");
    let asker = Asker::new();
    let answer = asker.ask(Method::Get, &server.url(), Some("\"v1\"")).await.unwrap();
    assert_eq!((answer.body, answer.max_age), (None, Some(Duration::from_secs(60))));
    assert_eq!(server.received()[0].header("if-none-match"), Some("\"v1\""));
    assert_eq!(code(asker.get(&server.url()).await), "http_status");
    assert_eq!(code(asker.ask(Method::Post, &server.url(), Some("\"v1\"")).await), "http_status");
    assert_eq!(code(asker.ask(Method::Get, &server.url(), Some("\r\nx: y")).await), "http_status");
    assert!(server.received().iter().skip(1).all(|request| request.header("if-none-match").is_none()));
}

#[tokio::test]
async fn a_refusal_tells_its_status_and_how_long_to_wait() {
    let asker = Asker::new();
    let date = httpdate_in(Duration::from_secs(90));
    for (head, status, wait) in [
        ("503 Service Unavailable\r\nRetry-After: 120".to_owned(), 503, 120..=120),
        (format!("429 Too Many Requests\r\nRetry-After: {date}"), 429, 80..=91),
        ("404 Not Found".to_owned(), 404, 0..=0),
        ("500 Oops\r\nRetry-After: 99999999999999999999999".to_owned(), 500, 1 << 31..=1 << 31),
        ("206 Partial Content".to_owned(), 206, 0..=0),
        ("300 Multiple Choices\r\nLocation: /x".to_owned(), 300, 0..=0),
    ] {
        let server = Server::saying(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"));
        for method in [Method::Get, Method::Post] {
            match asker.ask(method, &server.url(), None).await.unwrap_err() {
                FetchError::Status { status: found, retry_after, .. } => {
                    assert_eq!(found, status);
                    let seconds = retry_after.map_or(0, |wait| wait.as_secs());
                    assert!(wait.contains(&seconds), "{status}: {seconds}");
                }
                other => panic!("{other}"),
            }
        }
    }
}

fn httpdate_in(duration: Duration) -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now() + duration)
}

#[tokio::test]
async fn several_framings_of_a_body() {
    let asker = Asker::new();
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nans\r\n3\r\nwer\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nanswer",
        "HTTP/1.0 200 OK\r\n\r\nanswer",
        "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nanswer and more",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer",
    ] {
        let server = Server::saying(answer);
        assert_eq!(body(asker.post(&server.url()).await), b"answer", "{answer}");
    }
    // What an empty answer means is not HTTP's to say.
    let server = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(body(asker.post(&server.url()).await), b"");
}

#[tokio::test]
async fn what_is_no_http_is_broken() {
    let asker = Asker::new();
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024));
    for answer in [
        "garbage\r\n\r\n",
        "\u{0}\u{1}\u{2}",
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 999999 OK\r\n\r\n",
        many.as_str(),
        long.as_str(),
    ] {
        let server = Server::saying(answer);
        assert_eq!(code(asker.post(&server.url()).await), "http_broken", "{:.60}", answer.escape_debug().to_string());
    }
}

/// A responder may send a chain of dozens of certificates with each answer.
#[tokio::test]
async fn an_answer_with_a_long_chain_is_read() {
    let asker = Asker::new();
    let long = "x".repeat(stapled_core::staple::MAX_RECEIVED);
    assert!(long.len() > 60 * 1800, "certificates of RSA keys");
    let server = Server::saying(ok(&long));
    assert_eq!(body(asker.post(&server.url()).await).len(), long.len());
    let server = Server::saying(ok(&format!("{long}x")));
    assert_eq!(code(asker.post(&server.url()).await), "too_large");
}

#[tokio::test]
async fn too_much_is_not_read() {
    let asker = Asker::with(quick().max_size(1000));
    let exactly = "x".repeat(1000);
    let more = "x".repeat(1001);
    let exact = Server::saying(ok(&exactly));
    assert_eq!(body(asker.post(&exact.url()).await).len(), 1000);
    // Said beforehand: refused without waiting for it.
    let announced = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
        let _ = stream.read(&mut [0]);
        false
    });
    assert_eq!(code(asker.post(&announced.url()).await), "too_large");
    for answer in [
        ok(&more),
        format!("HTTP/1.1 200 OK\r\n\r\n{more}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{more}\r\n0\r\n\r\n"),
    ] {
        let server = Server::saying(answer);
        let error = asker.post(&server.url()).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 1000, .. }), "{error}");
    }
    let endless = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[0; 1024]).is_ok() {}
        false
    });
    assert_eq!(code(asker.post(&endless.url()).await), "too_large");
}

/// Sends `piece` again and again until the peer has enough.
fn drip(head: &'static [u8], piece: &'static [u8], pause: Duration) -> Server {
    Server::start(move |_, stream| {
        let mut more = stream.write_all(head).is_ok();
        while more {
            std::thread::sleep(pause);
            more = stream.write_all(piece).is_ok();
        }
        false
    })
}

#[tokio::test]
async fn nothing_takes_longer_than_its_deadline() {
    let asker = Asker::with(impatient());
    let pause = Duration::from_millis(20);
    let silent = Server::start(|_, stream| {
        let _ = stream.read(&mut [0]);
        false
    });
    for (server, deadline) in [
        (silent, 400),
        (drip(b"HTTP/1.1 200 OK\r\n", b"x", pause), 400),
        (drip(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", pause), 400),
        (drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause), 400),
        (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x", pause), 400),
        (drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", pause), 400),
        (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x", Duration::from_secs(3)), 200),
    ] {
        let start = Instant::now();
        match asker.post(&server.url()).await.unwrap_err() {
            FetchError::TimedOut { after, .. } => assert_eq!(after, Duration::from_millis(deadline)),
            other => panic!("{other}"),
        }
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn the_deadline_covers_all_redirections_together() {
    let asker = Asker::with(impatient().timeout(Duration::from_millis(500)));
    let server = Server::start(|request, stream| {
        std::thread::sleep(Duration::from_millis(200));
        let step: usize = request.line.split(['/', ' ']).nth(2).and_then(|step| step.parse().ok()).unwrap_or(0);
        let answer = format!("HTTP/1.1 308 Further\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n", step + 1);
        stream.write_all(answer.as_bytes()).is_ok()
    });
    assert_eq!(code(asker.post(&server.url()).await), "timed_out");
}

#[tokio::test]
async fn nobody_there() {
    let asker = Asker::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = asker.post(&format!("http://{address}/")).await.unwrap_err();
    assert!(matches!(&error, FetchError::Connect { why, .. } if why.contains("refused")), "{error}");
    assert!(error.is_hosts_fault());
    assert_eq!(code(asker.post("http://name.invalid/").await), "connect_failed");
    for url in ["ftp://a/", "http://host:99999/", "http://user:pw@host/", "http:///", "x", "http://a/\r\nHost: b"] {
        assert_eq!(code(asker.post(url).await), "unsupported_url", "{url}");
    }
}

#[tokio::test]
async fn https_to_a_server_without_tls_fails_alone() {
    let asker = Asker::new();
    let server = Server::saying(ok("answer"));
    let error = asker.post(&server.url().replace("http", "https")).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
    assert_eq!(body(asker.post(&server.url()).await), b"answer");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(|_, stream| stream.write_all(ok("answer").as_bytes()).is_ok());
    let asker = Asker::new();
    for method in [Method::Post, Method::Get, Method::Post] {
        assert_eq!(body(asker.ask(method, &server.url(), None).await), b"answer");
    }
    let connections: Vec<usize> = server.received().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closes_is_no_failure() {
    // Promises to keep the connection, and closes it at the second request.
    let asker = Asker::new();
    let closing = Server::start({
        let asked = Mutex::new(0);
        move |_, stream| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            *asked != 2 && stream.write_all(ok("answer").as_bytes()).is_ok()
        }
    });
    for _ in 0..3 {
        assert_eq!(body(asker.post(&closing.url()).await), b"answer");
    }
    assert_eq!(closing.received().len(), 4, "one question was asked twice");
}

/// Redirects to the place that the path names after its status: `/308/http://…`.
fn redirector() -> Server {
    Server::start(|request, stream| {
        let path = request.line.split(' ').nth(1).unwrap();
        let mut parts = path.splitn(3, '/').skip(1);
        let answer = match (parts.next(), parts.next()) {
            (Some(status), Some(location)) if status.starts_with('3') => {
                format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
            }
            _ => ok("answer"),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    })
}

#[tokio::test]
async fn redirections_are_followed() {
    let asker = Asker::new();
    for (status, method) in [(301, "POST"), (302, "POST"), (303, "GET"), (307, "POST"), (308, "POST")] {
        let (first, target) = (redirector(), Server::saying(ok("answer")));
        assert_eq!(body(asker.post(&format!("{}/{status}/{}/x", first.url(), target.url())).await), b"answer");
        let request = &target.received()[0];
        assert_eq!(request.line, format!("{method} /x HTTP/1.1"), "{status}");
        let expected = if method == "POST" { asker.request.as_der() } else { &[] };
        assert_eq!(request.body, expected);
        assert_eq!(request.header("host"), Some(target.address.to_string().as_str()));

        assert_eq!(body(asker.get(&format!("{}/{status}/{}/x", first.url(), target.url())).await), b"answer");
        assert!(target.received()[1].line.starts_with("GET /x/"), "{status}");
    }
}

#[tokio::test]
async fn credentials_are_in_no_error() {
    let asker = Asker::new();
    for location in ["http://u:secret@host/", "//u:secret@host/", "http://u:secret@", "http://u:se/secret@host:x/"] {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let error = asker.post(&Server::saying(head).url()).await.unwrap_err();
        assert!(matches!(error, FetchError::Redirect { .. }), "{location}: {error}");
        assert!(error.to_string().contains("***@"), "{location}: {error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{location}: {error}");
    }
    for url in ["http://u:secret@host/", "http://u:se/secret@host:x/", "ldap://u:secret@host/", "u:secret@host"] {
        let error = asker.post(url).await.unwrap_err();
        assert!(matches!(error, FetchError::UnsupportedUrl { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        let error = asker.fetcher.fetch_issuer(url, 10).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_not_reached_by_a_redirection_is_told_apart() {
    let asker = Asker::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = asker.post(&format!("{}/302/http://{closed}/", redirector().url())).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirected { .. }) && !error.is_unasked(), "{error}");
    let error = asker.post(&format!("http://{closed}/")).await.unwrap_err();
    assert!(error.is_unasked(), "{error}");
}

#[tokio::test]
async fn white_space_around_a_url_is_no_matter() {
    let server = Server::saying(ok("answer"));
    let url = format!(" \t{}/ocsp\r\n", server.url());
    let asker = Asker::new();
    assert_eq!(body(asker.post(&url).await), b"answer");
    assert_eq!(body(asker.get(&url).await), b"answer");
    assert_eq!(server.received()[0].line, "POST /ocsp HTTP/1.1");
    assert!(server.received()[1].line.starts_with("GET /ocsp/M"));
}

/// "answer", compressed by gzip.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\x4b\xcc\x2b\x2e\x4f\x2d\x02\0\x25\x4a\xdd\xda\x06\0\0\0";

#[tokio::test]
async fn compressed_answers_are_unpacked() {
    let asker = Asker::new();
    for header in ["Content-Encoding: gzip\r\n", "content-encoding: X-GZIP\r\n", ""] {
        let head = format!("HTTP/1.1 200 OK\r\n{header}Content-Length: {}\r\n\r\n", GZIP.len());
        let server = Server::saying([head.as_bytes(), GZIP].concat());
        assert_eq!(body(asker.post(&server.url()).await), b"answer", "{header}");
    }
    // Not beyond the limit: then it stays as it came.
    let small = Asker::with(quick().max_size(GZIP.len()));
    let server = Server::saying(
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", GZIP.len()).as_bytes(), GZIP].concat(),
    );
    assert_eq!(body(small.post(&server.url()).await), b"answer");
    let tiny = HttpFetcher::builder().build().unwrap();
    let url = server.url();
    assert_eq!(&tiny.fetch_issuer(&url, GZIP.len()).await.unwrap()[..], b"answer");
}

#[tokio::test]
async fn the_type_of_an_answer_and_where_it_came_from_are_told() {
    let server =
        Server::saying("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nRetry-After: 7\r\nContent-Length: 1\r\n\r\nx");
    let answer = Asker::new().post(&server.url()).await.unwrap();
    assert_eq!(answer.content_type.as_deref(), Some("text/html"));
    assert_eq!((answer.retry_after, answer.from), (Some(Duration::from_secs(7)), Some(server.address)));
}

/// Sends the same piece at full speed until the peer has enough; counts what could be sent.
fn flood(head: &'static [u8], piece: &'static [u8]) -> (Server, Arc<std::sync::atomic::AtomicUsize>) {
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = Server::start(move |_, stream| {
        let mut more = stream.write_all(head).is_ok();
        while more {
            more = stream.write_all(piece).is_ok();
            count.fetch_add(piece.len(), std::sync::atomic::Ordering::SeqCst);
        }
        false
    });
    (server, sent)
}

#[tokio::test]
async fn everything_off_the_wire_counts() {
    let asker = Asker::new();
    for (name, (server, sent)) in [
        ("100 Continue", flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
        ("103 Early Hints", flood(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")),
        ("chunk extensions", flood(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;name=value\r\nx\r\n")),
        ("a head", flood(b"HTTP/1.1 200 OK\r\n", b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")),
        (
            "trailers",
            flood(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x: yyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
        ),
    ] {
        let start = Instant::now();
        let error = asker.post(&server.url()).await.unwrap_err();
        assert!(matches!(error.code().as_str(), "too_large" | "http_broken"), "{name}: {error}");
        if name.starts_with('1') {
            assert!(matches!(error, FetchError::TooMuchAround { limit: 327_680, .. }), "{name}: {error}");
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{name}: {:?}", start.elapsed());
        // The rest of it is in the buffers of two sockets.
        let sent = sent.load(std::sync::atomic::Ordering::SeqCst);
        assert!(sent < 16 << 20, "{name}: {sent} bytes");
    }
}

#[tokio::test]
async fn what_a_proxy_sends_counts_too() {
    let (server, sent) = flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n");
    let asker = Asker::with(quick().proxy(server.url(), ""));
    for url in ["http://ocsp.invalid/", "https://ocsp.invalid/"] {
        let start = Instant::now();
        let error = asker.post(url).await.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5), "{url}: {error}: {:?}", start.elapsed());
    }
    let sent = sent.load(std::sync::atomic::Ordering::SeqCst);
    assert!(sent < 16 << 20, "{sent} bytes");
}

#[tokio::test]
async fn what_came_for_one_answer_does_not_count_for_the_next() {
    let large = "x".repeat(60_000);
    let server = Server::start(move |_, stream| stream.write_all(ok(&large).as_bytes()).is_ok());
    let asker = Asker::new();
    for _ in 0..10 {
        assert_eq!(body(asker.post(&server.url()).await).len(), 60_000);
    }
    assert!(server.received().iter().all(|request| request.connection == 0), "one connection");
    let refusing = Server::start(|_, stream| {
        let head = format!("HTTP/1.1 404 Gone\r\nx: {}\r\nContent-Length: 0\r\n\r\n", "y".repeat(20_000));
        stream.write_all(head.as_bytes()).is_ok()
    });
    for _ in 0..10 {
        assert_eq!(code(asker.post(&refusing.url()).await), "http_status");
    }
}

/// Knows the addresses of every host.
#[derive(Debug)]
struct Known(Vec<std::net::IpAddr>);

#[async_trait::async_trait]
impl Resolver for Known {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
        Ok(self.0.clone())
    }
}

fn known(addresses: &[&str]) -> Arc<Known> {
    Arc::new(Known(addresses.iter().map(|address| address.parse().unwrap()).collect()))
}

/// Two addresses with the same port: the first is bad in the way that is asked for, the second answers.
fn two(bad: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> (Server, Server, String) {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let Ok(second) = TcpListener::bind(("127.0.0.2", port)) else { continue };
        let good = Server::at(second, |_, stream| stream.write_all(ok("answer").as_bytes()).is_ok());
        return (Server::at(first, bad), good, format!("http://two.test:{port}/"));
    }
}

#[tokio::test]
async fn an_address_that_gives_no_answer_does_not_stand_in_the_way_of_the_next() {
    let silent = |_: &Received, stream: &mut TcpStream| {
        let _ = stream.read(&mut [0]);
        false
    };
    let dripping = |_: &Received, stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    };
    type Bad = Box<dyn Fn(&Received, &mut TcpStream) -> bool + Send + Sync>;
    let cases: [(&str, Bad); 5] = [
        ("silent", Box::new(silent)),
        ("dripping", Box::new(dripping)),
        ("closing", Box::new(|_, _| false)),
        (
            "failing",
            Box::new(|_, stream| {
                stream.write_all(b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n").is_ok()
            }),
        ),
        ("no HTTP", Box::new(|_, stream| stream.write_all(b"SSH-2.0-x\r\n").is_ok())),
    ];
    for (name, bad) in cases {
        let (first, second, url) = two(bad);
        let asker = Asker::with(quick().timeout(Duration::from_secs(6)).resolver(known(&["127.0.0.1", "127.0.0.2"])));
        let start = Instant::now();
        assert_eq!(body(asker.get(&url).await), b"answer", "{name}");
        assert!(start.elapsed() < Duration::from_secs(5), "{name}: {:?}", start.elapsed());
        let before = first.received().len();
        assert!(before > 0, "{name}");
        // It comes last from now on.
        let start = Instant::now();
        assert_eq!(body(asker.post(&url).await), b"answer", "{name}");
        assert!(start.elapsed() < Duration::from_secs(1), "{name}: {:?}", start.elapsed());
        assert_eq!((first.received().len(), second.received().len()), (before, 2), "{name}");
        assert_eq!(second.received()[0].header("host").map(|host| host.starts_with("two.test:")), Some(true));
    }
}

#[tokio::test]
async fn what_one_address_says_is_not_asked_of_the_next() {
    let (_first, second, url) =
        two(|_, stream| stream.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").is_ok());
    let asker = Asker::with(quick().resolver(known(&["127.0.0.1", "127.0.0.2"])));
    assert_eq!(code(asker.get(&url).await), "http_status");
    assert!(second.received().is_empty());
}

#[tokio::test]
async fn no_address_that_may_not_be_asked_is_tried_in_place_of_another() {
    let (first, second, url) = two(|_, _| false);
    let asker = Asker::with(quick().deny_private(true).resolver(known(&["127.0.0.1", "127.0.0.2"])));
    assert_eq!(code(asker.get(&url).await), "forbidden_address");
    assert!(first.received().is_empty() && second.received().is_empty());
}

#[tokio::test]
async fn the_order_of_addresses_is_the_resolvers_or_ipv4_first() {
    let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = v4.local_addr().unwrap().port();
    let v6 = TcpListener::bind(("::1", port)).expect("a loopback interface with IPv6");
    let (_v4, _v6) = (
        Server::at(v4, |_, stream| stream.write_all(ok("four").as_bytes()).is_ok()),
        Server::at(v6, |_, stream| stream.write_all(ok("six").as_bytes()).is_ok()),
    );
    let url = format!("http://two.test:{port}/");
    let both = || quick().resolver(known(&["::1", "127.0.0.1"]));
    assert_eq!(body(Asker::with(both()).get(&url).await), b"six");
    assert_eq!(body(Asker::with(both().prefer_ipv4(true)).get(&url).await), b"four");
}

#[tokio::test]
async fn redirections_have_bounds() {
    let asker = Asker::new();
    let server = redirector();
    for location in ["ftp://host/", "http://host:99999/", "http://user@host/", "http://", "mailto:x"] {
        let error = asker.post(&format!("{}/302/{location}", server.url())).await.unwrap_err();
        assert!(matches!(error, FetchError::Redirect { .. }), "{location}: {error}");
    }
    let nowhere = Server::saying("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(code(asker.post(&nowhere.url()).await), "bad_redirect");

    let circle = Server::saying("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n");
    let error = asker.post(&circle.url()).await.unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
    assert_eq!(circle.received().len(), 2);

    let long = Server::start(|request, stream| {
        let location = format!("{}x", request.line.split(' ').nth(1).unwrap());
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).is_ok()
    });
    assert_eq!(code(asker.get(&long.url()).await), "bad_redirect");
    assert_eq!(long.received().len(), 6);
}

#[tokio::test]
async fn private_addresses_are_refused_on_request() {
    let asker = Asker::with(quick().deny_private(true));
    let server = Server::saying(ok("answer"));
    let port = server.address.port();
    for host in ["127.0.0.1", "127.1", "0x7f000001", "[::ffff:127.0.0.1]", "[::1]", "localhost"] {
        let error = asker.post(&format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(matches!(error, FetchError::Forbidden { .. }), "{host}: {error}");
        assert!(!error.is_hosts_fault());
    }
    assert!(server.received().is_empty());
    assert_eq!(body(Asker::new().post(&format!("http://localhost:{port}/")).await), b"answer");
}

#[tokio::test]
async fn a_plain_proxy_is_asked_by_whole_urls() {
    let proxy = Server::saying(ok("answer"));
    let url = format!("http://user:secret@{}", proxy.address);
    let asker = Asker::with(quick().proxy(url, "direct.invalid").deny_private(true));
    assert_eq!(body(asker.post("http://ocsp.invalid/ca").await), b"answer");
    let request = &proxy.received()[0];
    assert_eq!(request.line, "POST http://ocsp.invalid/ca HTTP/1.1");
    assert_eq!(request.header("host"), Some("ocsp.invalid"));
    assert_eq!(request.header("proxy-authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
    assert_eq!(code(asker.post("http://direct.invalid/").await), "connect_failed");
    // Written-out addresses are checked even so.
    assert_eq!(code(asker.post("http://10.0.0.1/").await), "forbidden_address");
}

#[tokio::test]
async fn https_goes_through_a_tunnel() {
    let proxy = Server::saying("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let asker = Asker::with(quick().proxy(proxy.url(), ""));
    assert_eq!(code(asker.post("https://ocsp.invalid/ca").await), "connect_failed");
    assert_eq!(proxy.received()[0].line, "CONNECT ocsp.invalid:443 HTTP/1.1");
}

#[test]
fn settings_that_do_not_work_are_refused() {
    let refused = |builder: HttpFetcherBuilder| builder.build().unwrap_err();
    assert_eq!(refused(HttpFetcher::builder().user_agent("a\nb")), HttpFetcherError::UserAgent);
    for url in ["socks5://host:1080", "https://host:3128", "host", "http://", "http://host:99999"] {
        let error = refused(HttpFetcher::builder().proxy(url, ""));
        assert!(matches!(error, HttpFetcherError::Proxy { .. }), "{url}");
    }
    let error = refused(HttpFetcher::builder().proxy("https://user:secret@host", ""));
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn an_issuers_certificate_is_fetched_within_its_limit() {
    let asker = Asker::new();
    let server = Server::saying(ok("certificate"));
    let url = format!("{}/ca.cer?x=y", server.url());
    assert_eq!(&asker.fetcher.fetch_issuer(&url, 11).await.unwrap()[..], b"certificate");
    assert_eq!(server.received()[0].line, "GET /ca.cer?x=y HTTP/1.1");
    let error = asker.fetcher.fetch_issuer(&url, 10).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 10, .. }), "{error}");
    assert_eq!(asker.fetcher.fetch_issuer("ldap://host/x", 10).await.unwrap_err().code().as_str(), "unsupported_url");
}
