//! Questions and answers over HTTP (RFC 6960 appendix A, RFC 9919 §5 and §6).

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::parts::Parts;
use super::prepared::OCSP_RESPONSE;
use super::reply::Reply;
use super::tally::Outcome;
use crate::ocsp::CertId;
use crate::ocsp::request::RequestContents;

/// The errors (OCSPResponse without responseBytes, RFC 6960 §4.2.1).
const MALFORMED_REQUEST: &[u8] = &[0x30, 3, 0x0a, 1, 1];
const TRY_LATER: &[u8] = &[0x30, 3, 0x0a, 1, 3];
const UNAUTHORIZED: &[u8] = &[0x30, 3, 0x0a, 1, 6];
const NO_QUESTION: &str = "This is an OCSP responder: POST a request, or GET with its base64 as the path.\n";

impl Parts {
    /// The HTTP response to a request.
    pub(super) async fn respond(self: &Arc<Self>, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let (outcome, response) = self.answer(request).await;
        self.tally.count(outcome);
        response
    }

    async fn answer(self: &Arc<Self>, request: Request<Bytes>) -> (Outcome, Response<Full<Bytes>>) {
        let (head, body) = request.into_parts();
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let asked = match head.method {
            Method::GET | Method::HEAD => match RequestContents::in_path(head.uri.path()) {
                Some(der) => cert_id(&der),
                None => return (Outcome::NotOcsp, plain(StatusCode::NOT_FOUND)),
            },
            Method::POST => cert_id(&body),
            _ => return (Outcome::NotOcsp, plain(StatusCode::METHOD_NOT_ALLOWED)),
        };
        let reply = match asked {
            Ok(cert_id) => self.decide(&cert_id).await,
            Err(Unanswerable::Malformed) => return (Outcome::Malformed, error(MALFORMED_REQUEST)),
            Err(Unanswerable::Unsupported) => Reply::Unauthorized,
        };
        match reply {
            Reply::Staple(prepared) => {
                let is_held = is_read && prepared.is_held(head.headers.get(header::IF_NONE_MATCH));
                let outcome = if is_held { Outcome::NotModified } else { Outcome::Good };
                (outcome, prepared.response(self.clock.now(), is_held))
            }
            Reply::Unauthorized => (Outcome::Unauthorized, error(UNAUTHORIZED)),
            Reply::TryLater => (Outcome::TryLater, error(TRY_LATER)),
        }
    }
}

/// Why a request gets no answer.
#[derive(Debug, PartialEq, Eq)]
enum Unanswerable {
    /// It is no request of version 1 about a certificate.
    Malformed,
    /// It is about several certificates, or has a critical extension: no response that was signed in advance fits.
    Unsupported,
}

/// The CertID of a request. A nonce and a signature are ignored (RFC 9919 §3.1.1).
fn cert_id(der: &[u8]) -> Result<CertId, Unanswerable> {
    let request = RequestContents::from_der(der).map_err(|_| Unanswerable::Malformed)?;
    if request.version != 0 {
        return Err(Unanswerable::Malformed);
    }
    let is_critical = request.extensions.iter().any(|extension| extension.critical);
    let mut requests = request.requests.into_iter();
    let single = requests.next().ok_or(Unanswerable::Malformed)?;
    if requests.next().is_some() || is_critical || single.extensions.iter().any(|extension| extension.critical) {
        return Err(Unanswerable::Unsupported);
    }
    Ok(single.cert_id)
}

/// An unsigned error. No cache may keep it.
fn error(der: &'static [u8]) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(der)));
    response.headers_mut().insert(header::CONTENT_TYPE, OCSP_RESPONSE);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(NO_QUESTION.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    response
}
