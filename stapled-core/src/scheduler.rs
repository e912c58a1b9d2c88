//! The scheduler: holds tasks until they are due and leases each to one worker at a time.

pub mod census;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;

use crate::task::{Queue, Subject, Task};
use census::Census;

/// Holds tasks until they are due and leases them to the workers that take from their queues.
///
/// # What every implementation promises
///
/// - The key of a task is (queue, subject). A task that is put again replaces the waiting or parked one of the same key,
///   whatever its due time. Wherever tasks are counted, a key counts once.
/// - At most one lease of a key is live at a time. A task that is put while its key is leased waits until the lease ends.
///   It then wins over the leaseholder's own follow-up of the same key, because it is based on newer facts. Until then the
///   two count as the one that is leased.
/// - [`commit`](Scheduler::commit) is all or nothing, and is refused with [`SchedulerError::Fenced`] when the lease was
///   cancelled, has lapsed or was spent already.
/// - A lost lease (dropped in memory, lapsed in a shared store) makes its task due again with one attempt more and the
///   cause [`LeaseLost`](crate::task::Cause::LeaseLost), after a pause of at most an hour. No task is ever lost with its
///   worker. Parking applies to such tasks, too.
/// - [`take`](Scheduler::take) may be dropped at any await point without losing a task. A task that a store had handed out
///   and no worker received is due again at once, without an attempt counted. A take that waits and is not polled delays
///   no other for longer than a minute.
/// - Every other call may be dropped at any await point, too: it then takes effect wholly or not at all. Repeating a call is
///   safe: a commit that took effect is refused the second time, because its lease is spent. The other calls are idempotent.
/// - Tasks of the queues in a take come in the order of their due times. The order of equal due times is not defined.
/// - There is one clock. Processes that share a store use the store's clock.
/// - All queues and records are one atomic domain: a step may put on any queue and record any subject.
///
/// The crate's feature `conformance` has the tests of these promises.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::time::Duration;
///
/// use stapled_core::scheduler::census::Census;
/// use stapled_core::scheduler::{Lease, QueueRules, Recorded, Scheduler, SchedulerError, Step, Which};
/// use stapled_core::task::{Queue, Subject};
///
/// /// Another scheduler, whose steps are counted.
/// #[derive(Debug)]
/// struct Counted<S> {
///     inner: S,
///     steps: AtomicU64,
/// }
///
/// #[async_trait::async_trait]
/// impl<S: Scheduler> Scheduler for Counted<S> {
///     async fn commit(&self, step: Step<'_>) -> Result<(), SchedulerError> {
///         self.inner.commit(step).await?;
///         self.steps.fetch_add(1, Ordering::Relaxed);
///         Ok(())
///     }
///
///     async fn take(&self, from: &[Queue], max: usize, lease: Duration) -> Result<Vec<Lease>, SchedulerError> {
///         self.inner.take(from, max, lease).await
///     }
///
///     async fn extend(&self, lease: &Lease, by: Duration) -> Result<(), SchedulerError> {
///         self.inner.extend(lease, by).await
///     }
///
///     async fn recorded(&self, subject: &Subject) -> Result<Option<Recorded>, SchedulerError> {
///         self.inner.recorded(subject).await
///     }
///
///     async fn cancel(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
///         self.inner.cancel(which).await
///     }
///
///     async fn hasten(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
///         self.inner.hasten(which).await
///     }
///
///     async fn configure(&self, queue: &Queue, rules: QueueRules) -> Result<(), SchedulerError> {
///         self.inner.configure(queue, rules).await
///     }
///
///     async fn census(&self) -> Result<Census, SchedulerError> {
///         self.inner.census().await
///     }
/// }
/// ```
#[async_trait]
pub trait Scheduler: Send + Sync + Debug {
    /// Waits until at least one task on one of these queues is due, then leases the first due tasks for `lease`: at least
    /// one, at most `max`, perhaps fewer than are due. Queues that do not exist yet are waited for, too. With no queue or
    /// with `max` 0 it waits forever.
    async fn take(&self, from: &[Queue], max: usize, lease: Duration) -> Result<Vec<Lease>, SchedulerError>;

    /// Extends a lease to at least `by` from now, and never shortens it. Refused when the lease is over. A dropped call has
    /// extended the lease or not.
    async fn extend(&self, lease: &Lease, by: Duration) -> Result<(), SchedulerError>;

