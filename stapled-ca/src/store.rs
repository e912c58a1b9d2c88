//! The files of an authority.
//!
//! ```text
//! DIR/ca.key               the private key, PKCS#8 PEM, mode 0600
//! DIR/ca.crt               the certificate
//! DIR/chain.pem            the certificates above it, root last (not for a root)
//! DIR/responder.key .crt   the delegated OCSP responder, if there is one
//! DIR/ledger               the issued certificates with their status, see [`crate::LedgerFile`]
//! ```

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub use crate::ledger::StoreError;

/// The file name of the authority's private key.
pub const CA_KEY: &str = "ca.key";
/// The file name of the authority's certificate.
pub const CA_CERTIFICATE: &str = "ca.crt";
/// The file name of the certificates above the authority.
pub const CHAIN: &str = "chain.pem";
/// The file name of the delegated responder's private key.
pub const RESPONDER_KEY: &str = "responder.key";
/// The file name of the delegated responder's certificate.
pub const RESPONDER_CERTIFICATE: &str = "responder.crt";
/// The file name of the ledger.
pub const LEDGER: &str = "ledger";

/// The mode of files that all users may read.
pub const READABLE: u32 = 0o644;
/// The mode of files with a private key.
pub const SECRET: u32 = 0o600;

/// Writes a file atomically, and replaces an existing one.
///
/// # Errors
/// When the file cannot be written.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    replace_with(path, mode, |file| file.write_all(bytes))
}

/// Like [`replace`], with the contents that `write` writes. After an error, the file is as before.
pub(crate) fn replace_with(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), StoreError> {
    let failed = |source| StoreError::Write { path: path.to_owned(), source };
    let file = temporary(path, mode, write).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    sync_directory(path).map_err(failed)
}

/// Writes a file atomically, and only if it does not exist.
///
/// # Errors
/// When the file exists, or cannot be written.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => StoreError::Exists { path: path.to_owned() },
        _ => StoreError::Write { path: path.to_owned(), source },
    };
    let file = temporary(path, mode, |file| file.write_all(bytes)).map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    sync_directory(path).map_err(failed)
}

/// Reads a file.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(|source| StoreError::Read { path: path.to_owned(), source })
}

fn temporary(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new_in(directory_of(path))?;
    let mut buffer = io::BufWriter::new(file.as_file());
    write(&mut buffer)?;
    buffer.flush()?;
    drop(buffer);
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Makes a new name durable: an authority must remember after a loss of power what it issued and revoked.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(directory_of(path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
