//! Chance, injected: the random numbers that spread renewals and retries.

use std::fmt::Debug;

use crate::hash::Sha256;
use crate::task::Subject;

/// A source of random numbers. All code in this crate that randomizes an instant asks a `Chance`, so that a simulation
/// can be repeated. Unpredictable values, such as nonces, come from elsewhere. The methods do not wait and cannot be
/// cancelled.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use stapled_core::chance::Chance;
///
/// /// The same numbers in each run of a test: multiples of the golden ratio, without their whole part.
/// #[derive(Debug, Default)]
/// struct Even(AtomicU32);
///
/// impl Chance for Even {
///     fn draw(&self) -> f64 {
///         (f64::from(self.0.fetch_add(1, Ordering::Relaxed)) * 0.618_033_988_75).fract()
///     }
/// }
/// ```
pub trait Chance: Send + Sync + Debug {
    /// Returns a number in [0, 1), uniformly distributed.
    fn draw(&self) -> f64;

    /// Returns the part of [0, 1) that belongs to a certificate. By default it is nearly equal in all processes, so that those
    /// which share answers ask about a certificate at about the same time, and the earliest of many random times does not
    /// decide.
    fn place(&self, subject: &Subject) -> f64 {
        let [first, second, third, ..] = Sha256::of(subject.as_str().as_bytes());
        let place = f64::from(u32::from_be_bytes([0, first, second, third])) / f64::from(1 << 24);
        place * (1.0 - RANDOM_PART) + self.draw() * RANDOM_PART
    }
}

/// How much of a place is random.
const RANDOM_PART: f64 = 0.02;

/// The process's own generator, seeded by the system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemChance;

impl Chance for SystemChance {
    fn draw(&self) -> f64 {
        rand::random()
    }
}
