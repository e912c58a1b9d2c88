//! Processes: their output, their end, and their processor time.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::wait::{until, wait_for};

/// A process that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ended {
    /// The JSON objects on the standard output, one a line: all but the last one, and the last one.
    pub fn rows_and_last(&self) -> (Vec<Value>, Value) {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut objects: Vec<Value> = self.out.lines().map(parse).collect();
        let last = objects.pop().unwrap_or_else(|| panic!("nothing: {self:?}"));
        (objects, last)
    }

    /// The objects of a summary of `stapled` in JSON, and its totals.
    pub fn json(&self) -> (Vec<Value>, Value) {
        let (rows, last) = self.rows_and_last();
        (rows, last.get("totals").expect("no totals").clone())
    }
}

/// A process with recorded output. Its drop kills the process and its children.
pub struct Running {
    child: Child,
    out: Stream,
    err: Stream,
}

impl Running {
    /// Starts a command in a process group of its own.
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let out = Stream::of(child.stdout.take().expect("standard output"));
        let err = Stream::of(child.stderr.take().expect("standard error"));
        Running { child, out, err }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The standard input, if the command has it piped.
    pub fn stdin(&mut self) -> &mut Option<ChildStdin> {
        &mut self.child.stdin
    }

    /// Sends the process a signal, such as `HUP`.
    pub fn signal(&self, signal: &str) {
        signal_to(self.child.id(), signal);
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    /// Whether the standard error has these words by now.
    pub fn said(&self, words: &str) -> bool {
        self.err.so_far().contains(words)
    }

    /// The standard error so far.
    pub fn words(&self) -> String {
        self.err.so_far()
    }

    /// The complete lines of the standard output so far.
    pub fn lines(&self) -> Vec<String> {
        let out = self.out.so_far();
        out.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// Waits for a line with these words on the standard output, and returns the first such line.
    pub fn line(&self, words: &str) -> String {
        wait_for(&format!("{words:?}"), || self.lines().into_iter().find(|line| line.contains(words)))
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
    }

    /// Waits for the end of the process. After `patience`, the process is killed, and the test fails.
    pub fn end(mut self, patience: Duration) -> Ended {
        let mut status = None;
        let in_time = until(patience, || {
            status = self.child.try_wait().expect("its status");
            status.is_some()
        });
        if !in_time {
            self.kill();
        }
        let (out, err) = (self.out.whole(), self.err.whole());
        assert!(in_time, "still running after {patience:?}\n{out}\n{err}");
        Ended { code: status.and_then(|status| status.code()).unwrap_or(-1), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let is_over = matches!(self.child.try_wait(), Ok(Some(_)));
        if !is_over {
            // The process group, which includes the workers of a master.
            let group = format!("-{}", self.child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
            let _ = self.child.wait();
        }
    }
}

/// The bytes of a stream, which a thread reads.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = kept.write_all(buffer.get(..length).unwrap_or_default());
            }
        });
        Stream { bytes, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// All bytes of the stream, after its end.
    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader");
        }
        self.so_far()
    }
}

/// Sends a signal, such as `HUP`, to a process.
pub fn signal_to(process: u32, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &process.to_string()]).status().expect("kill");
    assert!(status.success(), "kill -s {signal} {process}");
}

/// The processor time of a process so far, in steps of 10 ms, as Linux counts it.
pub fn cpu_time(pid: u64) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // The fields after the name in parentheses: the 14th and 15th of all fields.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}
