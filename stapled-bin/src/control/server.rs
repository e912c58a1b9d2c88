//! Answering: bounded in size, number and time, and never in the way of the work.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::event::About;
use stapled_core::stapler::Handle;
use stapled_core::time::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::renew::renew;
use super::{ControlSocket, Daemon, Last, MAX_QUESTION, Question, Refusal};
use crate::summary::{Row, State, Totals};

/// How many are answered at once; others wait to be accepted.
const ANSWERS: usize = 8;
/// How many renewals are waited for at once; others are refused.
const RENEWALS: usize = 4;
/// How long a question may take to arrive.
const ASKING: Duration = Duration::from_secs(5);
/// How long a client may take to read a part of an answer.
pub(super) const READING: Duration = Duration::from_secs(10);
/// How long a whole answer may take.
const WHOLE: Duration = Duration::from_secs(300);
/// The pause when no connection can be accepted, as without file descriptors.
const PAUSE: Duration = Duration::from_millis(200);
/// How many rows are made at a time.
const PART: usize = 128;

/// What there is to tell of, whichever stapler it belongs to now.
pub(crate) struct Known {
    since: Timestamp,
    current: Mutex<(Handle, Timestamp)>,
    /// Renewals that somebody waits for.
    pub(super) renewals: Semaphore,
}

impl Known {
    /// Of a program that was started now.
    pub(crate) fn new(handle: Handle) -> Self {
        let now = SystemClock.now();
        Known { since: now, current: Mutex::new((handle, now)), renewals: Semaphore::new(RENEWALS) }
    }

    /// The stapler has been replaced.
    pub(crate) fn replace(&self, handle: Handle) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = (handle, SystemClock.now());
    }

    /// The stapler that runs now, and since when.
    pub(super) fn current(&self) -> (Handle, Timestamp) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What ends an answer.
    pub(super) fn last(&self, totals: Totals) -> Last {
        let daemon = Daemon {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.since.to_string(),
            configured: self.current().1.to_string(),
        };
        Last { totals, daemon }
    }
}

/// Answers until it is dropped.
pub(crate) async fn serve(socket: ControlSocket, known: Arc<Known>) -> io::Result<()> {
    let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
    let slots = Arc::new(Semaphore::new(ANSWERS));
    let mut answers = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                let known = Arc::clone(&known);
                answers.spawn(async move {
                    if let Err(error) = converse(stream, &known, slot).await {
                        tracing::debug!(event = "control_broken", %error, "a question broke off");
                    }
                });
            }
            Err(error) => {
                tracing::debug!(event = "control_unreachable", %error, "no connection can be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while answers.try_join_next().is_some() {}
    }
}

async fn converse(stream: UnixStream, known: &Known, slot: OwnedSemaphorePermit) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(MAX_QUESTION));
    in_time(ASKING, reader.read_until(b'\n', &mut line)).await?;
    let mut line_out = Vec::new();
    match serde_json::from_slice::<Question>(&line) {
        Ok(Question::Status { of }) => return in_time(WHOLE, status(&mut writer, known, of)).await,
        Ok(Question::Renew { which, wait }) => {
            // Whoever waits for CAs keeps nobody from asking how things stand.
            drop(slot);
            return renew(&mut writer, known, which, wait).await;
        }
        Err(error) => add(&mut line_out, &Refusal { error: format!("not a question: {error}") })?,
    }
    in_time(READING, writer.write_all(&line_out)).await
}

async fn status(writer: &mut (impl AsyncWriteExt + Unpin), known: &Known, of: Vec<String>) -> io::Result<()> {
    let inventory = known.current().0.inventory();
    let of = Arc::new(of);
    let mut totals = Totals::default();
    // Places before certificates: what is parsed meanwhile must not fall between them.
    let mut rows = {
        let (inventory, of) = (Arc::clone(&inventory), Arc::clone(&of));
        blocking(move || {
            let mut rows = Row::of_places(&inventory);
            rows.retain(|row| of.is_empty() || row.names().any(|name| of.contains(name)));
            rows
        })
        .await?
    };
    let waiting = rows.iter().filter(|row| row.state == State::Waiting).flat_map(|row| &row.files);
    let mut waiting: HashSet<String> = waiting.cloned().collect();
    // Names are sorted, and places gone through, away from the threads that do the work.
    let certificates = {
        let (inventory, of) = (Arc::clone(&inventory), Arc::clone(&of));
        blocking(move || {
            let mut certificates = inventory.known_certificates();
            certificates.retain(|about| is_asked_for(&of, about));
            certificates
        })
        .await?
    };
    let mut part = Vec::new();
    for certificates in certificates.chunks(PART) {
        part.clear();
        for row in inventory.statuses(certificates).iter().filter_map(Row::of_certificate) {
            for file in &row.files {
                waiting.remove(file);
            }
            totals.count(&row);
            add(&mut part, &row)?;
        }
        in_time(READING, writer.write_all(&part)).await?;
    }
    drop(certificates);
    rows.retain(|row| row.state != State::Waiting || row.files.iter().any(|file| waiting.contains(file)));
    for rows in rows.chunks(PART) {
        part.clear();
        for row in rows {
            totals.count(row);
            add(&mut part, row)?;
        }
        in_time(READING, writer.write_all(&part)).await?;
    }
    part.clear();
    add(&mut part, &known.last(totals))?;
    in_time(READING, writer.write_all(&part)).await
}

fn is_asked_for(of: &[String], about: &About) -> bool {
    of.is_empty() || of.iter().any(|one| about.is_named(one))
}

pub(super) fn add(lines: &mut Vec<u8>, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, object)?;
    lines.push(b'\n');
    Ok(())
}

pub(super) async fn in_time<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
