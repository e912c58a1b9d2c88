//! The scheduler that keeps its tasks in memory.

mod line;
mod moment;
mod records;
mod takers;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use self::line::{Ended, Line};
use self::moment::Moment;
use self::records::Records;
use self::takers::Takers;
use crate::by_subject::ByQueue;
use crate::clock::Clock;
use crate::scheduler::census::Census;
use crate::scheduler::{Lease, QueueRules, Recorded, Scheduler, SchedulerError, Step, Which};
use crate::task::{Queue, Subject, Task};
use crate::time::Timestamp;

/// Keeps tasks and records in memory, for one process.
///
/// Its tasks and records are lost with the process; sources find everything again. A lease lasts until it is dropped,
/// whatever its nominal duration: only a worker of this process can lose it, and then its destructor runs. A task whose
/// lease is lost waits for a second, twice as long after every further attempt, at most an hour, so that a task that
/// panics does not run in a hot loop. The cause of such a task names the loss.
///
/// Tasks due now or after a delay are not delayed when the wall clock is set back. Tasks due at an instant follow the
/// wall clock, within its [`longest_sleep`](Clock::longest_sleep). Tasks due at the same time are handed out in the
/// order of their puts.
///
/// All operations take time in proportion to the logarithm of the number of tasks, except [`Scheduler::cancel`] and
/// [`Scheduler::hasten`] of whole queues, and [`Scheduler::census`], which counts the due tasks. The first record of a
/// subject and operations on a whole subject search every queue.
///
/// Takes need a tokio runtime with timers. All other calls, and the drop of a lease, work anywhere.
pub struct MemoryScheduler {
    shared: Arc<Shared>,
}

impl MemoryScheduler {
    /// An empty scheduler that uses `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = Mutex::new(State {
            now: Moment::starting_at(clock.now()),
            numbers: 0,
            lines: ByQueue::default(),
            records: Records::default(),
            takers: Takers::default(),
        });
        MemoryScheduler { shared: Arc::new(Shared { clock, state }) }
    }
}

impl fmt::Debug for MemoryScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryScheduler").field("clock", &self.shared.clock).finish_non_exhaustive()
    }
}

#[async_trait]
impl Scheduler for MemoryScheduler {
    async fn take(&self, from: &[Queue], max: usize, _lease: Duration) -> Result<Vec<Lease>, SchedulerError> {
        if max == 0 {
            return std::future::pending().await;
        }
        let mut turn = Turn { shared: &self.shared, from, entered: None };
        let longest = self.shared.clock.longest_sleep();
        loop {
            let looked = self.shared.with(|state, now| {
                let taken = state.lease_due(from, max, now);
                if taken.is_empty() {
                    let (ticket, waker) = turn.entered.get_or_insert_with(|| state.enter(from));
                    Err((waker.clone(), state.nap(from, *ticket, now, longest)))
                } else {
                    if let Some((ticket, _)) = turn.entered.take() {
                        state.leave(from, ticket, now);
                    }
                    Ok(taken)
                }
            });
            match looked {
                Ok(taken) => {
                    return Ok(taken.into_iter().map(|(task, fence)| self.shared.lease(task, fence)).collect());
                }
                // After a wake-up or a time-out, the taker checks the queues again.
                Err((waker, nap)) => drop(tokio::time::timeout(nap, waker.notified()).await),
            }
        }
    }

    async fn extend(&self, lease: &Lease, _by: Duration) -> Result<(), SchedulerError> {
        self.shared.with(|state, _| state.check_fence(lease))
    }

