//! Running in the background, and the pid file.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use fork::Fork;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use stapled_core::io::open::own_file;

/// One of the two processes after [`detach`].
pub(crate) enum Detached {
    /// The process that was started. It waits for the exit code from the other one, and ends with it.
    Parent(ExitCodeReceiver),
    /// The process in the background. Its standard error is still that of the terminal.
    Child(Ready),
}

/// Receives the exit code from the background.
pub(crate) struct ExitCodeReceiver(PipeReader);

/// Sends the exit code to the process that was started. If it is dropped, that process ends with exit code 1.
pub(crate) struct Ready(PipeWriter);

/// Forks a process in the background. It has its own session and does not lead it, so that it never gets a terminal.
///
/// This has to be called before threads are started.
pub(crate) fn detach() -> io::Result<Detached> {
    let (reader, writer) = io::pipe()?;
    if let Fork::Parent(_) = fork::fork()? {
        // The other process has its own copy.
        drop(writer);
        return Ok(Detached::Parent(ExitCodeReceiver(reader)));
    }
    drop(reader);
    fork::setsid()?;
    if let Fork::Parent(_) = fork::fork()? {
        std::process::exit(0);
    }
    Ok(Detached::Child(Ready(writer)))
}

impl ExitCodeReceiver {
    /// Waits for the exit code, which is 0 when the other process is ready.
    pub(crate) fn wait(mut self) -> u8 {
        let mut code = [0];
        match self.0.read_exact(&mut code) {
            Ok(()) => code.first().copied().unwrap_or(1),
            Err(_) => 1,
        }
    }
}

impl Ready {
    /// Reports that the program runs, and detaches from the terminal.
    pub(crate) fn ready(mut self) -> io::Result<()> {
        fork::chdir()?;
        fork::redirect_stdio()?;
        self.0.write_all(&[0])
    }

    /// Reports that the program does not run; the error was printed.
    pub(crate) fn failed(mut self, code: u8) {
        // If this fails, the process that was started has ended.
        let _ = self.0.write_all(&[code]);
    }
}

/// A file with the ID of this process. It is locked while the process runs, and removed when it is dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    _lock: File,
}

/// Why there is no pid file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PidFileError {
    #[error("--pid-file {}: another stapled uses this file (process {pid}); stop that one first", .path.display())]
    Running { path: PathBuf, pid: String },
    #[error("--pid-file {}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl PidFile {
    /// Writes the ID of this process.
    pub(crate) fn create(path: &Path) -> Result<Self, PidFileError> {
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
