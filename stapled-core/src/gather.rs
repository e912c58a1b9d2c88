//! Collects what is alike: the first of a group passes at once, later ones wait and pass together after pauses that grow.
//!
//! A CA that fails concerns thousands of certificates. The hook and the log tell of it in a few calls and lines.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// The first pause of a group.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// By which factor a pause is longer than the one before it.
const GROWTH: u32 = 4;
/// How many groups there may be. Items of further groups pass at once.
const MAX_GROUPS: usize = 1000;

/// The groups that are in a pause.
#[derive(Debug)]
pub(crate) struct Gather<K, T> {
    longest: Duration,
    capacity: usize,
    held: usize,
    groups: HashMap<K, Group<T>>,
    /// The ends of the pauses; the number tells those of one instant apart.
    ends: BTreeMap<(Instant, u64), K>,
    number: u64,
}

#[derive(Debug)]
struct Group<T> {
    waiting: Gathered<T>,
    pause: Duration,
}

/// Items of one group that pass together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gathered<T> {
    /// The items, the first one first.
    pub(crate) items: Vec<T>,
    /// How many further items there was no room for.
    pub(crate) left_out: u64,
}

impl<K: Clone + Eq + Hash, T> Gather<K, T> {
    /// No group. Pauses are no longer than `longest`; no more than `capacity` items wait.
    pub(crate) fn new(longest: Duration, capacity: usize) -> Self {
        Gather { longest, capacity, held: 0, groups: HashMap::new(), ends: BTreeMap::new(), number: 0 }
    }

    /// Takes an item, and returns it if it passes at once.
    pub(crate) fn take(&mut self, key: K, item: T, now: Instant) -> Option<T> {
        if let Some(group) = self.groups.get_mut(&key) {
            if self.held < self.capacity {
                self.held += 1;
                group.waiting.items.push(item);
            } else {
                group.waiting.left_out += 1;
            }
            return None;
        }
        if self.groups.len() < MAX_GROUPS {
            self.pause(key, FIRST_PAUSE.min(self.longest), now);
        }
        Some(item)
    }

    fn pause(&mut self, key: K, pause: Duration, now: Instant) {
        self.number += 1;
        self.ends.insert((now + pause, self.number), key.clone());
        self.groups.insert(key, Group { waiting: Gathered { items: Vec::new(), left_out: 0 }, pause });
    }

    /// The end of the next pause.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.ends.keys().next().map(|(end, _)| *end)
    }

    /// What has waited in the pauses that are over. Each group with items begins another pause; the others are forgotten.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<(K, Gathered<T>)> {
        let mut due = Vec::new();
        while let Some(end) = self.ends.first_entry().filter(|end| end.key().0 <= now) {
            let key = end.remove();
            let Some(Group { waiting, pause }) = self.groups.remove(&key) else { continue };
            if waiting.items.is_empty() && waiting.left_out == 0 {
                continue;
            }
            self.held = self.held.saturating_sub(waiting.items.len());
            self.pause(key.clone(), pause.saturating_mul(GROWTH).min(self.longest), now);
            due.push((key, waiting));
        }
        due
    }

    /// What waits in all pauses.
    pub(crate) fn take_all(&mut self) -> Vec<(K, Gathered<T>)> {
        self.ends.clear();
        self.held = 0;
        let all = self.groups.drain().map(|(key, group)| (key, group.waiting));
        all.filter(|(_, waiting)| !waiting.items.is_empty() || waiting.left_out > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(300);

    #[test]
    fn the_first_passes_at_once_and_the_others_after_pauses_that_grow() {
        let start = Instant::now();
        let mut gather = Gather::new(LONGEST, 10_000);
        assert_eq!(gather.take("a", 0, start), Some(0));
        assert_eq!(gather.take("b", 100, start), Some(100), "another group");
        // One item every 100 ms for an hour.
        let mut passed = Vec::new();
        for number in 1..=36_000_u32 {
            let now = start + Duration::from_millis(100) * number;
            for (key, gathered) in gather.take_due(now) {
                assert_eq!(key, "a");
                passed.push((now.duration_since(start).as_secs(), gathered.items.len()));
            }
            assert_eq!(gather.take("a", number, now), None);
        }
        assert_eq!(passed.get(..5), Some(&[(1, 9), (5, 40), (21, 160), (85, 640), (341, 2560)][..]), "{passed:?}");
        assert_eq!(passed.len(), 5 + 10, "every 300 s at last");
    }

    #[test]
    fn a_group_that_was_quiet_for_its_pause_begins_anew() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut gather = Gather::new(LONGEST, 10);
        assert_eq!(gather.take("a", 0, start), Some(0));
        assert_eq!(gather.next_due(), Some(start + second));
        assert_eq!(gather.take_due(start + second), []);
        assert_eq!(gather.next_due(), None);
        assert_eq!(gather.take("a", 1, start + second), Some(1));
    }

    #[test]
    fn what_waits_is_bounded_and_counted() {
        let start = Instant::now();
        let mut gather = Gather::new(LONGEST, 3);
        for number in 0..10 {
            gather.take("a", number, start);
        }
        assert_eq!(gather.take_all(), [("a", Gathered { items: vec![1, 2, 3], left_out: 6 })]);
        assert_eq!((gather.take_all(), gather.next_due()), (Vec::new(), None));
        let many =
            (0..MAX_GROUPS + 5).filter(|group| gather.take(Box::leak(group.to_string().into()), 0, start).is_some());
        assert_eq!(many.count(), MAX_GROUPS + 5);
        assert_eq!(gather.groups.len(), MAX_GROUPS);
    }
}
