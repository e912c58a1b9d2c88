//! What clients and operators do with sessions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stapled_core::scheduler::{Expect, QueueRules, Record, SchedulerError, Step, Which};
use stapled_core::task::{Due, Queue, Subject, Task};
use stapled_redis::Recovery;

use super::blocking::with_ledger;
use super::contents::{Session, SessionId};
use super::fields::{self, Damaged, Fields};
use super::hook::HookError;
use super::outage::Outage;
use super::pending::Pending;
use super::policy::{Limits, NotAllowed, Policy, Refusal, TooMany};
use super::request::RequestError;
use super::state::{EXPIRE, End, State};
use super::store::SessionStore;
use crate::ledger::StoreError;
use crate::ledger_file::{LedgerEntry, LedgerFile};
use crate::pem;

/// How often a task may fail in a row before it is parked. The pauses before it add up to some minutes.
const PARK_AFTER: u32 = 10;

/// The states with a daemon of their own.
const QUEUES: [State; 4] = [State::MakeChallenge, State::TestChallenge, State::Issue, State::Done];

/// The sessions of an authority: a store, a ledger, and the rules. Clones share them.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(crate) store: Arc<dyn SessionStore>,
    /// `None` on a machine that only makes or tests challenges.
    pub(crate) ledger: Option<Arc<LedgerFile>>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) outage: Arc<Outage>,
    pub(crate) pending: Arc<Pending>,
}

/// Why a call on a session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] SchedulerError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] StoreError),
    /// The record of a session is damaged.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The certificate request cannot be accepted.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The policy does not allow the request.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The hook gave no answer. Another attempt may succeed later.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// There are too many sessions. Another attempt may succeed later.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// There is no such session.
    #[error("there is no session {0}")]
    Unknown(SessionId),
    /// The key of the submission was used for another certificate request.
    #[error("this key was used for another certificate request; make a new key for each request")]
    KeyUsed,
    /// The session expired.
    #[error("session {id} has expired: {reason}; submit the request again")]
    Expired {
        /// The session.
        id: SessionId,
        /// Why.
        reason: String,
    },
    /// The session has no challenge of this number.
    #[error("session {id} has no challenge {number}; its challenges have the numbers 1 to {count}")]
    NoSuchChallenge {
        /// The session.
        id: SessionId,
        /// The number.
        number: usize,
        /// How many challenges it has.
        count: usize,
    },
    /// None of the challenges is to be tested: the client passed them, or named none.
    #[error("session {id}: none of these challenges is to be tested; name one that is not satisfied")]
    NothingToTest {
        /// The session.
        id: SessionId,
    },
    /// The session is in a state in which this is not possible.
    #[error("session {id} is in state {state}")]
    State {
        /// The session.
        id: SessionId,
        /// Its state.
        state: State,
    },
    /// The system has no randomness.
    #[error("cannot get random numbers from the system")]
    Randomness,
}

impl From<NotAllowed> for SessionError {
    fn from(why: NotAllowed) -> Self {
        match why {
            NotAllowed::Refused(refusal) => SessionError::Refused(refusal),
            NotAllowed::NoAnswer(error) => SessionError::Hook(error),
        }
    }
}

/// What became of a session that was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is dead, and kept for a while.
    Dead,
    /// Its record was damaged, and is forgotten.
    Removed(Damaged),
}

/// What a client gets for its session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fetched {
    /// The certificate, PEM, without the certificates of its issuers.
    Certificate(String),
    /// There is no certificate, or it is not in the ledger yet: the session shows why.
    Nothing(Box<Session>),
}

impl Sessions {
    /// The sessions in this store, whose certificates are kept in this ledger.
    #[must_use]
    pub fn new(store: Arc<dyn SessionStore>, ledger: Arc<LedgerFile>, limits: Limits, policy: Policy) -> Self {
        Sessions { ledger: Some(ledger), ..Self::without_ledger(store, limits, policy) }
    }

    /// The sessions in this store, on a machine without the ledger: its daemons make and test challenges, and its clients get no
    /// certificates.
    #[must_use]
    pub fn without_ledger(store: Arc<dyn SessionStore>, limits: Limits, policy: Policy) -> Self {
        let (limits, policy) = (Arc::new(limits), Arc::new(policy));
        Sessions { store, ledger: None, limits, policy, outage: Arc::default(), pending: Arc::default() }
    }

