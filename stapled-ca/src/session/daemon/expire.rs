//! Ends sessions that are too old, and forgets those that are over.

use async_trait::async_trait;
use stapled_core::scheduler::Record;
use stapled_core::task::Queue;

use super::work::{Daemon, Failure, Work};
use crate::session::contents::Session;
use crate::session::intake::{Sessions, dead, expecting, expiry};
use crate::session::state::{EXPIRE, End, State};

/// Ends a session that was too long in its state, and forgets one that is dead or in the ledger. A session whose certificate
/// is signed and not in the ledger is kept.
#[derive(Debug)]
pub struct Expire {
    sessions: Sessions,
}

impl Expire {
    /// The daemon of these sessions.
    #[must_use]
    pub fn new(sessions: Sessions) -> Self {
        Expire { sessions }
    }
}

#[async_trait]
impl Daemon for Expire {
    fn queue(&self) -> Queue {
        Queue::from(EXPIRE)
    }

    async fn work(&self, session: &Session) -> Result<Option<Work>, Failure> {
        let limits = &self.sessions.limits;
        let (keep, keep_dead) = (expiry(&session.id, limits.keep), expiry(&session.id, limits.keep_dead));
        Ok(Some(match session.state {
            State::Dead(_) => Work::new(Record::forget(session.id.subject())),
            State::Done if session.entered_at.is_some() => Work::new(Record::forget(session.id.subject())),
            State::Done => Work::new(expecting(session, State::Done)).put(keep),
            state => Work::new(dead(session, End::Expired, &format!("too long in state {state}"))).put(keep_dead),
        }))
    }
}
