//! Tests of responses with short lifetimes, and of clocks that jump.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stapled_core::event::Event;
use stapled_core::inventory::Inventory;
use stapled_core::inventory::standing::{DeliveryState, Standing};
use stapled_core::refresh::RefreshPolicy;
use stapled_core::sink::Withdrawal;

use crate::world::{Ca, DAY, HOUR, MINUTE, Mood, Server, Shared, World, with_issuer};

const SECOND: Duration = Duration::from_secs(1);
/// The time within which everything is in order after the clock is corrected.
const SOON: Duration = Duration::from_secs(6);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A world with a must-staple certificate, and a server that stops serving a response 300 s before its end. Answers
/// live for this many seconds. A second server, `files`, has no margin.
fn short(seconds: u64) -> (World, Arc<Server>, Arc<Inventory>) {
    let mut world = World::new();
    *world.ca.validity.lock().unwrap() = Duration::from_secs(seconds);
    Arc::get_mut(&mut world.server).unwrap().requirements.margin = 300 * SECOND;
    let issued = world.ca.issue(Ca::profile("a.test").must_staple(true));
    world.list.put("a.test", &with_issuer(&issued, &world.ca));
    let files = Arc::new(Server::new(world.clock.clone()));
    let builder = world.builder().refresh_policy(RefreshPolicy::default()).sink(Shared(files.clone()));
    let inventory = world.run(builder);
    (world, files, inventory)
}

