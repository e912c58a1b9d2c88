//! A web application with axum and one certificate, which staples from memory.
//!
//! ```text
//! cargo run -p stapled-examples --bin axum -- 127.0.0.1:8443 fullchain.pem privkey.pem
//! curl --cert-status --cacert ca.pem --connect-to example.org:443:127.0.0.1:8443 https://example.org/
//! ```

#![allow(clippy::print_stdout)] // This program has no log.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use stapled_core::event::Event;
use stapled_core::stapler::Stapler;
use stapled_rustls::Stapling;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, chain, key] = arguments.as_slice() else { return Err("usage: axum ADDRESS CHAIN KEY".into()) };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = CertifiedKey::from_der(chain, PrivateKeyDer::from_pem_file(key)?, &provider)?;

    // These four lines, and the resolver below, staple; the rest is any server with axum and rustls.
    let stapling = Arc::new(Stapling::new(Arc::new(SingleCertAndKey::from(key.clone()))));
    stapling.announce(&key);
    let stapler = Stapler::builder().group(stapling.group()).observer(|event: &Event| println!("{event}")).build()?;
    tokio::spawn(stapler.run(std::future::pending()));

    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(stapling);
    let application = Router::new().route("/", get(async || "hello from axum"));
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        // An error concerns one connection: the client closed it before it was accepted.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, acceptor.clone(), application.clone()));
        }
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, application: Router) -> std::io::Result<()> {
    let stream = TokioIo::new(acceptor.accept(stream).await?);
    let service = service_fn(move |request: Request<Incoming>| application.clone().call(request));
    http1::Builder::new().serve_connection(stream, service).await.map_err(std::io::Error::other)
}
