//! Chooses the questions to one responder: the next hash, the next method, and the end when no question is left. Pure:
//! the caller decides about sending, connections and time.
//!
//! Responders differ. Some refuse GET. Some have a cache or proxy in front that answers GETs wrongly. Many know CertIDs
//! by SHA-1 only. An [`Inquiry`] starts with the question that most often succeeds, and continues only where another
//! question can help. It asks at most four questions.
//!
//! POST is the second try after any GET that brought no staple: no answer, a reset, an error page, an answer that is
//! refused, or an answer that a cache keeps for too long. There are two exceptions. A responder that was not reached by
//! GET is not reached by POST either. Status 429 asks for fewer questions, not for another one.

pub use super::not_ocsp::NotOcsp;

use super::{Answer, FetchError, Method};
use crate::about::About;
use crate::chain::CertChain;
use crate::chain::named::NamedCertificate;
use crate::ocsp::request::EncodeError;
use crate::ocsp::{CertIdHash, OcspRequest, ResponseStatus};
use crate::reason::ReasonCode;
use crate::staple::Refusal;

/// The longest URL of a GET, in bytes (RFC 9919 §5.1, as in RFC 5019 §5). Longer questions use POST.
const MAX_GET_URL: usize = 255;

/// The sequence of questions to one responder about one certificate.
///
/// ```
/// # use stapled_ocsp::{chain::CertChain, exchange::inquiry::*, ocsp::{CertIdHash, request::EncodeError}};
/// # fn ask(chain: &CertChain) -> Result<(), EncodeError> {
/// let mut inquiry = Inquiry::new(chain, "http://ocsp.example/", CertIdHash::Sha1);
/// loop {
///     let question = inquiry.question(None)?;
///     // The caller sends the request by question.method, judges the answer, and gets its trouble:
///     let trouble: Trouble = send(&question.request, question.method);
///     if !inquiry.refused(question.method, &trouble) {
///         break; // nothing else is worth asking
///     }
/// }
/// # Ok(()) }
/// # fn send(_: &stapled_ocsp::ocsp::OcspRequest, _: stapled_ocsp::exchange::Method) -> Trouble { Trouble::Unknown }
/// ```
#[derive(Clone, Debug)]
pub struct Inquiry<'a> {
    about: About<'a>,
    url: &'a str,
    hash: CertIdHash,
    other_hash: Option<CertIdHash>,
    /// The only method to use. `None`: as the questions need it.
    method: Option<Method>,
    /// Whether the next question uses POST.
    by_post: bool,
    /// Whether the first question already uses POST.
    prefers_post: bool,
    /// Whether POST comes first, and GET follows only if the responder does not serve POST.
    past_caches: bool,
    /// The result of the GET with this hash, while POST is tried.
    of_get: Option<Trouble>,
    /// The responder's result for the certificate, by the first hash.
    telling: Option<Trouble>,
    learnt: Habits,
}

/// The next question.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NextQuestion {
    /// The request to send.
    pub request: OcspRequest,
    /// The method to send it with.
    pub method: Method,
    /// The hash of the request's CertID.
    pub hash: CertIdHash,
}

/// The method and the hash that a responder is known to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Habits {
    /// The method that brought an answer after the other one failed.
    pub method: Option<Method>,
    /// The hash that brought an answer after the other one failed.
    pub hash: Option<CertIdHash>,
}

/// Why a question has no accepted answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// No answer came.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The judgement refused the answer.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The answer is not an OCSP response.
    #[error("{came}")]
    NotOcsp {
        /// The kind of content that came.
        came: NotOcsp,
        /// The judgement's reason for the refusal.
        refusal: Refusal,
    },
    /// The responder answers that it does not know the certificate.
    #[error("the responder does not know the certificate")]
    Unknown,
}

impl<'a> Inquiry<'a> {
    /// Starts an inquiry at the responder's `url` about the end-entity certificate of `chain`. The CertID is made with
    /// `hash` first, then with SHA-1; after SHA-1, with SHA-256.
    pub fn new(chain: &'a CertChain, url: &'a str, hash: CertIdHash) -> Self {
        let other_hash = match hash {
            CertIdHash::Sha1 => CertIdHash::Sha256,
            _ => CertIdHash::Sha1,
        };
        Inquiry { other_hash: Some(other_hash), ..Inquiry::with_hash_only(chain, url, hash) }
    }

    /// Starts an inquiry about a certificate of which only the issuer and the serial number are known. It uses no other
    /// hash: the answer is for a client that asked with this one.
    pub fn of_named(certificate: &'a NamedCertificate, url: &'a str, hash: CertIdHash) -> Self {
        Inquiry::about(About::Named(certificate), url, hash)
    }

    /// Starts an inquiry that uses no other hash, for a server that finds its staple by `hash` and cannot use an answer
    /// to another question.
    pub fn with_hash_only(chain: &'a CertChain, url: &'a str, hash: CertIdHash) -> Self {
        Inquiry::about(About::Chain(chain), url, hash)
    }

    fn about(about: About<'a>, url: &'a str, hash: CertIdHash) -> Self {
        Inquiry {
            about,
            url,
            hash,
            other_hash: None,
            method: None,
            by_post: false,
            prefers_post: false,
            past_caches: false,
            of_get: None,
            telling: None,
            learnt: Habits::default(),
        }
    }

    /// Sets the only method to use, whatever the result. Default: GET first, so that caches can answer, if the URL has no
    /// query, the URL of the GET is at most 255 bytes long, and there is no nonce; POST otherwise, and after a GET that
    /// brought no staple.
    #[must_use]
    pub fn method_only(self, method: Method) -> Self {
        Inquiry { method: Some(method), ..self }
    }