    /// Sets the rules of the queues: room for new sessions, and when a failing task is parked.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn configure(&self) -> Result<(), SessionError> {
        for state in QUEUES {
            let rules = QueueRules::new();
            let rules = match state {
                State::MakeChallenge => rules.park_after(PARK_AFTER).capacity(self.limits.waiting),
                // The certificate exists: it is entered into the ledger as soon as that is possible.
                State::Done => rules,
                _ => rules.park_after(PARK_AFTER),
            };
            self.store.configure(&Queue::from(state.as_str()), rules).await?;
        }
        Ok(())
    }

    /// The session; `None` when there is none, or none any more.
    ///
    /// # Errors
    /// When the store fails, or the record is damaged.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>, SessionError> {
        let stored = self.store.recorded(&id.subject()).await?;
        Ok(stored.map(|stored| Session::read(id.clone(), &stored)).transpose()?)
    }

    /// The active sessions, the oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn active(&self) -> Result<Vec<SessionId>, SessionError> {
        let subjects = self.store.active().await?;
        Ok(subjects.iter().filter_map(|subject| subject.as_str().parse().ok()).collect())
    }

    /// Records that the client is ready for the tests of its challenges, all of them or those with these numbers from 1, and
    /// puts the session on the queue of tests.
    ///
    /// # Errors
    /// When there is no such session, its challenges are not to be tested, or the store fails.
    pub async fn ready(&self, id: &SessionId, numbers: Option<&[usize]>) -> Result<(), SessionError> {
        let session = self.session(id).await?.ok_or_else(|| SessionError::Unknown(id.clone()))?;
        match session.state {
            State::TestChallenge => {}
            State::Dead(End::Expired) => {
                let reason = session.reason.unwrap_or_default();
                return Err(SessionError::Expired { id: id.clone(), reason });
            }
            state => return Err(SessionError::State { id: id.clone(), state }),
        }
        let count = session.challenges.len();
        let numbers: BTreeSet<usize> =
            numbers.map_or_else(|| (1..=count).collect(), |numbers| numbers.iter().copied().collect());
        if let Some(&number) = numbers.iter().find(|number| !(1..=count).contains(*number)) {
            return Err(SessionError::NoSuchChallenge { id: id.clone(), number, count });
        }
        let (mut record, mut is_any) = (expecting(&session, State::TestChallenge), false);
        for (number, challenge) in (1..).zip(&session.challenges) {
            if numbers.contains(&number) && !challenge.is_satisfied {
                let asked = challenge.asked.saturating_add(1);
                record = record.part(number.to_string(), Fields::from([("asked".into(), asked.to_string().into())]));
                is_any = true;
            }
        }
        if !is_any {
            return Err(SessionError::NothingToTest { id: id.clone() });
        }
        let test = Task::new(State::TestChallenge.as_str().into(), id.subject());
        self.commit(&session, Step::intake().record(record).put(test)).await
    }

    /// The certificate of a session, from the ledger: a client never gets a certificate that the ledger may forget. It stays
    /// there whatever becomes of the session.
    ///
    /// # Errors
    /// When there is no such session, or a store fails.
    pub async fn fetch(&self, id: &SessionId) -> Result<Fetched, SessionError> {
        if let Some(certificate) = self.entered(id).await?.and_then(|entry| entry.certificate) {
            return Ok(Fetched::Certificate(pem::certificate(&certificate)));
        }
        let session = self.session(id).await?.ok_or_else(|| SessionError::Unknown(id.clone()))?;
        Ok(Fetched::Nothing(Box::new(session)))
    }

    /// Takes the thanks of a client that has its certificate. They are advisory: they only free the keys of the session, and
    /// only if the certificate is in the ledger.
    ///
    /// # Errors
    /// When a store fails.
    pub async fn thanks(&self, id: &SessionId) -> Result<(), SessionError> {
        let is_over = self.session(id).await?.is_some_and(|session| session.entered_at.is_some());
        if is_over && self.entered(id).await?.is_some() {
            self.store.cancel(Which::Subject(&id.subject())).await?;
        }
        Ok(())
    }

    /// Puts the tasks of active sessions that have none, after the store lost writes or was changed by hand. Returns the tasks
    /// that it put, or would put.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recover(&self, recovery: Recovery) -> Result<Vec<(Queue, Subject)>, SessionError> {
        Ok(self.store.recover(recovery).await?)
    }

    /// The entry of a session in the ledger.
    pub(crate) async fn entered(&self, id: &SessionId) -> Result<Option<LedgerEntry>, SessionError> {
        let Some(ledger) = &self.ledger else { return Ok(None) };
        let id = id.clone();
        Ok(with_ledger(ledger, move |ledger| ledger.of_session(id.as_str())).await?)
    }

    /// Ends a session. Its tasks leave every queue in the same step. A session whose
    /// certificate is signed is not ended: revoke the certificate instead. A damaged session is forgotten.
    ///
    /// # Errors
    /// When there is no such session, it is over already, or the store fails.
    pub async fn end(&self, id: &SessionId, end: End, reason: &str) -> Result<Ended, SessionError> {
        let session = match self.session(id).await {
            Err(SessionError::Damaged(damage)) => {
                tracing::warn!(session = id.as_str(), error = %damage, "a damaged session is removed");
                self.store.cancel(Which::Subject(&id.subject())).await?;
                return Ok(Ended::Removed(damage));
            }
            other => other?.ok_or_else(|| SessionError::Unknown(id.clone()))?,
        };
        if !session.state.is_live() || session.state == State::Done {
            return Err(SessionError::State { id: id.clone(), state: session.state });
        }
        let record = dead(&session, end, reason);
        self.commit(&session, Step::intake().record(record).put(expiry(id, self.limits.keep_dead))).await?;
        Ok(Ended::Dead)
    }

    /// Makes all parked tasks due now. Returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retry_all(&self) -> Result<u64, SessionError> {
        let mut count = 0;
        for state in QUEUES {
            let queue = Queue::from(state.as_str());
            for subject in self.store.parked(&queue).await? {
                count += self.store.hasten(Which::Task(&queue, &subject)).await?;
            }
        }
        Ok(count)
    }

    /// Makes the tasks of a session due now: those that wait for another attempt, and those that were parked after too many.
    /// Returns how many.
    ///
    /// # Errors
    /// When there is no such session, or the store fails.
    pub async fn retry(&self, id: &SessionId) -> Result<u64, SessionError> {
        let session = self.session(id).await?.ok_or_else(|| SessionError::Unknown(id.clone()))?;
        match session.state.queue() {
            // Not the task that ends the session.
            Some(queue) => Ok(self.store.hasten(Which::Task(&queue, &id.subject())).await?),
            None => Ok(0),
        }
    }

    /// Commits a step that expects the session to be in its state.
    async fn commit(&self, session: &Session, step: Step<'_>) -> Result<(), SessionError> {
        match self.store.commit(step).await {
            Err(SchedulerError::Unexpected { found, .. }) => match found.and_then(|state| state.parse().ok()) {
                Some(state) => Err(SessionError::State { id: session.id.clone(), state }),
                None => Err(SessionError::Unknown(session.id.clone())),
            },
            other => Ok(other?),
        }
    }
}

/// The task that ends a session which stays in its state for longer than this.
pub(crate) fn expiry(id: &SessionId, after: Duration) -> Task {
    Task::new(EXPIRE.into(), id.subject()).due(Due::After(after))
}

/// A record that puts the session into another state, if it is still in the one that was read.
pub(crate) fn expecting(session: &Session, next: State) -> Record {
    let record = Record::new(subject(session), next.as_str());
    record.expecting(Expect::State(session.state.as_str().to_owned()))
}

/// The record of a session that dies.
pub(crate) fn dead(session: &Session, end: End, reason: &str) -> Record {
    let record = expecting(session, State::Dead(end)).field("live", fields::from_bool(false));
    record.field("reason", reason).settled()
}

fn subject(session: &Session) -> Subject {
    session.id.subject()
}
