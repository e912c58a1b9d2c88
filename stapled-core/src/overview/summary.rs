//! Rows with their totals, and the same in words.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

#[cfg(feature = "serde")]
use super::json::{Counted, json_line};
use super::row::{Row, Server, ServerState, State, Verdict};
use super::totals::Totals;
use crate::describe::visible::Visible;
use crate::inventory::Inventory;

/// Rows with their totals. `Display` writes each problem in words, with the certificates that have it, then the totals.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// The rows.
    pub rows: Vec<Row>,
    /// Their totals.
    pub totals: Totals,
}

impl Summary {
    /// The summary of an inventory.
    pub fn of(inventory: &Inventory) -> Self {
        Summary::with(Row::all(inventory))
    }

    /// The summary of these rows. Outages come first, then what an operator must act on, the most urgent first; of equals, the
    /// certificate whose staple ends first.
    pub fn with(mut rows: Vec<Row>) -> Self {
        let ends = |row: &Row| (row.verdict() != Verdict::Fine).then(|| row.staple_until.clone());
        rows.sort_by_cached_key(|row| (!row.outage, Reverse(row.verdict()), ends(row)));
        let mut totals = Totals::default();
        rows.iter().for_each(|row| totals.count(row));
        Summary { rows, totals }
    }

    /// These rows, with totals that were counted elsewhere.
    pub fn counted(rows: Vec<Row>, totals: Totals) -> Self {
        Summary { rows, totals }
    }

    /// One JSON object per line: every row, then the totals with the exit code of the command that prints them.
    #[cfg(feature = "serde")]
    pub fn to_json(&self, exit_code: u8) -> String {
        #[derive(serde::Serialize)]
        struct Line<'a> {
            totals: Counted<'a>,
        }
        let rows: String = self.rows.iter().map(json_line).collect();
        rows + &json_line(&Line { totals: Counted { totals: &self.totals, exit_code } })
    }

    /// How many rows miss something that can still come.
    pub fn count_recoverable(&self) -> usize {
        self.rows.iter().filter(|row| row.may_recover()).count()
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
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (what, names) in self.problems() {
            let what = Visible::new(&what).to_string();
            match names.as_slice() {
                [name] if what.starts_with(&Visible::new(name).to_string()) => writeln!(f, "{what}")?,
                [name] => writeln!(f, "{}: {what}", Visible::new(name))?,
                [one, two] => writeln!(f, "{}, {}: {what}", Visible::new(one), Visible::new(two))?,
                [one, two, more @ ..] => {
                    let (one, two) = (Visible::new(one), Visible::new(two));
                    writeln!(f, "{one}, {two} and {} more: {what}", more.len())?;
                }
                [] => {}
            }
        }
        writeln!(f, "{}", self.totals)
    }
}

impl Row {
    /// The state with its reason code, and whether it is an outage: `OUTAGE: failed (timed_out)`.
    pub fn state_in_words(&self) -> String {
        let urgent = if self.outage { "OUTAGE: " } else { "" };
        match &self.code {
            Some(code) => format!("{urgent}{} ({code})", self.state),
            None => format!("{urgent}{}", self.state),
        }
    }

    /// How many servers have confirmed, and which have not: `3 of 3`, or `2 of 3; NAME: pending`.
    pub fn servers_in_words(&self) -> String {
        let wanted: Vec<&Server> =
            self.servers.iter().filter(|server| server.state != ServerState::NotWanted).collect();
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
            words.push_str(&format!("; {}: {code}", Visible::new(&server.server)));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: State, servers: &[ServerState]) -> Row {
        let server = |state: &ServerState| Server { server: "/s".to_owned(), state: *state, ..Server::default() };
        let servers = servers.iter().map(server).collect();
        Row { certificate: Some("example.org".to_owned()), state, servers, ..Row::default() }
    }

    #[test]
    fn the_worst_row_decides_the_verdict() {
        use State::*;
        for (rows, expected) in [
            (vec![], Verdict::Fine),
            (vec![row(Good, &[])], Verdict::Fine),
            (vec![row(Good, &[ServerState::Confirmed, ServerState::NotWanted])], Verdict::Fine),
            (vec![row(Expired, &[]), row(NotApplicable, &[]), row(NoCertificate, &[])], Verdict::Fine),
            (vec![row(Good, &[ServerState::Confirmed, ServerState::Failed])], Verdict::Failed),
            (vec![row(Good, &[ServerState::Pending])], Verdict::Failed),
            (vec![row(Good, &[ServerState::Withdrawn])], Verdict::Failed),
            (vec![row(Failed, &[ServerState::Confirmed])], Verdict::Failed),
            (vec![row(Good, &[ServerState::Confirmed]), row(Problem, &[])], Verdict::Failed),
            (vec![row(Unreadable, &[])], Verdict::Failed),
            (vec![row(Waiting, &[])], Verdict::Failed),
            (vec![row(MustStapleWithoutUrl, &[])], Verdict::Failed),
            (vec![row(Revoked, &[ServerState::Withdrawn]), row(Good, &[ServerState::Confirmed])], Verdict::Revoked),
            (vec![row(Revoked, &[]), row(Problem, &[])], Verdict::Revoked),
        ] {
            let count = rows.len();
            let Summary { rows, totals } = Summary::with(rows);
            assert_eq!(totals.verdict, expected, "{rows:?}");
            assert_eq!(totals.total, count);
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn json_ends_with_the_totals() {
        let text = Summary::with(vec![row(State::Revoked, &[])]).to_json(3);
        let objects: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[0]["state"], "revoked");
        assert_eq!(objects[1]["totals"]["exit_code"], 3);
        assert_eq!(objects[1]["totals"]["revoked"], 1);
    }

    #[test]
    fn a_problem_of_many_certificates_is_written_once() {
        let mut rows = vec![row(State::Failed, &[]), row(State::Failed, &[]), row(State::Failed, &[])];
        for (row, name) in rows.iter_mut().zip(["a\n", "b", "c"]) {
            (row.certificate, row.what) = (Some(name.to_owned()), Some("no answer".to_owned()));
        }
        assert_eq!(
            Summary::with(rows).to_string(),
            "a\\n, b and 1 more: no answer\n3 in all, 3 failed; no staple from the CA: 3\n"
        );
    }
}
