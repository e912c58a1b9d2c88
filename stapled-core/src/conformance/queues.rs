//! Rules of queues, and operations on tasks from outside: cancelling, hastening, counting.

use super::{
    HOUR, Harness, MINUTE, assert_fenced, assert_nothing_due, commit, counts, finish, lose, put, queue_census, resting,
    state, subjects, take_all, take_one, take_short, task,
};
use crate::scheduler::{QueueRules, Record, SchedulerError, Step, Which};
use crate::task::{Cause, Due, Task};

async fn configure(harness: &dyn Harness, queue: &str, capacity: Option<usize>, park_after: Option<u32>) {
    harness.scheduler().configure(&queue.into(), QueueRules { capacity, park_after }).await.unwrap();
}

async fn assert_full(harness: &dyn Harness, step: Step<'_>) {
    let refused = harness.scheduler().commit(step).await;
    assert!(matches!(refused, Err(SchedulerError::QueueFull { .. })), "{refused:?}");
}

fn again() -> Cause {
    Cause::Other("again".into())
}

fn tried(queue: &str, subject: &str, attempt: u32) -> Task {
    Task { attempt, cause: Cause::Other("tried".into()), ..task(queue, subject) }
}

pub async fn a_full_queue_refuses(harness: &dyn Harness) {
    configure(harness, "q", Some(2), None).await;
    put(harness, task("q", "a")).await;
    assert_full(harness, Step::intake().put(task("q", "b")).put(task("q", "c"))).await;
    put(harness, task("q", "b").due(Due::After(HOUR))).await;
    assert_full(harness, Step::intake().put(task("q", "c"))).await;
    // Other queues are not affected.
    put(harness, task("other", "c")).await;
    configure(harness, "none", Some(0), None).await;
    assert_full(harness, Step::intake().put(task("none", "a"))).await;
    configure(harness, "q", Some(3), None).await;
    put(harness, task("q", "c")).await;
    configure(harness, "q", None, None).await;
    put(harness, task("q", "d")).await;
    assert_eq!(counts(harness, "q").await, (1, 3, 0, 0));
}

pub async fn replacing_needs_no_room(harness: &dyn Harness) {
    configure(harness, "q", Some(2), None).await;
    put(harness, task("q", "a")).await;
    put(harness, task("q", "b")).await;
    commit(harness, Step::intake().put(task("q", "a").generation(1)).put(task("q", "b").generation(1))).await;
    let lease = take_one(harness, "q").await;
    // The task is put behind the leased one, twice in one step.
    let again = lease.task().clone();
    commit(harness, Step::intake().put(again.clone().generation(2)).put(again.generation(3))).await;
    assert_full(harness, Step::intake().put(task("q", "c"))).await;
    finish(harness, lease).await;
    assert_full(harness, Step::intake().put(task("q", "c"))).await;
    for lease in take_all(harness, &["q"], 2).await {
        finish(harness, lease).await;
    }
    // The same key twice needs room for one task.
    configure(harness, "q", Some(1), None).await;
    commit(harness, Step::intake().put(task("q", "c")).put(task("q", "c"))).await;
}

pub async fn what_is_leased_or_parked_takes_room(harness: &dyn Harness) {
    configure(harness, "q", Some(2), Some(3)).await;
    put(harness, tried("q", "parked", 3)).await;
    put(harness, task("q", "leased")).await;
    let lease = take_one(harness, "q").await;
    assert_eq!(counts(harness, "q").await, (0, 0, 1, 1));
    assert_full(harness, Step::intake().put(task("q", "c"))).await;
    finish(harness, lease).await;
    put(harness, task("q", "c")).await;
}

pub async fn releasing_makes_room(harness: &dyn Harness) {
    configure(harness, "q", Some(1), None).await;
    put(harness, task("q", "a")).await;
    let lease = take_one(harness, "q").await;
    assert_full(harness, Step::finish(&lease).put(task("q", "b")).put(task("q", "c"))).await;
    assert_full(harness, Step::finish(&lease).put(task("q", "b")).put(task("q", "a"))).await;
    commit(harness, Step::finish(&lease).put(task("q", "b"))).await;
    let lease = take_one(harness, "q").await;
    assert_eq!(lease.task().subject, "b".into());
    // The end of a lease frees no room if another task with its key follows.
    put(harness, task("q", "b").generation(1)).await;
    assert_full(harness, Step::finish(&lease).put(task("q", "c"))).await;
    commit(harness, Step::finish(&lease).put(task("q", "b").generation(2))).await;
    assert_eq!(take_one(harness, "q").await.task().generation, 1);
}

