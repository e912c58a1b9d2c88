//! `stapled status`: asks the running daemon how everything stands.

use std::io::{self, IsTerminal, Write};

use clap::Args;

use super::answer::{CommandError, UNANSWERED, UNREACHABLE, USAGE};
use crate::control::{Client, ClientError, DaemonArguments, Last, Line, Question, whole_names};
use crate::stderr::say;
use crate::summary::{Row, Summary};

/// Ask the running stapled how everything stands
///
/// Tells of each certificate its state and the reason, since when, when it is tried again, until when its staple lasts,
/// and what each server has.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Status {
    /// Only these: names or serial numbers of certificates, or files [default: all]
    #[arg(value_name = "CERTIFICATE")]
    of: Vec<String>,

    #[command(flatten)]
    daemon: DaemonArguments,

    /// Print one object a line per certificate, then the totals
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Output with --json, one object a line; what is not known is null:
  certificate, serial, files, must_staple, outage (clients refuse it: it is must-staple and lacks a staple), state,
  reason (a stable word), what (the same in words, and what to do), since, next_try, staple_until, and servers: a list
  of server, state, reason, what, since, next_try, served_until. Times are RFC 3339. The last line has totals and daemon.

Exit codes:
  0    all is well, as --one-off means it
  1    something is not: a staple is missing, could not be renewed or not be delivered, or a file is unreadable; or
       nothing is known of what was asked for
  2    wrong arguments or configuration file
  3    a certificate is revoked, whatever else there is
  4    no daemon answers on the socket, or not to the end";

impl Status {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let client = match self.daemon.client() {
            Ok(client) => client,
            Err(error) => {
                say(&error);
                return Ok(USAGE);
            }
        };
        let question = Question::Status { of: whole_names(&self.of) };
        let answered = match self.json {
            true => client.ask(&question, &mut |line, _| writeln!(out, "{line}")),
            false => table(&client, &question, out),
        };
        let last = match answered {
            Ok(Ok(last)) => last,
            Ok(Err(error)) => {
                say(&error);
                return Ok(UNREACHABLE);
            }
            Err(error) => return Err(CommandError::Output { error, code: UNANSWERED }),
        };
        let mut code = last.totals.exit_code;
        if last.totals.total == 0 && !self.of.is_empty() {
            say(&format!("nothing is known of {}", self.of.join(", ")));
            code = code.max(1);
        }
        out.flush().map_err(|error| CommandError::Output { error, code })?;
        Ok(code)
    }
}

fn table(client: &Client, question: &Question, out: &mut dyn Write) -> io::Result<Result<Last, ClientError>> {
    let mut rows: Vec<Row> = Vec::new();
    let answered = client.ask(question, &mut |_, line| {
        if let Line::Row(row) = line {
            rows.push(*row);
        }
        Ok(())
    })?;
    if let Ok(Last { daemon, .. }) = &answered {
        Summary::with(rows).write_status(out, io::stdout().is_terminal())?;
        writeln!(
            out,
            "stapled {}, process {}, running since {}, configured {}",
            crate::text::visible(&daemon.version),
            daemon.pid,
            crate::text::visible(&daemon.since),
            crate::text::visible(&daemon.configured)
        )?;
    }
    Ok(answered)
}
