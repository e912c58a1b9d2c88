//! Why files cannot be written.

use std::fs::File;
use std::io;

use super::codes;
use crate::reason::ReasonCode;

/// Why a file cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteFault {
    /// The disk or the user's quota is full.
    DiskFull,
    /// The file system is read-only.
    ReadOnly,
    /// This user may not write to the directory.
    NoPermission,
    /// The directory does not exist.
    DirectoryMissing,
    /// The process or the system has no free file descriptor.
    TooManyOpenFiles,
    /// Another reason.
    Other,
}

impl WriteFault {
    /// The fault that the operating system reports by this error.
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WriteFault::DiskFull,
            io::ErrorKind::ReadOnlyFilesystem => WriteFault::ReadOnly,
            io::ErrorKind::PermissionDenied => WriteFault::NoPermission,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => WriteFault::DirectoryMissing,
            _ if is_out_of_descriptors(error) => WriteFault::TooManyOpenFiles,
            _ => WriteFault::Other,
        }
    }

    /// The reason code.
    pub fn code(self) -> ReasonCode {
        match self {
            WriteFault::DiskFull => codes::DISK_FULL,
            WriteFault::ReadOnly => codes::READ_ONLY,
            WriteFault::NoPermission => codes::NO_PERMISSION,
            WriteFault::DirectoryMissing => codes::DIRECTORY_MISSING,
            WriteFault::TooManyOpenFiles => codes::TOO_MANY_OPEN_FILES,
            WriteFault::Other => codes::UNWRITABLE,
        }
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    // An error about a temporary file does not carry the system's error number, so another open reads it.
    let asked_again = || File::open("/").err()?.raw_os_error();
    matches!(error.raw_os_error().or_else(asked_again), Some(ENFILE | EMFILE))
}
