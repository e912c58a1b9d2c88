use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::support::{Program, World, contents, wait_for};

const EMBED: &str = env!("CARGO_BIN_EXE_embed");

#[test]
fn staples_lie_beside_their_certificates_until_it_is_told_to_end() {
    let world = World::new();
    world.issue("a.test");
    let program = Program::example(EMBED, &[&world.text("certs")]);
    let staple = wait_for("a staple", || contents(world.path("certs/a.test.pem.ocsp")));
    assert_eq!(Some(&staple), world.tap.responses().last());
    program.line("a.test: staple delivered to files");
    // Certificates that come later are seen as they come.
    world.issue("b.test");
    wait_for("a second staple", || contents(world.path("certs/b.test.pem.ocsp")));
    program.interrupt();
    assert!(program.end());
}

#[test]
fn a_running_haproxy_staples_too() {
    let world = World::new();
    let _haproxy = world.haproxy("a.test");
    let handshake = || Some(world.stapled(UnixStream::connect(world.path("tls.sock")).ok()?, "a.test"));
    assert_eq!(wait_for("HAProxy", handshake), None);

    let _program = Program::example(EMBED, &[&world.text("certs"), &world.text("admin.sock")]);
    let staple = wait_for("a staple", || handshake()?);
    assert_eq!(Some(&staple), world.tap.responses().last());
}

#[test]
fn it_says_how_it_is_used() {
    let output = Command::new(EMBED).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage"));
}
