//! Servers that say what they please, and who asks them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stapled_core::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use stapled_core::io::http::{HttpFetcher, HttpFetcherBuilder};
use stapled_core::ocsp::{CertIdHash, OcspRequest};

use crate::io_support::Example;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) connection: usize,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A server in a thread of its own for each connection.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// `answer` gets each request and the connection; it returns whether the connection stays.
    pub(crate) fn start(answer: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    pub(crate) fn at(
        listener: TcpListener,
        answer: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&received), Arc::new(answer));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(request) = read_request(&mut reader, connection) {
                        log.lock().unwrap().push(request.clone());
                        if !answer(&request, &mut stream) {
                            break;
                        }
                    }
                });
            }
        });
        Server { address, received }
    }

    /// Answers every request with the same bytes, and closes.
    pub(crate) fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, stream| {
            let _ = stream.write_all(&answer);
            false
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

pub(crate) fn read_request(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Received> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut received = Received { line: line.trim_end().to_owned(), headers, body: Vec::new(), connection };
    let length = received.header("content-length").map_or(0, |length| length.parse().unwrap());
    received.body = vec![0; length];
    reader.read_exact(&mut received.body).ok()?;
    Some(received)
}

pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What is asked: an example's certificate.
pub(crate) struct Asker {
    pub(crate) example: Example,
    pub(crate) request: OcspRequest,
    pub(crate) fetcher: HttpFetcher,
}

impl Asker {
    pub(crate) fn new() -> Self {
        Self::with(quick())
    }

    pub(crate) fn with(builder: HttpFetcherBuilder) -> Self {
        let example = Example::new(&[]);
        let request = OcspRequest::new(&example.chain.cert_id(CertIdHash::Sha1), None).unwrap();
        Asker { example, request, fetcher: builder.build().unwrap() }
    }

    pub(crate) async fn ask(&self, method: Method, url: &str, etag: Option<&str>) -> Result<Answer, FetchError> {
        let question = Question { chain: &self.example.chain, request: &self.request, method, url, etag };
        self.fetcher.fetch(&question).await
    }

    pub(crate) async fn post(&self, url: &str) -> Result<Answer, FetchError> {
        self.ask(Method::Post, url, None).await
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Answer, FetchError> {
        self.ask(Method::Get, url, None).await
    }
}

/// Deadlines long enough for a busy machine, where nothing should time out.
pub(crate) fn quick() -> HttpFetcherBuilder {
    HttpFetcher::builder().crypto_provider(rustls::crypto::aws_lc_rs::default_provider())
}

/// Deadlines that are waited for.
pub(crate) fn impatient() -> HttpFetcherBuilder {
    HttpFetcher::builder().timeout(Duration::from_millis(400)).read_timeout(Duration::from_millis(200))
}

pub(crate) fn body(answer: Result<Answer, FetchError>) -> Vec<u8> {
    answer.unwrap().body.unwrap().to_vec()
}

pub(crate) fn code(answer: Result<Answer, FetchError>) -> &'static str {
    match answer {
        Err(error) => error.code().as_str(),
        Ok(answer) => panic!("{answer:?}"),
    }
}
