//! One lock for each file. An operation on a file system that hangs keeps the lock of its own file only.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The files that are locked.
#[derive(Debug, Default)]
pub(super) struct Locks {
    locked: Mutex<HashSet<PathBuf>>,
    freed: Condvar,
}

/// A lock of one file. Its drop ends it.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    locks: &'a Locks,
    path: PathBuf,
}

impl Locks {
    /// Waits until no other operation has locked this file, and locks it.
    pub(super) fn lock(&self, path: &Path) -> Locked<'_> {
        let is_locked = |locked: &mut HashSet<PathBuf>| locked.contains(path);
        let waited = self.freed.wait_while(self.locked(), is_locked);
        let mut locked = waited.unwrap_or_else(PoisonError::into_inner);
        locked.insert(path.to_owned());
        Locked { locks: self, path: path.to_owned() }
    }

    fn locked(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        // Every change is one step.
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.locks.locked().remove(&self.path);
        self.locks.freed.notify_all();
    }
}
