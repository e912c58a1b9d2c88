//! Reads the certificates in a file's bytes: PEM bundles in any order, with or without a private key, and DER.

use std::borrow::Cow;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{Error as PemError, PemObject};

use crate::certificate::{Certificate, CertificateError};
use crate::der::{Reader, SEQUENCE};
use crate::{pem, pkcs7};

const BEGIN: &[u8] = pem::BEGIN.as_bytes();
const END: &[u8] = pem::END.as_bytes();
/// The lines around certificates that OpenSSL, and so HAProxy and nginx, takes: RFC 7468's, an older form (its §5.1), and one with
/// settings of OpenSSL behind the certificate.
const LINES: [(&[u8], &[u8]); 3] = [
    (BEGIN, END),
    (b"-----BEGIN X509 CERTIFICATE-----", b"-----END X509 CERTIFICATE-----"),
    (TRUSTED, b"-----END TRUSTED CERTIFICATE-----"),
];
const TRUSTED: &[u8] = b"-----BEGIN TRUSTED CERTIFICATE-----";
/// The beginning of every PEM section, including that of a private key.
const ANY_BEGIN: &[u8] = b"-----BEGIN ";
/// The error of a PEM section that another section interrupts.
const UNFINISHED: &str = "the END line is missing";

/// The most certificates that one file may have.
const MAX_CERTIFICATES: usize = 1024;

/// The certificates of one file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bundle {
    /// The certificates that could be read.
    pub certificates: Vec<Certificate>,
    /// The certificates that could not be read, each with its place among the file's certificates, counted from 1.
    pub broken: Vec<(usize, BundleError)>,
}

/// Why a certificate of a file, or the whole file, could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The bytes are neither PEM certificates nor one DER certificate.
    #[error("no certificate: neither a PEM section CERTIFICATE nor DER")]
    NoCertificate,
    /// The PEM section breaks off or is not base64.
    #[error("PEM certificate {number} is damaged: {what}")]
    Pem {
        /// The certificate's place among the file's certificates, counted from 1.
        number: usize,
        /// The damage.
        what: String,
    },
    /// The contents of a section are not a certificate.
    #[error("certificate {number}: {error}")]
    Certificate {
        /// The certificate's place among the file's certificates, counted from 1.
        number: usize,
        /// Why the certificate cannot be read.
        error: CertificateError,
    },
    /// The file has more certificates than the limit of 1024.
    #[error("more than {MAX_CERTIFICATES} certificates in one file")]
    TooMany,
}

