//! Asking one responder: which hash and which method come next, and when there is nothing left to try. Pure: who sends
//! the questions, over which connections and when, is the caller's affair.
//!
//! Responders differ. Some refuse GET, some sit behind a cache or proxy that answers GETs wrongly, many know CertIDs by
//! SHA-1 only. An [`Inquiry`] starts with what is likeliest, and goes on only where another question is worthwhile: at
//! most four in all.
//!
//! POST is the second try, whatever a GET brought that is no staple: silence, a reset, an error page, an answer that is
//! not believed, or one that a cache keeps for too long. There are two exceptions: a responder that was not reached at
//! all is not reached by POST either, and status 429 asks for fewer questions, not for another one.

use base64::Engine;

use crate::chain::CertChain;
use crate::exchange::{Answer, FetchError, Method};
use crate::not_ocsp::NotOcsp;
use crate::ocsp::{CertIdHash, EncodeError, OcspRequest, ResponseStatus};
use crate::reason::ReasonCode;
use crate::staple::Refusal;

/// The longest URL of a GET, in bytes (RFC 9919 §5.1, as RFC 5019 §5): longer questions go by POST.
const MAX_GET_URL: usize = 255;

/// The questions to one responder about one certificate, one after the other.
///
/// ```
/// # use stapled_ocsp::{chain::CertChain, exchange::FetchError, inquiry::*, ocsp::{CertIdHash, EncodeError}};
/// # fn ask(chain: &CertChain) -> Result<(), EncodeError> {
/// let mut inquiry = Inquiry::new(chain, "http://ocsp.example/", HashChoice::First(CertIdHash::Sha1));
/// loop {
///     let question = inquiry.question(None)?;
///     // Sent by question.method, the request gets an answer, which is judged; or it does not:
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
    chain: &'a CertChain,
    url: &'a str,
    hash: CertIdHash,
    other_hash: Option<CertIdHash>,
    methods: MethodChoice,
    /// Whether POST is next.
    by_post: bool,
    /// Whether the responder is asked by POST from the start.
    prefers_post: bool,
    /// Whether GET is tried where POST, which comes first, is not served.
    past_caches: bool,
    /// What came of the GET with this hash, when POST is tried.
    of_get: Option<Trouble>,
    /// What the responder says of the certificate, by the first hash.
    telling: Option<Trouble>,
    learnt: Habits,
}

/// The next question.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NextQuestion {
    /// What to send.
    pub request: OcspRequest,
    /// How.
    pub method: Method,
    /// The hash in it.
    pub hash: CertIdHash,
}

/// Which hash a CertID is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashChoice {
    /// This one. A server that finds its staple by it could not use an answer to any other question.
    Only(CertIdHash),
    /// This one first; then SHA-1, or after SHA-1 SHA-256.
    First(CertIdHash),
}

/// By which method a responder is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MethodChoice {
    /// By GET, so that caches can answer, where the URL has no query and is at most 255 bytes long, and where there is
    /// no nonce; otherwise, and where GET brought no staple, by POST.
    #[default]
    Auto,
    /// By this one, whatever comes of it.
    Only(Method),
}

/// How a responder likes to be asked, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Habits {
    /// The method that it answered where the other failed.
    pub method: Option<Method>,
    /// The hash that it answered where the other failed.
    pub hash: Option<CertIdHash>,
}

/// Why a question has no answer that is believed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// There is none.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It was refused.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// Something else than an OCSP response came.
    #[error("{came}")]
    NotOcsp {
        /// What it is.
        came: NotOcsp,
        /// How the judgement refused it.
        refusal: Refusal,
    },
    /// The responder says that it does not know the certificate.
    #[error("the responder does not know the certificate")]
    Unknown,
}

impl<'a> Inquiry<'a> {
    /// Asks the responder at `url` about the end-entity certificate of `chain`.
    pub fn new(chain: &'a CertChain, url: &'a str, hashes: HashChoice) -> Self {
        let (hash, other_hash) = match hashes {
            HashChoice::Only(hash) => (hash, None),
            HashChoice::First(CertIdHash::Sha1) => (CertIdHash::Sha1, Some(CertIdHash::Sha256)),
            HashChoice::First(hash) => (hash, Some(CertIdHash::Sha1)),
        };
        Inquiry {
            chain,
            url,
            hash,
            other_hash,
            methods: MethodChoice::Auto,
            by_post: false,
            prefers_post: false,
            past_caches: false,
            of_get: None,
            telling: None,
            learnt: Habits::default(),
        }
    }

    /// The same, by these methods.
    #[must_use]
    pub fn methods(self, methods: MethodChoice) -> Self {
        Inquiry { methods, ..self }
    }

    /// The same, for a responder with these habits. They are heeded where there is a choice.
    #[must_use]
    pub fn habits(self, habits: Habits) -> Self {
        let mut inquiry = match (self.other_hash, habits.hash) {
            (Some(_), Some(hash)) => {
                Inquiry { methods: self.methods, ..Inquiry::new(self.chain, self.url, HashChoice::First(hash)) }
            }
            _ => self,
        };
        inquiry.prefers_post = habits.method == Some(Method::Post);
        inquiry.by_post = inquiry.prefers_post;
        inquiry
    }

