//! The one writer of a HAProxy process: every command of this program goes through it, one batch after the other.
//!
//! Sinks of one socket share a writer, and writers whose sockets lead to one process take turns: HAProxy expects that
//! its certificates are changed from one side at a time. The writer is a task that starts with the first command and
//! ends when its idle connection does.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use stapled_core::clock::Clock;
use stapled_core::reason::ReasonCode;
use stapled_core::sink::SinkError;
use stapled_core::time::Timestamp;
use tokio::sync::{Notify, oneshot, watch};

use crate::address::Address;
use crate::codes;
use crate::command::Command;
use crate::connection::{Broken, Connection, Patience};
use crate::fault;
use crate::introduce::{Desk, Fault, Introducer, Introduction};
use crate::process::Process;
use crate::reply::{self, PushReply};

/// How many responses are on their way at once.
pub(crate) const BATCH: usize = 64;
/// A connection that was looked at longer ago is asked whether its process is about to end.
const LOOK_AGE: Duration = Duration::from_secs(1);
/// When so many replies did not come, the rest is not tried.
const MAX_TIMEOUTS: usize = 2;

type Answer<T> = oneshot::Sender<Result<T, SinkError>>;

/// Writes to one socket.
pub(crate) struct Writer {
    address: Address,
    patience: Patience,
    queue: Mutex<Queue>,
    wake: Notify,
    /// What the writer's task left behind, and of which process.
    desk: Mutex<(Desk, Option<Process>)>,
    process: watch::Sender<Option<Process>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    is_running: bool,
}

enum Job {
    Push(Push),
    Introduce { what: Introduction, latest: Latest, answer: Answer<Process> },
    List { answer: Answer<HashSet<Vec<u8>>> },
}

/// One response on its way.
struct Push {
    command: Command,
    latest: Latest,
    answer: Answer<(PushReply, Process)>,
}

/// Until when a response may be sent: later it would do harm.
#[derive(Clone)]
pub(crate) struct Latest {
    pub(crate) at: Timestamp,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Latest {
    fn check(&self, address: &Address) -> Result<(), SinkError> {
        if self.clock.now() < self.at {
            return Ok(());
        }
        Err(SinkError::Unfit {
            code: ReasonCode::new("expires_too_soon"),
            what: format!("{address}: the response waited too long; HAProxy would not serve it any more"),
        })
    }
}

impl Writer {
    /// The writer of this socket. Of several callers at one time, the first decides on the times.
    pub(crate) fn of(address: &Address, patience: Patience) -> Arc<Writer> {
        static WRITERS: OnceLock<Mutex<HashMap<Address, Weak<Writer>>>> = OnceLock::new();
        let mut writers = lock(WRITERS.get_or_init(Mutex::default));
        writers.retain(|_, writer| writer.strong_count() > 0);
        let key = address.resolved();
        if let Some(writer) = writers.get(&key).and_then(Weak::upgrade) {
            return writer;
        }
        let writer = Arc::new(Writer {
            address: address.clone(),
            patience,
            queue: Mutex::default(),
            wake: Notify::new(),
            desk: Mutex::default(),
            process: watch::Sender::new(None),
        });
        writers.insert(key, Arc::downgrade(&writer));
        writer
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The process that answered last, and whenever another one does.
    pub(crate) fn processes(&self) -> watch::Receiver<Option<Process>> {
        self.process.subscribe()
    }

    /// Sends a response; returns what HAProxy, which process, said.
    pub(crate) async fn push(
        self: &Arc<Self>,
        command: Command,
        latest: Latest,
    ) -> Result<(PushReply, Process), SinkError> {
        self.submit(|answer| Job::Push(Push { command, latest, answer })).await
    }

    /// Brings a first staple to a certificate; returns to which process.
    pub(crate) async fn introduce(self: &Arc<Self>, what: Introduction, latest: Latest) -> Result<Process, SinkError> {
        self.submit(|answer| Job::Introduce { what, latest, answer }).await
    }

    /// The CertIDs, in DER, for which HAProxy takes responses.
    pub(crate) async fn list(self: &Arc<Self>) -> Result<HashSet<Vec<u8>>, SinkError> {
        self.submit(|answer| Job::List { answer }).await
    }

    /// Asks who is there, on a new connection: one that is kept leads to the process that accepted it, even after a
    /// reload.
    pub(crate) async fn look(&self) -> Result<(), SinkError> {
        let connection = Connection::open(&self.address, self.patience).await?;
        if !connection.process().is_stopping {
            self.saw(connection.process());
        }
        Ok(())
    }

    fn saw(&self, process: &Process) {
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
                tokio::spawn(Shift { writer: Arc::clone(self), is_over: false }.work());
            }
        }
        self.wake.notify_one();
        answered.await.unwrap_or_else(|_| {
            Err(fault::unreachable(
                codes::WRITER_STOPPED,
                &self.address,
                "is not written to any more: the program ends",
            ))
        })
    }
}

