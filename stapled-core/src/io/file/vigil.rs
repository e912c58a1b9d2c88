//! Which staple files are to be checked now: those that the system reports as changed, so that files at rest cost nothing.
//!
//! The directories of the files are watched (inotify on Linux). Directories whose changes the system does not report are checked at an
//! interval: those that are links, since a link can be exchanged, those of network file systems, and those beyond the limit
//! of watches. All files are checked now and then in any case.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::place::directory_of;
use crate::io::certificate_file::TEMPORARY;
use crate::io::notices::{Notice, Notifier};
use crate::io::watch::absolute;

/// How long a change may go on before the file is checked: a file that another program writes is empty for a moment.
const QUIET: Duration = Duration::from_millis(500);
/// The interval between checks of all files.
const WHOLE: Duration = Duration::from_secs(30 * 60);
/// How many changed files are kept. After more changes, all files are checked.
const MOST_CHANGED: usize = 100_000;
/// The kinds of file systems whose changes are made by other machines or programs, so that the system reports none: NFS, SMB (three
/// versions), FUSE, 9P, Ceph, AFS, Lustre, GPFS, VirtualBox (statfs(2)).
const NOT_REPORTED: [u64; 11] = [
    0x6969,
    0x517B,
    0xFF53_4D42,
    0xFE53_4D42,
    0x6573_5546,
    0x0102_1997,
    0x00C3_6400,
    0x5346_414F,
    0x0BD0_0BD0,
    0x4750_4653,
    0x786F_4256,
];

/// The directories of a sink's files, and what was heard of them.
#[derive(Debug, Default)]
pub(super) struct Vigil {
    heard: Arc<Heard>,
    watcher: Mutex<Option<Notifier>>,
    directories: Mutex<HashMap<PathBuf, Standing>>,
    times: Mutex<Times>,
}

/// Whether the system reports the changes of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is not watched yet, or not any more.
    New,
    /// The system reports changes from now on, but those before were not looked for yet.
    Unseen,
    /// The system reports changes.
    Watched,
    /// It reports none.
    Polled,
}

#[derive(Debug, Default)]
struct Times {
    polled: Option<Instant>,
    whole: Option<Instant>,
}

/// The notices that were received.
#[derive(Debug, Default)]
struct Heard {
    news: Notify,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// The watched directories, by the absolute paths that notices have.
    names: HashMap<PathBuf, PathBuf>,
    /// The files that changed.
    files: HashSet<PathBuf>,
    /// The directories whose watch has ended.
    ended: HashSet<PathBuf>,
    /// Whether changes were missed.
    is_overrun: bool,
}

/// The files to check now.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// The files in all directories.
    pub(super) is_whole: bool,
    /// The files in these directories.
    pub(super) directories: HashSet<PathBuf>,
    /// These files.
    pub(super) files: Vec<PathBuf>,
    /// The directories among them that may be watched.
    pub(super) new: Vec<PathBuf>,
}

impl Due {
    /// Whether a file of this path is to be checked because of its directory.
    pub(super) fn has_directory_of(&self, path: &Path) -> bool {
        self.is_whole || self.directories.contains(directory_of(path))
    }
}

impl Vigil {
    /// Attends to the directory of a file.
    pub(super) fn add(&self, path: &Path) {
        let directory = directory_of(path);
        let mut directories = lock(&self.directories);
        if !directories.contains_key(directory) {
            directories.insert(directory.to_owned(), Standing::New);
            self.heard.news.notify_one();
        }
    }

    /// Waits until something may be due: a change that was reported, or the end of the interval.
    pub(super) async fn wait(&self, interval: Duration) {
        if timeout(interval, self.heard.news.notified()).await.is_ok() {
            sleep(QUIET.min(interval)).await;
        }
    }

