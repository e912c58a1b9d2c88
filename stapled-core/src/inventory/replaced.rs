//! Certificates that a server still serves although their file holds another one, until the server loads that.

use std::collections::HashSet;
use std::sync::Arc;

use super::certificate_record::CertificateRecord;
use super::delivery::SinkNumber;
use super::place::location;
use super::standing::DeliveryState;
use super::state::{Inventory, Known};
use crate::sink::failure::SinkFailure;
use crate::task::Subject;

/// What is explained by certificates that a server has not loaded yet.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    /// The names by which the server knows both certificates.
    pub(crate) names: HashSet<Arc<str>>,
    /// The certificates that the server still serves.
    pub(crate) certificates: HashSet<Subject>,
}

impl Inventory {
    /// What is explained by certificates that a server has not loaded yet: the row of such a certificate tells all of it.
    pub(crate) fn replaced(&self) -> Replaced {
        let known = self.known();
        let mut replaced = Replaced::default();
        for entry in known.certificates.values().filter(|entry| entry.deliveries.values().any(is_not_yet)) {
            replaced.names.extend(entry.places.values().map(|(_, site)| Arc::clone(&site.served_as)));
            replaced.certificates.extend(self.served_instead(&known, entry).cloned());
        }
        replaced
    }

    /// Whether a server has not loaded a certificate yet, and still serves another one by its name: then clients do not notice
    /// what this one lacks there.
    pub(super) fn is_replacing(&self, known: &Known, entry: &CertificateRecord, sink: SinkNumber) -> bool {
        entry.deliveries.get(&sink).is_some_and(is_not_yet) && self.served_instead(known, entry).next().is_some()
    }

    /// The certificates that places of the same name hold, in any source.
    fn served_instead<'a>(
        &'a self,
        known: &'a Known,
        entry: &'a CertificateRecord,
    ) -> impl Iterator<Item = &'a Subject> {
        let names = entry.places.values().map(|(_, site)| &site.served_as);
        let places = names.flat_map(|name| (0..self.sinks_of.len()).map(move |source| location(source, name)));
        let held = places.filter_map(|place| known.places.get(&place)?.holds.as_ref());
        held.filter(move |subject| *subject != entry.chain.subject())
    }
}

fn is_not_yet(delivery: &super::delivery::Delivery) -> bool {
    matches!(*delivery.state, DeliveryState::Failed { failure: SinkFailure::NotYet, .. })
}
