//! When to ask again: pure arithmetic over the times of a response.

use std::time::Duration;

use crate::time::Timestamp;

/// A renewal is late by this much only when time has jumped, or when too much is to be done.
const LATE: Duration = Duration::from_secs(300);

/// When staples are renewed and failures retried. All numbers can be chosen; the defaults suit public and private CAs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RefreshPolicy {
    /// How much validity must remain, at least: a floor under the half-life rule where caches would have a response
    /// kept longer. Never more than half of the usable validity counts.
    pub minimum_validity: Duration,
    /// No certificate is asked for more often than this.
    pub minimum_interval: Duration,
    /// The part of the time until a renewal by which it may come earlier, so that certificates that were fetched
    /// together are not renewed together.
    pub jitter: f64,
    /// The pause after the first failure; it doubles with each further one.
    pub retry_first: Duration,
    /// The longest pause after failures.
    pub retry_cap: Duration,
    /// The part by which a pause after a failure is longer or shorter, by chance.
    pub retry_jitter: f64,
    /// How long after its first sight a certificate counts as new: its CA may not have published its status yet.
    pub new_for: Duration,
    /// The pause after `unknown` or `unauthorized` for a new certificate.
    pub new_retry: Duration,
    /// How long an unauthenticated Retry-After may keep a certificate without a staple waiting.
    pub longest_wait_without_staple: Duration,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        RefreshPolicy {
            minimum_validity: Duration::from_secs(7200),
            minimum_interval: Duration::from_secs(60),
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

/// The times of a response that decide about its renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usable {
    /// thisUpdate.
    pub from: Timestamp,
    /// The instant from which some server does not serve it any more: nextUpdate or the end of its signer's
    /// certificate, less the largest margin that a sink declares.
    pub until: Timestamp,
}

impl Usable {
    /// The point at which this many quarters of the usable validity have passed.
    fn quarters(&self, quarters: u32) -> Timestamp {
        self.from + self.until.since(self.from) / 4 * quarters
    }
}

/// A failed renewal, as far as the next try depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failure {
    /// How many tries in a row failed before this one.
    pub attempt: u32,
    /// How long the responder asks to wait.
    pub retry_after: Option<Duration>,
    /// Whether the responder does not know the certificate: `unknown` or `unauthorized`.
    pub not_known: bool,
    /// When the certificate was first seen.
    pub first_seen: Option<Timestamp>,
    /// The staple that is held all the same.
    pub held: Option<Usable>,
}

impl RefreshPolicy {
    /// When to renew a response that was received at `now`.
    ///
    /// At half of its usable validity; later where caches keep it longer (`cached_until`), but never beyond three
    /// quarters, nor with less than the minimum validity left. A response that is past that point when it arrives, as
    /// pre-produced ones may be, is asked for again after an eighth of what remains. `chance` is a number in [0, 1).
    pub fn renew_at(&self, usable: Usable, now: Timestamp, cached_until: Option<Timestamp>, chance: f64) -> Timestamp {
        let half = usable.quarters(2);
        let floor = self.minimum_validity.min(usable.until.since(usable.from) / 2);
        let latest = usable.quarters(3).min(usable.until - floor).max(half);
        let wanted = cached_until.map_or(half, |until| until.clamp(half, latest));
        let at = if wanted > now {
            wanted - scale(wanted.since(now), self.jitter * chance)
        } else {
            let pause = usable.until.since(now) / 8;
            now + pause.min(self.retry_cap).mul_f64(1.0 - bounded(self.jitter * chance))
        };
        at.max(now + self.minimum_interval)
    }

    /// When to renew instead what should have been renewed at `due`, if that is long past: a machine that slept, or a
    /// clock that was set, has let many renewals fall due together, and the CA did nothing to deserve them all at once.
    /// Within an eighth of what remains of the response that is held, and an hour; `None`: now. `chance` is a number in
    /// [0, 1).
    pub fn spread(&self, usable: Usable, due: Timestamp, now: Timestamp, chance: f64) -> Option<Timestamp> {
        let within = (usable.until.since(now) / 8).min(self.retry_cap);
        if now.since(due) < LATE || within < self.minimum_interval {
            return None;
        }
        Some(now + within.mul_f64(bounded(chance)))
    }

