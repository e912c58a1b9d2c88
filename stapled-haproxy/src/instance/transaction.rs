//! One change of a certificate at run time: parts are set, and committed ("9.3. Unix Socket commands", `set ssl cert`, in
//! HAProxy's management guide).
//!
//! A process has one transaction at a time. Only one that we began is committed or aborted by us.
//!
//! HAProxy before 3.0 puts what anybody sets meanwhile, for whatever certificate, into the transaction under way: what was
//! another site's then comes under this one's name. There all parts and the commit are sent at once, so that HAProxy
//! does one right after the other: with one thread nobody gets between them, with several only who comes within some two
//! microseconds. What came of it is looked at afterwards (`introduce`).

use std::time::Duration;

use stapled_core::sink::SinkError;

use crate::cli::command::{CliName, Command};
use crate::cli::connection::{Broken, Connection};
use crate::cli::reply::{self, CommitReply, ProbeReply, SetReply, ShowReply};
use crate::cli::route::Route;
use crate::codes;
use crate::fault;

/// How often a command is repeated while HAProxy is in the midst of somebody else's, and after which pause.
pub(crate) const LOCKED_ATTEMPTS: usize = 40;
pub(crate) const LOCKED_PAUSE: Duration = Duration::from_millis(10);

/// What one process is remembered to have while changes go on.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// A transaction of ours whose end we did not see.
    unfinished: Option<CliName>,
}

impl Desk {
    /// Whether a transaction of ours may be under way.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }
}

/// Why a change did not succeed.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The connection is of no use any more.
    Broken(Broken),
    Refused(SinkError),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Fault::Broken(broken)
    }
}

/// What came of parts and a commit that were sent at once.
#[derive(Debug)]
enum Outcome {
    /// It is committed: ours, or somebody else's for the same certificate, into which our parts went.
    Committed { was_ours: bool },
    /// HAProxy was in the midst of somebody else's command.
    Locked { is_left: bool },
    /// It was refused.
    Refused { error: SinkError, is_left: bool },
}

/// What a commit put into service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Our parts alone.
    Alone,
    /// Our parts, together with a change of the same certificate that another client began.
    WithForeignParts,
}

/// Changes certificates of one process.
pub(crate) struct Changer<'a> {
    pub(crate) route: &'a Route,
    pub(crate) connection: &'a mut Connection,
    pub(crate) desk: &'a mut Desk,
}

impl Changer<'_> {
    /// Sets these parts of a certificate and commits them, unless somebody else's transaction is under way.
    pub(crate) async fn change(&mut self, name: &CliName, parts: &[Command]) -> Result<Changed, Fault> {
        self.finish().await?;
        match self.connection.process().mixes_transactions() {
            true => self.change_at_once(name, parts).await,
            false => self.change_step_by_step(name, parts).await.map(|()| Changed::Alone),
        }
    }

    /// Asks; again for a while where HAProxy is in the midst of somebody else's command.
    pub(crate) async fn ask(&mut self, command: &Command) -> Result<String, Broken> {
        let mut said = self.connection.ask(command).await?;
        for _ in 0..LOCKED_ATTEMPTS {
            if !reply::is_locked(&said) {
                break;
            }
            tokio::time::sleep(LOCKED_PAUSE).await;
            said = self.connection.ask(command).await?;
        }
        Ok(said)
    }

    async fn change_at_once(&mut self, name: &CliName, parts: &[Command]) -> Result<Changed, Fault> {
        let mut commands = parts.to_vec();
        commands.push(Command::commit(name));
        for _ in 0..LOCKED_ATTEMPTS {
            self.expect_no_transaction().await?;
            // From here on until all replies are seen, a transaction may be ours.
            self.desk.unfinished = Some(name.clone());
            let mut replies = Vec::with_capacity(commands.len());
            self.connection.ask_all(&commands, |said| replies.push(said)).await?;
            let outcome = outcome(&replies, name, self.route);
            if let Outcome::Locked { is_left: true } | Outcome::Refused { is_left: true, .. } = outcome {
                // Ours, since just now: whatever others have put into it, it must not be committed under this name.
                self.abort(name).await?;
            } else {
                self.desk.unfinished = None;
            }
            match outcome {
                Outcome::Committed { was_ours } => {
                    return Ok(if was_ours { Changed::Alone } else { Changed::WithForeignParts });
                }
                Outcome::Refused { error, .. } => return Err(Fault::Refused(error)),
                Outcome::Locked { .. } => tokio::time::sleep(LOCKED_PAUSE).await,
            }
        }
        Err(Fault::Refused(foreign(self.route, "certificates")))
    }

    async fn change_step_by_step(&mut self, name: &CliName, parts: &[Command]) -> Result<(), Fault> {
        self.expect_no_transaction().await?;
        let mut is_ours = false;
        for part in parts {
            self.set(part, name, &mut is_ours).await?;
        }
        let said = self.ask(&Command::commit(name)).await?;
        let committed = reply::commit(&said, name.as_str());
        match commit_error(&committed, &said, name, self.route) {
            None => {
                self.desk.unfinished = None;
                Ok(())
            }
            Some(error) => {
                if committed == CommitReply::Over {
                    self.desk.unfinished = None;
                }
                self.finish().await?;
                Err(Fault::Refused(error))
            }
        }
    }

    /// Puts one part into the transaction that we begin with the first.
    async fn set(&mut self, command: &Command, name: &CliName, is_ours: &mut bool) -> Result<(), Fault> {
        if !*is_ours {
            // From here on until its reply is seen, a transaction may be ours; a reply that says otherwise clears it.
            self.desk.unfinished = Some(name.clone());
        }
        let said = self.ask(command).await?;
        let error = match reply::set(&said, name.as_str()) {
            SetReply::Created => {
                *is_ours = true;
                return Ok(());
            }
            SetReply::Joined if *is_ours => return Ok(()),
            // Nothing was begun, and what was begun before is finished.
            said => set_error(&said, name, self.route),
        };
        if *is_ours {
            self.finish().await?;
        } else {
            self.desk.unfinished = None;
        }
        Err(Fault::Refused(error))
    }

    /// Aborts the transaction that we began a moment ago.
    async fn abort(&mut self, name: &CliName) -> Result<(), Broken> {
        // What HAProxy does not get to now is finished the next time.
        if !reply::is_locked(&self.ask(&Command::abort(name)).await?) {
            self.desk.unfinished = None;
        }
        Ok(())
    }

    /// Aborts the transaction that we began, if there is one left. Ours leaves the certificate as it is: one that would
    /// put another in its place was begun by somebody else since.
    pub(crate) async fn finish(&mut self) -> Result<(), Broken> {
        if let Some(name) = self.desk.unfinished.clone() {
            let begun = self.ask(&Command::show_transaction(&name)).await?;
            let loaded = self.ask(&Command::show_certificate(&name)).await?;
            match (reply::show(&begun), reply::show(&loaded)) {
                (ShowReply::Locked, _) | (_, ShowReply::Locked) => {}
                (ShowReply::Loaded(begun), ShowReply::Loaded(loaded))
                    if (&begun.serial, &begun.fingerprint) == (&loaded.serial, &loaded.fingerprint) =>
                {
                    self.abort(&name).await?;
                }
                _ => self.desk.unfinished = None,
            }
        }
        Ok(())
    }

    /// A part that is set while somebody else's transaction is under way would end up in it.
    async fn expect_no_transaction(&mut self) -> Result<(), Fault> {
        let said = self.ask(&Command::probe_transaction()).await?;
        if reply::is_locked(&said) {
            return Err(Fault::Refused(foreign(self.route, "certificates")));
        }
        Err(Fault::Refused(match reply::probe(&said) {
            ProbeReply::None => return Ok(()),
            ProbeReply::Busy(about) => foreign(self.route, &about),
            ProbeReply::Denied => denied(self.route, "set ssl cert", "admin"),
            ProbeReply::Other(said) => fault::refused(
                codes::REJECTED,
                self.route,
                &format!("`abort ssl cert` was answered with {}", fault::quoted(&said)),
            ),
        }))
    }
}

