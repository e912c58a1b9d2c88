//! Groups of subjects, with the most members that each may have.

use futures_util::future::join_all;

use super::{Harness, commit, finish, put, state, take_one, task};
use crate::scheduler::{Expect, Record, SchedulerError, Step, Which};

fn member(subject: &str) -> Record {
    Record::new(subject.into(), "a").in_group("g", 2)
}

/// Whether the group `g`, which may have two members, has room for another one. The member is not kept.
async fn has_room(harness: &dyn Harness) -> bool {
    match harness.scheduler().commit(Step::intake().record(member("probe"))).await {
        Ok(()) => harness.scheduler().cancel(Which::Subject(&"probe".into())).await.is_ok(),
        Err(SchedulerError::GroupFull { group, at_most }) => {
            assert_eq!((group.as_str(), at_most), ("g", 2));
            false
        }
        Err(error) => panic!("{error}"),
    }
}

pub async fn a_full_group_refuses(harness: &dyn Harness) {
    // Two subjects of one step count, and two records of one subject do not.
    commit(harness, Step::intake().record(member("s")).record(member("s")).record(member("t"))).await;
    // The whole step is refused, and other groups have room.
    let other = Record::new("u".into(), "a").in_group("h", 1);
    let step = Step::intake().record(other.clone()).record(member("v")).put(task("q", "v"));
    let refused = harness.scheduler().commit(step).await;
    assert!(matches!(refused, Err(SchedulerError::GroupFull { .. })), "{refused:?}");
    assert_eq!((state(harness, "u").await, state(harness, "v").await), (None, None));
    assert!(harness.scheduler().census().await.unwrap().queues.is_empty());
    commit(harness, Step::intake().record(other)).await;
    let step = Step::intake()
        .record(Record::new("w".into(), "a").in_group("new", 1))
        .record(Record::new("x".into(), "a").in_group("new", 1));
    let refused = harness.scheduler().commit(step).await;
    assert!(matches!(refused, Err(SchedulerError::GroupFull { at_most: 1, .. })), "{refused:?}");
    // A group has no limit of its own: the record has it.
    commit(harness, Step::intake().record(Record::new("y".into(), "a").in_group("g", 3))).await;
}

pub async fn a_member_leaves_when_it_is_settled_or_forgotten(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    commit(harness, Step::intake().record(member("s")).record(member("t"))).await;
    assert!(!has_room(harness).await);
    commit(harness, Step::intake().record(Record::new("s".into(), "dead").settled().in_group("g", 0))).await;
    assert!(has_room(harness).await);
    // It leaves once only.
    commit(harness, Step::intake().record(member("u"))).await;
    commit(harness, Step::intake().record(Record::new("s".into(), "deader").settled())).await;
    commit(harness, Step::intake().record(Record::forget("s".into()).in_group("g", 0))).await;
    assert!(!has_room(harness).await);
    commit(harness, Step::intake().record(Record::forget("t".into()))).await;
    assert!(has_room(harness).await);
    commit(harness, Step::intake().record(member("v"))).await;
    scheduler.cancel(Which::Subject(&"u".into())).await.unwrap();
    assert!(has_room(harness).await);
    // A lease ends with a step that settles its subject.
    commit(harness, Step::intake().record(member("w")).put(task("q", "w"))).await;
    assert!(!has_room(harness).await);
    let lease = take_one(harness, "q").await;
    commit(harness, Step::finish(&lease).record(Record::new("w".into(), "done").settled())).await;
    assert!(has_room(harness).await);
}

pub async fn a_member_joins_once(harness: &dyn Harness) {
    commit(harness, Step::intake().record(member("s"))).await;
    for _ in 0..3 {
        commit(harness, Step::intake().record(member("s"))).await;
        commit(harness, Step::intake().record(Record::new("s".into(), "b").expecting(Expect::State("a".into())))).await;
    }
    commit(harness, Step::intake().record(member("t")).record(Record::new("s".into(), "c").in_group("other", 1))).await;
    // A full group is no obstacle to its members, even if the limit is lower by now.
    commit(harness, Step::intake().record(Record::new("s".into(), "d").in_group("g", 1).in_group("other", 1))).await;
    assert!(!has_room(harness).await);
    // Tasks come and go without it.
    put(harness, task("q", "s")).await;
    finish(harness, take_one(harness, "q").await).await;
    harness.scheduler().cancel(Which::Queue(&"q".into())).await.unwrap();
    assert!(!has_room(harness).await);
    commit(harness, Step::intake().record(Record::forget("s".into()))).await;
    assert!(has_room(harness).await);
    commit(harness, Step::intake().record(Record::new("u".into(), "a").in_group("other", 1))).await;
}

pub async fn steps_at_once_overfill_no_group(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let steps = (0..50).map(|number| {
        let record = Record::new(format!("s{number}").as_str().into(), "a").in_group("g", 7);
        scheduler.commit(Step::intake().record(record))
    });
    let taken = join_all(steps).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(taken, 7);
}
