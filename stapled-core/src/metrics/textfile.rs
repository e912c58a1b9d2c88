//! The numbers in a file.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The textfile collector runs as another user.
const MODE: u32 = 0o644;

/// Replaces the file by one with this text.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The collector reads every file whose name ends in `.prom`: the temporary one does not.
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    let mut file = tempfile::Builder::new().prefix(&prefix).suffix(".new").tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(MODE))?;
    // The numbers are of no use after a crash of the machine: they are not synced.
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
