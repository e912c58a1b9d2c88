//! The scheduler: each call is one transaction.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableTable};
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::scheduler::census::Census;
use stapled_core::scheduler::{Lease, QueueRules, Recorded, Scheduler, SchedulerError, Step, Which};
use stapled_core::task::{Cause, Queue, Subject, Task};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;

use crate::error::EmbeddedError;
use crate::stored::{Place, StoredRecord};
use crate::tables::{Moment, RECORDS, Tables, decode};

/// The format of the file.
const FORMAT: i64 = 1;

/// A [`Scheduler`] in one local file.
///
/// What a call changed is on disk when the call returns. A lease lasts until it is dropped or the process ends. The duration that
/// a take asks for has no effect. A task whose lease is lost is due again after a second. The pause doubles with every further
/// attempt, up to an hour.
///
/// Takes need a tokio runtime with timers. A call blocks its thread while it writes; on a runtime with several threads, other
/// tasks move to another thread meanwhile.
pub struct EmbeddedScheduler {
    shared: Arc<Shared>,
}

struct Shared {
    database: Database,
    clock: Arc<dyn Clock>,
    now: Mutex<Moment>,
    /// Notified after each change.
    changed: Notify,
}

/// Whether a transaction changed anything.
enum Done<T> {
    Changed(T),
    /// It is not written.
    Looked(T),
}

impl EmbeddedScheduler {
    /// Opens the file, and creates it if necessary. Only its owner may read and write it: its mode is 0600. Tasks that were
    /// leased when the last process ended are due again.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, another process has it open, or it has another format.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, EmbeddedError> {
        Self::open_with_clock(path, Arc::new(SystemClock))
    }

    /// The same, with this clock.
    ///
    /// # Errors
    ///
    /// The same as those of [`open`](EmbeddedScheduler::open).
    pub fn open_with_clock(path: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self, EmbeddedError> {
        let path = path.as_ref();
        let failed =
            |error: redb::DatabaseError| EmbeddedError::Open { path: path.to_owned(), source: Box::new(error.into()) };
        let file = private_file(path).map_err(|error| failed(error.into()))?;
        // The database panics on some damaged files.
        let opened = std::panic::catch_unwind(|| Database::builder().create_file(file));
        let opened = opened.map_err(|panic| EmbeddedError::Broken { path: path.to_owned(), what: words(&*panic) })?;
        Self::on(opened.map_err(failed)?, clock, path)
    }

    /// A scheduler in memory, for tests: nothing survives it.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub fn in_memory() -> Result<Self, EmbeddedError> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).map_err(EmbeddedError::of)?;
        Self::on(database, Arc::new(SystemClock), Path::new("memory"))
    }

    fn on(database: Database, clock: Arc<dyn Clock>, path: &Path) -> Result<Self, EmbeddedError> {
        let moment = Moment { wall: clock.now().unix_millis(), ahead: 0 };
        let shared = Shared { database, clock, now: Mutex::new(moment), changed: Notify::new() };
        shared.begin(path)?;
        Ok(EmbeddedScheduler { shared: Arc::new(shared) })
    }

    /// The subjects on record that are not settled, in the order of their first records.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub fn active(&self) -> Result<Vec<Subject>, EmbeddedError> {
        let all = self.shared.look(|tables| tables.all_records())?;
        let mut active: Vec<_> = all.into_iter().filter(|(_, stored)| !stored.is_settled).collect();
        active.sort_unstable_by_key(|(_, stored)| stored.number);
        Ok(active.iter().map(|(subject, _)| Subject::from(subject.as_str())).collect())
    }

    /// How many subjects on record are not settled.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub fn active_count(&self) -> Result<usize, EmbeddedError> {
        self.shared.look(|tables| tables.count_active())
    }

    /// How many members a [group](stapled_core::scheduler::Record::groups) has.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub fn members(&self, group: &str) -> Result<usize, EmbeddedError> {
        let members = self.shared.look(|tables| tables.members(group))?;
        Ok(usize::try_from(members).unwrap_or(usize::MAX))
    }

    /// The subjects of the parked tasks of a queue.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub fn parked(&self, queue: &Queue) -> Result<Vec<Subject>, EmbeddedError> {
        let tasks = self.shared.look(|tables| tables.all_tasks(queue.as_str()))?;
        let parked = tasks.into_iter().filter(|(_, held)| held.place == Place::Parked);
        Ok(parked.map(|(subject, _)| Subject::from(subject.as_str())).collect())
    }

    /// The tasks that are missing: of subjects that are not settled and have no task, on the queue that `queue_of` names for
    /// their record. Every step is atomic and on disk, so a crash alone leaves none.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub fn missing(
        &self,
        queue_of: impl Fn(&Recorded) -> Option<Queue>,
    ) -> Result<Vec<(Queue, Subject)>, EmbeddedError> {
        self.shared.look(|tables| missing(tables, &queue_of))
    }

    /// Puts the tasks that are [missing](EmbeddedScheduler::missing), and returns them.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub fn recover(
        &self,
        queue_of: impl Fn(&Recorded) -> Option<Queue>,
    ) -> Result<Vec<(Queue, Subject)>, EmbeddedError> {
        self.shared.transaction(|tables| {
            let missing = missing(tables, &queue_of)?;
            for (queue, subject) in &missing {
                tables.put(&Task::new(queue.clone(), subject.clone()).cause(Cause::LeaseLost))?;
            }
            Ok(Done::Changed(missing))
        })
    }
}

