//! The socket's place in the file system: whose it is, and who had it before.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A socket that listens; its place is cleared when it is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Device and inode: what is removed at the end must be ours.
    id: (u64, u64),
    /// Held as long as the socket is: it ends with the process, however that ends.
    _lock: File,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlSocketError {
    #[error("{}: another stapled answers there; stop it first, or name another path with --control-socket", .path.display())]
    Taken { path: PathBuf },
    #[error("{}: something that is no socket lies there; remove it, or name another path with --control-socket", .path.display())]
    NotASocket { path: PathBuf },
    #[error("{}: the control socket cannot be made: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl ControlSocket {
    /// Makes the socket. One that a dead process left behind is replaced; that of a living one is not.
    pub(crate) fn make(path: &Path) -> Result<Self, ControlSocketError> {
        let failed = |error| ControlSocketError::Io { path: path.to_owned(), error };
        let taken = || ControlSocketError::Taken { path: path.to_owned() };
        let lock = beside(path, ".lock");
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock).map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(taken()),
            Err(error) => return Err(failed(error.into())),
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(ControlSocketError::NotASocket { path: path.to_owned() });
            }
            // One of ours would hold the lock; but it may be somebody else's.
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(taken()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        // Under another name first: it must not be there with rights that are too wide, not even for a moment.
        let new = beside(path, ".new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let made = UnixListener::bind(&new).and_then(|listener| {
            fs::set_permissions(&new, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            let metadata = fs::symlink_metadata(&new)?;
            fs::rename(&new, path)?;
            Ok((listener, (metadata.dev(), metadata.ino())))
        });
        let (listener, id) = made.map_err(|error| {
            let _ = fs::remove_file(&new);
            failed(error)
        })?;
        Ok(ControlSocket { listener, path: path.to_owned(), id, _lock: lock })
    }

    /// Makes the socket at the usual place, with the directory it lies in where only that is missing.
    pub(crate) fn make_usual(path: &Path) -> Result<Self, ControlSocketError> {
        if let Some(directory) = path.parent() {
            // What is wrong with it shows at the socket.
            let _ = fs::DirBuilder::new().mode(0o755).create(directory);
        }
        ControlSocket::make(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.id);
        if is_ours {
            // Whoever finds it sees that nobody listens.
            let _ = fs::remove_file(&self.path);
        }
        // The lock's file stays: another process may wait for it already.
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let first = ControlSocket::make(&path).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(ControlSocket::make(&path), Err(ControlSocketError::Taken { .. })));
        drop(first);
        assert!(!path.exists());
        // As a killed process leaves it.
        drop(UnixListener::bind(&path).unwrap());
        let second = ControlSocket::make(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(second);
        // Somebody else's that lives.
        let foreign = UnixListener::bind(&path).unwrap();
        assert!(matches!(ControlSocket::make(&path), Err(ControlSocketError::Taken { .. })));
        drop(foreign);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::make(&path), Err(ControlSocketError::NotASocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn only_what_is_its_own_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let socket = ControlSocket::make(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
        drop(other);
    }

    #[test]
    fn what_cannot_be_made_says_where() {
        let error = ControlSocket::make(Path::new("/nowhere/control.sock")).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/control.sock: "), "{error}");
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("x".repeat(200));
        assert!(matches!(ControlSocket::make(&long), Err(ControlSocketError::Io { .. })));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "only the lock");
    }
}
