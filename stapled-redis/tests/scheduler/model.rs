//! Random interleavings of all operations, crashes and lost keys, compared with the reference scheduler of the conformance
//! suite. After each operation the place of every task is read from the keys in Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use stapled_core::conformance::reference::{Entry, Model, Place};
use stapled_core::scheduler::{Expect, Lease, QueueRules, Record, Scheduler, SchedulerError, Step, Which};
use stapled_core::task::{Cause, Due, Queue, Subject, Task};
use stapled_core::time::Timestamp;
use stapled_redis::{Recovery, RedisScheduler};
use stapled_tests::{Redis, how_many};

use crate::keys::{Keys, ORDERS};

const QUEUES: [&str; 2] = ["a", "b"];
const SUBJECTS: [&str; 4] = ["1", "2", "3", "4"];
const STATES: [&str; 3] = ["in a", "in b", "waits for a client"];
const LOST: [&str; 7] = ["queue", "waiting", "delayed", "parked", "leases", "tasks", "followers"];
const HOUR: Duration = Duration::from_secs(3600);
/// Delays and leases end half an hour after a full hour, and the clock is set forward by full hours: the time that the
/// operations take changes no result.
const HALF: Duration = Duration::from_secs(1800);

/// An operation. Leases are chosen by an index, because they are known only while it runs.
#[derive(Clone, Debug)]
enum Operation {
    Take {
        from: Vec<Queue>,
        max: usize,
        hours: u32,
    },
    /// Puts, or work on a lease.
    Commit {
        lease: Option<Index>,
        keeps_lease: bool,
        again: Option<u32>,
        puts: Vec<Put>,
        records: Vec<Record>,
    },
    Extend {
        lease: Index,
        hours: u32,
    },
    Cancel(Chosen),
    Hasten(Chosen),
    Configure {
        queue: Queue,
        rules: QueueRules,
    },
    /// Ends the leases that have lapsed, in every queue.
    Count,
    /// Leases of crashed workers lapse meanwhile.
    Advance {
        hours: u32,
    },
    /// Redis loses a key, and a recovery follows.
    Lose {
        queue: Queue,
        key: &'static str,
    },
}

#[derive(Clone, Debug)]
struct Put {
    queue: Queue,
    subject: Subject,
    due: When,
    generation: u64,
    attempt: u32,
}

#[derive(Clone, Copy, Debug)]
enum When {
    Now,
    After(u32),
    At(u32),
    Past,
}

#[derive(Clone, Debug)]
enum Chosen {
    Task(Queue, Subject),
    Subject(Subject),
    Queue(Queue),
}

impl Chosen {
    fn which(&self) -> Which<'_> {
        match self {
            Chosen::Task(queue, subject) => Which::Task(queue, subject),
            Chosen::Subject(subject) => Which::Subject(subject),
            Chosen::Queue(queue) => Which::Queue(queue),
        }
    }
}

fn queue() -> impl Strategy<Value = Queue> {
    select(&QUEUES[..]).prop_map(Queue::from)
}

fn subject() -> impl Strategy<Value = Subject> {
    select(&SUBJECTS[..]).prop_map(Subject::from)
}

fn state() -> impl Strategy<Value = String> {
    select(&STATES[..]).prop_map(str::to_owned)
}

fn put() -> impl Strategy<Value = Put> {
    let due = prop_oneof![
        2 => Just(When::Now),
        2 => (0..4_u32).prop_map(When::After),
        1 => (0..4_u32).prop_map(When::At),
        1 => Just(When::Past),
    ];
    (queue(), subject(), due, 0..1000_u64, 0..4_u32).prop_map(|(queue, subject, due, generation, attempt)| Put {
        queue,
        subject,
        due,
        generation,
        attempt,
    })
}

fn record() -> impl Strategy<Value = Record> {
    let expect = prop_oneof![
        6 => Just(Expect::Anything),
        1 => Just(Expect::Nothing),
        1 => state().prop_map(Expect::State),
    ];
    (subject(), prop::option::weighted(0.8, state()), expect).prop_map(|(subject, state, expect)| {
        let record = state.map_or(Record::forget(subject.clone()), |state| Record::new(subject, state));
        record.expecting(expect)
    })
}

fn chosen() -> impl Strategy<Value = Chosen> {
    prop_oneof![
        5 => (queue(), subject()).prop_map(|(queue, subject)| Chosen::Task(queue, subject)),
        2 => subject().prop_map(Chosen::Subject),
        1 => queue().prop_map(Chosen::Queue),
    ]
}

