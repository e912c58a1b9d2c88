use std::os::unix::net::UnixStream;
use std::process::Command;

use stapled_tests::{PATIENCE, wait_for};

use crate::support::{World, contents, example};

const EMBED: &str = env!("CARGO_BIN_EXE_embed");

#[test]
fn staples_are_written_beside_their_certificates_until_the_program_ends() {
    let world = World::new();
    world.issue("a.test");
    let program = example(EMBED, &[&world.text("certs")]);
    let staple = wait_for("a staple", || contents(world.path("certs/a.test.pem.ocsp")));
    assert_eq!(Some(&staple), world.proxy.responses().last());
    program.line("a.test: staple delivered to files");
    // A certificate that is added later gets a staple, too.
    world.issue("b.test");
    wait_for("a second staple", || contents(world.path("certs/b.test.pem.ocsp")));
    program.signal("INT");
    assert_eq!(program.end(PATIENCE).code, 0);
}

#[test]
fn a_running_haproxy_gets_the_staples() {
    let world = World::new();
    let haproxy = world.haproxy("a.test");
    let stapled = || world.stapled(UnixStream::connect(world.path("tls.sock")).unwrap(), "a.test");
    assert_eq!(stapled(), None);

    let socket = haproxy.socket();
    let _program = example(EMBED, &[&world.text("certs"), socket.to_str().unwrap()]);
    let staple = wait_for("a staple", stapled);
    assert_eq!(Some(&staple), world.proxy.responses().last());
}

#[test]
fn the_example_shows_its_usage() {
    let output = Command::new(EMBED).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage"));
}
