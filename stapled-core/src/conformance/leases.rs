//! Leases: one at a time for each key, and their ends.

use std::collections::BTreeSet;

use super::{
    HOUR, Harness, LONG, MINUTE, SHORT, assert_fenced, assert_nothing_due, commit, counts, finish, lose, put, take_all,
    take_one, take_short, task,
};
use crate::scheduler::Step;
use crate::task::{Cause, Due};

pub async fn a_leased_task_is_handed_out_to_nobody_else(harness: &dyn Harness) {
    put(harness, task("q", "s")).await;
    let lease = take_one(harness, "q").await;
    assert_nothing_due(harness, &["q"]).await;
    harness.advance(100 * HOUR).await;
    assert_nothing_due(harness, &["q"]).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 1, 0));
    finish(harness, lease).await;
    assert_nothing_due(harness, &["q"]).await;
}

pub async fn a_put_during_a_lease_waits_for_its_end(harness: &dyn Harness) {
    put(harness, task("q", "s").generation(1)).await;
    let lease = take_one(harness, "q").await;
    put(harness, task("q", "s").generation(2)).await;
    put(harness, task("q", "s").generation(3)).await;
    assert_nothing_due(harness, &["q"]).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 1, 0), "a key counts once");
    finish(harness, lease).await;
    assert_eq!(counts(harness, "q").await, (0, 1, 0, 0));
    let lease = take_one(harness, "q").await;
    assert_eq!(lease.task().generation, 3);
    finish(harness, lease).await;
    assert_nothing_due(harness, &["q"]).await;
}

pub async fn a_put_during_a_lease_wins_over_the_holders_own(harness: &dyn Harness) {
    put(harness, task("q", "s").generation(1)).await;
    let lease = take_one(harness, "q").await;
    put(harness, task("q", "s").generation(2)).await;
    let retry = lease.task().again(Due::Now, Cause::Other("again".into()));
    commit(harness, Step::finish(&lease).put(retry).put(task("other", "s"))).await;
    let next = take_one(harness, "q").await;
    assert_eq!((next.task().generation, next.task().attempt), (2, 0));
    finish(harness, next).await;
    assert_nothing_due(harness, &["q"]).await;
    // The rest of the step took effect.
    take_one(harness, "other").await;
}

pub async fn a_put_during_a_lease_keeps_its_due_time(harness: &dyn Harness) {
    put(harness, task("q", "s")).await;
    let lease = take_one(harness, "q").await;
    put(harness, task("q", "s").generation(2).due(Due::After(2 * HOUR))).await;
    harness.advance(HOUR).await;
    finish(harness, lease).await;
    assert_eq!(counts(harness, "q").await, (1, 0, 0, 0));
    assert_nothing_due(harness, &["q"]).await;
    harness.advance(HOUR).await;
    assert_eq!(take_one(harness, "q").await.task().generation, 2);
}

pub async fn a_lost_lease_brings_its_task_back(harness: &dyn Harness) {
    put(harness, task("q", "s").generation(7)).await;
    for attempt in 0..20 {
        let lease = take_short(harness, "q").await;
        assert_eq!((lease.task().attempt, lease.task().generation), (attempt, 7));
        lose(harness, lease).await;
    }
    put(harness, task("q", "s").again(Due::Now, Cause::Other("the most there is".into())).generation(8)).await;
    finish(harness, take_one(harness, "q").await).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 0));
}

pub async fn a_lost_lease_gives_way_to_a_put(harness: &dyn Harness) {
    put(harness, task("q", "s").generation(1)).await;
    let lease = take_short(harness, "q").await;
    put(harness, task("q", "s").generation(2).due(Due::After(10 * HOUR))).await;
    lose(harness, lease).await;
    assert_nothing_due(harness, &["q"]).await;
    harness.advance(10 * HOUR).await;
    let lease = take_one(harness, "q").await;
    assert_eq!((lease.task().generation, lease.task().attempt), (2, 0));
}

pub async fn a_spent_lease_is_refused(harness: &dyn Harness) {
    put(harness, task("q", "s")).await;
    let lease = take_one(harness, "q").await;
    commit(harness, Step::finish(&lease)).await;
    assert_fenced(harness, &lease).await;
    // The drop of a spent lease changes nothing.
    lose(harness, lease).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 0));
}

pub async fn an_old_fence_does_not_fit_the_next_lease(harness: &dyn Harness) {
    put(harness, task("q", "s")).await;
    let old = take_one(harness, "q").await;
    commit(harness, Step::finish(&old).put(task("q", "s"))).await;
    assert_fenced(harness, &old).await;
    let new = take_one(harness, "q").await;
    assert_fenced(harness, &old).await;
    drop(old);
    harness.settle().await;
    finish(harness, new).await;
    assert_eq!(counts(harness, "q").await, (0, 0, 0, 0));
}

pub async fn an_extended_lease_lasts(harness: &dyn Harness) {
    put(harness, task("q", "s")).await;
    let lease = take_short(harness, "q").await;
    harness.scheduler().extend(&lease, LONG).await.unwrap();
    // An extension never shortens a lease.
    harness.scheduler().extend(&lease, MINUTE).await.unwrap();
    harness.advance(SHORT + HOUR + MINUTE).await;
    assert_nothing_due(harness, &["q"]).await;
    finish(harness, lease).await;
}

pub async fn a_lapsed_lease_is_refused(harness: &dyn Harness) {
    if harness.leases_lapse() {
        put(harness, task("q", "s")).await;
        let lapsed = take_short(harness, "q").await;
        harness.advance(SHORT + HOUR + MINUTE).await;
        let next = take_one(harness, "q").await;
        assert_eq!(next.task().attempt, 1);
        assert_fenced(harness, &lapsed).await;
        finish(harness, next).await;
    }
}

pub async fn fences_differ(harness: &dyn Harness) {
    let step =
        (0..10).fold(Step::intake(), |step, n| step.put(task("a", &n.to_string())).put(task("b", &n.to_string())));
    commit(harness, step).await;
    let taken = take_all(harness, &["a", "b"], 20).await;
    assert_eq!(taken.iter().map(|lease| lease.fence()).collect::<BTreeSet<_>>().len(), 20);
}