fn rules() -> impl Strategy<Value = QueueRules> {
    (prop::option::of(1..6_usize), prop::option::of(1..5_u32)).prop_map(|(capacity, park_after)| {
        let mut rules = QueueRules::new();
        (rules.capacity, rules.park_after) = (capacity, park_after);
        rules
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let commit = |lease: BoxedStrategy<Option<Index>>| {
        let again = prop::option::weighted(0.3, 0..4_u32);
        (lease, prop::bool::weighted(0.2), again, vec(put(), 0..4), vec(record(), 0..3)).prop_map(
            |(lease, keeps_lease, again, puts, records)| Operation::Commit { lease, keeps_lease, again, puts, records },
        )
    };
    prop_oneof![
        5 => (vec(queue(), 1..3), 1..4_usize, 0..3_u32)
            .prop_map(|(from, max, hours)| Operation::Take { from, max, hours }),
        4 => commit(Just(None).boxed()),
        5 => commit(any::<Index>().prop_map(Some).boxed()),
        2 => (any::<Index>(), 0..4_u32).prop_map(|(lease, hours)| Operation::Extend { lease, hours }),
        1 => chosen().prop_map(Operation::Cancel),
        2 => chosen().prop_map(Operation::Hasten),
        1 => (queue(), rules()).prop_map(|(queue, rules)| Operation::Configure { queue, rules }),
        1 => Just(Operation::Count),
        3 => (1..4_u32).prop_map(|hours| Operation::Advance { hours }),
        3 => (queue(), select(&LOST[..])).prop_map(|(queue, key)| Operation::Lose { queue, key }),
    ]
}

/// The owner's rule: the state names the queue.
fn queue_of(state: &str) -> Option<Queue> {
    state.strip_prefix("in ").map(Queue::from)
}

#[test]
fn after_every_operation_each_task_is_in_the_place_of_the_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Redis::start();
    let scheduler = runtime.block_on(RedisScheduler::connect(&server.address(), "test")).unwrap();
    let cases = u32::try_from(how_many(2_000, 250)).unwrap();
    let config = Config { cases, max_shrink_iters: 2000, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&vec(operation(), 1..40), |operations| {
        server.ask(&["FLUSHALL"]);
        runtime.block_on(async {
            let mut run = Run::new(&server, &scheduler);
            for operation in &operations {
                run.operate(operation).await?;
                run.compare(operation)?;
            }
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

struct Run<'a> {
    server: &'a Redis,
    scheduler: &'a RedisScheduler,
    model: Model,
    /// Leases that a worker still has, spent or not.
    held: Vec<Lease>,
    /// When each lease ends, by its fence.
    deadlines: BTreeMap<u64, Timestamp>,
}

impl<'a> Run<'a> {
    fn new(server: &'a Redis, scheduler: &'a RedisScheduler) -> Self {
        Run { server, scheduler, model: Model::default(), held: Vec::new(), deadlines: BTreeMap::new() }
    }

    async fn operate(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        let now = self.server.now();
        match operation {
            Operation::Take { from, max, hours } => self.take(from, *max, HOUR * *hours + HALF).await?,
            Operation::Commit { lease, keeps_lease, again, puts, records } => {
                let lease = lease.filter(|_| !self.held.is_empty()).map(|index| index.index(self.held.len()));
                let lease = lease.map(|index| self.held.swap_remove(index));
                let mut step = lease.as_ref().map_or(Step::intake(), Step::finish);
                step = records.iter().fold(step, |step, record| step.record(record.clone()));
                step = puts.iter().fold(step, |step, put| step.put(put.task(now)));
                if let (Some(lease), Some(hours)) = (&lease, again) {
                    let due = Due::After(HOUR * *hours + HALF);
                    step = step.put(lease.task().again(due, Cause::Other("again".into())));
                }
                self.commit(step, now).await?;
                self.held.extend(lease.filter(|_| *keeps_lease));
            }
            Operation::Extend { lease, hours } => self.extend(*lease, HOUR * *hours + HALF, now).await?,
            Operation::Cancel(chosen) => {
                let counted = self.scheduler.cancel(chosen.which()).await.unwrap();
                prop_assert_eq!(counted, self.model.cancel(chosen.which()));
            }
            Operation::Hasten(chosen) => {
                let counted = self.scheduler.hasten(chosen.which()).await.unwrap();
                prop_assert_eq!(counted, self.model.hasten(chosen.which(), now));
            }
            Operation::Configure { queue, rules } => {
                self.scheduler.configure(queue, *rules).await.unwrap();
                self.model.queues.entry(queue.clone()).or_default().0 = *rules;
            }
            Operation::Count => {
                let counted = self.scheduler.census().await.unwrap();
                self.reclaim(&QUEUES.map(Queue::from), now);
                prop_assert_eq!(counted.resting, self.model.census(now).resting);
            }
            Operation::Advance { hours } => self.server.advance(HOUR * *hours),
            Operation::Lose { queue, key } => self.lose(queue, key, now).await?,
        }
        Ok(())
    }

    /// Takes, if anything is due: otherwise the call would wait.
    async fn take(&mut self, from: &[Queue], max: usize, duration: Duration) -> Result<(), TestCaseError> {
        let now = self.server.now();
        let names: Vec<&str> = from.iter().map(Queue::as_str).collect::<BTreeSet<_>>().into_iter().collect();
        let before = self.model.clone();
        self.reclaim(from, now);
        let due = self.model.due(&names, now);
        if due.is_empty() {
            self.model = before;
            return Ok(());
        }
        let taken = self.scheduler.take(from, max, duration).await.unwrap();
        prop_assert_eq!(taken.len(), max.min(due.len()), "{:?} were due", due);
        for lease in taken {
            let entry = self.model.find(lease.task());
            let place = entry.as_ref().map(|entry| (entry.generation, entry.attempt, entry.place.clone()));
            let Some(entry) = entry.filter(|entry| entry.place.is_due(now)) else {
                return Err(TestCaseError::fail(format!("{lease:?} was taken, which was {place:?}")));
            };
            prop_assert_eq!((entry.generation, entry.attempt), (lease.task().generation, lease.task().attempt));
            entry.place = Place::Leased(lease.fence(), None);
            prop_assert!(self.deadlines.insert(lease.fence(), now + duration).is_none(), "a fence came twice");
            self.held.push(lease);
        }
        Ok(())
    }

    async fn commit(&mut self, step: Step<'_>, now: Timestamp) -> Result<(), TestCaseError> {
        let expected = match step.release {
            // The lease has lapsed, whether a take has noticed it or not.
            Some(lease) if self.deadlines[&lease.fence()] <= now => Err(fenced(lease)),
            _ => self.model.step(&step, now),
        };
        let committed = self.scheduler.commit(step).await;
        let are_same = match (&expected, &committed) {
            (Ok(()), Ok(())) => true,
            (Err(expected), Err(committed)) => discriminant(expected) == discriminant(committed),
            _ => false,
        };
        prop_assert!(are_same, "{committed:?}, and not {expected:?}");
        Ok(())
    }

    async fn extend(&mut self, lease: Index, by: Duration, now: Timestamp) -> Result<(), TestCaseError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let lease = lease.get(&self.held);
        let deadline = self.deadlines.get_mut(&lease.fence()).unwrap();
        let entry = self.model.find(lease.task());
        let is_leased = matches!(entry, Some(Entry { place: Place::Leased(fence, _), .. }) if *fence == lease.fence());
        let lasts = is_leased && *deadline > now;
        prop_assert_eq!(self.scheduler.extend(lease, by).await.is_ok(), lasts);
        if lasts {
            *deadline = (*deadline).max(now + by);
        }
        Ok(())
    }

    /// Ends the leases of these queues that have lapsed.
    fn reclaim(&mut self, queues: &[Queue], now: Timestamp) {
        for queue in queues {
            let Some((_, tasks)) = self.model.queues.get(queue) else { continue };
            let lapsed: Vec<(Subject, Timestamp)> = tasks
                .iter()
                .filter_map(|(subject, entry)| match entry.place {
                    Place::Leased(fence, _) => Some((subject.clone(), self.deadlines[&fence])),
                    _ => None,
                })
                .filter(|(_, deadline)| *deadline <= now)
                .collect();
            for (subject, deadline) in lapsed {
                let task = Task::new(queue.clone(), subject);
                self.model.lose(&task);
                let entry = self.model.find(&task).unwrap();
                if entry.place == Place::Waiting(None) {
                    entry.place = Place::Waiting(Some(deadline + Duration::from_secs(1 << (entry.attempt - 1))));
                }
            }
        }
    }

    async fn lose(&mut self, queue: &Queue, key: &str, now: Timestamp) -> Result<(), TestCaseError> {
        let keys = Keys::read(self.server, &QUEUES, &SUBJECTS);
        self.server.ask(&["DEL", &format!("{{test}}:{key}:{queue}")]);
        let missing = self.model_loss(queue, key, &keys, now);
        for recovery in [Recovery::DryRun, Recovery::Run] {
            let recovered = self.scheduler.recover(recovery, queue_of).await.unwrap();
            let recovered: BTreeSet<_> = recovered.into_iter().map(|one| (one.queue, one.subject)).collect();
            prop_assert_eq!(&recovered, &missing, "{:?}", recovery);
        }
        Ok(())
    }

    /// Applies the loss and its recovery to the model, and returns the tasks that are put again.
    fn model_loss(&mut self, queue: &Queue, key: &str, keys: &Keys, now: Timestamp) -> BTreeSet<(Queue, Subject)> {
        let mut missing = BTreeSet::new();
        let order = ORDERS.into_iter().find(|(order, _)| *order == key).map(|(_, place)| place);
        if let Some((_, tasks)) = self.model.queues.get_mut(queue) {
            tasks.retain(|subject, entry| {
                let follower = match &mut entry.place {
                    Place::Leased(_, follower) if key == "followers" => {
                        *follower = None;
                        return true;
                    }
                    Place::Leased(_, follower) => follower.take(),
                    _ => None,
                };
                let is_lost = key == "tasks" || order == Some(keys.tasks[queue.as_str()][subject.as_str()].place);
                if !is_lost {
                    if let Place::Leased(_, next) = &mut entry.place {
                        *next = follower;
                    }
                    return true;
                }
                if key == "tasks" && follower.is_none() {
                    return false;
                }
                if let Some(follower) = follower {
                    *entry = *follower;
                }
                entry.place = Place::Waiting(Some(now));
                missing.insert((queue.clone(), subject.clone()));
                true
            });
        }
        let resting: Vec<_> = self.model.records.iter().filter(|(subject, _)| !self.has_task(subject)).collect();
        let put_again = resting
            .into_iter()
            .filter_map(|(subject, recorded)| Some(Task::new(queue_of(&recorded.state)?, subject.clone())));
        for task in put_again.collect::<Vec<_>>() {
            self.model.put(&task, now);
            missing.insert((task.queue, task.subject));
        }
        missing
    }

    fn has_task(&self, subject: &Subject) -> bool {
        self.model.queues.values().any(|(_, tasks)| tasks.contains_key(subject))
    }

    /// Compares the keys in Redis with the model, after this operation.
    fn compare(&self, after: &Operation) -> Result<(), TestCaseError> {
        let keys = Keys::read(self.server, &QUEUES, &SUBJECTS);
        if let Err(fault) = keys.is_sound() {
            return Err(TestCaseError::fail(format!("after {after:?}: {fault}: {keys:?}")));
        }
        let queues: BTreeSet<String> = self.model.queues.keys().map(ToString::to_string).collect();
        prop_assert_eq!(&keys.queues, &queues, "after {:?}", after);
        let records: BTreeMap<String, String> =
            self.model.records.iter().map(|(subject, one)| (subject.to_string(), one.state.clone())).collect();
        prop_assert_eq!(&keys.records, &records, "after {:?}", after);
        prop_assert_eq!(&keys.resting, &self.model.census(self.server.now()).resting, "after {:?}", after);
        for (queue, subject) in QUEUES.into_iter().flat_map(|queue| SUBJECTS.map(|subject| (queue, subject))) {
            let found = keys.place(queue, subject);
            let expected = self.place(queue, subject);
            prop_assert_eq!(&found, &expected, "{} in queue {}, after {:?}: {:?}", subject, queue, after, &keys);
        }
        Ok(())
    }

    /// The place of a task in the model, in the words of [`Keys::place`].
    fn place(&self, queue: &str, subject: &str) -> String {
        let (queue, subject) = (Queue::from(queue), Subject::from(subject));
        let entry = self.model.queues.get(&queue).and_then(|(_, tasks)| tasks.get(&subject));
        let Some(entry) = entry else {
            let rests = self.model.records.contains_key(&subject) && !self.has_task(&subject);
            return if rests { "resting" } else { "gone" }.to_owned();
        };
        let numbers = |entry: &Entry| format!("generation {}, attempt {}", entry.generation, entry.attempt);
        let place = match &entry.place {
            Place::Waiting(_) => "queued".to_owned(),
            Place::Parked => "parked".to_owned(),
            Place::Leased(fence, None) => format!("leased under {fence}"),
            Place::Leased(fence, Some(next)) => format!("leased under {fence}, before {}", numbers(next)),
        };
        format!("{place}: {}", numbers(entry))
    }
}

impl Put {
    fn task(&self, now: Timestamp) -> Task {
        let due = match self.due {
            When::Now => Due::Now,
            When::After(hours) => Due::After(HOUR * hours + HALF),
            When::At(hours) => Due::At(now + HOUR * hours + HALF),
            When::Past => Due::At(now - HALF),
        };
        let task = Task::new(self.queue.clone(), self.subject.clone());
        task.due(due).generation(self.generation).attempt(self.attempt)
    }
}

fn fenced(lease: &Lease) -> SchedulerError {
    let Task { queue, subject, .. } = lease.task();
    SchedulerError::Fenced { queue: queue.clone(), subject: subject.clone() }
}
