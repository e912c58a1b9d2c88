//! Issuers about whose certificates the CA may be asked, as a program's settings name them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bundle::{Bundle, BundleError};
use crate::certificate::Certificate;

/// An issuer about whose certificates the CA may be asked, and its responders.
#[derive(Clone, Debug)]
pub struct AllowedIssuer {
    pub(super) certificate: Arc<Certificate>,
    pub(super) urls: Vec<String>,
}

/// Why a text names no issuer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllowedIssuerError {
    /// The text has another form.
    #[error("{0}: write FILE=URL, with an http or https URL")]
    Form(String),
    /// The path depends on the directory of the process.
    #[error("{}: write the path of the file from the root", .0.display())]
    Relative(PathBuf),
    /// The file cannot be read.
    #[error("{path}: {1}", path = .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// The file has no certificates.
    #[error("{path}: {1}", path = .0.display())]
    Bundle(PathBuf, #[source] Box<BundleError>),
    /// The file has certificates, but none of a CA.
    #[error("{}: no certificate of a CA in it", .0.display())]
    NoCa(PathBuf),
}

impl AllowedIssuer {
    /// An issuer with these responders.
    pub fn new(certificate: Certificate, urls: impl IntoIterator<Item = String>) -> Self {
        AllowedIssuer { certificate: Arc::new(certificate), urls: urls.into_iter().collect() }
    }

    /// Reads a text of the form `FILE=URL`: a file with the certificate of a CA, by its path from the root, and the URL of its
    /// responder. May block.
    ///
    /// # Errors
    ///
    /// The text has another form, or the file has no certificate of a CA.
    pub fn read(text: &str) -> Result<Self, AllowedIssuerError> {
        let form = || AllowedIssuerError::Form(text.to_owned());
        let (file, url) = text.split_at(text.find("=http").ok_or_else(form)?);
        let file = Path::new(file);
        if !file.is_absolute() {
            return Err(AllowedIssuerError::Relative(file.to_owned()));
        }
        let bytes = std::fs::read(file).map_err(|error| AllowedIssuerError::Io(file.to_owned(), error))?;
        let bundle =
            Bundle::read_issuers(&bytes).map_err(|error| AllowedIssuerError::Bundle(file.to_owned(), error.into()))?;
        let issuer = bundle.certificates.into_iter().find(Certificate::is_ca);
        let issuer = issuer.ok_or_else(|| AllowedIssuerError::NoCa(file.to_owned()))?;
        Ok(AllowedIssuer::new(issuer, [url.trim_start_matches('=').to_owned()]))
    }
}
