//! `stapled serve`, with real servers that ask it, by the lines of docs/serve.md.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use stapled_ca::lab::Fault;
use stapled_ca::{Issued, Profile};
use stapled_core::ocsp::{CertIdHash, OcspRequest};
use stapled_tests::{Trust, binaries, chain, free_port, handshake_over, version, wait_for, wait_until};

use crate::get::{address_of, get, start};
use crate::world::{Running, World};

/// The responder that certificates name. No server can reach it, and stapled asks the lab in its place.
const NAMED: &str = "http://ocsp.ca.test/";
const HOST: &str = "www.served.test";

/// A world with one certificate, and the daemon that answers.
struct Served {
    world: World,
    cert: Issued,
    daemon: Running,
    address: String,
}

impl Served {
    fn new(more: &[&str]) -> Self {
        let world = World::new();
        let cert = world.issue("site.pem", &Profile::server(HOST).ocsp_url(NAMED));
        fs::write(world.path("stapled.conf"), "").unwrap();
        let replaced = format!("{NAMED}={}", world.lab.url());
        let arguments = [
            "serve",
            "--cert-paths",
            "certs",
            "--no-staple-files",
            "--listen",
            "127.0.0.1:0",
            "--responder",
            &replaced,
        ];
        let daemon = Running::start(world.command(&[&arguments, more].concat()));
        let address = address_of(&daemon);
        Served { world, cert, daemon, address }
    }

    fn text(&self, name: &str) -> String {
        self.world.path(name).to_str().unwrap().to_owned()
    }

    /// The lines of the document for a server, with the address of this daemon.
    fn documented(&self, language: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/serve.md");
        let document = fs::read_to_string(path).unwrap();
        let (_, block) = document.split_once(&format!("```{language}\n")).unwrap();
        let (lines, _) = block.split_once("```").unwrap();
        assert!(lines.contains("127.0.0.1:8888"), "{lines}");
        lines.replace("127.0.0.1:8888", &self.address)
    }

    /// The staple of a handshake with a server at this port.
    fn staple(&self, port: u16) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let handshake = handshake_over(&mut stream, HOST, Trust::Root(self.world.ca.certificate()));
        handshake.expect("a handshake").staple
    }

    /// Starts a server, and returns the staple of the first handshake.
    fn first_handshake(&self, mut command: Command, port: u16) -> (Running, Option<Vec<u8>>) {
        command.stdin(Stdio::null());
        let mut server = Running::start(command);
        wait_for("the server listens", || {
            assert!(server.is_running(), "{}", server.words());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let staple = self.staple(port);
        (server, staple)
    }

    /// A server gets the staple, before and after the death of the CA, which was asked once. `is_first` says whether the first
    /// handshake has it.
    fn staples(&self, is_first: bool, port: u16, command: impl Fn(&str) -> Command) {
        for folder in ["first", "while-the-ca-is-dead"] {
            fs::create_dir_all(self.world.path(folder)).unwrap();
            // Servers that give up root's rights write there.
            fs::set_permissions(self.world.path(folder), fs::Permissions::from_mode(0o777)).unwrap();
            let (server, first) = self.first_handshake(command(folder), port);
            assert!(first.is_some() || !is_first, "{}\n{}", server.words(), self.daemon.words());
            let staple = first.unwrap_or_else(|| wait_for("a staple", || self.staple(port)));
            assert_eq!(staple, self.answer(), "the bytes of the responder");
            server.signal("TERM");
            wait_until("the server has ended", || TcpStream::connect(("127.0.0.1", port)).is_err());
            self.world.lab.fault_all(Fault::Reset);
        }
        assert_eq!(self.world.lab.requests_for(self.cert.serial()), 1, "the CA is asked once");
    }

    /// The answer of the responder to a question about the certificate.
    fn answer(&self) -> Vec<u8> {
        let chain = chain(&self.cert, &self.world.ca);
        let request = OcspRequest::new(&chain.cert_id(CertIdHash::Sha1), None).unwrap();
        let (head, body) = ask(TcpStream::connect(&self.address).unwrap(), &request.get_url("/").unwrap());
        assert!(head.contains("application/ocsp-response"), "{head}");
        body
    }
}

/// The head and the body of the answer to a GET.
fn ask(mut stream: impl Read + Write, path: &str) -> (String, Vec<u8>) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: ocsp\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("an answer");
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
}

