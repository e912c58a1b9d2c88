//! Who waits for tasks, and who is woken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::task::Queue;

/// The takers that wait, by queue, first come first.
///
/// The first of a queue watches it: it alone sleeps until the queue's next task is due, and it alone is woken when an
/// earlier one is put. When it goes, the next is woken and watches on. So a task wakes one taker, however many wait.
#[derive(Debug, Default)]
pub(super) struct Takers {
    waiting: HashMap<Queue, BTreeMap<u64, Arc<Notify>>>,
    /// To be notified as soon as the lock is released.
    pub(super) woken: Vec<Arc<Notify>>,
}

impl Takers {
    pub(super) fn enter(&mut self, queue: &Queue, ticket: u64, waker: &Arc<Notify>) {
        self.waiting.entry(queue.clone()).or_default().insert(ticket, waker.clone());
    }

    /// Takes a taker out; true when others wait and the first of them is another now.
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

    /// Wakes whoever watches this queue.
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