    /// The files to check now. They are due until they are checked.
    pub(super) fn due(&self) -> Due {
        let now = Instant::now();
        let (mut times, mut directories, mut told) =
            (lock(&self.times), lock(&self.directories), lock(&self.heard.told));
        if std::mem::take(&mut told.is_overrun) {
            times.whole = Some(now);
        }
        let mut due = Due { is_whole: *times.whole.get_or_insert(now + WHOLE) <= now, ..Due::default() };
        let is_polled = times.polled.is_none_or(|at| at <= now);
        for ended in std::mem::take(&mut told.ended) {
            told.names.retain(|_, given| *given != ended);
            directories.insert(ended, Standing::New);
        }
        due.files.extend(told.files.iter().cloned());
        for (directory, standing) in directories.iter_mut() {
            match standing {
                Standing::New => {}
                Standing::Unseen => _ = due.directories.insert(directory.clone()),
                // The limit of watches may be higher by now, and the link be gone.
                Standing::Polled if due.is_whole => *standing = Standing::New,
                Standing::Polled if is_polled => _ = due.directories.insert(directory.clone()),
                Standing::Polled | Standing::Watched => continue,
            }
            if *standing == Standing::New {
                due.new.push(directory.clone());
            }
        }
        due.directories.extend(due.new.iter().cloned());
        due
    }

    /// Records that these were checked to the end, and how long the pause before the next check of the same must be.
    pub(super) fn checked(&self, due: &Due, pause: Duration) {
        let now = Instant::now();
        let mut directories = lock(&self.directories);
        for directory in &due.directories {
            if let Some(standing) = directories.get_mut(directory).filter(|standing| **standing == Standing::Unseen) {
                *standing = Standing::Watched;
            }
        }
        drop(directories);
        let mut times = lock(&self.times);
        if due.is_whole {
            times.whole = Some(now + WHOLE.max(pause));
        }
        if !due.directories.is_empty() {
            times.polled = Some(now + pause);
        }
    }

    /// Records that a file is being checked: later changes count anew.
    pub(super) fn checks(&self, path: &Path) {
        lock(&self.heard.told).files.remove(path);
    }

    /// Has a file checked again after the interval.
    pub(super) fn again(&self, path: PathBuf) {
        lock(&self.heard.told).files.insert(path);
    }

    /// Has a directory checked again after the interval.
    pub(super) fn again_in(&self, directory: PathBuf) {
        lock(&self.directories).insert(directory, Standing::New);
    }

    /// Watches a directory, if the system reports its changes. Blocks.
    pub(super) fn watch(&self, directory: &Path) {
        let standing = if self.begin(directory) { Standing::Unseen } else { Standing::Polled };
        lock(&self.directories).insert(directory.to_owned(), standing);
    }

    /// Forgets all directories but these.
    pub(super) fn keep(&self, used: &HashSet<PathBuf>) {
        let mut unused = Vec::new();
        lock(&self.directories).retain(|directory, _| {
            let is_used = used.contains(directory);
            if !is_used {
                unused.push(directory.clone());
            }
            is_used
        });
        for directory in unused {
            let path = absolute(&directory);
            lock(&self.heard.told).names.remove(&*path);
            if let Some(watcher) = &mut *lock(&self.watcher) {
                watcher.unwatch(&path);
            }
        }
    }

    /// Begins a watch. Returns whether the system will report every change.
    fn begin(&self, directory: &Path) -> bool {
        let path = &*absolute(directory);
        let is_itself = path.canonicalize().is_ok_and(|real| real == path);
        let is_reported =
            || rustix::fs::statfs(path).is_ok_and(|system| !NOT_REPORTED.contains(&(system.f_type as u64)));
        if !is_itself || !is_reported() {
            return false;
        }
        let mut watcher = lock(&self.watcher);
        if watcher.is_none() {
            let heard = Arc::clone(&self.heard);
            *watcher = Notifier::new(move |notice| heard.take(notice)).ok();
        }
        // Before the watch: an event that comes at once has a name then.
        lock(&self.heard.told).names.insert(path.to_owned(), directory.to_owned());
        let is_watched = watcher.as_mut().is_some_and(|watcher| watcher.watch(path).is_ok());
        if !is_watched {
            lock(&self.heard.told).names.remove(path);
        }
        is_watched
    }
}

impl Heard {
    /// Takes a notice.
    fn take(&self, notice: Notice) {
        let mut told = lock(&self.told);
        match notice {
            Notice::Missed => told.is_overrun = true,
            Notice::Changed { path, is_gone } => told.take(&path, is_gone),
        }
        if told.is_overrun || !told.files.is_empty() || !told.ended.is_empty() {
            self.news.notify_one();
        }
    }
}

