//! Staple files that were read a moment ago. At a start, each is needed three times: to see that it is no leftover, to use its staple
//! again, and to see that it need not be written. It is read once.
//!
//! A file that changes is forgotten here as soon as the system reports the change. A staple that is delivered from here is recorded among
//! the written files, with the times that the file had when it was read, so the next check finds a change that was reported too late.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::written::{Hash, hash_of};
use crate::io::stamp::Stat;
use crate::time::Timestamp;

/// The largest number of files that are remembered: more than wait for their delivery at once.
const MOST: usize = 1024;
/// How long the contents of a file may be used without another look at it.
const MOMENT: Duration = Duration::from_secs(1);

/// Files that were read a moment ago.
#[derive(Debug, Default)]
pub(super) struct JustRead(Mutex<Files>);

#[derive(Debug, Default)]
struct Files {
    /// By the bytes of the path: two spellings of one path cost a second read, and no more.
    read: HashMap<OsString, Read>,
    /// Counts the changes that were noticed.
    changes: u64,
}

#[derive(Debug)]
pub(super) struct Read {
    at: Instant,
    contents: Contents,
    stat: Stat,
}

/// The contents of a file: once they are handed out, their hash is enough.
#[derive(Debug)]
enum Contents {
    Here(Bytes),
    HandedOut(Hash),
}

/// A read that has begun. A change that is noticed meanwhile makes it worthless.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading(u64);

impl JustRead {
    /// Begins a read.
    pub(super) fn begin(&self) -> Reading {
        Reading(self.files().changes)
    }

    /// Remembers the contents of a file, unless a change right after the read could leave the same times.
    #[allow(clippy::disallowed_methods, reason = "the times of files are by this clock")]
    pub(super) fn put(&self, reading: Reading, path: &Path, bytes: Bytes, stat: Stat) {
        if bytes.is_empty() || stat.is_recent(Timestamp::from(std::time::SystemTime::now())) {
            return;
        }
        let mut files = self.files();
        if files.changes != reading.0 {
            return;
        }
        if files.read.len() >= MOST {
            files.read.retain(|_, read| read.is_new());
        }
        if files.read.len() >= MOST {
            return;
        }
        let read = Read { at: Instant::now(), contents: Contents::Here(bytes), stat };
        files.read.insert(path.as_os_str().to_owned(), read);
    }

    /// Whether this is true of the contents of a file that was read within the last moment.
    pub(super) fn is(&self, path: &Path, is_so: impl FnOnce(&[u8]) -> bool) -> bool {
        let files = self.files();
        let read = files.read.get(path.as_os_str()).filter(|read| read.is_new());
        read.is_some_and(|read| matches!(&read.contents, Contents::Here(bytes) if is_so(bytes)))
    }

    /// Hands out the contents of a file that was read within the last moment, once. They are not copied, since each staple is kept.
    pub(super) fn hand_out(&self, path: &Path) -> Option<Bytes> {
        let mut files = self.files();
        let read = files.read.get_mut(path.as_os_str()).filter(|read| read.is_new())?;
        let hash = match &read.contents {
            Contents::Here(bytes) => hash_of(bytes),
            Contents::HandedOut(_) => return None,
        };
        match std::mem::replace(&mut read.contents, Contents::HandedOut(hash)) {
            Contents::Here(bytes) => Some(bytes),
            Contents::HandedOut(_) => None,
        }
    }

    /// The identity and times of a file that was read within the last moment with contents of this hash. Forgets the file.
    pub(super) fn take(&self, path: &Path, hash: &Hash) -> Option<Stat> {
        self.forget(path).filter(|read| read.is_new() && read.hash() == *hash).map(|read| read.stat)
    }

    /// The identity and times of a file that was read with contents of this hash, and is still the same by them now. Forgets the file.
    pub(super) fn still(&self, path: &Path, hash: &Hash, now: impl FnOnce() -> Option<Stat>) -> Option<Stat> {
        self.forget(path).filter(|read| read.hash() == *hash && now() == Some(read.stat)).map(|read| read.stat)
    }

