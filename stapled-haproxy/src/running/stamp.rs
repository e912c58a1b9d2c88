//! The state of a file, which changes when the file does.

use std::path::{Path, PathBuf};

use stapled_core::io::files::Files;
use stapled_core::source::Version;

/// Files, and their states when they were looked at; `None`: there was no file.
pub(crate) type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// The state of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Version);

impl Stamp {
    /// The state of a regular file; `None` if there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        path.is_file().then(|| Stamp(Files::new().look().version([path])))
    }

    /// The state as bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }
}
