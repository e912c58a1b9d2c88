//! The clock, injected: what the time is, and waiting for an instant.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Tells the time. Everything in this crate that needs the time asks one of these, so that tests can run a year in
/// seconds and let clocks jump. Nothing here waits, so nothing can be broken off.
pub trait Clock: Send + Sync + Debug {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// The time since some fixed instant, by a clock that nobody sets. Where [`now`](Clock::now) goes on by another span
    /// than this, the clock was set, or the machine slept. The machine's monotonic clock, unless `now` is of another kind.
    fn steady(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }

    /// How long to sleep at most before looking at this clock again: a clock that jumped, or a machine that was
    /// suspended, is noticed this soon. 30 s, unless it is known that this clock does not jump.
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

    /// The same, for a simulation in which it is not set, or where that may be noticed late: sleeping longer, a year
    /// passes sooner.
    pub fn sleeping_up_to(self, longest_sleep: Duration) -> Self {
        SimulatedClock { longest_sleep, ..self }
    }

    /// Sets the clock: it jumps, forward or back, and goes on from there.
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

/// Waits until `clock` shows `until` or later. A clock that is set meanwhile is followed within its
/// [`longest_sleep`](Clock::longest_sleep). May be dropped.
pub async fn sleep_until(clock: &dyn Clock, until: Timestamp) {
    loop {
        let left = until.since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(clock.longest_sleep())).await;
    }
}