    /// Forgets a file.
    pub(super) fn forget(&self, path: &Path) -> Option<Read> {
        self.files().read.remove(path.as_os_str())
    }

    /// Forgets a file that has changed, and what is being read.
    pub(super) fn changed(&self, path: &Path) {
        let mut files = self.files();
        files.read.remove(path.as_os_str());
        files.changes += 1;
    }

    /// Forgets all files, since any of them may have changed.
    pub(super) fn all_changed(&self) {
        let mut files = self.files();
        files.read.clear();
        files.changes += 1;
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        // Every change is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    fn is_new(&self) -> bool {
        self.at.elapsed() < MOMENT
    }

    fn hash(&self) -> Hash {
        match &self.contents {
            Contents::Here(bytes) => hash_of(bytes),
            Contents::HandedOut(hash) => *hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, metadata};

    fn put(read: &JustRead, path: &Path, bytes: &'static str, stat: Stat) {
        read.put(read.begin(), path, bytes.into(), stat);
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_file_that_changes_is_not_the_one_that_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ocsp");
        std::fs::write(&path, "old").unwrap();
        let read = JustRead::default();
        let stat = || Some(Stat::of(&metadata(&path).unwrap()));
        // The file may change once more within the same times.
        put(&read, &path, "old", stat().unwrap());
        assert_eq!(read.hand_out(&path), None);
        let age = |hours: u64| {
            let then = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
            File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
        };
        age(2);
        // A change of the times is a change, too: that of the status cannot be set, so an older stat is made up.
        let old = Stat::made_up(1);
        put(&read, &path, "old", old);
        assert!(read.is(&path, |bytes| bytes == b"old") && !read.is(&path, |bytes| bytes == b"new"));
        assert_eq!(read.hand_out(&path).as_deref(), Some(&b"old"[..]));
        assert_eq!(read.hand_out(&path), None, "once");
        assert_eq!(read.still(&path, &hash_of(b"old"), stat), None, "it has changed");
        assert_eq!(read.still(&path, &hash_of(b"old"), || Some(old)), None, "it is forgotten");
        put(&read, &path, "old", old);
        assert_eq!(read.still(&path, &hash_of(b"new"), || Some(old)), None, "it has other contents");
        put(&read, &path, "old", old);
        assert_eq!(read.still(&path, &hash_of(b"old"), || Some(old)), Some(old));
        for number in 0..=MOST {
            put(&read, Path::new(&number.to_string()), "x", old);
        }
        let known = read.files().read.len();
        assert_eq!((known, read.hand_out(Path::new(&MOST.to_string()))), (MOST, None));
        for read in read.files().read.values_mut() {
            read.at = Instant::now().checked_sub(MOMENT).unwrap();
        }
        put(&read, &path, "new", old);
        assert_eq!(read.files().read.len(), 1);
    }

    #[test]
    fn a_change_that_is_noticed_ends_what_was_read_and_what_is_being_read() {
        let (read, path, old) = (JustRead::default(), Path::new("a"), Stat::made_up(1));
        put(&read, path, "old", old);
        assert_eq!(read.take(path, &hash_of(b"new")), None, "it has other contents");
        assert_eq!(read.take(path, &hash_of(b"old")), None, "it is forgotten");
        put(&read, path, "old", old);
        assert_eq!(read.take(path, &hash_of(b"old")), Some(old));
        for change in [&|read: &JustRead| read.changed(Path::new("a")), &JustRead::all_changed as &dyn Fn(&JustRead)] {
            put(&read, path, "old", old);
            let reading = read.begin();
            change(&read);
            assert_eq!(read.take(path, &hash_of(b"old")), None);
            read.put(reading, path, "old".into(), old);
            assert_eq!(read.take(path, &hash_of(b"old")), None, "the read began before the change");
        }
    }
}
