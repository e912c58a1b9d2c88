//! Rows as the answer of a check for Nagios, Icinga and their relatives: one line with numbers for graphs, and a code.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::relative::span;
use super::row::{Row, State};
use super::totals::Totals;
use crate::describe::visible::Visible;
use crate::time::Timestamp;

/// How many certificates the line names.
const NAMED: usize = 3;

/// The levels of that world, with its exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Level {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

/// The answer of a check: `Display` writes its line.
///
/// CRITICAL: clients refuse a must-staple certificate, a certificate is revoked, or less than `critical` is left of a staple and
/// nothing replaces it in time. WARNING: less than `warning` is left, a place cannot be used, or a server lacks a staple.
/// UNKNOWN: nothing is known. A renewal that failed while enough is left is OK.
#[derive(Clone, Debug)]
pub struct NagiosCheck {
    level: Level,
    what: String,
    numbers: String,
}

impl NagiosCheck {
    /// The exit codes and their meaning, as text for a manual.
    pub const EXIT_CODES: &str = "\
  0    OK; a renewal that failed while the staple is good for long enough is no more than that
  1    WARNING: less than -w is left of a staple that is not replaced in time, a place cannot be used, or a server lacks a staple
  2    CRITICAL: less than -c is left, a must-staple certificate has no staple somewhere, or a certificate is revoked
  3    UNKNOWN: no daemon answers, this user may not ask it, it knows no certificate yet, or the arguments are wrong";

    /// The answer about these rows at this time.
    pub fn of(rows: &[Row], warning: Duration, critical: Duration, now: Timestamp) -> Self {
        let mut totals = Totals::default();
        rows.iter().for_each(|row| totals.count(row));
        let mut bad: Vec<(Level, String)> = Vec::new();
        for row in rows {
            let level = level(row, warning, critical, now);
            if level != Level::Ok {
                bad.push((level, words(row, now)));
            }
        }
        bad.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
        let level = bad.first().map_or(Level::Ok, |(level, _)| *level);
        let mut what: Vec<String> = bad.iter().take(NAMED).map(|(_, words)| words.clone()).collect();
        if bad.len() > NAMED {
            what.push(format!("{} more", bad.len() - NAMED));
        }
        if what.is_empty() {
            what.push(totals.to_string());
        }
        let shortest = rows.iter().filter_map(|row| row.staple_left(now)).min();
        let (warning, critical) = (warning.as_secs(), critical.as_secs());
        let shortest = shortest.map(|left| format!(" shortest={}s;{warning}:;{critical}:;0", left.as_secs()));
        let Totals { total, good, failed, revoked, undelivered, outages, .. } = totals;
        let unusable = totals.problem + totals.unreadable + totals.must_staple_without_url;
        let numbers = format!(
            "rows={total} good={good} failed={failed} revoked={revoked} unusable={unusable} undelivered={undelivered} \
             outages={outages}{}",
            shortest.unwrap_or_default()
        );
        NagiosCheck { level, what: what.join("; "), numbers }
    }

    /// The answer where nothing is known, for this reason.
    pub fn unknown(why: &str) -> Self {
        NagiosCheck { level: Level::Unknown, what: why.to_owned(), numbers: String::new() }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        self.level as u8
    }
}

fn level(row: &Row, warning: Duration, critical: Duration, now: Timestamp) -> Level {
    match row.state {
        _ if row.outage => Level::Critical,
        State::Revoked => Level::Critical,
        State::Problem | State::Unreadable | State::MustStapleWithoutUrl | State::Waiting => Level::Warning,
        _ if row.is_at_risk(now, critical) => Level::Critical,
        _ if row.is_at_risk(now, warning) || row.undelivered() > 0 => Level::Warning,
        _ => Level::Ok,
    }
}

fn words(row: &Row, now: Timestamp) -> String {
    let name = row.certificate.as_deref().or(row.files.first().map(String::as_str)).unwrap_or_default();
    let left = match row.staple_left(now) {
        None => String::new(),
        Some(Duration::ZERO) => ", no staple".to_owned(),
        Some(left) => format!(", staple ends in {}", span(left)),
    };
    let servers = if row.undelivered() > 0 { format!(", servers {}", row.servers_in_words()) } else { String::new() };
    format!("{name}: {}{left}{servers}", row.state_in_words())
}

impl Display for NagiosCheck {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "OK",
            Level::Warning => "WARNING",
            Level::Critical => "CRITICAL",
            Level::Unknown => "UNKNOWN",
        };
        // A bar would begin the numbers.
        let what = Visible::new(&self.what).to_string().replace('|', "/");
        write!(f, "STAPLED {level} - {what}")?;
        if !self.numbers.is_empty() {
            write!(f, " | {}", self.numbers)?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Server, ServerState};
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn check(rows: &[Row]) -> (u8, String) {
        let now = Timestamp::from_unix(1_800_000_000);
        let check = NagiosCheck::of(rows, 24 * HOUR, 6 * HOUR, now);
        (check.exit_code(), check.to_string())
    }

    fn row(state: State, hours: u32) -> Row {
        let until = Timestamp::from_unix(1_800_000_000) + hours * HOUR;
        let next = Timestamp::from_unix(1_800_000_000) + HOUR;
        Row {
            certificate: Some("a|b\n.test".to_owned()),
            state,
            staple_until: (hours > 0).then(|| until.to_string()),
            next_try: Some(next.to_string()),
            ..Row::default()
        }
    }

    #[test]
    fn levels_follow_from_what_is_left() {
        for (rows, code) in [
            (vec![row(State::Good, 12)], 0),
            (vec![row(State::Failed, 48)], 0),
            (vec![row(State::Failed, 12), row(State::Good, 90)], 1),
            (vec![row(State::Failed, 5)], 2),
            (vec![row(State::Failed, 0)], 2),
            (vec![row(State::Problem, 0)], 1),
            (vec![row(State::Revoked, 0), row(State::Problem, 0)], 2),
            (vec![Row { outage: true, ..row(State::Failed, 0) }], 2),
            (vec![row(State::Expired, 0), row(State::NotApplicable, 0), row(State::NoCertificate, 0)], 0),
        ] {
            assert_eq!(check(&rows).0, code, "{rows:?}");
        }
        let server = Server { server: "/s".to_owned(), state: ServerState::Failed, ..Server::default() };
        assert_eq!(check(&[Row { servers: vec![server], ..row(State::Good, 90) }]).0, 1);
        let unknown = NagiosCheck::unknown("no daemon");
        assert_eq!((unknown.exit_code(), unknown.to_string().as_str()), (3, "STAPLED UNKNOWN - no daemon\n"));
    }

    #[test]
    fn the_line_names_certificates_and_has_numbers_for_graphs() {
        let (_, line) = check(&[row(State::Failed, 5)]);
        assert_eq!(
            line,
            "STAPLED CRITICAL - a/b\\n.test: failed, staple ends in 5 h | rows=1 good=0 failed=1 revoked=0 unusable=0 \
             undelivered=0 outages=0 shortest=18000s;86400:;21600:;0\n"
        );
        let many: Vec<Row> = (0..9).map(|_| row(State::Failed, 5)).collect();
        assert!(check(&many).1.contains("; 6 more | rows=9 "));
    }
}
