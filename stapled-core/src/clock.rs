//! The clock, injected: what the time is, and waiting for an instant.

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// No sleep is longer than this: a wall clock that jumped, or a machine that was suspended, is noticed this soon.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Tells the time. Everything in this crate that needs the time asks one of these, so that tests can run a year in
/// seconds and let clocks jump.
pub trait Clock: Send + Sync + Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
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
    at_start: std::sync::atomic::AtomicI64,
}

impl SimulatedClock {
    /// A clock that shows `start` now. To be called inside a tokio runtime.
    pub fn starting_at(start: Timestamp) -> Self {
        SimulatedClock { start: tokio::time::Instant::now(), at_start: start.unix_millis().into() }
    }

    /// Sets the clock: it jumps, forward or back, and goes on from there.
    pub fn set(&self, now: Timestamp) {
        let elapsed = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.at_start.store(now.unix_millis().saturating_sub(elapsed), std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.at_start.load(std::sync::atomic::Ordering::SeqCst)) + self.start.elapsed()
    }
}

/// Waits until `clock` shows `until` or later. Follows a clock that is set while it waits within 30 seconds.
pub async fn sleep_until(clock: &dyn Clock, until: Timestamp) {
    loop {
        let left = until.since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}
