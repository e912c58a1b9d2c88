//! A connection with one deadline for everything.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::target::Address;

/// A connection that ends at an instant, however its bytes come.
#[derive(Debug)]
pub(super) struct Deadline {
    socket: Socket,
    ends: Instant,
    timeout: Duration,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Deadline {
    /// Connects to this address. The connection and all that follows may take as long as `timeout`.
    pub(super) fn connect(address: &Address, timeout: Duration) -> io::Result<Self> {
        let ends = Instant::now() + timeout;
        let socket = match address {
            Address::Tcp(address) => TcpStream::connect_timeout(address, timeout).map(Socket::Tcp),
            Address::Unix(path) => UnixStream::connect(path).map(Socket::Unix),
        };
        let socket = socket.map_err(|error| io::Error::new(error.kind(), format!("no connection: {error}")))?;
        Ok(Deadline { socket, ends, timeout })
    }

    /// Sets how long the next read or write may take.
    fn limit(&self) -> io::Result<()> {
        let left = self.ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.late());
        }
        match &self.socket {
            Socket::Tcp(socket) => socket.set_read_timeout(Some(left)).and(socket.set_write_timeout(Some(left))),
            Socket::Unix(socket) => socket.set_read_timeout(Some(left)).and(socket.set_write_timeout(Some(left))),
        }
    }

    fn late(&self) -> io::Error {
        let what = format!("the server does not finish within {} s", self.timeout.as_secs_f32());
        io::Error::new(ErrorKind::TimedOut, what)
    }

    fn in_time<T>(&self, done: io::Result<T>) -> io::Result<T> {
        match done {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(self.late()),
            done => done,
        }
    }
}

impl Read for Deadline {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.limit()?;
        let read = match &mut self.socket {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Unix(socket) => socket.read(buffer),
        };
        self.in_time(read)
    }
}

impl Write for Deadline {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.limit()?;
        let written = match &mut self.socket {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        };
        self.in_time(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
