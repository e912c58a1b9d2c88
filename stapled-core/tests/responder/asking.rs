//! Questions about certificates that no source has.

use std::time::Duration;

use stapled_ca::lab::Fault;
use stapled_ca::{Authority, Profile};
use stapled_core::chain::named::NamedCertificate;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::ocsp::{CertIdHash, ResponseStatus};
use stapled_core::refresh::RefreshPolicy;
use stapled_core::responder::allowed::AllowedIssuer;
use stapled_core::staple::Judge;
use stapled_tests::{chain, wait_until};

use crate::client::get;
use crate::world::World;

#[test]
fn another_certificate_of_a_known_issuer_is_asked_about_once_for_many_clients() {
    let world = World::new();
    let (_known, other) = (world.stapled("a.test"), world.issue("b.test"));
    world.lab().fault_times(other.serial(), Fault::Delay(Duration::from_millis(500)), 1);
    let id = world.id(&other);
    let bodies: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| get(world.address, &id))).collect();
        clients.into_iter().map(|client| client.join().unwrap().body).collect()
    });
    let named = NamedCertificate::of(world.chain(&other).issuer(), &id).unwrap();
    let judged = Judge::of_named(&named).at(SystemClock.now()).judge(bodies[0].clone()).unwrap();
    assert!(judged.is_staple());
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(get(world.address, &id).body, bodies[0]);
    assert_eq!(world.lab().requests_for(other.serial()), 1);
}

/// An answer that comes between two looks of the responder is not asked for once more.
#[test]
fn a_client_that_comes_as_the_answer_comes_asks_nothing_anew() {
    let world = World::new();
    world.stapled("a.test");
    let others: Vec<_> = (0..150).map(|number| world.issue(&format!("{number}.test"))).collect();
    for other in &others {
        let id = world.id(other);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                // Some of these questions come as the CA's answer does.
                scope.spawn(|| (0..4).for_each(|_| assert_eq!(get(world.address, &id).error(), None)));
            }
        });
    }
    let asked: usize = others.iter().map(|other| world.lab().requests_for(other.serial())).sum();
    assert_eq!(asked, others.len());
}

#[test]
fn certificates_of_other_issuers_are_not_asked_about() {
    let world = World::new();
    world.stapled("a.test");
    let stranger = Authority::root("Another CA").create().unwrap();
    let foreign = stranger.issue(&Profile::server("b.test").ocsp_url(world.url())).unwrap();
    let id = chain(&foreign, &stranger).cert_id(CertIdHash::Sha1);
    world.lab().forget_requests();
    assert_eq!(get(world.address, &id).error(), Some(ResponseStatus::Unauthorized));
    assert_eq!(world.lab().requests().len(), 0);
}

#[test]
fn an_issuer_can_be_allowed_without_a_certificate_of_it() {
    let world = World::new();
    let cert = world.issue("a.test");
    assert_eq!(get(world.address, &world.id(&cert)).error(), Some(ResponseStatus::Unauthorized));
    world.responder.allow([AllowedIssuer::new(world.issuer(), [world.url()])]);
    assert_eq!(get(world.address, &world.id(&cert)).error(), None);
}

