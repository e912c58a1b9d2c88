//! `stapled status`: asks the running daemon for the state of everything.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::control::client::Client;
use stapled_core::control::protocol::{Line, Question};
use stapled_core::io::screen::Screen;
use stapled_core::overview::columns::{Columns, Table};
use stapled_core::overview::details::Details;
use stapled_core::overview::nagios::NagiosCheck;
use stapled_core::overview::responder::{ResponderRow, ResponderTable};
use stapled_core::overview::{Row, Summary};
use stapled_core::time::span::Span;

use super::answer::{CommandError, UNANSWERED, answer};
use crate::control::{DaemonArguments, ask};
use crate::options::arguments::{durations, numbers};
use crate::options::declarations as option;
use crate::stderr::say;
use crate::summary::exit_code;
use crate::text::visible;

/// How much of a staple is left when a check becomes critical, unless something else is given.
const CRITICAL: Duration = Duration::from_secs(6 * 3600);

/// Ask the running daemon for the state of everything
///
/// Shows for each certificate on one line its state and the reason, since when that holds, when it is tried again, when the CA last
/// gave a good answer, until when its staple is valid, and what each server has. What needs the operator comes first. A wide
/// terminal shows more than a narrow one.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP.replace("{ROW}", Row::FIELDS).replace("{RESPONDER}", ResponderRow::FIELDS)
    .replace("{NAGIOS}", NagiosCheck::EXIT_CODES))]
pub(crate) struct Status {
    /// Names or serial numbers of certificates, or files; * stands for any characters, and ? for one [default: all]
    #[arg(value_name = "CERTIFICATE")]
    of: Vec<String>,

    #[command(flatten)]
    daemon: DaemonArguments,

    /// Show only what needs the operator
    #[arg(long)]
    problems: bool,

    /// Show only certificates whose staple ends within this time, or is missing, and is not replaced in time [default of HOURS:
    /// 24]
    #[arg(long, value_name = "HOURS", num_args = 0..=1, require_equals = true, default_missing_value = "24", value_parser = hours())]
    at_risk: Option<Duration>,

    /// Show all that is known about each certificate, on several lines: the serial number, files, each server with its last
    /// delivery
    #[arg(short, long)]
    verbose: bool,

    /// Show the responders instead: for each host whether it is left alone after failures, how long its last answer took,
    /// how many renewals wait for it, its certificates, its last success and its last error
    #[arg(long, conflicts_with_all = ["of", "problems", "at_risk", "verbose", "nagios"])]
    responders: bool,

    /// Show it again every few seconds, until the command is stopped [default of DURATION: 2s]
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        conflicts_with_all = ["json", "nagios"],
        value_parser = durations(1, 3600)
    )]
    watch: Option<Span>,

    /// Answer as a plugin of Nagios: one line with numbers for graphs, and its exit codes
    #[arg(long, conflicts_with = "json")]
    nagios: bool,

    /// With --nagios: a staple that ends within this time, and is not replaced in time, is a WARNING
    #[arg(short, long, value_name = "HOURS", default_value = "24", requires = "nagios", value_parser = hours())]
    warning: Duration,

    /// With --nagios: the same, as CRITICAL; `-c HOURS` says the same, since a number is no configuration file [default: 6]
    #[arg(long, value_name = "HOURS", requires = "nagios", value_parser = hours())]
    critical: Option<Duration>,

    /// Print one object per line for each certificate, then the totals
    #[arg(long)]
    json: bool,
}

fn hours() -> impl Fn(&str) -> Result<Duration, String> + Clone {
    |text| numbers("a number of hours", 0, 36_500 * 24)(text).map(|hours| Duration::from_secs(hours * 3600))
}

const AFTER_HELP: &str = "\
Examples:
  Show the certificates that need the operator, with the reasons
    stapled status --problems
  All about one certificate: serial number, last renewal, last delivery to each server
    stapled status -v www.example.org
  As a check of Icinga or Nagios, run by a user of the daemon's --control-group
    stapled status --nagios -w 24 -c 6

Times are relative: \"in 3 h\", \"2 d ago\". A staple that was kept from an earlier run counts as renewed at its thisUpdate.
  Colours are used on a terminal, unless NO_COLOR is set. COLUMNS sets the width.

Output with --json, one object per line; an unknown value is null:
  {ROW} The last line has totals, scanning (whether the first scan
  goes on, so that certificates are missing here) and daemon. With --responders: {RESPONDER}

Exit codes:
  0    everything is in order, by the rules of --one-off; with --responders: no responder fails
  1    something is not: a staple is missing, could not be renewed or could not be delivered, or a file is unreadable;
       or the first scan is not finished, no certificate was found, or none has the name that was given
  2    wrong arguments or configuration file
  3    a certificate is revoked, whatever else is the case
  4    no daemon answers on the socket, or its answer is incomplete
  5    this user may not ask the daemon

