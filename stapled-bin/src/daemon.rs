//! Running in the background.

use std::io::{self, PipeWriter, Read, Write};

use fork::Fork;
pub(crate) use stapled_core::io::pid_file::PidFile;

/// One of the two processes after [`detach`].
pub(crate) enum Detached {
    /// The process that was started. It ends with this exit code, which came from the other one: 0 when that is ready.
    Parent(u8),
    /// The process in the background. Its standard error is still that of the terminal.
    Child(Ready),
}

/// Sends the exit code to the process that was started. If it is dropped, that process ends with exit code 1.
pub(crate) struct Ready(PipeWriter);

/// Forks a process in the background, and waits until that is ready or has failed. It has its own session and does not lead it, so that
/// it never gets a terminal. This has to be called before threads are started.
pub(crate) fn detach() -> io::Result<Detached> {
    let (mut reader, writer) = io::pipe()?;
    if let Fork::Parent(_) = fork::fork()? {
        // The other process has its own copy.
        drop(writer);
        let mut code = Vec::new();
        // If the other process has ended, there is none.
        let _ = reader.read_to_end(&mut code);
        return Ok(Detached::Parent(code.first().copied().unwrap_or(1)));
    }
    drop(reader);
    fork::setsid()?;
    if let Fork::Parent(_) = fork::fork()? {
        std::process::exit(0);
    }
    Ok(Detached::Child(Ready(writer)))
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
