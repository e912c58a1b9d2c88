//! Tests of the whole stapler, from source to sink, in simulated time.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod asking;
#[cfg(feature = "files")]
mod chains;
mod changed;
mod early;
mod faults;
mod handle;
mod in_memory;
mod lives;
mod meanwhile;
#[cfg(feature = "metrics")]
mod metrics;
mod pace;
mod passes;
mod remembered;
mod reports;
mod servers;
mod sharing;
mod slow_commits;
mod smallest;
mod succession;
mod time;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stapled_ca::Profile;
use stapled_core::clock::simulated::SimulatedClock;
use stapled_core::event::EventKind;
use stapled_core::event::faults::PlaceFault;
use stapled_core::fetch::Method;
use stapled_core::inventory::standing::{DeliveryState, PlaceState, Standing};
use stapled_core::sink::Withdrawal;
use stapled_core::time::Timestamp;
use world::{Ca, DAY, HOUR, MINUTE, Mood, START, Server, Shared, World, with_issuer};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_staple_reaches_the_server_as_the_ca_sent_it_and_is_renewed_at_half_of_its_life() {
    let world = World::new();
    world.add("a.test");
    let inventory = world.start();
    world.pass(SECOND).await;
    assert_eq!(world.server.response_of("a.test"), world.ca.last.lock().unwrap().clone());
    assert_eq!(world.ca.asked(), 1);
    let certificate = inventory.certificates().remove(0);
    assert_eq!(certificate.standing, Standing::Good);
    assert_eq!(certificate.deliveries[0].state, DeliveryState::Confirmed);
    world.pass(2 * DAY - 4 * HOUR).await;
    assert_eq!(world.ca.asked(), 1);
    world.pass(5 * HOUR).await;
    assert_eq!(world.ca.asked(), 2);
    assert_eq!(world.server.response_of("a.test"), world.ca.last.lock().unwrap().clone());
}

#[tokio::test(start_paused = true)]
async fn a_year_without_a_gap() {
    let world = World::with_clock(SimulatedClock::starting_at(START).sleeping_up_to(6 * HOUR));
    for number in 0..20 {
        world.add(&format!("{number}.test"));
    }
    world.run(world.builder().rescan_interval(DAY));
    world.pass(MINUTE).await;
    for _ in 0..365 * 4 {
        world.pass(6 * HOUR).await;
        let now = world.now();
        let serves = world.server.serves.lock().unwrap();
        assert_eq!(serves.len(), 20);
        assert!(serves.values().all(|(_, expires, _)| *expires > now + DAY));
    }
    let asked = world.ca.asked();
    // A renewal every two days, up to a twentieth earlier: 183 to 193 for each certificate, and the first question.
    assert!((20 * 183..=20 * 194).contains(&asked), "asked {asked} times");
}

