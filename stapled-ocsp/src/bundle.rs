//! Reads the certificates in a file's bytes: PEM bundles in any order, with or without a private key, and DER.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use memchr::memmem;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{Error as PemError, PemObject};

use crate::certificate::{Certificate, CertificateError};
use crate::der::{INTEGER, Reader, SEQUENCE};
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
/// The labels of PEM sections that are no certificates and have none in them, apart from those of private keys.
const OTHER_LABELS: [&[u8]; 7] = [
    b"PUBLIC KEY",
    b"RSA PUBLIC KEY",
    b"DH PARAMETERS",
    b"EC PARAMETERS",
    b"CERTIFICATE REQUEST",
    b"NEW CERTIFICATE REQUEST",
    b"X509 CRL",
];
/// The end of the label of every private key, encrypted or not.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY";
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
    /// Whether a private key is among certificates that are all CAs', so that the first of them is the one of a server.
    is_with_key: bool,
}

/// Why a certificate of a file, or the whole file, could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The bytes are neither PEM certificates nor one DER certificate.
    #[error("no certificate: neither a PEM section CERTIFICATE nor DER")]
    NoCertificate,
    /// The bytes are a private key, or PEM sections that are no certificates.
    #[error("no certificate: nothing but {kind}")]
    OtherKind {
        /// What they are, in words.
        kind: &'static str,
    },
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
        Self::read_knowing(bytes, &[])
    }

    /// The same. A PEM certificate that is among `known` is copied instead of parsed again: most files of a directory have the same
    /// issuers.
    pub fn read_knowing(bytes: &[u8], known: &[Arc<Certificate>]) -> Result<Self, BundleError> {
        let mut bundle = Bundle::default();
        for (section, number) in (Sections { rest: bytes }).zip(1..) {
            if number > MAX_CERTIFICATES {
                return Err(BundleError::TooMany);
            }
            let unfinished = || BundleError::Pem { number, what: UNFINISHED.to_owned() };
            match section.ok_or_else(unfinished).and_then(|section| Self::read_section(number, section, known)) {
                Ok(certificate) => bundle.certificates.push(certificate),
                Err(error) => bundle.broken.push((number, error)),
            }
        }
        if !bundle.is_empty() {
            bundle.is_with_key = bundle.certificates.iter().all(Certificate::is_ca) && has_private_key(bytes);
            return Ok(bundle);
        }
        if let Some(kind) = other_kind(bytes) {
            return Err(BundleError::OtherKind { kind });
        }
        // A DER file is one certificate and begins with the tag of a SEQUENCE.
        match bytes.first() {
            Some(0x30) => match Certificate::from_der(bytes) {
                Ok(certificate) => Ok(Bundle { certificates: vec![certificate], ..Bundle::default() }),
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
        if bundle.is_empty() { Err(BundleError::NoCertificate) } else { Ok(bundle) }
    }

    fn read_section(
        number: usize,
        section: Section<'_>,
        known: &[Arc<Certificate>],
    ) -> Result<Certificate, BundleError> {
        let der = match pem::plain_contents(section.body) {
            Some(der) => CertificateDer::from(der),
            None => {
                let whole = match section.begin == BEGIN {
                    true => Cow::from(section.whole),
                    false => [BEGIN, section.body, END].concat().into(),
                };
                CertificateDer::from_pem_slice(&whole)
                    .map_err(|error| BundleError::Pem { number, what: in_words(&error).to_owned() })?
            }
        };
        // Without the settings of a trusted certificate, which only OpenSSL's own verification uses.
        let certificate = match Reader::new(&der).any() {
            Ok(first) if section.begin == TRUSTED => first.raw,
            _ => &der,
        };
        match known.iter().find(|known| known.as_der() == certificate) {
            Some(known) => Ok(Certificate::clone(known)),
            None => Certificate::from_der(certificate).map_err(|error| BundleError::Certificate { number, error }),
        }
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

    /// Whether a private key in PEM begins in `bytes`. Its contents are not looked at.
    pub fn has_private_key(bytes: &[u8]) -> bool {
        has_private_key(bytes)
    }

    /// Whether a certificate in PEM begins in `bytes`.
    pub fn is_pem(bytes: &[u8]) -> bool {
        first_begin(bytes).is_some()
    }

    /// The certificate that a server would present: the first certificate that is not a CA's. If all are CAs' and a private key is
    /// in the file, it is the first of all: servers have a key with their certificate only, and some have a certificate that says
    /// that it is a CA's, such as one that was made by hand. A file of CAs' certificates without a key has none.
    pub fn end_entity(&self) -> Option<&Certificate> {
        let first_not_of_ca = self.certificates.iter().find(|certificate| !certificate.is_ca());
        first_not_of_ca.or_else(|| self.first().filter(|_| self.is_with_key))
    }

    /// The certificate that a server presents that has loaded the file: [`end_entity`](Self::end_entity), or the first
    /// of all if every one is a CA's, wherever the server has the key from.
    pub fn presented(&self) -> Option<&Certificate> {
        self.end_entity().or_else(|| self.first())
    }

    /// The first certificate, if it can be read.
    fn first(&self) -> Option<&Certificate> {
        self.certificates.first().filter(|_| self.broken.iter().all(|(number, _)| *number != 1))
    }

    fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.broken.is_empty()
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

/// Whether a PEM section of a private key begins in the bytes.
fn has_private_key(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(line) = next_begin(rest).and_then(|at| rest.get(at + ANY_BEGIN.len()..)) {
        if label(line).is_some_and(|label| label.ends_with(PRIVATE_KEY)) {
            return true;
        }
        rest = line;
    }
    false
}

/// The label of a PEM section, from behind the beginning of its BEGIN line, if the line is complete.
fn label(line: &[u8]) -> Option<&[u8]> {
    line.get(..find(line.get(..64).unwrap_or(line), b"-----")?)
}

/// What the bytes are, if they are a private key in DER, or PEM sections of which none is of certificates. Only complete BEGIN lines
/// count, since a line that breaks off may be that of a certificate.
fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    if is_private_key(bytes) {
        return Some("a private key");
    }
    let (mut rest, mut kind) = (bytes, None);
    while let Some(at) = next_begin(rest) {
        let line = rest.get(at + ANY_BEGIN.len()..)?;
        let label = label(line)?;
        if label.ends_with(PRIVATE_KEY) {
            kind = Some("a private key");
        } else if OTHER_LABELS.contains(&label) {
            kind = kind.or(Some("parameters, a request, a public key or a revocation list"));
        } else {
            return None;
        }
        rest = line;
    }
    kind
}

/// Whether the DER is a private key that is not encrypted: a SEQUENCE that begins with the version 0 or 1 (PKCS#8, PKCS#1, SEC 1).
fn is_private_key(der: &[u8]) -> bool {
    let version = Reader::new(der).inside(SEQUENCE).and_then(|mut fields| fields.expect(INTEGER));
    version.is_ok_and(|version| matches!(version.contents, [0 | 1]))
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
    while let Some(at) = next_begin(bytes.get(from..)?) {
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
        let (body, after) = body.split_at_checked(next_begin(body).unwrap_or(body.len()))?;
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

/// The place of the first line that may begin a PEM section of any kind.
fn next_begin(bytes: &[u8]) -> Option<usize> {
    // Made once: a search prepares its needle, which takes longer than most searches here.
    static ANY: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(ANY_BEGIN));
    ANY.find(bytes)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memmem::find(haystack, needle)
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

    #[test]
    fn files_of_other_kinds_are_told_apart_from_damaged_ones() {
        let section = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
        let kind = |bytes: &[u8]| match Bundle::read(bytes) {
            Err(BundleError::OtherKind { kind }) => kind,
            Err(BundleError::NoCertificate) => "nothing",
            _ => "certificates",
        };
        for label in
            ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"]
        {
            assert_eq!(kind(section(label).as_bytes()), "a private key", "{label}");
        }
        let others = ["DH PARAMETERS", "CERTIFICATE REQUEST", "PUBLIC KEY", "X509 CRL"].map(section).concat();
        assert!(kind(others.as_bytes()).starts_with("parameters"));
        let key = section("EC PARAMETERS") + &section("EC PRIVATE KEY");
        assert_eq!(kind(key.as_bytes()), "a private key");
        // The contents of a key do not matter: they are not looked at.
        assert_eq!(kind(b"text\n-----BEGIN PRIVATE KEY-----\nhalf of"), "a private key");
        assert_eq!(kind(b"\x30\x05\x02\x01\x00\x30\x00"), "a private key");
        for label in ["PKCS7", "CMS", "SECRET", "PRIVATE KEYS", ""] {
            assert_eq!(kind((section(label) + KEY).as_bytes()), "nothing", "{label}");
        }
        // The line may be that of a certificate that is being written.
        for half in
            ["-----BEGIN", "-----BEGIN ", "-----BEGIN CERTIFIC", "-----BEGIN PRIVATE KEY", "-----BEGIN PRIVATE KEY--"]
        {
            assert_eq!(kind((half.to_owned() + "\n").as_bytes()), "nothing", "{half}");
        }
        assert_eq!(kind((KEY.to_owned() + "-----BEGIN CERTIFIC").as_bytes()), "nothing");
        assert_eq!(kind((KEY.to_owned() + WHOLE).as_bytes()), "certificates");
    }
}
