//! A connection to HAProxy in interactive mode: commands out, replies in, each with a limit in time and size.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use crate::cli::address::{Address, Duplex};
use crate::cli::command::Command;
use crate::cli::error::Error;
use crate::cli::framing::{self, Following, Marks};
use crate::cli::process::Process;
use crate::cli::reply::workers::{self, Worker};
use crate::cli::route::Route;

/// The largest reply to a single command, in bytes.
const MAX_REPLY: usize = 64 * 1024;
/// The longest line of a list, in bytes.
const MAX_LINE: usize = 16 * 1024;
/// The largest number of lines of a list.
const MAX_LINES: usize = 20_000_000;
/// How long a whole list may take; each piece of it must come within the time limit of a reply.
const LONGEST_LIST: Duration = Duration::from_secs(120);
/// How much longer than this program HAProxy keeps an idle connection.
const GRACE: Duration = Duration::from_secs(5);
/// The beginning of a master's prompts.
const MASTER: &str = "master";

/// The time limits of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    /// For each reply.
    pub(crate) reply: Duration,
    /// How long an idle connection is kept.
    pub(crate) keepalive: Duration,
}

/// Whether a connection has been used. HAProxy may close a kept connection at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// No command was sent since it was opened.
    Fresh,
    /// It was kept after an exchange.
    Kept,
}

/// A connection to one HAProxy process, in interactive mode.
pub(crate) struct Connection {
    stream: Box<dyn Duplex>,
    marks: Marks,
    received: BytesMut,
    timeouts: Timeouts,
    process: Process,
    /// The number of exchanges since the connection was opened.
    asked: u64,
    /// When the process was asked for its state.
    looked: Instant,
}

impl Connection {
    /// Connects, changes to interactive mode, and asks which process answers.
    pub(crate) async fn open(route: &Route, timeouts: Timeouts) -> Result<Self, Error> {
        let stream = connect(route, timeouts).await?;
        Self::begin(stream, route, timeouts).await
    }

    async fn begin(stream: Box<dyn Duplex>, route: &Route, timeouts: Timeouts) -> Result<Self, Error> {
        let mut connection = Self::new(stream, timeouts);
        connection.greet(&route.address).await?;
        if let Some(pid) = route.worker {
            connection.expect_prompt(&Command::address_worker(pid), &route.prompts()).await?;
        }
        connection.look().await?;
        // A master keeps its connections open by itself.
        if route.worker.is_none() {
            let seconds = timeouts.keepalive.saturating_add(GRACE).as_secs();
            connection.ask(&Command::set_timeout(seconds)).await?;
        }
        connection.asked = 0;
        Ok(connection)
    }

    /// Asks the master at this address for its workers.
    pub(crate) async fn workers(master: &Route, timeouts: Timeouts) -> Result<Vec<Worker>, Error> {
        let stream = connect(master, timeouts).await?;
        let mut connection = Self::new(stream, timeouts);
        connection.greet(&master.address).await?;
        let reply = connection.ask(&Command::show_workers()).await?;
        Ok(workers::workers(&reply))
    }

    fn new(stream: Box<dyn Duplex>, timeouts: Timeouts) -> Self {
        Connection {
            stream,
            marks: Marks::of("> "),
            received: BytesMut::new(),
            timeouts,
            process: Process::default(),
            asked: 0,
            looked: Instant::now(),
        }
    }

    /// Changes to interactive mode.
    async fn greet(&mut self, address: &Address) -> Result<(), Error> {
        self.expect_prompt(&Command::prompt(), &Route::to(address.clone()).prompts()).await
    }

    /// Sends a command whose reply is only one of these prompts, perhaps on a new line. That prompt ends the replies from
    /// then on. With any other reply the server is not HAProxy, or is in another mode.
    async fn expect_prompt(&mut self, command: &Command, prompts: &[String]) -> Result<(), Error> {
        let is_of_master = prompts.iter().any(|prompt| prompt.starts_with(MASTER));
        let deadline = Instant::now() + self.timeouts.reply;
        let sent = timeout_at(deadline, self.stream.write_all(command.bytes())).await;
        sent.map_err(|_| Error::ReplyTimeout(self.timeouts.reply))??;
        loop {
            let received = self.received.strip_prefix(b"\n").unwrap_or(&self.received);
            if let Some(prompt) = prompts.iter().find(|prompt| received == prompt.as_bytes()) {
                self.marks = Marks::of(prompt);
                self.received.clear();
                return Ok(());
            }
            if !is_of_master && received.starts_with(MASTER.as_bytes()) {
                return Err(Error::IsMaster);
            }
            if is_of_master && received == b"> " {
                return Err(Error::IsNotMaster);
            }
            if workers::is_gone(received) {
                return Err(Error::WorkerGone);
            }
            let could_be = |prompt: &String| prompt.as_bytes().starts_with(received);
            if !prompts.iter().any(could_be) && received != b">" && !could_be_gone(received) {
                return Err(Error::Garbled(String::from_utf8_lossy(received).into_owned()));
            }
            more(&mut self.stream, &mut self.received, deadline, self.timeouts.reply).await?;
        }
    }

    /// The process at the other end.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Whether a command was sent since the connection was opened.
    pub(crate) fn age(&self) -> Age {
        if self.asked == 0 { Age::Fresh } else { Age::Kept }
    }

    /// The time since the last call of [`Connection::look`].
    pub(crate) fn since_look(&self) -> Duration {
        self.looked.elapsed()
    }

    /// Asks the process for its identity and state.
    pub(crate) async fn look(&mut self) -> Result<&Process, Error> {
        let reply = self.ask(&Command::show_info()).await?;
        self.process = Process::read(&reply).ok_or(Error::Garbled(reply))?;
        self.looked = Instant::now();
        Ok(&self.process)
    }