pub async fn an_overfull_queue_may_shrink(harness: &dyn Harness) {
    for subject in ["a", "b", "c"] {
        put(harness, task("q", subject)).await;
    }
    configure(harness, "q", Some(1), None).await;
    put(harness, task("q", "c").due(Due::After(HOUR))).await;
    let lease = take_one(harness, "q").await;
    commit(harness, Step::finish(&lease).put(lease.task().again(Due::Now, again()))).await;
    let lease = take_one(harness, "q").await;
    commit(harness, Step::finish(&lease).put(task("q", "d"))).await;
    assert_full(harness, Step::intake().put(task("q", "e"))).await;
    // A lost task needs no room to return.
    let lease = take_short(harness, "q").await;
    lose(harness, lease).await;
    assert_eq!(counts(harness, "q").await, (0, 3, 0, 0));
}

pub async fn rules_hold_for_later_puts(harness: &dyn Harness) {
    put(harness, tried("q", "free", 5)).await;
    configure(harness, "q", None, Some(5)).await;
    put(harness, tried("q", "parked", 5)).await;
    assert_eq!(counts(harness, "q").await, (0, 1, 0, 1));
    configure(harness, "q", None, None).await;
    assert_eq!(counts(harness, "q").await, (0, 1, 0, 1));
    put(harness, tried("q", "parked", 6)).await;
    assert_eq!(counts(harness, "q").await, (0, 2, 0, 0));
}

pub async fn tasks_tried_too_often_are_parked(harness: &dyn Harness) {
    configure(harness, "q", None, Some(3)).await;
    put(harness, task("q", "s")).await;
    for _ in 0..3 {
        let lease = take_one(harness, "q").await;
        commit(harness, Step::finish(&lease).put(lease.task().again(Due::Now, again()))).await;
    }
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 1));
    assert_eq!(queue_census(harness, "q").await.next_due, None);
    harness.advance(100 * HOUR).await;
    assert_nothing_due(harness, &["q"]).await;
    // A task that is put from outside is a new task.
    put(harness, task("q", "s")).await;
    assert_eq!(counts(harness, "q").await, (0, 1, 0, 0));
    let lease = take_one(harness, "q").await;
    assert_eq!(lease.task().attempt, 0);
    // A task that was put behind a lease parks when the lease ends.
    put(harness, tried("q", "s", 9)).await;
    finish(harness, lease).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 1));
    assert_eq!(harness.scheduler().cancel(Which::Task(&"q".into(), &"s".into())).await.unwrap(), 1);
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 0));
}

pub async fn lost_tasks_are_parked_too(harness: &dyn Harness) {
    configure(harness, "q", None, Some(2)).await;
    put(harness, task("q", "s")).await;
    for _ in 0..2 {
        let lease = take_short(harness, "q").await;
        lose(harness, lease).await;
    }
    assert_nothing_due(harness, &["q"]).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 1));
}

