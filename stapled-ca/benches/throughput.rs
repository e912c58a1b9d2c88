//! Measures the responses that a responder sends per second, over loopback with keep-alive: signed in advance, and signed when
//! asked. Beside them, in the same run, bare P-256 signatures: what the processor could do at best. The rates depend on the other
//! load of the machine, and on the client, which shares its processors. The processor time of the responder's thread does not.
//!
//! ```text
//! cargo bench -p stapled-ca --bench throughput              in this process; --seconds=1 measures shorter
//! taskset -c 0 stapled-ca serve --dir ca …                  on a core of its own
//! taskset -c 1 cargo bench -p stapled-ca --bench throughput -- ADDRESS:PORT CERT.pem ISSUER.pem
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use stapled_ca::ocsp::{HashAlgorithm, OcspRequest};
use stapled_ca::{Authority, Key, KeyType, Profile, Responder};

/// The name of the thread that answers.
const RESPONDER: &str = "ocsp responder";
/// The name of the thread that makes responses without HTTP.
const ALONE: &str = "answers";
/// The connections that have a question in flight.
const CONNECTIONS: usize = 16;

fn main() {
    let (options, arguments): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let seconds = options.iter().find_map(|option| option.strip_prefix("--seconds=")?.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(5));
    if let [address, certificate, issuer] = arguments.as_slice() {
        let read = |path| stapled_ca::pem::certificates(&std::fs::read(path).unwrap()).remove(0);
        let issuer = stapled_ca::ocsp::IssuerIdentity::from_certificate(&read(issuer)).unwrap();
        let serial = stapled_ca::Serial::of_certificate(&read(certificate)).unwrap();
        let id = stapled_ca::ocsp::CertId::new(&issuer, &serial, HashAlgorithm::Sha1);
        let rate = hammer(address.parse().unwrap(), &[OcspRequest::for_certificate(id).to_der()], time);
        println!("{rate:.0} responses per second");
        return;
    }
    let bare = bare_signatures(time);
    println!("bare P-256 signatures        {:>9.0} per second, {:.1} µs of processor time each", bare.rate, bare.each);
    for (name, in_advance) in [("in advance", true), ("when asked", false)] {
        let Speed { rate, each } = served(in_advance, time);
        let (by_rate, by_time) = (rate / bare.rate, bare.each / each);
        println!("responses signed {name}  {rate:>9.0} per second, {by_rate:.2} of the signatures");
        println!("                             {each:.1} µs of the responder's processor time each, {by_time:.2}");
    }
    let Speed { rate, each } = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name(ALONE.to_owned())
            .spawn_scoped(scope, || answered(time))
            .unwrap()
            .join()
            .unwrap()
    });
    println!("the same without HTTP        {rate:>9.0} per second, {:.2} of the signatures", rate / bare.rate);
    println!("                             {each:.1} µs of processor time each, {:.2}", bare.each / each);
}

/// Responses that are signed when asked, from the request to the response in DER, without HTTP and sockets.
fn answered(time: Duration) -> Speed {
    let (ca, requests) = authority();
    let running = Responder::builder().authority(&ca).prepare(false).start("127.0.0.1:0".parse().unwrap()).unwrap();
    let (start, before, mut count) = (Instant::now(), processor_time(ALONE), 0u64);
    while start.elapsed() < time {
        requests.iter().for_each(|request| drop(running.responder().respond(request)));
        count += requests.len() as u64;
    }
    let took = processor_time(ALONE) - before;
    Speed { rate: count as f64 / start.elapsed().as_secs_f64(), each: took / count as f64 }
}

/// An authority, and questions about its 1,000 certificates.
fn authority() -> (Authority, Vec<Vec<u8>>) {
    let ca = Authority::root("CA").create().unwrap();
    let profile = Profile::server("example.org").existing_key(Arc::clone(ca.key()));
    let request = |_| {
        let serial = ca.issue(&profile).unwrap().serial().clone();
        OcspRequest::for_certificate(ca.cert_id(&serial, HashAlgorithm::Sha1)).to_der()
    };
    let requests = (0..1000).map(request).collect();
    (ca, requests)
}

/// How fast signatures or responses are made.
struct Speed {
    /// The number per second.
    rate: f64,
    /// The processor time of each in microseconds, of the thread that makes them.
    each: f64,
}

/// The processor time of the threads of this process with this name, in microseconds.
fn processor_time(thread: &str) -> f64 {
    let of = |task: std::fs::DirEntry| {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        if read("comm").trim() == thread { read("schedstat").split(' ').next()?.parse::<f64>().ok() } else { None }
    };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds: f64 = tasks.filter_map(|task| of(task.unwrap())).sum();
    nanoseconds / 1000.0
}

/// P-256 signatures of the library alone, on one thread.
fn bare_signatures(time: Duration) -> Speed {
    let signing = std::thread::Builder::new().name("signatures".to_owned()).spawn(move || sign(time)).unwrap();
    signing.join().unwrap()
}

fn sign(time: Duration) -> Speed {
    let key = Key::generate(KeyType::EcdsaP256).unwrap();
    let message = [7; 200];
    let (start, mut count) = (Instant::now(), 0u64);
    while start.elapsed() < time {
        for _ in 0..100 {
            key.sign_with(key.default_scheme(), &message).unwrap();
        }
        count += 100;
    }
    Speed { rate: count as f64 / start.elapsed().as_secs_f64(), each: processor_time("signatures") / count as f64 }
}

/// Responses about 1,000 certificates, from a responder in this process with one thread.
fn served(in_advance: bool, time: Duration) -> Speed {
    let (ca, requests) = authority();
    let builder = Responder::builder().authority(&ca).prepare(in_advance);
    let builder = if in_advance { builder.presign(2 * requests.len()) } else { builder };
    let running = builder.start("127.0.0.1:0".parse().unwrap()).unwrap();
    // All responses are there before the measurement, signed by the upkeep thread or for these questions.
    requests.iter().for_each(|request| drop(running.responder().respond(request)));
    let (before, answered) = (processor_time(RESPONDER), running.responder().tally().total());
    let rate = hammer(running.address(), &requests, time);
    let (after, answered) = (processor_time(RESPONDER), running.responder().tally().total() - answered);
    Speed { rate, each: (after - before) / answered as f64 }
}

/// Responses per second to these requests. One thread keeps sixteen questions in flight: it writes to all connections and then
/// reads from all. More threads would take the core from the responder.
fn hammer(address: SocketAddr, requests: &[Vec<u8>], time: Duration) -> f64 {
    let get = |request: &Vec<u8>| {
        let text = base64::engine::general_purpose::STANDARD.encode(request);
        let path = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes()
    };
    let questions: Vec<Vec<u8>> = requests.iter().map(get).collect();
    let answered = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
            let mut buffer = vec![0; 64 * 1024];
            let mut questions = questions.iter().cycle();
            for stream in &mut streams {
                stream.set_nodelay(true).unwrap();
                stream.write_all(questions.next().unwrap()).unwrap();
            }
            while !enough.load(Ordering::Relaxed) {
                for stream in &mut streams {
                    let mut got = 0;
                    while !whole(&buffer[..got]) {
                        let count = stream.read(&mut buffer[got..]).unwrap();
                        assert_ne!(count, 0, "closed");
                        got += count;
                    }
                    assert!(buffer.starts_with(b"HTTP/1.1 200"));
                    stream.write_all(questions.next().unwrap()).unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        std::thread::sleep(time);
        enough.store(true, Ordering::Relaxed);
    });
    answered.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = std::str::from_utf8(&bytes[..end]).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    bytes.len() >= end + 4 + length.parse::<usize>().unwrap()
}
