//! Decides when to ask again: pure arithmetic over the times of a response.

pub mod inputs;

use std::time::Duration;

use self::inputs::{Failure, Received, Spread, Usable};
use crate::time::Timestamp;

/// The delay of a renewal that only a time jump or an overload explains.
const LATE: Duration = Duration::from_secs(300);

/// The rules for renewals and retries. Every number can be changed; the defaults suit public and private CAs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RefreshPolicy {
    /// The least validity that must remain at a renewal: a floor below the half-life rule, for the case that caches
    /// keep a response longer. At most half of the usable validity counts.
    pub minimum_validity: Duration,
    /// The least time between two questions about one certificate.
    pub minimum_interval: Duration,
    /// The most time between two questions about one certificate, even if its response lasts longer: a revocation is
    /// noticed within this time. Longer intervals (half of the validity, caches, Retry-After) are cut to it.
    pub maximum_interval: Duration,
    /// The fraction of the time until a renewal by which the renewal may come earlier. It spreads the renewals of
    /// certificates that were fetched together.
    pub jitter: f64,
    /// The pause after the first failure. The pause doubles after each further failure.
    pub retry_first: Duration,
    /// The longest pause after failures.
    pub retry_cap: Duration,
    /// The fraction by which a pause after a failure varies at random, in both directions.
    pub retry_jitter: f64,
    /// The time after its first sight for which a certificate counts as new: its CA may not have published its status
    /// yet.
    pub new_for: Duration,
    /// The pause after `unknown` or `unauthorized` for a new certificate.
    pub new_retry: Duration,
    /// The longest time for which an unauthenticated Retry-After delays a certificate without a staple.
    pub longest_wait_without_staple: Duration,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        RefreshPolicy {
            minimum_validity: Duration::from_secs(7200),
            minimum_interval: Duration::from_secs(60),
            maximum_interval: Duration::from_secs(3600),
            jitter: 0.05,
            retry_first: Duration::from_secs(30),
            retry_cap: Duration::from_secs(3600),
            retry_jitter: 0.2,
            new_for: Duration::from_secs(3600),
            new_retry: Duration::from_secs(60),
            longest_wait_without_staple: Duration::from_secs(3600),
        }
    }
}

impl RefreshPolicy {
    /// The same, with at least this validity left at a renewal.
    pub fn minimum_validity(self, minimum_validity: Duration) -> Self {
        RefreshPolicy { minimum_validity, ..self }
    }

    /// The same, with at least this time between two questions about one certificate.
    pub fn minimum_interval(self, minimum_interval: Duration) -> Self {
        RefreshPolicy { minimum_interval, ..self }
    }

    /// The same, with at most this time between two questions about one certificate.
    pub fn maximum_interval(self, maximum_interval: Duration) -> Self {
        RefreshPolicy { maximum_interval, ..self }
    }

    /// The same, with renewals that come earlier by up to this fraction.
    pub fn jitter(self, jitter: f64) -> Self {
        RefreshPolicy { jitter, ..self }
    }

    /// The same, with this pause after the first failure.
    pub fn retry_first(self, retry_first: Duration) -> Self {
        RefreshPolicy { retry_first, ..self }
    }

    /// The same, with pauses after failures of at most this length.
    pub fn retry_cap(self, retry_cap: Duration) -> Self {
        RefreshPolicy { retry_cap, ..self }
    }

    /// The same, with pauses after failures that vary by this fraction.
    pub fn retry_jitter(self, retry_jitter: f64) -> Self {
        RefreshPolicy { retry_jitter, ..self }
    }

    /// The same, with certificates that count as new for this time.
    pub fn new_for(self, new_for: Duration) -> Self {
        RefreshPolicy { new_for, ..self }
    }

    /// The same, with this pause after `unknown` or `unauthorized` for a new certificate.
    pub fn new_retry(self, new_retry: Duration) -> Self {
        RefreshPolicy { new_retry, ..self }
    }

    /// The same, with at most this delay by a Retry-After for a certificate without a staple.
    pub fn longest_wait_without_staple(self, longest_wait_without_staple: Duration) -> Self {
        RefreshPolicy { longest_wait_without_staple, ..self }
    }

