//! One renewal's questions: which URL comes next, until an answer is believed. What is asked of one URL is the inquiry's
//! decision.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Renewer;
use crate::event::EventKind;
use crate::fetch::{Answer, FetchError, Method, Question};
use crate::inquiry::{HashChoice, Inquiry, NextQuestion, Trouble};
use crate::inventory::{CertificateView, RenewalMemory};
use crate::lane;
use crate::ocsp::{CertStatus, OcspRequest, ResponseStatus};
use crate::reason::ReasonCode;
use crate::responders::Responder;
use crate::scheduler::Which;
use crate::sink::requirements_of;
use crate::staple::{Judgement, Refusal, Staple, judge};
use crate::task::{Queue, Subject};
use crate::time::Timestamp;

/// How long one renewal may go on to further URLs.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long a question may wait for its turn at a responder.
const SLOT_PATIENCE: Duration = Duration::from_secs(60);
/// The length of a nonce in octets (RFC 9654 §2.1).
const NONCE_LENGTH: usize = 32;

/// An answer that is believed.
pub(super) struct Believed {
    pub(super) status: CertStatus,
    /// The staple, when the status is good.
    pub(super) staple: Option<Arc<Staple>>,
    pub(super) this_update: Timestamp,
    pub(super) until: Timestamp,
    pub(super) memory: RenewalMemory,
    pub(super) url: String,
    /// Until when caches may keep the answer.
    pub(super) cached_until: Option<Timestamp>,
    /// How long the responders asked to wait that were asked before, in vain.
    pub(super) retry_after: Option<Duration>,
}

/// Why no answer was believed: the last trouble, and what all of them mean for the next try.
pub(super) struct Refused {
    pub(super) code: ReasonCode,
    pub(super) what: String,
    pub(super) retry_after: Option<Duration>,
    /// Whether the responder said that it does not know the certificate.
    pub(super) not_known: bool,
    /// When a responder that is down is asked again, at the earliest.
    pub(super) not_before: Option<Timestamp>,
    /// Those that are down.
    pub(super) down: Vec<Arc<Responder>>,
}

impl Refused {
    pub(super) fn new(code: ReasonCode, what: String) -> Self {
        Refused { code, what, retry_after: None, not_known: false, not_before: None, down: Vec::new() }
    }
}

/// Why a responder gave no answer that is believed.
enum Unanswered {
    /// What came of its questions.
    Trouble(Trouble),
    /// It is left alone for now.
    Down { until: Timestamp },
    /// Others wait for it, too.
    Busy,
    /// It cannot be asked.
    Unasked(String),
}

impl Unanswered {
    fn refused(self, url: &str) -> Refused {
        match self {
            // A fetcher's errors name the URL: a redirection may have led elsewhere.
            Unanswered::Trouble(Trouble::Fetch(error)) => {
                Refused { retry_after: error.retry_after(), ..Refused::new(error.code(), error.to_string()) }
            }
            Unanswered::Trouble(trouble) => Refused {
                not_known: matches!(
                    trouble,
                    Trouble::Unknown | Trouble::Refusal(Refusal::ErrorStatus(ResponseStatus::Unauthorized))
                ),
                ..Refused::new(trouble.code(), format!("{url}: {trouble}"))
            },
            Unanswered::Down { until } => Refused {
                not_before: Some(until),
                ..Refused::new(
                    ReasonCode::new("responder_down"),
                    format!(
                        "{url}: the responder has failed several times in a row and is left alone until it answers"
                    ),
                )
            },
            Unanswered::Busy => Refused::new(
                ReasonCode::new("responder_busy"),
                format!("{url}: as many questions are open as the responder may get, and none was answered in time"),
            ),
            Unanswered::Unasked(what) => Refused::new(ReasonCode::new("unsupported_url"), format!("{url}: {what}")),
        }
    }
}

impl<T: Into<Trouble>> From<T> for Unanswered {
    fn from(trouble: T) -> Self {
        Unanswered::Trouble(trouble.into())
    }
}

