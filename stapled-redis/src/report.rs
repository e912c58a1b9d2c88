//! The status as text, for a terminal of 80 columns: the problems first.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use stapled_core::describe::visible::Visible;
use stapled_core::time::Timestamp;

use crate::status::{Problem, QueueStatus, Status};

/// How many queues the table has. JSON has all.
const MOST_QUEUES: usize = 50;
/// The width of the column of queues.
const QUEUE: usize = 22;

/// A status with its problems, as text or, with the feature `serde`, as JSON.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Report<'a> {
    #[cfg_attr(feature = "serde", serde(flatten))]
    status: &'a Status,
    problems: Vec<Problem>,
}

impl Report<'_> {
    /// Whether there is a problem.
    pub fn needs_operator(&self) -> bool {
        !self.problems.is_empty()
    }
}

/// The problems, a table of the queues, the listed leases and parked tasks, and a few lines about the rest.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "PROBLEM  {problem}")?;
        }
        if self.needs_operator() {
            writeln!(f)?;
        }
        self.status.write_queues(f)?;
        self.status.write_leases(f)?;
        self.status.write_parked(f)?;
        self.status.write_rest(f)
    }
}

impl Status {
    /// The status with its problems, for people and programs.
    pub fn report(&self) -> Report<'_> {
        Report { status: self, problems: self.problems() }
    }

    fn write_queues(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.queues.is_empty() {
            return writeln!(f, "no queues");
        }
        let has_rates = self.queues.iter().any(|queue| queue.rates.is_some());
        let (done, failed) = if has_rates { ("DONE/S", "FAIL/S") } else { ("DONE", "FAILED") };
        writeln!(
            f,
            "{:QUEUE$}{:>7}{:>8}{:>8}{:>7}{:>7}{:>7}{done:>7}{failed:>7}",
            "QUEUE", "DUE", "OLDEST", "WAITING", "NEXT", "LEASED", "PARKED"
        )?;
        let mut queues: Vec<&QueueStatus> = self.queues.iter().collect();
        queues.sort_by_key(|queue| std::cmp::Reverse((queue.parked > 0, queue.due, queue.leased, queue.waiting)));
        for queue in queues.iter().take(MOST_QUEUES) {
            self.write_queue(f, queue)?;
        }
        match queues.len().checked_sub(MOST_QUEUES) {
            None | Some(0) => Ok(()),
            Some(more) => writeln!(f, "and {more} more; --json lists all"),
        }
    }

    fn write_queue(&self, f: &mut fmt::Formatter<'_>, queue: &QueueStatus) -> fmt::Result {
        let age = |since: Option<Timestamp>| since.map_or("-".to_owned(), |since| short(self.at.since(since)));
        let until = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| short(at.since(self.at)));
        let (done, failed) = match queue.rates {
            Some(rates) => (format!("{:.1}", rates.committed - rates.failed), format!("{:.1}", rates.failed)),
            None => {
                let counters = queue.counters;
                (number(counters.committed.saturating_sub(counters.failed)), number(counters.failed))
            }
        };
        writeln!(
            f,
            "{:QUEUE$}{:>7}{:>8}{:>8}{:>7}{:>7}{:>7}{done:>7}{failed:>7}",
            shortened(queue.queue.as_str(), QUEUE - 1),
            number(queue.due),
            age(queue.oldest_due),
            number(queue.waiting),
            until(queue.next_due),
            number(queue.leased),
            number(queue.parked),
        )
    }

    fn write_leases(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.queues.iter().all(|queue| queue.leases.is_empty()) {
            return Ok(());
        }
        writeln!(f, "\n{:QUEUE$}{:>8}{:>9}  LEASED SUBJECT", "QUEUE", "ENDS IN", "ATTEMPT")?;
        for (queue, lease) in self.queues.iter().flat_map(|queue| queue.leases.iter().map(move |lease| (queue, lease)))
        {
            let ends = if lease.ends <= self.at { "lapsed".to_owned() } else { short(lease.ends.since(self.at)) };
            let name = shortened(queue.queue.as_str(), QUEUE - 1);
            let subject = lease.subject.to_string();
            writeln!(f, "{name:QUEUE$}{ends:>8}{:>9}  {}", lease.attempt, Visible::new(&subject))?;
        }
        Ok(())
    }

    fn write_parked(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.queues.iter().all(|queue| queue.parked_tasks.is_empty()) {
            return Ok(());
        }
        writeln!(f, "\n{:QUEUE$}{:>8}{:>9}  PARKED SUBJECT: LAST REASON", "QUEUE", "SINCE", "ATTEMPT")?;
        for task in self.queues.iter().flat_map(|queue| &queue.parked_tasks) {
            let (subject, cause) = (task.subject.to_string(), task.cause.to_string());
            let (name, since) = (shortened(task.queue.as_str(), QUEUE - 1), short(self.at.since(task.since)));
            let (subject, cause) = (Visible::new(&subject), Visible::new(&cause));
            writeln!(f, "{name:QUEUE$}{since:>8}{:>9}  {subject}: {cause}", task.attempt)?;
        }
        Ok(())
    }

    fn write_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nsubjects on record: {}; without a task: {}", self.subjects, by_state(&self.resting))?;
        let since = self.queues.iter().filter_map(|queue| queue.counters.since).min();
        writeln!(f, "counted since: {}", since.map_or("-".to_owned(), |since| since.to_string()))?;
        let memory = self.used_memory.map_or("unknown".to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6));
        writeln!(f, "Redis: prefix {}, schema {}, memory {memory}", Visible::new(&self.prefix), self.schema)?;
        writeln!(f, "after a power failure: {}", self.durability)
    }
}

/// Counts by state in words.
pub(crate) fn by_state(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let all = counts.iter().map(|(state, count)| format!("{count} in state {}", Visible::new(state)));
    all.collect::<Vec<_>>().join(", ")
}

/// A duration in its largest unit.
fn short(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A number in at most six characters.
fn number(number: u64) -> String {
    match number {
        0..1_000_000 => number.to_string(),
        1_000_000..1_000_000_000 => format!("{:.1}M", number as f64 / 1e6),
        _ => format!("{:.1}G", number as f64 / 1e9),
    }
}

/// A name in at most `width` characters, its hidden characters escaped.
fn shortened(name: &str, width: usize) -> String {
    let shown = Visible::new(name).to_string();
    if shown.chars().count() <= width {
        return shown;
    }
    shown.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_durations_and_names_fit_their_columns() {
        assert_eq!([0, 999_999, 1_000_000, 2_345_678_901].map(number), ["0", "999999", "1.0M", "2.3G"]);
        let seconds = [0, 119, 120, 7_199, 7_200, 172_800];
        let shown = seconds.map(|seconds| short(Duration::from_secs(seconds)));
        assert_eq!(shown, ["0 s", "119 s", "2 m", "119 m", "2 h", "2 d"]);
        assert_eq!(shortened("renew/ocsp.example.org:80", 21), "renew/ocsp.example.o…");
        assert_eq!(shortened("a\nb", 21), "a\\nb");
    }
}
