//! What operators do with sessions: list, show and kill them, recover, status.

use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use http_body_util::BodyExt as _;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use stapled_ca::session::{Client, ClientError, Limits, Operators, Place, Policy, SessionId, Sessions, SessionsStatus};

use stapled_ca::{Ledger as _, LedgerEntry, LedgerFile, pem};

use crate::authorities::{CONTROL, LEDGER, serial_of, write_record};
use crate::failure::Failure;
use crate::store_arguments::{NoStore, StoreArguments, existing};

/// Where the sessions are.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// The authority's directory, whether `serve` runs there or not
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArguments,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SessionsCommand {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the active sessions, the oldest first
    List,
    /// Show one session, active or over
    Show {
        /// The session
        session: SessionId,
    },
    /// Make the work on a session due now: it waits for another attempt, or was parked after ten failures
    Retry {
        /// The session
        #[arg(required_unless_present = "all")]
        session: Option<SessionId>,
        /// All sessions that were parked
        #[arg(long, conflicts_with = "session")]
        all: bool,
    },
    /// End a session: it leaves every queue at once
    Kill {
        /// The session
        session: SessionId,
        /// Why, for its client
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RecoverCommand {
    #[command(flatten)]
    place: Where,
    /// Show what would be put, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusCommand {
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerCommand {
    /// The authority's directory
    #[arg(long, global = true, default_value = ".")]
    dir: PathBuf,
    /// Print one JSON object for each certificate, one to a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: LedgerAction,
}

#[derive(Debug, Subcommand)]
enum LedgerAction {
    /// List the issued certificates by serial number
    List,
    /// Show one certificate
    Show {
        /// Serial number in hexadecimal, or a PEM file with the certificate
        #[arg(value_name = "SERIAL|FILE")]
        which: String,
    },
}

impl LedgerCommand {
    pub(crate) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let ledger = ledger_of(&self.dir)?;
        match &self.action {
            LedgerAction::List => {
                for record in ledger.records()? {
                    if let Some(entry) = ledger.entry(&record.serial)? {
                        self.print(&entry, out)?;
                    }
                }
            }
            LedgerAction::Show { which } => {
                let serial = serial_of(which)?;
                let entry = ledger.entry(&serial)?.ok_or_else(|| Failure::NotIssued { serial: serial.clone() })?;
                self.print(&entry, out)?;
                if let (false, Some(der)) = (self.json, &entry.certificate) {
                    write!(out, "{}", pem::certificate(der))?;
                }
            }
        }
        Ok(())
    }

    fn print(&self, entry: &LedgerEntry, out: &mut impl Write) -> Result<(), Failure> {
        if !self.json {
            return write_record(&entry.record, out);
        }
        let mut value = serde_json::to_value(&entry.record)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("session".to_owned(), entry.session.clone().into());
            fields.insert("seen".to_owned(), entry.seen.into());
            fields.insert("certificate".to_owned(), entry.certificate.as_deref().map(pem::certificate).into());
        }
        writeln!(out, "{value}")?;
        Ok(())
    }
}

/// The ledger of an authority, which must exist.
fn ledger_of(dir: &Path) -> Result<LedgerFile, Failure> {
    let path = dir.join(LEDGER);
    if !path.exists() {
        return Err(Failure::NoLedger { path });
    }
    Ok(LedgerFile::open(path)?)
}

impl SessionsCommand {
    pub(crate) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let place = self.place;
        match self.action {
            Action::List => {
                let answer = place.call(Method::GET, "/sessions", Vec::new()).await?;
                place.print(&answer, out, |listed: Listed, out| {
                    for session in &listed.sessions {
                        writeln!(out, "{}", line(session))?;
                    }
                    match listed.active.saturating_sub(listed.sessions.len()) {
                        0 => Ok(()),
                        more => writeln!(out, "and {more} more"),
                    }
                })
            }
            Action::Show { session } => {
                let answer = place.call(Method::GET, &format!("/sessions/{session}"), Vec::new()).await?;
                place.print(&answer, out, show)
            }
            Action::Retry { session, .. } => {
                let path = session.as_ref().map_or("/retry".to_owned(), |session| format!("/sessions/{session}/retry"));
                let answer = place.call(Method::POST, &path, Vec::new()).await?;
                place.print(&answer, out, |retried: Value, out| {
                    let count = retried.get("retried").and_then(Value::as_u64).unwrap_or_default();
                    match session {
                        Some(session) => writeln!(out, "{session} {count} tasks are due"),
                        None => writeln!(out, "{count} tasks are due"),
                    }
                })
            }
            Action::Kill { session, reason } => {
                let body = json!({ "reason": reason }).to_string().into_bytes();
                let answer = place.call(Method::POST, &format!("/sessions/{session}/kill"), body).await?;
                place.print(&answer, out, show)
            }
        }
    }
}

