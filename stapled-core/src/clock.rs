//! The clock, injected: reads the time and waits for an instant.

pub mod simulated;

use std::fmt::Debug;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// A source of time. All code in this crate that needs the time asks a `Clock`, so that tests can run a year in seconds
/// and set the clock. No method waits, so none can be cancelled.
///
/// ```
/// use stapled_core::clock::{Clock, SystemClock};
/// use stapled_core::time::Timestamp;
///
/// /// The machine's clock, corrected by a number of seconds that the program has measured.
/// #[derive(Debug)]
/// struct Corrected(i64);
///
/// impl Clock for Corrected {
///     fn now(&self) -> Timestamp {
///         Timestamp::from_unix(SystemClock.now().unix() + self.0)
///     }
/// }
/// ```
pub trait Clock: Send + Sync + Debug {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// The time since a fixed instant, by a clock that is never set. If [`now`](Clock::now) advances by another span
    /// than this, the clock was set or the machine was suspended. Default: the machine's monotonic clock. A clock whose
    /// `now` is not the machine's overrides it.
    fn steady(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }

    /// The longest sleep before the clock is read again: the bound on how late a set clock or a suspended machine is
    /// noticed. Default: 30 s. A clock that never jumps may return more.
    fn longest_sleep(&self) -> Duration {
        LONGEST_SLEEP
    }
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that reads the machine's clock
    fn now(&self) -> Timestamp {
        let time = SystemTime::now();
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp::from_unix(0) + after,
            Err(before) => Timestamp::from_unix(0) - before.duration(),
        }
    }
}
