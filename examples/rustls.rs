//! A TLS server with rustls that staples from memory.
//!
//! `stapled-rustls` wraps the table of certificates: rustls takes the certificate of a host from it, and a stapler in the same
//! program gets the staples. A handshake takes no lock, and a host without a staple is served, too.
//!
//! ```text
//! cargo run -p stapled-examples --bin rustls -- 127.0.0.1:8443 example.org fullchain.pem privkey.pem
//! openssl s_client -connect 127.0.0.1:8443 -servername example.org -status </dev/null
//! ```
//!
//! Each further host is three more arguments.

#![allow(clippy::print_stdout)] // This program has no log.

use std::error::Error;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use stapled_core::event::Event;
use stapled_core::stapler::Stapler;
use stapled_rustls::Certificates;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: rustls ADDRESS [HOST CHAIN KEY]...")?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificates = Arc::new(Certificates::new());
    while let (Some(host), Some(chain), Some(key)) = (arguments.next(), arguments.next(), arguments.next()) {
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
        let key = CertifiedKey::from_der(chain, PrivateKeyDer::from_pem_file(key)?, &provider)?;
        certificates.set(&host, Arc::new(key));
    }

    // These two lines, and the resolver below, staple; the rest is any server with rustls.
    let stapling = Arc::new(certificates.stapling());
    let stapler = Stapler::builder().group(stapling.group()).observer(|event: &Event| println!("{event}")).build()?;

    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(stapling);
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    // The server starts at once, and runs as long as the stapler.
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
    stapler.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
    Ok(())
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
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
