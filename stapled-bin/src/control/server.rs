//! The server of the control socket. The size, the number and the time of its answers are limited, so that clients do not
//! delay renewals.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use stapled_core::event::About;
use stapled_core::overview::{Row, State, Totals};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::known::Known;
use super::protocol::{MAX_QUESTION, Question};
use super::renewal::renew;
use super::reply::{Lines, PART, blocking, in_time, refuse, send};
use super::socket::ControlSocket;

/// How many questions are answered at once; others wait to be accepted.
const ANSWERS: usize = 8;
/// How long a question may take to arrive.
const ASKING: Duration = Duration::from_secs(5);
/// How long a whole answer may take.
const WHOLE: Duration = Duration::from_secs(300);
/// The pause after a connection that could not be accepted, as when file descriptors run out.
const PAUSE: Duration = Duration::from_millis(200);

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
    match serde_json::from_slice::<Question>(&line) {
        Ok(Question::Status { of }) => in_time(WHOLE, status(&mut writer, known, of)).await,
        Ok(Question::Renew { which, wait }) => {
            // A client that waits for CAs does not keep others from asking for the state.
            drop(slot);
            renew(&mut writer, known, which, wait).await
        }
        Err(error) => refuse(&mut writer, &format!("not a question: {error}")).await,
    }
}

async fn status(writer: &mut (impl AsyncWriteExt + Unpin), known: &Known, of: Vec<String>) -> io::Result<()> {
    let inventory = known.current().0.inventory();
    let of = Arc::new(of);
    let mut totals = Totals::default();
    // Places before certificates: a place that is parsed in between has a row in either case.
    let mut places = {
        let (inventory, of) = (Arc::clone(&inventory), Arc::clone(&of));
        blocking(move || {
            let mut rows = Row::of_places(&inventory);
            rows.retain(|row| of.is_empty() || row.names().any(|name| of.contains(name)));
            rows
        })
        .await?
    };
    let waiting = places.iter().filter(|row| row.state == State::Waiting).flat_map(|row| &row.files);
    let mut waiting: HashSet<String> = waiting.cloned().collect();
    let certificates = {
        let (inventory, of) = (Arc::clone(&inventory), Arc::clone(&of));
        blocking(move || {
            let mut certificates = inventory.known_certificates();
            certificates.retain(|about| is_asked_for(&of, about));
            certificates
        })
        .await?
    };
    for certificates in certificates.chunks(PART) {
        let rows: Vec<Row> = inventory.statuses(certificates).iter().filter_map(Row::of_certificate).collect();
        for file in rows.iter().flat_map(|row| &row.files) {
            waiting.remove(file);
        }
        send_rows(writer, &rows, &mut totals).await?;
    }
    drop(certificates);
    places.retain(|row| row.state != State::Waiting || row.files.iter().any(|file| waiting.contains(file)));
    for rows in places.chunks(PART) {
        send_rows(writer, rows, &mut totals).await?;
    }
    send(writer, &known.last(totals.into())).await
}

async fn send_rows(writer: &mut (impl AsyncWriteExt + Unpin), rows: &[Row], totals: &mut Totals) -> io::Result<()> {
    let mut lines = Lines::default();
    for row in rows {
        totals.count(row);
        lines.add(row)?;
    }
    lines.send(writer).await
}

fn is_asked_for(of: &[String], about: &About) -> bool {
    of.is_empty() || of.iter().any(|one| about.is_named(one))
}
