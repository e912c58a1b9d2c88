//! The parts of a signed OCSPResponse that a responder without a key needs.

use crate::der;
use crate::ocsp::cert_id::CertId;

/// id-pkix-ocsp-basic
const BASIC: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 1];

/// The certificate that a response is about, and its times. The signature is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseContents {
    pub(crate) cert_id: CertId,
    /// Unix seconds.
    pub(crate) this_update: i64,
    /// Unix seconds.
    pub(crate) next_update: i64,
}

impl ResponseContents {
    /// Reads a successful response about exactly one certificate, with nextUpdate; `None` for all other bytes.
    pub(crate) fn read(response: &[u8]) -> Option<Self> {
        let mut outer = der::only(response, der::SEQUENCE)?.contents;
        if der::expect(&mut outer, der::ENUMERATED)?.contents != [0] {
            return None;
        }
        let mut bytes = der::only(der::only(outer, 0xa0)?.contents, der::SEQUENCE)?.contents;
        if der::expect(&mut bytes, der::OBJECT_IDENTIFIER)?.whole != der::oid(BASIC) {
            return None;
        }
        let mut basic = der::only(der::only(bytes, der::OCTET_STRING)?.contents, der::SEQUENCE)?.contents;
        let mut data = der::expect(&mut basic, der::SEQUENCE)?.contents;
        der::expect(&mut data, 0xa0);
        // responderID, byName or byKey.
        der::expect(&mut data, 0xa1).or_else(|| der::expect(&mut data, 0xa2))?;
        der::expect(&mut data, der::GENERALIZED_TIME)?;
        let singles = der::expect(&mut data, der::SEQUENCE)?.contents;
        let mut single = der::only(singles, der::SEQUENCE)?.contents;
        let cert_id = CertId::from_der(der::expect(&mut single, der::SEQUENCE)?.whole)?;
        // certStatus
        der::next(&mut single)?;
        let this_update = unix_seconds(der::expect(&mut single, der::GENERALIZED_TIME)?.contents)?;
        let next_update = der::expect(&mut single, 0xa0)?.contents;
        let next_update = unix_seconds(der::only(next_update, der::GENERALIZED_TIME)?.contents)?;
        Some(Self { cert_id, this_update, next_update })
    }
}

/// The Unix seconds of a GeneralizedTime in the form of RFC 5280, 4.1.2.5.2: `20261231235959Z`.
fn unix_seconds(text: &[u8]) -> Option<i64> {
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if digits.len() != 14 || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, length: usize| digits.get(from..from + length)?.parse::<i8>().ok();
    let year = digits.get(..4)?.parse().ok()?;
    let date = jiff::civil::Date::new(year, number(4, 2)?, number(6, 2)?).ok()?;
    let time = jiff::civil::Time::new(number(8, 2)?, number(10, 2)?, number(12, 2)?, 0).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;
    use crate::hash::HashAlgorithm;
    use crate::ocsp::{ResponseBuilder, ResponseStatus};

    fn response(change: impl Fn(ResponseBuilder) -> ResponseBuilder) -> (CertId, Vec<u8>) {
        let ca = Authority::root("CA").create().unwrap();
        let id = ca.cert_id(&5.into(), HashAlgorithm::Sha256);
        let builder = ResponseBuilder::new(&ca).good(&id).this_update(1_800_000_000).next_update(1_800_000_100);
        (id, change(builder).build().unwrap())
    }

    #[test]
    fn a_response_is_read() {
        for by_name in [false, true] {
            let (cert_id, bytes) = response(|builder| if by_name { builder.responder_by_name() } else { builder });
            let expected = ResponseContents { cert_id, this_update: 1_800_000_000, next_update: 1_800_000_100 };
            assert_eq!(ResponseContents::read(&bytes), Some(expected));
            for length in 0..bytes.len() {
                assert_eq!(ResponseContents::read(&bytes[..length]), None, "{length}");
            }
        }
    }

    #[test]
    fn other_responses_are_refused() {
        let two = response(|builder| {
            let other = response(|builder| builder).0;
            builder.good(&other)
        });
        let without = response(ResponseBuilder::no_next_update);
        for bytes in [two.1, without.1, ResponseBuilder::error(ResponseStatus::TryLater), b"x".to_vec()] {
            assert_eq!(ResponseContents::read(&bytes), None);
        }
    }

    #[test]
    fn times_have_one_form() {
        assert_eq!(unix_seconds(b"19700101000000Z"), Some(0));
        assert_eq!(unix_seconds(b"20251231235959Z"), Some(1_767_225_599));
        for text in ["20251231235959", "202512312359Z", "20251331235959Z", "+0251231235959Z", "20251231235960.5Z", ""] {
            assert_eq!(unix_seconds(text.as_bytes()), None, "{text}");
        }
    }
}
