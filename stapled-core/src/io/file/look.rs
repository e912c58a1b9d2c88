//! Checks whether staple files still have the contents that the sink wrote.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::blocking::looking;
use super::place::directory_of;
use super::single::read_existing;
use super::vigil::Due;
use super::written::{Hash, Written, hash_of};
use super::{Inner, LOOK_SHARE};
use crate::clock::{Clock, SystemClock};
use crate::io::stamp::{Mark, Stat};
use crate::sink::lost::{Change, Found};

/// The largest number of changes that one check reports. The next check reports the others.
const MOST_CHANGES: usize = 1000;

/// How many directories are checked at once.
const LOOKS_AT_ONCE: usize = 16;

/// The files of a directory that are checked.
#[derive(Default)]
struct Files {
    revoked: Vec<PathBuf>,
    written: Vec<(PathBuf, Hash, Option<Mark>)>,
}

/// The result of checking one file.
enum Looked {
    /// The file has the contents that the sink wrote. The value is its identity and times, if they are reliable.
    Same(Option<Mark>),
    /// Another program changed the file.
    Changed(Found),
    /// The file cannot be checked now.
    Unknown,
}

/// How many of the files were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    All,
    /// The other changes are reported next time.
    Some,
}

impl Inner {
    /// Checks the files that are due, directory by directory, so that one that hangs delays no other.
    pub(super) async fn look_at_due(self: &Arc<Self>, interval: Duration) {
        let due = self.vigil.due();
        // A directory is watched first, so that no change is missed between.
        let watches = due.new.clone().into_iter().map(|directory| {
            let (sink, path) = (Arc::clone(self), directory.join("."));
            async move { looking(&path, move || sink.vigil.watch(&directory)).await }
        });
        stream::iter(watches).buffer_unordered(LOOKS_AT_ONCE).for_each(|_| std::future::ready(())).await;
        if !due.new.is_empty() {
            // Files that were read before the watch began may have changed since, and nobody reported it.
            self.just_read.all_changed();
        }
        let begun = Instant::now();
        let looks = self.files_of(&due).into_iter().map(|(directory, files)| {
            let sink = Arc::clone(self);
            let look = move || {
                sink.clear_revoked(&files.revoked);
                sink.look(files.written)
            };
            let looked = async move { (looking(&directory.join("."), look).await, directory) };
            // The others wait for the next check.
            looked.map(|(looked, directory)| {
                if looked != Some(Looks::All) {
                    self.vigil.again_in(directory)
                }
            })
        });
        let sink = Arc::clone(self);
        if let Some(directory) = self.layout.as_ref().and_then(|layout| layout.common().filter(|_| layout.is_swapped()))
        {
            looking(&directory.join("."), move || sink.swaps.sweep()).await;
        }
        stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE).for_each(std::future::ready).await;
        self.vigil.checked(&due, interval.max(begun.elapsed() * LOOK_SHARE));
    }

    /// The sink's files among those that are due, by directory.
    fn files_of(&self, due: &Due) -> HashMap<PathBuf, Files> {
        let mut directories: HashMap<PathBuf, Files> = HashMap::new();
        let state = self.state();
        if due.is_whole {
            // Changes may have been missed.
            self.just_read.all_changed();
        }
        let known = |path: &Path, written: &Written| (path.to_owned(), written.hash, written.stat);
        if due.is_whole || !due.directories.is_empty() {
            for path in state.revoked.keys().filter(|path| due.has_directory_of(path)) {
                directories.entry(directory_of(path).to_owned()).or_default().revoked.push(path.clone());
            }
            for (path, written) in state.written.iter().filter(|(path, _)| due.has_directory_of(path)) {
                directories.entry(directory_of(&path).to_owned()).or_default().written.push(known(&path, written));
            }
        }
        for path in due.files.iter().filter(|path| !due.has_directory_of(path)) {
            let is_revoked = state.revoked.contains_key(path);
            let written = state.written.get(path).map(|written| known(path, written));
            if !is_revoked && written.is_none() {
                // It is none of the sink's, or not yet.
                self.vigil.checks(path);
                self.just_read.changed(path);
                continue;
            }
            let files = directories.entry(directory_of(path).to_owned()).or_default();
            files.revoked.extend(is_revoked.then(|| path.clone()));
            files.written.extend(written);
        }
        if due.is_whole {
            let used = state.revoked.keys().map(|path| directory_of(path).to_owned());
            let used = used.chain(state.written.iter().map(|(path, _)| directory_of(&path).to_owned()));
            self.vigil.keep(&used.collect());
        }
        directories
    }

    /// Records changes that other programs made to these files. Each change is recorded once: a changed file is not checked again
    /// until the sink writes it again.
    fn look(&self, known: Vec<(PathBuf, Hash, Option<Mark>)>) -> Looks {
        for (path, hash, stat) in known {
            let _alone = self.alone(&path);
            self.vigil.checks(&path);
            let looked = look_at(&path, hash, stat);
            let mut state = self.state();
            // The sink may have written or removed the file since.
            let Some(written) = state.written.get_mut(&path).filter(|written| written.hash == hash) else {
                continue;
            };
            match looked {
                Looked::Same(stat) => written.stat = stat,
                Looked::Unknown => self.vigil.again(path),
                Looked::Changed(found) => {
                    let subject = written.subject.clone();
                    self.just_read.changed(&path);
                    state.written.remove(&path);
                    if found == Found::Withdrawn {
                        drop(state);
                        // A server would not start with a file that names a missing one. A removal that fails is the server's
                        // to tell of.
                        let _ = self.unaccompany(&path);
                        state = self.state();
                    }
                    state.changes.push(Change::new(subject, found));
                    if state.changes.len() >= MOST_CHANGES {
                        return Looks::Some;
                    }
                }
            }
        }
        Looks::All
    }
}

