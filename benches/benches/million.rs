//! Measures many certificates through the whole pipeline of one process: the source, the responder and the sink are in memory, and every
//! certificate and every response is verified. The responder signs each response when it is asked; the processor time of the
//! signatures is measured apart and subtracted. For comparison, a bare loop checks the two signatures of each certificate.
//!
//! Each number of certificates has a process of its own. The last line fits the growth of each cost: 1.00 is linear, for a cost of
//! each certificate 0.00.
//!
//!     cargo bench -p stapled-benches --bench million -- [CERTIFICATES…]

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use stapled_benches::arguments;
use stapled_benches::counting_sink::CountingSink;
use stapled_benches::growth::{self, run_part};
use stapled_benches::usage::{most_resident, process_cpu, resident, thread_cpu};
use stapled_ca::ocsp::{CertId, HashAlgorithm, OcspRequest, ResponseBuilder, Signer};
use stapled_ca::{Authority, Key, KeyType, Profile, Serial};
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::fetch::{Answer, FetchError, OcspFetcher, Question};
use stapled_core::io::memory_source::MemorySource;
use stapled_core::ocsp::OcspResponse;
use stapled_core::source::{Sighting, Version};
use stapled_core::stapler::Stapler;

const URL: &str = "http://ocsp.bench.test/";
/// How long the stapler's steady state is measured.
const STEADY: Duration = Duration::from_secs(60);
const STEADY_IN_TEST: Duration = Duration::from_secs(2);
/// How long a stapler may have something to do after its start.
const SETTLING: Duration = Duration::from_secs(15);
/// How many certificates the bare loop checks.
const BARE: usize = 20_000;
/// The figures of a run, in the order of the table.
const FIGURES: [&str; 11] = [
    "first s", "all s", "cpu µs", "bare µs", "ratio", "memory B", "kept B", "asked /s", "steady %", "rescan s",
    "most MiB",
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["measure", count, steady] => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(measure(count.parse().unwrap(), Duration::from_secs(steady.parse().unwrap())));
            // The stapler's tasks would go on for ever.
            std::process::exit(0);
        }
        _ => compare(),
    }
}

/// Runs all sizes and prints the table.
fn compare() {
    let (mut counts, is_test) = arguments::numbers();
    if counts.is_empty() {
        counts = if is_test { vec![200, 400] } else { vec![10_000, 100_000, 1_000_000] };
    }
    let steady = if is_test { STEADY_IN_TEST } else { STEADY }.as_secs().to_string();
    println!("the times cpu and bare, and memory and kept, are those of each certificate");
    growth::print_table(&FIGURES, &counts, |count| run_part(&["measure", &count.to_string(), &steady]));
}

async fn measure(count: usize, steady: Duration) {
    let authority = Authority::root("Bench CA").key(KeyType::EcdsaP256).create().unwrap();
    let source = MemorySource::new();
    // The issuer comes first, so that no certificate waits for it.
    source.put(Sighting::bytes("!", authority.certificate(), Version::new("1")));
    let certificates = issue(&authority, &source, count);
    let responder =
        Arc::new(InMemory { signer: authority.signer(), signatures: AtomicU64::new(0), cpu: AtomicU64::new(0) });
    let sink = CountingSink::expecting(count);

    let (memory, cpu, began) = (resident(), process_cpu(), Instant::now());
    let stapler = Stapler::builder()
        .source(source)
        .sink(sink.clone())
        .shared_fetcher(Arc::clone(&responder) as Arc<dyn OcspFetcher>)
        .build()
        .unwrap();
    let handle = stapler.handle();
    tokio::spawn(stapler.run(std::future::pending()));
    println!("first s={}", (sink.first().await - began).as_secs_f64());
    println!("all s={}", (sink.all().await - began).as_secs_f64());
    let of_stapler = process_cpu() - cpu - responder.cpu();
    let each = |value: f64| value / count as f64;
    println!("cpu µs={}", each(of_stapler.as_secs_f64() * 1e6));
    let bare = bare(&authority, certificates.sample, &responder.signer);
    println!("bare µs={}", bare * 1e6);
    println!("ratio={}", each(of_stapler.as_secs_f64()) / bare);

    tokio::time::sleep(SETTLING.min(steady)).await;
    println!("memory B={}", each(resident().saturating_sub(memory) as f64));
    println!("kept B={}", each((certificates.bytes + sink.bytes()) as f64));
    let (cpu, signed, signing) = (process_cpu(), responder.signatures.load(Ordering::SeqCst), responder.cpu());
    tokio::time::sleep(steady).await;
    let asked = responder.signatures.load(Ordering::SeqCst) - signed;
    let used = process_cpu() - cpu - (responder.cpu() - signing);
    println!("asked /s={}", asked as f64 / steady.as_secs_f64());
    println!("steady %={}", 100.0 * used.as_secs_f64() / steady.as_secs_f64());
    let (cpu, signing) = (process_cpu(), responder.cpu());
    handle.rescan().await.unwrap();
    println!("rescan s={}", (process_cpu() - cpu - (responder.cpu() - signing)).as_secs_f64());
    println!("most MiB={}", most_resident() as f64 / f64::from(1 << 20));
}

