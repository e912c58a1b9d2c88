//! Tests of one stapler after another, as after a change of settings: the second continues with the knowledge of the
//! first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use stapled_core::event::{Event, Severity};
use stapled_core::inventory::Inventory;
use stapled_core::inventory::standing::{DeliveryState, Standing};
use stapled_core::overview::{Row, Verdict};
use stapled_core::reason::ReasonCode;
use stapled_core::sink::{Delivered, SinkError, Site, StapleSink};
use stapled_core::staple::Staple;
use stapled_core::stapler::StaplerBuilder;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::world::{Ca, DAY, HOUR, MINUTE, Mood, World, with_issuer};

const SECOND: Duration = Duration::from_secs(1);

struct Running {
    inventory: Arc<Inventory>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn start(builder: StaplerBuilder, after: Option<&Inventory>) -> Running {
    let stapler = builder.build().unwrap();
    if let Some(after) = after {
        stapler.inherit(after);
    }
    let inventory = stapler.inventory();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(stapler.run(async {
        let _ = stopped.await;
    }));
    Running { inventory, stop, task }
}

impl Running {
    async fn stop(self) -> Arc<Inventory> {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        self.inventory
    }
}

#[tokio::test(start_paused = true)]
async fn a_successor_asks_nothing_that_is_known_and_renews_when_it_was_planned() {
    let world = World::new();
    for number in 0..50 {
        world.add(&format!("{number}.test"));
    }
    let first = start(world.builder(), None);
    world.pass(HOUR).await;
    let asked = world.ca.asked();
    let planned: Vec<_> = first.inventory.certificates().iter().map(|one| (one.next, one.since)).collect();
    let old = first.stop().await;
    // No files or other sources of kept responses: the memory is enough, whatever the setting for kept files.
    let second = start(world.builder().recycle(false), Some(&old));
    drop(old);
    world.pass(MINUTE).await;
    assert_eq!(world.ca.asked(), asked);
    let now: Vec<_> = second.inventory.certificates().iter().map(|one| (one.next, one.since)).collect();
    assert_eq!(now, planned);
    assert!(second.inventory.certificates().iter().all(|one| one.deliveries[0].state == DeliveryState::Confirmed));
    assert_eq!(world.server.withdrawals.lock().unwrap().len(), 0);
    // A third stapler takes over what the second has not even examined.
    let old = second.stop().await;
    let between = world.builder().build().unwrap();
    between.inherit(&old);
    let third = start(world.builder(), Some(&between.inventory()));
    world.pass(MINUTE).await;
    assert_eq!(world.ca.asked(), asked);
    world.pass(2 * DAY).await;
    assert_eq!(world.ca.asked(), 2 * asked, "renewed at half of its life");
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_keeps_what_ends_soon_and_takes_it_back_at_its_end() {
    let world = World::new();
    *world.ca.validity.lock().unwrap() = HOUR;
    world.add("a.test");
    let first = start(world.builder(), None);
    world.pass(MINUTE).await;
    world.ca.set(Mood::Down);
    world.pass(50 * MINUTE).await;
    let old = first.stop().await;
    let second = start(world.builder(), Some(&old));
    world.pass(MINUTE).await;
    let status = second.inventory.certificates().remove(0);
    assert!(matches!(status.standing, Standing::Failing { .. }) && status.staple.is_some(), "{status:?}");
    assert!(world.server.response_of("a.test").is_some());
    world.pass(10 * MINUTE).await;
    assert!(world.server.response_of("a.test").is_none(), "served beyond its end");
}

#[tokio::test(start_paused = true)]
async fn a_successor_remembers_a_revocation_and_a_fetched_issuer() {
    let world = World::new();
    world.add("revoked.test");
    let url = "http://ca.test/issuer.der";
    let lonely = world.ca.issue(Ca::profile("lonely.test").ca_issuers_url(url));
    world.ca.issuers.lock().unwrap().insert(url.to_owned(), world.ca.authority.certificate().to_vec());
    let first = start(world.builder(), None);
    world.pass(MINUTE).await;
    let before = world.server.response_of("revoked.test").unwrap();
    world.ca.set(Mood::Revoked);
    world.pass(3 * DAY).await;
    // A certificate that is accepted because its issuer was fetched, or was in another file.
    world.ca.set(Mood::Good);
    *world.ca.replay.lock().unwrap() = Some(before);
    world.list.put("lonely", &lonely.certificate_pem());
    world.pass(MINUTE).await;
    assert_eq!(first.inventory.certificates().len(), 2);
    let old = first.stop().await;
    world.list.remove("revoked.test");
    world.ca.issuers.lock().unwrap().clear();
    let second = start(world.builder(), Some(&old));
    world.pass(MINUTE).await;
    assert_eq!(second.inventory.certificates().len(), 1, "the issuer is known");
    // The revoked certificate comes back later, and its CA's cache still has the earlier answer.
    let revoked = world.ca.issue(Ca::profile("other.test"));
    world.list.put("other", &with_issuer(&revoked, &world.ca));
    world.pass(MINUTE).await;
    let old = second.stop().await;
    let third = start(world.builder(), Some(&old));
    world.pass(HOUR).await;
    assert!(world.server.response_of("revoked.test").is_none());
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_stands_badly_says_since_when_and_until_when() {
    let world = World::new();
    world.server.broken.store(true, Ordering::SeqCst);
    world.add("a.test");
    world.list.put("rubbish", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let running = start(world.builder(), None);
    world.pass(SECOND).await;
    let began = world.now();
    world.pass(10 * MINUTE).await;
    let delivery = running.inventory.certificates().remove(0).deliveries.remove(0);
    assert!(matches!(delivery.state, DeliveryState::Failed { .. }));
    assert!(delivery.since <= began && delivery.again.is_some_and(|again| again > world.now()), "{delivery:?}");
    assert_eq!(delivery.served_until, None);
    let rubbish = running.inventory.places().into_iter().find(|place| &*place.name == "rubbish").unwrap();
    assert!(rubbish.since <= began && rubbish.again.is_some_and(|again| again > world.now()), "{rubbish:?}");
    world.server.broken.store(false, Ordering::SeqCst);
    world.pass(HOUR).await;
    let delivery = running.inventory.certificates().remove(0).deliveries.remove(0);
    assert!(delivery.since > began && delivery.again.is_none() && delivery.served_until.is_some(), "{delivery:?}");
}

#[tokio::test(start_paused = true)]
async fn a_must_staple_certificate_without_a_staple_is_an_outage() {
    let world = World::new();
    let issued = world.ca.issue(Ca::profile("must.test").must_staple(true));
    world.list.put("must", &with_issuer(&issued, &world.ca));
    world.add("may.test");
    let outages = |name: &str| -> Vec<&'static str> {
        let events = world.record.0.lock().unwrap();
        let of_name = |event: &&Event| event.certificate.as_ref().is_some_and(|about| about.name == name);
        events.iter().filter(of_name).filter(|event| event.is_outage()).map(|event| event.kind.name()).collect()
    };
    world.ca.set(Mood::Down);
    let running = start(world.builder(), None);
    world.pass(SECOND).await;
    assert_eq!(outages("must.test"), ["renewal_failed"]);
    world.ca.set(Mood::Good);
    world.server.broken.store(true, Ordering::SeqCst);
    world.pass(HOUR).await;
    assert_eq!(outages("must.test").last(), Some(&"delivery_failed"));
    world.server.broken.store(false, Ordering::SeqCst);
    world.pass(HOUR).await;
    let count = outages("must.test").len();
    // A failed renewal or delivery while a good staple is in service is not an outage.
    world.ca.set(Mood::Down);
    world.pass(3 * DAY).await;
    assert!(world.record.count("renewal_failed") > count);
    assert_eq!(outages("must.test").len(), count);
    world.pass(DAY).await;
    assert!(outages("must.test").contains(&"withdrawn"));
    assert_eq!(outages("may.test"), [""; 0]);
    running.stop().await;
}

/// A sink that keeps staples for the next start of a server, and cannot.
struct NoSpace;

#[async_trait]
impl StapleSink for NoSpace {
    async fn deliver(&self, _: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        Err(SinkError::refused(ReasonCode::new("disk_full"), "no space"))
    }

    fn name(&self) -> String {
        "kept".to_owned()
    }

    fn is_live(&self) -> bool {
        false
    }
}

/// A sink whose server does not use the certificate.
struct Unused;

#[async_trait]
impl StapleSink for Unused {
    async fn deliver(&self, _: &Staple, _: &[Site]) -> Result<Delivered, SinkError> {
        Ok(Delivered::not_wanted(ReasonCode::new("unused"), "not used"))
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_the_next_start_of_a_server_lacks_is_no_outage() {
    for (has_server, is_broken, expected) in
        [(true, false, false), (true, true, true), (false, false, true), (false, true, true)]
    {
        let world = World::new();
        let issued = world.ca.issue(Ca::profile("must.test").must_staple(true));
        world.list.put("must", &with_issuer(&issued, &world.ca));
        world.server.broken.store(is_broken, Ordering::SeqCst);
        let builder = match has_server {
            true => world.builder(),
            // Another server does not use the certificate.
            false => world.builder_without_server().sink(Unused),
        };
        let running = start(builder.sink(NoSpace), None);
        world.pass(HOUR).await;
        let (row, status) = (Row::all(&running.inventory).remove(0), running.inventory.certificates().remove(0));
        assert_eq!(row.outage, expected, "{has_server} {is_broken}: {row:?}");
        assert_eq!(row.verdict(), Verdict::Failed, "a delivery failed");
        let kept = status.deliveries.iter().find(|delivery| &*delivery.sink == "kept").unwrap();
        assert_eq!(kept.is_felt, !has_server);
        let events: Vec<Event> = world.record.0.lock().unwrap().clone();
        let failed = events.iter().filter(|event| event.kind.name() == "delivery_failed");
        for event in failed.filter(|event| event.sink() == Some("kept")) {
            // The first attempts may come before the other sink has told that it does not use the certificate.
            assert!(!has_server || !event.is_outage() && event.severity() == Severity::Warning, "{event}");
            assert!(!has_server || event.to_string().contains("after its next restart"), "{event}");
        }
        let last = events.iter().rev().find(|event| event.sink() == Some("kept")).unwrap();
        assert_eq!(last.is_outage(), !has_server, "{last}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn successors_in_the_midst_of_things_lose_nothing_and_leave_nothing() {
    let world = World::new();
    for number in 0..30 {
        world.add(&format!("{number}.test"));
    }
    let first = start(world.builder(), None);
    world.pass(MINUTE).await;
    assert_eq!(world.ca.asked(), 30);
    let mut old = first.stop().await;
    // Each stapler ends at another point of its start: before, during and after the takeover.
    for turns in 0..200 {
        let next = start(world.builder(), Some(&old));
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        let gone = Arc::downgrade(&old);
        old = next.stop().await;
        // A stapler that is ending may need a moment, but nothing of it may remain.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(gone.upgrade().is_none(), "the inventory of the one before is still held by somebody");
    }
    let last = start(world.builder(), Some(&old));
    world.pass(MINUTE).await;
    assert_eq!(world.ca.asked(), 30);
    assert!(last.inventory.certificates().iter().all(|one| one.deliveries[0].state == DeliveryState::Confirmed));
    // An open question is dropped with its stapler.
    world.ca.set(Mood::Hang);
    world.add("hanging.test");
    world.pass(SECOND).await;
    let before = world.now();
    last.stop().await;
    assert_eq!(world.now(), before);
}