fn look_at(path: &Path, hash: Hash, before: Option<Mark>) -> Looked {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // A missing file counts as withdrawn only if its directory exists.
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory_of(path).is_dir() => {
            return Looked::Changed(Found::Withdrawn);
        }
        Err(_) => return Looked::Unknown,
    };
    let stat = Stat::of(&metadata);
    if before == Some(stat.mark()) {
        return Looked::Same(before);
    }
    if !metadata.is_file() {
        return Looked::Changed(Found::Unreadable);
    }
    match read_existing(path) {
        Ok(None) => Looked::Changed(Found::Withdrawn),
        Ok(Some(bytes)) if hash_of(&bytes) == hash => {
            Looked::Same((!stat.is_recent(SystemClock.now())).then(|| stat.mark()))
        }
        Ok(Some(bytes)) if bytes.is_empty() => Looked::Changed(Found::Withdrawn),
        Ok(Some(bytes)) => Looked::Changed(Found::Response(Bytes::from(bytes))),
        // The file is too large, or this user may not read it any more.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Looked::Changed(Found::Unreadable),
        Err(_) => Looked::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::FileSink;
    use super::*;
    use crate::task::Subject;

    /// A file that was read is forgotten when it changes, and when a change of it may have been missed.
    #[tokio::test]
    async fn noticed_changes_end_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("a.ocsp");
        let sink = FileSink::new();
        let inner = &sink.0;
        let read = || inner.just_read.put(inner.just_read.begin(), &path, "old".into(), Stat::made_up(1));
        let is_believed = || inner.just_read.hand_out(&path).is_some();
        read();
        assert!(is_believed());
        let other = Due { files: vec![folder.path().join("b.ocsp")], ..Due::default() };
        let this = Due { files: vec![path.clone()], ..Due::default() };
        for (due, expected) in [(other, true), (this, false), (Due { is_whole: true, ..Due::default() }, false)] {
            read();
            assert!(inner.files_of(&due).is_empty());
            assert_eq!(is_believed(), expected, "{due:?}");
        }
        // A change of a written file that is found.
        let written = Written { hash: [1; 16], stat: None, subject: Subject::from("a") };
        inner.state().written.insert(&path, None, written);
        read();
        inner.look(vec![(path.clone(), [1; 16], None)]);
        assert!(!is_believed());
        assert_eq!(inner.state().changes.len(), 1);
        // A watch begins.
        inner.vigil.add(&path);
        read();
        inner.look_at_due(Duration::ZERO).await;
        assert!(!is_believed());
    }
}
