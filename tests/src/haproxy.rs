//! Starts and controls the real HAProxy.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::stapled::tail;
use crate::tls::{Handshake, connect, handshake};
use crate::wait::{PATIENCE, until, wait_for, wait_for_within};
use crate::world::{Cert, World};

/// Runs `test` with each HAProxy that the variable `HAPROXY` names, separated by commas; without the variable, with the
/// installed one. All runs are at the same time, since a test mostly waits.
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

/// The programs that the variable `HAPROXY` names, separated by commas; without the variable, the installed one.
pub fn binaries() -> Vec<String> {
    match std::env::var("HAPROXY") {
        Ok(names) => names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        Err(_) => {
            let is_on_path = Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_ok();
            vec![if is_on_path { "haproxy" } else { "/usr/sbin/haproxy" }.to_owned()]
        }
    }
}

/// A HAProxy that is not started yet.
#[must_use]
pub struct HaproxyBuilder {
    binary: String,
    folder: PathBuf,
    name: String,
    bind: String,
    global: String,
    configuration: Option<String>,
    arguments: Vec<String>,
}

/// A running HAProxy. Its drop ends it, with its workers.
pub struct Haproxy {
    builder: HaproxyBuilder,
    child: Child,
    /// Whether the process has ended and was waited for.
    is_over: bool,
}

impl Haproxy {
    /// A HAProxy that serves all certificates in `certs/`. Several in one world need different names: the files are
    /// called `haproxy-NAME.cfg`, `haproxy-NAME.admin` and so on. With an empty name, the files are called
    /// `haproxy.cfg`, `admin.sock`, `tls.sock` and `master.sock`.
    pub fn of(binary: &str, world: &World, name: &str) -> HaproxyBuilder {
        HaproxyBuilder {
            binary: binary.to_owned(),
            folder: world.path(""),
            name: name.to_owned(),
            bind: format!("crt {}", world.certs().display()),
            global: String::new(),
            configuration: None,
            arguments: Vec::new(),
        }
    }

    /// The process id of the started process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The path of the admin socket.
    pub fn socket(&self) -> PathBuf {
        self.builder.socket()
    }

    /// The path of the configuration file.
    pub fn configuration_file(&self) -> PathBuf {
        self.builder.path("cfg")
    }

    /// Ends HAProxy, and starts it with this configuration, made as [`HaproxyBuilder::configuration`] does.
    pub fn restart_with(&mut self, configuration: &str) {
        self.end();
        self.builder.configuration = Some(configuration.to_owned());
        self.builder.write_configuration();
        self.child = self.builder.launch();
        self.is_over = false;
    }

    /// The path of the master socket, if HAProxy runs as a master.
    pub fn master(&self) -> PathBuf {
        self.builder.path("master")
    }

    /// The address of the master, if HAProxy runs as one, in the form that `stapled` accepts.
    pub fn master_address(&self) -> String {
        format!("master@{}", self.master().display())
    }

    /// The handshake of a client that requests this certificate's host.
    pub fn handshake(&self, cert: &Cert) -> Handshake {
        handshake(&self.builder.path("tls"), &cert.host)
            .unwrap_or_else(|error| panic!("the handshake with {} for {}: {error}", self.builder.name, cert.host))
    }

    /// The staple of this certificate, which must be the served one.
    pub fn staple(&self, cert: &Cert) -> Option<Vec<u8>> {
        let handshake = self.handshake(cert);
        assert!(handshake.certificate == cert.issued.der(), "HAProxy serves another certificate for {}", cert.host);
        handshake.staple
    }

    /// Connects a client that requests this certificate and stays connected until the result is dropped.
    pub fn connect(&self, cert: &Cert) -> UnixStream {
        connect(&self.builder.path("tls"), &cert.host).expect("a handshake").0
    }

    /// Waits until this certificate has a staple.
    pub fn wait_for_staple(&self, cert: &Cert) -> Vec<u8> {
        wait_for(&format!("{} is stapled", cert.host), || self.staple(cert))
    }

    /// Sends one command to the admin socket, as other programs do. HAProxy executes one command about certificates at
    /// a time: a command that another client's, such as stapled's, was in the way of is sent again.
    pub fn ask(&self, command: &str) -> String {
        wait_for("the end of another client's command", || {
            let reply = self.try_ask(command).expect("a reply on the admin socket");
            (!reply.contains("certificates are currently locked")).then_some(reply)
        })
    }

    /// Sends one command to one worker, through the master.
    pub fn ask_worker(&self, pid: u64, command: &str) -> String {
        ask(&self.master(), &format!("@!{pid} {command}\nquit\n")).expect("a reply of the master")
    }

