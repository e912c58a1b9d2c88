//! Answers in JSON.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::session::contents::SessionId;
use crate::session::intake::SessionError;
use crate::session::policy::TooMany;
use crate::session::request::RequestError;
use crate::session::submit_key::NoSubmitKey;

/// The header with the key of a submission.
pub(super) const KEY: &str = "idempotency-key";

/// The name of a session in a path.
pub(super) fn session_id(text: &str) -> Result<SessionId, Answer> {
    text.parse().map_err(|_| Answer::none())
}

/// An answer: its status, and JSON.
pub(super) struct Answer(pub(super) StatusCode, pub(super) Value);

impl Answer {
    /// The answer to a question about nothing.
    pub(super) fn none() -> Self {
        Answer(StatusCode::NOT_FOUND, json!({ "error": "not_found", "message": "there is no such session" }))
    }

    /// The answer to a key of a submission that is none.
    pub(super) fn bad_key() -> Self {
        Answer(StatusCode::BAD_REQUEST, json!({ "error": "bad_key", "message": format!("{KEY}: {NoSubmitKey}") }))
    }

    /// The answer to a path or method that does not exist.
    pub(super) fn no_path() -> Self {
        Answer(StatusCode::NOT_FOUND, json!({ "error": "no_such_path", "message": "docs/ca.md lists the paths" }))
    }

    /// The answer to a body that is not the JSON that it should be.
    pub(super) fn malformed(error: &serde_json::Error) -> Self {
        let message = format!("the body is not the JSON of this call: {error}");
        Answer(StatusCode::BAD_REQUEST, json!({ "error": "malformed_json", "message": message }))
    }

    /// The answer to a request whose body is too long or too slow.
    pub(super) fn refused(status: StatusCode) -> Response<Full<Bytes>> {
        let (code, message) = match status {
            StatusCode::PAYLOAD_TOO_LARGE => ("request_too_long", "the body of the request is too long"),
            _ => ("request_too_slow", "the body of the request did not arrive in time"),
        };
        Answer(status, json!({ "error": code, "message": message })).into_response()
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let Answer(status, body) = self;
        let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        }
        response
    }
}

/// Failures inside the authority are logged, and clients only learn that there was one.
impl From<SessionError> for Answer {
    fn from(error: SessionError) -> Self {
        let (status, code) = match &error {
            SessionError::Request(RequestError::TooLong { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_long"),
            SessionError::Request(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            SessionError::Refused(_) => (StatusCode::FORBIDDEN, "refused_by_policy"),
            SessionError::Unknown(_) => (StatusCode::NOT_FOUND, "not_found"),
            SessionError::Damaged(_) => {
                tracing::error!(%error, "a session is damaged");
                (StatusCode::INTERNAL_SERVER_ERROR, "damaged_session")
            }
            SessionError::KeyUsed => (StatusCode::CONFLICT, "key_used"),
            SessionError::Expired { .. } => (StatusCode::CONFLICT, "expired"),
            SessionError::NothingToTest { .. } => (StatusCode::CONFLICT, "nothing_to_test"),
            SessionError::NoSuchChallenge { .. } => (StatusCode::BAD_REQUEST, "no_such_challenge"),
            SessionError::State { .. } => (StatusCode::CONFLICT, "wrong_state"),
            SessionError::TooMany(TooMany::OfClient { .. }) => (StatusCode::TOO_MANY_REQUESTS, "too_many_of_client"),
            SessionError::TooMany(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many_sessions"),
            _ => {
                tracing::error!(%error, "a call on a session failed");
                let message = "the authority cannot do that now; try again later";
                return Answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": "cannot_now", "message": message }));
            }
        };
        if matches!(error, SessionError::Refused(_) | SessionError::TooMany(_)) {
            tracing::info!(code, %error, "refused");
        }
        Answer(status, json!({ "error": code, "message": error.to_string() }))
    }
}
