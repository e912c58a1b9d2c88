//! Tests of the bounds of size and time.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stapled_core::fetch::FetchError;

use crate::world::*;

/// A responder may send a chain of dozens of certificates with each answer.
#[tokio::test]
async fn an_answer_with_a_long_chain_is_read() {
    let asker = Asker::new();
    let long = "x".repeat(stapled_core::staple::Staple::MAX_RECEIVED);
    assert!(long.len() > 60 * 1800, "certificates of RSA keys");
    let server = HttpServer::saying(ok(&long));
    assert_eq!(body(asker.post(&server.url()).await).len(), long.len());
    let server = HttpServer::saying(ok(&format!("{long}x")));
    assert_eq!(code(asker.post(&server.url()).await), "too_large");
}

#[tokio::test]
async fn too_much_is_not_read() {
    let asker = Asker::with(quick().max_size(1000));
    let exactly = "x".repeat(1000);
    let more = "x".repeat(1001);
    let exact = HttpServer::saying(ok(&exactly));
    assert_eq!(body(asker.post(&exact.url()).await).len(), 1000);
    // An announced size above the limit is refused without waiting for the body.
    let announced = HttpServer::start(|_, stream| {
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
        let server = HttpServer::saying(answer);
        let error = asker.post(&server.url()).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 1000, .. }), "{error}");
    }
    let endless = HttpServer::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[0; 1024]).is_ok() {}
        false
    });
    assert_eq!(code(asker.post(&endless.url()).await), "too_large");
}

/// Sends `piece` repeatedly, with pauses, until the peer closes the connection.
fn drip(head: &'static [u8], piece: &'static [u8], pause: Duration) -> HttpServer {
    HttpServer::start(move |_, stream| {
        let mut more = stream.write_all(head).is_ok();
        while more && stays_open(stream, pause) {
            more = stream.write_all(piece).is_ok();
        }
        false
    })
}

#[tokio::test]
async fn nothing_takes_longer_than_its_deadline() {
    let asker = Asker::with(impatient());
    let pause = Duration::from_millis(20);
    let silent = HttpServer::start(|_, stream| {
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
    let server = HttpServer::start(|request, stream| {
        // A slow responder: three redirections take longer than the deadline.
        if !stays_open(stream, Duration::from_millis(200)) {
            return false;
        }
        let step: usize = request.line.split(['/', ' ']).nth(2).and_then(|step| step.parse().ok()).unwrap_or(0);
        let answer = format!("HTTP/1.1 308 Further\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n", step + 1);
        stream.write_all(answer.as_bytes()).is_ok()
    });
    assert_eq!(code(asker.post(&server.url()).await), "timed_out");
}

/// Sends `piece` repeatedly at full speed until the peer closes the connection, and counts the sent bytes.
fn flood(head: &'static [u8], piece: &'static [u8]) -> (HttpServer, Arc<std::sync::atomic::AtomicUsize>) {
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = HttpServer::start(move |_, stream| {
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
        // The remaining bytes are in the buffers of two sockets.
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
    let server = HttpServer::start(move |_, stream| stream.write_all(ok(&large).as_bytes()).is_ok());
    let asker = Asker::new();
    for _ in 0..10 {
        assert_eq!(body(asker.post(&server.url()).await).len(), 60_000);
    }
    assert!(server.received().iter().all(|request| request.connection == 0), "one connection");
    let refusing = HttpServer::start(|_, stream| {
        let head = format!("HTTP/1.1 404 Gone\r\nx: {}\r\nContent-Length: 0\r\n\r\n", "y".repeat(20_000));
        stream.write_all(head.as_bytes()).is_ok()
    });
    for _ in 0..10 {
        assert_eq!(code(asker.post(&refusing.url()).await), "http_status");
    }
}
