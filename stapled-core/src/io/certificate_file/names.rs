//! The names of the files beside a certificate's file. Servers make them from the certificate's whole name and a suffix.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The suffix of a staple.
pub(crate) const STAPLE: &str = ".ocsp";
/// The suffix of a staple that is being written.
#[cfg(feature = "files")]
pub(crate) const TEMPORARY: &str = ".tmp";
/// The suffix of an issuer.
const ISSUER: &str = ".issuer";
/// The suffixes of all files beside a certificate: those of a list of SCTs and of a private key, too.
const BESIDE: [&str; 4] = [ISSUER, STAPLE, ".sctl", ".key"];

/// The file beside a certificate in which servers look for its staple: `x.pem` gives `x.pem.ocsp`.
pub fn staple_file_of(certificate: &Path) -> PathBuf {
    with_suffix(certificate, STAPLE)
}

/// The file beside a certificate in which servers look for its issuer: `x.pem` gives `x.pem.issuer`.
pub fn issuer_file_of(certificate: &Path) -> PathBuf {
    with_suffix(certificate, ISSUER)
}

/// Whether the name is that of a file beside a certificate: of a staple, an issuer, a list of SCTs or a private key.
pub fn is_beside_certificate(name: &Path) -> bool {
    let name = name.as_os_str().as_encoded_bytes();
    BESIDE.iter().any(|suffix| name.ends_with(suffix.as_bytes()))
}

/// The whole file name with a suffix.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let path = path.as_os_str();
    let mut name = OsString::with_capacity(path.len() + suffix.len());
    name.push(path);
    name.push(suffix);
    name.into()
}
