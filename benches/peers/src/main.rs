//! Measures this project beside others, in one run: `stapled-rustls` beside the crate `ocsp-stapler` and rustls without staples, and
//! the stapler beside greenhost's Python program, HAProxy's updater, and a shell loop over `openssl ocsp`. The rounds of each
//! measurement alternate, and the median counts. The certificates have P-256 keys; the CA and its responder are the project's own,
//! on loopback, in the process that prints the tables. A program that is missing is left out with a word.
//!
//!     make bench-peers

mod clients;
mod contest;
mod handshakes;
mod intake;
mod programs;
mod shop;
mod updater;
mod world;

use std::error::Error;
use std::time::Duration;

use contest::Contestant::{Haproxy, Openssl, Python, Stapled};
use shop::Shop;

const NO_DELAY: Duration = Duration::ZERO;
/// The time that a responder far away takes.
const FAR: Duration = Duration::from_millis(50);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| "a provider is installed already")?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["intake", peer, folder, count] => intake::child(peer.parse()?, folder.as_ref(), count.parse()?),
        ["one-off", directory] => contest::one_off(directory.as_ref()),
        [] => {
            let _shops = [one_off()?, updater()?];
            handshakes::run(1_000, 41, 200)?;
            clients()?;
            adds()
        }
        ["handshakes"] => handshakes::run(1_000, 41, 200),
        ["clients"] => clients(),
        ["adds"] => adds(),
        ["one-off"] => one_off().map(drop),
        ["updater"] => updater().map(drop),
        ["quick"] => {
            contest::run(&[Stapled, Python, Openssl, Haproxy], 20, NO_DELAY)?;
            handshakes::run(20, 3, 20)?;
            clients::run(50, 1)?;
            intake::run(50, 1)
        }
        _ => Err("usage: bench-peers [one-off|updater|handshakes|clients|adds|quick]".into()),
    }
}

/// Programs that fill a directory once.
fn one_off() -> Result<Vec<Shop>, Box<dyn Error>> {
    [200, 1_000].into_iter().map(|count| contest::run(&[Stapled, Python, Openssl], count, NO_DELAY)).collect()
}

/// HAProxy's updater.
fn updater() -> Result<Vec<Shop>, Box<dyn Error>> {
    let measurements = [(200, NO_DELAY), (2_000, NO_DELAY), (200, FAR), (2_000, FAR)];
    measurements.into_iter().map(|(count, delay)| contest::run(&[Stapled, Haproxy], count, delay)).collect()
}

/// The clients of crates.
fn clients() -> Result<(), Box<dyn Error>> {
    clients::run(200, 5)?;
    clients::run(1_000, 3)?;
    clients::run(5_000, 3)
}

/// Certificates that are added to a running stapler.
fn adds() -> Result<(), Box<dyn Error>> {
    intake::run(200, 5)?;
    intake::run(1_000, 3)?;
    // Once: the other crate needs long.
    intake::run(5_000, 1)
}
