//! Tests of the fetcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stapled_core::fetch::{Method, OcspFetcher, Question};
use stapled_core::io::http::HttpFetcher;
use stapled_core::ocsp::{CertIdHash, OcspRequest};
use stapled_tests::{Example, polled};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::soon;

/// Answers each request with its path, in three parts, and keeps the connection.
async fn serve(stream: TcpStream) -> Option<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let (mut path, mut body) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(length) = line.strip_prefix("content-length: ") {
                body = length.parse().unwrap();
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
            }
        }
        reader.read_exact(&mut vec![0; body]).await.ok()?;
        for part in ["HTTP/1.1 200 OK\r\n", &format!("content-length: {}\r\n\r\n", path.len()), &path] {
            writer.write_all(part.as_bytes()).await.ok()?;
            tokio::task::yield_now().await;
        }
    }
}

async fn server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    (url, connections)
}

/// The answer to a dropped question is not given to another question.
#[tokio::test]
async fn a_dropped_question_leaves_the_next_its_own_answer() {
    let example = Example::new(&[]);
    let request = OcspRequest::new(&example.chain.cert_id(CertIdHash::Sha1), None).unwrap();
    let (server, connections) = server().await;
    let fetcher = HttpFetcher::default();
    let ask = async |path: &str| {
        let url = format!("{server}/{path}");
        let method = Method::Post;
        let question = Question::new(&example.chain, &request, method, &url);
        fetcher.fetch(&question).await.map(|answer| answer.body.unwrap())
    };
    for times in 1.. {
        let (dropped, next) = (format!("dropped-{times}"), format!("next-{times}"));
        let is_over = soon(polled(ask(&dropped), times), "polls").await.is_some();
        assert_eq!(soon(ask(&next), "an answer").await.unwrap(), next);
        let issuer = format!("{server}/issuer-{times}");
        let issuer_over = soon(polled(fetcher.fetch_issuer(&issuer, 1000), times), "polls").await.is_some();
        let next_issuer = format!("{server}/next-issuer-{times}");
        let body = soon(fetcher.fetch_issuer(&next_issuer, 1000), "an answer").await.unwrap();
        assert_eq!(body, format!("next-issuer-{times}"));
        if is_over && issuer_over {
            break;
        }
    }
    assert!(connections.load(Ordering::SeqCst) > 1, "some were dropped in the midst of an answer");
}
