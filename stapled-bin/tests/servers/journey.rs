//! The course of each server: it starts without a staple, gets one and a newer one, its certificate is revoked, and it starts
//! again.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use stapled_ca::Issued;
use stapled_tests::{PATIENCE, Trust, handshake_over, wait_for};

use crate::table::row;
use crate::world::{Running, World, until};

/// The smallest OCSP response: tryLater.
const TRY_LATER: [u8; 5] = [0x30, 0x03, 0x0a, 0x01, 0x03];

/// The name of the certificate.
pub(crate) const HOST: &str = "a.example";

/// A server under test.
pub(crate) struct Server<'w> {
    pub(crate) world: &'w World,
    pub(crate) command: Box<dyn Fn() -> Command + 'w>,
    pub(crate) port: u16,
    running: Option<Running>,
}

impl<'w> Server<'w> {
    pub(crate) fn new(world: &'w World, port: u16, command: impl Fn() -> Command + 'w) -> Self {
        Server { world, command: Box::new(command), port, running: None }
    }

    /// Starts the server, and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.running = None;
        let mut running = Running::start((self.command)());
        wait_for("the server", || {
            assert!(running.is_running(), "it does not start: {}", running.words());
            TcpStream::connect(self.address()).ok()
        });
        self.running = Some(running);
    }

    /// Whether the server ends by itself instead of starting.
    pub(crate) fn does_not_start(&self) -> bool {
        Running::start((self.command)()).end(PATIENCE).code != 0
    }

    pub(crate) fn stop(&mut self) {
        self.running = None;
        wait_for("its end", || TcpStream::connect(self.address()).err());
    }

    /// Restarts the server if its command asks for that.
    pub(crate) fn obey(&mut self) {
        if self.world.path("restart").exists() {
            self.start();
            fs::remove_file(self.world.path("restart")).unwrap();
        }
    }

    /// Sends the server a signal.
    pub(crate) fn signal(&self, signal: &str) {
        self.running.as_ref().expect("a running server").signal(signal);
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The staple that a client gets.
    pub(crate) fn staple(&self) -> io::Result<Option<Vec<u8>>> {
        staple_at(self.port, HOST)
    }

    /// The same in a word.
    pub(crate) fn seen(&self) -> &'static str {
        match self.staple() {
            Err(_) => "no connection",
            Ok(None) => "no staple",
            Ok(Some(staple)) if staple == TRY_LATER => "tryLater",
            Ok(Some(_)) => "a staple",
        }
    }
}

/// The staple that a client of the server at this port gets.
pub(crate) fn staple_at(port: u16, host: &str) -> io::Result<Option<Vec<u8>>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(handshake_over(&mut stream, host, Trust::Any)?.staple)
}

/// A world with one certificate, which every user may read.
pub(crate) fn world() -> (World, Issued) {
    let world = World::new();
    let issued = world.issue("a.pem", &world.profile(HOST));
    for path in ["", "certs"] {
        fs::set_permissions(world.path(path), Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(world.path("certs/a.pem"), Permissions::from_mode(0o644)).unwrap();
    (world, issued)
}

/// A daemon with this text after the paths in its configuration file.
pub(crate) fn daemon(world: &World, tables: &str) -> Running {
    let file = world.path("stapled.conf");
    fs::write(&file, format!("cert-paths = [\"certs\"]\n{tables}")).unwrap();
    let mut command = world.command(&["--config", "stapled.conf"]);
    command.env("PATH", std::env::var_os("PATH").unwrap());
    Running::start(command)
}

/// A file of a package that is installed, or unpacked beside the programs of PATH.
pub(crate) fn shipped(package: &str, path: &str) -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let unpacked = std::env::split_paths(&on_path).map(|folder| folder.join("..").join(package).join(path));
    let installed = PathBuf::from("/").join(path);
    unpacked.chain([installed]).find(|path| path.exists()).unwrap_or_else(|| panic!("{path} of {package} is missing"))
}

/// Compares what happens to a server with its row. The first cell is the server's part of the configuration, which the caller
/// has made.
pub(crate) fn journey(layout: &str, server: &mut Server<'_>, issued: &Issued, tables: &str) {
    let world = server.world;
    let mut seen = Vec::new();
    let is_placed_first = layout == "nginx-file";
    if is_placed_first {
        assert!(server.does_not_start(), "it starts without the file");
        // The CA does not answer yet.
        world.lab.fault_all(stapled_ca::lab::Fault::HttpStatus { code: 503, retry_after: None });
    } else {
        server.start();
        seen.push(server.seen());
    }
    let stapled = daemon(world, tables);
    if is_placed_first {
        wait_for("the file", || world.staple("a.pem").exists().then_some(()));
        server.start();
        seen.push(server.seen());
        world.lab.clear_all();
        assert!(until(PATIENCE, || world.run(&["renew", "--wait", HOST]).code == 0), "{}", stapled.words());
    }
    let first = wait_for("the first staple", || {
        server.obey();
        server.staple().ok().flatten().filter(|staple| *staple != TRY_LATER)
    });
    assert!(until(PATIENCE, || world.run(&["renew", "--wait", HOST]).code == 0), "{}", stapled.words());
    let is_newer = |staple: &Vec<u8>| *staple != first && *staple != TRY_LATER;
    wait_for("a newer staple", || {
        server.obey();
        server.staple().ok().flatten().filter(is_newer)
    });
    let has_reloaded = || stapled.said("event=reload_done");
    seen.push(if has_reloaded() { "after the reload" } else { "by itself" });
    world.lab.revoke(issued.serial()).unwrap();
    world.run(&["renew", "--wait", HOST]);
    // Workers from before the reload still accept connections for a moment.
    seen.push(wait_for("the revocation", || {
        server.obey();
        Some(server.seen()).filter(|seen| *seen != "a staple" && *seen != "no connection")
    }));
    server.stop();
    server.start();
    seen.push(server.seen());
    assert_eq!(row(layout)[1..], seen, "{layout}: {}", stapled.words());
}
