//! Tests with the list of certificates from HAProxy itself.

use std::path::Path;
use std::time::Duration;

use stapled_ca::lab::Lab;
use stapled_tests::{Cert, Haproxy, Stapled, World, wait_until, wait_until_within, with_each_haproxy};

/// The time within which changes in HAProxy by other programs are noticed.
const SECONDS: Duration = Duration::from_secs(10);

fn certs(world: &World, lab: &Lab, count: usize) -> Vec<Cert> {
    (0..count).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect()
}

#[test]
fn the_socket_alone_is_enough() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let certs = certs(&world, &lab, 20);
        // Relative names, which start in HAProxy's working directory.
        let haproxy = Haproxy::of(binary, &world, "a").crt(Path::new("certs")).start();
        let stapled = Stapled::of(&world).sockets([haproxy.socket()]).start();
        for cert in &certs {
            let staple = haproxy.wait_for_staple(cert);
            assert!(cert.wait_for_file() == staple, "the file of {} holds something else", cert.host);
        }
        assert_eq!(lab.requests().len(), certs.len());
        stapled.stop();

        let finished = Stapled::of(&world).sockets([haproxy.socket()]).args(["--one-off"]).run();
        assert_eq!(finished.code, 0, "{finished:?}");
        assert_eq!(lab.requests().len(), certs.len(), "what was there was asked for again");
    });
}

#[test]
fn a_master_alone_is_enough() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let certs = certs(&world, &lab, 5);
        let haproxy = Haproxy::of(binary, &world, "a").master_worker().start();
        let stapled = Stapled::of(&world).sockets([haproxy.master_address()]).args(["--no-staple-files"]).start();
        let before: Vec<_> = certs.iter().map(|cert| haproxy.wait_for_staple(cert)).collect();
        for _ in 0..2 {
            haproxy.reload();
            for (cert, before) in certs.iter().zip(&before) {
                assert!(haproxy.wait_for_staple(cert) == *before, "{} has another staple than before", cert.host);
            }
        }
        assert_eq!(lab.requests().len(), certs.len());
        stapled.stop();
    });
}

#[test]
fn a_served_certificate_is_stapled_while_its_file_has_another() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let old = world.cert("a", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world).sockets([haproxy.socket()]).start();
        let first = haproxy.wait_for_staple(&old);

        let new = world.renewal_of(&old, &lab.url());
        new.write();
        stapled.wait_for_line(&["code=served_differs", new.name()]);
        // The next start of HAProxy will find the file.
        wait_until("the new certificate's staple lies beside it", || new.staple_file().is_some_and(|now| now != first));
        // Another program loads the old certificate again: it is the served one.
        std::fs::write(&old.path, old.issued.bundle_pem()).unwrap();
        haproxy.load(&old, false);
        new.write();
        wait_until_within(SECONDS, "the served one is stapled again", || haproxy.staple(&old).as_ref() == Some(&first));

        haproxy.load(&new, false);
        wait_until_within(SECONDS, "the new one is stapled", || haproxy.staple(&new).is_some());
        assert_eq!(haproxy.staple(&new), new.staple_file());
        assert_eq!((lab.requests_for(old.issued.serial()), lab.requests_for(new.issued.serial())), (1, 1));
        stapled.stop();
    });
}

#[test]
fn a_copy_beside_the_file_is_enough_and_a_missing_file_is_reported() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let (copied, gone) = (world.cert("copied", &lab.url()), world.cert("gone", &lab.url()));
        let haproxy = Haproxy::of(binary, &world, "a").start();
        std::fs::rename(&copied.path, world.certs().join("copied.pem.old")).unwrap();
        std::fs::remove_file(&gone.path).unwrap();
        let stapled = Stapled::of(&world).sockets([haproxy.socket()]).start();
        haproxy.wait_for_staple(&copied);
        stapled.wait_for_line(&["code=unreadable_certificate", gone.name()]);
        assert_eq!(stapled.lines(&["code=unreadable_certificate", copied.name()]), [""; 0]);
        // The file comes back, without a signal.
        gone.write();
        wait_until_within(SECONDS, "it is stapled", || haproxy.staple(&gone).is_some());
        stapled.stop();
    });
}

#[test]
fn changes_in_the_running_process_are_noticed() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let stays = world.cert("stays", &lab.url());
        let list = world.path("list");
        std::fs::write(&list, format!("{}\n", stays.name())).unwrap();
        let haproxy = Haproxy::of(binary, &world, "a").crt_list(&list).start();
        let stapled = Stapled::of(&world).sockets([haproxy.socket()]).start();
        let staple = haproxy.wait_for_staple(&stays);

        let new = world.cert("new", &lab.url());
        haproxy.load(&new, true);
        let reply = haproxy.ask(&format!("add ssl crt-list {} {}", list.display(), new.name()));
        assert!(reply.contains("Success!"), "{reply}");
        wait_until_within(SECONDS, "the new certificate is stapled", || haproxy.staple(&new).is_some());

        for command in
            [format!("del ssl crt-list {} {}", list.display(), new.name()), format!("del ssl cert {}", new.name())]
        {
            haproxy.ask(&command);
        }
        stapled.wait_for_line_within(SECONDS, &["event=retired", &new.host]);
        assert_eq!(haproxy.staple(&stays), Some(staple), "the other one was touched");
        assert_eq!(lab.requests().len(), 2);
        stapled.stop();
    });
}
