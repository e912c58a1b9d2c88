//! Tests of events during other work.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stapled_core::inventory::standing::Standing;
use stapled_core::ocsp::CertIdHash;
use stapled_core::refresh::RefreshPolicy;
use stapled_core::stapler::{Group, Stapler};

use crate::world::{Ca, DAY, HOUR, List, MINUTE, Mood, Server, Shared, World, half_life, with_issuer};

const SECOND: Duration = Duration::from_secs(1);

/// Two groups, each with its own list and server.
fn groups(world: &World) -> (Arc<List>, Arc<Server>) {
    let (list, server) = (Arc::new(List::default()), Arc::new(Server::new(world.clock.clone())));
    let stapler = Stapler::builder()
        .group(Group::new().source(Shared(world.list.clone())).sink(Shared(world.server.clone())))
        .group(Group::new().source(Shared(list.clone())).sink(Shared(server.clone())))
        .shared_fetcher(world.ca.clone())
        .shared_clock(world.clock.clone())
        .refresh_policy(half_life());
    world.run(stapler);
    (list, server)
}

#[tokio::test(start_paused = true)]
async fn a_place_found_while_the_ca_is_asked_gets_the_answer_too() {
    let world = World::new();
    world.ca.set(Mood::Slow);
    let issued = world.add("a.test");
    let (list, server) = groups(&world);
    world.pass(SECOND).await;
    assert_eq!(world.ca.asked(), 1);
    list.put("copy", &with_issuer(&issued, &world.ca));
    world.pass(10 * SECOND).await;
    assert_eq!(world.ca.asked(), 1);
    assert!(world.server.response_of("a.test").is_some());
    assert_eq!(server.response_of("a.test"), world.server.response_of("a.test"));
}

