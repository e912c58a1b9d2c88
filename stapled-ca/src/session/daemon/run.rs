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

/// How long a session stays with a daemon that gives no sign of life. A daemon that works extends its lease. After a crash,
/// another process takes the session after this time.
pub const LEASE: Duration = Duration::from_secs(15);
/// The longest pause before another attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long a daemon waits before it asks a store again that failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Runs a daemon until `stop`: works on at most `at_once` sessions of its queue at a time. `report` gets each failure.
pub async fn run(
    daemon: Arc<dyn Daemon>,
    sessions: Sessions,
    at_once: usize,
    report: impl Fn(&Session, &Failure) + Send + Sync + 'static,
    stop: CancellationToken,
) {
    let (report, mut working) = (Arc::new(report), JoinSet::new());
    let queues = [daemon.queue()];
    loop {
        let room = at_once.max(1).saturating_sub(working.len());
        tokio::select! {
            () = stop.cancelled() => break,
            // Without room, take would wait for ever; it is asked again when some work ends.
            taken = sessions.store.take(&queues, room, LEASE) => {
                let Ok(leases) = taken else {
                    tokio::time::sleep(STORE_PAUSE).await;
                    continue;
                };
                for lease in leases {
                    let (daemon, sessions, report) = (Arc::clone(&daemon), sessions.clone(), Arc::clone(&report));
                    // If the commit fails, the lease is lost, and the session comes back.
                    working.spawn(async move {
                        tokio::select! {
                            _ = work_on(&*daemon, &sessions, &lease, &*report) => {}
                            () = extend(&sessions, &lease) => {}
                        }
                    });
                }
            }
            Some(_) = working.join_next() => {}
        }
    }
    while working.join_next().await.is_some() {}
}

/// Extends the lease of a session as long as it is worked on. Ends when the lease is lost: the work is another process's then.
async fn extend(sessions: &Sessions, lease: &Lease) {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        if let Err(SchedulerError::Fenced { .. }) = sessions.store.extend(lease, LEASE).await {
            return;
        }
    }
}

/// Works on one leased session and commits the result.
///
/// # Errors
/// When the store fails, or the lease is over.
pub async fn work_on(
    daemon: &dyn Daemon,
    sessions: &Sessions,
    lease: &Lease,
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
    match daemon.work(&session).await {
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
