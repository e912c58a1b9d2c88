//! One renewal's questions: which URL, hash and method come next, until an answer is believed.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;

use super::Renewer;
use crate::event::EventKind;
use crate::fetch::{Answer, FetchError, Method, Question};
use crate::inventory::{CertificateView, RenewalMemory};
use crate::ocsp::{CertIdHash, CertStatus, OcspRequest, ResponseStatus};
use crate::reason::ReasonCode;
use crate::responders::Responder;
use crate::sink::requirements_of;
use crate::staple::{Judgement, Refusal, Staple, judge};
use crate::time::Timestamp;

/// The longest URL of a GET (RFC 9919 §5.1, as RFC 5019 §5): longer questions go by POST.
const MAX_GET_URL: usize = 255;
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
}

impl Refused {
    pub(super) fn new(code: ReasonCode, what: String) -> Self {
        Refused { code, what, retry_after: None, not_known: false, not_before: None }
    }
}

/// One question without a believed answer.
enum Trouble {
    Fetch(FetchError),
    Refusal(Refusal),
    Unknown,
    Down { until: Timestamp },
    Busy,
    Unasked(String),
}

impl Trouble {
    fn refused(self, url: &str) -> Refused {
        match self {
            Trouble::Fetch(error) => {
                Refused { retry_after: error.retry_after(), ..Refused::new(error.code(), error.to_string()) }
            }
            Trouble::Refusal(refusal) => Refused {
                not_known: refusal == Refusal::ErrorStatus(ResponseStatus::Unauthorized),
                ..Refused::new(refusal.code(), format!("{url}: {refusal}"))
            },
            Trouble::Unknown => Refused {
                not_known: true,
                ..Refused::new(
                    ReasonCode::new("unknown"),
                    format!("{url}: the responder does not know the certificate"),
                )
            },
            Trouble::Down { until } => Refused {
                not_before: Some(until),
                ..Refused::new(
                    ReasonCode::new("responder_down"),
                    format!("{url}: the responder has failed several times in a row and is left alone for a while"),
                )
            },
            Trouble::Busy => Refused::new(
                ReasonCode::new("responder_busy"),
                format!("{url}: as many questions are open as the responder may get, and none was answered in time"),
            ),
            Trouble::Unasked(what) => Refused::new(ReasonCode::new("unsupported_url"), format!("{url}: {what}")),
        }
    }

    /// Whether asking by POST may help where GET did not: the responder refuses GET, or a cache stands between.
    fn is_of_the_method(&self) -> bool {
        match self {
            Trouble::Fetch(FetchError::Status { status, .. }) => {
                matches!(status, 400 | 403 | 404 | 405 | 406 | 411 | 414 | 415 | 500 | 501)
            }
            Trouble::Refusal(Refusal::ErrorStatus(ResponseStatus::MalformedRequest)) => true,
            Trouble::Refusal(Refusal::Malformed(_) | Refusal::Expired { .. }) => true,
            _ => false,
        }
    }

    /// Whether asking with another hash may help.
    fn is_of_the_hash(&self) -> bool {
        matches!(
            self,
            Trouble::Refusal(
                Refusal::ErrorStatus(ResponseStatus::Unauthorized | ResponseStatus::MalformedRequest)
                    | Refusal::NoMatchingCertId { .. }
                    | Refusal::WrongIssuer { .. }
            ) | Trouble::Unknown
        )
    }
}

