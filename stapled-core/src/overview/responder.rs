//! Responders as rows: one for each host that certificates name.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::layout::{self, Cell, Column, Cut, Paint};
use super::relative::Times;
use crate::describe::visible::Visible;
use crate::io::screen::Screen;
use crate::stapler::responders::ResponderStatus;
use crate::time::Timestamp;

/// One responder. Times are RFC 3339.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub struct ResponderRow {
    /// Host and port.
    pub responder: String,
    /// Whether it is left alone, because it failed several times in a row.
    pub left_alone: bool,
    /// Until when.
    pub left_alone_until: Option<String>,
    /// How many requests without an answer came last.
    pub failures: u32,
    /// How many certificates name it.
    pub certificates: usize,
    /// How many requests are under way.
    pub under_way: usize,
    /// How many renewals are due and wait.
    pub waiting: usize,
    /// How long the last exchange took, in milliseconds.
    pub last_milliseconds: Option<u64>,
    /// When its last answer was believed.
    pub last_success: Option<String>,
    /// When it last gave no answer that is believed.
    pub last_error: Option<String>,
    /// The reason, as a stable word.
    pub reason: Option<Cow<'static, str>>,
    /// The reason in words.
    pub what: Option<String>,
}

impl ResponderRow {
    /// The fields of the JSON object, as text for a manual.
    pub const FIELDS: &str = "\
responder, left_alone, left_alone_until, failures
  (requests without an answer, in a row), certificates, under_way, waiting, last_milliseconds, last_success, last_error, reason, what.";

    /// The row of a responder.
    pub fn of(status: &ResponderStatus) -> Self {
        let text = |at: Timestamp| at.to_string();
        let error = status.last_error.as_ref();
        ResponderRow {
            responder: status.host.clone(),
            left_alone: status.left_alone_until.is_some(),
            left_alone_until: status.left_alone_until.map(text),
            failures: status.failures,
            certificates: status.certificates,
            under_way: status.under_way,
            waiting: status.waiting,
            last_milliseconds: status.last_took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            last_success: status.last_success.map(text),
            last_error: error.map(|error| text(error.since)),
            reason: error.map(|error| Cow::Borrowed(error.code.as_str())),
            what: error.map(|error| error.what.clone()),
        }
    }

    /// Whether no answer came last, or none was ever believed. An answer that is refused concerns its certificate only.
    pub fn is_failing(&self) -> bool {
        self.left_alone || self.failures > 0 || (self.last_error.is_some() && self.last_success.is_none())
    }

    /// Whether the last error is no older than the last success.
    fn is_error_last(&self) -> bool {
        let at = |time: &Option<String>| time.as_deref().and_then(Timestamp::from_text);
        self.last_error.is_some() && at(&self.last_error) >= at(&self.last_success)
    }

    fn state(&self) -> (&'static str, Paint) {
        match (self.left_alone, self.is_failing(), &self.last_success) {
            (true, ..) => ("left alone", Paint::Bad),
            (_, true, _) => ("failing", Paint::Doubtful),
            (_, _, Some(_)) => ("good", Paint::Good),
            (_, _, None) => ("not asked", Paint::Plain),
        }
    }
}

/// Responders as a table of text, one line for each, those that fail first, then the last error of each one that has
/// given no better answer since, in words.
#[derive(Clone, Debug)]
pub struct ResponderTable {
    rows: Vec<ResponderRow>,
    now: Timestamp,
    screen: Screen,
}

impl ResponderTable {
    /// The table of these rows, with times as seen from `now`; as wide as it needs to be, and without colours.
    pub fn new(mut rows: Vec<ResponderRow>, now: Timestamp) -> Self {
        rows.sort_by_key(|row| (!row.left_alone, !row.is_failing()));
        ResponderTable { rows, now, screen: Screen::default() }
    }

    /// The same, as wide as this screen allows, and in its colours.
    #[must_use]
    pub fn on(self, screen: Screen) -> Self {
        ResponderTable { screen, ..self }
    }
}

/// Head, rank and least width of each column.
const COLUMNS: [(&str, u8, usize); 8] = [
    ("RESPONDER", 0, 24),
    ("STATE", 0, 11),
    ("CERTIFICATES", 2, 12),
    ("WAITING", 0, 7),
    ("LATENCY", 0, 8),
    ("LAST SUCCESS", 1, 12),
    ("ASKED AGAIN", 4, 12),
    ("LAST ERROR", 3, 20),
];

impl Display for ResponderTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let times = Times::From(self.now);
        let columns = COLUMNS.map(|(head, rank, least)| Column { head, rank, least, cut: Cut::KeepsBegin });
        let cells = |row: &ResponderRow| -> Vec<Cell> {
            let (state, paint) = row.state();
            let error = match (&row.reason, &row.last_error) {
                (Some(reason), Some(at)) => format!("{reason}, {}", times.word(Some(at))),
                _ => "-".to_owned(),
            };
            let latency = row.last_milliseconds.map_or("-".to_owned(), |took| format!("{took} ms"));
            vec![
                Visible::new(&row.responder).to_string().into(),
                Cell { text: state.to_owned(), paint },
                row.certificates.to_string().into(),
                row.waiting.to_string().into(),
                latency.into(),
                times.word(row.last_success.as_deref()).into(),
                times.word(row.left_alone_until.as_deref()).into(),
                Visible::new(&error).to_string().into(),
            ]
        };
        if self.rows.is_empty() {
            return writeln!(f, "no responders: no certificate names one");
        }
        let rows: Vec<Vec<Cell>> = self.rows.iter().map(cells).collect();
        layout::write(f, &columns, &rows, self.screen)?;
        for row in self.rows.iter().filter(|row| row.is_error_last()) {
            if let (Some(what), Some(at)) = (&row.what, &row.last_error) {
                let (host, what) = (Visible::new(&row.responder), Visible::new(what));
                writeln!(f, "{host}: {what} ({})", times.word(Some(at)))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responders_that_fail_come_first_with_their_error() {
        let now = Timestamp::from_text("2026-11-22T06:00:00Z").unwrap();
        let good = ResponderRow {
            responder: "a.test:80".to_owned(),
            last_success: Some("2026-11-22T05:59:00Z".to_owned()),
            last_error: Some("2026-11-21T05:59:00Z".to_owned()),
            last_milliseconds: Some(12),
            ..ResponderRow::default()
        };
        let down = ResponderRow {
            responder: "b.test:80".to_owned(),
            left_alone: true,
            last_error: Some("2026-11-22T05:58:00Z".to_owned()),
            reason: Some("timed_out".into()),
            what: Some("no answer\nwithin 15 s".to_owned()),
            waiting: 7,
            ..ResponderRow::default()
        };
        let text = ResponderTable::new(vec![good, down], now).on(Screen::of_width(80)).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("b.test:80  left alone") && lines[1].contains("  7  "), "{text}");
        assert!(lines[2].starts_with("a.test:80  good") && lines[2].contains("12 ms    60 s ago"), "{text}");
        assert_eq!(lines[3], "b.test:80: no answer\\nwithin 15 s (2 min ago)");
        assert!(lines.iter().take(3).all(|line| line.len() <= 80), "{text}");
        assert_eq!(ResponderTable::new(vec![], now).to_string(), "no responders: no certificate names one\n");
    }
}
