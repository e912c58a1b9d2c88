//! Submissions that are being decided, by client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many submissions of each client are being decided in this process. They count like sessions, so that a client does not
/// run more hooks at once than it may have sessions.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<HashMap<String, usize>>);

/// A submission that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    pending: Arc<Pending>,
    client: String,
}

impl Pending {
    /// Counts one more submission of a client that has this many sessions; `None` if that is more than `limit` together.
    pub(crate) fn enter(self: &Arc<Self>, client: &str, sessions: usize, limit: usize) -> Option<Counted> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = all.get(client).copied().unwrap_or(0);
        if sessions.saturating_add(mine) >= limit {
            return None;
        }
        all.insert(client.to_owned(), mine + 1);
        Some(Counted { pending: Arc::clone(self), client: client.to_owned() })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut all = self.pending.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = all.get_mut(&self.client) {
            *mine -= 1;
            if *mine == 0 {
                all.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_count_until_they_are_decided() {
        let pending = Arc::new(Pending::default());
        assert!(pending.enter("a", 2, 2).is_none());
        let one = pending.enter("a", 1, 3).unwrap();
        let two = pending.enter("a", 1, 3).unwrap();
        assert!(pending.enter("a", 1, 3).is_none());
        assert!(pending.enter("b", 1, 2).is_some());
        drop(one);
        assert!(pending.enter("a", 1, 3).is_some());
        drop(two);
        assert!(pending.0.lock().unwrap().is_empty());
    }
}
