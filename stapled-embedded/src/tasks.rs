//! Tasks in their queues.

use std::time::Duration;

use redb::ReadableTable;
use stapled_core::scheduler::census::QueueCensus;
use stapled_core::task::{Cause, Due, Queue, Subject, Task};
use stapled_core::time::Timestamp;

use crate::error::EmbeddedError;
use crate::stored::{Held, Place, StoredRules};
use crate::tables::{Moment, Tables, decode, encode};

/// The clocks of [`Tables::order`].
const WALL: u8 = 0;
const STEADY: u8 = 1;

type Result<T> = std::result::Result<T, EmbeddedError>;

impl Held {
    /// When it is due, by the wall clock.
    fn wall_due(&self, now: Moment) -> i64 {
        if self.place == Place::Steady { now.to_wall(self.due) } else { self.due }
    }

    /// The clock of its order; `None` when it is leased or parked.
    fn clock(&self) -> Option<u8> {
        match self.place {
            Place::Dated => Some(WALL),
            Place::Steady => Some(STEADY),
            Place::Parked | Place::Leased => None,
        }
    }

    /// Makes it due. A task that is due already keeps its turn.
    fn hasten(&mut self, number: u64, now: Moment) {
        self.attempt = 0;
        if self.place == Place::Parked || self.wall_due(now) > now.wall {
            (self.place, self.due, self.number) = (Place::Steady, now.steady(), number);
        }
    }
}

/// The first task of a queue that is neither leased nor parked.
struct Head {
    wall_due: i64,
    number: u64,
    subject: String,
}

