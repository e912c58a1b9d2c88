//! Why a task is due: the typed cause that travels with it.
//!
//! Stages match on the variants. The word of a cause is for messages and for schedulers that keep their tasks as text;
//! [`Display`](fmt::Display) writes it and [`FromStr`] reads it back.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::reason::ReasonCode;

/// The prefix of the word of [`Cause::Failed`]. No other word has a colon after these letters.
const FAILED: &str = "failed:";

/// Why a task is due.
///
/// Each cause has a word, which [`Display`](fmt::Display) writes and [`FromStr`] reads:
///
/// ```
/// use stapled_core::reason::ReasonCode;
/// use stapled_core::task::Cause;
///
/// let cause = Cause::failed(ReasonCode::new("timed_out"));
/// assert_eq!(cause.to_string(), "failed:timed_out");
/// assert_eq!("failed:timed_out".parse(), Ok(cause));
/// assert_eq!("quota".parse(), Ok(Cause::Other("quota".into())));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The task is a first one, or follows one that succeeded.
    #[default]
    Regular,
    /// A certificate was found in a source; a renewal of it may be planned already.
    Found,
    /// An issuer was not found at the first look, and is looked for once more before that is reported.
    SecondLook,
    /// An operator or another server made the CA's answer urgent: the renewal is neither spread nor put off.
    Requested,
    /// The clock was set, so the planned time may be wrong.
    ClockSet,
    /// The renewal was late and was spread over the remaining time, once.
    Spread,
    /// The lease of the task ended without a commit: its worker panicked, was dropped, or lost its store.
    LeaseLost,
    /// The attempt before this one failed, with this reason code. The code is for people; no decision depends on it.
    Failed(Cow<'static, str>),
    /// A cause of another program, or of another version of this one, by its word. A known word in it reads back as that
    /// cause.
    Other(Arc<str>),
}

impl Cause {
    /// The cause of the task that follows a failure with this code.
    pub fn failed(code: ReasonCode) -> Self {
        Cause::Failed(Cow::Borrowed(code.as_str()))
    }

    /// The causes with a word of their own.
    const FIXED: [(Cause, &'static str); 7] = [
        (Cause::Regular, "regular"),
        (Cause::Found, "found"),
        (Cause::SecondLook, "second_look"),
        (Cause::Requested, "requested"),
        (Cause::ClockSet, "clock_set"),
        (Cause::Spread, "spread"),
        (Cause::LeaseLost, "lease_lost"),
    ];
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Failed(code) => write!(f, "{FAILED}{code}"),
            Cause::Other(word) => f.write_str(word),
            fixed => {
                let known = Cause::FIXED.iter().find(|(cause, _)| cause == fixed);
                f.write_str(known.map_or("regular", |(_, word)| word))
            }
        }
    }
}

/// Reads the word of a cause. Every text is a cause: an unknown word becomes [`Cause::Other`], so that a program can
/// share a store with a newer version of itself.
impl FromStr for Cause {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        if let Some(code) = word.strip_prefix(FAILED) {
            return Ok(Cause::Failed(Cow::Owned(code.to_owned())));
        }
        let known = Cause::FIXED.iter().find(|(_, known)| *known == word);
        Ok(known.map_or_else(|| Cause::Other(word.into()), |(cause, _)| cause.clone()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One of each variant. The match makes a new variant a compile error here.
    fn all() -> Vec<Cause> {
        let mut all = vec![Cause::failed(ReasonCode::new("timed_out")), Cause::Other("quota".into())];
        all.extend(Cause::FIXED.iter().map(|(cause, _)| cause.clone()));
        let variant = |cause: &Cause| match cause {
            Cause::Regular => 0,
            Cause::Found => 1,
            Cause::SecondLook => 2,
            Cause::Requested => 3,
            Cause::ClockSet => 4,
            Cause::Spread => 5,
            Cause::LeaseLost => 6,
            Cause::Failed(_) => 7,
            Cause::Other(_) => 8,
        };
        let mut variants: Vec<i32> = all.iter().map(variant).collect();
        variants.sort_unstable();
        assert_eq!(variants, (0..9).collect::<Vec<_>>());
        all
    }

    #[test]
    fn every_cause_reads_back_from_its_word() {
        for cause in all() {
            let word = cause.to_string();
            assert_eq!(word.parse(), Ok(cause), "{word}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_a_cause_with_that_word(text in ".*") {
            let Ok(cause) = text.parse::<Cause>();
            prop_assert_eq!(cause.to_string(), text);
        }
    }
}