    /// Brings the certificate of a file into service, as a hook of certbot does. `is_new` says that HAProxy does not
    /// know the file yet.
    pub fn load(&self, cert: &Cert, is_new: bool) {
        let name = cert.name();
        if is_new {
            self.ask(&format!("new ssl cert {name}"));
        }
        let pem = std::fs::read_to_string(&cert.path).expect("the certificate's file");
        let pem: String = pem.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
        // HAProxy has one transaction at a time: that of another client, such as stapled, ends first.
        let reply = wait_for("the end of another client's transaction", || {
            let reply = self.ask(&format!("set ssl cert {name} <<\n{pem}\n"));
            (!reply.contains("ongoing transaction is about")).then_some(reply)
        });
        assert!(reply.contains("Transaction created"), "set ssl cert: {reply}");
        let reply = self.ask(&format!("commit ssl cert {name}"));
        assert!(reply.contains("Success!"), "commit ssl cert: {reply}");
    }

    /// Ends HAProxy, and starts it again.
    pub fn restart(&mut self) {
        self.end();
        self.child = self.builder.launch();
        self.is_over = false;
    }

    /// Makes the master start a new worker, and waits until the new worker answers.
    pub fn reload(&self) {
        self.reload_within(Duration::from_secs(3));
    }

    /// Reloads as [`reload`](Self::reload) does, for reloads that usually take less than this time. After that time,
    /// the master gets the signal once more, because a master that has just been reloaded may miss it.
    pub fn reload_within(&self, usual: Duration) {
        let before = self.pid().expect("a worker");
        let (start, mut signals) = (Instant::now(), 0);
        wait_for_within(PATIENCE.max(2 * usual), "a new worker", || {
            if start.elapsed() >= usual * signals {
                self.signal("-USR2");
                signals += 1;
            }
            self.pid().filter(|pid| *pid != before)
        });
    }

    /// Stops the processes of HAProxy: they exist, and do nothing.
    pub fn freeze(&self) {
        self.signal_group("-STOP");
    }

    /// Lets the stopped processes continue.
    pub fn thaw(&self) {
        self.signal_group("-CONT");
    }

    /// Sends a signal, such as `-USR2`, to the started process: to the master, if there is one.
    pub fn signal(&self, signal: &str) {
        self.signal_to(signal, &self.child.id().to_string());
    }

    fn signal_group(&self, signal: &str) {
        self.signal_to(signal, &format!("-{}", self.child.id()));
    }

    fn signal_to(&self, signal: &str, process: &str) {
        assert!(!self.is_over, "its number may belong to another process");
        let status = Command::new("kill").args([signal, "--", process]).status();
        assert!(status.expect("kill").success());
    }

