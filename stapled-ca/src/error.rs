//! Why an authority could not do what it was asked.

use std::path::PathBuf;

use crate::key::KeyError;
use crate::ledger::StoreError;
use crate::serial::Serial;

/// Why an authority could not be made, opened, or do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The authority's key file does not hold a key.
    #[error("{}: {source}", path.display())]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// Something could not be kept or found.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A certificate could not be put together.
    #[error("cannot make the certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file does not hold a certificate.
    #[error("{} holds no certificate that can be read", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// Certificate and key of an authority are not a pair.
    #[error("the key in {} does not belong to the certificate beside it", path.display())]
    NotAPair {
        /// The key file.
        path: PathBuf,
    },
    /// RFC 5280, 4.1.2.2: positive, at most 20 octets.
    #[error("serial number {serial} does not fit: it must be positive and at most 20 octets long")]
    SerialLength {
        /// The number.
        serial: Serial,
    },
    /// The system has no randomness.
    #[error("the system gave no random numbers")]
    Randomness,
    /// The certificate that was just made cannot be read.
    #[error("the certificate that was made cannot be read again")]
    Unreadable,
}
