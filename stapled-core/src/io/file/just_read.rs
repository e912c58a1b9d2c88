//! Staple files that were read a moment ago. At a start, each is needed three times: to see that it is no leftover, to use its staple
//! again, and to see that it need not be written. It is read once.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::io::stamp::Stat;
use crate::time::Timestamp;

/// The largest number of files that are remembered.
const MOST: usize = 128;
/// How long the contents of a file may be used without another look at it.
const MOMENT: Duration = Duration::from_secs(1);

/// Files that were read a moment ago, the latest last.
#[derive(Debug, Default)]
pub(super) struct JustRead(Mutex<VecDeque<Read>>);

#[derive(Debug)]
pub(super) struct Read {
    path: PathBuf,
    at: Instant,
    bytes: Bytes,
    stat: Stat,
}

impl Read {
    /// Whether this is the file at a path, by the bytes of the path: two spellings of one path cost a second read, and no more.
    fn is_of(&self, path: &Path) -> bool {
        self.path.as_os_str() == path.as_os_str()
    }
}

impl JustRead {
    /// Remembers the contents of a file, unless a change right after the read could leave the same times.
    #[allow(clippy::disallowed_methods, reason = "the times of files are by this clock")]
    pub(super) fn put(&self, path: PathBuf, bytes: Bytes, stat: Stat) {
        if bytes.is_empty() || stat.is_recent(Timestamp::from(std::time::SystemTime::now())) {
            return;
        }
        let mut all = self.all();
        all.retain(|read| !read.is_of(&path));
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(Read { path, at: Instant::now(), bytes, stat });
    }

    /// The contents of a file that was read within the last moment.
    pub(super) fn of(&self, path: &Path) -> Option<Bytes> {
        let all = self.all();
        let read = all.iter().rev().find(|read| read.is_of(path)).filter(|read| read.at.elapsed() < MOMENT)?;
        Some(read.bytes.clone())
    }

    /// The identity and times of a file that was read with these contents, and is still the same by them now. Forgets the file.
    pub(super) fn still(&self, path: &Path, contents: &[u8], now: impl FnOnce() -> Option<Stat>) -> Option<Stat> {
        self.forget(path).filter(|read| read.bytes == contents && now() == Some(read.stat)).map(|read| read.stat)
    }

    /// Forgets a file.
    pub(super) fn forget(&self, path: &Path) -> Option<Read> {
        let mut all = self.all();
        let at = all.iter().rposition(|read| read.is_of(path))?;
        all.remove(at)
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Read>> {
        // Every change is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, metadata};

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_file_that_changes_is_not_the_one_that_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ocsp");
        std::fs::write(&path, "old").unwrap();
        let read = JustRead::default();
        let stat = || Some(Stat::of(&metadata(&path).unwrap()));
        // The file may change once more within the same times.
        read.put(path.clone(), "old".into(), stat().unwrap());
        assert_eq!(read.of(&path), None);
        let age = |hours: u64| {
            let then = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
            File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
        };
        age(2);
        // A change of the times is a change, too: that of the status cannot be set, so an older stat is made up.
        let old = Stat::made_up(1);
        read.put(path.clone(), "old".into(), old);
        assert_eq!(read.of(&path).as_deref(), Some(&b"old"[..]));
        assert_eq!(read.still(&path, b"old", stat), None, "it has changed");
        assert_eq!(read.still(&path, b"old", || Some(old)), None, "it is forgotten");
        read.put(path.clone(), "old".into(), old);
        assert_eq!(read.still(&path, b"new", || Some(old)), None, "it has other contents");
        read.put(path.clone(), "old".into(), old);
        assert_eq!(read.still(&path, b"old", || Some(old)), Some(old));
        for number in 0..=MOST {
            read.put(PathBuf::from(number.to_string()), "x".into(), old);
        }
        let known = read.all().len();
        assert_eq!((known, read.of(Path::new("0"))), (MOST, None));
    }
}
