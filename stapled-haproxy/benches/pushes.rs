//! How many responses per second the sink delivers, beside a bare loop over the same socket:
//! `cargo bench -p stapled-haproxy --bench pushes`. The bare loop waits for each reply before it sends the next command.

// A bench that cannot go on says so by panicking.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use stapled_core::sink::StapleSink;
use support::{Lab, binaries};

const CERTIFICATES: usize = 200;
const ROUNDS: usize = 100;

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(deliveries_per_second());
}

async fn deliveries_per_second() {
    for binary in binaries() {
        let lab = Lab::new();
        let certs: Vec<_> = (0..CERTIFICATES).map(|number| lab.cert(&format!("certs/{number}.pem"))).collect();
        let haproxy = lab.start(&binary, &format!("crt {}", lab.path("certs").display()));
        let staples: Arc<Vec<_>> = Arc::new(certs.iter().map(|cert| (lab.staple(cert, 3600), [cert.site()])).collect());
        let sink = Arc::new(haproxy.sink());

        let start = Instant::now();
        for (staple, site) in staples.iter() {
            sink.deliver(staple, site).await.expect("a first delivery");
        }
        let first = CERTIFICATES as f64 / start.elapsed().as_secs_f64();

        let start = Instant::now();
        let workers = (0..sink.requirements().concurrency).map(|worker| {
            let (sink, staples) = (Arc::clone(&sink), Arc::clone(&staples));
            let workers = sink.requirements().concurrency;
            tokio::spawn(async move {
                for number in (worker..CERTIFICATES * ROUNDS).step_by(workers) {
                    let (staple, site) = &staples[number % CERTIFICATES];
                    sink.deliver(staple, site).await.expect("a delivery");
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.expect("an end");
        }
        let ours = (CERTIFICATES * ROUNDS) as f64 / start.elapsed().as_secs_f64();

        let commands: Vec<String> = staples
            .iter()
            .map(|(staple, _)| base64::engine::general_purpose::STANDARD.encode(staple.response()))
            .map(|encoded| format!("set ssl ocsp-response {encoded}\n"))
            .collect();
        let mut stream = UnixStream::connect(&haproxy.socket).expect("a connection");
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
        for command in commands.iter().cycle().take(CERTIFICATES * ROUNDS) {
            assert!(bare(command).starts_with(b"OCSP Response updated!"));
        }
        let loops = (CERTIFICATES * ROUNDS) as f64 / start.elapsed().as_secs_f64();
        println!("{binary}: first staples {first:.0}/s, deliveries {ours:.0}/s, a bare loop {loops:.0}/s");
    }
}
