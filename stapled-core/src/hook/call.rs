//! One run of the hook for an event: its environment, and the report of its end.

use std::process::Output;

use tokio::process::Command;

use super::debounce::Told;
use super::program;
use super::settings::HookSettings;
use crate::event::{EventKind, Journal, Severity};
use crate::reason::ReasonCode;
use crate::report::Report;

/// The variables of the program's own environment that a hook gets.
const HANDED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

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
    command.current_dir("/");
    match program::run(&mut command, b"", hook.timeout).await {
        Ok(Some(Output { status, stdout, stderr })) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
            let (out, err) = (text(&stdout), text(&stderr));
            let about = format!("for {}; its output: {out:?}; its errors: {err:?}", told.happening.event);
            match status.success() {
                true => report(&journal, &hook, "hook_done", Severity::Debug, format!("done {about}")),
                false => failed(format!("ended with {status} {about}")),
            }
        }
        Ok(None) => failed(format!("not done after {} s: killed with what it started", hook.timeout.as_secs())),
        Err(error) => failed(format!("cannot be run: {error}")),
    }
}
