//! The words for what a [`DirectorySource`] could not look at.

use crate::reason::ReasonCode;

/// The root does not exist.
pub(crate) const PATH_MISSING: ReasonCode = ReasonCode::new("path_missing");
/// A directory cannot be read: what is in it stays as it was known.
pub(crate) const UNREADABLE_DIRECTORY: ReasonCode = ReasonCode::new("unreadable_directory");
/// A file's attributes cannot be read.
pub(crate) const UNREADABLE_FILE: ReasonCode = ReasonCode::new("unreadable_file");
/// A FIFO, a device or a socket stands where a certificate should be. It is not opened.
pub(crate) const NOT_A_FILE: ReasonCode = ReasonCode::new("not_a_file");
/// A symbolic link leads to itself, or to a directory that it lies in. It is not followed.
pub(crate) const SYMLINK_LOOP: ReasonCode = ReasonCode::new("symlink_loop");
/// A symbolic link leads nowhere.
pub(crate) const DANGLING_LINK: ReasonCode = ReasonCode::new("dangling_link");
/// There are more entries than are looked at.
pub(crate) const TOO_MANY_FILES: ReasonCode = ReasonCode::new("too_many_files");
/// A directory lies deeper than is looked.
pub(crate) const TOO_DEEP: ReasonCode = ReasonCode::new("too_deep");
/// The scan itself broke off.
pub const SCAN_FAILED: ReasonCode = ReasonCode::new("scan_failed");
