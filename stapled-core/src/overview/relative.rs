//! Times as people read them: `in 3 h`, `2 d ago`.

use std::time::Duration;

use crate::describe::visible::Visible;
use crate::time::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Up to twice its length, a span is given in the smaller unit: `90 min` says more than `1 h`.
const SPANS: [(u64, &str); 4] = [(2 * MINUTE, "s"), (2 * HOUR, "min"), (2 * DAY, "h"), (1000 * DAY, "d")];

/// A length of time in one unit, rounded down: `45 s`, `90 min`, `47 h`, `12 d`.
pub(super) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let unit = SPANS.iter().zip([1, MINUTE, HOUR, DAY]).find(|((limit, _), _)| seconds < *limit);
    match unit {
        Some(((_, name), one)) => format!("{} {name}", seconds / one),
        None => format!("{} y", seconds / (365 * DAY)),
    }
}

/// An instant as seen from `now`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    match (at.since(now), now.since(at)) {
        (ahead, _) if ahead >= Duration::from_secs(1) => format!("in {}", span(ahead)),
        (_, past) if past >= Duration::from_secs(1) => format!("{} ago", span(past)),
        _ => "now".to_owned(),
    }
}

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// As they are in JSON.
    Absolute,
    /// As seen from this instant.
    From(Timestamp),
}

impl Times {
    /// A time of a row; `-` for none. Text that is no time stays as it is.
    pub(super) fn word(self, time: Option<&str>) -> String {
        let Some(time) = time else { return "-".to_owned() };
        match (self, Timestamp::from_text(time)) {
            (Times::From(now), Some(at)) => relative(at, now),
            _ => Visible::new(time).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        let now = Timestamp::from_unix(1_800_000_000);
        let at = |seconds: i64| relative(Timestamp::from_unix(1_800_000_000 + seconds), now);
        for (seconds, words) in [
            (0, "now"),
            (45, "in 45 s"),
            (-119, "119 s ago"),
            (-120, "2 min ago"),
            (3 * 3600, "in 3 h"),
            (-2 * 86_400, "2 d ago"),
            (2000 * 86_400, "in 5 y"),
        ] {
            assert_eq!(at(seconds), words);
        }
        assert!(relative(Timestamp::MAX, Timestamp::MIN).starts_with("in "));
        assert_eq!(Times::From(now).word(Some("some\nday")), "some\\nday");
        assert_eq!(Times::Absolute.word(Some("2027-01-15T08:00:00Z")), "2027-01-15T08:00:00Z");
    }
}