impl Tables<'_> {
    pub(crate) fn rules(&self, queue: &str) -> Result<StoredRules> {
        let stored = self.queues.get(queue).map_err(EmbeddedError::of)?;
        stored.map_or(Ok(StoredRules::default()), |bytes| decode(bytes.value()))
    }

    pub(crate) fn configure(&mut self, queue: &str, rules: StoredRules) -> Result<()> {
        self.queues.insert(queue, encode(&rules)?.as_slice()).map_err(EmbeddedError::of)?;
        Ok(())
    }

    pub(crate) fn task(&self, queue: &str, subject: &str) -> Result<Option<Held>> {
        let stored = self.tasks.get((queue, subject)).map_err(EmbeddedError::of)?;
        stored.map(|bytes| decode(bytes.value())).transpose()
    }

    pub(crate) fn follower(&self, queue: &str, subject: &str) -> Result<Option<Held>> {
        let stored = self.followers.get((queue, subject)).map_err(EmbeddedError::of)?;
        stored.map(|bytes| decode(bytes.value())).transpose()
    }

    pub(crate) fn is_leased(&self, queue: &str, subject: &str, fence: u64) -> Result<bool> {
        let held = self.task(queue, subject)?;
        Ok(held.is_some_and(|held| held.place == Place::Leased && held.number == fence))
    }

    /// Leases the due tasks on these queues, the earliest first.
    pub(crate) fn lease_due(&mut self, from: &[Queue], max: usize) -> Result<Vec<(Task, u64)>> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let mut best: Option<(&Queue, Head)> = None;
            for queue in from {
                if let Some(head) = self.head(queue.as_str())?
                    && head.wall_due <= self.now.wall
                    && best.as_ref().is_none_or(|(_, best)| (head.wall_due, head.number) < (best.wall_due, best.number))
                {
                    best = Some((queue, head));
                }
            }
            let Some((queue, head)) = best else { break };
            taken.extend(self.lease(queue, &head)?);
        }
        Ok(taken)
    }

    fn lease(&mut self, queue: &Queue, head: &Head) -> Result<Option<(Task, u64)>> {
        let Some(held) = self.withdraw(queue.as_str(), &head.subject)? else { return Ok(None) };
        let Ok(cause) = held.cause.parse::<Cause>();
        let task = Task::new(queue.clone(), Subject::from(head.subject.as_str()))
            .due(Due::At(Timestamp::from_unix_millis(head.wall_due)))
            .generation(held.generation)
            .attempt(held.attempt)
            .cause(cause);
        let fence = self.number()?;
        let due = head.wall_due;
        self.enqueue(queue.as_str(), &head.subject, &Held { place: Place::Leased, number: fence, due, ..held })?;
        Ok(Some((task, fence)))
    }

    /// When the next task on these queues is due, by the wall clock.
    pub(crate) fn next_due(&self, from: &[Queue]) -> Result<Option<i64>> {
        let mut next = None;
        for queue in from {
            if let Some(head) = self.head(queue.as_str())? {
                next = Some(next.map_or(head.wall_due, |next: i64| next.min(head.wall_due)));
            }
        }
        Ok(next)
    }

    fn head(&self, queue: &str) -> Result<Option<Head>> {
        let (dated, steady) = (self.first(queue, WALL)?, self.first(queue, STEADY)?);
        Ok(match (dated, steady) {
            (Some(dated), Some(steady)) if (steady.wall_due, steady.number) < (dated.wall_due, dated.number) => {
                Some(steady)
            }
            (dated, steady) => dated.or(steady),
        })
    }

    /// The first task of one clock.
    fn first(&self, queue: &str, clock: u8) -> Result<Option<Head>> {
        let range = (queue, clock, i64::MIN, 0)..=(queue, clock, i64::MAX, u64::MAX);
        let first = self.order.range(range).map_err(EmbeddedError::of)?.next();
        let Some(first) = first else { return Ok(None) };
        let (key, subject) = first.map_err(EmbeddedError::of)?;
        let (_, _, due, number) = key.value();
        let wall_due = if clock == STEADY { self.now.to_wall(due) } else { due };
        Ok(Some(Head { wall_due, number, subject: subject.value().to_owned() }))
    }

    pub(crate) fn put(&mut self, task: &Task) -> Result<()> {
        let (queue, subject) = (task.queue.as_str(), task.subject.as_str());
        let rules = self.rules(queue)?;
        self.configure(queue, rules)?;
        let (place, due) = match task.due {
            _ if rules.park_after.is_some_and(|limit| task.attempt >= limit) => (Place::Parked, self.now.wall),
            Due::Now => (Place::Steady, self.now.steady()),
            Due::After(delay) => (Place::Steady, self.now.steady().saturating_add(millis(delay))),
            Due::At(instant) => (Place::Dated, instant.unix_millis()),
        };
        let (number, cause) = (self.number()?, task.cause.to_string());
        let held = Held { place, due, number, generation: task.generation, attempt: task.attempt, cause };
        if self.task(queue, subject)?.is_some_and(|held| held.place == Place::Leased) {
            self.followers.insert((queue, subject), encode(&held)?.as_slice()).map_err(EmbeddedError::of)?;
            return Ok(());
        }
        self.withdraw(queue, subject)?;
        self.enqueue(queue, subject, &held)
    }

    /// Ends the lease of a key whose work is done; true if another task follows.
    pub(crate) fn finish(&mut self, queue: &str, subject: &str) -> Result<bool> {
        self.withdraw(queue, subject)?;
        let follower = self.follower(queue, subject)?;
        if let Some(follower) = &follower {
            self.followers.remove((queue, subject)).map_err(EmbeddedError::of)?;
            self.enqueue(queue, subject, follower)?;
        }
        Ok(follower.is_some())
    }

    /// Ends a lease that was lost. The task is due again after a pause, unless another task follows it.
    pub(crate) fn give_back(&mut self, queue: &str, subject: &str) -> Result<()> {
        if self.follower(queue, subject)?.is_some() {
            self.finish(queue, subject)?;
            return Ok(());
        }
        let Some(mut held) = self.withdraw(queue, subject)? else { return Ok(()) };
        held.due = self.now.steady().saturating_add(back_off(held.attempt));
        (held.number, held.cause) = (self.number()?, Cause::LeaseLost.to_string());
        held.attempt = held.attempt.saturating_add(1);
        let parks = self.rules(queue)?.park_after.is_some_and(|limit| held.attempt >= limit);
        held.place = if parks { Place::Parked } else { Place::Steady };
        self.enqueue(queue, subject, &held)
    }

    /// Ends all leases: those of a process that has ended.
    pub(crate) fn give_back_all(&mut self) -> Result<()> {
        let mut leased = Vec::new();
        for entry in self.tasks.iter().map_err(EmbeddedError::of)? {
            let (key, held) = entry.map_err(EmbeddedError::of)?;
            if decode::<Held>(held.value())?.place == Place::Leased {
                leased.push((key.value().0.to_owned(), key.value().1.to_owned()));
            }
        }
        leased.iter().try_for_each(|(queue, subject)| self.give_back(queue, subject))
    }

    /// Removes a key with its follower; true if the key was there.
    pub(crate) fn cancel(&mut self, queue: &str, subject: &str) -> Result<bool> {
        self.followers.remove((queue, subject)).map_err(EmbeddedError::of)?;
        Ok(self.withdraw(queue, subject)?.is_some())
    }

    /// Makes a task due; false if there is none, or it is leased.
    pub(crate) fn hasten(&mut self, queue: &str, subject: &str) -> Result<bool> {
        let number = self.number()?;
        if let Some(mut follower) = self.follower(queue, subject)? {
            follower.hasten(number, self.now);
            self.followers.insert((queue, subject), encode(&follower)?.as_slice()).map_err(EmbeddedError::of)?;
            return Ok(true);
        }
        if self.task(queue, subject)?.is_none_or(|held| held.place == Place::Leased) {
            return Ok(false);
        }
        if let Some(mut held) = self.withdraw(queue, subject)? {
            held.hasten(number, self.now);
            self.enqueue(queue, subject, &held)?;
        }
        Ok(true)
    }

    /// The queues that have a task of this subject.
    pub(crate) fn queues_of(&self, subject: &str) -> Result<Vec<String>> {
        let mut queues = Vec::new();
        for entry in self.queues_of.range((subject, "")..).map_err(EmbeddedError::of)? {
            let (key, _) = entry.map_err(EmbeddedError::of)?;
            let (found, queue) = key.value();
            if found != subject {
                break;
            }
            queues.push(queue.to_owned());
        }
        Ok(queues)
    }

    /// The names of all queues.
    pub(crate) fn all_queues(&self) -> Result<Vec<String>> {
        let names = self.queues.iter().map_err(EmbeddedError::of)?;
        names.map(|entry| Ok(entry.map_err(EmbeddedError::of)?.0.value().to_owned())).collect()
    }

    /// All tasks of a queue.
    pub(crate) fn all_tasks(&self, queue: &str) -> Result<Vec<(String, Held)>> {
        let mut all = Vec::new();
        for entry in self.tasks.range((queue, "")..).map_err(EmbeddedError::of)? {
            let (key, held) = entry.map_err(EmbeddedError::of)?;
            let (found, subject) = key.value();
            if found != queue {
                break;
            }
            all.push((subject.to_owned(), decode(held.value())?));
        }
        Ok(all)
    }

    /// The number of tasks of a queue.
    pub(crate) fn length(&self, queue: &str) -> Result<usize> {
        let mut count = 0;
        for entry in self.tasks.range((queue, "")..).map_err(EmbeddedError::of)? {
            if entry.map_err(EmbeddedError::of)?.0.value().0 != queue {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    /// The subjects that [`Tables::hasten`] would hasten, the earliest first.
    pub(crate) fn hastenable(&self, queue: &str) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for (subject, held) in self.all_tasks(queue)? {
            let held = if held.place == Place::Leased { self.follower(queue, &subject)? } else { Some(held) };
            all.extend(held.map(|held| (held.wall_due(self.now), held.number, subject)));
        }
        all.sort_unstable();
        Ok(all.into_iter().map(|(_, _, subject)| subject).collect())
    }

    /// Counts the tasks of a queue.
    pub(crate) fn census(&self, queue: &str) -> Result<QueueCensus> {
        let (mut counted, mut next) = (QueueCensus::default(), None);
        for (_, held) in self.all_tasks(queue)? {
            let due = held.wall_due(self.now);
            match held.place {
                Place::Parked => counted.parked += 1,
                Place::Leased => counted.leased += 1,
                _ if due <= self.now.wall => counted.due += 1,
                _ => {
                    counted.waiting += 1;
                    next = Some(next.map_or(due, |next: i64| next.min(due)));
                }
            }
        }
        counted.next_due = next.map(Timestamp::from_unix_millis);
        Ok(counted)
    }

    /// Adds a task in its place.
    fn enqueue(&mut self, queue: &str, subject: &str, held: &Held) -> Result<()> {
        self.tasks.insert((queue, subject), encode(held)?.as_slice()).map_err(EmbeddedError::of)?;
        self.queues_of.insert((subject, queue), ()).map_err(EmbeddedError::of)?;
        if let Some(clock) = held.clock() {
            self.order.insert((queue, clock, held.due, held.number), subject).map_err(EmbeddedError::of)?;
        }
        Ok(())
    }

    /// The opposite of [`Tables::enqueue`].
    fn withdraw(&mut self, queue: &str, subject: &str) -> Result<Option<Held>> {
        let Some(held) = self.task(queue, subject)? else { return Ok(None) };
        self.tasks.remove((queue, subject)).map_err(EmbeddedError::of)?;
        self.queues_of.remove((subject, queue)).map_err(EmbeddedError::of)?;
        if let Some(clock) = held.clock() {
            self.order.remove((queue, clock, held.due, held.number)).map_err(EmbeddedError::of)?;
        }
        Ok(Some(held))
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The pause of a lost task in milliseconds: a second, twice as long after every further attempt, at most an hour.
fn back_off(attempt: u32) -> i64 {
    const LONGEST: i64 = 3_600_000;
    1000_i64.checked_shl(attempt).filter(|pause| (1..LONGEST).contains(pause)).unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        assert_eq!(
            [0, 1, 11, 12, 40, 54, 63, 64, 100].map(back_off),
            [1000, 2000, 2_048_000, 3_600_000, 3_600_000, 3_600_000, 3_600_000, 3_600_000, 3_600_000]
        );
    }
}
