//! The nine ways in which the first certificate authority of this kind lost its requests, or kept them for ever, as far as
//! they concern the scheduler.

use std::time::Duration;

use stapled_core::scheduler::{Expect, Lease, QueueRules, Record, Scheduler, SchedulerError, Step, Which};
use stapled_core::task::{Cause, Due, Queue, Task};
use stapled_redis::RedisScheduler;
use stapled_tests::Redis;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn scheduler(server: &Redis) -> RedisScheduler {
    let scheduler = RedisScheduler::connect(&server.address(), "test").await.unwrap();
    scheduler.patience(Duration::from_millis(20))
}

fn task(queue: &str, subject: &str) -> Task {
    Task::new(queue.into(), subject.into())
}

async fn put(scheduler: &RedisScheduler, task: Task) {
    scheduler.commit(Step::intake().put(task)).await.unwrap();
}

async fn take(scheduler: &RedisScheduler, queue: &str) -> Lease {
    scheduler.take(&[queue.into()], 1, MINUTE).await.unwrap().remove(0)
}

/// The number of tasks of a queue in any state.
async fn length(scheduler: &RedisScheduler, queue: &str) -> u64 {
    let census = scheduler.census().await.unwrap();
    census.queues.get(&Queue::from(queue)).map_or(0, |queue| queue.waiting + queue.due + queue.leased + queue.parked)
}

#[tokio::test]
async fn way_1_a_daemon_that_dies_after_popping_does_not_hold_the_only_copy() {
    let server = Redis::start();
    let (daemon, other) = (scheduler(&server).await, scheduler(&server).await);
    put(&daemon, task("makechallenge", "s")).await;
    let lease = take(&daemon, "makechallenge").await;
    drop((lease, daemon));
    server.advance(MINUTE + MINUTE);
    assert_eq!(take(&other, "makechallenge").await.task().cause, Cause::LeaseLost);
}

#[tokio::test]
async fn way_2_no_crash_is_between_the_new_state_and_the_next_queue() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    put(&scheduler, task("makechallenge", "s")).await;
    let lease = take(&scheduler, "makechallenge").await;
    let calls = || {
        let statistics = server.ask(&["INFO", "commandstats"]);
        let line = statistics.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = calls();
    let step = Step::finish(&lease).record(Record::new("s".into(), "testchallenge")).put(task("testchallenge", "s"));
    scheduler.commit(step).await.unwrap();
    // One script did all of it; `crashes` shows that no cut divides it.
    assert_eq!(calls(), before + 1);
    assert_eq!((length(&scheduler, "makechallenge").await, length(&scheduler, "testchallenge").await), (0, 1));
    assert_eq!(scheduler.recorded(&"s".into()).await.unwrap().unwrap().state, "testchallenge");
}

#[tokio::test]
async fn way_3_the_set_of_active_subjects_shrinks_again() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    for number in 0..100 {
        let name = number.to_string();
        let intake = Step::intake().record(Record::new(name.as_str().into(), "issue")).put(task("issue", &name));
        scheduler.commit(intake).await.unwrap();
        let lease = take(&scheduler, "issue").await;
        let done = Step::finish(&lease).record(Record::forget(name.as_str().into()));
        scheduler.commit(done).await.unwrap();
    }
    assert_eq!(server.ask(&["SCARD", "{test}:active"]), "0");
    let keys = server.ask(&["KEYS", "{test}:*:*"]);
    let of_subjects = keys.lines().filter(|key| !key.contains("issue")).count();
    assert_eq!(of_subjects, 0, "{keys}");
}

#[tokio::test]
async fn way_4_a_stage_that_runs_twice_does_its_work_once() {
    let server = Redis::start();
    let (one, other) = (scheduler(&server).await, scheduler(&server).await);
    let intake = Step::intake().record(Record::new("s".into(), "makechallenge")).put(task("makechallenge", "s"));
    one.commit(intake).await.unwrap();
    let late = take(&one, "makechallenge").await;
    server.advance(MINUTE + MINUTE);
    let second = take(&other, "makechallenge").await;
    let challenges = |lease| {
        let record = Record::new("s".into(), "testchallenge").field("challenges", "1");
        Step::finish(lease)
            .record(record.expecting(Expect::State("makechallenge".into())))
            .put(task("testchallenge", "s"))
    };
    other.commit(challenges(&second)).await.unwrap();
    let refused = one.commit(challenges(&late)).await;
    assert!(matches!(refused, Err(SchedulerError::Fenced { .. })), "{refused:?}");
    assert_eq!(length(&one, "testchallenge").await, 1);
}

