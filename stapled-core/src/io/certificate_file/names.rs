//! The names of the files beside a certificate's file.

use std::path::{Path, PathBuf};

/// The file beside a certificate in which servers look for its staple: `x.pem` gives `x.pem.ocsp`.
pub fn staple_file_of(certificate: &Path) -> PathBuf {
    with_suffix(certificate, ".ocsp")
}

/// The file beside a certificate in which servers look for its issuer: `x.pem` gives `x.pem.issuer`.
pub fn issuer_file_of(certificate: &Path) -> PathBuf {
    with_suffix(certificate, ".issuer")
}

/// The whole file name with a suffix.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
