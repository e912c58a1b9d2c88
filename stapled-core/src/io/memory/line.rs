//! One queue: its tasks in the order of their due times.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::moment::Moment;
use crate::by_subject::BySubject;
use crate::scheduler::QueueRules;
use crate::scheduler::census::QueueCensus;
use crate::task::{Cause, Due, Queue, Subject, Task};
use crate::time::Timestamp;

/// A queue. Each key (the task's subject) has one entry here, in every state of its task. A task put while the key is
/// leased follows the leased task and is counted with it.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) rules: QueueRules,
    tasks: BySubject<Held>,
    followers: BySubject<Held>,
    /// Tasks due at an instant, by the wall clock.
    dated: Order,
    /// Tasks due after a delay, by the steady clock: they stay on time when the wall clock is set back.
    steady: Order,
    leased: u64,
    parked: u64,
}

/// A queue with room for so few tasks keeps its room.
const SMALL: usize = 1024;

/// The cause of each certificate's first renewal after a start, shared by all of them.
static FOUND: LazyLock<Arc<Cause>> = LazyLock::new(|| Arc::new(Cause::Found));

type Order = BTreeMap<(Timestamp, u64), Subject>;

/// An entry for one task. It is small, because there are as many entries as tasks; the names are shared with the task's
/// creator.
#[derive(Debug)]
struct Held {
    /// By the clock of the entry's place.
    due: Timestamp,
    /// Orders tasks that are due at the same time by their puts; for a leased task, its fence.
    number: u64,
    generation: u64,
    /// None for the regular cause. Behind a pointer, because few tasks have another cause, and every entry has the field.
    cause: Option<Arc<Cause>>,
    attempt: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Dated,
    Steady,
    Parked,
    Leased,
}

