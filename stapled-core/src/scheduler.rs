//! The scheduler: holds tasks until their moment and hands them out, each to one worker at a time.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::task::{Queue, Subject, Task};
use crate::time::Timestamp;

/// Holds tasks, waits for their moment, and leases them to whoever takes from their queue.
///
/// # What every implementation promises
///
/// - A task's identity is (queue, subject), its key. Putting it again replaces the waiting or parked one, whatever its
///   due time. Wherever tasks are counted, a key counts once.
/// - At most one lease of a key is live at a time. A task put while its key is leased waits until the lease ends, however
///   it ends; it then wins over the leaseholder's own follow-up of the same key, because it knows more. Until then it is
///   counted as the one that is leased.
/// - [`commit`](Scheduler::commit) is all or nothing, and is refused with [`SchedulerError::Fenced`] when the lease was
///   cancelled, has lapsed or was spent already.
/// - A lease that is lost (dropped in memory, lapsed in a shared store) brings its task back with one attempt more, after
///   a pause of at most an hour; no task is ever lost with its worker. Parking applies to what comes back so, too.
/// - [`take`](Scheduler::take) may be dropped at any await point without losing a task; what a store had handed out and
///   nobody received is back at once, without an attempt counted. One that waits and is not polled
///   holds up nobody else for longer than a minute.
/// - Every other call may be dropped at any await point, too: then it was made or not, wholly, which whoever makes it again
///   finds out. A commit that was made is refused the second time, as its lease is spent; the others do no harm twice.
/// - Tasks of the queues asked for come in the order of their due times, in no particular order when those are the same.
/// - There is one clock; processes that share a store go by the store's.
/// - All of this is one atomic domain: a step may put on any queue and record any subject.
///
/// The crate's feature `conformance` has the tests for all that.
#[async_trait]
pub trait Scheduler: Send + Sync + Debug {
    /// Waits until at least one task on one of these queues is due, then leases the first of the due ones for `lease`: at
    /// least one, at most `max`, perhaps fewer than are due. Queues that do not exist yet are waited for as well. With no
    /// queue or `max` 0 it waits forever.
    async fn take(&self, from: &[Queue], max: usize, lease: Duration) -> Result<Vec<Lease>, SchedulerError>;

    /// Makes a lease last until `by` from now, at least; never shorter than before. Refused once fenced off. Dropped, it
    /// was extended or not.
    async fn extend(&self, lease: &Lease, by: Duration) -> Result<(), SchedulerError>;

    /// All or nothing: checks the fence and the expected states, records, releases, and puts any number of tasks.
    /// Intake, completion, fork, retry and parking are all this one verb.
    ///
    /// Fence, expectations and capacities are judged by how things were before the step, except that the task that it
    /// releases makes room. Records apply in their order; of several puts of one key the last counts.
    ///
    /// Dropped, all of it was done or nothing; the same step again is refused as fenced in the one case, and done in the
    /// other.
    async fn commit(&self, step: Step<'_>) -> Result<(), SchedulerError>;

    /// What is on record for this subject. May be dropped.
    async fn recorded(&self, subject: &Subject) -> Result<Option<Recorded>, SchedulerError>;

    /// Removes tasks, waiting, parked or in flight, and returns how many. The commit of a lease in flight is refused
    /// from now on, and its key is free for another task at once. Cancelling a subject also forgets its record. Dropped, it
    /// was done or not; done again, it counts what is left.
    async fn cancel(&self, which: Which<'_>) -> Result<u64, SchedulerError>;

    /// Makes waiting tasks due now and brings parked ones back, with their attempts counted from 0; returns how many.
    /// Those due already are counted and keep their turn. What is leased is left alone, but a task that waits for the
    /// end of that lease is made due then, and counted. Dropped, it was done or not; it may be done again.
    async fn hasten(&self, which: Which<'_>) -> Result<u64, SchedulerError>;

    /// Sets the rules of one queue. They hold for what is put from now on. Dropped, they were set or not.
    async fn configure(&self, queue: &Queue, rules: QueueRules) -> Result<(), SchedulerError>;

    /// What waits, is due, is leased, is parked, and rests. Lists every queue that was put on or configured, and not
    /// cancelled since. May be dropped.
    async fn census(&self) -> Result<Census, SchedulerError>;
}

/// The right, and the duty, to do one task.
///
/// In memory, dropping it gives the task back; a shared store takes it back when the lease lapses.
#[derive(Debug)]
pub struct Lease {
    task: Task,
    fence: u64,
    // Read by nobody: its destructor gives the task back.
    _guard: Option<Box<dyn LeaseGuard>>,
}

/// What a scheduler wants to hear of the end of a lease: its destructor runs when the [`Lease`] is dropped, spent or
/// not.
pub trait LeaseGuard: Send + Sync + Debug {}

impl Lease {
    /// For implementations of [`Scheduler`]: a lease of `task`, told apart from all other leases by `fence`.
    pub fn new(task: Task, fence: u64, guard: Option<Box<dyn LeaseGuard>>) -> Self {
        Lease { task, fence, _guard: guard }
    }

    /// What is to be done. Its due time is [`Due::At`](crate::task::Due::At) the instant at which it fell due.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The number that tells this lease from every other one of the same scheduler.
    pub fn fence(&self) -> u64 {
        self.fence
    }
}

/// One atomic step, for [`Scheduler::commit`].
///
/// A clone of it lets one try again after [`SchedulerError::QueueFull`] or [`SchedulerError::Store`].
#[derive(Clone, Debug, Default)]
pub struct Step<'a> {
    /// The lease that ends with this step; none when a task comes in from outside.
    pub release: Option<&'a Lease>,
    /// What is recorded of subjects.
    pub records: Vec<Record>,
    /// What is put on queues.
    pub puts: Vec<Task>,
}

impl<'a> Step<'a> {
    /// A step that ends `lease`.
    pub fn finish(lease: &'a Lease) -> Self {
        Step { release: Some(lease), ..Step::default() }
    }

    /// A step that ends no lease.
    pub fn intake() -> Self {
        Step::default()
    }

    /// Adds a task to put.
    pub fn put(mut self, task: Task) -> Self {
        self.puts.push(task);
        self
    }

    /// Adds something to record.
    pub fn record(mut self, record: Record) -> Self {
        self.records.push(record);
        self
    }
}

/// The new state of a subject, and the one that it is expected to be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of what.
    pub subject: Subject,
    /// What must be on record already for the step to be taken.
    pub expect: Expect,
    /// The new state; `None` forgets the subject.
    pub state: Option<String>,
    /// Fields to set beside the state; others stay as they are. Without a state they mean nothing.
    pub fields: BTreeMap<String, Vec<u8>>,
}

impl Record {
    /// Puts `subject` into `state`, whatever it was in.
    pub fn new(subject: Subject, state: impl Into<String>) -> Self {
        Record { subject, expect: Expect::Anything, state: Some(state.into()), fields: BTreeMap::new() }
    }

