//! A lane: takes tasks from one queue and works on several at once. Lanes drive every stage.

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

/// The duration of a lease in a store where leases lapse: longer than all deadlines of one task together.
pub(crate) const LEASE: Duration = Duration::from_secs(300);
/// The pause after a failure of the scheduler.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs work that may panic, such as that of a sink. A panic is reported as a bug, and the caller continues without a
/// result.
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

/// One queue, and how many of its tasks run at once.
pub(crate) struct Lane {
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) journal: Journal,
    pub(crate) queue: Queue,
    pub(crate) width: usize,
    /// The duration of a lease in a store where leases lapse.
    pub(crate) lease: Duration,
    /// Whether every task is tried once: a task that is due again is finished without another attempt.
    pub(crate) once: bool,
    /// Ends the lane.
    pub(crate) stop: CancellationToken,
    /// Whether `stop` also drops running work. Dropping is safe if the work changes no server.
    pub(crate) drops: bool,
    /// Tracks all running work.
    pub(crate) workers: TaskTracker,
}

impl Lane {
    /// Takes tasks and runs them until stopped. A worker that panics costs its own task one attempt: the lease is dropped,
    /// so the task is due again.
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
                    // The pass ends even if this commit fails.
                    let _ = self.scheduler.commit(Step::finish(&lease)).await;
                    continue;
                }
                let slot = match first.take() {
                    Some(slot) => Some(slot),
                    None => Arc::clone(&slots).try_acquire_owned().ok(),
                };
                let (queue, subject) = (lease.task().queue.clone(), lease.task().subject.clone());
                let what = move || format!("a worker panicked: queue {queue}, task {subject}");
                let journal = self.journal.clone();
                // Boxed, since each of the futures around it would be as large, and be moved.
                let (work, dropped) = (Box::pin(work(lease)), self.drops.then(|| self.stop.clone()));
                self.workers.spawn(async move {
                    let work = async {
                        match dropped {
                            Some(stop) => drop(stop.run_until_cancelled(work).await),
                            None => work.await,
                        }
                    };
                    survive(&journal, what, work).await;
                    drop(slot);
                });
            }
        }
    }
}
