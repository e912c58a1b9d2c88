//! Tests of what clients get, from start to revocation.

use std::sync::Arc;

use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use stapled_core::inventory::Inventory;
use stapled_core::inventory::standing::{CertificateStatus, DeliveryState};
use stapled_core::stapler::Selection;
use stapled_rustls::{Certificates, Stapling};
use stapled_tests::{World, wait_for};

use crate::support::{Server, issue, responder};

#[test]
fn a_certificate_is_learnt_from_its_first_handshake() {
    let world = World::new();
    let lab = responder(&world);
    let (a, a_key) = issue(&world, &lab, "a.test", |profile| profile);
    let (b, b_key) = issue(&world, &lab, "b.test", |profile| profile);
    let mut resolver = ResolvesServerCertUsingSni::new();
    resolver.add("a.test", CertifiedKey::clone(&a_key)).unwrap();
    resolver.add("b.test", CertifiedKey::clone(&b_key)).unwrap();
    let server = Server::start(Stapling::new(Arc::new(resolver)));
    server.runtime.block_on(server.handle.ready()).unwrap();
    assert_eq!(lab.requests().len(), 0, "nobody knows the certificates yet");

    assert_eq!(server.handshake("a.test"), (a.der().to_vec(), None));
    let staple = server.wait_for_staple("a.test");
    assert_eq!(lab.requests_for(b.serial()), 0);
    let of_b = server.wait_for_staple("b.test");
    assert_ne!(staple, of_b);
    assert_eq!((lab.requests_for(a.serial()), lab.requests_for(b.serial())), (1, 1), "one question each");
}

#[test]
fn an_announced_must_staple_certificate_is_ready_before_its_first_handshake() {
    let world = World::new();
    let lab = responder(&world);
    let (_, key) = issue(&world, &lab, "a.test", |profile| profile.must_staple(true));
    let (_, plain) = issue(&world, &lab, "b.test", |profile| profile);
    let stapling = Stapling::new(Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&key))));
    assert!(!stapling.is_ready(&key), "a must-staple certificate that nobody announced");
    stapling.announce(&key);
    assert!(!stapling.is_ready(&key));
    assert_eq!(stapling.missing(), ["a.test"]);
    assert!(stapling.is_ready(&plain), "it may be served without a staple");
    let server = Server::start(stapling);
    wait_for("its staple", || server.stapling.is_ready(&key).then_some(()));
    assert_eq!(server.stapling.missing(), Vec::<String>::new());
    assert!(server.staple("a.test").is_some(), "the first handshake");
    server.runtime.block_on(server.handle.ready()).unwrap();
}

#[test]
fn a_certificate_is_replaced_while_the_server_runs() {
    let world = World::new();
    let lab = responder(&world);
    let certificates = Arc::new(Certificates::new());
    let server = Server::start(certificates.stapling());
    let (first, key) = issue(&world, &lab, "a.test", |profile| profile);
    certificates.set("A.test", key.clone());
    certificates.set("b.test", key);
    wait_for("its staple", || server.inventory().staple_count(1));
    let (certificate, staple) = server.handshake("a.test");
    assert!(certificate == first.der() && staple.is_some(), "stapled from the first handshake on");

    let (renewed, key) = issue(&world, &lab, "a.test", |profile| profile);
    certificates.set("a.test", key.clone());
    wait_for("the new one's staple", || server.inventory().staple_count(2));
    let (certificate, new) = server.handshake("a.test");
    assert!(certificate == renewed.der() && new.is_some() && new != staple);
    assert_eq!(server.handshake("b.test").0, first.der(), "still used here");
    assert_eq!(server.staple("b.test"), staple);

    certificates.set("b.test", key.clone());
    wait_for("the end of the old one", || server.inventory().staple_count(1));
    certificates.set("*.wild.test", key.clone());
    assert_eq!(server.staple("x.wild.test"), new);
    certificates.set_default(key);
    certificates.remove("a.test");
    assert_eq!(server.staple("elsewhere.test"), new, "the default");
}

#[test]
fn a_certificate_that_comes_back_still_has_its_staple() {
    let world = World::new();
    let lab = responder(&world);
    let certificates = Arc::new(Certificates::new());
    let (issued, key) = issue(&world, &lab, "a.test", |profile| profile);
    certificates.set("a.test", Arc::clone(&key));
    let server = Server::start(certificates.stapling());
    let staple = server.wait_for_staple("a.test");
    let (renewed, new_key) = issue(&world, &lab, "a.test", |profile| profile);
    certificates.set("a.test", new_key);
    certificates.set("a.test", key);
    assert_eq!(server.handshake("a.test"), (issued.der().to_vec(), Some(staple)), "{}", renewed.serial());
}

#[test]
fn a_revoked_certificate_has_no_staple_and_one_without_ocsp_is_served() {
    let world = World::new();
    let lab = responder(&world);
    let (issued, key) = issue(&world, &lab, "a.test", |profile| profile);
    let without = world.ca.issue(&stapled_ca::Profile::server("b.test")).unwrap();
    let certificates = Arc::new(Certificates::new());
    certificates.set("a.test", key);
    certificates.set("b.test", crate::support::key_of(&without));
    let server = Server::start(certificates.stapling());
    server.wait_for_staple("a.test");
    assert_eq!(server.handshake("b.test"), (without.der().to_vec(), None));
    lab.revoke(issued.serial()).unwrap();
    server.runtime.block_on(server.handle.renew(&Selection::All)).unwrap();
    wait_for("the withdrawal", || server.staple("a.test").is_none().then_some(()));
}

trait Staples {
    /// Something when exactly so many certificates are known, each with its staple in service.
    fn staple_count(&self, count: usize) -> Option<()>;
}

impl Staples for Inventory {
    fn staple_count(&self, count: usize) -> Option<()> {
        let certificates = self.certificates();
        let is_served = |one: &CertificateStatus| {
            one.deliveries.iter().all(|delivery| matches!(delivery.state, DeliveryState::Confirmed))
        };
        (certificates.len() == count && certificates.iter().all(is_served)).then_some(())
    }
}
