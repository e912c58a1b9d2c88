//! An authority with sessions, on a store whose clock the test sets.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stapled_ca::session::{
    CertificateSettings, Challenge, Daemon, Done, EXPIRE, Expire, Fetched, Issue, LEASE, Limits, MakeChallenge, Policy,
    ProbeError, Prober, Session, SessionId, SessionStore, Sessions, State, TestChallenge, work_on,
};
use stapled_ca::{Authority, LedgerFile, pem};
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::scheduler::SchedulerError;
use stapled_core::scheduler::census::{Census, QueueCensus};
use stapled_core::task::Queue;
use stapled_core::time::Timestamp;
use stapled_embedded::EmbeddedScheduler;
use stapled_redis::{Keys, RedisScheduler};
use stapled_tests::Redis;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
const PATIENCE: Duration = Duration::from_millis(20);

/// A test of each function with a world, on each store.
macro_rules! on_each_store {
    ($($name:ident)*) => {
        mod redis {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::world::World::on_redis().await).await;
                }
            )*
        }

        mod embedded {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::world::World::on_a_file().await).await;
                }
            )*
        }
    };
}
pub(crate) use on_each_store;

/// A client's host: passes each challenge or none, and counts the tests.
#[derive(Debug, Default)]
pub(crate) struct Host {
    passes: AtomicBool,
    /// How often the challenges of each name were tested.
    pub(crate) tests: Mutex<BTreeMap<String, u32>>,
}

impl Host {
    pub(crate) fn set(&self, passes: bool) {
        self.passes.store(passes, Ordering::SeqCst);
    }
}

#[async_trait]
impl Prober for Host {
    async fn prove(&self, challenge: &Challenge) -> Result<(), ProbeError> {
        *self.tests.lock().unwrap().entry(challenge.name.clone()).or_default() += 1;
        match self.passes.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(ProbeError::Answer("the host does not pass".to_owned())),
        }
    }
}

/// The system's clock, set forward.
#[derive(Debug, Default)]
pub(crate) struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn longest_sleep(&self) -> Duration {
        PATIENCE
    }
}

/// What the store needs, and whose clock it has.
enum Server {
    Redis(Redis),
    File(Arc<TestClock>),
}

pub(crate) struct World {
    server: Server,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) sessions: Sessions,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) ledger: Arc<LedgerFile>,
    pub(crate) authority: Authority,
    pub(crate) host: Arc<Host>,
}

pub(crate) async fn redis_store(address: &str) -> Result<Arc<dyn SessionStore>, stapled_redis::RedisError> {
    let store = RedisScheduler::connect_with(&address.parse()?, Keys::of_sessions("ca:")).await?;
    Ok(Arc::new(store.patience(PATIENCE)))
}

fn file_store(directory: &Path, clock: &Arc<TestClock>) -> Arc<dyn SessionStore> {
    Arc::new(EmbeddedScheduler::open_with_clock(directory.join("sessions"), clock.clone()).unwrap())
}

impl World {
    pub(crate) async fn on_redis() -> Self {
        let server = Redis::start();
        let store = redis_store(&server.address()).await.unwrap();
        Self::on(Server::Redis(server), tempfile::tempdir().unwrap(), store).await
    }

