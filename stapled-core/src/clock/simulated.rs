//! A clock for tests and simulations.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::{Clock, LONGEST_SLEEP};
use crate::time::Timestamp;

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
