//! The reload command: tells servers that read files of new staples.
//!
//! A [`ReloadSink`] wraps the sink that writes the files, and asks for a run of the command once a file is in place. Many
//! staples are one run. Runs never overlap, and begin a pause apart. A command that fails is reported and tried again.

use std::env;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::program;
use super::words::words;
use crate::chain::CertChain;
use crate::clock::SystemClock;
use crate::event::{EventKind, Journal, Observer, Severity};
use crate::reason::ReasonCode;
use crate::report::{Report, Reporter};
use crate::sink::{Delivered, Lost, Requirements, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use crate::staple::Staple;
use crate::time::Timestamp;

/// How long a run waits for further staples after the first one.
const SETTLE: Duration = Duration::from_secs(1);
/// The longest time until a command that failed is tried again.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// Which command runs after staples were written, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadSettings {
    /// The program and its arguments.
    command: Vec<String>,
    /// How long one run may take. A run that takes longer is killed with all processes that it started.
    pub timeout: Duration,
    /// How long after the begin of a run the next one begins, at least.
    pub pause: Duration,
    /// The server that it tells.
    server: Option<String>,
    after: After,
}

/// The deliveries after which the command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Changes,
    Withdrawals,
}

impl ReloadSettings {
    /// Settings for a command: a program and its arguments, separated by spaces. Quotes hold a word together, and a
    /// backslash takes the next character as it is. No shell reads the command. A run may take 30 s, and runs begin 10 s
    /// apart.
    ///
    /// # Errors
    ///
    /// The command has no words, a quotation mark has no end, or there is no such program.
    pub fn new(command: &str) -> io::Result<Self> {
        let malformed = |what: &str| io::Error::new(ErrorKind::InvalidInput, what);
        let command = words(command).map_err(malformed)?;
        let program = command.first().ok_or_else(|| malformed("no program"))?;
        if !candidates(program).iter().any(|path| is_executable(path)) {
            let what = format!("{program}: not an executable file, or not in PATH");
            return Err(io::Error::new(ErrorKind::NotFound, what));
        }
        let (timeout, pause) = (Duration::from_secs(30), Duration::from_secs(10));
        Ok(ReloadSettings { command, timeout, pause, server: None, after: After::Changes })
    }

    /// The same, for this server: reports name it.
    pub fn of_server(self, name: impl Into<String>) -> Self {
        ReloadSettings { server: Some(name.into()), ..self }
    }

    /// The same, for a server that notices new files, but not that one is gone: the command runs after withdrawals alone.
    pub fn after_withdrawals(self) -> Self {
        ReloadSettings { after: After::Withdrawals, ..self }
    }

    /// The same, with this limit for one run.
    pub fn timeout(self, timeout: Duration) -> Self {
        ReloadSettings { timeout, ..self }
    }

    /// The same, with runs that begin this long apart, at least.
    pub fn pause(self, pause: Duration) -> Self {
        ReloadSettings { pause, ..self }
    }
}

/// The files that may be meant by the name of a program.
fn candidates(program: &str) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![program.into()];
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|directory| directory.join(program)).collect()
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// A running task that runs the command when its [sinks](Reload::sink) have delivered staples.
pub struct Reload {
    settings: ReloadSettings,
    wanted: Arc<Wanted>,
    finish: oneshot::Sender<()>,
    task: JoinHandle<bool>,
}

/// Whether the command is to run.
#[derive(Debug, Default)]
struct Wanted {
    is_wanted: AtomicBool,
    asked: Notify,
}

impl Wanted {
    fn ask(&self) {
        self.is_wanted.store(true, Ordering::Release);
        self.asked.notify_one();
    }
}

impl Reload {
    /// Starts the task. To be called inside a tokio runtime. The observers receive what becomes of each run, as events of the
    /// kind `Reported`: `reload_done` and `reload_failed`.
    pub fn start(settings: &ReloadSettings, reports: Vec<Arc<dyn Observer>>) -> Self {
        let (finish, finishing) = oneshot::channel();
        let wanted = Arc::<Wanted>::default();
        let runner = Runner {
            settings: settings.clone(),
            journal: Journal { clock: Arc::new(SystemClock), observers: reports.into(), doubts: Arc::default() },
            wanted: Arc::clone(&wanted),
            failures: 0,
            not_before: Instant::now(),
        };
        Reload { settings: settings.clone(), wanted, finish, task: tokio::spawn(runner.run(finishing)) }
    }

    /// The settings that it runs with.
    pub fn settings(&self) -> &ReloadSettings {
        &self.settings
    }

