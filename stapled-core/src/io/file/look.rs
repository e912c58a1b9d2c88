//! Checks whether staple files still have the contents that the sink wrote.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Hash, Inner, read_existing};
use crate::clock::{Clock, SystemClock};
use crate::hash::Sha256;
use crate::io::stamp::Stat;
use crate::sink::lost::{Change, Found};

/// The largest number of changes that one check reports. The next check reports the others.
const MOST_CHANGES: usize = 1000;

/// The result of checking one file.
enum Looked {
    /// The file has the contents that the sink wrote. The value is its identity and times, if they are reliable.
    Same(Option<Stat>),
    /// Another program changed the file.
    Changed(Found),
    /// The file cannot be checked now.
    Unknown,
}

impl Inner {
    /// Records changes that other programs made. Each change is recorded once: a changed file is not checked again
    /// until the sink writes it again.
    pub(super) fn look(&self) {
        let known: Vec<(PathBuf, Hash, Option<Stat>)> = {
            let state = self.state();
            state.written.iter().map(|(path, written)| (path.clone(), written.hash, written.stat)).collect()
        };
        for (path, hash, stat) in known {
            let _alone = self.alone(&path);
            let looked = look_at(&path, hash, stat);
            let mut state = self.state();
            // The sink may have written or removed the file since.
            let Some(written) = state.written.get_mut(&path).filter(|written| written.hash == hash) else { continue };
            match looked {
                Looked::Same(stat) => written.stat = stat,
                Looked::Unknown => {}
                Looked::Changed(found) => {
                    let subject = written.subject.clone();
                    state.written.remove(&path);
                    state.changes.push(Change::new(subject, found));
                    if state.changes.len() >= MOST_CHANGES {
                        return;
                    }
                }
            }
        }
    }
}

fn look_at(path: &Path, hash: Hash, before: Option<Stat>) -> Looked {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // A missing file counts as withdrawn only if its directory exists.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.parent().is_some_and(Path::is_dir) => {
            return Looked::Changed(Found::Withdrawn);
        }
        Err(_) => return Looked::Unknown,
    };
    let stat = Stat::of(&metadata);
    if before == Some(stat) {
        return Looked::Same(before);
    }
    if !metadata.is_file() {
        return Looked::Changed(Found::Unreadable);
    }
    match read_existing(path) {
        Ok(None) => Looked::Changed(Found::Withdrawn),
        Ok(Some(bytes)) if Sha256::of(&bytes) == hash => {
            Looked::Same((!stat.is_recent(SystemClock.now())).then_some(stat))
        }
        Ok(Some(bytes)) if bytes.is_empty() => Looked::Changed(Found::Withdrawn),
        Ok(Some(bytes)) => Looked::Changed(Found::Response(Bytes::from(bytes))),
        // The file is too large, or this user may not read it any more.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Looked::Changed(Found::Unreadable),
        Err(_) => Looked::Unknown,
    }
}
