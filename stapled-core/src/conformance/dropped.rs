//! Dropped calls: each takes effect completely or not at all, and is safe to repeat.

use std::future::Future;
use std::task::Poll;

use futures_util::poll;

use super::{HOUR, Harness, LONG, commit, counts, put, queues, resting, soon, state, subjects, take_one, task};
use crate::scheduler::{QueueRules, Record, SchedulerError, Step, Which};
use crate::task::{Due, Subject};

/// The largest number of polls that a store's answer may take. The in-memory scheduler answers at the first poll.
const POLLS: usize = 6;

/// Polls a future at most `polls` times and drops it. Returns its output if it was ready.
async fn cut_short<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = poll!(future.as_mut()) {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

pub async fn a_dropped_commit_is_whole_or_nothing(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    for polls in 0..POLLS {
        put(harness, task("q", "s")).await;
        let lease = take_one(harness, "q").await;
        let (subject, other) = (Subject::from("s"), task("next", &format!("s{polls}")));
        let step = Step::finish(&lease).put(other).record(Record::new(subject, format!("state{polls}")));
        let first = cut_short(scheduler.commit(step.clone()), polls).await;
        harness.settle().await;
        let is_done = state(harness, "s").await == Some(format!("state{polls}"));
        match (first, soon(harness, scheduler.commit(step)).await) {
            (None | Some(Ok(())), Err(SchedulerError::Fenced { .. })) => assert!(is_done, "refused, but not done"),
            (None, Ok(())) => assert!(!is_done, "done twice"),
            (first, second) => panic!("{polls} polls: {first:?}, then {second:?}"),
        }
        assert_eq!(state(harness, "s").await, Some(format!("state{polls}")));
        let taken = take_one(harness, "next").await;
        assert_eq!(subjects(std::slice::from_ref(&taken)), [format!("s{polls}")], "put once");
        super::finish(harness, taken).await;
        assert_eq!(counts(harness, "next").await, (0, 0, 0, 0), "{polls} polls: put once");
        assert_eq!(counts(harness, "q").await, (0, 0, 0, 0));
    }
}

pub async fn a_dropped_intake_is_whole_or_nothing(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    for polls in 0..POLLS {
        let step = || {
            let record = Record::new(Subject::from("t"), "here");
            Step::intake().put(task("a", "t")).put(task("b", "t")).record(record)
        };
        cut_short(scheduler.commit(step()), polls).await;
        harness.settle().await;
        let census = soon(harness, scheduler.census()).await.unwrap();
        let tasks = ["a", "b"].map(|queue| census.queues.get(&queue.into()).is_some_and(|queue| queue.due == 1));
        let is_recorded = state(harness, "t").await.is_some();
        assert!(tasks[0] == tasks[1] && tasks[0] == is_recorded, "{polls} polls: {tasks:?}, {is_recorded}");
        commit(harness, step()).await;
        assert_eq!((counts(harness, "a").await, counts(harness, "b").await), ((0, 1, 0, 0), (0, 1, 0, 0)));
        soon(harness, scheduler.cancel(Which::Subject(&Subject::from("t")))).await.unwrap();
    }
}

pub async fn a_dropped_extension_leaves_a_lease_that_lasts(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    put(harness, task("q", "s")).await;
    let lease = take_one(harness, "q").await;
    for polls in 0..POLLS {
        if let Some(extended) = cut_short(scheduler.extend(&lease, HOUR), polls).await {
            extended.unwrap();
        }
    }
    commit(harness, Step::finish(&lease)).await;
}

pub async fn a_dropped_cancel_is_made_good_by_the_next(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let (queue, subject) = ("q".into(), Subject::from("s"));
    for which in [Which::Task(&queue, &subject), Which::Subject(&subject), Which::Queue(&queue)] {
        for polls in 0..POLLS {
            put(harness, task("q", "s")).await;
            let lease = take_one(harness, "q").await;
            let first = cut_short(scheduler.cancel(which), polls).await.map(Result::unwrap);
            harness.settle().await;
            let second = soon(harness, scheduler.cancel(which)).await.unwrap();
            assert_eq!(first.unwrap_or(1 - second) + second, 1, "{which:?}, {polls} polls: counted once");
            super::assert_fenced(harness, &lease).await;
            put(harness, task("q", "s")).await;
            assert_eq!(counts(harness, "q").await, (0, 1, 0, 0), "its key is free");
            soon(harness, scheduler.cancel(which)).await.unwrap();
        }
    }
}

pub async fn a_dropped_hasten_is_made_good_by_the_next(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let queue = "q".into();
    for polls in 0..POLLS {
        put(harness, task("q", "s").due(Due::After(48 * HOUR))).await;
        cut_short(scheduler.hasten(Which::Queue(&queue)), polls).await;
        harness.settle().await;
        assert_eq!(soon(harness, scheduler.hasten(Which::Queue(&queue))).await.unwrap(), 1);
        let lease = take_one(harness, "q").await;
        assert_eq!(lease.task().attempt, 0);
        super::finish(harness, lease).await;
    }
}

pub async fn dropped_rules_are_set_by_the_next(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let queue = "q".into();
    for polls in 0..POLLS {
        let rules = QueueRules { capacity: Some(polls + 1), park_after: None };
        cut_short(scheduler.configure(&queue, rules), polls).await;
        soon(harness, scheduler.configure(&queue, rules)).await.unwrap();
        put(harness, task("q", &polls.to_string())).await;
        let full = scheduler.commit(Step::intake().put(task("q", "more"))).await;
        assert!(matches!(full, Err(SchedulerError::QueueFull { capacity, .. }) if capacity == polls + 1), "{full:?}");
    }
}

pub async fn dropped_questions_change_nothing(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let from = queues(&["q"]);
    put(harness, task("q", "s")).await;
    commit(harness, Step::intake().record(Record::new(Subject::from("r"), "rests"))).await;
    for polls in 0..POLLS {
        cut_short(scheduler.recorded(&Subject::from("r")), polls).await;
        cut_short(scheduler.census(), polls).await;
        assert_eq!(state(harness, "r").await.as_deref(), Some("rests"));
        assert_eq!((counts(harness, "q").await, resting(harness, "rests").await), ((0, 1, 0, 0), 1));
    }
    let taken = soon(harness, scheduler.take(&from, 1, LONG)).await.unwrap();
    assert_eq!(taken[0].task().attempt, 0);
}
