//! The summary of `stapled_core::overview` as commands print it, and its exit code.

use std::io::{self, Write};

use serde::Serialize;
use stapled_core::control::protocol::{Daemon, Last};
use stapled_core::io::screen::Screen;
use stapled_core::overview::columns::{Columns, Table};
use stapled_core::overview::json::json_line;
use stapled_core::overview::{Row, Summary, Totals, Verdict};

/// The exit code of a verdict.
pub(crate) fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Fine => 0,
        Verdict::Failed => 1,
        Verdict::Revoked => 3,
    }
}

/// The last line of JSON: the totals with the exit code, and what a daemon says of itself.
pub(crate) fn last_line(totals: &Totals, verdict: Verdict, of: Option<&Last>) -> String {
    #[derive(Serialize)]
    struct Counted<'a> {
        #[serde(flatten)]
        totals: &'a Totals,
        exit_code: u8,
    }
    #[derive(Serialize)]
    struct Line<'a> {
        totals: Counted<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        scanning: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        daemon: Option<&'a Daemon>,
    }
    let totals = Counted { totals, exit_code: exit_code(verdict) };
    json_line(&Line { totals, scanning: of.map(|last| last.scanning), daemon: of.map(|last| &last.daemon) })
}

/// One JSON object per line: every row, then the totals.
pub(crate) fn write_json(rows: &[Row], totals: &Totals, verdict: Verdict, out: &mut dyn Write) -> io::Result<()> {
    rows.iter().try_for_each(|row| out.write_all(json_line(row).as_bytes()))?;
    out.write_all(last_line(totals, verdict, None).as_bytes())
}

/// A table for standard output, then the problems in words and the totals.
pub(crate) fn write_table(summary: &Summary, columns: Columns, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}{summary}", Table::new(&summary.rows, columns).on(Screen::of_output()))
}

#[cfg(test)]
mod tests {
    use stapled_core::overview::row::{Server, ServerState, State};

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
        for (rows, expected) in [
            (vec![], 0),
            (vec![row(State::Good, &[ServerState::Confirmed, ServerState::NotWanted])], 0),
            (vec![row(State::Good, &[ServerState::Confirmed]), row(State::Problem, &[])], 1),
            (vec![row(State::Revoked, &[]), row(State::Problem, &[])], 3),
        ] {
            assert_eq!(exit_code(Summary::with(rows).totals.verdict), expected);
        }
        for (rows, expected) in [
            (vec![], 1),
            (vec![row(State::NoCertificate, &[]), row(State::NoCertificate, &[])], 1),
            (vec![row(State::NoCertificate, &[]), row(State::NotApplicable, &[])], 0),
            (vec![row(State::Revoked, &[])], 3),
        ] {
            assert_eq!(exit_code(Summary::with(rows).totals.verdict_on_all()), expected);
        }
    }

    #[test]
    fn outside_of_terminals_the_table_has_one_line_for_each_row() {
        let mut bad = row(State::Good, &[ServerState::Confirmed, ServerState::Failed]);
        bad.certificate = Some("a\nb".to_owned());
        bad.servers.last_mut().unwrap().what = Some("/s: does not exist".to_owned());
        let mut out = Vec::new();
        let summary = Summary::with(vec![bad]);
        write_table(&summary, Columns::Few, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines.get(1).unwrap().starts_with("a\\nb") && lines.get(1).unwrap().contains("1 of 2; /s: pending"),
            "{text}"
        );
        assert_eq!(lines.get(3), Some(&"1 in all, 1 good; not taken by a server: 1"));
    }

    #[test]
    fn json_ends_with_the_totals() {
        let mut out = Vec::new();
        let Summary { rows, totals, .. } = Summary::with(vec![row(State::Revoked, &[])]);
        write_json(&rows, &totals, totals.verdict, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let objects: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 2);
        assert_eq!(objects.first().unwrap().get("state").unwrap(), "revoked");
        assert_eq!(objects.last().unwrap().pointer("/totals/exit_code").unwrap(), 3);
        assert_eq!(objects.last().unwrap().pointer("/totals/revoked").unwrap(), 1);
    }
}
