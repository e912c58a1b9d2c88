//! The task of a channel: it takes jobs and does them over one kept connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::command::Command;
use crate::cli::connection::Connection;
use crate::cli::error::Error;
use crate::cli::process::Process;
use crate::cli::reply::response::{ShownResponse, push, shown_bytes, shown_text};
use crate::instance::deadline::Deadline;
use crate::instance::first_staple::{FirstDeliverer, FirstDelivery, LoadedNames};
use crate::instance::jobs::{Answer, Job, Push, Pushed, Said, fail};
use crate::instance::lock::lock;
use crate::instance::state::ChannelState;
use crate::instance::transaction::{Transactor, Unfinished};
use crate::instance::turns::turn_of;
use crate::instance::worker_socket::WorkerSocket;

/// The number of commands that are sent at once.
pub(crate) const BATCH: usize = 64;
/// The number of responses that are shown at once even if that costs HAProxy as much as the responses.
const FEW: usize = 8;
/// The age after which a connection is asked whether its process is about to end.
const LOOK_AGE: Duration = Duration::from_secs(1);
/// The number of timeouts after which the remaining responses of a batch are not tried.
const MAX_TIMEOUTS: usize = 2;
/// The largest number of lines that are read of a list.
const MAX_LISTED: usize = 5_000_000;

/// The task of a channel.
pub(crate) struct Writer {
    state: Arc<ChannelState>,
    /// Whether it ended by itself; then the next task may have started already.
    is_over: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // The task was aborted: the callers get an error, and the next job starts another task.
        let mut queue = lock(&self.state.queue);
        queue.is_running = false;
        queue.jobs.clear();
    }
}

/// The state between two jobs.
struct Kept {
    connection: Option<Connection>,
    worker_socket: WorkerSocket,
    unfinished: Unfinished,
    /// The process that `unfinished` is about.
    unfinished_of: Option<Process>,
}

/// The next piece of work.
enum Work {
    Pushes(VecDeque<Push>),
    First { first: Box<FirstDelivery>, deadline: Deadline, answer: Answer<(LoadedNames, Process)> },
    Ask { commands: Vec<Command>, answer: Answer<Said> },
    List { command: Command, answer: Answer<Said> },
    Nothing,
}

/// A first delivery whose connection broke.
struct BrokenDelivery {
    error: Error,
    /// Whether the connection was new.
    was_fresh: bool,
}

impl Writer {
    pub(crate) fn of(state: Arc<ChannelState>) -> Self {
        Writer { state, is_over: false }
    }

    /// Does jobs until the connection has been idle for its keep-alive time.
    pub(crate) async fn work(mut self) {
        let (unfinished, unfinished_of) = std::mem::take(&mut *lock(&self.state.unfinished));
        let worker_socket = WorkerSocket::default();
        let mut kept = Kept { connection: None, worker_socket, unfinished, unfinished_of };
        loop {
            match self.take() {
                Work::Pushes(pushes) => self.push(&mut kept, pushes).await,
                Work::First { first, deadline, answer } => {
                    let result = self.deliver_first(&mut kept, &first, &deadline).await;
                    let _ = answer.send(result);
                }
                Work::Ask { commands, answer } => {
                    let result = self.ask(&mut kept, &commands).await;
                    let _ = answer.send(result);
                }
                Work::List { command, answer } => {
                    let result = self.list(&mut kept, &command).await;
                    let _ = answer.send(result);
                }
                Work::Nothing => {
                    let idle = tokio::time::timeout(self.state.timeouts.keepalive, self.state.wake.notified());
                    if idle.await.is_err() && self.end(&mut kept) {
                        return;
                    }
                    self.drop_outdated(&mut kept);
                }
            }
        }
    }

    fn take(&self) -> Work {
        let mut queue = lock(&self.state.queue);
        let mut pushes = VecDeque::new();
        while pushes.len() < BATCH {
            match queue.jobs.pop_front() {
                // The caller has given up.
                Some(Job::Push(push)) if push.answer.is_closed() => {}
                Some(Job::Push(push)) => pushes.push_back(push),
                Some(other) if !pushes.is_empty() => {
                    queue.jobs.push_front(other);
                    break;
                }
                Some(Job::First { first, deadline, answer }) => return Work::First { first, deadline, answer },
                Some(Job::Ask { answer, .. }) if answer.is_closed() => {}
                Some(Job::Ask { commands, answer }) => return Work::Ask { commands, answer },
                Some(Job::List { answer, .. }) if answer.is_closed() => {}
                Some(Job::List { command, answer }) => return Work::List { command, answer },
                None => break,
            }
        }
        if pushes.is_empty() { Work::Nothing } else { Work::Pushes(pushes) }
    }

