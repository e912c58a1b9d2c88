//! OCSP over HTTP (RFC 6960, appendix A; RFC 9919, 5 and 6).

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body as _;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response, StatusCode};
use jiff::civil::Weekday;

use crate::ocsp::{OcspRequest, ResponseBuilder, ResponseStatus};
use crate::responder::access::{Access, Outcome};
use crate::responder::answer::{Reply, Responder};
use crate::responder::file_names::{FIRST, file_name};
use crate::responder::published_crl::CrlBody;
use crate::responder::served::Served;
use crate::{clock, der, hex};

pub(crate) const OCSP_RESPONSE: HeaderValue = HeaderValue::from_static("application/ocsp-response");
pub(crate) const CRL: HeaderValue = HeaderValue::from_static("application/pkix-crl");
const NOT_FOUND: &str = "This is an OCSP responder: POST a request, or GET with its base64 as the path.\n";
/// The longest time for which caches may keep a response with the status `unknown`, in seconds: the certificate may be issued a
/// moment later.
const LONGEST_UNKNOWN: i64 = 300;
/// The most slashes in a path after which a request is searched.
const MOST_SLASHES: usize = 64;

/// base64 with or without padding: some clients omit it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The parts of an HTTP request that a responder needs.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// The path, percent-encoded.
    pub path: &'a str,
    /// `If-None-Match`
    pub if_none_match: Option<&'a HeaderValue>,
    /// The body of a POST; empty otherwise.
    pub body: &'a [u8],
}

impl Responder {
    /// The HTTP response to a request. The response to HEAD is the one to GET without its body.
    #[must_use]
    pub fn answer(&self, question: Question<'_>) -> Response<Full<Bytes>> {
        question.finish(self.answer_whole(question))
    }

    /// The response with its body, also to HEAD.
    fn answer_whole(&self, question: Question<'_>) -> Response<Full<Bytes>> {
        let now = (self.clock)();
        if question.is_read() {
            if let Some(served) = self.served_at(question.path, ".crt") {
                return certificate(Bytes::copy_from_slice(served.authority.certificate()));
            }
            if self.policy.crl_validity.is_some()
                && let Some(served) = self.served_at(question.path, ".crl")
            {
                // It is being signed, or cannot be signed, which is logged.
                return served.crl.at(now).map_or_else(unavailable, |list| answer_crl(&list, &question, now));
            }
        }
        to_ocsp_request(&question, |der| self.answer_der(&question, der, now))
    }

    fn answer_der(&self, question: &Question<'_>, der: &[u8], now: i64) -> Response<Full<Bytes>> {
        let request = OcspRequest::from_der(der).ok();
        let reply = match &request {
            Some(request) => self.reply(request, now),
            None => {
                self.tally().count();
                Reply::Refused(ResponseStatus::MalformedRequest)
            }
        };
        let (response, outcome) = match reply {
            Reply::Refused(status) => (refusal(status), Outcome::Refused),
            Reply::Signed(prepared, outcome) => {
                let known = question.knows(&prepared.etag);
                let max_age = (prepared.renew_at - now).max(0);
                let mut caching = Caching {
                    etag: &prepared.etag,
                    max_age,
                    last_modified: prepared.this_update,
                    expires: prepared.next_update,
                };
                if prepared.is_unknown {
                    caching.max_age = max_age.min(LONGEST_UNKNOWN);
                    caching.expires = now + caching.max_age;
                }
                let response = cached(OCSP_RESPONSE, &prepared.body, &caching, known);
                (response, if known { Outcome::NotModified } else { outcome })
            }
        };
        if let Some(observer) = &self.observer {
            let first = request.as_ref().and_then(|request| request.cert_ids.first());
            observer.asked(&Access {
                method: question.method.to_string(),
                serial: first.map(|cert_id| cert_id.serial().clone()),
                hash: first.and_then(|cert_id| cert_id.hash()),
                nonce: request.as_ref().is_some_and(|request| request.nonce.is_some()),
                outcome,
                at: now,
            });
        }
        response
    }

    /// The authority whose file with this suffix has this path: `/ca.crt` for the first one, `/NAME.crt` for each of them.
    fn served_at(&self, path: &str, suffix: &str) -> Option<&Served> {
        let name = path.strip_prefix('/')?.strip_suffix(suffix)?;
        if name == FIRST {
            return self.served().first();
        }
        self.served().iter().find(|served| file_name(served.authority.name()) == name)
    }
}

impl Question<'_> {
    /// Whether the method is GET or HEAD.
    pub(crate) fn is_read(&self) -> bool {
        matches!(*self.method, Method::GET | Method::HEAD)
    }

    /// The response as it is sent: to HEAD without its body, with the length that the body has for GET (RFC 9110, 9.3.2).
    pub(crate) fn finish(&self, mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        if *self.method == Method::HEAD && response.status() != StatusCode::NOT_MODIFIED {
            let length = response.body().size_hint().exact().unwrap_or(0);
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            *response.body_mut() = Full::new(Bytes::new());
        }
        response
    }

    /// Whether the client has the body with this ETag.
    pub(crate) fn knows(&self, etag: &str) -> bool {
        self.is_read() && self.if_none_match.is_some_and(|tags| matches(tags, etag))
    }
}

fn answer_crl(list: &CrlBody, question: &Question<'_>, now: i64) -> Response<Full<Bytes>> {
    let caching = Caching {
        etag: &list.etag,
        max_age: list.max_age(now),
        last_modified: list.crl.this_update(),
        expires: list.crl.next_update(),
    };
    cached(CRL, &list.body, &caching, question.knows(&list.etag))
}

