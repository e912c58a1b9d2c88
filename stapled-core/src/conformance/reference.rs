//! The reference scheduler: the simplest one possible, for comparisons after random operations.
//!
//! It has no clock. Its callers tell it the time, and which leases are lost.

use std::collections::BTreeMap;

use crate::scheduler::census::{Census, QueueCensus};
use crate::scheduler::{Expect, Lease, QueueRules, Record, Recorded, SchedulerError, Step, Which};
use crate::task::{Due, Queue, Subject, Task};
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// Until this time; `None`: an unknown time in the past.
    Waiting(Option<Timestamp>),
    Parked,
    /// Leased under this fence, with the task that waits for the end of the lease.
    Leased(u64, Option<Box<Entry>>),
}

impl Place {
    /// Whether a take may have the task.
    pub fn is_due(&self, now: Timestamp) -> bool {
        matches!(self, Place::Waiting(due) if due.is_none_or(|due| due <= now))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub generation: u64,
    pub attempt: u32,
    pub place: Place,
}

#[derive(Clone, Default)]
pub struct Model {
    pub queues: BTreeMap<Queue, (QueueRules, BTreeMap<Subject, Entry>)>,
    pub records: BTreeMap<Subject, Recorded>,
}

impl Model {
    pub fn find(&mut self, task: &Task) -> Option<&mut Entry> {
        self.queues.get_mut(&task.queue)?.1.get_mut(&task.subject)
    }

    pub fn put(&mut self, task: &Task, now: Timestamp) {
        let (rules, tasks) = self.queues.entry(task.queue.clone()).or_default();
        let due = match task.due {
            Due::Now => now,
            Due::After(delay) => now + delay,
            Due::At(instant) => instant,
        };
        let parks = rules.park_after.is_some_and(|limit| task.attempt >= limit);
        let place = if parks { Place::Parked } else { Place::Waiting(Some(due)) };
        let entry = Entry { generation: task.generation, attempt: task.attempt, place };
        match tasks.get_mut(&task.subject) {
            Some(Entry { place: Place::Leased(_, next), .. }) => *next = Some(Box::new(entry)),
            _ => drop(tasks.insert(task.subject.clone(), entry)),
        }
    }

    pub fn step(&mut self, step: &Step<'_>, now: Timestamp) -> Result<(), SchedulerError> {
        let before = self.clone();
        let (mut follower, mut is_followed) = (None, false);
        if let Some(lease) = step.release {
            let Task { queue, subject, .. } = lease.task();
            let fenced = SchedulerError::Fenced { queue: queue.clone(), subject: subject.clone() };
            let Some(Entry { place: Place::Leased(fence, next), .. }) = self.find(lease.task()) else {
                return Err(fenced);
            };
            if *fence != lease.fence() {
                return Err(fenced);
            }
            follower = next.take();
            is_followed = follower.is_some();
            self.queues.get_mut(queue).unwrap().1.remove(subject);
        }
        for Record { subject, expect, .. } in &step.records {
            let found = before.records.get(subject).map(|recorded| recorded.state.clone());
            let met = match expect {
                Expect::Anything => true,
                Expect::Nothing => found.is_none(),
                Expect::State(state) => found.as_ref() == Some(state),
            };
            if !met {
                *self = before;
                return Err(SchedulerError::Unexpected { subject: subject.clone(), expected: expect.clone(), found });
            }
        }
        for record in &step.records {
            let subject = &record.subject;
            if record.settles {
                self.queues.values_mut().for_each(|(_, tasks)| drop(tasks.remove(subject)));
                follower = follower.filter(|_| step.release.is_none_or(|lease| lease.task().subject != *subject));
            }
            if let Some(recorded) = Recorded::updated(self.records.remove(subject), record.clone()) {
                self.records.insert(subject.clone(), recorded);
            }
        }
        for task in &step.puts {
            self.put(task, now);
        }
        if let (Some(lease), Some(follower)) = (step.release, follower) {
            let Task { queue, subject, .. } = lease.task();
            self.queues.get_mut(queue).unwrap().1.insert(subject.clone(), *follower);
        }
        let released = step.release.filter(|_| !is_followed).map(Lease::task);
        for (queue, (rules, tasks)) in &self.queues {
            let length = before.queues.get(queue).map_or(0, |(_, tasks)| tasks.len());
            // Tasks that the step cancels, other than the released one, make no room for its puts.
            let is_released =
                |subject: &Subject| released.is_some_and(|task| task.queue == *queue && task.subject == *subject);
            let cancelled = before.queues.get(queue).into_iter().flat_map(|(_, tasks)| tasks.keys());
            let cancelled = cancelled.filter(|subject| !tasks.contains_key(*subject) && !is_released(subject)).count();
            if let Some(capacity) = rules.capacity
                && tasks.len() + cancelled > capacity.max(length)
            {
                let error = SchedulerError::QueueFull { queue: queue.clone(), capacity };
                *self = before;
                return Err(error);
            }
        }
        Ok(())
    }

