//! An authority that `stapled-ca serve` runs, its clients, and their web server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use stapled_tests::{HttpServer, Redis, free_port, until, wait_until_within};
use tempfile::TempDir;

pub(crate) const CA: &str = env!("CARGO_BIN_EXE_stapled-ca");
const PATIENCE: Duration = Duration::from_secs(60);

/// A test of each function with a world, on each store.
macro_rules! on_each_store {
    ($($name:ident)*) => {
        mod redis {
            $(
                #[test]
                fn $name() {
                    super::$name($crate::world::World::on_redis());
                }
            )*
        }

        mod embedded {
            $(
                #[test]
                fn $name() {
                    super::$name($crate::world::World::on_a_file());
                }
            )*
        }
    };
}
pub(crate) use on_each_store;

/// What a command printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap_or(-1), out: text(output.stdout), error: text(output.stderr) }
    }
}

pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) redis: Option<Redis>,
    server: Option<Child>,
    web: HttpServer,
    ocsp: u16,
    intake: u16,
}

impl World {
    pub(crate) fn on_a_file() -> Self {
        Self::on(None)
    }

    pub(crate) fn on_redis() -> Self {
        Self::on(Some(Redis::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"])))
    }

    fn on(redis: Option<Redis>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let webroot = directory.path().join("web");
        std::fs::create_dir(&webroot).unwrap();
        let web = HttpServer::start(move |received, stream| {
            let path = received.line.split(' ').nth(1).unwrap().trim_start_matches('/');
            let answer = match std::fs::read_to_string(webroot.join(path)) {
                Ok(file) => stapled_tests::ok(&file),
                Err(_) => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).is_ok()
        });
        let mut world = World { directory, redis, server: None, web, ocsp: free_port(), intake: free_port() };
        let made = world.run(&["init", "ca", "--name", "Lab CA"]);
        assert_eq!(made.code, 0, "{made:?}");
        world.serve();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the sessions are, as arguments.
    pub(crate) fn store(&self) -> Vec<String> {
        self.redis.iter().flat_map(|redis| ["--redis".to_owned(), redis.address()]).collect()
    }

    /// Starts `serve` and waits until it listens.
    pub(crate) fn serve(&mut self) {
        let mut command = Command::new(CA);
        command.args(["serve", "--dir", "ca", "--listen", &format!("127.0.0.1:{}", self.ocsp)]);
        command.args(["--intake", &format!("127.0.0.1:{}", self.intake)]);
        command.args(["--http-01-port", &self.web.address.port().to_string(), "--allow-network", "127.0.0.0/8"]);
        command.args(self.store()).current_dir(self.directory.path());
        let log = std::fs::File::options().append(true).create(true).open(self.path("log")).unwrap();
        command.stdout(Stdio::piped()).stderr(log);
        let mut started = || {
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let listens = lines.next().is_some_and(|line| line.unwrap().starts_with("OCSP at "));
            if listens && lines.next().is_some_and(|line| line.unwrap().starts_with("intake at ")) {
                return Some(child);
            }
            // Its port or its file may still be in use by the process that was killed, or Redis is not up yet.
            let _ = child.wait();
            None
        };
        until(PATIENCE, || {
            self.server = started();
            self.server.is_some()
        });
        let log = || std::fs::read_to_string(self.path("log")).unwrap();
        assert!(self.server.is_some(), "the server does not start: {}", log());
    }

    /// Starts the daemon of one state in a process of its own.
    pub(crate) fn work(&self, state: &str) -> Child {
        let mut command = Command::new(CA);
        command.args(["work", state, "--dir", "ca", "--public-url", "http://127.0.0.1:1"]);
        command.args(["--http-01-port", &self.web.address.port().to_string(), "--allow-network", "127.0.0.0/8"]);
        command.args(self.store()).current_dir(self.directory.path());
        let log = std::fs::File::options().append(true).create(true).open(self.path("log")).unwrap();
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// `kill -9`
    pub(crate) fn kill_server(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// SIGTERM. The server must end with exit code 0.
    pub(crate) fn terminate_server(&mut self) {
        let mut server = self.server.take().unwrap();
        assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
        assert!(server.wait().unwrap().success(), "{}", std::fs::read_to_string(self.path("log")).unwrap());
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Command::new(CA).args(arguments).current_dir(self.directory.path()).output().unwrap().into()
    }

    /// Runs a command of operators.
    pub(crate) fn operate(&self, arguments: &[&str]) -> Ended {
        let mut arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        match self.redis {
            Some(_) => arguments.extend(self.store()),
            None => arguments.extend(["--dir".to_owned(), "ca".to_owned()]),
        }
        self.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.intake)
    }

    pub(crate) fn ocsp_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.ocsp)
    }

    /// Writes a certificate request for 127.0.0.1 into a file.
    pub(crate) fn request(&self, file: &str) {
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let request = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap();
        std::fs::write(self.path(file), request.pem().unwrap()).unwrap();
    }

    /// A client that passes its challenges and waits for its certificate.
    pub(crate) fn client(&self, name: &str) -> Command {
        self.request(&format!("{name}.csr"));
        let mut command = Command::new(CA);
        command.args(["submit", "--server", &self.url(), &format!("{name}.csr"), "--webroot", "web"]);
        command.args(["-o", &format!("{name}.crt"), "--wait", "600"]).current_dir(self.directory.path());
        command
    }

    /// The serial number of a certificate in a file, which must be valid up to the root.
    pub(crate) fn serial(&self, file: &str) -> String {
        let path = self.path(file);
        let path = path.to_str().unwrap();
        let root = self.path("ca/root/ca.crt");
        let verify =
            ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", root.to_str().unwrap(), "-untrusted"];
        openssl(&[&verify[..], &[path, path]].concat());
        openssl(&["x509", "-in", path, "-noout", "-serial"]).trim().trim_start_matches("serial=").to_owned()
    }

    /// The answer of the responder about the certificate in a file.
    pub(crate) fn status(&self, file: &str) -> String {
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let (issuer, root) = (path("ca/ca.crt"), path("ca/root/ca.crt"));
        openssl(&["ocsp", "-issuer", &issuer, "-cert", &path(file), "-url", &self.ocsp_url(), "-CAfile", &root])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Runs `openssl`, which must succeed.
pub(crate) fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{error}");
    format!("{out}{error}")
}

/// Waits until the condition holds.
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    wait_until_within(PATIENCE, what, holds);
}

/// The file is a certificate.
pub(crate) fn is_certificate(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("-----BEGIN CERTIFICATE-----"))
}
