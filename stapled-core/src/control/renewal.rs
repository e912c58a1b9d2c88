//! Renewals on demand: the CAs are asked at once, and each result is sent as it comes.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::protocol::Notice;
use super::reply::{Answer, blocking};
use super::state::Control;
use crate::clock::{Clock, SystemClock};
use crate::overview::listing::Listing;
use crate::overview::row::RenewalState;
use crate::overview::{Row, Verdict};
use crate::stapler::handle::Asked;
use crate::stapler::{Handle, HandleError, Selection};

/// How often a waiting client gets a line of progress.
const BEAT: Duration = Duration::from_secs(1);
/// The longest time that an answer waits.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long another stapler may take to replace one that has ended.
const SUCCESSION: Duration = Duration::from_secs(10);

/// Asks the CAs, and answers.
pub(super) async fn renew(
    answer: &mut Answer,
    control: &Control,
    which: &Selection,
    wait: Option<u32>,
) -> io::Result<()> {
    let Ok(_waits) = control.renewals().try_acquire() else {
        return answer.refuse("too many clients wait for renewals; try again later").await;
    };
    let mut handle = control.handle();
    let mut asked = match handle.renew(which).await {
        Ok(asked) => asked,
        Err(error) => return answer.refuse(&error.to_string()).await,
    };
    let of = asked.certificates().len();
    let deadline = wait.map(|wait| Instant::now() + LONGEST_WAIT.min(Duration::from_secs(wait.into())));
    if let Some(deadline) = deadline {
        loop {
            let Err(HandleError::Ended) = send_results(answer, &mut asked, of, deadline).await? else { break };
            // A reload has replaced the stapler, and the new one continues; or the daemon stops.
            let open: Vec<String> = asked.open().map(|about| about.serial.clone()).collect();
            let Ok(Some(next)) = tokio::time::timeout(SUCCESSION, control.successor(&handle)).await else {
                return answer.refuse("stapled is stopping").await;
            };
            handle = next;
            asked = match handle.renew(&Selection::Certificates(open)).await {
                Ok(asked) => asked,
                Err(error) => return answer.refuse(&error.to_string()).await,
            };
        }
    }
    let state = if deadline.is_some() { RenewalState::Pending } else { RenewalState::Asked };
    for rows in Listing::of_certificates(handle.inventory(), asked.open().cloned().collect()) {
        let rows: Vec<Row> = rows.into_iter().map(|row| row.outcome(state)).collect();
        answer.send_rows(&rows).await?;
    }
    send_places(answer, &handle, which).await?;
    // Without waiting, the results are not known yet.
    let verdict = if deadline.is_some() { answer.totals.verdict } else { Verdict::Fine };
    answer.send(&control.last(answer.totals, verdict)).await
}

/// Sends results until all have come, the time is up, or the stapler has ended. `of` certificates were asked about at first.
async fn send_results(
    answer: &mut Answer,
    asked: &mut Asked,
    of: usize,
    deadline: Instant,
) -> io::Result<Result<(), HandleError>> {
    loop {
        let beat = deadline.min(Instant::now() + BEAT);
        match tokio::time::timeout_at(beat, asked.next()).await {
            Ok(Ok(Some(renewed))) => answer.send_rows(&[Row::of_renewed(&renewed, SystemClock.now())]).await?,
            Ok(Ok(None)) => return Ok(Ok(())),
            Ok(Err(error)) => return Ok(Err(error)),
            Err(_) if Instant::now() >= deadline => return Ok(Ok(())),
            Err(_) => answer.send(&Notice::Progress { done: answer.totals.total, of }).await?,
        }
    }
}

/// Sends the rows of the places about which no CA is asked.
async fn send_places(answer: &mut Answer, handle: &Handle, which: &Selection) -> io::Result<()> {
    let named = match which {
        Selection::All => None,
        Selection::Certificates(names) => Some(names.clone()),
        _ => return Ok(()),
    };
    let inventory = handle.inventory();
    for rows in blocking(move || Listing::of_places(inventory, named.as_deref())).await? {
        answer.send_rows(&rows).await?;
    }
    Ok(())
}
