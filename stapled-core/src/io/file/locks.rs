//! One lock for each file. An operation on a file system that hangs keeps the lock of its own file only.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The files that are locked.
#[derive(Debug, Default)]
pub(super) struct Locks {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    locked: HashSet<PathBuf>,
    /// How many operations wait for a file. Mostly none: a wake-up that nobody needs is a system call, too.
    waiting: usize,
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
        let mut state = self.state();
        while !state.locked.insert(path.to_owned()) {
            state.waiting += 1;
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        drop(state);
        Locked { locks: self, path: path.to_owned() }
    }

    /// Locks this file, unless another operation has.
    pub(super) fn try_lock(&self, path: &Path) -> Option<Locked<'_>> {
        let is_free = self.state().locked.insert(path.to_owned());
        is_free.then(|| Locked { locks: self, path: path.to_owned() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let mut state = self.locks.state();
        state.locked.remove(&self.path);
        if state.waiting > 0 {
            self.locks.freed.notify_all();
        }
    }
}
