//! The stapler that runs now, for answers.

use std::sync::{Mutex, PoisonError};

use stapled_core::clock::{Clock, SystemClock};
use stapled_core::stapler::Handle;
use stapled_core::time::Timestamp;
use tokio::sync::Semaphore;

use super::protocol::{Daemon, Last};
use crate::summary::Totals;

/// How many renewals may be waited for at once; others are refused.
const RENEWALS: usize = 4;

/// The stapler that runs now. A reload replaces it.
pub(crate) struct Known {
    since: Timestamp,
    current: Mutex<(Handle, Timestamp)>,
    /// One permit for each renewal that a client waits for.
    pub(super) renewals: Semaphore,
}

impl Known {
    /// The stapler of a process that starts now.
    pub(crate) fn new(handle: Handle) -> Self {
        let now = SystemClock.now();
        Known { since: now, current: Mutex::new((handle, now)), renewals: Semaphore::new(RENEWALS) }
    }

    /// Replaces the stapler.
    pub(crate) fn replace(&self, handle: Handle) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = (handle, SystemClock.now());
    }

    /// The stapler that runs now, and its start.
    pub(super) fn current(&self) -> (Handle, Timestamp) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last line of an answer.
    pub(super) fn last(&self, totals: Totals) -> Last {
        let daemon = Daemon {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.since.to_string(),
            configured: self.current().1.to_string(),
        };
        Last { totals, daemon }
    }
}
