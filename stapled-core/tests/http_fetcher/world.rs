//! The client of the servers in these tests.

use std::time::Duration;

use stapled_core::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use stapled_core::io::http::{HttpFetcher, HttpFetcherBuilder};
use stapled_core::ocsp::{CertIdHash, OcspRequest};
use stapled_tests::Example;
pub(crate) use stapled_tests::{HttpServer, Received, ok, stays_open};

/// Asks about the certificate of an example.
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
        let mut question = Question::new(&self.example.chain, &self.request, method, url);
        question.etag = etag;
        self.fetcher.fetch(&question).await
    }

    pub(crate) async fn post(&self, url: &str) -> Result<Answer, FetchError> {
        self.ask(Method::Post, url, None).await
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Answer, FetchError> {
        self.ask(Method::Get, url, None).await
    }
}

/// Deadlines long enough for a busy machine, for tests in which nothing should time out.
pub(crate) fn quick() -> HttpFetcherBuilder {
    HttpFetcher::builder().crypto_provider(rustls::crypto::aws_lc_rs::default_provider())
}

/// Deadlines short enough for tests that wait for a time-out.
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
