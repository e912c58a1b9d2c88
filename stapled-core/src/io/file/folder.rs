//! An open directory. Files are read, written and removed relative to it, so that a directory or a link that takes its place
//! meanwhile gets nothing.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, open, openat, renameat, statat, unlinkat};

use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::io::certificate_file::{TEMPORARY, read_opened};
use crate::io::open::fill;
use crate::io::stamp::Stat as Identity;
use crate::staple::Staple;
use crate::time::Timestamp;

/// The widest mode that a new staple takes from its certificate: a staple is not secret, and only its owner writes it.
const WIDEST: u32 = 0o644;
/// The mode bits that an existing staple may keep: not set-uid, not executable, not writable for all users.
const KEPT: u32 = 0o664;
/// How many names for a temporary file are tried.
const ATTEMPTS: usize = 16;

/// The treatment of a symbolic link by an open.
#[derive(Clone, Copy)]
enum Links {
    Followed,
    Refused,
}

/// An open directory.
pub(super) struct Folder(OwnedFd);

/// The contents of an open file, of at most [`Staple::MAX_RECEIVED`] bytes. The file says that it has this size.
pub(super) fn read_response(mut file: File, size: u64) -> io::Result<Vec<u8>> {
    let expected = usize::try_from(size).map_or(Staple::MAX_RECEIVED, |size| size.min(Staple::MAX_RECEIVED));
    // One byte more shows at once that the file ends there.
    let mut bytes = vec![0; expected + 1];
    let mut filled = fill(&mut file, &mut bytes, size)?;
    if filled > expected {
        // It has grown since.
        bytes.resize(Staple::MAX_RECEIVED + 1, 0);
        filled += fill(&mut file, bytes.get_mut(filled..).unwrap_or_default(), 0)?;
    }
    if filled > Staple::MAX_RECEIVED {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {} bytes", Staple::MAX_RECEIVED)));
    }
    // A staple keeps these bytes.
    bytes.truncate(filled);
    bytes.shrink_to_fit();
    Ok(bytes)
}

impl Folder {
    /// Opens the directory of a file, and returns it with the file's name. Links on the way to the directory are followed.
    pub(super) fn of(path: &Path) -> io::Result<(Self, &OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Only to find files in it: a directory that this user may write and not list is enough.
        let opened = open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok((Folder(opened), name))
    }

    /// Reads a file of this name, in at most [`Staple::MAX_RECEIVED`] bytes; `None` if there is none. A link is not followed.
    pub(super) fn read(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        Ok(look_in(self.0.as_fd(), name)?.map(|(bytes, _)| bytes))
    }

