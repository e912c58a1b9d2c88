//! A unix socket of this program at a path: its owner, its rights, and what an earlier process left there.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::open::own_file;

/// The groups of the machine.
const GROUPS: &str = "/etc/group";

/// A socket that listens, which only this user may open, and [a group](Self::share_with) where that is wanted. Its path is removed when it is dropped. Beside it is a lock, a file with the
/// suffix `.lock`, which stays.
#[derive(Debug)]
pub struct OwnSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, so that the end removes no socket of another process.
    id: (u64, u64),
    /// Held as long as the socket exists: the system releases it at every end of the process.
    _lock: File,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnSocketError {
    /// Another process answers at this path.
    #[error("{}: another process answers there; stop that one first, or choose another path", .0.display())]
    Taken(PathBuf),
    /// A file of another kind has this path.
    #[error("{}: a file that is no socket has this path; remove it, or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// There is no such group.
    #[error("{path}: there is no group {1} in /etc/group: give its name or its number", path = .0.display())]
    NoGroup(PathBuf, String),
    /// The group does not get the socket.
    #[error("{path}: the group {1} cannot get the socket: {2}; this user must be a member of the group", path = .0.display())]
    NotShared(PathBuf, String, #[source] io::Error),
    /// The system returned an error.
    #[error("{path}: the socket cannot be created: {1}", path = .0.display())]
    Io(PathBuf, #[source] io::Error),
}

impl OwnSocket {
    /// Creates the socket with mode 0600. It replaces the socket of a process that has ended, and not that of a running process.
    ///
    /// # Errors
    ///
    /// The path is taken, or the system refuses.
    pub fn make(path: &Path) -> Result<Self, OwnSocketError> {
        let failed = |error| OwnSocketError::Io(path.to_owned(), error);
        let taken = || OwnSocketError::Taken(path.to_owned());
        let lock = beside(path, ".lock");
        let lock = own_file(&lock, 0o600).map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(taken()),
            Err(error) => return Err(failed(error.into())),
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(OwnSocketError::NotASocket(path.to_owned()));
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
        Ok(OwnSocket { listener, path: path.to_owned(), id, _lock: lock })
    }

    /// The same, and its directory if only the last part of that is missing.
    ///
    /// # Errors
    ///
    /// Those of [`OwnSocket::make`].
    pub fn make_with_directory(path: &Path) -> Result<Self, OwnSocketError> {
        if let Some(directory) = path.parent() {
            // An error shows when the socket is created.
            let _ = fs::DirBuilder::new().mode(0o755).create(directory);
        }
        OwnSocket::make(path)
    }

    /// Lets the members of a group open the socket, too: of the group with this name in /etc/group, or with this number.
    ///
    /// # Errors
    ///
    /// There is no such group, or this user may not give the socket to it.
    pub fn share_with(&self, group: &str) -> Result<(), OwnSocketError> {
        let number = match group.parse() {
            Ok(number) => Some(number),
            Err(_) => number_of(&fs::read_to_string(GROUPS).unwrap_or_default(), group),
        };
        let number = number.ok_or_else(|| OwnSocketError::NoGroup(self.path.clone(), group.to_owned()))?;
        // The group first: no other group ever has the rights.
        let shared = chown(&self.path, None, Some(number));
        let shared = shared.and_then(|()| fs::set_permissions(&self.path, Permissions::from_mode(0o660)));
        shared.map_err(|error| OwnSocketError::NotShared(self.path.clone(), group.to_owned(), error))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsRef<UnixListener> for OwnSocket {
    /// The socket, which does not block.
    fn as_ref(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.id);
        if is_ours {
            // If this fails, a client finds a socket at which no process listens.
            let _ = fs::remove_file(&self.path);
        }
        // The lock file stays: another process may already have opened it.
    }
}

/// The number of a group in the text of /etc/group.
fn number_of(groups: &str, name: &str) -> Option<u32> {
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
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
        let first = OwnSocket::make(&path).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(OwnSocket::make(&path), Err(OwnSocketError::Taken(..))));
        drop(first);
        assert!(!path.exists());
        // A killed process leaves its socket.
        drop(UnixListener::bind(&path).unwrap());
        let second = OwnSocket::make(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(second);
        // A socket of another program, in use.
        let foreign = UnixListener::bind(&path).unwrap();
        assert!(matches!(OwnSocket::make(&path), Err(OwnSocketError::Taken(..))));
        drop(foreign);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(OwnSocket::make(&path), Err(OwnSocketError::NotASocket(..))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_group_may_get_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let socket = OwnSocket::make(&path).unwrap();
        let own = fs::metadata(directory.path()).unwrap().gid();
        socket.share_with(&own.to_string()).unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.gid()), (0o660, own));
        assert!(matches!(socket.share_with("no such group"), Err(OwnSocketError::NoGroup(..))));
        assert_eq!(number_of("root:x:0:\nmonitors:x:117:icinga\n", "monitors"), Some(117));
        assert_eq!(number_of("root:x:0:\n:x:1:\nbroken\n", "broken"), None);
    }

    #[test]
    fn only_its_own_socket_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let socket = OwnSocket::make(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
        drop(other);
    }

    #[test]
    fn the_error_of_a_socket_that_cannot_be_created_names_its_path() {
        let error = OwnSocket::make(Path::new("/nowhere/control.sock")).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/control.sock: "), "{error}");
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("x".repeat(200));
        assert!(matches!(OwnSocket::make(&long), Err(OwnSocketError::Io(..))));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "only the lock");
    }
}
