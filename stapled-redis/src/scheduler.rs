//! The scheduler: each of its calls is one run of the script.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rand::Rng;
use stapled_core::scheduler::census::{Census, QueueCensus};
use stapled_core::scheduler::{Expect, Lease, QueueRules, Recorded, Scheduler, SchedulerError, Step, Which};
use stapled_core::task::{Due, Queue, Subject, Task};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address::RedisAddress;
use crate::connection::Connection;
use crate::durability::{Durability, Eviction, Loss};
use crate::error::RedisError;
use crate::keys::Keys;
use crate::reply::Reply;
use crate::script::Call;
use crate::server::Server;
use crate::waiting::Takers;

/// How long a taker waits at most before it looks again, whatever it was told: a wake-up may have been lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause before the waiting connection is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest delay: about 35,000 years. The script calculates in floating-point numbers, which are exact to 2^53.
const LONGEST_MILLIS: u64 = 1 << 50;

/// The field of a record's hash that has the state.
const STATE: &str = "state";
/// The field of a record's hash that has the groups of the subject.
const GROUPS: &str = "groups";

/// A [`Scheduler`] in Redis.
///
/// Tasks, leases and records are in Redis alone, under the names of [`Keys`]. The clock is the server's.
/// A worker that dies loses its lease when the lease lapses.
pub struct RedisScheduler {
    shared: Arc<Shared>,
    patience: Duration,
    replicas: Option<Replicas>,
    _listening: DropGuard,
}

/// How many replicas have a step before it counts, and how long that may take.
#[derive(Clone, Copy, Debug)]
struct Replicas {
    count: u32,
    within: Duration,
}

struct Shared {
    connection: Connection,
    /// The settings of the server when this process connected.
    server: Server,
    takers: Takers,
    /// The name of this process's wake list.
    process: String,
}

impl RedisScheduler {
    /// Connects to the Redis at `address`, such as `redis://127.0.0.1:6379/0` or `redis+unix:///run/redis.sock`; see
    /// [`RedisAddress`](crate::RedisAddress) for all forms. Schedulers with the same `prefix` share their tasks.
    ///
    /// # Errors
    ///
    /// The address is wrong, the server cannot be reached within some seconds, or a newer program wrote the keys. Later
    /// failures of the server are errors of the single calls; the connection comes back by itself.
    pub async fn connect(address: &str, prefix: &str) -> Result<Self, RedisError> {
        RedisScheduler::connect_to(&address.parse()?, prefix).await
    }

    /// Connects to the Redis at an address that is parsed already.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn connect_to(address: &RedisAddress, prefix: &str) -> Result<Self, RedisError> {
        RedisScheduler::connect_with(address, Keys::tagged(prefix)).await
    }

    /// The same, with these names of keys.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub async fn connect_with(address: &RedisAddress, keys: Keys) -> Result<Self, RedisError> {
        let connection = Connection::open(address, keys).await?;
        let server = Server::ask(&connection).await?;
        let process = format!("{:032x}", rand::rng().random::<u128>());
        let shared = Arc::new(Shared { connection, server, takers: Takers::default(), process });
        let end = CancellationToken::new();
        tokio::spawn(end.clone().run_until_cancelled_owned(listen(Arc::clone(&shared))));
        Ok(RedisScheduler { shared, patience: PATIENCE, replicas: None, _listening: end.drop_guard() })
    }

    /// Sets how long a taker waits at most before it looks again. Default: 10 seconds. Wake-ups that are lost with a
    /// connection, and leases of other processes that lapse, are noticed within this time.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        RedisScheduler { patience, ..self }
    }

    /// Makes every step wait until this many replicas have it, for `within` at most (`WAIT`). Without this, a failover to a
    /// replica loses the steps that were acknowledged shortly before. A step that too few replicas have fails, though the
    /// primary took it.
    #[must_use]
    pub fn replicas(self, count: u32, within: Duration) -> Self {
        RedisScheduler { replicas: Some(Replicas { count, within }), ..self }
    }

    /// The steps that survive when the machine of the server loses power, by the settings that the server had at the connection.
    pub fn durability(&self) -> Durability {
        self.shared.server.durability
    }

    /// Whether the server deletes keys when its memory is full, by its settings at the connection. The scheduler needs
    /// [`Eviction::Never`].
    pub fn eviction(&self) -> &Eviction {
        &self.shared.server.eviction
    }

    /// Refuses a server that may lose acknowledged steps: for programs such as a certificate authority, whose clients rely on
    /// them. With [`Loss::Accept`] every server will do.
    ///
    /// # Errors
    ///
    /// [`Durability`] is another than [`Durability::Always`], or the server deletes keys when its memory is full.
    pub fn require_durable(self, loss: Loss) -> Result<Self, RedisError> {
        match (loss, self.durability(), self.eviction()) {
            (Loss::Accept, ..) => Ok(self),
            (Loss::Refuse, _, Eviction::Policy(policy)) => Err(RedisError::Evicts { policy: policy.clone() }),
            (Loss::Refuse, Durability::Always, _) => Ok(self),
            (Loss::Refuse, durability, _) => Err(RedisError::NotDurable { durability }),
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.shared.connection
    }

    async fn run(&self, call: Call<'_>) -> Result<Reply, SchedulerError> {
        Ok(self.shared.connection.run(&call).await?)
    }

    /// Runs a call. The second result is an error if fewer replicas than wanted have what the call wrote.
    async fn run_replicated(&self, call: Call<'_>) -> Result<(Reply, Result<(), RedisError>), SchedulerError> {
        let Some(Replicas { count: wanted, within }) = self.replicas else {
            return Ok((self.run(call).await?, Ok(())));
        };
        let (reply, have) = self.shared.connection.run_replicated(&call, wanted, within).await?;
        let enough =
            have.and_then(|have| if have < wanted { Err(RedisError::NotReplicated { have, wanted }) } else { Ok(()) });
        Ok((reply, enough))
    }
}

