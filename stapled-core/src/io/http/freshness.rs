//! The lifetimes in the headers of an answer. All of them are unauthenticated, and bounded.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::{AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, HeaderName, RETRY_AFTER};

use crate::time::Timestamp;

/// The largest number of seconds that caches calculate with (RFC 9111 §1.2.2).
const MAX_SECONDS: u64 = 1 << 31;
/// The longest validator that is kept, in bytes.
const MAX_ETAG: usize = 256;

/// How long caches may keep the answer from now on: `max-age` minus `Age` (RFC 9111 §4.2).
pub(super) fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut max_age = None;
    for directive in headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()) {
        for directive in directive.split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim_ascii();
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return None;
            }
            if name.eq_ignore_ascii_case("max-age") && max_age.is_none() {
                max_age = seconds(value.trim_ascii().trim_matches('"'));
            }
        }
    }
    let age = text(headers, AGE).and_then(seconds).unwrap_or_default();
    Some(Duration::from_secs(max_age?.saturating_sub(age)))
}

/// The instant until which caches may keep the answer. The responder's clock may be wrong, so the lifetime is the
/// difference between `Expires` and the answer's own `Date`.
pub(super) fn expires(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let expires = date(headers, EXPIRES)?;
    let date = date(headers, DATE).unwrap_or(now);
    let left = expires.since(date);
    // An `Expires` in the past, such as `Expires: 0`, gives no lifetime.
    if left.is_zero() { None } else { Some(now + left.min(Duration::from_secs(MAX_SECONDS))) }
}

/// The validator, if it can be sent back.
pub(super) fn etag(headers: &HeaderMap) -> Option<String> {
    text(headers, ETAG).filter(|etag| !etag.is_empty() && etag.len() <= MAX_ETAG).map(str::to_owned)
}

/// The pause that the responder asks for: seconds, or a date (RFC 9110 §10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if let Some(seconds) = text(headers, RETRY_AFTER).and_then(seconds) {
        return Some(Duration::from_secs(seconds));
    }
    let until = date(headers, RETRY_AFTER)?;
    let date = date(headers, DATE).unwrap_or(now);
    Some(until.since(date).min(Duration::from_secs(MAX_SECONDS)))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim_ascii)
}

/// Parses digits and nothing else. A number that is too large becomes the largest one, not an error.
fn seconds(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(MAX_SECONDS).min(MAX_SECONDS))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<Timestamp> {
    let time: SystemTime = httpdate::parse_http_date(text(headers, name)?).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix(0) + since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, hyper::header::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn max_age_is_bounded_and_less_age() {
        for (fields, expected) in [
            (&[][..], None),
            (&[(CACHE_CONTROL, "max-age=600")], Some(600)),
            (&[(CACHE_CONTROL, "public, no-transform, Max-Age=\"600\"")], Some(600)),
            (&[(CACHE_CONTROL, "public"), (CACHE_CONTROL, "max-age=5")], Some(5)),
            (&[(CACHE_CONTROL, "max-age=600"), (AGE, "100")], Some(500)),
            (&[(CACHE_CONTROL, "max-age=600"), (AGE, "99999999999999999999999")], Some(0)),
            (&[(CACHE_CONTROL, "max-age=99999999999999999999999")], Some(1 << 31)),
            (&[(CACHE_CONTROL, "max-age=600"), (AGE, "old")], Some(600)),
            (&[(CACHE_CONTROL, "max-age=-1")], None),
            (&[(CACHE_CONTROL, "max-age")], None),
            (&[(CACHE_CONTROL, "s-maxage=600")], None),
            (&[(CACHE_CONTROL, "max-age=600, no-cache")], None),
            (&[(CACHE_CONTROL, "no-store"), (CACHE_CONTROL, "max-age=600")], None),
        ] {
            assert_eq!(max_age(&headers(fields)), expected.map(Duration::from_secs), "{fields:?}");
        }
    }

    #[test]
    fn expires_goes_by_the_responders_own_clock() {
        let fields = [(DATE, "Thu, 01 Jan 1970 00:00:10 GMT"), (EXPIRES, "Thu, 01 Jan 1970 01:00:10 GMT")];
        assert_eq!(expires(&headers(&fields), NOW), Some(NOW + Duration::from_secs(3600)));
        let without_date = [(EXPIRES, "Fri, 15 Jan 2027 09:00:00 GMT")];
        assert_eq!(expires(&headers(&without_date), NOW), Some(Timestamp::from_unix(1_800_003_600)));
        for past in ["0", "-1", "Thu, 01 Jan 1970 00:00:00 GMT", "tomorrow", ""] {
            assert_eq!(expires(&headers(&[(EXPIRES, past)]), NOW), None, "{past}");
        }
    }

    #[test]
    fn retry_after_comes_in_two_forms() {
        for (fields, expected) in [
            (&[(RETRY_AFTER, "120")][..], Some(120)),
            (&[(RETRY_AFTER, "Fri, 15 Jan 2027 08:01:00 GMT")], Some(60)),
            (&[(RETRY_AFTER, "Thu, 01 Jan 1970 00:01:00 GMT"), (DATE, "Thu, 01 Jan 1970 00:00:30 GMT")], Some(30)),
            (&[(RETRY_AFTER, "Thu, 01 Jan 1970 00:01:00 GMT")], Some(0)),
            (&[(RETRY_AFTER, "99999999999999999999999999")], Some(1 << 31)),
            (&[(RETRY_AFTER, "soon")], None),
            (&[], None),
        ] {
            assert_eq!(retry_after(&headers(fields), NOW), expected.map(Duration::from_secs), "{fields:?}");
        }
    }

    #[test]
    fn a_validator_is_kept_as_it_is() {
        assert_eq!(etag(&headers(&[(ETAG, "W/\"x\"")])).as_deref(), Some("W/\"x\""));
        assert_eq!(etag(&headers(&[])), None);
        let mut long = HeaderMap::new();
        long.insert(ETAG, "x".repeat(257).parse().unwrap());
        assert_eq!(etag(&long), None);
    }
}
