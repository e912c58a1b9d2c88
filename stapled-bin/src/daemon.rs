//! Running in the background.

use std::io::{self, PipeReader, PipeWriter, Read, Write};

use fork::Fork;
pub(crate) use stapled_core::io::pid_file::PidFile;

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
