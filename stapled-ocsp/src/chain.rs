//! A certificate with its issuer: the subject of an OCSP question.

pub mod issuance;
pub mod named;

use std::fmt;
use std::sync::Arc;

use self::issuance::Issuance;
use crate::bundle::{Bundle, BundleError};
use crate::certificate::{Certificate, CertificateError};
use crate::hash::Sha256;
use crate::hexadecimal::Hexadecimal;
use crate::ocsp::{CertId, CertIdHash, OcspResponse};
use crate::reason::ReasonCode;
use crate::subject::Subject;
use crate::time::Timestamp;

/// An end-entity certificate and its issuer's certificate. The issuer's signature on it has been verified.
///
/// A chain never contains a private key.
#[derive(Clone)]
pub struct CertChain {
    end_entity: Arc<Certificate>,
    issuer: Arc<Certificate>,
    subject: Subject,
}

/// Why certificates give no chain, or an end-entity certificate gets no staple now. Errors of validity end by themselves
/// as time passes.
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
    /// The issuer's name fits, but the signature's algorithm is not supported.
    #[error(
        "{name} may be issued by {issuer}, but its signature cannot be verified: {algorithm} with a key of {key} is \
         not supported"
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
    /// The certificate's validity has not begun.
    #[error("{name} is not valid before {not_before}: check the clock")]
    NotYetValid {
        /// The certificate's name.
        name: String,
        /// The beginning of its validity.
        not_before: Timestamp,
    },
    /// The certificate's validity is over.
    #[error("{name} expired at {not_after}: replace it")]
    Expired {
        /// The certificate's name.
        name: String,
        /// The end of its validity.
        not_after: Timestamp,
    },
    /// The certificate is not for TLS servers.
    #[error("{name} is not for TLS servers: its extendedKeyUsage lacks serverAuth")]
    NotForServers {
        /// The certificate's name.
        name: String,
    },
    /// The file has no certificate that can be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bytes are not exactly one certificate in DER.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The file has only certificates of authorities.
    #[error("no end-entity certificate: all certificates in the file are CA certificates")]
    NoEndEntity,
    /// The issuer's certificate is not in the file.
    #[error("{name}: the certificate of its issuer, {issuer}, is not in the file: append it")]
    IssuerMissing {
        /// The certificate's name.
        name: String,
        /// The issuer's name.
        issuer: String,
    },
}

impl ChainError {
    /// The stable reason code of the error.
    pub fn code(&self) -> ReasonCode {
        ReasonCode::new(match self {
            ChainError::WrongIssuer { .. } => "wrong_issuer",
            ChainError::UnsupportedAlgorithm { .. } => "unsupported_algorithm",
            ChainError::NotYetValid { .. } => "certificate_not_yet_valid",
            ChainError::Expired { .. } => "certificate_expired",
            ChainError::NotForServers { .. } => "not_for_servers",
            ChainError::Bundle(BundleError::NoCertificate | BundleError::OtherKind { .. })
            | ChainError::NoEndEntity => "no_certificate",
            ChainError::Bundle(_) | ChainError::Certificate(_) => "malformed_certificate",
            ChainError::IssuerMissing { .. } => "issuer_missing",
        })
    }
}

impl CertChain {
    /// Joins a certificate and its issuer. The issuer's name and signature must fit.
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
        let subject = Subject::new(format!("{:x}", Hexadecimal::of(&hash.finish())));
        Ok(CertChain { end_entity, issuer, subject })
    }

    /// Reads the chain in a PEM file: the first end-entity certificate, and the certificate that issued it, in any
    /// order. Private keys and other sections are skipped without decoding, and no part of them is kept.
    ///
    /// ```
    /// use stapled_ocsp::bundle::BundleError;
    /// use stapled_ocsp::chain::{CertChain, ChainError};
    ///
    /// assert!(matches!(CertChain::from_pem(b"no certificate"), Err(ChainError::Bundle(BundleError::NoCertificate))));
    /// ```
    ///
    /// # Errors
    ///
    /// The file has no certificate, no end-entity certificate, or not the issuer's certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ChainError> {
        let bundle = Bundle::read(pem)?;
        let end_entity = Arc::new(bundle.end_entity().ok_or(ChainError::NoEndEntity)?.clone());
        let mut unsupported = None;
        for candidate in bundle.certificates {
            match CertChain::new(Arc::clone(&end_entity), Arc::new(candidate)) {
                Ok(chain) => return Ok(chain),
                Err(error @ ChainError::UnsupportedAlgorithm { .. }) => unsupported = unsupported.or(Some(error)),
                Err(_) => {}
            }
        }
        Err(match unsupported {
            Some(error) => error,
            None => ChainError::IssuerMissing { name: end_entity.name().to_owned(), issuer: end_entity.issuer_name() },
        })
    }

    /// Reads the chain of an end-entity certificate and its issuer's certificate, each in DER.
    ///
    /// # Errors
    ///
    /// The bytes are not one certificate, or the issuer did not issue the end-entity certificate.
    pub fn from_der(end_entity: &[u8], issuer: &[u8]) -> Result<Self, ChainError> {
        let (end_entity, issuer) = (Certificate::from_der(end_entity)?, Certificate::from_der(issuer)?);
        CertChain::new(Arc::new(end_entity), Arc::new(issuer))
    }

    /// The certificate that needs a staple.
    pub fn end_entity(&self) -> &Arc<Certificate> {
        &self.end_entity
    }

    /// The certificate of the issuer.
    pub fn issuer(&self) -> &Arc<Certificate> {
        &self.issuer
    }

    /// The identifier of the chain: the SHA-256 hash of the certificate and the issuer's key, in hexadecimal.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The certificate's CertID, made with this hash.
    pub fn cert_id(&self, hash: CertIdHash) -> CertId {
        CertId::of_issued(hash, &self.issuer, self.end_entity.issuer(), self.end_entity.serial())
    }

    /// Whether a CertID names this certificate, by any hash that this crate supports.
    pub fn is_named_by(&self, cert_id: &CertId) -> bool {
        cert_id.serial_number() == self.end_entity.serial()
            && cert_id.hash().is_some_and(|hash| self.cert_id(hash).names_same(cert_id))
    }

    /// Whether these bytes are an OCSP response about this certificate, whatever its status and its signature.
    pub fn is_answered_by(&self, response: &[u8]) -> bool {
        let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(response) else { return false };
        basic.responses.iter().any(|single| self.is_named_by(&single.cert_id))
    }

    /// Checks that the certificate can use a staple at this time: it is valid, and it is for TLS servers.
    pub fn check_usable(&self, at: Timestamp) -> Result<(), ChainError> {
        CertChain::check_certificate(&self.end_entity, at)
    }

    /// Checks the same for a certificate without a known issuer.
    ///
    /// # Errors
    ///
    /// The certificate is not for TLS servers, not yet valid, or expired.
    pub fn check_certificate(certificate: &Certificate, at: Timestamp) -> Result<(), ChainError> {
        let name = || certificate.name().to_owned();
        if !certificate.allows_server_auth() {
            return Err(ChainError::NotForServers { name: name() });
        }
        if at < certificate.not_before() {
            return Err(ChainError::NotYetValid { name: name(), not_before: certificate.not_before() });
        }
        // The certificate is valid until the end of the second that notAfter names.
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
