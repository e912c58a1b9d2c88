//! The server of the control socket. The size, the number and the time of its answers are limited, so that clients do not
//! delay renewals.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::protocol::{MAX_QUESTION, Notice, Question};
use super::renewal::renew;
use super::reply::{Answer, blocking, in_time};
use super::state::Control;
use crate::io::own_socket::OwnSocket;
use crate::overview::listing::Listing;
use crate::overview::responder::ResponderRow;
use crate::overview::{Totals, Verdict};

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

impl Control {
    /// Answers on this socket until it is dropped.
    ///
    /// # Errors
    ///
    /// The socket cannot be used.
    pub async fn serve(self, socket: OwnSocket) -> io::Result<()> {
        let listener = UnixListener::from_std(socket.as_ref().try_clone()?)?;
        let slots = Arc::new(Semaphore::new(ANSWERS));
        let mut answers = JoinSet::new();
        loop {
            // The semaphore is never closed.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let control = self.clone();
                    // A client that has gone needs no answer.
                    answers.spawn(async move { drop(converse(stream, &control, slot).await) });
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
            while answers.try_join_next().is_some() {}
        }
    }
}

async fn converse(stream: UnixStream, control: &Control, slot: OwnedSemaphorePermit) -> io::Result<()> {
    let asking = stream.peer_cred()?.uid();
    let may_change = asking == 0 || asking == geteuid().as_raw();
    let (reader, writer) = stream.into_split();
    let mut answer = Answer { writer, totals: Totals::default() };
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(MAX_QUESTION));
    in_time(ASKING, reader.read_until(b'\n', &mut line)).await?;
    match serde_json::from_slice::<Question>(&line) {
        Ok(Question::Status { of }) => in_time(WHOLE, status(&mut answer, control, of)).await,
        Ok(Question::Responders {}) => in_time(WHOLE, responders(&mut answer, control)).await,
        Ok(Question::Renew { .. } | Question::LogLevel { level: Some(_) }) if !may_change => {
            let what = "members of its group may ask for the state only; ask as the user of the daemon, or as root";
            answer.send(&Notice::Forbidden(what.to_owned())).await
        }
        Ok(Question::Renew { which, wait }) => {
            // A client that waits for CAs does not keep others from asking for the state.
            drop(slot);
            renew(&mut answer, control, &which, wait).await
        }
        Ok(Question::LogLevel { level: Some(5..) }) => answer.refuse("a level from 0 to 4 is needed").await,
        Ok(Question::LogLevel { level }) => match control.level(level) {
            Some(level) => {
                answer.send(&Notice::LogLevel(level)).await?;
                answer.send(&control.last(answer.totals, Verdict::Fine)).await
            }
            None => answer.refuse("this program has no levels of its log").await,
        },
        Err(error) => answer.refuse(&format!("not a question: {error}")).await,
    }
}

async fn responders(answer: &mut Answer, control: &Control) -> io::Result<()> {
    let handle = control.handle();
    // Away from the threads that renew: where there are many certificates, counting them takes long.
    let runtime = Handle::current();
    match blocking(move || runtime.block_on(handle.responders())).await? {
        Ok(statuses) => {
            for part in statuses.chunks(PART) {
                answer.send_each(part.iter().map(ResponderRow::of)).await?;
            }
            answer.send(&control.last(answer.totals, Verdict::Fine)).await
        }
        Err(error) => answer.refuse(&error.to_string()).await,
    }
}

async fn status(answer: &mut Answer, control: &Control, of: Vec<String>) -> io::Result<()> {
    let inventory = control.handle().inventory();
    let is_whole = of.is_empty();
    let names = move || Listing::of(inventory, (!of.is_empty()).then_some(&of));
    for rows in blocking(names).await? {
        answer.send_rows(&rows).await?;
    }
    let totals = answer.totals;
    let verdict = if is_whole { totals.verdict_on_all() } else { totals.verdict };
    answer.send(&control.last(totals, verdict)).await
}
