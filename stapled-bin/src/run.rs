//! The run of the program: one pass, or until a signal stops it. A reload replaces the configuration meanwhile.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stapled_core::control::Control;
use stapled_core::control::service_manager::ServiceManager;
use stapled_core::hook::automation::Automation;
use stapled_core::metrics::Metrics;
use stapled_core::responder::Responder;
use stapled_core::stapler::running::Running;
use stapled_core::stapler::{Handle, Stapler};
use stapled_haproxy::{Haproxys, Processes};
use tokio::task::JoinSet;

use crate::configuration::{Configuration, Invocation, Mode};
use crate::control;
use crate::daemon::{PidFile, Ready};
use crate::logging;
use crate::once::once;
use crate::options::declarations as option;
use crate::progress::{LINES, Terminal};
use crate::run_error::{RunError, log_notes};
use crate::show::{self, counted, show};
use crate::signals::{Asked, Signals};
use crate::wiring::{self, WiringError};

/// How long the hook may run for the last events, when the program ends.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// How long reading the configuration again may take.
const READING: Duration = Duration::from_secs(30);

/// Runs as configured, and returns the exit code. `ready` reports to the process that was started, if this is a process in
/// the background.
pub(crate) fn run(
    mut configuration: Configuration,
    invocation: Invocation,
    ready: &mut Option<Ready>,
) -> Result<u8, RunError> {
    configuration.notes.extend(raise_file_limit());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = match configuration.mode.clone() {
        Mode::OneOff { json, wait } => runtime.block_on(once(&configuration, json, wait)),
        Mode::Foreground { pid_file } | Mode::Background { pid_file } => {
            let pid_file = pid_file.as_deref().map(PidFile::create).transpose()?;
            let manager = Arc::new(ServiceManager::of_process());
            let work = keep(configuration, Arc::new(invocation), ready, &manager);
            let code = runtime.block_on(manager.beside(work));
            drop(pid_file);
            code
        }
    };
    // Name look-ups and file accesses that hang are abandoned.
    runtime.shutdown_background();
    code
}

/// How many files are enough for the daemon, whatever it does: fewer are told.
const ENOUGH_FILES: u64 = 512;

/// Raises the limit of open files: stapled may keep thousands of sockets open, and the usual soft limit of 1024 is only
/// for programs that use `select`. Returns what to tell about a limit that is low.
fn raise_file_limit() -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files could not be raised");
    }
    let limit = getrlimit(Resource::Nofile).current.filter(|limit| *limit < ENOUGH_FILES)?;
    Some(format!(
        "at most {limit} files may be open: what needs more fails and is tried again; raise the limit (LimitNOFILE= of a \
         systemd unit, ulimit -n)"
    ))
}

/// Keeps staples fresh until a signal stops the process.
async fn keep(
    mut configuration: Configuration,
    invocation: Arc<Invocation>,
    ready: &mut Option<Ready>,
    manager: &Arc<ServiceManager>,
) -> Result<u8, RunError> {
    // First of all: SIGHUP ends a process that has no handler for it.
    let mut signals = Signals::new()?;
    let in_background = matches!(configuration.mode, Mode::Background { .. });
    let terminal = Terminal::plain();
    let logging = logging::start(&configuration.logging, (!in_background).then_some(&terminal))?;
    let mut automation = logging.automation(&configuration);
    let metrics = configuration.monitoring.metrics();
    let handshakes = metrics.as_ref().map(counted);
    let processes = Processes::new();
    let mut haproxys = wiring::haproxys(&configuration, &processes).map_err(WiringError::from)?;
    let responder = configuration.serving.as_ref().map(|_| Responder::new());
    let (shown, served) = (metrics.as_ref(), responder.as_ref());
    let stapler = wiring::stapler(&configuration, &mut haproxys, &automation, shown, served, [])?;
    let socket = control::socket(&configuration)?;
    if let Some(ready) = ready.take() {
        ready.ready()?;
    }
    tracing::info!(event = "started", version = env!("CARGO_PKG_VERSION"), "stapled runs");
    log_notes(&configuration);
    let verbosity = logging.verbosity.clone();
    let mut control = Control::new(env!("CARGO_PKG_VERSION"), stapler.handle()).log_level(move |level| {
        level.into_iter().for_each(|level| verbosity.set(level));
        verbosity.get()
    });
    if let Some(responder) = responder.clone() {
        control = control.answered(move || responder.questions());
    }
    let watch = {
        let (control, metrics, manager) = (control.clone(), metrics.clone(), Arc::clone(manager));
        move |handle: &Handle| {
            control.replace(handle.clone());
            metrics.iter().for_each(|metrics| metrics.watch(handle.clone()));
            manager.watch(handle.clone());
            let starting = handle.clone();
            tokio::spawn(async move {
                let report = |line: &str| tracing::info!(event = "starting", "starting: {line}");
                // The wait fails only if the stapler ends, which is reported elsewhere.
                let _ = starting.ready_with_progress(LINES, report).await;
            });
        }
    };
    watch(&stapler.handle());
    let mut showing = show(&configuration.monitoring, shown, &control).await?;
    if let (Some(serving), Some(responder)) = (&configuration.serving, served) {
        metrics.iter().for_each(|metrics| metrics.add(responder.numbers()));
        show::answer(responder, &serving.addresses, &mut showing).await?;
    }
    let mut answering = JoinSet::from_iter(socket.map(|socket| control::answer(socket, control.clone())));
    let mut running = Running::start(stapler).watched_by(watch);
    let interval = |of: &Configuration| of.settings.get(&option::REFRESH_INTERVAL);
    let mut accompanying = haproxys.accompany(interval(&configuration), handshakes.as_ref());
    manager.ready();
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            () = haproxys.sockets_changed() => {
                match wiring::stapler(&configuration, &mut haproxys, &automation, shown, served, []) {
                    Ok(stapler) => {
                        running = running.replace(stapler).await;
                        let what = "other admin sockets are used now, because HAProxy's configuration has changed";
                        tracing::info!(event = "sockets_changed", "{what}");
                    }
                    Err(error) => {
                        tracing::error!(event = "sockets_refused", "HAProxy's new admin sockets are not used: {error}");
                    }
                }
                accompanying = haproxys.accompany(interval(&configuration), handshakes.as_ref());
                continue;
            }
            () = running.broken_off() => return Err(RunError::BrokenOff),
        };
        if matches!(asked, Asked::Stop(_)) {
            break;
        }
        manager.reloading();
        tracing::debug!(event = "reloading", "reading the configuration again");
        let reloaded = tokio::select! {
            biased;
            // A file that cannot be read, such as one on a network file system, does not keep the program from stopping.
            () = signals.stop_only() => break,
            reloaded = reload(&configuration, &invocation, &automation, (shown, served), &haproxys, &processes) => reloaded,
        };
        if let Some((new, stapler, new_haproxys, new_automation)) = reloaded {
            running = running.replace(stapler).await;
            if let Some(new_automation) = new_automation {
                // Its last runs do not delay the new stapler.
                tokio::spawn(std::mem::replace(&mut automation, new_automation).finish(Some(LAST_CALLS)));
            }
            log_notes(&new);
            haproxys = new_haproxys;
            configuration = new;
            accompanying = haproxys.accompany(interval(&configuration), handshakes.as_ref());
            tracing::info!(event = "reloaded", "the configuration was read again and is in effect");
        }
        manager.ready();
    }
    drop((accompanying, showing));
    manager.stopping();
    tracing::info!(event = "stopping", "stopping: work that has begun is finished first");
    answering.shutdown().await;
    running.stop().await;
    automation.finish(Some(LAST_CALLS)).await;
    tracing::info!(event = "stopped", "stopped");
    drop(logging);
    Ok(0)
}