    /// When to renew a response that was received.
    ///
    /// The renewal comes at half of the usable validity. It comes later if caches keep the response longer, but not after
    /// three quarters, and not with less than the minimum validity left. A response that is past that point when it is
    /// asked for, as a pre-produced one may be, is renewed after an eighth of the remaining time. The maximum interval
    /// limits all of these, and `spread` says how the interval is used. It begins when the responder was asked, so that an
    /// answer that others share delays no news. The minimum interval after the receipt is kept; for a response that would
    /// end within it, it is shortened to half at most. `chance` is a number in [0, 1).
    pub fn renew_at(&self, usable: Usable, received: Received, spread: Spread, chance: f64) -> Timestamp {
        let asked_at = received.asked_at();
        let half = usable.quarters(2);
        let floor = self.minimum_validity.min(usable.until.since(usable.from) / 2);
        let latest = usable.quarters(3).min(usable.until - floor).max(half);
        let wanted = received.cached_until.map_or(half, |until| until.clamp(half, latest));
        let pause = match wanted.since(asked_at) {
            Duration::ZERO => (usable.until.since(asked_at) / 8).min(self.retry_cap),
            pause => pause,
        };
        let shortest = self.shortest_pause(usable, received.at);
        let at = if spread == Spread::Interval && pause >= self.maximum_interval {
            asked_at + between(shortest, self.maximum_interval, chance)
        } else {
            let pause = pause.min(self.maximum_interval);
            asked_at + (pause - pause.mul_f64(bounded(self.jitter * chance)))
        };
        at.max(received.at + shortest)
    }

    /// The shortest pause: the minimum interval. If that would leave servers without a staple, three quarters of the
    /// remaining usable time, but at least half of the minimum interval.
    fn shortest_pause(&self, usable: Usable, now: Timestamp) -> Duration {
        let in_time = usable.until.since(now) / 4 * 3;
        if in_time >= self.minimum_interval / 2 { in_time.min(self.minimum_interval) } else { self.minimum_interval }
    }

    /// When a response of these times is due for renewal, by its times alone: at half of its usable validity, or at the
    /// maximum interval after thisUpdate. The response was received after thisUpdate, so this is never later than
    /// the maximum interval after its receipt.
    pub fn due_at(&self, usable: Usable) -> Timestamp {
        usable.quarters(2).min(usable.from + self.maximum_interval)
    }

    /// When to renew a response that was kept from before and is found at `now`, perhaps together with those of many
    /// other certificates. A response that is not due yet is renewed at a random time until it is due. A response that
    /// is due is renewed within the maximum interval, an eighth of the remaining time, and the longest pause after
    /// failures. A response with less than the minimum validity left (or less than half of its usable validity, if that
    /// is less) is renewed at once. `chance` is a number in [0, 1).
    pub fn renew_kept_at(&self, usable: Usable, now: Timestamp, chance: f64) -> Timestamp {
        let floor = self.minimum_validity.min(usable.until.since(usable.from) / 2);
        if usable.until.since(now) <= floor {
            return now;
        }
        match self.due_at(usable).since(now) {
            Duration::ZERO => {
                let pause = (usable.until.since(now) / 8).min(self.retry_cap).min(self.maximum_interval);
                now + between(self.shortest_pause(usable, now), pause, chance)
            }
            // Many responses may be due all at one time, or each at its own time within the interval. Late times are
            // likelier, so that in both cases no minute gets more than twice its share.
            pause => now + between(self.shortest_pause(usable, now), pause, 1.0 - (1.0 - bounded(chance)).sqrt()),
        }
    }

    /// When to renew a response that was due at `due`, if that is long past. After a sleep of the machine or a change
    /// of its clock, many renewals are due together, and the CA should not get them all at once. The new time is within
    /// an eighth of the remaining time of the held response, and within an hour. `None`: now. `chance` is a number in
    /// [0, 1).
    pub fn spread(&self, usable: Usable, due: Timestamp, now: Timestamp, chance: f64) -> Option<Timestamp> {
        let within = (usable.until.since(now) / 8).min(self.retry_cap).min(self.maximum_interval);
        if now.since(due) < LATE || within < self.minimum_interval {
            return None;
        }
        Some(now + within.mul_f64(bounded(chance)))
    }