    pub fn cancel(&mut self, which: Which<'_>) -> u64 {
        match which {
            Which::Task(queue, subject) => {
                u64::from(self.queues.get_mut(queue).is_some_and(|(_, tasks)| tasks.remove(subject).is_some()))
            }
            Which::Subject(subject) => {
                self.records.remove(subject);
                self.queues.values_mut().map(|(_, tasks)| u64::from(tasks.remove(subject).is_some())).sum()
            }
            Which::Queue(queue) => self.queues.remove(queue).map_or(0, |(_, tasks)| tasks.len() as u64),
        }
    }

    pub fn hasten(&mut self, which: Which<'_>, now: Timestamp) -> u64 {
        let mut count = 0;
        for (queue, (_, tasks)) in &mut self.queues {
            for (subject, entry) in tasks {
                let meant = match which {
                    Which::Task(one, other) => one == queue && other == subject,
                    Which::Subject(other) => other == subject,
                    Which::Queue(one) => one == queue,
                };
                let entry = match &mut entry.place {
                    Place::Leased(_, None) => continue,
                    Place::Leased(_, Some(follower)) => &mut **follower,
                    _ => entry,
                };
                if meant {
                    count += 1;
                    entry.attempt = 0;
                    match entry.place {
                        Place::Waiting(due) if due.is_none_or(|due| due <= now) => {}
                        _ => entry.place = Place::Waiting(Some(now)),
                    }
                }
            }
        }
        count
    }

    pub fn lose(&mut self, task: &Task) {
        let (rules, tasks) = self.queues.get_mut(&task.queue).unwrap();
        let park_after = rules.park_after;
        let entry = tasks.get_mut(&task.subject).unwrap();
        match &mut entry.place {
            Place::Leased(_, Some(follower)) => *entry = (**follower).clone(),
            _ => {
                entry.attempt += 1;
                let parks = park_after.is_some_and(|limit| entry.attempt >= limit);
                entry.place = if parks { Place::Parked } else { Place::Waiting(None) };
            }
        }
    }

    pub fn census(&self, now: Timestamp) -> Census {
        let mut census = Census::default();
        for (queue, (_, tasks)) in &self.queues {
            let mut counted = QueueCensus::default();
            for entry in tasks.values() {
                match entry.place {
                    Place::Waiting(Some(due)) if due > now => {
                        counted.waiting += 1;
                        counted.next_due = Some(counted.next_due.map_or(due, |next| next.min(due)));
                    }
                    Place::Waiting(_) => counted.due += 1,
                    Place::Parked => counted.parked += 1,
                    Place::Leased(..) => counted.leased += 1,
                }
            }
            census.queues.insert(queue.clone(), counted);
        }
        for (subject, recorded) in &self.records {
            if !self.queues.values().any(|(_, tasks)| tasks.contains_key(subject)) {
                *census.resting.entry(recorded.state.clone()).or_default() += 1;
            }
        }
        census
    }

    /// The due times of the tasks that are due on these queues, as far as they are known.
    pub fn due(&self, from: &[&str], now: Timestamp) -> Vec<Option<Timestamp>> {
        let tasks =
            from.iter().filter_map(|&queue| self.queues.get(&queue.into())).flat_map(|(_, tasks)| tasks.values());
        tasks
            .filter_map(|entry| match entry.place {
                Place::Waiting(due) if due.is_none_or(|due| due <= now) => Some(due),
                _ => None,
            })
            .collect()
    }
}
