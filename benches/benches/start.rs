//! Measures the start of a stapler whose certificates have good staples on disk, and its rest afterwards: the time until all are
//! good, until the first one is, the processor time of rest and of a rescan, and the memory. For comparison, a bare loop
//! reads the same files and checks the two signatures of each certificate, on all processors. Each measurement has a process of its
//! own, and starts are measured in several rounds.
//!
//! The last line fits the growth of each cost: 1.00 is linear.
//!
//!     cargo bench -p stapled-benches --bench start -- [CERTIFICATES…]

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use stapled_benches::arguments;
use stapled_benches::growth::{self, run_part};
use stapled_benches::usage::{process_cpu, resident};
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::{Authority, Key, KeyType, Profile};
use stapled_core::event::{Event, EventKind};
use stapled_core::fetch::{Answer, FetchError, OcspFetcher, Question};
use stapled_core::io::directory::DirectorySource;
use stapled_core::io::file::FileSink;
use stapled_core::ocsp::OcspResponse;
use stapled_core::stapler::Stapler;

/// How long the times of a file are recent, and more.
const RECENT: Duration = Duration::from_secs(4);
/// How often a start is measured. The medians are printed, since a single start varies by a tenth.
const ROUNDS: usize = 5;
/// How long rest is measured.
const REST: Duration = Duration::from_secs(30);
const REST_IN_TEST: Duration = Duration::from_secs(2);
/// How long a stapler may have something to do after its start.
const SETTLING: Duration = Duration::from_secs(15);
const HOUR: Duration = Duration::from_secs(3600);
/// The figures of a run, in the order of the table.
const FIGURES: [&str; 9] =
    ["bare s", "bare cpu s", "start s", "ratio", "cpu s", "first s", "rest %", "rescan cpu s", "memory B"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", directory, count] => make(Path::new(directory), count.parse().unwrap()),
        ["bare", directory] => bare(Path::new(directory)),
        ["start", directory, rest] => start(Path::new(directory), Duration::from_secs(rest.parse().unwrap())),
        _ => compare(),
    }
}

/// Measures all sizes and prints the table.
fn compare() {
    let (mut counts, is_test) = arguments::numbers();
    if counts.is_empty() {
        counts = if is_test { vec![100, 200] } else { vec![1_000, 10_000, 100_000] };
    }
    let rest = if is_test { REST_IN_TEST } else { REST }.as_secs().to_string();
    growth::print_table(&FIGURES, &counts, |count| {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().to_str().unwrap();
        run_part(&["make", directory, &count.to_string()]);
        let mut rounds: Vec<BTreeMap<String, f64>> = Vec::new();
        for round in 1..=ROUNDS {
            let mut figures = run_part(&["bare", directory]);
            // Rest is measured once.
            figures.extend(run_part(&["start", directory, if round == ROUNDS { &rest } else { "0" }]));
            figures.insert("ratio".to_owned(), figures["start s"] / figures["bare s"]);
            assert_eq!(figures["asked"], 0.0, "the staples on disk are good");
            rounds.push(figures);
        }
        let mut figures = rounds[ROUNDS - 1].clone();
        for name in ["bare s", "bare cpu s", "start s", "ratio", "cpu s", "first s"] {
            let mut all: Vec<f64> = rounds.iter().map(|figures| figures[name]).collect();
            all.sort_by(f64::total_cmp);
            figures.insert(name.to_owned(), all[ROUNDS / 2]);
        }
        figures
    });
}

/// Writes certificates with good staples that are not due yet.
fn make(directory: &Path, count: usize) {
    let root = Authority::root("Bench CA").key(KeyType::EcdsaP256).create().unwrap();
    // All certificates have the same key, because making keys takes long.
    let key = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    for number in 0..count {
        let name = format!("{number}.bench.test");
        let profile = Profile::server(&name).existing_key(Arc::clone(&key)).ocsp_url("http://ocsp.bench.test/");
        let issued = root.issue(&profile).unwrap();
        let cert_id = root.cert_id(issued.serial(), HashAlgorithm::Sha1);
        let response = ResponseBuilder::new(&root).this_update(now - 60).next_update(now + 7 * 86_400);
        let file = directory.join(format!("{name}.pem"));
        std::fs::write(&file, format!("{}{}", issued.certificate_pem(), issued.chain_pem())).unwrap();
        std::fs::write(directory.join(format!("{name}.pem.ocsp")), response.good(&cert_id).build().unwrap()).unwrap();
    }
    // A server that starts finds files that are on the disk and have not just changed.
    rustix::fs::sync();
    std::thread::sleep(RECENT);
}

