//! The work that `.ci/counts` counts: instructions, allocations and system calls of a stapler, on one thread of the runtime. Each
//! part runs in a process of its own. `.ci/counts` runs a part twice, with two amounts of work, and divides the difference by
//! the difference of the amounts, so that costs that every process has once fall out.
//!
//!     counts world DIRECTORY RENEWED FEW MANY    makes certificates, and answers questions about them until it is killed
//!     counts start DIRECTORY                     starts on certificates with good staples, until all are good
//!     counts renew DIRECTORY ROUNDS              gets a new staple for each certificate in each round, and keeps it in memory
//!     counts store DIRECTORY ROUNDS              the same, and writes it to a file
//!
//! Without arguments, it runs each part once and prints nothing but failures: `make counts` counts.
//!
//! The variable `PLANTED` adds work to each certificate or renewal, so that a trial shows whether the counts notice it: a number of
//! instructions, of allocations, of bytes that these allocate, and of system calls.

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use stapled_benches::list::List;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::responder::RunningResponder;
use stapled_ca::{Authority, Issued, Key, KeyType, Profile, Responder};
use stapled_core::chain::CertChain;
use stapled_core::clock::SystemClock;
use stapled_core::event::{Event, EventKind};
use stapled_core::fetch::{Answer, FetchError, OcspFetcher, Question};
use stapled_core::io::directory::DirectorySource;
use stapled_core::io::file::FileSink;
use stapled_core::io::memory::MemoryScheduler;
use stapled_core::scheduler::{Scheduler, Which};
use stapled_core::sink::{Delivered, Requirements, SinkError, Site, StapleSink};
use stapled_core::staple::Staple;
use stapled_core::stapler::{Stapler, StaplerBuilder};
use stapled_core::time::Timestamp;
use tokio::sync::Notify;

const DAY: u64 = 86_400;
/// How long the times of a file are recent, and more.
const RECENT: Duration = Duration::from_secs(4);
/// The socket on which the responder is asked to sign new answers.
const SOCKET: &str = "new-answers";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["world", directory, renewed, few, many] => {
            world(Path::new(directory), [renewed, few, many].map(|count| count.parse().unwrap()));
        }
        ["start", directory] => on_one_thread(start(Path::new(directory))),
        ["renew", directory, rounds] => on_one_thread(renew(Path::new(directory), rounds.parse().unwrap())),
        ["store", directory, rounds] => on_one_thread(store(Path::new(directory), rounds.parse().unwrap())),
        // `cargo bench` passes options of its own.
        _ => each_once(),
    }
}

fn on_one_thread(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(1).build().unwrap().block_on(work);
    // The stapler's tasks would go on for ever.
    std::process::exit(0);
}

