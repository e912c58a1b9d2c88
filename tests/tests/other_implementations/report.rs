//! The results of a run, in tables.

use std::collections::BTreeMap;
use std::fmt;

use crate::judges::Verdict;
use crate::kinds::{Implementation, Kind, OTHERS};
use crate::ours::Ours;

/// The counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) versions: String,
    /// The responses that we and every implementation judged.
    pub(crate) judged: u64,
    /// The number of these that the implementations' own programs judged as well.
    pub(crate) shown: u64,
    /// The number that we accept as good, and that every implementation refuses for a reason of its own.
    pub(crate) alone: u64,
    pub(crate) failures: Vec<String>,
    outcomes: BTreeMap<(Implementation, &'static str), u64>,
    kinds: BTreeMap<(Implementation, &'static str), usize>,
}

impl Report {
    pub(crate) fn agreed(&mut self, implementation: Implementation, status: Option<&str>) {
        let outcome = match status {
            Some("good") => "both good",
            Some(_) => "both revoked or unknown",
            None => "both refuse",
        };
        *self.outcomes.entry((implementation, outcome)).or_default() += 1;
    }

    pub(crate) fn differed(
        &mut self,
        implementation: Implementation,
        ours: &Ours,
        theirs: &Verdict,
        names: &[&'static str],
    ) {
        let outcome = match (&ours.status, &theirs.status) {
            (None, _) => "only we refuse",
            (_, None) => "only they refuse",
            _ => "other status",
        };
        *self.outcomes.entry((implementation, outcome)).or_default() += 1;
        for name in names {
            *self.kinds.entry((implementation, name)).or_default() += 1;
        }
    }

    /// The number of occurrences of a kind.
    pub(crate) fn count(&self, implementation: Implementation, name: &'static str) -> usize {
        self.kinds.get(&(implementation, name)).copied().unwrap_or_default()
    }

    /// Whether a kind has occurred with any implementation: the implementation depends on versions too.
    pub(crate) fn has_seen(&self, kind: &Kind) -> bool {
        kind.implementations.iter().any(|implementation| self.count(*implementation, kind.name) > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |first: &str, cells: [String; 3]| {
            writeln!(f, "{first:32} {:>12} {:>12} {:>12}", cells[0], cells[1], cells[2])
        };
        line("", OTHERS.map(|implementation| implementation.name().to_owned()))?;
        for outcome in [
            "both good",
            "both revoked or unknown",
            "both refuse",
            "only we refuse",
            "only they refuse",
            "other status",
        ] {
            let count =
                |implementation| self.outcomes.get(&(implementation, outcome)).copied().unwrap_or_default().to_string();
            line(outcome, OTHERS.map(count))?;
        }
        line("explained by", [const { String::new() }; 3])?;
        let mut names: Vec<_> = self.kinds.keys().map(|(_, name)| *name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let count = |implementation| match self.count(implementation, name) {
                0 => "-".to_owned(),
                count => count.to_string(),
            };
            line(&format!("  {name}"), OTHERS.map(count))?;
        }
        writeln!(f, "{}", self.versions)?;
        write!(
            f,
            "{} responses judged by all, {} of them by openssl and ocsptool too; {} held for good and refused by each \
             implementation for a reason of its own; {} failures; ",
            self.judged,
            self.shown,
            self.alone,
            self.failures.len()
        )
    }
}
