//! Tests of challenges against real web and TLS servers.

use std::io::Write as _;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use stapled_ca::session::{Challenge, ChallengeType, Names, NetworkProber, ProbeError, Prober};
use stapled_ca::{Authority, Extension, Profile};
use stapled_tests::{HttpServer, ok};

use crate::world::World;

/// Every name leads to this address.
#[derive(Debug)]
struct Everywhere(&'static str);

#[async_trait]
impl Names for Everywhere {
    async fn addresses(&self, _name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![self.0.parse().unwrap()])
    }
}

pub(crate) fn prober(http_port: u16, tls_port: u16) -> NetworkProber {
    let mut prober = NetworkProber::default();
    prober.names = Box::new(Everywhere("127.0.0.1"));
    prober.rules.allowed = vec!["127.0.0.0/8".parse().unwrap()];
    (prober.http_port, prober.tls_port, prober.within) = (http_port, tls_port, Duration::from_secs(20));
    prober
}

/// A challenge of each type for this name.
async fn challenges(name: &str) -> Vec<Challenge> {
    let world = World::on_redis().await;
    let id = world.submit(&[name]).await;
    world.settle().await;
    world.session(&id).await.challenges
}

pub(crate) async fn challenge(kind: ChallengeType) -> Challenge {
    challenges("a.example").await.into_iter().find(|challenge| challenge.kind == kind).unwrap()
}

fn changed(challenge: &Challenge, change: impl FnOnce(&mut Challenge)) -> Challenge {
    let mut challenge = challenge.clone();
    change(&mut challenge);
    challenge
}

