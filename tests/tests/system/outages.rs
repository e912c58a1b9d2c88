//! Tests of a responder or a socket that does not exist yet.

use std::net::{Ipv4Addr, SocketAddr};

use stapled_ca::lab::Lab;
use stapled_tests::{Haproxy, LONG, Stapled, World, free_port, wait_until, wait_until_within, with_each_haproxy};

#[test]
fn a_responder_that_is_down_is_asked_again() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()).into();
        let cert = world.cert("a", &format!("http://{address}/"));
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();

        let line = stapled.wait_for_line(&["event=renewal_failed", "code=connect_failed", &cert.host]);
        assert!(line.contains("tried again at"), "{line}");
        assert_eq!(haproxy.staple(&cert), None);
        assert_eq!(cert.staple_file(), None);

        let lab = Lab::builder().authority(&world.ca).listen(address).start().unwrap();
        wait_until_within(LONG, "it is stapled when the responder is up", || haproxy.staple(&cert).is_some());
        assert_eq!(lab.requests().len(), 1);
        stapled.stop();
    });
}

#[test]
fn a_missing_socket_is_reported_and_used_when_it_appears() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = world.cert("a", &lab.url());
        // It does not find the staple at its start.
        let haproxy = Haproxy::of(binary, &world, "a").global("ssl-load-extra-files none");
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();

        let line = stapled.wait_for_line(&["event=delivery_failed", "code=socket_missing", "tried again at"]);
        let socket = haproxy.socket();
        assert!(line.contains(socket.to_str().unwrap()), "{line}");
        wait_until("its file is written all the same", || cert.staple_file().is_some());
        let staple = cert.staple_file().unwrap();

        let haproxy = haproxy.start();
        wait_until_within(LONG, "it is stapled when the socket is there", || haproxy.staple(&cert).is_some());
        assert!(haproxy.staple(&cert) == Some(staple));
        assert_eq!(lab.requests().len(), 1, "the CA was asked again because a socket was missing");
        stapled.stop();
    });
}