    /// Ends the task, unless there is a job. Returns whether it has ended.
    fn end(&mut self, kept: &mut Kept) -> bool {
        let mut queue = lock(&self.state.queue);
        self.is_over = queue.jobs.is_empty();
        if self.is_over {
            // The next task finishes the open transaction.
            *lock(&self.state.unfinished) = (std::mem::take(&mut kept.unfinished), kept.unfinished_of.take());
            queue.is_running = false;
        }
        self.is_over
    }

    /// Drops a connection to a process that has been replaced.
    fn drop_outdated(&self, kept: &mut Kept) {
        let current = self.state.process.borrow();
        if let (Some(connection), Some(current)) = (&kept.connection, &*current)
            && !connection.process().is_same(current)
        {
            kept.connection = None;
        }
    }

    /// A connection to the current process.
    async fn connection<'a>(&self, kept: &'a mut Kept) -> Result<&'a mut Connection, Error> {
        self.drop_outdated(kept);
        if let Some(connection) = &mut kept.connection {
            let is_bad = connection.is_disturbed().await
                || (connection.since_look() > LOOK_AGE
                    && connection.look().await.map_or(true, |process| !self.state.is_current(process)));
            if is_bad {
                kept.connection = None;
            }
        }
        let connection = match kept.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = Connection::open(&self.state.route, self.state.timeouts).await?;
                self.state.saw(connection.process());
                connection
            }
        };
        if kept.unfinished_of.as_ref().is_none_or(|process| !process.is_same(connection.process())) {
            kept.unfinished = Unfinished::default();
            kept.unfinished_of = Some(connection.process().clone());
        }
        Ok(kept.connection.insert(connection))
    }

    async fn push(&self, kept: &mut Kept, mut pushes: VecDeque<Push>) {
        let mut at_once = BATCH;
        let mut timeouts = 0;
        while !pushes.is_empty() {
            let connection = match self.connection(kept).await {
                Ok(connection) => connection,
                Err(error) => return fail(pushes, &error),
            };
            let turn = turn_of(connection.process());
            let _turn = turn.lock().await;
            pushes = pushes.into_iter().filter_map(Push::still_fit).collect();
            if pushes.is_empty() {
                return;
            }
            let was_fresh = connection.is_fresh();
            let was_alone = at_once == 1 || pushes.len() == 1;
            let Err(error) = push_batch(connection, &mut pushes, at_once).await else { continue };
            kept.connection = None;
            // One of the remaining responses may have broken the connection: each is sent alone from here on.
            at_once = 1;
            // A kept connection may end at any time, and a batch at any of its commands. To send the same response twice
            // is harmless.
            if error == Error::Closed && !(was_fresh && was_alone) {
                continue;
            }
            timeouts += usize::from(matches!(error, Error::ReplyTimeout(_)));
            if let Some(push) = pushes.pop_front() {
                let _ = push.answer.send(Err(error.clone()));
            }
            if timeouts >= MAX_TIMEOUTS {
                return fail(pushes, &error);
            }
        }
    }

    async fn deliver_first(
        &self,
        kept: &mut Kept,
        first: &FirstDelivery,
        deadline: &Deadline,
    ) -> Result<(LoadedNames, Process), Error> {
        match self.try_deliver_first(kept, first, deadline).await? {
            Ok(delivered) => Ok(delivered),
            // A kept connection may end at any time.
            Err(BrokenDelivery { error: Error::Closed, was_fresh: false }) => {
                self.try_deliver_first(kept, first, deadline).await?.map_err(|broken| broken.error)
            }
            Err(broken) => Err(broken.error),
        }
    }

    async fn try_deliver_first(
        &self,
        kept: &mut Kept,
        first: &FirstDelivery,
        deadline: &Deadline,
    ) -> Result<Result<(LoadedNames, Process), BrokenDelivery>, Error> {
        deadline.check()?;
        self.connection(kept).await?;
        let Kept { connection: Some(connection), worker_socket, unfinished, .. } = kept else {
            return Ok(Err(BrokenDelivery { error: Error::Closed, was_fresh: true }));
        };
        let turn = turn_of(connection.process());
        let _turn = turn.lock().await;
        let process = connection.process().clone();
        let own = match self.state.route.worker.is_some() && process.mixes_transactions() {
            true => worker_socket.around(connection, self.state.timeouts).await,
            false => None,
        };
        let connection = own.unwrap_or(connection);
        let was_fresh = connection.is_fresh();
        let transactor = Transactor { connection, unfinished };
        match (FirstDeliverer { route: &self.state.route, transactor }).deliver(first).await {
            Ok(delivered) => Ok(Ok((delivered, process))),
            Err(error) if error.breaks_connection() => {
                kept.worker_socket.close();
                kept.connection = None;
                self.abort_unfinished(kept).await;
                Ok(Err(BrokenDelivery { error, was_fresh }))
            }
            Err(error) => Err(error),
        }
    }

    /// Aborts a transaction that a broken connection has left open, so that other clients need not wait for it. If that
    /// fails, the next first delivery aborts it.
    async fn abort_unfinished(&self, kept: &mut Kept) {
        if !kept.unfinished.is_some() || self.connection(kept).await.is_err() {
            return;
        }
        let Kept { connection: Some(connection), unfinished, .. } = kept else { return };
        let mut transactor = Transactor { connection, unfinished };
        if transactor.finish().await.is_err() {
            kept.connection = None;
        }
    }

    async fn ask(&self, kept: &mut Kept, commands: &[Command]) -> Result<Said, Error> {
        loop {
            let connection = self.connection(kept).await?;
            let was_fresh = connection.is_fresh();
            let process = connection.process().clone();
            let mut replies = Vec::with_capacity(commands.len());
            match connection.ask_all(commands, |reply| replies.push(reply)).await {
                Ok(()) => return Ok((replies, process)),
                Err(error) => reconnect(kept, was_fresh, error)?,
            }
        }
    }

    async fn list(&self, kept: &mut Kept, command: &Command) -> Result<Said, Error> {
        loop {
            let connection = self.connection(kept).await?;
            let was_fresh = connection.is_fresh();
            let process = connection.process().clone();
            let mut lines = Vec::new();
            let take = |line: &str| {
                if lines.len() < MAX_LISTED {
                    lines.push(line.to_owned());
                }
            };
            match connection.ask_lines(command, take).await {
                Ok(()) => return Ok((lines, process)),
                Err(error) => reconnect(kept, was_fresh, error)?,
            }
        }
    }
}

