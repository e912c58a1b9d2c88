//! Keeps the loaded certificates of a process up to date, and notices that another process answers.
//!
//! Sinks and sources of one process share a survey. A caller asks for a *round*; a round that another caller made a moment
//! ago is used instead.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::error::{Error, Foreign};
use crate::cli::name::CliName;
use crate::cli::process::Process;
use crate::cli::reply::certificate::{ListReply, ShowReply};
use crate::cli::reply::refusal::MayBeLocked;
use crate::instance::channel::Channel;
use crate::instance::first_staple::LoadedNames;
use crate::instance::loaded::LoadedCertificates;
use crate::instance::lock::lock;
use crate::instance::names::Candidate;
use crate::instance::survey_state::{Round, SurveyState};
use crate::instance::transaction::{LOCKED_ATTEMPTS, LOCKED_PAUSE};
use crate::instance::writer::BATCH;

/// A round takes at most this part of the time between two rounds: one in 40.
const SHARE: u32 = 40;
/// The number of rounds in which every certificate is looked at.
const ROUNDS: usize = 60;
/// The number of watched names that are looked at in one round.
const MOST_WATCHED: usize = 256;
/// How long HAProxy's refusal to show its certificates is remembered.
const DENIED_FOR: Duration = Duration::from_secs(60);
/// The longest back-off between two attempts to reach a HAProxy that does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a round looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Which process answers.
    Process,
    /// Which process answers, and some of its certificates.
    Certificates,
}

/// The survey of one process.
#[derive(Clone)]
pub(crate) struct Survey {
    channel: Channel,
}

impl Survey {
    pub(crate) fn of(channel: Channel) -> Self {
        Survey { channel }
    }

    fn state(&self) -> &SurveyState {
        &self.channel.state().survey
    }

    /// Reads or changes the loaded certificates.
    pub(crate) fn loaded<T>(&self, read: impl FnOnce(&mut LoadedCertificates) -> T) -> T {
        read(&mut lock(&self.state().findings).loaded)
    }

    /// The name of the certificate that an open transaction, ours or a foreign one, changed when HAProxy listed its
    /// certificates last.
    pub(crate) fn transaction(&self) -> Option<String> {
        lock(&self.state().findings).transaction.clone()
    }

