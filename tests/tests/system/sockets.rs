//! Tests of several HAProxy processes.

use stapled_ca::lab::Lab;
use stapled_tests::{Cert, Haproxy, Stapled, World, wait_until, with_each_haproxy};

fn in_folder(world: &World, folder: &str, lab: &Lab) -> Cert {
    let cert = world.issue(&world.path(folder).join(format!("{folder}.pem")), |profile| profile.ocsp_url(lab.url()));
    cert.write();
    cert
}

#[test]
fn two_paths_are_delivered_to_their_own_sockets() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let (a, b) = (in_folder(&world, "a", &lab), in_folder(&world, "b", &lab));
        let at_a = Haproxy::of(binary, &world, "a").crt(&world.path("a")).start();
        let at_b = Haproxy::of(binary, &world, "b").crt(&world.path("b")).start();
        let stapled = Stapled::of(&world)
            .certs([world.path("a"), world.path("b")])
            .sockets([at_a.socket(), at_b.socket()])
            .start();
        assert!(at_a.wait_for_staple(&a) != at_b.wait_for_staple(&b));
        for (cert, socket) in [(&a, at_b.socket()), (&b, at_a.socket())] {
            let crossed = stapled.lines(&[&cert.host, &format!("sink={}", socket.display())]);
            assert_eq!(crossed, [""; 0], "{} is none of {}'s business", cert.host, socket.display());
        }
        stapled.stop();
    });
}

#[test]
fn a_dead_socket_does_not_affect_the_other() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let cert = world.cert("a", &lab.url());
        let mut one = Haproxy::of(binary, &world, "one").start();
        let two = Haproxy::of(binary, &world, "two").start();
        let both = format!("{},{}", one.socket().display(), two.socket().display());

        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([&both]).start();
        assert!(one.wait_for_staple(&cert) == two.wait_for_staple(&cert));
        assert_eq!(lab.requests().len(), 1, "one question is enough for two servers");
        stapled.stop();

        let run =
            || Stapled::of(&world).certs([world.certs()]).sockets([&both]).args(["--one-off", "--no-recycle"]).run();
        let finished = run();
        assert_eq!(finished.code, 0, "{finished:?}");

        one.end();
        let before = two.staple(&cert);
        let finished = run();
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.out.contains("not taken by a server: 1"), "{finished:?}");
        assert!(finished.out.contains(one.socket().to_str().unwrap()), "the dead one is named: {finished:?}");
        wait_until("the living one has the new staple", || two.staple(&cert) == cert.staple_file());
        assert!(two.staple(&cert) != before);
    });
}
