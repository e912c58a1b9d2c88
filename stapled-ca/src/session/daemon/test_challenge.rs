//! Tests the challenges of a session.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use stapled_core::task::{Queue, Task};
use tokio::time::Instant;

use super::run::LONGEST_WORK;
use super::work::{Daemon, Failure, Work};
use crate::clock;
use crate::serial::Serial;
use crate::session::challenge::Challenge;
use crate::session::contents::Session;
use crate::session::intake::{Sessions, dead, expecting, expiry};
use crate::session::probe::Prober;
use crate::session::shown::{LONGEST, shown};
use crate::session::state::{End, State};

/// How many challenges of one session are tested at once. A session may have hundreds, and its client chooses their hosts.
const AT_ONCE: usize = 8;
/// How long one round of tests may take. A challenge that has no result by then has failed in this round.
const ROUND: Duration = Duration::from_secs(240);
const _: () = assert!(ROUND.as_secs() < LONGEST_WORK.as_secs());

/// Tests the challenges for which the client said that it is ready. When every name is satisfied, the session moves on;
/// otherwise it waits for its client again, until its attempts are used up.
#[derive(Debug)]
pub struct TestChallenge {
    sessions: Sessions,
    prober: Arc<dyn Prober>,
    /// How long one round may take.
    round: Duration,
}

impl TestChallenge {
    /// The daemon of these sessions, which asks clients by this prober.
    #[must_use]
    pub fn new(sessions: Sessions, prober: Arc<dyn Prober>) -> Self {
        TestChallenge { sessions, prober, round: ROUND }
    }

    /// The session with the results of its tests, of which there is one at least.
    async fn tested(&self, session: &Session) -> Session {
        let (mut tested, until) = (session.clone(), Instant::now() + self.round);
        let tests = tested.challenges.iter_mut().filter(|challenge| challenge.awaits_test());
        stream::iter(tests).for_each_concurrent(AT_ONCE, |challenge| self.test(challenge, until)).await;
        tested
    }

    async fn test(&self, challenge: &mut Challenge, until: Instant) {
        challenge.tested = challenge.asked;
        match tokio::time::timeout_at(until, self.prober.prove(challenge)).await {
            Ok(Ok(())) => (challenge.is_satisfied, challenge.reason) = (true, None),
            Ok(Err(failure)) => challenge.reason = Some(shown(&failure.to_string(), LONGEST)),
            Err(_) => {
                challenge.reason = Some(format!("the tests of this session took more than {} s", self.round.as_secs()))
            }
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
        } else if has_passed(session, &tested) {
            // The client was ready for some of its challenges. It goes on with the others.
            Work::new(expecting(session, State::TestChallenge).field("reason", ""))
        } else {
            let (attempts, reason) = (session.attempts.saturating_add(1), why(&tested));
            if attempts >= limits.attempts {
                tested.challenges.iter_mut().for_each(|challenge| challenge.has_failed = !challenge.is_satisfied);
                let record = dead(session, End::Failed, &reason).field("attempts", attempts.to_string());
                Work::new(record).put(expiry(&session.id, limits.keep_dead))
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

/// Whether every challenge that was tested is satisfied.
fn has_passed(before: &Session, tested: &Session) -> bool {
    let mut challenges = before.challenges.iter().zip(&tested.challenges);
    challenges.all(|(before, tested)| !before.awaits_test() || tested.is_satisfied)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use stapled_core::scheduler::Recorded;
    use stapled_embedded::EmbeddedScheduler;

    use super::*;
    use crate::session::challenge::ChallengeType;
    use crate::session::contents::SessionId;
    use crate::session::policy::{Limits, Policy};
    use crate::session::probe::ProbeError;

    /// Hosts that answer after a while, or never; counts the tests.
    #[derive(Debug, Default)]
    struct Hosts {
        never: bool,
        begun: AtomicUsize,
        running: AtomicUsize,
        most: AtomicUsize,
    }

    #[async_trait]
    impl Prober for Hosts {
        async fn prove(&self, _: &Challenge) -> Result<(), ProbeError> {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            if self.never {
                std::future::pending::<()>().await;
            }
            // All tests that run at once have begun when one ends.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            self.running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    }

    fn daemon(hosts: &Arc<Hosts>, round: Duration) -> TestChallenge {
        let store = Arc::new(EmbeddedScheduler::in_memory().unwrap());
        let sessions = Sessions::without_ledger(store, Limits::default(), Policy::default());
        TestChallenge { sessions, prober: hosts.clone(), round }
    }

    /// A session with one challenge for each of so many names, all to be tested.
    fn session(names: usize) -> Session {
        let names: Vec<String> = (0..names).map(|number| format!("{number}.example")).collect();
        let id = SessionId::random().unwrap();
        let record = Session::first_record(&id, "PEM", "::1", &names, 5);
        let mut session = Session::read(id, &Recorded::updated(None, record).unwrap()).unwrap();
        session.state = State::TestChallenge;
        for name in &names {
            let mut challenge = Challenge::new(ChallengeType::Http01, name, "token".to_owned(), b"", 0);
            challenge.asked = 1;
            session.challenges.push(challenge);
        }
        session
    }

    #[tokio::test]
    async fn eight_challenges_are_tested_at_once() {
        let hosts = Arc::new(Hosts::default());
        let tested = daemon(&hosts, ROUND).tested(&session(50)).await;
        assert!(tested.is_satisfied());
        assert_eq!((hosts.begun.load(Ordering::SeqCst), hosts.most.load(Ordering::SeqCst)), (50, 8));
    }

    #[tokio::test]
    async fn a_round_ends_whatever_the_hosts_do() {
        let hosts = Arc::new(Hosts { never: true, ..Hosts::default() });
        let tested = daemon(&hosts, Duration::from_millis(50)).tested(&session(20)).await;
        assert!(tested.challenges.iter().all(|one| !one.is_satisfied && !one.awaits_test() && one.reason.is_some()));
    }
}
