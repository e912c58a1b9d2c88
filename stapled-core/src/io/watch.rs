//! Directory watches: hints that a scan may find something new.
//!
//! Only directories are watched, never files, because a watch on a file ends when the file is replaced. The regular
//! scan finds the changes that watches miss: behind two links, on a file system without notifications, or after a queue
//! overflow.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::files::codes;
use super::notices::{Notice, Notifier};
use crate::io::certificate_file::{STAPLE, TEMPORARY};
use crate::source::{SourceError, SourceProblem};

/// The pause after which a burst of events counts as over.
const QUIET: Duration = Duration::from_millis(150);
/// The longest wait for the end of a burst.
const LONGEST_BURST: Duration = Duration::from_secs(1);

/// Device and inode.
pub(crate) type FileId = (u64, u64);

pub(crate) fn file_id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// All watches of a source, and the hints that come from them.
#[derive(Debug)]
pub(crate) struct Watches {
    signal: Arc<Signal>,
    /// The number of hints that the latest scan has accounted for.
    accounted: AtomicU64,
    /// Whether a caller waits for hints. A source that is scanned once needs no watches.
    wanted: AtomicBool,
    state: Mutex<State>,
}

/// The state that the source shares with the watcher's thread.
#[derive(Debug)]
struct Signal {
    hints: watch::Sender<u64>,
    /// The watched directories, by the paths in events.
    paths: Mutex<HashSet<PathBuf>>,
    /// The watched directories whose watch has ended or is in doubt.
    lost: Mutex<HashSet<PathBuf>>,
    /// Directories in which only some names matter, such as the parent of a root.
    partial: Mutex<HashMap<PathBuf, HashSet<OsString>>>,
}

#[derive(Debug, Default)]
struct State {
    watcher: Option<Notifier>,
    watched: HashMap<FileId, PathBuf>,
}

impl Default for Watches {
    fn default() -> Self {
        let signal = Signal {
            hints: watch::Sender::new(0),
            paths: Mutex::default(),
            lost: Mutex::default(),
            partial: Mutex::default(),
        };
        Watches {
            signal: Arc::new(signal),
            accounted: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }
}

impl Watches {
    /// Waits for a hint that no scan has accounted for, and then for the end of its burst. May be dropped at any time:
    /// a hint lasts until the next scan begins.
    pub(crate) async fn changed(&self) {
        if !self.wanted.swap(true, Ordering::SeqCst) {
            // The scan sets the watches: it watches each directory before it reads it.
            self.signal.hint();
            return;
        }
        let mut hints = self.signal.hints.subscribe();
        // The wait cannot fail, because `self` owns the sender.
        let _ = hints.wait_for(|hints| *hints != self.accounted.load(Ordering::SeqCst)).await;
        let begin = Instant::now();
        loop {
            let now = Instant::now();
            let until = (now + QUIET).min(begin + LONGEST_BURST);
            if now >= until || timeout_at(until, hints.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Hints that a scan may find something new.
    pub(crate) fn hint(&self) {
        self.signal.hint();
    }

    /// Begins a scan, which accounts for all hints so far.
    pub(crate) fn begin_scan(&self) -> Session<'_> {
        let hints = *self.signal.hints.borrow();
        let state = lock(&self.state);
        self.accounted.store(hints, Ordering::SeqCst);
        let mut session = Session {
            signal: &self.signal,
            state,
            active: self.wanted.load(Ordering::SeqCst),
            needed: HashSet::new(),
            whole: HashSet::new(),
            partial: HashMap::new(),
            known: HashMap::new(),
            problem: None,
        };
        if session.active && session.state.watcher.is_none() {
            let signal = Arc::clone(&self.signal);
            match Notifier::new(move |notice| signal.handle(notice)) {
                Ok(watcher) => session.state.watcher = Some(watcher),
                Err(error) => session.fail(&error),
            }
        }
        let lost = std::mem::take(&mut *lock(&self.signal.lost));
        for path in lost {
            session.forget(&path);
        }
        session
    }
}

/// The watches during one scan.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    signal: &'a Signal,
    state: MutexGuard<'a, State>,
    active: bool,
    needed: HashSet<FileId>,
    /// Directories in which every name matters.
    whole: HashSet<FileId>,
    /// Directories in which only these names, and names that begin with them, matter.
    partial: HashMap<FileId, (PathBuf, HashSet<OsString>)>,
    /// The identities of those directories, by path.
    known: HashMap<PathBuf, FileId>,
    problem: Option<String>,
}

impl Session<'_> {
    /// Whether hints are wanted at all.
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// Watches a directory for one name and names that begin with it: for a root that may be created, removed or
    /// replaced.
    pub(crate) fn name(&mut self, directory: &Path, name: &OsStr) {
        if !self.active {
            return;
        }
        let directory = &*absolute(directory);
        let id = match self.known.get(directory) {
            Some(id) => *id,
            None => {
                let Ok(metadata) = std::fs::metadata(directory) else { return };
                let id = file_id(&metadata);
                self.known.insert(directory.to_owned(), id);
                id
            }
        };
        if self.whole.contains(&id) {
            return;
        }
        let (_, names) = self.partial.entry(id).or_insert_with(|| (directory.to_owned(), HashSet::new()));
        if !names.insert(name.to_owned()) {
            return;
        }
        let watched = self.state.watched.get(&id).map_or(directory, PathBuf::as_path);
        let mut partial = lock(&self.signal.partial);
        match partial.get_mut(watched) {
            // The name is added at once, so that its events from now on are not taken for those of another name.
            Some(names) => _ = names.insert(name.to_owned()),
            None if !self.state.watched.contains_key(&id) => {
                partial.insert(directory.to_owned(), HashSet::from([name.to_owned()]));
            }
            // Until now, every name in the directory matters.
            None => {}
        }
        drop(partial);
        self.watch(directory, id);
    }

