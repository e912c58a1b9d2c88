//! Tests of the handle of a running stapler.

use super::*;
use stapled_core::overview::Row;
use stapled_core::overview::listing::Listing;
use stapled_core::stapler::handle::{Asked, Outcome};
use stapled_core::stapler::{HandleError, Selection};

async fn all(asked: &mut Asked) -> Vec<(String, Outcome)> {
    let mut told = Vec::new();
    while let Some(renewed) = asked.next().await.unwrap() {
        told.push((renewed.about.name.clone(), renewed.outcome));
    }
    told.sort_by(|one, other| one.0.cmp(&other.0));
    told
}

/// The next outcome, well before the retry of a server.
async fn in_time(asked: &mut Asked) -> Outcome {
    let next = tokio::time::timeout(5 * SECOND, asked.next()).await;
    next.expect("an outcome in time").unwrap().unwrap().outcome
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_a_certificate_without_a_staple_is_told_at_once() {
    let world = World::new();
    world.add("a.test");
    world.ca.set(Mood::Down);
    let handle = world.run_with_handle(world.builder());
    handle.ready().await.unwrap();
    let mut asked = handle.renew(&Selection::All).await.unwrap();
    assert_eq!(in_time(&mut asked).await, Outcome::Failed);
    assert!(asked.next().await.unwrap().is_none());
    // The same for a revoked certificate about which the CA gives no answer now.
    world.ca.set(Mood::Revoked);
    assert_eq!(in_time(&mut handle.renew(&Selection::All).await.unwrap()).await, Outcome::Revoked);
    world.ca.set(Mood::Down);
    assert_eq!(in_time(&mut handle.renew(&Selection::All).await.unwrap()).await, Outcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_start_tells_how_many_certificates_were_tried() {
    let world = World::new();
    world.add("a.test");
    world.add("b.test");
    world.server.slow.store(true, Ordering::SeqCst);
    let handle = world.run_with_handle(world.builder());
    let mut told = Vec::new();
    handle.ready_with_progress(SECOND / 4, |line| told.push(line.to_owned())).await.unwrap();
    assert!(told.iter().any(|line| line == "0 of 2 certificates"), "{told:?}");
    assert!(told.iter().all(|line| !line.starts_with("2 of 2")), "{told:?}");
    told.clear();
    handle.ready_with_progress(SECOND / 4, |line| told.push(line.to_owned())).await.unwrap();
    assert_eq!(told, [""; 0], "everything was tried");
}

fn named(name: &str) -> Selection {
    Selection::Certificates(vec![name.to_owned()])
}

#[tokio::test(start_paused = true)]
async fn renewing_now_asks_at_once_and_tells_what_came_when_every_server_has_it() {
    let world = World::new();
    world.add("a.test");
    world.add("b.test");
    let handle = world.run_with_handle(world.builder());
    handle.ready().await.unwrap();
    assert_eq!(world.ca.asked(), 2);
    world.pass(MINUTE).await;
    world.server.slow.store(true, Ordering::SeqCst);
    let mut asked = handle.renew(&named("a.test")).await.unwrap();
    assert_eq!(asked.certificates().len(), 1);
    assert_eq!(all(&mut asked).await, [("a.test".to_owned(), Outcome::NewStaple)]);
    assert_eq!(world.ca.asked(), 3);
    assert_eq!(world.server.response_of("a.test"), world.ca.last.lock().unwrap().clone(), "its server has it by then");
    let (_, _, method) = world.ca.log.lock().unwrap().last().unwrap().clone();
    assert_eq!(method, Method::Post, "a cache could answer a GET");

    world.ca.set(Mood::Revoked);
    let mut asked = handle.renew(&Selection::All).await.unwrap();
    let revoked = ["a.test", "b.test"].map(|name| (name.to_owned(), Outcome::Revoked));
    assert_eq!(all(&mut asked).await, revoked);
    assert!(world.server.serves.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_came_is_told_whatever_it_is() {
    let world = World::new();
    world.add("a.test");
    let handle = world.run_with_handle(world.builder());
    handle.ready().await.unwrap();
    world.ca.set(Mood::Unauthorized);
    let mut asked = handle.renew(&Selection::All).await.unwrap();
    let failed = asked.next().await.unwrap().unwrap();
    assert_eq!(failed.outcome, Outcome::Failed);
    let status = failed.status.unwrap();
    assert!(matches!(status.standing, Standing::Failing { .. }));
    assert!(status.staple.is_some(), "a bad answer destroys no good staple");
    assert!(asked.next().await.unwrap().is_none());
    // The CA gives the same response again.
    world.ca.set(Mood::Good);
    let replay = world.ca.last.lock().unwrap().clone();
    let held = world.server.response_of("a.test");
    *world.ca.replay.lock().unwrap() = held;
    let mut asked = handle.renew(&Selection::All).await.unwrap();
    assert_eq!(all(&mut asked).await, [("a.test".to_owned(), Outcome::SameStaple)]);
    assert!(replay.is_some());
    // The failure of a server is reported, and the renewal does not wait for the server.
    *world.ca.replay.lock().unwrap() = None;
    world.server.broken.store(true, Ordering::SeqCst);
    world.pass(SECOND).await;
    let mut asked = handle.renew(&Selection::All).await.unwrap();
    let renewed = asked.next().await.unwrap().unwrap();
    assert_eq!(renewed.outcome, Outcome::NewStaple);
    assert!(matches!(renewed.status.unwrap().deliveries[0].state, DeliveryState::Failed { .. }));
    // A server without a staple does not hide the CA's failure.
    world.ca.set(Mood::Unauthorized);
    let mut asked = handle.renew(&Selection::All).await.unwrap();
    assert_eq!(in_time(&mut asked).await, Outcome::Failed);
    // A certificate that is removed meanwhile.
    world.ca.set(Mood::Slow);
    let mut asked = handle.renew(&Selection::All).await.unwrap();
    world.list.remove("a.test");
    assert_eq!(all(&mut asked).await, [("a.test".to_owned(), Outcome::Gone)]);
    assert!(handle.renew(&Selection::All).await.unwrap().certificates().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_under_way_does_not_count() {
    let world = World::new();
    world.add("a.test");
    world.ca.set(Mood::Slow);
    let handle = world.run_with_handle(world.builder());
    world.pass(SECOND).await;
    assert_eq!(world.ca.asked(), 1, "its first question is open");
    let mut asked = handle.renew(&Selection::All).await.unwrap();
    assert_eq!(all(&mut asked).await, [("a.test".to_owned(), Outcome::NewStaple)]);
    assert_eq!(world.ca.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_responder_that_is_left_alone_is_asked_all_the_same() {
    let world = World::new();
    for number in 0..12 {
        world.add(&format!("{number:02}.test"));
    }
    world.ca.set(Mood::Down);
    let handle = world.run_with_handle(world.builder());
    handle.ready().await.unwrap();
    world.ca.set(Mood::Good);
    let mut asked = handle.renew(&named("05.test")).await.unwrap();
    assert_eq!(all(&mut asked).await, [("05.test".to_owned(), Outcome::NewStaple)]);
}

#[tokio::test(start_paused = true)]
async fn certificates_are_selected_by_name_number_place_and_responder() {
    let world = World::new();
    let issued = world.add("a.test");
    let other = Profile::server("b.test")
        .key(stapled_ca::KeyType::EcdsaP256)
        .valid_between(START.unix() - 86_400, START.unix() + 800 * 86_400)
        .ocsp_url("http://other.test:8080/ocsp");
    world.list.put("b.test", &with_issuer(&world.ca.issue(other), &world.ca));
    let handle = world.run_with_handle(world.builder());
    handle.ready().await.unwrap();
    let names = async |selection: Selection| -> Vec<String> {
        let asked = handle.renew(&selection).await.unwrap();
        asked.certificates().iter().map(|about| about.name.clone()).collect()
    };
    let serial = handle.inventory().certificates()[0].about.serial.clone();
    assert!(!serial.is_empty() && issued.serial().to_string() != "");
    assert_eq!(names(Selection::All).await, ["a.test", "b.test"]);
    assert_eq!(names(named("b.test")).await, ["b.test"]);
    assert_eq!(names(named(&serial)).await, ["a.test"]);
    assert_eq!(names(named("c.test")).await, Vec::<String>::new());
    for responder in ["other.test", "OTHER.test:8080", "http://other.test:8080/whatever"] {
        assert_eq!(names(Selection::Responder(responder.to_owned())).await, ["b.test"], "{responder}");
    }
    for responder in ["other.test:80", "er.test", ""] {
        assert_eq!(names(Selection::Responder(responder.to_owned())).await, Vec::<String>::new(), "{responder}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_nobody_has_told_of_yet_is_found_when_it_is_named() {
    let world = World::new();
    world.add("a.test");
    let handle = world.run_with_handle(world.builder().rescan_interval(DAY));
    handle.ready().await.unwrap();
    world.list.is_silent.store(true, Ordering::SeqCst);
    world.add("b.test");
    world.pass(MINUTE).await;
    assert_eq!(handle.inventory().certificates().len(), 1);
    let mut asked = handle.renew(&named("b.test")).await.unwrap();
    assert_eq!(all(&mut asked).await.len(), 1);
    world.add("c.test");
    handle.rescan().await.unwrap();
    assert_eq!(handle.inventory().certificates().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn ready_is_when_everything_was_tried_once() {
    let world = World::new();
    world.add("a.test");
    world.add("b.test");
    world.list.put("rubbish", "-----BEGIN CERTIFICATE-----\nrubbish");
    world.ca.set(Mood::Slow);
    let handle = world.run_with_handle(world.builder());
    assert!(!handle.has_scanned());
    let early = tokio::time::timeout(4 * SECOND, handle.ready()).await;
    assert!(handle.has_scanned());
    assert!(early.is_err(), "its CA has not answered yet");
    handle.ready().await.unwrap();
    assert_eq!(world.server.serves.lock().unwrap().len(), 2);
    // Failures count too: readiness does not wait for a CA that is down.
    let world = World::new();
    world.add("a.test");
    world.ca.set(Mood::Down);
    let handle = world.run_with_handle(world.builder());
    handle.ready().await.unwrap();
    assert!(matches!(handle.inventory().certificates()[0].standing, Standing::Failing { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_stapler_that_has_ended_says_so() {
    let world = World::new();
    world.add("a.test");
    let stapler = world.builder().build().unwrap();
    let handle = stapler.handle();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.ready().await }
    });
    world.pass(SECOND).await;
    assert!(!waiting.is_finished(), "it may be started yet");
    drop(stapler);
    assert!(matches!(waiting.await.unwrap(), Err(HandleError::Ended)));

    let stapler = world.builder().build().unwrap();
    let handle = stapler.handle();
    world.ca.set(Mood::Hang);
    let running = tokio::spawn(stapler.run(tokio::time::sleep(2 * SECOND)));
    world.pass(SECOND).await;
    let mut asked = handle.renew(&Selection::All).await.unwrap();
    assert!(matches!(asked.next().await, Err(HandleError::Ended)));
    running.await.unwrap();
    for ended in [handle.rescan().await, handle.ready().await, handle.renew(&Selection::All).await.map(drop)] {
        assert!(matches!(ended, Err(HandleError::Ended)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_has_every_row_once_part_by_part() {
    let world = World::new();
    for number in 0..130 {
        world.add(&format!("{number}.test"));
    }
    let handle = world.run_with_handle(world.builder());
    handle.ready().await.unwrap();
    let parts: Vec<Vec<Row>> = Listing::of(handle.inventory(), None).collect();
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [128, 2]);
    let mut names: Vec<_> = parts.iter().flatten().filter_map(|row| row.certificate.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 130);
    let named = ["7.test".to_owned()];
    let rows: Vec<Row> = Listing::of(handle.inventory(), Some(&named)).flatten().collect();
    assert_eq!(rows.iter().map(|row| row.certificate.as_deref()).collect::<Vec<_>>(), [Some("7.test")]);
    assert_eq!(Listing::of_places(handle.inventory(), None).count(), 0, "every place has a certificate");
}
