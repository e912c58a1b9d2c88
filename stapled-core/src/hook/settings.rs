//! The settings of a hook.

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which program runs for events, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookSettings {
    /// The program, which gets no arguments.
    pub program: PathBuf,
    /// How long one run may take. A run that takes longer is killed.
    pub timeout: Duration,
    /// How long further events of the same kind are held back after a run.
    pub debounce: Duration,
}

impl HookSettings {
    /// Settings for a program, which must be an executable file. A run may take 30 s; events are held back for 300 s.
    ///
    /// # Errors
    ///
    /// The file does not exist or cannot be run.
    pub fn new(program: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(program)?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "cannot be run: not an executable file"));
        }
        let (timeout, debounce) = (Duration::from_secs(30), Duration::from_secs(300));
        Ok(HookSettings { program: program.to_owned(), timeout, debounce })
    }

    /// The same, with this limit for one run.
    pub fn timeout(self, timeout: Duration) -> Self {
        HookSettings { timeout, ..self }
    }

    /// The same, holding back further events of the same kind for this time after a run.
    pub fn debounce(self, debounce: Duration) -> Self {
        HookSettings { debounce, ..self }
    }
}
