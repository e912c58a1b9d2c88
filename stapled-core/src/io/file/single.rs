//! Single staple files, by their paths. Blocks.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::folder::{self, Folder};
use crate::chain::CertChain;
use crate::io::open::regular_file_with_metadata;

/// Reads a staple file, whatever its contents, in at most [`Staple::MAX_RECEIVED`](crate::staple::Staple::MAX_RECEIVED) bytes. `None` if the file does not exist.
///
/// Blocks. Only regular files are opened.
///
/// # Errors
///
/// The system's error; `InvalidData` for a file that is too large, `InvalidInput` if it is not a regular file.
pub fn read_existing(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let (file, metadata) = match regular_file_with_metadata(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    folder::read_response(file, metadata.len()).map(Some)
}

/// Replaces a file by these contents: a reader gets either the old contents or the new. An existing file keeps its owner and mode, as
/// far as this user may set them; a new one is readable by all.
///
/// Blocks until the contents are on disk.
///
/// # Errors
///
/// The system's error. The old file is then still there.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let (folder, name) = Folder::of(path)?;
    folder.replace(name, contents, path)
}

/// Removes a file that holds a response about this certificate, so that no server takes it up; anything else stays. Returns whether
/// one was removed.
///
/// Blocks.
///
/// # Errors
///
/// Those of [`read_existing`], and the system's error when the file cannot be removed.
pub fn remove_answer(path: &Path, chain: &CertChain) -> io::Result<bool> {
    let is_about = read_existing(path)?.is_some_and(|kept| chain.is_answered_by(&kept));
    if is_about {
        let (folder, name) = Folder::of(path)?;
        folder.remove(name)?;
    }
    Ok(is_about)
}

/// The contents of a file that may be one of the sink, with its directory and its name. `None` for a file that is certainly not one:
/// it is not there, not a regular one, too large, or not readable for this user.
pub(super) fn read_own(path: &Path) -> io::Result<Option<(Folder, &OsStr, Vec<u8>)>> {
    use io::ErrorKind::{InvalidData, InvalidInput, NotADirectory, NotFound, PermissionDenied};
    let read = Folder::of(path).and_then(|(folder, name)| Ok(folder.read(name)?.map(|bytes| (folder, name, bytes))));
    match read {
        Err(error)
            if matches!(error.kind(), NotFound | NotADirectory | InvalidInput | InvalidData | PermissionDenied) =>
        {
            Ok(None)
        }
        read => read,
    }
}
