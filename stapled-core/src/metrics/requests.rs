//! A fetcher that counts how long each responder takes.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::tally::Tally;
use crate::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use crate::ocsp::OcspRequest;
use crate::report::Reporter;

/// Does what another fetcher does.
pub(super) struct TimedFetcher<F> {
    pub(super) fetcher: F,
    pub(super) tally: Tally,
}

#[async_trait]
impl<F: OcspFetcher> OcspFetcher for TimedFetcher<F> {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        self.counted(question.url, self.fetcher.fetch(question)).await
    }

    async fn fetch_by_cert_id(&self, request: &OcspRequest, method: Method, url: &str) -> Result<Answer, FetchError> {
        self.counted(url, self.fetcher.fetch_by_cert_id(request, method, url)).await
    }

    async fn fetch_issuer(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        self.fetcher.fetch_issuer(url, limit).await
    }

    fn report_to(&self, reporter: Reporter) {
        self.fetcher.report_to(reporter);
    }
}

impl<F> TimedFetcher<F> {
    async fn counted(
        &self,
        url: &str,
        exchange: impl Future<Output = Result<Answer, FetchError>>,
    ) -> Result<Answer, FetchError> {
        let began = Instant::now();
        let answer = exchange.await;
        // An answer from a store says nothing about the responder.
        if answer.as_ref().map_or(true, |answer| answer.age.is_zero()) {
            let is_down = answer.as_ref().is_err_and(FetchError::is_hosts_fault);
            self.tally.took(url, began.elapsed(), is_down);
        }
        answer
    }
}
