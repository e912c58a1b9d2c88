//! One connection in interactive mode: commands out, replies in, each with a limit in time and size.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use stapled_core::reason::ReasonCode;
use stapled_core::sink::SinkError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use crate::cli::address::{Address, Duplex};
use crate::cli::command::Command;
use crate::cli::framing::{self, Following, Marks};
use crate::cli::master;
use crate::cli::process::Process;
use crate::cli::route::Route;
use crate::codes;
use crate::fault;

/// No reply to a single command is larger.
const MAX_REPLY: usize = 64 * 1024;
/// No line of a list is longer.
const MAX_LINE: usize = 16 * 1024;
/// No list has more lines.
const MAX_LINES: usize = 20_000_000;
/// How long a list may take in all; each piece of it must come within the reply's time.
const LONGEST_LIST: Duration = Duration::from_secs(120);
/// How much longer than we do HAProxy keeps an idle connection.
const GRACE: Duration = Duration::from_secs(5);
/// What a master's prompts begin with.
const MASTER: &str = "master";

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) reply: Duration,
    pub(crate) keepalive: Duration,
}

/// A connection to one HAProxy process, in interactive mode.
pub(crate) struct Connection {
    stream: Box<dyn Duplex>,
    marks: Marks,
    received: BytesMut,
    patience: Patience,
    process: Process,
    asked: u64,
    looked: Instant,
}

/// A connection that is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("closed the connection before its reply was complete")]
    Closed,
    #[error("did not reply within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("sent a reply that is larger than any")]
    TooLarge,
    #[error("sent what is not HAProxy's prompt: {}", fault::quoted(.0))]
    Garbled(String),
    #[error(
        "answers as HAProxy's master process: write `master@` before its address, or name the worker's `stats socket`"
    )]
    Master,
    #[error("answers as a HAProxy process itself, not as a master: leave `master@` out")]
    NoMaster,
    #[error("has ended")]
    Gone,
    #[error("failed: {0}")]
    Failed(std::io::ErrorKind),
}

impl Broken {
    pub(crate) fn at(&self, route: &Route) -> SinkError {
        let code: ReasonCode = match self {
            Broken::Closed => codes::CONNECTION_CLOSED,
            Broken::TimedOut(_) => codes::REPLY_TIMEOUT,
            Broken::TooLarge => codes::REPLY_TOO_LARGE,
            Broken::Garbled(_) => codes::GARBLED_REPLY,
            Broken::Master | Broken::NoMaster => codes::MASTER_SOCKET,
            Broken::Gone => codes::WORKER_GONE,
            Broken::Failed(_) => codes::SOCKET_ERROR,
        };
        fault::unreachable(code, route, &self.to_string())
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::UnexpectedEof => Broken::Closed,
            kind => Broken::Failed(kind),
        }
    }
}

impl Connection {
    /// Connects, changes to interactive mode, and asks who is there.
    pub(crate) async fn open(route: &Route, patience: Patience) -> Result<Self, SinkError> {
        let stream = connect(route, patience).await?;
        Self::begin(stream, route, patience).await.map_err(|broken| broken.at(route))
    }

    async fn begin(stream: Box<dyn Duplex>, route: &Route, patience: Patience) -> Result<Self, Broken> {
        let mut connection = Self::new(stream, patience);
        connection.greet(&route.address).await?;
        if let Some(pid) = route.worker {
            connection.expect_prompt(&Command::address_worker(pid), &route.prompts()).await?;
        }
        connection.look().await?;
        // The time of a master's connections is the master's; they stay open.
        if route.worker.is_none() {
            let seconds = patience.keepalive.saturating_add(GRACE).as_secs();
            connection.ask(&Command::set_timeout(seconds)).await?;
        }
        connection.asked = 0;
        Ok(connection)
    }

    /// Asks the master at this address for its workers.
    pub(crate) async fn workers(master: &Route, patience: Patience) -> Result<Vec<master::Worker>, SinkError> {
        let stream = connect(master, patience).await?;
        let mut connection = Self::new(stream, patience);
        let asked = async {
            connection.greet(&master.address).await?;
            connection.ask(&Command::show_workers()).await
        };
        let reply = asked.await.map_err(|broken| broken.at(master))?;
        Ok(master::workers(&reply))
    }

    fn new(stream: Box<dyn Duplex>, patience: Patience) -> Self {
        Connection {
            stream,
            marks: Marks::of("> "),
            received: BytesMut::new(),
            patience,
            process: Process::default(),
            asked: 0,
            looked: Instant::now(),
        }
    }

    /// Changes to interactive mode.
    async fn greet(&mut self, address: &Address) -> Result<(), Broken> {
        self.expect_prompt(&Command::prompt(), &Route::to(address.clone()).prompts()).await
    }

