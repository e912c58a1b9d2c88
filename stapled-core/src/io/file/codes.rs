//! The reason codes of a [`FileSink`](super::FileSink) that cannot deliver.

use crate::reason::ReasonCode;

/// The certificate is not in a file, so there is no path beside it.
pub(crate) const NO_FILE: ReasonCode = ReasonCode::new("no_file");
/// A server that loads the certificate would not find its issuer. Some servers do not start if they find a staple
/// without an issuer.
pub const ISSUER_NOT_FOUND_BY_SERVER: ReasonCode = ReasonCode::new("issuer_not_found_by_server");
/// A server that loads the certificate uses another certificate as its issuer, one that has the issuer's name and comes
/// first. The server rejects the staple.
pub const WRONG_ISSUER_FIRST: ReasonCode = ReasonCode::new("wrong_issuer_first");
/// A response that had ended, or was about another certificate, was removed.
pub(crate) const REMOVED: ReasonCode = ReasonCode::new("staple_file_removed");
/// Such a response could not be removed.
pub(crate) const NOT_REMOVED: ReasonCode = ReasonCode::new("staple_file_not_removed");
/// The disk or the user's quota is full.
pub(crate) const DISK_FULL: ReasonCode = ReasonCode::new("disk_full");
/// The file system is read-only.
pub(crate) const READ_ONLY: ReasonCode = ReasonCode::new("read_only");
/// This user may not write to the directory.
pub(crate) const NO_PERMISSION: ReasonCode = ReasonCode::new("no_permission");
/// The directory does not exist.
pub(crate) const DIRECTORY_MISSING: ReasonCode = ReasonCode::new("directory_missing");
/// The process or the system has no free file descriptor.
pub(crate) const TOO_MANY_OPEN_FILES: ReasonCode = ReasonCode::new("too_many_open_files");
/// The file cannot be written for another reason.
pub(crate) const UNWRITABLE: ReasonCode = ReasonCode::new("unwritable");
/// The certificate is not among those of this server.
pub(crate) const OTHER_SERVER: ReasonCode = ReasonCode::new("other_server");
/// The staple of another certificate has this path.
pub(crate) const PATH_TAKEN: ReasonCode = ReasonCode::new("staple_path_taken");
/// The file's name has no form that the layout can use.
pub(crate) const UNFIT_NAME: ReasonCode = ReasonCode::new("unfit_file_name");