/// Calls `answer` with the OCSPRequest of an HTTP request, DER. An HTTP request without one gets 404, and other methods get 405.
pub(crate) fn to_ocsp_request(
    question: &Question<'_>,
    answer: impl FnOnce(&[u8]) -> Response<Full<Bytes>>,
) -> Response<Full<Bytes>> {
    match *question.method {
        Method::GET | Method::HEAD => match request_in_path(question.path) {
            Some(der) => answer(&der),
            None => plain(StatusCode::NOT_FOUND, "text/plain", NOT_FOUND.into()),
        },
        Method::POST => answer(question.body),
        _ => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "text/plain", Bytes::new());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            response
        }
    }
}

/// The request in the path of a GET, DER.
///
/// base64 may contain slashes, and the responder's URL may have a path. So the text after each slash is decoded, the
/// longest text first. The first text that is base64 of one DER value is the request.
pub(crate) fn request_in_path(path: &str) -> Option<Vec<u8>> {
    let text = percent_decode(path.as_bytes())?;
    let slashes = text.iter().enumerate().filter(|(_, octet)| **octet == b'/').take(MOST_SLASHES);
    let candidates: Vec<Vec<u8>> = slashes
        .filter_map(|(at, _)| text.get(at + 1..))
        // 0x30, the tag of a SEQUENCE, begins with `M` in base64.
        .filter(|text| text.first() == Some(&b'M'))
        .filter_map(|text| LENIENT.decode(text).ok())
        .collect();
    let whole = candidates.iter().position(|der| der::only(der, der::SEQUENCE).is_some());
    // If no text is one DER value, the first text is the request, and the answer is malformedRequest.
    candidates.into_iter().nth(whole.unwrap_or(0))
}

/// What caches may do with a body: the ETag, the seconds for which they may keep it, and two times in Unix seconds.
pub(crate) struct Caching<'a> {
    pub(crate) etag: &'a str,
    pub(crate) max_age: i64,
    pub(crate) last_modified: i64,
    pub(crate) expires: i64,
}

/// A signed body with its headers; 304 when the client knows it.
pub(crate) fn cached(
    content_type: HeaderValue,
    body: &Bytes,
    caching: &Caching<'_>,
    known: bool,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(if known { Bytes::new() } else { body.clone() }));
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if !known {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    let values = [
        (header::CACHE_CONTROL, format!("max-age={}, public, no-transform, must-revalidate", caching.max_age)),
        (header::ETAG, caching.etag.to_owned()),
        (header::LAST_MODIFIED, http_date(caching.last_modified)),
        (header::EXPIRES, http_date(caching.expires)),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

pub(crate) fn refusal(status: ResponseStatus) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(ResponseBuilder::error(status))));
    response.headers_mut().insert(header::CONTENT_TYPE, OCSP_RESPONSE);
    // RFC 9919, 6: a cache must not keep an unsigned error longer than its cause lasts.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A certificate, DER.
pub(crate) fn certificate(der: Bytes) -> Response<Full<Bytes>> {
    plain(StatusCode::OK, "application/pkix-cert", der)
}

/// The answer when there is no list that is valid now.
pub(crate) fn unavailable() -> Response<Full<Bytes>> {
    plain(StatusCode::SERVICE_UNAVAILABLE, "text/plain", Bytes::new())
}

fn plain(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn matches(tags: &HeaderValue, etag: &str) -> bool {
    let tags = tags.to_str().unwrap_or_default();
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

fn http_date(at: i64) -> String {
    // Without a format that is parsed each time: this takes part in every answer.
    let at = clock::civil(at);
    let day = match at.weekday() {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = usize::try_from(at.month() - 1).ok().and_then(|month| months.get(month)).unwrap_or(&"Jan");
    let (date, year, hour, minute, second) = (at.day(), at.year(), at.hour(), at.minute(), at.second());
    format!("{day}, {date:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// The octets of a percent-encoded text; `None` when two hexadecimal digits do not follow a `%`.
pub(crate) fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut octets = text.iter();
    while let Some(octet) = octets.next() {
        if *octet == b'%' {
            let (high, low) = (hex::value(*octets.next()?)?, hex::value(*octets.next()?)?);
            decoded.push(high << 4 | low);
        } else {
            decoded.push(*octet);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn a_request_is_found_after_any_path() {
        // The base64 of these octets has many slashes and pluses.
        let der = der::value(der::SEQUENCE, &[[0xff; 60].as_slice(), &[0xfb, 0xef, 0xbe]].concat());
        let text = STANDARD.encode(&der);
        let encoded = text.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
        for path in [
            format!("/{text}"),
            format!("//{text}"),
            format!("/ocsp/{encoded}"),
            format!("/MAIN/v1/{encoded}"),
            format!("/{}", text.trim_end_matches('=')),
        ] {
            assert_eq!(request_in_path(&path).as_deref(), Some(&der[..]), "{path}");
        }
        for path in ["/", "", "*", "/favicon.ico", "/M%", "/M%zz", "/ocsp/"] {
            assert_eq!(request_in_path(path), None, "{path}");
        }
    }

    #[test]
    fn dates_have_the_form_of_http() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn etags_match_by_rfc_9110() {
        for (tags, expected) in [("\"a\"", true), ("\"b\", W/\"a\"", true), ("*", true), ("\"b\"", false)] {
            assert_eq!(matches(&HeaderValue::from_static(tags), "\"a\""), expected, "{tags}");
        }
    }
}
