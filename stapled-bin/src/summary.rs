//! The summary: rows of `stapled_core::overview`, their totals with the exit code, and both as tables, words and JSON.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::{Deserialize, Serialize};
use stapled_core::inventory::Inventory;
use stapled_core::overview::{self, Row, Server, ServerState, State, Verdict};

use crate::text::visible;

/// A terminal with fewer columns gets a table that is not fitted to its width.
const NARROW: u16 = 80;

/// The rows and totals of one pass, or of one answer of the daemon.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) rows: Vec<Row>,
    pub(crate) totals: Totals,
}

/// The totals, and the exit code that follows from the worst row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    #[serde(flatten)]
    pub(crate) counts: overview::Totals,
    pub(crate) exit_code: u8,
}

/// The columns of a table, besides certificate, files, state, staple and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// No others.
    Few,
    /// Since when the state holds, and when it is tried again.
    Times,
    /// The outcome of a renewal on demand.
    Outcome,
}

impl Totals {
    /// Counts one more row.
    pub(crate) fn count(&mut self, row: &Row) {
        self.counts.count(row);
        self.exit_code = self.exit_code.max(match row.verdict() {
            Verdict::Fine => 0,
            Verdict::Failed => 1,
            Verdict::Revoked => 3,
        });
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts.fmt(f)
    }
}

impl Summary {
    /// The summary of an inventory.
    pub(crate) fn of(inventory: &Inventory) -> Self {
        Summary::with(Row::all(inventory))
    }

    /// The summary of these rows. Outages come first.
    pub(crate) fn with(mut rows: Vec<Row>) -> Self {
        rows.sort_by_key(|row| !row.outage);
        let mut totals = Totals::default();
        rows.iter().for_each(|row| totals.count(row));
        Summary { rows, totals }
    }

    /// How many rows miss something that can still come.
    pub(crate) fn count_recoverable(&self) -> usize {
        self.rows.iter().filter(|row| row.may_recover()).count()
    }

    /// One JSON object per line: every row, then the totals.
    pub(crate) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Last<'a> {
            totals: &'a Totals,
        }
        for row in &self.rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        writeln!(out, "{}", serde_json::to_string(&Last { totals: &self.totals })?)
    }

    /// A table with these columns, then the problems in words and the totals.
    pub(crate) fn write_table(&self, out: &mut dyn Write, columns: Columns, on_terminal: bool) -> io::Result<()> {
        if !self.rows.is_empty() {
            writeln!(out, "{}", self.table(on_terminal, columns))?;
        }
        self.write_problems(out)
    }

    /// The problems in words, and the totals.
    pub(crate) fn write_problems(&self, out: &mut dyn Write) -> io::Result<()> {
        for (what, names) in self.problems() {
            let what = visible(&what);
            match names.as_slice() {
                [name] if what.starts_with(&visible(name)) => writeln!(out, "{what}")?,
                [name] => writeln!(out, "{}: {what}", visible(name))?,
                [one, two] => writeln!(out, "{}, {}: {what}", visible(one), visible(two))?,
                [one, two, more @ ..] => {
                    writeln!(out, "{}, {} and {} more: {what}", visible(one), visible(two), more.len())?;
                }
                [] => {}
            }
        }
        writeln!(out, "{}", self.totals)
    }

    /// Each problem once, with the names of the certificates that have it.
    fn problems(&self) -> Vec<(String, Vec<&str>)> {
        let mut problems: Vec<(String, Vec<&str>)> = Vec::new();
        let mut by_what: HashMap<String, usize> = HashMap::new();
        let mut add = |what: String, name| {
            let index = *by_what.entry(what.clone()).or_insert_with(|| {
                problems.push((what, Vec::new()));
                problems.len() - 1
            });
            if let Some((_, names)) = problems.get_mut(index) {
                names.push(name);
            }
        };
        for row in &self.rows {
            let name = row.certificate.as_deref().or(row.files.first().map(String::as_str)).unwrap_or_default();
            let urgent = if row.must_staple && row.verdict() != Verdict::Fine { "MUST-STAPLE: " } else { "" };
            if let Some(what) = &row.what
                && row.state != State::NoCertificate
            {
                add(format!("{urgent}{what}"), name);
            }
            for server in row.servers.iter().filter(|server| server.state != ServerState::Confirmed) {
                let Some(what) = &server.what else { continue };
                let prefix = if what.starts_with(&server.server) { "" } else { &format!("{}: ", server.server) };
                add(format!("{urgent}{prefix}{what}"), name);
            }
        }
        problems
    }

    fn table(&self, on_terminal: bool, columns: Columns) -> Table {
        let mut table = Table::new();
        table.load_preset(if on_terminal { presets::UTF8_FULL_CONDENSED } else { presets::NOTHING });
        // In a narrow terminal, lines that the terminal breaks are easier to read than narrow columns.
        let fits = on_terminal && table.width().is_some_and(|width| width >= NARROW);
        table.set_content_arrangement(match fits {
            true => ContentArrangement::Dynamic,
            false => ContentArrangement::Disabled,
        });
        let more: &[&str] = match columns {
            Columns::Few => &[],
            Columns::Times => &["SINCE", "NEXT TRY"],
            Columns::Outcome => &["RESULT"],
        };
        let first = ["CERTIFICATE", "FILE", "STATE"];
        table.set_header(first.iter().chain(more).chain(&["STAPLE UNTIL", "SERVERS"]));
        for row in &self.rows {
            table.add_row(cells(row, columns));
        }
        table
    }
}

