//! Tests of staples with TLS clients: OpenSSL, GnuTLS (which aborts the handshake without a good staple), curl.
//!
//! The certificates in a response are not signed. Whatever certificates a CA or an intermediary adds, clients get the
//! delegate's certificate alone, or none.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use stapled_ca::lab::{Fault, Lab};
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder, Signer};
use stapled_ca::{Authority, Key, KeyType, Profile};
use stapled_tests::{Cert, Haproxy, Stapled, World, check_with_openssl, free_port, wait_until, with_each_haproxy};

/// A response longer than this does not fit HAProxy's buffer.
const BUFFER: usize = 12_000;

/// The certificates in a response before and after the delegate's certificate.
struct Shape {
    name: &'static str,
    before: Vec<Vec<u8>>,
    after: Vec<Vec<u8>>,
}

/// All shapes for the responses of a delegate, or of the issuer itself.
fn shapes(world: &World) -> Vec<Shape> {
    let impostor = Authority::root(world.ca.name()).create().unwrap();
    let ca = || vec![impostor.certificate().to_vec()];
    // A certificate with the delegate's name, another key, and another issuer of the same name.
    let twin = || vec![impostor.delegate(KeyType::EcdsaP256).unwrap().certificate().unwrap().to_vec()];
    let key = Arc::new(Key::generate(KeyType::EcdsaP256).unwrap());
    let profile = Profile::ocsp_responder("Test CA OCSP Responder").existing_key(key);
    let sixty = (0..60).map(|_| impostor.issue(&profile).unwrap().der().to_vec()).collect();
    let shape = |name, before, after| Shape { name, before, after };
    vec![
        shape("plain", vec![], vec![]),
        shape("twin-before", twin(), vec![]),
        shape("twin-after", vec![], twin()),
        shape("impostor-before", ca(), vec![]),
        shape("impostor-after", vec![], ca()),
        shape("issuer", vec![], vec![world.ca.certificate().to_vec()]),
        shape("sixty", sixty, vec![]),
    ]
}

/// One certificate for each shape, and one responder, for which a delegate may sign.
struct Scene {
    world: World,
    lab: Lab,
    signer: Signer,
    certs: Vec<(Cert, Shape)>,
    port: u16,
}

impl Scene {
    fn new(is_delegated: bool) -> Self {
        let world = World::new();
        fs::write(world.path("root.pem"), world.ca.root_pem()).unwrap();
        let signer = match is_delegated {
            true => world.ca.delegate(KeyType::EcdsaP256).unwrap(),
            false => world.ca.signer(),
        };
        let lab = Lab::builder().delegated(&world.ca, signer.clone()).validity(Duration::from_secs(86_400));
        let lab = lab.start().unwrap();
        let certs = shapes(&world).into_iter().map(|shape| (world.cert(shape.name, &lab.url()), shape)).collect();
        Scene { world, lab, signer, certs, port: free_port() }
    }

    fn haproxy(&self, binary: &str) -> Haproxy {
        let configuration = format!(
            "global\n  stats socket @ADMIN level admin\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl crt {0}\n  bind \
             127.0.0.1:{1} ssl crt {0}\n  http-request return status 200\n",
            self.world.certs().display(),
            self.port
        );
        Haproxy::of(binary, &self.world, "a").configuration(&configuration).start()
    }

    /// The response in this shape, as the responder would send it.
    fn long_form(&self, cert: &Cert, shape: &Shape) -> Vec<u8> {
        let own = self.signer.certificate().map(<[u8]>::to_vec);
        let all: Vec<&[u8]> = shape.before.iter().chain(&own).chain(&shape.after).map(Vec::as_slice).collect();
        let cert_id = self.world.ca.cert_id(cert.issued.serial(), HashAlgorithm::Sha1);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        let builder = ResponseBuilder::signed_by(self.signer.clone()).this_update(now - 60).next_update(now + 86_400);
        // Some clients take the first certificate with the name in the responderID.
        builder.good(&cert_id).responder_by_name().certificates(&all).build().unwrap()
    }

