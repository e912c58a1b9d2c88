//! The replies about OCSP responses: to `set ssl ocsp-response`, and to `show ssl ocsp-response`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use stapled_core::time::Timestamp;

use crate::cli::reply::refusal::is_denied;

/// The reply to `set ssl ocsp-response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PushReply {
    /// HAProxy took the response.
    Updated,
    /// HAProxy has no certificate with this CertID that takes responses.
    NoMatch,
    /// The response ends too soon (HAProxy 3.2 and later).
    EndsTooSoon,
    /// The socket's level is too low.
    Denied,
    /// Any other reply.
    Other(String),
}

/// The response that HAProxy shows for a CertID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShownResponse {
    /// Exactly this response.
    Bytes(Vec<u8>),
    /// A response with these times and this number of certificates.
    Times { is_good: bool, this_update: Timestamp, next_update: Timestamp, certificates: usize },
    /// No response.
    None,
    /// HAProxy cannot, or may not, show the response.
    Unknown,
    /// The reply is none to that command.
    Garbled(String),
}

/// Reads the reply to `set ssl ocsp-response`.
pub(crate) fn push(reply: &str) -> PushReply {
    const SINGLE: &str = "OCSP single response: ";
    match reply.trim_end_matches('\n') {
        "OCSP Response updated!" => PushReply::Updated,
        text if is_denied(text) => PushReply::Denied,
        text => match text.trim_end_matches('.').strip_prefix(SINGLE) {
            Some("Certificate ID does not match any certificate or issuer") => PushReply::NoMatch,
            Some("no longer valid. Must be valid during at least 300s") => PushReply::EndsTooSoon,
            _ => PushReply::Other(text.to_owned()),
        },
    }
}

/// Reads the reply to `show ssl ocsp-response base64 ID`.
pub(crate) fn shown_bytes(reply: &str) -> ShownResponse {
    let text = reply.trim();
    if text.starts_with("Certificate ID ") {
        return ShownResponse::None;
    }
    match STANDARD.decode(text) {
        Ok(response) if !response.is_empty() => ShownResponse::Bytes(response),
        _ => not_shown(text),
    }
}

/// Reads the reply to `show ssl ocsp-response ID`, which is text.
pub(crate) fn shown_text(reply: &str) -> ShownResponse {
    if reply.starts_with("Certificate ID ") {
        return ShownResponse::None;
    }
    let value = |key: &str| reply.lines().find_map(|line| line.trim_start().strip_prefix(key)).map(str::trim);
    match (value("Cert Status: "), value("This Update: ").and_then(time), value("Next Update: ").and_then(time)) {
        (Some(status), Some(this_update), Some(next_update)) => {
            let certificates = reply.lines().filter(|line| line.trim_end() == "Certificate:").count();
            ShownResponse::Times { is_good: status == "good", this_update, next_update, certificates }
        }
        // HAProxy shows a response that is larger than its buffer in part, or not at all.
        _ if reply.starts_with("OCSP Response Data:") => ShownResponse::Unknown,
        _ => not_shown(reply),
    }
}

fn not_shown(reply: &str) -> ShownResponse {
    match reply.trim() {
        "" => ShownResponse::Unknown,
        text if is_denied(text) || text.starts_with("Unknown command") => ShownResponse::Unknown,
        text => ShownResponse::Garbled(text.to_owned()),
    }
}

/// Reads a time such as `Nov 24 13:14:56 2026 GMT`.
fn time(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_whitespace();
    let (month, day, time, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)?;
    let mut parts = time.splitn(3, ':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let days = days_since_epoch(year.parse().ok()?, month, day.parse().ok()?);
    Some(Timestamp::from_unix(days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)))
}

