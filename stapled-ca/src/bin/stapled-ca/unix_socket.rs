//! Unix sockets that only this user may open.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// The file of a socket. It is removed when this is dropped, unless another process has put its own in its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// The device and the number of the file.
    identity: (u64, u64),
}

impl SocketFile {
    /// A listener at this path, and its file. A socket that is there is replaced.
    pub(crate) fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        // Made in a directory of mode 0700, so that nothing connects before its own mode is set; then moved over an old socket.
        let private = tempfile::Builder::new().prefix(".socket").tempdir_in(folder)?;
        let made = private.path().join(path.file_name().unwrap_or(OsStr::new("socket")));
        let listener = UnixListener::bind(&made)?;
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&made, path)?;
        let identity = identity(path)?;
        Ok((listener, SocketFile { path: path.to_owned(), identity }))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // The process ends. A file that stays does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_removed_by_its_own_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let (_listener, file) = SocketFile::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Another process takes the place.
        let (_other, other) = SocketFile::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
        drop(other);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
