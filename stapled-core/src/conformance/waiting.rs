//! Waiting takers, and the events that wake them.

use std::pin::pin;
use std::task::Poll;

use futures_util::poll;

use super::{
    HOUR, Harness, LONG, MINUTE, SECOND, SHORT, assert_nothing_due, commit, finish, meanwhile, put, queues, soon,
    subjects, take_one, take_short, task,
};
use crate::scheduler::{Step, Which};
use crate::task::Due;

pub async fn a_taker_waits_for_a_queue_to_come_into_being(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    let mut taker = pin!(scheduler.take(&from, 4, LONG));
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    put(harness, task("another", "s")).await;
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    put(harness, task("q", "s")).await;
    assert_eq!(subjects(&soon(harness, taker).await.unwrap()), ["s"]);
}

pub async fn an_earlier_put_wakes_a_taker(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    put(harness, task("q", "late").due(Due::After(48 * HOUR))).await;
    let mut taker = pin!(scheduler.take(&from, 4, LONG));
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    // The taker now waits for this task,
    put(harness, task("q", "earlier").due(Due::After(HOUR))).await;
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    harness.advance(HOUR).await;
    assert_eq!(subjects(&soon(harness, taker).await.unwrap()), ["earlier"]);
    let mut taker = pin!(scheduler.take(&from, 4, LONG));
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    // and gets the next one at once.
    put(harness, task("q", "now")).await;
    assert_eq!(subjects(&soon(harness, taker).await.unwrap()), ["now"]);
}

pub async fn a_taker_of_several_queues_wakes_for_each(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["a", "b", "c"]));
    for queue in ["c", "a", "b"] {
        let mut taker = pin!(scheduler.take(&from, 4, LONG));
        assert!(meanwhile(harness, taker.as_mut()).await.is_none());
        put(harness, task(queue, "s")).await;
        let taken = soon(harness, taker).await.unwrap();
        assert_eq!(taken[0].task().queue, queue.into());
        commit(harness, Step::finish(&taken[0])).await;
    }
}

pub async fn a_dropped_taker_loses_nothing(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    for _ in 0..20 {
        assert!(meanwhile(harness, Box::pin(scheduler.take(&from, 4, LONG)).as_mut()).await.is_none());
    }
    put(harness, task("q", "s")).await;
    let lease = take_one(harness, "q").await;
    assert_eq!(lease.task().attempt, 0);
}

