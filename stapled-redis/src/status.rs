//! The status: what operators see of a scheduler.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use stapled_core::task::{Cause, Queue, Subject};
use stapled_core::time::Timestamp;

use crate::durability::{Durability, Eviction};
use crate::error::RedisError;
use crate::recovery::Parked;
use crate::reply::Reply;
use crate::scheduler::RedisScheduler;
use crate::server::Server;

/// The most leases, and the most parked tasks, that a status lists of one queue.
const MOST_LISTED: usize = 1000;
/// How long a lease may have lapsed before its queue is a problem: workers look at least every ten seconds.
const GRACE: Duration = Duration::from_secs(60);

/// A scheduler in Redis at one instant.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Status {
    /// The prefix of the keys.
    pub prefix: String,
    /// The time on the server's clock.
    pub at: Timestamp,
    /// The version of the form of the keys.
    pub schema: u64,
    /// The steps that survive when the machine of the server loses power.
    pub durability: Durability,
    /// Whether the server deletes keys when its memory is full.
    pub eviction: Eviction,
    /// The memory that the server uses for everything, in bytes.
    pub used_memory: Option<u64>,
    /// Subjects on record.
    pub subjects: u64,
    /// Subjects on record that have no task, by state.
    pub resting: BTreeMap<String, u64>,
    /// The queues, by name.
    pub queues: Vec<QueueStatus>,
}

/// A queue in a [`Status`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QueueStatus {
    /// The name.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::in_words"))]
    pub queue: Queue,
    /// Tasks that are due and not taken yet.
    pub due: u64,
    /// Since when the first of these is due.
    pub oldest_due: Option<Timestamp>,
    /// Tasks that are not due yet.
    pub waiting: u64,
    /// When the first of these is due.
    pub next_due: Option<Timestamp>,
    /// Leased tasks, including those whose lease has lapsed.
    pub leased: u64,
    /// Leased tasks whose lease has lapsed. The next worker that takes from the queue makes them due again.
    pub lapsed: u64,
    /// Tasks that are parked until they are retried.
    pub parked: u64,
    /// How much was done.
    pub counters: Counters,
    /// How much was done per second between two statuses, if there were two.
    pub rates: Option<Rates>,
    /// The leases that end first, as many as were asked for.
    pub leases: Vec<LeaseStatus>,
    /// The tasks that are parked for the longest time, as many as were asked for.
    pub parked_tasks: Vec<Parked>,
}

/// How much was done on a queue since the counters began. Cancelling the queue ends them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Counters {
    /// When the counters began; none: nothing was counted yet.
    pub since: Option<Timestamp>,
    /// Leases that workers got.
    pub taken: u64,
    /// Leases that ended with a step.
    pub committed: u64,
    /// Of these, the ones that put the same task again after a failed attempt.
    pub failed: u64,
    /// Leases that lapsed.
    pub lost: u64,
    /// Tasks that were parked.
    pub parked: u64,
}

/// How much was done on a queue per second.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Rates {
    /// Leases that workers got.
    pub taken: f64,
    /// Leases that ended with a step.
    pub committed: f64,
    /// Of these, failed attempts.
    pub failed: f64,
}

/// A lease in a [`QueueStatus`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LeaseStatus {
    /// The subject of the task.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::in_words"))]
    pub subject: Subject,
    /// When the lease ends; it has lapsed if that is past.
    pub ends: Timestamp,
    /// How many attempts in a row failed before this one.
    pub attempt: u32,
}

/// A condition that needs an operator. Its text says what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The server deletes keys when its memory is full.
    Evicts {
        /// By this policy.
        policy: String,
    },
    /// Tasks are parked, because they failed too often.
    Parked {
        /// In this queue.
        queue: Queue,
        /// How many.
        count: u64,
        /// The subject of the first one that is listed, and why its last attempt failed.
        example: Option<(Subject, Cause)>,
    },
    /// Leases lapsed over a minute ago, and no worker takes from their queue.
    NoWorker {
        /// The queue.
        queue: Queue,
        /// How many leases have lapsed.
        count: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use stapled_core::describe::visible::Visible;
        match self {
            Problem::Evicts { policy } => write!(
                f,
                "Redis deletes keys when its memory is full (maxmemory-policy {}); set `maxmemory-policy noeviction`",
                Visible::new(policy)
            ),
            Problem::Parked { queue, count, example } => {
                let queue = Visible::new(queue.as_str());
                write!(f, "queue {queue}: {count} parked")?;
                if let Some((subject, cause)) = example {
                    let (subject, cause) = (subject.to_string(), cause.to_string());
                    write!(f, ", such as {}, which failed: {}", Visible::new(&subject), Visible::new(&cause))?;
                }
                write!(f, "; after the repair: stapled redis retry {queue} --all")
            }
            Problem::NoWorker { queue, count } => {
                let queue = Visible::new(queue.as_str());
                write!(f, "queue {queue}: {count} leases have lapsed, and no worker takes from it; start one")
            }
        }
    }
}