pub async fn cancelling_a_task_fences_it(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let (q, s) = ("q".into(), "s".into());
    assert_eq!(scheduler.cancel(Which::Task(&q, &s)).await.unwrap(), 0);
    commit(harness, Step::intake().put(task("q", "s")).put(task("other", "s")).put(task("q", "t"))).await;
    commit(harness, Step::intake().record(Record::new("s".into(), "state"))).await;
    assert_eq!(scheduler.cancel(Which::Task(&q, &s)).await.unwrap(), 1);
    assert_eq!((counts(harness, "q").await, counts(harness, "other").await), ((0, 1, 0, 0), (0, 1, 0, 0)));
    assert_eq!(state(harness, "s").await.as_deref(), Some("state"), "the record stays");
    finish(harness, take_one(harness, "q").await).await;
    // The task is leased, and another one follows it.
    put(harness, task("q", "s")).await;
    let cancelled = take_one(harness, "q").await;
    put(harness, task("q", "s").generation(1)).await;
    assert_eq!(scheduler.cancel(Which::Task(&q, &s)).await.unwrap(), 1, "a key counts once");
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 0));
    assert_fenced(harness, &cancelled).await;
    // The key is free at once, and the dead lease does not affect later tasks.
    put(harness, task("q", "s").generation(2)).await;
    let lease = take_one(harness, "q").await;
    lose(harness, cancelled).await;
    assert_eq!(lease.task().generation, 2);
    assert_eq!(counts(harness, "q").await, (0, 0, 1, 0));
    finish(harness, lease).await;
}

pub async fn cancelling_a_subject_reaches_every_queue(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    configure(harness, "parked", None, Some(1)).await;
    let step = Step::intake()
        .put(task("flight", "s"))
        .put(task("waiting", "s").due(Due::After(HOUR)))
        .put(tried("parked", "s", 1))
        .put(task("waiting", "t").due(Due::After(HOUR)))
        .record(Record::new("s".into(), "state"))
        .record(Record::new("t".into(), "state"));
    commit(harness, step).await;
    let lease = take_one(harness, "flight").await;
    assert_eq!(scheduler.cancel(Which::Subject(&"s".into())).await.unwrap(), 3);
    assert_fenced(harness, &lease).await;
    assert_eq!((state(harness, "s").await, state(harness, "t").await.is_some()), (None, true));
    for (queue, waiting) in [("flight", 0), ("waiting", 1), ("parked", 0)] {
        assert_eq!(counts(harness, queue).await, (waiting, 0, 0, 0), "{queue}");
    }
    assert_eq!(resting(harness, "state").await, 0);
}

pub async fn cancelling_a_queue_removes_its_rules(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    assert_eq!(scheduler.cancel(Which::Queue(&"q".into())).await.unwrap(), 0);
    configure(harness, "q", Some(4), Some(1)).await;
    let step = ["a", "b", "c"].into_iter().fold(Step::intake(), |step, subject| step.put(task("q", subject)));
    commit(harness, step.put(tried("q", "d", 1)).put(task("other", "a"))).await;
    let lease = take_one(harness, "q").await;
    put(harness, lease.task().clone()).await;
    assert_eq!(scheduler.cancel(Which::Queue(&"q".into())).await.unwrap(), 4);
    assert_fenced(harness, &lease).await;
    let census = scheduler.census().await.unwrap();
    assert_eq!(census.queues.keys().map(|queue| queue.as_str()).collect::<Vec<_>>(), ["other"]);
    lose(harness, lease).await;
    // The queue is created again, without rules.
    for n in 0..5 {
        put(harness, tried("q", &n.to_string(), 1)).await;
    }
    assert_eq!(counts(harness, "q").await, (0, 5, 0, 0));
    assert_eq!(take_all(harness, &["q"], 5).await.len(), 5);
}

pub async fn hastening_makes_due(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let (q, s) = ("q".into(), "s".into());
    assert_eq!(scheduler.hasten(Which::Task(&q, &s)).await.unwrap(), 0);
    assert_eq!(scheduler.hasten(Which::Queue(&q)).await.unwrap(), 0);
    put(harness, tried("q", "s", 4).due(Due::After(HOUR)).generation(6)).await;
    put(harness, tried("q", "t", 4).due(Due::At(harness.now() + 2 * HOUR))).await;
    assert_eq!(scheduler.hasten(Which::Task(&q, &s)).await.unwrap(), 1);
    let lease = take_one(harness, "q").await;
    assert_eq!((lease.task().subject.as_str(), lease.task().attempt, lease.task().generation), ("s", 0, 6));
    finish(harness, lease).await;
    put(harness, tried("q", "early", 4).due(Due::At(harness.now() - HOUR))).await;
    put(harness, tried("q", "later", 4).due(Due::At(harness.now() - MINUTE))).await;
    assert_eq!(scheduler.hasten(Which::Queue(&q)).await.unwrap(), 3);
    // Tasks that were due before keep their turn.
    let taken = take_all(harness, &["q"], 3).await;
    assert_eq!(subjects(&taken), ["early", "later", "t"]);
    assert!(taken.iter().all(|lease| lease.task().attempt == 0));
}

