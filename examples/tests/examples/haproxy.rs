use std::os::unix::net::UnixStream;

use stapled_tests::{PATIENCE, wait_for};

use crate::support::{World, example};

const HAPROXY: &str = env!("CARGO_BIN_EXE_haproxy");

#[test]
fn three_lines_staple_the_certificates_of_a_configuration() {
    let world = World::new();
    let _haproxy = world.haproxy("a.test");
    let stapled = || world.stapled(UnixStream::connect(world.path("tls.sock")).unwrap(), "a.test");
    assert_eq!(stapled(), None);
    let program = example(HAPROXY, &[&world.text("haproxy.cfg")]);
    let staple = wait_for("a staple", stapled);
    assert_eq!(Some(&staple), world.proxy.responses().last());
    program.signal("INT");
    assert_eq!(program.end(PATIENCE).code, 0);
}

/// The check runs first: it prints a certificate that cannot be stapled, with the remedy.
#[test]
fn the_check_says_what_prevents_a_staple() {
    let world = World::new();
    let _haproxy = world.haproxy("a.test");
    std::fs::write(world.path("certs/a.test.pem.issuer"), "no certificate").unwrap();
    let program = example(HAPROXY, &[&world.text("haproxy.cfg")]);
    let line = program.line("does not begin with a certificate in PEM");
    assert!(line.contains("put the issuer's certificate into it, or remove it"), "{line}");
}
