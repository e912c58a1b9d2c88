//! Recovery: puts the tasks that are missing, of subjects on record.

use stapled_core::scheduler::{Recorded, Scheduler, SchedulerError};
use stapled_core::task::{Cause, Queue, Subject};
use stapled_core::time::Timestamp;

use crate::error::RedisError;
use crate::reply::Reply;
use crate::scheduler::RedisScheduler;

/// How many subjects one call examines.
const BATCH: usize = 500;

/// Whether a recovery changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Puts the tasks.
    Run,
    /// Only reports what it would put.
    DryRun,
}

/// A task that a recovery put, or would put.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The queue.
    pub queue: Queue,
    /// The subject.
    pub subject: Subject,
    /// The subject's state, if the state named the queue. `None`: the queue had the task, but in no order.
    pub state: Option<String>,
}

/// A parked task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Parked {
    /// The queue.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::in_words"))]
    pub queue: Queue,
    /// The subject.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::in_words"))]
    pub subject: Subject,
    /// Since when it is parked, by the server's clock.
    pub since: Timestamp,
    /// How many attempts in a row failed.
    pub attempt: u32,
    /// Why the last attempt failed.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serialize::in_words"))]
    pub cause: Cause,
}

impl RedisScheduler {
    /// Puts every task that is missing: those of subjects on record without a task, onto the queue that `queue_of` names for
    /// their state, and those that a queue has in no order, because a key was deleted or evicted. States for which
    /// `queue_of` returns `None` wait for a person or a client, and get no task.
    ///
    /// Every step of the scheduler is atomic, so there is nothing to recover after a crash alone: only after Redis lost writes,
    /// or after keys were changed by hand. Recovery is safe at any time, on several machines at once, and twice: each task is
    /// put by one script that checks again whether it is missing.
    ///
    /// # Errors
    ///
    /// Redis failed. What was put until then stays.
    pub async fn recover(
        &self,
        recovery: Recovery,
        queue_of: impl Fn(&str) -> Option<Queue> + Send,
    ) -> Result<Vec<Recovered>, RedisError> {
        let mut recovered = self.replace(recovery).await?;
        for (subject, state) in self.idle().await? {
            if let Some(queue) = queue_of(&state) {
                recovered.extend(self.put_missing(recovery, subject, state, queue).await?);
            }
        }
        Ok(recovered)
    }

    /// The same, where the queue depends on the whole record: of each subject without a task, the record is read.
    ///
    /// # Errors
    ///
    /// Redis failed. What was put until then stays.
    pub async fn recover_by_record(
        &self,
        recovery: Recovery,
        queue_of: impl Fn(&Recorded) -> Option<Queue> + Send,
    ) -> Result<Vec<Recovered>, SchedulerError> {
        let mut recovered = self.replace(recovery).await?;
        for (subject, state) in self.idle().await? {
            let recorded = self.recorded(&subject).await?;
            if let Some(queue) = recorded.and_then(|recorded| queue_of(&recorded)) {
                recovered.extend(self.put_missing(recovery, subject, state, queue).await?);
            }
        }
        Ok(recovered)
    }

    /// The subjects on record that are not settled, in the order of their first records if the keys are those of
    /// [sessions](crate::Keys::of_sessions).
    ///
    /// # Errors
    ///
    /// Redis failed.
    pub async fn active(&self) -> Result<Vec<Subject>, RedisError> {
        Ok(self.connection().all_active().await?.into_iter().map(Subject::new).collect())
    }

    /// How many subjects on record are not settled. Their names are not read.
    ///
    /// # Errors
    ///
    /// Redis failed.
    pub async fn active_count(&self) -> Result<usize, RedisError> {
        self.connection().count_active().await
    }

    /// How many members a [group](stapled_core::scheduler::Record::groups) has.
    ///
    /// # Errors
    ///
    /// Redis failed.
    pub async fn members(&self, group: &str) -> Result<usize, RedisError> {
        self.connection().members(group).await
    }

    /// Counts the members of all groups anew, by the records of the subjects that are not settled. To be called where
    /// [`recover`](Self::recover) is, if groups are used: after keys were changed by hand.
    ///
    /// # Errors
    ///
    /// Redis failed.
    pub async fn recount_groups(&self) -> Result<(), RedisError> {
        let connection = self.connection();
        connection.run(&connection.call("recount")).await.map(drop)
    }

    /// Puts the tasks that a queue has in no order.
    async fn replace(&self, recovery: Recovery) -> Result<Vec<Recovered>, RedisError> {
        let mut recovered = Vec::new();
        let connection = self.connection();
        let mode = if recovery == Recovery::Run { "mend" } else { "look" };
        for queue in connection.all_queues().await? {
            for subjects in connection.all_names(&queue).await?.chunks(BATCH) {
                let mut call = connection.call("misplaced");
                call.arg(queue.as_str()).arg(mode).arg(subjects);
                let mut reply = connection.run(&call).await?;
                while !reply.is_empty() {
                    let subject = Subject::new(reply.text()?);
                    recovered.push(Recovered { queue: Queue::from(queue.as_str()), subject, state: None });
                }
            }
        }
        Ok(recovered)
    }

    /// Puts the task of a subject, if it is still missing.
    async fn put_missing(
        &self,
        recovery: Recovery,
        subject: Subject,
        state: String,
        queue: Queue,
    ) -> Result<Option<Recovered>, RedisError> {
        let is_put = recovery == Recovery::DryRun || self.restore(&subject, &state, &queue).await?;
        Ok(is_put.then_some(Recovered { queue, subject, state: Some(state) }))
    }

    /// Every subject on record that has no task, with its state.
    pub(crate) async fn idle(&self) -> Result<Vec<(Subject, String)>, RedisError> {
        let (connection, mut idle) = (self.connection(), Vec::new());
        for subjects in connection.all_active().await?.chunks(BATCH) {
            let mut call = connection.call("idle");
            call.arg(subjects);
            let mut reply = connection.run(&call).await?;
            while !reply.is_empty() {
                idle.push((Subject::new(reply.text()?), reply.text()?));
            }
        }
        Ok(idle)
    }

    /// Whether the task was still missing.
    async fn restore(&self, subject: &Subject, state: &str, queue: &Queue) -> Result<bool, RedisError> {
        let connection = self.connection();
        let mut call = connection.call("restore");
        call.arg(subject.as_str()).arg(state).arg(queue.as_str()).arg(Cause::LeaseLost.to_string());
        Ok(connection.run(&call).await?.number::<u64>()? > 0)
    }

    /// The parked tasks of a queue, those that are parked for the longest time first.
    /// [`hasten`](stapled_core::scheduler::Scheduler::hasten) makes one due again.
    ///
    /// # Errors
    ///
    /// Redis failed.
    pub async fn parked(&self, queue: &Queue) -> Result<Vec<Parked>, RedisError> {
        let connection = self.connection();
        let mut call = connection.call("parked");
        call.arg(queue.as_str());
        let mut reply = connection.run(&call).await?;
        let mut parked = Vec::new();
        while !reply.is_empty() {
            parked.push(Parked::read(queue, &mut reply)?);
        }
        Ok(parked)
    }
}

impl Parked {
    pub(crate) fn read(queue: &Queue, reply: &mut Reply) -> Result<Self, RedisError> {
        let (subject, since, attempt) = (Subject::new(reply.text()?), reply.instant()?, reply.number()?);
        let Ok(cause) = reply.text()?.parse();
        Ok(Parked { queue: queue.clone(), subject, since, attempt, cause })
    }
}