/// Reads all files and checks the signatures of certificates and responses.
fn bare(directory: &Path) {
    let began = Instant::now();
    let files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<PathBuf> = files.into_iter().filter(|file| file.extension().unwrap() == "pem").collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in files.chunks(files.len().div_ceil(threads).max(1)) {
            scope.spawn(move || part.iter().for_each(|file| check(file)));
        }
    });
    println!("bare s={}", began.elapsed().as_secs_f64());
    println!("bare cpu s={}", cpu());
}

fn check(file: &Path) {
    let pem = std::fs::read(file).unwrap();
    let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).collect();
    let key = public_key(&certificates[1]);
    let signed = parts(parts(&certificates[0])[0].contents);
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
    key.verify(signed[0].whole, &signed[2].contents[1..]).unwrap();
    let response = std::fs::read(format!("{}.ocsp", file.display())).unwrap();
    let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(&response) else { panic!("no response") };
    key.verify(basic.tbs_response_data, basic.signature).unwrap();
}

/// An element of DER.
struct Part<'a> {
    whole: &'a [u8],
    contents: &'a [u8],
}

/// The elements one after another.
fn parts(mut der: &[u8]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    while !der.is_empty() {
        let (head, length) = match der[1] {
            short @ ..0x80 => (2, usize::from(short)),
            long => {
                let octets = usize::from(long & 0x7f);
                (2 + octets, der[2..2 + octets].iter().fold(0, |length, octet| length << 8 | usize::from(*octet)))
            }
        };
        let (whole, rest) = der.split_at(head + length);
        parts.push(Part { whole, contents: &whole[head..] });
        der = rest;
    }
    parts
}

/// The key in a certificate: version, serial number, algorithm, issuer, validity and subject come before it.
fn public_key(certificate: &[u8]) -> &[u8] {
    let certificate = parts(parts(certificate)[0].contents)[0].contents;
    let key_info = parts(certificate)[6].contents;
    &parts(key_info)[1].contents[1..]
}

/// A CA that nobody needs.
struct NoCa(Arc<AtomicUsize>);

#[async_trait]
impl OcspFetcher for NoCa {
    async fn fetch(&self, _: &Question<'_>) -> Result<Answer, FetchError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

/// Starts a stapler, and lets it rest.
fn start(directory: &Path, rest: Duration) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let first: Arc<OnceLock<Instant>> = Arc::default();
    let found = Arc::new(AtomicUsize::new(0));
    let (noted, counted) = (Arc::clone(&first), Arc::clone(&found));
    let observer = move |event: &Event| match event.kind {
        EventKind::Accepted => _ = counted.fetch_add(1, Ordering::SeqCst),
        EventKind::Delivered { .. } => _ = noted.get_or_init(Instant::now),
        _ => {}
    };
    runtime.block_on(async {
        let memory = resident() as f64;
        let began = Instant::now();
        let stapler = Stapler::builder()
            .source(DirectorySource::new(directory))
            .sink(FileSink::new())
            .fetcher(NoCa(Arc::clone(&asked)))
            .observer(observer)
            // A rescan in the time of rest would be measured with it.
            .rescan_interval(HOUR)
            .build()
            .unwrap();
        let handle = stapler.handle();
        tokio::spawn(stapler.run(std::future::pending()));
        handle.ready().await.unwrap();
        println!("start s={}", began.elapsed().as_secs_f64());
        println!("cpu s={}", cpu());
        println!("first s={}", first.get().map_or(0.0, |first| (*first - began).as_secs_f64()));
        // A list of all certificates would take memory of its own.
        let count = found.load(Ordering::SeqCst) as f64;
        tokio::time::sleep(SETTLING.min(rest)).await;
        println!("memory B={}", (resident() as f64 - memory) / count);
        let before = cpu();
        tokio::time::sleep(rest).await;
        println!("rest %={}", 100.0 * (cpu() - before) / rest.as_secs_f64());
        let before = cpu();
        handle.rescan().await.unwrap();
        println!("rescan cpu s={}", cpu() - before);
        println!("asked={}", asked.load(Ordering::SeqCst));
    });
    // The stapler's tasks would go on for ever.
    std::process::exit(0);
}

/// The processor time of this process so far, in seconds.
fn cpu() -> f64 {
    process_cpu().as_secs_f64()
}
