//! Random operations, compared with the reference scheduler.

use std::collections::BTreeMap;
use std::mem::discriminant;

use super::reference::{Model, Place};
use super::{HOUR, Harness, LONG, MINUTE, SHORT, take_leased};
use crate::scheduler::census::{Census, QueueCensus};
use crate::scheduler::{Expect, Lease, QueueRules, Record, Scheduler, Step, Which};
use crate::task::{Cause, Due, Queue, Subject, Task};
use crate::time::Timestamp;

const SEEDS: u64 = 12;
const STEPS: usize = 150;
const QUEUES: [&str; 3] = ["a", "b", "c"];
const SUBJECTS: [&str; 6] = ["1", "2", "3", "4", "5", "6"];
const STATES: [&str; 2] = ["x", "y"];

pub async fn random_operations_agree_with_the_model(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    for seed in 1..=SEEDS {
        let mut run =
            Run { harness, scheduler: &*scheduler, dice: Dice(seed), model: Model::default(), held: Vec::new() };
        for number in 0..STEPS {
            let operation = run.operation().await;
            run.compare(&format!("seed {seed}, step {number}, after {operation}")).await;
        }
        for name in QUEUES {
            scheduler.cancel(Which::Queue(&name.into())).await.unwrap();
        }
        for name in SUBJECTS {
            scheduler.cancel(Which::Subject(&name.into())).await.unwrap();
        }
        assert_eq!(scheduler.census().await.unwrap(), Census::default());
    }
}

/// A generator whose sequence depends only on the seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).unwrap()
    }

    fn of<'a>(&mut self, names: &[&'a str]) -> &'a str {
        names[self.index(names.len())]
    }
}

struct Run<'a> {
    harness: &'a dyn Harness,
    scheduler: &'a dyn Scheduler,
    dice: Dice,
    model: Model,
    held: Vec<Lease>,
}

