//! Collects what is alike: the first of a group pass at once, later ones wait and pass together after pauses that grow.
//!
//! A CA that fails concerns thousands of certificates. The hook and the log tell of it in a few calls and lines.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// By which factor a pause is longer than the one before it.
const GROWTH: u32 = 4;
/// How many groups there may be. Items of further groups pass at once.
const MAX_GROUPS: usize = 1000;

/// How many items of a group pass at once, and how long the others wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    /// How many items of a group pass at once.
    pub(crate) at_once: u32,
    /// The first pause.
    pub(crate) first: Duration,
    /// The longest pause.
    pub(crate) longest: Duration,
    /// How long a group is remembered after its first item, at least: so long, only `at_once` items pass at once.
    pub(crate) memory: Duration,
}

/// The groups that are in a pause.
#[derive(Debug)]
pub(crate) struct Gather<K, T> {
    pauses: Pauses,
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
    passed: u32,
    until: Instant,
}

impl<T> Group<T> {
    fn is_empty(&self) -> bool {
        self.waiting.items.is_empty() && self.waiting.left_out == 0
    }
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
    /// No group. No more than `capacity` items wait.
    pub(crate) fn new(pauses: Pauses, capacity: usize) -> Self {
        Gather { pauses, capacity, held: 0, groups: HashMap::new(), ends: BTreeMap::new(), number: 0 }
    }

    /// Takes an item, and returns it if it passes at once.
    pub(crate) fn take(&mut self, key: K, item: T, now: Instant) -> Option<T> {
        if let Some(group) = self.groups.get_mut(&key) {
            if group.passed < self.pauses.at_once && group.is_empty() {
                group.passed += 1;
                return Some(item);
            }
            if self.held < self.capacity {
                self.held += 1;
                group.waiting.items.push(item);
            } else {
                group.waiting.left_out += 1;
            }
            return None;
        }
        if self.groups.len() < MAX_GROUPS {
            let (pause, until) = (self.pauses.first.min(self.pauses.longest), now + self.pauses.memory);
            let waiting = Gathered { items: Vec::new(), left_out: 0 };
            self.pause(key, Group { waiting, pause, passed: 1, until }, now + pause);
        }
        Some(item)
    }

    fn pause(&mut self, key: K, group: Group<T>, end: Instant) {
        self.number += 1;
        self.ends.insert((end, self.number), key.clone());
        self.groups.insert(key, group);
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
            let Some(mut group) = self.groups.remove(&key) else { continue };
            if group.is_empty() {
                // It is forgotten, unless it is remembered for longer.
                if group.until > now {
                    let until = group.until;
                    self.pause(key, group, until);
                }
                continue;
            }
            let waiting = std::mem::replace(&mut group.waiting, Gathered { items: Vec::new(), left_out: 0 });
            self.held = self.held.saturating_sub(waiting.items.len());
            group.pause = group.pause.saturating_mul(GROWTH).min(self.pauses.longest);
            group.passed = self.pauses.at_once;
            let end = now + group.pause;
            self.pause(key.clone(), group, end);
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

    const SECOND: Duration = Duration::from_secs(1);
    const PAUSES: Pauses = Pauses { at_once: 1, first: SECOND, longest: Duration::from_secs(300), memory: SECOND };

    #[test]
    fn the_first_passes_at_once_and_the_others_after_pauses_that_grow() {
        let start = Instant::now();
        let mut gather = Gather::new(PAUSES, 10_000);
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
        let mut gather = Gather::new(PAUSES, 10);
        assert_eq!(gather.take("a", 0, start), Some(0));
        assert_eq!(gather.next_due(), Some(start + SECOND));
        assert_eq!(gather.take_due(start + SECOND), []);
        assert_eq!(gather.next_due(), None);
        assert_eq!(gather.take("a", 1, start + SECOND), Some(1));
    }

    #[test]
    fn some_pass_at_once_and_the_group_is_remembered() {
        let start = Instant::now();
        let mut gather = Gather::new(Pauses { at_once: 3, memory: SECOND * 60, ..PAUSES }, 10);
        let passed = |gather: &mut Gather<_, _>, now| gather.take("a", 0, now).is_some();
        assert_eq!([0, 20, 40, 50].map(|at| passed(&mut gather, start + SECOND * at)), [true, true, true, false]);
        assert_eq!(gather.take_due(start + SECOND * 60).len(), 1);
        // After a minute without one, it is new.
        assert!(passed(&mut Gather::new(PAUSES, 10), start));
        assert_eq!(gather.take_due(start + SECOND * 600), []);
        assert!([600, 601, 602].iter().all(|at| passed(&mut gather, start + SECOND * *at)));
    }

    #[test]
    fn what_waits_is_bounded_and_counted() {
        let start = Instant::now();
        let mut gather = Gather::new(PAUSES, 3);
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
