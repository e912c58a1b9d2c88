//! The file with the ID of a daemon's process.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::open::own_file;

/// A file with the ID of this process. It is locked while the process runs, and removed when it is dropped.
///
/// ```no_run
/// use stapled_core::io::pid_file::PidFile;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let file = PidFile::create("/run/proxy.pid".as_ref())?;
/// // The daemon runs.
/// drop(file);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    _lock: File,
}

/// Why there is no pid file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PidFileError {
    /// A running process has the file.
    #[error("{}: another process uses this file (process {pid}); stop that one first", .path.display())]
    Running {
        /// The file.
        path: PathBuf,
        /// The ID in the file.
        pid: String,
    },
    /// The system returned an error.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
}

impl PidFile {
    /// Writes the ID of this process into a file at this path. A file that an ended process left there is taken over; a symbolic link
    /// is not followed.
    ///
    /// # Errors
    ///
    /// A running process has the file, or the system refuses.
    pub fn create(path: &Path) -> Result<Self, PidFileError> {
        let failed = |error| PidFileError::Io { path: path.to_owned(), error };
        let mut file = own_file(path, 0o666).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // The ID is only for the message.
                let _ = (&mut file).take(20).read_to_string(&mut pid);
                return Err(PidFileError::Running { path: path.to_owned(), pid: pid.trim().to_owned() });
            }
            Err(error) => return Err(failed(error.into())),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(PidFile { path: path.to_owned(), _lock: file })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // If this fails, the file stays without a lock, and the next process takes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_the_file_and_the_end_removes_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        std::fs::write(&path, "99999999 of a process that has ended\n").unwrap();
        let first = PidFile::create(&path).unwrap();
        let id = std::process::id().to_string();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{id}\n"));
        let error = PidFile::create(&path).unwrap_err();
        assert!(matches!(&error, PidFileError::Running { pid, .. } if *pid == id), "{error}");
        drop(first);
        assert!(!path.exists());
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(PidFile::create(&path).is_err());
    }
}
