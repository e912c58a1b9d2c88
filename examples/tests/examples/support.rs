//! A CA whose answers are written down on their way, programs that end with their test, and clients that look at what is
//! stapled to them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use stapled_ca::lab::Lab;
use stapled_ca::{Authority, Issued, Profile};
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::inventory::Inventory;
use stapled_core::stapler::StaplerBuilder;
use stapled_core::time::Timestamp;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is there.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come true");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A CA, its responder behind a tap, and a folder.
pub(crate) struct World {
    pub(crate) ca: Authority,
    pub(crate) lab: Lab,
    pub(crate) tap: Tap,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let ca = Authority::root("Example CA").create().unwrap();
        let lab = Lab::start([&ca]).unwrap();
        let world = World { tap: Tap::start(lab.address()), lab, ca, folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(world.path("certs")).unwrap();
        std::fs::write(world.path("ca.pem"), world.ca.certificate_pem()).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn profile(&self, host: &str) -> Profile {
        Profile::server(host).ocsp_url(self.tap.url())
    }

    /// A certificate with its chain in `certs/HOST.pem`, and its key in `HOST.key`.
    pub(crate) fn issue(&self, host: &str) -> Issued {
        self.issue_from(host, &self.profile(host))
    }

    pub(crate) fn issue_from(&self, host: &str, profile: &Profile) -> Issued {
        let issued = self.ca.issue(profile).unwrap();
        std::fs::write(self.path(&format!("{host}.key")), issued.key_pem()).unwrap();
        self.replace(&format!("certs/{host}.pem"), &(issued.certificate_pem() + &issued.chain_pem()));
        issued
    }

    /// Writes a file whole.
    fn replace(&self, name: &str, text: &str) {
        std::fs::write(self.path("draft"), text).unwrap();
        std::fs::rename(self.path("draft"), self.path(name)).unwrap();
    }

    /// A HAProxy with `haproxy.cfg` that serves this host's certificate on `tls.sock`; its admin socket is `admin.sock`.
    pub(crate) fn haproxy(&self, host: &str) -> Program {
        let issued = self.ca.issue(&self.profile(host)).unwrap();
        std::fs::write(self.path(&format!("certs/{host}.pem")), issued.bundle_pem()).unwrap();
        let configuration = format!(
            "global\n  stats socket {admin} level admin\ndefaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  \
             timeout connect 10s\nfrontend f\n  bind unix@{tls} ssl crt {certs}\n",
            admin = self.text("admin.sock"),
            tls = self.text("tls.sock"),
            certs = self.text("certs"),
        );
        std::fs::write(self.path("haproxy.cfg"), configuration).unwrap();
        let on_path = Command::new("haproxy").arg("-v").output().is_ok();
        let mut haproxy = Command::new(if on_path { "haproxy" } else { "/usr/sbin/haproxy" });
        haproxy.arg("-db").arg("-f").arg(self.path("haproxy.cfg"));
        Program::start(haproxy)
    }

    /// What OpenSSL says of a handshake that asks for a staple.
    pub(crate) fn openssl(&self, connect: [&str; 2], host: &str) -> String {
        let output = Command::new("openssl")
            .args(["s_client", "-status", "-verify_return_error", "-servername", host])
            .args(connect)
            .arg("-CAfile")
            .arg(self.path("ca.pem"))
            .stdin(Stdio::null())
            .output()
            .expect("openssl");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a client that checks the certificate gets stapled to it, byte for byte.
    pub(crate) fn stapled(&self, stream: impl Read + Write, host: &str) -> Option<Vec<u8>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.ca.certificate().to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
        let seen = Arc::new(Seen { verifier, staple: Mutex::default() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(seen.clone())
            .with_no_client_auth();
        let host = ServerName::try_from(host.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), host).unwrap();
        let mut stream = stream;
        while client.is_handshaking() {
            client.complete_io(&mut stream).expect("a handshake");
        }
        let staple = seen.staple.lock().unwrap().clone();
        (!staple.is_empty()).then_some(staple)
    }
}

/// Checks as every client does, and writes down the staple.
#[derive(Debug)]
struct Seen {
    verifier: Arc<WebPkiServerVerifier>,
    staple: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.staple.lock().unwrap() = ocsp_response.to_vec();
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Stands between staplers and the responder, and keeps a copy of what that sends.
pub(crate) struct Tap {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What was sent, by connection.
    sent: Mutex<Vec<Vec<u8>>>,
    gate: Mutex<Gate>,
    moved: Condvar,
}

#[derive(Default)]
struct Gate {
    held: bool,
    ended: bool,
}

impl Tap {
    fn start(responder: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tap = Tap { address: listener.local_addr().unwrap(), shared: Arc::default() };
        let shared = tap.shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.gate.lock().unwrap().ended {
                    return;
                }
                let (client, shared) = (client.unwrap(), shared.clone());
                thread::spawn(move || shared.pass_on(client, responder));
            }
        });
        tap
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Lets nothing through until it is told otherwise.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.gate.lock().unwrap().held = held;
        self.shared.moved.notify_all();
    }

