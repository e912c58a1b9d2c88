//! Writes a file so that it appears complete or not at all.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::io::certificate_file::{STAPLE, TEMPORARY};
use crate::io::open;
use crate::time::Timestamp;

/// The age at which a half-written file counts as abandoned. No delivery waits this long; one that did would fail and
/// be retried.
const STALE: Duration = Duration::from_secs(120);
/// The widest mode that a new staple takes from its certificate: a staple is not secret, and only its owner writes it.
const WIDEST: u32 = 0o644;
/// The mode bits that an existing staple may keep: not set-uid, not executable, not writable for all users.
const KEPT: u32 = 0o664;

/// Replaces `path` by a file with these contents.
pub(super) fn write(path: &Path, contents: &[u8], certificate: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    // Other users cannot read the file until it has its mode. It removes itself unless it is renamed.
    let mut file = tempfile::Builder::new().prefix(&prefix).suffix(TEMPORARY).tempfile_in(directory)?;
    file.write_all(contents)?;
    // A symbolic link is replaced, and its mode and owner do not apply to the new file.
    let before = fs::symlink_metadata(path).ok().filter(Metadata::is_file);
    match before {
        Some(before) => like(file.as_file(), &before, before.mode() & KEPT)?,
        None => match fs::metadata(certificate) {
            Ok(certificate) => like(file.as_file(), &certificate, certificate.mode() & WIDEST)?,
            Err(_) => file.as_file().set_permissions(Permissions::from_mode(WIDEST))?,
        },
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The rename is durable once the directory is synced. A failure here is ignored, because the new file is in place
    // and some file systems cannot sync a directory.
    let _ = open::directory(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

/// Gives a file the owner and group of another, as far as this user is allowed to, and a mode.
fn like(file: &File, model: &Metadata, mode: u32) -> io::Result<()> {
    let ours = file.metadata()?;
    // Only root changes a file's owner. Other users may change its group to one of theirs.
    if ours.uid() != model.uid() && fchown(file, Some(model.uid()), Some(model.gid())).is_err()
        || ours.uid() == model.uid() && ours.gid() != model.gid()
    {
        let _ = fchown(file, None, Some(model.gid()));
    }
    // The mode is set after the owner, because changing the owner clears bits.
    file.set_permissions(Permissions::from_mode(mode))
}

/// Removes half-written files of crashed processes, once in each directory.
#[derive(Debug, Default)]
pub(super) struct Sweeper(Mutex<HashSet<PathBuf>>);

impl Sweeper {
    /// Sweeps the directory of this file, unless it was swept before.
    pub(super) fn sweep_first_time(&self, path: &Path) {
        let Some(directory) = path.parent() else { return };
        let mut swept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.insert(directory.to_owned()) {
            drop(swept);
            // A failed sweep does not prevent the write.
            let _ = sweep(directory, SystemClock.now());
        }
    }
}

fn sweep(directory: &Path, now: Timestamp) -> io::Result<()> {
    let of_staple = format!("{STAPLE}.");
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_bytes();
        let is_temporary = name.starts_with(b".")
            && name.ends_with(TEMPORARY.as_bytes())
            && name.windows(of_staple.len()).any(|window| window == of_staple.as_bytes());
        if is_temporary
            && let Ok(metadata) = entry.metadata()
            && metadata.is_file()
            && now.since(Timestamp::from_unix(metadata.mtime())) > STALE
        {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}
