//! The requests of one renewal: URL after URL until an answer is believed. The inquiry decides how each URL is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::TryRngCore;
use rand::rngs::OsRng;

use super::parts::Renewer;
use crate::event::EventKind;
use crate::fetch::{Answer, FetchError, Method, Question};
use crate::inquiry::{HashChoice, Inquiry, NextQuestion, Trouble};
use crate::inventory::{CertificateView, RenewalMemory, Validator};
use crate::lane;
use crate::ocsp::{CertStatus, OcspRequest, ResponseStatus};
use crate::reason::ReasonCode;
use crate::responders::Responder;
use crate::scheduler::Which;
use crate::sink::requirements_of;
use crate::staple::{Judge, Judgement, Refusal, Staple};
use crate::task::{Queue, Subject};
use crate::time::Timestamp;
use crate::url_text::without_credentials as shown;

/// How long one renewal may go on to further URLs: two responders that hang, each asked by GET and by POST, leave time for
/// a third.
const PATIENCE: Duration = Duration::from_secs(75);
/// How long a renewal may wait for a slot at a responder.
const SLOT_PATIENCE: Duration = Duration::from_secs(60);
/// The length of a nonce in octets (RFC 9654 §2.1).
const NONCE_LENGTH: usize = 32;

/// A believed answer.
pub(super) struct Believed {
    pub(super) status: CertStatus,
    /// The staple, if the status is good.
    pub(super) staple: Option<Arc<Staple>>,
    pub(super) this_update: Timestamp,
    pub(super) until: Timestamp,
    pub(super) memory: RenewalMemory,
    pub(super) url: String,
    /// Until when caches may keep the answer.
    pub(super) cached_until: Option<Timestamp>,
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
}

/// Why a responder gave no believed answer.
enum Unanswered {
    /// The failure of its requests, and its Retry-After.
    Trouble(Box<Trouble>, Option<Duration>),
    /// The breaker is open: the responder is not asked for now.
    Down { until: Timestamp },
    /// The responder cannot be asked.
    Unasked(String),
}

impl Unanswered {
    fn refused(self, url: &str) -> Refused {
        let at = shown(url);
        match self {
            Unanswered::Trouble(trouble, retry_after) => {
                // Errors of a fetcher name the URL themselves: a redirect may have led elsewhere.
                let what = match &*trouble {
                    Trouble::Fetch(error) => error.to_string(),
                    trouble => format!("{at}: {trouble}"),
                };
                let not_known = is_not_known(&trouble);
                Refused { retry_after, not_known, ..Refused::new(trouble.code(), what) }
            }
            Unanswered::Down { until } => Refused {
                not_before: Some(until),
                ..Refused::new(
                    ReasonCode::new("responder_down"),
                    format!("{at}: the responder has failed several times in a row and is left alone until it answers"),
                )
            },
            Unanswered::Unasked(what) => Refused::new(ReasonCode::new("unsupported_url"), format!("{at}: {what}")),
        }
    }
}

/// Whether the responder says that it does not know the certificate.
fn is_not_known(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Unknown | Trouble::Refusal(Refusal::ErrorStatus(ResponseStatus::Unauthorized)))
}

impl From<FetchError> for Unanswered {
    fn from(error: FetchError) -> Self {
        let retry_after = error.retry_after();
        Unanswered::Trouble(Box::new(error.into()), retry_after)
    }
}

impl Renewer {
    /// Asks all URLs of a certificate, the one that worked last first, until an answer is believed.
    pub(super) async fn ask(&self, certificate: &CertificateView) -> Result<Believed, Refused> {
        let urls = self.responders.urls_of(certificate.chain.end_entity());
        let last = certificate.memory.url.as_deref().filter(|last| urls.iter().any(|url| url == last));
        let in_order = last.into_iter().chain(urls.iter().map(String::as_str).filter(|url| Some(*url) != last));
        for responder in urls.iter().filter_map(|url| self.responders.at(url)) {
            responder.turn_of(certificate.chain.subject());
        }
        let mut first_refused: Option<Refused> = None;
        let began = tokio::time::Instant::now();
        for url in in_order {
            // A certificate with many slow responders does not delay others.
            if first_refused.is_some() && began.elapsed() > PATIENCE {
                break;
            }
            match self.ask_responder(certificate, url).await {
                Ok(believed) => {
                    let before = first_refused.and_then(|refused| refused.retry_after);
                    return Ok(Believed { retry_after: believed.retry_after.max(before), ..believed });
                }
                Err(refused) => {
                    first_refused = Some(match first_refused {
                        None => refused,
                        Some(first) => merge(first, refused),
                    });
                }
            }
        }
        Err(first_refused.unwrap_or_else(|| Refused::new(ReasonCode::new("no_ocsp_url"), "no OCSP URL".to_owned())))
    }

