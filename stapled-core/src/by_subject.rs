//! Maps by subjects and queues, which are hashed when they are made: a look-up does not hash them again.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::task::{Queue, Subject};

/// A map by subjects.
pub(crate) type BySubject<V> = HashMap<Subject, V, BuildHasherDefault<Prehashed>>;
/// A map by queues.
pub(crate) type ByQueue<V> = HashMap<Queue, V, BuildHasherDefault<Prehashed>>;

/// Takes the hash that a subject has: it was made with keys of this process, so nobody can choose names with equal hashes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prehashed(u64);

impl Hasher for Prehashed {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// For other keys than subjects, of which there are none: correct, and not fast.
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(5) ^ u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, Hash};

    use super::*;

    #[test]
    fn equal_subjects_have_the_same_hash_and_others_have_others() {
        let hasher = BuildHasherDefault::<Prehashed>::default();
        let hashes: std::collections::BTreeSet<u64> =
            (0..10_000).map(|number| hasher.hash_one(Subject::new(number.to_string()))).collect();
        assert_eq!(hashes.len(), 10_000);
        assert_eq!(hasher.hash_one(Subject::from("one")), hasher.hash_one(Subject::from("one")));
        // A hash map takes the lowest bits and the highest ones: both must differ.
        let differ = |part: fn(&u64) -> u64| hashes.iter().map(part).collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!((differ(|hash| hash & 0xff), differ(|hash| hash >> 57)), (256, 128));
    }

    #[test]
    fn a_queue_has_the_hash_of_its_name() {
        let mut lines = ByQueue::default();
        lines.insert(Queue::from("renew:a"), 1);
        assert_eq!((lines.get(&Queue::from("renew:a")), lines.get(&Queue::from("renew:b"))), (Some(&1), None));
        let hash = |key: &dyn Fn(&mut Prehashed)| {
            let mut hasher = Prehashed::default();
            key(&mut hasher);
            hasher.finish()
        };
        let text = |text: &'static str| hash(&move |hasher| text.hash(hasher));
        assert_ne!(text("one"), text("two"));
    }
}
