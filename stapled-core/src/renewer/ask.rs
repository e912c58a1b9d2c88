//! The requests of one renewal: the renewer's limits, breakers, validators and memory of responders around the loop of
//! [`Asking`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::parts::Renewer;
use crate::asking::attempt::Attempt;
use crate::asking::{Asked, Asking, Caches, Peers};
use crate::describe::visible::without_credentials as shown;
use crate::event::EventKind;
use crate::exchange::inquiry::Trouble;
use crate::fetch::{Answer, FetchError, Method, OcspFetcher, Question};
use crate::inventory::{CertificateView, LastAnswer, RenewalMemory, Validator};
use crate::lane;
use crate::ocsp::{CertStatus, OcspRequest, ResponseStatus};
use crate::reason::ReasonCode;
use crate::refresh::inputs::Received;
use crate::responders::Responder;
use crate::scheduler::Which;
use crate::sink::requirements_of;
use crate::staple::{Refusal, Staple};
use crate::task::{Queue, Subject};
use crate::time::Timestamp;

/// How long one renewal may go on to further URLs: two responders that hang, each asked by GET and by POST, leave time for
/// a third.
const PATIENCE: Duration = Duration::from_secs(75);
/// How long a renewal may wait for a slot at a responder.
const SLOT_PATIENCE: Duration = Duration::from_secs(60);

/// A believed answer.
pub(super) struct Believed {
    pub(super) status: CertStatus,
    /// The staple, if the status is good.
    pub(super) staple: Option<Arc<Staple>>,
    pub(super) this_update: Timestamp,
    pub(super) until: Timestamp,
    pub(super) memory: RenewalMemory,
    pub(super) url: String,
    /// When the answer came, and how long ago it was asked for.
    pub(super) received: Received,
    /// The longest Retry-After of the responders that failed before.
    pub(super) retry_after: Option<Duration>,
}

/// Why no answer was believed: the first failure, and the consequences of all of them for the next attempt.
pub(super) struct Refused {
    pub(super) code: ReasonCode,
    pub(super) what: String,
    pub(super) retry_after: Option<Duration>,
    /// Whether a responder says that it does not know the certificate.
    pub(super) not_known: bool,
    /// The earliest time at which a responder that is down is asked again.
    pub(super) not_before: Option<Timestamp>,
    /// The responders that are down.
    pub(super) down: Vec<Arc<Responder>>,
}

impl Refused {
    pub(super) fn new(code: ReasonCode, what: String) -> Self {
        Refused { code, what, retry_after: None, not_known: false, not_before: None, down: Vec::new() }
    }

    /// The failure of a request to this URL.
    fn of(url: &str, trouble: &Trouble) -> Self {
        // Errors of a fetcher name the URL themselves: a redirect may have led elsewhere.
        let what = match trouble {
            Trouble::Fetch(error) => error.to_string(),
            trouble => format!("{}: {trouble}", shown(url)),
        };
        Refused { not_known: is_not_known(trouble), ..Refused::new(trouble.code(), what) }
    }
}

/// Whether the responder says that it does not know the certificate.
fn is_not_known(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Unknown | Trouble::Refusal(Refusal::ErrorStatus(ResponseStatus::Unauthorized)))
}

impl Renewer {
    /// Asks all URLs of a certificate, the one that worked last first, until an answer is believed.
    pub(super) async fn ask(&self, certificate: &CertificateView) -> Result<Believed, Refused> {
        let urls = self.responders.urls_of(certificate.chain.end_entity());
        let last = certificate.memory.url().map(|last| &**last).filter(|last| urls.iter().any(|url| url == last));
        let in_order = last.into_iter().chain(urls.iter().map(String::as_str).filter(|url| Some(*url) != last));
        for responder in urls.iter().filter_map(|url| self.responders.at(url)) {
            responder.turn_of(certificate.chain.subject());
        }
        let mut asking = Asking::new(&certificate.chain)
            .clock(self.journal.clock.as_ref())
            .first_hash(self.hash)
            .judge_policy(self.judging)
            .nonces(self.nonces)
            .caches(if certificate.wants_fresh { Caches::Avoided } else { Caches::Allowed })
            .max_age(self.news_since(certificate));
        if let Some(hash) = requirements_of(&self.sinks, certificate.sinks.iter()).cert_id_hash {
            asking = asking.hash_only(hash);
        }
        let mut round = Round { renewer: self, certificate, began: Instant::now(), refused: None };
        let believed = asking.ask_each(in_order, &mut round).await;
        match (believed, round.refused) {
            (Some(believed), refused) => {
                let before = refused.and_then(|refused| refused.retry_after);
                Ok(Believed { retry_after: believed.retry_after.max(before), ..believed })
            }
            (None, Some(refused)) => Err(refused),
            (None, None) => Err(Refused::new(ReasonCode::new("no_ocsp_url"), "no OCSP URL".to_owned())),
        }
    }

    /// The age below which an answer from a store is news: it was asked for after the last one here, and within the interval
    /// in which a revocation is noticed.
    fn news_since(&self, certificate: &CertificateView) -> Duration {
        let since_last = certificate.memory.asked_at.map(|asked_at| self.journal.clock.now().since(asked_at));
        since_last.unwrap_or(Duration::MAX).min(self.refresh.maximum_interval)
    }

