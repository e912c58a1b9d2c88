//! The path of a certificate's staple.

use std::path::{Path, PathBuf};

use crate::io::certificate_file::staple_file_of;
use crate::lookup::IssuerPlace;
use crate::sink::Site;

/// Where the staple of a site is written.
pub(super) enum Place<'a> {
    /// Beside the certificate, or at the path in the server's configuration.
    Beside { staple: PathBuf, certificate: &'a Path },
    /// Not beside this certificate: the server does not find its issuer.
    NotBeside { certificate: &'a Path },
    /// Not beside this certificate: the server uses another certificate as its issuer and rejects the staple.
    NotTaken { certificate: &'a Path },
    /// Nowhere: the certificate is not in a file.
    Nowhere,
}

impl<'a> Place<'a> {
    pub(super) fn of(site: &'a Site) -> Self {
        let Some(certificate) = site.file.as_deref() else { return Place::Nowhere };
        match site.issuer {
            IssuerPlace::SameFile | IssuerPlace::IssuerFile(_) | IssuerPlace::Chains(_) => {
                let staple =
                    site.staple_file.as_deref().map(Path::to_owned).unwrap_or_else(|| staple_file_of(certificate));
                Place::Beside { staple, certificate }
            }
            IssuerPlace::Elsewhere => Place::NotBeside { certificate },
            IssuerPlace::Mistaken { .. } => Place::NotTaken { certificate },
            // For an unknown kind of place, nothing is written beside the certificate.
            _ => Place::NotBeside { certificate },
        }
    }
}

/// The path where servers look for a certificate's staple: the configured file, or the certificate's name plus `.ocsp`.
/// `None` if the certificate is not in a file.
pub fn staple_path(site: &Site) -> Option<PathBuf> {
    let file = site.file.as_deref()?;
    Some(site.staple_file.as_deref().map(Path::to_owned).unwrap_or_else(|| staple_file_of(file)))
}

/// The directory of a file; the current one for a name alone.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Place<'_> {
    /// Whether no staple may be written where servers would look.
    pub(super) fn is_barred(&self) -> bool {
        matches!(self, Place::NotBeside { .. } | Place::NotTaken { .. })
    }
}
