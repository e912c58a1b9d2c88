//! Tests of how often CAs are asked: half-life, margins, the maximum interval, and kept responses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stapled_core::event::Severity;
use stapled_core::inventory::standing::Standing;
use stapled_core::refresh::RefreshPolicy;
use stapled_core::time::Timestamp;

use crate::world::{DAY, HOUR, MINUTE, Mood, START, Server, World};

const SECOND: Duration = Duration::from_secs(1);

/// Starts a stapler with the default rules, whose maximum interval is an hour.
fn start(world: &World) -> Arc<stapled_core::inventory::Inventory> {
    world.run(world.builder().refresh_policy(RefreshPolicy::default()))
}

fn pauses(world: &World) -> Vec<Duration> {
    let log = world.ca.log.lock().unwrap();
    log.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect()
}

fn next(world: &World, inventory: &stapled_core::inventory::Inventory) -> Duration {
    inventory.certificates()[0].next.unwrap().since(world.now())
}

#[tokio::test(start_paused = true)]
async fn every_certificate_is_asked_for_once_an_hour_however_long_its_response_lasts() {
    let world = World::new();
    *world.ca.validity.lock().unwrap() = 30 * DAY;
    *world.ca.max_age.lock().unwrap() = Some(20 * DAY);
    world.add("a.test");
    start(&world);
    world.pass(2 * DAY).await;
    let pauses = pauses(&world);
    assert!((47..=53).contains(&pauses.len()), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= HOUR + SECOND), "{pauses:?}");
    assert!(pauses.iter().skip(1).all(|pause| *pause >= HOUR - 3 * MINUTE - SECOND), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_found_together_is_asked_for_at_any_minute_of_the_hour() {
    let world = World::new();
    let count = 600;
    for number in 0..count {
        world.add(&format!("{number}.test"));
    }
    start(&world);
    world.pass(MINUTE / 2).await;
    assert_eq!(world.ca.asked(), count, "without a staple nobody waits");
    world.pass(5 * HOUR).await;
    let mut minutes: BTreeMap<u64, usize> = BTreeMap::new();
    for (at, ..) in world.ca.log.lock().unwrap().iter().skip(count) {
        *minutes.entry(at.since(START).as_secs() / 60).or_default() += 1;
    }
    let most = minutes.values().max().unwrap();
    assert!(*most < count / 60 * 4, "{minutes:?}");
    assert!(minutes.len() > 290, "{minutes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_noticed_within_the_maximum_interval_and_so_is_its_end() {
    let world = World::new();
    world.add("a.test");
    let inventory = start(&world);
    world.pass(5 * HOUR).await;
    world.ca.set(Mood::Revoked);
    world.pass(HOUR + MINUTE).await;
    assert!(matches!(inventory.certificates()[0].standing, Standing::Revoked { .. }));
    let asked = world.ca.asked();
    world.pass(10 * HOUR).await;
    assert!(world.ca.asked() >= asked + 10, "a hold can end");
    world.ca.set(Mood::Good);
    world.pass(HOUR + MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_patience_is_asked_again_within_the_maximum_interval() {
    let world = World::new();
    world.add("a.test");
    start(&world);
    world.pass(MINUTE).await;
    world.ca.set(Mood::Closed);
    world.pass(HOUR).await;
    let asked = world.ca.asked();
    world.pass(10 * HOUR).await;
    assert!((asked + 9..=asked + 22).contains(&world.ca.asked()), "{asked} {}", world.ca.asked());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_brings_the_same_response_is_quiet_and_one_after_a_failure_is_told() {
    let world = World::new();
    world.add("a.test");
    start(&world);
    world.pass(SECOND).await;
    *world.ca.replay.lock().unwrap() = world.server.response_of("a.test");
    world.pass(5 * HOUR).await;
    assert!(world.record.count("renewed") >= 5);
    assert_eq!((world.server.deliveries.load(Ordering::SeqCst), world.record.count("delivered")), (1, 1));
    let severities = || -> Vec<Severity> {
        let events = world.record.0.lock().unwrap();
        events.iter().filter(|event| event.kind.name() == "renewed").map(|event| event.severity()).collect()
    };
    assert_eq!(severities()[0], Severity::Info);
    assert!(severities()[1..].iter().all(|severity| *severity == Severity::Debug));
    let quiet = severities().len();
    let same = world.ca.replay.lock().unwrap().take();
    world.ca.set(Mood::Down);
    world.pass(HOUR + MINUTE).await;
    *world.ca.replay.lock().unwrap() = same;
    world.pass(2 * HOUR).await;
    assert_eq!(severities()[quiet], Severity::Info, "it was told that it failed");
    assert_eq!(world.record.count("delivered"), 1);
}

/// The age of a newly signed response counts from its thisUpdate.
#[tokio::test(start_paused = true)]
async fn a_renewal_is_planned_from_this_update_and_not_from_produced_at() {
    let world = World::new();
    *world.ca.age.lock().unwrap() = DAY;
    world.add("a.test");
    let inventory = world.start();
    world.pass(SECOND).await;
    // Half of four days from thisUpdate, of which one day has passed: a day. From producedAt it would be a day and a
    // half.
    let planned = next(&world, &inventory);
    assert!(planned <= DAY && planned >= DAY - DAY / 19, "{planned:?}");
    world.pass(DAY).await;
    assert_eq!(world.ca.asked(), 2);
}

/// A server that stops serving a response some time before its end needs the next one sooner.
#[tokio::test(start_paused = true)]
async fn a_renewal_is_planned_by_the_largest_margin_of_its_servers() {
    let mut world = World::new();
    Arc::get_mut(&mut world.server).unwrap().requirements.margin = 2 * DAY;
    world.add("a.test");
    let files = Arc::new(Server::new(world.clock.clone()));
    let inventory = world.run(world.builder().sink(crate::world::Shared(files)));
    world.pass(SECOND).await;
    // Half of the two days for which the response is served. Without the margin, it would be two days.
    let planned = next(&world, &inventory);
    assert!(planned <= DAY && planned >= DAY - DAY / 19, "{planned:?}");
    world.pass(DAY).await;
    assert_eq!(world.ca.asked(), 2);
    assert!(world.server.withdrawals.lock().unwrap().is_empty());
}

/// The same rule for a response that was kept from before.
#[tokio::test(start_paused = true)]
async fn a_kept_response_is_renewed_by_this_update_and_the_margin() {
    let mut world = World::new();
    *world.ca.age.lock().unwrap() = DAY / 2;
    world.add("a.test");
    world.start();
    world.pass(SECOND).await;
    let kept = world.server.response_of("a.test");
    world.server = Arc::new(Server::new(world.clock.clone()));
    Arc::get_mut(&mut world.server).unwrap().requirements.margin = 2 * DAY;
    *world.server.keeps.lock().unwrap() = kept;
    let inventory = world.start();
    world.pass(SECOND).await;
    assert_eq!(world.record.count("recycled"), 1);
    // Half of the two days for which the response is served, of which half has passed.
    assert!(next(&world, &inventory) <= DAY / 2, "{:?}", next(&world, &inventory));
}

/// A world whose server keeps a response of this age.
async fn kept(age: Duration) -> World {
    let mut world = World::new();
    *world.ca.age.lock().unwrap() = age;
    world.add("a.test");
    start(&world);
    world.pass(SECOND).await;
    let kept = world.server.response_of("a.test");
    assert!(kept.is_some());
    let before = world.ca.asked();
    assert_eq!(before, 1);
    world.server = Arc::new(Server::new(world.clock.clone()));
    world.record = Arc::default();
    *world.server.keeps.lock().unwrap() = kept;
    *world.ca.age.lock().unwrap() = Duration::ZERO;
    world
}

#[tokio::test(start_paused = true)]
async fn one_pass_asks_for_what_the_daemon_would_have_asked_for_by_now() {
    // Within an hour, beyond an hour, and past half of its validity.
    for (age, asks) in [(MINUTE, 0), (HOUR + MINUTE, 1), (3 * DAY, 1), (4 * DAY - HOUR, 1)] {
        let world = kept(age).await;
        let pass = world.builder().refresh_policy(RefreshPolicy::default()).build().unwrap();
        let inventory = pass.run_once(std::future::pending()).await.unwrap();
        assert_eq!(world.ca.asked(), 1 + asks, "{age:?}");
        assert_eq!(inventory.certificates()[0].standing, Standing::Good);
        assert_eq!(world.record.count("recycled"), 1);
        let old = world.server.keeps.lock().unwrap().clone();
        assert_eq!(world.server.response_of("a.test") == old, asks == 0, "{age:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_pass_asks_for_in_vain_stays_in_service() {
    let world = kept(HOUR + MINUTE).await;
    world.ca.set(Mood::Down);
    let pass = world.builder().refresh_policy(RefreshPolicy::default()).build().unwrap();
    let inventory = pass.run_once(std::future::pending()).await.unwrap();
    assert!(matches!(inventory.certificates()[0].standing, Standing::Failing { .. }));
    assert_eq!(world.server.response_of("a.test"), world.server.keeps.lock().unwrap().clone());
}

#[tokio::test(start_paused = true)]
async fn a_start_with_kept_responses_is_spread_over_the_interval() {
    let mut sooner = 0;
    for _ in 0..20 {
        let world = kept(3 * DAY / 2).await;
        let inventory = start(&world);
        world.pass(SECOND).await;
        assert_eq!((world.ca.asked(), world.record.count("recycled")), (1, 1), "nobody is asked at once");
        let next = next(&world, &inventory);
        assert!(next <= HOUR, "{next:?}");
        sooner += usize::from(next < HOUR / 2);
        world.pass(HOUR).await;
        assert!(world.ca.asked() >= 2);
    }
    assert!((2..=18).contains(&sooner), "{sooner} of 20 in the first half");
}

#[tokio::test(start_paused = true)]
async fn a_kept_response_with_little_left_is_in_service_while_another_is_asked_for() {
    let world = kept(4 * DAY - HOUR).await;
    world.ca.set(Mood::Down);
    start(&world);
    world.pass(MINUTE / 6).await;
    assert!(world.server.response_of("a.test").is_some());
    assert!(world.ca.asked() >= 2, "asked at once");
    world.pass(HOUR).await;
    assert!(world.server.response_of("a.test").is_none(), "until its end");
}

/// The number of daemon starts does not change how often each certificate is asked for.
#[tokio::test(start_paused = true)]
async fn a_shorter_interval_in_a_new_configuration_spreads_what_it_brings_forward() {
    let world = World::new();
    for number in 0..100 {
        world.add(&format!("{number}.test"));
    }
    let first = world.builder().build().unwrap();
    let old = first.inventory();
    first.run(tokio::time::sleep(MINUTE)).await;
    let second = world.builder().refresh_policy(RefreshPolicy::default()).build().unwrap();
    second.inherit(&old);
    let inventory = second.inventory();
    tokio::spawn(second.run(std::future::pending()));
    world.pass(MINUTE).await;
    assert_eq!(world.ca.asked(), 100);
    let planned: Vec<Timestamp> = inventory.certificates().iter().map(|one| one.next.unwrap()).collect();
    assert!(planned.iter().all(|next| next.since(world.now()) <= HOUR));
    let early = planned.iter().filter(|next| next.since(world.now()) < HOUR / 2).count();
    assert!((25..=75).contains(&early), "{early} of 100 in the first half");
}
