//! A QUIC server with quinn that staples from memory: it greets each client on a stream.
//!
//! ```text
//! cargo run --manifest-path tests/embed-servers/Cargo.toml --bin quinn -- 127.0.0.1:8443 fullchain.pem privkey.pem
//! ```

use std::error::Error;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use stapled_core::Stapler;
use stapled_core::event::Event;
use stapled_rustls::Stapling;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, chain, key] = arguments.as_slice() else { return Err("usage: quinn ADDRESS CHAIN KEY".into()) };
    let provider = Arc::new(ring::default_provider());
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = CertifiedKey::from_der(chain, PrivateKeyDer::from_pem_file(key)?, &provider)?;

    // These four lines, and the resolver below, staple; the rest is any server with quinn.
    let stapling = Arc::new(Stapling::new(Arc::new(SingleCertAndKey::from(key.clone()))));
    stapling.announce(&key);
    let stapler = Stapler::builder().group(stapling.group()).observer(|event: &Event| println!("{event}")).build()?;
    tokio::spawn(stapler.run(std::future::pending()));

    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(stapling);
    config.alpn_protocols = vec![b"greeting".to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config)?));
    let endpoint = quinn::Endpoint::server(config, address.parse()?)?;
    println!("listening on {}", endpoint.local_addr()?);
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(greet(incoming));
    }
    Ok(())
}

async fn greet(incoming: quinn::Incoming) -> Result<(), Box<dyn Error + Send + Sync>> {
    let connection = incoming.await?;
    let mut stream = connection.open_uni().await?;
    stream.write_all(b"hello from quinn").await?;
    stream.finish()?;
    connection.closed().await;
    Ok(())
}
