//! The admin sockets that one configuration names, followed while the configuration changes.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;

use crate::cli::address::Address;
use crate::configuration::{HaproxyConfiguration, Socket};
use crate::running::source::HaproxySource;

/// How often a former socket is probed for a listener.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// How many probes in a row must find no listener before a former socket is dropped.
const PROBES: u32 = 3;

/// Whether the admin sockets are used that a configuration names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NamedSockets {
    /// They are used, beside the sockets that were given.
    #[default]
    Used,
    /// Only the sockets are used that were given.
    Ignored,
}

/// The admin sockets that one configuration names, and those that it named before.
#[derive(Clone, Debug)]
pub(crate) struct SocketHistory {
    use_of: NamedSockets,
    changes: watch::Receiver<Vec<Socket>>,
    /// The sockets that the configuration named at the last look.
    named: Vec<Address>,
    /// The sockets that it named before. HAProxy listens there until its next reload.
    former: Vec<Address>,
}

impl SocketHistory {
    /// A history that begins with the next [`look`](SocketHistory::look).
    pub(super) fn of(source: &HaproxyConfiguration, use_of: NamedSockets) -> Self {
        SocketHistory { use_of, changes: source.sockets(), named: Vec::new(), former: Vec::new() }
    }

    /// Continues the history of the same configuration.
    pub(super) fn succeed(&mut self, before: &SocketHistory) {
        (self.named, self.former) = (before.named.clone(), before.former.clone());
    }

    /// Takes the sockets that the configuration names now.
    pub(super) fn look(&mut self) {
        let found = self.changes.borrow_and_update().clone();
        let found = match self.use_of {
            NamedSockets::Used => found.into_iter().map(|socket| socket.address).collect(),
            NamedSockets::Ignored => Vec::new(),
        };
        for address in std::mem::replace(&mut self.named, found) {
            if !self.former.contains(&address) {
                self.former.push(address);
            }
        }
    }

    /// The sockets of the last look.
    pub(super) fn named(&self) -> &[Address] {
        &self.named
    }

    /// Drops the former sockets that some configuration names: such a socket belongs to that HAProxy by now.
    pub(super) fn forget_former(&mut self, named: &[Address]) {
        self.former.retain(|address| !named.contains(address));
    }

    /// All sockets that staples go to: named and former.
    pub(super) fn all(&self) -> impl Iterator<Item = &Address> {
        self.named.iter().chain(&self.former)
    }

    pub(super) fn use_of(&self) -> NamedSockets {
        self.use_of
    }

    /// Returns when the configuration names other sockets, or when a former socket has no listener any more.
    pub(super) async fn changed(&mut self) {
        if self.use_of == NamedSockets::Ignored {
            return std::future::pending().await;
        }
        let former = &mut self.former;
        tokio::select! {
            // The sender lives as long as the configuration's source.
            _ = self.changes.changed() => {}
            () = drop_silent(former) => {}
        }
    }
}

/// Returns when a former socket was dropped.
async fn drop_silent(former: &mut Vec<Address>) {
    let mut silent: HashMap<Address, u32> = HashMap::new();
    loop {
        tokio::time::sleep(PROBE_INTERVAL).await;
        for address in former.clone() {
            let is_gone = HaproxySource::new(&address).is_gone().await;
            let probes = silent.entry(address.clone()).or_default();
            *probes = if is_gone { *probes + 1 } else { 0 };
            if *probes >= PROBES {
                former.retain(|former| *former != address);
                return;
            }
        }
    }
}
