//! Describes an answer that is not an OCSP response, from its content type and its first bytes. Pure.

use std::fmt;

use crate::hexadecimal::Hexadecimal;

/// The longest content type that is shown, in characters.
const MAX_TYPE: usize = 100;
/// The longest beginning of a text that is shown, in characters.
const MAX_TEXT: usize = 60;
/// The longest beginning of other content that is shown, in bytes.
const MAX_BYTES: usize = 16;
/// The length of the beginning that is examined, in bytes.
const LOOKED_AT: usize = 512;

/// An answer that is not an OCSP response, described for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOcsp {
    kind: Kind,
    content_type: Option<String>,
    begins: String,
    bytes: usize,
}

/// The kind of content that came instead of an OCSP response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// No bytes at all.
    Empty,
    /// A web page.
    Html,
    /// XML that is not a web page.
    Xml,
    /// JSON.
    Json,
    /// PEM: base64 between lines of hyphens.
    Pem,
    /// Base64 without PEM lines.
    Base64,
    /// Any other text.
    Text,
    /// Data compressed by gzip.
    Gzip,
    /// Any other content.
    Other,
}

impl NotOcsp {
    /// Describes the content that came instead of an OCSP response. `None` if it begins with the tag of a DER SEQUENCE:
    /// a decoder can then say more about it.
    pub fn of(body: &[u8], content_type: Option<&str>) -> Option<Self> {
        let head = body.get(..LOOKED_AT).unwrap_or(body);
        if head.first() == Some(&0x30) && kind_of_text(head, None) != Some(Kind::Base64) {
            return None;
        }
        let content_type = content_type.map(|text| text.trim().to_ascii_lowercase()).filter(|text| !text.is_empty());
        let text = kind_of_text(head, content_type.as_deref());
        let kind = match (head, text) {
            ([], _) => Kind::Empty,
            ([0x1f, 0x8b, ..], _) => Kind::Gzip,
            (_, Some(kind)) => kind,
            _ => Kind::Other,
        };
        let begins = match text {
            Some(_) => {
                let text = String::from_utf8_lossy(head);
                let text = text.trim_start_matches('\u{feff}').trim();
                let more = text.chars().nth(MAX_TEXT).map_or("", |_| "…");
                format!("\"{}{more}\"", escaped(text, MAX_TEXT))
            }
            None => {
                let bytes = head
                    .iter()
                    .take(MAX_BYTES)
                    .map(|byte| format!("{:x}", Hexadecimal::of(&[*byte])))
                    .collect::<Vec<_>>();
                format!("the bytes {}", bytes.join(" "))
            }
        };
        let content_type = content_type.map(|text| escaped(&text, MAX_TYPE));
        Some(NotOcsp { kind, content_type, begins, bytes: body.len() })
    }
}

impl fmt::Display for NotOcsp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Empty => "an empty answer",
            Kind::Html => "an HTML page",
            Kind::Xml => "an XML document",
            Kind::Json => "a JSON text",
            Kind::Pem => "a PEM text",
            Kind::Base64 => "a base64 text",
            Kind::Text => "a text",
            Kind::Gzip => "a gzip-compressed answer that cannot be unpacked",
            Kind::Other => "something that is not DER",
        };
        let means = match self.kind {
            Kind::Empty => "a proxy dropped the body, or the responder failed",
            Kind::Html => "a proxy, a captive portal or an error page answered",
            Kind::Xml | Kind::Json | Kind::Text => "another service, a proxy or an error message answered",
            Kind::Pem | Kind::Base64 => "responders must send DER: tell the CA",
            Kind::Gzip => "the answer is damaged, or too large",
            Kind::Other => "another service answered, or the answer was damaged",
        };
        write!(f, "{what} came instead of an OCSP response (content type ")?;
        match &self.content_type {
            Some(content_type) => f.write_str(content_type)?,
            None => f.write_str("none")?,
        }
        if self.kind != Kind::Empty {
            write!(f, ", {} bytes, it begins with {}", self.bytes, self.begins)?;
        }
        write!(f, "): {means}")
    }
}

