//! Renewals on demand: the CAs are asked at once, and each result is sent as it comes.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use stapled_core::clock::{Clock, SystemClock};
use stapled_core::overview::{RenewalState, Row, Totals};
use stapled_core::stapler::{Asked, Handle, HandleError, Renewed, Selection};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::known::Known;
use super::protocol::{Done, Progress, Which};
use super::reply::{Lines, PART, blocking, refuse, send};

/// How often a waiting client gets a line of progress.
const BEAT: Duration = Duration::from_secs(1);
/// The longest time that an answer waits.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long another stapler may take to replace one that has ended.
const SUCCESSION: Duration = Duration::from_secs(10);

/// Asks the CAs, and answers.
pub(super) async fn renew(
    writer: &mut (impl AsyncWriteExt + Unpin),
    known: &Known,
    which: Which,
    wait: Option<u32>,
) -> io::Result<()> {
    let Ok(_waits) = known.renewals.try_acquire() else {
        return refuse(writer, "too many clients wait for renewals; try again later").await;
    };
    let mut handle = known.current().0;
    let mut asked = match handle.renew(&selection(&which)).await {
        Ok(asked) => asked,
        Err(error) => return refuse(writer, &error.to_string()).await,
    };
    let of = asked.certificates().len();
    let deadline = wait.map(|wait| Instant::now() + LONGEST_WAIT.min(Duration::from_secs(wait.into())));
    let mut answer = Answer { totals: Totals::default(), done: 0, of };
    if let Some(deadline) = deadline {
        loop {
            let Err(HandleError::Ended) = answer.send_until(writer, &mut asked, deadline).await? else { break };
            // A reload has replaced the stapler, and the new one continues; or the daemon stops.
            let open: Vec<String> = asked.open().map(|about| about.serial.clone()).collect();
            let Some(next) = successor(known, &handle).await else {
                return refuse(writer, "stapled is stopping").await;
            };
            handle = next;
            asked = match handle.renew(&Selection::Certificates(open)).await {
                Ok(asked) => asked,
                Err(error) => return refuse(writer, &error.to_string()).await,
            };
        }
    }
    let state = if deadline.is_some() { RenewalState::Pending } else { RenewalState::Asked };
    answer.send_open(writer, &handle, &asked, state).await?;
    answer.send_places(writer, &handle, &which).await?;
    let mut totals = crate::summary::Totals::from(answer.totals);
    if deadline.is_none() {
        // The results are not known yet.
        totals.exit_code = 0;
    }
    send(writer, &known.last(totals)).await
}

/// The part of an answer that was sent.
struct Answer {
    totals: Totals,
    done: usize,
    of: usize,
}

impl Answer {
    /// Sends results until all have come, the time is up, or the stapler has ended.
    async fn send_until(
        &mut self,
        writer: &mut (impl AsyncWriteExt + Unpin),
        asked: &mut Asked,
        deadline: Instant,
    ) -> io::Result<Result<(), HandleError>> {
        loop {
            let beat = deadline.min(Instant::now() + BEAT);
            match tokio::time::timeout_at(beat, asked.next()).await {
                Ok(Ok(Some(renewed))) => self.send_rows(writer, &[row_of(renewed)]).await?,
                Ok(Ok(None)) => return Ok(Ok(())),
                Ok(Err(error)) => return Ok(Err(error)),
                Err(_) if Instant::now() >= deadline => return Ok(Ok(())),
                Err(_) => send(writer, &Progress { progress: Done { done: self.done, of: self.of } }).await?,
            }
        }
    }

    /// Sends the rows of the certificates without a result.
    async fn send_open(
        &mut self,
        writer: &mut (impl AsyncWriteExt + Unpin),
        handle: &Handle,
        asked: &Asked,
        state: RenewalState,
    ) -> io::Result<()> {
        let open: Vec<_> = asked.open().cloned().collect();
        for part in open.chunks(PART) {
            let statuses = handle.inventory().statuses(part);
            let rows = statuses.iter().filter_map(Row::of_certificate).map(|row| row.outcome(state));
            self.send_rows(writer, &rows.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Sends the rows of the places about which no CA is asked.
    async fn send_places(
        &mut self,
        writer: &mut (impl AsyncWriteExt + Unpin),
        handle: &Handle,
        which: &Which,
    ) -> io::Result<()> {
        let named: Option<HashSet<String>> = match which {
            Which::All => None,
            Which::Responder(_) => return Ok(()),
            Which::Certificates(names) => Some(names.iter().cloned().collect()),
        };
        let inventory = handle.inventory();
        let rows = blocking(move || {
            let mut rows = Row::of_places(&inventory);
            rows.retain(|row| named.as_ref().is_none_or(|named| row.names().any(|name| named.contains(name))));
            rows
        });
        for rows in rows.await?.chunks(PART) {
            self.send_rows(writer, rows).await?;
        }
        Ok(())
    }

    async fn send_rows(&mut self, writer: &mut (impl AsyncWriteExt + Unpin), rows: &[Row]) -> io::Result<()> {
        let mut lines = Lines::default();
        for row in rows {
            self.totals.count(row);
            lines.add(row)?;
        }
        self.done += rows.len();
        lines.send(writer).await
    }
}

fn selection(which: &Which) -> Selection {
    match which {
        Which::All => Selection::All,
        Which::Responder(host) => Selection::Responder(host.clone()),
        Which::Certificates(names) => Selection::Certificates(names.clone()),
    }
}

fn row_of(renewed: Renewed) -> Row {
    match renewed.status.as_ref().and_then(Row::of_certificate) {
        Some(row) => row.outcome(renewed.outcome.into()),
        None => Row::of_gone(&renewed.about, SystemClock.now()),
    }
}

/// The stapler that replaces one that has ended.
async fn successor(known: &Known, ended: &Handle) -> Option<Handle> {
    let follows = async {
        loop {
            let (handle, _) = known.current();
            if !handle.is_same(ended) {
                // The new stapler has to find the certificates first.
                return handle.ready().await.ok().map(|()| handle);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SUCCESSION, follows).await.ok().flatten()
}
