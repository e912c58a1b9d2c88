//! Outages of the store, each logged once with its end.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use stapled_core::scheduler::SchedulerError;

/// Since when the store of this process does not answer.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// Notes that the store failed. Other errors of a scheduler are answers of the store.
    pub(crate) fn failed(&self, error: &SchedulerError) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(error, SchedulerError::Store(_)) && since.is_none() {
            *since = Some(Instant::now());
            tracing::error!(%error, "the store of the sessions does not answer; the daemons wait for it");
        }
    }

    /// Notes that the store answers.
    pub(crate) fn is_over(&self) {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(since) = since {
            let seconds = since.elapsed().as_secs();
            tracing::warn!(seconds, "the store of the sessions answers again");
        }
    }
}
