//! The answers: numbers, health, the state of everything as JSON, and the page.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::conclusion::{Conclude, Conclusion};
use super::connection::Client;
use super::host;
use super::page::Page;
use crate::metrics::Metrics;
use crate::metrics::exposition::Format;
use crate::overview::Totals;
use crate::overview::json::json_line;
use crate::overview::listing::Listing;
use crate::stapler::Handle;

/// The body of an answer.
type Body = BoxBody<Bytes, Infallible>;

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
/// One object a line.
const LINES: &str = "application/x-ndjson";

/// Answers requests.
pub(super) struct Answers {
    metrics: Metrics,
    conclude: Conclude,
    page: Page,
}

impl Answers {
    pub(super) fn new(metrics: Metrics, conclude: Conclude) -> Self {
        Answers { metrics, conclude, page: Page::new() }
    }

    /// The answer to a request of a client.
    pub(super) async fn respond(&self, client: Client, request: Request<Bytes>) -> Response<Body> {
        let (head, _) = request.into_parts();
        match head.method {
            _ if client == Client::OfAddress && !host::is_local(&head) => refuse(StatusCode::MISDIRECTED_REQUEST),
            Method::GET | Method::HEAD => self.answer(&head).await,
            _ => refuse(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    /// The answer to a request for a path.
    async fn answer(&self, request: &Parts) -> Response<Body> {
        let Some(handle) = self.metrics.handle() else { return refuse(StatusCode::SERVICE_UNAVAILABLE) };
        match request.uri.path() {
            "/metrics" => {
                let accept = request.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
                let format = Format::accepted(accept.unwrap_or_default());
                response(StatusCode::OK, format.media_type(), whole(self.metrics.text(format).await))
            }
            "/health" => self.health(handle).await,
            "/certificates.json" => response(StatusCode::OK, LINES, self.state(handle)),
            "/" => self.page(handle).await,
            _ => refuse(StatusCode::NOT_FOUND),
        }
    }

    async fn health(&self, handle: Handle) -> Response<Body> {
        let counted = tokio::task::spawn_blocking(move || {
            let mut totals = Totals::default();
            Listing::of(handle.inventory(), None).flatten().for_each(|row| totals.count(&row));
            totals
        });
        let Ok(totals) = counted.await else { return refuse(StatusCode::INTERNAL_SERVER_ERROR) };
        let Conclusion { is_healthy, line } = (self.conclude)(totals);
        let status = if is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        response(status, "application/json", whole(format!("{line}\n")))
    }

    /// All rows, and the last line. Each part is read when the client takes it.
    fn state(&self, handle: Handle) -> Body {
        let conclude = self.conclude.clone();
        let begin = (None, Totals::default(), false);
        let parts = stream::unfold(begin, move |(listing, mut totals, is_done): (Option<Listing>, Totals, bool)| {
            let (handle, conclude) = (handle.clone(), conclude.clone());
            async move {
                if is_done {
                    return None;
                }
                let mut listing = listing.unwrap_or_else(|| Listing::of(handle.inventory(), None));
                let part = listing.next();
                let is_last = part.is_none();
                let lines = match part {
                    Some(rows) => {
                        rows.iter().for_each(|row| totals.count(row));
                        rows.iter().map(json_line).collect()
                    }
                    None => format!("{}\n", conclude(totals).line),
                };
                Some((Ok(Frame::data(Bytes::from(lines))), (Some(listing), totals, is_last)))
            }
        });
        BodyExt::boxed(StreamBody::new(parts))
    }

    async fn page(&self, handle: Handle) -> Response<Body> {
        let (metrics, conclude) = (self.metrics.clone(), self.conclude.clone());
        // A scheduler that fails leaves the page without responders.
        let responders = handle.responders().await.unwrap_or_default();
        let read = tokio::task::spawn_blocking(move || Page::read(&handle, responders, &metrics, &conclude));
        let Ok(state) = read.await else { return refuse(StatusCode::INTERNAL_SERVER_ERROR) };
        let mut response = response(StatusCode::OK, HTML, whole(self.page.html(&state)));
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, self.page.policy().clone());
        response
    }
}

/// An answer that says only why there is none.
fn refuse(status: StatusCode) -> Response<Body> {
    let mut response = response(status, PLAIN, whole(format!("{status}\n")));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn whole(text: String) -> Body {
    BodyExt::boxed(Full::new(Bytes::from(text)))
}

fn response(status: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let nothing = "default-src 'none'; frame-ancestors 'none'";
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, nothing),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