/// The writer's task.
struct Shift {
    writer: Arc<Writer>,
    /// Whether it ended by itself; then the next one may have started already.
    is_over: bool,
}

impl Drop for Shift {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // Ended from outside: whoever waits is told, and the next one starts again.
        let mut queue = lock(&self.writer.queue);
        queue.is_running = false;
        queue.jobs.clear();
    }
}

/// What is kept between batches.
struct Kept {
    connection: Option<Connection>,
    desk: Desk,
    desk_of: Option<Process>,
}

impl Shift {
    async fn work(mut self) {
        let (desk, desk_of) = std::mem::take(&mut *lock(&self.writer.desk));
        let mut kept = Kept { connection: None, desk, desk_of };
        loop {
            match self.take() {
                Work::Pushes(pushes) => self.push(&mut kept, pushes).await,
                Work::Introduce { what, latest, answer } => {
                    let result = self.introduce(&mut kept, &what, &latest).await;
                    let _ = answer.send(result);
                }
                Work::List { answer } => {
                    let result = self.list(&mut kept).await;
                    let _ = answer.send(result);
                }
                Work::Nothing => {
                    let idle = tokio::time::timeout(self.writer.patience.keepalive, self.writer.wake.notified());
                    if idle.await.is_err() && self.end(&mut kept) {
                        return;
                    }
                    self.drop_outdated(&mut kept);
                }
            }
        }
    }

    fn take(&self) -> Work {
        let mut queue = lock(&self.writer.queue);
        let mut pushes = VecDeque::new();
        while pushes.len() < BATCH {
            match queue.jobs.pop_front() {
                // Whoever gave up does not need it any more.
                Some(Job::Push(push)) if push.answer.is_closed() => {}
                Some(Job::Push(push)) => pushes.push_back(push),
                Some(other) if !pushes.is_empty() => {
                    queue.jobs.push_front(other);
                    break;
                }
                Some(Job::Introduce { what, latest, answer }) => return Work::Introduce { what, latest, answer },
                Some(Job::List { answer }) => return Work::List { answer },
                None => break,
            }
        }
        if pushes.is_empty() { Work::Nothing } else { Work::Pushes(pushes) }
    }

    /// Ends, unless there is something to do.
    fn end(&mut self, kept: &mut Kept) -> bool {
        let mut queue = lock(&self.writer.queue);
        self.is_over = queue.jobs.is_empty();
        if self.is_over {
            // What is unfinished is the next one's.
            *lock(&self.writer.desk) = (std::mem::take(&mut kept.desk).without_list(), kept.desk_of.take());
            queue.is_running = false;
        }
        self.is_over
    }

    /// A connection to a process that is not the one that answers now leads nowhere.
    fn drop_outdated(&self, kept: &mut Kept) {
        let current = self.writer.process.borrow();
        if let (Some(connection), Some(current)) = (&kept.connection, &*current)
            && !connection.process().is_same(current)
        {
            kept.connection = None;
        }
    }

