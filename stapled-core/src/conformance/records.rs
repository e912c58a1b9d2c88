//! The records of subjects.

use std::collections::BTreeMap;

use super::{Harness, commit, finish, put, resting, state, take_one, task};
use crate::scheduler::{Expect, Record, Recorded, SchedulerError, Step, Which};
use crate::task::{Due, Subject};

pub async fn records_are_kept(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let (subject, bytes) = (Subject::from("s"), (0..=255).collect::<Vec<u8>>());
    assert_eq!(scheduler.recorded(&subject).await.unwrap(), None);
    let record = Record::new(subject.clone(), "näw").field("bytes", bytes.clone()).field("", "").field("state", "no");
    commit(harness, Step::intake().record(record)).await;
    let fields =
        BTreeMap::from([("bytes".to_owned(), bytes), (String::new(), Vec::new()), ("state".to_owned(), b"no".into())]);
    assert_eq!(scheduler.recorded(&subject).await.unwrap(), Some(Recorded::new("näw", fields)));
    assert_eq!(scheduler.recorded(&"t".into()).await.unwrap(), None);
}

pub async fn fields_are_merged(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let subject = Subject::from("s");
    let first = Record::new(subject.clone(), "one").field("a", "1").field("b", "2");
    commit(harness, Step::intake().record(first)).await;
    let second = Record::new(subject.clone(), "two").field("b", "3").field("c", "4");
    commit(harness, Step::intake().record(second)).await;
    let recorded = scheduler.recorded(&subject).await.unwrap().unwrap();
    let fields: Vec<_> = recorded.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    assert_eq!((recorded.state.as_str(), fields), ("two", vec![("a", &b"1"[..]), ("b", b"3"), ("c", b"4")]));
}

pub async fn lists_and_parts_are_kept(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let fields = |pairs: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    };
    let list = |values: &[&str]| values.iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>();
    let first = Record::new("s".into(), "a").list("names", list(&["b", "", "b"])).list("gone", list(&["x"]));
    let first = first.part("1", fields(&[("state", "no"), ("type", "4")])).part("empty", fields(&[]));
    commit(harness, Step::intake().record(first)).await;
    let second = Record::new("s".into(), "b").list("gone", list(&[])).part("1", fields(&[("type", "5"), ("", "z")]));
    commit(harness, Step::intake().record(second.part("2", fields(&[("type", "6")])))).await;
    let recorded = scheduler.recorded(&"s".into()).await.unwrap().unwrap();
    assert_eq!(recorded.lists, BTreeMap::from([("names".to_owned(), list(&["b", "", "b"]))]));
    let one = fields(&[("state", "no"), ("type", "5"), ("", "z")]);
    assert_eq!(recorded.parts, [("1".to_owned(), one), ("2".to_owned(), fields(&[("type", "6")]))].into());
    assert!(recorded.fields.is_empty(), "{recorded:?}");

    // A list and a part of one name replace each other.
    let swapped = Record::new("s".into(), "c").list("1", list(&["y"])).part("names", fields(&[("a", "b")]));
    commit(harness, Step::intake().record(swapped)).await;
    let recorded = scheduler.recorded(&"s".into()).await.unwrap().unwrap();
    assert_eq!((recorded.lists.keys().next().unwrap().as_str(), recorded.parts["names"].len()), ("1", 1));

    // The subject takes them along, and another subject has none of them.
    commit(harness, Step::intake().record(Record::new("s:1".into(), "a"))).await;
    assert_eq!(scheduler.recorded(&"s:1".into()).await.unwrap(), Some(Recorded::new("a", BTreeMap::new())));
    let anew = Record::forget("s".into());
    commit(harness, Step::intake().record(anew).record(Record::new("s".into(), "d"))).await;
    assert_eq!(scheduler.recorded(&"s".into()).await.unwrap(), Some(Recorded::new("d", BTreeMap::new())));
}

pub async fn settling_ends_the_work_on_a_subject(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let state = |name: &str| Record::new("s".into(), name);
    commit(harness, Step::intake().record(state("a")).put(task("q", "s")).put(task("other", "t"))).await;
    commit(harness, Step::intake().put(task("later", "s").due(Due::After(super::HOUR)))).await;
    let leased = take_one(harness, "q").await;
    put(harness, task("q", "s")).await;
    let settled = Step::intake().record(state("dead").settled()).put(task("bury", "s").due(Due::After(super::HOUR)));
    commit(harness, settled).await;
    let refused = scheduler.commit(Step::finish(&leased)).await;
    assert!(matches!(refused, Err(SchedulerError::Fenced { .. })), "{refused:?}");
    let census = scheduler.census().await.unwrap();
    let busy = |queue: &str| {
        let counted = &census.queues[&queue.into()];
        counted.waiting + counted.due + counted.leased + counted.parked
    };
    assert_eq!([busy("q"), busy("later"), busy("bury"), busy("other")], [0, 0, 1, 1], "{census:?}");
    assert_eq!(resting(harness, "dead").await, 0, "its burial waits");

    // A worker settles its own subject, with a task of the same key that was put meanwhile.
    harness.advance(super::HOUR).await;
    let lease = take_one(harness, "bury").await;
    put(harness, task("bury", "s")).await;
    commit(harness, Step::finish(&lease).record(state("buried").settled())).await;
    assert_eq!((resting(harness, "dead").await, resting(harness, "buried").await), (0, 1));
    assert_eq!(scheduler.cancel(Which::Subject(&"s".into())).await.unwrap(), 0);
}

