//! The real redis-server, with a clock that a test can set.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use stapled_core::clock::{Clock, SystemClock};
use stapled_core::time::Timestamp;
use tempfile::TempDir;

use crate::process::signal_to;
use crate::wait::{PATIENCE, until};

/// A redis-server on a socket in a directory of its own. Its drop ends it.
///
/// Its wall clock is a library that is loaded into it: `redis_clock.c`. Redis does not run under libfaketime.
pub struct Redis {
    process: Child,
    directory: TempDir,
    arguments: Vec<String>,
    /// By how many milliseconds its clock is ahead of the machine's.
    ahead: AtomicI64,
}

impl Redis {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> Self {
        Redis::start_with(&["--save", "", "--appendonly", "no"])
    }

    /// Starts a server with these arguments, besides its socket and its directory.
    pub fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("clock"), 0_i64.to_ne_bytes()).expect("the clock");
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let process = run(&directory, &arguments);
        Redis { process, directory, arguments, ahead: AtomicI64::new(0) }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Its directory: what it keeps on disk, its log, its socket.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its address, as clients write it.
    pub fn address(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Its address with this login.
    pub fn address_of(&self, user: &str, password: &str) -> String {
        format!("redis+unix://{user}:{password}@{}", self.socket().display())
    }

    /// Sends a command. Returns its reply as text: the elements of an array on a line each, nothing for an empty one.
    ///
    /// # Panics
    ///
    /// Panics if the reply is an error.
    pub fn ask(&self, command: &[&str]) -> String {
        ask(&self.socket(), command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// The same for a server with a password, if it is not empty.
    ///
    /// # Panics
    ///
    /// Panics if the reply is an error.
    pub fn ask_with(&self, password: &str, command: &[&str]) -> String {
        let stream = UnixStream::connect(self.socket()).expect("a connection");
        exchange(&stream, &stream, password, command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Whether it is a primary (`master`) or a replica (`slave`); `None` while it changes, when it closes connections.
    pub(crate) fn role(&self, password: &str) -> Option<String> {
        let stream = UnixStream::connect(self.socket()).ok()?;
        let reply = exchange(&stream, &stream, password, &["ROLE"]).ok()?;
        reply.split_whitespace().next().map(str::to_owned)
    }

    /// The time on its clock.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(SystemClock.now().unix_millis() + self.ahead.load(Ordering::SeqCst))
    }

    /// Sets its clock.
    pub fn set_clock(&self, to: Timestamp) {
        self.set_ahead(to.unix_millis() - SystemClock.now().unix_millis());
    }

    /// Sets its clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).expect("some years at most");
        self.set_ahead(self.ahead.load(Ordering::SeqCst) + by);
    }

    fn set_ahead(&self, milliseconds: i64) {
        self.ahead.store(milliseconds, Ordering::SeqCst);
        // The server has mapped the file, so the file is not replaced.
        let file = OpenOptions::new().write(true).open(self.directory.path().join("clock")).expect("the clock");
        file.write_all_at(&milliseconds.to_ne_bytes(), 0).expect("the clock");
    }

    /// Ends the server with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("its end");
        let _ = std::fs::remove_file(self.directory.path().join("socket"));
    }

    /// Starts the server again, with what it kept on disk.
    pub fn restart(&mut self) {
        self.process = run(&self.directory, &self.arguments);
    }

    /// Stops the process until [`thaw`](Redis::thaw): it accepts connections, and answers nothing.
    pub fn freeze(&self) {
        signal_to(self.process.id(), "STOP");
    }

    /// Continues the process.
    pub fn thaw(&self) {
        signal_to(self.process.id(), "CONT");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server that the variable `REDIS_SERVER` names, which may be Valkey; without the variable, the installed `redis-server`.
pub fn redis_server() -> String {
    std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

fn run(directory: &TempDir, arguments: &[String]) -> Child {
    let path = directory.path();
    let mut command = Command::new(redis_server());
    command.args(["--port", "0", "--unixsocket"]).arg(path.join("socket"));
    command.arg("--dir").arg(path).arg("--logfile").arg(path.join("log")).args(arguments);
    command.env("LD_PRELOAD", clock_library()).env("TEST_CLOCK", path.join("clock"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", redis_server()));
    if !until(PATIENCE, || is_ready(&path.join("socket"))) {
        let _ = process.kill();
        panic!("redis-server does not answer: {}", std::fs::read_to_string(path.join("log")).unwrap_or_default());
    }
    process
}

/// Whether the server answers, and not that it still loads what it kept. One with a password refuses the question.
fn is_ready(socket: &Path) -> bool {
    match ask(socket, &["PING"]) {
        Ok(reply) => reply == "PONG",
        Err(error) => error.to_string().contains("NOAUTH"),
    }
}

/// The compiled `redis_clock.c`.
fn clock_library() -> PathBuf {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = LIBRARY.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let (source, library) = (directory.path().join("clock.c"), directory.path().join("clock.so"));
        std::fs::write(&source, include_str!("redis_clock.c")).expect("the source");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source);
        assert!(cc.status().expect("cc").success(), "{cc:?}");
        (directory, library)
    });
    library.clone()
}

fn ask(socket: &Path, command: &[&str]) -> std::io::Result<String> {
    let stream = UnixStream::connect(socket)?;
    exchange(&stream, &stream, "", command)
}

/// Sends a command to the server or sentinel on this port of 127.0.0.1.
pub(crate) fn ask_at(port: u16, password: &str, command: &[&str]) -> std::io::Result<String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    exchange(&stream, &stream, password, command)
}

fn exchange(reader: impl Read, mut writer: impl Write, password: &str, command: &[&str]) -> std::io::Result<String> {
    let mut reader = BufReader::new(reader);
    let mut send = |command: &[&str]| {
        let words: String = command.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        write!(writer, "*{}\r\n{words}", command.len())?;
        read_reply(&mut reader)
    };
    if !password.is_empty() {
        send(&["AUTH", password])?;
    }
    send(command)
}

/// Reads one reply of Redis (RESP 2).
fn read_reply(reply: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    reply.read_line(&mut line)?;
    let line = line.trim_end();
    let number = || line[1..].parse::<usize>().unwrap_or(0);
    match line.as_bytes().first() {
        Some(b'$') => {
            let mut text = vec![0; number() + 2];
            // A value that does not exist has the length -1, and no bytes.
            if line != "$-1" {
                reply.read_exact(&mut text)?;
            }
            Ok(String::from_utf8_lossy(&text).trim_end_matches(['\r', '\n', '\0']).to_owned())
        }
        Some(b'*') => Ok((0..number()).map(|_| read_reply(reply)).collect::<Result<Vec<_>, _>>()?.join("\n")),
        Some(b'+' | b':') => Ok(line[1..].to_owned()),
        _ => Err(std::io::Error::other(line.to_owned())),
    }
}
