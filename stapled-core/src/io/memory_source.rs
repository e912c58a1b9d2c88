//! Certificates that a program pushes in and out while the stapler runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::source::{CertSource, Scan, Sighting, SourceError};

/// Certificates in memory, for programs that get them from elsewhere than files: a database, an ACME client, an API. Clones
/// have the same certificates.
///
/// The certificates are pushed in and out at any time. A stapler notices at once.
///
/// ```
/// use stapled_core::io::memory_source::MemorySource;
/// use stapled_core::source::Sighting;
///
/// # fn example(end_entity: Vec<u8>, issuer: Vec<u8>) {
/// let source = MemorySource::new();
/// source.put(Sighting::chain("www.example.org", [end_entity, issuer])); // DER, as TLS sends them
/// source.remove("www.example.org");
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemorySource(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    sightings: Mutex<BTreeMap<Arc<str>, Sighting>>,
    /// Counts the changes.
    changes: AtomicU64,
    /// The number of changes when the last scan was made.
    scanned: AtomicU64,
    changed: Notify,
}

impl MemorySource {
    /// A source without certificates.
    pub fn new() -> Self {
        MemorySource::default()
    }

    /// Adds a place, or replaces the one of the same name.
    pub fn put(&self, sighting: Sighting) {
        self.change(|sightings| sightings.insert(Arc::clone(&sighting.name), sighting));
    }

    /// Removes the place of this name, and returns it. The stapler withdraws its staple from the sinks.
    pub fn remove(&self, name: &str) -> Option<Sighting> {
        self.change(|sightings| sightings.remove(name))
    }

    /// The number of places.
    pub fn len(&self) -> usize {
        self.sightings().len()
    }

    /// Whether there is no place.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change<T>(&self, work: impl FnOnce(&mut BTreeMap<Arc<str>, Sighting>) -> T) -> T {
        let result = {
            let mut sightings = self.sightings();
            self.0.changes.fetch_add(1, Ordering::SeqCst);
            work(&mut sightings)
        };
        self.0.changed.notify_waiters();
        result
    }

    fn sightings(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Sighting>> {
        self.0.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CertSource for MemorySource {
    async fn scan(&self) -> Result<Scan, SourceError> {
        let sightings = self.sightings();
        self.0.scanned.store(self.0.changes.load(Ordering::SeqCst), Ordering::SeqCst);
        Ok(Scan::of(sightings.values().cloned()))
    }

    /// Staplers that share this source and wait here are all told. One that scans meanwhile may learn of a change at its
    /// regular scan.
    async fn changed(&self) {
        let changed = self.0.changed.notified();
        tokio::pin!(changed);
        // From here on, no change goes unnoticed.
        changed.as_mut().enable();
        if self.0.changes.load(Ordering::SeqCst) == self.0.scanned.load(Ordering::SeqCst) {
            changed.await;
        }
    }

    fn name(&self) -> String {
        "memory".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn names(source: &MemorySource) -> Vec<String> {
        let scan = source.scan().now_or_never().expect("ready").expect("a scan");
        scan.sightings.iter().map(|sighting| sighting.name.to_string()).collect()
    }

    #[test]
    fn a_scan_has_what_was_pushed_in_and_not_out() {
        let source = MemorySource::new();
        assert!(source.is_empty());
        for name in ["b", "a", "b"] {
            source.clone().put(Sighting::chain(name, [b"der".as_slice()]));
        }
        assert_eq!((names(&source), source.len()), (vec!["a".to_owned(), "b".to_owned()], 2));
        assert!(source.remove("a").is_some() && source.remove("a").is_none());
        assert_eq!(names(&source), ["b"]);
    }

    #[test]
    fn each_change_is_told_until_it_is_scanned() {
        let source = MemorySource::new();
        let is_changed = |source: &MemorySource| source.changed().now_or_never().is_some();
        assert!(!is_changed(&source));
        source.put(Sighting::chain("a", [b"der".as_slice()]));
        // A call that is dropped loses nothing.
        assert!(is_changed(&source) && is_changed(&source));
        names(&source);
        assert!(!is_changed(&source));
        let (one, other) = (source.changed(), source.changed());
        tokio::pin!(one, other);
        assert!(one.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
        source.remove("a");
        assert!(one.now_or_never().is_some() && other.now_or_never().is_some(), "all who wait are told");
    }

    #[test]
    fn a_chain_is_the_same_place_with_another_version_when_a_certificate_differs() {
        let sighting = |certs: [&'static [u8]; 2]| Sighting::chain("a", certs);
        assert_eq!(sighting([b"leaf", b"issuer"]).version, sighting([b"leaf", b"issuer"]).version);
        assert_ne!(sighting([b"leaf", b"issuer"]).version, sighting([b"leaf", b"other"]).version);
        assert_ne!(sighting([b"leaf", b"issuer"]).version, sighting([b"leafis", b"suer"]).version);
    }
}