impl Bundle {
    /// Reads the certificates in `bytes`: every PEM section `CERTIFICATE`, `X509 CERTIFICATE` or `TRUSTED CERTIFICATE`, or one DER
    /// certificate. Everything else in `bytes`, private keys above all, is skipped without decoding.
    pub fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        let mut bundle = Bundle::default();
        for (section, number) in (Sections { rest: bytes }).zip(1..) {
            if number > MAX_CERTIFICATES {
                return Err(BundleError::TooMany);
            }
            let unfinished = || BundleError::Pem { number, what: UNFINISHED.to_owned() };
            match section.ok_or_else(unfinished).and_then(|section| Self::read_section(number, section)) {
                Ok(certificate) => bundle.certificates.push(certificate),
                Err(error) => bundle.broken.push((number, error)),
            }
        }
        if bundle != Bundle::default() {
            return Ok(bundle);
        }
        // A DER file is one certificate and begins with the tag of a SEQUENCE.
        match bytes.first() {
            Some(0x30) => match Certificate::from_der(bytes) {
                Ok(certificate) => Ok(Bundle { certificates: vec![certificate], broken: Vec::new() }),
                Err(error) => Err(BundleError::Certificate { number: 1, error }),
            },
            _ => Err(BundleError::NoCertificate),
        }
    }

    /// Reads the answer of a caIssuers URL (RFC 5280 §4.2.2.1): one DER certificate, or the certificates of a
    /// certs-only CMS message. PEM is accepted too, because some authorities send it.
    pub fn read_issuers(bytes: &[u8]) -> Result<Self, BundleError> {
        if !pkcs7::is_message(bytes) {
            return Bundle::read(bytes);
        }
        let damaged = |error| BundleError::Certificate { number: 1, error: CertificateError::from(error) };
        let mut bundle = Bundle::default();
        for (der, number) in pkcs7::certificates(bytes).map_err(damaged)?.zip(1..) {
            if number > MAX_CERTIFICATES {
                return Err(BundleError::TooMany);
            }
            match Certificate::from_der(der) {
                Ok(certificate) => bundle.certificates.push(certificate),
                Err(error) => bundle.broken.push((number, BundleError::Certificate { number, error })),
            }
        }
        if bundle == Bundle::default() { Err(BundleError::NoCertificate) } else { Ok(bundle) }
    }

    fn read_section(number: usize, section: Section<'_>) -> Result<Certificate, BundleError> {
        let plain =
            if section.begin == BEGIN { Cow::from(section.whole) } else { [BEGIN, section.body, END].concat().into() };
        let der = CertificateDer::from_pem_slice(&plain)
            .map_err(|error| BundleError::Pem { number, what: in_words(&error).to_owned() })?;
        // Without the settings of a trusted certificate, which only OpenSSL's own verification uses.
        let certificate = match Reader::new(&der).any() {
            Ok(first) if section.begin == TRUSTED => first.raw,
            _ => &der,
        };
        Certificate::from_der(certificate).map_err(|error| BundleError::Certificate { number, error })
    }

    /// The part of `bytes` that is certificates: the complete PEM sections of certificates, or a DER file that is not a
    /// key.
    pub fn certificates_only(bytes: &[u8]) -> Vec<u8> {
        certificates_only(bytes)
    }

    /// The certificate of a file that a server would present: the first certificate that is not a CA's, or the first of
    /// all if every one is a CA's.
    ///
    /// # Errors
    ///
    /// The file has no certificate, or one that cannot be read and might be the one.
    pub fn served(bytes: &[u8]) -> Result<Certificate, BundleError> {
        let bundle = Bundle::read(bytes)?;
        let end_entity = bundle.end_entity().cloned();
        // A broken certificate might be the one.
        match (end_entity, bundle.broken.into_iter().next()) {
            (Some(end_entity), _) => Ok(end_entity),
            (None, Some((_, error))) => Err(error),
            (None, None) => bundle.certificates.into_iter().next().ok_or(BundleError::NoCertificate),
        }
    }

    /// Whether a certificate in PEM begins in `bytes`.
    pub fn is_pem(bytes: &[u8]) -> bool {
        first_begin(bytes).is_some()
    }

    /// The certificate that a server would present: the first certificate that is not a CA's.
    pub fn end_entity(&self) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| !certificate.is_ca())
    }
}

/// The part of `bytes` that is certificates: their complete PEM sections, or a DER file that is not a key.
fn certificates_only(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut has_sections = false;
    for section in (Sections { rest: bytes }) {
        has_sections = true;
        // An incomplete section leaves its BEGIN line, so that a reader still counts it.
        kept.extend_from_slice(section.map_or(BEGIN, |section| section.whole));
        kept.push(b'\n');
    }
    if has_sections || !may_be_certificate(bytes) { kept } else { bytes.to_vec() }
}

/// Whether the DER may be a certificate. A certificate begins with a SEQUENCE in a SEQUENCE; private keys (PKCS#8,
/// PKCS#1, SEC 1) and PKCS#12 begin with a number.
fn may_be_certificate(der: &[u8]) -> bool {
    Reader::new(der).inside(SEQUENCE).is_ok_and(|fields| fields.peek_tag() == Some(SEQUENCE))
}