    /// Makes a waiting renewal due now.
    pub(super) async fn hasten(&self, queue: &Queue, subject: &Subject) {
        if let Err(error) = self.scheduler.hasten(Which::Task(queue, subject)).await {
            // The renewal is due later anyway.
            self.journal.tell(EventKind::Internal { what: format!("hasten {subject}: {error}") });
        }
    }
}

/// The responders of one renewal.
struct Round<'a> {
    renewer: &'a Renewer,
    certificate: &'a CertificateView,
    began: Instant,
    /// The failures of the responders so far, merged.
    refused: Option<Refused>,
}

impl Peers for Round<'_> {
    type Believed = Believed;

    async fn ask(&mut self, asking: &Asking<'_>, url: &str) -> Option<Believed> {
        // Boxed apart, so that neither future is larger than a kilobyte: above it, allocators are slow.
        match Box::pin(self.renewer.ask_responder(asking, url, Some(self.certificate))).await {
            Ok((attempt, retry_after)) => {
                let last = self.certificate.memory.url().filter(|last| ***last == *url);
                let asked = last.map_or_else(|| url.into(), Arc::clone);
                Believed::of(asked, attempt, retry_after)
            }
            Err(refused) => {
                self.refused = Some(match self.refused.take() {
                    None => refused,
                    Some(first) => merge(first, refused),
                });
                None
            }
        }
    }

    /// A certificate with many slow responders does not delay others.
    fn may_continue(&self) -> bool {
        self.refused.is_none() || self.began.elapsed() <= PATIENCE
    }
}

impl Renewer {
    /// Asks one responder, unless it is busy or down. Returns the attempt that is believed, with the longest Retry-After of
    /// the attempts before it. `certificate` is what is known of the certificate, if the inventory has it.
    pub(super) async fn ask_responder(
        &self,
        asking: &Asking<'_>,
        url: &str,
        certificate: Option<&CertificateView>,
    ) -> Result<(Attempt, Option<Duration>), Refused> {
        let Some(responder) = self.responders.at(url) else {
            let why = "not an http or https URL with a host and a valid port".to_owned();
            return Err(Refused::of(url, &FetchError::unsupported_url(url, why).into()));
        };
        let Ok(slot) = tokio::time::timeout(SLOT_PATIENCE, responder.slot()).await else {
            let what = "as many questions are open as the responder may get, and none was answered in time";
            return Err(Refused::new(ReasonCode::new("responder_busy"), format!("{}: {what}", shown(url))));
        };
        // The breaker is checked once: a second request is a part of the same attempt.
        let until = responder.check(self.journal.clock.now()).err();
        if let Some(until) = until {
            let what = "the responder has failed several times in a row and is left alone until it answers";
            return Err(Refused {
                down: vec![Arc::clone(&responder)],
                not_before: Some(until),
                ..Refused::new(ReasonCode::new("responder_down"), format!("{}: {what}", shown(url)))
            });
        }
        // The habits are read only now, so that they include what earlier renewals learnt.
        let habits = responder.habits();
        let exchange = Exchange { renewer: self, certificate, responder: &responder };
        let told = |attempt: &Attempt| {
            match &attempt.trouble {
                Some(trouble) => responder.refused(trouble.code(), trouble.to_string(), attempt.at),
                None => responder.believed(attempt.at),
            }
            if let Some(certificate) = certificate {
                self.tell_attempt(certificate, attempt);
            }
        };
        let asked = asking.ask_one(url, habits, &exchange, told).await;
        drop(slot);
        let Asked { earlier, last, learnt, first_trouble } = asked.map_err(|unasked| Refused::of(url, &unasked))?;
        // The longest Retry-After counts.
        let retry_after = earlier.iter().filter_map(Attempt::retry_after).max();
        let Some(trouble) = &last.trouble else {
            responder.remember(learnt, last.method);
            return Ok((last, retry_after));
        };
        if habits.method.is_some() && matches!(trouble, Trouble::Fetch(_) | Trouble::NotOcsp { .. }) {
            responder.forget_method();
        }
        let mut troubles = earlier.iter().filter_map(|attempt| attempt.trouble.as_ref()).chain([trouble]);
        Err(Refused {
            retry_after: retry_after.max(last.retry_after()),
            not_known: troubles.any(is_not_known),
            // The first failure says most about the certificate.
            ..Refused::of(url, first_trouble.as_ref().unwrap_or(trouble))
        })
    }

    /// Reports a failed attempt that another question follows.
    fn tell_attempt(&self, certificate: &CertificateView, attempt: &Attempt) {
        if let (true, Some(trouble)) = (attempt.continues, &attempt.trouble) {
            let (url, code, what) = (attempt.url.clone(), trouble.code(), trouble.to_string());
            let failed = EventKind::AttemptFailed { url, code, what };
            self.tell(certificate, failed);
        }
    }
}