    /// Sends what is answered with just one of these prompts, perhaps on a new line, which ends replies from then on.
    /// Anything else is not HAProxy, or in another mode.
    async fn expect_prompt(&mut self, command: &Command, prompts: &[String]) -> Result<(), Broken> {
        let is_of_master = prompts.iter().any(|prompt| prompt.starts_with(MASTER));
        let deadline = Instant::now() + self.patience.reply;
        let sent = timeout_at(deadline, self.stream.write_all(command.bytes())).await;
        sent.map_err(|_| Broken::TimedOut(self.patience.reply))??;
        loop {
            let received = self.received.strip_prefix(b"\n").unwrap_or(&self.received);
            if let Some(prompt) = prompts.iter().find(|prompt| received == prompt.as_bytes()) {
                self.marks = Marks::of(prompt);
                self.received.clear();
                return Ok(());
            }
            if !is_of_master && received.starts_with(MASTER.as_bytes()) {
                return Err(Broken::Master);
            }
            if is_of_master && received == b"> " {
                return Err(Broken::NoMaster);
            }
            if master::is_gone(received) {
                return Err(Broken::Gone);
            }
            let could_be = |prompt: &String| prompt.as_bytes().starts_with(received);
            if !prompts.iter().any(could_be) && received != b">" && !could_be_gone(received) {
                return Err(Broken::Garbled(String::from_utf8_lossy(received).into_owned()));
            }
            more(&mut self.stream, &mut self.received, deadline, self.patience.reply).await?;
        }
    }

    /// The process at the other end.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Whether nothing was asked yet since it was opened.
    pub(crate) fn is_fresh(&self) -> bool {
        self.asked == 0
    }

    /// How long ago [`Connection::look`] was called.
    pub(crate) fn since_look(&self) -> Duration {
        self.looked.elapsed()
    }

    /// Asks the process who and how it is.
    pub(crate) async fn look(&mut self) -> Result<&Process, Broken> {
        let reply = self.ask(&Command::show_info()).await?;
        self.process = Process::read(&reply).ok_or(Broken::Garbled(reply))?;
        self.looked = Instant::now();
        Ok(&self.process)
    }

    /// One command, one reply.
    pub(crate) async fn ask(&mut self, command: &Command) -> Result<String, Broken> {
        let mut only = String::new();
        self.ask_all(std::slice::from_ref(command), |reply| only = reply).await?;
        Ok(only)
    }

    /// Several commands at once; their replies, in order, as they come. Those that came before it broke, count.
    pub(crate) async fn ask_all(
        &mut self,
        commands: &[Command],
        mut on_reply: impl FnMut(String) + Send,
    ) -> Result<(), Broken> {
        let received = &mut self.received;
        let marks = &self.marks;
        let wait = self.patience.reply;
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
                    if master::is_gone(received) {
                        return Err(Broken::Gone);
                    }
                    if received.len() > MAX_REPLY {
                        return Err(Broken::TooLarge);
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

    /// One command whose reply is a list: its lines, as they come.
    pub(crate) async fn ask_lines(
        &mut self,
        command: &Command,
        mut on_line: impl FnMut(&str) + Send,
    ) -> Result<(), Broken> {
        let received = &mut self.received;
        let marks = &self.marks;
        let wait = self.patience.reply;
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
                        return Err(Broken::TooLarge);
                    }
                    let deadline = end.min(Instant::now() + wait);
                    more(&mut reader, received, deadline, wait).await?;
                    // What looked like the beginning of a prompt may have been one.
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
                    return Err(Broken::TooLarge);
                }
                after_empty_line = line.is_empty();
                if line.is_empty() {
                    empty_lines += 1;
                    if empty_lines > MAX_REPLY {
                        return Err(Broken::TooLarge);
                    }
                } else {
                    on_line(&String::from_utf8_lossy(&line));
                }
            }
        };
        self.asked += 1;
        writing(writer, std::slice::from_ref(command), lines).await
    }

    /// Whether bytes came that nobody asked for, or the other side closed, while nothing was under way.
    pub(crate) async fn is_disturbed(&mut self) -> bool {
        if !self.received.is_empty() {
            return true;
        }
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        // Looks and does not wait.
        poll_fn(|context| Poll::Ready(Pin::new(&mut self.stream).poll_read(context, &mut byte).is_ready())).await
    }
}

async fn connect(route: &Route, patience: Patience) -> Result<Box<dyn Duplex>, SinkError> {
    tokio::time::timeout(patience.connect, route.address.connect()).await.map_err(|_| {
        let what = format!("could not be connected to within {} ms: HAProxy hangs", patience.connect.as_millis());
        fault::unreachable(codes::CONNECT_TIMEOUT, route, &what)
    })?
}

/// Whether more bytes may make this the words by which a master says that there is no such worker.
fn could_be_gone(received: &[u8]) -> bool {
    received.len() < 128 && (b"Can't ".starts_with(received) || received.starts_with(b"Can't "))
}

/// Reads some more.
async fn more(
    reader: &mut (impl AsyncReadExt + Unpin),
    received: &mut BytesMut,
    deadline: Instant,
    wait: Duration,
) -> Result<(), Broken> {
    match timeout_at(deadline, reader.read_buf(received)).await {
        Err(_) => Err(Broken::TimedOut(wait)),
        Ok(Ok(0)) => Err(Broken::Closed),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
    }
}

/// Writes the commands while the replies are read: neither side then waits for the other to read first. What goes
/// wrong with writing shows in the replies.
async fn writing<T>(
    mut writer: impl AsyncWriteExt + Unpin,
    commands: &[Command],
    replies: impl Future<Output = Result<T, Broken>>,
) -> Result<T, Broken> {
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
