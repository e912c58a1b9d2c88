//! Which certificates will lack a staple soon.

use std::time::Duration;

use super::row::{Row, ServerState, State, Verdict};
use crate::time::Timestamp;

impl Row {
    /// How long every client still gets a good staple: until the first end of the staples that are held and in service. Zero
    /// where there is none. `None` for rows that want no staple, or will never get one.
    pub fn staple_left(&self, now: Timestamp) -> Option<Duration> {
        if !matches!(self.state, State::Good | State::Failed | State::Waiting) {
            return None;
        }
        let end = |text: &String| Timestamp::from_text(text);
        let served = self.servers.iter().filter(|server| server.state != ServerState::NotWanted);
        let served = served.filter_map(|server| server.served_until.as_ref().and_then(end));
        let held = self.staple_until.as_ref().and_then(end);
        Some(held.into_iter().chain(served).min().map_or(Duration::ZERO, |ends| ends.since(now)))
    }

    /// Whether a staple ends within this time, or is missing, and nothing is under way that replaces it in time: the last
    /// renewal or delivery failed, or the next request to the CA comes too late.
    pub fn is_at_risk(&self, now: Timestamp, within: Duration) -> bool {
        let Some(left) = self.staple_left(now).filter(|left| *left < within) else {
            return self.outage;
        };
        let next = self.next_try.as_deref().and_then(Timestamp::from_text);
        let is_in_time = next.is_some_and(|next| next.since(now) < left);
        self.outage || self.verdict() != Verdict::Fine || !is_in_time
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Server;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_staple_that_is_renewed_in_time_is_at_no_risk() {
        let now = Timestamp::from_unix(1_800_000_000);
        let at = |hours: u32| Some((now + hours * HOUR).to_string());
        let server = |hours| Server { state: ServerState::Confirmed, served_until: at(hours), ..Server::default() };
        let row =
            |state, until, next, servers| Row { state, staple_until: until, next_try: next, servers, ..Row::default() };
        for (row, left, risk) in [
            (row(State::Good, at(30), at(10), vec![]), Some(30), false),
            (row(State::Good, at(10), at(5), vec![]), Some(10), false),
            (row(State::Good, at(10), at(11), vec![]), Some(10), true),
            (row(State::Failed, at(10), at(1), vec![]), Some(10), true),
            (row(State::Failed, at(30), at(1), vec![]), Some(30), false),
            (row(State::Failed, at(30), at(1), vec![server(2)]), Some(2), true),
            (row(State::Failed, None, at(1), vec![]), Some(0), true),
            (row(State::NotApplicable, None, None, vec![]), None, false),
            (Row { outage: true, ..row(State::MustStapleWithoutUrl, None, None, vec![]) }, None, true),
        ] {
            assert_eq!(row.staple_left(now), left.map(|hours: u32| hours * HOUR), "{row:?}");
            assert_eq!(row.is_at_risk(now, 24 * HOUR), risk, "{row:?}");
        }
    }
}
