//! The writer's task: takes jobs, and does them over one kept connection.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use stapled_core::sink::SinkError;

use crate::cli::command::Command;
use crate::cli::connection::{Broken, Connection};
use crate::cli::process::Process;
use crate::cli::reply::{self, Shown};
use crate::cli::route::Route;
use crate::instance::channel::{Answer, Job, Latest, Push, Pushed, Said, Writer, lock};
use crate::instance::first_staple::{Introduced, Introducer, Introduction};
use crate::instance::transaction::{Changer, Desk, Fault};
use crate::instance::worker_socket::Bypass;

/// How many responses are on their way at once.
pub(crate) const BATCH: usize = 64;
/// So few are shown at once even where that costs as much as they do.
const FEW: usize = 8;
/// A connection that was looked at longer ago is asked whether its process is about to end.
const LOOK_AGE: Duration = Duration::from_secs(1);
/// When so many replies did not come, the rest is not tried.
const MAX_TIMEOUTS: usize = 2;
/// No list has more lines than this of certificates.
const MAX_LISTED: usize = 5_000_000;

/// The writer's task.
pub(crate) struct Shift {
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
    bypass: Bypass,
    desk: Desk,
    desk_of: Option<Process>,
}

impl Shift {
    pub(crate) fn of(writer: Arc<Writer>) -> Self {
        Shift { writer, is_over: false }
    }

