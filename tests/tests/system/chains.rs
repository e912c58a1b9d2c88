//! Tests of a CA with a new key under its old name: HAProxy's choice of issuer, and the reports about it.

use std::fs;

use stapled_ca::Authority;
use stapled_ca::lab::Lab;
use stapled_tests::{Cert, Haproxy, Stapled, World, with_each_haproxy};

/// Writes the certificate with its key, followed by these authorities' certificates.
fn write(cert: &Cert, chain: &[&str]) {
    let pem = [cert.issued.certificate_pem(), chain.concat(), cert.issued.key_pem()].concat();
    fs::write(&cert.path, pem).unwrap();
}

#[test]
fn a_wrong_choice_of_issuer_is_reported_until_it_is_corrected() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        let path = world.certs().join("a.pem");
        let cert = world.issue(&path, |profile| profile.ocsp_url(lab.url()).authority_key_identifier(false));
        let (former, ca) = (Authority::root(world.ca.name()).create().unwrap(), world.ca.certificate_pem());
        write(&cert, &[&former.certificate_pem(), &ca]);
        let haproxy = Haproxy::of(binary, &world, "a").start();
        let socket = haproxy.socket();

        // The check before any change, from the files alone and with the running HAProxy.
        let (certs, socket_path) = (world.certs().display().to_string(), socket.display().to_string());
        for arguments in [&["-p", &certs, "--no-haproxy-sockets"][..], &["-p", &certs, "-s", &socket_path]] {
            let check =
                Stapled::asked(&world).args(["check", "--config", "empty.conf", "--json"]).args(arguments).run();
            assert_eq!(check.code, 1, "{check:?}");
            assert!(check.out.contains("\"wrong_issuer_first\"") && check.out.contains("reload HAProxy"), "{check:?}");
            assert!(check.out.contains("\"first_staple\":\"no\""), "{check:?}");
        }

        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([&socket]).start();
        stapled.wait_for_line(&["event=delivery_failed", "code=wrong_issuer_first", &socket_path]);
        stapled.wait_for_line(&["event=delivery_failed", "code=wrong_issuer_first", "files"]);
        let status = Stapled::asked(&world).args(["status", "--json"]).run();
        assert!(status.out.contains("wrong_issuer_first"), "{status:?}");
        assert_eq!((haproxy.staple(&cert), cert.staple_file()), (None, None));

        // The file and HAProxy are corrected: the staple follows without a further action.
        write(&cert, &[&ca, &former.certificate_pem()]);
        haproxy.load(&cert, false);
        let staple = haproxy.wait_for_staple(&cert);
        assert_eq!(cert.wait_for_file(), staple);
        let check = Stapled::asked(&world).args(["check", "--config", "empty.conf", "-p", &certs, "-s", &socket_path]);
        let check = check.run();
        assert_eq!(check.code, 0, "{check:?}");
        assert_eq!(lab.requests_for(cert.issued.serial()), 1);
        stapled.stop();
    });
}
