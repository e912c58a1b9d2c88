//! Reason codes: the stable words for what happened, the same in logs, metrics, JSON and hooks.

use std::fmt;

/// A stable, documented word for one outcome, such as `bad_signature`.
///
/// Codes are lower case with underscores; one colon may set off a detail, as in `error_status:try_later`. A code never
/// changes its meaning; new ones are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(&'static str);

impl ReasonCode {
    /// A code, for sinks, sources and fetchers outside of this crate.
    pub const fn new(code: &'static str) -> Self {
        ReasonCode(code)
    }

    /// The code as text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
