//! Handshakes that a server makes in a second of one processor: TLS 1.3 in memory, the server's part alone. The time is what the
//! thread has computed, so that other work of the machine counts little.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme};

use crate::world::{Cpu, Peer, Staples, World, by_name, host, median};

const PEERS: [Peer; 3] = [Peer::Bare, Peer::Stapled, Peer::OcspStapler];

/// Prints handshakes a second of a server with this many certificates.
pub fn run(certificates: usize, rounds: usize, handshakes: usize) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let world = World::new()?;
    let keys = (0..certificates).map(|number| world.key(number)).collect::<Result<Vec<_>, _>>()?;
    let inner = by_name(&keys)?;
    let (mut servers, mut kept) = (Vec::new(), Vec::new());
    for peer in PEERS {
        let resolver = match peer {
            Peer::Bare => Arc::clone(&inner),
            _ => {
                let staples = Staples::start(peer, Arc::clone(&inner))?;
                runtime.block_on(staples.add(&keys, Duration::from_secs(900)))?;
                let resolver = staples.resolver();
                kept.push(staples);
                resolver
            }
        };
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        servers.push(Arc::new(config));
    }
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds + 1 {
        let mut times = [Duration::ZERO; 3];
        for number in 0..handshakes {
            for ((peer, server), time) in PEERS.iter().zip(&servers).zip(&mut times) {
                let (took, is_stapled) = handshake(server, &host((number * 7) % certificates))?;
                *time += took;
                if is_stapled != (*peer != Peer::Bare) {
                    return Err(format!("{}: stapled is {is_stapled}", peer.name()).into());
                }
            }
        }
        // The first round warms up.
        if round > 0 {
            rates.iter_mut().zip(times).for_each(|(rates, time)| rates.push(handshakes as f64 / time.as_secs_f64()));
        }
    }
    println!("| handshakes | each second | of rustls alone |\n|---|---|---|");
    let rates = rates.map(median);
    for (peer, rate) in PEERS.iter().zip(rates) {
        println!("| {} | {rate:.0} | {:.3} |", peer.name(), rate / rates[0]);
    }
    println!();
    Ok(())
}

/// One handshake: the time of the server, and whether it stapled.
fn handshake(server: &Arc<ServerConfig>, host: &str) -> Result<(Duration, bool), Box<dyn Error>> {
    let seen = Arc::new(Seen::default());
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from(host.to_owned())?)?;
    let (mut time, mut buffer) = (Duration::ZERO, Vec::with_capacity(16 * 1024));
    let begin = Cpu::of_thread();
    let mut server = ServerConnection::new(Arc::clone(server))?;
    time += begin.elapsed();
    while client.is_handshaking() || server.is_handshaking() {
        buffer.clear();
        while client.wants_write() {
            client.write_tls(&mut buffer)?;
        }
        let begin = Cpu::of_thread();
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest)?;
            server.process_new_packets()?;
        }
        let mut answer = Vec::with_capacity(16 * 1024);
        while server.wants_write() {
            server.write_tls(&mut answer)?;
        }
        time += begin.elapsed();
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest)?;
            client.process_new_packets()?;
        }
    }
    Ok((time, seen.0.load(std::sync::atomic::Ordering::Relaxed)))
}

/// Sees whether there is a staple, and accepts every certificate.
#[derive(Debug, Default)]
struct Seen(std::sync::atomic::AtomicBool);

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.store(!ocsp_response.is_empty(), std::sync::atomic::Ordering::Relaxed);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
