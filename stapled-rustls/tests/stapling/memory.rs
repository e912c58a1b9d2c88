//! Tests of what the resolver adds to a key, without a network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use stapled_ca::Profile;
use stapled_core::clock::simulated::SimulatedClock;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::sink::{Site, StapleSink, Withdrawal};
use stapled_core::source::CertSource;
use stapled_rustls::Stapling;
use stapled_tests::{World, chain, now};

use crate::support::key_of;

const MINUTE: Duration = Duration::from_secs(60);

/// A resolver that is never asked.
#[derive(Debug)]
struct Nobody;

impl ResolvesServerCert for Nobody {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn stapling(clock: Arc<dyn Clock>) -> Stapling {
    Stapling::new(Arc::new(Nobody)).clock(clock)
}

#[tokio::test(start_paused = true)]
async fn a_staple_that_is_over_by_either_clock_is_not_sent() {
    let world = World::new();
    let cert = world.cert("a.test", "http://ocsp.test/");
    let key = key_of(&cert.issued);
    let start = SystemClock.now();
    let clock = Arc::new(SimulatedClock::starting_at(start));
    let stapling = stapling(clock.clone());
    let staple = world.staple(&cert, 3600);
    let is_stapled = || stapling.staple(Arc::clone(&key)).ocsp.is_some();

    stapling.deliver(&staple, &[]).await.unwrap();
    assert!(is_stapled());
    clock.set(start + 61 * MINUTE);
    assert!(!is_stapled(), "by the wall clock");
    clock.set(start);
    assert!(is_stapled());
    tokio::time::advance(59 * MINUTE).await;
    assert!(is_stapled());
    tokio::time::advance(2 * MINUTE).await;
    clock.set(start);
    assert!(!is_stapled(), "the wall clock was set back");
    // The stapler has ended: nothing withdraws the staple.
    stapling.deliver(&staple, &[]).await.unwrap();
    assert!(is_stapled(), "delivered again by a stapler that judges the wall clock right");
}

#[tokio::test]
async fn a_staple_that_the_resolver_set_itself_is_not_sent() {
    let world = World::new();
    let cert = world.cert("a.test", "http://ocsp.test/");
    let stapling = stapling(Arc::new(SystemClock));
    let key =
        CertifiedKey { ocsp: Some(b"nobody verified this".to_vec()), ..CertifiedKey::clone(&key_of(&cert.issued)) };
    let key = Arc::new(key);
    assert_eq!(stapling.staple(Arc::clone(&key)).ocsp, None);
    let staple = world.staple(&cert, 3600);
    stapling.deliver(&staple, &[]).await.unwrap();
    assert_eq!(stapling.staple(key).ocsp.as_deref(), Some(staple.response().as_ref()));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_used_any_more_is_not_asked_about() {
    let world = World::new();
    let clock = Arc::new(SimulatedClock::starting_at(SystemClock.now()));
    let stapling = stapling(clock);
    let keys = ["announced", "idle", "used", "forgotten"].map(|name| {
        let validity = (now() - 86_400, now() + 90 * 86_400);
        let profile = |profile: Profile| profile.ocsp_url("http://ocsp.test/").valid_between(validity.0, validity.1);
        let key = key_of(&world.cert_with(name, profile).issued);
        stapling.staple(Arc::clone(&key));
        key
    });
    stapling.announce(&keys[0]);
    stapling.forget(&keys[3]);
    let listed = async || stapling.scan().await.unwrap().sightings.len();
    assert_eq!(listed().await, 3);
    for _ in 0..8 {
        tokio::time::advance(24 * 60 * MINUTE).await;
        stapling.staple(Arc::clone(&keys[2]));
    }
    let mut names: Vec<String> =
        stapling.scan().await.unwrap().sightings.iter().map(|one| one.name.to_string()).collect();
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("announced-") && names[1].starts_with("used-"), "{names:?}");
    tokio::time::advance(90 * 24 * 60 * MINUTE).await;
    assert_eq!(listed().await, 0, "the certificates have expired");
}

#[tokio::test]
async fn what_another_source_found_is_stapled_and_forgotten_when_it_has_gone() {
    let world = World::new();
    let cert = world.cert("a.test", "http://ocsp.test/");
    let stapling = stapling(Arc::new(SystemClock));
    stapling.deliver(&world.staple(&cert, 3600), &[]).await.unwrap();
    assert!(stapling.scan().await.unwrap().sightings.is_empty(), "not a certificate of this source");
    let key = key_of(&cert.issued);
    assert!(stapling.is_ready(&key));
    stapling.withdraw(&chain(&cert.issued, &world.ca), &[], Withdrawal::Retired).await.unwrap();
    assert_eq!(stapling.staple(key).ocsp, None);
}

#[tokio::test]
async fn a_certificate_of_another_source_keeps_its_staple_when_the_server_forgets_it() {
    let world = World::new();
    let cert = world.cert("a.test", "http://ocsp.test/");
    let stapling = stapling(Arc::new(SystemClock));
    let key = key_of(&cert.issued);
    stapling.announce(&key);
    stapling.deliver(&world.staple(&cert, 3600), &[]).await.unwrap();
    stapling.forget(&key);
    assert!(stapling.scan().await.unwrap().sightings.is_empty());
    // The other source has it still: no staple is delivered or withdrawn.
    assert!(stapling.staple(Arc::clone(&key)).ocsp.is_some());
    stapling.withdraw(&chain(&cert.issued, &world.ca), &[], Withdrawal::Retired).await.unwrap();
    assert_eq!(stapling.staple(Arc::clone(&key)).ocsp, None);
    assert_eq!(stapling.scan().await.unwrap().sightings.len(), 1, "learnt again from this handshake");
}

#[tokio::test]
async fn a_staple_stays_until_all_sites_of_its_certificate_are_gone() {
    let world = World::new();
    let cert = world.cert("a.test", "http://ocsp.test/");
    let stapling = stapling(Arc::new(SystemClock));
    let sites = [Site::named("a file"), Site::named("a row")];
    stapling.deliver(&world.staple(&cert, 3600), &sites).await.unwrap();
    let (chain, key) = (chain(&cert.issued, &world.ca), key_of(&cert.issued));
    assert!(stapling.staple(Arc::clone(&key)).ocsp.is_some());
    stapling.withdraw(&chain, &sites[..1], Withdrawal::Retired).await.unwrap();
    assert!(stapling.staple(Arc::clone(&key)).ocsp.is_some());
    stapling.withdraw(&chain, &sites[1..], Withdrawal::Retired).await.unwrap();
    assert!(stapling.staple(Arc::clone(&key)).ocsp.is_none());
    stapling.deliver(&world.staple(&cert, 3600), &sites).await.unwrap();
    stapling.withdraw(&chain, &sites[..1], Withdrawal::Revoked).await.unwrap();
    assert!(stapling.staple(key).ocsp.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_announced_certificate_survives_a_wrong_clock() {
    let world = World::new();
    let start = SystemClock.now();
    let clock = Arc::new(SimulatedClock::starting_at(start));
    let stapling = stapling(clock.clone());
    stapling.announce(&key_of(&world.cert("a.test", "http://ocsp.test/").issued));
    clock.set(start + 10 * 365 * 24 * 60 * MINUTE);
    stapling.scan().await.unwrap();
    clock.set(start);
    assert_eq!(stapling.scan().await.unwrap().sightings.len(), 1);
}

#[tokio::test]
async fn ready_waits_for_the_staple_of_a_must_staple_certificate() {
    let world = World::new();
    let cert = world.cert_with("a.test", |profile| profile.ocsp_url("http://ocsp.test/").must_staple(true));
    let stapling = stapling(Arc::new(SystemClock));
    let key = key_of(&cert.issued);
    stapling.ready(&key_of(&world.cert("b.test", "http://ocsp.test/").issued)).await;
    stapling.announce(&key);
    let mut ready = std::pin::pin!(stapling.ready(&key));
    assert!(poll_once(ready.as_mut()).await.is_pending());
    stapling.deliver(&world.staple(&cert, 3600), &[]).await.unwrap();
    assert!(poll_once(ready.as_mut()).await.is_ready());
}

/// Polls a future once.
async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context))).await
}

