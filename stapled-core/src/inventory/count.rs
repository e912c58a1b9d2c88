//! The part of the inventory for the one line that service managers show: numbers of certificates and problems.

use super::certificate_record::CertificateRecord;
use super::standing::{DeliveryState, PlaceState, Standing};
use super::state::Inventory;
use crate::event::faults::PlaceFault;
use crate::time::Timestamp;

/// The numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// The certificates that want a staple.
    pub(crate) certificates: usize,
    /// Those of them that have none.
    pub(crate) without_staple: usize,
    /// Must-staple certificates without a staple: clients refuse them.
    pub(crate) outages: usize,
    /// The certificates that their CA has revoked.
    pub(crate) revoked: usize,
    /// The deliveries that failed.
    pub(crate) undelivered: usize,
    /// The places that should get a staple and get none, and the paths that cannot be read.
    pub(crate) problems: usize,
    /// The time of the next renewal.
    pub(crate) next: Option<Timestamp>,
}

impl Inventory {
    /// Counts everything, in one pass.
    pub(crate) fn count(&self, now: Timestamp) -> Count {
        let known = self.known();
        let mut count = Count::default();
        known.certificates.values().for_each(|entry| count.add(entry, now));
        for place in known.places.values() {
            match place.state() {
                PlaceState::Problem { fault: PlaceFault::NoCertificate, .. } => {}
                PlaceState::Problem { .. } => count.problems += 1,
                PlaceState::MustStapleWithoutUrl(_) => {
                    count.problems += 1;
                    count.outages += 1;
                }
                _ => {}
            }
        }
        count.problems += known.problems.values().map(Vec::len).sum::<usize>();
        count
    }
}

impl Count {
    fn add(&mut self, entry: &CertificateRecord, now: Timestamp) {
        match *entry.standing {
            Standing::Retired => return,
            Standing::Expired => {
                self.certificates += 1;
                return;
            }
            Standing::Revoked { .. } => self.revoked += 1,
            Standing::Good | Standing::Failing { .. } | Standing::Waiting => {
                let lacks = entry.staple.as_ref().is_none_or(|staple| staple.expires() <= now);
                self.without_staple += usize::from(lacks);
                self.outages += usize::from(lacks && entry.chain.end_entity().must_staple());
            }
        }
        self.certificates += 1;
        let failed =
            entry.deliveries.values().filter(|delivery| matches!(*delivery.state, DeliveryState::Failed { .. }));
        self.undelivered += failed.count();
        self.next = self.next.into_iter().chain(entry.next).min();
    }
}
