//! Fetchers that share answers through a real redis-server.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ca;
mod failures;
mod places;
mod poison;

use std::sync::Arc;
use std::time::Duration;

use ca::{Ca, Mood};
use futures_util::future::join_all;
use stapled_core::fetch::OcspFetcher;
use stapled_redis::SharedFetcher;
use stapled_tests::Redis;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A process of a fleet: it has connections of its own.
fn process(redis: &Redis, ca: &Arc<Ca>) -> SharedFetcher<Arc<Ca>> {
    SharedFetcher::new(Arc::clone(ca), &redis.address().parse().unwrap())
}

#[tokio::test]
async fn of_fifty_processes_one_asks() {
    let (redis, ca) = (Redis::start(), Ca::new());
    let processes: Vec<_> = (0..50).map(|_| process(&redis, &ca)).collect();
    let answers = join_all(processes.iter().map(|process| ca.ask(process, None))).await;
    assert_eq!(ca.asked(), 1);
    let first = answers[0].as_ref().unwrap().body.clone();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().body == first));
}

#[tokio::test]
async fn processes_with_another_prefix_or_certificate_share_nothing() {
    let (redis, ca, other) = (Redis::start(), Ca::new(), Ca::new());
    ca.ask(&process(&redis, &ca), None).await.unwrap();
    ca.ask(&process(&redis, &ca).prefix("others"), None).await.unwrap();
    other.ask(&process(&redis, &other), None).await.unwrap();
    assert_eq!((ca.asked(), other.asked()), (2, 1));
}

#[tokio::test]
async fn an_answer_is_taken_while_it_is_younger_than_the_question_allows() {
    let (redis, ca) = (Redis::start(), Ca::new());
    let (first, second) = (process(&redis, &ca), process(&redis, &ca));
    assert!(ca.ask(&first, Some(HOUR)).await.unwrap().age.is_zero());
    redis.advance(HOUR / 2);
    let taken = ca.ask(&second, Some(HOUR)).await.unwrap();
    assert!((HOUR / 2..HOUR / 2 + 20 * SECOND).contains(&taken.age), "{:?}", taken.age);
    assert_eq!(ca.asked(), 1);
    assert!(ca.ask(&second, Some(HOUR / 2)).await.unwrap().age.is_zero());
    assert_eq!(ca.asked(), 2);
    // The new answer has begun the interval again.
    assert!(ca.ask(&first, Some(HOUR / 2)).await.unwrap().age < 20 * SECOND);
    assert_eq!(ca.asked(), 2);
}

#[tokio::test]
async fn a_question_that_allows_no_age_asks_and_its_answer_is_shared() {
    let (redis, ca) = (Redis::start(), Ca::new());
    let (first, second) = (process(&redis, &ca), process(&redis, &ca));
    ca.ask(&first, None).await.unwrap();
    let fresh = ca.ask(&second, Some(Duration::ZERO)).await.unwrap();
    assert_eq!(ca.asked(), 2);
    assert_eq!(ca.ask(&first, None).await.unwrap().body, fresh.body);
    assert_eq!(ca.asked(), 2);
}

#[tokio::test]
async fn caches_count_from_the_question_on() {
    let (redis, ca) = (Redis::start(), Ca::new());
    ca.set_max_age(HOUR);
    ca.ask(&process(&redis, &ca), None).await.unwrap();
    redis.advance(HOUR / 4);
    let left = ca.ask(&process(&redis, &ca), None).await.unwrap().max_age.unwrap();
    assert!((HOUR * 3 / 4 - 20 * SECOND..=HOUR * 3 / 4).contains(&left), "{left:?}");
}

#[tokio::test]
async fn when_the_process_that_asks_dies_another_one_asks() {
    let (redis, ca) = (Redis::start(), Ca::new());
    ca.set(Mood::Hangs);
    let (dying, waiting) = (process(&redis, &ca), process(&redis, &ca));
    let death = {
        let ca = Arc::clone(&ca);
        tokio::spawn(async move { ca.ask(&dying, None).await })
    };
    ca.until_asked(1).await;
    let answer = {
        let ca = Arc::clone(&ca);
        tokio::spawn(async move { ca.ask(&waiting, None).await })
    };
    death.abort();
    ca.set(Mood::Good);
    redis.advance(4 * SECOND);
    answer.await.unwrap().unwrap();
    assert_eq!(ca.asked(), 2);
}

