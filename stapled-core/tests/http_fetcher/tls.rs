//! Tests of the program's own TLS configuration, and of the local address of connections.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::{Arc, Mutex};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};
use stapled_ca::{Authority, Profile};
use stapled_core::io::http::HttpFetcher;

use crate::addresses::known;
use crate::world::*;

/// A TLS server that answers each request with `answer`. Returns its port, and the configuration of a client that
/// trusts it.
fn secure_server() -> (u16, ClientConfig) {
    let ca = Authority::root("A private CA").create().unwrap();
    let issued = ca.issue(&Profile::server("localhost")).unwrap();
    let chain = vec![CertificateDer::from(issued.der().to_vec())];
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem().as_bytes()).unwrap();
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let config = Arc::new(builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut tls, &mut stream);
            let mut bytes = [0; 4096];
            // The handshake of a client that does not trust the server fails here.
            if tls.read(&mut bytes).is_ok() {
                tls.write_all(ok("answer").as_bytes()).unwrap();
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca.certificate().to_vec())).unwrap();
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    (port, builder.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn the_tls_configuration_of_the_program_counts() {
    let (port, mut config) = secure_server();
    // Protocols that the configuration has for other uses do no harm.
    config.alpn_protocols = vec![b"h2".to_vec()];
    let url = format!("https://localhost:{port}/");
    let trusting = Asker::with(quick().shared_resolver(known(&["127.0.0.1"])).tls_config(config));
    assert_eq!(body(trusting.post(&url).await), b"answer");
    let distrusting = Asker::with(quick().shared_resolver(known(&["127.0.0.1"])).crypto_provider(default_provider()));
    let error = distrusting.post(&url).await.unwrap_err();
    assert_eq!(error.code().as_str(), "connect_failed", "{error}");
}

#[tokio::test]
async fn https_without_a_provider_fails_with_what_to_do() {
    let error = Asker::with(HttpFetcher::builder()).post("https://127.0.0.1:1/").await.unwrap_err().to_string();
    for word in ["no TLS provider", "HttpFetcherBuilder::crypto_provider", "tls_config", "install_default"] {
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn connections_come_from_the_local_address() {
    let peers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&peers);
    let server = HttpServer::start(move |_, stream| {
        seen.lock().unwrap().push(stream.peer_addr().unwrap().ip());
        stream.write_all(ok("answer").as_bytes()).is_ok()
    });
    let local = Ipv4Addr::new(127, 0, 0, 7);
    let asker = Asker::with(quick().local_address(IpAddr::V4(local)));
    assert_eq!(body(asker.post(&server.url()).await), b"answer");
    assert_eq!(*peers.lock().unwrap(), [local]);
    let other_family = Asker::with(quick().local_address(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    assert_eq!(code(other_family.post(&server.url()).await), "connect_failed");
    assert_eq!(peers.lock().unwrap().len(), 1);
}
