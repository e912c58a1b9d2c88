//! The stapler that runs now, for answers.

use stapled_core::clock::{Clock, SystemClock};
use stapled_core::metrics::Metrics;
use stapled_core::responder::Responder;
use stapled_core::stapler::Handle;
use stapled_core::time::Timestamp;
use tokio::sync::{Semaphore, watch};

use super::protocol::{Daemon, Last};
use crate::logging::Verbosity;
use crate::summary::Totals;

/// How many renewals may be waited for at once; others are refused.
const RENEWALS: usize = 4;

/// The stapler that runs now. A reload replaces it.
pub(crate) struct Known {
    /// The numbers that show the stapler's state.
    metrics: Option<Metrics>,
    /// The responder that answers servers.
    ocsp: Option<Responder>,
    since: Timestamp,
    current: watch::Sender<(Handle, Timestamp)>,
    /// One permit for each renewal that a client waits for.
    pub(super) renewals: Semaphore,
    /// How much is logged.
    pub(super) verbosity: Verbosity,
}

impl Known {
    /// The stapler of a process that starts now.
    pub(crate) fn new(handle: Handle, metrics: Option<Metrics>, ocsp: Option<Responder>, verbosity: Verbosity) -> Self {
        let now = SystemClock.now();
        if let Some(metrics) = &metrics {
            metrics.watch(handle.clone());
        }
        Known {
            metrics,
            ocsp,
            since: now,
            current: watch::Sender::new((handle, now)),
            renewals: Semaphore::new(RENEWALS),
            verbosity,
        }
    }

    /// Replaces the stapler.
    pub(crate) fn replace(&self, handle: Handle) {
        if let Some(metrics) = &self.metrics {
            metrics.watch(handle.clone());
        }
        self.current.send_replace((handle, SystemClock.now()));
    }

    /// The stapler that runs now, and its start.
    pub(crate) fn current(&self) -> (Handle, Timestamp) {
        self.current.borrow().clone()
    }

    /// The stapler that replaces one that has ended, when it has found its certificates.
    pub(super) async fn successor(&self, ended: &Handle) -> Option<Handle> {
        let mut changes = self.current.subscribe();
        let (next, _) = changes.wait_for(|(handle, _)| !handle.is_same(ended)).await.ok()?.clone();
        next.ready().await.ok().map(|()| next)
    }

    /// The last line of an answer. Before the first scan is finished, an answer that looks good says little.
    pub(crate) fn last(&self, mut totals: Totals) -> Last {
        let scanning = !self.current().0.has_scanned();
        totals.exit_code = totals.exit_code.max(u8::from(scanning));
        let daemon = Daemon {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.since.to_string(),
            configured: self.current().1.to_string(),
            answered: self.ocsp.as_ref().map(Responder::questions).unwrap_or_default(),
        };
        Last { totals, scanning, daemon }
    }
}
