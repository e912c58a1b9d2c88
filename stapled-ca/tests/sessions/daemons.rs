//! Daemons: how long they hold a session, and what they do with one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stapled_ca::session::{
    Daemon, Done, End, Failure, LEASE, LONGEST_WORK, MakeChallenge, Pace, Session, Sessions, State, Work, run, work_on,
};
use stapled_core::task::{Cause, Queue};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::world::{DAY, HOUR, MINUTE, World, assert_queues_are_empty, on_each_store, redis_store, until};

on_each_store! {
    work_that_takes_too_long_is_given_up_and_tried_again
    a_round_in_which_all_tests_pass_is_no_failed_attempt
    a_certificate_that_cannot_be_entered_is_never_parked
    a_dead_session_is_readable_for_ten_minutes
}

/// Makes challenges when it may.
struct Slow {
    daemon: MakeChallenge,
    /// How often the work began.
    begun: AtomicU32,
    may_end: Semaphore,
}

impl Slow {
    fn new(sessions: &Sessions) -> Arc<Self> {
        let daemon = MakeChallenge::new(sessions.clone());
        Arc::new(Slow { daemon, begun: AtomicU32::new(0), may_end: Semaphore::new(0) })
    }

    fn begun(&self) -> u32 {
        self.begun.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Daemon for Slow {
    fn queue(&self) -> Queue {
        self.daemon.queue()
    }

    async fn work(&self, session: &Session) -> Result<Option<Work>, Failure> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let _ = self.may_end.acquire().await;
        self.daemon.work(session).await
    }
}

fn pace(lease: Duration) -> Pace {
    let mut pace = Pace::new(2);
    pace.lease = lease;
    pace
}

fn start(daemon: &Arc<Slow>, sessions: &Sessions, pace: Pace, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
    tokio::spawn(run(daemon.clone(), sessions.clone(), pace, |_, failure| panic!("{failure}"), stop.clone()))
}

/// The sessions of another process on the same Redis.
async fn other_process(world: &World) -> Sessions {
    let store = redis_store(&world.redis().address()).await.unwrap();
    Sessions::new(store, world.ledger.clone(), Default::default(), Default::default())
}

#[tokio::test]
async fn work_that_takes_longer_than_its_lease_is_done_once() {
    let world = World::on_redis().await;
    let lease = Duration::from_millis(600);
    let id = world.submit(&["a.example"]).await;
    let (first, stop) = (Slow::new(&world.sessions), CancellationToken::new());
    let one = start(&first, &world.sessions, pace(lease), &stop);
    until("the work begins", async || first.begun() == 1).await;
    let others = other_process(&world).await;
    let second = Slow::new(&others);
    second.may_end.add_permits(100);
    let two = start(&second, &others, pace(lease), &stop);
    let ends = || -> f64 { world.redis().ask(&["ZSCORE", "ca:leases:makechallenge", id.as_str()]).parse().unwrap() };
    let begin = ends();
    until("four leases are over", async || ends() > begin + 4.0 * 600.0).await;
    first.may_end.add_permits(1);
    until("the work is committed", async || world.state(&id).await == State::TestChallenge).await;
    assert_eq!((first.begun(), second.begun()), (1, 0));
    stop.cancel();
    one.await.unwrap();
    two.await.unwrap();
}

#[tokio::test]
async fn the_session_of_a_daemon_that_dies_comes_back_after_its_lease() {
    let world = World::on_redis().await;
    let id = world.submit(&["a.example"]).await;
    let (first, stop) = (Slow::new(&world.sessions), CancellationToken::new());
    let dies = other_process(&world).await;
    let one = start(&first, &dies, Pace::new(1), &stop);
    until("the work begins", async || first.begun() == 1).await;
    one.abort();
    drop((one.await, dies));
    let second = Slow::new(&world.sessions);
    second.may_end.add_permits(1);
    let two = start(&second, &world.sessions, Pace::new(1), &stop);
    world.advance(LEASE - Duration::from_secs(5));
    until("it was looked for", async || world.length("makechallenge").await == 1).await;
    assert_eq!(second.begun(), 0);
    // The pause of a lost task is a second.
    world.advance(Duration::from_secs(7));
    until("another daemon has it", async || world.state(&id).await == State::TestChallenge).await;
    stop.cancel();
    two.await.unwrap();
    assert_eq!((LEASE, LONGEST_WORK), (Duration::from_secs(15), Duration::from_secs(300)));
}

async fn work_that_takes_too_long_is_given_up_and_tried_again(world: World) {
    let id = world.submit(&["a.example"]).await;
    let (slow, stop) = (Slow::new(&world.sessions), CancellationToken::new());
    let mut pace = Pace::new(1);
    pace.longest = Duration::from_millis(50);
    let failures = Arc::new(std::sync::Mutex::new(Vec::new()));
    let report = failures.clone();
    let report = move |_: &Session, failure: &Failure| report.lock().unwrap().push(failure.code().to_string());
    let running = tokio::spawn(run(slow.clone(), world.sessions.clone(), pace, report, stop.clone()));
    until("the work is given up", async || {
        world.store.census().await.unwrap().queues[&"makechallenge".into()].waiting == 1
    })
    .await;
    assert_eq!(*failures.lock().unwrap(), ["too_long"]);
    slow.may_end.add_permits(100);
    world.advance(MINUTE);
    until("it is done later", async || world.state(&id).await == State::TestChallenge).await;
    stop.cancel();
    running.await.unwrap();
}

async fn a_round_in_which_all_tests_pass_is_no_failed_attempt(world: World) {
    let id = world.submit(&["a.example", "b.example"]).await;
    world.settle().await;
    world.host.set(false);
    world.sessions.ready(&id, None).await.unwrap();
    world.settle().await;
    assert_eq!(world.session(&id).await.attempts, 1);
    world.host.set(true);
    // The first two challenges are those of the first name.
    world.sessions.ready(&id, Some(&[1])).await.unwrap();
    world.settle().await;
    let session = world.session(&id).await;
    assert_eq!((session.state, session.attempts, &session.reason), (State::TestChallenge, 1, &None));
    assert!(session.is_name_satisfied("a.example") && !session.is_name_satisfied("b.example"));
    world.sessions.ready(&id, Some(&[4])).await.unwrap();
    world.settle().await;
    assert_eq!(world.state(&id).await, State::Done);
}

/// A daemon whose work fails.
struct Failing(Queue);

#[async_trait]
impl Daemon for Failing {
    fn queue(&self) -> Queue {
        self.0.clone()
    }

