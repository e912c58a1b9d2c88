//! A certificate with its issuer: what an OCSP question is about.

use std::fmt;
use std::sync::Arc;

use crate::bundle::{Bundle, BundleError};
use crate::certificate::{Certificate, CertificateError, hex_upper};
use crate::hash::Sha256;
use crate::issuance::Issuance;
use crate::ocsp::{CertId, CertIdHash};
use crate::reason::ReasonCode;
use crate::subject::Subject;
use crate::time::Timestamp;

/// An end-entity certificate and the certificate of its issuer, whose signature on it was checked.
///
/// No private key is ever in it.
#[derive(Clone)]
pub struct CertChain {
    end_entity: Arc<Certificate>,
    issuer: Arc<Certificate>,
    subject: Subject,
}

/// Why an end-entity certificate gets no staple now. What only time is wrong with can mend by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The issuer's name or signature does not fit.
    #[error("{name} was not issued by {issuer}: name or signature does not fit")]
    WrongIssuer {
        /// The certificate's name.
        name: String,
        /// The supposed issuer's name.
        issuer: String,
    },
    /// The issuer's name fits; its signature is made with an algorithm that is not supported.
    #[error(
        "{name} may be issued by {issuer}, but its signature ({algorithm} by a key of {key}) cannot be checked: that is not \
         supported"
    )]
    UnsupportedAlgorithm {
        /// The algorithm of the signature.
        algorithm: String,
        /// Kind and size of the issuer's key.
        key: String,
        /// The certificate's name.
        name: String,
        /// The supposed issuer's name.
        issuer: String,
    },
    /// Its validity has not begun.
    #[error("{name} is not valid before {not_before}")]
    NotYetValid {
        /// The certificate's name.
        name: String,
        /// The beginning of its validity.
        not_before: Timestamp,
    },
    /// Its validity is over.
    #[error("{name} expired at {not_after}: replace it")]
    Expired {
        /// The certificate's name.
        name: String,
        /// The end of its validity.
        not_after: Timestamp,
    },
    /// It is not for servers.
    #[error("{name} is not for TLS servers: its extendedKeyUsage lacks serverAuth")]
    NotForServers {
        /// The certificate's name.
        name: String,
    },
}

/// Why files hold no certificate with its issuer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadChainError {
    /// The file has no certificate that can be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bytes are not one certificate in DER.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The file has certificates of authorities only.
    #[error("no end-entity certificate in it: all its certificates are those of authorities")]
    NoEndEntity,
    /// None of the file's other certificates is the issuer's.
    #[error("{name}: the certificate of its issuer, {issuer}, is not in the file: append it")]
    IssuerMissing {
        /// The certificate's name.
        name: String,
        /// The issuer's name.
        issuer: String,
    },
    /// The certificates do not fit each other.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl ChainError {
    /// The stable word for it.
    pub fn code(&self) -> ReasonCode {
        ReasonCode::new(match self {
            ChainError::WrongIssuer { .. } => "wrong_issuer",
            ChainError::UnsupportedAlgorithm { .. } => "unsupported_algorithm",
            ChainError::NotYetValid { .. } => "certificate_not_yet_valid",
            ChainError::Expired { .. } => "certificate_expired",
            ChainError::NotForServers { .. } => "not_for_servers",
        })
    }
}

impl CertChain {
    /// Joins a certificate and its issuer, if it was issued by it: by name and by signature.
    pub fn new(end_entity: Arc<Certificate>, issuer: Arc<Certificate>) -> Result<Self, ChainError> {
        let names = || (end_entity.name().to_owned(), issuer.name().to_owned());
        match Issuance::of(&end_entity, &issuer) {
            Issuance::Signed => {}
            Issuance::Wrong => {
                let (name, issuer) = names();
                return Err(ChainError::WrongIssuer { name, issuer });
            }
            Issuance::Unsupported => {
                let (algorithm, key) = (end_entity.describe().signature_algorithm, issuer.describe().public_key);
                let (name, issuer) = names();
                return Err(ChainError::UnsupportedAlgorithm { algorithm, key, name, issuer });
            }
        }
        let mut hash = Sha256::new();
        hash.update(end_entity.as_der());
        hash.update(issuer.public_key());
        let subject = Subject::new(hex_upper(&hash.finish()).to_lowercase());
        Ok(CertChain { end_entity, issuer, subject })
    }