    pub(crate) async fn work(mut self) {
        let (desk, desk_of) = std::mem::take(&mut *lock(&self.writer.desk));
        let mut kept = Kept { connection: None, bypass: Bypass::default(), desk, desk_of };
        loop {
            match self.take() {
                Work::Pushes(pushes) => self.push(&mut kept, pushes).await,
                Work::Introduce { what, latest, answer } => {
                    let result = self.introduce(&mut kept, &what, &latest).await;
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
                Some(Job::Ask { answer, .. }) if answer.is_closed() => {}
                Some(Job::Ask { commands, answer }) => return Work::Ask { commands, answer },
                Some(Job::List { answer, .. }) if answer.is_closed() => {}
                Some(Job::List { command, answer }) => return Work::List { command, answer },
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
            *lock(&self.writer.desk) = (std::mem::take(&mut kept.desk), kept.desk_of.take());
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
                    && connection.look().await.map_or(true, |process| !self.writer.is_current(process)));
            if is_bad {
                kept.connection = None;
            }
        }
        let connection = match kept.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = Connection::open(&self.writer.route, self.writer.patience).await?;
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
        let route = &self.writer.route;
        let mut at_once = BATCH;
        let mut timeouts = 0;
        while !pushes.is_empty() {
            let connection = match self.connection(kept).await {
                Ok(connection) => connection,
                Err(error) => return fail(pushes, &error),
            };
            let turn = turn_of(connection.process());
            let _turn = turn.lock().await;
            pushes = pushes.into_iter().filter_map(|push| push.still_fit(route)).collect();
            let process = connection.process().clone();
            let was_fresh = connection.is_fresh();
            // Each response is followed by the question what HAProxy has now. In words the answer costs HAProxy as much
            // as the response: where many wait, they are compared a moment later.
            let is_shown = process.shows_bytes() || pushes.len() <= FEW;
            let mut commands: Vec<Command> = Vec::with_capacity(2 * at_once);
            for push in pushes.iter().take(at_once) {
                commands.push(push.response.clone());
                commands.extend(is_shown.then(|| show(&push.cert_id, &process)));
            }
            if commands.is_empty() {
                return;
            }
            let was_alone = at_once == 1 || pushes.len() == 1;
            let mut pushed = None;
            let mut answer = |said, shown| {
                if let Some(push) = pushes.pop_front() {
                    let _ = push.answer.send(Ok(Pushed { said, shown, process: process.clone() }));
                }
            };
            let result = connection
                .ask_all(&commands, |text| match pushed.take() {
                    None if is_shown => pushed = Some(reply::push(&text)),
                    None => answer(reply::push(&text), None),
                    Some(said) => answer(said, Some(shown(&text, &process))),
                })
                .await;
            let Err(broken) = result else { continue };
            kept.connection = None;
            // One of the rest may be what broke it: they go alone from here on.
            at_once = 1;
            match broken {
                // A kept connection may end at any time, and a batch may end at any of its commands. To send the
                // same response twice is harmless.
                Broken::Closed if !was_fresh || !was_alone => {}
                broken => {
                    let error = broken.at(route);
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

    async fn introduce(
        &self,
        kept: &mut Kept,
        what: &Introduction,
        latest: &Latest,
    ) -> Result<(Introduced, Process), SinkError> {
        let broken = match self.try_introduce(kept, what, latest).await? {
            Ok(process) => return Ok(process),
            // A kept connection may end at any time.
            Err((Broken::Closed, false)) => match self.try_introduce(kept, what, latest).await? {
                Ok(process) => return Ok(process),
                Err((broken, _)) => broken,
            },
            Err((broken, _)) => broken,
        };
        Err(broken.at(&self.writer.route))
    }

    /// Tries once; a broken connection is told with whether it was a fresh one.
    async fn try_introduce(
        &self,
        kept: &mut Kept,
        what: &Introduction,
        latest: &Latest,
    ) -> Result<Result<(Introduced, Process), (Broken, bool)>, SinkError> {
        let route = &self.writer.route;
        latest.check(route)?;
        self.connection(kept).await?;
        let Kept { connection: Some(connection), bypass, desk, .. } = kept else {
            return Ok(Err((Broken::Closed, true)));
        };
        let turn = turn_of(connection.process());
        let _turn = turn.lock().await;
        let process = connection.process().clone();
        let past = match route.worker.is_some() && process.mixes_transactions() {
            true => bypass.around(connection, self.writer.patience).await,
            false => None,
        };
        let connection = past.unwrap_or(connection);
        let was_fresh = connection.is_fresh();
        match (Introducer { changer: Changer { route, connection, desk } }).introduce(what).await {
            Ok(introduced) => Ok(Ok((introduced, process))),
            Err(Fault::Refused(error)) => Err(error),
            Err(Fault::Broken(broken)) => {
                kept.bypass.close();
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
        let mut changer = Changer { route: &self.writer.route, connection, desk };
        if changer.finish().await.is_err() {
            kept.connection = None;
        }
    }

    async fn ask(&self, kept: &mut Kept, commands: &[Command]) -> Result<Said, SinkError> {
        loop {
            let connection = self.connection(kept).await?;
            let was_fresh = connection.is_fresh();
            let process = connection.process().clone();
            let mut replies = Vec::with_capacity(commands.len());
            match connection.ask_all(commands, |reply| replies.push(reply)).await {
                Ok(()) => return Ok((replies, process)),
                Err(broken) => self.once_more(kept, was_fresh, &broken)?,
            }
        }
    }

    async fn list(&self, kept: &mut Kept, command: &Command) -> Result<Said, SinkError> {
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
                Err(broken) => self.once_more(kept, was_fresh, &broken)?,
            }
        }
    }

    /// A kept connection may end at any time: then the same is asked again on a new one. Otherwise it is a failure.
    fn once_more(&self, kept: &mut Kept, was_fresh: bool, broken: &Broken) -> Result<(), SinkError> {
        kept.connection = None;
        match broken {
            Broken::Closed if !was_fresh => Ok(()),
            broken => Err(broken.at(&self.writer.route)),
        }
    }
}

enum Work {
    Pushes(VecDeque<Push>),
    Introduce { what: Introduction, latest: Latest, answer: Answer<(Introduced, Process)> },
    Ask { commands: Vec<Command>, answer: Answer<Said> },
    List { command: Command, answer: Answer<Said> },
    Nothing,
}

/// The question what a process has under a CertID.
pub(crate) fn show(cert_id: &[u8], process: &Process) -> Command {
    match process.shows_bytes() {
        true => Command::show_response(cert_id),
        false => Command::show_response_in_words(cert_id),
    }
}

/// What the reply to that means.
pub(crate) fn shown(reply: &str, process: &Process) -> Shown {
    match process.shows_bytes() {
        true => reply::shown_response(reply),
        false => reply::shown_in_words(reply),
    }
}

impl Push {
    /// Itself, unless it waited too long; then whoever waits for it is told.
    fn still_fit(self, route: &Route) -> Option<Push> {
        match self.latest.check(route) {
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
