//! `stapled status`: asks the running daemon for the state of everything.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use stapled_core::overview::columns::Columns;
use stapled_core::overview::{Row, Summary};

use super::answer::{CommandError, UNANSWERED};
use crate::control::client::{DaemonArguments, whole_names};
use crate::control::protocol::{Line, Question};
use crate::stderr::say;
use crate::summary::write_table;

/// Ask the running daemon for the state of everything
///
/// Shows for each certificate its state and the reason, since when that holds, when it is tried again, until when its
/// staple is valid, and what each server has.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Status {
    /// Names or serial numbers of certificates, or files [default: all]
    #[arg(value_name = "CERTIFICATE")]
    of: Vec<String>,

    #[command(flatten)]
    daemon: DaemonArguments,

    /// Print one object per line for each certificate, then the totals
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Output with --json, one object per line; an unknown value is null:
  certificate, serial, files, must_staple, outage (it is must-staple and lacks a staple, so that clients refuse it), state,
  reason (a stable word), what (the reason in words, and what to do), since, next_try, staple_until, and servers: a list
  of server, state, reason, what, since, next_try, served_until. Times are RFC 3339. The last line has totals, scanning (whether the
  first scan goes on, so that certificates are missing here) and daemon.

Exit codes:
  0    everything is in order, by the rules of --one-off
  1    something is not: a staple is missing, could not be renewed or could not be delivered, or a file is unreadable;
       or the first scan is not finished, no certificate was found, or none has the name that was given
  2    wrong arguments or configuration file
  3    a certificate is revoked, whatever else is the case
  4    no daemon answers on the socket, or its answer is incomplete
  5    this user may not ask the daemon";

impl Status {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let client = self.daemon.client()?;
        let question = Question::Status { of: whole_names(&self.of) };
        let mut rows: Vec<Row> = Vec::new();
        let last = client.ask(&question, &mut |text, line| match line {
            _ if self.json => writeln!(out, "{text}"),
            Line::Row(row) => {
                rows.push((**row).clone());
                Ok(())
            }
            _ => Ok(()),
        })?;
        let mut code = last.totals.exit_code;
        if !self.json {
            let output = |error| CommandError::Output { error, code: UNANSWERED };
            write_table(&Summary::with(rows), out, Columns::Times, io::stdout().is_terminal()).map_err(output)?;
            writeln!(out, "{}", last.daemon).map_err(output)?;
        }
        if last.scanning {
            say(&"the first scan is not finished: certificates are missing here");
        } else if last.totals.counts.total == 0 && self.of.is_empty() {
            say(&"no certificates found: see --cert-paths, --file-extensions and --recursive");
        }
        if last.totals.counts.total == 0 && !self.of.is_empty() {
            say(&format!("nothing is known of {}", self.of.join(", ")));
            code = code.max(1);
        }
        out.flush().map_err(|error| CommandError::Output { error, code })?;
        Ok(code)
    }
}