    /// A connection to the process that answers now.
    async fn connection<'a>(&self, kept: &'a mut Kept) -> Result<&'a mut Connection, SinkError> {
        self.drop_outdated(kept);
        if let Some(connection) = &mut kept.connection {
            let is_bad = connection.is_disturbed().await
                || (connection.since_look() > LOOK_AGE
                    && connection.look().await.map_or(true, |process| process.is_stopping));
            if is_bad {
                kept.connection = None;
            }
        }
        let connection = match kept.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = Connection::open(&self.writer.address, self.writer.patience).await?;
                self.writer.saw(connection.process());
                connection
            }
        };
        if kept.desk_of.as_ref().is_none_or(|process| !process.is_same(connection.process())) {
            kept.desk = Desk::default();
            kept.desk_of = Some(connection.process().clone());
        }
        Ok(kept.connection.insert(connection))
    }

    async fn push(&self, kept: &mut Kept, mut pushes: VecDeque<Push>) {
        let address = &self.writer.address;
        let mut at_once = BATCH;
        let mut timeouts = 0;
        while !pushes.is_empty() {
            let connection = match self.connection(kept).await {
                Ok(connection) => connection,
                Err(error) => return fail(pushes, &error),
            };
            let turn = turn_of(connection.process());
            let _turn = turn.lock().await;
            pushes = pushes.into_iter().filter_map(|push| push.still_fit(address)).collect();
            let process = connection.process().clone();
            let was_fresh = connection.is_fresh();
            let commands: Vec<Command> = pushes.iter().take(at_once).map(|push| push.command.clone()).collect();
            if commands.is_empty() {
                return;
            }
            let result = connection
                .ask_all(&commands, |said| {
                    if let Some(push) = pushes.pop_front() {
                        let _ = push.answer.send(Ok((reply::push(&said), process.clone())));
                    }
                })
                .await;
            let Err(broken) = result else { continue };
            kept.connection = None;
            // One of the rest may be what broke it: they go alone from here on.
            let was_alone = at_once == 1 || commands.len() == 1;
            at_once = 1;
            match broken {
                // A kept connection may end at any time, and a batch may end at any of its commands. To send the
                // same response twice is harmless.
                Broken::Closed if !was_fresh || !was_alone => {}
                broken => {
                    let error = broken.at(address);
                    if let Some(push) = pushes.pop_front() {
                        let _ = push.answer.send(Err(error.clone()));
                    }
                    timeouts += usize::from(matches!(broken, Broken::TimedOut(_)));
                    if timeouts >= MAX_TIMEOUTS {
                        return fail(pushes, &error);
                    }
                }
            }
        }
    }

    async fn introduce(&self, kept: &mut Kept, what: &Introduction, latest: &Latest) -> Result<Process, SinkError> {
        let broken = match self.try_introduce(kept, what, latest).await? {
            Ok(process) => return Ok(process),
            // A kept connection may end at any time.
            Err((Broken::Closed, false)) => match self.try_introduce(kept, what, latest).await? {
                Ok(process) => return Ok(process),
                Err((broken, _)) => broken,
            },
            Err((broken, _)) => broken,
        };
        Err(broken.at(&self.writer.address))
    }

    /// Tries once; a broken connection is told with whether it was a fresh one.
    async fn try_introduce(
        &self,
        kept: &mut Kept,
        what: &Introduction,
        latest: &Latest,
    ) -> Result<Result<Process, (Broken, bool)>, SinkError> {
        let address = &self.writer.address;
        latest.check(address)?;
        self.connection(kept).await?;
        let Kept { connection: Some(connection), desk, .. } = kept else { return Ok(Err((Broken::Closed, true))) };
        let turn = turn_of(connection.process());
        let _turn = turn.lock().await;
        let was_fresh = connection.is_fresh();
        let process = connection.process().clone();
        match (Introducer { address, connection, desk }).introduce(what).await {
            Ok(()) => Ok(Ok(process)),
            Err(Fault::Refused(error)) => Err(error),
            Err(Fault::Broken(broken)) => {
                kept.connection = None;
                self.tidy(kept).await;
                Ok(Err((broken, was_fresh)))
            }
        }
    }

    /// Ends a transaction of ours that a broken connection has left open, so that nobody has to wait for it. Where that
    /// does not succeed, it is the first thing that the next introduction does.
    async fn tidy(&self, kept: &mut Kept) {
        if !kept.desk.is_unfinished() || self.connection(kept).await.is_err() {
            return;
        }
        let Kept { connection: Some(connection), desk, .. } = kept else { return };
        let mut introducer = Introducer { address: &self.writer.address, connection, desk };
        if introducer.finish().await.is_err() {
            kept.connection = None;
        }
    }

    async fn list(&self, kept: &mut Kept) -> Result<HashSet<Vec<u8>>, SinkError> {
        loop {
            let connection = self.connection(kept).await?;
            let was_fresh = connection.is_fresh();
            let mut cert_ids = HashSet::new();
            let listed = connection
                .ask_lines(&Command::show_ocsp_responses(), |line| cert_ids.extend(reply::listed_cert_id(line)))
                .await;
            match listed {
                Ok(()) => return Ok(cert_ids),
                Err(broken) => {
                    kept.connection = None;
                    if was_fresh || broken != Broken::Closed {
                        return Err(broken.at(&self.writer.address));
                    }
                }
            }
        }
    }
}

enum Work {
    Pushes(VecDeque<Push>),
    Introduce { what: Introduction, latest: Latest, answer: Answer<Process> },
    List { answer: Answer<HashSet<Vec<u8>>> },
    Nothing,
}

impl Push {
    /// Itself, unless it waited too long; then whoever waits for it is told.
    fn still_fit(self, address: &Address) -> Option<Push> {
        match self.latest.check(address) {
            Ok(()) => Some(self),
            Err(error) => {
                let _ = self.answer.send(Err(error));
                None
            }
        }
    }
}

fn fail(pushes: VecDeque<Push>, error: &SinkError) {
    for push in pushes {
        let _ = push.answer.send(Err(error.clone()));
    }
}

/// Whose turn it is to write to a process that several sockets lead to.
fn turn_of(process: &Process) -> Arc<tokio::sync::Mutex<()>> {
    type Turns = HashMap<(String, u64, Option<u64>), Weak<tokio::sync::Mutex<()>>>;
    static TURNS: OnceLock<Mutex<Turns>> = OnceLock::new();
    let mut turns = lock(TURNS.get_or_init(Mutex::default));
    let key = process.key();
    if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
        return turn;
    }
    turns.retain(|_, turn| turn.strong_count() > 0);
    let turn = Arc::new(tokio::sync::Mutex::default());
    turns.insert(key, Arc::downgrade(&turn));
    turn
}

/// What is behind these locks is whole at every moment, so a panic elsewhere does not spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
