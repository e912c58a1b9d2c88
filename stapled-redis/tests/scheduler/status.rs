//! The status of a scheduler, its text, and repairs by operators.

use std::collections::BTreeMap;
use std::time::Duration;

use stapled_core::scheduler::{QueueRules, Record, Scheduler, Step};
use stapled_core::task::{Cause, Due, Queue, Task};
use stapled_redis::status::{Problem, QueueStatus, Status};
use stapled_redis::{Durability, Eviction, Recovery, RedisError, RedisScheduler, Retry};
use stapled_tests::Redis;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn connect(server: &Redis) -> RedisScheduler {
    RedisScheduler::connect(&server.address(), "test").await.unwrap()
}

fn task(queue: &str, subject: &str) -> Task {
    Task::new(queue.into(), subject.into())
}

async fn put(scheduler: &RedisScheduler, task: Task) {
    scheduler.commit(Step::intake().put(task)).await.unwrap();
}

fn queue<'s>(status: &'s Status, name: &str) -> &'s QueueStatus {
    status.queues.iter().find(|queue| queue.queue.as_str() == name).unwrap()
}

/// Whether two durations are equal, but for the time that a test takes.
fn near(found: Duration, expected: Duration) -> bool {
    found.abs_diff(expected) < MINUTE
}

/// Takes the next task and fails it.
async fn fail(scheduler: &RedisScheduler, from: &str) {
    let lease = scheduler.take(&[from.into()], 1, HOUR).await.unwrap().remove(0);
    let again = lease.task().again(Due::Now, Cause::Other("the key is weak".into()));
    scheduler.commit(Step::finish(&lease).put(again)).await.unwrap();
}

/// In the queue `issue`: two due tasks, one of them for two hours, one that waits, one leased, one parked. In `expire`: one that
/// waits. And a subject that rests.
async fn fill(server: &Redis, scheduler: &RedisScheduler) {
    scheduler.configure(&"issue".into(), QueueRules::new().park_after(2)).await.unwrap();
    put(scheduler, task("issue", "parked")).await;
    fail(scheduler, "issue").await;
    fail(scheduler, "issue").await;
    put(scheduler, task("issue", "leased").attempt(1)).await;
    assert_eq!(scheduler.take(&["issue".into()], 1, 3 * HOUR).await.unwrap().len(), 1);
    put(scheduler, task("issue", "old")).await;
    server.advance(2 * HOUR);
    put(scheduler, task("issue", "new")).await;
    put(scheduler, task("issue", "later").due(Due::After(HOUR))).await;
    let resting = Record::new("resting".into(), "waits for its client");
    let busy = Record::new("old".into(), "in issue");
    let step = Step::intake().record(resting).record(busy).put(task("expire", "e").due(Due::After(48 * HOUR)));
    scheduler.commit(step).await.unwrap();
}

#[tokio::test]
async fn the_status_has_everything_that_an_operator_asks_for() {
    let server = Redis::start();
    let scheduler = connect(&server).await;
    fill(&server, &scheduler).await;
    let status = scheduler.status(10).await.unwrap();
    assert_eq!((status.prefix.as_str(), status.schema, status.subjects), ("test", 1, 2));
    assert_eq!((status.durability, &status.eviction), (Durability::None, &Eviction::Never));
    assert_eq!(status.resting, BTreeMap::from([("waits for its client".to_owned(), 1)]));
    assert!(status.used_memory.unwrap() > 100_000 && near(status.at.since(server.now()), Duration::ZERO));

    let issue = queue(&status, "issue");
    assert_eq!((issue.due, issue.waiting, issue.leased, issue.lapsed, issue.parked), (2, 1, 1, 0, 1));
    assert!(near(status.at.since(issue.oldest_due.unwrap()), 2 * HOUR), "{issue:?}");
    assert!(near(issue.next_due.unwrap().since(status.at), HOUR), "{issue:?}");
    assert_eq!((issue.leases[0].subject.as_str(), issue.leases[0].attempt), ("leased", 1));
    assert!(near(issue.leases[0].ends.since(status.at), HOUR), "{issue:?}");
    assert_eq!(issue.parked_tasks[0].cause, Cause::Other("the key is weak".into()));
    let counters = issue.counters;
    assert_eq!((counters.taken, counters.committed, counters.failed), (3, 2, 2));
    assert_eq!((counters.lost, counters.parked), (0, 1));
    assert!(near(status.at.since(counters.since.unwrap()), 2 * HOUR), "{counters:?}");

    let expire = queue(&status, "expire");
    assert_eq!((expire.due, expire.oldest_due, expire.waiting), (0, None, 1));
    assert_eq!((expire.counters.since, &expire.leases), (None, &Vec::new()));
    let census = scheduler.census().await.unwrap();
    assert_eq!(census.queues[&"issue".into()].due, issue.due);
}

