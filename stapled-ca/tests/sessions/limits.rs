//! How many sessions there may be: of one client, and of all.

use std::sync::Arc;

use futures_util::future::join_all;
use stapled_ca::session::{EXPIRE, End, Limits, Policy, SessionError, SessionId, Sessions, TooMany};
use stapled_core::scheduler::{Expect, Record, Recorded, Step, Which};
use stapled_core::task::{Due, Subject, Task};
use stapled_redis::Recovery;

use crate::world::{DAY, HOUR, MINUTE, World, csr, on_each_store, redis_store};

on_each_store! {
    a_client_has_no_more_sessions_than_its_limit
    clients_of_one_ipv6_network_are_one_client
    submits_at_once_never_exceed_a_limit
    a_session_is_released_when_it_is_over
    all_active_sessions_are_limited
}

fn limited(world: &World, per_client: usize, active: usize) -> Sessions {
    let mut limits = Limits::default();
    (limits.per_client, limits.active) = (per_client, active);
    Sessions::new(world.store.clone(), world.ledger.clone(), limits, Policy::default())
}

/// Submits a request. The limit that refuses it is an error; other errors are none of these tests.
async fn submit(sessions: &Sessions, client: &str) -> Result<SessionId, TooMany> {
    match sessions.submit(&csr(&["a.example"]), client).await {
        Ok(id) => Ok(id),
        Err(SessionError::TooMany(limit)) => Err(limit),
        Err(error) => panic!("{error}"),
    }
}

async fn a_client_has_no_more_sessions_than_its_limit(world: World) {
    let sessions = limited(&world, 2, 100);
    for client in ["192.0.2.1", "192.0.2.1:4711", "192.0.2.2"] {
        submit(&sessions, client).await.unwrap();
    }
    let refused = submit(&sessions, "::ffff:192.0.2.1").await.unwrap_err();
    assert_eq!(refused, TooMany::OfClient { client: "192.0.2.1".to_owned(), limit: 2 });
    let text =
        "client 192.0.2.1 has 2 sessions in progress, and may have no more: finish one, or wait until one expires";
    assert_eq!(refused.to_string(), text);
    submit(&sessions, "192.0.2.2").await.unwrap();
    assert_eq!(sessions.active().await.unwrap().len(), 4, "a refused session leaves nothing");
}

async fn clients_of_one_ipv6_network_are_one_client(world: World) {
    let sessions = limited(&world, 2, 100);
    submit(&sessions, "2001:db8::1").await.unwrap();
    submit(&sessions, "[2001:db8::ffff:0:0:1]:80").await.unwrap();
    let refused = submit(&sessions, "2001:db8::2").await.unwrap_err();
    assert_eq!(refused, TooMany::OfClient { client: "2001:db8::/64".to_owned(), limit: 2 });
    submit(&sessions, "2001:db8:0:1::1").await.unwrap();
}

async fn submits_at_once_never_exceed_a_limit(world: World) {
    let (one, other) = (limited(&world, 7, 1000), limited(&world, 7, 1000));
    let submits = (0..60).map(|number| submit([&one, &other][number % 2], "192.0.2.1"));
    let taken = join_all(submits).await.into_iter().filter(Result::is_ok).count();
    assert_eq!((taken, one.active().await.unwrap().len()), (7, 7));
}

