//! The path of the control socket: its owner, its rights, and what an earlier process left there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A socket that listens. Its path is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Device and inode, so that the end removes no socket of another process.
    id: (u64, u64),
    /// Held as long as the socket exists: the system releases it at every end of the process.
    _lock: File,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlSocketError {
    #[error("{}: another stapled answers there; stop that one first, or name another path with --control-socket", .path.display())]
    Taken { path: PathBuf },
    #[error("{}: a file that is no socket has this path; remove it, or name another path with --control-socket", .path.display())]
    NotASocket { path: PathBuf },
    #[error("{}: the control socket cannot be created: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl ControlSocket {
    /// Creates the socket. It replaces the socket of a process that has ended, and not that of a running process.
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
            // Another stapled would hold the lock; a different program can have this socket.
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(taken()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        // Under another name first, so that the path never has rights that are too wide.
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

    /// Creates the socket at the usual path, and its directory if only the last part of that is missing.
    pub(crate) fn make_usual(path: &Path) -> Result<Self, ControlSocketError> {
        if let Some(directory) = path.parent() {
            // An error shows when the socket is created.
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
            // If this fails, a client finds a socket at which no process listens.
            let _ = fs::remove_file(&self.path);
        }
        // The lock file stays: another process may already have opened it.
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
    fn the_socket_of_an_ended_process_is_replaced_and_one_in_use_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let first = ControlSocket::make(&path).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(ControlSocket::make(&path), Err(ControlSocketError::Taken { .. })));
        drop(first);
        assert!(!path.exists());
        // A killed process leaves its socket.
        drop(UnixListener::bind(&path).unwrap());
        let second = ControlSocket::make(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(second);
        // A socket of another program, in use.
        let foreign = UnixListener::bind(&path).unwrap();
        assert!(matches!(ControlSocket::make(&path), Err(ControlSocketError::Taken { .. })));
        drop(foreign);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::make(&path), Err(ControlSocketError::NotASocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn only_its_own_socket_is_removed() {
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
    fn the_error_of_a_socket_that_cannot_be_created_names_its_path() {
        let error = ControlSocket::make(Path::new("/nowhere/control.sock")).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/control.sock: "), "{error}");
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("x".repeat(200));
        assert!(matches!(ControlSocket::make(&long), Err(ControlSocketError::Io { .. })));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "only the lock");
    }
}