/// The text of a panic.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned().or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned()));
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The file, which only its owner may read and write. An earlier version made it with the mode of the process.
fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != 0o600 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn missing(
    tables: &Tables<'_>,
    queue_of: &dyn Fn(&Recorded) -> Option<Queue>,
) -> Result<Vec<(Queue, Subject)>, EmbeddedError> {
    let mut missing = Vec::new();
    for (subject, stored) in tables.all_records()? {
        if !stored.is_settled && tables.queues_of(&subject)?.is_empty() {
            let queue = queue_of(&stored.into_recorded());
            missing.extend(queue.map(|queue| (queue, Subject::from(subject.as_str()))));
        }
    }
    Ok(missing)
}

impl fmt::Debug for EmbeddedScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedScheduler").field("clock", &self.shared.clock).finish_non_exhaustive()
    }
}

impl Shared {
    /// Checks the format, takes over the clock, and ends the leases of the last process.
    fn begin(&self, path: &Path) -> Result<(), EmbeddedError> {
        let found = self.transaction::<_, EmbeddedError>(|tables| {
            let kept = |name: &str| -> Result<Option<i64>, EmbeddedError> {
                Ok(tables.meta.get(name).map_err(EmbeddedError::of)?.map(|value| value.value()))
            };
            let found = kept("format")?.unwrap_or(FORMAT);
            if found != FORMAT {
                return Ok(Done::Looked(found));
            }
            let (wall, ahead) = (kept("wall")?, kept("ahead")?);
            tables.meta.insert("format", FORMAT).map_err(EmbeddedError::of)?;
            let mut moment = Moment { wall: wall.unwrap_or(tables.now.wall), ahead: ahead.unwrap_or(0) };
            tables.now = moment.go_on(tables.now.wall);
            *self.now.lock().unwrap_or_else(PoisonError::into_inner) = tables.now;
            tables.give_back_all()?;
            Ok(Done::Changed(found))
        })?;
        if found == FORMAT {
            return Ok(());
        }
        Err(EmbeddedError::Format { path: path.to_owned(), found, known: FORMAT })
    }

    /// Runs `act` in one transaction. After an error nothing was changed.
    fn transaction<T, E: From<EmbeddedError>>(
        &self,
        act: impl FnOnce(&mut Tables<'_>) -> Result<Done<T>, E>,
    ) -> Result<T, E> {
        let work = || {
            let transaction = self.database.begin_write().map_err(EmbeddedError::of)?;
            let wall = self.clock.now().unix_millis();
            let now = self.now.lock().unwrap_or_else(PoisonError::into_inner).go_on(wall);
            let mut tables = Tables::open(&transaction, now)?;
            let result = match act(&mut tables)? {
                Done::Changed(result) => result,
                Done::Looked(result) => return Ok(result),
            };
            tables.keep_clock()?;
            drop(tables);
            transaction.commit().map_err(EmbeddedError::of)?;
            self.changed.notify_waiters();
            Ok(result)
        };
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
            _ => work(),
        }
    }

