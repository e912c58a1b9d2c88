//! Tests of many certificates, some of them broken: each broken one is named, and none delays the others.

use std::time::Duration;

use stapled_ca::lab::{Fault, Lab};
use stapled_ca::{Authority, Profile};
use stapled_tests::{Cert, Haproxy, PATIENCE, Stapled, World, wait_until, wait_until_within, with_each_haproxy};

const GOOD: usize = 195;
/// The longest time of an exchange.
const EXCHANGE: Duration = Duration::from_secs(15);

#[test]
fn broken_certificates_are_named_and_delay_no_others() {
    with_each_haproxy(|binary| {
        let world = World::new();
        let lab = Lab::start([&world.ca]).unwrap();
        // A separate responder: a hanging responder is avoided after a while, which another test covers.
        let hanging_lab = Lab::start([&world.ca]).unwrap();
        let good: Vec<Cert> = (0..GOOD).map(|number| world.cert(&format!("good{number}"), &lab.url())).collect();
        let hanging = world.cert("a-hanging", &hanging_lab.url());
        hanging_lab.fault_all(Fault::Hang);
        let unauthorized = world.cert("a-unauthorized", &lab.url());
        lab.fault(unauthorized.issued.serial(), Fault::Unauthorized);
        let wrong_signer = world.cert("a-wrong-signer", &lab.url());
        lab.fault(wrong_signer.issued.serial(), Fault::WrongSigner);
        let day = 86_400;
        let long_ago = good[0].issued.not_before() - 30 * day;
        let expired =
            world.cert_with("a-expired", |profile| profile.ocsp_url(lab.url()).valid_between(long_ago, long_ago + day));
        let orphan = world.certs().join("a-orphan.pem");
        let elsewhere = Authority::root("Elsewhere").create().unwrap();
        let issued = elsewhere.issue(&Profile::server("orphan.example").ocsp_url(lab.url())).unwrap();
        std::fs::write(&orphan, issued.certificate_pem() + &issued.key_pem()).unwrap();

        // HAProxy accepts all of these certificates, but no garbage.
        let list = world.path("list");
        let names = World::listing(&world.certs());
        let lines: String = names.iter().map(|name| format!("{}\n", world.certs().join(name).display())).collect();
        std::fs::write(&list, lines).unwrap();
        std::fs::write(
            world.certs().join("a-garbage.pem"),
            "-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        let haproxy = Haproxy::of(binary, &world, "a").crt_list(&list).start();

        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        wait_until_within(EXCHANGE, "all good ones are stapled", || {
            good.iter().rev().all(|cert| haproxy.staple(cert).is_some())
        });
        let given_up = stapled.lines(&["event=renewal_failed", &hanging.host]);
        assert_eq!(given_up, [""; 0], "the good ones waited for the one that hangs");

        for (parts, code) in [
            (["event=place_problem", "a-garbage.pem"], "code=malformed_certificate"),
            (["event=place_problem", "a-orphan.pem"], "code=issuer_missing"),
            (["event=place_problem", "a-expired.pem"], "code=certificate_expired"),
            (["event=renewal_failed", &unauthorized.host], "code=error_status:unauthorized"),
            (["event=renewal_failed", &wrong_signer.host], "code=responder_wrong_issuer"),
            (["event=renewal_failed", &hanging.host], "code=timed_out"),
        ] {
            let line = stapled.wait_for_line_within(PATIENCE, &parts);
            assert!(line.contains(code), "not {code}: {line}");
        }
        for cert in &good {
            assert_eq!(haproxy.staple(cert), Some(cert.wait_for_file()));
            assert_eq!(lab.requests_for(cert.issued.serial()), 1);
        }
        for cert in [&hanging, &unauthorized, &wrong_signer, &expired] {
            assert_eq!(haproxy.staple(cert), None, "{} is stapled", cert.host);
        }
        wait_until("there are as many files as staples", || {
            World::listing(&world.certs()).iter().filter(|name| name.ends_with(".ocsp")).count() == GOOD
        });
        stapled.stop();
    });
}