    /// Forgets `subject`.
    pub fn forget(subject: Subject) -> Self {
        Record { subject, expect: Expect::Anything, state: None, fields: BTreeMap::new() }
    }

    /// The same, on the condition that the subject is as expected.
    pub fn expecting(self, expect: Expect) -> Self {
        Record { expect, ..self }
    }

    /// The same, setting one more field.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }
}

/// What must be on record for a step to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No condition.
    Anything,
    /// Nothing is on record.
    Nothing,
    /// This state is on record.
    State(String),
}

/// What is on record of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// Its state.
    pub state: String,
    /// Its fields.
    pub fields: BTreeMap<String, Vec<u8>>,
}

impl Recorded {
    /// What a scheduler has on record of a subject.
    pub fn new(state: impl Into<String>, fields: BTreeMap<String, Vec<u8>>) -> Self {
        Recorded { state: state.into(), fields }
    }
}

/// Which tasks are meant.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// One task.
    Task(&'a Queue, &'a Subject),
    /// All tasks of a subject, in every queue.
    Subject(&'a Subject),
    /// All tasks of a queue; cancelling it removes the queue and its rules.
    Queue(&'a Queue),
}

/// The rules of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueRules {
    /// How many tasks may wait, be leased or be parked here at once; a step that would put more is refused whole. One
    /// that makes the queue no longer is taken even when there are more already. `None`: any number.
    pub capacity: Option<usize>,
    /// A task put with this many attempts behind it, or more, is parked: it stays, but is handed out only after
    /// [`Scheduler::hasten`], or in the form in which it is put again. `None`: never.
    pub park_after: Option<u32>,
}

impl QueueRules {
    /// No rules: any number of tasks, and none is ever parked.
    pub fn new() -> Self {
        QueueRules::default()
    }

    /// The same, for this many tasks at most.
    pub fn capacity(self, capacity: usize) -> Self {
        QueueRules { capacity: Some(capacity), ..self }
    }

    /// The same, parking a task that is put with this many attempts behind it, or more.
    pub fn park_after(self, attempts: u32) -> Self {
        QueueRules { park_after: Some(attempts), ..self }
    }
}

/// How many tasks there are, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// By queue.
    pub queues: BTreeMap<Queue, QueueCensus>,
    /// Subjects on record that have no task, by state.
    pub resting: BTreeMap<String, u64>,
}

/// The tasks of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueCensus {
    /// Waiting for their moment, which has not come.
    pub waiting: u64,
    /// Due and not taken yet.
    pub due: u64,
    /// In somebody's hands.
    pub leased: u64,
    /// Put aside until somebody hastens them.
    pub parked: u64,
    /// When the next of the waiting ones falls due.
    pub next_due: Option<Timestamp>,
}

/// Why a scheduler refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// The lease is over: its task was cancelled, its time has lapsed, or it was spent. Nothing was changed; whoever
    /// holds the lease drops the work.
    #[error("the lease of {subject} in queue {queue} is over")]
    Fenced {
        /// The queue of the task.
        queue: Queue,
        /// Its subject.
        subject: Subject,
    },
    /// A subject was not in the expected state. Nothing was changed.
    #[error("{subject} is in state {found:?}, expected was {expected:?}")]
    Unexpected {
        /// Of what.
        subject: Subject,
        /// What the step asked for.
        expected: Expect,
        /// What is on record.
        found: Option<String>,
    },
    /// A queue has no room for what the step puts. Nothing was changed; try again later.
    #[error("queue {queue} is full: its capacity is {capacity}")]
    QueueFull {
        /// The queue.
        queue: Queue,
        /// Its rule.
        capacity: usize,
    },
    /// The store behind the scheduler failed; whether the step was taken is unknown. Try again later.
    #[error("the scheduler's store failed: {0}")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}
