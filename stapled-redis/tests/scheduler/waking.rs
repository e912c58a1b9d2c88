//! Takers that wait are woken by other processes, and tasks on their way to a taker that is gone come back.

use std::time::Duration;

use stapled_core::scheduler::{Lease, Scheduler, Step, Which};
use stapled_core::task::{Due, Queue, Task};
use stapled_redis::RedisScheduler;
use stapled_tests::Redis;

const HOUR: Duration = Duration::from_secs(3600);
/// Far less than a taker's patience, and more than a busy machine takes.
const SOON: Duration = Duration::from_secs(20);

/// A process of its own, as Redis sees it, whose takers look again after an hour only.
async fn process(server: &Redis) -> RedisScheduler {
    RedisScheduler::connect(&server.address(), "test").await.unwrap().patience(HOUR)
}

fn task(queue: &str, subject: &str) -> Task {
    Task::new(queue.into(), subject.into())
}

async fn put(scheduler: &RedisScheduler, task: Task) {
    scheduler.commit(Step::intake().put(task)).await.unwrap();
}

async fn take(scheduler: &RedisScheduler, queue: &str) -> Lease {
    let from = [Queue::from(queue)];
    let taken = tokio::time::timeout(SOON, scheduler.take(&from, 1, HOUR)).await;
    taken.expect("nothing was taken").unwrap().remove(0)
}

#[tokio::test]
async fn a_put_by_another_process_wakes_a_taker() {
    let server = Redis::start();
    let (one, other) = (process(&server).await, process(&server).await);
    for round in 0..20 {
        let name = round.to_string();
        let (lease, ()) = tokio::join!(take(&one, "q"), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            put(&other, task("q", &name)).await;
        });
        assert_eq!(lease.task().subject.as_str(), name);
        one.commit(Step::finish(&lease)).await.unwrap();
    }
}

#[tokio::test]
async fn hastening_and_the_end_of_a_lease_wake_a_taker_of_another_process() {
    let server = Redis::start();
    let (one, other) = (process(&server).await, process(&server).await);
    put(&other, task("q", "s").due(Due::After(48 * HOUR))).await;
    let (lease, hastened) = tokio::join!(take(&one, "q"), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        other.hasten(Which::Queue(&"q".into())).await.unwrap()
    });
    assert_eq!(hastened, 1);
    put(&other, task("q", "s").generation(1)).await;
    let (next, ()) = tokio::join!(take(&other, "q"), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        one.commit(Step::finish(&lease)).await.unwrap();
    });
    assert_eq!(next.task().generation, 1);
}

/// Waits until this many processes have waited, and some of them may have ended since.
async fn waiters(server: &Redis, count: usize) {
    let come = async {
        while server.ask(&["ZCARD", "{test}:waiters:q"]) != count.to_string() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, come).await.expect("they wait");
}

#[tokio::test]
async fn a_process_that_has_ended_gets_no_wake_of_a_living_one() {
    let server = Redis::start();
    for round in 0..3 {
        let ended = process(&server).await;
        let waiting = tokio::spawn(async move { ended.take(&["q".into()], 1, HOUR).await });
        waiters(&server, round + 1).await;
        // As after SIGKILL: it does not sign off.
        waiting.abort();
        let (living, other) = (process(&server).await, process(&server).await);
        let (lease, ()) = tokio::join!(take(&living, "q"), async {
            waiters(&server, round + 2).await;
            put(&other, task("q", &round.to_string())).await;
        });
        living.commit(Step::finish(&lease)).await.unwrap();
    }
}

#[tokio::test]
async fn several_tasks_wake_several_processes() {
    let server = Redis::start();
    let processes = [process(&server).await, process(&server).await, process(&server).await];
    let intake = process(&server).await;
    let takes = processes.iter().map(|process| take(process, "q"));
    let (leases, ()) = tokio::join!(futures_util::future::join_all(takes), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        intake.commit((0..3).fold(Step::intake(), |step, n| step.put(task("q", &n.to_string())))).await.unwrap();
    });
    let mut subjects: Vec<_> = leases.iter().map(|lease| lease.task().subject.as_str()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_task_taken_for_a_taker_that_is_gone_is_due_again_at_once() {
    let server = Redis::start();
    let scheduler = process(&server).await;
    put(&scheduler, task("q", "s")).await;
    let from = [Queue::from("q")];
    for _ in 0..50 {
        // The call is on its way when it is dropped.
        let mut taker = Box::pin(scheduler.take(&from, 1, HOUR));
        assert!(futures_util::poll!(taker.as_mut()).is_pending());
        drop(taker);
    }
    let lease = take(&scheduler, "q").await;
    assert_eq!(lease.task().attempt, 0);
}
