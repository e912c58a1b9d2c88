//! Removes half-written files of crashed processes.

use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::folder::Folder;
use crate::clock::{Clock, SystemClock};
use crate::io::certificate_file::{STAPLE, TEMPORARY};
use crate::time::Timestamp;

/// The age at which a half-written file counts as abandoned. No delivery waits this long; one that did would fail and
/// be retried.
const STALE: Duration = Duration::from_secs(120);

/// Removes half-written files of crashed processes, once in each directory.
#[derive(Debug, Default)]
pub(super) struct Sweeper(Mutex<HashSet<PathBuf>>);

impl Sweeper {
    /// Sweeps the directory of this file, unless it was swept before.
    pub(super) fn sweep_first_time(&self, path: &Path) {
        let Some(directory) = path.parent() else { return };
        let mut swept = self.swept();
        if !swept.contains(directory) {
            swept.insert(directory.to_owned());
            drop(swept);
            match Folder::of(path) {
                // A failed sweep does not prevent the write.
                Ok((folder, _)) => drop(sweep(&folder, SystemClock.now())),
                Err(_) => drop(self.swept().remove(directory)),
            }
        }
    }

    /// Whether the directory of this file was swept before.
    pub(super) fn has_swept(&self, path: &Path) -> bool {
        path.parent().is_some_and(|directory| self.swept().contains(directory))
    }

    fn swept(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        // Every change is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sweep(folder: &Folder, now: Timestamp) -> io::Result<()> {
    let of_staple = format!("{STAPLE}.");
    for name in folder.names()? {
        let bytes = name.as_bytes();
        let is_temporary = bytes.starts_with(b".")
            && bytes.ends_with(TEMPORARY.as_bytes())
            && bytes.windows(of_staple.len()).any(|window| window == of_staple.as_bytes());
        if is_temporary && folder.changed(&name).is_some_and(|changed| now.since(changed) > STALE) {
            let _ = folder.remove(&name);
        }
    }
    Ok(())
}
