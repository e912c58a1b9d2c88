//! Every point at which a daemon or an intake may be cut off from its store: before each command that it sends, and after it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stapled_ca::session::{LEASE, Limits, Policy, SessionId, SessionStore, Sessions, State, SubmitKey};
use stapled_ca::{Ledger as _, LedgerFile};
use stapled_core::scheduler::census::Census;
use stapled_core::scheduler::{Lease, QueueRules, Recorded, Scheduler, SchedulerError, Step, Which};
use stapled_core::task::{Queue, Subject};
use stapled_redis::Recovery;
use stapled_tests::{Cut, CuttingProxy};

use crate::world::{World, csr, daemons, redis_store, serial, settle};

/// A client and all daemons, by this store: two sessions from the intake to the ledger. Ends at the first error. Names of
/// sessions that the client knows are added to `known`.
async fn live(
    world: &World,
    store: Arc<dyn SessionStore>,
    requests: &[(Vec<u8>, SubmitKey)],
    known: &mut Vec<SessionId>,
) -> Result<(), ()> {
    let ledger = Arc::new(LedgerFile::open(world.directory.path().join("ledger")).unwrap());
    let sessions = Sessions::new(store.clone(), ledger, Limits::default(), Policy::default());
    let daemons = daemons(&sessions, &world.authority, &world.host);
    for (request, key) in &requests[known.len()..] {
        known.push(sessions.submit_with_key(request, "", key).await.map_err(drop)?);
    }
    settle(&sessions, &*store, &daemons).await.map_err(drop)?;
    for id in known.iter() {
        let state = sessions.session(id).await.map_err(drop)?.map(|session| session.state);
        if state == Some(State::TestChallenge) {
            sessions.ready(id, None).await.map_err(drop)?;
        }
    }
    settle(&sessions, &*store, &daemons).await.map_err(drop)
}

/// What is cut off at a point: the store, and whether the cut has happened.
struct CutOff {
    store: Option<Arc<dyn SessionStore>>,
    is_cut: Box<dyn Fn() -> bool>,
}

/// A store that fails from one call on.
#[derive(Debug)]
struct CuttingStore {
    store: Arc<dyn SessionStore>,
    at: Cut,
    count: AtomicUsize,
    is_cut: Arc<AtomicBool>,
}

impl CuttingStore {
    async fn call<T>(&self, call: impl Future<Output = Result<T, SchedulerError>>) -> Result<T, SchedulerError> {
        let failed = || SchedulerError::Store("cut off".into());
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        if self.at == Cut::Before(number) {
            self.is_cut.store(true, Ordering::SeqCst);
        }
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(failed());
        }
        let result = call.await;
        if self.at == Cut::After(number) {
            self.is_cut.store(true, Ordering::SeqCst);
            return Err(failed());
        }
        result
    }
}

#[async_trait]
impl Scheduler for CuttingStore {
    async fn take(&self, from: &[Queue], max: usize, lease: Duration) -> Result<Vec<Lease>, SchedulerError> {
        self.call(self.store.take(from, max, lease)).await
    }

    async fn extend(&self, lease: &Lease, by: Duration) -> Result<(), SchedulerError> {
        self.call(self.store.extend(lease, by)).await
    }

    async fn commit(&self, step: Step<'_>) -> Result<(), SchedulerError> {
        self.call(self.store.commit(step)).await
    }

    async fn recorded(&self, subject: &Subject) -> Result<Option<Recorded>, SchedulerError> {
        self.call(self.store.recorded(subject)).await
    }

    async fn cancel(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        self.call(self.store.cancel(which)).await
    }

    async fn hasten(&self, which: Which<'_>) -> Result<u64, SchedulerError> {
        self.call(self.store.hasten(which)).await
    }

    async fn configure(&self, queue: &Queue, rules: QueueRules) -> Result<(), SchedulerError> {
        self.call(self.store.configure(queue, rules)).await
    }

    async fn census(&self) -> Result<Census, SchedulerError> {
        self.call(self.store.census()).await
    }
}

