//! When the CA last gave a good answer, when each server last took a staple, and since when each state holds: across
//! renewals, across a reload, and across a restart where the kept staple tells. What the responders did lately.

use std::sync::atomic::Ordering;
use std::time::Duration;

use stapled_ca::Profile;
use stapled_core::inventory::standing::Standing;
use stapled_core::overview::Row;
use stapled_core::sink::Lost;

use crate::world::{Ca, DAY, HOUR, MINUTE, Mood, START, World, with_issuer};

/// Names, files, states, and since when each holds, of certificates, places and deliveries.
fn since(rows: &[Row]) -> Vec<String> {
    let delivery = |row: &Row| {
        let servers = row.servers.iter();
        servers.map(|one| format!("{:?} {:?} {:?}", one.state, one.since, one.last_delivery)).collect::<Vec<_>>()
    };
    let mut all: Vec<String> = rows
        .iter()
        .map(|row| format!("{:?} {} {} {:?} {:?}", row.files, row.state, row.since, row.last_renewal, delivery(row)))
        .collect();
    all.sort();
    all
}

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_and_the_last_delivery_are_recorded() {
    let world = World::new();
    world.add("a.test");
    let inventory = world.start();
    world.pass(HOUR).await;
    let first = inventory.certificates().remove(0);
    let renewed = first.renewed.expect("a renewal");
    assert!(renewed.since(START) < MINUTE && first.deliveries[0].delivered.expect("a delivery").since(START) < MINUTE);
    // The server loses its staples, and gets the same one again: a delivery, and no renewal.
    world.server.tell(Lost::Everything);
    world.pass(MINUTE).await;
    let second = inventory.certificates().remove(0);
    assert_eq!(second.renewed, Some(renewed));
    assert!(second.deliveries[0].delivered.expect("a delivery").since(START) >= HOUR, "{second:?}");
    // A renewal that fails is none; neither is an answer that says revoked.
    world.ca.set(Mood::Down);
    world.pass(2 * DAY).await;
    let third = inventory.certificates().remove(0);
    assert!(matches!(third.standing, Standing::Failing { .. }));
    assert_eq!((third.renewed, third.deliveries[0].delivered), (Some(renewed), second.deliveries[0].delivered));
    world.ca.set(Mood::Good);
    world.pass(DAY).await;
    let fourth = inventory.certificates().remove(0);
    assert!(fourth.renewed.expect("a renewal") > renewed + 2 * DAY, "{fourth:?}");
    assert!(fourth.deliveries[0].delivered > third.deliveries[0].delivered);
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_no_time() {
    let world = World::new();
    world.add("good.test");
    world.list.put("rubbish", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let lonely = world.ca.issue(Ca::profile("lonely.test"));
    let (stapler, stop, task) = {
        let stapler = world.builder().build().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let inventory = stapler.inventory();
        (inventory, stop, tokio::spawn(stapler.run(async move { drop(stopped.await) })))
    };
    world.pass(HOUR).await;
    world.ca.set(Mood::Down);
    world.list.put("failing", &with_issuer(&lonely, &world.ca));
    world.pass(MINUTE).await;
    // The good one is renewed in vain, and keeps its staple.
    world.pass(3 * DAY).await;
    let before = since(&Row::all(&stapler));
    assert!(before.iter().filter(|row| row.contains(" failed ")).count() == 2, "{before:?}");
    drop(stop);
    task.await.unwrap();
    let next = world.builder().build().unwrap();
    next.inherit(&stapler);
    let inventory = next.inventory();
    tokio::spawn(next.run(std::future::pending()));
    world.pass(2 * MINUTE).await;
    assert_eq!(since(&Row::all(&inventory)), before);
}

#[tokio::test(start_paused = true)]
async fn a_kept_staple_says_since_when_the_certificate_is_good() {
    let world = World::new();
    *world.ca.age.lock().unwrap() = HOUR;
    let issued = world.add("a.test");
    let inventory = world.start();
    world.pass(MINUTE).await;
    let made = inventory.certificates().remove(0).staple.expect("a staple");
    // Another process, later: the server has kept the staple.
    world.pass(2 * HOUR).await;
    *world.server.keeps.lock().unwrap() = Some(made.response().clone());
    let asked = world.ca.asked.load(Ordering::SeqCst);
    let other = World::with_clock(stapled_core::clock::simulated::SimulatedClock::starting_at(world.now()));
    *other.server.keeps.lock().unwrap() = Some(made.response().clone());
    other.list.put("a.test", &with_issuer(&issued, &world.ca));
    let again = other.start();
    other.pass(Duration::from_secs(5)).await;
    let status = again.certificates().remove(0);
    assert_eq!(world.ca.asked.load(Ordering::SeqCst), asked);
    assert_eq!((status.since, status.renewed), (made.this_update(), Some(made.this_update())), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn responders_have_state_latency_waiting_certificates_and_the_last_error() {
    let world = World::new();
    world.ca.moods.lock().unwrap().insert("http://down.test/".to_owned(), Mood::Down);
    world.ca.moods.lock().unwrap().insert("http://slow.test/".to_owned(), Mood::Slow);
    for (number, host) in (0..30).map(|number| (number, if number < 20 { "down" } else { "slow" })) {
        let profile = Profile::server("x.test")
            .valid_between(START.unix() - 86_400, START.unix() + 800 * 86_400)
            .ocsp_url(format!("http://{host}.test/"));
        world.list.put(&format!("{number}"), &with_issuer(&world.ca.issue(profile), &world.ca));
    }
    let handle = world.run_with_handle(world.builder());
    world.pass(5 * MINUTE).await;
    let statuses = handle.responders().await.unwrap();
    let [down, slow] = statuses.as_slice() else { panic!("{statuses:?}") };
    assert_eq!((down.host.as_str(), down.certificates), ("down.test:80", 20));
    assert!(down.left_alone_until.is_some() && down.failures >= 8 && down.waiting >= 10, "{down:?}");
    assert!(down.last_success.is_none(), "{down:?}");
    assert_eq!(down.last_error.as_ref().unwrap().code.as_str(), "connect_failed");
    assert_eq!((slow.host.as_str(), slow.certificates), ("slow.test:80", 10));
    assert!(slow.left_alone_until.is_none() && slow.last_error.is_none() && slow.last_success.is_some(), "{slow:?}");
    assert_eq!((slow.last_took, slow.waiting, slow.under_way), (Some(Duration::from_secs(5)), 0, 0), "{slow:?}");
}
