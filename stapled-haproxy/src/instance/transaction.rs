//! One change of a certificate at run time: parts are set, then committed ("9.3. Unix Socket commands", `set ssl cert`, in
//! HAProxy's management guide).
//!
//! A process has one transaction at a time. This program commits or aborts only a transaction that it began.
//!
//! HAProxy before 3.0 adds the parts that other clients set meanwhile, for any certificate, to the open transaction: the
//! commit then installs another site's certificate under this one's name. For these versions all parts and the commit are
//! sent at once, and HAProxy executes them one right after the other. With one thread no other client comes between them;
//! with several threads only within two microseconds or so. The certificate is checked afterwards (`first_staple`).

use std::time::Duration;

use crate::cli::command::Command;
use crate::cli::connection::Connection;
use crate::cli::error::{Error, Foreign};
use crate::cli::name::CliName;
use crate::cli::reply::certificate::{ShowReply, show};
use crate::cli::reply::refusal::MayBeLocked;
use crate::cli::reply::transaction::{AbortReply, CommitReply, ProbeReply, SetReply, abort, commit, probe, set};

/// How often a command is repeated while HAProxy executes other clients' commands about certificates.
pub(crate) const LOCKED_ATTEMPTS: usize = 40;
/// The pause before each repetition.
pub(crate) const LOCKED_PAUSE: Duration = Duration::from_millis(10);

/// The certificate of a transaction that this program began and whose end it did not see.
#[derive(Debug, Default)]
pub(crate) struct Unfinished(Option<CliName>);

impl Unfinished {
    /// Whether a transaction of this program may be open.
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

/// The outcome of parts and a commit that were sent at once.
#[derive(Debug)]
enum Outcome {
    /// The transaction is committed. `was_ours` is false if another client began it, for the same certificate, and our
    /// parts were added to it.
    Committed { was_ours: bool },
    /// HAProxy was executing another client's command. `is_left` is true if our transaction is still open.
    Locked { is_left: bool },
    /// HAProxy refused a part or the commit.
    Refused { error: Error, is_left: bool },
}

/// The parts that a commit installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// Our parts alone.
    OurParts,
    /// Our parts, together with a change of the same certificate that another client began.
    WithForeignParts,
}

/// Executes transactions over one connection.
pub(crate) struct Transactor<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) unfinished: &'a mut Unfinished,
}

impl Transactor<'_> {
    /// Sets these parts of a certificate and commits them, unless a foreign transaction is open.
    pub(crate) async fn change(&mut self, name: &CliName, parts: &[Command]) -> Result<Committed, Error> {
        self.finish().await?;
        match self.connection.process().mixes_transactions() {
            true => self.change_at_once(name, parts).await,
            false => self.change_step_by_step(name, parts).await.map(|()| Committed::OurParts),
        }
    }

    /// Sends a command; repeats it for a while if HAProxy is executing another client's command.
    pub(crate) async fn retry_while_locked<R: MayBeLocked>(
        &mut self,
        command: &Command,
        read: impl Fn(&str) -> R,
    ) -> Result<R, Error> {
        let mut reply = read(&self.connection.ask(command).await?);
        for _ in 0..LOCKED_ATTEMPTS {
            if !reply.is_locked() {
                break;
            }
            tokio::time::sleep(LOCKED_PAUSE).await;
            reply = read(&self.connection.ask(command).await?);
        }
        Ok(reply)
    }

    async fn change_at_once(&mut self, name: &CliName, parts: &[Command]) -> Result<Committed, Error> {
        let mut commands = parts.to_vec();
        commands.push(Command::commit(name));
        for _ in 0..LOCKED_ATTEMPTS {
            self.expect_no_transaction().await?;
            // From here until the last reply, a transaction of ours may be open.
            self.unfinished.0 = Some(name.clone());
            let mut replies = Vec::with_capacity(commands.len());
            self.connection.ask_all(&commands, |said| replies.push(said)).await?;
            let outcome = outcome(&replies, name);
            if let Outcome::Locked { is_left: true } | Outcome::Refused { is_left: true, .. } = outcome {
                // Our transaction may contain other clients' parts: it must not be committed under this name.
                self.abort(name).await?;
            } else {
                self.unfinished.0 = None;
            }
            match outcome {
                Outcome::Committed { was_ours } => {
                    return Ok(if was_ours { Committed::OurParts } else { Committed::WithForeignParts });
                }
                Outcome::Refused { error, .. } => return Err(error),
                Outcome::Locked { .. } => tokio::time::sleep(LOCKED_PAUSE).await,
            }
        }
        Err(Error::ForeignTransaction(Foreign::Command))
    }

    async fn change_step_by_step(&mut self, name: &CliName, parts: &[Command]) -> Result<(), Error> {
        self.expect_no_transaction().await?;
        let mut is_ours = false;
        for part in parts {
            self.set(part, name, &mut is_ours).await?;
        }
        let reply = self.retry_while_locked(&Command::commit(name), |said| commit(said, name.as_str())).await?;
        let is_over = matches!(reply, CommitReply::Done | CommitReply::Over(_));
        if is_over {
            self.unfinished.0 = None;
        }
        match commit_error(reply, name) {
            None => Ok(()),
            Some(error) => {
                self.finish().await?;
                Err(error)
            }
        }
    }

    /// Adds one part to the transaction; the first part begins it.
    async fn set(&mut self, command: &Command, name: &CliName, is_ours: &mut bool) -> Result<(), Error> {
        if !*is_ours {
            // From here until the reply, a transaction of ours may be open; a reply that says otherwise clears this.
            self.unfinished.0 = Some(name.clone());
        }
        let reply = self.retry_while_locked(command, |said| set(said, name.as_str())).await?;
        let error = match reply {
            SetReply::Created => {
                *is_ours = true;
                return Ok(());
            }
            SetReply::Joined if *is_ours => return Ok(()),
            // The part began no transaction, and earlier transactions are finished.
            reply => set_error(reply, name),
        };
        if *is_ours {
            self.finish().await?;
        } else {
            self.unfinished.0 = None;
        }
        Err(error)
    }

    /// Aborts the transaction that this program began just before.
    async fn abort(&mut self, name: &CliName) -> Result<(), Error> {
        // A transaction that HAProxy does not abort now is finished before the next change.
        if self.retry_while_locked(&Command::abort(name), abort).await? == AbortReply::Over {
            self.unfinished.0 = None;
        }
        Ok(())
    }

    /// Aborts the transaction that this program began, if it is still open. Our transaction leaves the certificate as it
    /// is: a transaction that would replace the certificate was begun by another client since.
    pub(crate) async fn finish(&mut self) -> Result<(), Error> {
        let Some(name) = self.unfinished.0.clone() else { return Ok(()) };
        let begun = self.retry_while_locked(&Command::show_transaction(&name), show).await?;
        let loaded = self.retry_while_locked(&Command::show_certificate(&name), show).await?;
        match (begun, loaded) {
            (ShowReply::Locked, _) | (_, ShowReply::Locked) => {}
            (ShowReply::Loaded(begun), ShowReply::Loaded(loaded)) if begun.is_same_certificate(&loaded) => {
                self.abort(&name).await?;
            }
            _ => self.unfinished.0 = None,
        }
        Ok(())
    }

    /// Checks that no foreign transaction is open: a part that is set now would be added to it.
    async fn expect_no_transaction(&mut self) -> Result<(), Error> {
        Err(match self.retry_while_locked(&Command::probe_transaction(), probe).await? {
            ProbeReply::None => return Ok(()),
            ProbeReply::Locked => Error::ForeignTransaction(Foreign::Command),
            ProbeReply::Busy(about) => Error::ForeignTransaction(Foreign::Certificate(about)),
            ProbeReply::Denied => Error::Denied { command: "set ssl cert" },
            ProbeReply::Other(said) => Error::Rejected { command: "abort ssl cert", said },
        })
    }
}