#[tokio::test(start_paused = true)]
async fn a_good_staple_is_served_until_just_before_it_ends_and_then_withdrawn() {
    let world = World::new();
    world.add("a.test");
    world.start();
    world.pass(2 * DAY - 5 * HOUR).await;
    for mood in [Mood::Down, Mood::Garbage, Mood::Foreign, Mood::Unauthorized, Mood::Unknown, Mood::Hang] {
        world.ca.set(mood);
        world.pass(7 * HOUR).await;
        assert!(world.server.response_of("a.test").is_some(), "{mood:?}");
    }
    world.ca.set(Mood::Down);
    let (_, expires, _) = world.server.serves.lock().unwrap()["a.test"].clone();
    world.pass(expires.since(world.now()) - MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_none());
    assert_eq!(*world.server.withdrawals.lock().unwrap(), [("a.test".to_owned(), Withdrawal::Expiring)]);
    // The event has the reason of the failure and its start.
    let events = world.record.0.lock().unwrap().clone();
    let told = events.iter().find_map(|event| match &event.kind {
        EventKind::Withdrawn { failing, .. } => failing.clone().map(|failing| (event.certificate.clone(), failing)),
        _ => None,
    });
    let (about, failing) = told.unwrap();
    assert_eq!((about.unwrap().name.as_str(), failing.code.as_str()), ("a.test", "connect_failed"));
    let first = events.iter().find(|event| event.kind.name() == "renewal_failed").unwrap();
    assert_eq!(failing.since, first.at);
    world.ca.set(Mood::Good);
    world.pass(HOUR + HOUR / 2).await;
    assert!(world.server.response_of("a.test").is_some(), "fresh within the back-off's cap");
    let codes = world.record.codes("renewal_failed");
    for code in ["connect_failed", "malformed", "error_status:unauthorized", "unknown", "timed_out"] {
        assert!(codes.iter().any(|told| told == code), "{code} in {codes:?}");
    }
    assert!(codes.iter().any(|told| told.starts_with("responder_") || told == "bad_signature"), "{codes:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_with_growing_pauses_and_never_given_up() {
    let world = World::new();
    world.add("a.test");
    world.ca.set(Mood::Down);
    world.start();
    world.pass(30 * DAY).await;
    let log = world.ca.log.lock().unwrap().clone();
    let pauses: Vec<u64> = log.windows(2).map(|pair| pair[1].0.since(pair[0].0).as_secs()).collect();
    assert!((24..=36).contains(&pauses[0]), "{pauses:?}");
    assert!((48..=72).contains(&pauses[1]), "{pauses:?}");
    assert!(pauses.iter().skip(8).all(|pause| (2880..=4320).contains(pause)), "{pauses:?}");
    world.ca.set(Mood::Good);
    world.pass(HOUR + 20 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_its_ca_does_not_know_yet_is_asked_every_minute_for_an_hour() {
    let world = World::new();
    world.add("a.test");
    world.ca.set(Mood::Unknown);
    world.start();
    world.pass(HOUR).await;
    // Each renewal uses both hashes, since the responder may know only the other one.
    let renewals = world.record.count("renewal_failed");
    assert!((48..=76).contains(&renewals), "{renewals}");
}

#[tokio::test(start_paused = true)]
async fn a_replaced_certificate_gets_its_own_staple_and_a_deleted_one_is_forgotten() {
    let world = World::new();
    world.add("a.test");
    let inventory = world.start();
    world.pass(SECOND).await;
    let first = world.server.response_of("a.test");
    world.add("a.test");
    world.pass(SECOND).await;
    assert_ne!(world.server.response_of("a.test"), first);
    world.list.remove("a.test");
    world.pass(SECOND).await;
    assert_eq!(world.server.withdrawals.lock().unwrap().last().unwrap().1, Withdrawal::Retired);
    assert!(inventory.certificates().is_empty(), "{:?}", inventory.certificates());
    assert!(inventory.places().is_empty());
    let asked = world.ca.asked();
    world.pass(30 * DAY).await;
    assert_eq!(world.ca.asked(), asked, "nobody asks for what is gone");
}

#[tokio::test(start_paused = true)]
async fn revoked_is_told_at_once_and_a_hold_can_end() {
    let world = World::new();
    world.add("a.test");
    let inventory = world.start();
    world.pass(MINUTE).await;
    world.ca.set(Mood::Revoked);
    world.pass(2 * DAY).await;
    assert_eq!(world.record.count("revoked"), 1);
    assert!(world.server.response_of("a.test").is_none());
    assert!(matches!(inventory.certificates()[0].standing, Standing::Revoked { .. }));
    // A restarted server does not get the old good staple again.
    world.server.restart();
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_none());
    world.ca.set(Mood::Down);
    world.pass(2 * DAY).await;
    assert!(matches!(inventory.certificates()[0].standing, Standing::Revoked { .. }));
    world.ca.set(Mood::Good);
    world.pass(DAY).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_responder_that_hangs_holds_up_no_other() {
    let world = World::new();
    let put = |name: &str, url: &str| {
        let profile = Profile::server(name).valid_between(START.unix() - 60, START.unix() + 86_400).ocsp_url(url);
        world.list.put(name, &with_issuer(&world.ca.issue(profile), &world.ca));
    };
    for number in 0..200 {
        put(&format!("dead{number}.test"), "http://dead.test/");
        world.ca.moods.lock().unwrap().insert("http://dead.test/".to_owned(), Mood::Hang);
    }
    for number in 0..20 {
        put(&format!("live{number}.test"), "http://live.test/");
    }
    world.start();
    world.pass(SECOND).await;
    assert_eq!(world.server.serves.lock().unwrap().len(), 20);
    world.pass(10 * MINUTE).await;
    let asked = world.ca.log.lock().unwrap().iter().filter(|(_, url, _)| url == "http://dead.test/").count();
    assert!(asked < 100, "a responder that does not answer is left alone: asked {asked} times");
    world.ca.moods.lock().unwrap().clear();
    world.pass(90 * MINUTE).await;
    assert_eq!(world.server.serves.lock().unwrap().len(), 220);
}

#[tokio::test(start_paused = true)]
async fn every_url_is_tried_and_the_one_that_worked_comes_first_next_time() {
    let world = World::new();
    let profile = Ca::profile("a.test").ocsp_url("http://second.test/");
    world.list.put("a.test", &with_issuer(&world.ca.issue(profile), &world.ca));
    world.ca.moods.lock().unwrap().insert("http://ocsp.test/".to_owned(), Mood::Garbage);
    world.start();
    world.pass(3 * DAY).await;
    let urls: Vec<String> = world.ca.log.lock().unwrap().iter().map(|(_, url, _)| url.clone()).collect();
    // A malformed answer to GET may come from a cache: POST is tried once.
    assert_eq!(urls, ["http://ocsp.test/", "http://ocsp.test/", "http://second.test/", "http://second.test/"]);
}

#[tokio::test(start_paused = true)]
async fn the_method_and_the_hash_that_a_responder_wants_are_found_and_remembered() {
    let world = World::new();
    world.ca.set(Mood::OnlyPost);
    world.add("a.test");
    world.start();
    world.pass(3 * DAY).await;
    let methods: Vec<Method> = world.ca.log.lock().unwrap().iter().map(|(_, _, method)| *method).collect();
    // GET is tried again later: the renewal is after a day.
    assert_eq!(methods, [Method::Get, Method::Post, Method::Get, Method::Post]);

    let world = World::new();
    world.ca.set(Mood::OnlySha256);
    world.add("a.test");
    world.start();
    world.pass(3 * DAY).await;
    assert!(world.server.response_of("a.test").is_some());
    assert_eq!(world.ca.asked(), 4, "SHA-1 once by both methods, then SHA-256 only");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_is_found_in_another_place_even_when_that_comes_later_or_by_its_url() {
    let world = World::new();
    let alone = world.ca.issue(Ca::profile("a.test"));
    world.list.put("a.test", &alone.certificate_pem());
    let inventory = world.start();
    world.pass(SECOND).await;
    let PlaceState::Problem { fault, .. } = &inventory.places()[0].state else { panic!("no problem") };
    assert_eq!(*fault, PlaceFault::IssuerMissing);
    world.list.put("the CA", &world.ca.authority.certificate_pem());
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_some());

    let world = World::new();
    let url = "http://ca.test/ca.crt";
    let issued = world.ca.issue(Ca::profile("a.test").ca_issuers_url(url));
    world.list.put("a.test", &issued.certificate_pem());
    world.start();
    world.pass(SECOND).await;
    assert_eq!(world.record.codes("issuer_fetch_failed"), ["http_status"]);
    world.ca.issuers.lock().unwrap().insert(url.to_owned(), world.ca.authority.certificate().to_vec());
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn one_certificate_in_two_places_is_asked_for_once_and_delivered_for_both() {
    let world = World::new();
    let issued = world.ca.issue(Ca::profile("a.test"));
    world.list.put("one", &with_issuer(&issued, &world.ca));
    world.list.put("two", &with_issuer(&issued, &world.ca));
    world.start();
    world.pass(SECOND).await;
    assert_eq!(world.ca.asked(), 1);
    assert_eq!(world.server.serves.lock().unwrap()["a.test"].2, ["one", "two"]);
    world.list.remove("one");
    world.pass(SECOND).await;
    assert_eq!(world.server.serves.lock().unwrap()["a.test"].2, ["two"]);
    assert_eq!(world.ca.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_damaged_for_a_while_costs_nothing() {
    let world = World::new();
    let issued = world.add("a.test");
    world.start();
    world.pass(SECOND).await;
    world.list.put("a.test", "half a cert");
    world.pass(MINUTE).await;
    assert_eq!(world.record.codes("place_problem"), ["no_certificate"]);
    assert!(world.server.response_of("a.test").is_some());
    world.list.put("a.test", &with_issuer(&issued, &world.ca));
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
    assert_eq!(world.ca.asked(), 1);
    assert!(world.server.withdrawals.lock().unwrap().is_empty());
}

/// A source in memory hands keys over, too. They are not kept.
#[tokio::test(start_paused = true)]
async fn a_certificate_that_says_it_is_a_cas_gets_a_staple_if_its_key_is_there() {
    let world = World::new();
    let window = stapled_ca::Validity::Between { not_before: START.unix() - 60, not_after: START.unix() + 86_400 * 90 };
    let builder = world.ca.authority.intermediate("appliance.test").validity(window).ocsp_url("http://ocsp.test/");
    let appliance = builder.create().unwrap();
    let text = appliance.certificate_pem() + &world.ca.authority.certificate_pem();
    world.list.put("a CA", &text);
    let inventory = world.start();
    world.pass(MINUTE).await;
    assert_eq!((inventory.certificates().len(), world.record.count("only_ca_certificates")), (0, 1));
    world.list.put("a server", &(text + &appliance.key().to_pem()));
    world.pass(MINUTE).await;
    assert_eq!(inventory.certificates().len(), 1);
    assert!(world.server.response_of("appliance.test").is_some(), "{:?}", world.record.codes("place_problem"));
}

#[tokio::test(start_paused = true)]
async fn certificates_that_want_no_staple_are_no_trouble() {
    let world = World::new();
    let window = |profile: Profile| profile.valid_between(START.unix() - 60, START.unix() + 86_400 * 90);
    let put = |name: &str, profile: Profile| {
        world.list.put(name, &with_issuer(&world.ca.issue(window(profile)), &world.ca));
    };
    put("no url", Profile::server("a.test"));
    put("must staple", Profile::server("b.test").must_staple(true));
    world.list.put("only a CA", &world.ca.authority.certificate_pem());
    let client = Ca::profile("client.test").extended_key_usages([stapled_ca::ExtendedKeyUsage::ClientAuth]);
    world.list.put("client", &with_issuer(&world.ca.issue(client), &world.ca));
    let old = Ca::profile("old.test").valid_between(START.unix() - 86_400, START.unix() - 60);
    world.list.put("old", &with_issuer(&world.ca.issue(old), &world.ca));
    let early = Ca::profile("early.test").valid_between(START.unix() + 86_400, START.unix() + 86_400 * 90);
    world.list.put("early", &with_issuer(&world.ca.issue(early), &world.ca));
    world.add("good.test");
    let inventory = world.start();
    world.pass(MINUTE).await;
    assert_eq!(world.record.count("not_applicable"), 1);
    assert_eq!(world.record.count("must_staple_without_url"), 1);
    assert_eq!(world.record.count("only_ca_certificates"), 1);
    let mut codes = world.record.codes("place_problem");
    codes.sort();
    assert_eq!(codes, ["certificate_expired", "certificate_not_yet_valid", "not_for_servers"]);
    assert!(world.server.response_of("good.test").is_some());
    assert_eq!(inventory.certificates().len(), 1);
    // An error that depends on time alone ends by itself.
    world.pass(DAY).await;
    assert!(world.server.response_of("early.test").is_some());
    assert!(world.server.response_of("old.test").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_expired_certificate_is_not_asked_for_any_more() {
    let world = World::new();
    let short = Ca::profile("a.test").valid_between(START.unix() - 60, START.unix() + 86_400);
    world.list.put("a.test", &with_issuer(&world.ca.issue(short), &world.ca));
    *world.ca.validity.lock().unwrap() = 6 * HOUR;
    world.start();
    world.pass(2 * DAY).await;
    let asked = world.ca.asked();
    world.pass(30 * DAY).await;
    assert_eq!(world.ca.asked(), asked);
    assert_eq!(world.record.count("certificate_expired"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_attempt_of_one_task() {
    let world = World::new();
    world.add("a.test");
    world.ca.set(Mood::Panic);
    world.start();
    world.pass(10 * SECOND).await;
    assert!(world.record.count("internal") >= 1);
    world.ca.set(Mood::Good);
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn clocks_that_jump_are_survived() {
    let world = World::with_jumps();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    // The machine was suspended for a week: the held staple has ended.
    world.clock.set(world.now() + 7 * DAY);
    world.pass(2 * MINUTE).await;
    let expires = |world: &World| world.server.serves.lock().unwrap().get("a.test").map(|(_, expires, _)| *expires);
    assert!(expires(&world).is_some_and(|expires| expires > world.now() + DAY));
    // The clock is set back by a year, then corrected.
    let right = world.now();
    world.clock.set(Timestamp::from_unix(right.unix() - 365 * 86_400));
    world.pass(MINUTE).await;
    world.clock.set(right + 2 * DAY + MINUTE);
    world.pass(2 * HOUR).await;
    assert!(expires(&world).is_some_and(|expires| expires > world.now() + DAY));
}

#[tokio::test(start_paused = true)]
async fn short_lived_responses_make_no_hot_loop() {
    let world = World::new();
    *world.ca.validity.lock().unwrap() = 90 * SECOND;
    world.add("a.test");
    world.start();
    world.pass(HOUR).await;
    assert!(world.ca.asked() <= 62, "{}", world.ca.asked());
    assert!(world.ca.asked() >= 55, "{}", world.ca.asked());
}

#[tokio::test(start_paused = true)]
async fn caches_delay_a_renewal_to_three_quarters_at_most() {
    let world = World::new();
    *world.ca.max_age.lock().unwrap() = Some(30 * DAY);
    world.add("a.test");
    world.start();
    world.pass(2 * DAY + 12 * HOUR).await;
    assert_eq!(world.ca.asked(), 1);
    world.pass(13 * HOUR).await;
    assert_eq!(world.ca.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_moves_or_comes_back_is_renewed_as_before() {
    let world = World::new();
    let issued = world.ca.issue(Ca::profile("a.test"));
    world.list.put("one", &with_issuer(&issued, &world.ca));
    let inventory = world.start();
    world.pass(HOUR).await;
    // The certificate is renamed: one scan finds it missing in one place and present in another.
    world.list.rename("one", "two");
    world.pass(SECOND).await;
    assert_eq!(world.server.serves.lock().unwrap()["a.test"].2, ["two"]);
    world.pass(3 * DAY).await;
    assert!(world.ca.asked() >= 2, "renewed after the move");
    // The certificate is removed, and restored before the server could withdraw the staple.
    world.server.broken.store(true, Ordering::SeqCst);
    world.list.remove("two");
    world.pass(SECOND).await;
    world.list.put("three", &with_issuer(&issued, &world.ca));
    world.server.broken.store(false, Ordering::SeqCst);
    world.pass(10 * DAY).await;
    let (_, expires, _) = world.server.serves.lock().unwrap()["a.test"].clone();
    assert!(expires > world.now() + DAY, "renewed after the return");
    assert_eq!(inventory.certificates().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_older_undoes_a_revocation() {
    let world = World::new();
    let issued = world.add("a.test");
    let inventory = world.start();
    world.pass(MINUTE).await;
    let before = world.server.response_of("a.test");
    world.ca.set(Mood::Revoked);
    world.pass(2 * DAY).await;
    let revoked = || matches!(inventory.certificates()[0].standing, Standing::Revoked { .. });
    assert!(revoked());
    // A server still has the response from before, and the certificate has a second place.
    *world.server.keeps.lock().unwrap() = before.clone();
    world.list.put("copy", &with_issuer(&issued, &world.ca));
    world.pass(MINUTE).await;
    assert!(revoked());
    // A cache still has the response.
    *world.ca.replay.lock().unwrap() = before;
    world.pass(36 * HOUR).await;
    assert!(revoked());
    assert!(world.record.codes("renewal_failed").iter().any(|code| code == "superseded"));
    assert!(world.server.response_of("a.test").is_none());
    *world.ca.replay.lock().unwrap() = None;
    world.ca.set(Mood::Good);
    world.pass(DAY).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_strands_nothing() {
    let world = World::with_jumps();
    world.add("a.test");
    world.ca.set(Mood::Down);
    let right = world.now();
    world.clock.set(right + 365 * DAY);
    world.start();
    world.pass(10 * MINUTE).await;
    world.clock.set(right + 10 * MINUTE);
    world.ca.set(Mood::Good);
    world.pass(2 * HOUR).await;
    assert!(world.server.response_of("a.test").is_some());
    // The clock is ahead of the certificate's own end while the certificate is renewed.
    let right = world.now();
    world.clock.set(right + 900 * DAY);
    world.pass(3 * HOUR).await;
    world.clock.set(right + 3 * HOUR);
    world.pass(2 * HOUR).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_fetched_as_an_issuer_is_taken_in_only_if_it_issued() {
    let world = World::new();
    let url = "http://ca.test/ca.crt";
    let issued = world.ca.issue(Ca::profile("a.test").ca_issuers_url(url));
    world.list.put("a.test", &issued.certificate_pem());
    // Forty certificates of the right name that did not issue the certificate.
    let forged: String =
        (0..40).map(|_| stapled_ca::Authority::root("Simulated CA").create().unwrap().certificate_pem()).collect();
    world.ca.issuers.lock().unwrap().insert(url.to_owned(), forged.into_bytes());
    world.start();
    world.pass(SECOND).await;
    assert_eq!(world.record.codes("issuer_fetch_failed"), ["wrong_issuer"]);
    assert_eq!(world.record.count("issuer_fetched"), 0);
    world.ca.issuers.lock().unwrap().insert(url.to_owned(), world.ca.authority.certificate().to_vec());
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

/// The answer of a caIssuers URL may be a certs-only CMS message.
#[tokio::test(start_paused = true)]
async fn an_issuer_may_come_in_a_message() {
    let element = |tag: u8, contents: &[u8]| {
        let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
        let header = if contents.len() < 128 { vec![tag, length[1]] } else { vec![tag, 0x82, length[0], length[1]] };
        [header, contents.to_vec()].concat()
    };
    let world = World::new();
    let url = "http://ca.test/ca.p7c";
    let issued = world.ca.issue(Ca::profile("a.test").ca_issuers_url(url));
    world.list.put("a.test", &issued.certificate_pem());
    let certificates = element(0xa0, world.ca.authority.certificate());
    let contents = b"\x02\x01\x01\x31\x00\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    let signed_data = element(0x30, &[contents, &certificates[..], b"\x31\x00"].concat());
    let kind = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    let message = element(0x30, &[&kind[..], &element(0xa0, &signed_data)].concat());
    world.ca.issuers.lock().unwrap().insert(url.to_owned(), message);
    world.start();
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_in_a_later_file_is_no_trouble() {
    let world = World::new();
    for number in 0..50 {
        let issued = world.ca.issue(Ca::profile(&format!("{number}.test")));
        world.list.put(&format!("{number}.test"), &issued.certificate_pem());
    }
    world.list.put("zzz", &world.ca.authority.certificate_pem());
    world.start();
    world.pass(SECOND).await;
    assert_eq!(world.server.serves.lock().unwrap().len(), 50);
    assert_eq!(world.record.codes("place_problem"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn one_pass_ends_even_when_it_takes_longer_than_the_pause_before_a_second_try() {
    let world = World::new();
    world.ca.set(Mood::Hang);
    for number in 0..40 {
        let profile = Ca::profile(&format!("{number}.test"));
        world.list.put(&number.to_string(), &with_issuer(&world.ca.issue(profile), &world.ca));
    }
    world.builder().per_responder(1).build().unwrap().run_once(std::future::pending()).await.unwrap();
    assert_eq!(world.record.count("renewal_failed"), 40, "each once");
}

#[tokio::test(start_paused = true)]
async fn one_pass_does_everything_once_and_ends() {
    let world = World::new();
    for number in 0..50 {
        world.add(&format!("{number}.test"));
    }
    let profile = Ca::profile("dead.test").ocsp_url("http://second.test/");
    let dead = world.ca.issue(profile);
    world.list.put("dead.test", &with_issuer(&dead, &world.ca));
    let inventory = world.builder().build().unwrap().run_once(std::future::pending()).await.unwrap();
    assert_eq!(world.server.serves.lock().unwrap().len(), 51);
    assert!(inventory.certificates().iter().all(|certificate| certificate.standing == Standing::Good));

    let world = World { server: Arc::new(Server::new(world.clock.clone())), record: Arc::default(), ..world };
    world.ca.set(Mood::Down);
    let asked = world.ca.asked();
    let inventory = world.builder().build().unwrap().run_once(std::future::pending()).await.unwrap();
    assert_eq!(world.record.count("renewal_failed"), 51, "each once");
    assert!(world.ca.asked() > asked);
    assert!(inventory.certificates().iter().all(|one| matches!(one.standing, Standing::Failing { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_stapler_ends_when_it_is_told_to() {
    let world = World::new();
    let hung = Arc::new(Server::new(world.clock.clone()));
    hung.hangs.store(true, Ordering::SeqCst);
    world.add("a.test");
    let stapler = world.builder().sink(Shared(hung)).build().unwrap();
    let began = tokio::time::Instant::now();
    stapler.run(tokio::time::sleep(MINUTE)).await;
    assert!(began.elapsed() <= MINUTE + 6 * SECOND);
}