#[test]
fn what_would_not_be_stapled_is_not_answered() {
    let world = World::new();
    world.stapled("a.test");
    for (fault, expected) in [
        (Fault::Revoked, ResponseStatus::Unauthorized),
        (Fault::Unknown, ResponseStatus::TryLater),
        (Fault::Expired, ResponseStatus::TryLater),
        (Fault::NotYetValid, ResponseStatus::TryLater),
        (Fault::NoNextUpdate, ResponseStatus::TryLater),
        (Fault::BadSignature, ResponseStatus::TryLater),
        (Fault::WrongSigner, ResponseStatus::TryLater),
        (Fault::SiblingSigner, ResponseStatus::TryLater),
        (Fault::WrongCertificate, ResponseStatus::TryLater),
        (Fault::Garbage, ResponseStatus::TryLater),
        (Fault::Oversized(1_000_000), ResponseStatus::TryLater),
        (Fault::TryLater, ResponseStatus::TryLater),
        (Fault::Unauthorized, ResponseStatus::TryLater),
    ] {
        let cert = world.issue("b.test");
        world.lab().fault(cert.serial(), fault.clone());
        let id = world.id(&cert);
        assert_eq!(get(world.address, &id).error(), Some(expected), "{fault:?}");
        let asked = world.lab().requests_for(cert.serial());
        world.lab().clear(cert.serial());
        assert_eq!(get(world.address, &id).error(), Some(expected), "{fault:?}: it is remembered");
        assert_eq!(world.lab().requests_for(cert.serial()), asked, "{fault:?}");
    }
}

#[test]
fn a_serial_number_that_was_never_issued_is_asked_about_once_a_minute() {
    let world = World::new();
    let cert = world.stapled("a.test");
    let id = world.id_of(&[0x55; 16], &cert);
    world.lab().forget_requests();
    assert_eq!(get(world.address, &id).error(), Some(ResponseStatus::TryLater));
    let asked = world.lab().requests().len();
    assert!((1..=2).contains(&asked), "by GET and POST");
    assert_eq!(get(world.address, &id).error(), Some(ResponseStatus::TryLater));
    assert_eq!(world.lab().requests().len(), asked);
}

#[test]
fn ten_thousand_unknown_serial_numbers_cost_the_ca_a_bounded_number_of_questions() {
    let world = World::new();
    let cert = world.stapled("a.test");
    world.lab().forget_requests();
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for part in 0..20_u16 {
            let (cert, world) = (&cert, &world);
            scope.spawn(move || {
                for number in 0..500_u16 {
                    let serial = [&[0x40][..], &(part * 500 + number).to_be_bytes(), &[1; 10]].concat();
                    let id = world.id_of(&serial, cert);
                    assert_eq!(get(world.address, &id).error(), Some(ResponseStatus::TryLater));
                }
            });
        }
    });
    // By GET and POST: 200 in a row, and ten a second.
    let bound = 2 * (200 + 10 * (began.elapsed().as_secs() + 2));
    let asked = world.lab().requests().len();
    assert!(u64::try_from(asked).unwrap() <= bound, "{asked} questions in {:?}", began.elapsed());
    assert_eq!(get(world.address, &world.id(&cert)).error(), None, "known certificates are answered");
}

#[test]
fn a_staple_that_the_stapler_does_not_renew_is_renewed_when_it_is_asked_for() {
    let short =
        RefreshPolicy::default().maximum_interval(Duration::from_secs(2)).minimum_interval(Duration::from_secs(1));
    let mut world = World::with(short);
    let (_known, other) = (world.stapled("a.test"), world.issue("b.test"));
    let id = world.id(&other);
    let first = get(world.address, &id);
    wait_until("the answer is renewed", || get(world.address, &id).body != first.body);
    world.kill_ca();
    // Stale, and the CA is dead: the answer that is held is valid.
    let until = std::time::Instant::now() + Duration::from_secs(4);
    wait_until("it is stale", || std::time::Instant::now() > until);
    assert_eq!(get(world.address, &id).error(), None);
}

#[test]
fn a_revocation_is_noticed_and_an_older_good_answer_does_not_undo_it() {
    let short =
        RefreshPolicy::default().maximum_interval(Duration::from_secs(2)).minimum_interval(Duration::from_secs(1));
    let world = World::with(short);
    let (_known, other) = (world.stapled("a.test"), world.issue("b.test"));
    let id = world.id(&other);
    assert_eq!(get(world.address, &id).error(), None);
    world.lab().revoke(other.serial()).unwrap();
    wait_until("the revocation is noticed", || get(world.address, &id).error() == Some(ResponseStatus::Unauthorized));
}
