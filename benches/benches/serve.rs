//! Measures the answers per second of the local responder. For comparison, a bare hyper server returns the same bytes, without
//! reading the question; the rounds of both alternate. The last line is the ratio of the medians.
//!
//!     cargo bench -p stapled-benches --bench serve -- [--test] [CERTIFICATES]

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::{Authority, Key, KeyType, Profile};
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::ocsp::{CertIdHash, OcspRequest};
use stapled_core::responder::Responder;
use stapled_core::sink::StapleSink;
use stapled_core::staple::{Judge, Staple};
use stapled_core::web::Web;
use stapled_core::web::address::WebAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The number of clients, each with one open question.
const CLIENTS: usize = 32;
/// How many rounds of each there are, and how long one takes.
const ROUNDS: (usize, Duration) = (7, Duration::from_secs(2));
const ROUNDS_IN_TEST: (usize, Duration) = (5, Duration::from_millis(300));

/// Staples, each with the HTTP requests of its question by GET and by POST.
fn staples(count: usize) -> Vec<(Staple, [Bytes; 2])> {
    let ca = Authority::root("Bench CA").create().unwrap();
    let key = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    let now = SystemClock.now();
    let one = |number| {
        let profile = Profile::server(&format!("{number}.bench.test")).existing_key(Arc::clone(&key));
        let issued = ca.issue(&profile).unwrap();
        let chain = CertChain::from_der(issued.der(), ca.certificate()).unwrap();
        let builder = ResponseBuilder::new(&ca).this_update(now.unix() - 60).next_update(now.unix() + 86_400);
        let response = builder.good(&ca.cert_id(issued.serial(), HashAlgorithm::Sha1)).build().unwrap();
        let staple = Judge::new(&chain).at(now).judge(response).unwrap().into_staple().unwrap();
        let request = OcspRequest::new(&chain.cert_id(CertIdHash::Sha1), None).unwrap();
        let get = format!("GET {} HTTP/1.1\r\nHost: ocsp\r\n\r\n", request.get_url("/").unwrap());
        let length = request.as_der().len();
        let head = format!("POST / HTTP/1.1\r\nHost: ocsp\r\nContent-Length: {length}\r\n\r\n");
        let post = [head.as_bytes(), request.as_der()].concat();
        (staple, [Bytes::from(get), Bytes::from(post)])
    };
    (0..count).map(one).collect()
}

/// A hyper server that returns the same bytes to every request, with the headers of the responder.
async fn bare(body: Bytes) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let body = body.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let mut response = Response::new(Full::new(body.clone()));
                for (name, value) in [
                    (header::CONTENT_TYPE, "application/ocsp-response"),
                    (header::CACHE_CONTROL, "max-age=300, public, no-transform, must-revalidate"),
                    (header::ETAG, "\"0123456789abcdef0123456789abcdef\""),
                    (header::LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT"),
                    (header::EXPIRES, "Sun, 06 Nov 1994 08:49:37 GMT"),
                ] {
                    response.headers_mut().insert(name, HeaderValue::from_static(value));
                }
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// The responder, with these staples.
async fn responder(staples: &[(Staple, [Bytes; 2])]) -> SocketAddr {
    let responder = Responder::new();
    for (staple, _) in staples {
        responder.deliver(staple, &[]).await.unwrap();
    }
    let web = Web::listen(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let WebAddress::Loopback(address) = *web.address() else { panic!("{:?}", web.address()) };
    tokio::spawn(async move { responder.serve(web).await });
    address
}

/// The answers per second to these requests, one after the other on each connection.
async fn round(address: SocketAddr, requests: &Arc<Vec<Bytes>>, duration: Duration) -> f64 {
    let (answers, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (requests, answers, is_over) = (Arc::clone(requests), Arc::clone(&answers), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = vec![0; 64 * 1024];
                let mut number = client * requests.len() / CLIENTS;
                while !is_over.load(Ordering::Relaxed) {
                    stream.write_all(&requests[number % requests.len()]).await.unwrap();
                    number += 1;
                    let (mut read, mut whole) = (0, None);
                    while whole.is_none_or(|whole| read < whole) {
                        let more = stream.read(&mut buffer[read..]).await.unwrap();
                        assert!(more > 0, "closed after {}", String::from_utf8_lossy(&buffer[..read]));
                        read += more;
                        whole = whole.or_else(|| length(&buffer[..read]));
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(duration).await;
    let (answers, took) = (answers.load(Ordering::Relaxed), began.elapsed());
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    f64::from(u32::try_from(answers).unwrap()) / took.as_secs_f64()
}

/// The length of a response, once its head is there. The response is a good one.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).unwrap().to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{text}");
    let body: usize = text.split_once("content-length: ").unwrap().1.lines().next().unwrap().parse().unwrap();
    assert!(body > 100, "{text}");
    Some(head + body)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let count = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(1000);
    // `--test` requests a short run.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (rounds, duration) = if is_test { ROUNDS_IN_TEST } else { ROUNDS };
    let staples = staples(count);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (served, bare) = (responder(&staples).await, bare(staples[0].0.response().clone()).await);
        for (method, name) in ["GET", "POST"].iter().enumerate() {
            let requests = Arc::new(staples.iter().map(|(_, requests)| requests[method].clone()).collect::<Vec<_>>());
            let (mut of_responder, mut of_bare) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                of_bare.push(round(bare, &requests, duration).await);
                of_responder.push(round(served, &requests, duration).await);
            }
            let (of_responder, of_bare) = (median(of_responder), median(of_bare));
            println!("{name}, {count} certificates, {CLIENTS} clients:");
            println!("  responder   {of_responder:>9.0} answers/s");
            println!("  bare hyper  {of_bare:>9.0} answers/s");
            println!("  ratio       {:>9.2}", of_responder / of_bare);
        }
    });
}
