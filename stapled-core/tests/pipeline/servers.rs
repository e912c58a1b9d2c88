//! Tests of the requirements of servers, and of servers that fail, forget or hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::inventory::standing::DeliveryState;
use stapled_core::ocsp::CertIdHash;
use stapled_core::reason::ReasonCode;
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink, Withdrawal};
use stapled_core::staple::Staple;
use stapled_core::stapler::{Group, Selection, Stapler};

use crate::world::{Ca, DAY, HOUR, List, MINUTE, Mood, Server, Shared, World, half_life, with_issuer};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_or_forgets_gets_its_staples_without_another_question() {
    let world = World::new();
    world.server.broken.store(true, Ordering::SeqCst);
    world.add("a.test");
    let inventory = world.start();
    world.pass(10 * MINUTE).await;
    assert!(world.server.deliveries.load(Ordering::SeqCst) >= 4);
    assert!(matches!(inventory.certificates()[0].deliveries[0].state, DeliveryState::Failed { .. }));
    world.server.broken.store(false, Ordering::SeqCst);
    world.pass(20 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
    world.server.restart();
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_some());
    assert_eq!(world.record.count("server_lost"), 1);
    assert_eq!(world.ca.asked(), 1);
}

/// A server that has not loaded the certificate. It gives two reasons in turn.
#[derive(Default)]
struct NotLoaded(AtomicUsize);

