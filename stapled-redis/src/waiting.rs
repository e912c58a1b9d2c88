//! The takers of this process that wait for tasks, by queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use stapled_core::task::Queue;

/// The takers that wait. One process has one wake list in Redis, so a name on it wakes every taker of that queue here.
#[derive(Debug, Default)]
pub(crate) struct Takers(Mutex<HashMap<Queue, Vec<Arc<Notify>>>>);

/// A taker. It leaves its queues when it is dropped.
pub(crate) struct Taker<'a> {
    takers: &'a Takers,
    queues: &'a [Queue],
    woken: Arc<Notify>,
}

impl Takers {
    pub(crate) fn enter<'a>(&'a self, queues: &'a [Queue]) -> Taker<'a> {
        let woken = Arc::new(Notify::new());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in queues {
            all.entry(queue.clone()).or_default().push(Arc::clone(&woken));
        }
        drop(all);
        Taker { takers: self, queues, woken }
    }

    /// Wakes all takers of a queue.
    pub(crate) fn wake(&self, queue: &str) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&Queue::from(queue)).into_iter().flatten().for_each(|taker| taker.notify_one());
    }

    /// Wakes all takers: names may have been lost with a connection.
    pub(crate) fn wake_all(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().flatten().for_each(|taker| taker.notify_one());
    }
}

impl Taker<'_> {
    /// Waits until something happened on one of the queues since the last call.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Taker<'_> {
    fn drop(&mut self) {
        let mut all = self.takers.0.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in self.queues {
            if let Some(waiting) = all.get_mut(queue) {
                waiting.retain(|taker| !Arc::ptr_eq(taker, &self.woken));
                if waiting.is_empty() {
                    all.remove(queue);
                }
            }
        }
    }
}
