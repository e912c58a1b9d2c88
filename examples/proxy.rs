//! A reverse proxy with hyper: TLS with staples on one side, HTTP to one server on the other.
//!
//! ```text
//! cargo run -p stapled-examples --bin proxy -- 127.0.0.1:8443 127.0.0.1:8080 example.org fullchain.pem privkey.pem
//! curl --cert-status --cacert ca.pem --connect-to example.org:443:127.0.0.1:8443 https://example.org/
//! ```
//!
//! Each further host is three more arguments; the client's SNI chooses.

#![allow(clippy::print_stdout)] // This program has no log.

use std::error::Error;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use stapled_core::event::Event;
use stapled_core::stapler::Stapler;
use stapled_rustls::Certificates;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: proxy ADDRESS BACKEND [HOST CHAIN KEY]...";
    let (address, backend) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificates = Arc::new(Certificates::new());
    while let (Some(host), Some(chain), Some(key)) = (arguments.next(), arguments.next(), arguments.next()) {
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
        let key = CertifiedKey::from_der(chain, PrivateKeyDer::from_pem_file(key)?, &provider)?;
        certificates.set(&host, Arc::new(key));
    }

    // These two lines, and the resolver below, staple; the rest is any proxy with hyper and rustls.
    let stapling = Arc::new(certificates.stapling());
    let stapler = Stapler::builder().group(stapling.group()).observer(|event: &Event| println!("{event}")).build()?;

    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(stapling);
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), backend.into()));
    stapler.run(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
    Ok(())
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, backend: Arc<str>) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    loop {
        // An error concerns one connection: the client closed it before it was accepted.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(forward(stream, acceptor.clone(), client.clone(), Arc::clone(&backend)));
        }
    }
}

/// Forwards the requests of one connection.
async fn forward(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    client: Client<HttpConnector, Incoming>,
    backend: Arc<str>,
) -> std::io::Result<()> {
    let stream = acceptor.accept(stream).await?;
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (client, backend) = (client.clone(), Arc::clone(&backend));
        async move {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            *request.uri_mut() = format!("http://{backend}{path}").parse().map_err(std::io::Error::other)?;
            client.request(request).await.map_err(std::io::Error::other)
        }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(std::io::Error::other)
}