/// Sends at most `at_once` responses, and takes those off the queue that HAProxy answered.
async fn push_batch(connection: &mut Connection, pushes: &mut VecDeque<Push>, at_once: usize) -> Result<(), Error> {
    let process = connection.process().clone();
    // After each response HAProxy is asked which response it has now. As text the reply costs HAProxy as much as the
    // response: if many wait, they are compared a moment later (`losses`).
    let is_shown = process.shows_bytes() || pushes.len() <= FEW;
    let mut commands: Vec<Command> = Vec::with_capacity(2 * at_once);
    for push in pushes.iter().take(at_once) {
        commands.push(Command::set_ocsp_response(&push.payload));
        commands.extend(is_shown.then(|| Command::show_response(&push.payload.cert_id(), &process)));
    }
    let mut pushed = None;
    let mut answer = |said, shown| {
        if let Some(push) = pushes.pop_front() {
            let _ = push.answer.send(Ok(Pushed { said, shown, process: process.clone() }));
        }
    };
    let on_reply = |text: String| match pushed.take() {
        None if is_shown => pushed = Some(push(&text)),
        None => answer(push(&text), None),
        Some(said) => answer(said, Some(shown(&text, &process))),
    };
    connection.ask_all(&commands, on_reply).await
}

/// Drops the connection. A kept connection may end at any time: then the caller asks again on a new one.
fn reconnect(kept: &mut Kept, was_fresh: bool, error: Error) -> Result<(), Error> {
    kept.connection = None;
    match error {
        Error::Closed if !was_fresh => Ok(()),
        error => Err(error),
    }
}

/// Reads the reply to [`Command::show_response`].
pub(crate) fn shown(reply: &str, process: &Process) -> ShownResponse {
    match process.shows_bytes() {
        true => shown_bytes(reply),
        false => shown_text(reply),
    }
}