impl Renewer {
    /// Asks all URLs of a certificate, the one that worked last first, until an answer is believed.
    pub(super) async fn ask(&self, certificate: &CertificateView) -> Result<Believed, Refused> {
        let urls = certificate.chain.end_entity().ocsp_urls();
        let last = certificate.memory.url.as_deref().filter(|last| urls.iter().any(|url| url == last));
        let in_order = last.into_iter().chain(urls.iter().map(String::as_str).filter(|url| Some(*url) != last));
        for responder in urls.iter().filter_map(|url| self.responders.at(url)) {
            responder.turn_of(certificate.chain.subject());
        }
        let mut first_refused: Option<Refused> = None;
        let began = tokio::time::Instant::now();
        for url in in_order {
            // Whoever names many slow responders does not hold up those that wait behind.
            if first_refused.is_some() && began.elapsed() > PATIENCE {
                break;
            }
            match self.ask_responder(certificate, url).await {
                Ok(believed) => {
                    let retry_after = first_refused.and_then(|refused| refused.retry_after);
                    return Ok(Believed { retry_after, ..believed });
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

    /// Asks one responder, by the methods and hashes that may help.
    async fn ask_responder(&self, certificate: &CertificateView, url: &str) -> Result<Believed, Refused> {
        let unasked = |why: String| Unanswered::Unasked(why).refused(url);
        let Some(responder) = self.responders.at(url) else {
            return Err(unasked("not an http or https URL with a host and a valid port".to_owned()));
        };
        let hashes = match requirements_of(&self.sinks, &certificate.sinks).cert_id_hash {
            Some(insisted) => HashChoice::Only(insisted),
            None => HashChoice::First(self.hash),
        };
        let mut habits = responder.habits();
        if certificate.wants_fresh {
            // Caches keep answers to GET.
            habits.method = Some(Method::Post);
        }
        let mut inquiry = Inquiry::new(&certificate.chain, url, hashes).habits(habits);
        loop {
            let nonce = self.fresh_nonce().map_err(|unanswered| unanswered.refused(url))?;
            let NextQuestion { request, method, .. } = inquiry
                .question(nonce.as_ref().map(<[u8; NONCE_LENGTH]>::as_slice))
                .map_err(|error| unasked(error.to_string()))?;
            match self.exchange(certificate, url, &responder, &request, method).await {
                Ok(believed) => {
                    responder.remember(inquiry.learnt());
                    return Ok(believed);
                }
                Err(Unanswered::Trouble(trouble)) if inquiry.refused(method, &trouble) => {
                    let (code, what) = (trouble.code(), trouble.to_string());
                    let event = EventKind::AttemptFailed { url: url.to_owned(), code, what };
                    self.journal.tell_of(&certificate.about, event);
                }
                Err(unanswered) => {
                    let is_down = matches!(unanswered, Unanswered::Down { .. });
                    let last = Refused {
                        down: is_down.then(|| Arc::clone(&responder)).into_iter().collect(),
                        ..unanswered.refused(url)
                    };
                    // What the responder thinks of the certificate is what it said first; how long it is left alone,
                    // what it said last.
                    return Err(match inquiry.first_trouble().cloned() {
                        Some(first) => Refused {
                            retry_after: last.retry_after,
                            not_before: last.not_before,
                            down: last.down,
                            ..Unanswered::Trouble(first).refused(url)
                        },
                        None => last,
                    });
                }
            }
        }
    }

    fn fresh_nonce(&self) -> Result<Option<[u8; NONCE_LENGTH]>, Unanswered> {
        let mut nonce = [0; NONCE_LENGTH];
        if !self.nonce {
            return Ok(None);
        }
        match aws_lc_rs::rand::fill(&mut nonce) {
            Ok(()) => Ok(Some(nonce)),
            Err(_) => Err(Unanswered::Unasked("no randomness for a nonce".to_owned())),
        }
    }

    /// One question, one answer, one judgement.
    async fn exchange(
        &self,
        certificate: &CertificateView,
        url: &str,
        responder: &Responder,
        request: &OcspRequest,
        method: Method,
    ) -> Result<Believed, Unanswered> {
        let held = certificate.staple.as_ref();
        // Only where the answer that is held came from here: a validator means nothing elsewhere.
        let etag = certificate
            .memory
            .etag
            .as_deref()
            .filter(|_| method == Method::Get && held.is_some() && certificate.memory.url.as_deref() == Some(url));
        let question = Question { chain: &certificate.chain, request, method, url, etag };
        let (answer, waiting) = {
            let slot = tokio::time::timeout(SLOT_PATIENCE, responder.slot()).await;
            let _own = slot.map_err(|_| Unanswered::Busy)?;
            let _doubtful = match responder.is_doubtful() {
                true => Some(self.doubtful_exchanges.acquire().await),
                false => None,
            };
            let _all = self.exchanges.acquire().await;
            responder.check(self.journal.clock.now()).map_err(|until| Unanswered::Down { until })?;
            let panicked = || format!("{url}: the fetcher panicked");
            let answer = lane::survive(&self.journal, panicked, self.fetcher.fetch(&question)).await;
            // A bug that one responder brings out keeps nobody from asking the next.
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
        self.judge_answer(certificate, url, answer?, request.nonce())
    }

    /// A renewal that need not wait any more.
    pub(super) async fn hasten(&self, queue: &Queue, subject: &Subject) {
        if let Err(error) = self.scheduler.hasten(Which::Task(queue, subject)).await {
            // It has its moment all the same.
            self.journal.tell(EventKind::Internal { what: format!("hasten {subject}: {error}") });
        }
    }

    fn judge_answer(
        &self,
        certificate: &CertificateView,
        url: &str,
        answer: Answer,
        nonce: Option<&[u8]>,
    ) -> Result<Believed, Unanswered> {
        let now = self.journal.clock.now();
        let body: Bytes = match (&answer.body, &certificate.staple) {
            (Some(body), _) => body.clone(),
            // 304: what is held is judged again, at this time.
            (None, Some(held)) => held.response().clone(),
            (None, None) => return Err(Unanswered::Unasked("answered 304, though nothing is held".to_owned())),
        };
        let judgement = judge(&body, &certificate.chain, now, &self.judging, nonce, &[])?;
        let Judgement { status, facts, .. } = &judgement;
        if *status == CertStatus::Unknown {
            return Err(Trouble::Unknown.into());
        }
        // Only a response without nextUpdate can be that old and be believed.
        if let Some(staple) = judgement.staple()
            && staple.expires() <= now
        {
            return Err(Refusal::Expired { next_update: staple.expires(), at: now }.into());
        }
        let status = *status;
        let this_update = facts.this_update;
        let until = facts.next_update.unwrap_or(now + Duration::from_secs(3600));
        Ok(Believed {
            status,
            staple: judgement.into_staple().map(Arc::new),
            this_update,
            until,
            memory: RenewalMemory {
                url: Some(url.to_owned()),
                etag: answer.etag.or_else(|| certificate.memory.etag.clone().filter(|_| answer.body.is_none())),
            },
            url: url.to_owned(),
            cached_until: answer.max_age.map(|max_age| now + max_age).or(answer.expires),
            retry_after: None,
        })
    }
}

/// Of the troubles with several responders, the first is told; each may ask for patience.
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