/// The result of a reload: a configuration, a stapler that does not run yet, its HAProxys, and the hook and the reload command if
/// their settings have changed.
type Reloaded = (Configuration, Stapler, Haproxys, Option<Automation>);

/// Reads the configuration again. A configuration with an error is refused as a whole, and logged.
async fn reload(
    old: &Configuration,
    invocation: &Arc<Invocation>,
    automation: &Automation,
    (metrics, responder): (Option<&Metrics>, Option<&Responder>),
    haproxys: &Haproxys,
    processes: &Processes,
) -> Option<Reloaded> {
    let refused = |error: &dyn std::fmt::Display| {
        tracing::error!(
            event = "reload_refused",
            "the configuration is refused, and the old one stays in effect: {error}"
        );
        None
    };
    let read = {
        let invocation = Arc::clone(invocation);
        let reading = tokio::task::spawn_blocking(move || invocation.configuration_now());
        tokio::time::timeout(READING, reading).await
    };
    let new = match read {
        Ok(Ok(Ok(new))) => new,
        Ok(Ok(Err(error))) => return refused(&error),
        Ok(Err(error)) => return refused(&error),
        Err(_) => return refused(&format!("it could not be read within {} seconds", READING.as_secs())),
    };
    let new_automation = automation.changed(new.hook.as_ref(), &new.reloads);
    let automation = new_automation.as_ref().unwrap_or(automation);
    let joined = wiring::haproxys(&new, processes).map_err(WiringError::from).and_then(|mut opened| {
        opened.succeed(haproxys);
        let stapler = wiring::stapler(&new, &mut opened, automation, metrics, responder, [])?;
        Ok((stapler, opened))
    });
    match joined {
        Ok((stapler, haproxys)) => {
            for setting in fixed(old, &new) {
                tracing::warn!(event = "restart_needed", setting, "{setting} has changed, which needs a restart");
            }
            Some((new, stapler, haproxys, new_automation))
        }
        Err(error) => refused(&error),
    }
}

/// The settings that have changed, and take effect only after a restart.
fn fixed(old: &Configuration, new: &Configuration) -> Vec<&'static str> {
    let keepalive = |of: &Configuration| of.settings.get(&option::HAPROXY_SOCKET_KEEPALIVE);
    let addresses = |of: &Configuration| of.serving.as_ref().map(|serving| serving.addresses.clone());
    let changed = [
        ("one-off, daemon or pid-file", old.mode != new.mode),
        ("listen", addresses(old) != addresses(new)),
        ("control-socket", old.control_socket != new.control_socket),
        ("http, metrics-file or metrics-certificates", old.monitoring != new.monitoring),
        ("control-group", old.control_group != new.control_group),
        ("haproxy-socket-keepalive", keepalive(old) != keepalive(new)),
        ("a setting of logging", old.logging != new.logging),
    ];
    changed.into_iter().filter(|(_, has_changed)| *has_changed).map(|(setting, _)| setting).collect()
}
