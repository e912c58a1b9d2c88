//! Random numbers, which all come from the seed of a simulation.

use std::sync::Mutex;
use std::time::Duration;

use stapled_core::chance::Chance;
use stapled_core::task::Subject;

/// SplitMix64: small, and unchanging, so that a seed means the same run on every machine.
#[derive(Debug)]
pub(crate) struct Random(Mutex<u64>);

impl Random {
    /// One stream of a seed. Streams with different purposes are independent of each other.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let random = Random(Mutex::new(seed ^ purpose.wrapping_mul(0xa076_1d64_78bd_642f)));
        random.next();
        random
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random number below `end`.
    pub(crate) fn below(&self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True with a probability of one in `times`.
    pub(crate) fn once_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A random whole number of milliseconds between these.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> Duration {
        let span = to.saturating_sub(from).as_millis() as usize + 1;
        from + Duration::from_millis(self.below(span) as u64)
    }

    /// A random whole number of seconds between these.
    pub(crate) fn seconds(&self, from: u64, to: u64) -> Duration {
        Duration::from_secs(from + self.below((to - from + 1) as usize) as u64)
    }
}

impl Chance for Random {
    fn draw(&self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The keys of a run are random, and so are its subjects. The run must not depend on them.
    fn place(&self, _: &Subject) -> f64 {
        self.draw()
    }
}