impl Believed {
    /// The facts of a believed attempt.
    fn of(asked: Arc<str>, attempt: Attempt, retry_after: Option<Duration>) -> Option<Self> {
        let Attempt { answer: Some((answer, Ok(judgement))), request, method, at: now, .. } = attempt else {
            return None;
        };
        let (status, this_update) = (judgement.status, judgement.facts.this_update);
        let until = judgement.facts.next_update.unwrap_or(now + Duration::from_secs(3600));
        let staple = judgement.into_staple().map(Arc::new);
        let cached_until = answer.max_age.map(|max_age| now + max_age).or(answer.expires);
        let received = Received::at(now).age(answer.age).cached_until(cached_until);
        let etag = answer.etag.filter(|_| method == Method::Get);
        let validator = etag.zip(staple.as_ref()).map(|(etag, staple)| Validator {
            etag,
            request: Bytes::copy_from_slice(request.as_der()),
            response: staple.response().clone(),
        });
        Some(Believed {
            status,
            staple,
            this_update,
            until,
            memory: RenewalMemory {
                answer: Some(Arc::new(LastAnswer { url: asked, validator })),
                asked_at: Some(received.asked_at()),
            },
            url: attempt.url,
            received,
            retry_after,
        })
    }
}

/// Exchanges with one responder, within the renewer's limits, with the validator of the held staple.
struct Exchange<'a> {
    renewer: &'a Renewer,
    /// The state of the certificate, if the inventory has it.
    certificate: Option<&'a CertificateView>,
    responder: &'a Responder,
}

#[async_trait]
impl OcspFetcher for Exchange<'_> {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        // A validator belongs to one URL, one request and one answer: it is sent only where the held staple is that answer.
        let certificate = self.certificate.filter(|_| question.method == Method::Get);
        let held = certificate.and_then(|certificate| {
            let held = certificate.staple.as_ref()?;
            Some((held, certificate.memory.etag_of(question.url, question.request.as_der(), held)?))
        });
        let mut question = *question;
        question.etag = held.map(|(_, etag)| etag);
        let mut answer = self.exchange(question.url, self.renewer.fetcher.fetch(&question)).await?;
        match (&answer.body, held) {
            (Some(_), _) => Ok(answer),
            // 304: the held response is judged again.
            (None, Some((held, etag))) if is_validated(etag, answer.etag.as_deref()) => {
                answer.body = Some(held.response().clone());
                Ok(answer.etag(etag))
            }
            (None, _) => {
                let retry_after = answer.retry_after;
                Err(FetchError::Status { url: question.url.to_owned(), status: 304, retry_after })
            }
        }
    }

    async fn fetch_by_cert_id(&self, request: &OcspRequest, method: Method, url: &str) -> Result<Answer, FetchError> {
        self.exchange(url, self.renewer.fetcher.fetch_by_cert_id(request, method, url)).await
    }
}

impl Exchange<'_> {
    /// Waits until the limits allow the request, sends it, and records how the responder did.
    async fn exchange(
        &self,
        url: &str,
        fetched: impl Future<Output = Result<Answer, FetchError>>,
    ) -> Result<Answer, FetchError> {
        let (renewer, responder) = (self.renewer, self.responder);
        let (answer, waiting) = {
            responder.turn().await;
            let _doubtful = match responder.is_doubtful() {
                true => Some(renewer.doubtful_exchanges.acquire().await),
                false => None,
            };
            let _all = renewer.exchanges.acquire().await;
            let panicked = || format!("{}: the fetcher panicked", shown(url));
            let began = Instant::now();
            let answer = lane::survive(&renewer.journal, panicked, fetched).await;
            responder.took(began.elapsed());
            // A fetcher that panics at one responder does not keep the renewal from the next one.
            let broken = || FetchError::broken(url, panicked());
            let answer = answer.unwrap_or_else(|| Err(broken()));
            let waiting = match &answer {
                Err(error) if error.is_hosts_fault() => {
                    responder.failed(renewer.journal.clock.now());
                    Default::default()
                }
                _ => responder.answered(),
            };
            (answer, waiting)
        };
        for (subject, queue) in &waiting {
            renewer.hasten(queue, subject).await;
        }
        answer
    }
}

/// Whether an answer without a body confirms the validator that was sent. It may leave the validator out, or mark it as weak
/// (RFC 9110 §13.1.2). Another validator belongs to another answer.
fn is_validated(sent: &str, answered: Option<&str>) -> bool {
    let opaque = |etag: &str| etag.strip_prefix("W/").unwrap_or(etag).to_owned();
    answered.is_none_or(|answered| opaque(answered) == opaque(sent))
}

/// Merges the failures of several responders: the first code is kept, and the longest Retry-After counts.
fn merge(first: Refused, next: Refused) -> Refused {
    Refused {
        what: format!("{}; {}", first.what, next.what),
        retry_after: first.retry_after.max(next.retry_after),
        not_known: first.not_known || next.not_known,
        // As soon as one of them may be asked.
        not_before: match (first.not_before, next.not_before) {
            (Some(first), Some(next)) => Some(first.min(next)),
            _ => None,
        },
        code: first.code,
        down: first.down.into_iter().chain(next.down).collect(),
    }
}