/// The days from 1970-01-01 to a date of the Gregorian calendar; months count from 0.
fn days_since_epoch(year: i16, month: usize, day: u8) -> i64 {
    /// The days of a year before its first of each month, with years that begin in March.
    const BEFORE: [i64; 12] = [306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275];
    // A year that begins in March has its leap day at its end.
    let year = i64::from(year) - i64::from(month < 2);
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let in_year = BEFORE.get(month).copied().unwrap_or_default() + i64::from(day) - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_exact_words_are_a_success() {
        assert_eq!(push("OCSP Response updated!\n"), PushReply::Updated);
        for said in [
            "OCSP Response updated",
            "OCSP Response updated!!\n",
            "x\nOCSP Response updated!\n",
            "ocsp response updated!",
            "",
        ] {
            assert!(matches!(push(said), PushReply::Other(_)), "{said}");
        }
        assert_eq!(
            push("OCSP single response: Certificate ID does not match any certificate or issuer.\n"),
            PushReply::NoMatch
        );
        assert_eq!(
            push("OCSP single response: no longer valid. Must be valid during at least 300s.\n"),
            PushReply::EndsTooSoon
        );
        assert!(matches!(push("OCSP single response: no longer valid.\n"), PushReply::Other(_)));
        assert_eq!(push("Permission denied\n"), PushReply::Denied);
    }

    #[test]
    fn a_shown_response_has_bytes_or_times() {
        assert_eq!(shown_bytes("MAo=\n"), ShownResponse::Bytes(vec![0x30, 0x0a]));
        assert_eq!(shown_bytes("Certificate ID or path does not match any certificate.\n"), ShownResponse::None);
        assert_eq!(shown_bytes("Permission denied\n"), ShownResponse::Unknown);
        assert_eq!(shown_bytes(""), ShownResponse::Unknown);
        assert!(matches!(shown_bytes("OCSP Response updated!\n"), ShownResponse::Garbled(_)));
        assert!(matches!(shown_text("OCSP Response updated!\n"), ShownResponse::Garbled(_)));
        let said = "OCSP Response Data:\n    Cert Status: good\n    This Update: Nov 24 13:14:56 2026 GMT\n    \
                    Next Update: Dec  7 03:14:56 2026 GMT\n";
        let times = |is_good, certificates| ShownResponse::Times {
            is_good,
            this_update: Timestamp::from_unix(1_795_526_096),
            next_update: Timestamp::from_unix(1_796_613_296),
            certificates,
        };
        assert_eq!(shown_text(said), times(true, 0));
        assert_eq!(shown_text(&said.replace("good", "revoked")), times(false, 0));
        let embedded = "Certificate:\n    Data:\n        Version: 3 (0x2)\n";
        assert_eq!(shown_text(&format!("{said}{embedded}{embedded}")), times(true, 2));
        assert_eq!(shown_text("Certificate ID does not match any certificate.\n"), ShownResponse::None);
        assert_eq!(shown_text("OCSP Response Data:\n"), ShownResponse::Unknown);
    }

    #[test]
    fn times_are_read_as_instants() {
        for (said, expected) in [
            ("Jan  1 00:00:00 1970 GMT", "1970-01-01T00:00:00Z"),
            ("Feb 29 23:59:59 2028 GMT", "2028-02-29T23:59:59Z"),
            ("Mar  1 00:00:00 2028 GMT", "2028-03-01T00:00:00Z"),
            ("Mar  1 00:00:00 2100 GMT", "2100-03-01T00:00:00Z"),
            ("Dec 31 23:59:59 2099 GMT", "2099-12-31T23:59:59Z"),
            ("Nov 24 13:14:56 2026 GMT", "2026-11-24T13:14:56Z"),
        ] {
            assert_eq!(time(said).map(|time| time.to_string()).as_deref(), Some(expected), "{said}");
        }
        for said in ["", "Nov 24 13:14 2026", "Nov 24 2026", "Now 24 13:14:56 2026 GMT", "Nov x 13:14:56 2026 GMT"] {
            assert_eq!(time(said), None, "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_reply_panics(said in "(?s).{0,200}", status in ".{0,20}") {
            let _ = (push(&said), shown_bytes(&said), shown_text(&said));
            let _ = shown_text(&format!("Cert Status: {status}\nThis Update: {said}\nNext Update: {said}\n"));
        }
    }
}
