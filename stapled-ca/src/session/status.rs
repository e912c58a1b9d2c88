//! What operators see of all sessions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stapled_core::scheduler::census::QueueCensus;

use super::intake::{SessionError, Sessions};

/// The sessions of an authority in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionsStatus {
    /// The sessions that are neither dead nor in the ledger.
    pub active: usize,
    /// The tasks of each queue.
    pub queues: BTreeMap<String, QueueStatus>,
    /// The active sessions that wait for their client, and those that are over and kept for a while, by state.
    pub resting: BTreeMap<String, u64>,
}

/// The tasks of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueStatus {
    /// Not due yet: for another attempt, or for the end of a session's time.
    pub waiting: u64,
    /// Due, and not taken by a daemon yet.
    pub due: u64,
    /// Taken by a daemon.
    pub leased: u64,
    /// Given up after ten failures in a row, until an operator makes them due again.
    pub parked: u64,
}

impl From<&QueueCensus> for QueueStatus {
    fn from(census: &QueueCensus) -> Self {
        QueueStatus { waiting: census.waiting, due: census.due, leased: census.leased, parked: census.parked }
    }
}

impl Sessions {
    /// The sessions in numbers.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn status(&self) -> Result<SessionsStatus, SessionError> {
        let (active, census) = (self.store.active_count().await?, self.store.census().await?);
        let queues = census.queues.iter().map(|(queue, census)| (queue.to_string(), census.into())).collect();
        Ok(SessionsStatus { active, queues, resting: census.resting })
    }
}