    /// The chain of the first end-entity certificate in a PEM file, and of the certificate in it that issued it, in any
    /// order. Private keys and other sections are passed over undecoded; nothing of them is kept.
    ///
    /// ```
    /// use stapled_ocsp::chain::{CertChain, ReadChainError};
    ///
    /// assert!(matches!(CertChain::from_pem(b"no certificate"), Err(ReadChainError::Bundle(_))));
    /// ```
    ///
    /// # Errors
    ///
    /// A file without a certificate, without an end-entity certificate, or without its issuer.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ReadChainError> {
        let bundle = Bundle::read(pem)?;
        let end_entity = Arc::new(bundle.end_entity().ok_or(ReadChainError::NoEndEntity)?.clone());
        let mut unsupported = None;
        for candidate in bundle.certificates {
            match CertChain::new(Arc::clone(&end_entity), Arc::new(candidate)) {
                Ok(chain) => return Ok(chain),
                Err(error @ ChainError::UnsupportedAlgorithm { .. }) => unsupported = unsupported.or(Some(error)),
                Err(_) => {}
            }
        }
        Err(match unsupported {
            Some(error) => error.into(),
            None => {
                ReadChainError::IssuerMissing { name: end_entity.name().to_owned(), issuer: end_entity.issuer_name() }
            }
        })
    }

    /// The chain of an end-entity certificate and its issuer's certificate, each in DER.
    ///
    /// # Errors
    ///
    /// Bytes that are not one certificate, and certificates that do not fit each other.
    pub fn from_der(end_entity: &[u8], issuer: &[u8]) -> Result<Self, ReadChainError> {
        let (end_entity, issuer) = (Certificate::from_der(end_entity)?, Certificate::from_der(issuer)?);
        Ok(CertChain::new(Arc::new(end_entity), Arc::new(issuer))?)
    }

    /// The certificate that wants a staple.
    pub fn end_entity(&self) -> &Arc<Certificate> {
        &self.end_entity
    }

    /// The certificate that issued it.
    pub fn issuer(&self) -> &Arc<Certificate> {
        &self.issuer
    }

    /// What the stages call it: the SHA-256 hash of certificate and issuer's key, in hexadecimal.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Its CertID, by this hash.
    pub fn cert_id(&self, hash: CertIdHash) -> CertId {
        CertId::new(hash, self.end_entity.issuer(), self.issuer.public_key(), self.end_entity.serial())
    }

    /// Whether a CertID names this certificate, by whatever hash that is known here.
    pub fn is_named_by(&self, cert_id: &CertId) -> bool {
        cert_id.serial_number == self.end_entity.serial()
            && cert_id.hash().is_some_and(|hash| self.cert_id(hash).names_same(cert_id))
    }

    /// Whether it can use a staple at this time: within its validity and for servers.
    pub fn check_usable(&self, at: Timestamp) -> Result<(), ChainError> {
        CertChain::check_certificate(&self.end_entity, at)
    }

    /// The same for a certificate whose issuer is not known.
    ///
    /// # Errors
    ///
    /// It is not for TLS servers, not yet valid, or expired.
    pub fn check_certificate(certificate: &Certificate, at: Timestamp) -> Result<(), ChainError> {
        let name = || certificate.name().to_owned();
        if !certificate.allows_server_auth() {
            return Err(ChainError::NotForServers { name: name() });
        }
        if at < certificate.not_before() {
            return Err(ChainError::NotYetValid { name: name(), not_before: certificate.not_before() });
        }
        // notAfter is the last second of validity, to its end.
        if at.unix() > certificate.not_after().unix() {
            return Err(ChainError::Expired { name: name(), not_after: certificate.not_after() });
        }
        Ok(())
    }
}

impl fmt::Debug for CertChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertChain").field("end_entity", &self.end_entity).field("issuer", &self.issuer).finish()
    }
}
