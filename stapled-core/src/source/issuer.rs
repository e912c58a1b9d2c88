//! Where servers look for the issuer of a certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::version::Version;

/// Where servers look for a certificate's issuer, besides the certificate's own file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuerLookup {
    /// In the file of the certificate's name plus `.issuer`.
    #[default]
    Beside,
    /// In this file.
    In(Arc<Path>),
    /// Nowhere.
    Nowhere,
}

/// A directory of chains for certificates whose files have none. Each file begins with the certificate of an issuer, which
/// servers find by its key identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssuerChains {
    /// The directory; files in directories in it do not count.
    pub directory: PathBuf,
    /// Differs when one of the files may have changed.
    pub version: Version,
}

impl IssuerChains {
    /// The chains of this directory in this version.
    pub fn new(directory: impl Into<PathBuf>, version: Version) -> Self {
        IssuerChains { directory: directory.into(), version }
    }
}
