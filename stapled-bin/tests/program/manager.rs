//! A service manager: the socket of NOTIFY_SOCKET, and what it is sent.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::world::PATIENCE;

pub(crate) struct Manager(UnixDatagram);

impl Manager {
    /// A service manager at an address of NOTIFY_SOCKET: a path, or a name in the abstract namespace after an @.
    pub(crate) fn at(address: &str) -> Self {
        let address = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(address),
        };
        Manager(UnixDatagram::bind_addr(&address.unwrap()).unwrap())
    }

    /// The next message that begins with this word.
    pub(crate) fn told(&self, word: &str) -> String {
        self.told_until(word).pop().unwrap()
    }

    /// The messages up to the next that begins with this word.
    pub(crate) fn told_until(&self, word: &str) -> Vec<String> {
        let mut messages = Vec::new();
        loop {
            let message = self.next(PATIENCE).unwrap_or_else(|| panic!("no {word} after {messages:?}"));
            let is_it = message.starts_with(word);
            messages.push(message);
            if is_it {
                return messages;
            }
        }
    }

    /// Waits until no message has come for this time.
    pub(crate) fn wait_for_silence(&self, time: Duration) {
        while self.next(time).is_some() {}
    }

    fn next(&self, time: Duration) -> Option<String> {
        let mut buffer = [0; 1024];
        self.0.set_read_timeout(Some(time)).unwrap();
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(buffer.get(..length).unwrap()).into_owned())
    }
}
