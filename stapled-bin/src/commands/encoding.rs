//! DER out of what people have in files: DER itself, PEM, base64.
//!
//! What a file is, is decided by its contents:
//!
//! 1. **PEM**, if a line `-----BEGIN …-----` is in it, and it is text or does not begin as DER does (30).
//! 2. **Base64**, if it is text otherwise: white space counts for nothing, padding may be missing.
//! 3. **DER**, if it is not text: taken as it is, down to the last byte.
//!
//! Text has no control characters but white space. DER of a response, a request or a certificate is never text: numbers
//! of one byte have the length 01. So nothing that is DER is read in another way, and whatever is judged afterwards is
//! the DER that clients would get.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const DASHES: &str = "-----";

/// What a file's contents are.
pub(crate) enum Contents<'a> {
    Der(&'a [u8]),
    Base64(&'a [u8]),
    Pem(Vec<Section<'a>>),
}

/// A PEM section. What is in it is decoded only when that is asked for, so that private keys never are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<'a> {
    /// What it is, such as `OCSP RESPONSE`.
    pub(crate) label: &'a str,
    /// Its base64; none, if its END line is missing.
    body: Option<&'a [u8]>,
}

/// Why there is no DER in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EncodingError {
    #[error("there is nothing in it")]
    Empty,
    #[error("it is neither DER nor PEM, and no base64: {0}")]
    Base64(String),
    #[error("its PEM section {label} has no END line")]
    NoEnd { label: String },
    #[error("its PEM section {label} is no base64: {error}")]
    Section { label: String, error: String },
    #[error("it is PEM, and none of its sections ({labels}) is an OCSP RESPONSE")]
    NoResponse { labels: String },
}

/// The DER of the response in a file; of several PEM sections, the first that is one.
pub(crate) fn response(bytes: &[u8]) -> Result<Vec<u8>, EncodingError> {
    match Contents::of(bytes) {
        Contents::Der(der) => Ok(der.to_vec()),
        Contents::Base64(text) => decode(text),
        Contents::Pem(sections) => match sections.iter().find(|section| section.is_response()) {
            Some(section) => section.decode(),
            None => Err(EncodingError::NoResponse {
                labels: sections.iter().map(|section| section.label).collect::<Vec<_>>().join(", "),
            }),
        },
    }
}

/// The DER of a file that is base64 as a whole.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let bare = without_white_space(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
    if bare.is_empty() {
        return Err(EncodingError::Empty);
    }
    BASE64.decode(bare).map_err(|error| EncodingError::Base64(error.to_string()))
}

impl<'a> Contents<'a> {
    /// By the rule above.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let is_text = bytes.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
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
    pub(crate) fn is_response(&self) -> bool {
        self.label.contains("OCSP RESPONSE")
    }

    pub(crate) fn is_request(&self) -> bool {
        self.label.contains("OCSP REQUEST")
    }

    pub(crate) fn is_certificate(&self) -> bool {
        self.label == "CERTIFICATE"
    }

    pub(crate) fn decode(&self) -> Result<Vec<u8>, EncodingError> {
        let label = || self.label.to_owned();
        let body = self.body.ok_or_else(|| EncodingError::NoEnd { label: label() })?;
        let decoded = BASE64.decode(without_white_space(body));
        decoded.map_err(|error| EncodingError::Section { label: label(), error: error.to_string() })
    }
}

fn without_white_space(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

/// The PEM sections (RFC 7468): from each BEGIN line to the END line of the same label.
fn sections(bytes: &[u8]) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    // Where the body of the section begins that is open.
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

/// The label of a line such as `-----BEGIN CERTIFICATE-----`.
fn marked<'l>(line: &'l str, mark: &str) -> Option<&'l str> {
    line.strip_prefix(DASHES)?.strip_suffix(DASHES)?.strip_prefix(mark)
}
