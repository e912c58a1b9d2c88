//! Certificates out of a file's bytes: PEM bundles in any order, with or without a private key, and DER.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};

use crate::certificate::{Certificate, CertificateError};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// How many certificates one file may have.
const MAX_CERTIFICATES: usize = 1024;

/// The certificates of one file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// What could be read.
    pub certificates: Vec<Certificate>,
    /// What could not, by its place among the file's certificates, counted from 1.
    pub broken: Vec<(usize, BundleError)>,
}

/// Why a certificate of a file could not be read, or none at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Neither PEM certificates nor one DER certificate.
    #[error("no certificate in it: neither a PEM section BEGIN CERTIFICATE nor DER")]
    NoCertificate,
    /// A PEM section that breaks off or is no base64.
    #[error("PEM certificate {number} is damaged: {what}")]
    Pem {
        /// Its place among the file's certificates, counted from 1.
        number: usize,
        /// What is wrong.
        what: String,
    },
    /// A section whose contents are no certificate.
    #[error("certificate {number}: {error}")]
    Certificate {
        /// Its place among the file's certificates, counted from 1.
        number: usize,
        /// What is wrong.
        error: CertificateError,
    },
    /// More certificates than are read.
    #[error("more than {MAX_CERTIFICATES} certificates in one file")]
    TooMany,
}

impl Bundle {
    /// Reads the certificates in `bytes`: every PEM section `CERTIFICATE`, or one DER certificate. Everything else in
    /// it, private keys above all, is passed over undecoded.
    pub fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        let mut bundle = Bundle::default();
        let mut rest = bytes;
        let mut number = 0;
        while let Some(begin) = find(rest, BEGIN) {
            number += 1;
            if number > MAX_CERTIFICATES {
                return Err(BundleError::TooMany);
            }
            let section = rest.get(begin..).unwrap_or_default();
            let Some(end) = find(section, END) else {
                let what = "its END line is missing".to_owned();
                bundle.broken.push((number, BundleError::Pem { number, what }));
                break;
            };
            let (section, after) = section.split_at(end + END.len());
            match Self::read_section(number, section) {
                Ok(certificate) => bundle.certificates.push(certificate),
                Err(error) => bundle.broken.push((number, error)),
            }
            rest = after;
        }
        if number > 0 {
            return Ok(bundle);
        }
        // A DER file is one certificate and begins as a SEQUENCE does.
        match bytes.first() {
            Some(0x30) => match Certificate::from_der(bytes) {
                Ok(certificate) => Ok(Bundle { certificates: vec![certificate], broken: Vec::new() }),
                Err(error) => Err(BundleError::Certificate { number: 1, error }),
            },
            _ => Err(BundleError::NoCertificate),
        }
    }

    fn read_section(number: usize, section: &[u8]) -> Result<Certificate, BundleError> {
        let der = CertificateDer::from_pem_slice(section)
            .map_err(|error| BundleError::Pem { number, what: in_words(&error).to_owned() })?;
        Certificate::from_der(&der).map_err(|error| BundleError::Certificate { number, error })
    }

    /// The certificate that a server would present: the first that is not a CA's.
    pub fn end_entity(&self) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| !certificate.is_ca())
    }
}

/// Of these bytes only the certificates: the PEM sections of that name, or all, where there are none and a key could not
/// be among them.
pub(crate) fn certificates_only(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = bytes;
    while let Some(begin) = find(rest, BEGIN) {
        let section = rest.get(begin..).unwrap_or_default();
        let end = find(section, END).map_or(section.len(), |end| end + END.len());
        let (section, after) = section.split_at(end);
        kept.extend_from_slice(section);
        kept.push(b'\n');
        rest = after;
    }
    if kept.is_empty() && bytes.first() == Some(&0x30) { bytes.to_vec() } else { kept }
}

/// What is wrong with a PEM section, and nothing of what is in it: a line that is out of place may be a key's.
fn in_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section goes on behind it",
        pem::Error::MissingSectionEnd { .. } => "its END line does not stand alone",
        pem::Error::Base64Decode(_) => "it is no base64",
        _ => "it is no PEM",
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