impl fmt::Debug for RedisScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisScheduler").field("process", &self.shared.process).finish_non_exhaustive()
    }
}

/// Wakes the takers of the queues whose names come on the wake list. Without a connection, the takers look again after their
/// patience.
async fn listen(shared: Arc<Shared>) {
    loop {
        if shared.connection.wait().await.is_ok() {
            shared.takers.wake_all();
            while let Ok(woken) = shared.connection.woken(&shared.process).await {
                if let Some(queue) = woken {
                    shared.takers.wake(&queue);
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The reply to a take.
enum Taken {
    Leases,
    /// How long to wait.
    Nothing(Duration),
}

/// Leases on their way to a taker. If the taker is gone, the tasks are given back.
struct Delivery {
    shared: Arc<Shared>,
    leases: Vec<Lease>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let leases = std::mem::take(&mut self.leases);
        if leases.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        // Without a runtime the process is about to end, and the leases lapse.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let mut call = shared.connection.call("give_back");
                for lease in &leases {
                    name_lease(&mut call, lease);
                }
                // If this fails, the leases lapse.
                let _ = shared.connection.run(&call).await;
            });
        }
    }
}

/// Runs a take to its end, even if the caller is gone: the server may have leased the tasks already.
async fn deliver(
    shared: Arc<Shared>,
    from: Vec<Queue>,
    max: usize,
    lease: Duration,
    patience: Duration,
) -> Result<(Taken, Delivery), SchedulerError> {
    let mut call = shared.connection.call("take");
    call.arg(max).arg(millis(lease)).arg(shared.process.as_str()).arg(millis(patience));
    for queue in &from {
        call.arg(queue.as_str());
    }
    let mut reply = shared.connection.run(&call).await?;
    let mut delivery = Delivery { shared: Arc::clone(&shared), leases: Vec::new() };
    if reply.word() == "none" {
        let wait = Duration::from_millis(reply.number::<u64>()?);
        return Ok((Taken::Nothing(wait), delivery));
    }
    if reply.word() != "taken" {
        return Err(RedisError::Reply("neither tasks nor none").into());
    }
    while !reply.is_empty() {
        let (queue, subject) = (Queue::new(reply.text()?), Subject::new(reply.text()?));
        let fence = reply.number()?;
        let due = Due::At(reply.instant()?);
        let (generation, attempt) = (reply.number()?, reply.number()?);
        let Ok(cause) = reply.text()?.parse();
        let task = Task::new(queue, subject).due(due).generation(generation).attempt(attempt).cause(cause);
        delivery.leases.push(Lease::new(task, fence));
    }
    Ok((Taken::Leases, delivery))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(LONGEST_MILLIS)
}

fn name_lease(call: &mut Call<'_>, lease: &Lease) {
    let Task { queue, subject, .. } = lease.task();
    call.arg(queue.as_str()).arg(subject.as_str()).arg(lease.fence());
}

fn name_tasks(call: &mut Call<'_>, which: Which<'_>) {
    match which {
        Which::Task(queue, subject) => call.arg("task").arg(queue.as_str()).arg(subject.as_str()),
        Which::Subject(subject) => call.arg("subject").arg(subject.as_str()),
        Which::Queue(queue) => call.arg("queue").arg(queue.as_str()),
    };
}

/// The name of a field in the hash of a record, where the state and the groups have names, too.
fn stored_name(field: &str) -> Cow<'_, str> {
    if [STATE, GROUPS].contains(&field) || field.starts_with(':') {
        Cow::Owned(format!(":{field}"))
    } else {
        Cow::Borrowed(field)
    }
}