#[async_trait]
impl StapleSink for NotLoaded {
    async fn deliver(&self, _: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        let codes = [ReasonCode::new("certificate_unused"), ReasonCode::new("clock_set_back")];
        let code = codes[self.0.fetch_add(1, Ordering::SeqCst) % codes.len()];
        Err(SinkError::NotYet { code, what: "the certificate is not loaded".to_owned() })
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_not_loaded_is_reported_after_a_while_even_if_the_reason_changes() {
    let world = World::new();
    world.add("a.test");
    world.run(world.builder().sink(NotLoaded::default()));
    world.pass(9 * SECOND).await;
    assert_eq!(world.record.count("delivery_failed"), 0);
    world.pass(MINUTE).await;
    assert!(world.record.count("delivery_failed") > 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_down_is_served_as_soon_as_it_is_back() {
    let world = World::new();
    world.server.broken.store(true, Ordering::SeqCst);
    world.add("a.test");
    world.start();
    world.pass(DAY).await;
    world.server.broken.store(false, Ordering::SeqCst);
    world.server.restart();
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_holds_up_no_other() {
    let world = World::new();
    let hung = Arc::new(Server::new(world.clock.clone()));
    hung.hangs.store(true, Ordering::SeqCst);
    for number in 0..100 {
        world.add(&format!("{number}.test"));
    }
    world.run(world.builder().sink(Shared(hung)));
    world.pass(MINUTE).await;
    assert_eq!(world.server.serves.lock().unwrap().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_finds_staples_by_sha1_is_never_asked_for_by_another_hash() {
    let mut world = World::new();
    Arc::get_mut(&mut world.server).unwrap().requirements.cert_id_hash = Some(CertIdHash::Sha1);
    world.ca.set(Mood::OnlySha256);
    world.add("a.test");
    world.run(world.builder().cert_id_hash(CertIdHash::Sha256));
    world.pass(SECOND).await;
    assert_eq!(world.ca.asked(), 2, "by GET and by POST");
    assert!(world.server.response_of("a.test").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_response_that_a_server_cannot_take_displaces_nothing_that_it_can() {
    let mut world = World::new();
    Arc::get_mut(&mut world.server).unwrap().requirements.single_response = true;
    // No staple is held: the server that can use the answer gets it, and the failure for the other is reported.
    world.ca.set(Mood::Two);
    world.add("a.test");
    let files = Arc::new(Server::new(world.clock.clone()));
    world.run(world.builder().sink(Shared(files.clone())));
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_none());
    assert!(files.response_of("a.test").is_some());
    assert_eq!(world.record.codes("delivery_failed"), ["several_responses"]);
    // An answer that both servers can use, then again one that does not fit.
    world.ca.set(Mood::Good);
    world.pass(2 * DAY).await;
    let good = world.server.response_of("a.test");
    assert!(good.is_some());
    world.ca.set(Mood::Two);
    world.pass(2 * DAY).await;
    assert!(world.record.codes("renewal_failed").iter().all(|code| code == "several_responses"));
    assert!(world.record.count("renewal_failed") > 0);
    assert_eq!((world.server.response_of("a.test"), files.response_of("a.test")), (good.clone(), good));
}

#[tokio::test(start_paused = true)]
async fn a_kept_response_that_is_good_is_used_without_a_question() {
    let world = World::new();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    let kept = world.server.response_of("a.test");

    let again = World { server: Arc::new(Server::new(world.clock.clone())), record: Arc::default(), ..world };
    *again.server.keeps.lock().unwrap() = kept.clone();
    again.start();
    again.pass(MINUTE).await;
    assert_eq!(again.server.response_of("a.test"), kept);
    assert_eq!((again.ca.asked(), again.record.count("recycled")), (1, 1));
    again.pass(2 * DAY).await;
    assert!(again.ca.asked() >= 2, "renewed when it ages");

    for damaged in [b"garbage".to_vec(), Vec::new(), vec![0x30; 100_000]] {
        let server = Arc::new(Server::new(again.clock.clone()));
        *server.keeps.lock().unwrap() = Some(damaged.into());
        let third = World {
            server,
            record: Arc::default(),
            ca: again.ca.clone(),
            list: again.list.clone(),
            clock: again.clock.clone(),
        };
        third.start();
        third.pass(MINUTE).await;
        assert!(third.server.response_of("a.test").is_some());
        assert_eq!((third.record.count("not_recycled"), third.record.count("renewed")), (1, 1));
    }
}

/// A staple that the sink has since before is recorded without a delivery, and withdrawn at its end like any other.
#[tokio::test(start_paused = true)]
async fn a_kept_response_that_is_in_service_is_not_delivered() {
    let world = World::new();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    let kept = world.server.response_of("a.test");
    for (has, panics, deliveries) in [(true, false, 0), (false, false, 1), (true, true, 1)] {
        let server = Arc::new(Server::new(world.clock.clone()));
        *server.keeps.lock().unwrap() = kept.clone();
        server.has.store(has, Ordering::SeqCst);
        server.looking_panics.store(panics, Ordering::SeqCst);
        let again = World {
            server,
            record: Arc::default(),
            ca: world.ca.clone(),
            list: world.list.clone(),
            clock: world.clock.clone(),
        };
        let inventory = again.start();
        again.pass(MINUTE).await;
        assert_eq!(again.server.deliveries.load(Ordering::SeqCst), deliveries, "{has} {panics}");
        assert_eq!((again.server.response_of("a.test"), again.record.count("delivered")), (kept.clone(), 1));
        let status = inventory.certificates().remove(0);
        assert_eq!(status.deliveries[0].state, DeliveryState::Confirmed);
        assert!(status.deliveries[0].delivered.is_some() && status.deliveries[0].served_until.is_some());
    }
    // Its end comes while the CA is down.
    let last = World { server: Arc::new(Server::new(world.clock.clone())), record: Arc::default(), ..world };
    *last.server.keeps.lock().unwrap() = kept.clone();
    last.server.has.store(true, Ordering::SeqCst);
    last.ca.set(Mood::Down);
    last.start();
    last.pass(20 * DAY).await;
    assert_eq!((last.server.deliveries.load(Ordering::SeqCst), last.server.response_of("a.test")), (0, None));
    assert_eq!(*last.server.withdrawals.lock().unwrap(), [("a.test".to_owned(), Withdrawal::Expiring)]);
}

/// A certificate that has a second place, from the start or later, has both served.
#[tokio::test(start_paused = true)]
async fn a_kept_response_in_service_at_one_place_is_delivered_to_the_next_one() {
    let world = World::new();
    let issued = world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    let kept = world.server.response_of("a.test");
    let again = World { server: Arc::new(Server::new(world.clock.clone())), record: Arc::default(), ..world };
    *again.server.keeps.lock().unwrap() = kept.clone();
    again.server.has.store(true, Ordering::SeqCst);
    again.start();
    again.pass(MINUTE).await;
    assert_eq!(again.server.deliveries.load(Ordering::SeqCst), 0);
    again.list.put("b.test", &with_issuer(&issued, &again.ca));
    again.pass(2 * HOUR).await;
    let names = |server: &Server| server.serves.lock().unwrap()["a.test"].2.clone();
    assert_eq!(names(&again.server), ["a.test", "b.test"]);

    let third = World { server: Arc::new(Server::new(again.clock.clone())), record: Arc::default(), ..again };
    *third.server.keeps.lock().unwrap() = kept;
    third.server.has.store(true, Ordering::SeqCst);
    let inventory = third.start();
    third.pass(MINUTE).await;
    assert_eq!(names(&third.server), ["a.test", "b.test"]);
    assert_eq!(inventory.certificates()[0].deliveries[0].state, DeliveryState::Confirmed);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_loses_its_staples_while_one_is_delivered_gets_that_again() {
    let world = World::new();
    world.server.slow.store(true, Ordering::SeqCst);
    world.add("a.test");
    world.start();
    world.pass(SECOND).await;
    // The delivery continues, but its process no longer runs.
    world.server.restart();
    world.pass(4 * SECOND).await;
    assert!(world.server.deliveries.load(Ordering::SeqCst) >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_staple_that_is_over_is_taken_back_once_while_its_successor_is_refused() {
    let world = World::new();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    world.server.refuses.store(true, Ordering::SeqCst);
    world.pass(4 * DAY).await;
    assert!(world.server.response_of("a.test").is_none());
    assert_eq!(*world.server.withdrawals.lock().unwrap(), [("a.test".to_owned(), Withdrawal::Expiring)]);
    world.server.refuses.store(false, Ordering::SeqCst);
    world.pass(2 * HOUR).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn groups_keep_to_their_own_servers() {
    let world = World::new();
    let (other_list, other_server) = (Arc::new(List::default()), Arc::new(Server::new(world.clock.clone())));
    world.add("a.test");
    let issued = world.ca.issue(Ca::profile("b.test"));
    other_list.put("b.test", &with_issuer(&issued, &world.ca));
    let everywhere = Arc::new(Server::new(world.clock.clone()));
    let stapler = Stapler::builder()
        .group(Group::new().source(Shared(world.list.clone())).sink(Shared(world.server.clone())))
        .group(Group::new().source(Shared(other_list)).sink(Shared(other_server.clone())))
        .sink(Shared(everywhere.clone()))
        .shared_fetcher(world.ca.clone())
        .shared_clock(world.clock.clone())
        .refresh_policy(half_life());
    world.run(stapler);
    world.pass(SECOND).await;
    let names = |server: &Server| server.serves.lock().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&world.server), ["a.test"]);
    assert_eq!(names(&other_server), ["b.test"]);
    assert_eq!(names(&everywhere), ["a.test", "b.test"]);
}

/// A server that can serve the held staple keeps it, whatever another one needs.
#[tokio::test(start_paused = true)]
async fn a_staple_in_service_is_not_replaced_by_one_that_ends_at_once() {
    let world = World::new();
    let mut picky = Server::new(world.clock.clone());
    picky.requirements = picky.requirements.max_size(1);
    let picky = Arc::new(picky);
    world.add("a.test");
    let handle = world.run_with_handle(world.builder().sink(Shared(picky.clone())));
    world.pass(MINUTE).await;
    let held = world.server.response_of("a.test").unwrap();
    *world.ca.validity.lock().unwrap() = Duration::from_secs(4);
    handle.renew(&Selection::All).await.unwrap();
    world.pass(MINUTE).await;
    assert_eq!(world.server.response_of("a.test"), Some(held));
    assert_eq!(*world.server.withdrawals.lock().unwrap(), []);
    assert_eq!(world.record.codes("renewal_failed").first().map(String::as_str), Some("expires_too_soon"));
    // A better one replaces it, though the other server cannot use it either.
    *world.ca.validity.lock().unwrap() = 4 * DAY;
    world.pass(HOUR).await;
    assert_eq!(world.server.response_of("a.test"), world.ca.last.lock().unwrap().clone());
}