/// The text of the failure.
async fn refused(prober: &NetworkProber, challenge: &Challenge) -> String {
    prober.prove(challenge).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_01_reads_the_file_of_the_token() {
    let challenge = challenge(ChallengeType::Http01).await;
    let (path, contents) =
        (format!("GET /.well-known/acme-challenge/{} ", challenge.token), challenge.authorization.clone());
    let server = HttpServer::start(move |request, stream| {
        let body = if request.line.starts_with(&path) { format!("{contents}\n") } else { "other".to_owned() };
        stream.write_all(ok(&body).as_bytes()).is_ok()
    });
    let prober = prober(server.address.port(), 1);
    prober.prove(&challenge).await.unwrap();
    let host = format!("a.example:{}", server.address.port());
    assert_eq!(server.received.lock().unwrap()[0].header("host"), Some(host.as_str()));
    let other = changed(&challenge, |other| other.token = "other".to_owned());
    let reason =
        format!("http://{host}/.well-known/acme-challenge/other has other contents than the key authorization");
    assert_eq!(refused(&prober, &other).await, reason);
}

/// A server that sends this head for each request.
fn answering(head: &str) -> HttpServer {
    HttpServer::saying(format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn http_01_follows_redirects_by_the_same_rules() {
    let challenge = challenge(ChallengeType::Http01).await;
    let contents = challenge.authorization.clone();
    // Port 80 stands for the port of the tests.
    let server = HttpServer::start(move |request, stream| {
        let answer = match request.line.starts_with("GET /x?y ") {
            true => ok(&contents),
            false => "HTTP/1.1 302 Found\r\nlocation: http://b.example/x?y\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    prober(server.address.port(), 1).prove(&challenge).await.unwrap();
    assert_eq!(server.received().len(), 2);

    for (location, reason) in [
        ("302 Found\r\nlocation: http://[::1]/", "the authority does not ask ::1, to which ::1 leads"),
        (
            "302 Found\r\nlocation: http://169.254.169.254/",
            "the authority does not ask 169.254.169.254, to which 169.254.169.254 leads",
        ),
        ("302 Found\r\nlocation: https://a.example/", "a.example redirects to something else than http"),
        ("302 Found\r\nlocation: file:///etc/passwd", "a.example redirects nowhere"),
        ("302 Found", "a.example redirects nowhere"),
        ("302 Found\r\nlocation: http://a.example:6379/", "a.example redirects to port 6379, not to port 80"),
        ("307 Loop\r\nlocation: /again", "more than 10 redirects"),
        ("404 Not Found", "TOKEN answers with status 404"),
        ("206 Partial", "TOKEN answers with status 206"),
    ] {
        let server = answering(location);
        let url = format!("http://a.example:{}/.well-known/acme-challenge/{}", server.address.port(), challenge.token);
        assert_eq!(refused(&prober(server.address.port(), 1), &challenge).await, reason.replace("TOKEN", &url));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_to_the_authority_itself_is_not_asked() {
    let challenge = challenge(ChallengeType::Http01).await;
    let server = HttpServer::saying(ok(&challenge.authorization));
    let mut prober = prober(server.address.port(), 1);
    prober.rules.allowed.clear();
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "224.0.0.1", "169.254.1.1", "fe80::1"] {
        prober.names = Box::new(Everywhere(address));
        assert!(matches!(prober.prove(&challenge).await, Err(ProbeError::Address { .. })), "{address}");
    }
    assert!(server.received.lock().unwrap().is_empty());
}

/// Two addresses for every name.
#[derive(Debug)]
struct Both([&'static str; 2]);

#[async_trait]
impl Names for Both {
    async fn addresses(&self, _name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(self.0.iter().map(|address| address.parse().unwrap()).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_takes_no_connection_leaves_time_for_the_next() {
    let challenge = challenge(ChallengeType::Http01).await;
    // The queue of this socket is full, so the system drops further connections without an answer.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        waiting.push(stream);
    }
    let contents = challenge.authorization.clone();
    let good = TcpListener::bind(("127.0.0.4", address.port())).unwrap();
    let server = HttpServer::at(good, move |_, stream| stream.write_all(ok(&contents).as_bytes()).is_ok());
    let mut prober = prober(server.address.port(), 1);
    prober.names = Box::new(Both(["127.0.0.3", "127.0.0.4"]));
    (prober.within, prober.connect_within) = (Duration::from_secs(20), Duration::from_millis(300));
    prober.prove(&challenge).await.unwrap();
    assert_eq!(NetworkProber::default().connect_within, Duration::from_secs(3));
    prober.names = Box::new(Everywhere("127.0.0.3"));
    let failure = refused(&prober, &challenge).await;
    assert!(failure.starts_with(&format!("cannot connect to {address}: ")), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_endless_answers_are_bounded() {
    let challenge = challenge(ChallengeType::Http01).await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut prober = prober(silent.local_addr().unwrap().port(), silent.local_addr().unwrap().port());
    prober.within = Duration::from_millis(300);
    assert!(matches!(prober.prove(&challenge).await, Err(ProbeError::TimedOut { .. })));
    let endless = HttpServer::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 1000]).is_ok() {}
        false
    });
    prober.within = Duration::from_secs(20);
    prober.http_port = endless.address.port();
    assert!(refused(&prober, &challenge).await.ends_with("length limit exceeded"));
}

/// A TLS server that shows this certificate and speaks these protocols; its port.
pub(crate) fn tls_server(profile: &Profile, protocols: &[&[u8]]) -> u16 {
    let issued = Authority::root("Anybody").create().unwrap().issue(profile).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        rustls_pki_types::pem::PemObject::from_pem_slice(issued.key_pem().as_bytes())
            .map(|key: PrivatePkcs8KeyDer<'static>| key.secret_pkcs8_der().to_vec())
            .unwrap(),
    ));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    // rustls refuses to serve a certificate with an unknown critical extension only if it checks it: a resolver does not.
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![issued.der().to_vec().into()], signing);
    #[derive(Debug)]
    struct Always(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Always {
        fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(Always(Arc::new(certified))));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(config));
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
            let _ = connection.complete_io(&mut stream);
        }
    });
    port
}

/// The profile of the certificate that passes a challenge.
pub(crate) fn passing(challenge: &Challenge) -> Profile {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, challenge.authorization.as_bytes());
    let value = stapled_ca::der::value(stapled_ca::der::OCTET_STRING, digest.as_ref());
    Profile::server(&challenge.name).extension(Extension::critical(&[1, 3, 6, 1, 5, 5, 7, 1, 31], value))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_alpn_01_judges_the_certificate() {
    let challenge = challenge(ChallengeType::TlsAlpn01).await;
    let protocol: &[&[u8]] = &[b"acme-tls/1"];
    let port = tls_server(&passing(&challenge), protocol);
    prober(1, port).prove(&challenge).await.unwrap();

    let wrong_digest = changed(&challenge, |other| other.authorization = "other".to_owned());
    let no_digest = "the certificate does not have the digest of the key authorization";
    let other_name = "the certificate is not for this name alone";
    for (profile, protocols, reason) in [
        (passing(&wrong_digest), protocol, no_digest),
        (Profile::server("a.example"), protocol, no_digest),
        (passing(&changed(&challenge, |other| other.name = "b.example".to_owned())), protocol, other_name),
        (passing(&challenge).dns("b.example"), protocol, other_name),
        (passing(&challenge), &[], "the server does not speak acme-tls/1"),
    ] {
        let port = tls_server(&profile, protocols);
        assert_eq!(refused(&prober(1, port), &challenge).await, reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_alpn_01_proves_an_address() {
    let challenges = challenges("127.0.0.1").await;
    let challenge = challenges.iter().find(|challenge| challenge.kind == ChallengeType::TlsAlpn01).unwrap();
    let port = tls_server(&passing(challenge), &[b"acme-tls/1"]);
    prober(1, port).prove(challenge).await.unwrap();
}
