//! The numbers of tasks in a scheduler.

use std::collections::BTreeMap;

use crate::task::Queue;
use crate::time::Timestamp;

/// The numbers of tasks, by queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// By queue.
    pub queues: BTreeMap<Queue, QueueCensus>,
    /// Subjects on record that have no task, by state.
    pub resting: BTreeMap<String, u64>,
}

/// The tasks of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueCensus {
    /// Waiting, and not due yet.
    pub waiting: u64,
    /// Due and not taken yet.
    pub due: u64,
    /// Leased to a worker.
    pub leased: u64,
    /// Parked until they are hastened.
    pub parked: u64,
    /// When the next waiting task is due.
    pub next_due: Option<Timestamp>,
}
