//! Tests of a responder's name with several addresses in the system's resolver: an address without an answer does not
//! block one with an answer.

use std::net::{SocketAddr, TcpListener};

use stapled_ca::lab::Lab;
use stapled_tests::{Private, Stapled, World};

/// The server at the first address.
enum First {
    /// No process listens.
    Nobody,
    /// A server that accepts connections, and never answers.
    Silence(TcpListener),
}

#[test]
fn an_address_without_an_answer_blocks_no_other() {
    let Some(private) = Private::find() else { return };
    for accepts in [false, true] {
        let world = World::new();
        let lab = Lab::builder().authority(&world.ca).listen("127.0.0.2:0".parse().unwrap()).start().unwrap();
        let port = lab.address().port();
        let first = match accepts {
            true => First::Silence(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap()),
            false => First::Nobody,
        };
        let hosts = world.path("hosts");
        std::fs::write(&hosts, "127.0.0.1 localhost two.test\n127.0.0.2 two.test\n").unwrap();
        let cert = world.cert("a", &format!("http://two.test:{port}/"));
        let stapled = Stapled::of(&world).certs([world.certs()]).args(["--one-off", "--prefer-ipv4"]);
        let finished = private.hosts(stapled, &hosts).run();
        assert_eq!(finished.code, 0, "accepts: {accepts}: {finished:?}");
        assert!(cert.staple_file().is_some());
        assert_eq!(lab.requests().len(), 1, "accepts: {accepts}");
        if let First::Silence(silent) = first {
            silent.set_nonblocking(true).unwrap();
            assert!(silent.accept().is_ok(), "the first address was not tried first");
        }
    }
}