#[tokio::test]
async fn a_status_lists_no_more_than_it_was_asked_for_and_changes_nothing() {
    let server = Redis::start();
    let scheduler = connect(&server).await;
    for number in 0..5 {
        put(&scheduler, task("issue", &number.to_string())).await;
    }
    scheduler.take(&["issue".into()], 5, MINUTE).await.unwrap();
    for listed in [0, 2, 5] {
        assert_eq!(scheduler.status(listed).await.unwrap().queues[0].leases.len(), listed);
    }
    server.advance(HOUR);
    let status = scheduler.status(1).await.unwrap();
    let issue = &status.queues[0];
    assert_eq!((issue.leased, issue.lapsed, issue.due, issue.counters.lost), (5, 5, 0, 0));
    assert_eq!(status.problems(), [Problem::NoWorker { queue: "issue".into(), count: 5 }]);
    // A worker that takes ends them.
    scheduler.census().await.unwrap();
    let issue = scheduler.status(1).await.unwrap().queues.remove(0);
    assert_eq!((issue.leased, issue.lapsed, issue.due, issue.counters.lost), (0, 0, 5, 5));
}

#[tokio::test]
async fn two_statuses_give_rates() {
    let server = Redis::start();
    let scheduler = connect(&server).await;
    put(&scheduler, task("issue", "s")).await;
    let before = scheduler.status(0).await.unwrap();
    for _ in 0..100 {
        fail(&scheduler, "issue").await;
    }
    server.advance(100 * HOUR);
    let after = scheduler.status(0).await.unwrap();
    let counted = queue(&after, "issue").counters;
    assert_eq!((counted.taken, counted.committed, counted.failed), (100, 100, 100));
    let rates = after.clone().with_rates_since(&before).queues[0].rates.unwrap();
    let seconds = after.at.since(before.at).as_secs_f64();
    assert!((rates.taken * seconds - 100.0).abs() < 0.01 && rates.committed == rates.failed, "{rates:?}");
    // Cancelling the queue ends its counters: the rate is not negative.
    scheduler.cancel(stapled_core::scheduler::Which::Queue(&"issue".into())).await.unwrap();
    put(&scheduler, task("issue", "s")).await;
    // Within one millisecond there is no rate.
    server.advance(HOUR);
    let last = scheduler.status(0).await.unwrap().with_rates_since(&after);
    assert_eq!(last.queues[0].rates.unwrap().taken, 0.0);
    assert_eq!(last.queues[0].counters.since, None);
}

#[tokio::test]
async fn the_text_has_the_problems_first_and_fits_into_80_columns() {
    let server = Redis::start_with(&["--save", "", "--maxmemory-policy", "allkeys-lfu"]);
    let scheduler = connect(&server).await;
    fill(&server, &scheduler).await;
    put(&scheduler, task("renew/ocsp.a-long-name.example.org:80", "s")).await;
    let status = scheduler.status(10).await.unwrap();
    let text = status.report().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("PROBLEM  Redis deletes keys") && lines[0].contains("allkeys-lfu"), "{text}");
    assert!(lines[1].starts_with("PROBLEM  queue issue: 1 parked, such as parked, which failed: the key is weak"));
    for words in ["ENDS IN", "leased", "parked: the key is weak", "in state waits for its client", "prefix test"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let table = &lines[3..];
    assert!(table[0].starts_with("QUEUE") && table[1].starts_with("issue"), "{text}");
    assert!(table.iter().all(|line| line.chars().count() <= 80), "{text}");
    let numbers: Vec<&str> = table[1].split_whitespace().collect();
    assert_eq!(numbers, ["issue", "2", "2", "h", "1", "59", "m", "1", "1", "0", "2"], "{text}");
}

