//! One connection that all tasks of a process share, and that comes back by itself.

#[cfg(feature = "cluster")]
mod cluster;
mod line;
mod sentinel;
mod server;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::address::RedisAddress;
use line::Line;
pub(crate) use server::Deadlines;

/// How often a command is sent that servers refuse because another server is the primary by now.
const SENDS: usize = 3;

/// A connection to Redis. Clones share it: they send commands at the same time, and wait for the same attempt to connect.
///
/// The connection is made by the first command that needs it: the first of all, and the first after a failure. A command on a
/// connection that fails is an error, and never sent again: the server may have carried it out. Only a command that a server
/// refused, because another server is the primary, is sent again.
///
/// A command takes at most the two deadlines together. If its future is dropped, the server may still carry it out.
#[derive(Clone)]
pub(crate) struct Link(Arc<Shared>);

struct Shared {
    address: RedisAddress,
    deadlines: Deadlines,
    /// The attempt whose connection is in use, or which connects. `None`: the next command makes one.
    attempt: Mutex<Option<Attempt>>,
}

/// An attempt to connect. `None`: it has not ended.
type Attempt = watch::Receiver<Option<RedisResult<Line>>>;

/// The state of a connection, as the reply to a command shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    /// The server did not carry out the command, because it is not the primary.
    Refused,
    /// The node of a Cluster did not carry out the command, because another one has the key.
    Moved,
    /// The connection is not usable any more.
    Broken,
}

impl Link {
    /// A link that connects when it is used first. It needs no runtime until then.
    pub(crate) fn lazy(address: &RedisAddress, deadlines: Deadlines) -> Self {
        Link(Arc::new(Shared { address: address.clone(), deadlines, attempt: Mutex::new(None) }))
    }

    /// A link that is connected.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect).
    pub(crate) async fn open(address: &RedisAddress, deadlines: Deadlines) -> RedisResult<Self> {
        let link = Link::lazy(address, deadlines);
        link.connect().await?;
        Ok(link)
    }

    /// A link to the same Redis with a connection of its own, which is not made yet. For commands that wait on the server,
    /// such as `BLPOP`: on a shared connection, they delay all others. They may take as long as `command`.
    pub(crate) fn own(&self, command: Duration) -> Self {
        Link::lazy(&self.0.address, Deadlines { command, ..self.0.deadlines })
    }

    /// Connects, unless there is a connection.
    ///
    /// # Errors
    ///
    /// No server can be reached in time, or it refuses the login. The error names the address, without its user and password.
    pub(crate) async fn connect(&self) -> RedisResult<()> {
        self.0.line().await.map(drop)
    }

    async fn send<'a, T>(
        &self,
        send: impl Fn(Line) -> RedisFuture<'a, T> + Send,
        outcome: impl Fn(&RedisResult<T>) -> Outcome + Send,
    ) -> RedisResult<T> {
        let mut sends = 1;
        loop {
            let (attempt, line) = self.0.line().await?;
            let follows = line.follows();
            let result = send(line).await;
            let (is_useless, is_again) = match (outcome(&result), follows) {
                (Outcome::Answered, _) | (Outcome::Moved, false) => (false, false),
                (Outcome::Broken, _) => (true, false),
                (Outcome::Refused, false) => (true, true),
                (Outcome::Refused | Outcome::Moved, true) => (false, true),
            };
            if is_useless {
                self.0.forget(&attempt);
            }
            if !is_again || sends == SENDS {
                return result;
            }
            sends += 1;
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let send = move |mut line: Line| -> RedisFuture<'a, Value> {
            Box::pin(async move { line.req_packed_command(cmd).await })
        };
        let outcome = |result: &RedisResult<Value>| match result {
            Ok(value) => outcome_of(value),
            Err(error) => outcome_of_error(error),
        };
        Box::pin(self.send(send, outcome))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let send = move |mut line: Line| -> RedisFuture<'a, Vec<Value>> {
            Box::pin(async move { line.req_packed_commands(pipeline, offset, count).await })
        };
        let outcome = |result: &RedisResult<Vec<Value>>| match result {
            // A pipeline of which a part was carried out must not be sent again.
            Ok(values) if values.iter().any(|value| outcome_of(value) == Outcome::Answered) => Outcome::Answered,
            Ok(values) => values.first().map_or(Outcome::Answered, outcome_of),
            Err(error) => outcome_of_error(error),
        };
        Box::pin(self.send(send, outcome))
    }

    fn get_db(&self) -> i64 {
        self.0.address.database
    }
}

impl Shared {
    /// The connection, and the attempt that made it.
    async fn line(&self) -> RedisResult<(Attempt, Line)> {
        let Ok(runtime) = Handle::try_current() else {
            return Err((ErrorKind::Client, "a connection to Redis needs a runtime of tokio").into());
        };
        let mut attempt = self.current(&runtime);
        let ended = match attempt.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone(),
            Err(_) => None,
        };
        match ended {
            Some(Ok(line)) => Ok((attempt, line)),
            Some(Err(error)) => {
                self.forget(&attempt);
                Err(error)
            }
            None => {
                self.forget(&attempt);
                Err((ErrorKind::Io, "the runtime that connected has ended").into())
            }
        }
    }

    /// The attempt of now. It runs in a task, so that it goes on if the command that started it is dropped.
    fn current(&self, runtime: &Handle) -> Attempt {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let (sender, receiver) = watch::channel(None);
            let (address, deadlines) = (self.address.clone(), self.deadlines);
            runtime.spawn(async move { sender.send_replace(Some(Line::open(&address, deadlines).await)) });
            receiver
        };
        attempt.get_or_insert_with(start).clone()
    }

    /// Makes the next command connect again, unless another one did so already.
    fn forget(&self, attempt: &Attempt) {
        let mut current = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.same_channel(attempt)) {
            *current = None;
        }
    }
}

fn outcome_of(value: &Value) -> Outcome {
    match value {
        Value::ServerError(error) => outcome_of_error(&error.clone().into()),
        _ => Outcome::Answered,
    }
}

fn outcome_of_error(error: &RedisError) -> Outcome {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => Outcome::Refused,
        ErrorKind::Server(ServerErrorKind::Moved) => Outcome::Moved,
        // Redis 6.2 reports the refusal of a script's command this way.
        ErrorKind::Server(ServerErrorKind::ResponseError)
            if error.detail().is_some_and(|text| text.contains("-READONLY ")) =>
        {
            Outcome::Refused
        }
        ErrorKind::Io | ErrorKind::Parse => Outcome::Broken,
        _ if error.is_unrecoverable_error() => Outcome::Broken,
        _ => Outcome::Answered,
    }
}
