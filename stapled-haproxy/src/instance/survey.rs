//! Keeps the register of a process up to date: who answers, which certificates are loaded, and what became of them.
//!
//! Sinks and sources of one process share it. Whoever wants to know something has a *round* made; one that was made a
//! moment ago, for whomever, will do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stapled_core::sink::SinkError;
use tokio::time::Instant;

use crate::cli::command::{CliName, Command};
use crate::cli::process::Process;
use crate::cli::reply::{self, ShowReply};
use crate::codes;
use crate::fault;
use crate::instance::channel::{Said, Writer, lock};
use crate::instance::first_staple::Introduced;
use crate::instance::loaded::Register;
use crate::instance::transaction::{LOCKED_ATTEMPTS, LOCKED_PAUSE, denied, foreign};
use crate::instance::writer::BATCH;

/// A round may keep HAProxy busy for one part in so many of the time between two rounds.
const SHARE: u32 = 40;
/// After so many rounds every certificate was looked at.
const ROUNDS: usize = 60;
/// How many of the names that somebody waits for are looked at in one round.
const MOST_WATCHED: usize = 256;
/// How long HAProxy's refusal to say what is loaded is taken for its last word.
const DENIED: Duration = Duration::from_secs(60);
/// The longest wait between two attempts to find a HAProxy that is gone.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What is kept between rounds.
#[derive(Default)]
pub(crate) struct Lookout {
    book: Mutex<Book>,
    /// Held by whoever makes a round.
    round: tokio::sync::Mutex<Round>,
    /// Held by whoever makes the first survey of a process.
    survey: tokio::sync::Mutex<()>,
}

/// A register, and of which process.
#[derive(Debug, Default)]
struct Book {
    of: Option<Process>,
    register: Register,
    denied: Option<(Instant, SinkError)>,
    /// The name that a transaction was about when names were listed last.
    transaction: Option<String>,
}

#[derive(Default)]
struct Round {
    made: Option<Instant>,
    /// When to list names again at the earliest.
    list_at: Option<Instant>,
    /// Why nobody was found by the last one.
    failed: Option<SinkError>,
    /// How long to wait after that.
    wait: Option<Duration>,
}

impl Writer {
    /// Reads the register.
    pub(crate) fn register<T>(&self, read: impl FnOnce(&mut Register) -> T) -> T {
        read(&mut lock(&self.lookout.book).register)
    }

    /// The certificate that a transaction, ours or somebody else's, was about when HAProxy listed its certificates last.
    pub(crate) fn transaction(&self) -> Option<String> {
        lock(&self.lookout.book).transaction.clone()
    }

    /// Makes a round, unless one was made within `interval`: looks who answers and, where asked for, at some of the
    /// certificates. What was found is in the register.
    pub(crate) async fn round(self: &Arc<Self>, interval: Duration, with_certificates: bool) -> Result<(), SinkError> {
        let mut round = self.lookout.round.lock().await;
        let due = round.wait.unwrap_or(interval);
        // Two that come at one pace find each other's rounds.
        if round.made.is_some_and(|made| made.elapsed() < due * 9 / 10) {
            return round.failed.clone().map_or(Ok(()), Err);
        }
        let done = self.make_round(&mut round, interval, with_certificates).await;
        round.made = Some(Instant::now());
        round.failed = done.as_ref().err().filter(|error| matches!(error, SinkError::Unreachable { .. })).cloned();
        round.wait =
            round.failed.as_ref().map(|_| (round.wait.unwrap_or(interval) * 2).min(LONGEST_WAIT.max(interval)));
        done
    }

    async fn make_round(
        self: &Arc<Self>,
        round: &mut Round,
        interval: Duration,
        with_certificates: bool,
    ) -> Result<(), SinkError> {
        if self.route().worker.is_none() {
            self.look().await?;
        }
        if !with_certificates {
            return Ok(());
        }
        let begun = Instant::now();
        if round.list_at.is_none_or(|at| at <= begun) {
            self.list_names().await?;
            round.list_at = Some(begun + begun.elapsed() * SHARE);
        }
        self.look_at_unseen().await?;
        let watched = self.register(|register| register.watched(MOST_WATCHED));
        self.look_at(&watched).await?;
        // At least some of them in each round, however slow HAProxy is, and never one of them twice.
        let all = self.register(|register| register.len());
        let least = all / ROUNDS;
        let mut looked = 0;
        while looked < all {
            let names = self.register(|register| register.next(BATCH));
            looked += BATCH;
            self.look_at(&names).await?;
            if looked >= least && begun.elapsed() > interval / SHARE {
                break;
            }
        }
        Ok(())
    }

    /// Waits until everything that the process has loaded is in the register. An error of code
    /// [`PERMISSION_DENIED`](codes::PERMISSION_DENIED) says that it may not be known.
    pub(crate) async fn surveyed(self: &Arc<Self>, process: &Process) -> Result<(), SinkError> {
        let is_done = || {
            let book = lock(&self.lookout.book);
            match &book.denied {
                Some((at, error)) if at.elapsed() < DENIED => Some(Err(error.clone())),
                _ => (book.of.as_ref().is_some_and(|of| of.is_same(process)) && book.register.is_complete())
                    .then_some(Ok(())),
            }
        };
        if let Some(done) = is_done() {
            return done;
        }
        let _survey = self.lookout.survey.lock().await;
        if let Some(done) = is_done() {
            return done;
        }
        self.survey().await
    }

