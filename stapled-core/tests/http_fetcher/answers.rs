//! Tests of questions as they are sent, and of the handling of answers.

use std::sync::Arc;
use std::time::Duration;

use stapled_ca::lab::Lab;
use stapled_ca::{Authority, Profile};
use stapled_core::OnceError;
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::fetch::{FetchError, Method, OcspFetcher, Question};
use stapled_core::io::http::HttpFetcher;
use stapled_core::ocsp::{CertIdHash, OcspRequest};
use stapled_core::staple::Judge;

use crate::world::*;

#[tokio::test]
async fn a_post_carries_the_request_in_its_body() {
    let server = HttpServer::saying(ok("answer"));
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
    let server = HttpServer::saying(ok("answer"));
    let asker = Asker::new();
    for path in ["/ca1", "/ca1/"] {
        assert_eq!(body(asker.get(&format!("{}{path}", server.url())).await), b"answer");
    }
    let expected = asker.request.get_url("http://host/ca1").unwrap();
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
            let url = lab.url();
            let question = Question::new(&chain, &request, method, &url);
            let answer = fetcher.fetch(&question).await.unwrap();
            let response = answer.body.unwrap();
            let now = SystemClock.now();
            let judgement = Judge::new(&chain).at(now).judge(response.clone()).unwrap();
            assert!(judgement.staple().is_some(), "{method:?}");
        }
    }
}

#[tokio::test]
async fn what_caches_may_do_is_told() {
    let asker = Asker::new();
    let server = HttpServer::saying(
        "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=3600\r\nAge: 600\r\nETag: \"v1\"\r\n\
         Expires: Thu, 01 Jan 2099 00:00:00 GMT\r\nContent-Length: 1\r\n\r\nx",
    );
    let answer = asker.get(&server.url()).await.unwrap();
    assert_eq!(answer.max_age, Some(Duration::from_secs(3000)));
    assert_eq!((answer.expires, answer.etag.as_deref()), (None, Some("\"v1\"")));

    let server = HttpServer::saying(
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nExpires: Thu, 01 Jan 2026 01:00:00 GMT\r\n\
         Content-Length: 1\r\n\r\nx",
    );
    let answer = asker.get(&server.url()).await.unwrap();
    let left = answer.expires.unwrap().since(SystemClock.now()).as_secs();
    assert!((3500..=3600).contains(&left), "{left}");
}

#[tokio::test]
async fn not_modified_answers_a_conditional_get_only() {
    let server = HttpServer::saying("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=60\r\n\r\n");
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
        let server = HttpServer::saying(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"));
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
        let server = HttpServer::saying(answer);
        assert_eq!(body(asker.post(&server.url()).await), b"answer", "{answer}");
    }
    // The fetcher does not decide the meaning of an empty answer.
    let server = HttpServer::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
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
        let server = HttpServer::saying(answer);
        assert_eq!(code(asker.post(&server.url()).await), "http_broken", "{:.60}", answer.escape_debug().to_string());
    }
}

/// The text "answer", compressed by gzip.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\x4b\xcc\x2b\x2e\x4f\x2d\x02\0\x25\x4a\xdd\xda\x06\0\0\0";

#[tokio::test]
async fn compressed_answers_are_unpacked() {
    let asker = Asker::new();
    for header in ["Content-Encoding: gzip\r\n", "content-encoding: X-GZIP\r\n", ""] {
        let head = format!("HTTP/1.1 200 OK\r\n{header}Content-Length: {}\r\n\r\n", GZIP.len());
        let server = HttpServer::saying([head.as_bytes(), GZIP].concat());
        assert_eq!(body(asker.post(&server.url()).await), b"answer", "{header}");
    }
    // Beyond the size limit, the answer stays compressed.
    let small = Asker::with(quick().max_size(GZIP.len()));
    let server = HttpServer::saying(
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", GZIP.len()).as_bytes(), GZIP].concat(),
    );
    assert_eq!(body(small.post(&server.url()).await), b"answer");
    let tiny = HttpFetcher::builder().build().unwrap();
    let url = server.url();
    assert_eq!(&tiny.fetch_issuer(&url, GZIP.len()).await.unwrap()[..], b"answer");
}

#[tokio::test]
async fn the_type_of_an_answer_and_where_it_came_from_are_told() {
    let server = HttpServer::saying(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nRetry-After: 7\r\nContent-Length: 1\r\n\r\nx",
    );
    let answer = Asker::new().post(&server.url()).await.unwrap();
    assert_eq!(answer.content_type.as_deref(), Some("text/html"));
    assert_eq!((answer.retry_after, answer.from), (Some(Duration::from_secs(7)), Some(server.address)));
}

#[tokio::test]
async fn an_issuers_certificate_is_fetched_within_its_limit() {
    let asker = Asker::new();
    let server = HttpServer::saying(ok("certificate"));
    let url = format!("{}/ca.cer?x=y", server.url());
    assert_eq!(&asker.fetcher.fetch_issuer(&url, 11).await.unwrap()[..], b"certificate");
    assert_eq!(server.received()[0].line, "GET /ca.cer?x=y HTTP/1.1");
    let error = asker.fetcher.fetch_issuer(&url, 10).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 10, .. }), "{error}");
    assert_eq!(asker.fetcher.fetch_issuer("ldap://host/x", 10).await.unwrap_err().code().as_str(), "unsupported_url");
}

#[tokio::test]
async fn a_staple_is_had_once_without_a_stapler() {
    let authority = Authority::root("Example CA").create().unwrap();
    let lab = Lab::start([&authority]).unwrap();
    let chain = |profile: Profile| {
        let issued = authority.issue(&profile).unwrap();
        let pem = format!("{}{}", issued.certificate_pem(), authority.certificate_pem());
        (CertChain::from_pem(pem.as_bytes()).unwrap(), issued)
    };
    let fetcher = HttpFetcher::default();
    let url = lab.url();
    let with_url = |name: &str| Profile::server(name).ocsp_url(&url);

    let (good, _) = chain(with_url("good.test"));
    let staple = stapled_core::staple_once(&good, &fetcher).await.unwrap();
    assert!(staple.expires() > SystemClock.now() && staple.chain().subject() == good.subject());

    let (revoked, issued) = chain(with_url("revoked.test"));
    authority.revoke(issued.serial(), None).unwrap();
    let error = stapled_core::staple_once(&revoked, &fetcher).await.unwrap_err();
    assert!(matches!(error, OnceError::Revoked { .. }), "{error}");

    let (without, _) = chain(Profile::server("without.test"));
    let error = stapled_core::staple_once(&without, &fetcher).await.unwrap_err();
    assert_eq!(error.to_string(), "without.test names no OCSP responder");

    // The second responder answers where the first does not; what the first did is told where none does.
    let down = "http://127.0.0.1:1/";
    let (second, _) = chain(Profile::server("second.test").ocsp_url(down).ocsp_url(&url));
    assert!(stapled_core::staple_once(&second, &fetcher).await.is_ok());
    let (none, _) = chain(Profile::server("none.test").ocsp_url(down));
    let error = stapled_core::staple_once(&none, &fetcher).await.unwrap_err();
    assert!(matches!(&error, OnceError::NoResponse { url, .. } if url == down), "{error}");

    let page = HttpServer::saying(ok("<html>no OCSP here</html>"));
    let (odd, _) = chain(Profile::server("odd.test").ocsp_url(page.url()));
    let error = stapled_core::staple_once(&odd, &fetcher).await.unwrap_err();
    assert!(error.to_string().contains("HTML"), "{error}");
    assert_eq!(page.received().len(), 2, "by GET and by POST");
}