/// One PEM section of a certificate.
#[derive(Clone, Copy)]
struct Section<'a> {
    /// Its BEGIN line.
    begin: &'static [u8],
    /// The text between the BEGIN line and the END line.
    body: &'a [u8],
    /// The section with both lines.
    whole: &'a [u8],
}

/// The place of the first line before a certificate, with the lines before and behind.
fn first_begin(bytes: &[u8]) -> Option<(usize, &'static [u8], &'static [u8])> {
    let mut from = 0;
    // One search for what all have in common: most bytes of a file belong to no such line.
    while let Some(at) = find(bytes.get(from..)?, ANY_BEGIN) {
        let line = bytes.get(from + at..)?;
        if let Some((begin, end)) = LINES.iter().find(|(begin, _)| line.starts_with(begin)) {
            return Some((from + at, begin, end));
        }
        from += at + ANY_BEGIN.len();
    }
    None
}

/// The PEM sections of certificates, from BEGIN to END. The item is `None` for a section that breaks off, or that another
/// section, such as a key's, interrupts.
struct Sections<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Sections<'a> {
    type Item = Option<Section<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (at, begin, end) = first_begin(self.rest)?;
        let (_, section) = self.rest.split_at_checked(at)?;
        let (_, body) = section.split_at_checked(begin.len())?;
        let (body, after) = body.split_at_checked(find(body, ANY_BEGIN).unwrap_or(body.len()))?;
        let Some(length) = find(body, end) else {
            self.rest = after;
            return Some(None);
        };
        let (whole, rest) = section.split_at_checked(begin.len() + length + end.len())?;
        self.rest = rest;
        Some(Some(Section { begin, body: body.get(..length)?, whole }))
    }
}

/// The error in a PEM section, without any of the section's contents: a misplaced line may belong to a private key.
fn in_words(error: &PemError) -> &'static str {
    match error {
        PemError::IllegalSectionStart { .. } => "text follows the BEGIN line on the same line",
        PemError::MissingSectionEnd { .. } => "the END line is not a line of its own",
        PemError::Base64Decode(_) => "not base64",
        _ => "not PEM",
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    const WHOLE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";

    fn kept(text: &str) -> String {
        String::from_utf8(certificates_only(text.as_bytes())).unwrap()
    }

    #[test]
    fn only_the_certificates_of_a_file_are_kept() {
        assert_eq!(kept(&format!("{KEY}{WHOLE}\nbetween\n{WHOLE}{KEY}")), format!("{WHOLE}\n{WHOLE}\n"));
        assert_eq!(kept(KEY), "");
        assert_eq!(kept("hello"), "");
    }

    #[test]
    fn no_key_is_kept_with_a_certificate_that_breaks_off() {
        let begin = "-----BEGIN CERTIFICATE-----";
        for text in [
            format!("{begin}\nMAA=\n{KEY}"),
            format!("{begin}\nMAA=\n{KEY}-----END CERTIFICATE-----\n"),
            format!("{begin}{KEY}"),
            format!("{begin}\n{}", KEY.replace('\n', "")),
        ] {
            assert_eq!(kept(&text), format!("{begin}\n"), "{text}");
            // The incomplete section is still reported.
            assert!(matches!(Bundle::read(kept(&text).as_bytes()), Ok(bundle) if bundle.broken.len() == 1));
            let text = format!("{text}\n{WHOLE}");
            assert_eq!(kept(&text), format!("{begin}\n{WHOLE}\n"), "{text}");
        }
    }

    #[test]
    fn keys_in_der_files_are_not_kept() {
        let certificate = b"\x30\x02\x30\x00";
        assert_eq!(certificates_only(certificate), certificate);
        for key in [&b"\x30\x03\x02\x01\x00"[..], b"\x30\x00", b"\x30\x82", b"\x04\x02\x30\x00", b""] {
            assert_eq!(certificates_only(key), b"", "{key:02x?}");
        }
    }
}
