//! Renewals that somebody asks for by hand: the CAs are asked at once, and what comes is told as it comes.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use stapled_core::clock::{Clock, SystemClock};
use stapled_core::stapler::{self, Asked, Handle, HandleError, Renewed, Selection};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::server::{READING, add, blocking, in_time};
use super::{Done, Known, Progress, Refusal, Which};
use crate::summary::{Outcome, Row, Totals};

/// How often a client that waits hears that it is not forgotten.
const BEAT: Duration = Duration::from_secs(1);
/// No answer waits for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long another stapler may take to follow one that has ended.
const SUCCESSION: Duration = Duration::from_secs(10);
/// How many rows are sent at a time.
const PART: usize = 128;

/// Asks, and answers.
pub(super) async fn renew(
    writer: &mut (impl AsyncWriteExt + Unpin),
    known: &Known,
    which: Which,
    wait: Option<u32>,
) -> io::Result<()> {
    let Ok(_waits) = known.renewals.try_acquire() else {
        return refuse(writer, "as many renewals are waited for as may be; try again later").await;
    };
    let mut handle = known.current().0;
    let mut asked = match handle.renew(&selection(&which)).await {
        Ok(asked) => asked,
        Err(error) => return refuse(writer, &error.to_string()).await,
    };
    let of = asked.certificates().len();
    let deadline = wait.map(|wait| Instant::now() + LONGEST_WAIT.min(Duration::from_secs(wait.into())));
    let mut told = Told { totals: Totals::default(), done: 0, of };
    if let Some(deadline) = deadline {
        loop {
            let Err(HandleError::Ended) = told.tell_until(writer, &mut asked, deadline).await? else { break };
            // A changed configuration has brought another stapler, which goes on with what is open; or everything ends.
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
    let outcome = if deadline.is_some() { Outcome::Pending } else { Outcome::Asked };
    told.tell_open(writer, &handle, &asked, outcome).await?;
    told.tell_places(writer, &handle, &which).await?;
    let mut totals = told.totals;
    if deadline.is_none() {
        // Nothing is known of what will come.
        totals.exit_code = 0;
    }
    let mut line = Vec::new();
    add(&mut line, &known.last(totals))?;
    in_time(READING, writer.write_all(&line)).await
}

/// What was told so far.
struct Told {
    totals: Totals,
    done: usize,
    of: usize,
}

impl Told {
    /// Tells what comes until everything has come, or the time is up, or the stapler has ended.
    async fn tell_until(
        &mut self,
        writer: &mut (impl AsyncWriteExt + Unpin),
        asked: &mut Asked,
        deadline: Instant,
    ) -> io::Result<Result<(), HandleError>> {
        loop {
            let beat = deadline.min(Instant::now() + BEAT);
            let mut lines = Vec::new();
            match tokio::time::timeout_at(beat, asked.next()).await {
                Ok(Ok(Some(renewed))) => self.row(&mut lines, &row_of(renewed))?,
                Ok(Ok(None)) => return Ok(Ok(())),
                Ok(Err(error)) => return Ok(Err(error)),
                Err(_) if Instant::now() >= deadline => return Ok(Ok(())),
                Err(_) => add(&mut lines, &Progress { progress: Done { done: self.done, of: self.of } })?,
            }
            in_time(READING, writer.write_all(&lines)).await?;
        }
    }

    /// Tells of what has not come.
    async fn tell_open(
        &mut self,
        writer: &mut (impl AsyncWriteExt + Unpin),
        handle: &Handle,
        asked: &Asked,
        outcome: Outcome,
    ) -> io::Result<()> {
        let open: Vec<_> = asked.open().cloned().collect();
        for part in open.chunks(PART) {
            let mut lines = Vec::new();
            for status in handle.inventory().statuses(part) {
                if let Some(row) = Row::of_certificate(&status) {
                    self.row(&mut lines, &row.outcome(outcome))?;
                }
            }
            in_time(READING, writer.write_all(&lines)).await?;
        }
        Ok(())
    }

    /// Tells of what nobody is asked for: places without a certificate that wants a staple.
    async fn tell_places(
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
            let mut lines = Vec::new();
            for row in rows {
                self.row(&mut lines, row)?;
            }
            in_time(READING, writer.write_all(&lines)).await?;
        }
        Ok(())
    }

    fn row(&mut self, lines: &mut Vec<u8>, row: &Row) -> io::Result<()> {
        self.totals.count(row);
        self.done += 1;
        add(lines, row)
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
    let outcome = match renewed.outcome {
        stapler::Outcome::NewStaple => Outcome::NewStaple,
        stapler::Outcome::SameStaple => Outcome::SameStaple,
        stapler::Outcome::Revoked => Outcome::Revoked,
        stapler::Outcome::Expired => Outcome::Expired,
        stapler::Outcome::Gone => Outcome::Gone,
        _ => Outcome::Failed,
    };
    match renewed.status.as_ref().and_then(Row::of_certificate) {
        Some(row) => row.outcome(outcome),
        None => Row::of_gone(&renewed.about, SystemClock.now()),
    }
}

/// The stapler that goes on after this one.
async fn successor(known: &Known, ended: &Handle) -> Option<Handle> {
    let follows = async {
        loop {
            let (handle, _) = known.current();
            if !handle.is_same(ended) {
                // It has to find again what it is asked for.
                return handle.ready().await.ok().map(|()| handle);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SUCCESSION, follows).await.ok().flatten()
}

async fn refuse(writer: &mut (impl AsyncWriteExt + Unpin), why: &str) -> io::Result<()> {
    let mut line = Vec::new();
    add(&mut line, &Refusal { error: why.to_owned() })?;
    in_time(READING, writer.write_all(&line)).await
}
