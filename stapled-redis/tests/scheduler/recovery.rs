//! Recovery after Redis lost keys, and parked tasks.

use std::time::Duration;

use stapled_core::scheduler::{Record, Scheduler, Step, Which};
use stapled_core::task::{Cause, Due, Queue, Task};
use stapled_core::{scheduler::QueueRules, task::Subject};
use stapled_redis::{Recovered, Recovery, RedisScheduler};
use stapled_tests::Redis;

const HOUR: Duration = Duration::from_secs(3600);

async fn scheduler(server: &Redis) -> RedisScheduler {
    RedisScheduler::connect(&server.address(), "test").await.unwrap()
}

fn task(queue: &str, subject: &str) -> Task {
    Task::new(queue.into(), subject.into())
}

/// The owner's rule: each state names its queue; a subject in `waits` waits for a client.
fn queue_of(state: &str) -> Option<Queue> {
    (state != "waits").then(|| Queue::from(state))
}

fn found(recovered: &[Recovered]) -> Vec<(&str, &str)> {
    let mut found: Vec<_> = recovered.iter().map(|one| (one.queue.as_str(), one.subject.as_str())).collect();
    found.sort_unstable();
    found
}

/// Six subjects: due, delayed, at an instant, leased, parked, and one that waits for a client.
async fn fill(scheduler: &RedisScheduler) {
    scheduler.configure(&"issue".into(), QueueRules::new().park_after(5)).await.unwrap();
    let intake = ["leased", "due", "delayed", "dated", "parked"].into_iter().fold(Step::intake(), |step, subject| {
        let task = match subject {
            "delayed" => task("issue", subject).due(Due::After(HOUR)),
            "dated" => task("issue", subject).due(Due::At(stapled_core::time::Timestamp::MAX)),
            "parked" => task("issue", subject).attempt(5).cause(Cause::Other("refused".into())),
            _ => task("issue", subject),
        };
        step.record(Record::new(subject.into(), "issue")).put(task)
    });
    scheduler.commit(intake.record(Record::new("outside".into(), "waits"))).await.unwrap();
    let leases = scheduler.take(&["issue".into()], 1, HOUR).await.unwrap();
    assert_eq!(leases[0].task().subject.as_str(), "leased");
}

#[tokio::test]
async fn nothing_is_recovered_where_nothing_is_missing() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    fill(&scheduler).await;
    for recovery in [Recovery::DryRun, Recovery::Run] {
        assert_eq!(scheduler.recover(recovery, queue_of).await.unwrap(), []);
    }
}

#[tokio::test]
async fn tasks_come_back_after_any_key_of_the_scheduler_is_deleted() {
    let server = Redis::start();
    for (number, lost) in ["queue", "waiting", "delayed", "leases", "parked", "tasks"].into_iter().enumerate() {
        let prefix = number.to_string();
        let scheduler = RedisScheduler::connect(&server.address(), &prefix).await.unwrap();
        fill(&scheduler).await;
        assert_eq!(server.ask(&["DEL", &format!("{{{prefix}}}:{lost}:issue")]), "1", "{lost}");
        let planned = scheduler.recover(Recovery::DryRun, queue_of).await.unwrap();
        // Twice, and at once.
        let (first, second) =
            tokio::join!(scheduler.recover(Recovery::Run, queue_of), scheduler.recover(Recovery::Run, queue_of));
        let both = [first.unwrap(), second.unwrap()].concat();
        let expected: &[&str] = match lost {
            "queue" => &["due"],
            "waiting" => &["dated"],
            "leases" => &["leased"],
            "tasks" => &["dated", "delayed", "due", "leased", "parked"],
            one => &[one],
        };
        let expected: Vec<_> = expected.iter().map(|subject| ("issue", *subject)).collect();
        assert_eq!(found(&planned), expected, "{lost}: planned");
        assert_eq!(found(&both), expected, "{lost}: recovered once");
        let again = scheduler.recover(Recovery::Run, queue_of).await.unwrap();
        assert_eq!(again, [], "{lost}");
        let census = scheduler.census().await.unwrap();
        let counted = census.queues[&"issue".into()];
        assert_eq!(counted.waiting + counted.due + counted.leased + counted.parked, 5, "{lost}: {counted:?}");
        let due = scheduler.take(&["issue".into()], 10, HOUR).await.unwrap();
        assert!(due.iter().any(|lease| expected[0].1 == lease.task().subject.as_str()), "{lost}: {due:?}");
    }
}

