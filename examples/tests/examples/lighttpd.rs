use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use stapled_tests::{PATIENCE, Running, Trust, free_port, handshake_over, wait_for};

use crate::support::{World, contents, example};

const LIGHTTPD: &str = env!("CARGO_BIN_EXE_lighttpd");

/// The modules of the lighttpd that is found first.
fn modules() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let unpacked = std::env::split_paths(&on_path).map(|folder| folder.join("../lighttpd/usr/lib/lighttpd"));
    unpacked.chain([PathBuf::from("/usr/lib/lighttpd")]).find(|path| path.exists()).expect("lighttpd's modules")
}

#[test]
fn lighttpd_staples_until_the_certificate_is_revoked() {
    let world = World::new();
    let issued = world.issue("a.test");
    let port = free_port();
    let text = format!(
        "server.document-root = \"{0}\"\nserver.port = {port}\nserver.bind = \"127.0.0.1\"\nserver.errorlog = \"{0}/log\"\n\
         server.pid-file = \"{0}/pid\"\nserver.modules = (\"mod_openssl\")\nssl.engine = \"enable\"\n\
         ssl.pemfile = \"{0}/certs/a.test.pem\"\nssl.privkey = \"{0}/a.test.key\"\n\
         ssl.stapling-file = \"{0}/certs/a.test.pem.ocsp\"\n",
        world.path("").to_str().unwrap().trim_end_matches('/')
    );
    std::fs::write(world.path("lighttpd.conf"), text).unwrap();
    let mut command = Command::new("lighttpd");
    command.arg("-D").arg("-m").arg(modules()).arg("-f").arg(world.path("lighttpd.conf"));
    let mut server = Running::start(command);
    let connect = || TcpStream::connect(("127.0.0.1", port)).ok();
    wait_for("lighttpd", || {
        assert!(server.is_running(), "{}", server.words());
        connect()
    });
    assert_eq!(world.stapled(connect().unwrap(), "a.test"), None, "it starts without the file");

    let program = example(LIGHTTPD, &[&world.text("certs"), &world.text("pid")]);
    // While lighttpd restarts, it takes no connection for a moment.
    let handshake = || handshake_over(&mut connect()?, "a.test", Trust::Any).ok();
    let staple = wait_for("a staple", || handshake()?.staple);
    assert_eq!(Some(&staple), world.proxy.responses().last());
    assert_eq!(contents(world.path("certs/a.test.pem.ocsp")), Some(staple));
    program.signal("INT");
    assert_eq!(program.end(PATIENCE).code, 0);

    // A revocation: the next run asks again, because the staple in the file is not used by this sink.
    world.lab.revoke(issued.serial()).unwrap();
    let _program = example(LIGHTTPD, &[&world.text("certs"), &world.text("pid")]);
    wait_for("the removal", || (!world.path("certs/a.test.pem.ocsp").exists()).then_some(()));
    wait_for("no staple", || handshake().filter(|handshake| handshake.staple.is_none()));
}

#[test]
fn the_sink_has_25_lines() {
    let source = include_str!("../../lighttpd.rs");
    let begin = source.find("struct Lighttpd").unwrap();
    let sink = &source[begin..source.find("#[tokio::main]").unwrap()];
    let lines = sink.lines().filter(|line| !line.trim().is_empty() && !line.trim().starts_with("//")).count();
    assert!(lines <= 25, "{lines} lines");
}