    /// The latest instant for any plan: the renewal of a held response or another try.
    pub fn latest(&self, held: Option<Usable>, now: Timestamp) -> Timestamp {
        let retry = now + self.retry_cap.mul_f64(1.0 + bounded(self.retry_jitter));
        let patience = now + self.longest_patience();
        held.map_or(retry, |held| held.quarters(3).min(patience).max(retry))
    }

    /// The longest time for which an unauthenticated Retry-After delays a certificate with a staple.
    fn longest_patience(&self) -> Duration {
        self.maximum_interval.max(self.longest_wait_without_staple)
    }

    /// When to try again after a failure. `chance` is a number in [0, 1).
    pub fn retry_at(&self, failure: Failure, now: Timestamp, chance: f64) -> Timestamp {
        let is_new =
            failure.not_known && failure.first_seen.is_some_and(|first_seen| now.since(first_seen) < self.new_for);
        let pause = if is_new { self.new_retry } else { self.backoff(failure.attempt) };
        let spread = 1.0 + self.retry_jitter * (2.0 * chance - 1.0);
        let at = now + scale(pause, spread);
        let Some(retry_after) = failure.retry_after else { return at };
        // Retry-After is unauthenticated: it may delay within bounds, and never hastens.
        let bound = match failure.held {
            Some(usable) if usable.quarters(3) > now => usable.quarters(3).min(now + self.longest_patience()),
            _ => now + self.longest_wait_without_staple,
        };
        at.max((now + retry_after).min(bound))
    }

    /// The pause after this many failures, without the random part: the first pause, doubled each time up to the cap.
    pub fn backoff(&self, attempt: u32) -> Duration {
        let factor = 2u32.checked_pow(attempt).unwrap_or(u32::MAX);
        self.retry_first.saturating_mul(factor).min(self.retry_cap)
    }
}

/// The pause times a configured factor, bounded and without overflow.
fn scale(pause: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(pause.as_secs_f64() * factor.clamp(0.0, 10.0)).unwrap_or(pause)
}

/// A random duration between these; `shortest` if it is the longer one.
fn between(shortest: Duration, longest: Duration, chance: f64) -> Duration {
    let longest = longest.max(shortest);
    longest - (longest - shortest).mul_f64(bounded(chance))
}

