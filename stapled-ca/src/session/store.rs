//! The store of sessions: a scheduler that lists its subjects and recovers lost tasks.

use async_trait::async_trait;
use stapled_core::scheduler::{Recorded, Scheduler, SchedulerError};
use stapled_core::task::{Queue, Subject};
use stapled_embedded::EmbeddedScheduler;
use stapled_redis::{Recovery, RedisScheduler};

use super::contents::{Session, SessionId};

/// A scheduler that keeps sessions.
#[async_trait]
pub trait SessionStore: Scheduler {
    /// The sessions that are neither dead nor in the ledger, the oldest first.
    async fn active(&self) -> Result<Vec<Subject>, SchedulerError>;

    /// How many sessions are neither dead nor in the ledger.
    async fn active_count(&self) -> Result<usize, SchedulerError>;

    /// How many sessions count in this group.
    async fn members(&self, group: &str) -> Result<usize, SchedulerError>;

    /// The sessions whose tasks on this queue are parked.
    async fn parked(&self, queue: &Queue) -> Result<Vec<Subject>, SchedulerError>;

    /// Puts the tasks of active sessions that have none, after the store lost writes or was changed by hand. Returns the
    /// tasks that it put, or would put.
    async fn recover(&self, recovery: Recovery) -> Result<Vec<(Queue, Subject)>, SchedulerError>;
}

#[async_trait]
impl SessionStore for RedisScheduler {
    async fn active(&self) -> Result<Vec<Subject>, SchedulerError> {
        Ok(RedisScheduler::active(self).await?)
    }

    async fn active_count(&self) -> Result<usize, SchedulerError> {
        Ok(RedisScheduler::active_count(self).await?)
    }

    async fn members(&self, group: &str) -> Result<usize, SchedulerError> {
        Ok(RedisScheduler::members(self, group).await?)
    }

    async fn parked(&self, queue: &Queue) -> Result<Vec<Subject>, SchedulerError> {
        Ok(RedisScheduler::parked(self, queue).await?.into_iter().map(|task| task.subject).collect())
    }

    async fn recover(&self, recovery: Recovery) -> Result<Vec<(Queue, Subject)>, SchedulerError> {
        if recovery == Recovery::Run {
            self.recount_groups().await?;
        }
        let recovered = self.recover_by_record(recovery, queue_of).await?;
        Ok(recovered.into_iter().map(|one| (one.queue, one.subject)).collect())
    }
}

#[async_trait]
impl SessionStore for EmbeddedScheduler {
    async fn active(&self) -> Result<Vec<Subject>, SchedulerError> {
        Ok(EmbeddedScheduler::active(self)?)
    }

    async fn active_count(&self) -> Result<usize, SchedulerError> {
        Ok(EmbeddedScheduler::active_count(self)?)
    }

    async fn members(&self, group: &str) -> Result<usize, SchedulerError> {
        Ok(EmbeddedScheduler::members(self, group)?)
    }

    async fn parked(&self, queue: &Queue) -> Result<Vec<Subject>, SchedulerError> {
        Ok(EmbeddedScheduler::parked(self, queue)?)
    }

    async fn recover(&self, recovery: Recovery) -> Result<Vec<(Queue, Subject)>, SchedulerError> {
        Ok(match recovery {
            Recovery::Run => EmbeddedScheduler::recover(self, queue_of)?,
            Recovery::DryRun => self.missing(queue_of)?,
        })
    }
}

/// The queue of a session by its record; `None` when it waits for its client, is dead, or is in the ledger. A damaged record
/// goes onto the queue of its state, whose daemon reports the damage.
pub(crate) fn queue_of(stored: &Recorded) -> Option<Queue> {
    let state: super::state::State = stored.state.parse().ok()?;
    // The name plays no part in it.
    let id: SessionId = "0".repeat(32).parse().ok()?;
    let is_due = Session::read(id, stored).map_or(true, |session| session.is_due());
    if is_due { state.queue() } else { None }
}
