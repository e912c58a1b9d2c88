//! Tests of sources that tell what they have found before their first scan ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stapled_ca::{Authority, KeyType};
use stapled_core::inventory::standing::PlaceState;
use stapled_core::io::directory::DirectorySource;
use stapled_core::source::{CertSource, Scan, Sighting, SourceError, Version};
use tokio::sync::watch;

use crate::world::{Ca, World};

const SECOND: Duration = Duration::from_secs(1);

/// Parts of a scan, of which the last ones come when they may.
struct Parts {
    first: Vec<(&'static str, String)>,
    last: Vec<(&'static str, String)>,
    /// Whether the scan may end, and how.
    end: watch::Receiver<Option<Result<(), SourceError>>>,
}

impl Parts {
    fn new(first: Vec<(&'static str, String)>, last: Vec<(&'static str, String)>) -> (Self, Ends) {
        let (ends, end) = watch::channel(None);
        (Parts { first, last, end }, ends)
    }

    fn sightings(rows: &[(&'static str, String)]) -> Vec<Sighting> {
        let sighting = |(name, pem): &(&'static str, String)| Sighting::bytes(*name, pem.as_bytes(), Version::new("1"));
        rows.iter().map(sighting).collect()
    }
}

type Ends = watch::Sender<Option<Result<(), SourceError>>>;

#[async_trait]
impl CertSource for Parts {
    async fn scan(&self) -> Result<Scan, SourceError> {
        self.end.clone().wait_for(Option::is_some).await.unwrap().clone().unwrap()?;
        Ok(Scan::of([&self.first, &self.last].into_iter().flat_map(|rows| Parts::sightings(rows))))
    }

    async fn scan_and_tell(&self, found: Arc<dyn Fn(Vec<Sighting>) + Send + Sync>) -> Result<Scan, SourceError> {
        found(Parts::sightings(&self.first));
        self.scan().await
    }
}

fn with_issuer(world: &World, name: &str) -> String {
    crate::world::with_issuer(&world.ca.issue(Ca::profile(name)), &world.ca)
}

#[tokio::test(start_paused = true)]
async fn the_first_staples_are_delivered_before_the_scan_ends() {
    let world = World::new();
    let (early, late) = (with_issuer(&world, "early.test"), with_issuer(&world, "late.test"));
    let (parts, ends) = Parts::new(vec![("early.pem", early)], vec![("late.pem", late)]);
    let inventory = world.run(world.builder().source(parts));
    world.pass(5 * SECOND).await;
    assert!(world.server.response_of("early.test").is_some());
    assert_eq!(inventory.places().len(), 1);
    ends.send_replace(Some(Ok(())));
    world.pass(5 * SECOND).await;
    assert!(world.server.response_of("late.test").is_some());
    // Each is parsed and asked about once.
    assert_eq!((world.ca.asked(), world.record.count("accepted"), inventory.places().len()), (2, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_is_missing_only_when_the_scan_has_ended() {
    for ca_comes in [true, false] {
        let world = World::new();
        let leaf = world.ca.issue(Ca::profile("a.test")).certificate_pem();
        let last = if ca_comes { vec![("ca.pem", world.ca.authority.certificate_pem())] } else { Vec::new() };
        let (parts, ends) = Parts::new(vec![("a.pem", leaf)], last);
        let inventory = world.run(world.builder().source(parts));
        world.pass(60 * SECOND).await;
        assert_eq!(world.record.count("place_problem"), 0);
        assert!(inventory.places().iter().all(|place| matches!(place.state, PlaceState::Pending)));
        ends.send_replace(Some(Ok(())));
        world.pass(5 * SECOND).await;
        assert_eq!(world.record.count("place_problem"), usize::from(!ca_comes));
        assert_eq!(world.server.response_of("a.test").is_some(), ca_comes);
    }
}

/// A place whose new contents have no issuer is told, too, at the end of the scan that found them.
#[tokio::test(start_paused = true)]
async fn a_changed_place_without_issuer_is_told_at_the_end() {
    let world = World::new();
    world.add("a.test");
    let inventory = world.start();
    world.pass(5 * SECOND).await;
    assert!(world.server.response_of("a.test").is_some());
    let unknown = Authority::root("Unknown").key(KeyType::EcdsaP256).create().unwrap();
    let alone = unknown.issue(&Ca::profile("b.test")).unwrap().certificate_pem();
    world.list.put("a.test", &alone);
    // So many that its own contents are compared long before the last ones.
    (0..3000).for_each(|number| world.list.put(&format!("z{number}"), "rubbish"));
    world.pass(60 * SECOND).await;
    assert_eq!((world.record.count("place_problem"), inventory.places().len()), (3001, 3001));
}

/// A scan that fails or never ends after it has told something.
#[tokio::test(start_paused = true)]
async fn what_was_told_is_not_forgotten_with_a_scan_that_breaks_off() {
    let error = || SourceError::new(stapled_core::reason::ReasonCode::new("unreadable"), "cannot be read");
    for end in [Some(Err(error())), None] {
        let world = World::new();
        let good = with_issuer(&world, "a.test");
        let unknown = Authority::root("Unknown").key(KeyType::EcdsaP256).create().unwrap();
        let alone = unknown.issue(&Ca::profile("b.test")).unwrap().certificate_pem();
        let (parts, ends) = Parts::new(vec![("a.pem", good), ("b.pem", alone)], Vec::new());
        let inventory = world.run(world.builder().source(parts));
        let is_broken_off = end.is_some();
        ends.send_replace(end);
        // A scan that goes on is told after five minutes, and so is the place whose issuer it has not found.
        world.pass(if is_broken_off { SECOND * 5 } else { SECOND * 310 }).await;
        assert!(world.server.response_of("a.test").is_some());
        assert_eq!((world.record.count("source_problem"), world.record.count("place_problem")), (1, 1));
        ends.send_replace(Some(Ok(())));
        world.pass(Duration::from_secs(3600)).await;
        assert_eq!((world.record.count("retired"), inventory.places().len()), (0, 2));
    }
}

/// A directory, and how often it was scanned.
struct Counted {
    directory: DirectorySource,
    scans: Arc<AtomicUsize>,
}

#[async_trait]
impl CertSource for Counted {
    async fn scan(&self) -> Result<Scan, SourceError> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        self.directory.scan().await
    }

    async fn changed(&self) {
        self.directory.changed().await;
    }
}

#[tokio::test]
async fn the_first_scan_sets_up_the_watches() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let scans: Arc<AtomicUsize> = Arc::default();
    let source = Counted { directory: DirectorySource::new(folder.path()), scans: Arc::clone(&scans) };
    let handle = world.run_with_handle(world.builder().source(source));
    handle.ready().await.unwrap();
    // It appears as a whole, in one change.
    std::fs::write(folder.path().join("a.new"), with_issuer(&world, "a.test")).unwrap();
    std::fs::rename(folder.path().join("a.new"), folder.path().join("a.pem")).unwrap();
    let is_seen = async {
        let mut changes = tokio::time::interval(Duration::from_millis(10));
        while world.server.response_of("a.test").is_none() {
            changes.tick().await;
        }
    };
    tokio::time::timeout(SECOND * 30, is_seen).await.unwrap();
    assert_eq!(scans.load(Ordering::SeqCst), 2, "one at the start, one for the new file");
}
