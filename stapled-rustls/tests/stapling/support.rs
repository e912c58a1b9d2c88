//! A TLS server with a stapler, and a responder behind it.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use stapled_ca::lab::Lab;
use stapled_ca::{Issued, Profile};
use stapled_core::inventory::Inventory;
use stapled_core::stapler::{Handle, Stapler};
use stapled_rustls::Stapling;
use stapled_tests::{Trust, World, handshake_over, wait_for};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

pub(crate) struct Server {
    pub(crate) stapling: Arc<Stapling>,
    pub(crate) handle: Handle,
    pub(crate) address: SocketAddr,
    pub(crate) runtime: Runtime,
}

/// A responder for the certificates of a world.
pub(crate) fn responder(world: &World) -> Lab {
    Lab::start([&world.ca]).unwrap()
}

/// Issues a certificate and its key for rustls.
pub(crate) fn issue(
    world: &World,
    lab: &Lab,
    name: &str,
    adapt: impl FnOnce(Profile) -> Profile,
) -> (Issued, Arc<CertifiedKey>) {
    let issued = world.ca.issue(&adapt(Profile::server(name).ocsp_url(lab.url()))).unwrap();
    let key = key_of(&issued);
    (issued, key)
}

/// The chain and key of a certificate for rustls.
pub(crate) fn key_of(issued: &Issued) -> Arc<CertifiedKey> {
    let chain = std::iter::once(issued.der()).chain(issued.chain().iter().map(Vec::as_slice));
    let chain = chain.map(|der| CertificateDer::from(der.to_vec())).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem().as_bytes()).unwrap();
    Arc::new(CertifiedKey::from_der(chain, key, &default_provider()).unwrap())
}

impl Server {
    /// Starts a server as the documentation of the crate says.
    pub(crate) fn start(stapling: Stapling) -> Self {
        let runtime = Runtime::new().unwrap();
        let _entered = runtime.enter();
        let stapling = Arc::new(stapling);
        let stapler = Stapler::builder().group(stapling.group()).rescan_interval(Duration::from_secs(3600));
        let stapler = stapler.build().unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(stapling.clone());
        let handle = stapler.handle();
        runtime.spawn(stapler.run(std::future::pending()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        runtime.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let acceptor = acceptor.clone();
                // The client closes the connection.
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await?;
                    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
                });
            }
        });
        drop(_entered);
        Server { stapling, handle, address, runtime }
    }

    /// The certificate and the staple that a client of this host gets.
    pub(crate) fn handshake(&self, host: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let handshake = handshake_over(&mut stream, host, Trust::Any).expect("a handshake");
        (handshake.certificate, handshake.staple)
    }

    pub(crate) fn staple(&self, host: &str) -> Option<Vec<u8>> {
        self.handshake(host).1
    }

    pub(crate) fn wait_for_staple(&self, host: &str) -> Vec<u8> {
        wait_for("a staple", || self.staple(host))
    }

    pub(crate) fn inventory(&self) -> Arc<Inventory> {
        self.handle.inventory()
    }
}
