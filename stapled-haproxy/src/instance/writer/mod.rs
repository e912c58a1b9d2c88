//! The task of a channel: it takes jobs and does them over one kept connection. `push`, `first` and `ask` do the jobs of
//! their kinds.

mod ask;
mod first;
mod push;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::command::Command;
use crate::cli::connection::Connection;
use crate::cli::error::Error;
use crate::cli::process::Process;
use crate::cli::reply::response::{ShownResponse, shown_bytes, shown_text};
use crate::instance::deadline::Deadline;
use crate::instance::first_staple::{FirstDelivery, LoadedNames};
use crate::instance::jobs::{Answer, Job, Push, Said};
use crate::instance::lock::lock;
use crate::instance::state::ChannelState;
use crate::instance::transaction::Unfinished;
use crate::instance::worker_socket::WorkerSocket;

/// The number of commands that are sent at once.
pub(crate) const BATCH: usize = 64;
/// The age after which a connection is asked whether its process is about to end.
const LOOK_AGE: Duration = Duration::from_secs(1);
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
}

/// Reads the reply to [`Command::show_response`].
pub(crate) fn shown(reply: &str, process: &Process) -> ShownResponse {
    match process.shows_bytes() {
        true => shown_bytes(reply),
        false => shown_text(reply),
    }
}
