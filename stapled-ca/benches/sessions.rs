//! How many certificates per second sessions give from the request to the ledger, with 1, 2 and 4 daemons for each state, on the embedded
//! store and on Redis with `appendfsync always`, beside the bare work of a certificate in the same run: one P-256 signature and one
//! entry that is on the disk. `cargo bench -p stapled-ca --bench sessions`

// A failure of the bench panics.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use stapled_ca::session::{
    CertificateSettings, Challenge, Daemon, Done, Fetched, Issue, Limits, MakeChallenge, Pace, Policy, ProbeError,
    Prober, SessionId, SessionStore, Sessions, State, TestChallenge, run,
};
use stapled_ca::{Authority, Key, KeyType, LedgerFile};
use stapled_embedded::EmbeddedScheduler;
use stapled_redis::{Keys, RedisScheduler};
use stapled_tests::Redis;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const SESSIONS: usize = 300;
/// How many clients have a session in progress at a time.
const CLIENTS: usize = 32;
const PAUSE: Duration = Duration::from_millis(2);

/// Every challenge is passed at once.
#[derive(Debug)]
struct Passes;

#[async_trait]
impl Prober for Passes {
    async fn prove(&self, _challenge: &Challenge) -> Result<(), ProbeError> {
        Ok(())
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let request = request();
    println!("bare signatures with an entry on the disk: {:.0}/s", bare());
    for daemons in [1, 2, 4] {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedScheduler::open(directory.path().join("sessions")).unwrap());
        let rate = runtime.block_on(certificates_per_second(store, &directory, daemons, &request));
        println!("embedded, {daemons} daemons for each state: {rate:.0} certificates/s");
    }
    for daemons in [1, 2, 4] {
        let server = Redis::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        let directory = tempfile::tempdir().unwrap();
        let rate = runtime.block_on(async {
            let address = server.address().parse().unwrap();
            let store = RedisScheduler::connect_with(&address, Keys::of_sessions("ca:")).await.unwrap();
            certificates_per_second(Arc::new(store), &directory, daemons, &request).await
        });
        println!("Redis, {daemons} daemons for each state: {rate:.0} certificates/s");
    }
}

fn request() -> Vec<u8> {
    let params = rcgen::CertificateParams::new(["www.example.org".to_owned()]).unwrap();
    params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

/// One thread that signs and writes, one after the other.
fn bare() -> f64 {
    let key = Key::generate(KeyType::EcdsaP256).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let start = Instant::now();
    for _ in 0..SESSIONS {
        key.sign_with(key.default_scheme(), &[0; 1000]).unwrap();
        file.write_all(&[0; 1500]).unwrap();
        file.as_file().sync_data().unwrap();
    }
    SESSIONS as f64 / start.elapsed().as_secs_f64()
}

async fn certificates_per_second(
    store: Arc<dyn SessionStore>,
    directory: &tempfile::TempDir,
    daemons: usize,
    request: &[u8],
) -> f64 {
    let ledger = Arc::new(LedgerFile::open(directory.path().join("ledger")).unwrap());
    let authority = Authority::root("Bench").create().unwrap();
    let sessions = Sessions::new(store, ledger, Limits::default(), Policy::default());
    sessions.configure().await.unwrap();
    let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
    for _ in 0..daemons {
        let all: [Arc<dyn Daemon>; 4] = [
            Arc::new(MakeChallenge::new(sessions.clone())),
            Arc::new(TestChallenge::new(sessions.clone(), Arc::new(Passes))),
            Arc::new(Issue::new(sessions.clone(), authority.clone(), CertificateSettings::default())),
            Arc::new(Done::new(sessions.clone())),
        ];
        for daemon in all {
            running.spawn(run(daemon, sessions.clone(), Pace::new(16), |_, failure| panic!("{failure}"), stop.clone()));
        }
    }
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..SESSIONS {
        if clients.len() >= CLIENTS {
            clients.join_next().await.unwrap().unwrap();
        }
        let (sessions, request) = (sessions.clone(), request.to_vec());
        clients.spawn(async move { client(&sessions, &request, number).await });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let rate = SESSIONS as f64 / start.elapsed().as_secs_f64();
    stop.cancel();
    while running.join_next().await.is_some() {}
    rate
}

/// One client, from the request to the certificate.
async fn client(sessions: &Sessions, request: &[u8], number: usize) {
    let id: SessionId = sessions.submit(request, &format!("10.0.{}.{}", number / 250, number % 250)).await.unwrap();
    while sessions.session(&id).await.unwrap().unwrap().state == State::MakeChallenge {
        tokio::time::sleep(PAUSE).await;
    }
    sessions.ready(&id, None).await.unwrap();
    while !matches!(sessions.fetch(&id).await.unwrap(), Fetched::Certificate(_)) {
        tokio::time::sleep(PAUSE).await;
    }
}
