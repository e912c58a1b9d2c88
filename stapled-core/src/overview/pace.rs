//! How fast long work advances, and when it is done.

use std::collections::VecDeque;
use std::time::Duration;

use super::headline::grouped;
use super::relative::span;

/// How far back the rate looks: work that became slower or faster shows after this time.
const WINDOW: Duration = Duration::from_secs(30);
/// The least time between two measurements that are kept.
const APART: Duration = Duration::from_secs(1);

/// How fast long work advances, measured over its last half minute. Time comes in as an argument.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// How much was done after which time; the first is the beginning of the window.
    reached: VecDeque<(Duration, usize)>,
}

impl Pace {
    /// Work that begins now.
    pub(crate) fn new() -> Self {
        Pace { reached: VecDeque::from([(Duration::ZERO, 0)]) }
    }

    /// Notes how much is done, `after` this time since the beginning.
    pub(crate) fn note(&mut self, after: Duration, done: usize) {
        let is_close =
            self.reached.iter().rev().nth(1).is_some_and(|(before, _)| after.saturating_sub(*before) < APART);
        if is_close {
            self.reached.pop_back();
        }
        self.reached.push_back((after, done));
        while self.reached.get(1).is_some_and(|(second, _)| after.saturating_sub(*second) >= WINDOW) {
            self.reached.pop_front();
        }
    }

    /// The progress on one line, such as `1,200 of 5,000 certificates, 240/s, 15 s left`. `of` is how much there is; 0: that is not
    /// known. `what` is the plural of one piece. The remaining time is that of the present rate, and at least a second.
    pub(crate) fn line(&self, of: usize, what: &str) -> String {
        let done = self.reached.back().map_or(0, |(_, done)| *done);
        let mut line = match of {
            0 => format!("{} {what}", grouped(done)),
            of => format!("{} of {} {what}", grouped(done), grouped(of)),
        };
        let Some(rate) = self.per_second() else { return line };
        line += &if rate < 9.95 { format!(", {rate:.1}/s") } else { format!(", {}/s", grouped(rate.round() as usize)) };
        if let Some(rest) = of.checked_sub(done).filter(|rest| *rest > 0) {
            let left = Duration::try_from_secs_f64(rest as f64 / rate).unwrap_or(Duration::MAX);
            line += &format!(", {} left", span(left.max(Duration::from_secs(1))));
        }
        line
    }

    /// The rate within the window; none while nothing advances.
    fn per_second(&self) -> Option<f64> {
        let ((begun, before), (after, done)) = (self.reached.front()?, self.reached.back()?);
        let seconds = after.saturating_sub(*begun).as_secs_f64();
        (done > before && seconds > 0.0).then(|| (done - before) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line after these notes, in seconds and pieces.
    fn line(notes: impl IntoIterator<Item = (f64, usize)>, of: usize) -> String {
        let mut pace = Pace::new();
        notes.into_iter().for_each(|(after, done)| pace.note(Duration::from_secs_f64(after), done));
        pace.line(of, "certificates")
    }

    #[test]
    fn a_line_has_rate_and_remaining_time() {
        for (after, done, of, expected) in [
            (5.0, 1200, 5000, "1,200 of 5,000 certificates, 240/s, 15 s left"),
            (5.0, 1200, 0, "1,200 certificates, 240/s"),
            (5.0, 2, 1000, "2 of 1,000 certificates, 0.4/s, 41 min left"),
            (5.0, 5000, 5000, "5,000 of 5,000 certificates, 1,000/s"),
            (5.0, 4999, 5000, "4,999 of 5,000 certificates, 1,000/s, 1 s left"),
            (5.0, 0, 5000, "0 of 5,000 certificates"),
            (0.0, 3, 9, "3 of 9 certificates"),
            (1e-9, usize::MAX, 1, "18,446,744,073,709,551,615 of 1 certificates, 18,446,744,073,709,551,615/s"),
            (1e12, 1, usize::MAX, "1 of 18,446,744,073,709,551,615 certificates, 0.0/s, 584942417355 y left"),
        ] {
            assert_eq!(line([(after, done)], of), expected);
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_half_minute() {
        let fast_and_then_slow = (1..=60)
            .map(|second| (f64::from(second), if second <= 20 { second * 100 } else { 1980 + second } as usize));
        assert_eq!(line(fast_and_then_slow, 2100), "2,040 of 2,100 certificates, 1.0/s, 60 s left");
        let stalled = (1..=60).map(|second| (f64::from(second), 700));
        assert_eq!(line(stalled, 2100), "700 of 2,100 certificates", "nothing advances");
    }

    #[test]
    fn notes_at_any_rate_take_limited_memory() {
        let mut pace = Pace::new();
        for milliseconds in 0..100_000 {
            pace.note(Duration::from_millis(milliseconds), milliseconds as usize);
        }
        assert!(pace.reached.len() <= 33, "{}", pace.reached.len());
        assert_eq!(pace.line(0, "steps"), "99,999 steps, 1,000/s");
        pace.note(Duration::ZERO, 5);
        assert_eq!(pace.line(10, "steps"), "5 of 10 steps", "a clock or a count that goes back has no rate");
    }
}
