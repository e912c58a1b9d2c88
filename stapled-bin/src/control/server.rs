//! The server of the control socket. The size, the number and the time of its answers are limited, so that clients do not
//! delay renewals.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use stapled_core::io::own_socket::OwnSocket;
use stapled_core::overview;
use stapled_core::overview::listing::Listing;
use stapled_core::overview::responder::ResponderRow;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::known::Known;
use super::protocol::{MAX_QUESTION, Notice, Question};
use super::renewal::renew;
use super::reply::{Answer, blocking, in_time};
use crate::summary::Totals;

/// How many questions are answered at once; others wait to be accepted.
const ANSWERS: usize = 8;
/// How long a question may take to arrive.
const ASKING: Duration = Duration::from_secs(5);
/// How long a whole answer may take.
const WHOLE: Duration = Duration::from_secs(300);
/// How many responders are sent at once.
const PART: usize = 128;
/// The pause after a connection that could not be accepted, as when file descriptors run out.
const PAUSE: Duration = Duration::from_millis(200);

/// Answers until it is dropped.
pub(crate) async fn serve(socket: OwnSocket, known: Arc<Known>) -> io::Result<()> {
    let listener = UnixListener::from_std(socket.as_ref().try_clone()?)?;
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
    let asking = stream.peer_cred()?.uid();
    let may_change = asking == 0 || asking == geteuid().as_raw();
    let (reader, writer) = stream.into_split();
    let mut answer = Answer { writer, totals: overview::Totals::default() };
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(MAX_QUESTION));
    in_time(ASKING, reader.read_until(b'\n', &mut line)).await?;
    match serde_json::from_slice::<Question>(&line) {
        Ok(Question::Status { of }) => in_time(WHOLE, status(&mut answer, known, of)).await,
        Ok(Question::Responders {}) => in_time(WHOLE, responders(&mut answer, known)).await,
        Ok(Question::Renew { .. }) if !may_change => {
            let what =
                "members of the --control-group may ask for the state only; ask as the user of the daemon, or as root";
            answer.send(&Notice::Forbidden(what.to_owned())).await
        }
        Ok(Question::Renew { which, wait }) => {
            // A client that waits for CAs does not keep others from asking for the state.
            drop(slot);
            renew(&mut answer, known, &which, wait).await
        }
        Ok(Question::LogLevel { level: Some(5..) }) => answer.refuse("a level from 0 to 4 is needed").await,
        Ok(Question::LogLevel { level }) => {
            level.into_iter().for_each(|level| known.verbosity.set(level));
            answer.send(&Notice::LogLevel(known.verbosity.get())).await?;
            answer.send(&known.last(answer.totals.into())).await
        }
        Err(error) => answer.refuse(&format!("not a question: {error}")).await,
    }
}

async fn responders(answer: &mut Answer, known: &Known) -> io::Result<()> {
    let handle = known.current().0;
    // Away from the threads that renew: where there are many certificates, counting them takes long.
    let runtime = Handle::current();
    match blocking(move || runtime.block_on(handle.responders())).await? {
        Ok(statuses) => {
            for part in statuses.chunks(PART) {
                answer.send_each(part.iter().map(ResponderRow::of)).await?;
            }
            answer.send(&known.last(answer.totals.into())).await
        }
        Err(error) => answer.refuse(&error.to_string()).await,
    }
}

async fn status(answer: &mut Answer, known: &Known, of: Vec<String>) -> io::Result<()> {
    let inventory = known.current().0.inventory();
    let is_whole = of.is_empty();
    let names = move || Listing::of(inventory, (!of.is_empty()).then_some(&of));
    for rows in blocking(names).await? {
        answer.send_rows(&rows).await?;
    }
    let totals = if is_whole { Totals::of_all(answer.totals) } else { answer.totals.into() };
    answer.send(&known.last(totals)).await
}