    /// Sets the known habits of the responder. They count where the inquiry has a choice.
    #[must_use]
    pub fn habits(self, habits: Habits) -> Self {
        let mut inquiry = match (self.other_hash, habits.hash, self.about) {
            (Some(_), Some(hash), About::Chain(chain)) => {
                Inquiry { method: self.method, ..Inquiry::new(chain, self.url, hash) }
            }
            _ => self,
        };
        inquiry.prefers_post = habits.method == Some(Method::Post);
        inquiry.by_post = inquiry.prefers_post;
        inquiry
    }

    /// Avoids caches, which keep answers to GET: POST comes first, and GET only follows if the responder serves no
    /// POST.
    #[must_use]
    pub fn past_caches(self) -> Self {
        Inquiry { by_post: true, prefers_post: true, past_caches: true, ..self }
    }

    /// The next question: the first one, or the one that [`refused`](Inquiry::refused) has selected. `nonce` goes into
    /// the request (RFC 9654: 32 random octets, fresh for every question).
    ///
    /// # Errors
    ///
    /// The request cannot be encoded.
    pub fn question(&self, nonce: Option<&[u8]>) -> Result<NextQuestion, EncodeError> {
        let request = OcspRequest::new(&self.about.cert_id(self.hash), nonce)?;
        let method = match self.method {
            Some(method) => method,
            None if self.by_post || nonce.is_some() => Method::Post,
            None if request.has_get_url_of(self.url, MAX_GET_URL) => Method::Get,
            None => Method::Post,
        };
        Ok(NextQuestion { request, method, hash: self.hash })
    }

    /// Records the failure of a question that was sent by `method`. Returns whether another question can help.
    pub fn refused(&mut self, method: Method, trouble: &Trouble) -> bool {
        if self.past_caches && self.method.is_none() && method == Method::Post && trouble.is_of_post() {
            self.past_caches = false;
            self.by_post = false;
            return true;
        }
        let is_first = self.method.is_none() && method == Method::Get && !self.prefers_post;
        if is_first && trouble.is_worth_a_post() {
            self.by_post = true;
            self.learnt.method = trouble.is_of_get().then_some(Method::Post);
            self.of_get = Some(trouble.clone());
            return true;
        }
        let of_get = self.of_get.take();
        let fails_by_get = of_get.as_ref().is_some_and(Trouble::is_of_get);
        let telling = match of_get {
            // A failed answer says more about the certificate than a failed exchange.
            Some(of_get) if trouble.is_of_the_exchange() && !of_get.is_of_the_exchange() => of_get,
            _ => trouble.clone(),
        };
        let next = self.other_hash.take().filter(|_| telling.is_of_the_hash());
        self.telling.get_or_insert(telling);
        let Some(hash) = next else { return false };
        self.hash = hash;
        self.learnt.hash = Some(hash);
        if method == Method::Post && !fails_by_get && self.learnt.method.is_none() && !self.prefers_post {
            self.by_post = false;
        }
        true
    }

    /// The result of the first hash, which is the responder's result for the certificate. The result of POST counts
    /// before that of GET, unless POST brought no answer at all. `None` until [`refused`](Inquiry::refused) has been
    /// called for a question with that hash and the last method that can help.
    pub fn first_trouble(&self) -> Option<&Trouble> {
        self.telling.as_ref()
    }

    /// The habits that an answer to the last question shows.
    pub fn learnt(&self) -> Habits {
        self.learnt
    }
}

impl Trouble {
    /// The stable reason code.
    pub fn code(&self) -> ReasonCode {
        match self {
            Trouble::Fetch(error) => error.code(),
            Trouble::Refusal(refusal) | Trouble::NotOcsp { refusal, .. } => refusal.code(),
            Trouble::Unknown => ReasonCode::new("unknown"),
        }
    }

    /// Makes the trouble of a refused answer: the refusal, with a description of the content if it is not an OCSP
    /// response.
    pub fn with_answer(refusal: Refusal, answer: &Answer) -> Self {
        let body = answer.body.as_deref().unwrap_or_default();
        match refusal {
            Refusal::Malformed(_) => match NotOcsp::of(body, answer.content_type.as_deref()) {
                Some(came) => Trouble::NotOcsp { came, refusal },
                None => refusal.into(),
            },
            refusal => refusal.into(),
        }
    }

    /// Whether POST can help after GET failed.
    fn is_worth_a_post(&self) -> bool {
        match self {
            Trouble::Fetch(FetchError::Status { status: 429, .. }) => false,
            Trouble::Fetch(error) => !error.is_unasked(),
            Trouble::Refusal(_) | Trouble::NotOcsp { .. } | Trouble::Unknown => true,
        }
    }

    /// Whether the responder, or a server in front of it, does not serve GET itself: GET is then skipped for other
    /// certificates too. An answer about one certificate that is wrong, or that a cache keeps for too long, says
    /// nothing about others.
    fn is_of_get(&self) -> bool {
        match self {
            Trouble::Fetch(_) | Trouble::NotOcsp { .. } => true,
            Trouble::Refusal(refusal) => {
                matches!(refusal, Refusal::ErrorStatus(ResponseStatus::MalformedRequest) | Refusal::Malformed(_))
            }
            Trouble::Unknown => false,
        }
    }

    /// Whether the responder does not serve POST itself.
    fn is_of_post(&self) -> bool {
        match self {
            Trouble::Fetch(FetchError::Status { status, .. }) => {
                matches!(status, 400 | 403 | 404 | 405 | 411 | 415 | 501)
            }
            Trouble::NotOcsp { .. } => true,
            _ => false,
        }
    }

    /// Whether the exchange failed: no OCSP response came.
    fn is_of_the_exchange(&self) -> bool {
        matches!(self, Trouble::Fetch(_) | Trouble::NotOcsp { .. })
    }

    /// Whether another hash can help.
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
