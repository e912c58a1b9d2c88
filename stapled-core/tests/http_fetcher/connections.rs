//! Tests of connections, TLS and proxies.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Mutex;

use stapled_core::fetch::{FetchError, Method};
use stapled_core::io::http::{HttpFetcher, HttpFetcherBuilder, HttpFetcherError};

use crate::world::*;

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
    let server = HttpServer::saying(ok("answer"));
    let error = asker.post(&server.url().replace("http", "https")).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
    assert_eq!(body(asker.post(&server.url()).await), b"answer");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = HttpServer::start(|_, stream| stream.write_all(ok("answer").as_bytes()).is_ok());
    let asker = Asker::new();
    for method in [Method::Post, Method::Get, Method::Post] {
        assert_eq!(body(asker.ask(method, &server.url(), None).await), b"answer");
    }
    let connections: Vec<usize> = server.received().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closes_is_no_failure() {
    // The server promises to keep the connection, and closes it at the second request.
    let asker = Asker::new();
    let closing = HttpServer::start({
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

#[tokio::test]
async fn a_plain_proxy_is_asked_by_whole_urls() {
    let proxy = HttpServer::saying(ok("answer"));
    let url = format!("http://user:secret@{}", proxy.address);
    let asker = Asker::with(quick().proxy(url, "direct.invalid").deny_private(true));
    assert_eq!(body(asker.post("http://ocsp.invalid/ca").await), b"answer");
    let request = &proxy.received()[0];
    assert_eq!(request.line, "POST http://ocsp.invalid/ca HTTP/1.1");
    assert_eq!(request.header("host"), Some("ocsp.invalid"));
    assert_eq!(request.header("proxy-authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
    assert_eq!(code(asker.post("http://direct.invalid/").await), "connect_failed");
    // Addresses in the URL itself are checked in this case as well.
    assert_eq!(code(asker.post("http://10.0.0.1/").await), "forbidden_address");
}

#[tokio::test]
async fn https_goes_through_a_tunnel() {
    let proxy = HttpServer::saying("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
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
