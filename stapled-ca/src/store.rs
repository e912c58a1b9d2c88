//! The files of an authority, and a ledger in a directory.
//!
//! ```text
//! DIR/ca.key               the private key, PKCS#8 PEM, mode 0600
//! DIR/ca.crt               the certificate
//! DIR/chain.pem            the certificates above it, root last (not for a root)
//! DIR/responder.key .crt   the delegated OCSP responder, if there is one
//! DIR/issued/SERIAL.json   one record for each certificate
//! ```
//!
//! Each certificate has a file of its own, which is replaced by rename. So two processes that issue and revoke at the
//! same time do not undo each other's changes, a reader never sees half a record, and one `stat` shows whether a
//! record changed.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use crate::ledger::{Ledger, Record, Status};
use crate::serial::Serial;

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
/// The name of the directory of records.
pub const ISSUED: &str = "issued";

/// A ledger in a directory. Other processes may use the same directory.
#[derive(Debug)]
pub struct DirectoryLedger {
    directory: PathBuf,
    /// The status that was read last, and the stamp of the file at that time.
    seen: RwLock<HashMap<Serial, (Stamp, Status)>>,
}

impl DirectoryLedger {
    /// Opens the ledger in `directory`, and creates the directory if necessary.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        fs::create_dir_all(&directory).map_err(|source| StoreError::Write { path: directory.clone(), source })?;
        Ok(Self { directory, seen: RwLock::default() })
    }

    fn path(&self, serial: &Serial) -> PathBuf {
        self.directory.join(format!("{serial}.json"))
    }

    fn record(path: &Path) -> Result<Record, StoreError> {
        let bytes = read(path)?;
        serde_json::from_slice(&bytes).map_err(|source| StoreError::Broken { path: path.to_owned(), source })
    }

    fn encode(path: &Path, record: &Record) -> Result<Vec<u8>, StoreError> {
        let mut json =
            serde_json::to_vec_pretty(record).map_err(|source| StoreError::Broken { path: path.to_owned(), source })?;
        json.push(b'\n');
        Ok(json)
    }
}

impl Ledger for DirectoryLedger {
    fn add(&self, record: Record) -> Result<(), StoreError> {
        let path = self.path(&record.serial);
        create(&path, &Self::encode(&path, &record)?, READABLE).map_err(|error| match error {
            StoreError::Exists { .. } => StoreError::SerialTaken { serial: record.serial },
            other => other,
        })
    }

    fn set_status(&self, serial: &Serial, status: Status) -> Result<Record, StoreError> {
        let path = self.path(serial);
        let mut record = Self::record(&path).map_err(|error| match error {
            StoreError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                StoreError::NeverIssued { serial: serial.clone() }
            }
            other => other,
        })?;
        record.status = status;
        replace(&path, &Self::encode(&path, &record)?, READABLE)?;
        Ok(record)
    }

    fn status(&self, serial: &Serial) -> Result<Option<Status>, StoreError> {
        let path = self.path(serial);
        let stamp = match fs::metadata(&path) {
            Ok(metadata) => Stamp::of(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Read { path, source }),
        };
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner).get(serial).copied();
        if let Some((known, status)) = seen
            && known == stamp
        {
            return Ok(Some(status));
        }
        // The file is read after the stat. If it is replaced in between, the stamp is too old, and the next call
        // reads again.
        let status = Self::record(&path)?.status;
        self.seen.write().unwrap_or_else(PoisonError::into_inner).insert(serial.clone(), (stamp, status));
        Ok(Some(status))
    }

    fn records(&self) -> Result<Vec<Record>, StoreError> {
        let unreadable = |source| StoreError::Read { path: self.directory.clone(), source };
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                records.push(Self::record(&path)?);
            }
        }
        records.sort_by(|a, b| a.serial.cmp(&b.serial));
        Ok(records)
    }
}

/// The mode of files that all users may read.
pub const READABLE: u32 = 0o644;
/// The mode of files with a private key.
pub const SECRET: u32 = 0o600;

/// Writes a file atomically, and replaces an existing one.
///
/// # Errors
/// When the file cannot be written.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let failed = |source| StoreError::Write { path: path.to_owned(), source };
    let file = temporary(path, bytes, mode).map_err(failed)?;
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
    let file = temporary(path, bytes, mode).map_err(failed)?;
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

fn temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new_in(directory_of(path))?;
    file.write_all(bytes)?;
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

/// Distinguishes two states of a file: a rename gives a new inode, a write in place a new time or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
    size: u64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
            size: metadata.size(),
        }
    }
}
