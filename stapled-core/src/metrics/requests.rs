//! A fetcher that counts how long each responder takes.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::tally::Tally;
use crate::fetch::{Answer, FetchError, OcspFetcher, Question};
use crate::report::Reporter;

/// Does what another fetcher does.
pub(super) struct TimedFetcher<F> {
    pub(super) fetcher: F,
    pub(super) tally: Tally,
}

#[async_trait]
impl<F: OcspFetcher> OcspFetcher for TimedFetcher<F> {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        let began = Instant::now();
        let answer = self.fetcher.fetch(question).await;
        // An answer from a store says nothing about the responder.
        if answer.as_ref().map_or(true, |answer| answer.age.is_zero()) {
            let is_down = answer.as_ref().is_err_and(FetchError::is_hosts_fault);
            self.tally.took(question.url, began.elapsed(), is_down);
        }
        answer
    }

    async fn fetch_issuer(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        self.fetcher.fetch_issuer(url, limit).await
    }

    fn report_to(&self, reporter: Reporter) {
        self.fetcher.report_to(reporter);
    }
}
