//! The real HAProxy.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stapled::tail;
use crate::tls::{Handshake, handshake};
use crate::wait::{PATIENCE, wait_for};
use crate::world::{Cert, World};

/// Runs `test` with each HAProxy that the variable `HAPROXY` names, separated by commas; without it, with the one that
/// is installed. All at the same time, since a test mostly waits.
pub fn with_each_haproxy(test: impl Fn(&str) + Sync) {
    let binaries = binaries();
    assert!(!binaries.is_empty(), "HAPROXY names no program");
    std::thread::scope(|scope| {
        let runs: Vec<_> = binaries.iter().map(|binary| (binary, scope.spawn(|| test(binary)))).collect();
        let failed: Vec<_> =
            runs.into_iter().filter_map(|(binary, run)| run.join().is_err().then_some(binary.as_str())).collect();
        assert!(failed.is_empty(), "it failed with {}", failed.join(" and "));
    });
}

fn binaries() -> Vec<String> {
    match std::env::var("HAPROXY") {
        Ok(names) => names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        Err(_) => {
            let is_on_path = Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_ok();
            vec![if is_on_path { "haproxy" } else { "/usr/sbin/haproxy" }.to_owned()]
        }
    }
}

/// A HAProxy before it runs.
#[must_use]
pub struct HaproxyBuilder {
    binary: String,
    folder: PathBuf,
    name: String,
    crt: String,
    configuration: Option<String>,
    is_master_worker: bool,
}

/// A running HAProxy; ended, with its workers, on drop.
pub struct Haproxy {
    builder: HaproxyBuilder,
    child: Child,
    /// Whether it was ended, and waited for.
    is_over: bool,
}

impl Haproxy {
    /// One that serves all certificates in `certs/`. Several in one world need several names.
    pub fn of(binary: &str, world: &World, name: &str) -> HaproxyBuilder {
        HaproxyBuilder {
            binary: binary.to_owned(),
            folder: world.path(""),
            name: name.to_owned(),
            crt: format!("crt {}", world.certs().display()),
            configuration: None,
            is_master_worker: false,
        }
    }

    /// Its admin socket.
    pub fn socket(&self) -> PathBuf {
        self.builder.socket()
    }

    /// The file with its configuration.
    pub fn configuration_file(&self) -> PathBuf {
        self.builder.path("cfg")
    }

    /// Ends it and starts it anew with this configuration, made as [`HaproxyBuilder::configuration`] does.
    pub fn restart_with(&mut self, configuration: &str) {
        self.end();
        self.builder.configuration = Some(configuration.to_owned());
        self.builder.write_configuration();
        self.child = self.builder.launch();
        self.is_over = false;
    }

    /// The address of its master, where it has one.
    pub fn master(&self) -> String {
        format!("master@{}", self.builder.path("master").display())
    }

    /// What a client sees that asks for this certificate's host.
    pub fn handshake(&self, cert: &Cert) -> Handshake {
        handshake(&self.builder.path("tls"), &cert.host)
            .unwrap_or_else(|error| panic!("the handshake with {} for {}: {error}", self.builder.name, cert.host))
    }

    /// What is stapled to this certificate, which must be the one that is served.
    pub fn staple(&self, cert: &Cert) -> Option<Vec<u8>> {
        let handshake = self.handshake(cert);
        assert!(handshake.certificate == cert.issued.der(), "HAProxy serves another certificate for {}", cert.host);
        handshake.staple
    }

    /// Waits until something is stapled to this certificate.
    pub fn wait_for_staple(&self, cert: &Cert) -> Vec<u8> {
        wait_for(&format!("{} is stapled", cert.host), || self.staple(cert))
    }

    /// Sends one command to the admin socket, as other programs do.
    pub fn ask(&self, command: &str) -> String {
        self.try_ask(command).expect("a reply on the admin socket")
    }

    /// Brings a certificate into service that lies in its file, as a hook of certbot does; `is_new` if HAProxy does not
    /// know the file yet.
    pub fn load(&self, cert: &Cert, is_new: bool) {
        let name = cert.name();
        if is_new {
            self.ask(&format!("new ssl cert {name}"));
        }
        let pem = std::fs::read_to_string(&cert.path).expect("the certificate's file");
        let pem: String = pem.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
        let reply = self.ask(&format!("set ssl cert {name} <<\n{pem}\n"));
        assert!(reply.contains("Transaction created"), "set ssl cert: {reply}");
        let reply = self.ask(&format!("commit ssl cert {name}"));
        assert!(reply.contains("Success!"), "commit ssl cert: {reply}");
    }

    /// Ends it and starts it anew.
    pub fn restart(&mut self) {
        self.end();
        self.child = self.builder.launch();
        self.is_over = false;
    }