#[tokio::test]
async fn a_process_that_asks_for_long_keeps_the_lease() {
    let (redis, ca) = (Redis::start(), Ca::new());
    ca.set(Mood::Hangs);
    let (slow, waiting) = (process(&redis, &ca), process(&redis, &ca));
    let mut slow = {
        let ca = Arc::clone(&ca);
        tokio::spawn(async move { ca.ask(&slow, None).await })
    };
    ca.until_asked(1).await;
    let mut waits = Box::pin(ca.ask(&waiting, None));
    // Longer than a lease lasts by itself.
    assert!(tokio::time::timeout(4 * SECOND, &mut waits).await.is_err());
    assert!(tokio::time::timeout(SECOND / 100, &mut slow).await.is_err());
    assert_eq!(ca.asked(), 1);
    ca.go_on();
    let (first, second) = (slow.await.unwrap().unwrap(), waits.await.unwrap());
    assert_eq!((ca.asked(), first.body), (1, second.body));
}

#[tokio::test]
async fn a_process_does_not_wait_for_ever_for_another_one() {
    let (redis, ca) = (Redis::start(), Ca::new());
    ca.set(Mood::Hangs);
    let slow = process(&redis, &ca);
    let hanging = {
        let ca = Arc::clone(&ca);
        tokio::spawn(async move { ca.ask(&slow, None).await })
    };
    ca.until_asked(1).await;
    ca.set(Mood::Good);
    ca.ask(&process(&redis, &ca).patience(SECOND / 10), None).await.unwrap();
    assert_eq!(ca.asked(), 2);
    hanging.abort();
}

#[tokio::test]
async fn after_a_question_in_vain_the_next_process_asks_at_once() {
    let (redis, ca) = (Redis::start(), Ca::new());
    for mood in [Mood::Refuses, Mood::Garbage, Mood::Unknown] {
        ca.set(mood);
        let before = ca.asked();
        drop(ca.ask(&process(&redis, &ca), None).await);
        drop(ca.ask(&process(&redis, &ca), None).await);
        assert_eq!(ca.asked() - before, 2, "{mood:?}");
    }
    ca.set(Mood::Good);
    ca.ask(&process(&redis, &ca), None).await.unwrap();
}

#[tokio::test]
async fn a_revocation_that_one_process_saw_is_not_hidden_by_an_older_answer() {
    let (redis, ca) = (Redis::start(), Ca::new());
    let (first, second) = (process(&redis, &ca), process(&redis, &ca));
    ca.ask(&first, None).await.unwrap();
    ca.set(Mood::Revoked);
    let revoked = ca.ask(&first, Some(Duration::ZERO)).await.unwrap();
    // A server of the CA is behind: its answer is from a minute earlier.
    ca.set(Mood::GoodFromBefore);
    for max_age in [None, Some(Duration::ZERO)] {
        let before = ca.asked();
        assert_eq!(ca.ask(&second, max_age).await.unwrap().body, revoked.body, "{max_age:?}");
        assert_eq!(ca.asked() - before, usize::from(max_age.is_some()));
    }
    // Only a newer answer ends it, as after a hold.
    ca.set(Mood::Good);
    redis.advance(HOUR);
    let good = ca.ask(&second, Some(HOUR)).await.unwrap();
    assert_ne!(good.body, revoked.body);
    assert_eq!(ca.ask(&first, Some(HOUR)).await.unwrap().body, good.body);
}

#[tokio::test]
async fn questions_with_a_nonce_are_not_shared() {
    let (redis, ca) = (Redis::start(), Ca::new());
    for _ in 0..2 {
        ca.ask_with_nonce(&process(&redis, &ca)).await.unwrap();
    }
    assert_eq!(ca.asked(), 2);
}

#[tokio::test]
async fn an_answer_is_kept_until_it_ends() {
    let (redis, ca) = (Redis::start(), Ca::new());
    let answer = ca.ask(&process(&redis, &ca), None).await.unwrap();
    let keys = redis.ask(&["KEYS", "stapled:answer:*"]);
    assert_eq!(keys.lines().count(), 1, "no lease is left: {keys}");
    let lasts: u64 = redis.ask(&["PTTL", &keys]).parse().unwrap();
    let validity = ca::VALIDITY.as_millis() as u64;
    assert!((validity - 60_000..=validity).contains(&lasts), "{lasts}");
    let memory: usize = redis.ask(&["MEMORY", "USAGE", &keys]).parse().unwrap();
    let around = memory - answer.body.unwrap().len();
    // Valkey takes less than Redis.
    assert!((200..=500).contains(&around), "docs/redis.md says 250 to 450 bytes, not {around}");
}

#[tokio::test]
async fn certificates_of_issuers_are_fetched_as_before() {
    let (redis, ca) = (Redis::start(), Ca::new());
    let issuer = process(&redis, &ca).fetch_issuer("http://ca.test/", 100).await.unwrap();
    assert_eq!(issuer.as_ref(), b"an issuer");
}