impl Told {
    fn take(&mut self, path: &Path, is_gone: bool) {
        if is_gone && let Some(directory) = self.names.get(path).cloned() {
            self.ended.insert(directory);
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
        let bytes = name.as_encoded_bytes();
        let is_half_written = bytes.starts_with(b".") && bytes.ends_with(TEMPORARY.as_bytes());
        if let Some(directory) = self.names.get(parent).filter(|_| !is_half_written) {
            let file = directory.join(name);
            match self.files.len() < MOST_CHANGED {
                true => _ = self.files.insert(file),
                false => self.is_overrun = true,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one step; after a panic elsewhere, a file is checked once too often at worst.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    const PAUSE: Duration = Duration::ZERO;

    /// Watches what may be watched, as a check does, and returns what was due.
    fn check(vigil: &Vigil) -> Due {
        let due = vigil.due();
        due.new.iter().for_each(|directory| vigil.watch(directory));
        due.files.iter().for_each(|file| vigil.checks(file));
        vigil.checked(&due, PAUSE);
        due
    }

    /// Waits for news that have this file or directory.
    async fn hears(vigil: &Vigil, path: &Path) -> Due {
        let heard = async {
            loop {
                let due = check(vigil);
                if due.files.iter().any(|file| file == path) || due.directories.contains(path) {
                    return due;
                }
                vigil.wait(Duration::from_secs(5)).await;
            }
        };
        timeout(Duration::from_secs(30), heard).await.expect("news")
    }

    #[tokio::test]
    async fn a_watched_directory_costs_nothing_until_a_file_changes() {
        let folder = TempDir::new().unwrap();
        let directory = folder.path().canonicalize().unwrap();
        let (vigil, file) = (Vigil::default(), directory.join("a.ocsp"));
        fs::write(&file, "one").unwrap();
        vigil.add(&file);
        assert_eq!(check(&vigil).directories, HashSet::from([directory.clone()]));
        for _ in 0..2 {
            let due = vigil.due();
            assert!(!due.is_whole && due.directories.is_empty() && due.files.is_empty(), "{due:?}");
            vigil.add(&file);
        }
        fs::write(&file, "two").unwrap();
        assert!(hears(&vigil, &file).await.directories.is_empty());
        fs::remove_file(&file).unwrap();
        hears(&vigil, &file).await;
        // A half-written file is none.
        fs::write(directory.join(".a.ocsp.x.tmp"), "").unwrap();
        fs::rename(directory.join(".a.ocsp.x.tmp"), &file).unwrap();
        assert_eq!(hears(&vigil, &file).await.files, [file]);
    }

    #[tokio::test]
    async fn a_directory_that_is_a_link_or_was_replaced_is_checked_each_time() {
        let folder = TempDir::new().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (one, link) = (root.join("one"), root.join("link"));
        fs::create_dir(&one).unwrap();
        symlink(&one, &link).unwrap();
        let vigil = Vigil::default();
        vigil.add(&link.join("a.ocsp"));
        for _ in 0..3 {
            assert_eq!(check(&vigil).directories, HashSet::from([link.clone()]));
        }
        // The sink uses another directory now.
        vigil.keep(&HashSet::new());
        assert!(check(&vigil).directories.is_empty());
        vigil.add(&one.join("a.ocsp"));
        check(&vigil);
        fs::rename(&one, root.join("away")).unwrap();
        assert_eq!(hears(&vigil, &one).await.directories, HashSet::from([one.clone()]));
        assert_eq!(check(&vigil).directories, HashSet::from([one.clone()]), "there is none that could be watched");
        // The check of everything tries again.
        fs::create_dir(&one).unwrap();
        lock(&vigil.times).whole = Some(Instant::now());
        assert_eq!(check(&vigil).new, [one.as_path()]);
        assert!(check(&vigil).directories.is_empty());
    }

    #[test]
    fn a_check_that_was_dropped_is_made_again() {
        let folder = TempDir::new().unwrap();
        let directory = folder.path().canonicalize().unwrap();
        let vigil = Vigil::default();
        vigil.add(&directory.join("a.ocsp"));
        vigil.due().new.iter().for_each(|directory| vigil.watch(directory));
        for _ in 0..2 {
            assert_eq!(vigil.due().directories, HashSet::from([directory.clone()]), "it was not checked yet");
        }
        check(&vigil);
        assert!(vigil.due().directories.is_empty());
    }

    #[test]
    fn after_too_many_changes_everything_is_checked() {
        let vigil = Vigil::default();
        check(&vigil);
        vigil.heard.take(Notice::Missed);
        assert!(vigil.due().is_whole);
        assert!(check(&vigil).is_whole, "it stays due until it was checked");
        assert!(!check(&vigil).is_whole);
    }
}