    async fn commit(&self, step: Step<'_>) -> Result<(), SchedulerError> {
        let Step { release, records, puts } = step;
        let puts = last_of_each(puts);
        let committed = self.shared.with(|state, now| {
            if let Some(lease) = release {
                state.check_fence(lease)?;
            }
            for record in &records {
                state.records.check(record)?;
            }
            state.records.check_groups(&records)?;
            state.check_room(release, &puts)?;

            let settles = records.iter().any(|record| record.settles);
            for record in records {
                if record.settles {
                    state.settle(&record.subject);
                }
                let lines = &state.lines;
                let tasks = |subject: &Subject| lines.values().filter(|line| line.contains(subject)).count();
                state.records.apply(record, tasks);
            }
            // A step that settles the subject of its lease has cancelled the task already.
            let released = release.filter(|lease| !settles || state.check_fence(lease).is_ok());
            let ended = released.map(|lease| (lease.task(), state.release(lease.task(), now)));
            for task in puts {
                let overtaken = ended.is_some_and(|(released, ended)| {
                    ended == Ended::Followed && released.subject == task.subject && released.queue == task.queue
                });
                if !overtaken {
                    state.put(task, now);
                }
            }
            Ok(())
        });
        if let (Ok(()), Some(guard)) = (&committed, release.and_then(Lease::guard::<GiveBack>))
            && Arc::ptr_eq(&guard.shared, &self.shared)
        {
            guard.is_spent.store(true, Ordering::Relaxed);
        }
        committed
    }

    async fn recorded(&self, subject: &Subject) -> Result<Option<Recorded>, SchedulerError> {
        Ok(self.shared.with(|state, _| state.records.recorded(subject).cloned()))
    }

    async fn cancel(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        Ok(self.shared.with(|state, _| state.cancel(which)))
    }

    async fn hasten(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        Ok(self.shared.with(|state, now| state.hasten(which, now)))
    }

    async fn configure(&self, queue: &Queue, rules: QueueRules) -> Result<(), SchedulerError> {
        self.shared.with(|state, _| state.lines.entry(queue.clone()).or_default().rules = rules);
        Ok(())
    }

    async fn census(&self) -> Result<Census, SchedulerError> {
        Ok(self.shared.with(|state, now| Census {
            queues: state.lines.iter().map(|(queue, line)| (queue.clone(), line.census(now))).collect(),
            resting: state.records.resting().clone(),
        }))
    }
}

/// The last of the tasks with each key.
fn last_of_each(puts: Vec<Task>) -> Vec<Task> {
    // A worker's step has one or two tasks.
    let is_same = |one: &Task, other: &Task| one.subject == other.subject && one.queue == other.queue;
    match puts.as_slice() {
        [] | [_] => return puts,
        [one, other] if !is_same(one, other) => return puts,
        _ => {}
    }
    let mut seen = HashSet::with_capacity(puts.len());
    let mut puts: Vec<Task> =
        puts.into_iter().rev().filter(|task| seen.insert((task.queue.clone(), task.subject.clone()))).collect();
    puts.reverse();
    puts
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Shared {
    /// Runs `act` under the lock, and wakes the takers concerned afterwards.
    fn with<R>(&self, act: impl FnOnce(&mut State, Moment) -> R) -> R {
        // Only the clock can panic under the lock, before any change, so the state stays consistent.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wall = self.clock.now();
        let now = state.now.go_on(wall);
        let result = act(&mut state, now);
        let woken = std::mem::take(&mut state.takers.woken);
        drop(state);
        woken.iter().for_each(|waker| waker.notify_one());
        result
    }

    fn lease(self: &Arc<Self>, task: Task, fence: u64) -> Lease {
        let (queue, subject) = (task.queue.clone(), task.subject.clone());
        let guard = GiveBack { shared: self.clone(), queue, subject, fence, is_spent: AtomicBool::new(false) };
        Lease::new(task, fence).guarded_by(guard)
    }
}

/// Returns a task to its queue when its lease is dropped without a commit.
struct GiveBack {
    shared: Arc<Shared>,
    queue: Queue,
    subject: Subject,
    fence: u64,
    /// Whether the lease has ended with a commit.
    is_spent: AtomicBool,
}

impl Drop for GiveBack {
    fn drop(&mut self) {
        if *self.is_spent.get_mut() {
            return;
        }
        self.shared.with(|state, now| state.give_back(&self.queue, &self.subject, self.fence, now));
    }
}

/// A taker's registration: leaves its queues when the take is dropped.
struct Turn<'a> {
    shared: &'a Shared,
    from: &'a [Queue],
    entered: Option<(u64, Arc<Notify>)>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some((ticket, _)) = self.entered.take() {
            self.shared.with(|state, now| state.leave(self.from, ticket, now));
        }
    }
}

