//! Tests with several addresses of one host.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stapled_core::io::http::Resolver;

use crate::world::*;

/// A resolver that knows the addresses of every host.
#[derive(Debug)]
pub(crate) struct Known(Vec<std::net::IpAddr>);

#[async_trait::async_trait]
impl Resolver for Known {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
        Ok(self.0.clone())
    }
}

pub(crate) fn known(addresses: &[&str]) -> Arc<Known> {
    Arc::new(Known(addresses.iter().map(|address| address.parse().unwrap()).collect()))
}

/// Two addresses with the same port: the first fails as `bad` says, the second answers.
fn two(bad: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> (HttpServer, HttpServer, String) {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let Ok(second) = TcpListener::bind(("127.0.0.2", port)) else { continue };
        let good = HttpServer::at(second, |_, stream| stream.write_all(ok("answer").as_bytes()).is_ok());
        return (HttpServer::at(first, bad), good, format!("http://two.test:{port}/"));
    }
}

#[tokio::test]
async fn an_address_that_gives_no_answer_does_not_stand_in_the_way_of_the_next() {
    let silent = |_: &Received, stream: &mut TcpStream| {
        let _ = stream.read(&mut [0]);
        false
    };
    // Slow, but never silent.
    let dripping = |_: &Received, stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
        while stream.write_all(b"x").is_ok() && stays_open(stream, Duration::from_millis(100)) {}
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
        let asker =
            Asker::with(quick().timeout(Duration::from_secs(6)).shared_resolver(known(&["127.0.0.1", "127.0.0.2"])));
        let start = Instant::now();
        assert_eq!(body(asker.get(&url).await), b"answer", "{name}");
        assert!(start.elapsed() < Duration::from_secs(5), "{name}: {:?}", start.elapsed());
        let before = first.received().len();
        assert!(before > 0, "{name}");
        // The failed address is tried last from now on.
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
    let asker = Asker::with(quick().shared_resolver(known(&["127.0.0.1", "127.0.0.2"])));
    assert_eq!(code(asker.get(&url).await), "http_status");
    assert!(second.received().is_empty());
}

#[tokio::test]
async fn no_address_that_may_not_be_asked_is_tried_in_place_of_another() {
    let (first, second, url) = two(|_, _| false);
    let asker = Asker::with(quick().deny_private(true).shared_resolver(known(&["127.0.0.1", "127.0.0.2"])));
    assert_eq!(code(asker.get(&url).await), "forbidden_address");
    assert!(first.received().is_empty() && second.received().is_empty());
}

#[tokio::test]
async fn the_order_of_addresses_is_the_resolvers_or_ipv4_first() {
    let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = v4.local_addr().unwrap().port();
    let v6 = TcpListener::bind(("::1", port)).expect("a loopback interface with IPv6");
    let (_v4, _v6) = (
        HttpServer::at(v4, |_, stream| stream.write_all(ok("four").as_bytes()).is_ok()),
        HttpServer::at(v6, |_, stream| stream.write_all(ok("six").as_bytes()).is_ok()),
    );
    let url = format!("http://two.test:{port}/");
    let both = || quick().shared_resolver(known(&["::1", "127.0.0.1"]));
    assert_eq!(body(Asker::with(both()).get(&url).await), b"six");
    assert_eq!(body(Asker::with(both().prefer_ipv4(true)).get(&url).await), b"four");
}
