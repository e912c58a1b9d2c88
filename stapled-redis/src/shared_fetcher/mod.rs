//! A fetcher that shares answers with other processes.

mod believed;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use stapled_core::ocsp::OcspRequest;
use stapled_core::report::Reporter;
use stapled_core::staple::JudgePolicy;

use crate::address::RedisAddress;
use believed::Believed;
use store::{Away, Looked, Place, Published, Store};

/// How long a process may ask the responder without a sign of life.
const LEASE: Duration = Duration::from_secs(3);
/// How long a process waits for the answer of another one at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause before a process that waits looks again. Each further pause is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How often an answer is written at most when others are written meanwhile.
const WRITES: usize = 3;

/// A fetcher that shares verified answers with other processes through Redis: of all processes with a certificate, one asks
/// the responder in an interval, and the others take its answer.
///
/// While one process asks, the others wait for its answer. If it dies, another one asks after three seconds. Only answers
/// that are judged good or revoked are shared, and each process judges what it takes. Of two answers the newer one is kept,
/// so an older answer does not hide a revocation.
///
/// Redis is a help and no condition: where it fails or is slow, each process asks the responder itself. Questions with a nonce
/// are not shared. A renewal on request asks the responder, and its answer is shared.
///
/// ```no_run
/// use stapled_core::HttpFetcher;
/// use stapled_redis::{RedisAddress, SharedFetcher};
///
/// # fn fetcher() -> Result<SharedFetcher<HttpFetcher>, Box<dyn std::error::Error>> {
/// let address: RedisAddress = "redis://127.0.0.1/".parse()?;
/// let fetcher = SharedFetcher::new(HttpFetcher::default(), &address);
/// // Stapler::builder().fetcher(fetcher)
/// # Ok(fetcher) }
/// ```
pub struct SharedFetcher<F> {
    inner: F,
    store: Store,
    policy: JudgePolicy,
    clock: Arc<dyn Clock>,
    patience: Duration,
}

impl<F: OcspFetcher> SharedFetcher<F> {
    /// A fetcher that asks responders through `inner`, and shares answers in the Redis at this address. The first question
    /// connects.
    pub fn new(inner: F, address: &RedisAddress) -> Self {
        let store = Store::new(address);
        SharedFetcher { inner, store, policy: JudgePolicy::default(), clock: Arc::new(SystemClock), patience: PATIENCE }
    }

    /// Sets the beginning of all keys. Default: `stapled`. Processes with the same prefix share their answers.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.store.prefix = prefix.into();
        self
    }

    /// Sets the rules by which answers are judged before they are shared or taken. Default: the strict ones.
    #[must_use]
    pub fn judge_policy(self, policy: JudgePolicy) -> Self {
        SharedFetcher { policy, ..self }
    }

    /// Sets the clock by which answers are judged. Default: the system's. Ages are measured by the clock of Redis.
    #[must_use]
    pub fn shared_clock(self, clock: Arc<dyn Clock>) -> Self {
        SharedFetcher { clock, ..self }
    }

    /// Sets how long this process waits for the answer of another one before it asks itself. Default: 10 seconds.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        SharedFetcher { patience, ..self }
    }

    /// Takes a young answer, or asks the responder as the only process, or waits for the one that asks.
    async fn take_or_ask(&self, question: &Question<'_>, place: &Place) -> Result<Answer, FetchError> {
        let (began, mut pause, mut refused) = (Instant::now(), FIRST_PAUSE, None);
        loop {
            match self.store.look(place, question.max_age, refused.as_ref(), LEASE).await {
                Err(Away) => return self.inner.fetch(question).await,
                Ok(Looked::Answer(answer)) => match self.believe(question, &answer) {
                    Some(_) => return Ok(answer),
                    // Redis is not trusted. The answer of the responder replaces this one.
                    None if refused.is_none() => refused = answer.body,
                    // Somebody writes wrong answers faster than they are replaced.
                    None => return self.ask(question, place, "").await,
                },
                Ok(Looked::Ask(version)) => {
                    let asked = self.ask(question, place, &version);
                    return self.store.holding(place, LEASE, asked).await;
                }
                Ok(Looked::Wait) if began.elapsed() >= self.patience => return self.ask(question, place, "").await,
                Ok(Looked::Wait) => {
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Asks the responder, and shares the answer. `version` is what it is expected to replace.
    async fn ask(&self, question: &Question<'_>, place: &Place, version: &str) -> Result<Answer, FetchError> {
        let began = Instant::now();
        // The answer must have a body that others can use.
        let mut whole = *question;
        whole.etag = None;
        let answer = self.inner.fetch(&whole).await;
        match answer.as_ref().ok().and_then(|answer| Some((answer, self.believe(question, answer)?))) {
            Some((answer, believed)) => Ok(self.share(question, place, version, answer, believed, began).await),
            None => {
                self.store.release(place).await;
                answer
            }
        }
    }

    /// Writes an answer for the others. Returns it, or the newer one that is kept already.
    async fn share(
        &self,
        question: &Question<'_>,
        place: &Place,
        version: &str,
        answer: &Answer,
        believed: Believed,
        began: Instant,
    ) -> Answer {
        let (mut newest, mut version) = ((answer.clone(), believed), version.to_owned());
        for _ in 0..WRITES {
            let (answer, believed) = &newest;
            let lasts = believed.until.since(self.clock.now());
            match self.store.publish(place, &version, began.elapsed(), answer, lasts).await {
                Err(Away) | Ok(Published::Done) => break,
                Ok(Published::Other(other, kept)) => {
                    version = other;
                    let kept = Answer::new(kept);
                    if let Some(of_kept) = self.believe(question, &kept).filter(|kept| kept.outdates(believed)) {
                        newest = (kept, of_kept);
                    }
                }
            }
        }
        newest.0
    }

    fn believe(&self, question: &Question<'_>, answer: &Answer) -> Option<Believed> {
        Believed::of(question.chain, answer.body.clone()?, &self.policy, self.clock.now())
    }
}

#[async_trait]
impl<F: OcspFetcher> OcspFetcher for SharedFetcher<F> {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        if question.request.nonce().is_some() {
            return self.inner.fetch(question).await;
        }
        let place = self.store.place_of(question);
        match question.max_age {
            Some(Duration::ZERO) => self.ask(question, &place, "").await,
            _ => self.take_or_ask(question, &place).await,
        }
    }

    /// These answers are not shared: without the certificate, they are judged elsewhere.
    async fn fetch_by_cert_id(&self, request: &OcspRequest, method: Method, url: &str) -> Result<Answer, FetchError> {
        self.inner.fetch_by_cert_id(request, method, url).await
    }

    async fn fetch_issuer(&self, url: &str, limit: usize) -> Result<Bytes, FetchError> {
        self.inner.fetch_issuer(url, limit).await
    }

    fn report_to(&self, reporter: Reporter) {
        self.inner.report_to(reporter.clone());
        self.store.reporters.add(reporter);
    }
}

impl<F: fmt::Debug> fmt::Debug for SharedFetcher<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedFetcher")
            .field("inner", &self.inner)
            .field("prefix", &self.store.prefix)
            .finish_non_exhaustive()
    }
}
