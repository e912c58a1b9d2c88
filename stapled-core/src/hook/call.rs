//! One run of the hook: its environment, its deadline, its end.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::debounce::Told;
use super::settings::HookSettings;
use crate::event::{EventKind, Journal, Severity};
use crate::reason::ReasonCode;
use crate::report::Report;

/// The variables of the program's own environment that a hook gets.
const HANDED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];
/// How much of the hook's output is reported, in bytes.
const MAX_OUTPUT: usize = 4096;
/// How long its output is read after its end: a process that it started can keep the pipes open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Reports something about the hook itself to the observer of its reports.
pub(super) fn report(journal: &Journal, hook: &HookSettings, name: &'static str, severity: Severity, what: String) {
    let report = Report::new(ReasonCode::new(name), severity, what);
    journal.tell(EventKind::Reported { from: hook.program.display().to_string().into(), report });
}

/// Runs the hook, and reports its end.
pub(super) async fn call(hook: HookSettings, told: Told, dropped: u64, journal: Journal) {
    let failed = |what: String| report(&journal, &hook, "hook_failed", Severity::Warning, what);
    let mut command = Command::new(&hook.program);
    command.env_clear().envs(HANDED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs(told.happening.variables()).env("STAPLED_COUNT", told.count.to_string());
    command.env("STAPLED_SINCE", told.since.to_string()).env("STAPLED_DROPPED", dropped.to_string());
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A process group of its own: it can be killed with all processes that it started, and gets no signals of the terminal.
    command.process_group(0).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return failed(format!("cannot be run: {error}")),
    };
    let mut group = Group::of(&child);
    let (out, err) = (Output::of(child.stdout.take()), Output::of(child.stderr.take()));
    match tokio::time::timeout(hook.timeout, child.wait()).await {
        Ok(Ok(status)) => {
            // Processes that the hook left running are not killed.
            group.0 = None;
            let (out, err) = (out.end().await, err.end().await);
            let about = format!("for {}; its output: {out:?}; its errors: {err:?}", told.happening.event);
            match status.success() {
                true => report(&journal, &hook, "hook_done", Severity::Debug, format!("done {about}")),
                false => failed(format!("ended with {status} {about}")),
            }
        }
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => {
            failed(format!("not done after {} s: killed with what it started", hook.timeout.as_secs()));
            drop(group);
            // The process was killed; this removes its entry in the table of processes.
            let _ = child.wait().await;
        }
    }
}

/// The process group of a hook; killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Group(child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The child was not waited for yet, so no other process has its ID.
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// The beginning of a hook's output. The rest is read and dropped, so that the hook does not block while it writes.
struct Output {
    beginning: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Output {
    fn of(stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let beginning = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&beginning);
        let task = tokio::spawn(async move {
            let Some(mut stream) = stream else { return };
            let mut buffer = [0; 1024];
            // If reading fails, the output so far counts.
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MAX_OUTPUT.saturating_sub(kept.len()).min(read);
                kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
            }
        });
        Output { beginning, task }
    }

    /// The output. Closes the pipe.
    async fn end(mut self) -> String {
        if tokio::time::timeout(LAST_WORDS, &mut self.task).await.is_err() {
            self.task.abort();
        }
        let beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&beginning).trim_end().to_owned()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.task.abort();
    }
}
