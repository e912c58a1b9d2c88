//! Checks whether staple files still have the contents that the sink wrote.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::blocking::looking;
use super::{Hash, Inner, read_existing};
use crate::clock::{Clock, SystemClock};
use crate::hash::Sha256;
use crate::io::stamp::Stat;
use crate::sink::lost::{Change, Found};

/// The largest number of changes that one check reports. The next check reports the others.
const MOST_CHANGES: usize = 1000;

/// How many directories are checked at once.
const LOOKS_AT_ONCE: usize = 16;

/// The files of a directory that are checked.
#[derive(Default)]
struct Files {
    revoked: Vec<PathBuf>,
    written: Vec<(PathBuf, Hash, Option<Stat>)>,
}

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
    /// Checks all files, directory by directory, so that one that hangs delays no other.
    pub(super) async fn look_at_all(self: &Arc<Self>) {
        let mut directories: HashMap<PathBuf, Files> = HashMap::new();
        {
            let state = self.state();
            let directory = |path: &Path| path.parent().unwrap_or(path).to_owned();
            for path in state.revoked.keys() {
                directories.entry(directory(path)).or_default().revoked.push(path.clone());
            }
            for (path, written) in &state.written {
                let known = (path.clone(), written.hash, written.stat);
                directories.entry(directory(path)).or_default().written.push(known);
            }
        }
        let looks = directories.into_iter().map(|(directory, files)| {
            let sink = Arc::clone(self);
            let look = move || {
                sink.clear_revoked(&files.revoked);
                sink.look(files.written);
            };
            async move { looking(&directory.join("."), look).await }
        });
        stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE).for_each(|_| std::future::ready(())).await;
    }

    /// Records changes that other programs made to these files. Each change is recorded once: a changed file is not checked again
    /// until the sink writes it again.
    fn look(&self, known: Vec<(PathBuf, Hash, Option<Stat>)>) {
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

/// The directory of a file; the current one for a name alone.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn look_at(path: &Path, hash: Hash, before: Option<Stat>) -> Looked {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // A missing file counts as withdrawn only if its directory exists.
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory_of(path).is_dir() => {
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
