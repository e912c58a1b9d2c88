use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ::rustls::ServerConfig;
use ::rustls::crypto::aws_lc_rs;
use ::rustls::pki_types::pem::PemObject;
use ::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ::rustls::sign::CertifiedKey;
use stapled_core::stapler::Stapler;
use stapled_rustls::Certificates;
use stapled_tests::{PATIENCE, wait_for};
use tokio::io::AsyncReadExt;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::support::{self, HOUR, InProcess, World};

#[test]
fn a_host_is_served_without_a_staple_and_then_with_it() {
    let world = World::new();
    world.issue("a.test");
    world.issue("b.test");
    world.proxy.hold(true);
    let files = |host| [world.text(&format!("certs/{host}.pem")), world.text(&format!("{host}.key"))];
    let ([a_chain, a_key], [b_chain, b_key]) = (files("a.test"), files("b.test"));
    let arguments = ["127.0.0.1:0", "a.test", &a_chain, &a_key, "b.test", &b_chain, &b_key];
    let program = support::example(env!("CARGO_BIN_EXE_rustls"), &arguments);
    let address = program.line("listening on ").replace("listening on ", "");
    let handshake = |host| world.stapled(TcpStream::connect(&address).unwrap(), host);
    assert_eq!(handshake("a.test"), None);

    world.proxy.hold(false);
    let a = wait_for("a staple", || handshake("a.test"));
    let b = wait_for("the other's staple", || handshake("b.test"));
    assert!(a != b && world.proxy.responses().contains(&a) && world.proxy.responses().contains(&b));
    let said = world.openssl(["-connect", &address], "a.test");
    assert!(said.contains("OCSP Response Status: successful (0x0)"), "{said}");
    assert!(said.contains("Cert Status: good"), "{said}");
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    program.signal("INT");
    assert_eq!(program.end(PATIENCE).code, 0);
}

#[test]
fn a_renewed_staple_replaces_the_earlier_one_and_a_revoked_certificate_has_none() {
    let world = World::new();
    let issued = world.issue("a.test");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificates = Arc::new(Certificates::new());
    let chain = [issued.der(), world.ca.certificate()].map(|der| CertificateDer::from(der.to_vec()));
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem().as_bytes()).unwrap();
    certificates.set("a.test", Arc::new(CertifiedKey::from_der(chain.to_vec(), key, &provider).unwrap()));
    let stapling = Arc::new(certificates.stapling());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(stapling.clone());
    let server = Runtime::new().unwrap();
    let listener = server.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    server.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { acceptor.accept(stream).await?.read(&mut [0]).await });
        }
    });
    let handshake = || world.stapled(TcpStream::connect(address).unwrap(), "a.test");

    let stapler = InProcess::start(Stapler::builder().group(stapling.group()));
    let first = wait_for("a staple", handshake);
    stapler.pass_until(HOUR, "a renewal", || world.lab.requests_for(issued.serial()) == 2);
    let second = wait_for("a new staple", || handshake().filter(|staple| *staple != first));
    assert_eq!(world.proxy.responses(), [first, second]);
    world.lab.revoke(issued.serial()).unwrap();
    stapler.pass_until(HOUR, "the withdrawal", || handshake().is_none());
}