    /// Asks one responder, by one method and hash after the other.
    async fn ask_responder(&self, certificate: &CertificateView, url: &str) -> Result<Believed, Refused> {
        let unasked = |why: String| Unanswered::Unasked(why).refused(url);
        let Some(responder) = self.responders.at(url) else {
            return Err(unasked("not an http or https URL with a host and a valid port".to_owned()));
        };
        let hashes = match requirements_of(&self.sinks, &certificate.sinks).cert_id_hash {
            Some(insisted) => HashChoice::Only(insisted),
            None => HashChoice::First(self.hash),
        };
        let Ok(slot) = tokio::time::timeout(SLOT_PATIENCE, responder.slot()).await else {
            let what = "as many questions are open as the responder may get, and none was answered in time";
            return Err(Refused::new(ReasonCode::new("responder_busy"), format!("{}: {what}", shown(url))));
        };
        // The breaker is checked once: a second request is a part of the same attempt.
        let until = responder.check(self.journal.clock.now()).err();
        if let Some(until) = until {
            let down = vec![Arc::clone(&responder)];
            return Err(Refused { down, ..Unanswered::Down { until }.refused(url) });
        }
        // The habits are read only now, so that they include what earlier renewals learnt.
        let habits = responder.habits();
        let mut inquiry = Inquiry::new(&certificate.chain, url, hashes).habits(habits);
        if certificate.wants_fresh {
            inquiry = inquiry.past_caches();
        }
        let (mut retry_after, mut not_known) = (None, false);
        let last = loop {
            let nonce = self.fresh_nonce().map_err(|unanswered| unanswered.refused(url))?;
            let NextQuestion { request, method, .. } = inquiry
                .question(nonce.as_ref().map(<[u8; NONCE_LENGTH]>::as_slice))
                .map_err(|error| unasked(error.to_string()))?;
            let (trouble, wait) = match self.exchange(certificate, url, &responder, &request, method).await {
                Ok(believed) => {
                    responder.remember(inquiry.learnt(), method);
                    return Ok(Believed { retry_after, ..believed });
                }
                Err(Unanswered::Trouble(trouble, wait)) => (trouble, wait),
                Err(other) => break other,
            };
            // The longest Retry-After counts.
            retry_after = retry_after.max(wait);
            not_known |= is_not_known(&trouble);
            if !inquiry.refused(method, &trouble) {
                if habits.method.is_some() && matches!(*trouble, Trouble::Fetch(_) | Trouble::NotOcsp { .. }) {
                    responder.forget_method();
                }
                break Unanswered::Trouble(trouble, None);
            }
            let (code, what) = (trouble.code(), trouble.to_string());
            self.journal.tell_of(&certificate.about, EventKind::AttemptFailed { url: shown(url), code, what });
        };
        drop(slot);
        // The first failure says most about the certificate.
        let told = match inquiry.first_trouble() {
            Some(first) => Unanswered::Trouble(Box::new(first.clone()), None),
            None => last,
        };
        Err(Refused { retry_after, not_known, ..told.refused(url) })
    }

    fn fresh_nonce(&self) -> Result<Option<[u8; NONCE_LENGTH]>, Unanswered> {
        let mut nonce = [0; NONCE_LENGTH];
        if !self.nonce {
            return Ok(None);
        }
        match OsRng.try_fill_bytes(&mut nonce) {
            Ok(()) => Ok(Some(nonce)),
            Err(_) => Err(Unanswered::Unasked("no randomness for a nonce".to_owned())),
        }
    }

