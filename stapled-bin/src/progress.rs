//! The progress of long work, on standard error: a bar with rate and remaining time on a terminal, a line every few seconds
//! elsewhere. Work that ends sooner shows nothing.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stapled_core::event::Observer;
use stapled_core::overview::progress::Progress;

/// How often a bar changes.
const BAR: Duration = Duration::from_millis(250);
/// The time between two lines.
pub(crate) const LINES: Duration = Duration::from_secs(5);

/// Standard error, with the progress of some work or without. Lines are written above a bar.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    bar: Option<ProgressBar>,
    progress: Option<Arc<Progress>>,
}

impl Terminal {
    /// Standard error without progress.
    pub(crate) fn plain() -> Self {
        Terminal { bar: None, progress: None }
    }

    /// Standard error with progress: a bar if it is a terminal, lines otherwise. `what` is the plural of one piece of the work.
    pub(crate) fn with_progress(what: &'static str) -> Self {
        let (mut terminal, progress) = (Terminal::plain(), Arc::new(Progress::of(what)));
        terminal.progress = Some(Arc::clone(&progress));
        if io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:30} {wide_msg}");
            terminal.bar = Some(style.map(|style| bar.clone().with_style(style)).unwrap_or(bar));
        }
        let bar = terminal.bar.clone();
        let show = move |done, of, line: &str| match &bar {
            Some(bar) => {
                bar.set_length(of as u64);
                bar.set_position(done as u64);
                bar.set_message(line.to_owned());
            }
            // If standard error is closed, the work continues.
            None => drop(writeln!(io::stderr(), "{line}")),
        };
        let pause = if terminal.bar.is_some() { BAR } else { LINES };
        // Without a thread, the work shows no progress.
        let _ = thread::Builder::new().name("progress".to_owned()).spawn(move || progress.report(pause, show));
        terminal
    }

    /// Progress beside output that programs read: a bar where standard output goes elsewhere, and no lines.
    pub(crate) fn with_bar(what: &'static str) -> Self {
        let is_shown = io::stderr().is_terminal() && !io::stdout().is_terminal();
        if is_shown { Terminal::with_progress(what) } else { Terminal::plain() }
    }

    /// Progress: how much is done, and how much there is; 0 if that is not known.
    pub(crate) fn show(&self, done: usize, of: usize) {
        self.progress.iter().for_each(|progress| progress.set(done, of));
    }

    /// Shows that certificates are missing a staple and are tried again.
    pub(crate) fn waits(&self, missing: usize, left: Duration) {
        if self.progress.is_some() {
            // If standard error is closed, the pass continues.
            let _ = writeln!(self.clone(), "{missing} still missing: tried again, for {} s at most", left.as_secs());
        }
    }

    /// Counts the certificates of passes.
    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.progress.clone().map(|progress| progress as Arc<dyn Observer>)
    }

    /// Removes the bar, and shows no further progress.
    pub(crate) fn finish(&self) {
        self.progress.iter().for_each(|progress| progress.end());
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
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
