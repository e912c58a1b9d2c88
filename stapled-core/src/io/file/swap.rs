//! Directories whose files change all at once, in the form of the volumes that Kubernetes mounts.
//!
//! ```text
//! tls.ocsp-staple -> ..data/tls.ocsp-staple
//! ..data          -> ..1796000000.5f3a9c
//! ..1796000000.5f3a9c/tls.ocsp-staple
//! ```
//!
//! A change makes a new directory with all files, and renames a link over `..data`. A directory that was replaced stays for a
//! while, for readers that have followed the link already. Changes that arrive while another one is written are written together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, fchmod, linkat, mkdirat, openat, readlinkat, renameat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::clock::{Clock, SystemClock};

/// The link to the directory with the present files.
const DATA: &str = "..data";
/// The same link, before it is renamed.
const DATA_NEW: &str = "..data_tmp";
/// How long a directory stays after it was replaced: opening a file through the link takes no longer.
const GRACE: Duration = Duration::from_secs(10);
/// How many names for a new directory are tried.
const ATTEMPTS: usize = 16;
/// The mode of directories and files: staples are not secret.
const OF_DIRECTORY: u32 = 0o755;
const OF_FILE: u32 = 0o644;

/// The path by which a file is read that its users open as `DIRECTORY/NAME`.
pub(super) fn inside(path: &Path) -> PathBuf {
    let (directory, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
    directory.join(DATA).join(name)
}

/// The directory that is swapped, and the name, of a path from [`inside`].
pub(super) fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let data = path.parent().filter(|data| data.file_name() == Some(OsStr::new(DATA)))?;
    Some((data.parent()?, path.file_name()?))
}

/// The path by which users know a file.
pub(super) fn shown(path: &Path) -> PathBuf {
    split(path).map_or_else(|| path.to_owned(), |(directory, name)| directory.join(name))
}

/// The directories that a sink swaps.
#[derive(Debug, Default)]
pub(super) struct Swaps(Mutex<HashMap<PathBuf, Arc<Swapped>>>);

/// One directory.
#[derive(Debug, Default)]
struct Swapped {
    /// Changes that wait for the present writer.
    waiting: Mutex<Vec<Change>>,
    /// Held by the writer. The value has the directories that were replaced.
    replaced: Mutex<HashMap<OsString, Instant>>,
}

#[derive(Debug)]
struct Change {
    name: OsString,
    /// None: the file goes.
    contents: Option<Vec<u8>>,
    done: Arc<OnceLock<Result<(), (ErrorKind, String)>>>,
}

impl Swaps {
    /// Writes a file, or removes it. Returns once readers have it.
    pub(super) fn change(&self, directory: &Path, name: &OsStr, contents: Option<&[u8]>) -> io::Result<()> {
        let one = self.of(directory);
        let done = Arc::default();
        let change = Change { name: name.to_owned(), contents: contents.map(<[u8]>::to_vec), done: Arc::clone(&done) };
        lock(&one.waiting).push(change);
        let mut replaced = lock(&one.replaced);
        if done.get().is_none() {
            // The writer of all that waits by now.
            let changes = std::mem::take(&mut *lock(&one.waiting));
            let newest = changes.iter().map(|change| (change.name.as_os_str(), change.contents.as_deref())).collect();
            let written = write(directory, &newest, &mut replaced);
            for change in &changes {
                let copy = match &written {
                    Ok(()) => Ok(()),
                    Err(error) => Err((error.kind(), error.to_string())),
                };
                // It was not set before.
                let _ = change.done.set(copy);
            }
            return written;
        }
        let done = done.get().cloned().unwrap_or(Ok(()));
        done.map_err(|(kind, what)| io::Error::new(kind, what))
    }

    /// Whether users find the file under its name in the directory.
    pub(super) fn is_linked(directory: &Path, name: &OsStr) -> bool {
        std::fs::read_link(directory.join(name)).is_ok_and(|target| target == Path::new(DATA).join(name))
    }

    /// Removes the directories that were replaced some time ago. Called now and then.
    pub(super) fn sweep(&self) {
        let all: Vec<_> = lock(&self.0).iter().map(|(path, one)| (path.clone(), Arc::clone(one))).collect();
        for (directory, one) in all {
            // A writer sweeps as well.
            if let Ok(mut replaced) = one.replaced.try_lock()
                && !replaced.is_empty()
                && let Ok(root) = open(&directory)
            {
                sweep(&root, &mut replaced);
            }
        }
    }

    fn of(&self, directory: &Path) -> Arc<Swapped> {
        Arc::clone(lock(&self.0).entry(directory.to_owned()).or_default())
    }
}

/// Each value is consistent after every single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Swaps the directory for one with these changes.
fn write(
    directory: &Path,
    changes: &BTreeMap<&OsStr, Option<&[u8]>>,
    replaced: &mut HashMap<OsString, Instant>,
) -> io::Result<()> {
    let root = open(directory)?;
    let before = present(&root)?;
    let (new, opened) = make(&root)?;
    if let Err(error) = fill(&root, before.as_deref(), &opened, changes).and_then(|()| swap(&root, &new)) {
        remove_directory(&root, &new);
        return Err(error);
    }
    link(&root, &opened)?;
    // The files of a process that ended in between are removed, too.
    for name in names(&root)?.into_iter().filter(|name| is_ours(name) && *name != new) {
        replaced.entry(name).or_insert_with(Instant::now);
    }
    sweep(&root, replaced);
    Ok(())
}

