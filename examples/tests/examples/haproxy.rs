use std::os::unix::net::UnixStream;

use crate::support::{Program, World, wait_for};

const HAPROXY: &str = env!("CARGO_BIN_EXE_haproxy");

#[test]
fn three_lines_staple_what_a_configuration_names() {
    let world = World::new();
    let _haproxy = world.haproxy("a.test");
    let handshake = || Some(world.stapled(UnixStream::connect(world.path("tls.sock")).ok()?, "a.test"));
    assert_eq!(wait_for("HAProxy", handshake), None);
    let program = Program::example(HAPROXY, &[&world.text("haproxy.cfg")]);
    let staple = wait_for("a staple", || handshake()?);
    assert_eq!(Some(&staple), world.tap.responses().last());
    program.interrupt();
    assert!(program.end());
}

/// The check comes first: a certificate that cannot be stapled is printed with what to do.
#[test]
fn the_check_says_what_prevents_a_staple() {
    let world = World::new();
    let _haproxy = world.haproxy("a.test");
    wait_for("HAProxy", || UnixStream::connect(world.path("tls.sock")).ok());
    std::fs::write(world.path("certs/a.test.pem.issuer"), "no certificate").unwrap();
    let program = Program::example(HAPROXY, &[&world.text("haproxy.cfg")]);
    let line = program.line("does not begin with a certificate in PEM");
    assert!(line.contains("put the issuer's certificate into it, or remove it"), "{line}");
}