async fn a_session_is_released_when_it_is_over(world: World) {
    let sessions = limited(&world, 2, 2);
    let full = async |text: &str| {
        assert!(submit(&sessions, "192.0.2.1").await.is_err(), "{text}: a session too many");
        assert!(submit(&sessions, "192.0.2.2").await.is_err(), "{text}: a session too many");
    };
    let first = submit(&sessions, "192.0.2.1").await.unwrap();
    let second = submit(&sessions, "192.0.2.1").await.unwrap();
    // A session counts in every state in which it is active.
    for _ in 0..2 {
        full("at the intake, and waiting for its client").await;
        world.settle().await;
    }
    sessions.ready(&first, None).await.unwrap();
    for daemon in 1..=2 {
        crate::world::settle(&sessions, &*world.store, &world.daemons()[daemon..=daemon]).await.unwrap();
        full("about to be issued, and done").await;
    }
    // It is released in the ledger, and when an operator ends it.
    world.settle().await;
    let third = submit(&sessions, "192.0.2.1").await.unwrap();
    full("one is in the ledger").await;
    sessions.end(&second, End::Killed, "").await.unwrap();
    let fourth = submit(&sessions, "192.0.2.1").await.unwrap();
    // It is released only once: not again when it is forgotten.
    sessions.thanks(&first).await.unwrap();
    full("one was killed, and another one forgotten").await;
    // It is released when it is cancelled.
    world.store.cancel(Which::Subject(&third.as_str().into())).await.unwrap();
    submit(&sessions, "192.0.2.1").await.unwrap();
    full("one was cancelled").await;
    // It is released when its tests fail too often, and when it expires.
    world.settle().await;
    world.host.set(false);
    for _ in 0..3 {
        sessions.ready(&fourth, None).await.unwrap();
        world.settle().await;
    }
    submit(&sessions, "192.0.2.1").await.unwrap();
    full("one has failed").await;
    world.settle().await;
    world.advance(HOUR + MINUTE);
    world.settle().await;
    for _ in 0..2 {
        submit(&sessions, "192.0.2.1").await.unwrap();
    }
    full("two have expired").await;
    world.settle().await;
    world.advance(2 * DAY);
    world.settle().await;
    world.settle().await;
    for _ in 0..2 {
        submit(&sessions, "192.0.2.1").await.unwrap();
    }
    full("all were forgotten").await;
    assert_eq!(world.store.recover(Recovery::Run).await.unwrap(), []);
    full("after a recovery").await;
}

async fn all_active_sessions_are_limited(world: World) {
    let sessions = limited(&world, 2, 3);
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        submit(&sessions, client).await.unwrap();
    }
    world.settle().await;
    assert_eq!(submit(&sessions, "192.0.2.4").await, Err(TooMany::Active { limit: 3 }));
    sessions.end(&sessions.active().await.unwrap()[0], End::Killed, "").await.unwrap();
    submit(&sessions, "192.0.2.4").await.unwrap();
}

#[tokio::test]
async fn processes_that_share_redis_share_the_limits() {
    let world = World::on_redis().await;
    let mut processes = Vec::new();
    for _ in 0..4 {
        let store = redis_store(&world.redis().address()).await.unwrap();
        let mut limits = Limits::default();
        limits.per_client = 9;
        processes.push(Sessions::new(store, world.ledger.clone(), limits, Policy::default()));
    }
    let submits = (0..80).map(|number| submit(&processes[number % 4], "192.0.2.1"));
    assert_eq!(join_all(submits).await.into_iter().filter(Result::is_ok).count(), 9);
    assert_eq!(world.redis().ask(&["HGETALL", "ca:groups"]), "active\n9\nclient:192.0.2.1\n9");
}

#[tokio::test]
async fn a_count_that_was_lost_or_is_wrong_is_counted_anew() {
    let world = World::on_redis().await;
    let sessions = limited(&world, 2, 100);
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        submit(&sessions, client).await.unwrap();
    }
    world.done(&["b.example"]).await;
    let right = "active\n3\nclient:192.0.2.1\n2\nclient:192.0.2.2\n1";
    let counts = || {
        let all = world.redis().ask(&["HGETALL", "ca:groups"]);
        let lines: Vec<&str> = all.lines().collect();
        let mut pairs: Vec<String> = lines.chunks(2).map(|pair| pair.join("\n")).collect();
        pairs.sort();
        pairs.join("\n")
    };
    assert_eq!(counts(), right);
    for spoil in [&["DEL", "ca:groups"][..], &["HSET", "ca:groups", "client:192.0.2.1", "77", "gone", "3"]] {
        world.redis().ask(spoil);
        assert_eq!(world.store.recover(Recovery::DryRun).await.unwrap(), []);
        assert_ne!(counts(), right);
        assert_eq!(world.store.recover(Recovery::Run).await.unwrap(), []);
        assert_eq!(counts(), right);
    }
    assert!(submit(&sessions, "192.0.2.1").await.is_err());
}

