//! Answers about the stapler's certificates.

use stapled_ca::ocsp::HashAlgorithm;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::ocsp::{CertIdHash, OcspRequest, ResponseStatus};
use stapled_core::staple::Judge;
use stapled_core::stapler::Selection;
use stapled_tests::{now, wait_until};

use crate::client::{get, get_path, post, post_to_socket, request};
use crate::world::World;

#[test]
fn a_known_certificate_is_answered_by_get_and_post_without_asking_again() {
    let world = World::new();
    let cert = world.stapled("a.test");
    let (chain, id) = (world.chain(&cert), world.id(&cert));
    let (by_get, by_post) = (get(world.address, &id), post(world.address, request(&id).as_der()));
    assert_eq!(by_get, by_post);
    assert_eq!((by_get.status, by_get.header("content-type")), (200, Some("application/ocsp-response")));
    let judged = Judge::new(&chain).at(SystemClock.now()).judge(by_get.body.clone()).unwrap();
    assert_eq!(judged.staple().map(|staple| staple.response().to_vec()), Some(by_get.body));
    // With a nonce, with a path of the responder, and without percent-encoding.
    let with_nonce = OcspRequest::new(&id, Some(&[7; 32])).unwrap();
    assert_eq!(post(world.address, with_nonce.as_der()).body, by_post.body);
    for path in [request(&id).get_url("/some/ocsp").unwrap(), request(&id).get_url("//").unwrap().replace("%2F", "/")] {
        assert_eq!(get_path(world.address, "GET", &path, "").body, by_post.body, "{path}");
    }
    assert_eq!(world.lab().requests_for(cert.serial()), 1);
    assert_eq!((world.count("good"), world.count("unauthorized")), (5, 0));
}

