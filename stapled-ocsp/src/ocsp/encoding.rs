//! Extracts DER from a file's contents: DER itself, PEM or base64.
//!
//! The contents of a file decide its form:
//!
//! 1. **PEM**, if a line `-----BEGIN …-----` is in it, and it is text or does not begin with DER's first byte (30).
//! 2. **Base64**, if it is any other text. White space is ignored, and padding may be missing.
//! 3. **DER**, if it is not text. All bytes are kept.
//!
//! Text has no control characters except white space. The DER of a response, a request or a certificate is never text,
//! because numbers of one byte have the length 01. So DER is never read in another form, and the judged bytes are
//! exactly the DER that clients would get.

pub use crate::der::DerError;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// Base64 with or without padding.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const DASHES: &str = "-----";

/// DER from a file. The file may be a private key that was given by mistake, so the memory is wiped.
pub(crate) type Decoded = Zeroizing<Vec<u8>>;

/// The form of a file's contents.
pub(crate) enum Contents<'a> {
    /// DER, unchanged.
    Der(&'a [u8]),
    /// Base64 text of DER.
    Base64(&'a [u8]),
    /// PEM sections in the file's order.
    Pem(Vec<Section<'a>>),
}

/// A PEM section. Its body is decoded only on request, so private keys are never decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<'a> {
    /// The label, such as `OCSP RESPONSE`.
    pub(crate) label: &'a str,
    /// The base64 body; `None` if the END line is missing.
    body: Option<&'a [u8]>,
}

/// Why a file gives no DER.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// The file is empty.
    #[error("the input is empty")]
    Empty,
    /// The text is neither PEM nor base64. The field is the decoder's message.
    #[error("neither DER nor PEM nor base64: {0}")]
    Base64(String),
    /// The PEM section has no END line.
    #[error("the PEM section {label} has no END line")]
    NoEnd {
        /// The section's label.
        label: String,
    },
    /// The body of the PEM section is not base64.
    #[error("the PEM section {label} is not base64: {error}")]
    Section {
        /// The section's label.
        label: String,
        /// The decoder's message.
        error: String,
    },
    /// No PEM section has the label OCSP RESPONSE.
    #[error("no PEM section is an OCSP RESPONSE; the sections are {labels}")]
    NoResponse {
        /// The labels that the file has.
        labels: String,
    },
}

/// The DER of the response in a file. If there are several PEM sections, the first with the label OCSP RESPONSE counts.
pub fn response(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, EncodingError> {
    match Contents::of(bytes) {
        Contents::Der(der) => Ok(Zeroizing::new(der.to_vec())),
        Contents::Base64(text) => decode(text),
        Contents::Pem(sections) => match sections.iter().find(|section| section.is_response()) {
            Some(section) => section.decode(),
            None => Err(EncodingError::NoResponse {
                labels: sections.iter().take(8).map(|section| section.label).collect::<Vec<_>>().join(", "),
            }),
        },
    }
}

/// The DER of a file that is base64 from beginning to end.
pub(crate) fn decode(text: &[u8]) -> Result<Decoded, EncodingError> {
    let bare = without_white_space(text);
    if bare.is_empty() {
        return Err(EncodingError::Empty);
    }
    BASE64.decode(&*bare).map(Zeroizing::new).map_err(|error| EncodingError::Base64(error.to_string()))
}

impl<'a> Contents<'a> {
    /// Decides the form by the rules of this module.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let is_text = bytes.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
        // Windows begins text files with this mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| is_text).unwrap_or(bytes);
        if is_text || bytes.first() != Some(&0x30) {
            let sections = sections(bytes);
            if !sections.is_empty() {
                return Contents::Pem(sections);
            }
        }
        if is_text { Contents::Base64(bytes) } else { Contents::Der(bytes) }
    }
}

impl Section<'_> {
    /// Whether the section is an OCSP response.
    pub(crate) fn is_response(&self) -> bool {
        self.label.contains("OCSP RESPONSE")
    }

    /// Whether the section is an OCSP request.
    pub(crate) fn is_request(&self) -> bool {
        self.label.contains("OCSP REQUEST")
    }

    /// Whether the section is a certificate.
    pub(crate) fn is_certificate(&self) -> bool {
        self.label == "CERTIFICATE"
    }

    /// The DER of the section.
    pub(crate) fn decode(&self) -> Result<Decoded, EncodingError> {
        let label = || self.label.to_owned();
        let body = self.body.ok_or_else(|| EncodingError::NoEnd { label: label() })?;
        let decoded = BASE64.decode(&*without_white_space(body)).map(Zeroizing::new);
        decoded.map_err(|error| EncodingError::Section { label: label(), error: error.to_string() })
    }
}

fn without_white_space(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bare = Zeroizing::new(Vec::with_capacity(text.len()));
    bare.extend(text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()));
    bare
}

