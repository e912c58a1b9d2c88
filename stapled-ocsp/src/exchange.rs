//! One exchange with a responder: the question, the method, and the answer or the reason why there is none.

pub mod inquiry;
mod not_ocsp;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::chain::CertChain;
use crate::ocsp::OcspRequest;
use crate::reason::ReasonCode;
use crate::time::Timestamp;
use crate::url_text::without_credentials as shown;

/// One question to a responder.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Question<'a> {
    /// The certificate that the question is about.
    pub chain: &'a CertChain,
    /// The request.
    pub request: &'a OcspRequest,
    /// The HTTP method.
    pub method: Method,
    /// The responder's URL.
    pub url: &'a str,
    /// The validator of the answer that is already held (RFC 9110 §8.8.3), for a conditional GET.
    pub etag: Option<&'a str>,
    /// The age that an answer from a store must be below, such as one that other processes share. Zero: the responder itself
    /// is asked. `None`: any age.
    pub max_age: Option<Duration>,
}

impl<'a> Question<'a> {
    /// A question without a validator.
    pub fn new(chain: &'a CertChain, request: &'a OcspRequest, method: Method, url: &'a str) -> Self {
        Question { chain, request, method, url, etag: None, max_age: None }
    }

    /// The same, with the validator of the answer that is already held.
    pub fn etag(self, etag: &'a str) -> Self {
        Question { etag: Some(etag), ..self }
    }

    /// The same, for answers from a store that are younger than this.
    pub fn max_age(self, max_age: Duration) -> Self {
        Question { max_age: Some(max_age), ..self }
    }
}

/// The HTTP method that carries a request (RFC 6960 appendix A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// The request is in the URL: caches can keep the answer.
    Get,
    /// The request is in the body.
    Post,
}

impl Method {
    /// The name of the method in HTTP: `GET` or `POST`.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }
}

/// The answer of a responder.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Answer {
    /// The bytes of the answer. `None`: the answer that is already held is still the newest (status 304).
    pub body: Option<Bytes>,
    /// The time for which caches may keep the answer from now on, without its age (RFC 9111 §4.2).
    pub max_age: Option<Duration>,
    /// The end of the time for which caches may keep the answer. It counts only without `max_age`.
    pub expires: Option<Timestamp>,
    /// The validator of the answer.
    pub etag: Option<String>,
    /// How long ago the responder was asked, if the answer is from a store. Zero: it was asked just now.
    pub age: Duration,
    /// The content type of the answer (`Content-Type`). No decision depends on it: it only helps to describe an answer
    /// that is not an OCSP response.
    pub content_type: Option<String>,
    /// The pause that the responder asks for (RFC 9110 §10.2.3), if it names one with its answer.
    pub retry_after: Option<Duration>,
    /// The address that sent the answer, if the fetcher knows it.
    pub from: Option<SocketAddr>,
}