#[tokio::test]
async fn way_5_the_end_of_the_work_and_what_follows_it_are_one_step() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    put(&scheduler, task("issue", "s")).await;
    let lease = take(&scheduler, "issue").await;
    // Done, and cleaned up after an hour, however late the client asks.
    let step = Step::finish(&lease).record(Record::new("s".into(), "done").field("certificate", "PEM"));
    scheduler.commit(step.put(task("expire", "s").due(Due::After(HOUR)))).await.unwrap();
    server.advance(HOUR - MINUTE);
    let recorded = scheduler.recorded(&"s".into()).await.unwrap().unwrap();
    assert_eq!(recorded.fields["certificate"], b"PEM");
    server.advance(MINUTE + MINUTE);
    assert_eq!(take(&scheduler, "expire").await.task().subject.as_str(), "s");
}

#[tokio::test]
async fn way_6_a_failing_task_pauses_and_is_parked_in_the_end() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    scheduler.configure(&"issue".into(), QueueRules::new().park_after(3)).await.unwrap();
    put(&scheduler, task("issue", "s")).await;
    for attempt in 0..3 {
        let lease = take(&scheduler, "issue").await;
        assert_eq!(lease.task().attempt, attempt);
        let again = lease.task().again(Due::After(MINUTE * (attempt + 1)), Cause::Other("the key is weak".into()));
        scheduler.commit(Step::finish(&lease).put(again)).await.unwrap();
        let from = [Queue::from("issue")];
        let early = scheduler.take(&from, 1, MINUTE);
        assert!(tokio::time::timeout(Duration::from_millis(100), early).await.is_err(), "it spins");
        server.advance(HOUR);
    }
    let parked = scheduler.parked(&"issue".into()).await.unwrap();
    assert_eq!(parked[0].cause, Cause::Other("the key is weak".into()));
}

#[tokio::test]
async fn way_7_expiry_is_a_task_that_falls_due_by_itself() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    put(&scheduler, task("expire", "s").due(Due::After(HOUR))).await;
    let from = [Queue::from("expire")];
    let (taken, ()) = tokio::join!(scheduler.take(&from, 1, MINUTE), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.advance(HOUR);
    });
    assert_eq!(taken.unwrap()[0].task().subject.as_str(), "s");
}

#[tokio::test]
async fn way_8_a_subject_that_is_put_by_many_at_once_is_queued_once() {
    let server = Redis::start();
    let processes = [scheduler(&server).await, scheduler(&server).await, scheduler(&server).await];
    let puts = (0..60).map(|number| put(&processes[number % 3], task("issue", "s")));
    futures_util::future::join_all(puts).await;
    assert_eq!(length(&processes[0], "issue").await, 1);
    assert_eq!(server.ask(&["LRANGE", "{test}:queue:issue", "0", "-1"]), "s");
}

#[tokio::test]
async fn way_9_stale_tasks_do_not_starve_fresh_ones() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    for number in 0..50 {
        put(&scheduler, task("issue", &format!("stale {number}"))).await;
    }
    // Each stale task fails at once, and comes back after a pause, behind the fresh one.
    let leases = scheduler.take(&["issue".into()], 50, MINUTE).await.unwrap();
    put(&scheduler, task("issue", "fresh")).await;
    for lease in &leases {
        let again = lease.task().again(Due::After(MINUTE), Cause::Other("refused".into()));
        scheduler.commit(Step::finish(lease).put(again)).await.unwrap();
    }
    assert_eq!(take(&scheduler, "issue").await.task().subject.as_str(), "fresh");
    // A subject that its client gave up leaves the queue.
    for number in 0..50 {
        let subject = format!("stale {number}");
        assert_eq!(scheduler.cancel(Which::Subject(&subject.as_str().into())).await.unwrap(), 1);
    }
    assert_eq!(length(&scheduler, "issue").await, 1, "the fresh one, leased");
}
