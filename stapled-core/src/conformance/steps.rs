//! Steps take effect completely or not at all.

use super::{
    HOUR, Harness, assert_fenced, assert_nothing_due, commit, counts, finish, put, resting, state, take_one, task,
};
use crate::reason::ReasonCode;
use crate::scheduler::{Expect, QueueRules, Record, SchedulerError, Step, Which};
use crate::task::{Cause, Due};

pub async fn a_step_finishes_and_forks(harness: &dyn Harness) {
    put(harness, task("renew", "s")).await;
    let lease = take_one(harness, "renew").await;
    let step = Step::finish(&lease)
        .record(Record::new("s".into(), "fresh"))
        .put(task("add", "s"))
        .put(task("renew", "s").due(Due::After(HOUR)));
    commit(harness, step).await;
    assert_eq!(counts(harness, "renew").await, (1, 0, 0, 0));
    assert_eq!(counts(harness, "add").await, (0, 1, 0, 0));
    assert_eq!(state(harness, "s").await.as_deref(), Some("fresh"));
    finish(harness, take_one(harness, "add").await).await;
    harness.advance(HOUR).await;
    finish(harness, take_one(harness, "renew").await).await;
    assert_eq!(resting(harness, "fresh").await, 1);
}

pub async fn a_step_may_put_its_own_task_again(harness: &dyn Harness) {
    put(harness, task("q", "s").generation(4)).await;
    for attempt in 0..5 {
        let lease = take_one(harness, "q").await;
        assert_eq!((lease.task().attempt, lease.task().generation), (attempt, 4));
        let cause = if attempt > 0 { Cause::failed(ReasonCode::new("timed_out")) } else { Cause::Regular };
        assert_eq!(lease.task().cause, cause);
        commit(
            harness,
            Step::finish(&lease).put(lease.task().again(Due::After(HOUR), Cause::failed(ReasonCode::new("timed_out")))),
        )
        .await;
        assert_eq!(counts(harness, "q").await, (1, 0, 0, 0));
        assert_nothing_due(harness, &["q"]).await;
        harness.advance(HOUR).await;
    }
}

pub async fn the_last_of_several_puts_counts(harness: &dyn Harness) {
    let step = Step::intake()
        .put(task("q", "s").generation(1))
        .put(task("q", "t").generation(9))
        .put(task("q", "s").generation(2).due(Due::After(HOUR)))
        .put(task("q", "s").generation(3));
    commit(harness, step).await;
    assert_eq!(counts(harness, "q").await, (0, 2, 0, 0));
    for _ in 0..2 {
        let lease = take_one(harness, "q").await;
        let expected = if lease.task().subject.as_str() == "s" { 3 } else { 9 };
        assert_eq!(lease.task().generation, expected);
        finish(harness, lease).await;
    }
    // The same holds for a key that the step releases, and for a key that is leased by another worker.
    commit(harness, Step::intake().put(task("q", "s")).put(task("q", "t"))).await;
    let (one, other) = (take_one(harness, "q").await, take_one(harness, "q").await);
    let step = [1, 2].into_iter().fold(Step::finish(&one), |step, n| {
        step.put(one.task().clone().generation(n)).put(other.task().clone().generation(n))
    });
    commit(harness, step).await;
    finish(harness, other).await;
    for _ in 0..2 {
        let lease = take_one(harness, "q").await;
        assert_eq!(lease.task().generation, 2);
        finish(harness, lease).await;
    }
    assert_nothing_due(harness, &["q"]).await;
}

pub async fn an_empty_step_is_taken(harness: &dyn Harness) {
    commit(harness, Step::intake()).await;
    assert!(harness.scheduler().census().await.unwrap().queues.is_empty());
}

pub async fn a_full_queue_undoes_the_whole_step(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let rules = QueueRules { capacity: Some(1), ..QueueRules::default() };
    scheduler.configure(&"full".into(), rules).await.unwrap();
    put(harness, task("full", "first")).await;
    put(harness, task("q", "s")).await;
    let lease = take_one(harness, "q").await;
    let step = Step::finish(&lease)
        .record(Record::new("s".into(), "done").field("name", "value"))
        .put(task("new", "s"))
        .put(task("q", "t"))
        .put(task("full", "second"));
    let refused = scheduler.commit(step.clone()).await;
    assert!(
        matches!(&refused, Err(SchedulerError::QueueFull { queue, capacity: 1 }) if queue.as_str() == "full"),
        "{refused:?}"
    );
    assert_eq!(scheduler.recorded(&"s".into()).await.unwrap(), None);
    assert_eq!(counts(harness, "q").await, (0, 0, 1, 0));
    assert_eq!(counts(harness, "full").await, (0, 1, 0, 0));
    assert_nothing_due(harness, &["new"]).await;
    // The lease is still valid, and the same step succeeds once there is room.
    finish(harness, take_one(harness, "full").await).await;
    commit(harness, step).await;
    assert_eq!(state(harness, "s").await.as_deref(), Some("done"));
    for queue in ["new", "q", "full"] {
        finish(harness, take_one(harness, queue).await).await;
    }
}

pub async fn an_unmet_expectation_undoes_the_whole_step(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    commit(harness, Step::intake().record(Record::new("s".into(), "valid"))).await;
    put(harness, task("q", "s")).await;
    let lease = take_one(harness, "q").await;
    let step = Step::finish(&lease)
        .record(Record::new("t".into(), "new"))
        .record(Record::new("s".into(), "ready").expecting(Expect::State("processing".into())))
        .put(task("other", "s"));
    let refused = scheduler.commit(step.clone()).await;
    assert!(
        matches!(&refused, Err(SchedulerError::Unexpected { subject, expected: Expect::State(expected), found })
        if subject.as_str() == "s" && expected == "processing" && found.as_deref() == Some("valid")),
        "{refused:?}"
    );
    assert_eq!((state(harness, "s").await.as_deref(), state(harness, "t").await), (Some("valid"), None));
    assert_eq!(counts(harness, "q").await, (0, 0, 1, 0));
    assert_nothing_due(harness, &["other"]).await;
    commit(harness, Step::intake().record(Record::new("s".into(), "processing"))).await;
    commit(harness, step).await;
    assert_eq!(state(harness, "s").await.as_deref(), Some("ready"));
    take_one(harness, "other").await;
}

pub async fn a_fenced_step_changes_nothing(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    put(harness, task("q", "s")).await;
    let lease = take_one(harness, "q").await;
    let (queue, subject) = (lease.task().queue.clone(), lease.task().subject.clone());
    assert_eq!(scheduler.cancel(Which::Task(&queue, &subject)).await.unwrap(), 1);
    let step = Step::finish(&lease)
        .record(Record::new(subject.clone(), "done"))
        .put(task("q", "s").generation(1))
        .put(task("other", "t"));
    let refused = scheduler.commit(step).await;
    assert!(matches!(refused, Err(SchedulerError::Fenced { .. })), "{refused:?}");
    assert_fenced(harness, &lease).await;
    assert_eq!(scheduler.recorded(&subject).await.unwrap(), None);
    assert_nothing_due(harness, &["q", "other"]).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 0));
}
