//! What a daemon is, and what it returns.

use std::time::Duration;

use async_trait::async_trait;
use stapled_core::reason::ReasonCode;
use stapled_core::scheduler::Record;
use stapled_core::task::{Queue, Task};

use crate::error::AuthorityError;
use crate::ledger::StoreError;
use crate::session::contents::Session;
use crate::session::fields::Damaged;
use crate::session::hook::HookError;

/// The work of one queue.
#[async_trait]
pub trait Daemon: Send + Sync {
    /// The queue.
    fn queue(&self) -> Queue;

    /// Works on a session: returns its new record and its next tasks, or `None` if there is nothing to do.
    async fn work(&self, session: &Session) -> Result<Option<Work>, Failure>;
}

/// The result of a daemon's work on a session.
#[derive(Debug)]
#[non_exhaustive]
pub struct Work {
    /// The new record; it expects the state that the work began with.
    pub record: Record,
    /// The next tasks.
    pub puts: Vec<Task>,
}

impl Work {
    /// This record, and no task.
    #[must_use]
    pub fn new(record: Record) -> Self {
        Work { record, puts: Vec::new() }
    }

    /// The same, with one task more.
    #[must_use]
    pub fn put(mut self, task: Task) -> Self {
        self.puts.push(task);
        self
    }
}

/// Why a daemon's work failed; it is tried again after a pause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The record of the session is damaged.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The authority cannot sign.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] StoreError),
    /// The hook gave no answer.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The sessions of this process are without ledger.
    #[error("this process has no ledger")]
    NoLedger,
    /// The work took too long, and was given up.
    #[error("not done after {} s", within.as_secs())]
    TooLong {
        /// How long it may take.
        within: Duration,
    },
    /// The system has no randomness.
    #[error("cannot get random numbers from the system")]
    Randomness,
}

impl Failure {
    /// Its reason code.
    #[must_use]
    pub fn code(&self) -> ReasonCode {
        ReasonCode::new(match self {
            Failure::Damaged(_) => "damaged_session",
            Failure::Authority(_) => "cannot_sign",
            Failure::Ledger(_) => "ledger_failed",
            Failure::Hook(_) => "hook_failed",
            Failure::NoLedger => "no_ledger",
            Failure::TooLong { .. } => "too_long",
            Failure::Randomness => "no_randomness",
        })
    }
}