impl Renewer {
    /// Asks all URLs of a certificate, the one that worked last first, until an answer is believed.
    pub(super) async fn ask(&self, certificate: &CertificateView) -> Result<Believed, Refused> {
        let urls = certificate.chain.end_entity().ocsp_urls();
        let last = certificate.memory.url.as_deref().filter(|last| urls.iter().any(|url| url == last));
        let in_order = last.into_iter().chain(urls.iter().map(String::as_str).filter(|url| Some(*url) != last));
        let mut first_refused: Option<Refused> = None;
        let began = tokio::time::Instant::now();
        for url in in_order {
            // Whoever names many slow responders does not hold up those that wait behind.
            if first_refused.is_some() && began.elapsed() > PATIENCE {
                break;
            }
            match self.ask_responder(certificate, url).await {
                Ok(believed) => return Ok(believed),
                Err(trouble) => {
                    let refused = trouble.refused(url);
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
    async fn ask_responder(&self, certificate: &CertificateView, url: &str) -> Result<Believed, Trouble> {
        let Some(responder) = self.responders.at(url) else {
            return Err(Trouble::Unasked("not an http or https URL with a host and a valid port".to_owned()));
        };
        let insisted = requirements_of(&self.sinks, &certificate.sinks).cert_id_hash;
        let habits = responder.habits();
        let first_hash = insisted.or(habits.hash).unwrap_or(self.hash);
        let other_hash = match (insisted, first_hash) {
            (Some(_), _) => None,
            (None, CertIdHash::Sha1) => Some(CertIdHash::Sha256),
            (None, _) => Some(CertIdHash::Sha1),
        };
        let first = self.ask_with_hash(certificate, url, &responder, first_hash).await;
        let Err(trouble) = first else { return first };
        let Some(hash) = other_hash.filter(|_| trouble.is_of_the_hash()) else { return Err(trouble) };
        self.tell_attempt(certificate, url, &trouble);
        let second = self.ask_with_hash(certificate, url, &responder, hash).await;
        if second.is_ok() {
            responder.remember(|habits| habits.hash = Some(hash));
        }
        // What the first hash met is what the responder thinks of the certificate.
        second.map_err(|_| trouble)
    }

    async fn ask_with_hash(
        &self,
        certificate: &CertificateView,
        url: &str,
        responder: &Responder,
        hash: CertIdHash,
    ) -> Result<Believed, Trouble> {
        let mut nonce = [0; NONCE_LENGTH];
        if self.nonce {
            aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Trouble::Unasked("no randomness for a nonce".to_owned()))?;
        }
        let nonce = self.nonce.then_some(nonce.as_slice());
        let request = OcspRequest::new(&certificate.chain.cert_id(hash), nonce)
            .map_err(|error| Trouble::Unasked(error.to_string()))?;
        let by_get = nonce.is_none() && get_url_length(url, &request) <= MAX_GET_URL;
        let method = match responder.habits().method {
            Some(Method::Post) => Method::Post,
            _ if by_get => Method::Get,
            _ => Method::Post,
        };
        let first = self.exchange(certificate, url, responder, &request, method).await;
        let Err(trouble) = first else { return first };
        if method == Method::Post || !trouble.is_of_the_method() {
            return Err(trouble);
        }
        self.tell_attempt(certificate, url, &trouble);
        let second = self.exchange(certificate, url, responder, &request, Method::Post).await;
        if second.is_ok() && !matches!(trouble, Trouble::Refusal(Refusal::Expired { .. })) {
            responder.remember(|habits| habits.method = Some(Method::Post));
        }
        second
    }

    /// One question, one answer, one judgement.
    async fn exchange(
        &self,
        certificate: &CertificateView,
        url: &str,
        responder: &Responder,
        request: &OcspRequest,
        method: Method,
    ) -> Result<Believed, Trouble> {
        let held = certificate.staple.as_ref();
        // Only where the answer that is held came from here: a validator means nothing elsewhere.
        let etag = certificate
            .memory
            .etag
            .as_deref()
            .filter(|_| method == Method::Get && held.is_some() && certificate.memory.url.as_deref() == Some(url));
        let question = Question { chain: &certificate.chain, request, method, url, etag };
        let answer = {
            let slot = tokio::time::timeout(SLOT_PATIENCE, responder.slot()).await;
            let _own = slot.map_err(|_| Trouble::Busy)?;
            let _all = self.exchanges.acquire().await;
            responder.check(self.journal.clock.now()).map_err(|until| Trouble::Down { until })?;
            let answer = self.fetcher.fetch(&question).await;
            match &answer {
                Err(error) if error.is_hosts_fault() => responder.failed(self.journal.clock.now()),
                _ => responder.answered(),
            }
            answer.map_err(Trouble::Fetch)?
        };
        self.judge_answer(certificate, url, answer, request.nonce())
    }

    fn judge_answer(
        &self,
        certificate: &CertificateView,
        url: &str,
        answer: Answer,
        nonce: Option<&[u8]>,
    ) -> Result<Believed, Trouble> {
        let now = self.journal.clock.now();
        let body: Bytes = match (&answer.body, &certificate.staple) {
            (Some(body), _) => body.clone(),
            // 304: what is held is judged again, at this time.
            (None, Some(held)) => held.response().clone(),
            (None, None) => return Err(Trouble::Unasked("answered 304, though nothing is held".to_owned())),
        };
        let judgement = judge(&body, &certificate.chain, now, &self.judging, nonce, &[]).map_err(Trouble::Refusal)?;
        let Judgement { status, facts, .. } = &judgement;
        if *status == CertStatus::Unknown {
            return Err(Trouble::Unknown);
        }
        // Only a response without nextUpdate can be that old and be believed.
        if let Some(staple) = judgement.staple()
            && staple.expires() <= now
        {
            return Err(Trouble::Refusal(Refusal::Expired { next_update: staple.expires(), at: now }));
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
        })
    }

    fn tell_attempt(&self, certificate: &CertificateView, url: &str, trouble: &Trouble) {
        let (code, what) = match trouble {
            Trouble::Fetch(error) => (error.code(), error.to_string()),
            Trouble::Refusal(refusal) => (refusal.code(), refusal.to_string()),
            Trouble::Unknown => (ReasonCode::new("unknown"), "the responder does not know the certificate".to_owned()),
            Trouble::Down { .. } | Trouble::Busy | Trouble::Unasked(_) => return,
        };
        self.journal.tell_of(&certificate.about, EventKind::AttemptFailed { url: url.to_owned(), code, what });
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
    }
}

/// The length of the URL of a GET with this request (RFC 6960 appendix A.1): an estimate from above, since only `+`, `/`
/// and `=` grow when percent-encoded.
fn get_url_length(url: &str, request: &OcspRequest) -> usize {
    let encoded = base64::engine::general_purpose::STANDARD.encode(request.as_der());
    let escaped = encoded.bytes().filter(|byte| matches!(byte, b'+' | b'/' | b'=')).count();
    url.trim_end_matches('/').len() + 1 + encoded.len() + 2 * escaped
}