struct State {
    now: Moment,
    /// The last issued number. Tasks, fences and takers' tickets share the numbers, so that all are distinct.
    numbers: u64,
    lines: ByQueue<Line>,
    records: Records,
    takers: Takers,
}

impl State {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Leases the due tasks on these queues, the earliest first.
    fn lease_due(&mut self, from: &[Queue], max: usize, now: Moment) -> Vec<(Task, u64)> {
        let head = |line: &Line| line.head(now).filter(|(due, _)| *due <= now.wall);
        let heads = from.iter().filter_map(|queue| Some(Reverse((head(self.lines.get(queue)?)?, queue))));
        let mut heads: BinaryHeap<Reverse<((Timestamp, u64), &Queue)>> = heads.collect();
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(Reverse((first, queue))) = heads.pop()
        {
            let fence = self.number();
            let Some(line) = self.lines.get_mut(queue) else { continue };
            // A queue that the caller names twice is in the list twice.
            if line.head(now) != Some(first) {
                continue;
            }
            taken.extend(line.lease_head(queue, fence, now).map(|task| (task, fence)));
            heads.extend(head(line).map(|next| Reverse((next, queue))));
        }
        taken
    }

    fn enter(&mut self, from: &[Queue]) -> (u64, Arc<Notify>) {
        let (ticket, waker) = (self.number(), Arc::new(Notify::new()));
        for queue in from {
            self.takers.enter(queue, ticket, &waker);
        }
        (ticket, waker)
    }

    fn leave(&mut self, from: &[Queue], ticket: u64, now: Moment) {
        for queue in from {
            let tasks_wait = self.lines.get(queue).is_some_and(|line| line.head(now).is_some());
            if self.takers.leave(queue, ticket) && tasks_wait {
                self.takers.wake(queue);
            }
        }
    }

    /// How long a taker may sleep: until the next task is due on a queue that it watches, and at most `longest`. So it
    /// notices that the clock was set or the machine was suspended, and it replaces a taker that was woken and is not
    /// polled.
    fn nap(&self, from: &[Queue], ticket: u64, now: Moment, longest: Duration) -> Duration {
        let watched = from.iter().filter(|queue| self.takers.watches(queue, ticket));
        let heads = watched.filter_map(|queue| self.lines.get(queue)?.head(now));
        let next = heads.map(|(due, _)| due.since(now.wall)).min();
        next.unwrap_or(longest).min(longest)
    }

    fn check_fence(&self, lease: &Lease) -> Result<(), SchedulerError> {
        let Task { queue, subject, .. } = lease.task();
        if self.lines.get(queue).is_some_and(|line| line.is_leased(subject, lease.fence())) {
            return Ok(());
        }
        Err(SchedulerError::Fenced { queue: queue.clone(), subject: subject.clone() })
    }

    /// Whether the queues have room for these tasks once the lease is released. A step that makes no queue longer is
    /// never refused, even when a queue is over its capacity already.
    fn check_room(&self, release: Option<&Lease>, puts: &[Task]) -> Result<(), SchedulerError> {
        let mut growth: BTreeMap<&Queue, (&Line, usize, usize)> = BTreeMap::new();
        for task in puts {
            let Some((line, capacity)) =
                self.lines.get(&task.queue).and_then(|line| Some((line, line.rules.capacity?)))
            else {
                continue;
            };
            if !line.contains(&task.subject) {
                growth.entry(&task.queue).or_insert((line, capacity, 0)).2 += 1;
            }
        }
        for (queue, (line, capacity, growth)) in growth {
            let leaves = release.map(Lease::task).is_some_and(|task| {
                let put_again = |put: &Task| put.subject == task.subject && put.queue == task.queue;
                task.queue == *queue && !line.has_follower(&task.subject) && !puts.iter().any(put_again)
            });
            let growth = growth - usize::from(leaves);
            if growth > 0 && line.len() + growth > capacity {
                return Err(SchedulerError::QueueFull { queue: queue.clone(), capacity });
            }
        }
        Ok(())
    }

