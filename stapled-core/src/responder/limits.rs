//! Limits of the questions to CAs about certificates that no source has: how many at once, and how many a second for each issuer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many questions are open at once.
const AT_ONCE: usize = 32;
/// How many questions about certificates of one issuer are asked in a row, and how many a second after that.
const IN_A_ROW: f64 = 200.0;
const PER_SECOND: f64 = 10.0;
/// How many issuers are told apart.
const ISSUERS: usize = 1000;

/// The limits.
#[derive(Debug)]
pub(super) struct Limits {
    open: Arc<Semaphore>,
    budgets: Mutex<HashMap<Box<[u8]>, Budget>>,
}

/// The questions that are left for one issuer.
#[derive(Clone, Copy, Debug)]
struct Budget {
    left: f64,
    at: Duration,
}

impl Limits {
    pub(super) fn new() -> Self {
        Limits { open: Arc::new(Semaphore::new(AT_ONCE)), budgets: Mutex::default() }
    }

    /// The permit of a question about a certificate of this issuer. `None`: it must not be asked now.
    pub(super) fn permit(&self, issuer: &[u8], now: Duration) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.open).try_acquire_owned().ok()?;
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() >= ISSUERS && !budgets.contains_key(issuer) {
            budgets.retain(|_, budget| budget.at(now) < IN_A_ROW);
            if budgets.len() >= ISSUERS {
                return None;
            }
        }
        let budget = budgets.entry(issuer.into()).or_insert(Budget { left: IN_A_ROW, at: now });
        let left = budget.at(now);
        if left < 1.0 {
            return None;
        }
        *budget = Budget { left: left - 1.0, at: now };
        Some(permit)
    }
}

impl Budget {
    fn at(self, now: Duration) -> f64 {
        (self.left + now.saturating_sub(self.at).as_secs_f64() * PER_SECOND).min(IN_A_ROW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_gets_questions_in_a_row_and_then_some_a_second() {
        let limits = Limits::new();
        let asked = |issuer: &[u8], seconds, tries| {
            (0..tries).filter(|_| limits.permit(issuer, Duration::from_secs(seconds)).is_some()).count()
        };
        assert_eq!(asked(b"a", 0, 10_000), 200);
        assert_eq!(asked(b"a", 3, 10_000), 30);
        assert_eq!(asked(b"b", 3, 10_000), 200, "another issuer has questions of its own");
        assert_eq!(asked(b"a", 10_000, 10_000), 200);
    }

    #[test]
    fn some_questions_are_open_at_once() {
        let limits = Limits::new();
        let open: Vec<_> = (0..100).filter_map(|_| limits.permit(b"a", Duration::ZERO)).collect();
        assert_eq!(open.len(), AT_ONCE);
        drop(open);
        assert!(limits.permit(b"a", Duration::ZERO).is_some());
    }
}