    /// Runs `act`, which changes nothing.
    fn look<T, E: From<EmbeddedError>>(&self, act: impl FnOnce(&Tables<'_>) -> Result<T, E>) -> Result<T, E> {
        self.transaction(|tables| act(tables).map(Done::Looked))
    }

    fn lease(self: &Arc<Self>, task: Task, fence: u64) -> Lease {
        let (queue, subject) = (task.queue.clone(), task.subject.clone());
        Lease::new(task, fence).guarded_by(GiveBack { shared: Arc::clone(self), queue, subject, fence })
    }
}

/// Returns a task to its queue when its lease is dropped without a commit.
struct GiveBack {
    shared: Arc<Shared>,
    queue: Queue,
    subject: Subject,
    fence: u64,
}

impl Drop for GiveBack {
    fn drop(&mut self) {
        // If this fails, the task is due again at the next start.
        let _ = self.shared.transaction(|tables| {
            if !tables.is_leased(self.queue.as_str(), self.subject.as_str(), self.fence)? {
                return Ok::<_, EmbeddedError>(Done::Looked(()));
            }
            tables.give_back(self.queue.as_str(), self.subject.as_str())?;
            Ok(Done::Changed(()))
        });
    }
}

fn check_fence(tables: &Tables<'_>, lease: &Lease) -> Result<(), SchedulerError> {
    let Task { queue, subject, .. } = lease.task();
    if tables.is_leased(queue.as_str(), subject.as_str(), lease.fence())? {
        return Ok(());
    }
    Err(SchedulerError::Fenced { queue: queue.clone(), subject: subject.clone() })
}

/// Whether the queues have room for these tasks once the lease is released. A step that makes no queue longer is taken even
/// if a queue is too long already.
fn check_room(tables: &Tables<'_>, release: Option<&Lease>, puts: &[Task]) -> Result<(), SchedulerError> {
    let mut growth: BTreeMap<&Queue, usize> = BTreeMap::new();
    for task in puts {
        if tables.task(task.queue.as_str(), task.subject.as_str())?.is_none() {
            *growth.entry(&task.queue).or_default() += 1;
        }
    }
    for (queue, growth) in growth {
        let Some(capacity) = tables.rules(queue.as_str())?.capacity else { continue };
        let mut leaves = false;
        if let Some(task) = release.map(Lease::task).filter(|task| task.queue == *queue) {
            let put_again = puts.iter().any(|put| put.subject == task.subject && put.queue == task.queue);
            leaves = !put_again && tables.follower(queue.as_str(), task.subject.as_str())?.is_none();
        }
        let growth = growth - usize::from(leaves);
        if growth > 0 && tables.length(queue.as_str())? + growth > capacity {
            return Err(SchedulerError::QueueFull { queue: queue.clone(), capacity });
        }
    }
    Ok(())
}

/// The last of the tasks with each key.
fn last_of_each(puts: Vec<Task>) -> Vec<Task> {
    let mut seen = HashSet::new();
    let is_last = |task: &Task| seen.insert((task.queue.clone(), task.subject.clone()));
    let mut puts: Vec<Task> = puts.into_iter().rev().filter(is_last).collect();
    puts.reverse();
    puts
}

fn commit(tables: &mut Tables<'_>, step: Step<'_>) -> Result<Done<()>, SchedulerError> {
    let (release, puts) = (step.release, last_of_each(step.puts));
    if let Some(lease) = release {
        check_fence(tables, lease)?;
    }
    step.records.iter().try_for_each(|record| tables.check(record))?;
    tables.check_groups(&step.records)?;
    check_room(tables, release, &puts)?;

    for record in step.records {
        tables.apply(record)?;
    }
    let mut overtaken = None;
    // A step that settles the subject of its lease has cancelled the task already.
    if let Some(task) = release.filter(|lease| check_fence(tables, lease).is_ok()).map(Lease::task) {
        overtaken = tables.finish(task.queue.as_str(), task.subject.as_str())?.then_some(task);
    }
    for task in &puts {
        if overtaken.is_none_or(|other| other.queue != task.queue || other.subject != task.subject) {
            tables.put(task)?;
        }
    }
    Ok(Done::Changed(()))
}

fn cancel(tables: &mut Tables<'_>, which: Which<'_>) -> Result<u64, EmbeddedError> {
    let mut count = 0;
    match which {
        Which::Task(queue, subject) => count += u64::from(tables.cancel(queue.as_str(), subject.as_str())?),
        Which::Subject(subject) => {
            for queue in tables.queues_of(subject.as_str())? {
                count += u64::from(tables.cancel(&queue, subject.as_str())?);
            }
            tables.forget(subject.as_str())?;
        }
        Which::Queue(queue) => {
            for (subject, _) in tables.all_tasks(queue.as_str())? {
                count += u64::from(tables.cancel(queue.as_str(), &subject)?);
            }
            tables.queues.remove(queue.as_str()).map_err(EmbeddedError::of)?;
        }
    }
    Ok(count)
}

fn hasten(tables: &mut Tables<'_>, which: Which<'_>) -> Result<u64, EmbeddedError> {
    let mut count = 0;
    match which {
        Which::Task(queue, subject) => count += u64::from(tables.hasten(queue.as_str(), subject.as_str())?),
        Which::Subject(subject) => {
            for queue in tables.queues_of(subject.as_str())? {
                count += u64::from(tables.hasten(&queue, subject.as_str())?);
            }
        }
        Which::Queue(queue) => {
            for subject in tables.hastenable(queue.as_str())? {
                count += u64::from(tables.hasten(queue.as_str(), &subject)?);
            }
        }
    }
    Ok(count)
}

#[async_trait]
impl Scheduler for EmbeddedScheduler {
    async fn take(&self, from: &[Queue], max: usize, _lease: Duration) -> Result<Vec<Lease>, SchedulerError> {
        if max == 0 || from.is_empty() {
            return std::future::pending().await;
        }
        let longest = self.shared.clock.longest_sleep();
        loop {
            // Changes from now on are noticed.
            let changed = self.shared.changed.notified();
            let looked = self.shared.transaction(|tables| {
                let taken = tables.lease_due(from, max)?;
                if taken.is_empty() {
                    let next = tables.next_due(from)?.map(|due| due.saturating_sub(tables.now.wall));
                    return Ok::<_, EmbeddedError>(Done::Looked(Err(next)));
                }
                Ok(Done::Changed(Ok(taken)))
            })?;
            match looked {
                Ok(taken) => {
                    return Ok(taken.into_iter().map(|(task, fence)| self.shared.lease(task, fence)).collect());
                }
                Err(next) => {
                    let next = next.map(|millis| Duration::from_millis(millis.max(1).unsigned_abs()));
                    let nap = next.unwrap_or(longest).min(longest);
                    drop(tokio::time::timeout(nap, changed).await);
                }
            }
        }
    }

