//! A certificate authority, real HAProxy processes, and a client that looks at what they staple.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::{Authority, Issued, Key, KeyType, Profile};
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::sink::{IssuerPlace, Lost, Site, StapleSink};
use stapled_core::staple::{JudgePolicy, Staple, judge};
use stapled_core::time::Timestamp;
use stapled_haproxy::{Address, HaproxySink};
use tempfile::TempDir;

/// How long a condition may take to come true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The HAProxy binaries to test with: those that `HAPROXY` names, separated by commas, or else the installed one.
pub(crate) fn binaries() -> Vec<String> {
    match std::env::var("HAPROXY") {
        Ok(names) => names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        Err(_) => {
            let on_path = Command::new("haproxy").arg("-v").output().is_ok();
            vec![if on_path { "haproxy" } else { "/usr/sbin/haproxy" }.to_owned()]
        }
    }
}

/// The first two numbers of a binary's version.
pub(crate) fn version(binary: &str) -> (u32, u32) {
    let said = Command::new(binary).arg("-v").output().expect("a version").stdout;
    let said = String::from_utf8_lossy(&said);
    let mut numbers = said.split_whitespace().nth(2).expect("a version").split(['.', '-']).map(str::parse);
    let mut next = || numbers.next().expect("a number").expect("a number");
    (next(), next())
}

/// As many as the proof asks for, or few enough for a test that answers in minutes.
pub(crate) fn how_many(full: usize, short: usize) -> usize {
    if std::env::var("STAPLED_PROVE").is_ok_and(|much| much == "full") { full } else { short }
}

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs().try_into().expect("a time")
}

/// How long a process has been busy, as Linux counts it: in hundredths of a second.
pub(crate) fn cpu_time(pid: u64) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // After the name in parentheses: the 14th and 15th field of all.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

/// Waits until something is there.
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_for_within(PATIENCE, what, look)
}

/// Waits so long until something is there.
pub(crate) fn wait_for_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder with certificates, and what HAProxy is to be told about them.
pub(crate) struct Lab {
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
}