    /// Takes one step, wholly or not at all: checks the lease and the expected states, records, releases, and puts any
    /// number of tasks. Intake, completion, fork, retry and parking are all commits.
    ///
    /// Lease, expectations, capacities and groups are checked against the state before the step. One exception: the released task
    /// counts no more in its queue. The tasks of subjects that the step settles still count in their queues, and the subjects in
    /// their groups. Records apply in their order. Of several puts of one key the last one counts.
    ///
    /// A dropped call has taken the whole step or nothing. The same step again is then refused as fenced, or taken.
    async fn commit(&self, step: Step<'_>) -> Result<(), SchedulerError>;

    /// The record of this subject. May be dropped.
    async fn recorded(&self, subject: &Subject) -> Result<Option<Recorded>, SchedulerError>;

    /// Removes tasks, whether they wait, are parked or are leased, and returns how many. The commit of a removed lease is
    /// refused from now on, and its key is free for another task at once. Cancelling a subject also forgets its record. A
    /// dropped call takes effect or not; a second call counts the tasks that are left.
    async fn cancel(&self, which: Which<'_>) -> Result<u64, SchedulerError>;

    /// Makes waiting and parked tasks due now, with their attempts counted from 0, and returns how many. Tasks that are due
    /// already are counted and keep their turn. A leased task is left alone, but a task that waits for the end of that
    /// lease is due then, and counted. A dropped call takes effect or not; it may be repeated.
    async fn hasten(&self, which: Which<'_>) -> Result<u64, SchedulerError>;

    /// Sets the rules of one queue, for tasks that are put from now on. A dropped call has set them or not.
    async fn configure(&self, queue: &Queue, rules: QueueRules) -> Result<(), SchedulerError>;

    /// The numbers of tasks that wait, are due, are leased, are parked, and of subjects that rest. Lists every queue that
    /// was put on or configured, and not cancelled since. May be dropped.
    async fn census(&self) -> Result<Census, SchedulerError>;
}

/// A worker's exclusive right to do one task.
///
/// In memory, a dropped lease makes the task due again; in a shared store, a lapsed one does.
pub struct Lease {
    task: Task,
    fence: u64,
    /// Held for its destructor.
    guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Lease {
    /// A lease of `task` with a number of its own, `fence`. For implementations of [`Scheduler`].
    pub fn new(task: Task, fence: u64) -> Self {
        Lease { task, fence, guard: None }
    }

    /// The same, with a part of the scheduler whose destructor runs when the lease is dropped, spent or not.
    pub fn guarded_by(self, guard: impl Send + Sync + 'static) -> Self {
        Lease { guard: Some(Box::new(guard)), ..self }
    }

    /// The scheduler's part of the lease, if it is of this type.
    pub(crate) fn guard<G: 'static>(&self) -> Option<&G> {
        self.guard.as_ref()?.downcast_ref()
    }

    /// The task. Its due time is [`Due::At`](crate::task::Due::At) the instant at which it fell due.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The number of this lease, unique in its scheduler.
    pub fn fence(&self) -> u64 {
        self.fence
    }
}

impl Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("task", &self.task).field("fence", &self.fence).finish_non_exhaustive()
    }
}

/// One atomic step, for [`Scheduler::commit`].
///
/// A clone allows another try after [`SchedulerError::QueueFull`], [`SchedulerError::GroupFull`] or [`SchedulerError::Store`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Step<'a> {
    /// The lease that ends with this step; none for a task from outside.
    pub release: Option<&'a Lease>,
    /// The new records of subjects.
    pub records: Vec<Record>,
    /// The tasks to put.
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

    /// Adds a record.
    pub fn record(mut self, record: Record) -> Self {
        self.records.push(record);
        self
    }
}

/// The new state of a subject, and the state that the step expects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The subject.
    pub subject: Subject,
    /// The condition of the step.
    pub expect: Expect,
    /// The new state; `None` forgets the subject.
    pub state: Option<String>,
    /// Fields to set beside the state; others stay as they are. Without a state they mean nothing.
    pub fields: BTreeMap<String, Vec<u8>>,
    /// Lists to set beside the fields, by name. Each replaces the list or part of its name, and an empty one removes it;
    /// others stay as they are.
    pub lists: BTreeMap<String, Vec<Vec<u8>>>,
    /// Parts of the subject by name, each with fields of its own: other fields of a part, and other parts, stay as they
    /// are. A part replaces the list of its name.
    pub parts: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Whether the work on the subject ends with this step. Its tasks in every queue are cancelled, leased ones too, before
    /// the step's own puts. The subject stays on record, but recovery leaves it alone until it is forgotten.
    pub settles: bool,
    /// Groups that the subject joins, by name, and the most members that each may have then. A step that would make a group
    /// larger is refused as a whole. A subject stays in its groups until it is settled or forgotten, whatever is recorded
    /// meanwhile, and a record that settles or forgets its subject joins none. A group without members does not exist.
    pub groups: BTreeMap<String, usize>,
}

impl Record {
    /// Puts `subject` into `state`, whatever its state was.
    pub fn new(subject: Subject, state: impl Into<String>) -> Self {
        Record { state: Some(state.into()), ..Record::forget(subject) }
    }

