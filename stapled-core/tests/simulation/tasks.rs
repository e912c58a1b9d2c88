//! The real scheduler under observation: an independent count of its tasks.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::io::memory::MemoryScheduler;
use stapled_core::scheduler::census::Census;
use stapled_core::scheduler::{Lease, QueueRules, Recorded, Scheduler, SchedulerError, Step, Which};
use stapled_core::task::{Queue, Subject};

#[derive(Debug)]
pub(crate) struct WatchedScheduler {
    inner: MemoryScheduler,
    tasks: Mutex<HashMap<(Queue, Subject), Task>>,
    /// The number of steps at the current instant: a loop that lets no time pass must end.
    steps: Mutex<(Option<tokio::time::Instant>, usize)>,
}

/// The number of steps at one instant that counts as a loop.
const MOST_STEPS: usize = 20_000;

/// The state of a task's key: whether a worker holds it, and whether another task was added meanwhile.
#[derive(Clone, Copy, Debug, Default)]
struct Task {
    leased: bool,
    followed: bool,
}

impl WatchedScheduler {
    pub(crate) fn new(inner: MemoryScheduler) -> Self {
        WatchedScheduler { inner, tasks: Mutex::default(), steps: Mutex::default() }
    }

    /// Whether one of these queues has a task for this subject.
    pub(crate) fn has(&self, queues: &str, subject: &str) -> bool {
        let tasks = self.tasks.lock().unwrap();
        tasks.keys().any(|(queue, of)| of.as_str() == subject && queue.as_str().starts_with(queues))
    }

    /// Whether steps repeat without end and without time passing.
    pub(crate) fn is_in_a_loop(&self) -> bool {
        self.steps.lock().unwrap().1 > MOST_STEPS
    }

    /// Whether a worker may hold a task of these queues.
    pub(crate) fn works_on(&self, queues: &str) -> bool {
        let tasks = self.tasks.lock().unwrap();
        tasks.iter().any(|((queue, _), task)| task.leased && queue.as_str().starts_with(queues))
    }
}

#[async_trait]
impl Scheduler for WatchedScheduler {
    async fn take(&self, from: &[Queue], max: usize, lease: Duration) -> Result<Vec<Lease>, SchedulerError> {
        if self.is_in_a_loop() {
            std::future::pending::<()>().await;
        }
        let leases = self.inner.take(from, max, lease).await?;
        let mut tasks = self.tasks.lock().unwrap();
        for lease in &leases {
            let key = (lease.task().queue.clone(), lease.task().subject.clone());
            tasks.insert(key, Task { leased: true, followed: false });
        }
        Ok(leases)
    }

    async fn extend(&self, lease: &Lease, by: Duration) -> Result<(), SchedulerError> {
        self.inner.extend(lease, by).await
    }

    async fn commit(&self, step: Step<'_>) -> Result<(), SchedulerError> {
        let released = step.release.map(|lease| (lease.task().queue.clone(), lease.task().subject.clone()));
        let puts: Vec<_> = step.puts.iter().map(|task| (task.queue.clone(), task.subject.clone())).collect();
        self.inner.commit(step).await?;
        let now = Some(tokio::time::Instant::now());
        let mut steps = self.steps.lock().unwrap();
        *steps = if steps.0 == now { (now, steps.1 + 1) } else { (now, 0) };
        let mut tasks = self.tasks.lock().unwrap();
        if let Some(key) = released {
            match tasks.get(&key) {
                Some(Task { followed: true, .. }) => drop(tasks.insert(key, Task::default())),
                _ => drop(tasks.remove(&key)),
            }
        }
        for key in puts {
            let task = tasks.entry(key).or_default();
            task.followed = task.leased;
        }
        Ok(())
    }

    async fn recorded(&self, subject: &Subject) -> Result<Option<Recorded>, SchedulerError> {
        self.inner.recorded(subject).await
    }

    async fn cancel(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        let cancelled = self.inner.cancel(which).await?;
        self.tasks.lock().unwrap().retain(|(queue, subject), _| match which {
            Which::Task(of, about) => (queue, subject) != (of, about),
            Which::Subject(about) => subject != about,
            Which::Queue(of) => queue != of,
        });
        Ok(cancelled)
    }

    async fn hasten(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        self.inner.hasten(which).await
    }

    async fn configure(&self, queue: &Queue, rules: QueueRules) -> Result<(), SchedulerError> {
        self.inner.configure(queue, rules).await
    }

    async fn census(&self) -> Result<Census, SchedulerError> {
        self.inner.census().await
    }
}
