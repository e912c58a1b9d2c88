//! The jobs of a channel: exchanges with one process that wait for their turn.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::cli::command::Command;
use crate::cli::error::Error;
use crate::cli::payload::Payload;
use crate::cli::process::Process;
use crate::cli::reply::response::{PushReply, ShownResponse};
use crate::instance::deadline::Deadline;
use crate::instance::first_staple::{FirstDelivery, LoadedNames};

/// Where the result of a job is sent.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Error>>;
/// Replies, in the order of their commands, or the lines of one reply; and the process that sent them.
pub(crate) type Said = (Vec<String>, Process);

/// The jobs that wait, and whether a task works on them.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) is_running: bool,
}

/// One job.
pub(crate) enum Job {
    /// Send a response.
    Push(Push),
    /// Deliver the first staple of a certificate.
    First { first: Box<FirstDelivery>, deadline: Deadline, answer: Answer<(LoadedNames, Process)> },
    /// Send commands that change nothing.
    Ask { commands: Vec<Command>, answer: Answer<Said> },
    /// Send a command whose reply is a list.
    List { command: Command, answer: Answer<Said> },
}

/// A response that waits to be sent.
pub(crate) struct Push {
    pub(crate) payload: Payload,
    pub(crate) deadline: Deadline,
    pub(crate) answer: Answer<Pushed>,
}

/// The result of a response that was sent.
pub(crate) struct Pushed {
    pub(crate) said: PushReply,
    /// The response that HAProxy shows for the CertID afterwards, if that was asked at once.
    pub(crate) shown: Option<ShownResponse>,
    pub(crate) process: Process,
}

impl Push {
    /// The push, unless it waited too long; then its caller gets the error.
    pub(crate) fn still_fit(self) -> Option<Push> {
        match self.deadline.check() {
            Ok(()) => Some(self),
            Err(error) => {
                let _ = self.answer.send(Err(error));
                None
            }
        }
    }
}

/// Fails all of these pushes with one error.
pub(crate) fn fail(pushes: VecDeque<Push>, error: &Error) {
    for push in pushes {
        let _ = push.answer.send(Err(error.clone()));
    }
}
