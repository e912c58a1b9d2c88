//! Tests the challenges of a session.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use stapled_core::task::{Queue, Task};

use super::work::{Daemon, Failure, Work};
use crate::clock;
use crate::serial::Serial;
use crate::session::challenge::Challenge;
use crate::session::contents::Session;
use crate::session::intake::{Sessions, dead, expecting, expiry};
use crate::session::probe::Prober;
use crate::session::shown::{LONGEST, shown};
use crate::session::state::{End, State};

/// Tests the challenges for which the client said that it is ready. When every name is satisfied, the session moves on;
/// otherwise it waits for its client again, until its attempts are used up.
#[derive(Debug)]
pub struct TestChallenge {
    sessions: Sessions,
    prober: Arc<dyn Prober>,
}

impl TestChallenge {
    /// The daemon of these sessions, which asks clients by this prober.
    #[must_use]
    pub fn new(sessions: Sessions, prober: Arc<dyn Prober>) -> Self {
        TestChallenge { sessions, prober }
    }

    /// The session with the results of its tests. All challenges are tested at once.
    async fn tested(&self, session: &Session) -> Session {
        let mut tested = session.clone();
        let tests = tested.challenges.iter_mut().filter(|challenge| challenge.awaits_test());
        join_all(tests.map(|challenge| self.test(challenge))).await;
        tested
    }

    async fn test(&self, challenge: &mut Challenge) {
        challenge.tested = challenge.asked;
        match self.prober.prove(challenge).await {
            Ok(()) => (challenge.is_satisfied, challenge.reason) = (true, None),
            Err(failure) => challenge.reason = Some(shown(&failure.to_string(), LONGEST)),
        }
    }
}

#[async_trait]
impl Daemon for TestChallenge {
    fn queue(&self) -> Queue {
        Queue::from(State::TestChallenge.as_str())
    }

    async fn work(&self, session: &Session) -> Result<Option<Work>, Failure> {
        if session.state != State::TestChallenge || !session.is_due() {
            return Ok(None);
        }
        let mut tested = self.tested(session).await;
        let limits = &self.sessions.limits;
        let work = if tested.is_satisfied() {
            let serial = Serial::random().map_err(|_| Failure::Randomness)?;
            let record = expecting(session, State::Issue).field("serial", serial.to_string());
            let issue = Task::new(State::Issue.as_str().into(), session.id.subject());
            Work::new(record.field("ordered", clock::now().to_string()))
                .put(issue)
                .put(expiry(&session.id, limits.issue))
        } else {
            let (attempts, reason) = (session.attempts.saturating_add(1), why(&tested));
            if attempts >= limits.attempts {
                tested.challenges.iter_mut().for_each(|challenge| challenge.has_failed = !challenge.is_satisfied);
                let record = dead(session, End::Failed, &reason).field("attempts", attempts.to_string());
                Work::new(record).put(expiry(&session.id, limits.keep))
            } else {
                let record = expecting(session, State::TestChallenge).field("attempts", attempts.to_string());
                Work::new(record.field("reason", reason))
            }
        };
        Ok(Some(with_results(work, &tested)))
    }
}

/// The work, recording what became of each challenge.
fn with_results(mut work: Work, tested: &Session) -> Work {
    for (number, challenge) in (1..).zip(&tested.challenges) {
        work.record = work.record.part(number.to_string(), challenge.result_fields());
    }
    work
}

/// Why a round of tests failed: the reason of the first challenge of each name that is not satisfied.
fn why(tested: &Session) -> String {
    let unsatisfied = tested.names.iter().filter(|name| !tested.is_name_satisfied(name));
    let reasons = unsatisfied.map(|name| {
        let mut failed = tested.challenges.iter().filter(|challenge| challenge.name == **name);
        let reason = failed.find_map(|challenge| challenge.reason.as_deref()).unwrap_or("not tested");
        format!("{name}: {reason}")
    });
    reasons.collect::<Vec<_>>().join("; ")
}