pub async fn forgetting_leaves_nothing(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    for cancel in [false, true] {
        commit(harness, Step::intake().record(Record::new("s".into(), "old").field("a", "1"))).await;
        if cancel {
            assert_eq!(scheduler.cancel(Which::Subject(&"s".into())).await.unwrap(), 0, "records are no tasks");
        } else {
            commit(harness, Step::intake().record(Record::forget("s".into()).field("a", "2"))).await;
        }
        assert_eq!(scheduler.recorded(&"s".into()).await.unwrap(), None);
        assert_eq!(resting(harness, "old").await, 0);
        commit(harness, Step::intake().record(Record::new("s".into(), "new").expecting(Expect::Nothing))).await;
        assert!(scheduler.recorded(&"s".into()).await.unwrap().unwrap().fields.is_empty());
    }
    // A subject without a record can be forgotten, too.
    commit(harness, Step::intake().record(Record::forget("unknown".into()))).await;
    assert!(scheduler.census().await.unwrap().queues.is_empty());
}

pub async fn expectations_are_checked(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    let some = |state: &str| Expect::State(state.to_owned());
    for (before, expect, met) in [
        (None, Expect::Anything, true),
        (None, Expect::Nothing, true),
        (None, some("a"), false),
        (None, some(""), false),
        (Some("a"), Expect::Anything, true),
        (Some("a"), Expect::Nothing, false),
        (Some("a"), some("a"), true),
        (Some("a"), some("b"), false),
        (Some(""), some(""), true),
        (Some(""), Expect::Nothing, false),
    ] {
        let known = match before {
            Some(state) => Record::new("s".into(), state),
            None => Record::forget("s".into()),
        };
        commit(harness, Step::intake().record(known)).await;
        let step = Step::intake().record(Record::new("s".into(), "after").expecting(expect.clone()));
        match scheduler.commit(step).await {
            Ok(()) => assert!(met, "{before:?} is not {expect:?}"),
            Err(SchedulerError::Unexpected { expected, found, .. }) => {
                assert!(!met, "{before:?} is {expect:?}");
                assert_eq!((expected, found.as_deref()), (expect, before));
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(state(harness, "s").await.as_deref(), if met { Some("after") } else { before });
    }
}

pub async fn several_records_apply_in_order(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    commit(harness, Step::intake().record(Record::new("s".into(), "a").field("old", "1"))).await;
    // Each record expects the state before the step.
    let step = Step::intake()
        .record(Record::forget("s".into()).expecting(Expect::State("a".into())))
        .record(Record::new("s".into(), "b").field("new", "1"))
        .record(Record::new("s".into(), "c").expecting(Expect::State("a".into())))
        .record(Record::new("t".into(), "d").expecting(Expect::Nothing));
    commit(harness, step).await;
    let recorded = scheduler.recorded(&"s".into()).await.unwrap().unwrap();
    assert_eq!((recorded.state.as_str(), recorded.fields.len()), ("c", 1));
    assert_eq!(state(harness, "t").await.as_deref(), Some("d"));
    assert_eq!((resting(harness, "c").await, resting(harness, "d").await), (1, 1));
}

pub async fn resting_subjects_are_counted(harness: &dyn Harness) {
    let scheduler = harness.scheduler();
    // A task of a subject without a record does not count as resting.
    put(harness, task("q", "s")).await;
    assert!(scheduler.census().await.unwrap().resting.is_empty());
    commit(harness, Step::intake().record(Record::new("s".into(), "x"))).await;
    assert_eq!(resting(harness, "x").await, 0, "it waits");
    put(harness, task("other", "s").due(Due::After(super::HOUR))).await;
    let lease = take_one(harness, "q").await;
    put(harness, task("q", "s")).await;
    finish(harness, lease).await;
    finish(harness, take_one(harness, "q").await).await;
    assert_eq!(resting(harness, "x").await, 0, "it waits in another queue");
    scheduler.cancel(Which::Task(&"other".into(), &"s".into())).await.unwrap();
    assert_eq!(resting(harness, "x").await, 1);
    commit(harness, Step::intake().record(Record::new("s".into(), "y")).record(Record::new("t".into(), "y"))).await;
    assert_eq!((resting(harness, "x").await, resting(harness, "y").await), (0, 2));
    put(harness, task("q", "s")).await;
    assert_eq!(resting(harness, "y").await, 1);
    let lease = take_one(harness, "q").await;
    assert_eq!(resting(harness, "y").await, 1);
    let step = Step::finish(&lease).record(Record::new("s".into(), "z")).put(task("third", "s"));
    commit(harness, step).await;
    assert_eq!((resting(harness, "y").await, resting(harness, "z").await), (1, 0));
    scheduler.cancel(Which::Queue(&"third".into())).await.unwrap();
    assert_eq!(resting(harness, "z").await, 1);
    scheduler.cancel(Which::Subject(&"s".into())).await.unwrap();
    assert_eq!(resting(harness, "z").await, 0);
    let census = scheduler.census().await.unwrap();
    assert_eq!(census.resting.into_iter().collect::<Vec<_>>(), [("y".to_owned(), 1)], "no state without subjects");
}