#[async_trait]
impl SessionStore for CuttingStore {
    async fn active(&self) -> Result<Vec<Subject>, SchedulerError> {
        self.call(self.store.active()).await
    }

    async fn active_count(&self) -> Result<usize, SchedulerError> {
        self.call(self.store.active_count()).await
    }

    async fn members(&self, group: &str) -> Result<usize, SchedulerError> {
        self.call(self.store.members(group)).await
    }

    async fn parked(&self, queue: &Queue) -> Result<Vec<Subject>, SchedulerError> {
        self.call(self.store.parked(queue)).await
    }

    async fn recover(&self, recovery: Recovery) -> Result<Vec<(Queue, Subject)>, SchedulerError> {
        self.call(self.store.recover(recovery)).await
    }
}

async fn cut_redis(world: &World, at: Cut) -> CutOff {
    let proxy = CuttingProxy::start(world.redis().socket(), at);
    let store = redis_store(&proxy.address()).await.ok();
    CutOff { store, is_cut: Box::new(move || proxy.is_cut()) }
}

async fn cut_file(world: &World, at: Cut) -> CutOff {
    let is_cut = Arc::new(AtomicBool::new(false));
    let (store, count) = (world.store.clone(), AtomicUsize::new(0));
    let store = CuttingStore { store, at, count, is_cut: Arc::clone(&is_cut) };
    CutOff { store: Some(Arc::new(store)), is_cut: Box::new(move || is_cut.load(Ordering::SeqCst)) }
}

/// A client and its daemons are cut off at a point, and live on with the whole store. Returns whether the point was reached.
async fn live_on(world: &World, at: Cut, cut: CutOff) -> bool {
    let before = world.ledger.records().unwrap().len();
    let requests = [(); 2].map(|()| (csr(&["a.example"]), SubmitKey::random().unwrap()));
    let mut known = Vec::new();
    if let Some(store) = cut.store {
        let result = live(world, store, &requests, &mut known).await;
        assert_eq!(result.is_err(), (cut.is_cut)(), "{at:?}");
    }
    let is_cut = (cut.is_cut)();
    drop(cut.is_cut);
    // The leases and the pauses of lost tasks are over.
    world.advance(LEASE + LEASE);
    assert_eq!(world.store.recover(Recovery::Run).await.unwrap(), [], "{at:?}: every step is atomic");
    live(world, world.store.clone(), &requests, &mut known).await.unwrap();
    let mut serials = BTreeSet::new();
    for id in &known {
        let session = world.session(id).await;
        assert_eq!(session.state, State::Done, "{at:?}");
        let certificate = world.fetch(id).await.expect("a certificate");
        assert_eq!(session.serial.as_ref(), Some(&serial(&certificate)), "{at:?}");
        assert!(serials.insert(serial(&certificate)), "{at:?}: a serial number twice");
    }
    // A client whose answer was lost submits with the same key, and gets the session that was made.
    assert_eq!(world.sessions.active().await.unwrap(), [], "{at:?}: a session without its client");
    assert_eq!(world.ledger.records().unwrap().len(), before + known.len(), "{at:?}: one certificate for each session");
    is_cut
}

/// Cuts before and after each call of a store, and returns how many points there are.
async fn at_every_point(world: &World, cut_off: impl AsyncFn(&World, Cut) -> CutOff) -> usize {
    let mut points = 0;
    for cut in [Cut::Before as fn(usize) -> Cut, Cut::After] {
        for number in 0.. {
            let at = cut(number);
            if !live_on(world, at, cut_off(world, at).await).await {
                break;
            }
            points += 1;
        }
    }
    points
}

#[tokio::test]
async fn on_redis_a_cut_at_every_command_loses_nothing_and_repeats_nothing() {
    assert!(at_every_point(&World::on_redis().await, cut_redis).await > 60);
}

#[tokio::test]
async fn on_a_file_a_cut_at_every_call_loses_nothing_and_repeats_nothing() {
    assert!(at_every_point(&World::on_a_file().await, cut_file).await > 30);
}
