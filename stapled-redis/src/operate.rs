//! Repairs: a scheduler that exists is opened, missing tasks are put again, parked tasks are retried.

use std::collections::BTreeMap;
use std::fmt;

use stapled_core::describe::visible::Visible;
use stapled_core::task::{Queue, Subject};

use crate::address::RedisAddress;
use crate::error::RedisError;
use crate::recovery::{Recovered, Recovery};
use crate::report::by_state;
use crate::scheduler::RedisScheduler;

/// How many other prefixes an error names.
const MOST_PREFIXES: usize = 10;
/// How many resting subjects a repair names.
const MOST_NAMED: usize = 20;
/// How many parked tasks one call retries.
const BATCH: usize = 500;

/// The tasks that a recovery put, or would put.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// Whether it changed anything.
    pub mode: Recovery,
    /// The tasks.
    pub recovered: Vec<Recovered>,
    /// Subjects on record that still have no task, by state.
    pub resting: BTreeMap<String, u64>,
    /// The first of them, with their states: 20 at most.
    pub named: Vec<(Subject, String)>,
}

/// The parked tasks to retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// All of the queue.
    All,
    /// Those of these subjects.
    Subjects(Vec<Subject>),
}

/// The tasks that a retry made due.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retried {
    /// The queue.
    pub queue: Queue,
    /// How many tasks are due now.
    pub count: u64,
    /// Subjects without a parked task in the queue.
    pub not_parked: Vec<Subject>,
}

impl RedisScheduler {
    /// Connects to a scheduler that some program has used already. Writes nothing where there is none.
    ///
    /// # Errors
    ///
    /// As [`connect_to`](RedisScheduler::connect_to), or no scheduler has this prefix. The error then names other prefixes, as far as
    /// they are found soon.
    pub async fn connect_existing(address: &RedisAddress, prefix: &str) -> Result<Self, RedisError> {
        let scheduler = RedisScheduler::connect_to(address, prefix).await?;
        let connection = scheduler.connection();
        if connection.has_clock().await? {
            return Ok(scheduler);
        }
        let others = connection.prefixes(MOST_PREFIXES).await.unwrap_or_default();
        Err(RedisError::NoScheduler { prefix: prefix.to_owned(), others })
    }

    /// [Recovers](RedisScheduler::recover) with the owner's mapping of states to queues, and counts the subjects that still
    /// have no task. With an empty mapping, only tasks are put that their queue has in no order.
    ///
    /// # Errors
    ///
    /// Redis failed. What was put until then stays.
    pub async fn repair(&self, mode: Recovery, queues: &BTreeMap<String, Queue>) -> Result<Repair, RedisError> {
        let recovered = self.recover(mode, |state| queues.get(state).cloned()).await?;
        let (mut resting, mut named) = (BTreeMap::new(), Vec::new());
        for (subject, state) in self.idle().await?.into_iter().filter(|(_, state)| !queues.contains_key(state)) {
            *resting.entry(state.clone()).or_default() += 1;
            if named.len() < MOST_NAMED {
                named.push((subject, state));
            }
        }
        Ok(Repair { mode, recovered, resting, named })
    }

    /// Makes parked tasks of a queue due now, with their attempts counted from 0.
    ///
    /// # Errors
    ///
    /// There is no such queue, or Redis failed. What was retried until then stays.
    pub async fn retry(&self, queue: &Queue, which: Retry) -> Result<Retried, RedisError> {
        let known = self.connection().all_queues().await?;
        if !known.iter().any(|known| known == queue.as_str()) {
            return Err(RedisError::NoQueue { queue: queue.clone(), known });
        }
        let subjects = match which {
            Retry::All => self.parked(queue).await?.into_iter().map(|task| task.subject).collect(),
            Retry::Subjects(subjects) => subjects,
        };
        let mut retried = Retried { queue: queue.clone(), count: 0, not_parked: Vec::new() };
        for subjects in subjects.chunks(BATCH) {
            let mut call = self.connection().call("retry");
            call.arg(queue.as_str());
            for subject in subjects {
                call.arg(subject.as_str());
            }
            let mut reply = self.connection().run(&call).await?;
            retried.count += reply.number::<u64>()?;
            while !reply.is_empty() {
                retried.not_parked.push(Subject::new(reply.text()?));
            }
        }
        Ok(retried)
    }
}

/// Each task on a line, then how many, then the subjects that still have no task.
impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.recovered {
            let (subject, queue) = (one.subject.to_string(), one.queue.to_string());
            write!(f, "{}: {}", Visible::new(&queue), Visible::new(&subject))?;
            match &one.state {
                Some(state) => writeln!(f, ", in state {}", Visible::new(state))?,
                None => writeln!(f, ", which was in no order of its queue")?,
            }
        }
        let count = self.recovered.len();
        match self.mode {
            Recovery::Run => writeln!(f, "tasks put again: {count}")?,
            Recovery::DryRun => writeln!(f, "tasks to put again: {count}; nothing was changed")?,
        }
        if self.resting.is_empty() {
            return Ok(());
        }
        writeln!(f, "subjects without a task, for whose state no queue was named: {}", by_state(&self.resting))?;
        for (subject, state) in &self.named {
            let subject = subject.to_string();
            writeln!(f, "  {}, in state {}", Visible::new(&subject), Visible::new(state))?;
        }
        let count: u64 = self.resting.values().sum();
        match count.checked_sub(self.named.len() as u64) {
            None | Some(0) => Ok(()),
            Some(more) => writeln!(f, "  and {more} more"),
        }
    }
}

impl fmt::Display for Retried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.queue.to_string();
        let queue = Visible::new(&queue);
        for subject in &self.not_parked {
            let subject = subject.to_string();
            writeln!(f, "{}: has no parked task in queue {queue}", Visible::new(&subject))?;
        }
        writeln!(f, "tasks of queue {queue} that are due again: {}", self.count)
    }
}