impl RecoverCommand {
    pub(crate) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let method = if self.dry_run { Method::GET } else { Method::POST };
        let answer = self.place.call(method, "/recover", Vec::new()).await?;
        self.place.print(&answer, out, |recovered: Recovered, out| {
            for task in &recovered.put {
                writeln!(out, "{} {}", task.session, task.queue)?;
            }
            let verb = if recovered.dry_run { "would be put" } else { "put" };
            writeln!(out, "{} sessions without a task {verb} on their queues", recovered.put.len())
        })
    }
}

impl StatusCommand {
    pub(crate) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let answer = self.place.call(Method::GET, "/status", Vec::new()).await?;
        self.place.print(&answer, out, |status: SessionsStatus, out| {
            writeln!(out, "active sessions: {}", status.active)?;
            for (state, count) in &status.resting {
                writeln!(out, "without a task, in state {state}: {count}")?;
            }
            for (queue, tasks) in &status.queues {
                let (due, leased, waiting, parked) = (tasks.due, tasks.leased, tasks.waiting, tasks.parked);
                writeln!(out, "{queue}: {due} due, {leased} worked on, {waiting} waiting, {parked} parked")?;
            }
            Ok(())
        })
    }
}

#[derive(Deserialize)]
struct Listed {
    active: usize,
    sessions: Vec<Value>,
}

#[derive(Deserialize)]
struct Recovered {
    dry_run: bool,
    put: Vec<Put>,
}

#[derive(Deserialize)]
struct Put {
    queue: String,
    session: String,
}

impl Where {
    /// The answer of the process that has the sessions open, or of this one.
    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, Failure> {
        if let Some(store) = self.store.in_redis().await? {
            return local(store, method, path, &body).await;
        }
        let dir: &Path = self.dir.as_deref().ok_or(NoStore::Nowhere)?;
        let served = Client::new(Place::Socket(dir.join(CONTROL))).call(method.clone(), path, body.clone()).await;
        match served {
            // No process serves the directory.
            Err(ClientError::Connect { .. }) => local(existing(dir)?, method, path, &body).await,
            answer => Ok(answer?),
        }
    }

    fn print<T, W: Write>(
        &self,
        answer: &[u8],
        out: &mut W,
        text: impl FnOnce(T, &mut W) -> std::io::Result<()>,
    ) -> Result<(), Failure>
    where
        T: serde::de::DeserializeOwned,
    {
        if self.json {
            out.write_all(answer)?;
        } else {
            text(serde_json::from_slice(answer)?, out)?;
        }
        Ok(())
    }
}

async fn local(
    store: std::sync::Arc<dyn stapled_ca::session::SessionStore>,
    method: Method,
    path: &str,
    body: &[u8],
) -> Result<Bytes, Failure> {
    let sessions = Sessions::without_ledger(store, Limits::default(), Policy::default());
    let response = Operators::new(sessions).call(&method, path, body).await;
    let status = response.status();
    let Ok(collected) = response.into_body().collect().await;
    let answer = collected.to_bytes();
    if status.is_success() {
        return Ok(answer);
    }
    let refused: Value = serde_json::from_slice(&answer)?;
    let text = |name: &str| refused.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Err(ClientError::Refused { status: status.as_u16(), code: text("error"), message: text("message") }.into())
}

/// One session on a line.
fn line(session: &Value) -> String {
    let text = |name: &str| session.get(name).and_then(Value::as_str).unwrap_or_default();
    let created = session.get("created").and_then(Value::as_i64).unwrap_or_default();
    let created = jiff::Timestamp::from_second(created).unwrap_or_default();
    let names = session.get("names").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    format!("{} {} {created} {} {}", text("session"), text("state"), text("client"), names.join(","))
}

/// One session with its challenges.
fn show<W: Write>(session: Value, out: &mut W) -> std::io::Result<()> {
    writeln!(out, "{}", line(&session))?;
    if let Some(reason) = session.get("reason").and_then(Value::as_str) {
        writeln!(out, "reason: {reason}")?;
    }
    for challenge in session.get("challenges").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| challenge.get(name).and_then(Value::as_str).unwrap_or_default();
        let is = |name: &str| challenge.get(name).and_then(Value::as_bool).unwrap_or_default();
        let result = match (is("satisfied"), is("failed")) {
            (true, _) => "satisfied",
            (_, true) => "failed",
            _ => "open",
        };
        let number = challenge.get("number").and_then(Value::as_u64).unwrap_or_default();
        writeln!(out, "{number} {} {} {result} {}", text("type"), text("name"), text("reason"))?;
    }
    Ok(())
}