#[tokio::test(start_paused = true)]
async fn a_place_found_while_the_ca_disowns_a_certificate_serves_nothing() {
    let world = World::new();
    let issued = world.add("a.test");
    let (list, server) = groups(&world);
    world.pass(SECOND).await;
    // The answer is slow, and says revoked.
    *world.server.keeps.lock().unwrap() = world.server.response_of("a.test");
    world.ca.set(Mood::Revoked);
    world.pass(2 * DAY + HOUR).await;
    list.put("copy", &with_issuer(&issued, &world.ca));
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_none());
    assert!(server.response_of("a.test").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_revocation_outlives_the_absence_of_its_certificate() {
    let world = World::new();
    let issued = world.add("a.test");
    let inventory = world.start();
    world.pass(MINUTE).await;
    let before = world.server.response_of("a.test");
    world.ca.set(Mood::Revoked);
    world.pass(2 * DAY).await;
    world.list.remove("a.test");
    world.pass(HOUR).await;
    assert!(inventory.certificates().is_empty());
    // A backup restores its file and its response, and a cache has that response too.
    *world.ca.replay.lock().unwrap() = before.clone();
    *world.server.keeps.lock().unwrap() = before;
    world.list.put("a.test", &with_issuer(&issued, &world.ca));
    world.pass(MINUTE).await;
    assert!(matches!(inventory.certificates()[0].standing, Standing::Revoked { .. }));
    let codes = world.record.codes("renewal_failed");
    assert!(!codes.is_empty() && codes.iter().all(|code| code == "superseded"), "{codes:?}");
    assert!(world.server.response_of("a.test").is_none());
    *world.ca.replay.lock().unwrap() = None;
    *world.server.keeps.lock().unwrap() = None;
    world.ca.set(Mood::Good);
    world.pass(2 * HOUR).await;
    assert!(world.server.response_of("a.test").is_some(), "a newer answer says otherwise");
}

#[tokio::test(start_paused = true)]
async fn an_end_of_a_hold_is_no_licence_for_answers_from_before_it() {
    let world = World::with_jumps();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    let before = world.server.response_of("a.test");
    world.ca.set(Mood::Revoked);
    *world.ca.validity.lock().unwrap() = 2 * HOUR;
    world.pass(2 * DAY).await;
    assert!(world.server.response_of("a.test").is_none());
    world.ca.set(Mood::Good);
    world.pass(2 * HOUR).await;
    assert!(world.server.response_of("a.test").is_some());
    // The clock is ahead until the held staple seems to have ended, and a cache has the oldest response.
    *world.ca.replay.lock().unwrap() = before;
    world.clock.set(world.now() + 3 * HOUR);
    world.pass(HOUR).await;
    assert!(world.record.codes("renewal_failed").iter().any(|code| code == "superseded"));
    assert!(world.server.response_of("a.test").is_none());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_responder_that_is_down_is_asked_for_as_soon_as_it_answers_anybody() {
    let world = World::with_jumps();
    let names: Vec<String> = (0..12).map(|number| format!("{number}.test")).collect();
    for name in &names {
        world.add(name);
    }
    world.start();
    // The responder has shown that it answers many questions at once.
    world.pass(HOUR).await;
    world.ca.set(Mood::Down);
    world.pass(4 * DAY).await;
    assert!(world.record.codes("renewal_failed").iter().any(|code| code == "responder_down"));
    // All certificates are due when the machine wakes, and only one may try.
    world.clock.set(world.now() + 2 * HOUR);
    world.ca.set(Mood::Slow);
    world.pass(MINUTE).await;
    for name in &names {
        assert!(world.server.response_of(name).is_some(), "{name}");
    }
    assert_eq!(world.record.count("internal"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_of_those_who_wait_asks_as_soon_as_it_may() {
    let world = World::with_jumps();
    world.ca.set(Mood::Down);
    for number in 0..12 {
        world.add(&format!("{number}.test"));
    }
    world.start();
    // Far less than the back-off pauses of the certificates, and more than the pause of the responder's circuit
    // breaker.
    world.pass(12 * HOUR).await;
    world.clock.set(world.now() + 2 * HOUR);
    world.pass(MINUTE).await;
    let asked = world.ca.asked();
    world.pass(7 * MINUTE).await;
    assert!(world.ca.asked() > asked);
    assert!(world.ca.asked() < asked + 12, "and not all of them");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_planned_while_the_clock_was_ahead_is_not_put_off() {
    let world = World::with_jumps();
    world.add("a.test");
    world.run(world.builder().refresh_policy(RefreshPolicy::default()));
    world.pass(MINUTE).await;
    let right = world.now();
    // This time is late enough that the renewal is due at once, and early enough that the held staple is still good.
    world.clock.set(right + 4 * DAY - HOUR);
    *world.ca.replay.lock().unwrap() = world.server.response_of("a.test");
    world.pass(20 * MINUTE).await;
    assert!(world.record.count("renewed") >= 2);
    *world.ca.replay.lock().unwrap() = None;
    world.clock.set(right + 20 * MINUTE);
    world.pass(2 * HOUR).await;
    let serves = world.server.serves.lock().unwrap();
    assert!(serves.get("a.test").is_some_and(|(_, expires, _)| *expires > right + 4 * DAY + MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_new_server_that_cannot_take_what_is_held_waits_for_an_hour_at_most() {
    let world = World::new();
    let issued = world.add("a.test");
    let (list, mut server) = (Arc::new(List::default()), Server::new(world.clock.clone()));
    server.requirements.cert_id_hash = Some(CertIdHash::Sha1);
    let server = Arc::new(server);
    let stapler = Stapler::builder()
        .group(Group::new().source(Shared(world.list.clone())).sink(Shared(world.server.clone())))
        .group(Group::new().source(Shared(list.clone())).sink(Shared(server.clone())))
        .cert_id_hash(CertIdHash::Sha256)
        .shared_fetcher(world.ca.clone())
        .shared_clock(world.clock.clone())
        .refresh_policy(half_life());
    world.run(stapler);
    world.pass(MINUTE).await;
    world.ca.set(Mood::Closed);
    list.put("copy", &with_issuer(&issued, &world.ca));
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
    assert!(server.response_of("a.test").is_none());
    world.ca.set(Mood::Good);
    world.pass(75 * MINUTE).await;
    assert!(server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_comes_back_soon_goes_on_where_it_was() {
    let world = World::new();
    let issued = world.add("a.test");
    let inventory = world.start();
    world.pass(MINUTE).await;
    let before = world.server.response_of("a.test");
    let next = inventory.certificates()[0].next;
    world.list.remove("a.test");
    world.pass(MINUTE).await;
    assert!(inventory.certificates().is_empty() && world.server.response_of("a.test").is_none());
    world.list.put("elsewhere", &with_issuer(&issued, &world.ca));
    world.pass(MINUTE).await;
    assert_eq!(world.ca.asked(), 1);
    assert_eq!(world.server.response_of("a.test"), before);
    assert_eq!(inventory.certificates()[0].next, next);
    world.pass(3 * DAY).await;
    assert!(world.ca.asked() >= 2, "it is renewed as before");
    // After a while, the certificate counts as new.
    world.list.remove("elsewhere");
    world.pass(MINUTE).await;
    world.pass(HOUR).await;
    let asked = world.ca.asked();
    world.list.put("elsewhere", &with_issuer(&issued, &world.ca));
    world.pass(MINUTE).await;
    assert_eq!(world.ca.asked(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_planned_while_the_clock_was_ahead_is_not_put_off_by_a_move() {
    let world = World::with_jumps();
    let issued = world.add("a.test");
    world.ca.set(Mood::Down);
    world.start();
    world.pass(DAY).await;
    let right = world.now();
    world.clock.set(right + 12 * HOUR);
    world.pass(2 * HOUR).await;
    // The clock is set back, and the certificate moves before its retry, which the earlier clock had planned in half a
    // day.
    world.list.remove("a.test");
    world.list.put("elsewhere", &with_issuer(&issued, &world.ca));
    world.clock.set(right + 2 * HOUR);
    world.ca.set(Mood::Good);
    world.pass(75 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_is_fetched_whatever_kept_its_certificate_waiting_before() {
    let world = World::with_jumps();
    let url = "http://ca.test/ca.crt";
    let issued = world.ca.issue(Ca::profile("a.test").ca_issuers_url(url));
    world.list.put("a.test", &issued.certificate_pem());
    world.list.put("the CA", &world.ca.authority.certificate_pem());
    let right = world.now();
    // By this clock, the certificate has expired.
    world.clock.set(right + 900 * DAY);
    world.start();
    world.pass(HOUR).await;
    assert_eq!(world.record.codes("place_problem"), ["certificate_expired"]);
    world.list.remove("the CA");
    world.ca.issuers.lock().unwrap().insert(url.to_owned(), world.ca.authority.certificate().to_vec());
    world.clock.set(right + HOUR);
    world.pass(2 * HOUR).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_nobody_misses_any_more_is_not_fetched() {
    let world = World::new();
    let issued = world.ca.issue(Ca::profile("a.test").ca_issuers_url("http://ca.test/ca.crt"));
    world.list.put("a.test", &issued.certificate_pem());
    world.start();
    world.pass(12 * HOUR).await;
    let failed = world.record.count("issuer_fetch_failed");
    assert!(failed > 5);
    world.list.remove("a.test");
    world.pass(12 * HOUR).await;
    assert_eq!(world.record.count("issuer_fetch_failed"), failed);
    // The certificate comes back, then its issuer appears.
    world.list.put("a.test", &issued.certificate_pem());
    world.pass(HOUR).await;
    let failed = world.record.count("issuer_fetch_failed");
    world.list.put("the CA", &world.ca.authority.certificate_pem());
    world.pass(12 * HOUR).await;
    assert!(world.server.response_of("a.test").is_some());
    assert_eq!(world.record.count("issuer_fetch_failed"), failed);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_moves_while_the_clock_is_ahead_is_not_put_off() {
    let world = World::with_jumps();
    let issued = world.add("a.test");
    let right = world.now();
    let inventory = world.start();
    world.pass(MINUTE).await;
    // Only this machine's clock is ahead.
    world.ca.set(Mood::Down);
    world.clock.set(right + 365 * DAY);
    world.server.broken.store(true, Ordering::SeqCst);
    world.pass(5 * HOUR).await;
    world.list.remove("a.test");
    world.pass(SECOND).await;
    world.list.put("elsewhere", &with_issuer(&issued, &world.ca));
    world.pass(SECOND).await;
    assert_eq!(inventory.certificates().len(), 1);
    // The clock is corrected; by then, the delivered staple has ended.
    world.clock.set(right + 10 * DAY);
    world.ca.set(Mood::Good);
    world.server.broken.store(false, Ordering::SeqCst);
    world.pass(80 * MINUTE).await;
    let serves = world.server.serves.lock().unwrap();
    assert!(serves.get("a.test").is_some_and(|(_, expires, _)| *expires > world.now()));
}