    /// The instant that no plan goes beyond, neither for the renewal of a response that is held nor for another try.
    pub fn latest(&self, held: Option<Usable>, now: Timestamp) -> Timestamp {
        let retry = now + self.retry_cap.mul_f64(1.0 + bounded(self.retry_jitter));
        held.map_or(retry, |held| held.quarters(3).max(retry))
    }

    /// Whether a response that was kept can be used without asking: it is good for longer than the minimum validity
    /// (or than half of its usable validity, where that is less).
    pub fn is_reusable(&self, usable: Usable, now: Timestamp) -> bool {
        let needed = self.minimum_validity.min(usable.until.since(usable.from) / 2);
        usable.until.since(now) > needed && usable.from <= now
    }

    /// When to try again after a failure. `chance` is a number in [0, 1).
    pub fn retry_at(&self, failure: Failure, now: Timestamp, chance: f64) -> Timestamp {
        let is_new =
            failure.not_known && failure.first_seen.is_some_and(|first_seen| now.since(first_seen) < self.new_for);
        let pause = if is_new { self.new_retry } else { self.backoff(failure.attempt) };
        let spread = 1.0 + self.retry_jitter * (2.0 * chance - 1.0);
        let at = now + scale(pause, spread);
        let Some(retry_after) = failure.retry_after else { return at };
        // Unauthenticated: it may delay, within bounds, and never hastens.
        let bound = match failure.held {
            Some(usable) if usable.quarters(3) > now => usable.quarters(3),
            _ => now + self.longest_wait_without_staple,
        };
        at.max((now + retry_after).min(bound))
    }

    /// The pause after this many failures, without chance: the first pause, doubled each time up to the cap.
    pub fn backoff(&self, attempt: u32) -> Duration {
        let factor = 2u32.checked_pow(attempt).unwrap_or(u32::MAX);
        self.retry_first.saturating_mul(factor).min(self.retry_cap)
    }
}

/// The pause, changed by a factor out of somebody's configuration: bounded, and never an overflow.
fn scale(pause: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(pause.as_secs_f64() * factor.clamp(0.0, 10.0)).unwrap_or(pause)
}

