//! Each server staples what the CA answers.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use stapled_ca::Profile;
use stapled_ca::lab::Lab;
use stapled_tests::{HttpServer, Running, Trust, World, client, free_port, handshake_over, ok, wait_for};

/// A CA with its responder, and the certificate of a host in files.
struct Setting {
    world: World,
    lab: Lab,
    files: [String; 2],
}

impl Setting {
    fn new() -> Self {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let issued = world.ca.issue(&Profile::server("a.test").ocsp_url(lab.url()).must_staple(true)).unwrap();
        let files = ["chain.pem", "key.pem"].map(|name| world.path(name).to_str().unwrap().to_owned());
        std::fs::write(&files[0], issued.certificate_pem() + &issued.chain_pem()).unwrap();
        std::fs::write(&files[1], issued.key_pem()).unwrap();
        Setting { world, lab, files }
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Running {
        let mut command = Command::new(program);
        command.args(arguments).args(&self.files).stdin(Stdio::piped());
        Running::start(command)
    }

    fn root(&self) -> Trust<'_> {
        Trust::Root(self.world.ca.certificate())
    }
}

#[cfg(feature = "pingora")]
#[test]
fn a_reverse_proxy_with_pingora() {
    let setting = Setting::new();
    let backend = HttpServer::saying(ok("from the backend"));
    let address = format!("127.0.0.1:{}", free_port());
    let _program = setting.start(env!("CARGO_BIN_EXE_pingora"), &[&address, &backend.address.to_string(), "a.test"]);
    wait_for("a staple", || {
        let mut stream = TcpStream::connect(&address).ok()?;
        handshake_over(&mut stream, "a.test", setting.root()).unwrap().staple
    });
    assert_eq!(setting.lab.requests().len(), 1);
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--cert-status", "--cacert"])
        .arg({
            let ca = setting.world.path("ca.pem");
            std::fs::write(&ca, setting.world.ca.certificate_pem()).unwrap();
            ca
        })
        .args(["--connect-to", &format!("a.test:443:{address}"), "https://a.test/"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("from the backend"), "{said}");
}

#[test]
fn a_quic_server_with_quinn() {
    let setting = Setting::new();
    let program = setting.start(env!("CARGO_BIN_EXE_quinn"), &["127.0.0.1:0"]);
    let address: SocketAddr = program.line("listening on ").replace("listening on ", "").parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    wait_for("a staple", || {
        runtime.block_on(async {
            let (mut config, seen) = client(setting.root());
            config.alpn_protocols = vec![b"greeting".to_vec()];
            let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let (endpoint, runtime) = (quinn::EndpointConfig::default(), Arc::new(quinn::TokioRuntime));
            let endpoint = quinn::Endpoint::new(endpoint, None, socket, runtime).unwrap();
            let connection = endpoint.connect_with(config, address, "a.test").unwrap().await.unwrap();
            let greeting = connection.accept_uni().await.unwrap().read_to_end(100).await.unwrap();
            assert_eq!(greeting, b"hello from quinn");
            seen().staple
        })
    });
    assert_eq!(setting.lab.requests().len(), 1);
}
