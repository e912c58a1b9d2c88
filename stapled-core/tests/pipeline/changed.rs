//! Tests of changes to staples by other programs: a revocation that was seen in any place stays known.

use super::*;
use bytes::Bytes;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_core::event::EventKind;
use stapled_core::sink::Lost;
use stapled_core::sink::lost::Found;

/// A world with one certificate that has its staple. Returns the served response and the certificate too.
async fn stapled() -> (World, Arc<stapled_core::inventory::Inventory>, Bytes, stapled_ca::Issued) {
    let world = World::new();
    let issued = world.add("a.test");
    let inventory = world.start();
    world.pass(SECOND).await;
    let response = world.server.response_of("a.test").unwrap();
    (world, inventory, response, issued)
}

#[tokio::test(start_paused = true)]
async fn a_staple_that_was_taken_away_comes_back_with_the_cas_word_and_without_a_cache() {
    let (world, inventory, response, _) = stapled().await;
    world.pass(HOUR).await;
    let asked = world.ca.asked();
    world.server.change("a.test", Found::Withdrawn);
    world.pass(SECOND).await;
    assert_eq!(world.ca.asked(), asked + 1);
    let (_, _, method) = world.ca.log.lock().unwrap().last().unwrap().clone();
    assert_eq!(method, Method::Post, "a cache could answer a GET");
    let served = world.server.response_of("a.test").unwrap();
    assert_ne!(served, response);
    assert_eq!(Some(served), *world.ca.last.lock().unwrap());
    assert_eq!(inventory.certificates()[0].deliveries[0].state, DeliveryState::Confirmed);
    assert_eq!(world.record.count("server_changed"), 1);
    assert_eq!(world.record.count("delivery_failed"), 0, "it was back at once");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_somebody_else_saw_is_not_undone_from_memory() {
    let (world, inventory, ..) = stapled().await;
    world.ca.set(Mood::Revoked);
    world.server.change("a.test", Found::Withdrawn);
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_none());
    assert!(matches!(inventory.certificates()[0].standing, Standing::Revoked { .. }));
    world.server.restart();
    world.pass(DAY).await;
    assert!(world.server.response_of("a.test").is_none());
}

#[tokio::test(start_paused = true)]
async fn while_its_ca_is_silent_a_staple_that_was_taken_away_stays_away_and_that_is_told() {
    let (world, inventory, ..) = stapled().await;
    world.ca.set(Mood::Down);
    world.server.change("a.test", Found::Withdrawn);
    world.pass(5 * SECOND).await;
    assert_eq!(world.record.count("delivery_failed"), 0, "it may be over in a moment");
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_none());
    assert_eq!(world.record.codes("delivery_failed")[0], "unconfirmed");
    let status = inventory.certificates().remove(0);
    assert!(
        matches!(&status.deliveries[0].state, DeliveryState::Failed { code, .. } if code.as_str() == "unconfirmed")
    );
    assert!(status.staple.is_some(), "what is held is not lost");
    // A restart of the server does not undo it either.
    world.server.restart();
    world.pass(HOUR).await;
    assert!(world.server.response_of("a.test").is_none());
    world.ca.set(Mood::Good);
    world.pass(HOUR + HOUR / 2).await;
    assert!(world.server.response_of("a.test").is_some());
    world.server.restart();
    world.ca.set(Mood::Down);
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_some(), "the CA was heard: from memory again");
}

#[tokio::test(start_paused = true)]
async fn another_stapler_goes_on_waiting_for_the_cas_word() {
    let world = World::new();
    world.add("a.test");
    let stapler = world.builder().build().unwrap();
    let inventory = stapler.inventory();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(stapler.run(async {
        let _ = stopped.await;
    }));
    world.pass(SECOND).await;
    world.ca.set(Mood::Down);
    world.server.change("a.test", Found::Withdrawn);
    world.pass(SECOND).await;
    stop.send(()).unwrap();
    running.await.unwrap();
    world.server.serves.lock().unwrap().clear();
    let next = world.builder().build().unwrap();
    next.inherit(&inventory);
    let asked = world.ca.asked();
    tokio::spawn(next.run(std::future::pending()));
    world.pass(SECOND).await;
    assert!(world.ca.asked() > asked, "it is asked at once");
    assert!(world.server.response_of("a.test").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_found_is_judged() {
    let (world, inventory, response, issued) = stapled().await;
    world.pass(HOUR).await;
    world.ca.set(Mood::Down);
    let now = world.now().unix();
    let id = world.ca.authority.cert_id(issued.serial(), HashAlgorithm::Sha1);
    let build = |builder: ResponseBuilder, from: i64, days: i64| {
        let times = builder.this_update(from).next_update(from + days * 86_400);
        Found::Response(Bytes::from(times.build().unwrap()))
    };
    let plain = || ResponseBuilder::new(&world.ca.authority);
    // Responses that are not better than the held one: the held one is delivered again at once.
    for found in [
        Found::Unreadable,
        Found::Response(Bytes::from_static(b"rubbish")),
        build(plain().good(&id), now - 86_400, 4),
        build(plain().good(&id), now, 1),
        build(plain().revoked(&id, now - 90_000, None), now - 86_400, 4),
        build(plain().unknown(&id), now, 4),
    ] {
        let asked = world.ca.asked();
        world.server.change("a.test", found.clone());
        world.pass(SECOND).await;
        assert_eq!(world.server.response_of("a.test"), Some(response.clone()), "{found:?}");
        world.pass(MINUTE).await;
        assert!(world.ca.asked() > asked, "{found:?}: and its CA is asked");
    }
    // A newer response is taken over for all servers.
    let newer = build(plain().good(&id), now, 5);
    world.server.change("a.test", newer.clone());
    world.pass(SECOND).await;
    let Found::Response(newer) = newer else { unreachable!() };
    assert_eq!(world.server.response_of("a.test"), Some(newer));
    // The CA's answer that the certificate is revoked is taken over from any place.
    world.server.change("a.test", build(plain().revoked(&id, now, None), now + 60, 4));
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_none());
    assert!(matches!(inventory.certificates()[0].standing, Standing::Revoked { .. }));
    assert!(world.record.0.lock().unwrap().iter().any(|event| matches!(event.kind, EventKind::Revoked { .. })));
}

#[tokio::test(start_paused = true)]
async fn changes_again_and_again_make_no_storm_of_questions() {
    for found in [Found::Withdrawn, Found::Unreadable] {
        let (world, ..) = stapled().await;
        let asked = world.ca.asked();
        for _ in 0..300 {
            world.server.change("a.test", found.clone());
            world.pass(2 * SECOND).await;
        }
        let asked = world.ca.asked() - asked;
        assert!((2..=11).contains(&asked), "{found:?}: {asked} questions in ten minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_lost_by_itself_comes_from_memory() {
    let (world, ..) = stapled().await;
    let asked = world.ca.asked();
    world.server.serves.lock().unwrap().clear();
    world.server.tell(Lost::Certificates(vec![world.server.subject_of("a.test")]));
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_some());
    assert_eq!(world.ca.asked(), asked);
}
