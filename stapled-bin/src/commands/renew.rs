//! `stapled renew`: makes the running daemon ask the CAs now.

use std::io::Write;

use clap::{ArgGroup, Args};
use stapled_core::control::client::unknown;
use stapled_core::control::protocol::{Line, Notice, Question};
use stapled_core::overview::columns::Columns;
use stapled_core::overview::{Row, Summary};
use stapled_core::stapler::Selection;
use stapled_core::time::span::Span;

use super::answer::CommandError;
use crate::control::{DaemonArguments, ask};
use crate::options::arguments::durations;
use crate::progress::Terminal;
use crate::stderr::say;
use crate::summary::{exit_code, write_table};
use crate::text::visible;

/// Make the running daemon ask the CAs now, past caches and pauses
///
/// For use after the revocation of a certificate, or after the repair of a CA. The daemon asks at once, verifies the
/// responses, and delivers staples to every server and file, as always: a bad answer does not remove a good staple, and
/// the number of open requests stays limited. With --wait the command returns when all of that is done, and shows the
/// result for each certificate.
#[derive(Args, Debug)]
#[command(
    after_long_help = AFTER_HELP,
    group = ArgGroup::new("which").required(true).args(["certificates", "responder", "all"])
)]
pub(crate) struct Renew {
    /// Names or serial numbers of certificates, or files
    #[arg(value_name = "CERT")]
    certificates: Vec<String>,

    /// All certificates with this responder: a host, HOST:PORT, or a URL
    #[arg(long, value_name = "HOST")]
    responder: Option<String>,

    /// All certificates
    #[arg(long)]
    all: bool,

    /// Wait until every result is there and every server has it, at most this long, such as 90, 90s or 15m [default with --wait alone: 1m]
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1m",
        value_parser = durations(1, 3600)
    )]
    wait: Option<Span>,

    #[command(flatten)]
    daemon: DaemonArguments,

    /// Print one object per line for each certificate as its result comes, then the totals
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  A certificate was revoked: take its staple out of service on every server
    stapled renew --wait www.example.org
  A CA's responder works again
    stapled renew --responder ocsp.example.net
  All certificates, with a limit of five minutes
    stapled renew --all --wait=5m --json

Output with --json, one object per line: that of `stapled status`, with outcome: new_staple, same_staple, revoked, failed
  (state, reason and servers say why), expired or gone; pending after the time limit; asked without --wait. Lines with
  progress (done, of) come in between while the answer takes long. The last line has totals and daemon.

Exit codes:
  0    with --wait: these certificates are in order, by the rules of --one-off; without: the CAs are being asked
  1    with --wait: something is missing, failed or not done in time; always: a CERT is unknown, or no certificate has
       that responder
  2    wrong arguments or configuration file
  3    with --wait: a certificate is revoked, whatever else is the case
  4    no daemon answers on the socket, or its answer is incomplete
  5    this user may not ask the daemon, or, as a member of its --control-group, not for renewals";

impl Renew {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let client = self.daemon.client()?;
        let which = match &self.responder {
            Some(responder) => Selection::Responder(responder.clone()),
            None if self.all => Selection::All,
            None => Selection::Certificates(self.certificates.clone()),
        };
        let question =
            Question::Renew { which, wait: self.wait.map(|wait| u32::try_from(wait.as_secs()).unwrap_or(u32::MAX)) };
        let show = if self.json { Terminal::with_bar } else { Terminal::with_progress };
        let terminal = show("certificates");
        let mut rows: Vec<Row> = Vec::new();
        let last = ask(&client, &question, self.json, out, &mut |line| {
            match line {
                Line::Row(row) => rows.push((**row).clone()),
                Line::Notice(Notice::Progress { done, of }) => terminal.show(*done, *of),
                _ => {}
            }
            true
        });
        terminal.finish();
        let last = last?;
        let mut code = exit_code(last.verdict);
        for unknown in self.unknown(&rows) {
            say(&unknown);
            code = code.max(1);
        }
        if !self.json {
            let summary = Summary::counted(rows, last.totals);
            let written = match self.wait {
                Some(_) => write_table(&summary, Columns::Outcome, out),
                None => writeln!(
                    out,
                    "certificates that the CAs are asked about: {}; `stapled status` shows the results, --wait waits for them",
                    last.totals.total
                ),
            };
            written.map_err(|error| CommandError::Output { error, code })?;
        }
        out.flush().map_err(|error| CommandError::Output { error, code })?;
        Ok(code)
    }

    /// A message for each name that no certificate or file has.
    fn unknown(&self, rows: &[Row]) -> Vec<String> {
        if let (Some(responder), true) = (&self.responder, rows.is_empty()) {
            return vec![format!("no certificate has the responder {}: see `stapled check`", visible(responder))];
        }
        let in_words = |name: &String| {
            let is_duration = self.wait.is_some() && name.parse::<Span>().is_ok();
            let hint = if is_duration { format!("; for a limit of time write --wait={name}") } else { String::new() };
            format!("nothing is known of {}{hint}", visible(name))
        };
        unknown(&self.certificates, rows).into_iter().map(in_words).collect()
    }
}
