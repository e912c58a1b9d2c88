//! `--one-off`: one pass with its summary; with `--wait`, one pass after another until nothing is missing or the time is
//! up.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use stapled_core::event::Observer;
use stapled_core::hook::automation::Automation;
use stapled_core::inventory::Inventory;
use stapled_core::overview::Summary;
use stapled_core::overview::columns::Columns;
use stapled_haproxy::Processes;
use tokio::time::Instant;

use crate::configuration::Configuration;
use crate::logging;
use crate::progress::{Progress, Terminal};
use crate::run_error::{RunError, log_notes};
use crate::signals::Signals;
use crate::summary::{Totals, write_json, write_table};
use crate::wiring::{self, WiringError};

/// The pause after the first pass that left something missing. It doubles after each pass, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How a pass ended.
enum Passed {
    /// Everything was processed.
    Done(Arc<Inventory>),
    /// The time was up before everything was processed.
    CutOff(Arc<Inventory>),
    /// A signal with this number ended it.
    Interrupted(u8),
}

/// Makes the passes of `--one-off`, and returns the exit code.
pub(crate) async fn once(configuration: &Configuration, json: bool, wait: Option<Duration>) -> Result<u8, RunError> {
    let quiet = configuration.logging.quiet;
    let terminal = if quiet { Terminal::plain() } else { Terminal::with_bar() };
    let logging = logging::start(&configuration.logging, Some(&terminal))?;
    log_notes(configuration);
    // With JSON, only a bar on a terminal shows progress.
    let progress = (!quiet && (!json || io::stderr().is_terminal())).then(|| Arc::new(Progress::on(terminal.clone())));
    let observer = progress.clone().map(|progress| progress as Arc<dyn Observer>);
    let automation = logging.automation(configuration);
    let mut signals = Signals::new()?;
    let passed = match wait {
        None => pass(configuration, &automation, observer.as_ref(), None, None, &mut signals).await?,
        Some(wait) => {
            gate(configuration, &automation, observer.as_ref(), wait, progress.as_deref(), &mut signals).await?
        }
    };
    terminal.finish();
    let is_told = automation.finish(None).await;
    let (inventory, is_whole) = match passed {
        Passed::Done(inventory) => (inventory, true),
        Passed::CutOff(inventory) => (inventory, false),
        Passed::Interrupted(number) => {
            tracing::warn!(event = "interrupted", "interrupted: not everything was done");
            return Ok(128 + number);
        }
    };
    let summary = Summary::of(&inventory);
    let mut totals = Totals::of_all(summary.totals);
    totals.exit_code = totals.exit_code.max(u8::from(!is_told));
    if !is_whole {
        // The inventory is incomplete.
        tracing::warn!(event = "cut_off", "the time was up before everything was processed");
        totals.exit_code = totals.exit_code.max(1);
    } else if totals.counts.certificates() == 0 {
        tracing::error!(
            event = "no_certificates",
            "no certificates found: see --cert-paths, --file-extensions and --recursive"
        );
    }
    // The log lines come before the summary.
    drop(logging);
    print(&summary, &totals, quiet, json);
    Ok(totals.exit_code)
}

/// Makes passes until nothing is missing that can still come, or the time is up.
async fn gate(
    configuration: &Configuration,
    automation: &Automation,
    observer: Option<&Arc<dyn Observer>>,
    wait: Duration,
    progress: Option<&Progress>,
    signals: &mut Signals,
) -> Result<Passed, RunError> {
    let deadline = Instant::now() + wait;
    let mut pause = FIRST_PAUSE;
    let mut before: Option<Arc<Inventory>> = None;
    loop {
        let inventory =
            match pass(configuration, automation, observer, before.as_deref(), Some(deadline), signals).await? {
                Passed::Done(inventory) => inventory,
                Passed::CutOff(inventory) => {
                    // The pass before, if it found more certificates.
                    let count = |inventory: &Inventory| inventory.known_certificates().len();
                    let told = before.filter(|before| count(before) > count(&inventory)).unwrap_or(inventory);
                    return Ok(Passed::CutOff(told));
                }
                interrupted @ Passed::Interrupted(_) => return Ok(interrupted),
            };
        let missing = Summary::of(&inventory).count_recoverable();
        let left = deadline.saturating_duration_since(Instant::now());
        if missing == 0 || left.is_zero() {
            return Ok(Passed::Done(inventory));
        }
        if let Some(progress) = progress {
            progress.waits(missing, left);
        }
        tokio::select! {
            number = signals.stop() => return Ok(Passed::Interrupted(number)),
            () = tokio::time::sleep(pause.min(left)) => {}
        }
        if Instant::now() >= deadline {
            return Ok(Passed::Done(inventory));
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        before = Some(inventory);
    }
}

async fn pass(
    configuration: &Configuration,
    automation: &Automation,
    observer: Option<&Arc<dyn Observer>>,
    before: Option<&Inventory>,
    deadline: Option<Instant>,
    signals: &mut Signals,
) -> Result<Passed, RunError> {
    let mut haproxys = wiring::haproxys(configuration, &Processes::for_one_scan()).map_err(WiringError::from)?;
    let stapler = wiring::stapler(configuration, &mut haproxys, automation, None, None, observer.cloned())?;
    if let Some(before) = before {
        stapler.inherit(before);
    }
    let (mut interrupted, mut is_cut_off) = (None, false);
    let until = async {
        tokio::select! {
            number = signals.stop() => interrupted = Some(number),
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => is_cut_off = true,
        }
    };
    // A pass that is stopped finishes its open transactions of HAProxy.
    let inventory = stapler.run_once(until).await?;
    Ok(match interrupted {
        Some(number) => Passed::Interrupted(number),
        None if is_cut_off => Passed::CutOff(inventory),
        None => Passed::Done(inventory),
    })
}

fn print(summary: &Summary, totals: &Totals, quiet: bool, json: bool) {
    if quiet {
        if totals.exit_code != 0 {
            // If standard error is closed, the exit code has to do.
            let _ = write!(io::stderr().lock(), "{summary}");
        }
        return;
    }
    let mut out = io::stdout().lock();
    let written = match json {
        true => write_json(&summary.rows, totals, &mut out),
        false => write_table(summary, Columns::Few, &mut out),
    };
    // A reader that closed the pipe has seen enough.
    let _ = written.and_then(|()| out.flush());
}
