//! `--one-off`: one pass with its summary; with `--wait`, one pass after another until nothing is missing or the time is
//! up.

use std::io::{self, Write};
use std::time::Duration;

use stapled_core::overview::columns::Columns;
use stapled_core::overview::{Summary, Verdict};
use stapled_core::stapler::passes::{Passed, passes};
use stapled_haproxy::Processes;

use crate::configuration::Configuration;
use crate::logging;
use crate::options::value::LogFormat;
use crate::progress::Terminal;
use crate::run_error::{RunError, log_notes};
use crate::signals::Signals;
use crate::summary::{exit_code, write_table};
use crate::wiring::{self, WiringError};

/// Makes the passes of `--one-off`, and returns the exit code.
pub(crate) async fn once(configuration: &Configuration, json: bool, wait: Option<Duration>) -> Result<u8, RunError> {
    let quiet = configuration.logging.quiet;
    let terminal = match (quiet, json || configuration.logging.format == LogFormat::Json) {
        (true, _) => Terminal::plain(),
        (false, true) => Terminal::with_bar("certificates"),
        (false, false) => Terminal::with_progress("certificates"),
    };
    let logging = logging::start(&configuration.logging, Some(&terminal))?;
    log_notes(configuration);
    let automation = logging.automation(configuration);
    let mut signals = Signals::new()?;
    let make = || {
        let mut haproxys = wiring::haproxys(configuration, &Processes::for_one_scan()).map_err(WiringError::from)?;
        Ok::<_, RunError>(wiring::stapler(configuration, &mut haproxys, &automation, None, None, terminal.observer())?)
    };
    let mut signal = 0;
    let passed =
        passes(make, wait, |missing, left| terminal.waits(missing, left), async { signal = signals.stop().await })
            .await?;
    terminal.finish();
    let is_told = automation.finish(None).await;
    let (inventory, is_whole) = match passed {
        Passed::Done(inventory) => (inventory, true),
        Passed::CutOff(inventory) => (inventory, false),
        _ => {
            tracing::warn!(event = "interrupted", "interrupted: not everything was done");
            return Ok(128 + signal);
        }
    };
    let summary = Summary::of(&inventory);
    let mut verdict = summary.totals.verdict_on_all();
    if !is_told || !is_whole {
        verdict = verdict.max(Verdict::Failed);
    }
    if !is_whole {
        // The inventory is incomplete.
        tracing::warn!(event = "cut_off", "the time was up before everything was processed");
    } else if summary.totals.certificates() == 0 {
        tracing::error!(
            event = "no_certificates",
            "no certificates found: see --cert-paths, --file-extensions and --recursive"
        );
    }
    // The log lines come before the summary.
    drop(logging);
    print(&summary, verdict, quiet, json);
    Ok(exit_code(verdict))
}

fn print(summary: &Summary, verdict: Verdict, quiet: bool, json: bool) {
    if quiet {
        if verdict != Verdict::Fine {
            // If standard error is closed, the exit code has to do.
            let _ = write!(io::stderr().lock(), "{summary}");
        }
        return;
    }
    let mut out = io::stdout().lock();
    let written = match json {
        true => out.write_all(summary.to_json(exit_code(verdict)).as_bytes()),
        false => write_table(summary, Columns::Few, &mut out),
    };
    // A reader that closed the pipe has seen enough.
    let _ = written.and_then(|()| out.flush());
}
