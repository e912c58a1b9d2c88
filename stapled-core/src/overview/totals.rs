//! The numbers of rows in each state.

use std::fmt;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::row::{Row, State, Verdict};

/// How many rows there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub struct Totals {
    /// All rows.
    pub total: usize,
    /// Rows in the state [`State::Good`].
    pub good: usize,
    /// Rows in the state [`State::Failed`].
    pub failed: usize,
    /// Rows in the state [`State::Revoked`].
    pub revoked: usize,
    /// Rows in the state [`State::Expired`].
    pub expired: usize,
    /// Rows in the state [`State::NotApplicable`].
    pub not_applicable: usize,
    /// Rows in the state [`State::Off`].
    #[cfg_attr(feature = "serde", serde(default))]
    pub off: usize,
    /// Rows in the state [`State::MustStapleWithoutUrl`].
    pub must_staple_without_url: usize,
    /// Rows in the state [`State::Problem`].
    pub problem: usize,
    /// Rows in the state [`State::NoCertificate`].
    pub no_certificate: usize,
    /// Rows in the state [`State::Unreadable`].
    pub unreadable: usize,
    /// Rows in the state [`State::Waiting`].
    pub waiting: usize,
    /// Certificates without a staple because their CA gave none, or none in time.
    #[cfg_attr(feature = "serde", serde(default))]
    pub unanswered: usize,
    /// Staples that there are, and that a server, or the files, did not confirm.
    pub undelivered: usize,
    /// Must-staple certificates that clients refuse because a staple is missing.
    pub outages: usize,
    /// The most urgent verdict of a row. Not a part of the JSON object.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub verdict: Verdict,
}

impl Totals {
    /// Counts one more row.
    pub fn count(&mut self, row: &Row) {
        self.total += 1;
        let count = match row.state {
            State::Good => &mut self.good,
            State::Failed => &mut self.failed,
            State::Revoked => &mut self.revoked,
            State::Expired => &mut self.expired,
            State::NotApplicable => &mut self.not_applicable,
            State::Off => &mut self.off,
            State::MustStapleWithoutUrl => &mut self.must_staple_without_url,
            State::Problem => &mut self.problem,
            State::NoCertificate => &mut self.no_certificate,
            State::Unreadable => &mut self.unreadable,
            State::Waiting => &mut self.waiting,
        };
        *count += 1;
        self.unanswered += usize::from(row.lacks_answer());
        self.undelivered += row.undelivered();
        self.outages += usize::from(row.outage);
        self.verdict = self.verdict.max(row.verdict());
    }

    /// The number of rows in each state, with the state's stable name.
    #[cfg(feature = "metrics")]
    pub(crate) fn by_state(&self) -> [(&'static str, usize); 10] {
        [
            ("good", self.good),
            ("failed", self.failed),
            ("revoked", self.revoked),
            ("expired", self.expired),
            ("not_applicable", self.not_applicable),
            ("must_staple_without_url", self.must_staple_without_url),
            ("problem", self.problem),
            ("no_certificate", self.no_certificate),
            ("unreadable", self.unreadable),
            ("waiting", self.waiting),
        ]
    }

    /// The verdict on these totals, if they are those of everything that is known. It is a failure if there is no certificate at
    /// all: a mistake in a path would look like success otherwise.
    pub fn verdict_on_all(&self) -> Verdict {
        let least = if self.certificates() == 0 { Verdict::Failed } else { Verdict::Fine };
        self.verdict.max(least)
    }

    /// How many rows there are of certificates: not of files without one, and not of what cannot be read.
    pub fn certificates(&self) -> usize {
        self.total.saturating_sub(self.no_certificate).saturating_sub(self.unreadable)
    }
}

/// One line for people.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total == 0 {
            return f.write_str("no certificates");
        }
        if self.outages > 0 {
            write!(f, "OUTAGE: {} must-staple without a staple; ", self.outages)?;
        }
        write!(f, "{} in all", self.total)?;
        for (count, words) in [
            (self.good, "good"),
            (self.failed, "failed"),
            (self.revoked, "REVOKED"),
            (self.expired, "expired"),
            (self.not_applicable, "without OCSP URL"),
            (self.off, "off"),
            (self.must_staple_without_url, "must-staple without OCSP URL"),
            (self.problem, "with problems"),
            (self.no_certificate, "without a certificate"),
            (self.unreadable, "unreadable"),
            (self.waiting, "not processed yet"),
        ] {
            if count > 0 {
                write!(f, ", {count} {words}")?;
            }
        }
        if self.unanswered > 0 {
            write!(f, "; no staple from the CA: {}", self.unanswered)?;
        }
        if self.undelivered > 0 {
            write!(f, "; not taken by a server: {}", self.undelivered)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Server, ServerState};
    use super::*;

    #[test]
    fn the_totals_count_what_is_missing() {
        let mut totals = Totals::default();
        assert_eq!(totals.to_string(), "no certificates");
        let server = |state| Server { state, ..Server::default() };
        let servers = vec![server(ServerState::Confirmed), server(ServerState::Failed)];
        totals.count(&Row { state: State::Good, servers, ..Row::default() });
        totals.count(&Row { outage: true, state: State::Waiting, ..Row::default() });
        let words =
            "OUTAGE: 1 must-staple without a staple; 2 in all, 1 good, 1 not processed yet; not taken by a server: 1";
        assert_eq!(totals.to_string(), words);
    }

    /// What no server can have, since the CA does not answer, is no fault of the servers.
    #[test]
    fn the_totals_name_the_cause_of_what_is_missing() {
        let totals_of = |state, staple_until: Option<&str>, servers: &[ServerState]| {
            let server = |state: &ServerState| Server { state: *state, ..Server::default() };
            let servers = servers.iter().map(server).collect();
            let mut totals = Totals::default();
            totals.count(&Row { state, staple_until: staple_until.map(str::to_owned), servers, ..Row::default() });
            (totals.unanswered, totals.undelivered)
        };
        use ServerState::{Confirmed, Failed, Pending, Withdrawn};
        for (state, until, servers, expected) in [
            (State::Failed, None, &[Pending, Pending][..], (1, 0)),
            (State::Failed, Some("later"), &[Withdrawn, Withdrawn], (1, 0)),
            (State::Failed, Some("later"), &[Confirmed, Confirmed], (0, 0)),
            (State::Failed, Some("later"), &[Confirmed, Failed], (0, 1)),
            (State::Failed, Some("later"), &[Confirmed, Pending], (0, 1)),
            (State::Good, Some("later"), &[Confirmed, Pending, Failed], (0, 2)),
            (State::Revoked, None, &[Withdrawn, Failed], (0, 0)),
        ] {
            assert_eq!(totals_of(state, until, servers), expected, "{state:?} {servers:?}");
        }
        let mut totals = Totals::default();
        (0..8).for_each(|_| totals.count(&Row { state: State::Failed, ..Row::default() }));
        assert_eq!(totals.to_string(), "8 in all, 8 failed; no staple from the CA: 8");
    }
}
