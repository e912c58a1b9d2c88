//! Measures staples per second. The staples are fetched from a responder on the loopback interface, which has signed
//! its answers in advance, then verified and delivered to memory. For comparison, a bare loop makes the same exchanges with the
//! same client, as many at once, and one bare signature check for each response; both are also measured alone. This is measured for keys
//! of P-256 and RSA-2048, with responses that the issuer signed and with those of a delegate, in several rounds of which the medians
//! are printed: a single round is short, and its ratio varies by a third.
//!
//! A last measurement delivers to files. For comparison, a bare loop makes the same writes and fsyncs.
//!
//!     cargo bench -p stapled-benches --bench staples -- [CERTIFICATES]

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_pki_types::SignatureVerificationAlgorithm;
use stapled_benches::list::List;
use stapled_ca::ocsp::{HashAlgorithm, IssuerIdentity, OcspRequest, Signer};
use stapled_ca::responder::RunningResponder;
use stapled_ca::{Authority, Issued, Key, KeyType, Profile, Responder};
use stapled_core::clock::SystemClock;
use stapled_core::inventory::Inventory;
use stapled_core::io::directory::DirectorySource;
use stapled_core::io::file::FileSink;
use stapled_core::io::memory::MemoryScheduler;
use stapled_core::ocsp::OcspResponse;
use stapled_core::scheduler::{Scheduler, Which};
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink};
use stapled_core::staple::Staple;
use stapled_core::stapler::Stapler;
use tokio::sync::{Notify, Semaphore};

/// The number of open questions: the default limit of a stapler for one responder.
const AT_ONCE: usize = 32;

#[derive(Default)]
struct Memory {
    delivered: AtomicUsize,
    wanted: AtomicUsize,
    all: Notify,
}

struct Shared(Arc<Memory>);

#[async_trait]
impl StapleSink for Shared {
    async fn deliver(&self, _: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        if self.0.delivered.fetch_add(1, Ordering::SeqCst) + 1 == self.0.wanted.load(Ordering::SeqCst) {
            self.0.all.notify_one();
        }
        Ok(Delivered::Confirmed)
    }
}

fn main() {
    // `cargo bench` passes options of its own. `--test` requests a short run that only shows that the bench works.
    let test = std::env::args().any(|argument| argument == "--test");
    let number = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let count: usize = number.unwrap_or(if test { 200 } else { 20_000 });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("one responder on loopback that has signed ahead, {AT_ONCE} questions at once");
        let (p256, rsa) = ((KeyType::EcdsaP256, "P-256"), (KeyType::Rsa2048, "RSA-2048"));
        let issued = run(p256, SignedBy::Issuer, count).await;
        run(p256, SignedBy::Delegate, count.div_ceil(OTHERS)).await;
        run(rsa, SignedBy::Issuer, count.div_ceil(OTHERS)).await;
        run(rsa, SignedBy::Delegate, count.div_ceil(OTHERS)).await;
        to_files(&issued, count.min(2_000)).await;
    });
}

/// By how much fewer certificates the other kinds are measured with: to make RSA signatures takes long.
const OTHERS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignedBy {
    Issuer,
    Delegate,
}

/// Measures with an authority of this kind. Returns its certificates, whose responder goes on.
async fn run((kind, name): (KeyType, &str), signed_by: SignedBy, count: usize) -> Vec<Issued> {
    let root = Authority::root("Bench CA").key(kind).create().unwrap();
    let responder = Responder::builder().validity(Duration::from_secs(7 * 86_400));
    let (responder, signer) = match signed_by {
        SignedBy::Issuer => (responder.authority(&root), root.certificate().to_vec()),
        SignedBy::Delegate => {
            let delegate = root.issue(&Profile::ocsp_responder("Bench Responder").key(kind)).unwrap();
            (responder.delegated(&root, Signer::delegate(&delegate)), delegate.der().to_vec())
        }
    };
    let responder = responder.start("127.0.0.1:0".parse().unwrap()).unwrap();
    let issued = issue(&root, &responder.url(), count);
    let urls: Vec<hyper::Uri> = issued.iter().map(|one| get_url(&root, one, &responder.url())).collect();

    let how = if signed_by == SignedBy::Issuer { "direct" } else { "delegated" };
    println!("{name}, {how}, {count} certificates:");
    ask_all(&urls, None).await; // the responder signs
    to_memory(&root, &responder, &issued, &urls, (kind, &signer)).await;
    RUNNING.lock().unwrap().push(responder);
    issued
}

