//! The tickets of requests about one certificate.

use crate::time::Timestamp;

/// The number of a request. Later requests have greater numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// The number of the request after this one.
    pub(super) fn next(self) -> Self {
        Ticket(self.0 + 1)
    }
}

/// The requests about one certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Questions {
    pub(super) asked: Ticket,
    pub(super) answered: Ticket,
    /// Whether the last request brought no believed answer.
    pub(super) in_vain: bool,
    /// When the CA is or was asked because of a change at a server.
    pub(super) doubted: Option<Timestamp>,
}

impl Questions {
    /// Whether a request has no answer yet.
    pub(super) fn is_open(self) -> bool {
        self.answered < self.asked
    }
}