    /// Ends HAProxy at once.
    pub fn end(&mut self) {
        // Only once: afterwards, another process may have the number.
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        // The process group of HAProxy's own, which includes the workers of a master.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }

    /// How the started process ended by a signal that the test did not send; `None` if it goes on.
    pub fn crash(&mut self) -> Option<ExitStatus> {
        assert!(!self.is_over, "the test ended it");
        let mut ended = None;
        self.is_over = until(PATIENCE, || {
            ended = self.child.try_wait().expect("the state of a child");
            ended.is_some()
        });
        ended.filter(|status| status.signal().is_some())
    }

    /// The process id of the worker that answers at the admin socket; `None` if none answers.
    pub fn pid(&self) -> Option<u64> {
        self.try_ask("show info")?.lines().find_map(|line| line.strip_prefix("Pid: ")?.parse().ok())
    }

    /// Sends one command to the admin socket; `None` if no process answers there.
    pub fn try_ask(&self, command: &str) -> Option<String> {
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

/// The first two numbers of a HAProxy's version.
pub fn version(binary: &str) -> (u32, u32) {
    let said = Command::new(binary).arg("-v").output().expect("HAProxy").stdout;
    let said = String::from_utf8(said).expect("text");
    let mut numbers = said.split_whitespace().nth(2).expect("a version").split(['.', '-']).map(str::parse);
    let mut next = || numbers.next().expect("a number").expect("a number");
    (next(), next())
}

/// Whether this HAProxy has version 3.0 or later, and so supports certificate stores.
pub fn has_stores(binary: &str) -> bool {
    version(binary) >= (3, 0)
}

impl HaproxyBuilder {
    /// Serves the certificates of this directory, in place of `certs/`.
    pub fn crt(self, path: &Path) -> Self {
        self.bind(&format!("crt {}", path.display()))
    }

    /// Serves the certificates of this list, in place of `certs/`.
    pub fn crt_list(self, path: &Path) -> Self {
        self.bind(&format!("crt-list {}", path.display()))
    }

    /// Sets the words behind `bind … ssl`, in place of the certificates in `certs/`.
    pub fn bind(mut self, words: &str) -> Self {
        self.bind = words.to_owned();
        self
    }

    /// Adds these lines to the section `global`.
    pub fn global(mut self, lines: &str) -> Self {
        self.global = lines.to_owned();
        self
    }

    /// Sets these sections, in place of the one that serves `certs/`. The placeholders of
    /// [`configuration`](Self::configuration) stand for paths.
    pub fn sections(self, text: &str) -> Self {
        let head = self.head();
        self.configuration(&format!("{head}{text}"))
    }

    /// Adds arguments to the command line.
    pub fn arguments<A: AsRef<str>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets the configuration, in place of one that serves `certs/`. `@ADMIN` and `@TLS` stand for the paths of its
    /// sockets, `@DEFAULTS` for a `defaults` section, `@D` for the directory.
    pub fn configuration(mut self, text: &str) -> Self {
        self.configuration = Some(text.to_owned());
        self
    }

    /// Runs HAProxy as a master with workers, which can be reloaded.
    pub fn master_worker(self) -> Self {
        let master = self.path("master");
        self.arguments(["-W", "-S", master.to_str().expect("text")])
    }

    /// The future path of the admin socket.
    pub fn socket(&self) -> PathBuf {
        self.path("admin")
    }

    /// Starts HAProxy, and returns when it answers.
    pub fn start(self) -> Haproxy {
        self.write_configuration();
        self.start_as_it_is()
    }

    /// Starts HAProxy with the configuration that is already in its file, and returns when it answers.
    pub fn start_as_it_is(self) -> Haproxy {
        let child = self.launch();
        Haproxy { builder: self, child, is_over: false }
    }

    /// The sections before the one that serves TLS.
    fn head(&self) -> String {
        let global = if self.global.is_empty() { String::new() } else { format!("  {}\n", self.global) };
        format!("global\n  stats socket @ADMIN level admin expose-fd listeners\n{global}@DEFAULTS")
    }

    fn write_configuration(&self) {
        let usual = || format!("{}frontend tls\n  bind unix@@TLS ssl {}\n", self.head(), self.bind);
        let text = self.configuration.clone().unwrap_or_else(usual);
        let defaults = "defaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 30s\n";
        let text = text.replace("@DEFAULTS", defaults);
        let text = [("@ADMIN", self.socket()), ("@TLS", self.path("tls")), ("@D", self.folder.clone())]
            .iter()
            .fold(text, |text, (name, path)| text.replace(name, path.to_str().expect("text").trim_end_matches('/')));
        std::fs::write(self.path("cfg"), text).expect("a file");
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.folder.join(match (self.name.as_str(), kind) {
            ("", "cfg" | "log") => format!("haproxy.{kind}"),
            ("", socket) => format!("{socket}.sock"),
            (name, kind) => format!("haproxy-{name}.{kind}"),
        })
    }

    fn launch(&self) -> Child {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log file");
        let mut command = Command::new(&self.binary);
        let has = |argument: &str| self.arguments.iter().any(|given| given == argument);
        let (is_master_worker, has_socket) = (has("-W"), has("-S"));
        if !is_master_worker {
            command.arg("-db");
        }
        command.arg("-f").arg(self.path("cfg")).args(&self.arguments);
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary));
        // HAProxy reads thousands of certificates first.
        wait_for_within(4 * PATIENCE, "HAProxy answers", || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("HAProxy did not start: {status}: {}", tail(&self.path("log"), 30));
            }
            let info = ask(&self.socket(), "show info")?;
            // A master may answer later than its worker.
            let is_ready = !has_socket
                || ask(&self.path("master"), "show proc\nquit\n").is_some_and(|reply| reply.contains(" worker "));
            // A process that ended leaves its socket behind, where no process answers.
            (is_ready && is_master_worker || info.contains(&format!("Pid: {}\n", child.id()))).then_some(())
        });
        child
    }
}

/// Sends one command to an admin or master socket, as other programs do; `None` if no process answers there.
pub fn ask(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // The command is one write, with nothing behind a payload: HAProxy resets a connection with unread bytes, and the
    // reply is lost.
    let command = if command.ends_with('\n') { command.to_owned() } else { format!("{command}\n") };
    stream.write_all(command.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply)
}
