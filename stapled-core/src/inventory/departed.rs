//! Certificates that recently left their last place. A certificate that returns, from an older process of its server or
//! under another name, keeps its staple and its planned renewal, and its CA is not asked again.

use std::collections::VecDeque;
use std::time::Duration;

use super::inherited::Inherited;
use crate::by_subject::BySubject;
use crate::task::Subject;
use crate::time::Timestamp;

/// How long a departed certificate is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// The largest number of departed certificates that are remembered.
const MAX_REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Departed {
    known: BySubject<(Timestamp, Inherited)>,
    /// The departures in order, including those of certificates that have returned.
    order: VecDeque<(Timestamp, Subject)>,
}

impl Departed {
    pub(super) fn put(&mut self, subject: Subject, inherited: Inherited, now: Timestamp) {
        while let Some((at, _)) = self.order.front()
            && (is_over(*at, now) || self.order.len() >= MAX_REMEMBERED)
        {
            let Some((at, oldest)) = self.order.pop_front() else { break };
            // A certificate that departed again has a later entry.
            if self.known.get(&oldest).is_some_and(|(known, _)| *known == at) {
                self.known.remove(&oldest);
            }
        }
        self.order.push_back((now, subject.clone()));
        self.known.insert(subject, (now, inherited));
    }

    pub(super) fn take(&mut self, subject: &Subject, now: Timestamp) -> Option<Inherited> {
        let (at, inherited) = self.known.remove(subject)?;
        (!is_over(at, now)).then_some(inherited)
    }
}

/// Whether a departure is too old. A departure in the future was recorded by a clock that was ahead.
fn is_over(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) > REMEMBERED || at > now
}