    /// A sink after whose deliveries and withdrawals the command runs.
    pub fn sink<S: StapleSink>(&self, sink: S) -> ReloadSink<S> {
        ReloadSink { sink, wanted: Arc::clone(&self.wanted), after: self.settings.after }
    }

    /// Runs the command for what was delivered and not reloaded yet, then ends. A run that takes longer than `patience` is
    /// killed. Returns whether servers know of all deliveries: nothing was left to do, or the last run succeeded.
    pub async fn finish(mut self, patience: Duration) -> bool {
        // The task can have ended only by a panic, which is logged elsewhere.
        let _ = self.finish.send(());
        match tokio::time::timeout(patience, &mut self.task).await {
            Ok(ended) => ended.unwrap_or(false),
            Err(_) => {
                self.task.abort();
                let _ = self.task.await;
                false
            }
        }
    }
}

/// The task that runs the command.
struct Runner {
    settings: ReloadSettings,
    journal: Journal,
    wanted: Arc<Wanted>,
    /// How many runs in a row failed.
    failures: u32,
    not_before: Instant,
}

impl Runner {
    async fn run(mut self, mut finishing: oneshot::Receiver<()>) -> bool {
        loop {
            let wait = async {
                while !self.wanted.is_wanted.load(Ordering::Acquire) {
                    self.wanted.asked.notified().await;
                }
                tokio::time::sleep_until(self.not_before.max(Instant::now() + SETTLE)).await;
            };
            tokio::select! {
                biased;
                _ = &mut finishing => break,
                () = wait => self.run_once().await,
            }
        }
        if self.wanted.is_wanted.load(Ordering::Acquire) {
            self.run_once().await;
        }
        !self.wanted.is_wanted.load(Ordering::Acquire)
    }

    /// One run, and the report of its end.
    async fn run_once(&mut self) {
        let began = Instant::now();
        // What is delivered from here on needs another run.
        self.wanted.is_wanted.store(false, Ordering::Release);
        match self.succeeds().await {
            Ok(()) => {
                self.failures = 0;
                self.not_before = began + self.settings.pause;
                self.report("reload_done", Severity::Info, "done: servers were told of the new staples".to_owned());
            }
            Err(what) => {
                let factor = 1 << self.failures.min(10);
                let pause =
                    self.settings.pause.max(SETTLE).saturating_mul(factor).min(LONGEST_RETRY.max(self.settings.pause));
                self.failures = self.failures.saturating_add(1);
                self.not_before = Instant::now() + pause;
                self.wanted.ask();
                let what = format!("{what}; servers may not know of new staples; tried again in {} s", pause.as_secs());
                self.report("reload_failed", Severity::Warning, what);
            }
        }
    }

    async fn succeeds(&self) -> Result<(), String> {
        let (program, arguments) = self.settings.command.split_first().ok_or("no program")?;
        let mut command = program::bare(Path::new(program));
        command.args(arguments);
        match program::run(&mut command, b"", self.settings.timeout).await {
            Ok(Some(ended)) if ended.status.success() => Ok(()),
            Ok(Some(ended)) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
                let (out, err) = (text(&ended.stdout), text(&ended.stderr));
                Err(format!("ended with {}; its output: {out:?}; its errors: {err:?}", ended.status))
            }
            Ok(None) => {
                Err(format!("not done after {} s: killed with what it started", self.settings.timeout.as_secs()))
            }
            Err(error) => Err(format!("cannot be run: {error}")),
        }
    }

    fn report(&self, name: &'static str, severity: Severity, what: String) {
        let command = self.settings.command.join(" ");
        let from = match &self.settings.server {
            Some(server) => format!("{server}: {command}").into(),
            None => command.into(),
        };
        let report = Report::new(ReasonCode::new(name), severity, what);
        self.journal.tell(EventKind::Reported { from, report });
    }
}

/// A sink that has the command of a [`Reload`] run after deliveries and withdrawals. Everything else is as with the sink that
/// it wraps, but for a staple that is in its file since before: it is delivered, so that the command runs after a start.
#[derive(Debug)]
pub struct ReloadSink<S> {
    sink: S,
    wanted: Arc<Wanted>,
    after: After,
}