#[test]
fn caches_are_told_how_long_and_until_when() {
    let world = World::new();
    let cert = world.stapled("a.test");
    let path = request(&world.id(&cert)).get_url("/").unwrap();
    let got = get_path(world.address, "GET", &path, "");
    assert_eq!(got.header("cache-control"), Some("max-age=300, public, no-transform, must-revalidate"));
    let date = |name: &str| httpdate::parse_http_date(got.header(name).unwrap()).unwrap();
    let judged = Judge::new(&world.chain(&cert)).at(SystemClock.now()).judge(got.body.clone()).unwrap();
    let seconds = |at: std::time::SystemTime| at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(seconds(date("last-modified")), u64::try_from(judged.facts.this_update.unix()).unwrap());
    assert_eq!(seconds(date("expires")), u64::try_from(judged.facts.expires().unix()).unwrap());
    assert!(seconds(date("expires")) > u64::try_from(now()).unwrap());

    let etag = got.header("etag").unwrap();
    for tags in [etag.to_owned(), format!("\"other\", W/{etag}"), "*".to_owned()] {
        let held = get_path(world.address, "GET", &path, &format!("If-None-Match: {tags}\r\n"));
        assert_eq!((held.status, held.body.len(), held.header("etag")), (304, 0, Some(etag)), "{tags}");
    }
    let other = get_path(world.address, "GET", &path, "If-None-Match: \"other\"\r\n");
    assert_eq!((other.status, other.body), (200, got.body.clone()));
    assert_eq!((world.count("good"), world.count("not_modified")), (2, 3));
    let head = get_path(world.address, "HEAD", &path, "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(got.body.len().to_string().as_str()));
}

#[test]
fn a_short_staple_is_cached_no_longer_than_it_lasts() {
    let world = World::new();
    world.lab().set_validity(std::time::Duration::from_secs(100));
    let cert = world.stapled("a.test");
    let got = get(world.address, &world.id(&cert));
    let age = got.header("cache-control").and_then(|text| text.split(['=', ',']).nth(1)).unwrap();
    assert!((1..=100).contains(&age.parse::<u32>().unwrap()), "{age} at {}", now());
}

#[test]
fn a_question_with_another_hash_is_asked_with_that_hash_once() {
    let world = World::new();
    let cert = world.stapled("a.test");
    let sha256 = world.chain(&cert).cert_id(CertIdHash::Sha256);
    let first = get(world.address, &sha256);
    let judged = Judge::new(&world.chain(&cert)).at(SystemClock.now()).judge(first.body.clone()).unwrap();
    assert!(judged.facts.cert_id.names_same(&sha256), "{judged:?}");
    assert_eq!(get(world.address, &sha256).body, first.body);
    assert_ne!(get(world.address, &world.id(&cert)).body, first.body);
    let counts = [HashAlgorithm::Sha1, HashAlgorithm::Sha256].map(|hash| world.asked(&cert, hash));
    assert_eq!(counts, [1, 1]);
}

#[test]
fn a_certificate_that_is_being_renewed_for_the_first_time_is_asked_about_once() {
    let world = World::new();
    let cert = world.issue("a.test");
    world.lab().fault_times(cert.serial(), stapled_ca::lab::Fault::Delay(std::time::Duration::from_secs(1)), 1);
    world.add("a.test", &cert);
    // A certificate that no scan has found yet is one that the stapler does not have, and the CA is asked about it.
    world.scan();
    // The question comes before the staple: it waits.
    let got = get(world.address, &world.id(&cert));
    assert_eq!(got.error(), None, "{got:?}");
    assert_eq!(world.lab().requests_for(cert.serial()), 1);
}

/// A staple that is delivered between two looks of the responder is not asked for once more.
#[test]
fn certificates_that_are_being_renewed_for_the_first_time_are_asked_about_once_each() {
    let world = World::new();
    let certs: Vec<_> = (0..100).map(|number| (number, world.issue(&format!("{number}.test")))).collect();
    for (number, cert) in &certs {
        let delay = std::time::Duration::from_millis(300 + number);
        world.lab().fault_times(cert.serial(), stapled_ca::lab::Fault::Delay(delay), 1);
        world.add(&format!("{number}.test"), cert);
    }
    world.scan();
    std::thread::scope(|scope| {
        for (_, cert) in &certs {
            scope.spawn(|| assert_eq!(get(world.address, &world.id(cert)).error(), None));
        }
    });
    let asked: usize = certs.iter().map(|(_, cert)| world.lab().requests_for(cert.serial())).sum();
    assert_eq!(asked, certs.len());
}

#[test]
fn a_revoked_certificate_gets_no_staple_with_any_hash() {
    let world = World::new();
    let cert = world.stapled("a.test");
    let ids = [CertIdHash::Sha1, CertIdHash::Sha256].map(|hash| world.chain(&cert).cert_id(hash));
    ids.iter().for_each(|id| assert_eq!(get(world.address, id).error(), None));
    world.lab().revoke(cert.serial()).unwrap();
    world.runtime.block_on(async {
        let mut asked = world.handle.renew(&Selection::All).await.unwrap();
        while asked.next().await.unwrap().is_some() {}
    });
    world.lab().forget_requests();
    ids.iter().for_each(|id| assert_eq!(get(world.address, id).error(), Some(ResponseStatus::Unauthorized)));
    assert_eq!(world.lab().requests().len(), 0, "the stapler knows it");
}

#[test]
fn a_certificate_that_is_gone_is_asked_about_like_any_other_of_its_issuer() {
    let world = World::new();
    let (cert, _stays) = (world.stapled("a.test"), world.stapled("b.test"));
    world.source.remove("a.test");
    let inventory = world.handle.inventory();
    wait_until("the staple is withdrawn", || inventory.known_certificates().len() == 1);
    world.lab().forget_requests();
    assert_eq!(get(world.address, &world.id(&cert)).error(), None);
    assert_eq!(world.lab().requests_for(cert.serial()), 1);
}

#[test]
fn staples_are_answered_while_the_ca_is_dead_and_others_are_not() {
    let mut world = World::new();
    let (cert, other) = (world.stapled("a.test"), world.issue("b.test"));
    world.kill_ca();
    assert_eq!(get(world.address, &world.id(&cert)).error(), None);
    assert_eq!(get(world.address, &world.id(&other)).error(), Some(ResponseStatus::TryLater));
    // A known certificate without a staple, whose first renewal has failed.
    let late = world.stapled("c.test");
    assert_eq!(get(world.address, &world.id(&late)).error(), Some(ResponseStatus::TryLater));
}

#[test]
fn a_unix_socket_is_answered() {
    let world = World::new();
    let cert = world.stapled("a.test");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ocsp.sock");
    world.listen_at(&path);
    assert_eq!(post_to_socket(&path, request(&world.id(&cert)).as_der()).error(), None);
}

#[test]
fn a_new_stapler_forgets_certificates_that_its_sources_do_not_have() {
    let world = World::new();
    let (stays, goes) = (world.stapled("a.test"), world.stapled("b.test"));
    let ids = [&stays, &goes].map(|cert| world.id(cert));
    ids.iter().for_each(|id| assert_eq!(get(world.address, id).error(), None));
    world.lab().forget_requests();
    world.replace(&[("a.test", &stays)]);
    // The CA is asked, as about any certificate that no source has.
    wait_until("the staple is forgotten", || {
        assert_eq!(get(world.address, &ids[1]).error(), None);
        world.lab().requests_for(goes.serial()) == 1
    });
    assert_eq!(get(world.address, &ids[0]).error(), None);
    assert_eq!(world.lab().requests_for(stays.serial()), 0);
}
