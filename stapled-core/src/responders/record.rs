//! What one responder did lately, for operators. Nothing is decided by it.

use std::time::Duration;

use crate::event::faults::Failing;
use crate::time::Timestamp;

/// The last answers of one responder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// When an answer was last believed.
    pub(crate) success: Option<Timestamp>,
    /// How long the last exchange took, with an answer or without.
    pub(crate) took: Option<Duration>,
    /// The last question without a believed answer, and its time.
    pub(crate) error: Option<Failing>,
}

/// The state of one responder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) record: Record,
    /// How many requests without an answer came last.
    pub(crate) failures: u32,
    /// Until when its breaker is open.
    pub(crate) open_until: Option<Timestamp>,
    /// How many requests are under way.
    pub(crate) under_way: usize,
    /// How many certificates wait for its breaker.
    pub(crate) waiting: usize,
}