    /// Has the master start a new worker, and waits until that answers.
    pub fn reload(&self) {
        let before = self.pid().expect("a worker");
        // A master that has just been reloaded may miss the signal.
        let (start, mut signals) = (Instant::now(), 0);
        wait_for("a new worker", || {
            if start.elapsed() >= Duration::from_secs(3) * signals {
                let status = Command::new("kill").arg("-USR2").arg(self.child.id().to_string()).status();
                assert!(status.expect("kill").success());
                signals += 1;
            }
            self.pid().filter(|pid| *pid != before)
        });
    }

    /// Stops it in its tracks: it is there, and does nothing.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        assert!(!self.is_over, "its number may be somebody else's");
        let group = format!("-{}", self.child.id());
        let status = Command::new("kill").args([signal, "--", &group]).status();
        assert!(status.expect("kill").success());
    }

    /// Ends it at once.
    pub fn end(&mut self) {
        // Once: afterwards the number may be somebody else's.
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        // Its own process group: the workers of a master as well.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }

    /// The process that answers at its admin socket.
    pub fn pid(&self) -> Option<u64> {
        self.try_ask("show info")?.lines().find_map(|line| line.strip_prefix("Pid: ")?.parse().ok())
    }

    fn try_ask(&self, command: &str) -> Option<String> {
        ask(&self.socket(), command)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let builder = &self.builder;
            eprintln!("--- HAProxy {} ({}):\n{}", builder.name, builder.binary, tail(&builder.path("log"), 30));
        }
    }
}

/// Whether this HAProxy is at least of version 3.0, and knows certificate stores.
pub fn has_stores(binary: &str) -> bool {
    let said = Command::new(binary).arg("-v").output().expect("HAProxy").stdout;
    let said = String::from_utf8(said).expect("text");
    let version = said.split_whitespace().nth(2).expect("a version");
    version.split('.').next().is_some_and(|major| major.parse::<u32>().expect("a number") >= 3)
}

impl HaproxyBuilder {
    /// Serves the certificates of this directory instead.
    pub fn crt(mut self, path: &Path) -> Self {
        self.crt = format!("crt {}", path.display());
        self
    }

    /// Serves the certificates that this list names instead.
    pub fn crt_list(mut self, path: &Path) -> Self {
        self.crt = format!("crt-list {}", path.display());
        self
    }

    /// Has this configuration, instead of one that serves `certs/`. `@ADMIN` and `@TLS` stand for the paths of its
    /// sockets, `@DEFAULTS` for a `defaults` section, `@D` for the directory.
    pub fn configuration(mut self, text: &str) -> Self {
        self.configuration = Some(text.to_owned());
        self
    }

    /// As a master with workers, which can be reloaded.
    pub fn master_worker(mut self) -> Self {
        self.is_master_worker = true;
        self
    }

    /// Where its admin socket will be.
    pub fn socket(&self) -> PathBuf {
        self.path("admin")
    }

    /// Starts it; returns when it answers.
    pub fn start(self) -> Haproxy {
        self.write_configuration();
        let child = self.launch();
        Haproxy { builder: self, child, is_over: false }
    }

    fn write_configuration(&self) {
        let usual = format!(
            "global\n  stats socket @ADMIN level admin expose-fd listeners\n@DEFAULTSfrontend tls\n  bind unix@@TLS ssl {}\n",
            self.crt
        );
        let text = self.configuration.as_ref().unwrap_or(&usual);
        let defaults = "defaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 30s\n";
        let text = text.replace("@DEFAULTS", defaults);
        let text = [("@ADMIN", self.socket()), ("@TLS", self.path("tls")), ("@D", self.folder.clone())]
            .iter()
            .fold(text, |text, (name, path)| text.replace(name, path.to_str().expect("text").trim_end_matches('/')));
        std::fs::write(self.path("cfg"), text).expect("a file");
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("haproxy-{}.{kind}", self.name))
    }

    fn launch(&self) -> Child {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log file");
        let mut command = Command::new(&self.binary);
        match self.is_master_worker {
            true => command.arg("-W").arg("-S").arg(self.path("master")),
            false => command.arg("-db"),
        };
        command.arg("-f").arg(self.path("cfg"));
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary));
        wait_for("HAProxy answers", || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("HAProxy did not start: {status}: {}", tail(&self.path("log"), 30));
            }
            let info = ask(&self.socket(), "show info")?;
            // A process that ended left its socket behind; nobody answers there.
            (self.is_master_worker || info.contains(&format!("Pid: {}\n", child.id()))).then_some(())
        });
        child
    }
}

fn ask(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // In one piece, and with nothing behind a payload: HAProxy resets a connection with unread bytes, and with it the reply.
    let command = if command.ends_with('\n') { command.to_owned() } else { format!("{command}\n") };
    stream.write_all(command.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply)
}
