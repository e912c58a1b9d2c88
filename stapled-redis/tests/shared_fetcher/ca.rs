//! A CA in the process of the test, which counts the questions.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stapled_ca::ocsp::{OcspRequest as Received, ResponseBuilder};
use stapled_ca::{Authority, Profile};
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use stapled_core::ocsp::{CertIdHash, OcspRequest};
use tokio::sync::{Notify, watch};

pub(crate) const VALIDITY: Duration = Duration::from_secs(86_400);
const URL: &str = "http://ocsp.test/";

/// How the CA answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// Good, from a minute before the others.
    GoodFromBefore,
    Revoked,
    Unknown,
    Garbage,
    Refuses,
    /// Good, once the test says so.
    Hangs,
}

/// A CA with one certificate.
pub(crate) struct Ca {
    authority: Authority,
    pub(crate) chain: CertChain,
    mood: Mutex<Mood>,
    max_age: Mutex<Option<Duration>>,
    asked: watch::Sender<usize>,
    going_on: Notify,
    /// By how many seconds thisUpdate of the next answer is later than that of the first one.
    later: AtomicU64,
    nonces: AtomicUsize,
}

impl Ca {
    pub(crate) fn new() -> Arc<Self> {
        let authority = Authority::root("CA").create().unwrap();
        let issued = authority.issue(&Profile::server("site.test").ocsp_url(URL)).unwrap();
        let pem = format!("{}{}", issued.certificate_pem(), authority.certificate_pem());
        Arc::new(Ca {
            authority,
            chain: CertChain::from_pem(pem.as_bytes()).unwrap(),
            mood: Mutex::new(Mood::Good),
            max_age: Mutex::default(),
            asked: watch::Sender::new(0),
            going_on: Notify::new(),
            later: AtomicU64::new(0),
            nonces: AtomicUsize::new(0),
        })
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn set_max_age(&self, max_age: Duration) {
        *self.max_age.lock().unwrap() = Some(max_age);
    }

    /// How many questions came.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    pub(crate) async fn until_asked(&self, times: usize) {
        let mut asked = self.asked.subscribe();
        let enough = asked.wait_for(|asked| *asked >= times);
        tokio::time::timeout(Duration::from_secs(60), enough).await.expect("a question").unwrap();
    }

    /// Answers the questions that hang.
    pub(crate) fn go_on(&self) {
        self.set(Mood::Good);
        self.going_on.notify_waiters();
    }

    /// Asks a fetcher about the certificate.
    pub(crate) async fn ask(
        &self,
        fetcher: &impl OcspFetcher,
        max_age: Option<Duration>,
    ) -> Result<Answer, FetchError> {
        let request = OcspRequest::new(&self.chain.cert_id(CertIdHash::Sha1), None).unwrap();
        let mut question = Question::new(&self.chain, &request, Method::Get, URL);
        question.max_age = max_age;
        fetcher.fetch(&question).await
    }

    /// The same, with a nonce of its own.
    pub(crate) async fn ask_with_nonce(&self, fetcher: &impl OcspFetcher) -> Result<Answer, FetchError> {
        let nonce = self.nonces.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        let request = OcspRequest::new(&self.chain.cert_id(CertIdHash::Sha1), Some(&nonce)).unwrap();
        fetcher.fetch(&Question::new(&self.chain, &request, Method::Post, URL)).await
    }

    /// A response that was valid until an hour ago.
    pub(crate) fn respond_ended(&self) -> Bytes {
        let request = OcspRequest::new(&self.chain.cert_id(CertIdHash::Sha1), None).unwrap();
        let received = Received::from_der(request.as_der()).unwrap();
        let end = SystemClock.now().unix() - 3600;
        let builder = ResponseBuilder::new(&self.authority).good(&received.cert_ids[0]);
        builder.produced_at(end - 3600).this_update(end - 3600).next_update(end).build().unwrap().into()
    }

    /// A response of the CA with this mood. Each is a second newer than the one before.
    pub(crate) fn respond(&self, mood: Mood) -> Bytes {
        let request = OcspRequest::new(&self.chain.cert_id(CertIdHash::Sha1), None).unwrap();
        let received = Received::from_der(request.as_der()).unwrap();
        let id = &received.cert_ids[0];
        let later = self.later.fetch_add(1, Ordering::SeqCst) as i64;
        let now = SystemClock.now().unix();
        // Newer answers are from the past as well.
        let mut from = now - 600 + later;
        let builder = ResponseBuilder::new(&self.authority);
        let builder = match mood {
            Mood::Revoked => builder.revoked(id, now - 3600, None),
            Mood::Unknown => builder.unknown(id),
            Mood::Garbage => return Bytes::from_static(b"<html>Sorry</html>"),
            _ => builder.good(id),
        };
        if mood == Mood::GoodFromBefore {
            from -= 60;
        }
        let validity = VALIDITY.as_secs() as i64;
        builder.produced_at(from).this_update(from).next_update(now + validity).build().unwrap().into()
    }
}

#[async_trait]
impl OcspFetcher for Ca {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        let going_on = self.going_on.notified();
        self.asked.send_modify(|asked| *asked += 1);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Hangs => going_on.await,
            Mood::Refuses => return Err(FetchError::connect(question.url, "refused")),
            _ => {}
        }
        let mut answer = Answer::new(self.respond(mood));
        answer.max_age = *self.max_age.lock().unwrap();
        Ok(answer)
    }

    async fn fetch_issuer(&self, _: &str, _: usize) -> Result<Bytes, FetchError> {
        Ok(Bytes::from_static(b"an issuer"))
    }
}