    /// Looks at everything that is newly loaded, at first at everything. What was seen before is gone over in rounds.
    pub(crate) async fn survey(self: &Arc<Self>) -> Result<(), SinkError> {
        self.list_names().await?;
        self.look_at_unseen().await
    }

    async fn list_names(self: &Arc<Self>) -> Result<(), SinkError> {
        let (lines, process) = self.listed().await?;
        let is_denied = lines.iter().any(|line| line == "Permission denied" || line == "Can't allocate memory!");
        let denied = is_denied.then(|| (Instant::now(), denied(self.route(), "show ssl cert", "admin")));
        let error = denied.as_ref().map(|(_, error)| error.clone());
        let names: Vec<String> = lines.iter().filter_map(|line| reply::listed_name(line)).map(str::to_owned).collect();
        // A list has a heading, unless it is empty.
        if !is_denied && !lines.is_empty() && !lines.iter().any(|line| line.starts_with('#')) {
            let said = fault::quoted(&lines.join("\n"));
            let what = format!("answered `show ssl cert` with what is no list: {said}");
            return Err(fault::unreachable(codes::GARBLED_REPLY, self.route(), &what));
        }
        let mut book = lock(&self.lookout.book);
        book.denied = denied;
        if let Some(error) = error {
            return Err(error);
        }
        book.begin(&process);
        book.transaction = lines.iter().find_map(|line| reply::name_in_transaction(line)).map(str::to_owned);
        book.register.list(&names);
        Ok(())
    }

    /// The list of names; asked for again for a while where HAProxy is in the midst of somebody else's command.
    async fn listed(self: &Arc<Self>) -> Result<Said, SinkError> {
        for _ in 0..LOCKED_ATTEMPTS {
            let (lines, process) = self.list(Command::show_certificates()).await?;
            if !lines.last().is_some_and(|line| reply::is_locked(line)) {
                return Ok((lines, process));
            }
            tokio::time::sleep(LOCKED_PAUSE).await;
        }
        Err(foreign(self.route(), "certificates"))
    }

    async fn look_at_unseen(self: &Arc<Self>) -> Result<(), SinkError> {
        loop {
            let names = self.register(|register| register.unseen(BATCH));
            if names.is_empty() {
                return Ok(());
            }
            self.look_at(&names).await?;
        }
    }

    /// Has some certificates shown, and notes them.
    pub(crate) async fn look_at(self: &Arc<Self>, names: &[Arc<str>]) -> Result<(), SinkError> {
        for names in names.chunks(BATCH) {
            let mut commands = Vec::with_capacity(names.len());
            let mut asked = Vec::with_capacity(names.len());
            for name in names {
                match CliName::new(name) {
                    Ok(cli_name) => {
                        commands.push(Command::show_certificate(&cli_name));
                        asked.push(name);
                    }
                    // What cannot be said is never known.
                    Err(_) => self.register(|register| register.note(name, &ShowReply::NotFound)),
                }
            }
            if commands.is_empty() {
                continue;
            }
            let (replies, process) = self.shown(commands).await?;
            if replies.iter().any(|reply| reply::show(reply) == ShowReply::Denied) {
                let error = denied(self.route(), "show ssl cert", "admin");
                lock(&self.lookout.book).denied = Some((Instant::now(), error.clone()));
                return Err(error);
            }
            let mut book = lock(&self.lookout.book);
            if !book.of.as_ref().is_some_and(|of| of.is_same(&process)) {
                return Err(fault::unreachable(codes::CONNECTION_CLOSED, self.route(), "is another process now"));
            }
            for (name, reply) in asked.iter().zip(&replies) {
                book.register.note(name, &reply::show(reply));
            }
        }
        Ok(())
    }

    /// Has certificates shown; again for a while those that HAProxy did not show since it was in the midst of somebody
    /// else's command.
    async fn shown(self: &Arc<Self>, commands: Vec<Command>) -> Result<Said, SinkError> {
        let (mut replies, mut process) = self.ask(commands.clone()).await?;
        for _ in 0..LOCKED_ATTEMPTS {
            let locked: Vec<usize> =
                replies.iter().enumerate().filter(|(_, reply)| reply::is_locked(reply)).map(|(at, _)| at).collect();
            if locked.is_empty() {
                return Ok((replies, process));
            }
            tokio::time::sleep(LOCKED_PAUSE).await;
            let again = locked.iter().filter_map(|at| commands.get(*at).cloned()).collect();
            let (new, now) = self.ask(again).await?;
            for (at, reply) in locked.into_iter().zip(new) {
                if let Some(old) = replies.get_mut(at) {
                    *old = reply;
                }
            }
            process = now;
        }
        Err(foreign(self.route(), "certificates"))
    }

    /// Notes what was seen on the way.
    pub(crate) fn note(&self, introduced: &Introduced, process: &Process) {
        let mut book = lock(&self.lookout.book);
        if book.of.as_ref().is_some_and(|of| of.is_same(process)) {
            for (name, shown) in introduced {
                book.register.note(name.as_str(), shown);
            }
        }
    }
}

impl Book {
    /// Another process has loaded its certificates anew.
    fn begin(&mut self, process: &Process) {
        if !self.of.as_ref().is_some_and(|of| of.is_same(process)) {
            let generation = self.register.generation();
            self.register = Register::after(generation);
        }
        self.of = Some(process.clone());
    }
}
