//! Removes the file of a staple, and nothing else. Blocks.
//!
//! Whoever may write to a directory of certificates can replace it, or a file in it, at any moment. So everything happens in
//! one open directory: the certificate in it must be the one that was judged, the file must be no symbolic link and have
//! the contents that were judged, and it must still have its name when it is removed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;
use stapled_core::bundle::Bundle;
use stapled_core::hash::Sha256;
use stapled_core::io::certificate_file::read_opened;
use stapled_core::staple::Staple;

use super::verdict::Leftover;

/// Whether files are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// They are.
    Done,
    /// They are only named.
    Named,
}

/// Why a file stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stays {
    #[error("it is a symbolic link, which is not followed")]
    Link,
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it, or its directory, has changed meanwhile")]
    Changed,
    #[error("it cannot be removed: {0}")]
    Failed(#[from] io::Error),
}

/// Removes a staple's file that is left over, beside the certificate's file. A file that is gone is no error.
pub(super) fn remove(
    staple: &Path,
    certificate: Option<&Path>,
    found: &Leftover,
    removal: Removal,
) -> Result<(), Stays> {
    let (Some(parent), Some(name)) = (staple.parent(), staple.file_name()) else { return Err(Stays::NotAFile) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let directory =
        openat(CWD, parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    // A staple that the configuration names may lie elsewhere.
    if let Some(certificate) = certificate.filter(|certificate| certificate.parent() == staple.parent()) {
        let holds = certificate.file_name().is_some_and(|name| holds(&directory, name, &found.fingerprint));
        if !holds {
            return Err(Stays::Changed);
        }
    }
    let opened = openat(&directory, name, OFlags::RDONLY | OFlags::NOFOLLOW | READING, Mode::empty());
    let file = match opened {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::LOOP) => return Err(Stays::Link),
        opened => File::from(opened.map_err(failed)?),
    };
    if !file.metadata()?.is_file() {
        return Err(Stays::NotAFile);
    }
    let of_file = rustix::fs::fstat(&file).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(u64::try_from(Staple::MAX_RECEIVED).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    if Sha256::of(&bytes) != found.hash {
        return Err(Stays::Changed);
    }
    let of_name = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    if (of_name.st_dev, of_name.st_ino) != (of_file.st_dev, of_file.st_ino) {
        return Err(Stays::Changed);
    }
    match removal {
        Removal::Done => unlinkat(&directory, name, AtFlags::empty()).map_err(failed),
        Removal::Named => Ok(()),
    }
}

/// Opening a FIFO would wait for its other end.
const READING: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC);

/// Whether a file of the directory holds this certificate.
fn holds(directory: &OwnedFd, name: &OsStr, fingerprint: &[u8; 32]) -> bool {
    let Ok(file) = openat(directory, name, OFlags::RDONLY | READING, Mode::empty()) else { return false };
    let Ok(bytes) = read_opened(File::from(file)) else { return false };
    let Ok(bundle) = Bundle::read(&bytes) else { return false };
    bundle.certificates.iter().any(|one| one.fingerprint() == *fingerprint)
}

fn failed(error: Errno) -> Stays {
    Stays::Failed(error.into())
}
