//! Measures the prepared responses that a responder sends per second, over loopback with keep-alive.
//!
//! ```text
//! cargo bench -p stapled-ca --bench throughput              in this process
//! taskset -c 0 stapled-ca serve --dir ca …                  on a core of its own
//! taskset -c 1 cargo bench -p stapled-ca --bench throughput -- ADDRESS:PORT CERT.pem ISSUER.pem
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use stapled_ca::ocsp::{HashAlgorithm, OcspRequest};
use stapled_ca::{Authority, Profile, Responder};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    if let [address, certificate, issuer] = arguments.as_slice() {
        let read = |path| stapled_ca::pem::certificates(&std::fs::read(path).unwrap()).remove(0);
        let issuer = stapled_ca::ocsp::IssuerIdentity::from_certificate(&read(issuer)).unwrap();
        let serial = stapled_ca::Serial::of_certificate(&read(certificate)).unwrap();
        let id = stapled_ca::ocsp::CertId::new(&issuer, &serial, HashAlgorithm::Sha1);
        return hammer(address.parse().unwrap(), &OcspRequest::for_certificate(id).to_der());
    }
    let ca = Authority::root("CA").create().unwrap();
    let issued = ca.issue(&Profile::server("example.org")).unwrap();
    let running = Responder::builder().authority(&ca).start("127.0.0.1:0".parse().unwrap()).unwrap();
    let request = OcspRequest::for_certificate(ca.cert_id(issued.serial(), HashAlgorithm::Sha1)).to_der();
    hammer(running.address(), &request);
}

/// Keeps sixteen questions in flight from one thread, which writes to all connections and then reads from all. More
/// threads would take the core from the responder.
fn hammer(address: SocketAddr, request: &[u8]) {
    let text = base64::engine::general_purpose::STANDARD.encode(request);
    let path = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let get = format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let answered = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut streams: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
            let mut buffer = vec![0; 64 * 1024];
            for stream in &mut streams {
                stream.set_nodelay(true).unwrap();
                stream.write_all(get.as_bytes()).unwrap();
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
                    stream.write_all(get.as_bytes()).unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        std::thread::sleep(Duration::from_secs(5));
        enough.store(true, Ordering::Relaxed);
    });
    let rate = answered.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0} answers per second");
}

fn whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = std::str::from_utf8(&bytes[..end]).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    bytes.len() >= end + 4 + length.parse::<usize>().unwrap()
}