fn bounded(part: f64) -> f64 {
    part.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(86_400);
    const START: Timestamp = Timestamp::from_unix(1_800_000_000);

    /// The policy without an effective maximum interval, for the rules that apply within it.
    fn half_life() -> RefreshPolicy {
        RefreshPolicy { maximum_interval: 400 * DAY, ..RefreshPolicy::default() }
    }

    /// Renews with the jitter alone.
    fn renew(policy: &RefreshPolicy, usable: Usable, now: Timestamp, chance: f64) -> Timestamp {
        policy.renew_at(usable, Received::at(now), Spread::Jitter, chance)
    }

    fn week() -> Usable {
        Usable { from: START, until: START + 8 * DAY }
    }

    #[test]
    fn renews_at_half_of_the_usable_validity_and_a_little_earlier() {
        let policy = half_life();
        assert_eq!(renew(&policy, week(), START, 0.0), START + 4 * DAY);
        let jittered = renew(&policy, week(), START, 0.999);
        assert!(jittered < START + 4 * DAY && jittered > START + 3 * DAY + 18 * HOUR, "{jittered}");
        // Half of a twentieth of four days.
        assert_eq!(renew(&policy, week(), START, 0.5), START + 4 * DAY - DAY / 10);
    }

    #[test]
    fn caches_delay_to_three_quarters_at_most_and_never_hasten() {
        let policy = half_life();
        let renew = |cached: Duration| {
            policy.renew_at(week(), Received::at(START).cached_until(START + cached), Spread::Jitter, 0.0)
        };
        assert_eq!(renew(HOUR), START + 4 * DAY);
        assert_eq!(renew(5 * DAY), START + 5 * DAY);
        assert_eq!(renew(7 * DAY), START + 6 * DAY);
        assert_eq!(renew(Duration::MAX), START + 6 * DAY);
    }

    #[test]
    fn minimum_validity_is_a_floor_up_to_half() {
        let renew = |minimum_validity| {
            let policy = RefreshPolicy { minimum_validity, ..half_life() };
            policy.renew_at(week(), Received::at(START).cached_until(START + 7 * DAY), Spread::Jitter, 0.0)
        };
        assert_eq!(renew(3 * DAY), START + 5 * DAY);
        assert_eq!(renew(100 * DAY), START + 4 * DAY);
    }

    #[test]
    fn short_validity_makes_no_hot_loop() {
        let policy = RefreshPolicy::default();
        for validity in [0, 1, 2, 39] {
            let usable = Usable { from: START, until: START + Duration::from_secs(validity) };
            for now in [START, START + Duration::from_secs(validity), START + DAY] {
                assert!(renew(&policy, usable, now, 0.5) >= now + policy.minimum_interval, "{validity}");
            }
        }
        // The minimum interval is halved at most where it would leave servers without a staple.
        for (validity, pause) in [(39, 60), (40, 30), (60, 45), (79, 59), (80, 60), (100, 60), (130, 65)] {
            let usable = Usable { from: START, until: START + Duration::from_secs(validity) };
            assert_eq!(renew(&policy, usable, START, 0.0).since(START).as_secs(), pause, "{validity}");
        }
    }

    #[test]
    fn every_certificate_is_asked_for_within_the_maximum_interval() {
        let policy = RefreshPolicy::default();
        for cached in [None, Some(START + 7 * DAY), Some(Timestamp::MAX)] {
            for spread in [Spread::Jitter, Spread::Interval] {
                let received = Received { cached_until: cached, ..Received::at(START) };
                assert_eq!(policy.renew_at(week(), received, spread, 0.0), START + HOUR);
            }
        }
        // Half of a twentieth sooner, or at any time in the interval.
        assert_eq!(renew(&policy, week(), START, 0.5), START + HOUR - HOUR / 40);
        let anywhere =
            |chance| policy.renew_at(week(), Received::at(START), Spread::Interval, chance).since(START).as_secs();
        assert_eq!([0.0, 0.5, 1.0].map(anywhere), [3600, 1830, 60]);
        // A response that its half-life renews sooner has the jitter only.
        let short = Usable { from: START, until: START + HOUR };
        assert_eq!(policy.renew_at(short, Received::at(START), Spread::Interval, 0.5), START + HOUR / 2 - HOUR / 80);
        // A response past its half is renewed after an eighth of the remaining time, within the interval.
        let old = week().until - 4 * HOUR;
        assert_eq!(renew(&policy, week(), old, 0.0), old + HOUR / 2);
        let policy = RefreshPolicy { maximum_interval: HOUR / 4, ..policy };
        assert_eq!(renew(&policy, week(), old, 0.0), old + HOUR / 4);
    }

    #[test]
    fn the_interval_begins_when_the_responder_was_asked() {
        let policy = RefreshPolicy::default();
        let renew = |age| policy.renew_at(week(), Received::at(START + DAY).age(age), Spread::Jitter, 0.0);
        assert_eq!(renew(Duration::ZERO), START + DAY + HOUR);
        assert_eq!(renew(HOUR / 4), START + DAY + HOUR * 3 / 4);
        // An answer that is nearly or quite as old as the interval: the minimum interval is kept.
        assert_eq!([HOUR - SECOND, HOUR, DAY].map(renew), [START + DAY + policy.minimum_interval; 3]);
        // Half of the validity does not depend on the age.
        let at = half_life().renew_at(week(), Received::at(START + DAY).age(HOUR), Spread::Jitter, 0.0);
        assert_eq!(at, START + 4 * DAY);
    }

    #[test]
    fn kept_staples_are_renewed_when_due_spread_over_the_time_until_then() {
        let policy = RefreshPolicy::default();
        assert_eq!(policy.due_at(week()), START + HOUR);
        assert_eq!(half_life().due_at(week()), START + 4 * DAY);
        let renew = |now: Timestamp, chance| policy.renew_kept_at(week(), now, chance).since(now);
        assert_eq!(renew(START + HOUR / 4, 0.0), HOUR * 3 / 4);
        // A quarter of the responses in the first half of the time until then, which is 2640 s, after the first 60 s.
        assert_eq!(renew(START + HOUR / 4, 0.75), Duration::from_secs(60 + 2640 / 2));
        assert_eq!(renew(START + HOUR / 4, 1.0), HOUR / 60);
        // A response that is already due: within the maximum interval, and an eighth of the remaining time.
        assert_eq!([0.0, 0.5, 1.0].map(|chance| renew(START + DAY, chance).as_secs()), [3600, 1830, 60]);
        assert_eq!(renew(week().until - 4 * HOUR, 0.0), HOUR / 2);
        // At once with less than the minimum validity left, and with less than half of the usable validity, if that is
        // less.
        assert_eq!(renew(week().until - 2 * HOUR, 0.0), Duration::ZERO);
        assert!(renew(week().until - 2 * HOUR - Duration::from_secs(1), 0.0) > Duration::ZERO);
        let short = Usable { from: START, until: START + HOUR };
        assert_eq!(policy.renew_kept_at(short, START + HOUR / 2, 0.0), START + HOUR / 2);
        assert!(policy.renew_kept_at(short, START + HOUR / 2 - Duration::from_secs(1), 0.0) > START + HOUR / 2);
    }

    #[test]
    fn an_old_response_is_asked_for_again_in_steps() {
        let policy = half_life();
        let now = START + 6 * DAY;
        assert_eq!(renew(&policy, week(), now, 0.0), now + HOUR);
        let now = week().until - 4 * HOUR;
        assert_eq!(renew(&policy, week(), now, 0.0), now + HOUR / 2);
        // The jitter makes the renewal earlier by half of a twentieth. No jitter makes the pause negative.
        assert_eq!(renew(&policy, week(), now, 0.5), now + HOUR / 2 - HOUR / 80);
        let wild = RefreshPolicy { jitter: 5.0, ..policy };
        assert_eq!(renew(&wild, week(), now, 0.9), now + policy.minimum_interval);
        // At the exact instant of the planned renewal.
        assert_eq!(renew(&policy, week(), START + 4 * DAY, 0.0), START + 4 * DAY + HOUR);
        assert_eq!(renew(&policy, week(), week().until + DAY, 0.0), week().until + DAY + policy.minimum_interval);
    }

    #[test]
    fn retries_double_up_to_an_hour_and_never_end() {
        let policy = RefreshPolicy::default();
        let pauses: Vec<u64> = (0..9).map(|attempt| policy.backoff(attempt).as_secs()).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(policy.backoff(u32::MAX), HOUR);
        for chance in [0.0, 0.5, 0.999] {
            let at = policy.retry_at(Failure { attempt: 1, ..Failure::default() }, START, chance);
            let pause = at.since(START).as_secs_f64();
            assert!((48.0..=72.0).contains(&pause), "{pause}");
        }
        let pauses = [0.0, 0.25, 0.5, 1.0].map(|chance| {
            policy.retry_at(Failure { attempt: 1, ..Failure::default() }, START, chance).since(START).as_secs()
        });
        assert_eq!(pauses, [48, 54, 60, 72]);
    }

    #[test]
    fn overdue_renewals_are_spread_over_the_remaining_time() {
        let policy = RefreshPolicy::default();
        let (due, until) = (START + 4 * DAY, week().until);
        let spread = |now: Timestamp, chance| policy.spread(week(), due, now, chance).map(|at| at.since(now));
        assert_eq!(spread(due + HOUR / 60, 0.5), None, "not late");
        assert_eq!(spread(due + DAY, 0.0), Some(Duration::ZERO));
        assert_eq!(spread(due + DAY, 0.5), Some(HOUR / 2));
        assert_eq!(spread(until - HOUR, 0.5), Some(HOUR / 16));
        let eager = RefreshPolicy { maximum_interval: HOUR / 2, ..policy };
        assert_eq!(
            eager.spread(week(), due, due + DAY, 0.5),
            Some(due + DAY + HOUR / 4),
            "within the maximum interval"
        );
        assert_eq!(spread(until - HOUR / 10, 0.5), None, "there is no time for that");
        assert_eq!(spread(until + DAY, 0.5), None);
        // The limits to the second: a late renewal, and one that leaves no time.
        assert_eq!(spread(due + LATE - Duration::from_secs(1), 0.0), None);
        assert_eq!(spread(due + LATE, 0.0), Some(Duration::ZERO));
        assert_eq!(spread(until - 8 * policy.minimum_interval, 0.0), Some(Duration::ZERO));
        assert_eq!(spread(until - (8 * policy.minimum_interval - Duration::from_secs(1)), 0.0), None);
    }

    #[test]
    fn no_plan_goes_beyond_three_quarters_or_the_longest_pause() {
        let policy = RefreshPolicy { maximum_interval: 400 * DAY, ..RefreshPolicy::default() };
        assert_eq!(policy.latest(Some(week()), week().from), week().quarters(3));
        assert_eq!(RefreshPolicy::default().latest(Some(week()), week().from), week().from + HOUR * 6 / 5);
        assert_eq!(policy.latest(Some(week()), week().until), week().until + HOUR * 6 / 5);
        assert_eq!(policy.latest(None, week().from), week().from + HOUR * 6 / 5);
    }

    #[test]
    fn retry_after_is_kept_within_bounds() {
        let policy = RefreshPolicy { retry_jitter: 0.0, ..RefreshPolicy::default() };
        let asked = |seconds: u64, held| {
            let retry_after = Some(Duration::from_secs(seconds));
            policy.retry_at(Failure { retry_after, held, ..Failure::default() }, START, 0.5).since(START).as_secs()
        };
        assert_eq!(asked(5, None), 30);
        assert_eq!(asked(600, None), 600);
        assert_eq!(asked(u64::MAX, None), 3600);
        // The maximum interval limits it: a revocation in the meantime must be noticed.
        assert_eq!(asked(u64::MAX, Some(week())), 3600);
        let patient = RefreshPolicy { maximum_interval: 400 * DAY, ..policy };
        let failure = Failure { retry_after: Some(Duration::MAX), held: Some(week()), ..Failure::default() };
        assert_eq!(patient.retry_at(failure, START, 0.5), START + 6 * DAY);
        // An interval of less than an hour does not shorten the pause.
        let eager = RefreshPolicy { maximum_interval: HOUR / 60, ..policy };
        assert_eq!(eager.retry_at(failure, START, 0.5), START + HOUR);
        assert_eq!(asked(7200, Some(Usable { from: START - 9 * DAY, until: START + HOUR })), 3600);
        assert_eq!(asked(7200, Some(Usable { from: START - 3 * HOUR, until: START + HOUR })), 3600, "three quarters");
    }

    #[test]
    fn certificates_that_their_ca_does_not_know_yet_are_retried_every_minute_for_an_hour() {
        let policy = RefreshPolicy { retry_jitter: 0.0, ..RefreshPolicy::default() };
        let failure = Failure { attempt: 9, not_known: true, first_seen: Some(START), ..Failure::default() };
        let pause = |after: Duration| policy.retry_at(failure, START + after, 0.5).since(START + after);
        assert_eq!(pause(HOUR / 2), HOUR / 60);
        assert_eq!(pause(HOUR), HOUR);
        // A certificate that its CA knows is not new, and neither is one of unknown age.
        for failure in [Failure { not_known: false, ..failure }, Failure { first_seen: None, ..failure }] {
            assert_eq!(policy.retry_at(failure, START, 0.5).since(START), HOUR);
        }
    }
}
