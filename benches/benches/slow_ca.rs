//! Measures how long certificates wait for their staples if the CA's responder takes a while for each answer: with the default limits and
//! with more questions at once, alone and beside a second responder that accepts connections and never answers.
//!
//! The bound is arithmetic: certificates × delay / questions at once. The last column is what a stapler needs that asks one question
//! after the other.
//!
//!     cargo bench -p stapled-benches --bench slow_ca -- [CERTIFICATES [DELAY IN MS]]

// A bench that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use stapled_benches::arguments;
use stapled_benches::counting_sink::CountingSink;
use stapled_ca::lab::{Fault, Lab};
use stapled_ca::{Authority, Issued, Key, KeyType, Profile};
use stapled_core::io::memory_source::MemorySource;
use stapled_core::source::Sighting;
use stapled_core::stapler::{Stapler, StaplerBuilder};

/// The default limit of a stapler for one responder.
const DEFAULT: usize = 32;
/// The certificates of the responder that hangs.
const HUNG: usize = 200;

fn main() {
    let (numbers, is_test) = arguments::numbers();
    let count = numbers.first().copied().unwrap_or(if is_test { 200 } else { 2_000 });
    let delay = Duration::from_millis(numbers.get(1).copied().unwrap_or(50).try_into().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(count, delay, is_test));
}

async fn run(count: usize, delay: Duration, is_test: bool) {
    let key = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    let slow = Ca::new("Slow CA", Fault::Delay(delay), count, &key);
    let hung = Ca::new("Hung CA", Fault::Hang, HUNG, &key);
    println!(
        "{count} certificates, each answer after {} ms; the other responder, for {HUNG} certificates, hangs",
        delay.as_millis()
    );
    println!(
        "{:>16} {:>10} {:>10} {:>14} {:>8} {:>12}",
        "questions", "bound s", "alone s", "beside hung s", "change", "one by one s"
    );
    let one_by_one = (delay * u32::try_from(count).unwrap()).as_secs_f64();
    for at_once in [DEFAULT, 64] {
        // The settings of a program that wants more at once than by default.
        let limits = |builder: StaplerBuilder| match at_once {
            DEFAULT => builder,
            _ => builder.per_responder(at_once).concurrent_renewals(2 * at_once),
        };
        let alone = staple(limits(Stapler::builder()), &[&slow], count).await;
        let beside = staple(limits(Stapler::builder()), &[&hung, &slow], count).await;
        let bound = one_by_one / at_once as f64;
        let change = format!("{:+.0} %", 100.0 * (beside / alone - 1.0));
        println!("{at_once:>16} {bound:>10.2} {alone:>10.2} {beside:>14.2} {change:>8} {one_by_one:>12.1}");
        // Generous, since the machine may be busy.
        assert!(!is_test || alone < one_by_one / 3.0, "{alone} s");
        assert!(!is_test || beside < one_by_one / 3.0, "{beside} s beside a responder that hangs");
    }
}

/// The seconds until this number of certificates has staples.
async fn staple(builder: StaplerBuilder, cas: &[&Ca], count: usize) -> f64 {
    let source = MemorySource::new();
    for ca in cas {
        ca.put(&source);
    }
    let sink = CountingSink::expecting(count);
    let stapler = builder.source(source).sink(sink.clone()).build().unwrap();
    let began = Instant::now();
    let running = tokio::spawn(stapler.run(std::future::pending()));
    let took = sink.all().await - began;
    running.abort();
    // The connections to the responders end before the next measurement.
    let _ = running.await;
    took.as_secs_f64()
}

/// A CA, its responder, and its certificates.
struct Ca {
    authority: Authority,
    issued: Vec<Issued>,
    _lab: Lab,
}

impl Ca {
    /// All certificates have the same key, because making keys takes long.
    fn new(name: &str, fault: Fault, count: usize, key: &Arc<Key>) -> Self {
        let authority = Authority::root(name).key(KeyType::EcdsaP256).create().unwrap();
        let lab = Lab::builder().authority(&authority).start().unwrap();
        lab.fault_all(fault);
        let profile = |number: usize| {
            Profile::server(&format!("{number}.bench.test")).existing_key(Arc::clone(key)).ocsp_url(lab.url())
        };
        let issued = (0..count).map(|number| authority.issue(&profile(number)).unwrap()).collect();
        Ca { authority, issued, _lab: lab }
    }

    fn put(&self, source: &MemorySource) {
        for (number, issued) in self.issued.iter().enumerate() {
            let name = format!("{} {number}", self.authority.name());
            source.put(Sighting::chain(name, [issued.der(), self.authority.certificate()]));
        }
    }
}