/// Opens a directory to list it.
fn open(directory: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn open_in(root: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(root, name, flags, Mode::empty())?)
}

/// The name of the directory that the link leads to. A link out of this directory counts as none.
fn present(root: &OwnedFd) -> io::Result<Option<OsString>> {
    match readlinkat(root, DATA, Vec::new()) {
        Ok(target) => {
            let target = OsString::from_vec(target.into_bytes());
            Ok(Some(target).filter(|target| !target.as_bytes().contains(&b'/') && target != ".." && target != "."))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A new directory.
fn make(root: &OwnedFd) -> io::Result<(OsString, OwnedFd)> {
    for _ in 0..ATTEMPTS {
        let name = format!("..{}.{:06x}", SystemClock.now().unix(), rand::random::<u32>() & 0xff_ffff);
        let name = OsString::from(name);
        match mkdirat(root, name.as_os_str(), Mode::from_raw_mode(OF_DIRECTORY)) {
            Ok(()) => {
                let opened = open_in(root, &name)?;
                fchmod(&opened, Mode::from_raw_mode(OF_DIRECTORY))?;
                return Ok((name, opened));
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Whether a name is one that [`make`] gives.
fn is_ours(name: &OsStr) -> bool {
    let name = name.to_str().and_then(|name| name.strip_prefix("..")?.split_once('.'));
    name.is_some_and(|(time, chance)| {
        time.bytes().all(|byte| byte.is_ascii_digit())
            && chance.len() == 6
            && chance.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Puts all files into a new directory: those that change, and the others from before.
fn fill(
    root: &OwnedFd,
    before: Option<&OsStr>,
    new: &OwnedFd,
    changes: &BTreeMap<&OsStr, Option<&[u8]>>,
) -> io::Result<()> {
    for (name, contents) in changes {
        let Some(contents) = contents else { continue };
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(new, *name, flags, Mode::from_raw_mode(OF_FILE))?);
        fchmod(&file, Mode::from_raw_mode(OF_FILE))?;
        file.write_all(contents)?;
        file.sync_all()?;
    }
    if let Some(before) = before.and_then(|before| open_in(root, before).ok()) {
        let others = names(&before)?.into_iter().filter(|name| !changes.contains_key(name.as_os_str()));
        for name in others {
            linkat(&before, name.as_os_str(), new, name.as_os_str(), AtFlags::empty())?;
        }
    }
    // Some file systems cannot sync a directory.
    let _ = File::from(new.try_clone()?).sync_all();
    Ok(())
}

/// Has the link lead to the new directory.
fn swap(root: &OwnedFd, new: &OsStr) -> io::Result<()> {
    match unlinkat(root, DATA_NEW, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    symlinkat(new, root, DATA_NEW)?;
    renameat(root, DATA_NEW, root, DATA)?;
    let _ = File::from(root.try_clone()?).sync_all();
    Ok(())
}

/// Makes the names in the directory those of the present files.
fn link(root: &OwnedFd, new: &OwnedFd) -> io::Result<()> {
    let target = |name: &OsStr| Path::new(DATA).join(name);
    let is_link = |name: &OsStr| {
        readlinkat(root, name, Vec::new()).is_ok_and(|found| found.as_bytes() == target(name).as_os_str().as_bytes())
    };
    let files: HashSet<OsString> = names(new)?.into_iter().collect();
    for name in files.iter().filter(|name| !is_link(name)) {
        let mut temporary = OsString::from("..link.");
        temporary.push(name);
        let _ = unlinkat(root, temporary.as_os_str(), AtFlags::empty());
        symlinkat(target(name), root, temporary.as_os_str())?;
        renameat(root, temporary.as_os_str(), root, name.as_os_str())?;
    }
    // Links to files that are gone, also those of a process that ended in between.
    for name in names(root)?.into_iter().filter(|name| !files.contains(name) && is_link(name)) {
        unlinkat(root, name.as_os_str(), AtFlags::empty())?;
    }
    Ok(())
}

/// The entries of a directory, without itself and the one above.
fn names(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let entries = Dir::read_from(directory)?.collect::<Result<Vec<_>, _>>()?;
    let names = entries.iter().map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned());
    Ok(names.filter(|name| name != "." && name != "..").collect())
}

/// Removes directories that were replaced a while ago.
fn sweep(root: &OwnedFd, replaced: &mut HashMap<OsString, Instant>) {
    replaced.retain(|name, since| {
        let is_old = since.elapsed() >= GRACE;
        if is_old {
            remove_directory(root, name);
        }
        !is_old
    });
}

/// Removes a directory with its files. What fails is tried again with the next change.
fn remove_directory(root: &OwnedFd, name: &OsStr) {
    if let Ok(opened) = open_in(root, name) {
        for file in names(&opened).unwrap_or_default() {
            let _ = unlinkat(&opened, file.as_os_str(), AtFlags::empty());
        }
    }
    let _ = unlinkat(root, name, AtFlags::REMOVEDIR);
}
