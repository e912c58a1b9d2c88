//! Running: once, or until somebody says stop.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use stapled_core::event::Observer;
use stapled_core::scheduler::SchedulerError;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::configuration::{Configuration, Mode};
use crate::daemon::{PidFile, PidFileError, Ready};
use crate::logging::{self, LogObserver, LoggingError};
use crate::progress::{Progress, Terminal};
use crate::summary::Summary;
use crate::wiring::{self, WiringError};

/// Why nothing ran.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Logging(#[from] LoggingError),
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Wiring(#[from] WiringError),
    #[error("the pass broke off: {0}")]
    Scheduler(#[from] SchedulerError),
}

impl RunError {
    /// The exit code for it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            RunError::Logging(_) | RunError::Wiring(_) => 2,
            _ => 1,
        }
    }
}

/// Runs as configured. `ready` is what waits for the background, where this is it.
pub(crate) fn run(configuration: &Configuration, ready: &mut Option<Ready>) -> Result<ExitCode, RunError> {
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = match &configuration.mode {
        Mode::OneOff { json } => runtime.block_on(once(configuration, *json)),
        Mode::Foreground { pid_file } | Mode::Background { pid_file } => {
            let pid_file = pid_file.as_deref().map(PidFile::create).transpose()?;
            let code = runtime.block_on(keep(configuration, ready));
            drop(pid_file);
            code
        }
    };
    // Name look-ups and file accesses that still hang are left behind.
    runtime.shutdown_background();
    code
}

/// Thousands of sockets are kept open; the usual soft limit of 1024 files is for programs that `select`.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

async fn once(configuration: &Configuration, json: bool) -> Result<ExitCode, RunError> {
    let quiet = configuration.logging.quiet;
    let terminal = if quiet { Terminal::plain() } else { Terminal::with_bar() };
    let logging = logging::start(&configuration.logging, Some(&terminal))?;
    note(configuration);
    let mut observers: Vec<Arc<dyn Observer>> = vec![Arc::new(LogObserver)];
    // Lines of progress beside JSON are for nobody; a bar is.
    if !quiet && (!json || io::stderr().is_terminal()) {
        observers.push(Arc::new(Progress::on(terminal.clone())));
    }
    let stapler = wiring::stapler(configuration, observers)?;
    let mut signals = Signals::new()?;
    let mut interrupted = None;
    // What is in hand is finished: a change that HAProxy was told to begin is not left open.
    let inventory = stapler.run_once(async { interrupted = Some(signals.stop().await) }).await?;
    terminal.finish();
    if let Some(number) = interrupted {
        tracing::warn!(event = "interrupted", "interrupted: not everything was done");
        return Ok(ExitCode::from(128 + number));
    }
    let summary = Summary::of(&inventory);
    if summary.totals.total == 0 {
        tracing::warn!(
            event = "no_certificates",
            "no certificates found: see --cert-paths, --file-extensions and --recursive"
        );
    }
    // What is logged stands above the summary.
    drop(logging);
    if quiet {
        if summary.totals.exit_code != 0 {
            // As little as there can be; where standard error is closed, the exit code has to do.
            let _ = summary.write_problems(&mut io::stderr().lock());
        }
    } else {
        let mut out = io::stdout().lock();
        let written = match json {
            true => summary.write_json(&mut out),
            false => summary.write_table(&mut out, io::stdout().is_terminal()),
        };
        // A reader that went away has what it wanted.
        let _ = written.and_then(|()| out.flush());
    }
    Ok(ExitCode::from(summary.totals.exit_code))
}

async fn keep(configuration: &Configuration, ready: &mut Option<Ready>) -> Result<ExitCode, RunError> {
    let in_background = matches!(configuration.mode, Mode::Background { .. });
    let terminal = Terminal::plain();
    let logging = logging::start(&configuration.logging, (!in_background).then_some(&terminal))?;
    let stapler = wiring::stapler(configuration, vec![Arc::new(LogObserver)])?;
    let mut signals = Signals::new()?;
    if let Some(ready) = ready.take() {
        ready.ready()?;
    }
    tracing::info!(event = "started", version = env!("CARGO_PKG_VERSION"), "stapled runs");
    note(configuration);
    tell_systemd(&[NotifyState::Ready]);
    let shutdown = async {
        signals.stop().await;
        tell_systemd(&[NotifyState::Stopping]);
        tracing::info!(event = "stopping", "stopping: what is in hand is finished first");
    };
    stapler.run(shutdown).await;
    tracing::info!(event = "stopped", "stopped");
    drop(logging);
    Ok(ExitCode::SUCCESS)
}

fn note(configuration: &Configuration) {
    for note in &configuration.notes {
        tracing::warn!(event = "configuration_note", "{note}");
    }
}

/// Outside of systemd there is nobody to tell; that nobody listens is no reason to stop.
fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::debug!(event = "systemd_not_told", %error, "systemd could not be told");
    }
}

/// SIGTERM, SIGINT and SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Returns the number of the first signal to stop. The second ends the program at once.
    async fn stop(&mut self) -> u8 {
        let first = self.next().await;
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => {
                tokio::spawn(second(terminate, interrupt));
            }
            (Err(error), _) | (_, Err(error)) => tracing::debug!(%error, "a second signal will not be heard"),
        }
        first
    }

    async fn next(&mut self) -> u8 {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return 15,
                _ = self.interrupt.recv() => return 2,
                _ = self.hang_up.recv() => tracing::info!(
                    event = "hang_up",
                    "SIGHUP ignored: changed certificates are seen without it; restart for a changed configuration"
                ),
            }
        }
    }
}

async fn second(mut terminate: Signal, mut interrupt: Signal) {
    let number = tokio::select! {
        _ = terminate.recv() => 15,
        _ = interrupt.recv() => 2,
    };
    std::process::exit(128 + number);
}