impl Run<'_> {
    async fn operation(&mut self) -> String {
        match self.dice.roll(20) {
            0..=4 => self.take(LONG).await,
            5 => self.take(SHORT).await,
            6..=13 => self.step().await,
            14 => self.cancel_or_hasten(false).await,
            15..=16 => self.cancel_or_hasten(true).await,
            17 => self.configure().await,
            _ => {
                let by = MINUTE * u32::try_from(self.dice.roll(90)).unwrap();
                self.harness.advance(by).await;
                format!("advance {by:?}")
            }
        }
    }

    /// Takes due tasks, if there are any. Short leases are lost at once.
    async fn take(&mut self, lease: std::time::Duration) -> String {
        let from: Vec<&str> = (0..=self.dice.roll(3)).map(|_| self.dice.of(&QUEUES)).collect();
        let mut once = from.clone();
        once.sort_unstable();
        once.dedup();
        let due = self.model.due(&once, self.harness.now());
        if due.is_empty() {
            return "nothing".to_owned();
        }
        let max = 1 + self.dice.index(4);
        let taken = take_leased(self.harness, &from, max, lease).await;
        let done = format!("take {max} of {from:?}: {taken:?}");
        assert!((1..=max.min(due.len())).contains(&taken.len()), "{done}; due were {due:?}");
        let mut last = Timestamp::MIN;
        for lease in &taken {
            let task = lease.task();
            let Due::At(fell_due) = task.due else { panic!("{done}: no instant") };
            assert!(last <= fell_due, "{done}: out of order");
            last = fell_due;
            let entry = self.model.find(task).unwrap_or_else(|| panic!("{done}: there is no such task"));
            let Place::Waiting(due) = entry.place else { panic!("{done}: was {entry:?}") };
            assert_eq!((task.generation, task.attempt), (entry.generation, entry.attempt), "{done}");
            assert!(due.is_none_or(|due| near(due, fell_due)), "{done}: due was {due:?}");
            entry.place = Place::Leased(lease.fence(), None);
        }
        let left = self.model.due(&once, self.harness.now());
        assert!(left.iter().flatten().all(|due| *due >= last || near(*due, last)), "{done}: an earlier one was left");
        if lease == LONG {
            self.held.extend(taken);
            return done;
        }
        for lease in taken {
            self.model.lose(lease.task());
        }
        self.harness.advance(SHORT + HOUR + MINUTE).await;
        // The scheduler notices the returned tasks at the next call.
        format!("lose, {done}")
    }

    async fn step(&mut self) -> String {
        let lease = (!self.held.is_empty() && self.dice.roll(3) > 0).then(|| self.dice.index(self.held.len()));
        let lease = lease.map(|index| self.held.swap_remove(index));
        let mut step = lease.as_ref().map_or(Step::intake(), Step::finish);
        for _ in 0..self.dice.roll(4) {
            let task = self.task();
            step = step.put(task);
        }
        if let Some(lease) = &lease
            && self.dice.roll(3) == 0
        {
            step = step.put(lease.task().again(Due::Now, Cause::Other("again".into())));
        }
        for _ in 0..self.dice.roll(3) {
            let record = self.record();
            step = step.record(record);
        }
        let done = format!("{step:?}");
        let now = self.harness.now();
        let (modelled, committed) = (self.model.step(&step, now), self.scheduler.commit(step.clone()).await);
        match (&modelled, &committed) {
            (Ok(()), Ok(())) => {}
            (Err(modelled), Err(committed)) if discriminant(modelled) == discriminant(committed) => {}
            _ => panic!("{done} gave {committed:?} and not {modelled:?}"),
        }
        // Some leases are kept, spent or not.
        if (modelled.is_err() || self.dice.roll(4) == 0)
            && let Some(lease) = lease
        {
            self.held.push(lease);
        }
        format!("{done}: {committed:?}")
    }

    fn task(&mut self) -> Task {
        let now = self.harness.now();
        let minutes = MINUTE * u32::try_from(1 + self.dice.roll(200)).unwrap();
        let due = [Due::Now, Due::After(minutes), Due::At(now + minutes), Due::At(now - minutes)][self.dice.index(4)];
        let task = Task::new(self.dice.of(&QUEUES).into(), self.dice.of(&SUBJECTS).into());
        let attempt = u32::try_from(self.dice.roll(4)).unwrap();
        Task { attempt, generation: self.dice.roll(1000), due, ..task }
    }

    fn record(&mut self) -> Record {
        let (subject, state) = (Subject::from(self.dice.of(&SUBJECTS)), self.dice.of(&STATES));
        let record = match self.dice.roll(6) {
            0 => Record::forget(subject),
            1 => {
                let values = vec![self.dice.of(&STATES).into(); self.dice.index(3)];
                Record::new(subject, state).list(self.dice.of(&SUBJECTS), values)
            }
            2 => {
                let fields = BTreeMap::from([(self.dice.of(&STATES).to_owned(), self.dice.of(&SUBJECTS).into())]);
                Record::new(subject, state).part(self.dice.of(&SUBJECTS), fields)
            }
            _ => Record::new(subject, state).field(self.dice.of(&STATES), self.dice.of(&SUBJECTS)),
        };
        let record = if self.dice.roll(8) == 0 { record.settled() } else { record };
        match self.dice.roll(8) {
            0 => record.expecting(Expect::Nothing),
            1 => record.expecting(Expect::State(self.dice.of(&STATES).to_owned())),
            _ => record,
        }
    }

    async fn cancel_or_hasten(&mut self, hasten: bool) -> String {
        let (queue, subject) = (Queue::from(self.dice.of(&QUEUES)), Subject::from(self.dice.of(&SUBJECTS)));
        let which = match self.dice.roll(8) {
            0..=4 => Which::Task(&queue, &subject),
            5..=6 => Which::Subject(&subject),
            _ => Which::Queue(&queue),
        };
        let (modelled, counted) = if hasten {
            (self.model.hasten(which, self.harness.now()), self.scheduler.hasten(which).await.unwrap())
        } else {
            (self.model.cancel(which), self.scheduler.cancel(which).await.unwrap())
        };
        let done = format!("{} {which:?}", if hasten { "hasten" } else { "cancel" });
        assert_eq!(counted, modelled, "{done}");
        done
    }

    async fn configure(&mut self) -> String {
        let (queue, capacity, park_after) = (self.dice.of(&QUEUES).into(), self.dice.roll(8), self.dice.roll(5));
        let rules = QueueRules {
            capacity: (capacity > 0).then(|| usize::try_from(capacity).unwrap()),
            park_after: (park_after > 0).then(|| u32::try_from(park_after).unwrap()),
        };
        self.scheduler.configure(&queue, rules).await.unwrap();
        self.model.queues.entry(queue.clone()).or_default().0 = rules;
        format!("configure {queue} {rules:?}")
    }

    async fn compare(&self, when: &str) {
        let (census, modelled) = (self.scheduler.census().await.unwrap(), self.model.census(self.harness.now()));
        assert_eq!(census.resting, modelled.resting, "{when}");
        assert_eq!(census.queues.len(), modelled.queues.len(), "{when}");
        for (queue, modelled) in modelled.queues {
            let counted = census.queues[&queue];
            let next_due = counted.next_due.zip(modelled.next_due).is_none_or(|(one, other)| near(one, other));
            assert!(next_due, "{when}: {counted:?} is not {modelled:?}");
            let next_due = modelled.next_due.and(counted.next_due);
            assert_eq!(counted, QueueCensus { next_due, ..modelled }, "{when}, queue {queue}");
        }
        for subject in SUBJECTS {
            let recorded = self.scheduler.recorded(&subject.into()).await.unwrap();
            assert_eq!(recorded.as_ref(), self.model.records.get(&subject.into()), "{when}");
        }
    }
}

/// Whether two instants are equal, within the time that the clock advances during operations.
fn near(one: Timestamp, other: Timestamp) -> bool {
    one.since(other).max(other.since(one)) < MINUTE
}
