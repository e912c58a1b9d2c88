//! The time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A day, in seconds.
pub(crate) const DAY: i64 = 86_400;
/// The longest duration that [`seconds`] returns: far beyond any certificate, and far from an overflow.
const LONGEST: i64 = i64::MAX / 4;

/// The present, in Unix seconds, rounded down.
pub(crate) fn now() -> i64 {
    seconds(since_the_epoch())
}

/// The present, in Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(since_the_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// A duration in whole seconds, rounded down and bounded, so that it can be added to a time.
pub(crate) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(LONGEST).min(LONGEST)
}

/// The date and time in UTC of these Unix seconds. Times outside of the years -9999 to 9999 are the beginning of 1970.
pub(crate) fn civil(at: i64) -> jiff::civil::DateTime {
    jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::from_second(at).unwrap_or_default())
}

fn since_the_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