Exit codes with --nagios:
{NAGIOS}";

impl Status {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        if self.nagios {
            let (check, code) = self.check();
            return answer(out, &check, code);
        }
        let client = self.daemon.client()?;
        match self.watch {
            Some(pause) => self.watch(&client, pause.into(), out),
            None => self.show(&client, Screen::of_output(), out),
        }
    }

    /// The line of the check, with its exit code.
    fn check(&self) -> (String, u8) {
        // -c is --config everywhere else, and the critical hours of every plugin.
        let config = self.daemon.settings.get(&option::CONFIG);
        let hours_as_config = config.as_ref().and_then(|path| hours()(path.to_str()?).ok());
        let config = config.filter(|_| hours_as_config.is_none());
        let critical = self.critical.or(hours_as_config).unwrap_or(CRITICAL);
        let client = self.daemon.client_with(config.as_deref()).map_err(CommandError::from);
        let check = match client.and_then(|client| Ok(client.status(&self.of)?)) {
            Err(error) => NagiosCheck::unknown(&error.to_string()),
            Ok((_, last)) if last.scanning => NagiosCheck::unknown("the first scan is not finished"),
            Ok((rows, _)) if rows.is_empty() => NagiosCheck::unknown(&self.nothing_known()),
            Ok((rows, _)) => NagiosCheck::of(&rows, self.warning, critical, SystemClock.now()),
        };
        (check.to_string(), check.exit_code())
    }

    /// Shows the state again and again. On a terminal, each time over the last one.
    fn watch(&self, client: &Client, pause: Duration, out: &mut dyn Write) -> Result<u8, CommandError> {
        loop {
            let (screen, mut text) = (Screen::of_output(), Vec::new());
            if let Err(error) = self.show(client, screen, &mut text) {
                text.extend(format!("{error}\n").into_bytes());
            }
            let head = format!("stapled status at {}, every {} s\n", SystemClock.now(), pause.as_secs());
            let text = screen.drawn_over(&format!("{head}{}", String::from_utf8_lossy(&text)));
            answer(out, &text, UNANSWERED)?;
            std::thread::sleep(pause);
        }
    }

    /// Asks once, and shows the answer. Returns the exit code.
    fn show(&self, client: &Client, screen: Screen, out: &mut dyn Write) -> Result<u8, CommandError> {
        if self.responders {
            return self.show_responders(client, screen, out);
        }
        let now = SystemClock.now();
        let mut rows: Vec<Row> = Vec::new();
        let question = Question::Status { of: self.of.clone() };
        let last = ask(client, &question, self.json, out, &mut |line| {
            let Line::Row(row) = line else { return true };
            let is_shown = (!self.problems || row.needs_operator())
                && self.at_risk.is_none_or(|within| row.is_at_risk(now, within));
            if is_shown && !self.json {
                rows.push((**row).clone());
            }
            is_shown
        })?;
        if !self.json {
            let summary = Summary::counted(Summary::with(rows).rows, last.totals);
            let text = if self.verbose {
                let details = summary.rows.iter().map(|row| Details::new(row, now).to_string());
                format!("{}{}\n", details.collect::<String>(), summary.totals)
            } else {
                format!("{}{summary}", Table::new(&summary.rows, Columns::Times).seen_from(now).on(screen))
            };
            answer(out, &format!("{text}{}\n", last.daemon), UNANSWERED)?;
        }
        let is_empty = last.totals.total == 0;
        let note = match last.scanning {
            true => Some("the first scan is not finished: certificates are missing here".to_owned()),
            false => is_empty.then(|| self.nothing_known()),
        };
        match note {
            Some(note) if self.watch.is_some() => drop(answer(out, &format!("{note}\n"), UNANSWERED)?),
            Some(note) => say(&note),
            None => {}
        }
        Ok(exit_code(last.verdict).max(u8::from(is_empty && !self.of.is_empty())))
    }

    fn show_responders(&self, client: &Client, screen: Screen, out: &mut dyn Write) -> Result<u8, CommandError> {
        let mut rows: Vec<ResponderRow> = Vec::new();
        let last = ask(client, &Question::Responders {}, self.json, out, &mut |line| {
            if let Line::Responder(row) = line {
                rows.push((**row).clone());
            }
            true
        })?;
        let code = u8::from(rows.iter().any(ResponderRow::is_failing));
        let table = ResponderTable::new(rows, SystemClock.now()).on(screen);
        if self.json { Ok(code) } else { answer(out, &format!("{table}{}\n", last.daemon), code) }
    }

    fn nothing_known(&self) -> String {
        match self.of.is_empty() {
            true => "no certificates found: see --cert-paths, --file-extensions and --recursive".to_owned(),
            false => format!("nothing is known of {}", visible(&self.of.join(", "))),
        }
    }
}