impl Answer {
    /// An answer with these bytes. Caches may keep it for no stated time.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Answer { body: Some(body.into()), ..Answer::default() }
    }

    /// The answer that the one which is already held is still the newest (status 304).
    pub fn not_modified() -> Self {
        Answer::default()
    }

    /// The same, which caches may keep for this time from now on.
    pub fn max_age(self, max_age: Duration) -> Self {
        Answer { max_age: Some(max_age), ..self }
    }

    /// The same, which caches may keep until this time.
    pub fn expires(self, expires: Timestamp) -> Self {
        Answer { expires: Some(expires), ..self }
    }

    /// The same, with this validator.
    pub fn etag(self, etag: impl Into<String>) -> Self {
        Answer { etag: Some(etag.into()), ..self }
    }

    /// The same, from a store that has it for this time.
    pub fn age(self, age: Duration) -> Self {
        Answer { age, ..self }
    }

    /// The same, with this content type.
    pub fn content_type(self, content_type: impl Into<String>) -> Self {
        Answer { content_type: Some(content_type.into()), ..self }
    }

    /// The same, from a responder that asks for this pause.
    pub fn retry_after(self, retry_after: Duration) -> Self {
        Answer { retry_after: Some(retry_after), ..self }
    }

    /// The same, sent from this address.
    pub fn from_address(self, from: SocketAddr) -> Self {
        Answer { from: Some(from), ..self }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL cannot be used for a question.
    #[error("{}: {why}", shown(.url))]
    UnsupportedUrl {
        /// The URL.
        url: String,
        /// The defect of the URL.
        why: String,
    },
    /// The address rules forbid this address.
    #[error("{}: {why}", shown(.url))]
    Forbidden {
        /// The URL.
        url: String,
        /// The rule that forbids the address.
        why: String,
    },
    /// No connection was made: name resolution, route, refusal or TLS failed.
    #[error("{}: cannot connect: {why}", shown(.url))]
    Connect {
        /// The URL.
        url: String,
        /// The message of the system.
        why: String,
    },
    /// No connection was made within the deadline.
    #[error("{}: no connection within {} s", shown(.url), .after.as_secs_f32())]
    ConnectTimedOut {
        /// The URL.
        url: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// A connection was made, but no complete answer came within the deadline.
    #[error("{}: no answer within {} s", shown(.url), .after.as_secs_f32())]
    TimedOut {
        /// The URL.
        url: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// The exchange broke off, or the answer is not HTTP.
    #[error("{}: {why}", shown(.url))]
    Broken {
        /// The URL.
        url: String,
        /// The failure.
        why: String,
    },
    /// The HTTP status is other than 200, or than 304 after a conditional GET.
    #[error("{}: HTTP status {status}", shown(.url))]
    Status {
        /// The URL.
        url: String,
        /// The status code.
        status: u16,
        /// The pause that the responder asks for (RFC 9110 §10.2.3).
        retry_after: Option<Duration>,
    },
    /// The answer has more bytes than the limit.
    #[error("{}: the answer has more than {limit} bytes", shown(.url))]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The whole exchange has more bytes than the limit: heads, interim answers (100 Continue), framing and TLS count.
    #[error("{}: the answer with its head and framing has more than {limit} bytes", shown(.url))]
    TooMuchAround {
        /// The URL.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The responder answered with a redirection, and its target was not reached.
    #[error("{}: redirected: {error}", shown(.url))]
    Redirected {
        /// The URL that redirects.
        url: String,
        /// Why the target was not reached.
        error: Box<FetchError>,
    },
    /// The redirections are too many, form a circle, or lead to a URL that cannot be used.
    #[error("{}: {why}", shown(.url))]
    Redirect {
        /// The URL.
        url: String,
        /// The defect of the redirection.
        why: String,
    },
}

impl FetchError {
    /// A URL that this fetcher cannot ask.
    pub fn unsupported_url(url: impl Into<String>, why: impl Into<String>) -> Self {
        FetchError::UnsupportedUrl { url: url.into(), why: why.into() }
    }

    /// A responder to which no connection was made.
    pub fn connect(url: impl Into<String>, why: impl Into<String>) -> Self {
        FetchError::Connect { url: url.into(), why: why.into() }
    }

    /// A responder that gave no complete answer within this deadline.
    pub fn timed_out(url: impl Into<String>, after: Duration) -> Self {
        FetchError::TimedOut { url: url.into(), after }
    }

    /// An exchange that broke off.
    pub fn broken(url: impl Into<String>, why: impl Into<String>) -> Self {
        FetchError::Broken { url: url.into(), why: why.into() }
    }

    /// An answer with another HTTP status than 200, which names no pause.
    pub fn status(url: impl Into<String>, status: u16) -> Self {
        FetchError::Status { url: url.into(), status, retry_after: None }
    }

    /// The stable reason code of the error.
    pub fn code(&self) -> ReasonCode {
        ReasonCode::new(match self {
            FetchError::Redirected { error, .. } => return error.code(),
            FetchError::UnsupportedUrl { .. } => "unsupported_url",
            FetchError::Forbidden { .. } => "forbidden_address",
            FetchError::Connect { .. } => "connect_failed",
            FetchError::ConnectTimedOut { .. } | FetchError::TimedOut { .. } => "timed_out",
            FetchError::Broken { .. } => "http_broken",
            FetchError::Status { .. } => "http_status",
            FetchError::TooLarge { .. } | FetchError::TooMuchAround { .. } => "too_large",
            FetchError::Redirect { .. } => "bad_redirect",
        })
    }

    /// The pause that the responder asks for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            FetchError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the question never reached the responder: no connection was made, or none is allowed.
    pub fn is_unasked(&self) -> bool {
        matches!(
            self,
            FetchError::UnsupportedUrl { .. }
                | FetchError::Forbidden { .. }
                | FetchError::Connect { .. }
                | FetchError::ConnectTimedOut { .. }
        )
    }

    /// Whether the responder's host fails, independently of the question. These errors open its circuit breaker.
    pub fn is_hosts_fault(&self) -> bool {
        match self {
            FetchError::Connect { .. }
            | FetchError::ConnectTimedOut { .. }
            | FetchError::TimedOut { .. }
            | FetchError::Broken { .. } => true,
            FetchError::Redirected { error, .. } => error.is_hosts_fault(),
            FetchError::Status { status, .. } => *status == 429 || *status >= 500 && *status != 501,
            _ => false,
        }
    }
}