/// The fields of a part, from their names and values in turn.
fn fields_of(values: Vec<Vec<u8>>) -> Result<BTreeMap<String, Vec<u8>>, RedisError> {
    let (mut fields, mut values) = (BTreeMap::new(), values.into_iter());
    while let (Some(name), Some(value)) = (values.next(), values.next()) {
        let name = String::from_utf8(name).map_err(|_| RedisError::Reply("the name of a field is not UTF-8"))?;
        fields.insert(name, value);
    }
    Ok(fields)
}

fn fenced(lease: &Lease) -> SchedulerError {
    let Task { queue, subject, .. } = lease.task();
    SchedulerError::Fenced { queue: queue.clone(), subject: subject.clone() }
}

fn count(mut reply: Reply) -> Result<u64, SchedulerError> {
    match reply.word() {
        "count" => Ok(reply.number()?),
        _ => Err(RedisError::Reply("no count").into()),
    }
}

#[async_trait]
impl Scheduler for RedisScheduler {
    async fn take(&self, from: &[Queue], max: usize, lease: Duration) -> Result<Vec<Lease>, SchedulerError> {
        if max == 0 || from.is_empty() {
            return std::future::pending().await;
        }
        let taker = self.shared.takers.enter(from);
        loop {
            let (sender, receiver) = oneshot::channel();
            let asked = deliver(Arc::clone(&self.shared), from.to_vec(), max, lease, self.patience);
            // If this call is dropped, so is the reply, and its tasks are given back.
            tokio::spawn(async move { drop(sender.send(asked.await)) });
            let ended = || SchedulerError::from(RedisError::Server("the runtime is ending".to_owned()));
            let (taken, mut delivery) = receiver.await.map_err(|_| ended())??;
            match taken {
                Taken::Leases => return Ok(std::mem::take(&mut delivery.leases)),
                Taken::Nothing(wait) => {
                    let wait = wait.min(self.patience).max(Duration::from_millis(1));
                    drop(tokio::time::timeout(wait, taker.woken()).await);
                }
            }
        }
    }

    async fn extend(&self, lease: &Lease, by: Duration) -> Result<(), SchedulerError> {
        let mut call = self.shared.connection.call("extend");
        name_lease(&mut call, lease);
        call.arg(millis(by));
        match self.run(call).await?.word() {
            "done" => Ok(()),
            _ => Err(fenced(lease)),
        }
    }