    /// Watches a directory that is about to be read.
    pub(crate) fn before_reading(&mut self, path: &Path, id: FileId) {
        self.everything_matters(id);
        self.watch(path, id);
    }

    /// Watches a directory that was inspected already, and whose changes since then may have been missed.
    pub(crate) fn after_looking(&mut self, path: &Path) {
        if self.active
            && let Ok(metadata) = std::fs::metadata(path)
            && metadata.is_dir()
        {
            let id = file_id(&metadata);
            self.everything_matters(id);
            if self.watch(path, id) {
                self.signal.hint();
            }
        }
    }

    fn everything_matters(&mut self, id: FileId) {
        if self.active && self.whole.insert(id) {
            self.partial.remove(&id);
            if let Some(watched) = self.state.watched.get(&id) {
                lock(&self.signal.partial).remove(watched);
            }
        }
    }

    /// Watches a directory. Returns whether the watch is new.
    fn watch(&mut self, path: &Path, id: FileId) -> bool {
        if !self.active || !self.needed.insert(id) {
            return false;
        }
        let path = &*absolute(path);
        if let Some(watched) = self.state.watched.get(&id).cloned() {
            if watched == path || std::fs::metadata(&watched).is_ok_and(|metadata| file_id(&metadata) == id) {
                return false;
            }
            // The directory was moved: further events would carry its old path.
            self.forget(&watched);
        }
        let Some(watcher) = &mut self.state.watcher else { return false };
        // The watcher's thread locks the paths while it handles events, so the lock is held only for this line.
        lock(&self.signal.paths).insert(path.to_owned());
        match watcher.watch(path) {
            Ok(()) => {
                self.state.watched.insert(id, path.to_owned());
                return true;
            }
            // The directory was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.fail(&error),
        }
        lock(&self.signal.paths).remove(path);
        false
    }

    fn forget(&mut self, path: &Path) {
        lock(&self.signal.paths).remove(path);
        self.state.watched.retain(|_, watched| watched != path);
        if let Some(watcher) = &mut self.state.watcher {
            watcher.unwatch(path);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let what = match Errno::from_io_error(error) {
            Some(Errno::NOSPC) => {
                "the limit of inotify watches is reached: raise fs.inotify.max_user_watches".to_owned()
            }
            // The user has too many instances, or the process too many open files.
            Some(Errno::MFILE) => format!("{error}: raise fs.inotify.max_user_instances, or the limit of open files"),
            _ => error.to_string(),
        };
        self.problem.get_or_insert(what);
    }

    /// Ends the scan. Directories that it did not see are not watched any longer. Returns the problem that prevents
    /// watching, if there is one.
    pub(crate) fn end(mut self, name: &str) -> Option<SourceProblem> {
        let stale: Vec<PathBuf> = self
            .state
            .watched
            .iter()
            .filter(|(id, _)| !self.needed.contains(id))
            .map(|(_, path)| path.clone())
            .collect();
        for path in stale {
            self.forget(&path);
        }
        // Keyed by the paths in events.
        let partial = self.partial.drain().map(|(id, (path, names))| {
            let watched = self.state.watched.get(&id).cloned();
            (watched.unwrap_or(path), names)
        });
        *lock(&self.signal.partial) = partial.collect();
        let what = self.problem?;
        Some(SourceProblem {
            place: format!("watching {name}"),
            hides_below: false,
            error: SourceError::new(
                codes::WATCH_UNAVAILABLE,
                format!("{name} cannot be watched ({what}); changes are noticed at the regular scan only"),
            ),
        })
    }
}

impl Signal {
    fn hint(&self) {
        self.hints.send_modify(|hints| *hints = hints.wrapping_add(1));
    }

    fn handle(&self, notice: Notice) {
        let Notice::Changed { path, is_gone } = notice else {
            // A scan finds what changed.
            self.hint();
            return;
        };
        let is_interesting = !is_noise(&path) && !self.is_outside(&path);
        if is_gone && lock(&self.paths).contains(&path) {
            lock(&self.lost).insert(path);
        }
        if is_interesting {
            self.hint();
        }
    }

    /// Whether the path has a name that does not matter, in a directory in which only some names matter.
    fn is_outside(&self, path: &Path) -> bool {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let partial = lock(&self.partial);
        let Some(names) = partial.get(directory) else { return false };
        let name = name.as_encoded_bytes();
        let begins = |length| name.get(..length).is_some_and(|start| names.contains(OsStr::from_bytes(start)));
        !(1..=name.len()).any(begins)
    }
}

/// Whether the path is a staple or a half-written file. The sinks write these all the time, and a scan would find
/// nothing new.
pub(crate) fn is_noise(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    let name = name.as_encoded_bytes();
    name.ends_with(STAPLE.as_bytes()) || name.starts_with(b".") && name.ends_with(TEMPORARY.as_bytes())
}

/// The path as it is in events, which have absolute paths.
pub(crate) fn absolute(path: &Path) -> Cow<'_, Path> {
    match path.is_absolute() {
        true => Cow::Borrowed(path),
        // The current directory may be gone. Then the regular scan has to do.
        false => std::path::absolute(path).map_or(Cow::Borrowed(path), Cow::Owned),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The value stays usable after a panic elsewhere: at worst there is one watch too many.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
