//! The reason codes of the problems of a [`DirectorySource`](super::DirectorySource) scan.

use crate::reason::ReasonCode;

/// The root does not exist.
pub(crate) const PATH_MISSING: ReasonCode = ReasonCode::new("path_missing");
/// A directory cannot be read. Its certificates keep their known state.
pub(crate) const UNREADABLE_DIRECTORY: ReasonCode = ReasonCode::new("unreadable_directory");
/// A file's attributes cannot be read.
pub(crate) const UNREADABLE_FILE: ReasonCode = ReasonCode::new("unreadable_file");
/// A FIFO, a device or a socket has the name of a certificate file. It is not opened.
pub(crate) const NOT_A_FILE: ReasonCode = ReasonCode::new("not_a_file");
/// A symbolic link leads to itself, or to a directory that contains it. It is not followed.
pub(crate) const SYMLINK_LOOP: ReasonCode = ReasonCode::new("symlink_loop");
/// The target of a symbolic link does not exist.
pub(crate) const DANGLING_LINK: ReasonCode = ReasonCode::new("dangling_link");
/// A directory has more entries than the limit allows.
pub(crate) const TOO_MANY_FILES: ReasonCode = ReasonCode::new("too_many_files");
/// A directory is deeper below the root than the limit allows.
pub(crate) const TOO_DEEP: ReasonCode = ReasonCode::new("too_deep");
/// The scan itself failed.
pub(crate) const SCAN_FAILED: ReasonCode = ReasonCode::new("scan_failed");