    /// The OCSP responses that went through.
    pub(crate) fn responses(&self) -> Vec<Vec<u8>> {
        self.shared.sent.lock().unwrap().iter().flat_map(|sent| bodies(sent)).collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.gate.lock().unwrap().ended = true;
        self.shared.moved.notify_all();
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn pass_on(&self, client: TcpStream, responder: SocketAddr) {
        let gate = self.gate.lock().unwrap();
        drop(self.moved.wait_while(gate, |gate| gate.held && !gate.ended).unwrap());
        let Ok(server) = TcpStream::connect(responder) else { return };
        let number = {
            let mut sent = self.sent.lock().unwrap();
            sent.push(Vec::new());
            sent.len() - 1
        };
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Write);
        });
        let (mut from_server, mut to_client) = (server, client);
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut buffer) {
            // Written down first: who has it can find it here.
            self.sent.lock().unwrap()[number].extend(&buffer[..count]);
            if to_client.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    }
}

/// The bodies of HTTP responses, one after the other on a connection.
fn bodies(mut sent: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some(end) = sent.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&sent[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let (from, to) = (end + 4, end + 4 + length.unwrap_or(0));
        let Some(body) = sent.get(from..to) else { break };
        bodies.push(body.to_vec());
        sent = &sent[to..];
    }
    bodies
}

/// A program; it and all that it started end on drop.
pub(crate) struct Program {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// One of the examples.
    pub(crate) fn example(path: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(path);
        command.args(arguments);
        Self::start(command)
    }

    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let (stdout, lines) = (child.stdout.take().unwrap(), said.clone());
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| lines.lock().unwrap().push(line));
        });
        Program { child, said }
    }

    pub(crate) fn stdin(&mut self) -> &mut Option<ChildStdin> {
        &mut self.child.stdin
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// The first line with these words in it, now or later.
    pub(crate) fn line(&self, words: &str) -> String {
        wait_for(&format!("{words:?}"), || self.said().into_iter().find(|line| line.contains(words)))
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(mut self) -> bool {
        wait_for("the end", || self.child.try_wait().unwrap()).success()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn interrupt(&self) {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Its own process group: the workers of a master as well.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// A stapler in this process, whose clock can be put forward. It ends on drop.
pub(crate) struct InProcess {
    pub(crate) inventory: Arc<Inventory>,
    clock: Arc<Ahead>,
    _runtime: Runtime,
}

impl InProcess {
    pub(crate) fn start(builder: StaplerBuilder) -> Self {
        let runtime = Runtime::new().unwrap();
        let clock = Arc::new(Ahead::default());
        let entered = runtime.enter();
        let stapler = builder.shared_clock(clock.clone()).build().unwrap();
        let inventory = stapler.inventory();
        runtime.spawn(stapler.run(std::future::pending()));
        drop(entered);
        InProcess { inventory, clock, _runtime: runtime }
    }

    /// Lets this much time pass for the stapler, and then hour after hour until a condition holds: what fell due in a jump
    /// of the clock is spread over some hours.
    pub(crate) fn pass_until(&self, time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
        self.pass(time);
        let mut last = Instant::now();
        wait_for(what, || {
            let is_so = holds();
            if !is_so && last.elapsed() > Duration::from_millis(500) {
                self.pass(HOUR);
                last = Instant::now();
            }
            is_so.then_some(())
        });
    }

    fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(time.as_millis().try_into().unwrap(), Ordering::SeqCst);
    }
}

/// The machine's clock, some milliseconds ahead.
#[derive(Debug, Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(SystemClock.now().unix_millis() + self.0.load(Ordering::SeqCst))
    }

    fn longest_sleep(&self) -> Duration {
        Duration::from_millis(10)
    }
}

/// The contents of a file, if it is there.
pub(crate) fn contents(path: impl AsRef<Path>) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}
