//! Tests of the faults that the simulation found, each on its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use stapled_core::inventory::standing::Standing;
use stapled_core::sink::Withdrawal;

use crate::world::{Ca, DAY, HOUR, List, MINUTE, Mood, Server, Shared, World, with_issuer};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_scanned_again() {
    let world = World::new();
    world.list.panics.store(true, Ordering::SeqCst);
    world.add("a.test");
    world.start();
    world.pass(2 * MINUTE).await;
    assert!(world.record.count("internal") >= 2);
    world.list.panics.store(false, Ordering::SeqCst);
    world.pass(2 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

/// The file system of a directory, or a HAProxy, may never answer.
#[tokio::test(start_paused = true)]
async fn a_scan_that_hangs_is_told_once_and_costs_no_certificate() {
    let world = World::new();
    world.add("a.test");
    let handle = world.run_with_handle(world.builder().rescan_interval(MINUTE));
    handle.ready().await.unwrap();
    world.list.hangs.send_replace(true);
    world.add("b.test");
    world.pass(HOUR).await;
    assert_eq!(world.record.codes("source_problem"), ["scan_timeout"]);
    assert_eq!(handle.inventory().certificates().len(), 1);
    assert_eq!(handle.inventory().source_problems().len(), 1);
    // It is not scanned a second time meanwhile.
    assert_eq!(world.list.hangs.receiver_count(), 1);
    let asked = world.ca.asked();
    world.pass(7 * DAY).await;
    assert!(world.ca.asked() > asked, "what is known is renewed");
    world.list.hangs.send_replace(false);
    world.pass(SECOND).await;
    assert!(world.server.response_of("b.test").is_some());
    assert_eq!(handle.inventory().source_problems().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_first_scan_that_hangs_delays_neither_other_sources_nor_the_end_of_a_pass() {
    let world = World::new();
    world.list.hangs.send_replace(true);
    let other = Arc::new(List::default());
    other.put("b.test", &with_issuer(&world.ca.issue(Ca::profile("b.test")), &world.ca));
    let builder = || world.builder().source(Shared(other.clone()));
    let inventory = builder().build().unwrap().run_once(std::future::pending()).await.unwrap();
    assert_eq!(world.record.codes("source_problem"), ["scan_timeout"]);
    assert_eq!((inventory.certificates().len(), inventory.source_problems().len()), (1, 1));
    assert!(world.server.response_of("b.test").is_some());

    let handle = world.run_with_handle(builder());
    world.pass(SECOND).await;
    assert!(!handle.has_scanned() && world.server.response_of("b.test").is_some());
    handle.ready().await.unwrap();
    assert!(handle.has_scanned());
}

#[tokio::test(start_paused = true)]
async fn a_sink_whose_listening_panicked_is_listened_to_again() {
    let world = World::new();
    world.add("a.test");
    world.start();
    world.pass(SECOND).await;
    world.server.listening_panics.store(true, Ordering::SeqCst);
    world.server.restart();
    world.pass(SECOND).await;
    assert_eq!(world.record.count("internal"), 1);
    world.server.listening_panics.store(false, Ordering::SeqCst);
    world.pass(MINUTE).await;
    world.server.restart();
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_goes_while_one_of_its_servers_is_slow_is_taken_back_from_both() {
    let world = World::new();
    let slow = Arc::new(Server::new(world.clock.clone()));
    slow.slow.store(true, Ordering::SeqCst);
    world.add("a.test");
    let inventory = world.run(world.builder().sink(Shared(slow.clone())));
    world.pass(SECOND).await;
    // The staple is on its way to one server, and in service at the other.
    world.list.remove("a.test");
    world.pass(MINUTE).await;
    assert!(world.server.response_of("a.test").is_none());
    assert!(slow.response_of("a.test").is_none());
    assert!(inventory.certificates().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_staple_whose_delivery_was_never_confirmed_is_taken_back_at_its_end() {
    let world = World::new();
    world.server.is_mute.store(true, Ordering::SeqCst);
    world.add("a.test");
    world.start();
    world.pass(MINUTE / 2).await;
    assert!(world.server.response_of("a.test").is_some());
    world.ca.set(Mood::Down);
    world.pass(4 * DAY - HOUR).await;
    world.server.broken.store(true, Ordering::SeqCst);
    world.pass(2 * HOUR).await;
    world.server.is_mute.store(false, Ordering::SeqCst);
    world.server.broken.store(false, Ordering::SeqCst);
    world.pass(80 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_of_which_nobody_knows_the_end_is_followed_by_a_delivery() {
    let world = World::with_jumps();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    let right = world.now();
    world.server.is_mute.store(true, Ordering::SeqCst);
    world.ca.set(Mood::Down);
    world.clock.set(right + 30 * DAY);
    world.pass(31 * SECOND).await;
    assert!(world.server.response_of("a.test").is_none());
    // The clock is corrected: the held staple is good again, and the server had confirmed it once.
    world.clock.set(right + 31 * SECOND);
    world.server.is_mute.store(false, Ordering::SeqCst);
    world.ca.set(Mood::Good);
    world.pass(80 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_right_again_before_everybody_noticed_costs_no_staple() {
    let world = World::with_jumps();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    let right = world.now();
    world.ca.set(Mood::Down);
    world.clock.set(right + 30 * DAY);
    // The number of stages that have read the clock by now does not matter.
    world.pass(17 * SECOND).await;
    world.clock.set(right + 17 * SECOND);
    world.ca.set(Mood::Good);
    world.pass(80 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_staple_that_its_certificate_has_outlived_by_mistake_ends_without_a_loop() {
    let world = World::with_jumps();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    let right = world.now();
    // By the clock, the certificate has expired, and the server cannot be reached.
    world.server.broken.store(true, Ordering::SeqCst);
    world.clock.set(right + 900 * DAY);
    world.pass(MINUTE).await;
    world.clock.set(right + MINUTE);
    world.ca.set(Mood::Down);
    world.pass(DAY).await;
    world.server.broken.store(false, Ordering::SeqCst);
    world.pass(4 * DAY).await;
    assert!(world.server.response_of("a.test").is_none(), "over, and nothing to replace it");
    world.ca.set(Mood::Good);
    world.pass(80 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_touched_hastens_nothing() {
    let world = World::new();
    let issued = world.add("a.test");
    world.ca.set(Mood::Wait);
    world.start();
    for _ in 0..9 {
        world.pass(MINUTE).await;
        world.list.put("a.test", &with_issuer(&issued, &world.ca));
        world.list.put("copy", &with_issuer(&issued, &world.ca));
    }
    // Four questions, by both methods and both hashes, once each: the later answers name a pause.
    assert_eq!(world.ca.asked(), 4);
    world.pass(5 * MINUTE).await;
    assert_eq!(world.ca.asked(), 8);
    world.ca.set(Mood::Good);
    world.pass(80 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_nearly_over_displaces_nothing_that_lasts() {
    let world = World::new();
    world.add("a.test");
    world.start();
    world.pass(MINUTE).await;
    let held = world.server.response_of("a.test");
    *world.ca.validity.lock().unwrap() = SECOND;
    world.pass(2 * DAY).await;
    assert!(world.ca.asked() >= 2);
    assert_eq!(world.server.response_of("a.test"), held);
    assert!(world.server.withdrawals.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_was_revoked_on_its_way_out_is_no_certificate_any_more() {
    let world = World::new();
    world.add("a.test");
    let inventory = world.start();
    world.pass(MINUTE).await;
    // The question about the certificate is open when its file is removed, and its server cannot be reached.
    world.ca.set(Mood::Hang);
    world.pass(2 * DAY).await;
    world.server.broken.store(true, Ordering::SeqCst);
    world.list.remove("a.test");
    world.ca.set(Mood::Revoked);
    world.pass(2 * HOUR).await;
    assert!(inventory.certificates().iter().all(|certificate| certificate.standing == Standing::Retired));
    world.server.broken.store(false, Ordering::SeqCst);
    world.pass(80 * MINUTE).await;
    assert!(inventory.certificates().is_empty());
    assert_eq!(world.server.withdrawals.lock().unwrap().last().unwrap().1, Withdrawal::Retired);
}

#[tokio::test(start_paused = true)]
async fn the_second_url_is_asked_even_if_the_first_brings_out_a_bug() {
    let world = World::new();
    let profile = Ca::profile("a.test").ocsp_url("http://second.test/");
    world.list.put("a.test", &with_issuer(&world.ca.issue(profile), &world.ca));
    world.ca.moods.lock().unwrap().insert("http://ocsp.test/".to_owned(), Mood::Panic);
    world.start();
    world.pass(SECOND).await;
    assert!(world.server.response_of("a.test").is_some());
    assert!(world.record.count("internal") >= 1);
}
