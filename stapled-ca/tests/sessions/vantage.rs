//! Tests of challenges through a proxy as a second vantage point.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use stapled_ca::session::{ChallengeType, Prober as _};
use stapled_tests::{HttpServer, ok};

use crate::probes::{challenge, prober};

/// A proxy that forwards each connection to `target`, whatever it is asked for, and notes the requests. Without a target it
/// refuses.
fn proxy(target: Option<SocketAddr>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut line) = (stream.unwrap(), String::new());
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut line).unwrap();
            log.lock().unwrap().push(line.trim_end().to_owned());
            while reader.read_line(&mut line).unwrap() > 2 {}
            let Some(target) = target else {
                stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").unwrap();
                continue;
            };
            let mut far = TcpStream::connect(target).unwrap();
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
            let (mut near, mut back) = (stream.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut back, &mut near));
            std::thread::spawn(move || std::io::copy(&mut reader, &mut far));
        }
    });
    (address, asked)
}

fn server(contents: &str) -> HttpServer {
    let answer = ok(contents);
    HttpServer::start(move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_vantage_points_must_see_the_file() {
    let challenge = challenge(ChallengeType::Http01).await;
    let (right, wrong) = (server(&challenge.authorization), server("other"));

    let (address, asked) = proxy(Some(right.address));
    let mut prober = prober(right.address.port(), 1);
    prober.proxy = Some(address.to_string());
    prober.prove(&challenge).await.unwrap();
    // The proxy gets the checked address, and the server the name.
    let expected = format!("CONNECT 127.0.0.1:{} HTTP/1.1", right.address.port());
    assert_eq!(*asked.lock().unwrap(), [expected]);
    assert_eq!(right.received().len(), 2);
    assert!(right.received().iter().all(|request| request.header("host").unwrap().starts_with("a.example:")));

    // Near the authority everything looks right, as when its network is in the hands of another.
    let (address, _) = proxy(Some(wrong.address));
    prober.proxy = Some(address.to_string());
    let failure = prober.prove(&challenge).await.unwrap_err().to_string();
    assert!(failure.starts_with(&format!("through the proxy {address}: http://a.example:")), "{failure}");
    assert!(failure.ends_with(" has other contents than the key authorization"), "{failure}");

    let (address, _) = proxy(Some(right.address));
    prober.proxy = Some(address.to_string());
    prober.http_port = wrong.address.port();
    let failure = prober.prove(&challenge).await.unwrap_err().to_string();
    assert!(failure.ends_with(" has other contents than the key authorization"), "{failure}");
    assert!(!failure.contains("proxy"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_or_is_away_proves_nothing_and_learns_no_refused_address() {
    let challenge = challenge(ChallengeType::Http01).await;
    let right = server(&challenge.authorization);
    let mut prober = prober(right.address.port(), 1);
    let (address, asked) = proxy(None);
    prober.proxy = Some(address.to_string());
    let failure = prober.prove(&challenge).await.unwrap_err().to_string();
    assert!(
        failure.starts_with(&format!("through the proxy {address}: ")) && failure.contains("status 403"),
        "{failure}"
    );

    prober.proxy = Some("127.0.0.1:1".to_owned());
    assert!(prober.prove(&challenge).await.unwrap_err().to_string().contains("through the proxy 127.0.0.1:1"));

    // The address rules hold for both.
    prober.rules.allowed.clear();
    prober.proxy = Some(address.to_string());
    let failure = prober.prove(&challenge).await.unwrap_err().to_string();
    assert!(failure.contains("does not ask 127.0.0.1"), "{failure}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}