#[tokio::test]
async fn a_restart_of_the_file_keeps_the_counts() {
    let world = World::on_a_file().await;
    let sessions = limited(&world, 2, 100);
    for _ in 0..2 {
        submit(&sessions, "192.0.2.1").await.unwrap();
    }
    let (path, ledger, directory) = (world.directory.path().join("sessions"), world.ledger.clone(), world.directory);
    drop((sessions, world.sessions, world.store));
    let store = Arc::new(stapled_embedded::EmbeddedScheduler::open(path).unwrap());
    let mut limits = Limits::default();
    limits.per_client = 2;
    let sessions = Sessions::new(store, ledger, limits, Policy::default());
    assert!(submit(&sessions, "192.0.2.1").await.is_err());
    submit(&sessions, "192.0.2.2").await.unwrap();
    drop(directory);
}

/// 10,000 sessions wait for their clients. All but the first 100 are copies of a session that waits, put in a few steps: the
/// intake of each would take minutes on a slow disk. `STAPLED_PROVE=full` makes each by the intake. The times and the memory are
/// printed, and not judged.
#[tokio::test]
async fn ten_thousand_open_sessions_wait_in_the_file() {
    const MANY: usize = 10_000;
    let begin = std::time::Instant::now();
    // Without waiting for a disk.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let world = World::on_a_file_in(directory).await;
    let sessions = limited(&world, 100, MANY);
    let by_intake = if stapled_tests::is_full_proof() { MANY } else { 100 };
    let request = csr(&["a.example"]);
    let submit_some = async |from: usize, count: usize| {
        let (begin, memory) = (std::time::Instant::now(), resident());
        for number in from..from + count {
            sessions.submit(&request, &client(number)).await.unwrap();
        }
        world.settle().await;
        println!("{count} sessions after {from}: {:?}, {memory} to {} KiB", begin.elapsed(), resident());
    };
    for from in (0..by_intake).step_by(100) {
        submit_some(from, 100).await;
    }
    let first = sessions.active().await.unwrap().remove(0);
    let original = world.store.recorded(&first.as_str().into()).await.unwrap().unwrap();
    for from in (by_intake..MANY - 100).step_by(980) {
        let copy = |number: usize| copy(&original, number);
        let step =
            (from..from + 980).map(copy).fold(Step::intake(), |step, (record, task)| step.record(record).put(task));
        world.store.commit(step).await.unwrap();
    }
    if by_intake < MANY {
        submit_some(MANY - 100, 100).await;
    }
    assert_eq!(sessions.active().await.unwrap().len(), MANY);
    assert_eq!(submit(&sessions, "198.51.100.1").await, Err(TooMany::Active { limit: MANY }));
    assert_eq!((world.length("makechallenge").await, world.length("expire").await), (0, MANY as u64));
    // One of them goes on to its certificate among the others.
    let id = sessions.active().await.unwrap().swap_remove(MANY / 2);
    sessions.ready(&id, None).await.unwrap();
    world.settle().await;
    assert!(world.fetch(&id).await.is_some());
    submit(&sessions, "198.51.100.1").await.unwrap();
    let file = std::fs::metadata(world.directory.path().join("sessions")).unwrap().len() / 1024;
    println!("{MANY} open sessions: {:?}, {} KiB, {file} KiB on disk", begin.elapsed(), resident());
}

/// One of 100 clients with 100 sessions each.
fn client(number: usize) -> String {
    format!("192.0.2.{}", number % 100)
}

/// A copy of a waiting session with the task that ends it, as the daemon would have left them.
fn copy(original: &Recorded, number: usize) -> (Record, Task) {
    let subject = Subject::from(SessionId::random().unwrap().as_str());
    let mut record = Record::new(subject.clone(), original.state.as_str()).expecting(Expect::Nothing);
    record.fields = original.fields.clone();
    record.lists = original.lists.clone();
    record.parts = original.parts.clone();
    let record = record.field("client", client(number)).in_group("active", usize::MAX);
    let record = record.in_group(format!("client:{}", client(number)), usize::MAX);
    (record, Task::new(EXPIRE.into(), subject).due(Due::After(HOUR)))
}

/// The memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
