//! What this scheduler guarantees beyond the guarantees of every scheduler; and the latter.

use std::collections::HashSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use super::MemoryScheduler;
use crate::clock::simulated::SimulatedClock;
use crate::clock::{Clock, SystemClock};
use crate::scheduler::{Scheduler, Step, Which};
use crate::task::{Cause, Due, Queue, Task};
use crate::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn scheduler() -> (Arc<SimulatedClock>, Arc<MemoryScheduler>) {
    let clock = Arc::new(SimulatedClock::starting_at(Timestamp::from_unix(1_700_000_000)));
    (clock.clone(), Arc::new(MemoryScheduler::new(clock)))
}

fn task(subject: &str) -> Task {
    Task::new("queue".into(), subject.into())
}

async fn put(scheduler: &MemoryScheduler, task: Task) {
    scheduler.commit(Step::intake().put(task)).await.unwrap();
}

/// Takes one task; returns its subject and the time of the take.
fn taker(
    scheduler: &Arc<MemoryScheduler>,
    clock: &Arc<SimulatedClock>,
) -> tokio::task::JoinHandle<(String, Timestamp)> {
    let (scheduler, clock) = (scheduler.clone(), clock.clone());
    tokio::spawn(async move {
        let lease = scheduler.take(&["queue".into()], 1, MINUTE).await.unwrap().remove(0);
        scheduler.commit(Step::finish(&lease)).await.unwrap();
        (lease.task().subject.to_string(), clock.now())
    })
}

/// Waits for a task of this test. It must end within the longest pause between two attempts. Otherwise, simulated time
/// would pass forever if an expected task never comes.
async fn ended<T>(task: tokio::task::JoinHandle<T>) -> T {
    let end = tokio::time::timeout(Duration::from_secs(2 * 3600), task).await;
    end.expect("the task waited for two hours: what it waits for did not come").unwrap()
}

