//! How many responses per second the sink delivers, each of which HAProxy confirms and shows, beside a bare loop over the
//! same socket: `cargo bench -p stapled-haproxy --bench pushes`. The bare loop sends the same responses, and waits for
//! each reply before it sends the next. Then the cost of comparing every staple when nothing has changed.

// A failure of the bench panics.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use stapled_core::sink::{Site, StapleSink};
use stapled_core::staple::Staple;
use stapled_haproxy::{Address, HaproxySink};
use stapled_tests::{Haproxy, binaries, cpu_time};

const CERTIFICATES: usize = 10_000;
/// The time in which the cost of comparing is measured; every staple is compared twice in it.
const WATCHED: Duration = Duration::from_secs(20);
/// Deliveries must be at least this fast, beside the bare loop.
const LEAST: f64 = 0.8;

type Staples = Arc<Vec<(Staple, [Site; 1])>>;

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    for binary in binaries() {
        let world = support::world();
        let certs = world.many_certs("certs", CERTIFICATES);
        for cert in &certs {
            let staple = world.staple(cert, 1800);
            std::fs::write(format!("{}.ocsp", cert.name()), staple.response()).expect("a file");
        }
        let haproxy = support::start(&world, &binary, &format!("crt {}", world.path("certs").display()));
        let renewed =
            |seconds| certs.iter().map(|cert| (world.staple(cert, seconds), [cert.site()])).collect::<Vec<_>>();
        let staples: Staples = Arc::new(renewed(3600));
        let sink = HaproxySink::builder(Address::unix(haproxy.socket())).compare_interval(WATCHED / 2).build();
        let sink = Arc::new(sink);

        let ours = runtime.block_on(deliveries_per_second(&sink, &world.staple(&certs[0], 3000), &staples));
        let bare = bare_pushes_per_second(&haproxy, &staples);
        println!("{binary}: {CERTIFICATES} certificates, deliveries {ours:.0}/s, a bare loop {bare:.0}/s");
        assert!(ours >= bare * LEAST, "{binary}: {ours:.0} deliveries/s, {bare:.0} pushes/s in a bare loop");
        runtime.block_on(nothing_changed(&binary, &sink, &haproxy));
    }
}

async fn deliveries_per_second(sink: &Arc<HaproxySink>, first: &Staple, staples: &Staples) -> f64 {
    // The first delivery surveys the loaded certificates.
    sink.deliver(first, &staples[0].1).await.expect("a delivery");
    let start = Instant::now();
    let workers = sink.requirements().concurrency;
    let deliveries = (0..workers).map(|worker| {
        let (sink, staples) = (Arc::clone(sink), Arc::clone(staples));
        tokio::spawn(async move {
            for number in (worker..CERTIFICATES).step_by(workers) {
                let (staple, site) = &staples[number];
                sink.deliver(staple, site).await.expect("a delivery");
            }
        })
    });
    for delivery in deliveries.collect::<Vec<_>>() {
        delivery.await.expect("an end");
    }
    CERTIFICATES as f64 / start.elapsed().as_secs_f64()
}

fn bare_pushes_per_second(haproxy: &Haproxy, staples: &Staples) -> f64 {
    let encode = |staple: &Staple| base64::engine::general_purpose::STANDARD.encode(staple.response());
    let commands: Vec<String> =
        staples.iter().map(|(staple, _)| format!("set ssl ocsp-response {}\n", encode(staple))).collect();
    let mut stream = UnixStream::connect(haproxy.socket()).expect("a connection");
    let mut bare = |command: &str| {
        stream.write_all(command.as_bytes()).expect("a write");
        let mut reply = Vec::new();
        while !reply.ends_with(b"\n> ") {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).expect("a reply");
            reply.extend(&piece[..length]);
        }
        reply
    };
    bare("prompt\n");
    let start = Instant::now();
    for command in &commands {
        assert!(bare(command).starts_with(b"OCSP Response updated!"));
    }
    CERTIFICATES as f64 / start.elapsed().as_secs_f64()
}

async fn nothing_changed(binary: &str, sink: &HaproxySink, haproxy: &Haproxy) {
    let pid = haproxy.pid().expect("a process");
    let before = (cpu_time(std::process::id().into()), cpu_time(pid));
    let lost = tokio::time::timeout(WATCHED, sink.lost()).await;
    assert!(lost.is_err(), "{binary}: {lost:?}");
    let after = (cpu_time(std::process::id().into()), cpu_time(pid));
    let percent = |time: Duration| time.as_secs_f64() / WATCHED.as_secs_f64() * 100.0;
    println!(
        "{binary}: nothing changed for {} s, every staple compared twice: this process {:.1} % of a core, HAProxy {:.1} %",
        WATCHED.as_secs(),
        percent(after.0 - before.0),
        percent(after.1 - before.1),
    );
}