    /// Checks that a file of this name is there, and that it does not hold other certificates than this one.
    pub(super) fn check_certificate(&self, name: &OsStr, certificate: &Certificate) -> io::Result<()> {
        let gone = |what: &str| io::Error::other(format!("{what}: the directory or the file was replaced"));
        let file = match open_regular(self.0.as_fd(), name, Links::Followed) {
            Ok((file, _)) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(gone("its certificate is not beside it any more"));
            }
            // Who may not read it may still have the right to write beside it.
            Err(_) => return Ok(()),
        };
        let bundle = read_opened(file).ok().and_then(|bytes| Bundle::read(&bytes).ok()).unwrap_or_default();
        match bundle.certificates.is_empty() || bundle.certificates.contains(certificate) {
            true => Ok(()),
            false => Err(gone("another certificate is beside it by now")),
        }
    }

    /// Replaces a file: a reader gets either the old contents or the new. Mode, owner and group of an existing file are kept; a new
    /// one has those of `model`, within bounds. A link is replaced itself.
    pub(super) fn replace(&self, name: &OsStr, contents: &[u8], model: &Path) -> io::Result<()> {
        self.replace_if(name, contents, model, || Ok(()))
    }

    /// The same, unless this check fails, which runs once the new file is ready.
    pub(super) fn replace_if(
        &self,
        name: &OsStr,
        contents: &[u8],
        model: &Path,
        check: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let (temporary, file) = self.create_beside(name)?;
        let replaced = self
            .fill(file, name, contents, model)
            .and_then(|()| check())
            .and_then(|()| Ok(renameat(&self.0, temporary.as_os_str(), &self.0, name)?));
        if replaced.is_err() {
            let _ = self.remove(&temporary);
            return replaced;
        }
        // The rename is durable once the directory is synced. A failure here is ignored, because the new file is in place
        // and some file systems cannot sync a directory.
        let _ = self.reopened().and_then(|directory| File::from(directory).sync_all());
        Ok(())
    }

    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// The names of the entries.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = OsString>> {
        let entries = Dir::read_from(self.reopened()?)?.filter_map(Result::ok);
        Ok(entries.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned()))
    }

    /// The time of the last change of an entry, if it is a regular file.
    pub(super) fn changed(&self, name: &OsStr) -> Option<Timestamp> {
        let stat = self.stat(name).ok().filter(|stat| FileType::from_raw_mode(stat.st_mode).is_file())?;
        Some(Timestamp::from_unix(stat.st_mtime))
    }

    /// A new file with a name of its own. Other users cannot read it until it has its mode.
    fn create_beside(&self, name: &OsStr) -> io::Result<(OsString, File)> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..ATTEMPTS {
            let mut temporary = OsString::from(".");
            temporary.push(name);
            temporary.push(format!(".{:06x}{TEMPORARY}", rand::random::<u32>() & 0xff_ffff));
            match openat(&self.0, temporary.as_os_str(), flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok((temporary, file.into())),
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn fill(&self, mut file: File, name: &OsStr, contents: &[u8], model: &Path) -> io::Result<()> {
        file.write_all(contents)?;
        // A symbolic link is replaced, and its mode and owner do not apply to the new file.
        let before = self.stat(name).ok().filter(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
        match before {
            Some(before) => like(&file, before.st_uid, before.st_gid, before.st_mode & KEPT)?,
            None => match std::fs::metadata(model) {
                Ok(model) => like(&file, model.uid(), model.gid(), model.mode() & WIDEST)?,
                Err(_) => file.set_permissions(Permissions::from_mode(WIDEST))?,
            },
        }
        file.sync_all()
    }

    fn stat(&self, name: &OsStr) -> io::Result<Stat> {
        Ok(statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The same directory, to list or to sync it.
    fn reopened(&self) -> io::Result<OwnedFd> {
        Ok(openat(&self.0, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    }
}

/// The same as [`Folder::read`] with the file's identity and times, where nothing follows in the same directory.
pub(super) fn look_at(path: &Path) -> io::Result<Option<(Vec<u8>, Identity)>> {
    look_in(CWD, path.as_os_str())
}

fn look_in(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<(Vec<u8>, Identity)>> {
    let (file, stat) = match open_regular(directory, name, Links::Refused) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bytes = read_response(file, u64::try_from(stat.st_size).unwrap_or_default())?;
    Ok(Some((bytes, Identity::of_raw(&stat))))
}

/// Opens a regular file to read it, without waiting.
fn open_regular(directory: BorrowedFd<'_>, name: &OsStr, links: Links) -> io::Result<(File, Stat)> {
    let (of_stat, of_open) = match links {
        Links::Followed => (AtFlags::empty(), OFlags::empty()),
        Links::Refused => (AtFlags::SYMLINK_NOFOLLOW, OFlags::NOFOLLOW),
    };
    // Opening a device may do anything. What comes in place of the file after this look is checked once more.
    check(&statat(directory, name, of_stat)?)?;
    let flags = of_open | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = openat(directory, name, flags, Mode::empty())?;
    let stat = fstat(&opened)?;
    check(&stat)?;
    Ok((opened.into(), stat))
}

fn check(stat: &Stat) -> io::Result<()> {
    match FileType::from_raw_mode(stat.st_mode).is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// Gives a file this owner and group, as far as this user is allowed to, and a mode.
fn like(file: &File, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    let ours = file.metadata()?;
    // Only root changes a file's owner. Other users may change its group to one of theirs.
    if ours.uid() != uid && fchown(file, Some(uid), Some(gid)).is_err() || ours.uid() == uid && ours.gid() != gid {
        let _ = fchown(file, None, Some(gid));
    }
    // The mode is set after the owner, because changing the owner clears bits.
    file.set_permissions(Permissions::from_mode(mode))
}