/// The cells of a row.
fn cells(row: &Row, columns: Columns) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), visible);
    let urgent = if row.outage { "OUTAGE: " } else { "" };
    let state = match &row.code {
        Some(code) => format!("{urgent}{} ({code})", row.state),
        None => format!("{urgent}{}", row.state),
    };
    let files = row.files.iter().map(|file| visible(file)).collect::<Vec<_>>().join(", ");
    let mut cells = vec![or_dash(&row.certificate), files, state];
    match columns {
        Columns::Few => {}
        Columns::Times => cells.extend([visible(&row.since), or_dash(&row.next_try)]),
        Columns::Outcome => cells.push(row.outcome.map_or("-".to_owned(), |outcome| outcome.to_string())),
    }
    cells.extend([or_dash(&row.staple_until), servers_in_words(&row.servers)]);
    cells
}

/// `3 of 3`, or how many have confirmed and which have not.
fn servers_in_words(servers: &[Server]) -> String {
    let wanted: Vec<&Server> = servers.iter().filter(|server| server.state != ServerState::NotWanted).collect();
    if wanted.is_empty() {
        return "-".to_owned();
    }
    let confirmed = wanted.iter().filter(|server| server.state == ServerState::Confirmed).count();
    let mut words = format!("{confirmed} of {}", wanted.len());
    for server in wanted.iter().filter(|server| server.state != ServerState::Confirmed) {
        let code = server.code.as_deref().unwrap_or(match server.state {
            ServerState::Withdrawn => "withdrawn",
            _ => "pending",
        });
        words.push_str(&format!("; {}: {code}", visible(&server.server)));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: State, servers: &[ServerState]) -> Row {
        let mut row = Row::default();
        row.certificate = Some("example.org".to_owned());
        row.state = state;
        row.servers = servers
            .iter()
            .map(|state| {
                let mut server = Server::default();
                server.server = "/s".to_owned();
                server.state = *state;
                server
            })
            .collect();
        row
    }

    #[test]
    fn the_worst_row_decides_the_exit_code() {
        use State::*;
        for (rows, expected) in [
            (vec![], 0),
            (vec![row(Good, &[])], 0),
            (vec![row(Good, &[ServerState::Confirmed, ServerState::NotWanted])], 0),
            (vec![row(Expired, &[]), row(NotApplicable, &[]), row(NoCertificate, &[])], 0),
            (vec![row(Good, &[ServerState::Confirmed, ServerState::Failed])], 1),
            (vec![row(Good, &[ServerState::Pending])], 1),
            (vec![row(Good, &[ServerState::Withdrawn])], 1),
            (vec![row(Failed, &[ServerState::Confirmed])], 1),
            (vec![row(Good, &[ServerState::Confirmed]), row(Problem, &[])], 1),
            (vec![row(Unreadable, &[])], 1),
            (vec![row(Waiting, &[])], 1),
            (vec![row(MustStapleWithoutUrl, &[])], 1),
            (vec![row(Revoked, &[ServerState::Withdrawn]), row(Good, &[ServerState::Confirmed])], 3),
            (vec![row(Revoked, &[]), row(Problem, &[])], 3),
        ] {
            let count = rows.len();
            let Summary { rows, totals } = Summary::with(rows);
            assert_eq!(totals.exit_code, expected, "{rows:?}");
            assert_eq!(totals.counts.total, count);
        }
    }

    #[test]
    fn outside_of_terminals_the_table_has_one_line_for_each_row() {
        let mut bad = row(State::Good, &[ServerState::Confirmed, ServerState::Failed]);
        bad.certificate = Some("a\nb".to_owned());
        bad.servers.last_mut().unwrap().what = Some("/s: does not exist".to_owned());
        let mut out = Vec::new();
        Summary::with(vec![bad]).write_table(&mut out, Columns::Few, false).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines.get(1).unwrap().starts_with("a\\nb") && lines.get(1).unwrap().contains("1 of 2; /s: pending"),
            "{text}"
        );
        assert_eq!(lines.get(3), Some(&"1 in all, 1 good; 1 deliveries missing"));
    }

    #[test]
    fn json_ends_with_the_totals() {
        let mut out = Vec::new();
        Summary::with(vec![row(State::Revoked, &[])]).write_json(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let objects: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 2);
        assert_eq!(objects.first().unwrap().get("state").unwrap(), "revoked");
        assert_eq!(objects.last().unwrap().pointer("/totals/exit_code").unwrap(), 3);
        assert_eq!(objects.last().unwrap().pointer("/totals/revoked").unwrap(), 1);
    }
}
