//! The progress of a pass, on standard error.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stapled_core::event::{Event, EventKind, Observer};
use stapled_core::task::Subject;

use crate::text::visible;

/// Standard error, with a progress bar or without. Lines are written above the bar.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    bar: Option<ProgressBar>,
}

impl Terminal {
    /// Standard error without a bar.
    pub(crate) fn plain() -> Self {
        Terminal { bar: None }
    }

    /// Standard error with a bar, if it is a terminal.
    pub(crate) fn with_bar() -> Self {
        if !io::stderr().is_terminal() {
            return Terminal::plain();
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} certificates, {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        Terminal { bar: Some(bar) }
    }

    /// Shows how many certificates are done, and how many there are.
    pub(crate) fn show(&self, done: usize, of: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write_all(bytes).map(|()| bytes.len());
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Counts the certificates that are found and done. Moves the bar, or writes a line for each certificate.
pub(crate) struct Progress {
    terminal: Terminal,
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    done: u64,
    /// The certificates that were found, and whether each was counted as done.
    certificates: HashMap<Subject, bool>,
}

impl Progress {
    /// Progress on this terminal.
    pub(crate) fn on(terminal: Terminal) -> Self {
        Progress { terminal, count: Mutex::default() }
    }

    /// Shows that certificates are missing a staple and are tried again.
    pub(crate) fn waits(&self, missing: usize, left: Duration) {
        let words = format!("{missing} still missing: tried again, for {} s at most", left.as_secs());
        match &self.terminal.bar {
            Some(bar) => bar.set_message(words),
            // If standard error is closed, the pass continues.
            None => drop(writeln!(io::stderr(), "{words}")),
        }
    }
}

impl Observer for Progress {
    #[allow(clippy::print_stderr)] // progress is for standard error
    fn observe(&self, event: &Event) {
        let Some(about) = &event.certificate else { return };
        let Some(subject) = &about.subject else { return };
        let count = &mut *self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let has_result = event.kind.is_result();
        if !has_result && !matches!(event.kind, EventKind::Accepted) {
            return;
        }
        // A second pass finds the same certificates again.
        let is_done = count.certificates.entry(subject.clone()).or_default();
        count.done += u64::from(has_result && !*is_done);
        *is_done |= has_result;
        let (done, found) = (count.done, count.certificates.len());
        match &self.terminal.bar {
            Some(bar) => {
                bar.set_length(found as u64);
                bar.set_position(done);
                if has_result {
                    bar.set_message(visible(&about.name));
                }
            }
            None if has_result => {
                let (name, what) = (visible(&about.name), visible(&event.kind.to_string()));
                // If standard error is closed, the pass continues.
                let _ = writeln!(io::stderr(), "[{done}/{found}] {name}: {what}");
            }
            None => {}
        }
    }
}