/// The outcome of the replies to parts and their commit.
fn outcome(replies: &[String], name: &CliName) -> Outcome {
    let Some((committed, parts)) = replies.split_last() else {
        let foreign = Foreign::Certificate(name.as_str().to_owned());
        return Outcome::Refused { error: Error::ForeignTransaction(foreign), is_left: true };
    };
    let (mut is_ours, mut is_locked) = (false, false);
    let mut refused = None;
    for said in parts {
        match set(said, name.as_str()) {
            SetReply::Created => is_ours = true,
            SetReply::Joined if is_ours => {}
            // The open transaction is about another certificate: ours, if there was one, has been ended.
            SetReply::Busy => {
                is_ours = false;
                refused.get_or_insert(SetReply::Busy);
            }
            SetReply::Locked => is_locked = true,
            other => {
                refused.get_or_insert(other);
            }
        }
    }
    let committed = commit(committed, name.as_str());
    let is_left = is_ours && !matches!(committed, CommitReply::Over(_));
    is_locked |= committed.is_locked();
    match (commit_error(committed, name), refused) {
        (None, _) => Outcome::Committed { was_ours: is_ours },
        (Some(_), Some(refused)) => Outcome::Refused { error: set_error(refused, name), is_left },
        (Some(_), None) if is_locked => Outcome::Locked { is_left },
        (Some(error), None) => Outcome::Refused { error, is_left },
    }
}

/// The error of a part that HAProxy did not take.
fn set_error(reply: SetReply, name: &CliName) -> Error {
    let name = name.as_str().to_owned();
    match reply {
        SetReply::Locked => Error::ForeignTransaction(Foreign::Command),
        SetReply::Joined => Error::ForeignTransaction(Foreign::Certificate(name)),
        SetReply::Created | SetReply::Busy => Error::ForeignTransaction(Foreign::AnotherCertificate),
        SetReply::Denied => Error::Denied { command: "set ssl cert" },
        SetReply::NotLoaded => Error::Dropped { name },
        SetReply::Other(said) => Error::CommitFailed { command: "set ssl cert", name, said },
    }
}

/// The error of a commit; `None` if it succeeded.
fn commit_error(reply: CommitReply, name: &CliName) -> Option<Error> {
    match reply {
        CommitReply::Done => None,
        CommitReply::Denied => Some(Error::Denied { command: "commit ssl cert" }),
        CommitReply::Locked => Some(Error::ForeignTransaction(Foreign::Command)),
        CommitReply::Over(said) | CommitReply::Failed(said) => {
            Some(Error::CommitFailed { command: "commit ssl cert", name: name.as_str().to_owned(), said })
        }
    }
}