impl Status {
    /// The problems that need an operator, the worst first.
    pub fn problems(&self) -> Vec<Problem> {
        let evicts = match &self.eviction {
            Eviction::Policy(policy) => Some(Problem::Evicts { policy: policy.clone() }),
            _ => None,
        };
        let no_worker = self.queues.iter().filter(|queue| queue.has_no_worker(self.at));
        let no_worker = no_worker.map(|queue| Problem::NoWorker { queue: queue.queue.clone(), count: queue.lapsed });
        let parked = self.queues.iter().filter(|queue| queue.parked > 0).map(|queue| {
            let example = queue.parked_tasks.first().map(|task| (task.subject.clone(), task.cause.clone()));
            Problem::Parked { queue: queue.queue.clone(), count: queue.parked, example }
        });
        evicts.into_iter().chain(no_worker).chain(parked).collect()
    }

    /// The same status, with the rates since an earlier one.
    #[must_use]
    pub fn with_rates_since(mut self, earlier: &Status) -> Self {
        let seconds = self.at.since(earlier.at).as_secs_f64();
        for queue in &mut self.queues {
            let before = earlier.queues.iter().find(|before| before.queue == queue.queue);
            let before = before.map(|before| before.counters).unwrap_or_default();
            // Both counters may have begun anew in between.
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            queue.rates = (seconds > 0.0).then(|| Rates {
                taken: rate(queue.counters.taken, before.taken),
                committed: rate(queue.counters.committed, before.committed),
                failed: rate(queue.counters.failed, before.failed),
            });
        }
        self
    }
}

impl QueueStatus {
    fn has_no_worker(&self, now: Timestamp) -> bool {
        self.lapsed > 0 && self.leases.first().is_none_or(|lease| now.since(lease.ends) > GRACE)
    }
}

impl RedisScheduler {
    /// The state of everything, with at most `listed` leases and as many parked tasks of each queue; never more than 1,000.
    /// It changes no task: leases that have lapsed are counted as such.
    ///
    /// # Errors
    ///
    /// Redis failed.
    pub async fn status(&self, listed: usize) -> Result<Status, RedisError> {
        let connection = self.connection();
        let Server { durability, eviction, used_memory } = Server::ask(connection).await?;
        let mut call = connection.call("status");
        call.arg(listed.min(MOST_LISTED));
        let mut reply = connection.run(&call).await?;
        let (at, schema, subjects) = (reply.instant()?, reply.number()?, reply.number()?);
        let mut resting = BTreeMap::new();
        for _ in 0..reply.number()? {
            resting.insert(reply.text()?, reply.number()?);
        }
        let mut queues = Vec::new();
        while !reply.is_empty() {
            queues.push(queue(&mut reply)?);
        }
        queues.sort_by(|one, other| one.queue.cmp(&other.queue));
        let prefix = connection.prefix().to_owned();
        Ok(Status { prefix, at, schema, durability, eviction, used_memory, subjects, resting, queues })
    }
}

/// Reads a queue, in the order in which the script writes it.
fn queue(reply: &mut Reply) -> Result<QueueStatus, RedisError> {
    let queue = Queue::new(reply.text()?);
    Ok(QueueStatus {
        due: reply.number()?,
        oldest_due: reply.instant_or_none()?,
        waiting: reply.number()?,
        next_due: reply.instant_or_none()?,
        leased: reply.number()?,
        lapsed: reply.number()?,
        parked: reply.number()?,
        counters: Counters {
            since: reply.instant_or_none()?,
            taken: reply.number()?,
            committed: reply.number()?,
            failed: reply.number()?,
            lost: reply.number()?,
            parked: reply.number()?,
        },
        rates: None,
        leases: (0..reply.number()?).map(|_| lease(reply)).collect::<Result<_, _>>()?,
        parked_tasks: (0..reply.number()?).map(|_| Parked::read(&queue, reply)).collect::<Result<_, _>>()?,
        queue,
    })
}

fn lease(reply: &mut Reply) -> Result<LeaseStatus, RedisError> {
    Ok(LeaseStatus { subject: Subject::new(reply.text()?), ends: reply.instant()?, attempt: reply.number()? })
}

/// As its text.
#[cfg(feature = "serde")]
impl serde::Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