pub async fn hastening_brings_parked_tasks_back(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    configure(harness, "q", None, Some(1)).await;
    put(harness, tried("q", "s", 1).due(Due::After(HOUR)).generation(5)).await;
    put(harness, tried("q", "t", 1)).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 2));
    assert_eq!(scheduler.hasten(Which::Task(&"q".into(), &"s".into())).await.unwrap(), 1);
    assert_eq!(counts(harness, "q").await, (0, 1, 0, 1));
    let lease = take_one(harness, "q").await;
    assert_eq!((lease.task().attempt, lease.task().generation), (0, 5));
    commit(harness, Step::finish(&lease).put(lease.task().again(Due::Now, again()))).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 2));
    assert_eq!(scheduler.hasten(Which::Queue(&"q".into())).await.unwrap(), 2);
    assert_eq!(counts(harness, "q").await, (0, 2, 0, 0));
}

pub async fn hastening_leaves_leased_tasks_alone(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let (q, s) = ("q".into(), "s".into());
    put(harness, tried("q", "s", 2)).await;
    let lease = take_one(harness, "q").await;
    assert_eq!(scheduler.hasten(Which::Task(&q, &s)).await.unwrap(), 0);
    assert_eq!(scheduler.hasten(Which::Queue(&q)).await.unwrap(), 0);
    // Only the task that waits for the end of the lease can be hastened.
    put(harness, tried("q", "s", 3).due(Due::After(HOUR))).await;
    assert_eq!(scheduler.hasten(Which::Subject(&s)).await.unwrap(), 1);
    assert_eq!(scheduler.hasten(Which::Queue(&q)).await.unwrap(), 1);
    assert_nothing_due(harness, &["q"]).await;
    finish(harness, lease).await;
    let lease = take_one(harness, "q").await;
    assert_eq!(lease.task().attempt, 0);
    finish(harness, lease).await;
}

pub async fn hastening_a_subject_reaches_every_queue(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    for queue in ["a", "b", "c"] {
        put(harness, task(queue, "s").due(Due::After(HOUR))).await;
        put(harness, task(queue, "t").due(Due::After(HOUR))).await;
    }
    assert_eq!(scheduler.hasten(Which::Subject(&"s".into())).await.unwrap(), 3);
    let taken = take_all(harness, &["a", "b", "c"], 3).await;
    assert_eq!(subjects(&taken), ["s", "s", "s"]);
    assert_nothing_due(harness, &["a", "b", "c"]).await;
}

pub async fn the_census_follows_a_task(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    assert_eq!(scheduler.census().await.unwrap(), Default::default());
    configure(harness, "empty", Some(3), None).await;
    assert_eq!(queue_census(harness, "empty").await, Default::default());
    let (first, second) = (harness.now() + HOUR, harness.now() + 2 * HOUR);
    put(harness, task("q", "b").due(Due::At(second))).await;
    put(harness, task("q", "a").due(Due::At(first))).await;
    let census = queue_census(harness, "q").await;
    assert_eq!((census.waiting, census.due, census.next_due), (2, 0, Some(first)));
    harness.advance(HOUR).await;
    let census = queue_census(harness, "q").await;
    assert_eq!((census.waiting, census.due, census.next_due), (1, 1, Some(second)));
    let lease = take_one(harness, "q").await;
    let census = queue_census(harness, "q").await;
    assert_eq!((census.waiting, census.due, census.leased, census.next_due), (1, 0, 1, Some(second)));
    finish(harness, lease).await;
    harness.advance(HOUR).await;
    let census = queue_census(harness, "q").await;
    assert_eq!((census.waiting, census.due, census.leased, census.next_due), (0, 1, 0, None));
    finish(harness, take_one(harness, "q").await).await;
    // An empty queue stays.
    assert_eq!(queue_census(harness, "q").await, Default::default());
}