/// The PEM sections of a file (RFC 7468): from each BEGIN line to the END line of the same label.
fn sections(bytes: &[u8]) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    // The label of the open section, and the position where its body begins.
    let mut open: Option<(&str, usize)> = None;
    let mut begin = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n' || byte == b'\r') {
        let end = begin + line.len();
        let line = std::str::from_utf8(line).unwrap_or_default().trim();
        match open {
            Some((label, body)) if marked(line, "END ") == Some(label) => {
                sections.push(Section { label, body: bytes.get(body..begin) });
                open = None;
            }
            _ => {
                if let Some(label) = marked(line, "BEGIN ") {
                    sections.extend(open.map(|(label, _)| Section { label, body: None }));
                    open = Some((label, end));
                }
            }
        }
        begin = end;
    }
    sections.extend(open.map(|(label, _)| Section { label, body: None }));
    sections
}

/// The label in a line such as `-----BEGIN CERTIFICATE-----`.
fn marked<'l>(line: &'l str, mark: &str) -> Option<&'l str> {
    line.strip_prefix(DASHES)?.strip_suffix(DASHES)?.strip_prefix(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<(&str, bool)> {
        sections(text.as_bytes()).iter().map(|section| (section.label, section.body.is_some())).collect()
    }

    #[test]
    fn sections_are_lines_between_their_marks() {
        for (text, expected) in [
            ("", &[][..]),
            ("-----BEGIN A-----\nAA\n-----END A-----", &[("A", true)]),
            ("x\r\n  -----BEGIN A B-----\r\nAA\r\n-----END A B-----  \r\ny", &[("A B", true)]),
            ("-----BEGIN A-----\rAA\r-----END A-----\r", &[("A", true)]),
            ("-----BEGIN A-----\nAA\n-----END B-----\n", &[("A", false)]),
            (
                "-----BEGIN A-----\nAA\n-----BEGIN B-----\nAA\n-----END B-----\n-----END A-----",
                &[("A", false), ("B", true)],
            ),
            ("-----BEGIN A-----", &[("A", false)]),
            ("-----BEGIN A-----\n-----END A-----", &[("A", true)]),
            ("in the midst of -----BEGIN A----- words", &[]),
            ("-----BEGIN A----", &[]),
            ("-----BEGIN -----", &[("", false)]),
            ("----------", &[]),
            ("-----", &[]),
            ("-----END A-----", &[]),
        ] {
            assert_eq!(labels(text), expected, "{text:?}");
        }
        // A line that is not UTF-8 neither begins nor ends a section.
        assert_eq!(sections(b"\xff\n-----BEGIN A-----\nA\xff\n-----END A-----").len(), 1);
    }

    #[test]
    fn contents_decide() {
        let is = |bytes: &[u8]| match Contents::of(bytes) {
            Contents::Der(_) => "DER",
            Contents::Base64(_) => "base64",
            Contents::Pem(_) => "PEM",
        };
        let mark = b"-----BEGIN A-----\n";
        assert_eq!(is(b""), "base64");
        assert_eq!(is(b"MAA="), "base64");
        assert_eq!(is(b"\x30\x03\x0a\x01\x06"), "DER");
        assert_eq!(is(b"\0"), "DER");
        assert_eq!(is(mark), "PEM");
        assert_eq!(is(&[b"\xef\xbb\xbf", &mark[..]].concat()), "PEM");
        assert_eq!(is(b"\xef\xbb\xbf\0"), "DER");
        assert_eq!(is(&[b"\x07\n", &mark[..]].concat()), "PEM", "a bell among the words before it");
        assert_eq!(is(&[b"0 comments\n", &mark[..]].concat()), "PEM", "words that begin as DER does");
        assert_eq!(is(&[b"\x30\x14\x0c\x12\n", &mark[..]].concat()), "DER", "DER with such words in it");
    }

    /// Contents that are not text stay unchanged: no byte is dropped, added or decoded.
    #[test]
    fn der_stays_unchanged() {
        for der in [&b"\x30\x03\x0a\x01\x06"[..], b"\x30\x03\x0a\x01\x06\n", b"\n\x30\x03\x0a\x01\x06", b"\x30\x80\0\0"]
        {
            assert_eq!(response(der).unwrap().as_slice(), der);
        }
    }

    #[test]
    fn base64_is_strict_but_for_white_space_and_padding() {
        for text in ["MAMKAQY=", "MAMKAQY", " MAMK\r\n AQ\tY = \n", "\u{feff}MAMKAQY="] {
            assert_eq!(response(text.as_bytes()).unwrap().as_slice(), b"\x30\x03\x0a\x01\x06", "{text:?}");
        }
        for text in ["MAMKAQY==", "MAMKAQZ", "MAMKAQY=MAMKAQY=", "MAMKAQ-", "MAMK,AQY", "M"] {
            assert!(matches!(response(text.as_bytes()), Err(EncodingError::Base64(_))), "{text:?}");
        }
        for text in ["", "\n", "\u{feff}"] {
            assert_eq!(response(text.as_bytes()), Err(EncodingError::Empty), "{text:?}");
        }
        let error = response(b"-----BEGIN B-----\n-----END B-----\n-----BEGIN C-----\n-----END C-----").unwrap_err();
        assert_eq!(error.to_string(), "no PEM section is an OCSP RESPONSE; the sections are B, C");
    }
}