    pub(crate) async fn on_a_file() -> Self {
        Self::on_a_file_in(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn on_a_file_in(directory: tempfile::TempDir) -> Self {
        let clock = Arc::new(TestClock::default());
        let store = file_store(directory.path(), &clock);
        Self::on(Server::File(clock), directory, store).await
    }

    async fn on(server: Server, directory: tempfile::TempDir, store: Arc<dyn SessionStore>) -> Self {
        let ledger = Arc::new(LedgerFile::open(directory.path().join("ledger")).unwrap());
        let authority = Authority::root("Test").create().unwrap();
        let (limits, host) = (Limits::default(), Arc::new(Host::default()));
        host.set(true);
        let sessions = Sessions::new(store.clone(), ledger.clone(), limits, Policy::default());
        sessions.configure().await.unwrap();
        World { server, directory, sessions, store, ledger, authority, host }
    }

    pub(crate) fn redis(&self) -> &Redis {
        match &self.server {
            Server::Redis(server) => server,
            Server::File(_) => panic!("the store is a file"),
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        match &self.server {
            Server::Redis(server) => server.advance(by),
            Server::File(clock) => {
                clock.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
            }
        }
    }

    pub(crate) async fn submit(&self, names: &[&str]) -> SessionId {
        self.sessions.submit(&csr(names), "192.0.2.1").await.unwrap()
    }

    pub(crate) async fn session(&self, id: &SessionId) -> Session {
        self.sessions.session(id).await.unwrap().expect("a session")
    }

    pub(crate) async fn state(&self, id: &SessionId) -> State {
        self.session(id).await.state
    }

    /// The certificate of a session, PEM.
    pub(crate) async fn fetch(&self, id: &SessionId) -> Option<String> {
        match self.sessions.fetch(id).await.unwrap() {
            Fetched::Certificate(certificate) => Some(certificate),
            _ => None,
        }
    }

    pub(crate) fn daemons(&self) -> Vec<Box<dyn Daemon>> {
        daemons(&self.sessions, &self.authority, &self.host)
    }

    /// Runs all daemons until nothing is due.
    pub(crate) async fn settle(&self) {
        settle(&self.sessions, &*self.store, &self.daemons()).await.unwrap();
    }

    /// Submits, and answers the challenges: the session is done, and its certificate in the ledger.
    pub(crate) async fn done(&self, names: &[&str]) -> SessionId {
        let id = self.submit(names).await;
        self.settle().await;
        self.sessions.ready(&id, None).await.unwrap();
        self.settle().await;
        id
    }

    /// The number of tasks of a queue in any state.
    pub(crate) async fn length(&self, queue: &str) -> u64 {
        let census = self.store.census().await.unwrap();
        census.queues.get(&Queue::from(queue)).map_or(0, all)
    }
}

pub(crate) fn all(queue: &QueueCensus) -> u64 {
    queue.waiting + queue.due + queue.leased + queue.parked
}

pub(crate) fn daemons(sessions: &Sessions, authority: &Authority, host: &Arc<Host>) -> Vec<Box<dyn Daemon>> {
    let settings = CertificateSettings::default();
    vec![
        Box::new(MakeChallenge::new(sessions.clone())),
        Box::new(TestChallenge::new(sessions.clone(), host.clone())),
        Box::new(Issue::new(sessions.clone(), authority.clone(), settings)),
        Box::new(Done::new(sessions.clone())),
        Box::new(Expire::new(sessions.clone())),
    ]
}

/// Runs daemons until nothing is due. Ends at the first error of the store.
pub(crate) async fn settle(
    sessions: &Sessions,
    store: &dyn SessionStore,
    daemons: &[Box<dyn Daemon>],
) -> Result<(), SchedulerError> {
    let queues: Vec<Queue> = daemons.iter().map(|daemon| daemon.queue()).collect();
    let leased = |census: &Census| -> u64 { census.queues.values().map(|queue| queue.leased).sum() };
    let held = leased(&store.census().await?);
    loop {
        let taken = tokio::time::timeout(Duration::from_millis(100), store.take(&queues, 1, LEASE)).await;
        let Ok(leases) = taken else {
            // On a busy machine, the answer may only be late, and its lease on the way back.
            let census = store.census().await?;
            let is_due = |queue: &Queue| census.queues.get(queue).is_some_and(|queue| queue.due > 0);
            if !queues.iter().any(is_due) && leased(&census) <= held {
                return Ok(());
            }
            continue;
        };
        for lease in leases? {
            let daemon = daemons.iter().find(|daemon| daemon.queue() == lease.task().queue).unwrap();
            work_on(&**daemon, sessions, &lease, &|session, failure| panic!("{session:?}: {failure}")).await?;
        }
    }
}

/// Waits until a condition holds that other tasks of this thread make true.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let come_true = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(stapled_tests::PATIENCE, come_true).await.is_ok(), "it did not come true: {what}");
}

/// A certificate request with a new key, DER.
pub(crate) fn csr(names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let params = rcgen::CertificateParams::new(names).unwrap();
    params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

/// The serial number of a certificate, PEM.
pub(crate) fn serial(certificate: &str) -> stapled_ca::Serial {
    stapled_ca::Serial::of_certificate(&pem::certificates(certificate.as_bytes())[0]).unwrap()
}

/// The queues of the four states, without those of expiry.
pub(crate) const QUEUES: [&str; 4] = ["makechallenge", "testchallenge", "issue", "done"];

/// That no queue but the one of expiry has a task.
pub(crate) async fn assert_queues_are_empty(world: &World) {
    for queue in QUEUES {
        assert_eq!(world.length(queue).await, 0, "{queue}");
    }
    assert!(world.store.census().await.unwrap().queues.contains_key(&Queue::from(EXPIRE)));
}
