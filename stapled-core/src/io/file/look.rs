//! Whether staple files still are as they were written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Hash, Inner, read_existing, sha256};
use crate::clock::{Clock, SystemClock};
use crate::io::stamp::Stat;
use crate::sink::{Change, Found};

/// How many changes one look tells at most; the next look tells the others.
const MOST_CHANGES: usize = 1000;

/// What a look at one file found.
enum Looked {
    /// As it was written; with its times, where they can be trusted.
    Same(Option<Stat>),
    /// What somebody else made of it.
    Changed(Found),
    /// It cannot be looked at now.
    Unknown,
}

impl Inner {
    /// Notes what somebody else changed. Each change is noted once: what was changed is nobody's file any more until it is
    /// written again.
    pub(super) fn look(&self) {
        let known: Vec<(PathBuf, Hash, Option<Stat>)> = {
            let state = self.state();
            state.written.iter().map(|(path, written)| (path.clone(), written.hash, written.stat)).collect()
        };
        for (path, hash, stat) in known {
            let _alone = self.alone(&path);
            let looked = look_at(&path, hash, stat);
            let mut state = self.state();
            // Somebody may have written or removed it since.
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
        // Where there is no directory, there is none to write to.
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
        Ok(Some(bytes)) if sha256(&bytes) == hash => Looked::Same((!stat.is_recent(SystemClock.now())).then_some(stat)),
        Ok(Some(bytes)) if bytes.is_empty() => Looked::Changed(Found::Withdrawn),
        Ok(Some(bytes)) => Looked::Changed(Found::Response(Bytes::from(bytes))),
        // Too large, or not readable for this user any more.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Looked::Changed(Found::Unreadable),
        Err(_) => Looked::Unknown,
    }
}
