//! The takers that wait for tasks, and the order in which they are woken.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::by_subject::ByQueue;
use crate::task::Queue;

/// The takers that wait, by queue, in the order of arrival.
///
/// The first taker of a queue watches the queue: only this taker sleeps until the queue's next task is due, and only
/// this taker is woken when an earlier task is put. When it leaves, the next taker is woken and watches the queue. So a
/// task wakes one taker, regardless of how many wait.
#[derive(Debug, Default)]
pub(super) struct Takers {
    waiting: ByQueue<BTreeMap<u64, Arc<Notify>>>,
    /// The wake-ups to send as soon as the lock is released.
    pub(super) woken: Vec<Arc<Notify>>,
}

impl Takers {
    pub(super) fn enter(&mut self, queue: &Queue, ticket: u64, waker: &Arc<Notify>) {
        self.waiting.entry(queue.clone()).or_default().insert(ticket, waker.clone());
    }

    /// Removes a taker; true if others wait and the first of them has changed.
    pub(super) fn leave(&mut self, queue: &Queue, ticket: u64) -> bool {
        let Some(waiting) = self.waiting.get_mut(queue) else { return false };
        let watched = waiting.keys().next() == Some(&ticket);
        waiting.remove(&ticket);
        if waiting.is_empty() {
            self.waiting.remove(queue);
            return false;
        }
        watched
    }

    pub(super) fn watches(&self, queue: &Queue, ticket: u64) -> bool {
        self.waiting.get(queue).and_then(|waiting| waiting.keys().next()) == Some(&ticket)
    }

    /// Wakes the watcher of this queue.
    pub(super) fn wake(&mut self, queue: &Queue) {
        if let Some(first) = self.waiting.get(queue).and_then(|waiting| waiting.values().next()) {
            self.woken.push(first.clone());
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
