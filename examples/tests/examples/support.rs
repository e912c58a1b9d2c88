//! A CA whose answers are recorded, and a stapler with a clock that the tests advance.

use std::io::{Read, Write};
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use stapled_ca::lab::Lab;
use stapled_ca::{Authority, Issued, Profile};
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::inventory::Inventory;
use stapled_core::stapler::StaplerBuilder;
use stapled_core::time::Timestamp;
use stapled_tests::{Haproxy, RecordingProxy, Running, Trust, binaries, handshake_over, wait_for};
use tokio::runtime::Runtime;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A directory with a CA, whose responder is behind a recording proxy.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) proxy: RecordingProxy,
    harness: stapled_tests::World,
}

impl Deref for World {
    type Target = stapled_tests::World;

    fn deref(&self) -> &Self::Target {
        &self.harness
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let harness = stapled_tests::World::under(Authority::root("Example CA").create().unwrap());
        let lab = Lab::start([&harness.ca]).unwrap();
        std::fs::write(harness.path("ca.pem"), harness.ca.certificate_pem()).unwrap();
        World { proxy: RecordingProxy::start(lab.address()), lab, harness }
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn profile(&self, host: &str) -> Profile {
        Profile::server(host).ocsp_url(self.proxy.url())
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

    /// Writes a file atomically.
    fn replace(&self, name: &str, text: &str) {
        std::fs::write(self.path("draft"), text).unwrap();
        std::fs::rename(self.path("draft"), self.path(name)).unwrap();
    }

    /// A HAProxy with `haproxy.cfg` that serves this host's certificate on `tls.sock`; its admin socket is
    /// `admin.sock`.
    pub(crate) fn haproxy(&self, host: &str) -> Haproxy {
        let issued = self.ca.issue(&self.profile(host)).unwrap();
        std::fs::write(self.path(&format!("certs/{host}.pem")), issued.bundle_pem()).unwrap();
        Haproxy::of(&binaries()[0], self, "").start()
    }

    /// OpenSSL's output about a handshake that requests a staple.
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

    /// The answer of a server to a request for this path, as OpenSSL prints it.
    pub(crate) fn request(&self, address: &str, host: &str, path: &str) -> String {
        // `-quiet` reads until the server closes the connection.
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-servername", host, "-connect", address, "-CAfile"])
            .arg(self.path("ca.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        client.stdin.as_mut().unwrap().write_all(request.as_bytes()).unwrap();
        String::from_utf8_lossy(&client.wait_with_output().unwrap().stdout).into_owned()
    }

    /// The bytes of the staple that a client gets. The client verifies the certificate.
    pub(crate) fn stapled(&self, mut stream: impl Read + Write, host: &str) -> Option<Vec<u8>> {
        let handshake = handshake_over(&mut stream, host, Trust::Root(self.ca.certificate()));
        handshake.expect("a handshake").staple
    }
}

/// Starts one of the examples.
pub(crate) fn example(path: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::piped());
    Running::start(command)
}

/// A stapler in this process, whose clock a test can advance. Its drop ends it.
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

    /// Advances the stapler's clock by this time, and then by one hour at a time until a condition holds. After a jump
    /// of the clock, the stapler spreads the tasks that are due over some hours.
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

/// The contents of a file. `None` if it does not exist.
pub(crate) fn contents(path: impl AsRef<Path>) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}
