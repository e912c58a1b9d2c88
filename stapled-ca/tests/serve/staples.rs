//! The chapter "A private CA with staples in ten minutes", by its commands: a certificate from here, served by HAProxy, stapled by
//! `stapled`, seen by OpenSSL and GnuTLS; everything is restarted in the middle.

use std::process::{Child, Command, Stdio};

use stapled_tests::{free_port, program};

use crate::world::{World, eventually, openssl};

/// A process that is killed in the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(world: &World, command: &mut Command) -> Running {
    let log = std::fs::File::options().append(true).create(true).open(world.path("log")).unwrap();
    Running(command.current_dir(world.directory.path()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

/// HAProxy and `stapled`.
fn start_servers(world: &World) -> (Running, Running) {
    let haproxy = start(world, Command::new("haproxy").args(["-db", "-f", "haproxy.cfg"]));
    eventually("HAProxy's socket is there", || {
        std::os::unix::net::UnixStream::connect(world.path("admin.sock")).is_ok()
    });
    let stapled = start(
        world,
        Command::new(program())
            .args(["-p", "certs", "-s"])
            .arg(world.path("admin.sock"))
            .env("RUNTIME_DIRECTORY", world.directory.path()),
    );
    (haproxy, stapled)
}

fn client(world: &World, program: &str, arguments: &str) -> String {
    let output = Command::new(program)
        .args(arguments.split(' '))
        .current_dir(world.directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    [output.stdout, output.stderr].iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}

#[test]
fn certificates_are_stapled_whatever_restarts() {
    let mut world = World::on_a_file();
    let path = |name: &str| world.path(name).to_str().unwrap().to_owned();
    let (key, request) = (path("www.key"), path("www.csr"));
    let made = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / -addext \
                subjectAltName=DNS:localhost,IP:127.0.0.1 -addext tlsfeature=status_request";
    let made: Vec<&str> = made.split(' ').chain(["-keyout", &key, "-out", &request]).collect();
    openssl(&made);
    let submitted = world.run(&["submit", "--server", &world.url(), "www.csr", "--webroot", "web", "-o", "www.crt"]);
    assert_eq!(submitted.code, 0, "{submitted:?}");
    let contents = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
    let (certificate, key) = (contents("www.crt"), contents("www.key"));
    std::fs::create_dir(world.path("certs")).unwrap();
    std::fs::write(world.path("certs/www.pem"), certificate + &key).unwrap();
    let port = free_port();
    let configuration = format!(
        "global\n  stats socket {} mode 600 level admin\ndefaults\n  mode http\n  timeout client 5s\n  timeout \
         server 5s\n  timeout connect 5s\nfrontend https\n  bind 127.0.0.1:{port} ssl crt certs/\n  http-request return \
         status 200\n",
        path("admin.sock")
    );
    std::fs::write(world.path("haproxy.cfg"), configuration).unwrap();
    let s_client = format!("s_client -connect 127.0.0.1:{port} -servername localhost -CAfile ca/root/ca.crt -status");
    let gnutls = format!(
        "--x509cafile ca/root/ca.crt --sni-hostname localhost --verify-hostname localhost --port {port} 127.0.0.1"
    );

    let serial = world.serial("www.crt");
    let mut servers = start_servers(&world);
    for round in 0..2 {
        let log = || std::fs::read_to_string(world.path("log")).unwrap();
        eventually("OpenSSL sees the staple", || client(&world, "openssl", &s_client).contains("Cert Status: good"));
        let seen = client(&world, "openssl", &s_client);
        assert!(seen.contains("OCSP Response Status: successful") && seen.contains("Verify return code: 0"), "{seen}");
        // GnuTLS refuses a must-staple certificate without its staple.
        let seen = client(&world, "gnutls-cli", &gnutls);
        assert!(seen.contains("Handshake was completed") && seen.contains("OCSP status request"), "{seen} {}", log());
        // The question of `stapled` is a sign that a server has the certificate. It is written after the answer.
        eventually("the ledger has the question", || {
            let shown = world.run(&["ledger", "show", "--dir", "ca", &serial, "--json"]);
            serde_json::from_str::<serde_json::Value>(&shown.out).unwrap()["seen"].is_i64()
        });
        if round == 0 {
            drop(servers);
            world.kill_server();
            world.serve();
            servers = start_servers(&world);
        }
    }
}
