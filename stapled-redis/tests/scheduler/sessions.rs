//! The names of keys for a database of sessions.

use stapled_core::scheduler::{Record, Scheduler, Step};
use stapled_core::task::{Due, Queue, Task};
use stapled_redis::{Keys, Recovery, RedisScheduler};
use stapled_tests::Redis;
use std::collections::BTreeMap;
use std::time::Duration;

async fn connect(server: &Redis) -> RedisScheduler {
    RedisScheduler::connect_with(&server.address().parse().unwrap(), Keys::of_sessions("ca:")).await.unwrap()
}

fn task(queue: &str) -> Task {
    Task::new(queue.into(), "5e".into())
}

#[tokio::test]
async fn a_session_is_where_its_database_names_it() {
    let server = Redis::start();
    let scheduler = connect(&server).await;
    let challenge = BTreeMap::from([("type".to_owned(), b"4".to_vec()), ("satisfied".to_owned(), b"False".to_vec())]);
    let names = ["a.example", "b.example"].map(|name| name.as_bytes().to_vec()).to_vec();
    let session = Record::new("5e".into(), "makechallenge").field("live", "True").list("names", names);
    let intake = Step::intake().record(session.part("1", challenge)).put(task("makechallenge"));
    scheduler.commit(intake.put(task("expire").due(Due::After(Duration::from_secs(60))))).await.unwrap();

    assert_eq!(server.ask(&["HMGET", "ca:5e", "state", "live"]), "makechallenge\nTrue");
    assert_eq!(server.ask(&["LRANGE", "ca:5e:names", "0", "-1"]), "a.example\nb.example");
    assert_eq!(server.ask(&["HMGET", "ca:5e:1", "type", "satisfied"]), "4\nFalse");
    assert_eq!(server.ask(&["LRANGE", "ca:active-requests", "0", "-1"]), "5e");
    assert_eq!(server.ask(&["LRANGE", "ca:pending-makechallenge", "0", "-1"]), "5e");
    assert_eq!(scheduler.active().await.unwrap(), ["5e".into()]);

    let settled = Step::intake().record(Record::new("5e".into(), "killed").field("live", "False").settled());
    scheduler.commit(settled).await.unwrap();
    let present = |key: &str| server.ask(&["EXISTS", key]) == "1";
    assert_eq!(["ca:active-requests", "ca:pending-makechallenge", "ca:delayed:expire"].map(present), [false; 3]);
    assert!(present("ca:5e"), "its end stays on record");
    let recovered = scheduler.recover(Recovery::Run, |state| Some(Queue::from(state))).await.unwrap();
    assert_eq!(recovered, [], "a settled subject has nothing to do");

    scheduler.commit(Step::intake().record(Record::forget("5e".into()))).await.unwrap();
    assert_eq!(server.ask(&["KEYS", "ca:*5e*"]), "");
}

#[tokio::test]
async fn recovery_by_record_puts_what_the_record_asks_for() {
    let server = Redis::start();
    let scheduler = connect(&server).await;
    for (subject, ready) in [("1a", "True"), ("2b", "False")] {
        let record = Record::new(subject.into(), "testchallenge").field("ready", ready);
        scheduler.commit(Step::intake().record(record)).await.unwrap();
    }
    for recovery in [Recovery::DryRun, Recovery::Run] {
        let queue_of = |recorded: &stapled_core::scheduler::Recorded| {
            (recorded.fields["ready"] == b"True").then(|| Queue::from("testchallenge"))
        };
        let recovered = scheduler.recover_by_record(recovery, queue_of).await.unwrap();
        assert_eq!(recovered.iter().map(|one| one.subject.as_str()).collect::<Vec<_>>(), ["1a"]);
    }
    assert_eq!(server.ask(&["LRANGE", "ca:pending-testchallenge", "0", "-1"]), "1a");
    assert_eq!(server.ask(&["LRANGE", "ca:active-requests", "0", "-1"]), "1a\n2b");
}
