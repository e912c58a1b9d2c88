//! A lane: takes from one queue and works on so many tasks at once. What every stage is driven by.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event::{EventKind, Journal};
use crate::scheduler::{Lease, Scheduler, Step};
use crate::task::Queue;

/// How long a lease lasts in a store where leases lapse: longer than all deadlines of one task together.
pub(crate) const LEASE: Duration = Duration::from_secs(300);
/// The pause after the scheduler itself failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Does some work that may panic, which is a bug of whoever wrote it: then it is told, and whoever waits goes on.
pub(crate) async fn survive<T>(
    journal: &Journal,
    what: impl FnOnce() -> String,
    work: impl Future<Output = T>,
) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    if done.is_err() {
        journal.tell(EventKind::Internal { what: what() });
    }
    done.ok()
}

/// One queue, and how many of its tasks are worked on at once.
pub(crate) struct Lane {
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) journal: Journal,
    pub(crate) queue: Queue,
    pub(crate) width: usize,
    /// How long a lease lasts in a store where leases lapse.
    pub(crate) lease: Duration,
    /// Whether every task is tried once: what comes back is finished without another try.
    pub(crate) once: bool,
    /// Ends the taking.
    pub(crate) stop: CancellationToken,
    /// Whether it ends what is in hand, too: where nobody sees that half-done.
    pub(crate) drops: bool,
    /// Knows all work in hand.
    pub(crate) workers: TaskTracker,
}

impl Lane {
    /// Takes and works until stopped. A worker that panics costs its task one attempt, and nobody else anything: the
    /// lease is dropped, so the task comes back.
    pub(crate) async fn run<W, F>(self, work: W)
    where
        W: Fn(Lease) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(self.width.max(1)));
        loop {
            let first = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            let Ok(first) = first else { return };
            let free = 1 + slots.available_permits();
            let leases = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                leases = self.scheduler.take(std::slice::from_ref(&self.queue), free, self.lease) => leases,
            };
            let leases = match leases {
                Ok(leases) => leases,
                Err(error) => {
                    self.journal.tell(EventKind::Internal { what: format!("queue {}: {error}", self.queue) });
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let mut first = Some(first);
            for lease in leases {
                if self.once && lease.task().attempt > 0 {
                    // The pass ends all the same, whatever becomes of this.
                    let _ = self.scheduler.commit(Step::finish(&lease)).await;
                    continue;
                }
                let slot = match first.take() {
                    Some(slot) => Some(slot),
                    None => Arc::clone(&slots).try_acquire_owned().ok(),
                };
                let what = format!("a worker panicked: queue {}, task {}", lease.task().queue, lease.task().subject);
                let journal = self.journal.clone();
                let (work, dropped) = (work(lease), self.drops.then(|| self.stop.clone()));
                self.workers.spawn(async move {
                    let work = async {
                        match dropped {
                            Some(stop) => drop(stop.run_until_cancelled(work).await),
                            None => work.await,
                        }
                    };
                    survive(&journal, || what, work).await;
                    drop(slot);
                });
            }
        }
    }
}