#[async_trait]
impl<S: StapleSink> StapleSink for ReloadSink<S> {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        let delivered = self.sink.deliver(staple, sites).await?;
        if self.after == After::Changes && matches!(delivered, Delivered::Confirmed) {
            self.wanted.ask();
        }
        Ok(delivered)
    }

    fn name(&self) -> String {
        self.sink.name()
    }

    fn report_to(&self, reporter: Reporter) {
        self.sink.report_to(reporter);
    }

    fn requirements(&self) -> Requirements {
        self.sink.requirements()
    }

    fn is_live(&self) -> bool {
        self.sink.is_live()
    }

    async fn withdraw(&self, chain: &CertChain, sites: &[Site], why: Withdrawal) -> Result<Withdrawn, SinkError> {
        let withdrawn = self.sink.withdraw(chain, sites, why).await?;
        if matches!(withdrawn, Withdrawn::Confirmed) {
            self.wanted.ask();
        }
        Ok(withdrawn)
    }

    fn read_ahead(&self, file: &Path, staple_file: Option<&Path>) {
        self.sink.read_ahead(file, staple_file);
    }

    async fn recall(&self, chain: &CertChain, sites: &[Site]) -> Option<Bytes> {
        self.sink.recall(chain, sites).await
    }

    async fn clear_leftover(&self, chain: &CertChain, sites: &[Site], now: Timestamp) {
        self.sink.clear_leftover(chain, sites, now).await;
    }

    async fn lost(&self) -> Lost {
        self.sink.lost().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use crate::event::Event;

    use super::*;

    /// The names of what is reported, and a waiter for their number.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>, Arc<Notify>);

    impl Told {
        async fn until(&self, count: usize) -> Vec<String> {
            loop {
                let told = self.0.lock().unwrap().clone();
                if told.len() >= count {
                    return told;
                }
                tokio::time::timeout(Duration::from_secs(30), self.1.notified()).await.unwrap();
            }
        }

        fn observers(&self) -> Vec<Arc<dyn Observer>> {
            let told = self.clone();
            vec![Arc::new(move |event: &Event| {
                told.0.lock().unwrap().push(event.kind.name().to_owned());
                told.1.notify_one();
            })]
        }
    }

    fn settings(script: &str) -> ReloadSettings {
        ReloadSettings::new(&format!("/bin/sh -c '{script}'")).unwrap()
    }

    #[tokio::test]
    async fn many_deliveries_are_one_run_and_runs_are_apart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("runs");
        let told = Told::default();
        let settings = settings(&format!("echo run >>{}", file.display())).pause(Duration::from_secs(2));
        let reload = Reload::start(&settings, told.observers());
        let began = Instant::now();
        for _ in 0..1000 {
            reload.wanted.ask();
        }
        told.until(1).await;
        reload.wanted.ask();
        assert_eq!(told.until(2).await, ["reload_done", "reload_done"]);
        assert!(
            began.elapsed() >= Duration::from_secs(3),
            "one second of waiting, and a pause of two: {:?}",
            began.elapsed()
        );
        // A delivery right before the end still has its run.
        reload.wanted.ask();
        assert!(reload.finish(Duration::from_secs(20)).await);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "run\n".repeat(3));
    }

    #[tokio::test]
    async fn a_command_that_fails_is_reported_and_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let (file, told) = (directory.path().join("failed"), Told::default());
        let script = format!("[ -e {0} ] || {{ echo no >{0}; exit 3; }}", file.display());
        let reload = Reload::start(&settings(&script).pause(Duration::from_millis(10)), told.observers());
        reload.wanted.ask();
        assert_eq!(told.until(2).await, ["reload_failed", "reload_done"]);
        assert!(reload.finish(Duration::from_secs(20)).await);
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_its_processes() {
        let directory = tempfile::tempdir().unwrap();
        let (file, told) = (directory.path().join("pid"), Told::default());
        let script = format!("/bin/sleep 1000 & echo $! >{}; wait", file.display());
        let reload = Reload::start(&settings(&script).timeout(Duration::from_secs(1)), told.observers());
        reload.wanted.ask();
        assert_eq!(told.until(1).await, ["reload_failed"]);
        assert!(!reload.finish(Duration::from_secs(20)).await, "the last run failed, too");
        let pid = std::fs::read_to_string(&file).unwrap();
        // The kernel ends it a moment after the signal.
        stapled_tests::wait_for("the end of the child", || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            (state.is_empty() || state.contains(") Z ")).then_some(())
        });
    }

    #[test]
    fn commands_that_cannot_run_are_refused() {
        for (command, words) in [
            ("", "no program"),
            ("'x", "a quotation mark without its end"),
            ("/no/such/program x", "/no/such/program: not an executable file, or not in PATH"),
            ("no-such-program-anywhere", "not in PATH"),
            ("/etc/passwd", "not an executable file"),
        ] {
            let error = ReloadSettings::new(command).unwrap_err();
            assert!(error.to_string().contains(words), "{command}: {error}");
        }
        assert!(ReloadSettings::new("sh -c true").is_ok());
    }
}
