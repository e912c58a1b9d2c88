//! Measures `stapled-rustls` beside the crate `ocsp-stapler` and beside rustls without staples, in one run. The rounds of each
//! measurement alternate, and the median counts. The certificates have P-256 keys; the responder is the project's own, on
//! loopback, in the process that prints the tables.
//!
//!     make bench-peers

mod handshakes;
mod intake;
mod world;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| "a provider is installed already")?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["intake", peer, folder, count] => intake::child(peer.parse()?, folder.as_ref(), count.parse()?),
        [] => {
            handshakes::run(1_000, 41, 200)?;
            intake::run(1_000, 3)?;
            // Once: the other crate needs many minutes.
            intake::run(10_000, 1)
        }
        ["handshakes"] => handshakes::run(1_000, 41, 200),
        ["quick"] => {
            handshakes::run(20, 3, 20)?;
            intake::run(50, 1)
        }
        _ => Err("usage: bench-peers [handshakes|quick]".into()),
    }
}
