//! A TLS server with rustls that staples from memory.
//!
//! One table of certificates has three roles: rustls takes the certificate of a host from it, it is a source of
//! certificates for the stapler, and a sink for staples. Only rustls uses the private keys. The stapler sees two
//! traits of the table, and of each host the certificates that every client sees, too.
//!
//! ```text
//! cargo run -p stapled-examples --bin rustls -- 127.0.0.1:8443 example.org fullchain.pem privkey.pem
//! openssl s_client -connect 127.0.0.1:8443 -servername example.org -status </dev/null
//! ```
//!
//! Each further host is three more arguments. A host without a staple is served, too.

#![allow(clippy::print_stdout)] // This program has no log.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use stapled_core::chain::CertChain;
use stapled_core::event::Event;
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink, Withdrawal, Withdrawn};
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, Version};
use stapled_core::staple::Staple;
use stapled_core::stapler::{Group, Stapler};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: rustls ADDRESS [HOST CHAIN KEY]...")?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut hosts = Hosts::default();
    while let (Some(host), Some(chain), Some(key)) = (arguments.next(), arguments.next(), arguments.next()) {
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
        hosts.add(host, chain, PrivateKeyDer::from_pem_file(key)?, &provider)?;
    }

    let hosts = Arc::new(hosts);
    let stapler = Stapler::builder()
        .group(Group::new().shared_source(hosts.clone()).shared_sink(hosts.clone()))
        .observer(|event: &Event| println!("{event}"))
        .build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(hosts);
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    // The server starts at once, and runs as long as the stapler.
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
    stapler.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
    Ok(())
}

/// The certificate, key and staple of each host, by its name. Every handshake reads them without a lock.
#[derive(Debug, Default)]
pub(crate) struct Hosts(BTreeMap<String, ArcSwap<CertifiedKey>>);

impl Hosts {
    /// Adds a host without a staple. Only this function and `staple` below touch keys.
    pub(crate) fn add(
        &mut self,
        host: String,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<(), rustls::Error> {
        self.0.insert(host, ArcSwap::from_pointee(CertifiedKey::from_der(chain, key, provider)?));
        Ok(())
    }

    /// Sets or removes the staple of a certificate, for all hosts that use it.
    fn staple(&self, certificate: &[u8], response: Option<&[u8]>) {
        for presented in self.0.values() {
            // The host may have another certificate since the scan, which must not get this staple.
            presented.rcu(|now| match now.cert.first() {
                Some(first) if first.as_ref() == certificate => Arc::new(CertifiedKey {
                    cert: now.cert.clone(),
                    key: Arc::clone(&now.key),
                    ocsp: response.map(<[u8]>::to_vec),
                }),
                _ => Arc::clone(now),
            });
        }
    }
}

/// The table for rustls.
impl ResolvesServerCert for Hosts {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get(hello.server_name()?).map(ArcSwap::load_full)
    }
}

/// The table as a source of certificates.
#[async_trait]
impl CertSource for Hosts {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let mut scan = Scan::default();
        for (host, presented) in &self.0 {
            // Each certificate of the chain separately, DER: the stapler finds the issuer among them. The certificate
            // itself is its version.
            for (number, certificate) in presented.load().cert.iter().enumerate() {
                let version = Version::new(certificate.as_ref());
                scan.sightings.push(Sighting::bytes(format!("{host}#{number}"), certificate.as_ref(), version));
            }
        }
        Ok(scan)
    }

    fn name(&self) -> String {
        "hosts".to_owned()
    }
}

/// The table as a sink for staples.
#[async_trait]
impl StapleSink for Hosts {
    async fn deliver(&self, staple: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        self.staple(staple.chain().end_entity().as_der(), Some(staple.response()));
        Ok(Delivered::Confirmed)
    }

    /// rustls does not check staples: without this method it would serve a staple after its end.
    async fn withdraw(&self, chain: &CertChain, _: &[Site], _: Withdrawal) -> Result<Withdrawn, SinkError> {
        self.staple(chain.end_entity().as_der(), None);
        Ok(Withdrawn::Confirmed)
    }

    fn name(&self) -> String {
        "rustls".to_owned()
    }
}

pub(crate) async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        // An error concerns one connection: the client closed it before it was accepted.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(greet(stream, acceptor.clone()));
        }
    }
}

async fn greet(stream: TcpStream, acceptor: TlsAcceptor) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello\n").await?;
    stream.shutdown().await
}
