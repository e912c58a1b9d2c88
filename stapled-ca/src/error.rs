//! Errors of authorities.

use std::path::PathBuf;

use crate::key_type::KeyError;
use crate::ledger::StoreError;
use crate::serial::Serial;

/// Why an authority cannot be made, opened, or issue a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A key cannot be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The authority's key file has no private key.
    #[error("cannot read the key in {}: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: KeyError,
    },
    /// The ledger or a file of the authority fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A certificate cannot be made from its profile.
    #[error("cannot make the certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A certificate revocation list cannot be made.
    #[error("cannot make the revocation list: {source}")]
    Crl {
        /// The cause.
        source: rcgen::Error,
    },
    /// A file has no certificate.
    #[error("cannot find a certificate in {}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key does not belong to the certificate.
    #[error("the key in {} does not belong to the certificate in the same directory", path.display())]
    NotAPair {
        /// The key file.
        path: PathBuf,
    },
    /// The serial number is zero or longer than 20 octets (RFC 5280, 4.1.2.2).
    #[error("cannot use serial number {serial}: it must be positive and have at most 20 octets")]
    SerialLength {
        /// The serial number.
        serial: Serial,
    },
    /// The authority's directory has no delegated OCSP responder.
    #[error("{0} has no OCSP responder; run `stapled-ca responder {0}` first", directory.display())]
    NoDelegate {
        /// The directory.
        directory: PathBuf,
    },
    /// The system has no randomness.
    #[error("cannot get random numbers from the system")]
    Randomness,
    /// A certificate of the authority cannot be parsed.
    #[error("cannot parse a certificate of the authority")]
    Unreadable,
}
