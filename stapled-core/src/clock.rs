//! The clock, injected: reads the time and waits for an instant.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// A source of time. All code in this crate that needs the time asks a `Clock`, so that tests can run a year in seconds
/// and set the clock. No method waits, so none can be cancelled.
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

/// A clock that follows tokio's own time from a chosen start, and that can be set.
///
/// In a runtime started with paused time (`#[tokio::test(start_paused = true)]`) hours pass as soon as every task
/// waits, and time-outs keep their proportion to the clock.
#[derive(Debug)]
pub struct SimulatedClock {
    start: tokio::time::Instant,
    at_start: AtomicI64,
    longest_sleep: Duration,
}

impl SimulatedClock {
    /// A clock that shows `start` now. To be called inside a tokio runtime.
    pub fn starting_at(start: Timestamp) -> Self {
        SimulatedClock {
            start: tokio::time::Instant::now(),
            at_start: start.unix_millis().into(),
            longest_sleep: LONGEST_SLEEP,
        }
    }

    /// The same clock with another [`longest_sleep`](Clock::longest_sleep), for a simulation that never sets the clock,
    /// or that may notice a set clock late. With longer sleeps a simulated year takes less real time.
    pub fn sleeping_up_to(self, longest_sleep: Duration) -> Self {
        SimulatedClock { longest_sleep, ..self }
    }

    /// Sets the clock, forward or back. It continues from there.
    pub fn set(&self, now: Timestamp) {
        let elapsed = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.at_start.store(now.unix_millis().saturating_sub(elapsed), Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.at_start.load(Ordering::SeqCst)) + self.start.elapsed()
    }

    fn steady(&self) -> Duration {
        self.start.elapsed()
    }

    fn longest_sleep(&self) -> Duration {
        self.longest_sleep
    }
}