    fn put(&mut self, task: Task, now: Moment) {
        let (number, queue, subject) = (self.number(), task.queue.clone(), task.subject.clone());
        self.lines.entry(queue.clone()).or_default();
        if self.change(&queue, now, |line| line.put(task, number, now)) == Some(true) {
            self.records.gained_task(&subject);
        }
    }

    fn release(&mut self, task: &Task, now: Moment) -> Ended {
        let ended = self.change(&task.queue, now, |line| line.finish(&task.subject)).unwrap_or(Ended::Gone);
        if ended == Ended::Gone {
            self.records.lost_task(&task.subject);
        }
        ended
    }

    /// Cancels the tasks of a subject in every queue.
    fn settle(&mut self, subject: &Subject) {
        for line in self.lines.values_mut() {
            if line.cancel(subject) {
                self.records.lost_task(subject);
            }
        }
    }

    fn give_back(&mut self, queue: &Queue, subject: &Subject, fence: u64, now: Moment) {
        let number = self.number();
        self.change(queue, now, |line| {
            if line.is_leased(subject, fence) {
                line.give_back(subject, number, now);
            }
        });
    }

    fn cancel(&mut self, which: Which<'_>) -> u64 {
        match which {
            Which::Task(queue, subject) => {
                let found = self.lines.get_mut(queue).is_some_and(|line| line.cancel(subject));
                if found {
                    self.records.lost_task(subject);
                }
                u64::from(found)
            }
            Which::Subject(subject) => {
                self.records.forget(subject);
                self.lines.values_mut().map(|line| u64::from(line.cancel(subject))).sum()
            }
            Which::Queue(queue) => {
                let Some(line) = self.lines.remove(queue) else { return 0 };
                line.subjects().for_each(|subject| self.records.lost_task(subject));
                line.len() as u64
            }
        }
    }

    fn hasten(&mut self, which: Which<'_>, now: Moment) -> u64 {
        match which {
            Which::Task(queue, subject) => self.hasten_task(queue, subject, now),
            Which::Subject(subject) => {
                let queues: Vec<Queue> = self
                    .lines
                    .iter()
                    .filter(|(_, line)| line.contains(subject))
                    .map(|(queue, _)| queue.clone())
                    .collect();
                queues.iter().map(|queue| self.hasten_task(queue, subject, now)).sum()
            }
            Which::Queue(queue) => {
                let subjects = self.lines.get(queue).map(|line| line.hastenable(now)).unwrap_or_default();
                subjects.iter().map(|subject| self.hasten_task(queue, subject, now)).sum()
            }
        }
    }

    fn hasten_task(&mut self, queue: &Queue, subject: &Subject, now: Moment) -> u64 {
        let number = self.number();
        u64::from(self.change(queue, now, |line| line.hasten(subject, number, now)) == Some(true))
    }

    /// Changes a queue. Wakes its watcher if the first task is now an earlier one, or if the first task is due, since
    /// the watcher may not have noticed that the clock was set.
    fn change<R>(&mut self, queue: &Queue, now: Moment, act: impl FnOnce(&mut Line) -> R) -> Option<R> {
        let line = self.lines.get_mut(queue)?;
        let before = line.head(now);
        let result = act(line);
        if let Some(after) = line.head(now)
            && (after.0 <= now.wall || before.is_none_or(|before| after < before))
        {
            self.takers.wake(queue);
        }
        Some(result)
    }
}