/// A program of this machine, or one that was unpacked for the tests.
fn server(name: &str) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').map(PathBuf::from).chain(["/usr/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.exists());
    found
        .unwrap_or_else(|| panic!("{name} is not on PATH: tests/provide/provide.sh {name}"))
        .to_str()
        .unwrap()
        .to_owned()
}

#[test]
fn nginx_gets_its_staples() {
    let served = Served::new(&[]);
    let port = free_port();
    served.staples(false, port, |folder| {
        let (folder, certificate) = (served.text(folder), served.text("certs/site.pem"));
        let configuration = format!(
            "daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1; events {{}}\n\
             http {{ access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; \
             fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;\n\
             server {{ listen 127.0.0.1:{port} ssl; server_name {HOST}; ssl_certificate {certificate}; \
             ssl_certificate_key {certificate};\n{}location / {{ return 204; }} }} }}\n",
            served.documented("nginx")
        );
        fs::write(format!("{folder}/nginx.conf"), configuration).unwrap();
        let mut command = Command::new(server("nginx"));
        command.args(["-p", &folder, "-e", "error.log", "-c", &format!("{folder}/nginx.conf")]);
        command
    });
}

#[test]
fn apache_gets_its_staples_at_the_first_handshake() {
    let served = Served::new(&[]);
    let port = free_port();
    let program = server("apache2");
    // Unpacked packages have their modules beside the program.
    let unpacked = Path::new(&program).parent().unwrap().join("../apache2/usr/lib/apache2/modules");
    let modules = if unpacked.exists() { unpacked } else { "/usr/lib/apache2/modules".into() };
    served.staples(true, port, |folder| {
        let (folder, certificate) = (served.text(folder), served.text("certs/site.pem"));
        let load = |name: &str| format!("LoadModule {name}_module {}/mod_{name}.so\n", modules.display());
        let loaded: String = ["mpm_event", "authz_core", "socache_shmcb", "ssl"].map(load).concat();
        let configuration = format!(
            "ServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/apache.pid\nErrorLog {folder}/error.log\n\
             {loaded}ServerName {HOST}\nListen 127.0.0.1:{port}\nUser nobody\nGroup nogroup\n\
             SSLEngine on\nSSLCertificateFile {certificate}\nSSLCertificateKeyFile {certificate}\n{}",
            served.documented("apache")
        );
        fs::write(format!("{folder}/apache.conf"), configuration).unwrap();
        let mut command = Command::new(&program);
        command.args(["-X", "-f", &format!("{folder}/apache.conf")]);
        command
    });
}

#[test]
fn caddy_gets_its_staples_at_the_first_handshake() {
    let served = Served::new(&[]);
    let port = free_port();
    served.staples(true, port, |folder| {
        let (folder, certificate) = (served.text(folder), served.text("certs/site.pem"));
        let configuration = format!(
            "{{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system {folder}/storage\n}}\n\
             https://{HOST}:{port} {{\n\tbind 127.0.0.1\n\ttls {certificate} {certificate}\n\trespond 204\n}}\n"
        );
        fs::write(format!("{folder}/Caddyfile"), configuration).unwrap();
        let mut command = Command::new(server("caddy"));
        command
            .args(["run", "--adapter", "caddyfile", "--config", &format!("{folder}/Caddyfile")])
            .env("HOME", &folder);
        let environment = served.documented("sh");
        let (name, value) = environment.trim().split_once('=').unwrap();
        command.env(name, value).env("XDG_DATA_HOME", &folder).env("XDG_CONFIG_HOME", &folder);
        command
    });
}

#[test]
fn the_updater_of_haproxy_gets_its_staples() {
    for haproxy in binaries().iter().filter(|binary| version(binary) >= (3, 0)) {
        let served = Served::new(&[]);
        let port = free_port();
        served.staples(false, port, |folder| {
            let (folder, certificate) = (served.text(folder), served.text("certs/site.pem"));
            let configuration = format!(
                "global\n{}defaults\n    mode http\n    timeout client 5s\n    timeout server 5s\n    timeout connect 5s\n\
                 frontend f\n    bind 127.0.0.1:{port} ssl crt {certificate}\n    http-request return status 204\n",
                served.documented("haproxy")
            );
            fs::write(format!("{folder}/haproxy.cfg"), configuration).unwrap();
            let mut command = Command::new(haproxy);
            command.args(["-db", "-f", &format!("{folder}/haproxy.cfg")]);
            command
        });
    }
}

