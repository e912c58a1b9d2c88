//! When a hook runs: at once for the first event of a kind, then once after a pause for all events of that kind in it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::happening::{Happening, Key};
use crate::time::Timestamp;

/// The error when too many kinds of events are in a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Events of one kind, as a hook gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The latest event.
    pub(super) happening: Happening,
    /// The number of events since the last run.
    pub(super) count: u64,
    /// The time of the first of these events.
    pub(super) since: Timestamp,
}

/// The kinds of events that are in a pause.
#[derive(Debug)]
pub(super) struct Debounce {
    pause: Duration,
    capacity: usize,
    /// The events in the pause of each kind, if there are any.
    lately: HashMap<Key, Option<Told>>,
    /// The ends of the pauses, the next one first: all pauses are equally long.
    ends: VecDeque<(Instant, Key)>,
}

impl Debounce {
    pub(super) fn new(pause: Duration, capacity: usize) -> Self {
        Debounce { pause, capacity, lately: HashMap::new(), ends: VecDeque::new() }
    }

    /// Takes an event, and returns it if the hook runs for it at once.
    pub(super) fn take(&mut self, happening: Happening, now: Instant) -> Result<Option<Told>, Full> {
        let key = happening.key();
        if let Some(since) = self.lately.get_mut(&key) {
            match since {
                Some(told) => {
                    told.count += 1;
                    told.happening = happening;
                }
                None => *since = Some(Told { since: happening.at, happening, count: 1 }),
            }
            return Ok(None);
        }
        if self.lately.len() >= self.capacity {
            return Err(Full);
        }
        self.lately.insert(key.clone(), None);
        self.ends.push_back((now + self.pause, key));
        Ok(Some(Told { since: happening.at, happening, count: 1 }))
    }

    /// The end of the next pause.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// The events of the pauses that are over. Each kind with events begins another pause.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Told> {
        let mut due = Vec::new();
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            let Some((_, key)) = self.ends.pop_front() else { break };
            if let Some(told) = self.lately.remove(&key).flatten() {
                due.push(told);
                self.lately.insert(key.clone(), None);
                self.ends.push_back((now + self.pause, key));
            }
        }
        due
    }

    /// The events of the pauses that are not over.
    pub(super) fn take_all(&mut self) -> Vec<Told> {
        self.ends.clear();
        self.lately.drain().filter_map(|(_, told)| told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::happening::tests::failed;
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    fn happening(serial: &str) -> Happening {
        Happening::of(&failed("a", serial)).unwrap()
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_together() {
        let start = Instant::now();
        let mut debounce = Debounce::new(PAUSE, 10);
        assert_eq!(debounce.take(happening("1"), start).unwrap().unwrap().count, 1);
        for _ in 0..5 {
            assert_eq!(debounce.take(happening("1"), start), Ok(None));
        }
        assert!(debounce.take(happening("2"), start).unwrap().is_some(), "another certificate");
        assert_eq!(debounce.take_due(start + PAUSE / 2), []);
        let due = debounce.take_due(start + PAUSE);
        assert_eq!(due.iter().map(|told| told.count).collect::<Vec<_>>(), [5]);
        // And again only after another pause; then it is forgotten.
        assert_eq!(debounce.take(happening("1"), start + PAUSE), Ok(None));
        assert_eq!(debounce.take_due(start + PAUSE * 2).len(), 1);
        assert_eq!(debounce.take_due(start + PAUSE * 3), []);
        assert_eq!(debounce.next_due(), None);
        assert!(debounce.take(happening("1"), start + PAUSE * 3).unwrap().is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let start = Instant::now();
        let mut debounce = Debounce::new(PAUSE, 3);
        let taken: Vec<_> = (0..5).map(|number| debounce.take(happening(&number.to_string()), start).is_ok()).collect();
        assert_eq!(taken, [true, true, true, false, false]);
        assert_eq!(debounce.take(happening("0"), start), Ok(None));
        assert_eq!(debounce.take_all().len(), 1);
        assert!(debounce.take(happening("4"), start).unwrap().is_some());
    }
}
