//! The clients of both crates: one certificate's response after the other, and several at once.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use stapled_core::chain::CertChain;
use stapled_core::{HttpFetcher, staple_once};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::world::{Cpu, Peer, World, median};

/// How many questions are open at once, in the second measurement: this project's default limit for one responder.
const AT_ONCE: usize = 32;

/// A certificate and its issuer.
struct Asked {
    certificate: Vec<u8>,
    issuer: Vec<u8>,
    /// The same, parsed by this project.
    chain: CertChain,
}

enum Client {
    Stapled(HttpFetcher),
    OcspStapler(ocsp_stapler::client::Client),
}

impl Client {
    fn new(peer: Peer) -> Self {
        match peer {
            Peer::OcspStapler => Client::OcspStapler(ocsp_stapler::client::Client::new()),
            _ => Client::Stapled(HttpFetcher::new()),
        }
    }

    async fn ask(&self, asked: &Asked) -> Result<(), String> {
        match self {
            Client::Stapled(fetcher) => {
                staple_once(&asked.chain, fetcher).await.map(drop).map_err(|error| error.to_string())
            }
            Client::OcspStapler(client) => {
                client.query(&asked.certificate, &asked.issuer).await.map(drop).map_err(|error| error.to_string())
            }
        }
    }
}

/// Prints questions a second and the processor time of each.
pub fn run(count: usize, rounds: usize) -> Result<(), Box<dyn Error>> {
    let world = World::new()?;
    let certificates = (0..count).map(|number| asked(&world, number)).collect::<Result<Vec<_>, _>>()?;
    let certificates: Arc<[Asked]> = certificates.into();
    let peers = [Peer::Stapled, Peer::OcspStapler];
    println!("| {count} questions | at once | each second | ms of a processor each |\n|---|---|---|---|");
    for at_once in [1, AT_ONCE] {
        let mut found = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
        for _ in 0..rounds {
            for (peer, [rates, computed]) in peers.iter().zip(&mut found) {
                let (rate, each) = measure(*peer, &certificates, at_once)?;
                rates.push(rate);
                computed.push(each);
            }
        }
        for (peer, [rates, computed]) in peers.iter().zip(found.map(|all| all.map(median))) {
            let name = if *peer == Peer::Stapled { "stapled-core" } else { peer.name() };
            println!("| {name} | {at_once} | {rates:.0} | {computed:.2} |");
        }
    }
    println!();
    Ok(())
}

/// Questions a second, and the processor time of each in ms. The responder is in this process, on a thread of its own, whose time
/// is subtracted.
fn measure(peer: Peer, certificates: &Arc<[Asked]>, at_once: usize) -> Result<(f64, f64), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Arc::new(Client::new(peer));
        let slots = Arc::new(Semaphore::new(at_once));
        let (began, computed) = (Instant::now(), Cpu::of_thread());
        let mut running = JoinSet::new();
        for number in 0..certificates.len() {
            let slot = Arc::clone(&slots).acquire_owned().await?;
            let (client, certificates) = (Arc::clone(&client), Arc::clone(certificates));
            running.spawn(async move {
                let _slot = slot;
                match certificates.get(number) {
                    Some(asked) => client.ask(asked).await,
                    None => Ok(()),
                }
            });
            while let Some(done) = running.try_join_next() {
                done??;
            }
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        let count = certificates.len() as f64;
        Ok((count / began.elapsed().as_secs_f64(), computed.elapsed().as_secs_f64() * 1e3 / count))
    })
}

fn asked(world: &World, number: usize) -> Result<Asked, Box<dyn Error>> {
    let chain = CertChain::from_pem(world.issue(number)?.as_bytes())?;
    let (certificate, issuer) = (chain.end_entity().as_der().to_vec(), chain.issuer().as_der().to_vec());
    Ok(Asked { certificate, issuer, chain })
}
