//! Takes sessions, lets a daemon work on them, and commits the results.

use std::sync::Arc;
use std::time::Duration;

use stapled_core::scheduler::{Lease, SchedulerError, Step};
use stapled_core::task::{Cause, Due};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::work::{Daemon, Failure};
use crate::session::contents::Session;
use crate::session::intake::Sessions;

/// How long a session stays with a daemon that does not extend its lease. A daemon that works extends it. So after a crash,
/// another process takes the session after this time.
pub const LEASE: Duration = Duration::from_secs(15);
/// How long a daemon may work on one session. Then the work is given up, and tried again after a pause.
pub const LONGEST_WORK: Duration = Duration::from_secs(300);
/// The longest pause before another attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long a daemon waits before it asks a store again that failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How many sessions a daemon works on at a time, and for how long.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Pace {
    /// The most sessions at a time.
    pub at_once: usize,
    /// The lease, which is extended after each third of it.
    pub lease: Duration,
    /// The longest work on one session.
    pub longest: Duration,
}

impl Pace {
    /// This many sessions at a time, with [`LEASE`] and [`LONGEST_WORK`].
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Pace { at_once: at_once.max(1), lease: LEASE, longest: LONGEST_WORK }
    }
}

/// Runs a daemon until `stop`: works on the sessions of its queue. `report` gets each failure.
pub async fn run(
    daemon: Arc<dyn Daemon>,
    sessions: Sessions,
    pace: Pace,
    report: impl Fn(&Session, &Failure) + Send + Sync + 'static,
    stop: CancellationToken,
) {
    let (report, mut working) = (Arc::new(report), JoinSet::new());
    let queues = [daemon.queue()];
    loop {
        let room = pace.at_once.saturating_sub(working.len());
        tokio::select! {
            () = stop.cancelled() => break,
            // Without room, take would wait for ever; it is asked again when some work ends.
            taken = sessions.store.take(&queues, room, pace.lease) => match taken {
                Ok(leases) => {
                    sessions.outage.is_over();
                    for lease in leases {
                        let (daemon, sessions, report) = (Arc::clone(&daemon), sessions.clone(), Arc::clone(&report));
                        working.spawn(async move { work_with_lease(&*daemon, &sessions, &lease, pace, &*report).await });
                    }
                }
                Err(error) => {
                    sessions.outage.failed(&error);
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = available(&sessions) => {}
                    }
                }
            },
            Some(_) = working.join_next() => {}
        }
    }
    while working.join_next().await.is_some() {}
}

/// Waits until the store takes a write again: the rules of the queues, which are the same as before.
async fn available(sessions: &Sessions) {
    loop {
        tokio::time::sleep(STORE_PAUSE).await;
        if sessions.configure().await.is_ok() {
            return sessions.outage.is_over();
        }
    }
}

/// Works on one leased session. If the result cannot be committed, the lease ends and the session comes back.
async fn work_with_lease(
    daemon: &dyn Daemon,
    sessions: &Sessions,
    lease: &Lease,
    pace: Pace,
    report: &(dyn Fn(&Session, &Failure) + Send + Sync),
) {
    tokio::select! {
        result = work_within(daemon, sessions, lease, pace.longest, report) => {
            if let Err(error) = result {
                sessions.outage.failed(&error);
                tracing::debug!(session = lease.task().subject.as_str(), %error, "the work is lost");
            }
        }
        () = extend(sessions, lease, pace.lease) => {}
    }
}

/// Extends the lease of a session until the lease is lost: another process works on the session then.
async fn extend(sessions: &Sessions, lease: &Lease, by: Duration) {
    loop {
        tokio::time::sleep(by / 3).await;
        if let Err(SchedulerError::Fenced { .. }) = sessions.store.extend(lease, by).await {
            return;
        }
    }
}

/// Works on one leased session, for [`LONGEST_WORK`] at most, and commits the result.
///
/// # Errors
/// When the store fails, or the lease is over.
pub async fn work_on(
    daemon: &dyn Daemon,
    sessions: &Sessions,
    lease: &Lease,
    report: &(dyn Fn(&Session, &Failure) + Send + Sync),
) -> Result<(), SchedulerError> {
    work_within(daemon, sessions, lease, LONGEST_WORK, report).await
}

async fn work_within(
    daemon: &dyn Daemon,
    sessions: &Sessions,
    lease: &Lease,
    within: Duration,
    report: &(dyn Fn(&Session, &Failure) + Send + Sync),
) -> Result<(), SchedulerError> {
    let task = lease.task();
    let stored = sessions.store.recorded(&task.subject).await?;
    let (Some(stored), Ok(id)) = (stored, task.subject.as_str().parse()) else {
        return sessions.store.commit(Step::finish(lease)).await;
    };
    let session = match Session::read(id, &stored) {
        Ok(session) => session,
        Err(damage) => {
            tracing::warn!(session = task.subject.as_str(), error = %damage, "a session cannot be read");
            return sessions.store.commit(try_again(lease, &Failure::from(damage))).await;
        }
    };
    let worked = tokio::time::timeout(within, daemon.work(&session)).await;
    match worked.unwrap_or(Err(Failure::TooLong { within })) {
        Ok(None) => sessions.store.commit(Step::finish(lease)).await,
        Ok(Some(work)) => {
            let step = work.puts.into_iter().fold(Step::finish(lease).record(work.record), Step::put);
            match sessions.store.commit(step).await {
                // The session was ended meanwhile, or another task moved it on.
                Err(SchedulerError::Unexpected { .. }) => sessions.store.commit(Step::finish(lease)).await,
                other => other,
            }
        }
        Err(failure) => {
            report(&session, &failure);
            sessions.store.commit(try_again(lease, &failure)).await
        }
    }
}

/// Puts the task again after a pause that doubles with each attempt.
fn try_again<'a>(lease: &'a Lease, failure: &Failure) -> Step<'a> {
    let pause = Duration::from_secs(1 << lease.task().attempt.min(10)).min(LONGEST_PAUSE);
    Step::finish(lease).put(lease.task().again(Due::After(pause), Cause::failed(failure.code())))
}
