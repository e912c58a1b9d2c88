//! One run of the hook for a batch of events: its environment, its file, and the report of its end.

use std::process::Output;

use super::batch::Batch;
use super::program;
use super::settings::HookSettings;
use crate::event::{EventKind, Journal, Severity};
use crate::reason::ReasonCode;
use crate::report::Report;

/// Reports something about the hook itself to the observer of its reports.
pub(super) fn report(journal: &Journal, hook: &HookSettings, name: &'static str, severity: Severity, what: String) {
    let report = Report::new(ReasonCode::new(name), severity, what);
    journal.tell(EventKind::Reported { from: hook.program.display().to_string().into(), report });
}

/// Runs the hook, and reports its end.
pub(super) async fn call(hook: HookSettings, batch: Batch, dropped: u64, journal: Journal) {
    let failed = |what: String| report(&journal, &hook, "hook_failed", Severity::Warning, what);
    let (event, count) = (batch.first().map_or("", |first| first.event), batch.count());
    let mut command = program::bare(&hook.program);
    command.envs(batch.variables()).env("STAPLED_DROPPED", dropped.to_string());
    let written = tokio::task::spawn_blocking(move || batch.write_file()).await;
    let file = match written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(file) => {
            command.env("STAPLED_EVENTS_FILE", file.path());
            Some(file)
        }
        Err(error) => {
            command.env("STAPLED_EVENTS_FILE", "");
            failed(format!("gets no file with its events, which cannot be written: {error}"));
            None
        }
    };
    match program::run(&mut command, b"", hook.timeout).await {
        Ok(Some(Output { status, stdout, stderr })) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
            let (out, err) = (text(&stdout), text(&stderr));
            let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
            let about = format!("for {event}{times}; its output: {out:?}; its errors: {err:?}");
            match status.success() {
                true => report(&journal, &hook, "hook_done", Severity::Debug, format!("done {about}")),
                false => failed(format!("ended with {status} {about}")),
            }
        }
        Ok(None) => failed(format!("not done after {} s: killed with what it started", hook.timeout.as_secs())),
        Err(error) => failed(format!("cannot be run: {error}")),
    }
    if let Some(file) = file {
        let removed = tokio::task::spawn_blocking(move || file.remove()).await;
        if let Err(error) = removed.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            failed(format!("its file with events cannot be removed: {error}"));
        }
    }
}