/// The responders of the certificates so far.
static RUNNING: Mutex<Vec<RunningResponder>> = Mutex::new(Vec::new());

/// The rounds of a measurement, without and with `--test`.
const ROUNDS: usize = 7;
const ROUNDS_IN_TEST: usize = 3;

async fn to_memory(
    root: &Authority,
    responder: &RunningResponder,
    issued: &[Issued],
    urls: &[hyper::Uri],
    (kind, signer): (KeyType, &[u8]),
) {
    let count = issued.len();
    let sink = Arc::new(Memory::default());
    sink.wanted.store(count, Ordering::SeqCst);
    let scheduler = Arc::new(MemoryScheduler::new(Arc::new(SystemClock)));
    let ca = root.certificate_pem();
    let list = issued.iter().enumerate();
    let list = list.map(|(n, one)| (n.to_string(), format!("{}{ca}", one.certificate_pem()).into_bytes()));
    let stapler = Stapler::builder()
        .source(List(list.collect()))
        .sink(Shared(Arc::clone(&sink)))
        .shared_scheduler(Arc::clone(&scheduler) as Arc<dyn Scheduler>)
        .build()
        .unwrap();
    let inventory = stapler.inventory();
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let running = tokio::spawn(stapler.run(async move { stopped.notified().await }));
    let figure = rate(count, sink.all.notified()).await.1;
    println!("  from PEM to memory:          {figure:>9.0} staples/s, parsing and the issuer's signature included");
    let is_test = std::env::args().any(|argument| argument == "--test");
    let check = Check::new(kind, signer);
    let mut rounds: [Vec<f64>; 5] = Default::default();
    for round in 1..=if is_test { ROUNDS_IN_TEST } else { ROUNDS } {
        // The responder signs other answers in advance, so that each staple is new.
        responder.responder().set_validity(Duration::from_secs((7 + round as u64) * 86_400));
        responder.responder().forget();
        ask_all(urls, None).await;
        let bare_http = rate(count, async { ask_all(urls, None).await }).await.1;
        let bare_verify = verifications(&check, urls).await;
        let limit = rate(count, async { ask_all(urls, Some(&check)).await }).await.1;
        let renewed = renewals(urls, &sink, &*scheduler, &inventory).await;
        let figures = [bare_http, bare_verify, limit, renewed, renewed / limit];
        rounds.iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
    }
    let [bare_http, bare_verify, limit, renewed, ratio] = rounds.map(median);
    println!("  bare HTTP client:            {bare_http:>9.0} requests/s");
    println!("  bare signature check:        {bare_verify:>9.0} /s on all cores");
    println!("  both in one bare loop:       {limit:>9.0} /s");
    println!("  fetched, verified, delivered:{renewed:>9.0} staples/s = {ratio:.2} of the bare loop");
    stop.notify_one();
    running.await.unwrap();
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Renews all certificates: fetches, verifies and delivers their staples. Returns how many a second.
async fn renewals(urls: &[hyper::Uri], sink: &Memory, scheduler: &dyn Scheduler, inventory: &Inventory) -> f64 {
    let count = urls.len();
    sink.delivered.store(0, Ordering::SeqCst);
    let renew = scheduler.census().await.unwrap().queues.into_keys().find(|queue| queue.as_str().starts_with("renew"));
    scheduler.hasten(Which::Queue(&renew.unwrap())).await.unwrap();
    let figure = rate(count, sink.all.notified()).await.1;
    assert_eq!(inventory.certificates().len(), count);
    figure
}

async fn to_files(issued: &[Issued], count: usize) {
    let directory = tempfile::tempdir().unwrap();
    for (n, one) in issued.iter().take(count).enumerate() {
        std::fs::write(directory.path().join(format!("{n}.pem")), one.bundle_pem()).unwrap();
    }
    let stapler =
        Stapler::builder().source(DirectorySource::new(directory.path())).sink(FileSink::new()).build().unwrap();
    let began = Instant::now();
    let inventory = stapler.run_once(std::future::pending()).await.unwrap();
    let files = count as f64 / began.elapsed().as_secs_f64();
    let certificates = inventory.certificates();
    assert_eq!(certificates.len(), count);
    let responses: Vec<Bytes> =
        certificates.iter().map(|one| one.staple.as_ref().unwrap().response().clone()).collect();
    let bare = tempfile::tempdir().unwrap();
    let (_, bare) = rate(count, async {
        let (responses, path) = (responses.clone(), bare.path().to_owned());
        tokio::task::spawn_blocking(move || write_all(&path, &responses)).await.unwrap();
    })
    .await;
    println!("from files to files:           {files:>9.0} staples/s, {count} certificates");
    println!("bare writes, fsyncs, renames:  {bare:>9.0} /s, one after the other; ratio {:.2}", files / bare);
}

/// Writes each response atomically: a temporary file, fsync, rename, fsync of the directory.
fn write_all(directory: &Path, responses: &[Bytes]) {
    for (n, response) in responses.iter().enumerate() {
        let mut file = tempfile::NamedTempFile::new_in(directory).unwrap();
        std::io::Write::write_all(&mut file, response).unwrap();
        file.as_file().sync_all().unwrap();
        file.persist(directory.join(n.to_string())).unwrap();
        std::fs::File::open(directory).unwrap().sync_all().unwrap();
    }
}

fn issue(root: &Authority, url: &str, count: usize) -> Vec<Issued> {
    // All certificates have the same key, because making keys takes long.
    let key = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    let profile = |n| Profile::server(&format!("{n}.bench.test")).existing_key(Arc::clone(&key)).ocsp_url(url);
    (0..count).map(|n| root.issue(&profile(n)).unwrap()).collect()
}

fn get_url(root: &Authority, issued: &Issued, url: &str) -> hyper::Uri {
    let request = OcspRequest::for_certificate(root.cert_id(issued.serial(), HashAlgorithm::Sha1));
    let encoded = base64::engine::general_purpose::STANDARD.encode(request.to_der());
    let escaped = encoded.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("{}/{escaped}", url.trim_end_matches('/')).parse().unwrap()
}

/// A bare signature check of a response, and nothing else.
#[derive(Clone)]
struct Check {
    key: Arc<[u8]>,
    algorithm: &'static dyn SignatureVerificationAlgorithm,
}

impl Check {
    /// With the key of this certificate.
    fn new(kind: KeyType, signer: &[u8]) -> Self {
        let key = IssuerIdentity::from_certificate(signer).unwrap().public_key.into();
        let algorithm = match kind {
            KeyType::Rsa2048 => webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
            _ => webpki::aws_lc_rs::ECDSA_P256_SHA256,
        };
        Check { key, algorithm }
    }

    fn verify(&self, answer: &[u8]) {
        let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(answer) else { panic!("no response") };
        self.algorithm.verify_signature(&self.key, basic.tbs_response_data, basic.signature).unwrap();
    }
}

/// Asks all questions with a bare client, and checks each answer, if there is a check.
async fn ask_all(urls: &[hyper::Uri], check: Option<&Check>) -> Vec<Bytes> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut answers = Vec::with_capacity(urls.len());
    let mut running = tokio::task::JoinSet::new();
    for url in urls.iter().cloned() {
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let (client, check) = (client.clone(), check.cloned());
        running.spawn(async move {
            let response = client.get(url).await.unwrap();
            assert_eq!(response.status(), 200);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            // A checked answer is dropped, as a staple that another replaces is: an answer holds its connection's buffer of 8 kB.
            let kept = match check {
                Some(check) => {
                    check.verify(&body);
                    Bytes::new()
                }
                None => body,
            };
            drop(slot);
            kept
        });
        while let Some(answer) = running.try_join_next() {
            answers.push(answer.unwrap());
        }
    }
    while let Some(answer) = running.join_next().await {
        answers.push(answer.unwrap());
    }
    answers
}

/// Signature checks per second, with the stapler's number of threads.
async fn verifications(check: &Check, urls: &[hyper::Uri]) -> f64 {
    let answers = ask_all(urls, None).await;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let answers: Vec<Bytes> = answers.into_iter().take(20_000).collect();
    let count = answers.len();
    let chunks: Vec<Vec<Bytes>> = answers.chunks(count.div_ceil(threads)).map(<[Bytes]>::to_vec).collect();
    let checks = async {
        let threads = chunks.into_iter().map(|chunk| {
            let check = check.clone();
            tokio::task::spawn_blocking(move || chunk.iter().for_each(|answer| check.verify(answer)))
        });
        for thread in threads.collect::<Vec<_>>() {
            thread.await.unwrap();
        }
    };
    rate(count, checks).await.1
}

async fn rate<T>(count: usize, work: impl Future<Output = T>) -> (T, f64) {
    let began = Instant::now();
    let done = work.await;
    (done, count as f64 / began.elapsed().as_secs_f64())
}
