//! The public views of the inventory. They copy large numbers in parts, so that they do not hold the lock for long.

use std::sync::Arc;

use super::certificate_record::{CertificateRecord, Places, about};
use super::place::Place;
use super::standing::{CertificateStatus, DeliveryState, DeliveryStatus, PlaceStatus, ProblemStatus, Standing};
use super::state::{Inventory, Known};
use crate::chain::CertChain;
use crate::event::About;
use crate::task::Subject;

/// The number of statuses that one lock of the inventory copies.
const PART: usize = 256;

impl Inventory {
    /// The parts of sources that cannot be read.
    pub fn source_problems(&self) -> Vec<ProblemStatus> {
        self.known().problems.values().flatten().cloned().collect()
    }

    /// The state of every place, in the order of sources and names.
    pub fn places(&self) -> Vec<PlaceStatus> {
        let status = |place: &Place| PlaceStatus {
            name: Arc::clone(&place.sighting.name),
            is_listed: place.sighting.is_listed,
            state: place.state(),
            since: place.since,
            again: place.again,
        };
        let mut locations: Vec<Subject> = self.known().places.keys().cloned().collect();
        locations.sort_unstable();
        let mut statuses = Vec::with_capacity(locations.len());
        for part in locations.chunks(PART) {
            let known = self.known();
            let places = part.iter().filter_map(|location| known.places.get(location));
            statuses.extend(places.map(|place| status(place)));
        }
        statuses
    }

    /// The certificates that want a staple, in the order of their names.
    pub fn known_certificates(&self) -> Vec<Arc<About>> {
        let subjects: Vec<Subject> = self.known().certificates.keys().cloned().collect();
        let mut certificates = Vec::with_capacity(subjects.len());
        for part in subjects.chunks(PART) {
            let known = self.known();
            let entries = part.iter().filter_map(|subject| known.certificates.get(subject));
            certificates.extend(entries.map(|entry| entry.about()));
        }
        certificates.sort_by(|a, b| (&a.name, &a.places).cmp(&(&b.name, &b.places)));
        certificates
    }

    /// The description of a certificate, with its places if it has any.
    pub(crate) fn about(&self, chain: &CertChain) -> Arc<About> {
        let known = self.known();
        let entry = known.certificates.get(chain.subject());
        entry.map_or_else(|| Arc::new(about(chain, &Places::default())), |entry| entry.about())
    }

    /// The state of these certificates, without those that are gone.
    pub fn statuses(&self, certificates: &[Arc<About>]) -> Vec<CertificateStatus> {
        let mut statuses = Vec::with_capacity(certificates.len());
        for part in certificates.chunks(PART) {
            let known = self.known();
            let entries = part.iter().filter_map(|about| known.certificates.get(about.subject.as_ref()?));
            statuses.extend(entries.map(|entry| self.status(&known, entry)));
        }
        statuses
    }

    /// The state of every certificate that wants a staple, in the order of their names.
    pub fn certificates(&self) -> Vec<CertificateStatus> {
        self.statuses(&self.known_certificates())
    }

    pub(super) fn status(&self, known: &Known, entry: &CertificateRecord) -> CertificateStatus {
        let sinks = self.sinks_of_entry(entry);
        let deliveries = sinks.iter().map(|sink| {
            let delivery = entry.deliveries.get(&sink);
            DeliveryStatus {
                sink: self.sink_name(sink),
                state: delivery.map(|delivery| DeliveryState::clone(&delivery.state)).unwrap_or_default(),
                since: delivery.and_then(|delivery| delivery.since).unwrap_or(entry.since),
                delivered: delivery.and_then(|delivery| delivery.delivered),
                again: delivery.and_then(|delivery| delivery.again),
                is_felt: self.is_felt(known, entry, sink),
                served_until: delivery.and_then(|delivery| Some(delivery.served.as_ref()?.0.expires())),
            }
        });
        CertificateStatus {
            about: entry.about(),
            chain: Arc::clone(&entry.chain),
            standing: Standing::clone(&entry.standing),
            since: entry.since,
            next: entry.next,
            renewed: entry.renewed,
            // The staple of an expired certificate is kept only in case the clock is wrong.
            staple: entry.staple.clone().filter(|_| *entry.standing != Standing::Expired),
            deliveries: deliveries.collect(),
        }
    }
}
