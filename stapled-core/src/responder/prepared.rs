//! An answer that is ready to be sent: a staple with its headers (RFC 9919 §6.2).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use crate::clock::Clock;
#[cfg(test)]
use crate::clock::SystemClock;
use crate::hash::Sha256;
use crate::hexadecimal::Hexadecimal;
use crate::staple::facts::Facts;
use crate::time::Timestamp;

pub(super) const OCSP_RESPONSE: HeaderValue = HeaderValue::from_static("application/ocsp-response");
/// The longest time for which a client may keep an answer without asking again: a staple that is withdrawn, as after a
/// revocation, is used no longer.
const MOST_CACHED: Duration = Duration::from_secs(300);
/// How many bytes of its hash name an answer.
const TAG: usize = 16;

/// A staple that is ready to be sent.
#[derive(Debug)]
pub(super) struct Prepared {
    body: Bytes,
    etag: HeaderValue,
    last_modified: HeaderValue,
    expires: HeaderValue,
    /// The end by the wall clock, and by the steady clock: the wall clock may be set back.
    ends: (Timestamp, Duration),
    /// When to ask the CA again. `None`: the stapler renews it.
    pub(super) renewal: Option<Renewal>,
    /// When it was sent last, in seconds of the steady clock.
    used: AtomicU64,
}

/// When a staple that the stapler does not renew is renewed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    /// From then on, a question makes the responder ask again.
    pub(super) renew_at: Timestamp,
    /// From then on, the client waits for the new answer.
    pub(super) stale_at: Timestamp,
}

impl Prepared {
    /// Prepares the response of a staple with these contents. `None`: it has ended.
    pub(super) fn new(body: &Bytes, facts: &Facts, renewal: Option<Renewal>, clock: &dyn Clock) -> Option<Self> {
        let end = facts.expires();
        let left = end.since(clock.now());
        if left.is_zero() {
            return None;
        }
        let mut hash = Sha256::new();
        hash.update(body);
        let hash = hash.finish();
        let etag = format!("\"{:x}\"", Hexadecimal::of(hash.get(..TAG).unwrap_or(&hash)));
        Some(Prepared {
            body: body.clone(),
            etag: HeaderValue::try_from(etag).ok()?,
            last_modified: date(facts.this_update)?,
            expires: date(end)?,
            ends: (end, clock.steady() + left),
            renewal,
            used: AtomicU64::new(clock.steady().as_secs()),
        })
    }

    /// An answer of an hour, which the stapler renews, or the responder.
    #[cfg(test)]
    pub(super) fn example(is_asked: bool) -> Self {
        let (now, hour) = (SystemClock.now(), Duration::from_secs(3600));
        let empty = HeaderValue::from_static("");
        Prepared {
            body: Bytes::from_static(b"response"),
            etag: empty.clone(),
            last_modified: empty.clone(),
            expires: empty,
            ends: (now + hour, SystemClock.steady() + hour),
            renewal: is_asked.then_some(Renewal { renew_at: now + hour, stale_at: now + hour }),
            used: AtomicU64::new(0),
        }
    }

    /// The same, with another time of renewal.
    pub(super) fn renewed(&self, renewal: Renewal) -> Self {
        Prepared {
            body: self.body.clone(),
            etag: self.etag.clone(),
            last_modified: self.last_modified.clone(),
            expires: self.expires.clone(),
            ends: self.ends,
            renewal: Some(renewal),
            used: AtomicU64::new(self.used()),
        }
    }

    /// Whether one of the clocks says that it has ended.
    pub(super) fn is_over(&self, clock: &dyn Clock) -> bool {
        self.ends.0 <= clock.now() || self.ends.1 <= clock.steady()
    }

    /// Records that it is sent.
    pub(super) fn use_now(&self, clock: &dyn Clock) {
        if self.renewal.is_some() {
            self.used.store(clock.steady().as_secs(), Ordering::Relaxed);
        }
    }

    /// When it was sent last.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The size of the response.
    pub(super) fn size(&self) -> usize {
        self.body.len()
    }

    /// Whether a client that sends these tags (If-None-Match, RFC 9110 §13.1.2) has it.
    pub(super) fn is_held(&self, tags: Option<&HeaderValue>) -> bool {
        let Some(tags) = tags.and_then(|tags| tags.to_str().ok()) else { return false };
        tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag)
    }

    /// The HTTP response. A client that holds it gets the status 304.
    pub(super) fn response(&self, now: Timestamp, is_held: bool) -> Response<Full<Bytes>> {
        let max_age = self.ends.0.since(now).min(MOST_CACHED).as_secs();
        let mut response = Response::new(if is_held { Full::default() } else { Full::new(self.body.clone()) });
        if is_held {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let caching = format!("max-age={max_age}, public, no-transform, must-revalidate");
        let headers = response.headers_mut();
        headers.reserve(6);
        if !is_held {
            headers.insert(header::CONTENT_TYPE, OCSP_RESPONSE);
        }
        if let Ok(caching) = HeaderValue::from_maybe_shared(Bytes::from(caching)) {
            headers.insert(header::CACHE_CONTROL, caching);
        }
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::LAST_MODIFIED, self.last_modified.clone());
        headers.insert(header::EXPIRES, self.expires.clone());
        response
    }
}

/// A time as HTTP writes it (RFC 9110 §5.6.7), in whole seconds. `None`: HTTP cannot write it.
fn date(at: Timestamp) -> Option<HeaderValue> {
    // The year 9999 is the last one.
    let seconds = u64::try_from(at.unix()).ok().filter(|seconds| *seconds < 253_402_300_800)?;
    HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))).ok()
}
