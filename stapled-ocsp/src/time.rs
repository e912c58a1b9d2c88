//! Instants in UTC, in milliseconds, with arithmetic that never overflows.

pub mod span;

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroI64;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The origin from which instants are counted.
const EPOCH: jiff::civil::DateTime = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// An instant in UTC, in milliseconds since the Unix epoch.
///
/// The number is signed, so that times before 1970 are possible. All arithmetic saturates, because the numbers in
/// certificates and responses are not trusted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timestamp(
    /// The number with its highest bit turned round, which is never zero: so an `Option<Timestamp>` takes no more memory, of which a
    /// stapler has ten for each of a million certificates.
    NonZeroI64,
);

/// The number of the earliest instant.
const FIRST: NonZeroI64 = match NonZeroI64::new(1) {
    Some(one) => one,
    None => NonZeroI64::MAX,
};

impl Timestamp {
    /// The instant that `YYYYMMDDHHMMSS` names. `None` for a leap second, which clients do not accept.
    pub(crate) fn from_digits(digits: &[u8; 14]) -> Option<Self> {
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = |from: usize, to: usize| -> i64 {
            digits.iter().take(to).skip(from).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
        };
        let part = |from: usize| i8::try_from(number(from, from + 2)).ok();
        let year = i16::try_from(number(0, 4)).ok()?;
        let civil = jiff::civil::DateTime::new(year, part(4)?, part(6)?, part(8)?, part(10)?, part(12)?, 0).ok()?;
        // The difference of two calendar dates covers all times up to the end of 9999, which RFC 5280 gives a meaning.
        Some(Timestamp::from_unix(civil.duration_since(EPOCH).as_secs()))
    }

    /// The latest possible instant; it stands for "never".
    pub const MAX: Timestamp = Timestamp::of(i64::MAX);
    /// The earliest possible instant.
    pub const MIN: Timestamp = Timestamp::of(-i64::MAX);

    /// The instant that is this many seconds after the Unix epoch, or before it if the number is negative.
    pub const fn from_unix(seconds: i64) -> Self {
        Timestamp::of(seconds.saturating_mul(1000))
    }

    /// The instant that is this many milliseconds after the Unix epoch.
    pub const fn from_unix_millis(milliseconds: i64) -> Self {
        Timestamp::of(milliseconds)
    }

    /// The instant that this text names, in the form that [`Display`](fmt::Display) writes: RFC 3339 in UTC, or `unix:SECONDS`.
    pub fn from_text(text: &str) -> Option<Self> {
        if let Some(seconds) = text.strip_prefix("unix:") {
            return seconds.parse().ok().map(Timestamp::from_unix);
        }
        let civil: jiff::civil::DateTime = text.strip_suffix('Z')?.parse().ok()?;
        Some(Timestamp::from_unix(civil.duration_since(EPOCH).as_secs()))
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn unix(self) -> i64 {
        self.unix_millis().div_euclid(1000)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_millis(self) -> i64 {
        self.0.get() ^ i64::MIN
    }

    const fn of(milliseconds: i64) -> Self {
        match NonZeroI64::new(milliseconds ^ i64::MIN) {
            Some(number) => Timestamp(number),
            None => Timestamp(FIRST),
        }
    }

    /// The time that has passed since `earlier`; zero if `earlier` is in the future.
    pub fn since(self, earlier: Timestamp) -> Duration {
        match u64::try_from(self.unix_millis().saturating_sub(earlier.unix_millis())) {
            Ok(milliseconds) => Duration::from_millis(milliseconds),
            Err(_) => Duration::ZERO,
        }
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        self.unix_millis().cmp(&other.unix_millis())
    }
}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The Unix epoch.
impl Default for Timestamp {
    fn default() -> Self {
        Timestamp::from_unix(0)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Serializes the instant as RFC 3339.
#[cfg(feature = "serde")]
impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Rounds down to the millisecond.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp::of(millis(after)),
            Err(before) => {
                let before = before.duration();
                let is_whole = before.subsec_nanos() % 1_000_000 == 0;
                Timestamp::of(millis(before).saturating_neg().saturating_sub(i64::from(!is_whole)))
            }
        }
    }
}

/// Formats the instant as [`Display`](fmt::Display) does: RFC 3339.
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, duration: Duration) -> Timestamp {
        Timestamp::of(self.unix_millis().saturating_add(millis(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, duration: Duration) -> Timestamp {
        Timestamp::of(self.unix_millis().saturating_sub(millis(duration)))
    }
}

/// Formats the instant as RFC 3339, in UTC and whole seconds: `2026-11-22T06:42:03Z`. Instants outside the years −9999
/// to 9999 become `unix:SECONDS`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Calendar arithmetic, because RFC 5280 gives the last second of 9999 a meaning, which jiff's instants exclude.
        match EPOCH.checked_add(jiff::SignedDuration::from_secs(self.unix())) {
            Ok(time) => write!(f, "{time}Z"),
            Err(_) => write!(f, "unix:{}", self.unix()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Duration::MAX, Timestamp::MIN);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
        assert!(Timestamp::MAX.since(Timestamp::MIN) > Duration::from_secs(1 << 52));
        assert_eq!(Timestamp::from_unix_millis(i64::MIN), Timestamp::MIN);
    }

    #[test]
    fn instants_are_in_order_and_may_be_missing_without_more_memory() {
        let all = [i64::MIN + 1, -2, -1, 0, 1, 2, i64::MAX].map(Timestamp::from_unix_millis);
        assert!(all.is_sorted() && all.iter().all(|at| Timestamp::from_unix_millis(at.unix_millis()) == *at));
        assert_eq!((Timestamp::default().unix_millis(), size_of::<Option<Timestamp>>()), (0, 8));
    }

    #[test]
    fn system_times_are_rounded_down_to_the_millisecond() {
        let after = UNIX_EPOCH + Duration::from_micros(1_500);
        let before = UNIX_EPOCH - Duration::from_micros(1_500);
        assert_eq!(Timestamp::from(after), Timestamp::from_unix_millis(1));
        assert_eq!(Timestamp::from(before), Timestamp::from_unix_millis(-2));
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)), Timestamp::from_unix(-1));
        assert_eq!(format!("{:?}", Timestamp::from(UNIX_EPOCH)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn display_is_rfc_3339_on_both_sides_of_the_epoch() {
        assert_eq!(Timestamp::from_unix(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_unix(-1).to_string(), "1969-12-31T23:59:59Z");
        assert_eq!(Timestamp::from_unix_millis(1_763_793_723_999).to_string(), "2025-11-22T06:42:03Z");
        assert_eq!(Timestamp::from_unix(253_402_300_799).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::from_unix(253_402_300_800).to_string(), "unix:253402300800");
        assert!(Timestamp::MAX.to_string().starts_with("unix:"));
        assert!(Timestamp::MIN.to_string().starts_with("unix:-"));
    }

    #[test]
    fn text_is_read_as_it_is_written() {
        for seconds in [0, -1, 1_763_793_723, 253_402_300_799, 253_402_300_800, -62_200_000_000] {
            let at = Timestamp::from_unix(seconds);
            assert_eq!(Timestamp::from_text(&at.to_string()), Some(at), "{at}");
        }
        for text in ["", "Z", "2025-11-22T06:42:03", "2025-13-22T06:42:03Z", "unix:x", "2025-11-22T06:42:03Z "] {
            assert_eq!(Timestamp::from_text(text), None, "{text}");
        }
    }
}
