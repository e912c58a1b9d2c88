//! The responders that a stapler asks, as operators see them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::handle::{Handle, HandleError};
use crate::event::faults::Failing;
use crate::queues;
use crate::responders::Snapshot;
use crate::time::Timestamp;

/// The state of one responder: a host and port that certificates name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResponderStatus {
    /// Host and port.
    pub host: String,
    /// How many certificates name it.
    pub certificates: usize,
    /// Until when it is left alone, because it failed several times in a row. None: it is asked.
    pub left_alone_until: Option<Timestamp>,
    /// How many requests without an answer came last.
    pub failures: u32,
    /// How many requests are under way.
    pub under_way: usize,
    /// How many renewals are due and wait: for a slot, for the rate, or for the end of the pause.
    pub waiting: usize,
    /// How long the last exchange took, with an answer or without.
    pub last_took: Option<Duration>,
    /// When its last answer was believed.
    pub last_success: Option<Timestamp>,
    /// The last question without a believed answer; `since` is its time.
    pub last_error: Option<Failing>,
}

impl Handle {
    /// The state of every responder that a certificate names, in the order of the hosts. Takes long where there are many
    /// certificates.
    ///
    /// # Errors
    ///
    /// The scheduler failed.
    pub async fn responders(&self) -> Result<Vec<ResponderStatus>, HandleError> {
        let census = self.scheduler().census().await?;
        let mut certificates: BTreeMap<String, usize> = BTreeMap::new();
        for host in self.hosts() {
            *certificates.entry(host).or_default() += 1;
        }
        let mut known: HashMap<String, Snapshot> = self.known_responders();
        let statuses = certificates.into_iter().map(|(host, certificates)| {
            let Snapshot { record, failures, open_until, under_way, waiting } = known.remove(&host).unwrap_or_default();
            let queue = census.queues.get(&queues::renew(&host)).copied().unwrap_or_default();
            let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
            let due = count(queue.due).saturating_add(count(queue.leased).saturating_sub(under_way));
            ResponderStatus {
                host,
                certificates,
                left_alone_until: open_until,
                failures,
                under_way,
                waiting: waiting.saturating_add(due),
                last_took: record.took,
                last_success: record.success,
                last_error: record.error,
            }
        });
        Ok(statuses.collect())
    }
}