    /// The same, past caches, which keep answers to GET: by POST first, and by GET only where the responder serves no POST.
    #[must_use]
    pub fn past_caches(self) -> Self {
        Inquiry { by_post: true, prefers_post: true, past_caches: true, ..self }
    }

    /// The next question: the first, or the one that [`refused`](Inquiry::refused) has led to. `nonce` goes into the
    /// request (RFC 9654: 32 random octets, fresh for every question).
    ///
    /// # Errors
    ///
    /// A request that cannot be encoded.
    pub fn question(&self, nonce: Option<&[u8]>) -> Result<NextQuestion, EncodeError> {
        let request = OcspRequest::new(&self.chain.cert_id(self.hash), nonce)?;
        let method = match self.methods {
            MethodChoice::Only(method) => method,
            MethodChoice::Auto if self.by_post || nonce.is_some() => Method::Post,
            // A request appended to the URL would become a part of its query.
            MethodChoice::Auto if self.url.contains('?') => Method::Post,
            MethodChoice::Auto if get_url_length(self.url, &request) > MAX_GET_URL => Method::Post,
            MethodChoice::Auto => Method::Get,
        };
        Ok(NextQuestion { request, method, hash: self.hash })
    }

    /// Tells what came of a question that was sent by `method`. Returns whether there is another one worth asking.
    pub fn refused(&mut self, method: Method, trouble: &Trouble) -> bool {
        if self.past_caches && self.methods == MethodChoice::Auto && method == Method::Post && trouble.is_of_post() {
            self.past_caches = false;
            self.by_post = false;
            return true;
        }
        let is_first = self.methods == MethodChoice::Auto && method == Method::Get && !self.prefers_post;
        if is_first && trouble.is_worth_a_post() {
            self.by_post = true;
            self.learnt.method = trouble.is_of_get().then_some(Method::Post);
            self.of_get = Some(trouble.clone());
            return true;
        }
        let of_get = self.of_get.take();
        let fails_by_get = of_get.as_ref().is_some_and(Trouble::is_of_get);
        let telling = match of_get {
            // An answer tells more of the certificate than an exchange that failed.
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

    /// What came of the first hash: that is what the responder thinks of the certificate. Of GET and POST it is what came
    /// of POST, unless that brought no answer at all. `None` before a question with that hash, by the last method that is
    /// worth trying, was [`refused`](Inquiry::refused).
    pub fn first_trouble(&self) -> Option<&Trouble> {
        self.telling.as_ref()
    }

    /// What an answer to the last question teaches of the responder.
    pub fn learnt(&self) -> Habits {
        self.learnt
    }
}

impl Trouble {
    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        match self {
            Trouble::Fetch(error) => error.code(),
            Trouble::Refusal(refusal) | Trouble::NotOcsp { refusal, .. } => refusal.code(),
            Trouble::Unknown => ReasonCode::new("unknown"),
        }
    }

    /// Why an answer is not believed: the refusal, or what came where that is no OCSP response at all.
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

    /// Whether asking by POST may help where GET did not.
    fn is_worth_a_post(&self) -> bool {
        match self {
            Trouble::Fetch(FetchError::Status { status: 429, .. }) => false,
            Trouble::Fetch(error) => !error.is_unasked(),
            Trouble::Refusal(_) | Trouble::NotOcsp { .. } | Trouble::Unknown => true,
        }
    }

    /// Whether GET itself is what the responder, or what is before it, does not serve: others are spared the question. An
    /// answer about one certificate that is wrong, or that a cache keeps for too long, says nothing of others.
    fn is_of_get(&self) -> bool {
        match self {
            Trouble::Fetch(_) | Trouble::NotOcsp { .. } => true,
            Trouble::Refusal(refusal) => {
                matches!(refusal, Refusal::ErrorStatus(ResponseStatus::MalformedRequest) | Refusal::Malformed(_))
            }
            Trouble::Unknown => false,
        }
    }

    /// Whether POST itself is what the responder does not serve.
    fn is_of_post(&self) -> bool {
        match self {
            Trouble::Fetch(FetchError::Status { status, .. }) => {
                matches!(status, 400 | 403 | 404 | 405 | 411 | 415 | 501)
            }
            Trouble::NotOcsp { .. } => true,
            _ => false,
        }
    }

    /// Whether no OCSP response came.
    fn is_of_the_exchange(&self) -> bool {
        matches!(self, Trouble::Fetch(_) | Trouble::NotOcsp { .. })
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

/// The length of the URL of a GET with this request (RFC 6960 appendix A.1): an estimate from above, since only `+`, `/`
/// and `=` grow when percent-encoded.
fn get_url_length(url: &str, request: &OcspRequest) -> usize {
    let encoded = base64::engine::general_purpose::STANDARD.encode(request.as_der());
    let escaped = encoded.bytes().filter(|byte| matches!(byte, b'+' | b'/' | b'=')).count();
    url.trim().trim_end_matches('/').len() + 1 + encoded.len() + 2 * escaped
}