/// Lets every other task run until it waits.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_are_taken_to_the_millisecond() {
    let (clock, scheduler) = scheduler();
    let start = clock.now();
    let takers = [taker(&scheduler, &clock), taker(&scheduler, &clock), taker(&scheduler, &clock)];
    settle().await;
    for milliseconds in [90_001, 45_000, 12] {
        put(&scheduler, task(&milliseconds.to_string()).due(Due::After(Duration::from_millis(milliseconds)))).await;
    }
    for taker in takers {
        let (subject, at) = ended(taker).await;
        assert_eq!(at, start + Duration::from_millis(subject.parse().unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_due_together_come_first_come_first() {
    let (_, scheduler) = scheduler();
    for n in 0..100 {
        put(&scheduler, task(&n.to_string())).await;
    }
    let taken = scheduler.take(&["queue".into()], 100, MINUTE).await.unwrap();
    assert!(taken.iter().map(|lease| lease.task().subject.to_string()).eq((0..100).map(|n| n.to_string())));
}

#[tokio::test(start_paused = true)]
async fn a_lost_task_comes_back_ever_later() {
    let (clock, scheduler) = scheduler();
    put(&scheduler, task("s")).await;
    let mut lease = scheduler.take(&["queue".into()], 1, MINUTE).await.unwrap().remove(0);
    for attempt in 0..40 {
        assert_eq!(lease.task().attempt, attempt);
        let lost = clock.now();
        // A taker waits already.
        let scheduler = scheduler.clone();
        let waiting = tokio::spawn(async move { scheduler.take(&["queue".into()], 1, MINUTE).await });
        settle().await;
        drop(lease);
        lease = ended(waiting).await.unwrap().remove(0);
        assert_eq!(clock.now(), lost + SECOND * 2_u32.saturating_pow(attempt).min(3600));
        assert_eq!(lease.task().cause, Cause::LeaseLost);
    }
}

struct Counted<F> {
    future: F,
    polls: Arc<AtomicUsize>,
}

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.future).poll(context)
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_wakes_one_taker_of_many() {
    let (_, scheduler) = scheduler();
    let polls = Arc::new(AtomicUsize::new(0));
    for n in 0..100 {
        let (scheduler, polls) = (scheduler.clone(), polls.clone());
        tokio::spawn(async move {
            let from = ["queue".into(), Queue::from(format!("queue of {n}").as_str())];
            let future = Box::pin(async {
                loop {
                    let lease = scheduler.take(&from, 1, MINUTE).await.unwrap().remove(0);
                    scheduler.commit(Step::finish(&lease)).await.unwrap();
                }
            });
            let future: Pin<Box<dyn Future<Output = ()> + Send>> = future;
            Counted { future, polls }.await
        });
    }
    settle().await;
    assert_eq!(polls.swap(0, Ordering::SeqCst), 100);
    for n in 0..10 {
        put(&scheduler, task(&n.to_string())).await;
        settle().await;
    }
    assert_eq!(polls.swap(0, Ordering::SeqCst), 10);
    // Only the first taker sleeps until the task is due.
    put(&scheduler, task("later").due(Due::After(SECOND))).await;
    settle().await;
    assert_eq!(polls.swap(0, Ordering::SeqCst), 1);
    tokio::time::advance(SECOND).await;
    settle().await;
    assert_eq!(polls.swap(0, Ordering::SeqCst), 1);
    assert_eq!(scheduler.census().await.unwrap().queues[&"queue".into()], Default::default());
}

#[tokio::test(start_paused = true)]
async fn a_taker_that_is_never_polled_again_holds_others_up_for_half_a_minute() {
    let (clock, scheduler) = scheduler();
    let from = ["queue".into()];
    let mut stuck = pin!(scheduler.take(&from, 1, MINUTE));
    assert!(futures_util::poll!(stuck.as_mut()).is_pending());
    let taker = taker(&scheduler, &clock);
    settle().await;
    let before = clock.now();
    put(&scheduler, task("s")).await;
    let (_, at) = ended(taker).await;
    assert!(at.since(before) <= Duration::from_secs(30), "{:?}", at.since(before));
    assert!(futures_util::poll!(stuck).is_pending());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_takers_that_went() {
    let (_, scheduler) = scheduler();
    for n in 0..100 {
        let from = ["queue".into(), Queue::from(n.to_string().as_str())];
        let mut dropped = Box::pin(scheduler.take(&from, 1, MINUTE));
        assert!(futures_util::poll!(dropped.as_mut()).is_pending());
    }
    assert!(scheduler.shared.with(|state, _| state.takers.is_empty()));
}

#[test]
fn a_lease_is_dropped_anywhere_even_after_its_scheduler() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scheduler = MemoryScheduler::new(Arc::new(SystemClock));
    let mut leases = runtime.block_on(async {
        scheduler.commit(Step::intake().put(task("s")).put(task("t"))).await.unwrap();
        scheduler.take(&["queue".into()], 2, MINUTE).await.unwrap()
    });
    drop(runtime);
    let lease = leases.pop();
    std::thread::spawn(|| drop(lease)).join().unwrap();
    let census = futures_util::FutureExt::now_or_never(scheduler.census()).unwrap().unwrap();
    let queue = census.queues[&"queue".into()];
    assert_eq!((queue.waiting, queue.leased), (1, 1));
    drop(scheduler);
}

/// Real threads and the real clock: workers that finish, drop and hasten, all at once.
#[test]
fn threads_at_once_lose_nothing() {
    const TASKS: usize = 2000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let done = Arc::new(Mutex::new(vec![0_u32; TASKS]));
    let lost = Arc::new(Mutex::new(HashSet::new()));
    runtime.block_on(async {
        let scheduler = Arc::new(MemoryScheduler::new(Arc::new(SystemClock)));
        let (finished, mut count) = tokio::sync::mpsc::unbounded_channel();
        for worker in 0..32 {
            let (scheduler, done, lost, finished) = (scheduler.clone(), done.clone(), lost.clone(), finished.clone());
            tokio::spawn(async move {
                let from: [Queue; 2] =
                    if worker % 2 == 0 { ["a".into(), "b".into()] } else { ["b".into(), "a".into()] };
                loop {
                    for lease in scheduler.take(&from, 1 + worker % 3, MINUTE).await.unwrap() {
                        let number: usize = lease.task().subject.as_str().parse().unwrap();
                        if number.is_multiple_of(5) && lost.lock().unwrap().insert(number) {
                            drop(lease);
                            // The task returns in a second; hastening makes it due now.
                            scheduler.hasten(Which::Subject(&number.to_string().as_str().into())).await.unwrap();
                            continue;
                        }
                        scheduler.commit(Step::finish(&lease)).await.unwrap();
                        done.lock().unwrap()[number] += 1;
                        finished.send(()).unwrap();
                    }
                }
            });
        }
        for number in 0..TASKS {
            let queue = Queue::from(if number % 3 == 0 { "a" } else { "b" });
            put(&scheduler, Task::new(queue, number.to_string().as_str().into())).await;
        }
        let all = async {
            for _ in 0..TASKS {
                count.recv().await.unwrap();
            }
        };
        tokio::time::timeout(MINUTE, all).await.unwrap();
        let census = scheduler.census().await.unwrap();
        assert!(census.queues.values().all(|queue| *queue == Default::default()), "{census:?}");
    });
    assert!(done.lock().unwrap().iter().all(|times| *times == 1));
}

/// The promises of every scheduler, on simulated time.
#[cfg(feature = "conformance")]
mod conformance {
    use async_trait::async_trait;

    use super::*;
    use crate::conformance::Harness;

    struct Simulated {
        clock: Arc<SimulatedClock>,
        scheduler: Arc<MemoryScheduler>,
    }

    impl Simulated {
        fn new() -> Self {
            let (clock, scheduler) = scheduler();
            Simulated { clock, scheduler }
        }
    }

    #[async_trait]
    impl Harness for Simulated {
        fn scheduler(&self) -> Arc<dyn Scheduler> {
            self.scheduler.clone()
        }

        fn now(&self) -> Timestamp {
            self.clock.now()
        }

        async fn advance(&self, by: Duration) {
            tokio::time::advance(by).await;
        }

        // Every task runs until it waits for time. The runtime does not advance time while this task is ready.
        async fn settle(&self) {
            settle().await;
        }

        async fn set_clock(&self, to: Timestamp) -> bool {
            self.clock.set(to);
            true
        }
    }

    crate::scheduler_conformance! {
        #[tokio::test(start_paused = true)] => Simulated::new()
    }
}