/// The state of a lease's key after the end of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The key has no task any more.
    Gone,
    /// The task that was put meanwhile has replaced the leased one.
    Followed,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn contains(&self, subject: &Subject) -> bool {
        self.tasks.contains_key(subject)
    }

    pub(super) fn has_follower(&self, subject: &Subject) -> bool {
        self.followers.contains_key(subject)
    }

    pub(super) fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.tasks.keys()
    }

    pub(super) fn is_leased(&self, subject: &Subject, fence: u64) -> bool {
        self.tasks.get(subject).is_some_and(|held| held.place == Place::Leased && held.number == fence)
    }

    /// The first of the waiting tasks: its due time by the wall clock, and its number.
    pub(super) fn head(&self, now: Moment) -> Option<(Timestamp, u64)> {
        let dated = self.dated.keys().next().copied();
        let steady = self.steady.keys().next().map(|&(due, number)| (now.to_wall(due), number));
        match (dated, steady) {
            (Some(dated), Some(steady)) => Some(dated.min(steady)),
            (dated, steady) => dated.or(steady),
        }
    }

    /// Leases the first of the waiting tasks, whether it is due or not.
    pub(super) fn lease_head(&mut self, queue: &Queue, fence: u64, now: Moment) -> Option<Task> {
        let (due, number) = self.head(now)?;
        let subject = match self.dated.remove(&(due, number)) {
            Some(subject) => subject,
            None => self.steady.pop_first()?.1,
        };
        let held = self.tasks.get_mut(&subject)?;
        held.place = Place::Leased;
        held.number = fence;
        self.leased += 1;
        Some(Task {
            queue: queue.clone(),
            subject,
            due: Due::At(due),
            generation: held.generation,
            attempt: held.attempt,
            cause: held.cause.as_deref().cloned().unwrap_or_default(),
        })
    }

    /// Puts a task; true when its key is new here.
    pub(super) fn put(&mut self, task: Task, number: u64, now: Moment) -> bool {
        let (place, due) = match task.due {
            _ if self.parks(task.attempt) => (Place::Parked, now.wall),
            Due::Now => (Place::Steady, now.steady()),
            Due::After(delay) => (Place::Steady, now.steady() + delay),
            Due::At(instant) => (Place::Dated, instant),
        };
        let Task { subject, generation, attempt, cause, .. } = task;
        let cause = match cause {
            Cause::Regular => None,
            Cause::Found => Some(Arc::clone(&FOUND)),
            other => Some(Arc::new(other)),
        };
        let held = Held { due, number, generation, cause, attempt, place };
        match self.tasks.get(&subject).map(|held| held.place) {
            Some(Place::Leased) => {
                self.followers.insert(subject, held);
                false
            }
            Some(_) => {
                self.withdraw(&subject);
                self.enqueue(subject, held);
                false
            }
            None => {
                self.enqueue(subject, held);
                true
            }
        }
    }

    /// Ends the lease of this key after its work is done. The key must be leased.
    pub(super) fn finish(&mut self, subject: &Subject) -> Ended {
        self.withdraw(subject);
        if self.followers.is_empty() {
            return Ended::Gone;
        }
        match self.followers.remove_entry(subject) {
            Some((subject, follower)) => {
                self.enqueue(subject, follower);
                Ended::Followed
            }
            None => Ended::Gone,
        }
    }

    /// Ends the lease of this key after the lease was lost. The task returns to the queue, unless another task follows
    /// it. The key must be leased.
    pub(super) fn give_back(&mut self, subject: &Subject, number: u64, now: Moment) {
        if self.has_follower(subject) {
            self.finish(subject);
            return;
        }
        let Some((subject, mut held)) = self.withdraw(subject) else { return };
        held.due = now.steady() + back_off(held.attempt);
        held.number = number;
        held.attempt = held.attempt.saturating_add(1);
        held.cause = Some(Arc::new(Cause::LeaseLost));
        held.place = if self.parks(held.attempt) { Place::Parked } else { Place::Steady };
        self.enqueue(subject, held);
    }

    /// Removes a key with its follower; true if the key was here.
    pub(super) fn cancel(&mut self, subject: &Subject) -> bool {
        self.followers.remove(subject);
        self.withdraw(subject).is_some()
    }

    /// Makes a task due and resets its attempts to 0; false if there is no task or it is leased.
    pub(super) fn hasten(&mut self, subject: &Subject, number: u64, now: Moment) -> bool {
        if let Some(follower) = self.followers.get_mut(subject) {
            follower.hasten(number, now);
            return true;
        }
        match self.tasks.get(subject) {
            Some(held) if held.place != Place::Leased => {
                if let Some((subject, mut held)) = self.withdraw(subject) {
                    held.hasten(number, now);
                    self.enqueue(subject, held);
                }
                true
            }
            _ => false,
        }
    }

    /// All subjects that [`Line::hasten`] would hasten, the earliest first.
    pub(super) fn hastenable(&self, now: Moment) -> Vec<Subject> {
        let all = self.tasks.iter().filter(|(_, held)| held.place != Place::Leased).chain(&self.followers);
        let mut all: Vec<_> = all.map(|(subject, held)| (held.wall_due(now), held.number, subject)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, _, subject)| subject.clone()).collect()
    }

    /// Counts the tasks. The time is proportional to the number of tasks that are due and not taken, which is small
    /// unless workers are late.
    pub(super) fn census(&self, now: Moment) -> QueueCensus {
        let (dated, steady) = ((now.wall, u64::MAX), (now.steady(), u64::MAX));
        let due = self.dated.range(..=dated).count() + self.steady.range(..=steady).count();
        let next_dated = self.dated.range(dated..).next().map(|(&(due, _), _)| due);
        let next_steady = self.steady.range(steady..).next().map(|(&(due, _), _)| now.to_wall(due));
        QueueCensus {
            waiting: (self.dated.len() + self.steady.len() - due) as u64,
            due: due as u64,
            leased: self.leased,
            parked: self.parked,
            next_due: next_dated.into_iter().chain(next_steady).min(),
        }
    }

    fn parks(&self, attempt: u32) -> bool {
        self.rules.park_after.is_some_and(|limit| attempt >= limit)
    }

    fn enqueue(&mut self, subject: Subject, held: Held) {
        match held.place {
            Place::Dated => drop(self.dated.insert((held.due, held.number), subject.clone())),
            Place::Steady => drop(self.steady.insert((held.due, held.number), subject.clone())),
            Place::Parked => self.parked += 1,
            Place::Leased => self.leased += 1,
        }
        self.tasks.insert(subject, held);
    }

    /// The opposite of [`Line::enqueue`].
    fn withdraw(&mut self, subject: &Subject) -> Option<(Subject, Held)> {
        let (subject, held) = self.tasks.remove_entry(subject)?;
        match held.place {
            Place::Dated => drop(self.dated.remove(&(held.due, held.number))),
            Place::Steady => drop(self.steady.remove(&(held.due, held.number))),
            Place::Parked => self.parked -= 1,
            Place::Leased => self.leased -= 1,
        }
        // A queue through which all tasks have passed once, as at a start, gives its room back.
        if self.tasks.capacity() > SMALL && self.tasks.len() < self.tasks.capacity() / 8 {
            self.tasks.shrink_to(self.tasks.len() * 2);
        }
        Some((subject, held))
    }
}

impl Held {
    fn wall_due(&self, now: Moment) -> Timestamp {
        if self.place == Place::Steady { now.to_wall(self.due) } else { self.due }
    }

    /// Makes the task due. A task that is due already keeps its turn.
    fn hasten(&mut self, number: u64, now: Moment) {
        self.attempt = 0;
        if self.place == Place::Parked || self.wall_due(now) > now.wall {
            self.place = Place::Steady;
            self.due = now.steady();
            self.number = number;
        }
    }
}

/// The wait of a lost task: a second, twice as long after every further attempt, at most an hour. So a task that kills
/// its workers does not occupy all of them.
fn back_off(attempt: u32) -> Duration {
    const LONGEST: u64 = 3600;
    Duration::from_secs(1_u64.checked_shl(attempt).unwrap_or(LONGEST).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_through_which_many_tasks_have_passed_gives_its_room_back() {
        let now = Moment::starting_at(Timestamp::from_unix(0));
        let queue = Queue::from("queue");
        let mut line = Line::default();
        for number in 0..10_000 {
            line.put(Task::new(queue.clone(), Subject::new(number.to_string())), number, now);
        }
        let full = line.tasks.capacity();
        while let Some(task) = line.lease_head(&queue, 0, now) {
            assert_eq!(line.finish(&task.subject), Ended::Gone);
        }
        assert!(full >= 10_000 && line.len() == 0 && line.tasks.capacity() <= 2 * SMALL, "{full}");
    }
}
