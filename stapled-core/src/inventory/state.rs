//! The inventory itself: all records behind one lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::certificate_record::CertificateRecord;
use super::delivery::SinkNumber;
use super::departed::Departed;
use super::disowned::DisownedAndGone;
use super::inherited::Inherited;
use super::issuers::IssuerPool;
use super::place::{Place, SourceNumber};
use super::sink_set::SinkSet;
use super::standing::{DeliveryState, PlaceState, ProblemStatus};
use crate::by_subject::BySubject;
use crate::task::Subject;
use crate::time::Timestamp;

/// Everything that a stapler knows about its certificates.
#[derive(Debug)]
pub struct Inventory {
    /// The sinks that serve the certificates of each source.
    pub(crate) sinks_of: Vec<BTreeSet<SinkNumber>>,
    sink_names: Vec<Arc<str>>,
    /// The sinks whose clients notice at once what they lack.
    live: BTreeSet<SinkNumber>,
    known: Mutex<Known>,
    /// Counts the changes that handles wait for: parsed places, answered requests, finished deliveries.
    changes: watch::Sender<u64>,
}

impl Inventory {
    /// An empty inventory. `sinks_of` has, for each source, the sinks that serve its certificates; `live` has the sinks whose
    /// clients notice at once what they lack.
    pub(crate) fn new(
        sinks_of: Vec<BTreeSet<SinkNumber>>,
        sink_names: Vec<Arc<str>>,
        live: BTreeSet<SinkNumber>,
    ) -> Self {
        Inventory { sinks_of, sink_names, live, known: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Locks the contents.
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        // Every change below is complete before anything can panic, so a poisoned lock guards sound data.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A receiver of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Locks the contents for a change that handles wait for, and that makes a new revision. They are woken when the lock is released.
    pub(super) fn change(&self) -> Change<'_> {
        let mut known = self.known();
        known.revision += 1;
        Change { known, _told: Told(&self.changes) }
    }

    /// The name of a sink.
    pub(crate) fn sink_name(&self, sink: SinkNumber) -> Arc<str> {
        self.sink_names.get(sink).cloned().unwrap_or_else(|| "sink".into())
    }

    /// Whether clients notice now if this sink lacks the staple of a certificate: it is live and has the certificate, or no live
    /// sink wants the certificate, as where servers read files alone.
    pub(super) fn is_felt(&self, known: &Known, entry: &CertificateRecord, sink: SinkNumber) -> bool {
        let wants = |sink: &SinkNumber| {
            let state = entry.deliveries.get(sink).map(|delivery| &*delivery.state);
            !matches!(state, Some(DeliveryState::NotWanted { .. }))
        };
        let is_live = |sink: &SinkNumber| self.live.contains(sink);
        if self.is_replacing(known, entry, sink) {
            return false;
        }
        is_live(&sink) || !self.sinks_of_entry(entry).iter().any(|sink| is_live(&sink) && wants(&sink))
    }

    /// The sinks that serve a certificate, or may still serve a staple of it.
    pub(super) fn sinks_of_entry(&self, entry: &CertificateRecord) -> SinkSet {
        let had = entry.deliveries.iter().filter(|(_, delivery)| delivery.may_serve()).map(|(sink, _)| *sink);
        entry
            .places
            .values()
            .filter_map(|(source, _)| self.sinks_of.get(*source))
            .flatten()
            .copied()
            .chain(had)
            .collect()
    }
}

/// The locked contents, for a change.
pub(super) struct Change<'a> {
    known: MutexGuard<'a, Known>,
    // Dropped after the lock.
    _told: Told<'a>,
}

impl Deref for Change<'_> {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Known {
        &mut self.known
    }
}

/// Wakes the waiting handles when it is dropped.
struct Told<'a>(&'a watch::Sender<u64>);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

/// The contents of the inventory.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The places, by location: the subject of the task *parse*.
    pub(super) places: BySubject<Box<Place>>,
    /// The certificates, by the hash of certificate and issuer's key: the subject of the tasks *renew* and *add*.
    pub(super) certificates: BySubject<Box<CertificateRecord>>,
    /// The certificates of another stapler that this one has not found yet.
    pub(super) inherited: BySubject<Inherited>,
    /// Certificates that recently left their last place.
    pub(super) departed: Departed,
    /// Revocations of certificates that are forgotten otherwise.
    pub(super) disowned: DisownedAndGone,
    pub(super) issuers: IssuerPool,
    /// The sources whose scan goes on, with the places that are to be parsed again at its end.
    pub(super) scans: BTreeMap<SourceNumber, Vec<Subject>>,
    pub(super) problems: BTreeMap<SourceNumber, Vec<ProblemStatus>>,
    /// The states of places in the stapler before this one, by name, with their begin.
    pub(super) past_places: HashMap<Arc<str>, (PlaceState, Timestamp)>,
    /// Since when the stapler before this one knew problems of sources, by place and words.
    pub(super) past_problems: HashMap<(String, String), Timestamp>,
    /// How many times each sink has lost staples.
    pub(super) losses: BTreeMap<SinkNumber, u64>,
    pub(super) generation: u64,
    /// The number of changes that handles wait for.
    pub(super) revision: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The revision grows before other threads can see the change, and waiting handles are woken after that.
    #[test]
    fn a_change_is_a_new_revision_before_its_lock_is_released() {
        let inventory = Inventory::new(Vec::new(), Vec::new(), BTreeSet::new());
        let (changes, before) = (inventory.changes(), inventory.revision());
        let change = inventory.change();
        assert_eq!(change.revision, before + 1);
        assert!(!changes.has_changed().unwrap());
        drop(change);
        assert!(changes.has_changed().unwrap());
        assert_eq!(inventory.revision(), before + 1);
    }
}