#[tokio::test]
async fn a_state_that_waits_for_a_client_gets_no_task() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    let step = Step::intake().record(Record::new("a".into(), "waits")).record(Record::new("b".into(), "issue"));
    scheduler.commit(step).await.unwrap();
    let recovered = scheduler.recover(Recovery::Run, queue_of).await.unwrap();
    assert_eq!(found(&recovered), [("issue", "b")]);
    assert_eq!(recovered[0].state.as_deref(), Some("issue"));
    let leases = scheduler.take(&["issue".into()], 10, HOUR).await.unwrap();
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].task().cause, Cause::LeaseLost);
}

#[tokio::test]
async fn finished_subjects_leave_the_recovery_index() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    for subject in ["a", "b", "c"] {
        scheduler.commit(Step::intake().record(Record::new(subject.into(), "issue"))).await.unwrap();
    }
    scheduler.commit(Step::intake().record(Record::forget("a".into()))).await.unwrap();
    scheduler.cancel(Which::Subject(&Subject::from("b"))).await.unwrap();
    assert_eq!(server.ask(&["SMEMBERS", "{test}:active"]), "c");
    // A subject that came and went leaves no key of its own.
    scheduler.cancel(Which::Subject(&Subject::from("c"))).await.unwrap();
    assert_eq!(server.ask(&["KEYS", "*:record:*"]), "");
    assert_eq!(server.ask(&["KEYS", "*:queues_of:*"]), "");
}

#[tokio::test]
async fn parked_tasks_are_shown_with_their_last_cause() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    scheduler.configure(&"issue".into(), QueueRules::new().park_after(2)).await.unwrap();
    scheduler.commit(Step::intake().put(task("issue", "s"))).await.unwrap();
    for cause in ["first", "second"] {
        let lease = scheduler.take(&["issue".into()], 1, HOUR).await.unwrap().remove(0);
        let again = lease.task().again(Due::Now, Cause::Other(cause.into()));
        scheduler.commit(Step::finish(&lease).put(again)).await.unwrap();
    }
    let parked = scheduler.parked(&"issue".into()).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!((parked[0].subject.as_str(), parked[0].attempt), ("s", 2));
    assert_eq!(parked[0].cause, Cause::Other("second".into()));
    assert!(server.now().since(parked[0].since) < HOUR);
    assert_eq!(scheduler.hasten(Which::Task(&"issue".into(), &"s".into())).await.unwrap(), 1);
    assert_eq!(scheduler.parked(&"issue".into()).await.unwrap(), []);
}

#[tokio::test]
async fn queues_are_plain_lists_that_other_programs_can_read() {
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    for subject in ["a", "b"] {
        scheduler.commit(Step::intake().put(task("issue", subject))).await.unwrap();
    }
    scheduler.commit(Step::intake().put(task("issue", "c").due(Due::After(HOUR)))).await.unwrap();
    assert_eq!(server.ask(&["LRANGE", "{test}:queue:issue", "0", "-1"]), "a\nb");
    assert_eq!(server.ask(&["ZRANGE", "{test}:delayed:issue", "0", "-1"]), "c");
    assert_eq!(server.ask(&["SMEMBERS", "{test}:queues"]), "issue");
}

#[tokio::test]
async fn a_task_takes_little_memory() {
    const COUNT: u64 = 10_000;
    let server = Redis::start();
    let scheduler = scheduler(&server).await;
    let used = || -> u64 {
        let info = server.ask(&["INFO", "memory"]);
        info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
    };
    let before = used();
    // As many names as certificates have: the SHA-256 of the certificate and its issuer's key, in hexadecimal.
    for first in (0..COUNT).step_by(1000) {
        let step = (first..first + 1000).fold(Step::intake(), |step, number| {
            step.put(task("renew/ocsp.example:80", &format!("{number:064x}")).due(Due::After(HOUR)))
        });
        scheduler.commit(step).await.unwrap();
    }
    let each = (used() - before) / COUNT;
    println!("{each} bytes for each task that waits");
    assert!(each < 1000, "{each}");
}