fn outages(world: &World) -> Vec<(&'static str, Option<String>, String)> {
    let events = world.record.0.lock().unwrap();
    let told = |event: &Event| {
        let code = event.kind.code().map(|code| code.to_string());
        (event.kind.name(), code, event.to_string())
    };
    events.iter().filter(|event| event.is_outage()).map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_server_cannot_staple_is_told_at_once_with_its_reason() {
    for seconds in [1, 120, 299, 300] {
        let (world, files, inventory) = short(seconds);
        world.pass(SECOND / 2).await;
        let told = outages(&world);
        assert!(!told.is_empty(), "{seconds}");
        for (name, code, words) in told {
            assert_eq!((name, code.as_deref()), ("delivery_failed", Some("expires_too_soon")), "{seconds}");
            assert!(words.contains(&format!("live too short: {seconds} s")), "{words}");
        }
        assert_eq!(world.server.deliveries.load(Ordering::SeqCst), 0);
        assert_eq!(files.response_of("a.test").is_some(), seconds > 5, "{seconds}");
        let state = &inventory.certificates()[0].deliveries[0].state;
        assert!(
            matches!(state, DeliveryState::Failed { code, .. } if code.as_str() == "expires_too_soon"),
            "{seconds}: {state:?}"
        );
        // The event is reported once, and not every minute.
        let count = outages(&world).len();
        world.pass(HOUR).await;
        assert_eq!(outages(&world).len(), count, "{seconds}");
        assert!(world.ca.asked() <= 125, "{seconds}: {}", world.ca.asked());
        assert_eq!(files.response_of("a.test").is_some(), seconds > 60, "{seconds}");
        // The delivery of responses that live long enough ends the outage.
        *world.ca.validity.lock().unwrap() = DAY;
        world.pass(10 * MINUTE).await;
        assert!(world.server.response_of("a.test").is_some(), "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_staples_for_a_moment_only_is_told_and_nobody_says_that_it_was_asked_in_vain() {
    let (world, _, _) = short(310);
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_some());
    let told = outages(&world);
    assert_eq!(told.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), ["short_lived"]);
    assert!(told[0].2.contains("310 s") && told[0].2.contains("last 300 s"), "{told:?}");
    world.pass(10 * SECOND).await;
    assert!(world.server.response_of("a.test").is_none());
    world.pass(5 * MINUTE).await;
    assert!(world.ca.asked() <= 7, "no hot loop");
    let told = outages(&world);
    assert_eq!(told.iter().filter(|(name, ..)| *name == "short_lived").count(), 1, "{told:?}");
    for (name, code, words) in &told {
        assert_eq!(code.as_deref(), Some("expires_too_soon"), "{name}");
        assert!(!words.contains("could not be renewed"), "{words}");
    }
    assert!(told.iter().any(|(name, ..)| *name == "withdrawn"));
}

#[tokio::test(start_paused = true)]
async fn what_can_be_kept_in_service_is_renewed_in_time() {
    // The server staples these responses for 40 s or longer.
    for seconds in [341, 345, 360, 380, 420, 600, 1200] {
        let (world, files, _) = short(seconds);
        world.pass(SECOND).await;
        for second in 0..900 {
            assert!(world.server.response_of("a.test").is_some(), "{seconds}: bare after {second} s");
            assert!(files.response_of("a.test").is_some(), "{seconds}");
            world.pass(SECOND).await;
        }
        assert!(world.server.withdrawals.lock().unwrap().is_empty(), "{seconds}");
        assert_eq!(outages(&world), [], "{seconds}");
        let log = world.ca.log.lock().unwrap().clone();
        let pauses: Vec<u64> = log.windows(2).map(|pair| pair[1].0.since(pair[0].0).as_secs()).collect();
        let usable = seconds - 300;
        let least = if usable >= 80 { 60.min(usable / 2) } else { 30 };
        assert!(pauses.iter().all(|pause| *pause >= least - 1 && *pause < usable), "{seconds}: {pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn once_a_clock_is_right_again_nothing_good_is_missing_and_nothing_good_is_withdrawn() {
    for (ahead, for_so_long) in [(10 * YEAR, 75), (YEAR, 20), (30 * DAY, 75), (30 * DAY, 1200), (3 * HOUR, 75)] {
        let world = World::with_jumps();
        for number in 0..20 {
            world.add(&format!("{number}.test"));
        }
        world.run(world.builder().refresh_policy(RefreshPolicy::default()));
        world.pass(MINUTE).await;
        world.clock.set(world.now() + ahead);
        world.pass(for_so_long * SECOND).await;
        // The CA gives no answer now: the staple that was good counts as good again.
        world.ca.set(Mood::Down);
        let withdrawn = world.server.withdrawals.lock().unwrap().len();
        world.clock.set(world.now() - ahead);
        world.pass(SOON).await;
        assert_eq!(world.server.withdrawals.lock().unwrap().len(), withdrawn, "{ahead:?}, {for_so_long} s");
        assert_eq!(world.server.serves.lock().unwrap().len(), 20, "{ahead:?}, {for_so_long} s");
        world.pass(2 * HOUR).await;
        assert_eq!(world.server.withdrawals.lock().unwrap().len(), withdrawn, "{ahead:?}, {for_so_long} s");
        assert_eq!(world.server.serves.lock().unwrap().len(), 20, "{ahead:?}, {for_so_long} s");
        assert_eq!(world.record.count("internal"), 0);
        world.ca.set(Mood::Good);
        world.pass(80 * MINUTE).await;
        assert_eq!(world.server.serves.lock().unwrap().len(), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn once_a_clock_that_was_behind_is_right_again_everything_is_in_order() {
    for behind in [10 * YEAR, 3 * HOUR] {
        let world = World::with_jumps();
        world.add("a.test");
        world.run(world.builder().refresh_policy(RefreshPolicy::default()));
        world.pass(MINUTE).await;
        world.clock.set(world.now() - behind);
        // The certificate is found while nothing seems to be valid yet.
        world.add("b.test");
        world.pass(75 * SECOND).await;
        assert!(world.server.response_of("a.test").is_some());
        world.clock.set(world.now() + behind);
        world.pass(SOON).await;
        assert!(world.server.response_of("a.test").is_some());
        assert!(world.server.response_of("b.test").is_some(), "asked again at once");
        assert!(world.server.withdrawals.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_found_while_the_clock_was_ahead_is_looked_at_again_at_once() {
    let world = World::with_jumps();
    world.start();
    world.pass(MINUTE).await;
    world.clock.set(world.now() + 10 * YEAR);
    world.add("a.test");
    world.pass(75 * SECOND).await;
    assert_eq!(world.record.codes("place_problem"), ["certificate_expired"]);
    world.clock.set(world.now() - 10 * YEAR);
    world.pass(SOON).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_staple_that_is_over_when_the_clock_is_right_is_taken_back_at_once() {
    let world = World::with_jumps();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    world.ca.set(Mood::Down);
    world.clock.set(world.now() + 5 * DAY);
    world.pass(SOON).await;
    assert!(world.server.response_of("a.test").is_none());
    assert_eq!(*world.server.withdrawals.lock().unwrap(), [("a.test".to_owned(), Withdrawal::Expiring)]);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_that_is_under_way_when_the_clock_is_put_right_is_followed_by_a_delivery() {
    let world = World::with_jumps();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    world.ca.set(Mood::Down);
    world.server.slow.store(true, Ordering::SeqCst);
    world.clock.set(world.now() + 30 * DAY);
    let deliveries = world.server.deliveries.load(Ordering::SeqCst);
    // The question has been sent, and the answer takes two seconds.
    world.pass(3 * SECOND).await;
    world.clock.set(world.now() - 30 * DAY);
    world.pass(SECOND + SOON).await;
    assert!(world.server.response_of("a.test").is_some());
    assert!(world.server.deliveries.load(Ordering::SeqCst) > deliveries);
}

/// A server got a withdrawal whose end came from a clock that was ahead.
#[tokio::test(start_paused = true)]
async fn a_withdrawal_from_a_time_that_never_was_is_made_again() {
    let world = World::with_jumps();
    world.add("a.test");
    let inventory = world.run(world.builder().refresh_policy(RefreshPolicy::default()));
    world.pass(MINUTE).await;
    *world.ca.validity.lock().unwrap() = 300 * DAY;
    world.ca.set(Mood::Revoked);
    world.clock.set(world.now() + 30 * DAY);
    world.pass(2 * HOUR).await;
    assert!(matches!(inventory.certificates()[0].standing, Standing::Revoked { .. }));
    let withdrawn = world.server.withdrawals.lock().unwrap().len();
    world.clock.set(world.now() - 30 * DAY);
    world.pass(SOON).await;
    let withdrawals = world.server.withdrawals.lock().unwrap().clone();
    assert_eq!(withdrawals.len(), withdrawn + 1, "{withdrawals:?}");
    assert_eq!(withdrawals.last().unwrap().1, Withdrawal::Revoked);
    world.pass(HOUR).await;
    assert_eq!(world.server.withdrawals.lock().unwrap().len(), withdrawn + 1, "once");
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_clock_is_no_burst_of_questions() {
    for by in [10 * SECOND, HOUR / 2, 5 * HOUR] {
        let world = World::with_jumps();
        for number in 0..100 {
            world.add(&format!("{number}.test"));
        }
        world.run(world.builder().refresh_policy(RefreshPolicy::default()));
        world.pass(10 * MINUTE).await;
        let asked = world.ca.asked();
        world.clock.set(world.now() + by);
        world.pass(MINUTE).await;
        world.clock.set(world.now() - by);
        world.pass(MINUTE).await;
        // The questions that fell due by either clock, in part.
        assert!(world.ca.asked() <= asked + 75, "{by:?}: {asked}, {}", world.ca.asked());
        assert!(world.record.count("clock_set") == 2, "{by:?}");
        world.pass(HOUR + MINUTE).await;
        assert!(world.ca.asked() >= asked + 100, "{by:?}");
    }
}