/// A certificate in a file.
pub(crate) struct Cert {
    pub(crate) issued: Issued,
    pub(crate) chain: Arc<CertChain>,
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) host: String,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Lab {
            folder: tempfile::tempdir().expect("a folder"),
            authority: Authority::root("Lab").create().expect("an authority"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate with chain and key in `file`.
    pub(crate) fn cert(&self, file: &str) -> Cert {
        let cert = self.issue(file);
        std::fs::create_dir_all(cert.path.parent().expect("a folder")).expect("a folder");
        cert.issued.write_bundle(&cert.path).expect("a file");
        cert
    }

    /// So many certificates in `folder`, all with one key, since making keys takes longer than all the rest.
    pub(crate) fn many_certs(&self, folder: &str, count: usize) -> Vec<Cert> {
        std::fs::create_dir_all(self.path(folder)).expect("a folder");
        let certs = self.many_unwritten(folder, count);
        for cert in &certs {
            cert.issued.write_bundle(&cert.path).expect("a file");
        }
        certs
    }

    /// The same, in no file.
    pub(crate) fn many_unwritten(&self, folder: &str, count: usize) -> Vec<Cert> {
        let key = Arc::new(Key::generate(KeyType::EcdsaP256).expect("a key"));
        let issue =
            |number| self.issue_as(&format!("{folder}/{number}.pem"), |profile| profile.existing_key(Arc::clone(&key)));
        (0..count).map(issue).collect()
    }

    /// A certificate and key in `file`, without the issuer.
    pub(crate) fn lonely_cert(&self, file: &str) -> Cert {
        let cert = self.issue(file);
        std::fs::write(&cert.path, cert.issued.certificate_pem() + &cert.issued.key_pem()).expect("a file");
        cert
    }

    /// A certificate and key in `file` with these certificates behind it; with authorityKeyIdentifier or without.
    pub(crate) fn cert_before(&self, file: &str, names_key: bool, chain: &[&str]) -> Cert {
        let cert = self.issue_as(file, |profile| profile.authority_key_identifier(names_key));
        std::fs::create_dir_all(cert.path.parent().expect("a folder")).expect("a folder");
        let pem = [cert.issued.certificate_pem(), chain.concat(), cert.issued.key_pem()].concat();
        std::fs::write(&cert.path, pem).expect("a file");
        cert
    }

    fn issue(&self, file: &str) -> Cert {
        self.issue_as(file, |profile| profile)
    }

    fn issue_as(&self, file: &str, adapt: impl FnOnce(Profile) -> Profile) -> Cert {
        // A host of its own for each: HAProxy chooses by it.
        static HOSTS: AtomicUsize = AtomicUsize::new(0);
        let host = format!("host{}.example", HOSTS.fetch_add(1, Ordering::Relaxed));
        let issued = self.authority.issue(&adapt(Profile::server(&host))).expect("a certificate");
        let certificate = |der: &[u8]| Arc::new(Certificate::from_der(der).expect("a certificate"));
        let chain = CertChain::new(certificate(issued.der()), certificate(self.authority.certificate()));
        let path = self.path(file);
        let name = path.to_str().expect("text").to_owned();
        Cert { issued, chain: Arc::new(chain.expect("a chain")), path, name, host }
    }

    /// A staple that lasts this many seconds, different from every other.
    pub(crate) fn staple(&self, cert: &Cert, seconds: i64) -> Staple {
        self.padded_staple(cert, seconds, 0)
    }

    /// A response with these times, as somebody else may have got it.
    pub(crate) fn response(&self, cert: &Cert, this_update: i64, seconds: i64) -> Vec<u8> {
        self.answer(cert, this_update, now() + seconds).build().expect("a response")
    }

    /// The same with these certificates beside the signature.
    pub(crate) fn longer(&self, cert: &Cert, this_update: i64, seconds: i64, certificates: &[&[u8]]) -> Vec<u8> {
        let answer = self.answer(cert, this_update, now() + seconds);
        answer.certificates(certificates).build().expect("a response")
    }

    fn answer(&self, cert: &Cert, this_update: i64, next_update: i64) -> ResponseBuilder {
        let cert_id = self.authority.cert_id(cert.issued.serial(), HashAlgorithm::Sha1);
        ResponseBuilder::new(&self.authority).this_update(this_update).next_update(next_update).good(&cert_id)
    }

    /// One with so many bytes more.
    pub(crate) fn padded_staple(&self, cert: &Cert, seconds: i64, bytes: usize) -> Staple {
        let now = now();
        let mut builder = self.answer(cert, now - 60, now + seconds);
        if bytes > 0 {
            let mut value = vec![4, 0x82];
            value.extend(u16::try_from(bytes).expect("a size").to_be_bytes());
            value.extend(vec![0; bytes]);
            builder = builder.response_extension(&stapled_ca::Extension::new(&[1, 3, 6, 1, 4, 1, 55555, 1], value));
        }
        let response = builder.build().expect("a response");
        let at = Timestamp::from_unix(now);
        let judgement = judge(&response.into(), &cert.chain, at, &JudgePolicy::default(), None, &[]);
        judgement.expect("a good response").into_staple().expect("a staple")
    }

    /// Starts HAProxy with these lines after `bind unix@… ssl`.
    pub(crate) fn start(&self, binary: &str, bind: &str) -> Haproxy {
        self.start_with(binary, bind, "", &[])
    }

    pub(crate) fn start_with(&self, binary: &str, bind: &str, global: &str, arguments: &[&str]) -> Haproxy {
        let folder = self.folder.path().display();
        let configuration = format!(
            "global\n  stats socket {folder}/admin.sock level admin expose-fd listeners\n  {global}\n\
             defaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 10s\n\
             frontend f\n  bind unix@{folder}/tls.sock ssl {bind}\n"
        );
        std::fs::write(self.path("haproxy.cfg"), configuration).expect("a file");
        self.launch(binary, arguments)
    }

    /// One that serves no TLS.
    pub(crate) fn start_without_certificates(&self, binary: &str) -> Haproxy {
        self.start_in(binary, &format!("frontend f\n  bind unix@{}/tls.sock\n", self.folder.path().display()))
    }

    /// One with these sections besides `global` and `defaults`.
    pub(crate) fn start_in(&self, binary: &str, sections: &str) -> Haproxy {
        let folder = self.folder.path().display();
        let configuration = format!(
            "global\n  stats socket {folder}/admin.sock level admin\ndefaults\n  mode http\n  timeout client 10s\n  \
             timeout server 10s\n  timeout connect 10s\n{sections}"
        );
        std::fs::write(self.path("haproxy.cfg"), configuration).expect("a file");
        self.launch(binary, &[])
    }

    /// Starts HAProxy with the configuration that lies there.
    pub(crate) fn launch(&self, binary: &str, arguments: &[&str]) -> Haproxy {
        let errors = std::fs::File::create(self.path("errors.log")).expect("a file");
        let mut command = Command::new(binary);
        command.arg("-f").arg(self.path("haproxy.cfg")).args(arguments).current_dir(self.folder.path());
        command.stdout(Stdio::null()).stderr(errors).process_group(0);
        if !arguments.contains(&"-W") {
            command.arg("-db");
        }
        let child = command.spawn().expect("HAProxy");
        let pid = child.id();
        let (socket, tls, master) = (self.path("admin.sock"), self.path("tls.sock"), self.path("master.sock"));
        let mut haproxy = Haproxy { child, socket, tls, master };
        // It reads thousands of certificates first.
        wait_for_within(6 * PATIENCE, "HAProxy's socket", || {
            if let Ok(Some(status)) = haproxy.child.try_wait() {
                panic!("HAProxy ended: {status}: {}", std::fs::read_to_string(self.path("errors.log")).unwrap());
            }
            let info = haproxy.try_ask("show info")?;
            // A master may answer later than its worker.
            let is_ready = !arguments.contains(&"-S")
                || ask_at(&haproxy.master, "show proc\nquit\n").is_some_and(|reply| reply.contains(" worker "));
            (is_ready && arguments.contains(&"-W") || info.contains(&format!("Pid: {pid}\n"))).then_some(())
        });
        haproxy
    }
}

impl Cert {
    pub(crate) fn site(&self) -> Site {
        self.site_as(&self.name)
    }

    pub(crate) fn site_as(&self, name: &str) -> Site {
        Site {
            served_as: name.into(),
            file: Some(self.path.clone()),
            staple_file: None,
            staple_file_needed: false,
            issuer: IssuerPlace::SameFile,
        }
    }
}

/// A HAProxy process; ended on drop.
pub(crate) struct Haproxy {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) tls: PathBuf,
    /// Where its master is, if it has one.
    pub(crate) master: PathBuf,
}

