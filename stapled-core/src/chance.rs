//! Chance, injected: what renewals and retries are spread by.

use std::fmt::Debug;

/// Draws numbers. Everything in this crate that leaves an instant to chance asks one of these, so that a simulation can
/// be repeated. What must be unpredictable, such as a nonce, is not drawn here. It does not wait and cannot be broken off.
pub trait Chance: Send + Sync + Debug {
    /// A number in [0, 1), all equally likely.
    fn draw(&self) -> f64;
}

/// The process's own generator, seeded by the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn draw(&self) -> f64 {
        rand::random()
    }
}