#[tokio::test]
async fn parked_tasks_are_retried_one_by_one_or_all_at_once() {
    let server = Redis::start();
    let scheduler = connect(&server).await;
    scheduler.configure(&"issue".into(), QueueRules::new().park_after(1)).await.unwrap();
    for number in 0..1200 {
        put(&scheduler, task("issue", &number.to_string()).attempt(1)).await;
    }
    put(&scheduler, task("issue", "waiting").due(Due::After(HOUR))).await;
    let issue = Queue::from("issue");
    let named = Retry::Subjects(vec!["7".into(), "waiting".into(), "unknown".into()]);
    let retried = scheduler.retry(&issue, named).await.unwrap();
    assert_eq!((retried.count, retried.not_parked), (1, vec!["waiting".into(), "unknown".into()]));
    let retried = scheduler.retry(&issue, Retry::All).await.unwrap();
    assert_eq!((retried.count, retried.not_parked.len()), (1199, 0));
    assert_eq!(scheduler.retry(&issue, Retry::All).await.unwrap().count, 0);
    let status = scheduler.status(0).await.unwrap();
    assert_eq!((status.queues[0].due, status.queues[0].parked, status.queues[0].waiting), (1200, 0, 1));
    let refused = scheduler.retry(&"isue".into(), Retry::All).await.unwrap_err();
    assert!(matches!(refused, RedisError::NoQueue { ref known, .. } if known == &["issue"]), "{refused}");
}

#[tokio::test]
async fn a_repair_names_the_subjects_that_still_have_no_task() {
    let server = Redis::start();
    let scheduler = connect(&server).await;
    let mut step = Step::intake().put(task("issue", "lost")).record(Record::new("one".into(), "issuing"));
    for number in 0..30 {
        step = step.record(Record::new(number.to_string().as_str().into(), "waits"));
    }
    scheduler.commit(step).await.unwrap();
    server.ask(&["DEL", "{test}:queue:issue"]);
    let plan = scheduler.repair(Recovery::DryRun, &BTreeMap::new()).await.unwrap();
    assert_eq!((plan.recovered.len(), plan.named.len()), (1, 20));
    assert_eq!(plan.resting, BTreeMap::from([("issuing".to_owned(), 1), ("waits".to_owned(), 30)]));
    let text = plan.to_string();
    assert!(text.starts_with("issue: lost, which was in no order of its queue\n"), "{text}");
    assert!(text.contains("nothing was changed") && text.ends_with("  and 11 more\n"), "{text}");
    let mapping = BTreeMap::from([("issuing".to_owned(), Queue::from("issue"))]);
    let done = scheduler.repair(Recovery::Run, &mapping).await.unwrap();
    assert_eq!((done.recovered.len(), done.resting.len()), (2, 1));
    assert_eq!(scheduler.repair(Recovery::Run, &mapping).await.unwrap().recovered, []);
    assert_eq!(scheduler.status(0).await.unwrap().queues[0].due, 2);
}

#[tokio::test]
async fn a_prefix_without_a_scheduler_is_refused_and_others_are_named() {
    let server = Redis::start();
    let refused =
        RedisScheduler::connect_existing(&server.address().parse().unwrap(), "test").await.unwrap_err().to_string();
    assert!(refused.contains("no scheduler under the prefix test") && refused.contains("right server"), "{refused}");
    for prefix in ["one", "two"] {
        put(&RedisScheduler::connect(&server.address(), prefix).await.unwrap(), task("q", "s")).await;
    }
    let refused =
        RedisScheduler::connect_existing(&server.address().parse().unwrap(), "test").await.unwrap_err().to_string();
    assert!(refused.contains("there are: one, two"), "{refused}");
    assert_eq!(server.ask(&["KEYS", "{test}*"]), "", "looking wrote keys");
    assert!(RedisScheduler::connect_existing(&server.address().parse().unwrap(), "two").await.is_ok());
}