pub async fn a_take_dropped_on_its_way_loses_nothing(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    put(harness, task("q", "s")).await;
    for round in 0..50 {
        let mut taker = Box::pin(scheduler.take(&from, 1, LONG));
        // The store may have received the call by now; its answer is dropped.
        for _ in 0..=round % 3 {
            if let Poll::Ready(taken) = poll!(taker.as_mut()) {
                let lease = taken.unwrap().remove(0);
                commit(harness, Step::finish(&lease).put(lease.task().clone())).await;
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let lease = take_one(harness, "q").await;
    assert_eq!(lease.task().attempt, 0);
}

pub async fn a_woken_taker_that_is_dropped_passes_it_on(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    put(harness, task("q", "far").due(Due::After(48 * HOUR))).await;
    let mut first = Box::pin(scheduler.take(&from, 1, LONG));
    let mut second = pin!(scheduler.take(&from, 1, LONG));
    assert!(meanwhile(harness, first.as_mut()).await.is_none());
    assert!(meanwhile(harness, second.as_mut()).await.is_none());
    put(harness, task("q", "s")).await;
    // This taker is never polled again, though it may be the one that was woken.
    drop(first);
    assert_eq!(subjects(&soon(harness, second).await.unwrap()), ["s"]);
}

pub async fn a_taker_that_is_not_polled_holds_up_nobody_for_long(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    let mut stuck = pin!(scheduler.take(&from, 1, LONG));
    let mut other = pin!(scheduler.take(&from, 1, LONG));
    assert!(meanwhile(harness, stuck.as_mut()).await.is_none());
    assert!(meanwhile(harness, other.as_mut()).await.is_none());
    put(harness, task("q", "s")).await;
    harness.advance(MINUTE).await;
    assert_eq!(subjects(&soon(harness, other).await.unwrap()), ["s"]);
}

pub async fn every_waiting_taker_gets_its_task(harness: &dyn Harness) {
    const COUNT: usize = 8;
    let takers: Vec<_> = (0..COUNT)
        .map(|n| {
            let scheduler = harness.scheduler();
            let from = queues(if n % 2 == 0 { &["a", "b"] } else { &["b", "a"] });
            tokio::spawn(async move { scheduler.take(&from, 1, LONG).await.unwrap().remove(0) })
        })
        .collect();
    harness.settle().await;
    let step = (0..COUNT).fold(Step::intake(), |step, n| {
        step.put(task(if n % 3 == 0 { "a" } else { "b" }, &n.to_string()).due(Due::After(MINUTE)))
    });
    commit(harness, step).await;
    harness.settle().await;
    harness.advance(MINUTE).await;
    let mut taken = Vec::new();
    for taker in takers {
        taken.push(soon(harness, taker).await.unwrap());
    }
    let mut names = subjects(&taken);
    names.sort_unstable();
    assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

pub async fn a_taker_of_nothing_waits_forever(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    put(harness, task("q", "s")).await;
    let mut no_queue = pin!(scheduler.take(&[], 1, LONG));
    let mut no_task = pin!(scheduler.take(&from, 0, LONG));
    for _ in 0..3 {
        assert!(meanwhile(harness, no_queue.as_mut()).await.is_none());
        assert!(meanwhile(harness, no_task.as_mut()).await.is_none());
        harness.advance(HOUR).await;
    }
    take_one(harness, "q").await;
}

pub async fn hastening_wakes_a_taker(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    put(harness, task("q", "s").due(Due::After(48 * HOUR))).await;
    let mut taker = pin!(scheduler.take(&from, 1, LONG));
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    assert_eq!(scheduler.hasten(Which::Queue(&"q".into())).await.unwrap(), 1);
    assert_eq!(subjects(&soon(harness, taker).await.unwrap()), ["s"]);
}

pub async fn the_end_of_a_lease_wakes_a_taker(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    put(harness, task("q", "s")).await;
    let lease = take_one(harness, "q").await;
    put(harness, task("q", "s").generation(1)).await;
    let mut taker = pin!(scheduler.take(&from, 1, LONG));
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    finish(harness, lease).await;
    assert_eq!(soon(harness, taker).await.unwrap()[0].task().generation, 1);
}

pub async fn a_lost_lease_wakes_a_taker(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    put(harness, task("q", "s")).await;
    let lease = take_short(harness, "q").await;
    let mut taker = pin!(scheduler.take(&from, 1, LONG));
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    drop(lease);
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    harness.advance(SHORT + HOUR + MINUTE).await;
    assert_eq!(soon(harness, taker).await.unwrap()[0].task().attempt, 1);
}

pub async fn a_clock_set_forward_is_noticed(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    put(harness, task("q", "s").due(Due::At(harness.now() + 48 * HOUR))).await;
    let mut taker = pin!(scheduler.take(&from, 1, LONG));
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    if harness.set_clock(harness.now() + 72 * HOUR).await {
        harness.advance(MINUTE).await;
        assert_eq!(subjects(&soon(harness, taker).await.unwrap()), ["s"]);
    }
}

pub async fn a_clock_set_back_delays_no_delayed_task(harness: &dyn Harness) {
    let (scheduler, from) = (harness.scheduler(), queues(&["q"]));
    let instant = harness.now() + 10 * HOUR;
    put(harness, task("other", "now")).await;
    put(harness, task("q", "delayed").due(Due::After(2 * HOUR))).await;
    put(harness, task("q", "instant").due(Due::At(instant))).await;
    let mut taker = pin!(scheduler.take(&from, 1, LONG));
    assert!(meanwhile(harness, taker.as_mut()).await.is_none());
    if harness.set_clock(harness.now() - 24 * 365 * HOUR).await {
        take_one(harness, "other").await;
        harness.advance(2 * HOUR + MINUTE).await;
        let delayed = soon(harness, taker).await.unwrap();
        assert_eq!(subjects(&delayed), ["delayed"]);
        // A task that is due at an instant waits until the clock shows it.
        harness.advance(10 * HOUR).await;
        assert_nothing_due(harness, &["q"]).await;
        harness.set_clock(instant + SECOND).await;
        harness.advance(MINUTE).await;
        assert_eq!(take_one(harness, "q").await.task().subject, "instant".into());
    }
}
