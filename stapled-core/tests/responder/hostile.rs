//! Clients that send something else, or nothing.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use stapled_core::ocsp::ResponseStatus;

use crate::client::{connect, exchange, get, get_path, parsed, post, post_bytes, request, send};
use crate::world::World;

#[test]
fn bytes_that_are_no_request_get_errors() {
    let world = World::new();
    let cert = world.stapled("a.test");
    let der = request(&world.id(&cert)).as_der().to_vec();
    let malformed = |body: &[u8]| assert_eq!(post(world.address, body).error(), Some(ResponseStatus::MalformedRequest));
    malformed(b"");
    malformed(b"GET / HTTP/1.1\r\n\r\n");
    malformed(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]);
    malformed(&[&der[..], &[0]].concat());
    (0..der.len()).for_each(|length| malformed(&der[..length]));
    malformed(&b"\x30\x80".repeat(4000));
    // Base64 of something else.
    let got = get_path(world.address, "GET", "/MAMCAQE%3D", "");
    assert_eq!(got.error(), Some(ResponseStatus::MalformedRequest));
    for path in ["/", "/favicon.ico", "/%", "/M%zz", "*"] {
        assert_eq!(get_path(world.address, "GET", path, "").status, 404, "{path}");
    }
    for method in ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"] {
        let got = get_path(world.address, method, if method == "CONNECT" { "a:1" } else { "/" }, "");
        assert_eq!((got.status, got.header("allow")), (405, Some("GET, HEAD, POST")), "{method}");
    }
    assert_eq!(get(world.address, &world.id(&cert)).error(), None);
}

/// Two questions in one request, by the DER of the first one: its requestList twice as long.
#[test]
fn several_questions_at_once_and_critical_extensions_get_no_staple() {
    let world = World::new();
    let cert = world.stapled("a.test");
    let element = |tag: u8, contents: &[u8]| match u8::try_from(contents.len()).unwrap() {
        length @ ..0x80 => [&[tag, length], contents].concat(),
        length => [&[tag, 0x81, length], contents].concat(),
    };
    let single = element(0x30, &world.id(&cert).to_der());
    let extension = |critical: bool| {
        let oid = [0x06, 3, 0x2a, 3, 4];
        let critical = if critical { &[1, 1, 0xff][..] } else { &[] };
        element(0x30, &element(0x30, &[&oid[..], critical, &[4, 1, 0]].concat()))
    };
    let asking = |list: &[u8], extensions: &[u8]| {
        let fields = [element(0x30, list), extensions.to_vec()].concat();
        post(world.address, &element(0x30, &element(0x30, &fields)))
    };
    assert_eq!(asking(&single, &[]).error(), None);
    assert_eq!(asking(&single, &element(0xa2, &extension(false))).error(), None);
    assert_eq!(asking(&single, &element(0xa2, &extension(true))).error(), Some(ResponseStatus::Unauthorized));
    assert_eq!(asking(&single.repeat(2), &[]).error(), Some(ResponseStatus::Unauthorized));
    assert_eq!(asking(&[], &[]).error(), Some(ResponseStatus::MalformedRequest));
}

#[test]
fn sizes_are_limited() {
    let world = World::new();
    let cert = world.stapled("a.test");
    assert_eq!(post(world.address, &vec![0x30; 20_000]).status, 413);
    let chunked = |size: usize| {
        let head = "POST / HTTP/1.1\r\nHost: ocsp\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = format!("{size:x}\r\n{}\r\n", "0".repeat(size));
        [head, &chunk, &chunk, "0\r\n\r\n"].concat()
    };
    assert_eq!(send(world.address, chunked(10_000).as_bytes()).status, 413);
    let long = exchange(connect(world.address), format!("GET /{} HTTP/1.1\r\n", "M".repeat(100_000)).as_bytes());
    assert!(long.is_empty() || matches!(parsed(&long).status, 414 | 431), "{:?}", String::from_utf8_lossy(&long));
    let headers: String = (0..500).map(|number| format!("X-{number}: {}\r\n", "x".repeat(100))).collect();
    let many = exchange(connect(world.address), format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes());
    assert!(many.is_empty() || matches!(parsed(&many).status, 400 | 431), "{:?}", String::from_utf8_lossy(&many));
    assert_eq!(get(world.address, &world.id(&cert)).error(), None);
}

/// A second request that hides in the body of the first one is not answered.
#[test]
fn lengths_that_contradict_each_other_end_the_connection() {
    let world = World::new();
    let cert = world.stapled("a.test");
    let path = request(&world.id(&cert)).get_url("/").unwrap();
    let hidden = format!("GET {path} HTTP/1.1\r\nHost: hidden\r\n\r\n");
    for lengths in [
        format!("Content-Length: {}\r\nContent-Length: 4\r\n", hidden.len()),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        "Content-Length: +4\r\n".to_owned(),
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: ocsp\r\n{lengths}\r\n0\r\n\r\n{hidden}");
        let answer = exchange(connect(world.address), bytes.as_bytes());
        let answers = String::from_utf8_lossy(&answer).matches("HTTP/1.1 ").count();
        assert!(answers <= 1 && !answer.windows(8).any(|part| part == b"200 OK\r\n"), "{lengths}: {answers}");
    }
    // Both: chunks count (RFC 9112 §6.3), and what follows them is a request of its own, never a part of the body.
    let bytes = "POST / HTTP/1.1\r\nHost: ocsp\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = exchange(connect(world.address), bytes.as_bytes());
    assert!(String::from_utf8_lossy(&answer).matches("HTTP/1.1 ").count() <= 1);
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    let world = World::new();
    let (first, second) = (world.stapled("a.test"), world.stapled("b.test"));
    let paths = [&first, &second, &first].map(|cert| request(&world.id(cert)).get_url("/").unwrap());
    let line = |path: &String| format!("GET {path} HTTP/1.1\r\nHost: ocsp\r\n\r\n");
    let last = format!("GET {} HTTP/1.1\r\nHost: ocsp\r\nConnection: close\r\n\r\n", paths[2]);
    let answer = exchange(connect(world.address), [line(&paths[0]), line(&paths[1]), last].concat().as_bytes());
    let bodies = [&first, &second, &first].map(|cert| get(world.address, &world.id(cert)).body);
    let found: Vec<usize> = bodies
        .iter()
        .map(|body| answer.windows(body.len()).position(|part| part == *body).expect("the answer"))
        .collect();
    assert!(found[0] < found[1], "{found:?}");
    let whole = String::from_utf8_lossy(&answer).matches("HTTP/1.1 200").count();
    assert_eq!(whole, 3);
}

#[test]
fn clients_that_send_nothing_or_slowly_keep_nobody_out() {
    let world = World::new();
    let cert = world.stapled("a.test");
    let mut idle: Vec<_> = (0..300).map(|_| connect(world.address)).collect();
    for (number, stream) in idle.iter_mut().enumerate() {
        // Some have sent a part of a head, others a part of a body.
        let part = match number % 3 {
            0 => &b""[..],
            1 => b"GET /M",
            _ => b"POST / HTTP/1.1\r\nHost: ocsp\r\nContent-Length: 100\r\n\r\n0",
        };
        let _ = stream.write_all(part);
    }
    let began = Instant::now();
    assert_eq!(get(world.address, &world.id(&cert)).error(), None);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    // A connection on which nothing comes is closed.
    let mut last = connect(world.address);
    let _ = last.read_to_end(&mut Vec::new());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let slow = send(world.address, &post_bytes(&[0x30; 50])[..120]);
    assert_eq!(slow.status, 408);
}