    async fn commit(&self, step: Step<'_>) -> Result<(), SchedulerError> {
        let mut call = self.shared.connection.call("commit");
        match step.release {
            Some(lease) => {
                call.arg("1");
                name_lease(&mut call, lease);
            }
            None => drop(call.arg("0")),
        }
        call.arg(step.records.len());
        for record in &step.records {
            let (expect, expected) = match &record.expect {
                Expect::Anything => ("any", ""),
                Expect::Nothing => ("none", ""),
                Expect::State(state) => ("state", state.as_str()),
            };
            call.arg(record.subject.as_str()).arg(expect).arg(expected);
            let (has_state, state) = record.state.as_deref().map_or(("0", ""), |state| ("1", state));
            call.arg(has_state).arg(state).arg(u8::from(record.settles));
            call.arg(record.fields.len());
            for (name, value) in &record.fields {
                call.arg(stored_name(name).as_ref()).arg(value.as_slice());
            }
            call.arg(record.lists.len());
            for (name, values) in &record.lists {
                call.arg(name).arg(values.len()).arg(values);
            }
            call.arg(record.parts.len());
            for (name, fields) in &record.parts {
                call.arg(name).arg(fields.len());
                for (name, value) in fields {
                    call.arg(name).arg(value.as_slice());
                }
            }
            call.arg(record.joined().count());
            for (group, at_most) in record.joined() {
                call.arg(group).arg(at_most);
            }
        }
        call.arg(step.puts.len());
        for task in &step.puts {
            call.arg(task.queue.as_str()).arg(task.subject.as_str());
            match task.due {
                Due::Now => call.arg("now").arg(0),
                Due::After(delay) => call.arg("after").arg(millis(delay)),
                Due::At(instant) => call.arg("at").arg(instant.unix_millis()),
            };
            call.arg(task.generation).arg(task.attempt).arg(task.cause.to_string());
        }
        let (mut reply, replicated) = self.run_replicated(call).await?;
        match (reply.word(), step.release) {
            ("done", _) => Ok(replicated?),
            ("fenced", Some(lease)) => Err(fenced(lease)),
            ("unexpected", _) => {
                let place: usize = reply.number()?;
                let record = step.records.into_iter().nth(place).ok_or(RedisError::Reply("no such record"))?;
                let found = if reply.is_empty() { None } else { Some(reply.text()?) };
                Err(SchedulerError::Unexpected { subject: record.subject, expected: record.expect, found })
            }
            ("full", _) => {
                Err(SchedulerError::QueueFull { queue: Queue::new(reply.text()?), capacity: reply.number()? })
            }
            ("crowded", _) => Err(SchedulerError::GroupFull { group: reply.text()?, at_most: reply.number()? }),
            _ => Err(RedisError::Reply("an unknown result of a step").into()),
        }
    }

    async fn recorded(&self, subject: &Subject) -> Result<Option<Recorded>, SchedulerError> {
        let mut call = self.shared.connection.call("recorded");
        call.arg(subject.as_str());
        let mut reply = self.run(call).await?;
        let (mut state, mut recorded) = (None, Recorded::new("", BTreeMap::new()));
        for _ in 0..reply.number::<usize>()? {
            let (name, value) = (reply.text()?, reply.bytes()?);
            if name == STATE {
                state = Some(String::from_utf8(value).map_err(|_| RedisError::Reply("a state is not UTF-8"))?);
            } else if name != GROUPS {
                recorded.fields.insert(name.strip_prefix(':').unwrap_or(&name).to_owned(), value);
            }
        }
        while !reply.is_empty() {
            let (kind, name, count) = (reply.text()?, reply.text()?, reply.number::<usize>()?);
            let values = (0..count).map(|_| reply.bytes()).collect::<Result<Vec<_>, _>>()?;
            if kind == "list" {
                recorded.lists.insert(name, values);
            } else {
                recorded.parts.insert(name, fields_of(values)?);
            }
        }
        Ok(state.map(|state| {
            recorded.state = state;
            recorded
        }))
    }

    async fn cancel(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        let mut call = self.shared.connection.call("cancel");
        name_tasks(&mut call, which);
        count(self.run(call).await?)
    }

    async fn hasten(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        let mut call = self.shared.connection.call("hasten");
        name_tasks(&mut call, which);
        count(self.run(call).await?)
    }

    async fn configure(&self, queue: &Queue, rules: QueueRules) -> Result<(), SchedulerError> {
        let mut call = self.shared.connection.call("configure");
        let text = |number: Option<String>| number.unwrap_or_default();
        call.arg(queue.as_str());
        call.arg(text(rules.capacity.map(|capacity| capacity.to_string())));
        call.arg(text(rules.park_after.map(|attempts| attempts.to_string())));
        self.run(call).await.map(drop)
    }

    async fn census(&self) -> Result<Census, SchedulerError> {
        let mut census = Census::default();
        let mut reply = self.run(self.shared.connection.call("queues")).await?;
        while !reply.is_empty() {
            let queue = Queue::new(reply.text()?);
            let mut counted = QueueCensus::default();
            counted.waiting = reply.number()?;
            counted.due = reply.number()?;
            counted.leased = reply.number()?;
            counted.parked = reply.number()?;
            counted.next_due = reply.instant_or_none()?;
            census.queues.insert(queue, counted);
        }
        let mut reply = self.run(self.shared.connection.call("resting")).await?;
        while !reply.is_empty() {
            census.resting.insert(reply.text()?, reply.number()?);
        }
        Ok(census)
    }
}
