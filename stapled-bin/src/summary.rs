//! The summary of `stapled_core::overview` as commands print it, and its exit code.

use std::io::{self, Write};

use stapled_core::io::screen::Screen;
use stapled_core::overview::columns::{Columns, Table};
use stapled_core::overview::{Summary, Verdict};

/// The exit code of a verdict.
pub(crate) fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Fine => 0,
        Verdict::Failed => 1,
        Verdict::Revoked => 3,
    }
}

/// A table for standard output, then the problems in words and the totals.
pub(crate) fn write_table(summary: &Summary, columns: Columns, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{}{summary}", Table::new(&summary.rows, columns).on(Screen::of_output()))
}

#[cfg(test)]
mod tests {
    use stapled_core::overview::Row;
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
}