/// Reads the replies to parts and their commit.
fn outcome(replies: &[String], name: &CliName, route: &Route) -> Outcome {
    let Some((committed, parts)) = replies.split_last() else {
        return Outcome::Refused { error: foreign(route, name.as_str()), is_left: true };
    };
    let (mut is_ours, mut is_locked) = (false, false);
    let mut refused = None;
    for said in parts {
        match reply::set(said, name.as_str()) {
            SetReply::Created => is_ours = true,
            SetReply::Joined if is_ours => {}
            // About another certificate: ours, if there was one, has been ended.
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
    let said = reply::commit(committed, name.as_str());
    let Some(error) = commit_error(&said, committed, name, route) else {
        return Outcome::Committed { was_ours: is_ours };
    };
    let is_left = is_ours && said != CommitReply::Over;
    if let Some(refused) = refused {
        return Outcome::Refused { error: set_error(&refused, name, route), is_left };
    }
    if is_locked || said == CommitReply::Locked {
        return Outcome::Locked { is_left };
    }
    Outcome::Refused { error, is_left }
}

/// What a part that was not taken means.
fn set_error(said: &SetReply, name: &CliName, route: &Route) -> SinkError {
    match said {
        SetReply::Locked => foreign(route, "certificates"),
        SetReply::Joined => foreign(route, name.as_str()),
        SetReply::Created | SetReply::Busy => foreign(route, "another certificate"),
        SetReply::Denied => denied(route, "set ssl cert", "admin"),
        SetReply::NotLoaded => dropped(route, name),
        SetReply::Other(said) => fault::refused(
            codes::COMMIT_FAILED,
            route,
            &format!("`set ssl cert {}` was answered with {}", name.as_str(), fault::quoted(said)),
        ),
    }
}

/// What a commit means that was not done.
fn commit_error(committed: &CommitReply, said: &str, name: &CliName, route: &Route) -> Option<SinkError> {
    match committed {
        CommitReply::Done => None,
        CommitReply::Denied => Some(denied(route, "commit ssl cert", "admin")),
        CommitReply::Locked => Some(foreign(route, "certificates")),
        CommitReply::Over | CommitReply::Failed => Some(fault::refused(
            codes::COMMIT_FAILED,
            route,
            &format!("`commit ssl cert {}` was answered with {}", name.as_str(), fault::quoted(said)),
        )),
    }
}

/// The certificate is not there any more.
pub(crate) fn dropped(route: &Route, name: &CliName) -> SinkError {
    let what = format!("HAProxy has just dropped the certificate {}", name.as_str());
    fault::refused(codes::NOT_LOADED, route, &what)
}

/// Somebody else is at it.
pub(crate) fn foreign(route: &Route, about: &str) -> SinkError {
    fault::refused(
        codes::FOREIGN_TRANSACTION,
        route,
        &format!(
            "somebody else is changing {}: end that with `commit ssl cert` or `abort ssl cert`; it is tried again",
            fault::quoted(about)
        ),
    )
}

/// HAProxy's level does not allow a command.
pub(crate) fn denied(route: &Route, command: &str, level: &str) -> SinkError {
    fault::refused(
        codes::PERMISSION_DENIED,
        route,
        &format!("HAProxy denies `{command}`: give its `stats socket` line `level {level}`"),
    )
}
