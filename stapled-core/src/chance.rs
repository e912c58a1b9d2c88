//! Chance, injected: the random numbers that spread renewals and retries.

use std::fmt::Debug;

/// A source of random numbers. All code in this crate that randomizes an instant asks a `Chance`, so that a simulation
/// can be repeated. Unpredictable values, such as nonces, come from elsewhere. The method does not wait and cannot be
/// cancelled.
pub trait Chance: Send + Sync + Debug {
    /// Returns a number in [0, 1), uniformly distributed.
    fn draw(&self) -> f64;
}

/// The process's own generator, seeded by the system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemChance;

impl Chance for SystemChance {
    fn draw(&self) -> f64 {
        rand::random()
    }
}