#[test]
fn a_cache_needs_no_certificates_of_its_own() {
    let world = World::new();
    let cert = world.issue("elsewhere.pem", &world.profile("elsewhere.test"));
    fs::write(world.path("ca.pem"), world.ca.certificate_pem()).unwrap();
    let allowed = format!("{}={}", world.path("ca.pem").display(), world.lab.url());
    let daemon = Running::start(world.command(&[
        "serve",
        "--listen",
        world.path("ocsp.sock").to_str().unwrap(),
        "--allow-issuer",
        &allowed,
        "--no-staple-files",
    ]));
    wait_until("it listens", || daemon.said("event=listening"));
    let request = OcspRequest::new(&chain(&cert, &world.ca).cert_id(CertIdHash::Sha1), None).unwrap();
    let path = request.get_url("/").unwrap();
    let head_of = |path: &str| ask(UnixStream::connect(world.path("ocsp.sock")).unwrap(), path).0;
    assert!(head_of(&path).contains("cache-control: max-age=300, public"), "{}", daemon.words());
    assert!(head_of("/").contains("404 Not Found"));
    assert_eq!(world.lab.requests_for(cert.serial()), 1);
    let status = world.run(&["status"]);
    assert!(status.out.contains("; OCSP good 1; OCSP not_ocsp 1"), "{status:?}");
}

#[test]
fn a_reload_keeps_the_answers_and_takes_other_issuers() {
    let served = Served::new(&["--config", "stapled.conf"]);
    let before = served.answer();
    assert!(before.len() > 100, "{before:?}");
    served.daemon.signal("HUP");
    wait_until("the reload", || served.daemon.said("event=reloaded") || served.daemon.said("event=reload_refused"));
    assert!(served.daemon.said("event=reloaded"), "{}", served.daemon.words());
    assert_eq!(served.answer(), before);
    assert_eq!(served.world.lab.requests_for(served.cert.serial()), 1);
}

#[test]
fn an_address_that_cannot_be_used_ends_the_program_with_the_reason() {
    let world = World::new();
    let cert = world.issue("a.pem", &world.profile("a.test"));
    assert!(!cert.der().is_empty());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let run = |listen: &str, more: &[&str]| {
        let arguments = [&["serve", "-p", "certs", "--no-staple-files", "--listen", listen], more].concat();
        world.run(&arguments)
    };
    let ended = run("192.0.2.1:80", &[]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("192.0.2.1:80 is not a loopback address"), "{ended:?}");
    let ended = run("192.0.2.1:80", &["--listen-anywhere"]);
    assert!(ended.code == 1 && ended.err.contains("192.0.2.1:80/: cannot listen there"), "{ended:?}");
    let ended = run(&taken.local_addr().unwrap().to_string(), &[]);
    assert!(ended.code == 1 && ended.err.contains("Address already in use"), "{ended:?}");
    let socket = world.path("taken.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let ended = run(socket.to_str().unwrap(), &[]);
    assert!(ended.code == 1 && ended.err.contains("another process answers there"), "{ended:?}");
    fs::write(world.path("file"), "precious").unwrap();
    let ended = run(world.path("file").to_str().unwrap(), &[]);
    assert!(ended.code == 1 && ended.err.contains("a file that is no socket has this path"), "{ended:?}");
    for (arguments, words) in [
        (&["--allow-issuer", "/a=http://b/", "-p", "certs"][..], "belongs to listen"),
        (&["serve", "--allow-issuer", "a=http://b/"], "from the root"),
        (&["serve", "--allow-issuer", "/a"], "FILE=URL"),
        (&["serve", "--allow-issuer", "/nowhere.pem=http://b/"], "/nowhere.pem: No such file"),
    ] {
        let ended = world.run(arguments);
        assert!(ended.code == 2 && ended.err.contains(words), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn the_numbers_have_the_questions_by_their_result() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.test"));
    let (daemon, monitored) = start(&world, &["--listen", "127.0.0.1:0", "--no-staple-files"]);
    let listening = wait_for("it listens", || {
        daemon.words().lines().find(|line| line.contains("event=listening")).map(str::to_owned)
    });
    let (_, address) = listening.split_once("address=http://").unwrap();
    let address = address.split('/').next().unwrap();
    ask(TcpStream::connect(address).unwrap(), "/");
    let text = get(&monitored, "/metrics").body;
    assert!(text.contains("stapled_responder_questions_total{result=\"not_ocsp\"} 1\n"), "{text}");
    assert!(text.contains("stapled_responder_questions_total{result=\"good\"} 0\n"), "{text}");
}
