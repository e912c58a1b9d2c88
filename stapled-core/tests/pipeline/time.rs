//! Tests of the edges of time: after 2050, before 1970, leap seconds, sleeping machines.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use stapled_ca::Profile;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_core::clock::simulated::SimulatedClock;
use stapled_core::time::Timestamp;

use crate::world::{Ca, DAY, HOUR, MINUTE, Mood, START, World, with_issuer};

const SECOND: Duration = Duration::from_secs(1);
/// The longest sleep of a timer before it compares the clock.
const NOTICED: Duration = Duration::from_secs(31);

/// Adds a certificate that is valid in the years around this instant.
fn add_at(world: &World, name: &str, at: i64) {
    let profile =
        Profile::server(name).valid_between(at - 400 * 86_400, at + 400 * 86_400).ocsp_url("http://ocsp.test/");
    world.list.put(name, &with_issuer(&world.ca.issue(profile), &world.ca));
}

#[tokio::test(start_paused = true)]
async fn certificates_and_responses_of_any_century_are_kept_fresh() {
    // 1955; the start of 1970; 2050, when UTCTime ends; 2106, when 32 bits end; and the last years that a
    // GeneralizedTime can name.
    for at in [-473_385_600, 0, 2_524_608_000, 4_294_967_296, 253_300_000_000] {
        // Nothing sets this clock, so the stapler need not compare it every 30 seconds.
        let clock = SimulatedClock::starting_at(Timestamp::from_unix(at - 86_400)).sleeping_up_to(HOUR);
        let world = World::with_clock(clock);
        add_at(&world, "a.test", at);
        world.start();
        for _ in 0..10 {
            world.pass(DAY / 2).await;
            let serves = world.server.serves.lock().unwrap();
            assert!(
                serves.get("a.test").is_some_and(|(_, expires, _)| *expires > world.now() + DAY),
                "{}",
                world.now()
            );
        }
        assert!(world.ca.asked() >= 3, "renewed on both sides of the turn");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_of_another_century_is_refused_and_harms_nobody() {
    let world = World::new();
    add_at(&world, "old.test", -473_385_600);
    add_at(&world, "new.test", 4_294_967_296);
    world.add("a.test");
    let inventory = world.start();
    world.pass(MINUTE).await;
    let mut codes = world.record.codes("place_problem");
    codes.sort();
    assert_eq!(codes, ["certificate_expired", "certificate_not_yet_valid"]);
    assert_eq!(inventory.certificates().len(), 1);
    // A good answer of 1969 or of 2100 is not accepted today, and the held staple stays.
    let held = world.server.response_of("a.test");
    let id = inventory.certificates()[0].chain.end_entity().serial().to_vec();
    let id = world.ca.authority.cert_id(&stapled_ca::Serial::from_bytes(&id), HashAlgorithm::Sha1);
    for (at, code) in [(-86_400, "expired"), (4_102_444_800, "not_yet_valid"), (253_402_000_000, "not_yet_valid")] {
        let response = ResponseBuilder::new(&world.ca.authority).good(&id).this_update(at).next_update(at + 400_000);
        *world.ca.replay.lock().unwrap() = Some(Bytes::from(response.build().unwrap()));
        world.pass(2 * DAY - 6 * HOUR).await;
        world.pass(HOUR * 9).await;
        assert!(world.record.codes("renewal_failed").iter().any(|told| told == code), "{code}");
        *world.ca.replay.lock().unwrap() = None;
        world.pass(80 * MINUTE).await;
    }
    assert!(held.is_some() && world.server.response_of("a.test").is_some());
    assert!(world.server.withdrawals.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_centuries_wrong_are_no_overflow() {
    // The year 1, the last second before 1970, the last year that Linux can be set to, and the year 10,000.
    for at in [-62_135_596_800, -1, 9_223_372_036, 253_402_300_800] {
        let world = World::with_jumps();
        world.add("a.test");
        world.start();
        world.pass(MINUTE).await;
        let right = world.now();
        world.clock.set(Timestamp::from_unix(at));
        // Only this machine's clock is wrong.
        world.ca.set(Mood::Down);
        world.pass(2 * HOUR).await;
        world.clock.set(right + 2 * HOUR);
        world.ca.set(Mood::Good);
        world.pass(80 * MINUTE).await;
        assert!(world.server.response_of("a.test").is_some(), "{at}");
        assert_eq!(world.record.count("internal"), 0, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leap_second_harms_nobody() {
    let world = World::with_jumps();
    world.add("a.test");
    let inventory = world.start();
    world.pass(MINUTE).await;
    let serial = inventory.certificates()[0].chain.end_entity().serial().to_vec();
    let id = world.ca.authority.cert_id(&stapled_ca::Serial::from_bytes(&serial), HashAlgorithm::Sha1);
    // 2016-12-31T23:59:60Z, the last leap second so far. Unix clocks do not have it.
    let leap = [&[0x18, 15][..], b"20161231235960Z"].concat();
    let response = ResponseBuilder::new(&world.ca.authority)
        .good(&id)
        .this_update_der(leap)
        .next_update(START.unix() + 10 * 86_400)
        .build()
        .unwrap();
    *world.ca.replay.lock().unwrap() = Some(response.into());
    world.pass(2 * DAY + HOUR).await;
    // The time is read as the second after it, or refused. A good staple is in service in both cases.
    assert!(world.ca.asked() >= 2);
    assert!(world.server.response_of("a.test").is_some());
    // The clock has the second before the leap second twice.
    *world.ca.replay.lock().unwrap() = None;
    world.clock.set(world.now() - SECOND);
    world.pass(80 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
    assert_eq!(world.record.count("internal"), 0);
}

#[tokio::test(start_paused = true)]
async fn whatever_falls_due_while_the_machine_sleeps_is_done_as_soon_as_it_is_awake() {
    let world = World::with_jumps();
    world.add("a.test");
    let early = Ca::profile("early.test").valid_between(START.unix() + 86_400, START.unix() + 90 * 86_400);
    world.list.put("early.test", &with_issuer(&world.ca.issue(early), &world.ca));
    let inventory = world.run(world.builder().rescan_interval(12 * HOUR));
    world.pass(MINUTE).await;
    world.list.is_silent.store(true, Ordering::SeqCst);
    // No hint of this file comes, and the delivered staple has ended when the machine wakes.
    world.add("late.test");
    world.ca.set(Mood::Down);
    world.clock.set(world.now() + 5 * DAY);
    world.pass(NOTICED).await;
    assert!(world.server.response_of("a.test").is_none(), "what is over is taken back");
    assert!(world.record.count("renewal_failed") >= 1, "renewals are tried");
    let names: Vec<String> = inventory.certificates().iter().map(|one| one.about.name.clone()).collect();
    assert_eq!(names, ["a.test", "early.test", "late.test"], "files are looked at, and what was early is in time");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_for_some_seconds_takes_no_staple_away() {
    let world = World::with_jumps();
    world.add("a.test");
    world.start();
    // Between two regular looks at the clock.
    world.pass(5 * MINUTE + Duration::from_secs(1)).await;
    let right = world.now();
    world.clock.set(right + 3650 * DAY);
    // A delivery makes the adder look at what else is due.
    world.add("b.test");
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(world.server.response_of("a.test"), None, "this proves nothing");
    world.clock.set(right + Duration::from_secs(2));
    world.pass(Duration::from_secs(11)).await;
    assert!(world.server.response_of("a.test").is_some());
}
