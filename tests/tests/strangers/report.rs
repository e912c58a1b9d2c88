//! What came out, in tables.

use std::collections::BTreeMap;
use std::fmt;

use crate::judges::Verdict;
use crate::kinds::{Kind, STRANGERS, Stranger};
use crate::ours::Ours;

/// The counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) versions: String,
    /// Responses, each judged by us and by every stranger.
    pub(crate) judged: u64,
    /// Of these, shown to the strangers' own programs as well.
    pub(crate) shown: u64,
    /// Held for good by us, and refused by every stranger for a reason of its own.
    pub(crate) alone: u64,
    pub(crate) failures: Vec<String>,
    outcomes: BTreeMap<(Stranger, &'static str), u64>,
    kinds: BTreeMap<(Stranger, &'static str), usize>,
}

impl Report {
    pub(crate) fn agreed(&mut self, stranger: Stranger, status: Option<&str>) {
        let outcome = match status {
            Some("good") => "both good",
            Some(_) => "both revoked or unknown",
            None => "both refuse",
        };
        *self.outcomes.entry((stranger, outcome)).or_default() += 1;
    }

    pub(crate) fn differed(&mut self, stranger: Stranger, ours: &Ours, theirs: &Verdict, names: &[&'static str]) {
        let outcome = match (&ours.status, &theirs.status) {
            (None, _) => "only we refuse",
            (_, None) => "only they refuse",
            _ => "other status",
        };
        *self.outcomes.entry((stranger, outcome)).or_default() += 1;
        for name in names {
            *self.kinds.entry((stranger, name)).or_default() += 1;
        }
    }

    /// How often a kind has occurred.
    pub(crate) fn count(&self, stranger: Stranger, name: &'static str) -> usize {
        self.kinds.get(&(stranger, name)).copied().unwrap_or_default()
    }

    /// Whether a kind has occurred; with whom is a question of versions, too.
    pub(crate) fn has_seen(&self, kind: &Kind) -> bool {
        kind.strangers.iter().any(|stranger| self.count(*stranger, kind.name) > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |first: &str, cells: [String; 3]| {
            writeln!(f, "{first:32} {:>12} {:>12} {:>12}", cells[0], cells[1], cells[2])
        };
        line("", STRANGERS.map(|stranger| stranger.name().to_owned()))?;
        for outcome in [
            "both good",
            "both revoked or unknown",
            "both refuse",
            "only we refuse",
            "only they refuse",
            "other status",
        ] {
            let count = |stranger| self.outcomes.get(&(stranger, outcome)).copied().unwrap_or_default().to_string();
            line(outcome, STRANGERS.map(count))?;
        }
        line("explained by", [const { String::new() }; 3])?;
        let mut names: Vec<_> = self.kinds.keys().map(|(_, name)| *name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let count = |stranger| match self.count(stranger, name) {
                0 => "-".to_owned(),
                count => count.to_string(),
            };
            line(&format!("  {name}"), STRANGERS.map(count))?;
        }
        writeln!(f, "{}", self.versions)?;
        write!(
            f,
            "{} responses judged by all, {} of them by openssl and ocsptool too; {} held for good and refused by each \
             stranger for a reason of its own; {} failures; ",
            self.judged,
            self.shown,
            self.alone,
            self.failures.len()
        )
    }
}
