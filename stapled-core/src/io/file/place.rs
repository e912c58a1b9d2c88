//! Where a staple lies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::certificate_file::staple_file_of;
use crate::lookup::IssuerPlace;
use crate::sink::Site;

/// Where the staple of a site lies.
pub(super) enum Place<'a> {
    /// Beside the certificate, or where the server's configuration says.
    Beside { staple: PathBuf, certificate: &'a Path },
    /// Not beside this certificate: the server does not find its issuer.
    NotBeside { certificate: &'a Path },
    /// Not beside this certificate: the server takes another certificate for its issuer, and no staple for this one.
    NotTaken { certificate: &'a Path },
    /// The certificate does not lie in a file.
    Nowhere,
}

impl<'a> Place<'a> {
    pub(super) fn of(site: &'a Site) -> Self {
        let Some(certificate) = site.file.as_deref() else { return Place::Nowhere };
        match site.issuer {
            IssuerPlace::SameFile | IssuerPlace::IssuerFile(_) | IssuerPlace::Chains(_) => {
                let staple = site.staple_file.clone().unwrap_or_else(|| staple_file_of(certificate));
                Place::Beside { staple, certificate }
            }
            IssuerPlace::Elsewhere => Place::NotBeside { certificate },
            IssuerPlace::Mistaken { .. } => Place::NotTaken { certificate },
            // A kind of place that is not known here: nothing is written beside the certificate.
            _ => Place::NotBeside { certificate },
        }
    }
}

/// Where servers look for the staple of a certificate: the configured file, or the certificate's name plus `.ocsp`.
/// `None` when it does not lie in a file.
pub fn staple_path(site: &Site) -> Option<PathBuf> {
    let file = site.file.as_deref()?;
    Some(site.staple_file.clone().unwrap_or_else(|| staple_file_of(file)))
}

impl Place<'_> {
    /// Whether nothing must lie where servers would look.
    pub(super) fn is_barred(&self) -> bool {
        matches!(self, Place::NotBeside { .. } | Place::NotTaken { .. })
    }
}

/// The whole name with something behind it: `x.pem` gives `x.pem.ocsp`.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