    /// Sends one command; returns its reply.
    pub(crate) async fn ask(&mut self, command: &Command) -> Result<String, Error> {
        let mut only = String::new();
        self.ask_all(std::slice::from_ref(command), |reply| only = reply).await?;
        Ok(only)
    }

    /// Sends several commands at once, and passes their replies on, in order, as they come. Replies that come before the
    /// connection breaks are passed on, too.
    pub(crate) async fn ask_all(
        &mut self,
        commands: &[Command],
        mut on_reply: impl FnMut(String) + Send,
    ) -> Result<(), Error> {
        let received = &mut self.received;
        let marks = &self.marks;
        let wait = self.timeouts.reply;
        let (reader, writer) = tokio::io::split(&mut self.stream);
        let mut reader = reader;
        let replies = async {
            for (position, command) in commands.iter().enumerate() {
                let following = if position + 1 == commands.len() { Following::Nothing } else { Following::Replies };
                let deadline = Instant::now() + wait;
                let mut searched = 0;
                let end = loop {
                    if let Some(end) = marks.find_end(received, searched, following, command.ending()) {
                        break end;
                    }
                    searched = received.len();
                    if workers::is_gone(received) {
                        return Err(Error::WorkerGone);
                    }
                    if received.len() > MAX_REPLY {
                        return Err(Error::ReplyTooLarge);
                    }
                    more(&mut reader, received, deadline, wait).await?;
                };
                let reply = received.get(..end.reply).unwrap_or_default();
                let reply = framing::without_echo(reply, command.payload_lines());
                on_reply(String::from_utf8_lossy(reply).trim_end_matches('\n').to_owned());
                received.advance(end.consumed);
            }
            Ok(())
        };
        self.asked += 1;
        writing(writer, commands, replies).await
    }

    /// Sends one command whose reply is a list, and passes its lines on as they come.
    pub(crate) async fn ask_lines(
        &mut self,
        command: &Command,
        mut on_line: impl FnMut(&str) + Send,
    ) -> Result<(), Error> {
        let received = &mut self.received;
        let marks = &self.marks;
        let wait = self.timeouts.reply;
        let (reader, writer) = tokio::io::split(&mut self.stream);
        let mut reader = reader;
        let lines = async {
            let end = Instant::now() + LONGEST_LIST;
            let mut after_empty_line = false;
            let mut empty_lines = 0;
            let mut count = 0;
            let mut scanned = 0;
            loop {
                let newline = received.iter().skip(scanned).position(|byte| *byte == b'\n');
                let Some(position) = newline.map(|position| scanned + position) else {
                    if after_empty_line && received.as_ref() == marks.prompt() {
                        received.clear();
                        return Ok(());
                    }
                    scanned = received.len();
                    if scanned > MAX_LINE {
                        return Err(Error::ReplyTooLarge);
                    }
                    let deadline = end.min(Instant::now() + wait);
                    more(&mut reader, received, deadline, wait).await?;
                    // The bytes so far may be the beginning of a prompt.
                    if after_empty_line {
                        scanned = 0;
                    }
                    continue;
                };
                let line = received.split_to(position);
                received.advance(1);
                scanned = 0;
                count += 1;
                if count > MAX_LINES {
                    return Err(Error::ReplyTooLarge);
                }
                after_empty_line = line.is_empty();
                if line.is_empty() {
                    empty_lines += 1;
                    if empty_lines > MAX_REPLY {
                        return Err(Error::ReplyTooLarge);
                    }
                } else {
                    on_line(&String::from_utf8_lossy(&line));
                }
            }
        };
        self.asked += 1;
        writing(writer, std::slice::from_ref(command), lines).await
    }

    /// Whether HAProxy sent bytes, or closed the connection, while it was idle.
    pub(crate) async fn is_disturbed(&mut self) -> bool {
        if !self.received.is_empty() {
            return true;
        }
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        // Polls once and does not wait.
        poll_fn(|context| Poll::Ready(Pin::new(&mut self.stream).poll_read(context, &mut byte).is_ready())).await
    }
}

async fn connect(route: &Route, timeouts: Timeouts) -> Result<Box<dyn Duplex>, Error> {
    let connecting = tokio::time::timeout(timeouts.connect, route.address.connect());
    connecting.await.map_err(|_| Error::ConnectTimeout(timeouts.connect))?
}

/// Whether these bytes may be the beginning of a master's reply that the worker has ended.
fn could_be_gone(received: &[u8]) -> bool {
    received.len() < 128 && (b"Can't ".starts_with(received) || received.starts_with(b"Can't "))
}

/// Reads more bytes.
async fn more(
    reader: &mut (impl AsyncReadExt + Unpin),
    received: &mut BytesMut,
    deadline: Instant,
    wait: Duration,
) -> Result<(), Error> {
    match timeout_at(deadline, reader.read_buf(received)).await {
        Err(_) => Err(Error::ReplyTimeout(wait)),
        Ok(Ok(0)) => Err(Error::Closed),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
    }
}

/// Writes the commands while the replies are read, so that neither side waits for the other to read first. A failure to
/// write shows in the replies.
async fn writing<T>(
    mut writer: impl AsyncWriteExt + Unpin,
    commands: &[Command],
    replies: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let bytes = commands.iter().map(Command::bytes).collect::<Vec<_>>().concat();
    let write = async {
        if writer.write_all(&bytes).await.is_ok() {
            let _ = writer.flush().await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        never = write => match never {},
        result = replies => result,
    }
}
