//! The running HAProxys that a program knows: one source for each admin socket.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cli::address::Address;
use crate::running::source::HaproxySource;

/// The running HAProxys that a program knows, by their admin sockets. A clone knows the same ones.
///
/// A process that serves a certificate which no file holds any more cannot be asked for it. Its source remembers what it
/// has read, so a program that builds one stapler after another keeps its `Processes` and gives them to each
/// [`Haproxy`](super::Haproxy).
#[derive(Clone, Default)]
pub struct Processes {
    known: Arc<Mutex<HashMap<Address, HaproxySource>>>,
    reports: Reports,
}

/// When a source reports that a process serves another certificate than its file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reports {
    /// After the time that a reload takes.
    #[default]
    AfterGrace,
    /// In the first scan.
    AtOnce,
}

impl Processes {
    /// No process yet; for a program that keeps running.
    pub fn new() -> Self {
        Processes::default()
    }

    /// No process yet; for a program that scans each source once. Their sources report a certificate that differs from
    /// its file at once, without the grace that a reload has.
    pub fn for_one_scan() -> Self {
        Processes { reports: Reports::AtOnce, ..Processes::default() }
    }

    /// The source for the process behind this socket. `keepalive` counts where the socket is new.
    pub(crate) fn at(&self, address: &Address, keepalive: Option<Duration>) -> HaproxySource {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let source = HaproxySource::new(address);
            let source = keepalive.into_iter().fold(source, HaproxySource::keepalive);
            match self.reports {
                Reports::AfterGrace => source,
                Reports::AtOnce => source.grace(Duration::ZERO),
            }
        };
        known.entry(address.clone()).or_insert_with(new).clone()
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses: Vec<&Address> = known.keys().collect();
        f.debug_struct("Processes").field("known", &addresses).field("reports", &self.reports).finish()
    }
}
