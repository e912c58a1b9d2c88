//! Tests of the main task: HAProxy starts without staples, and gets them.

use stapled_ca::ocsp::{HashAlgorithm, OcspRequest};
use stapled_ca::{KeyType, Profile, Responder};
use stapled_tests::{Cert, Haproxy, OpensslResponder, Stapled, World, check_with_openssl, with_each_haproxy};

/// Checks that no staple exists, in handshakes or in files.
fn assert_bare(haproxy: &Haproxy, world: &World, certs: &[&Cert]) {
    for cert in certs {
        assert_eq!(haproxy.staple(cert), None, "{} is stapled before stapled runs", cert.host);
    }
    let staples: Vec<_> = World::listing(&world.certs()).into_iter().filter(|name| name.ends_with(".ocsp")).collect();
    assert_eq!(staples, [""; 0]);
}

#[test]
fn every_handshake_has_the_responders_answer() {
    every_handshake_carries_it(|world, url| {
        let of_key = |name: &str, key| world.cert_with(name, |profile| profile.key(key).ocsp_url(url));
        let must_staple = world.cert_with("must-staple", |profile| profile.ocsp_url(url).must_staple(true));
        vec![of_key("rsa", KeyType::Rsa2048), of_key("ecdsa", KeyType::EcdsaP384), must_staple]
    });
}

#[test]
fn an_ed25519_certificate_is_stapled_too() {
    every_handshake_carries_it(|world, url| {
        vec![world.cert_with("ed25519", |profile| profile.key(KeyType::Ed25519).ocsp_url(url))]
    });
}

fn every_handshake_carries_it(issue: impl Fn(&World, &str) -> Vec<Cert> + Sync) {
    with_each_haproxy(|binary| {
        let world = World::new();
        let responder = Responder::builder().authority(&world.ca).start("127.0.0.1:0".parse().unwrap()).unwrap();
        let certs = issue(&world, &responder.url());
        let certs: Vec<&Cert> = certs.iter().collect();

        let haproxy = Haproxy::of(binary, &world, "a").start();
        assert_bare(&haproxy, &world, &certs);

        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        for cert in &certs {
            haproxy.wait_for_staple(cert);
            let file = cert.wait_for_file();
            assert_eq!(responder.responder().tally().of(cert.issued.serial()), 1, "questions for {}", cert.host);
            // The responder prepared its answer, and gives the same answer again.
            let cert_id = world.ca.cert_id(cert.issued.serial(), HashAlgorithm::Sha1);
            let sent = responder.responder().respond(&OcspRequest::for_certificate(cert_id).to_der());
            assert!(file == sent, "the file of {} holds something else", cert.host);
            for _ in 0..10 {
                let staple = haproxy.staple(cert);
                assert!(staple.as_deref() == Some(&sent), "{} is stapled with something else", cert.host);
            }
        }
        stapled.stop();
        for cert in &certs {
            assert!(haproxy.staple(cert).is_some(), "the staple went with stapled");
        }
    });
}

#[test]
fn openssl_as_responder_with_the_issuers_key_is_enough() {
    a_strangers_responder_will_do(false);
}

#[test]
fn openssl_as_responder_with_a_delegate_is_enough() {
    a_strangers_responder_will_do(true);
}

fn a_strangers_responder_will_do(is_delegated: bool) {
    with_each_haproxy(|binary| {
        let world = World::new();
        let mut responder = OpensslResponder::new(&world);
        let url = responder.url();
        let rsa = world.cert_with("rsa", |profile| profile.key(KeyType::Rsa2048).ocsp_url(&url));
        let must_staple = world.cert_with("must-staple", |profile| profile.ocsp_url(&url).must_staple(true));
        let certs = [&rsa, &must_staple];
        let delegate =
            is_delegated.then(|| world.ca.issue(&Profile::ocsp_responder("Delegate").key(KeyType::Rsa2048)).unwrap());
        responder.start(&world, delegate.as_ref());

        let haproxy = Haproxy::of(binary, &world, "a").start();
        assert_bare(&haproxy, &world, &certs);
        let stapled = Stapled::of(&world).certs([world.certs()]).sockets([haproxy.socket()]).start();
        for cert in certs {
            let staple = haproxy.wait_for_staple(cert);
            assert!(cert.wait_for_file() == staple, "the file of {} is not what is stapled", cert.host);
            check_with_openssl(&world, &cert.issued, &cert.staple_path());
        }
        stapled.stop();
    });
}