    /// Forgets `subject`.
    pub fn forget(subject: Subject) -> Self {
        let (fields, lists, parts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (expect, state, settles, groups) = (Expect::Anything, None, false, BTreeMap::new());
        Record { subject, expect, state, fields, lists, parts, settles, groups }
    }

    /// The same, under this condition.
    pub fn expecting(self, expect: Expect) -> Self {
        Record { expect, ..self }
    }

    /// The same, setting one more field.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// The same, setting one more list.
    pub fn list(mut self, name: impl Into<String>, values: Vec<Vec<u8>>) -> Self {
        let name = name.into();
        self.parts.remove(&name);
        self.lists.insert(name, values);
        self
    }

    /// The same, setting fields of one part.
    pub fn part(mut self, name: impl Into<String>, fields: BTreeMap<String, Vec<u8>>) -> Self {
        let name = name.into();
        self.lists.remove(&name);
        self.parts.entry(name).or_default().extend(fields);
        self
    }

    /// The same, ending the work on the subject: see [`settles`](Record::settles).
    pub fn settled(self) -> Self {
        Record { settles: true, ..self }
    }

    /// The same, joining one more [group](Record::groups), which may have this many members at most.
    pub fn in_group(mut self, group: impl Into<String>, at_most: usize) -> Self {
        self.groups.insert(group.into(), at_most);
        self
    }

    /// The groups that the subject joins. For implementations of [`Scheduler`].
    pub fn joined(&self) -> impl Iterator<Item = (&str, usize)> {
        let joins = self.state.is_some() && !self.settles;
        self.groups.iter().filter(move |_| joins).map(|(group, at_most)| (group.as_str(), *at_most))
    }
}

/// The condition of a step. Closed: a scheduler must know every condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No condition.
    Anything,
    /// Nothing is on record.
    Nothing,
    /// This state is on record.
    State(String),
}

/// The record of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// Its state.
    pub state: String,
    /// Its fields.
    pub fields: BTreeMap<String, Vec<u8>>,
    /// Its lists by name; none is empty.
    pub lists: BTreeMap<String, Vec<Vec<u8>>>,
    /// Its parts by name; none is empty.
    pub parts: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl Recorded {
    /// The record of a subject with this state and these fields, without lists and parts.
    pub fn new(state: impl Into<String>, fields: BTreeMap<String, Vec<u8>>) -> Self {
        Recorded { state: state.into(), fields, lists: BTreeMap::new(), parts: BTreeMap::new() }
    }

    /// Takes over the state, fields, lists and parts of a new record of the same subject. For implementations of
    /// [`Scheduler`]; `None` if the record forgets the subject.
    pub fn updated(known: Option<Recorded>, record: Record) -> Option<Recorded> {
        let state = record.state?;
        let mut recorded = known.unwrap_or_else(|| Recorded::new("", BTreeMap::new()));
        recorded.state = state;
        recorded.fields.extend(record.fields);
        for (name, values) in record.lists {
            recorded.parts.remove(&name);
            recorded.lists.remove(&name);
            if !values.is_empty() {
                recorded.lists.insert(name, values);
            }
        }
        for (name, fields) in record.parts.into_iter().filter(|(_, fields)| !fields.is_empty()) {
            recorded.lists.remove(&name);
            recorded.parts.entry(name).or_default().extend(fields);
        }
        Some(recorded)
    }
}

/// Selects tasks. Closed: a scheduler must know every selection.
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
    /// How many tasks may wait, be leased or be parked here at once. A step that would put more is refused as a whole. A
    /// step that makes the queue no longer is taken even when it holds more already. `None`: any number.
    pub capacity: Option<usize>,
    /// A task that is put with this many attempts, or more, is parked: it stays, and is leased only after
    /// [`Scheduler::hasten`], or when it is put again. `None`: never.
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

/// Why a scheduler refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// The lease is over: its task was cancelled, its time has lapsed, or it was spent. Nothing was changed; the worker
    /// drops its work.
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
        /// The subject.
        subject: Subject,
        /// The condition of the step.
        expected: Expect,
        /// The state on record.
        found: Option<String>,
    },
    /// A queue has no room for what the step puts. Nothing was changed; try again later.
    #[error("queue {queue} is full: its capacity is {capacity}")]
    QueueFull {
        /// The queue.
        queue: Queue,
        /// How many tasks it may hold.
        capacity: usize,
    },
    /// A group has no room for what the step records. Nothing was changed; try again when a member has left it.
    #[error("group {group} is full: it may have {at_most} members")]
    GroupFull {
        /// The group.
        group: String,
        /// How many members it may have.
        at_most: usize,
    },
    /// The store behind the scheduler failed; whether the step was taken is unknown. Try again later.
    #[error("the scheduler's store failed: {0}")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}