    /// Runs a client to its end. Returns whether it succeeded, and its output.
    fn client(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.world.path("")).stdin(Stdio::null());
        for variable in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(variable).env_remove(variable.to_uppercase());
        }
        let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", words[0]));
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    fn gnutls(&self, cert: &Cert) -> (bool, String) {
        let port = self.port.to_string();
        let host = cert.host.as_str();
        let names = ["--sni-hostname", host, "--verify-hostname", host];
        self.client(&[&["gnutls-cli", "--x509cafile", "root.pem", "-p", &port], &names[..], &["127.0.0.1"]].concat())
    }

    /// Runs curl, which fails without a good staple.
    fn curl(&self, cert: &Cert) -> (bool, String) {
        let resolve = format!("{}:{}:127.0.0.1", cert.host, self.port);
        let url = format!("https://{}:{}/", cert.host, self.port);
        self.client(&["curl", "-sS", "--cert-status", "--cacert", "root.pem", "--resolve", &resolve, &url])
    }

    fn openssl(&self, cert: &Cert) -> (bool, String) {
        let address = format!("127.0.0.1:{}", self.port);
        let verify = ["-CAfile", "root.pem", "-verify_return_error", "-status"];
        let name = ["-servername", cert.host.as_str()];
        self.client(&[&["openssl", "s_client", "-connect", &address], &name[..], &verify[..]].concat())
    }

    /// All clients accept every staple as good, and HAProxy and the file have the smallest form.
    fn expect_accepted(&self, haproxy: &Haproxy, how: &str) {
        for (cert, shape) in &self.certs {
            let how = format!("{how}, {}", shape.name);
            let staple = haproxy.staple(cert).unwrap_or_else(|| panic!("{how}: no staple"));
            assert!(staple.len() < BUFFER, "{how}: {} bytes", staple.len());
            let own = self.signer.certificate();
            let holds = |other: &[u8]| staple.windows(other.len()).any(|part| part == other);
            for other in shape.before.iter().chain(&shape.after) {
                assert!(!holds(other), "{how}: more than the delegate's certificate");
            }
            assert!(own.is_none_or(holds), "{how}: the delegate's certificate is missing");
            fs::write(self.world.path("served.ocsp"), &staple).unwrap();
            check_with_openssl(&self.world, &cert.issued, &self.world.path("served.ocsp"));
            wait_until(&format!("{how}: the file is the same"), || cert.staple_file().as_ref() == Some(&staple));
            let (is_content, said) = self.openssl(cert);
            assert!(is_content && said.contains("Cert Status: good"), "{how}: {said}");
            let (is_content, said) = self.gnutls(cert);
            assert!(is_content && said.contains("The certificate is trusted"), "{how}: {said}");
            let (is_content, said) = self.curl(cert);
            assert!(is_content, "{how}: {said}");
        }
    }
}

/// Responses from the responder reach HAProxy over the network.
#[test]
fn every_client_accepts_fetched_responses_with_any_certificates() {
    with_each_haproxy(|binary| {
        for is_delegated in [true, false] {
            let scene = Scene::new(is_delegated);
            for (cert, shape) in &scene.certs {
                let (before, after) = (shape.before.clone(), shape.after.clone());
                scene.lab.fault(cert.issued.serial(), Fault::Embedding { before, after });
            }
            let haproxy = scene.haproxy(binary);
            let stapled = Stapled::of(&scene.world).certs([scene.world.certs()]).sockets([haproxy.socket()]).start();
            for (cert, _) in &scene.certs {
                haproxy.wait_for_staple(cert);
            }
            scene.expect_accepted(&haproxy, if is_delegated { "fetched, delegated" } else { "fetched, direct" });
            stapled.stop();
        }
    });
}

/// Responses in the long form are in files, which HAProxy loaded at its start. No responder answers.
#[test]
fn every_client_accepts_responses_from_files_with_any_certificates() {
    with_each_haproxy(|binary| {
        for is_delegated in [true, false] {
            let scene = Scene::new(is_delegated);
            scene.lab.fault_all(Fault::HttpStatus { code: 503, retry_after: None });
            let long: Vec<_> = scene.certs.iter().map(|(cert, shape)| scene.long_form(cert, shape)).collect();
            let files = || scene.certs.iter().map(|(cert, _)| cert.staple_path()).zip(&long);
            // HAProxy does not start with a response that does not fit its buffer.
            for (path, long) in files().filter(|(_, long)| long.len() < BUFFER) {
                fs::write(path, long).unwrap();
            }
            let haproxy = scene.haproxy(binary);
            let of = |name: &str| &scene.certs.iter().find(|(_, shape)| shape.name == name).unwrap().0;
            assert!(haproxy.staple(of("twin-before")).is_some(), "HAProxy serves what lay there");
            // These clients accept the plain form, and refuse the odd one.
            assert!(scene.gnutls(of("plain")).0 && scene.curl(of("plain")).0);
            let odd = if is_delegated { "twin-before" } else { "impostor-before" };
            let (gnutls, curl) = (scene.gnutls(of(odd)), scene.curl(of(odd)));
            assert!(!gnutls.0, "{odd} is accepted as it is: {gnutls:?}");
            assert!(!is_delegated || !curl.0, "{odd} is accepted as it is: {curl:?}");

            for (path, long) in files().filter(|(_, long)| long.len() >= BUFFER) {
                fs::write(path, long).unwrap();
            }
            let stapled = Stapled::of(&scene.world).certs([scene.world.certs()]).sockets([haproxy.socket()]).start();
            for ((cert, shape), long) in scene.certs.iter().zip(&long) {
                let is_short = shape.before.is_empty() && shape.after.is_empty();
                let is_delivered = || haproxy.staple(cert).is_some_and(|staple| is_short || staple != *long);
                wait_until(&format!("{} is delivered in its smallest form", shape.name), is_delivered);
            }
            scene.expect_accepted(&haproxy, if is_delegated { "from files, delegated" } else { "from files, direct" });
            stapled.stop();
        }
    });
}
