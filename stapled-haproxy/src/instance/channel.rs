//! The one writer of a HAProxy process: every command of this program goes through it, one batch after the other.
//!
//! Sinks and sources of one socket share a writer, and writers whose sockets lead to one process take turns: HAProxy
//! expects that its certificates are changed from one side at a time. The writer's work is done by a task (`shift`) that
//! starts with the first command and ends when its idle connection does.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use stapled_core::clock::Clock;
use stapled_core::reason::ReasonCode;
use stapled_core::sink::SinkError;
use stapled_core::time::Timestamp;
use tokio::sync::{Notify, oneshot, watch};

use crate::cli::command::Command;
use crate::cli::connection::{Connection, Patience};
use crate::cli::process::Process;
use crate::cli::reply::{PushReply, Shown};
use crate::cli::route::Route;
use crate::codes;
use crate::fault;
use crate::instance::first_staple::{Introduced, Introduction};
use crate::instance::survey::Lookout;
use crate::instance::transaction::Desk;
use crate::instance::writer::Shift;

/// What may pass between our look at the clock and HAProxy's.
pub(crate) const SLACK: Duration = Duration::from_secs(5);

pub(crate) type Answer<T> = oneshot::Sender<Result<T, SinkError>>;

/// Writes to one process.
pub(crate) struct Writer {
    pub(crate) route: Route,
    pub(crate) patience: Patience,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) wake: Notify,
    /// What the writer's task left behind, and of which process.
    pub(crate) desk: Mutex<(Desk, Option<Process>)>,
    pub(crate) process: watch::Sender<Option<Process>>,
    pub(crate) lookout: Lookout,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) is_running: bool,
}

pub(crate) enum Job {
    Push(Push),
    Introduce { what: Introduction, latest: Latest, answer: Answer<(Introduced, Process)> },
    Ask { commands: Vec<Command>, answer: Answer<Said> },
    List { command: Command, answer: Answer<Said> },
}

/// What a process said: its replies, or the lines of its one reply.
pub(crate) type Said = (Vec<String>, Process);

/// One response on its way.
pub(crate) struct Push {
    pub(crate) response: Command,
    /// Of what it is about.
    pub(crate) cert_id: Bytes,
    pub(crate) latest: Latest,
    pub(crate) answer: Answer<Pushed>,
}

/// What became of a response.
pub(crate) struct Pushed {
    pub(crate) said: PushReply,
    /// What HAProxy has under the CertID afterwards, where that was asked at once.
    pub(crate) shown: Option<Shown>,
    pub(crate) process: Process,
}

/// Until when a response may be sent: later it would do harm.
#[derive(Clone)]
pub(crate) struct Latest {
    pub(crate) at: Timestamp,
    /// When a response was made that takes a staple out of service. It must not be sent at an earlier time: the clock was
    /// set back, so that the staple may be good, and HAProxy would serve that response instead.
    pub(crate) made: Option<Timestamp>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Latest {
    pub(crate) fn check(&self, route: &Route) -> Result<(), SinkError> {
        let now = self.clock.now();
        if self.made.is_some_and(|made| now + SLACK < made) {
            return Err(SinkError::NotYet {
                code: codes::CLOCK_SET_BACK,
                what: format!("{route}: the clock was set back while the withdrawal waited for its turn"),
            });
        }
        if now < self.at {
            return Ok(());
        }
        Err(SinkError::Unfit {
            code: ReasonCode::new("expires_too_soon"),
            what: format!("{route}: the response waited too long; HAProxy would not serve it any more"),
        })
    }
}

impl Writer {
    /// The writer of this process. Of several callers at one time, the first decides on the times.
    pub(crate) fn of(route: &Route, patience: Patience) -> Arc<Writer> {
        static WRITERS: OnceLock<Mutex<HashMap<Route, Weak<Writer>>>> = OnceLock::new();
        let mut writers = lock(WRITERS.get_or_init(Mutex::default));
        let key = route.resolved();
        if let Some(writer) = writers.get(&key).and_then(Weak::upgrade) {
            return writer;
        }
        writers.retain(|_, writer| writer.strong_count() > 0);
        let writer = Arc::new(Writer {
            route: route.clone(),
            patience,
            queue: Mutex::default(),
            wake: Notify::new(),
            desk: Mutex::default(),
            process: watch::Sender::new(None),
            lookout: Lookout::default(),
        });
        writers.insert(key, Arc::downgrade(&writer));
        writer
    }

    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// The process that answered last, and whenever another one does.
    pub(crate) fn processes(&self) -> watch::Receiver<Option<Process>> {
        self.process.subscribe()
    }

    /// Sends a response about the certificate of this CertID (DER); returns what HAProxy, which process, said and showed.
    pub(crate) async fn push(
        self: &Arc<Self>,
        response: Command,
        cert_id: Bytes,
        latest: Latest,
    ) -> Result<Pushed, SinkError> {
        self.submit(|answer| Job::Push(Push { response, cert_id, latest, answer })).await
    }

    /// Brings a first staple to a certificate; returns to which process.
    pub(crate) async fn introduce(
        self: &Arc<Self>,
        what: Introduction,
        latest: Latest,
    ) -> Result<(Introduced, Process), SinkError> {
        self.submit(|answer| Job::Introduce { what, latest, answer }).await
    }

    /// Asks; changes nothing. The replies come in the order of the commands.
    pub(crate) async fn ask(self: &Arc<Self>, commands: Vec<Command>) -> Result<Said, SinkError> {
        self.submit(|answer| Job::Ask { commands, answer }).await
    }

    /// Asks for a list; returns its lines.
    pub(crate) async fn list(self: &Arc<Self>, command: Command) -> Result<Said, SinkError> {
        self.submit(|answer| Job::List { command, answer }).await
    }

    /// Asks who is there, on a new connection: one that is kept leads to the process that accepted it, even after a
    /// reload.
    pub(crate) async fn look(&self) -> Result<(), SinkError> {
        let connection = Connection::open(&self.route, self.patience).await?;
        if self.is_current(connection.process()) {
            self.saw(connection.process());
        }
        Ok(())
    }

    /// Whether a process is the one to talk to. One that ends has a successor behind the same socket; a worker that was
    /// named by its number is the right one as long as it answers.
    pub(crate) fn is_current(&self, process: &Process) -> bool {
        self.route.worker.is_some() || !process.is_stopping
    }

    pub(crate) fn saw(&self, process: &Process) {
        let is_new = self.process.send_if_modified(|known| {
            let is_new = known.as_ref().is_none_or(|known| !known.is_same(process));
            *known = Some(process.clone());
            is_new
        });
        if is_new {
            self.wake.notify_one();
        }
    }

    async fn submit<T>(self: &Arc<Self>, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, SinkError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = lock(&self.queue);
            queue.jobs.push_back(job(answer));
            if !queue.is_running {
                queue.is_running = true;
                tokio::spawn(Shift::of(Arc::clone(self)).work());
            }
        }
        self.wake.notify_one();
        answered.await.unwrap_or_else(|_| {
            Err(fault::unreachable(codes::WRITER_STOPPED, &self.route, "is not written to any more: the program ends"))
        })
    }
}

/// What is behind these locks is whole at every moment, so a panic elsewhere does not spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
