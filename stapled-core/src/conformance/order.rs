//! Which tasks are handed out, when, and in which order.

use std::time::Duration;

use super::{
    HOUR, Harness, LONG, MINUTE, SECOND, assert_nothing_due, commit, counts, finish, put, subjects, take_all,
    take_leased, take_one, task,
};
use crate::scheduler::Step;
use crate::task::{Cause, Due, Task};
use crate::time::Timestamp;

pub async fn tasks_come_in_the_order_of_their_due_times(harness: &dyn Harness) {
    let now = harness.now();
    for hours in [3, 1, 5, 2, 4] {
        put(harness, task("q", &hours.to_string()).due(Due::At(now - HOUR * hours))).await;
    }
    let taken = take_all(harness, &["q"], 5).await;
    assert_eq!(subjects(&taken), ["5", "4", "3", "2", "1"]);
}

pub async fn order_holds_across_queues(harness: &dyn Harness) {
    let now = harness.now();
    for (queue, hours) in [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5), ("a", 6)] {
        put(harness, task(queue, &hours.to_string()).due(Due::At(now - HOUR * hours))).await;
    }
    // A queue that is named twice counts once.
    let taken = take_all(harness, &["a", "b", "a"], 5).await;
    assert_eq!(subjects(&taken), ["6", "5", "3", "2", "1"]);
    assert_nothing_due(harness, &["a", "b"]).await;
}

pub async fn a_delayed_task_waits_until_it_is_due(harness: &dyn Harness) {
    let before = harness.now();
    put(harness, task("q", "s").due(Due::After(HOUR))).await;
    let after = harness.now();
    assert_nothing_due(harness, &["q"]).await;
    harness.advance(HOUR - MINUTE).await;
    assert_nothing_due(harness, &["q"]).await;
    harness.advance(MINUTE).await;
    let lease = take_one(harness, "q").await;
    let Due::At(due) = lease.task().due else { panic!("{:?} is no instant", lease.task().due) };
    assert!(before + HOUR <= due && due <= after + HOUR, "{due:?}");
}

pub async fn a_task_waits_for_its_instant(harness: &dyn Harness) {
    let due = Due::At(harness.now() + HOUR);
    put(harness, task("q", "s").due(due)).await;
    harness.advance(HOUR - MINUTE).await;
    assert_nothing_due(harness, &["q"]).await;
    harness.advance(MINUTE).await;
    assert_eq!(take_one(harness, "q").await.task().due, due);
}

pub async fn past_instants_are_due_at_once(harness: &dyn Harness) {
    put(harness, task("q", "yesterday").due(Due::At(harness.now() - 24 * HOUR))).await;
    put(harness, task("q", "never").due(Due::At(Timestamp::MIN))).await;
    let taken = take_all(harness, &["q"], 2).await;
    assert_eq!(subjects(&taken), ["never", "yesterday"]);
    assert_eq!(taken[0].task().due, Due::At(Timestamp::MIN));
}

pub async fn never_does_not_come(harness: &dyn Harness) {
    put(harness, task("q", "instant").due(Due::At(Timestamp::MAX))).await;
    put(harness, task("q", "delay").due(Due::After(Duration::MAX))).await;
    harness.advance(10_000 * 24 * HOUR).await;
    assert_nothing_due(harness, &["q"]).await;
    assert_eq!(counts(harness, "q").await, (2, 0, 0, 0));
}

pub async fn putting_again_replaces(harness: &dyn Harness) {
    let now = harness.now();
    put(harness, task("q", "s").due(Due::After(HOUR)).generation(1)).await;
    // An earlier due time replaces the former one,
    put(harness, task("q", "s").due(Due::At(now - HOUR)).generation(2)).await;
    assert_eq!(counts(harness, "q").await, (0, 1, 0, 0));
    // a later one does,
    put(harness, task("q", "s").due(Due::At(now + HOUR)).generation(3)).await;
    assert_eq!(counts(harness, "q").await, (1, 0, 0, 0));
    assert_nothing_due(harness, &["q"]).await;
    // and so does the present.
    put(harness, task("q", "s").again(Due::Now, Cause::Other("why".into())).generation(4)).await;
    let lease = take_one(harness, "q").await;
    assert_eq!((lease.task().generation, lease.task().attempt), (4, 1));
    finish(harness, lease).await;
    harness.advance(2 * HOUR).await;
    assert_nothing_due(harness, &["q"]).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 0));
}

pub async fn no_more_than_max_are_taken(harness: &dyn Harness) {
    let step = (0..10).fold(Step::intake(), |step, n| step.put(task("q", &n.to_string())));
    commit(harness, step).await;
    let taken = take_leased(harness, &["q"], 3, LONG).await;
    assert!((1..=3).contains(&taken.len()), "{taken:?}");
    let (_, due, leased, _) = counts(harness, "q").await;
    assert_eq!((leased, due), (taken.len() as u64, 10 - taken.len() as u64));
}

pub async fn one_subject_in_two_queues_is_two_tasks(harness: &dyn Harness) {
    commit(harness, Step::intake().put(task("a", "s")).put(task("b", "s"))).await;
    let (a, b) = (take_one(harness, "a").await, take_one(harness, "b").await);
    assert_eq!((a.task().queue.as_str(), b.task().queue.as_str()), ("a", "b"));
    finish(harness, a).await;
    finish(harness, b).await;
}

pub async fn tasks_come_out_as_they_went_in(harness: &dyn Harness) {
    let due = Due::At(harness.now() - SECOND);
    for name in ["plain", "", "with space", "{a}:b", "line\nbreak", "nul\0", "ümläut ✓", "*[?]"] {
        let causes =
            [Cause::Regular, Cause::Failed("timed_out".into()), Cause::Other(format!("because of {name}").into())];
        for (cause, number) in causes.into_iter().zip([0, 1 << 53, u64::MAX]) {
            let attempt = u32::try_from(number >> 32).unwrap();
            let queue = format!("queue {name}").as_str().into();
            let one = Task { queue, subject: name.into(), due, generation: number, attempt, cause };
            put(harness, one.clone()).await;
            let lease = take_one(harness, one.queue.as_str()).await;
            assert_eq!(*lease.task(), one);
            finish(harness, lease).await;
        }
    }
}
