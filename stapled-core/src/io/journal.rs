//! The socket of systemd's journal.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;

/// Where the journal takes datagrams of its native protocol.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Sends each write to systemd's journal, as a datagram. It blocks while the journal is busy.
#[derive(Debug)]
pub struct Journal(UnixDatagram);

impl Journal {
    /// Finds the journal.
    ///
    /// # Errors
    ///
    /// No journal listens at `/run/systemd/journal/socket`, or this user may not send there.
    pub fn open() -> io::Result<Self> {
        let with_place =
            |error: io::Error| io::Error::new(error.kind(), format!("no journal listens at {SOCKET}: {error}"));
        // The journal may start again later, so the socket that is kept is not connected.
        UnixDatagram::unbound()?.connect(SOCKET).map_err(with_place)?;
        UnixDatagram::unbound().map(Journal)
    }
}

impl io::Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.send_to(bytes, SOCKET) {
            // While the journal starts again, there is no place for the line.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(bytes.len()),
            sent => sent,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