/// Whatever happens at the same time, a certificate never gets the staple of another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn handshakes_deliveries_and_changes_at_once() {
    let world = World::new();
    let certs: Vec<_> = (0..4).map(|number| world.cert(&format!("{number}.test"), "http://ocsp.test/")).collect();
    let staples: Vec<_> = certs.iter().map(|cert| world.staple(cert, 3600)).collect();
    let stapling = Arc::new(stapling(Arc::new(SystemClock)));
    let ended = Arc::new(AtomicBool::new(false));
    let handshakes: Vec<_> = certs
        .iter()
        .zip(&staples)
        .map(|(cert, staple)| {
            let (stapling, ended) = (Arc::clone(&stapling), Arc::clone(&ended));
            let (key, response) = (key_of(&cert.issued), staple.response().to_vec());
            tokio::task::spawn_blocking(move || {
                let mut stapled = 0;
                while !ended.load(Ordering::SeqCst) || stapled == 0 {
                    let sent = stapling.staple(Arc::clone(&key));
                    assert_eq!(sent.cert, key.cert);
                    if let Some(sent) = &sent.ocsp {
                        assert_eq!(sent, &response);
                        stapled += 1;
                    }
                }
                stapled
            })
        })
        .collect();
    for round in 0..2_000 {
        let number = round % certs.len();
        stapling.deliver(&staples[number], &[]).await.unwrap();
        stapling.withdraw(staples[(number + 1) % certs.len()].chain(), &[], Withdrawal::Expiring).await.unwrap();
        if round % 10 == 0 {
            stapling.forget(&key_of(&certs[number].issued));
            stapling.scan().await.unwrap();
        }
    }
    for staple in &staples {
        stapling.deliver(staple, &[]).await.unwrap();
    }
    ended.store(true, Ordering::SeqCst);
    for handshake in handshakes {
        assert!(handshake.await.unwrap() > 0);
    }
}