    async fn extend(&self, lease: &Lease, _by: Duration) -> Result<(), SchedulerError> {
        self.shared.look(|tables| check_fence(tables, lease))
    }

    async fn commit(&self, step: Step<'_>) -> Result<(), SchedulerError> {
        self.shared.transaction(|tables| commit(tables, step))
    }

    async fn recorded(&self, subject: &Subject) -> Result<Option<Recorded>, SchedulerError> {
        // A transaction that only reads waits for no writer.
        let transaction = self.shared.database.begin_read().map_err(EmbeddedError::of)?;
        let records = transaction.open_table(RECORDS).map_err(EmbeddedError::of)?;
        let stored = records.get(subject.as_str()).map_err(EmbeddedError::of)?;
        let stored = stored.map(|bytes| decode::<StoredRecord>(bytes.value())).transpose()?;
        Ok(stored.map(StoredRecord::into_recorded))
    }

    async fn cancel(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        self.shared.transaction(|tables| Ok(Done::Changed(cancel(tables, which)?)))
    }

    async fn hasten(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        self.shared.transaction(|tables| Ok(Done::Changed(hasten(tables, which)?)))
    }

    async fn configure(&self, queue: &Queue, rules: QueueRules) -> Result<(), SchedulerError> {
        self.shared.transaction(|tables| Ok(Done::Changed(tables.configure(queue.as_str(), rules.into())?)))
    }

    async fn census(&self) -> Result<Census, SchedulerError> {
        self.shared.look(|tables| {
            let mut census = Census::default();
            for queue in tables.all_queues()? {
                let counted = tables.census(&queue)?;
                census.queues.insert(Queue::new(queue), counted);
            }
            census.resting = tables.resting()?;
            Ok(census)
        })
    }
}
