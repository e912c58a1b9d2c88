//! A reverse proxy with Pingora that chooses the certificate by SNI, and staples from memory.
//!
//! ```text
//! cargo run --manifest-path tests/embed-servers/Cargo.toml --features pingora --bin pingora -- \
//!     127.0.0.1:8443 127.0.0.1:8080 example.org fullchain.pem privkey.pem
//! ```
//!
//! Each further host is three more arguments. Pingora's feature `rustls` takes a resolver; its rustls uses `ring`.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::*;
use pingora::server::ShutdownWatch;
use pingora::services::background::{BackgroundService, background_service};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use stapled_core::Stapler;
use stapled_core::event::Event;
use stapled_rustls::{Certificates, Stapling};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: pingora ADDRESS BACKEND [HOST CHAIN KEY]...";
    let (address, backend) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let certificates = Arc::new(Certificates::new());
    while let (Some(host), Some(chain), Some(key)) = (arguments.next(), arguments.next(), arguments.next()) {
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
        let key = CertifiedKey::from_der(chain, PrivateKeyDer::from_pem_file(key)?, &ring::default_provider())?;
        certificates.set(&host, Arc::new(key));
    }

    let stapling = Arc::new(certificates.stapling());
    let mut server = Server::new(None)?;
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, Proxy(backend));
    // With a resolver, the files are not used.
    let mut tls = TlsSettings::intermediate("", "")?;
    tls.set_cert_resolver(stapling.clone());
    proxy.add_tls_with_settings(&address, None, tls);
    server.add_service(proxy);
    server.add_service(background_service("stapler", Staples(stapling)));
    server.run_forever()
}

struct Proxy(String);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&*self.0, false, String::new())))
    }
}

/// The stapler: a service of the server, which runs until the server shuts down.
struct Staples(Arc<Stapling>);

#[async_trait]
impl BackgroundService for Staples {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        match Stapler::builder().group(self.0.group()).observer(|event: &Event| println!("{event}")).build() {
            Ok(stapler) => stapler.run(async move { _ = shutdown.changed().await }).await,
            Err(error) => eprintln!("no stapler: {error}"),
        }
    }
}