/// Shows that each part works.
fn each_once() {
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let directory = folder.path().to_str().unwrap();
    let mut world = Command::new(&program);
    let mut world = world.args(["world", directory, "10", "10", "20"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(world.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let few = format!("{directory}/few");
    for part in [vec!["start", &few], vec!["renew", directory, "2"], vec!["store", directory, "2"]] {
        assert!(Command::new(&program).args(&part).status().unwrap().success(), "{part:?}");
    }
    world.kill().unwrap();
    world.wait().unwrap();
}

/// Makes the certificates in `renewed` and those with good staples in `few` and `many`. Then signs new answers when asked to.
fn world(directory: &Path, [renewed, few, many]: [usize; 3]) {
    let root = Authority::root("Bench CA").key(KeyType::EcdsaP256).create().unwrap();
    let responder = Responder::builder().authority(&root).start("127.0.0.1:0".parse().unwrap()).unwrap();
    // All certificates have the same key, because making keys takes long.
    let key = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    let issue = |number| {
        let profile = Profile::server(&format!("{number:04}.bench.test")).existing_key(Arc::clone(&key));
        root.issue(&profile.ocsp_url(responder.url())).unwrap()
    };
    for (name, count) in [("few", few), ("many", many), ("renewed", renewed)] {
        let directory = directory.join(name);
        std::fs::create_dir(&directory).unwrap();
        for number in 0..count {
            let (file, issued) = (directory.join(format!("{number:04}.pem")), issue(number));
            std::fs::write(&file, format!("{}{}", issued.certificate_pem(), issued.chain_pem())).unwrap();
            if name != "renewed" {
                std::fs::write(file.with_extension("pem.ocsp"), good(&root, &issued)).unwrap();
            }
        }
    }
    // A file whose times are recent is read twice, since a change might not show in them.
    std::thread::sleep(RECENT);
    let listener = UnixListener::bind(directory.join(SOCKET)).unwrap();
    println!("ready");
    sign_new_answers(&listener, &responder);
}

/// A response that is not due for renewal yet.
fn good(root: &Authority, issued: &Issued) -> Vec<u8> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let response = ResponseBuilder::new(root).this_update(now - 60).next_update(now + 7 * 86_400);
    response.good(&root.cert_id(issued.serial(), HashAlgorithm::Sha1)).build().unwrap()
}

fn sign_new_answers(listener: &UnixListener, responder: &RunningResponder) {
    for (asked, stream) in listener.incoming().enumerate() {
        // Another validity makes other answers.
        let validity = 7 * DAY + 3600 * (asked as u64 % 100);
        responder.responder().set_validity(Duration::from_secs(validity));
        responder.responder().forget();
        stream.unwrap().write_all(b"+").unwrap();
    }
}

/// Work that the variable `PLANTED` asks for.
#[derive(Clone, Copy)]
struct Planted {
    instructions: usize,
    allocations: usize,
    bytes: usize,
    calls: usize,
}

impl Planted {
    fn new() -> Self {
        let numbers = std::env::var("PLANTED").unwrap_or_else(|_| "0 0 0 0".to_owned());
        let mut numbers = numbers.split(' ').map(|number| number.parse().unwrap());
        let [instructions, allocations, bytes, calls] = std::array::from_fn(|_| numbers.next().unwrap());
        Planted { instructions, allocations, bytes, calls }
    }

    fn work(self) {
        // A step takes two instructions at least.
        for step in 0..self.instructions.div_ceil(2) {
            black_box(step);
        }
        for _ in 0..self.allocations {
            black_box(Vec::<u8>::with_capacity(self.bytes.div_ceil(self.allocations)));
        }
        for _ in 0..self.calls {
            black_box(std::fs::metadata("/").unwrap());
        }
    }
}

/// Starts on certificates with good staples on disk.
async fn start(directory: &Path) {
    let planted = Planted::new();
    let observer = move |event: &Event| {
        if matches!(event.kind, EventKind::Recycled { .. }) {
            planted.work();
        }
    };
    let builder = Stapler::builder().source(DirectorySource::new(directory)).sink(Unwatched(FileSink::new()));
    let stapler = builder.fetcher(NoCa).observer(observer).build().unwrap();
    let handle = stapler.handle();
    tokio::spawn(stapler.run(std::future::pending()));
    handle.ready().await.unwrap();
    assert!(!handle.inventory().certificates().is_empty());
}

/// A CA that a start does not need.
struct NoCa;

#[async_trait]
impl OcspFetcher for NoCa {
    async fn fetch(&self, _: &Question<'_>) -> Result<Answer, FetchError> {
        panic!("the staples on disk are good");
    }
}

async fn renew(directory: &Path, rounds: usize) {
    let mut files: Vec<_> =
        std::fs::read_dir(directory.join("renewed")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "pem"));
    files.sort();
    let list = files.iter().map(|file| (file.to_str().unwrap().to_owned(), std::fs::read(file).unwrap())).collect();
    repeat(directory, Stapler::builder().source(List(list)).sink(Memory), rounds).await;
}

struct Memory;

#[async_trait]
impl StapleSink for Memory {
    async fn deliver(&self, _: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        Ok(Delivered::Confirmed)
    }
}

async fn store(directory: &Path, rounds: usize) {
    let files = DirectorySource::new(directory.join("renewed"));
    repeat(directory, Stapler::builder().source(files).sink(Unwatched(FileSink::new())), rounds).await;
}

/// Files that are not watched by the sink. A staple that another program may have changed is read again, also after a change of one's own; how often
/// depends on how many changes the system reports at once, and so on the load of the machine.
struct Unwatched(FileSink);

#[async_trait]
impl StapleSink for Unwatched {
    async fn deliver(&self, staple: &Staple, sites: &[Site]) -> Result<Delivered, SinkError> {
        self.0.deliver(staple, sites).await
    }

    fn requirements(&self) -> Requirements {
        self.0.requirements()
    }

    fn read_ahead(&self, file: &Path, staple_file: Option<&Path>) {
        self.0.read_ahead(file, staple_file);
    }

    async fn recall(&self, chain: &CertChain, sites: &[Site]) -> Option<Bytes> {
        self.0.recall(chain, sites).await
    }

    fn has_recalled(&self, staple: &Staple, sites: &[Site]) -> bool {
        self.0.has_recalled(staple, sites)
    }

    async fn clear_leftover(&self, chain: &CertChain, sites: &[Site], now: Timestamp) {
        self.0.clear_leftover(chain, sites, now).await;
    }
}

/// Gets a staple for each certificate, and then a new one in each round.
async fn repeat(directory: &Path, builder: StaplerBuilder, rounds: usize) {
    let count = std::fs::read_dir(directory.join("renewed")).unwrap();
    let count = count.filter(|file| file.as_ref().unwrap().path().extension().unwrap() == "pem").count();
    let (delivered, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counter, last) = (Arc::clone(&delivered), Arc::clone(&all));
    let planted = Planted::new();
    let observer = move |event: &Event| {
        if !matches!(event.kind, EventKind::Delivered { .. }) {
            return;
        }
        planted.work();
        if (counter.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(count) {
            last.notify_one();
        }
    };
    let scheduler = Arc::new(MemoryScheduler::new(Arc::new(SystemClock)));
    let stapler = builder.shared_scheduler(Arc::clone(&scheduler) as Arc<dyn Scheduler>).observer(observer);
    tokio::spawn(stapler.build().unwrap().run(std::future::pending()));
    all.notified().await;
    let queues = scheduler.census().await.unwrap().queues;
    let renewals = queues.into_keys().find(|queue| queue.as_str().starts_with("renew")).unwrap();
    for _ in 0..rounds {
        let mut socket = UnixStream::connect(directory.join(SOCKET)).unwrap();
        socket.read_exact(&mut [0]).unwrap();
        scheduler.hasten(Which::Queue(&renewals)).await.unwrap();
        all.notified().await;
    }
    assert_eq!(delivered.load(Ordering::Relaxed), count * (rounds + 1));
}