/// A client in the midst of a connection; its worker does not end before it does.
pub(crate) struct Lingering(#[allow(dead_code)] UnixStream);

impl Haproxy {
    pub(crate) fn sink(&self) -> HaproxySink {
        sink(&self.socket)
    }

    pub(crate) fn try_ask(&self, command: &str) -> Option<String> {
        ask_at(&self.socket, command)
    }

    pub(crate) fn ask(&self, command: &str) -> String {
        self.try_ask(command).expect("an answer")
    }

    pub(crate) fn pid(&self) -> Option<u64> {
        self.try_ask("show info")?.lines().find_map(|line| line.strip_prefix("Pid: ")?.parse().ok())
    }

    /// One command to a worker, through the master.
    pub(crate) fn ask_worker(&self, pid: u64, command: &str) -> String {
        ask_at(&self.master, &format!("@!{pid} {command}\nquit\n")).expect("an answer")
    }

    /// A sink for the master, quick to notice.
    pub(crate) fn master_sink(&self) -> HaproxySink {
        sink_at(Address::master(&self.master))
    }

    /// Others replace a certificate, perhaps by itself.
    pub(crate) fn replace(&self, cert: &Cert) {
        self.ask(&format!("set ssl cert {} <<\n{}\n", cert.name, cert.issued.bundle_pem()));
        assert!(self.ask(&format!("commit ssl cert {}", cert.name)).contains("Success!"));
    }

    /// A client that stays connected.
    pub(crate) fn linger(&self, cert: &Cert) -> Lingering {
        Lingering(shake_hands(&self.tls, &cert.host).0)
    }

    /// What a TLS client gets stapled to this certificate.
    pub(crate) fn stapled(&self, cert: &Cert) -> Option<Vec<u8>> {
        stapled(&self.tls, &cert.host)
    }

    /// Has the master start a new worker; returns when that answers.
    pub(crate) fn reload(&self) {
        self.reload_within(Duration::from_secs(2));
    }

    /// The same where it usually takes less than so long: then it is told once more, since a master that has just been
    /// reloaded may miss the signal.
    pub(crate) fn reload_within(&self, usual: Duration) {
        let before = self.pid().expect("a process");
        let mut signals = 0;
        let start = Instant::now();
        wait_for_within(PATIENCE.max(2 * usual), "the new process", || {
            if start.elapsed() > usual * signals {
                self.signal("-USR2");
                signals += 1;
            }
            self.pid().filter(|pid| *pid != before)
        });
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill").success());
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // Its own process group: the workers of a master as well.
        let _ =
            Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// A sink that is quick to notice.
pub(crate) fn sink(socket: &Path) -> HaproxySink {
    sink_at(Address::unix(socket))
}

pub(crate) fn sink_at(address: Address) -> HaproxySink {
    HaproxySink::builder(address)
        .look_interval(Duration::from_millis(30))
        .compare_interval(Duration::from_millis(100))
        .build()
}

pub(crate) async fn lost(sink: &HaproxySink) -> Lost {
    tokio::time::timeout(PATIENCE, sink.lost()).await.expect("word of a loss")
}

/// One command, as other programs send it.
pub(crate) fn ask_at(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(command.as_bytes()).ok()?;
    if !command.ends_with('\n') {
        stream.write_all(b"\n").ok()?;
    }
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply)
}

/// What a TLS server staples, byte for byte; `None` for nothing.
pub(crate) fn stapled(socket: &Path, name: &str) -> Option<Vec<u8>> {
    shake_hands(socket, name).1
}

fn shake_hands(socket: &Path, name: &str) -> (UnixStream, Option<Vec<u8>>) {
    let seen = Arc::new(Seen::default());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = UnixStream::connect(socket).expect("HAProxy's TLS socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    while client.is_handshaking() {
        client.complete_io(&mut stream).expect("a handshake");
    }
    let staple = seen.0.lock().unwrap().clone();
    (stream, (!staple.is_empty()).then_some(staple))
}

/// Believes everything, and writes down the staple.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<u8>>);

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = ocsp_response.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
