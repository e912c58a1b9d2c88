//! Measures the smallest form of a response: the bytes that it saves, and the time that it costs. Ten shapes of
//! responses are judged as received and in their smallest form. The two judgements alternate, so that other load on the
//! machine affects both equally, and the median counts. No issuer remembers a delegate from an earlier judgement.
//!
//! The bench fails if a shape is delivered in more bytes than its limit, or if its judgement as received takes longer
//! than its limit, relative to its judgement in the smallest form.
//!
//!     cargo bench -p stapled-benches --bench forms -- [ROUNDS]

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use stapled_benches::usage::thread_cpu;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder, Signer};
use stapled_ca::{Authority, Issued, KeyType, Profile};
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::staple::{Judge, Staple};
use stapled_core::time::Timestamp;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// A response as received, with its limits.
struct Shape {
    name: &'static str,
    chain: Arc<CertChain>,
    response: Bytes,
    /// The most bytes of the delivered form.
    most: usize,
    /// The limit of the time for its judgement, as a multiple of the time for its smallest form.
    limit: f64,
}

fn main() -> ExitCode {
    // `cargo bench` passes options of its own. `--test` requests a short run that only shows that the bench works.
    let test = std::env::args().any(|argument| argument == "--test");
    let number = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let rounds: usize = number.unwrap_or(if test { 3 } else { 2000 });

    println!(
        "{:<44} {:>7} {:>7} {:>6} {:>9} {:>9} {:>6} {:>6}",
        "", "came", "smallest", "saved", "judge µs", "smallest", "ratio", "limit"
    );
    let mut over = false;
    for shape in shapes() {
        let smallest = judged(&shape.response, &shape.chain).response().clone();
        let (came, alone) = measure(&shape, &smallest, rounds);
        let (before, after) = (shape.response.len(), smallest.len());
        let saved = 100.0 * (before - after) as f64 / before as f64;
        let is_over = after > shape.most || came / alone > shape.limit && !test;
        over |= is_over;
        println!(
            "{:<44} {before:>7} {after:>8} {saved:>5.0}% {came:>9.1} {alone:>9.1} {:>6.2} {:>6.2} {}",
            shape.name,
            came / alone,
            shape.limit,
            if is_over { "OVER" } else { "ok" }
        );
    }
    if over { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn judged(response: &Bytes, chain: &Arc<CertChain>) -> Staple {
    let at = Timestamp::from_unix(NOW);
    Judge::new(chain).at(at).judge(black_box(response).clone()).unwrap().into_staple().unwrap()
}

/// The microseconds of processor time for the judgement of a response as received, and in its smallest form.
fn measure(shape: &Shape, smallest: &Bytes, rounds: usize) -> (f64, f64) {
    let time = |response: &Bytes| {
        let chain = Arc::new(stapled_benches::afresh(&shape.chain));
        let began = thread_cpu();
        black_box(judged(response, &chain));
        (thread_cpu() - began).as_secs_f64() * 1e6
    };
    let mut all: [Vec<f64>; 2] = Default::default();
    for _ in 0..rounds {
        all[0].push(time(&shape.response));
        all[1].push(time(smallest));
    }
    let [came, alone] = all.map(median);
    (came, alone)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A CA, a certificate that it issued, and a delegate.
struct World {
    ca: Authority,
    leaf: Issued,
    delegate: Issued,
    chain: Arc<CertChain>,
    key: KeyType,
}

impl World {
    fn new(key: KeyType) -> Self {
        let ca = Authority::root("Bench CA").organization("Bench").key(key).create().unwrap();
        let leaf = ca.issue(&server("bench.test")).unwrap();
        let delegate = ca.issue(&responder().key(key)).unwrap();
        let certificate = |der: &[u8]| Arc::new(Certificate::from_der(der).unwrap());
        let chain = Arc::new(CertChain::new(certificate(leaf.der()), certificate(ca.certificate())).unwrap());
        World { ca, leaf, delegate, chain, key }
    }

    fn shape(&self, name: &'static str, direct: bool, certificates: &[&[u8]], most: usize, limit: f64) -> Shape {
        let signer = if direct { self.ca.signer() } else { Signer::delegate(&self.delegate) };
        let response = ResponseBuilder::signed_by(signer)
            .responder_by_name()
            .produced_at(NOW - 60)
            .this_update(NOW - 60)
            .next_update(NOW + 7 * DAY)
            .good(&self.ca.cert_id(self.leaf.serial(), HashAlgorithm::Sha1))
            .certificates(certificates)
            .build()
            .unwrap();
        Shape { name, chain: Arc::clone(&self.chain), response: response.into(), most, limit }
    }

    /// Certificates with the delegate's name and other keys, from a CA with the issuer's name.
    fn twins(&self, count: usize) -> Vec<Vec<u8>> {
        let twin = |_| {
            let namesake = Authority::root("Bench CA").organization("Bench").key(self.key).create().unwrap();
            namesake.issue(&responder().key(self.key)).unwrap().der().to_vec()
        };
        (0..count).map(twin).collect()
    }

    /// The CA's certificate and others of the same size, as in a long chain.
    fn chain_of(&self, count: usize) -> Vec<Vec<u8>> {
        let one =
            |number| self.ca.issue(&server(&format!("{number}.bench.test")).key(self.key)).unwrap().der().to_vec();
        std::iter::once(self.ca.certificate().to_vec()).chain((1..count).map(one)).collect()
    }
}

fn server(name: &str) -> Profile {
    Profile::server(name).valid_between(NOW - DAY, NOW + 90 * DAY).ocsp_url("http://o.test/")
}

fn responder() -> Profile {
    Profile::ocsp_responder("Bench Responder").valid_between(NOW - DAY, NOW + 30 * DAY)
}

fn shapes() -> Vec<Shape> {
    let (ecdsa, rsa) = (World::new(KeyType::EcdsaP256), World::new(KeyType::Rsa2048));
    let own = |world: &'_ World| world.delegate.der().to_vec();
    let mut shapes = Vec::new();
    let mut add = |world: &World, name, direct, certificates: Vec<Vec<u8>>, most, limit| {
        let certificates: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
        shapes.push(world.shape(name, direct, &certificates, most, limit));
    };
    add(&ecdsa, "P-256, issuer, nothing else", true, Vec::new(), 400, 1.1);
    add(&ecdsa, "P-256, issuer, its certificate", true, vec![ecdsa.ca.certificate().to_vec()], 400, 1.5);
    add(&ecdsa, "P-256, issuer, a chain of 4", true, ecdsa.chain_of(4), 400, 2.0);
    add(&rsa, "RSA-2048, issuer, a chain of 4", true, rsa.chain_of(4), 700, 4.0);
    add(&ecdsa, "P-256, delegate, its certificate", false, vec![own(&ecdsa)], 900, 1.1);
    add(&rsa, "RSA-2048, delegate, its certificate", false, vec![own(&rsa)], 1800, 1.1);
    let chain = |world: &World, count| [vec![own(world)], world.chain_of(count)].concat();
    add(&rsa, "RSA-2048, delegate, a chain of 2", false, chain(&rsa, 2), 1800, 1.6);
    add(&rsa, "RSA-2048, delegate, a chain of 60", false, chain(&rsa, 60), 1800, 12.0);
    add(&ecdsa, "P-256, delegate behind a look-alike", false, [ecdsa.twins(1), vec![own(&ecdsa)]].concat(), 900, 2.0);
    add(
        &ecdsa,
        "P-256, delegate behind 60 look-alikes",
        false,
        [ecdsa.twins(60), vec![own(&ecdsa)]].concat(),
        900,
        50.0,
    );
    shapes
}
