//! Leaving the terminal, and the file with the process's number.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use fork::Fork;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// One of the two processes after [`detach`].
pub(crate) enum Detached {
    /// The one that was started: it waits for word from the other and ends with this exit code.
    Parent(Word),
    /// The one in the background. Its standard error is still the terminal's.
    Child(Ready),
}

/// Word from the background.
pub(crate) struct Word(PipeReader);

/// Gives word to the process that was started. Dropped without it, that process ends with exit code 1.
pub(crate) struct Ready(PipeWriter);

/// Splits off a process in the background: its own session, not its leader, so that no terminal becomes its own.
///
/// To be called before there are threads.
pub(crate) fn detach() -> io::Result<Detached> {
    let (reader, writer) = io::pipe()?;
    if let Fork::Parent(_) = fork::fork()? {
        // The other process has its own.
        drop(writer);
        return Ok(Detached::Parent(Word(reader)));
    }
    drop(reader);
    fork::setsid()?;
    if let Fork::Parent(_) = fork::fork()? {
        std::process::exit(0);
    }
    Ok(Detached::Child(Ready(writer)))
}

impl Word {
    /// Waits for the exit code: 0 when the other process is ready.
    pub(crate) fn wait(mut self) -> u8 {
        let mut code = [0];
        match self.0.read_exact(&mut code) {
            Ok(()) => code.first().copied().unwrap_or(1),
            Err(_) => 1,
        }
    }
}

impl Ready {
    /// Everything runs: lets the terminal go.
    pub(crate) fn ready(mut self) -> io::Result<()> {
        fork::chdir()?;
        fork::redirect_stdio()?;
        self.0.write_all(&[0])
    }

    /// It does not, and why was said.
    pub(crate) fn failed(mut self, code: u8) {
        // Nobody to tell: the process that was started is gone.
        let _ = self.0.write_all(&[code]);
    }
}

/// A file with the number of this process, locked as long as it runs; removed when dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    _lock: File,
}

/// Why there is no pid file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PidFileError {
    #[error("--pid-file {}: another stapled runs with it (process {pid}); stop it first", .path.display())]
    Running { path: PathBuf, pid: String },
    #[error("--pid-file {}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl PidFile {
    /// Writes the number of this process.
    pub(crate) fn create(path: &Path) -> Result<Self, PidFileError> {
        let failed = |error| PidFileError::Io { path: path.to_owned(), error };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // For the message only.
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
        // Whoever finds it sees that nobody holds its lock.
        let _ = std::fs::remove_file(&self.path);
    }
}
