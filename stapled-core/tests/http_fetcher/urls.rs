//! Tests of URLs and redirections.

use std::io::Write;
use std::net::TcpListener;

use stapled_core::fetch::{FetchError, OcspFetcher};

use crate::world::*;

/// A server that redirects to the URL that follows the status in the path: `/308/http://…`.
fn redirector() -> HttpServer {
    HttpServer::start(|request, stream| {
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
        let (first, target) = (redirector(), HttpServer::saying(ok("answer")));
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
        let error = asker.post(&HttpServer::saying(head).url()).await.unwrap_err();
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
    let server = HttpServer::saying(ok("answer"));
    let url = format!(" \t{}/ocsp\r\n", server.url());
    let asker = Asker::new();
    assert_eq!(body(asker.post(&url).await), b"answer");
    assert_eq!(body(asker.get(&url).await), b"answer");
    assert_eq!(server.received()[0].line, "POST /ocsp HTTP/1.1");
    assert!(server.received()[1].line.starts_with("GET /ocsp/M"));
}

#[tokio::test]
async fn redirections_have_bounds() {
    let asker = Asker::new();
    let server = redirector();
    for location in ["ftp://host/", "http://host:99999/", "http://user@host/", "http://", "mailto:x"] {
        let error = asker.post(&format!("{}/302/{location}", server.url())).await.unwrap_err();
        assert!(matches!(error, FetchError::Redirect { .. }), "{location}: {error}");
    }
    let nowhere = HttpServer::saying("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(code(asker.post(&nowhere.url()).await), "bad_redirect");

    let circle = HttpServer::saying("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n");
    let error = asker.post(&circle.url()).await.unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
    assert_eq!(circle.received().len(), 2);

    let long = HttpServer::start(|request, stream| {
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
    let server = HttpServer::saying(ok("answer"));
    let port = server.address.port();
    for host in ["127.0.0.1", "127.1", "0x7f000001", "[::ffff:127.0.0.1]", "[::1]", "localhost"] {
        let error = asker.post(&format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(matches!(error, FetchError::Forbidden { .. }), "{host}: {error}");
        assert!(!error.is_hosts_fault());
    }
    assert!(server.received().is_empty());
    assert_eq!(body(Asker::new().post(&format!("http://localhost:{port}/")).await), b"answer");
}
