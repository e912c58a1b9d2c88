//! Detects changed files from their metadata, and reads them only if that is not enough.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::hash::Sha256;
use crate::io::open::regular_file;
use crate::time::Timestamp;

/// The resolution of file times. File systems store times in steps of up to two seconds, so two changes within one step
/// leave the same times.
const GRANULARITY_MILLIS: u64 = 2_000;
/// The largest file that is hashed. A larger file is not a certificate.
const MAX_HASHED: u64 = 1024 * 1024;

/// A file's identity, times and size, as the file system reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
}

/// The identity, times and size of a file, for comparison only: half of their SHA-256.
#[cfg(feature = "files")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark([u8; 16]);

impl Stat {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Stat {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.size(),
        }
    }

    /// The same, of a file that was looked at in an open directory.
    #[cfg(feature = "files")]
    pub(crate) fn of_raw(stat: &rustix::fs::Stat) -> Self {
        Stat {
            device: stat.st_dev,
            inode: stat.st_ino,
            modified: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or_default()),
            changed: (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or_default()),
            size: u64::try_from(stat.st_size).unwrap_or_default(),
        }
    }

    /// The identity of a file that nobody has touched for decades.
    #[cfg(test)]
    pub(crate) fn made_up(inode: u64) -> Self {
        Stat { device: 1, inode, modified: (0, 0), changed: (0, 0), size: 3 }
    }

    /// The same in fewer bytes: what is compared and not read.
    #[cfg(feature = "files")]
    pub(crate) fn mark(self) -> Mark {
        let mut hash = Sha256::new();
        let (modified, changed) = (self.modified, self.changed);
        let times = [modified.0, modified.1, changed.0, changed.1].map(i64::to_le_bytes);
        let numbers = [self.device, self.inode, self.size].map(u64::to_le_bytes);
        times.iter().chain(&numbers).for_each(|number| hash.update(number));
        let mut mark = [0; 16];
        mark.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Mark(mark)
    }

    /// Whether another change could leave the same times.
    pub(crate) fn is_recent(&self, now: Timestamp) -> bool {
        [self.modified, self.changed]
            .into_iter()
            .any(|(seconds, _)| now.unix().abs_diff(seconds).saturating_mul(1000) <= GRANULARITY_MILLIS)
    }
}

/// The state of a file that was checked while its times were recent, or whose contents changed without a change of its
/// times.
#[derive(Clone, Debug)]
struct Seen {
    stat: Stat,
    hash: Option<[u8; 32]>,
    /// How many times the contents changed while the times stayed the same.
    revision: u32,
    /// Whether the last check was late enough for the times to be reliable.
    settled: bool,
}

/// The files to remember between scans: only those whose times are not reliable.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    before: HashMap<PathBuf, Seen>,
    now: HashMap<PathBuf, Seen>,
}

impl Memory {
    /// Ends a scan. Forgets the files that it did not see.
    pub(crate) fn end_scan(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// Adds the state of a regular file's contents to `version`.
    pub(crate) fn stamp(&mut self, path: &Path, metadata: &Metadata, now: Timestamp, version: &mut Sha256) {
        let stat = Stat::of(metadata);
        let recent = stat.is_recent(now);
        let before = self.before.get(path).filter(|seen| seen.stat == stat).cloned();
        let seen = match before {
            Some(seen) if seen.settled => Some(seen),
            Some(seen) => {
                let hash = hash(path, &stat);
                let revision = if hash == seen.hash { seen.revision } else { seen.revision.wrapping_add(1) };
                Some(Seen { stat, hash, revision, settled: !recent })
            }
            None if recent => Some(Seen { stat, hash: hash(path, &stat), revision: 0, settled: false }),
            None => None,
        };
        for number in [stat.device, stat.inode, stat.size] {
            version.update(&number.to_le_bytes());
        }
        for (seconds, nanoseconds) in [stat.modified, stat.changed] {
            version.update(&seconds.to_le_bytes());
            version.update(&nanoseconds.to_le_bytes());
        }
        version.update(&seen.as_ref().map_or(0, |seen| seen.revision).to_le_bytes());
        if let Some(seen) = seen.filter(|seen| !seen.settled || seen.revision > 0) {
            self.now.insert(path.to_owned(), seen);
        }
    }
}

/// Hashes a file; `None` when it cannot be read or is too large. The buffer is wiped, since the file may hold a private
/// key.
fn hash(path: &Path, stat: &Stat) -> Option<[u8; 32]> {
    if stat.size > MAX_HASHED {
        return None;
    }
    let mut file = regular_file(path).ok()?.take(MAX_HASHED);
    let mut context = Sha256::new();
    let mut buffer = Zeroizing::new([0_u8; 8 * 1024]);
    loop {
        match file.read(buffer.as_mut_slice()) {
            Ok(0) => return Some(context.finish()),
            Ok(read) => context.update(buffer.get(..read)?),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(memory: &mut Memory, path: &Path, now: Timestamp) -> Vec<u8> {
        let mut context = Sha256::new();
        memory.stamp(path, &std::fs::metadata(path).unwrap(), now, &mut context);
        memory.end_scan();
        context.finish().to_vec()
    }

    /// Imitates a file system with coarse times: the memory has seen other contents at these times.
    fn pretend_other_contents(memory: &mut Memory) {
        for seen in memory.before.values_mut() {
            seen.hash = Some([7; 32]);
        }
    }

    #[test]
    fn a_change_behind_recent_times_is_noticed_and_an_old_file_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pem");
        std::fs::write(&path, "one").unwrap();
        let written = Timestamp::from_unix(std::fs::metadata(&path).unwrap().ctime());
        let soon = written + std::time::Duration::from_secs(1);
        let late = written + std::time::Duration::from_secs(10);

        let mut memory = Memory::default();
        let first = version(&mut memory, &path, soon);
        assert_eq!(version(&mut memory, &path, soon), first, "nothing changed");
        pretend_other_contents(&mut memory);
        let second = version(&mut memory, &path, soon);
        assert_ne!(second, first);
        assert_eq!(version(&mut memory, &path, late), second, "the last look is late enough and finds nothing new");
        pretend_other_contents(&mut memory);
        assert_eq!(version(&mut memory, &path, late), second, "the times are trusted now");

        let mut memory = Memory::default();
        assert_eq!(version(&mut memory, &path, late), first, "no revision: the same as at first sight");
        assert!(memory.before.is_empty(), "nothing need be remembered of it");
    }
}
