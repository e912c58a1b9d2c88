//! All answers that are ready to be sent. Questions read them without a lock.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::key::Key;
use super::prepared::Prepared;
use crate::clock::Clock;

/// The number of maps over which the answers are spread: a change copies one of them.
const SHARDS: usize = 256;

type Shard = ArcSwap<HashMap<Key, Arc<Prepared>>>;

/// All answers that are ready to be sent, by the CertID that the CA signed.
pub(super) struct Table {
    shards: Vec<Shard>,
}

impl Table {
    pub(super) fn new() -> Self {
        Table { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Prepared>> {
        self.shard(key)?.load().get(key).cloned()
    }

    pub(super) fn put(&self, key: &Key, prepared: &Arc<Prepared>) {
        self.change(key, |answers| {
            answers.insert(key.clone(), Arc::clone(prepared));
        });
    }

    /// Puts the answer to a question of the responder's own, unless the stapler has delivered one, which it renews.
    pub(super) fn put_asked(&self, key: &Key, prepared: &Arc<Prepared>, clock: &dyn Clock) {
        self.change(key, |answers| {
            if !answers.get(key).is_some_and(|known| known.renewal.is_none() && !known.is_over(clock)) {
                answers.insert(key.clone(), Arc::clone(prepared));
            }
        });
    }

    pub(super) fn remove(&self, key: &Key) {
        if self.get(key).is_some() {
            self.change(key, |answers| {
                answers.remove(key);
            });
        }
    }

    /// Replaces or removes this answer, if no other one is in its place.
    pub(super) fn replace(&self, key: &Key, before: &Arc<Prepared>, after: Option<&Arc<Prepared>>) {
        self.change(key, |answers| {
            if answers.get(key).is_some_and(|known| Arc::ptr_eq(known, before)) {
                match after {
                    Some(after) => answers.insert(key.clone(), Arc::clone(after)),
                    None => answers.remove(key),
                };
            }
        });
    }

    fn change(&self, key: &Key, change: impl Fn(&mut HashMap<Key, Arc<Prepared>>)) {
        let Some(shard) = self.shard(key) else { return };
        shard.rcu(|answers| {
            let mut answers = HashMap::clone(answers);
            change(&mut answers);
            answers
        });
    }

    fn shard(&self, key: &Key) -> Option<&Shard> {
        // CAs choose serial numbers at random.
        let number = key.serial().iter().rev().take(2).fold(0, |sum: usize, byte| sum ^ usize::from(*byte));
        self.shards.get(number % SHARDS)
    }
}
