//! One exchange with a responder: the question, the method, the answer, or the reason why there is none.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::chain::CertChain;
use crate::ocsp::OcspRequest;
use crate::reason::ReasonCode;
use crate::time::Timestamp;
use crate::url_text::without_credentials as shown;

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The certificate it is about.
    pub chain: &'a CertChain,
    /// The request.
    pub request: &'a OcspRequest,
    /// How to ask.
    pub method: Method,
    /// Whom to ask.
    pub url: &'a str,
    /// The validator of the answer that is held already (RFC 9110 §8.8.3), for a conditional GET.
    pub etag: Option<&'a str>,
}

/// How a request is carried (RFC 6960 appendix A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// In the URL: caches can keep the answer.
    Get,
    /// In the body.
    Post,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The bytes; `None` when the answer that is held already is still the newest (304).
    pub body: Option<Bytes>,
    /// How long caches may keep it, from now, less its age (RFC 9111 §4.2).
    pub max_age: Option<Duration>,
    /// Until when caches may keep it, where `max_age` is not said.
    pub expires: Option<Timestamp>,
    /// Its validator.
    pub etag: Option<String>,
    /// What the answer says that it is (`Content-Type`). Nothing depends on it: it helps to tell what came where that is
    /// no OCSP response.
    pub content_type: Option<String>,
    /// How long the responder asks to wait (RFC 9110 §10.2.3), where it said so with an answer.
    pub retry_after: Option<Duration>,
    /// Where it came from, where the fetcher knows.
    pub from: Option<SocketAddr>,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL is none that can be asked.
    #[error("{}: {why}", shown(.url))]
    UnsupportedUrl {
        /// The URL.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The address may not be asked.
    #[error("{}: {why}", shown(.url))]
    Forbidden {
        /// The URL.
        url: String,
        /// By which rule.
        why: String,
    },
    /// No connection: name, route, refused, TLS.
    #[error("{}: cannot connect: {why}", shown(.url))]
    Connect {
        /// The URL.
        url: String,
        /// What the system says.
        why: String,
    },
    /// No connection in time.
    #[error("{}: no connection within {} s", shown(.url), .after.as_secs_f32())]
    ConnectTimedOut {
        /// The URL.
        url: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// No complete answer in time, though there was a connection.
    #[error("{}: no answer within {} s", shown(.url), .after.as_secs_f32())]
    TimedOut {
        /// The URL.
        url: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// The exchange broke off, or is not HTTP.
    #[error("{}: {why}", shown(.url))]
    Broken {
        /// The URL.
        url: String,
        /// What broke.
        why: String,
    },
    /// An HTTP status other than 200, or 304 to a conditional GET.
    #[error("{}: HTTP status {status}", shown(.url))]
    Status {
        /// The URL.
        url: String,
        /// The status code.
        status: u16,
        /// How long the responder asks to wait (RFC 9110 §10.2.3).
        retry_after: Option<Duration>,
    },
    /// More bytes than an answer may have.
    #[error("{}: the answer has more than {limit} bytes", shown(.url))]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// More bytes came than an exchange may have in all: heads, interim answers (100 Continue), framing, TLS.
    #[error("{}: more than {limit} bytes came for one answer, with all that is around it", shown(.url))]
    TooMuchAround {
        /// The URL.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The responder answered with a redirection, and the place that it names was not reached.
    #[error("{}: redirected: {error}", shown(.url))]
    Redirected {
        /// The URL that redirects.
        url: String,
        /// Why its target was not reached.
        error: Box<FetchError>,
    },
    /// Redirected too often, in a circle, or to what cannot be asked.
    #[error("{}: {why}", shown(.url))]
    Redirect {
        /// The URL.
        url: String,
        /// What is wrong with the redirection.
        why: String,
    },
}

impl FetchError {
    /// The stable word for it.
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

    /// How long the responder asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            FetchError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the responder was not asked at all: no connection to it, or none allowed.
    pub fn is_unasked(&self) -> bool {
        matches!(
            self,
            FetchError::UnsupportedUrl { .. }
                | FetchError::Forbidden { .. }
                | FetchError::Connect { .. }
                | FetchError::ConnectTimedOut { .. }
        )
    }

    /// Whether it is the responder's host that fails, whatever the question: these trip its circuit breaker.
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
