//! A directory with certificates, their authority and its responder, and the program in it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stapled_ca::lab::Lab;
use stapled_ca::{Authority, Issued, Profile};
use tempfile::TempDir;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) authority: Authority,
    pub(crate) lab: Lab,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("certs")).unwrap();
        let authority = Authority::root("Test CA").create().unwrap();
        let lab = Lab::start([&authority]).unwrap();
        World { directory, authority, lab }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate that the lab answers for.
    pub(crate) fn profile(&self, name: &str) -> Profile {
        Profile::server(name).ocsp_url(self.lab.url())
    }

    /// Issues it into `certs/FILE`, with its issuer and key.
    pub(crate) fn issue(&self, file: &str, profile: &Profile) -> Issued {
        let issued = self.authority.issue(profile).unwrap();
        issued.write_bundle(&self.path("certs").join(file)).unwrap();
        issued
    }

    pub(crate) fn staple(&self, file: &str) -> PathBuf {
        self.path("certs").join(format!("{file}.ocsp"))
    }

    /// The program, in this directory, with nothing of the machine's own configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command_in(self.directory.path(), arguments)
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Running::start(self.command(arguments)).end(PATIENCE)
    }

    /// One pass over `certs` with further arguments.
    pub(crate) fn one_off(&self, arguments: &[&str]) -> Ended {
        self.run(&[&["--one-off", "--cert-paths", "certs"], arguments].concat())
    }
}

/// The program in a directory, with nothing of the machine's own configuration.
pub(crate) fn command_in(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stapled"));
    command.args(arguments).current_dir(directory).env_clear().env("HOME", directory.join("home"));
    // So that tests do not quarrel about the control socket of the machine.
    command.env("RUNTIME_DIRECTORY", directory).stdin(Stdio::null());
    command
}

impl Ended {
    /// The objects of a summary in JSON, and the totals.
    pub(crate) fn json(&self) -> (Vec<serde_json::Value>, serde_json::Value) {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut objects: Vec<serde_json::Value> = self.out.lines().map(parse).collect();
        let totals = objects.pop().expect("no totals").get("totals").expect("no totals").clone();
        (objects, totals)
    }

    /// The objects of an answer in JSON, and the last one.
    pub(crate) fn rows_and_last(&self) -> (Vec<serde_json::Value>, serde_json::Value) {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut objects: Vec<serde_json::Value> = self.out.lines().map(parse).collect();
        let last = objects.pop().unwrap_or_else(|| panic!("nothing: {self:?}"));
        (objects, last)
    }
}

/// The program while it runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    out: Stream,
    err: Stream,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = Stream::of(child.stdout.take().unwrap());
        let err = Stream::of(child.stderr.take().unwrap());
        Running { child, out, err }
    }

    pub(crate) fn signal(&self, signal: &str) {
        signal_to(self.child.id(), signal);
    }

    /// Whether it has said this on standard error by now.
    pub(crate) fn said(&self, words: &str) -> bool {
        self.err.so_far().contains(words)
    }

    /// What it has said on standard error by now.
    pub(crate) fn words(&self) -> String {
        self.err.so_far()
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; what takes longer is killed and a failure.
    pub(crate) fn end(mut self, patience: Duration) -> Ended {
        let mut status = None;
        let in_time = until(patience, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if !in_time {
            self.kill();
        }
        let (out, err) = (self.out.whole(), self.err.whole());
        assert!(in_time, "still running after {patience:?}\n{out}\n{err}");
        Ended { code: status.unwrap().code().unwrap_or(-1), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a stream brings.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Stream {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                kept.lock().unwrap().extend_from_slice(buffer.get(..length).unwrap());
            }
        });
        Stream { bytes, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All that it brought, when it has ended.
    fn whole(&mut self) -> String {
        self.reader.take().unwrap().join().unwrap();
        self.so_far()
    }
}

pub(crate) fn signal_to(process: u32, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &process.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {signal} {process}");
}

/// Whether a condition came true in time.
pub(crate) fn until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What is in the files of a directory, together.
pub(crate) fn contents(directory: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(directory) else { return String::new() };
    entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect()
}
