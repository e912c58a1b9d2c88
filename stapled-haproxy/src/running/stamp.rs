//! The state of a file, which changes when the file does.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files, and their states when they were looked at; `None`: there was no file.
pub(crate) type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// The state of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The state of a regular file; `None` if there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// The state as bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Stamp { device, inode, size, modified, changed } = self;
        let numbers = [device.to_be_bytes(), inode.to_be_bytes(), size.to_be_bytes()];
        let times = [modified.0, modified.1, changed.0, changed.1].map(i64::to_be_bytes);
        numbers.iter().chain(&times).flatten().copied().collect()
    }
}