    /// Sends one request and judges the answer.
    async fn exchange(
        &self,
        certificate: &CertificateView,
        url: &str,
        responder: &Responder,
        request: &OcspRequest,
        method: Method,
    ) -> Result<Believed, Unanswered> {
        // A validator belongs to one URL, one request and one answer: it is sent only where the held staple is that answer.
        let held = certificate.staple.as_ref().filter(|_| method == Method::Get);
        let validator = certificate.memory.validator.as_ref();
        let validator =
            validator.filter(|validator| held.is_some_and(|held| validator.is_of(url, request.as_der(), held)));
        let etag = validator.map(|validator| validator.etag.as_str());
        let question = Question { chain: &certificate.chain, request, method, url, etag };
        let (answer, waiting) = {
            responder.turn().await;
            let _doubtful = match responder.is_doubtful() {
                true => Some(self.doubtful_exchanges.acquire().await),
                false => None,
            };
            let _all = self.exchanges.acquire().await;
            let panicked = || format!("{}: the fetcher panicked", shown(url));
            let answer = lane::survive(&self.journal, panicked, self.fetcher.fetch(&question)).await;
            // A fetcher that panics at one responder does not keep the renewal from the next one.
            let answer = answer.unwrap_or_else(|| Err(FetchError::Broken { url: url.to_owned(), why: panicked() }));
            let waiting = match &answer {
                Err(error) if error.is_hosts_fault() => {
                    responder.failed(self.journal.clock.now());
                    Default::default()
                }
                _ => responder.answered(),
            };
            (answer, waiting)
        };
        for (subject, queue) in &waiting {
            self.hasten(queue, subject).await;
        }
        self.judge_answer(certificate, &question, answer?)
    }

    /// Makes a waiting renewal due now.
    pub(super) async fn hasten(&self, queue: &Queue, subject: &Subject) {
        if let Err(error) = self.scheduler.hasten(Which::Task(queue, subject)).await {
            // The renewal is due later anyway.
            self.journal.tell(EventKind::Internal { what: format!("hasten {subject}: {error}") });
        }
    }

    fn judge_answer(
        &self,
        certificate: &CertificateView,
        question: &Question<'_>,
        answer: Answer,
    ) -> Result<Believed, Unanswered> {
        let now = self.journal.clock.now();
        let url = question.url;
        // 304: the held response is judged again, at this time.
        let is_held = answer.body.is_none();
        let body: Bytes = match (&answer.body, &certificate.staple) {
            (Some(body), _) => body.clone(),
            (None, Some(held)) if question.etag.is_some_and(|sent| is_validated(sent, answer.etag.as_deref())) => {
                held.response().clone()
            }
            (None, _) => {
                let retry_after = answer.retry_after;
                return Err(FetchError::Status { url: url.to_owned(), status: 304, retry_after }.into());
            }
        };
        let refused = |trouble| Unanswered::Trouble(Box::new(trouble), answer.retry_after);
        let judgement = Judge::new(&certificate.chain)
            .at(now)
            .policy(&self.judging)
            .nonce(question.request.nonce())
            .judge(body.clone())
            .map_err(|refusal| refused(Trouble::with_answer(refusal, &answer)))?;
        let Judgement { status, facts, .. } = &judgement;
        if *status == CertStatus::Unknown {
            return Err(refused(Trouble::Unknown));
        }
        // Only a response without nextUpdate passes the judgement and is over all the same.
        if let Some(staple) = judgement.staple()
            && staple.expires() <= now
        {
            return Err(refused(Refusal::Expired { next_update: staple.expires(), at: now }.into()));
        }
        let status = *status;
        let this_update = facts.this_update;
        let until = facts.next_update.unwrap_or(now + Duration::from_secs(3600));
        let staple = judgement.into_staple().map(Arc::new);
        let etag = match is_held {
            true => question.etag.map(str::to_owned),
            false => answer.etag.filter(|_| question.method == Method::Get),
        };
        let validator = etag.zip(staple.as_ref()).map(|(etag, staple)| Validator {
            etag,
            url: url.to_owned(),
            request: Bytes::copy_from_slice(question.request.as_der()),
            response: staple.response().clone(),
        });
        Ok(Believed {
            status,
            staple,
            this_update,
            until,
            memory: RenewalMemory { url: Some(url.to_owned()), validator },
            url: shown(url),
            cached_until: answer.max_age.map(|max_age| now + max_age).or(answer.expires),
            retry_after: None,
        })
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
