use std::net::TcpStream;

use stapled_tests::{HttpServer, PATIENCE, wait_for};

use crate::support::{self, World};

#[test]
fn requests_pass_the_proxy_and_its_certificates_are_stapled() {
    let world = World::new();
    world.issue("a.test");
    world.issue("b.test");
    let backend = HttpServer::saying(stapled_tests::ok("from the backend"));
    let files = |host| [world.text(&format!("certs/{host}.pem")), world.text(&format!("{host}.key"))];
    let ([a_chain, a_key], [b_chain, b_key]) = (files("a.test"), files("b.test"));
    let to = backend.address.to_string();
    let arguments = ["127.0.0.1:0", &to, "a.test", &a_chain, &a_key, "b.test", &b_chain, &b_key];
    let program = support::example(env!("CARGO_BIN_EXE_proxy"), &arguments);
    let address = program.line("listening on ").replace("listening on ", "");
    let handshake = |host| world.stapled(TcpStream::connect(&address).unwrap(), host);
    let a = wait_for("a staple", || handshake("a.test"));
    let b = wait_for("the other's staple", || handshake("b.test"));
    assert!(a != b && world.proxy.responses().contains(&a) && world.proxy.responses().contains(&b));

    let said = world.request(&address, "b.test", "/path?query");
    assert!(said.contains("from the backend"), "{said}");
    assert_eq!(backend.received.lock().unwrap()[0].line, "GET /path?query HTTP/1.1");
    program.signal("INT");
    assert_eq!(program.end(PATIENCE).code, 0);
}
