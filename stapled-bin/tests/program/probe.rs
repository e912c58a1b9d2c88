//! `stapled probe`: what clients of the real HAProxy, of nginx and of `openssl s_server` get, over TCP, unix sockets and after
//! STARTTLS.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::Value;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::{Authority, Issued};
use stapled_tests::{Haproxy, free_port, with_each_haproxy};

use crate::world::{Ended, PATIENCE, Running, World, until};

fn probe(world: &World, arguments: &[&str]) -> Ended {
    world.run(&[&["probe"], arguments].concat())
}

/// The object of the only address that counts.
fn object(ended: &Ended) -> Value {
    let mut objects = ended.out.lines().map(|line| serde_json::from_str(line).unwrap());
    objects.rfind(|object: &Value| object["passed_over"] == false).unwrap_or_else(|| panic!("{ended:?}"))
}

#[test]
fn clients_of_haproxy_get_a_good_staple_a_missing_one_or_none_at_all() {
    with_each_haproxy(|binary| {
        let world = World::new();
        world.issue("good.pem", &world.profile("good.example"));
        assert_eq!(world.one_off(&[]).code, 0);
        world.issue("none.pem", &world.profile("none.example"));
        world.issue("must.pem", &world.profile("must.example").must_staple(true));
        fs::write(world.path("root.pem"), world.ca.certificate_pem()).unwrap();
        let haproxy = Haproxy::of(binary, &world, "").start();
        let ended = probe(&world, &["./tls.sock", "--servername", "good.example"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        for words in [
            "TLSv1.3",
            "chain 0      good.example, by Test CA",
            "trust        not checked",
            "must-staple  no",
            "bytes: good: ",
            "nextUpdate",
        ] {
            assert!(ended.out.contains(words), "{words}: {ended:?}");
        }
        let ended =
            probe(&world, &["./tls.sock", "--servername", "good.example", "--ca", "root.pem", "--tls1.2", "--json"]);
        let found = object(&ended);
        assert_eq!(
            (ended.code, &found["protocol"], &found["trust"]),
            (0, &"TLSv1.2".into(), &"trusted".into()),
            "{found}"
        );
        assert_eq!(found["verdict"]["status"], "good");
        assert!(found["staple"].as_u64().unwrap() > 100 && found["chain"][0]["serial"].is_string(), "{found}");
        // A client that trusts the root refuses another name.
        let ended = probe(&world, &["./tls.sock", "--servername", "none.example", "--json"]);
        assert_eq!((ended.code, &object(&ended)["verdict"]), (1, &Value::Null), "{ended:?}");
        let ended = probe(&world, &["./tls.sock", "--servername", "must.example"]);
        assert_eq!(ended.code, 20, "{ended:?}");
        assert!(ended.out.contains("clients REFUSE") && ended.out.contains("staple       NONE"), "{ended:?}");
        drop(haproxy);
        let ended = probe(&world, &["./tls.sock"]);
        assert_eq!(ended.code, 4, "{ended:?}");
        assert!(ended.out.contains("NO ANSWER"), "{ended:?}");
    });
}

/// A server of OpenSSL on a port of 127.0.0.1, with this response as its staple.
struct Server {
    port: u16,
    _running: Running,
}

impl Server {
    fn start(world: &World, issued: &Issued, response: &[u8], more: &[&str]) -> Server {
        issued.write_bundle(&world.path("served.pem")).unwrap();
        fs::write(world.path("ca.pem"), world.ca.certificate_pem()).unwrap();
        fs::write(world.path("response.der"), response).unwrap();
        let port = free_port();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-cert", "served.pem", "-key", "served.pem", "-cert_chain", "ca.pem"]);
        command.args(["-status_file", "response.der", "-accept", &format!("127.0.0.1:{port}")]).args(more);
        command.current_dir(world.path("")).stdin(std::process::Stdio::piped());
        let running = Running::start(command);
        assert!(until(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok()), "{}", running.words());
        Server { port, _running: running }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn response(ca: &Authority, issued: &Issued) -> ResponseBuilder {
    ResponseBuilder::new(ca).good(&ca.cert_id(issued.serial(), HashAlgorithm::Sha1))
}

#[test]
fn the_staple_of_openssl_is_judged_as_the_daemon_judges() {
    let world = World::new();
    let issued = world.ca.issue(&world.profile("a.example")).unwrap();
    let stranger = Authority::root("Test CA").create().unwrap();
    let id = world.ca.cert_id(issued.serial(), HashAlgorithm::Sha1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    for (staple, code, words) in [
        (response(&world.ca, &issued), 0, "good: the certificate is good"),
        (ResponseBuilder::new(&world.ca).revoked(&id, now - 60, None), 10, "REVOKED"),
        (ResponseBuilder::new(&world.ca).unknown(&id), 11, "unknown: "),
        (response(&world.ca, &issued).this_update(now - 7200).next_update(now - 3600), 20, "INVALID (expired)"),
        (response(&stranger, &issued), 20, "INVALID ("),
    ] {
        let server = Server::start(&world, &issued, &staple.build().unwrap(), &[]);
        let ended = probe(&world, &[&server.address(), "--servername", "a.example"]);
        assert_eq!(ended.code, code, "{words}: {ended:?}");
        assert!(ended.out.contains(words), "{words}: {ended:?}");
    }
    let good = response(&world.ca, &issued).build().unwrap();
    let server = Server::start(&world, &issued, &good, &["-tls1_2"]);
    let port = server.port.to_string();
    // Of the addresses of a name, one that answers is enough.
    let local = format!("localhost:{port}");
    let ended = probe(&world, &[&local, "--servername", "a.example", "--ca", "ca.pem", "--json"]);
    let found = object(&ended);
    assert_eq!(
        (ended.code, &found["trust"], &found["protocol"]),
        (0, &"trusted".into(), &"TLSv1.2".into()),
        "{ended:?}"
    );
    let ended = probe(&world, &[&local, "--ca", "ca.pem", "--json"]);
    assert_eq!((ended.code, &object(&ended)["trust"]), (20, &"refused".into()), "another name: {ended:?}");
    fs::write(world.path("other.pem"), stranger.certificate_pem()).unwrap();
    let ended = probe(&world, &[&server.address(), "--servername", "a.example", "--ca", "other.pem"]);
    assert!(ended.code == 20 && ended.out.contains("NOT TRUSTED"), "{ended:?}");

    // A server that sends its own certificate alone: the issuer comes from a file, or is missing.
    issued.write_bundle(&world.path("served.pem")).unwrap();
    drop(server);
    fs::write(world.path("ca.pem"), "").unwrap();
    let alone = world.path("alone.pem");
    fs::write(&alone, issued.certificate_pem() + &issued.key_pem()).unwrap();
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-cert", "alone.pem", "-key", "alone.pem", "-status_file", "response.der"]);
    command
        .args(["-accept", &format!("127.0.0.1:{port}")])
        .current_dir(world.path(""))
        .stdin(std::process::Stdio::piped());
    let _running = Running::start(command);
    assert!(until(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok()));
    fs::write(world.path("issuer.pem"), world.ca.certificate_pem()).unwrap();
    let address = format!("127.0.0.1:{port}");
    let ended = probe(&world, &[&address, "--servername", "a.example"]);
    assert!(ended.code == 20 && ended.out.contains("INVALID (issuer_missing)"), "{ended:?}");
    let ended = probe(&world, &[&address, "--servername", "a.example", "--issuer", "issuer.pem"]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn nginx_sends_the_staple_of_its_file() {
    let world = World::new();
    world.issue("a.pem", &world.profile("a.example"));
    assert_eq!(world.one_off(&[]).code, 0);
    let text = |name: &str| world.path(name).to_str().unwrap().to_owned();
    fs::write(
        world.path("nginx.conf"),
        format!(
            "daemon off; pid nginx.pid; error_log error.log notice; events {{}}\n\
             http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; \
             scgi_temp_path t5; server {{ listen unix:{} ssl; ssl_certificate {pem}; ssl_certificate_key {pem}; \
             ssl_stapling on; ssl_stapling_file {pem}.ocsp; }} }}\n",
            text("n.sock"),
            pem = text("certs/a.pem"),
        ),
    )
    .unwrap();
    let mut command = Command::new("nginx");
    command.args(["-p", &text(""), "-e", "error.log", "-c", &text("nginx.conf")]);
    let mut nginx = Running::start(command);
    assert!(until(PATIENCE, || {
        assert!(nginx.is_running(), "{}", nginx.words());
        UnixStream::connect(world.path("n.sock")).is_ok()
    }));
    let ended = probe(&world, &["./n.sock", "--servername", "a.example"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("bytes: good: "), "{ended:?}");
}

/// What a server says, and how many octets it then waits for.
type Script = &'static [(&'static [u8], usize)];

/// A server that speaks in plain text, line by line, and then hands the connection to a TLS server. Takes one connection.
fn plain_text(script: Script, tls: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        for (says, hears) in script {
            client.write_all(says).unwrap();
            let mut heard = vec![0; *hears];
            client.read_exact(&mut heard).unwrap();
        }
        let server = TcpStream::connect(("127.0.0.1", tls)).unwrap();
        let pipe = |mut from: TcpStream, mut to: TcpStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        };
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let back = std::thread::spawn(move || pipe(server, client));
        pipe(from, to);
        back.join().unwrap();
    });
    port
}

#[test]
fn starttls_leads_to_the_staple() {
    let world = World::new();
    let issued = world.ca.issue(&world.profile("a.example")).unwrap();
    let server = Server::start(&world, &issued, &response(&world.ca, &issued).build().unwrap(), &[]);
    let scripts: [(&str, Script); 6] = [
        ("smtp", &[(b"220 mx\r\n", 16), (b"250-mx\r\n250 STARTTLS\r\n", 10), (b"220 go\r\n", 0)]),
        ("imap", &[(b"* OK hi\r\n", 12), (b"a OK go\r\n", 0)]),
        ("pop3", &[(b"+OK hi\r\n", 6), (b"+OK go\r\n", 0)]),
        ("ftp", &[(b"220 hi\r\n", 10), (b"234 go\r\n", 0)]),
        ("ldap", &[(b"", 31), (b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00", 0)]),
        ("postgres", &[(b"", 8), (b"S", 0)]),
    ];
    for (protocol, script) in scripts {
        let address = format!("127.0.0.1:{}", plain_text(script, server.port));
        let ended = probe(&world, &[&address, "--starttls", protocol, "--servername", "a.example"]);
        assert_eq!(ended.code, 0, "{protocol}: {ended:?}");
        assert!(ended.out.contains("bytes: good: "), "{protocol}: {ended:?}");
    }
    let address = format!("127.0.0.1:{}", plain_text(&[(b"220 mx\r\n", 16), (b"250 mx\r\n", 0)], server.port));
    let ended = probe(&world, &[&address, "--starttls", "smtp"]);
    assert!(ended.code == 4 && ended.out.contains("does not offer TLS"), "{ended:?}");
}

#[test]
fn a_server_that_says_nothing_or_something_else_is_given_up() {
    let world = World::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let ended = probe(&world, &[&address, "--timeout", "1"]);
    assert!(ended.code == 4 && ended.out.contains("does not finish within 1 s"), "{ended:?}");
    let port = plain_text(&[(b"HTTP/1.1 400 Bad Request\r\n\r\n", 1)], 1);
    let ended = probe(&world, &[&format!("127.0.0.1:{port}"), "--json"]);
    assert!(ended.code == 4 && object(&ended)["error"].as_str().unwrap().contains("the handshake failed"), "{ended:?}");
    for arguments in
        [&["a:b:c:d:x"][..], &["host:0"], &[], &["h:1", "--starttls", "gopher"], &["h:1", "--ca", "nowhere.pem"]]
    {
        let code = probe(&world, arguments).code;
        assert!(code == 2 || (code == 4 && arguments == ["a:b:c:d:x"]), "{arguments:?}: {code}");
    }
}
