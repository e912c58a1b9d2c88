use std::net::TcpStream;

use stapled_tests::wait_for;

use crate::support::{self, World};

#[test]
fn an_application_answers_and_its_certificate_is_stapled() {
    let world = World::new();
    world.issue("a.test");
    let arguments = ["127.0.0.1:0", &world.text("certs/a.test.pem"), &world.text("a.test.key")];
    let program = support::example(env!("CARGO_BIN_EXE_axum"), &arguments);
    let address = program.line("listening on ").replace("listening on ", "");
    let staple = wait_for("a staple", || world.stapled(TcpStream::connect(&address).unwrap(), "a.test"));
    assert_eq!(world.proxy.responses(), [staple]);
    let said = world.request(&address, "a.test", "/");
    assert!(said.contains("hello from axum"), "{said}");
}