/// The kind of text; `None` if the bytes are not text.
fn kind_of_text(head: &[u8], content_type: Option<&str>) -> Option<Kind> {
    // The end of the examined bytes may be inside a character.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).unwrap_or_default()
        }
        // Text in old encodings.
        Err(_) if head.iter().all(|byte| *byte >= 0x20 || byte.is_ascii_whitespace()) => "",
        Err(_) => return None,
    };
    if text.chars().any(|character| character.is_control() && !character.is_whitespace()) {
        return None;
    }
    let lower = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let is_said = |kind: &str| content_type.is_some_and(|said| said.contains(kind));
    let begins = |with: &[&str]| with.iter().any(|with| lower.starts_with(with));
    Some(if begins(&["-----begin"]) {
        Kind::Pem
    } else if begins(&["<!doctype html", "<html", "<head", "<body", "<title"])
        || lower.starts_with('<') && (lower.contains("<html") || is_said("html"))
    {
        Kind::Html
    } else if lower.starts_with('<') {
        Kind::Xml
    } else if lower.starts_with(['{', '[']) {
        Kind::Json
    } else if is_base64(text) {
        Kind::Base64
    } else {
        Kind::Text
    })
}

/// Whether the text is the base64 of a DER SEQUENCE and nothing else.
fn is_base64(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\r' | b'\n');
    text.len() > 4 && text.starts_with('M') && text.bytes().all(is_digit)
}

fn escaped(text: &str, characters: usize) -> String {
    text.chars().take(characters).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_that_is_not_ocsp_is_recognized() {
        for (body, content_type, kind) in [
            (&b""[..], None, Kind::Empty),
            (b"", Some("text/html"), Kind::Empty),
            (b"<!DOCTYPE html><title>Login</title>", Some("text/html"), Kind::Html),
            (b"\xef\xbb\xbf\r\n <HTML>", None, Kind::Html),
            (b"<!-- by the proxy --><html>", None, Kind::Html),
            (b"<p>Sorry", Some("Text/HTML; charset=utf-8"), Kind::Html),
            (b"<html><body>gr\xfc\xdfe", Some("text/html; charset=latin1"), Kind::Html),
            (b"<?xml version=\"1.0\"?><Error/>", Some("application/xml"), Kind::Xml),
            (b"{\"error\": \"no\"}", Some("application/json"), Kind::Json),
            (b"-----BEGIN OCSP RESPONSE-----\nMIIB", None, Kind::Pem),
            (b"MIIB0woBAKCCAcwwggHIBgkrBgEFBQcwAQEEggG5", Some("application/ocsp-response"), Kind::Base64),
            (b"Not found", Some("text/plain"), Kind::Text),
            (b"\x1f\x8b\x08\x00", Some("application/ocsp-response"), Kind::Gzip),
            (b"\x00\x01\x02", None, Kind::Other),
            (b"%PDF-1.7\n\x00", None, Kind::Other),
        ] {
            let came = NotOcsp::of(body, content_type).unwrap_or_else(|| panic!("{body:?}"));
            assert_eq!(came.kind, kind, "{body:?} {content_type:?}");
            assert!(came.to_string().contains("came instead of an OCSP response"), "{came}");
        }
        assert_eq!(NotOcsp::of(&[0x30, 0x82, 1, 2], Some("text/html")), None, "the type alone says nothing");
        assert_eq!(NotOcsp::of(b"0", None), None);
    }

    #[test]
    fn messages_name_the_type_the_first_bytes_and_the_cause() {
        let page = format!("<html>\u{1b}[31m\n{}", "x".repeat(1000));
        let came = NotOcsp::of(page.replace('\u{1b}', "\t").as_bytes(), Some(" text/html ")).unwrap();
        let words = came.to_string();
        assert!(
            words.starts_with("an HTML page came instead of an OCSP response (content type text/html, "),
            "{words}"
        );
        assert!(words.contains("it begins with \"<html>\\t[31m\\nxxx"), "{words}");
        assert!(words.ends_with("…\"): a proxy, a captive portal or an error page answered"), "{words}");
    }

    proptest! {
        #[test]
        fn words_are_short_and_printable(body in proptest::collection::vec(any::<u8>(), 0..2000), kind in "\\PC{0,300}") {
            if let Some(came) = NotOcsp::of(&body, Some(&kind)) {
                let words = came.to_string();
                prop_assert!(words.len() < 2000 && !words.chars().any(char::is_control), "{words:?}");
            }
        }
    }
}
