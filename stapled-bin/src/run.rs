//! Running: once, or until somebody says stop, with whatever configuration holds meanwhile.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use stapled_core::event::Observer;
use stapled_core::inventory::Inventory;
use stapled_core::scheduler::SchedulerError;
use stapled_core::stapler::Stapler;
use stapled_haproxy::{Haproxys, Processes};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::comparison::Comparing;
use crate::configuration::{Configuration, Mode};
use crate::control::{self, ControlSocket, ControlSocketError, Known};
use crate::daemon::{PidFile, PidFileError, Ready};
use crate::haproxys;
use crate::hook::Hook;
use crate::invocation::Invocation;
use crate::logging::{self, LogObserver, LoggingError};
use crate::once::once;
use crate::progress::Terminal;
use crate::signals::{Asked, Signals};
use crate::wiring::{self, WiringError};

/// How long the hook may take for what is to be told when everything ends.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// Why nothing ran, or why it does not run any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Logging(#[from] LoggingError),
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    #[error("--control-socket {0}")]
    ControlSocket(#[from] ControlSocketError),
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Wiring(#[from] WiringError),
    #[error("the pass broke off: {0}")]
    Scheduler(#[from] SchedulerError),
    #[error("the work broke off, which is a bug")]
    BrokenOff,
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
pub(crate) fn run(
    configuration: Configuration,
    invocation: Invocation,
    ready: &mut Option<Ready>,
) -> Result<ExitCode, RunError> {
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = match configuration.mode.clone() {
        Mode::OneOff { json, wait } => runtime.block_on(once(&configuration, json, wait)),
        Mode::Foreground { pid_file } | Mode::Background { pid_file } => {
            let pid_file = pid_file.as_deref().map(PidFile::create).transpose()?;
            let code = runtime.block_on(keep(configuration, Arc::new(invocation), ready));
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

async fn keep(
    mut configuration: Configuration,
    invocation: Arc<Invocation>,
    ready: &mut Option<Ready>,
) -> Result<ExitCode, RunError> {
    // First of all: before it is listened for, SIGHUP ends a process.
    let mut signals = Signals::new()?;
    let in_background = matches!(configuration.mode, Mode::Background { .. });
    let terminal = Terminal::plain();
    let logging = logging::start(&configuration.logging, (!in_background).then_some(&terminal))?;
    let mut hook = configuration.hook.as_ref().map(Hook::start);
    let processes = Processes::new();
    let mut haproxys = haproxys::open(&configuration, &processes).map_err(WiringError::from)?;
    let stapler = wiring::join(&configuration, &mut haproxys, observers(hook.as_ref()))?;
    let control = control_socket(&configuration)?;
    if let Some(ready) = ready.take() {
        ready.ready()?;
    }
    tracing::info!(event = "started", version = env!("CARGO_PKG_VERSION"), "stapled runs");
    note(&configuration);
    let known = Arc::new(Known::new(stapler.handle()));
    let answering = control.map(|socket| Answering::start(socket, Arc::clone(&known)));
    let mut running = Running::start(stapler);
    let mut comparing = Comparing::start(&mut haproxys, configuration.rescan);
    tell_systemd(&[NotifyState::Ready]);
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            () = haproxys.sockets_changed() => {
                let observers = observers(hook.as_ref());
                let joined = wiring::join(&configuration, &mut haproxys, observers);
                running = with_other_sockets(running, joined, &known).await;
                comparing = Comparing::start(&mut haproxys, configuration.rescan);
                continue;
            }
            _ = &mut running.task => return Err(RunError::BrokenOff),
        };
        if matches!(asked, Asked::Stop(_)) {
            break;
        }
        tell_reloading();
        let reloaded = reload(&configuration, &invocation, hook.as_ref(), &haproxys, &processes).await;
        if let Some((new, stapler, new_haproxys, new_hook)) = reloaded {
            running = running.replace(stapler, &known).await;
            if let Some(new_hook) = new_hook
                && let Some(old) = std::mem::replace(&mut hook, new_hook)
            {
                // What it is to be told yet does not hold up anything.
                tokio::spawn(old.finish(LAST_CALLS));
            }
            note(&new);
            haproxys = new_haproxys;
            configuration = new;
            comparing = Comparing::start(&mut haproxys, configuration.rescan);
            tracing::info!(event = "reloaded", "the configuration was read again and holds now");
        }
        tell_systemd(&[NotifyState::Ready]);
    }
    drop(comparing);
    tell_systemd(&[NotifyState::Stopping]);
    tracing::info!(event = "stopping", "stopping: what is in hand is finished first");
    if let Some(answering) = answering {
        answering.stop().await;
    }
    running.stop().await;
    if let Some(hook) = hook {
        hook.finish(LAST_CALLS).await;
    }
    tracing::info!(event = "stopped", "stopped");
    drop(logging);
    Ok(ExitCode::SUCCESS)
}

/// What a changed configuration comes to: a stapler that does not run yet, and another hook where it is another.
type Reloaded = (Configuration, Stapler, Haproxys, Option<Option<Hook>>);

/// Reads the configuration again. One that is wrong is refused whole, and told.
async fn reload(
    old: &Configuration,
    invocation: &Arc<Invocation>,
    hook: Option<&Hook>,
    haproxys: &Haproxys,
    processes: &Processes,
) -> Option<Reloaded> {
    let refused = |error: &dyn std::fmt::Display| {
        tracing::error!(
            event = "reload_refused",
            "the configuration is refused, and the old one stays in effect: {error}"
        );
    };
    let read = {
        let invocation = Arc::clone(invocation);
        tokio::task::spawn_blocking(move || invocation.configuration_now()).await
    };
    let new = match read {
        Ok(Ok(new)) => new,
        Ok(Err(error)) => {
            refused(&error);
            return None;
        }
        Err(error) => {
            refused(&error);
            return None;
        }
    };
    let new_hook = (hook.map(Hook::settings) != new.hook.as_ref()).then(|| new.hook.as_ref().map(Hook::start));
    let observers = match &new_hook {
        Some(new_hook) => observers(new_hook.as_ref()),
        None => observers(hook),
    };
    let joined = haproxys::open(&new, processes).map_err(WiringError::from).and_then(|mut opened| {
        opened.succeed(haproxys);
        let stapler = wiring::join(&new, &mut opened, observers)?;
        Ok((stapler, opened))
    });
    match joined {
        Ok((stapler, haproxys)) => {
            for setting in fixed(old, &new) {
                tracing::warn!(event = "restart_needed", setting, "{setting} has changed, which takes a restart");
            }
            Some((new, stapler, haproxys, new_hook))
        }
        Err(error) => {
            refused(&error);
            None
        }
    }
}

/// HAProxy's configuration names other admin sockets than before: another stapler goes on, with those.
async fn with_other_sockets(running: Running, joined: Result<Stapler, WiringError>, known: &Known) -> Running {
    match joined {
        Ok(stapler) => {
            let running = running.replace(stapler, known).await;
            tracing::info!(
                event = "sockets_changed",
                "other admin sockets than before are used now, as HAProxy's configuration and HAProxy have it"
            );
            running
        }
        Err(error) => {
            tracing::error!(event = "sockets_refused", "HAProxy's new admin sockets are not used: {error}");
            running
        }
    }
}

/// The settings that have changed and cannot while the program runs.
fn fixed(old: &Configuration, new: &Configuration) -> Vec<&'static str> {
    let changed = [
        ("one-off, daemon or pid-file", old.mode != new.mode),
        ("control-socket", old.control_socket != new.control_socket),
        ("haproxy-socket-keepalive", old.keepalive != new.keepalive),
        ("a setting of logging", old.logging != new.logging),
    ];
    changed.into_iter().filter(|(_, has_changed)| *has_changed).map(|(setting, _)| setting).collect()
}

fn observers(hook: Option<&Hook>) -> Vec<Arc<dyn Observer>> {
    let log: Arc<dyn Observer> = Arc::new(LogObserver);
    std::iter::once(log).chain(hook.map(Hook::observer)).collect()
}

/// A stapler at work.
struct Running {
    inventory: Arc<Inventory>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(stapler: Stapler) -> Self {
        let inventory = stapler.inventory();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(stapler.run(async {
            // Whoever could say so being gone says it, too.
            let _ = stopped.await;
        }));
        Running { inventory, stop, task }
    }

    /// Ends the work, so that nothing is delivered from two sides, and has another stapler go on with what is known.
    async fn replace(self, next: Stapler, known: &Known) -> Self {
        let inventory = Arc::clone(&self.inventory);
        self.stop().await;
        next.inherit(&inventory);
        known.replace(next.handle());
        Running::start(next)
    }

    async fn stop(self) {
        // Whoever does not listen has ended already.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Answers on the control socket.
struct Answering(JoinHandle<()>);

impl Answering {
    fn start(socket: ControlSocket, known: Arc<Known>) -> Self {
        let answers = async move {
            if let Err(error) = control::serve(socket, known).await {
                tracing::warn!(event = "control_unavailable", "`stapled status` will not be answered: {error}");
            }
        };
        Answering(tokio::spawn(answers))
    }

    /// Answers no more, and clears the socket's place.
    async fn stop(self) {
        self.0.abort();
        // That it was aborted is no news.
        let _ = self.0.await;
    }
}

/// The socket that was named, or that at the usual place, where it can be had.
fn control_socket(configuration: &Configuration) -> Result<Option<ControlSocket>, ControlSocketError> {
    if let Some(path) = &configuration.control_socket {
        return ControlSocket::make(path).map(Some);
    }
    match ControlSocket::make_usual(&control::usual_path()) {
        Ok(socket) => {
            tracing::debug!(event = "control", path = %socket.path().display(), "`stapled status` is answered");
            Ok(Some(socket))
        }
        Err(error) => {
            tracing::info!(event = "control_unavailable", "`stapled status` will not be answered: {error}");
            Ok(None)
        }
    }
}

pub(crate) fn note(configuration: &Configuration) {
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

fn tell_reloading() {
    // The time is what `Type=notify-reload` asks for.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell_systemd(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(event = "systemd_not_told", %error, "systemd could not be told"),
    }
}
