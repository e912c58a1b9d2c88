//! HTTP requests and replies.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::HeaderValue;
use hyper::{Method, Response};

/// The parts of an HTTP request that a lab needs.
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) keep_alive: bool,
}

/// A complete HTTP reply.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl HttpRequest {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

impl Reply {
    /// A reply with a status and a body.
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: body.into() }
    }

    /// A reply with an OCSP response.
    pub(crate) fn ocsp(body: impl Into<Bytes>) -> Self {
        Self::new(200, "application/ocsp-response", body)
    }

    /// The reply of a responder.
    pub(crate) async fn of(response: Response<Full<Bytes>>) -> Self {
        let (head, body) = response.into_parts();
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        // A body in memory cannot fail: its error type has no values.
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Self { status: head.status.as_u16(), headers, body }
    }

    /// Status line and headers for a body of `length` octets.
    pub(crate) fn head(&self, length: u64, keep_alive: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Lab\r\nContent-Length: {length}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(if keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
        head.into_bytes()
    }
}
