//! Tests of certificates that are added, changed and removed while HAProxy runs.

use std::time::Duration;

use stapled_ca::lab::Lab;
use stapled_tests::{Haproxy, Stapled, World, wait_until, wait_until_within, with_each_haproxy};

/// The time within which `stapled` notices a difference in HAProxy, which it compares regularly.
const COMPARED: Duration = Duration::from_secs(10);

#[test]
fn a_certificate_is_added() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let old = world.cert("old", &lab.url());
        let list = world.path("list");
        std::fs::write(&list, format!("{}\n", old.name())).unwrap();
        let haproxy = Haproxy::of(binary, &world, "a").crt_list(&list).start();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        let first = haproxy.wait_for_staple(&old);

        // HAProxy serves the certificate first; `stapled` finds it afterwards.
        let new = world.issue(&world.path("new.pem"), |profile| profile.ocsp_url(lab.url()));
        let new = stapled_tests::Cert { path: world.certs().join("new.pem"), ..new };
        let temporary = world.path("temporary.pem");
        std::fs::write(&temporary, new.issued.bundle_pem()).unwrap();
        std::fs::copy(&temporary, &new.path).unwrap();
        haproxy.load(&new, true);
        let reply = haproxy.ask(&format!("add ssl crt-list {} {}", list.display(), new.name()));
        assert!(reply.contains("Success!"), "{reply}");
        let within = || haproxy.staple(&new).is_some();
        wait_until_within(COMPARED, "the new certificate is stapled", within);
        assert_eq!(haproxy.staple(&new), Some(new.wait_for_file()));
        assert_eq!(haproxy.staple(&old), Some(first), "the other one was not touched");
        assert_eq!(lab.requests_for(old.issued.serial()), 1);
        stapled.stop();
    });
}

#[test]
fn a_certificate_is_replaced_and_deleted() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let stays = world.cert("stays", &lab.url());
        let old = world.cert("a", &lab.url());
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        let first = haproxy.wait_for_staple(&old);
        let other = haproxy.wait_for_staple(&stays);

        // The order of certbot and its hook: first the file, then HAProxy.
        let new = world.renewal_of(&old, &lab.url());
        new.write();
        haproxy.load(&new, false);
        wait_until_within(COMPARED, "the new certificate is stapled", || haproxy.staple(&new).is_some());
        let second = haproxy.staple(&new).unwrap();
        assert!(second != first, "the old certificate's staple");
        wait_until("the file is the new certificate's", || new.staple_file().as_ref() == Some(&second));
        assert_eq!(lab.requests_for(new.issued.serial()), 1);

        std::fs::remove_file(&new.path).unwrap();
        wait_until("the staple of the deleted certificate is deleted", || new.staple_file().is_none());
        stapled.wait_for_line(&["event=retired", &new.host]);
        assert_eq!(haproxy.staple(&stays), Some(other), "the other one was not touched");
        assert_eq!(lab.requests_for(stays.issued.serial()), 1);
        stapled.stop();
    });
}

#[test]
fn a_staple_lost_to_a_late_hook_comes_back_without_asking_the_ca() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let (late, again) = (world.cert("late", &lab.url()), world.cert("again", &lab.url()));
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        haproxy.wait_for_staple(&late);
        let staple = haproxy.wait_for_staple(&again);

        // The file is new, but HAProxy's certificate is not: the hook runs later.
        let new = world.renewal_of(&late, &lab.url());
        new.write();
        let socket = format!("sink={}", haproxy.socket().display());
        stapled.wait_for_line(&["code=certificate_differs", &new.host, &socket]);
        let asked = lab.requests().len();
        haproxy.load(&new, false);
        // The same certificate is loaded again: its staple is lost as well, without any message.
        haproxy.load(&again, false);
        assert_eq!(haproxy.staple(&again), None, "this HAProxy keeps staples: the test proves nothing");

        wait_until_within(COMPARED, "the one in service again is stapled again", || {
            haproxy.staple(&again).as_ref() == Some(&staple)
        });
        wait_until_within(COMPARED, "the one brought into service late is stapled", || haproxy.staple(&new).is_some());
        assert_eq!(haproxy.staple(&new), Some(new.wait_for_file()));
        assert_eq!(lab.requests().len(), asked, "the CA was asked for what had been there");
        stapled.stop();
    });
}

#[test]
fn a_link_with_a_new_target_is_noticed() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        // The layout of certbot: the configured path is a link, and a renewal changes its target.
        std::fs::create_dir(world.path("archive")).unwrap();
        let link = world.certs().join("a.pem");
        let old = world.issue(&link, |profile| profile.ocsp_url(lab.url()));
        let new = world.renewal_of(&old, &lab.url());
        for (cert, name) in [(&old, "archive/a1.pem"), (&new, "archive/a2.pem")] {
            std::fs::write(world.path(name), cert.issued.bundle_pem()).unwrap();
        }
        std::os::unix::fs::symlink("../archive/a1.pem", &link).unwrap();
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        let first = haproxy.wait_for_staple(&old);
        assert_eq!(old.wait_for_file(), first);

        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("../archive/a2.pem", &link).unwrap();
        haproxy.load(&new, false);
        wait_until_within(COMPARED, "the new certificate is stapled", || haproxy.staple(&new).is_some());
        let second = haproxy.staple(&new);
        wait_until("the file is the new certificate's", || new.staple_file() == second);
        assert_eq!(World::listing(&world.path("archive")), ["a1.pem", "a2.pem"], "staples lie beside the link");
        stapled.stop();
    });
}
