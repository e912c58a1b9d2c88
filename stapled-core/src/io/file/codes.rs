//! The words for what a [`FileSink`] did not or could not do.

use crate::reason::ReasonCode;

/// The certificate does not lie in a file, so that there is no place beside it.
pub(crate) const NO_FILE: ReasonCode = ReasonCode::new("no_file");
/// A server that loads the certificate would not find its issuer, and there are servers that do not start when they
/// find a staple without an issuer.
pub const ISSUER_NOT_FOUND_BY_SERVER: ReasonCode = ReasonCode::new("issuer_not_found_by_server");
/// A server that loads the certificate takes another certificate for its issuer, which has the issuer's name and comes
/// first: it takes no staple.
pub const WRONG_ISSUER_FIRST: ReasonCode = ReasonCode::new("wrong_issuer_first");
/// The disk, or the user's share of it, is full.
pub(crate) const DISK_FULL: ReasonCode = ReasonCode::new("disk_full");
/// The file system is read-only.
pub const READ_ONLY: ReasonCode = ReasonCode::new("read_only");
/// This user may not write there.
pub const NO_PERMISSION: ReasonCode = ReasonCode::new("no_permission");
/// The directory does not exist.
pub const DIRECTORY_MISSING: ReasonCode = ReasonCode::new("directory_missing");
/// This process has no file descriptor left, or the system has none.
pub(crate) const TOO_MANY_OPEN_FILES: ReasonCode = ReasonCode::new("too_many_open_files");
/// The file cannot be written for another reason.
pub const UNWRITABLE: ReasonCode = ReasonCode::new("unwritable");