/// The certificates that were issued.
struct Certificates {
    /// The size of all, DER.
    bytes: usize,
    /// Some of them.
    sample: Vec<Vec<u8>>,
}

/// Issues certificates and puts them into the source. All have the same key, because making keys takes long.
fn issue(authority: &Authority, source: &MemorySource, count: usize) -> Certificates {
    let key = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let issue = |first: usize| {
        let mut issued = Certificates { bytes: 0, sample: Vec::new() };
        for number in (first..count).step_by(threads) {
            let profile = Profile::server(&format!("{number}.bench.test")).existing_key(Arc::clone(&key)).ocsp_url(URL);
            let certificate = authority.issue(&profile).unwrap();
            issued.bytes += certificate.der().len();
            if number < BARE {
                issued.sample.push(certificate.der().to_vec());
            }
            source.put(Sighting::bytes(format!("{number}.bench.test"), certificate.der(), Version::new("1")));
        }
        issued
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|first| scope.spawn(move || issue(first))).collect();
        let parts = threads.into_iter().map(|thread| thread.join().unwrap());
        parts.fold(Certificates { bytes: 0, sample: Vec::new() }, |mut all, part| {
            all.bytes += part.bytes;
            all.sample.extend(part.sample);
            all
        })
    })
}

/// The processor time, in seconds, of the two bare signature checks of one certificate: the issuer's over the certificate, and the
/// one over its response.
fn bare(authority: &Authority, sample: Vec<Vec<u8>>, signer: &Signer) -> f64 {
    let count = sample.len();
    let respond = |der: Vec<u8>| {
        let id = authority.cert_id(&Serial::of_certificate(&der).unwrap(), HashAlgorithm::Sha1);
        let response = respond(signer, &id);
        (der, response)
    };
    let signed: Vec<(Vec<u8>, Vec<u8>)> = sample.into_iter().map(respond).collect();
    let key: &[u8] = authority.key().public_key();
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, key);
    let before = thread_cpu();
    for (certificate, response) in &signed {
        let (tbs, signature) = signed_parts(certificate);
        key.verify(tbs, signature).unwrap();
        let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(response) else { panic!("no response") };
        key.verify(basic.tbs_response_data, basic.signature).unwrap();
    }
    (thread_cpu() - before).as_secs_f64() / count as f64
}

/// The signed part of a certificate, and the signature.
fn signed_parts(certificate: &[u8]) -> (&[u8], &[u8]) {
    let (_, all, _) = split(certificate);
    let (tbs, _, rest) = split(all);
    let (_, _, rest) = split(rest);
    let (_, signature, _) = split(rest);
    // The first octet counts unused bits.
    (tbs, &signature[1..])
}

/// The first element of DER: with its head, without it, and what follows.
fn split(der: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (head, length) = match der[1] {
        short @ ..0x80 => (2, usize::from(short)),
        long => {
            let octets = usize::from(long & 0x7f);
            (2 + octets, der[2..2 + octets].iter().fold(0, |length, octet| length << 8 | usize::from(*octet)))
        }
    };
    let (whole, rest) = der.split_at(head + length);
    (whole, &whole[head..], rest)
}

/// A response about a certificate: good, for a week.
fn respond(signer: &Signer, id: &CertId) -> Vec<u8> {
    let now = SystemClock.now().unix();
    let response = ResponseBuilder::new(signer.clone()).this_update(now - 60).next_update(now + 7 * 86_400);
    response.good(id).build().unwrap()
}

/// A responder in memory.
struct InMemory {
    signer: Signer,
    signatures: AtomicU64,
    /// The processor time of its signatures, in ns.
    cpu: AtomicU64,
}

impl InMemory {
    fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl OcspFetcher for InMemory {
    async fn fetch(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        let before = thread_cpu();
        let request = OcspRequest::from_der(question.request.as_der()).unwrap();
        let response = respond(&self.signer, &request.cert_ids[0]);
        self.signatures.fetch_add(1, Ordering::SeqCst);
        self.cpu.fetch_add((thread_cpu() - before).as_nanos().try_into().unwrap(), Ordering::SeqCst);
        Ok(Answer::new(response))
    }
}