    async fn work(&self, _: &Session) -> Result<Option<Work>, Failure> {
        Err(Failure::NoLedger)
    }
}

async fn a_certificate_that_cannot_be_entered_is_never_parked(world: World) {
    let id = world.submit(&["a.example"]).await;
    world.settle().await;
    world.sessions.ready(&id, None).await.unwrap();
    crate::world::settle(&world.sessions, &*world.store, &world.daemons()[1..3]).await.unwrap();
    assert_eq!(world.state(&id).await, State::Done);
    let failing = Failing("done".into());
    for attempt in 0..15 {
        let lease = world.store.take(&["done".into()], 1, MINUTE).await.unwrap().remove(0);
        assert_eq!(lease.task().attempt, attempt);
        work_on(&failing, &world.sessions, &lease, &|_, _| {}).await.unwrap();
        let queue = world.store.census().await.unwrap().queues[&"done".into()];
        assert_eq!((queue.due, queue.waiting, queue.parked), (0, 1, 0), "{attempt}");
        // The longest pause is five minutes.
        world.advance(Duration::from_secs(301));
    }
    let lease = world.store.take(&["done".into()], 1, MINUTE).await.unwrap().remove(0);
    assert_eq!(lease.task().cause, Cause::Failed("no_ledger".into()));
    let done = Done::new(world.sessions.clone());
    work_on(&done, &world.sessions, &lease, &|_, failure| panic!("{failure}")).await.unwrap();
    assert!(world.fetch(&id).await.is_some());
}

async fn a_dead_session_is_readable_for_ten_minutes(world: World) {
    let (killed, failed) = (world.submit(&["a.example"]).await, world.submit(&["b.example"]).await);
    world.sessions.end(&killed, End::Killed, "by an operator").await.unwrap();
    world.settle().await;
    world.host.set(false);
    for _ in 0..3 {
        world.sessions.ready(&failed, None).await.unwrap();
        world.settle().await;
    }
    let expired = world.submit(&["c.example"]).await;
    world.advance(9 * MINUTE);
    world.settle().await;
    assert_eq!(world.state(&killed).await, State::Dead(End::Killed));
    assert_eq!(world.session(&failed).await.reason.as_deref(), Some("b.example: the host does not pass"));
    world.advance(2 * MINUTE);
    world.settle().await;
    for id in [&killed, &failed] {
        assert_eq!(world.sessions.session(id).await.unwrap(), None);
    }
    world.advance(HOUR);
    world.settle().await;
    assert_eq!(world.state(&expired).await, State::Dead(End::Expired));
    world.advance(11 * MINUTE);
    world.settle().await;
    assert_eq!(world.sessions.session(&expired).await.unwrap(), None);
    let census = world.store.census().await.unwrap();
    assert!(census.resting.is_empty(), "{census:?}");
    // The record of a certificate stays for a day.
    world.host.set(true);
    let done = world.done(&["d.example"]).await;
    world.advance(DAY - HOUR);
    world.settle().await;
    assert_eq!(world.state(&done).await, State::Done);
    assert_queues_are_empty(&world).await;
}

/// While another process has the lock of the ledger, the thread goes on with other tasks.
#[tokio::test]
async fn a_ledger_that_waits_keeps_no_thread() {
    let world = World::on_a_file().await;
    let id = world.submit(&["a.example"]).await;
    world.settle().await;
    world.sessions.ready(&id, None).await.unwrap();
    crate::world::settle(&world.sessions, &*world.store, &world.daemons()[1..3]).await.unwrap();
    let (session, done) = (world.session(&id).await, Done::new(world.sessions.clone()));
    let locked = std::fs::File::open(world.directory.path().join("ledger")).unwrap();
    rustix::fs::flock(&locked, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let is_free = Arc::new(std::sync::atomic::AtomicBool::new(false));
    // If the thread waits for the lock, nothing else ends that.
    let (free, late) = (is_free.clone(), locked.try_clone().unwrap());
    std::thread::spawn(move || {
        stapled_tests::until(Duration::from_secs(10), || free.load(Ordering::SeqCst));
        rustix::fs::flock(&late, rustix::fs::FlockOperation::Unlock).unwrap();
    });
    let other = async {
        is_free.store(true, Ordering::SeqCst);
    };
    let begin = std::time::Instant::now();
    let (work, fetched, ()) = tokio::join!(done.work(&session), world.sessions.fetch(&id), other);
    assert!(begin.elapsed() < Duration::from_secs(9), "the thread waited for the lock");
    assert!(work.unwrap().is_some());
    fetched.unwrap();
}