fn bounded(part: f64) -> f64 {
    part.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);
    const START: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn week() -> Usable {
        Usable { from: START, until: START + 8 * DAY }
    }

    #[test]
    fn renews_at_half_of_the_usable_validity_and_a_little_earlier() {
        let policy = RefreshPolicy::default();
        assert_eq!(policy.renew_at(week(), START, None, 0.0), START + 4 * DAY);
        let jittered = policy.renew_at(week(), START, None, 0.999);
        assert!(jittered < START + 4 * DAY && jittered > START + 3 * DAY + 18 * HOUR, "{jittered}");
        // Half of a twentieth of four days.
        assert_eq!(policy.renew_at(week(), START, None, 0.5), START + 4 * DAY - DAY / 10);
    }

    #[test]
    fn caches_delay_to_three_quarters_at_most_and_never_hasten() {
        let policy = RefreshPolicy::default();
        let renew = |cached: Duration| policy.renew_at(week(), START, Some(START + cached), 0.0);
        assert_eq!(renew(HOUR), START + 4 * DAY);
        assert_eq!(renew(5 * DAY), START + 5 * DAY);
        assert_eq!(renew(7 * DAY), START + 6 * DAY);
        assert_eq!(renew(Duration::MAX), START + 6 * DAY);
    }

    #[test]
    fn minimum_validity_is_a_floor_up_to_half() {
        let policy = RefreshPolicy { minimum_validity: 3 * DAY, ..RefreshPolicy::default() };
        assert_eq!(policy.renew_at(week(), START, Some(START + 7 * DAY), 0.0), START + 5 * DAY);
        let policy = RefreshPolicy { minimum_validity: 100 * DAY, ..RefreshPolicy::default() };
        assert_eq!(policy.renew_at(week(), START, Some(START + 7 * DAY), 0.0), START + 4 * DAY);
    }

    #[test]
    fn short_validity_makes_no_hot_loop() {
        let policy = RefreshPolicy::default();
        for validity in [0, 1, 2, 59, 60, 119] {
            let usable = Usable { from: START, until: START + Duration::from_secs(validity) };
            for now in [START, START + Duration::from_secs(validity), START + DAY] {
                assert!(policy.renew_at(usable, now, None, 0.5) >= now + policy.minimum_interval);
            }
        }
    }

    #[test]
    fn an_old_response_is_asked_for_again_in_steps() {
        let policy = RefreshPolicy::default();
        let now = START + 6 * DAY;
        assert_eq!(policy.renew_at(week(), now, None, 0.0), now + HOUR);
        let now = week().until - 4 * HOUR;
        assert_eq!(policy.renew_at(week(), now, None, 0.0), now + HOUR / 2);
        // Half of a twentieth sooner, by chance; and never less than no pause, whatever the jitter.
        assert_eq!(policy.renew_at(week(), now, None, 0.5), now + HOUR / 2 - HOUR / 80);
        let wild = RefreshPolicy { jitter: 5.0, ..policy };
        assert_eq!(wild.renew_at(week(), now, None, 0.9), now + policy.minimum_interval);
        // From the very point at which it should have been renewed.
        assert_eq!(policy.renew_at(week(), START + 4 * DAY, None, 0.0), START + 4 * DAY + HOUR);
        assert_eq!(
            policy.renew_at(week(), week().until + DAY, None, 0.0),
            week().until + DAY + policy.minimum_interval
        );
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
    fn what_is_late_is_spread_while_there_is_time() {
        let policy = RefreshPolicy::default();
        let (due, until) = (START + 4 * DAY, week().until);
        let spread = |now: Timestamp, chance| policy.spread(week(), due, now, chance).map(|at| at.since(now));
        assert_eq!(spread(due + HOUR / 60, 0.5), None, "not late");
        assert_eq!(spread(due + DAY, 0.0), Some(Duration::ZERO));
        assert_eq!(spread(due + DAY, 0.5), Some(HOUR / 2));
        assert_eq!(spread(until - HOUR, 0.5), Some(HOUR / 16));
        assert_eq!(spread(until - HOUR / 10, 0.5), None, "there is no time for that");
        assert_eq!(spread(until + DAY, 0.5), None);
        // To the second: what is late, and what leaves no time.
        assert_eq!(spread(due + LATE - Duration::from_secs(1), 0.0), None);
        assert_eq!(spread(due + LATE, 0.0), Some(Duration::ZERO));
        assert_eq!(spread(until - 8 * policy.minimum_interval, 0.0), Some(Duration::ZERO));
        assert_eq!(spread(until - (8 * policy.minimum_interval - Duration::from_secs(1)), 0.0), None);
    }

    #[test]
    fn no_plan_goes_beyond_three_quarters_or_the_longest_pause() {
        let policy = RefreshPolicy::default();
        assert_eq!(policy.latest(Some(week()), week().from), week().quarters(3));
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
        assert_eq!(asked(u64::MAX, Some(week())), 6 * 86_400);
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
        // Whom its CA knows is no new certificate to it, and of an unknown age none either.
        for failure in [Failure { not_known: false, ..failure }, Failure { first_seen: None, ..failure }] {
            assert_eq!(policy.retry_at(failure, START, 0.5).since(START), HOUR);
        }
    }

    #[test]
    fn reuse_asks_for_the_minimum_validity_or_half() {
        let policy = RefreshPolicy::default();
        assert!(policy.is_reusable(week(), week().until - 3 * HOUR));
        assert!(!policy.is_reusable(week(), week().until - 2 * HOUR));
        let short = Usable { from: START, until: START + HOUR };
        assert!(policy.is_reusable(short, START + Duration::from_secs(60)));
        assert!(!policy.is_reusable(short, START + HOUR / 2));
        assert!(!policy.is_reusable(short, START + DAY));
        assert!(policy.is_reusable(week(), START));
        assert!(!policy.is_reusable(week(), START - Duration::from_secs(1)), "not before it begins");
    }
}
