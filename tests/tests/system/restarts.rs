//! Tests of restarts and reloads of HAProxy, which lose its staples.

use stapled_ca::lab::Lab;
use stapled_tests::{Cert, Haproxy, HaproxyBuilder, Stapled, World, wait_until, with_each_haproxy};

#[test]
fn staples_are_back_after_a_restart_without_asking_the_ca() {
    with_each_haproxy(|binary| {
        staples_are_back(Haproxy::of, binary, Haproxy::restart);
    });
}

#[test]
fn staples_are_back_after_a_reload_without_asking_the_ca() {
    with_each_haproxy(|binary| {
        let of_master = |binary: &str, world: &World, name: &str| Haproxy::of(binary, world, name).master_worker();
        staples_are_back(of_master, binary, |haproxy| haproxy.reload());
    });
}

fn staples_are_back(of: impl Fn(&str, &World, &str) -> HaproxyBuilder, binary: &str, lose: impl Fn(&mut Haproxy)) {
    // Without files, only `stapled` can restore the staples. With files, HAProxy reads them at its start.
    for files in [&["--no-staple-files"][..], &[]] {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let certs: Vec<Cert> = (0..10).map(|number| world.cert(&format!("c{number}"), &lab.url())).collect();
        let mut haproxy = of(binary, &world, "a").start();
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).args(files).start();
        let before: Vec<_> = certs.iter().map(|cert| haproxy.wait_for_staple(cert)).collect();
        // With files, HAProxy may have the staples before the loss is noticed. The next round must not start sooner.
        let sink = format!("sink={}", haproxy.socket().display());
        let delivered = |count| {
            let what = format!("{count} deliveries");
            wait_until(&what, || stapled.lines(&["event=delivered", &sink]).len() >= count);
        };
        delivered(certs.len());
        for round in 1..=2 {
            lose(&mut haproxy);
            for (cert, before) in certs.iter().zip(&before) {
                let after = haproxy.wait_for_staple(cert);
                assert!(after == *before, "{} has another staple than before", cert.host);
            }
            assert_eq!(lab.requests().len(), certs.len(), "the CA was asked because HAProxy had lost its staples");
            delivered(certs.len() * (round + 1));
        }
        stapled.stop();
    }
}
