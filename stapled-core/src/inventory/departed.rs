//! Certificates that have just gone: one that comes back, out of an older process of its server or under another name,
//! goes on where it was, and its CA is not asked again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Inherited;
use crate::task::Subject;
use crate::time::Timestamp;

/// For how long they are remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// So many are remembered at most.
const MAX_REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Departed {
    known: HashMap<Subject, Inherited>,
    /// In the order in which they went.
    order: VecDeque<(Timestamp, Subject)>,
}

impl Departed {
    pub(super) fn put(&mut self, subject: Subject, inherited: Inherited, now: Timestamp) {
        // A clock that was ahead makes nothing stay for longer than the many that come after.
        let is_over = |at: Timestamp| now.since(at) > REMEMBERED || at > now;
        while let Some((at, _)) = self.order.front()
            && (is_over(*at) || self.order.len() >= MAX_REMEMBERED)
        {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            self.known.remove(&oldest);
        }
        self.order.push_back((now, subject.clone()));
        self.known.insert(subject, inherited);
    }

    pub(super) fn take(&mut self, subject: &Subject) -> Option<Inherited> {
        let taken = self.known.remove(subject)?;
        self.order.retain(|(_, other)| other != subject);
        Some(taken)
    }
}