    /// The loaded names that may stand for this path, likeliest first. The comparison of paths may take long: it runs
    /// without a lock on the loaded certificates.
    pub(crate) async fn candidates(&self, path: &str) -> Vec<Candidate> {
        let names = self.loaded(|loaded| loaded.same_file_name(path));
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || names.candidates(&path)).await.unwrap_or_default()
    }

    /// Makes a round, unless one was made within `interval`.
    pub(crate) async fn round(&self, interval: Duration, scope: Scope) -> Result<(), Error> {
        let mut round = self.state().round.lock().await;
        let due = round.wait.unwrap_or(interval);
        // Two callers with the same interval would otherwise repeat each other's rounds.
        if round.made.is_some_and(|made| made.elapsed() < due * 9 / 10) {
            return round.failed.clone().map_or(Ok(()), Err);
        }
        let done = self.make_round(&mut round, interval, scope).await;
        round.made = Some(Instant::now());
        round.failed = done.as_ref().err().filter(|error| error.is_unreachable()).cloned();
        round.wait =
            round.failed.as_ref().map(|_| (round.wait.unwrap_or(interval) * 2).min(LONGEST_WAIT.max(interval)));
        done
    }

    async fn make_round(&self, round: &mut Round, interval: Duration, scope: Scope) -> Result<(), Error> {
        if self.channel.route().worker.is_none() {
            self.channel.look().await?;
        }
        if scope == Scope::Process {
            return Ok(());
        }
        let begun = Instant::now();
        if round.list_at.is_none_or(|at| at <= begun) {
            self.list_names().await?;
            round.list_at = Some(begun + begun.elapsed() * SHARE);
        }
        self.look_at_unseen().await?;
        let watched = self.loaded(|loaded| loaded.watched(MOST_WATCHED));
        self.look_at(&watched).await?;
        // A slow HAProxy gets some questions in each round, and no certificate is looked at twice in one round.
        let all = self.loaded(|loaded| loaded.len());
        let least = all / ROUNDS;
        let mut looked = 0;
        while looked < all {
            let names = self.loaded(|loaded| loaded.next(BATCH));
            looked += BATCH;
            self.look_at(&names).await?;
            if looked >= least && begun.elapsed() > interval / SHARE {
                break;
            }
        }
        Ok(())
    }

    /// Waits until all certificates of this process have been looked at once. [`Error::Denied`] says that HAProxy does not
    /// show them.
    pub(crate) async fn completed(&self, process: &Process) -> Result<(), Error> {
        let is_done = || {
            let findings = lock(&self.state().findings);
            if findings.denied_at.is_some_and(|at| at.elapsed() < DENIED_FOR) {
                return Some(Err(Error::Denied { command: "show ssl cert" }));
            }
            (findings.is_about(process) && findings.loaded.is_complete()).then_some(Ok(()))
        };
        if let Some(done) = is_done() {
            return done;
        }
        let _first = self.state().first.lock().await;
        if let Some(done) = is_done() {
            return done;
        }
        self.look_at_new().await
    }

    /// Looks at all newly loaded certificates; the first time, at all. Rounds look at the others again.
    pub(crate) async fn look_at_new(&self) -> Result<(), Error> {
        self.list_names().await?;
        self.look_at_unseen().await
    }

    async fn list_names(&self) -> Result<(), Error> {
        let (reply, process) = self.list_while_locked().await?;
        let mut findings = lock(&self.state().findings);
        match reply {
            ListReply::Names { names, in_transaction } => {
                findings.denied_at = None;
                findings.begin(&process);
                findings.transaction = in_transaction;
                findings.loaded.list(&names);
                Ok(())
            }
            ListReply::Denied => {
                findings.denied_at = Some(Instant::now());
                Err(Error::Denied { command: "show ssl cert" })
            }
            ListReply::Locked => Err(Error::ForeignTransaction(Foreign::Command)),
            ListReply::Garbled(said) => Err(Error::NotAList(said)),
        }
    }

    /// Asks for the list of names; repeats that for a while if HAProxy is executing another client's command.
    async fn list_while_locked(&self) -> Result<(ListReply, Process), Error> {
        for _ in 0..LOCKED_ATTEMPTS {
            let (reply, process) = self.channel.list_certificates().await?;
            if !reply.is_locked() {
                return Ok((reply, process));
            }
            tokio::time::sleep(LOCKED_PAUSE).await;
        }
        Err(Error::ForeignTransaction(Foreign::Command))
    }

    async fn look_at_unseen(&self) -> Result<(), Error> {
        loop {
            let names = self.loaded(|loaded| loaded.unseen(BATCH));
            if names.is_empty() {
                return Ok(());
            }
            self.look_at(&names).await?;
        }
    }

    /// Asks for some certificates, and notes them.
    async fn look_at(&self, names: &[Arc<str>]) -> Result<(), Error> {
        for names in names.chunks(BATCH) {
            let mut asked = Vec::with_capacity(names.len());
            for name in names {
                match CliName::new(name) {
                    Ok(name) => asked.push(name),
                    // HAProxy cannot be asked for such a name.
                    Err(_) => self.loaded(|loaded| loaded.note(name, &ShowReply::NotFound)),
                }
            }
            if asked.is_empty() {
                continue;
            }
            let (replies, process) = self.show_while_locked(&asked).await?;
            let mut findings = lock(&self.state().findings);
            if replies.contains(&ShowReply::Denied) {
                findings.denied_at = Some(Instant::now());
                return Err(Error::Denied { command: "show ssl cert" });
            }
            if !findings.is_about(&process) {
                return Err(Error::OtherProcess);
            }
            for (name, reply) in asked.iter().zip(&replies) {
                findings.loaded.note(name.as_str(), reply);
            }
        }
        Ok(())
    }

    /// Asks for certificates; repeats that for a while for those that HAProxy did not show because it was executing another
    /// client's command.
    async fn show_while_locked(&self, names: &[CliName]) -> Result<(Vec<ShowReply>, Process), Error> {
        let (mut replies, mut process) = self.channel.show_certificates(names).await?;
        for _ in 0..LOCKED_ATTEMPTS {
            let locked: Vec<usize> =
                replies.iter().enumerate().filter(|(_, reply)| reply.is_locked()).map(|(at, _)| at).collect();
            if locked.is_empty() {
                return Ok((replies, process));
            }
            tokio::time::sleep(LOCKED_PAUSE).await;
            let again: Vec<CliName> = locked.iter().filter_map(|at| names.get(*at).cloned()).collect();
            let (new, now) = self.channel.show_certificates(&again).await?;
            for (at, reply) in locked.into_iter().zip(new) {
                if let Some(old) = replies.get_mut(at) {
                    *old = reply;
                }
            }
            process = now;
        }
        Err(Error::ForeignTransaction(Foreign::Command))
    }

    /// Notes the certificates that HAProxy showed during a first delivery.
    pub(crate) fn note(&self, shown: &LoadedNames, process: &Process) {
        let mut findings = lock(&self.state().findings);
        if findings.is_about(process) {
            for (name, reply) in shown {
                findings.loaded.note(name.as_str(), reply);
            }
        }
    }
}
