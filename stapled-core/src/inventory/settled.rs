//! The part of the inventory for the parser: what the places hold.

use std::sync::Arc;

use super::certificate_record::CertificateRecord;
use super::displaced::Displaced;
use super::inherited::Inherited;
use super::place::SourceNumber;
use super::sink_set::SinkSet;
use super::standing::{PlaceState, Standing};
use super::state::Inventory;
use crate::chain::CertChain;
use crate::event::About;
use crate::event::faults::PlaceFault;
use crate::sink::Site;
use crate::source::Sighting;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// A certificate that was just found in a place.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) about: Arc<About>,
    pub(crate) generation: u64,
    pub(crate) sinks: SinkSet,
    pub(crate) staple: Option<Arc<Staple>>,
    /// The state of the certificate in another stapler.
    pub(crate) inherited: Option<Inherited>,
    /// When its CA is asked next, if that is planned.
    pub(crate) next: Option<Timestamp>,
    /// Whether the certificate was unknown before.
    pub(crate) new: bool,
    /// Whether no place held the certificate before, so that its renewals may have ended.
    pub(crate) revived: bool,
    /// The certificate that this place held before. Its sinks must withdraw a staple.
    pub(crate) displaced: Option<Displaced>,
}

impl Inventory {
    /// The contents of a place with its source, if the task was made for its present generation.
    pub(crate) fn place(&self, location: &Subject, generation: u64) -> Option<(SourceNumber, Sighting)> {
        let known = self.known();
        let place = known.places.get(location).filter(|place| place.generation == generation)?;
        Some((place.source(), place.sighting.clone()))
    }

    /// The fault that the last read of a place found, if there was one.
    pub(crate) fn fault_of(&self, location: &Subject) -> Option<PlaceFault> {
        match self.known().places.get(location)?.state() {
            PlaceState::Problem { fault, .. } => Some(fault),
            PlaceState::Expired(_) => Some(PlaceFault::Expired),
            _ => None,
        }
    }

    /// Whether a certificate that wants a staple is in this place, or was there before the place had a fault.
    pub(crate) fn holds_certificate(&self, location: &Subject) -> bool {
        self.known().places.get(location).is_some_and(|place| place.holds.is_some())
    }

    /// Records the state of a place without a certificate that wants a staple. Returns the certificate that the place
    /// held before. If the new contents have a fault, the place keeps its old certificate, since servers continue to
    /// use it.
    pub(crate) fn settle_without(
        &self,
        location: &Subject,
        generation: u64,
        state: PlaceState,
        again: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Displaced> {
        let mut known = self.change();
        let place = known.places.get_mut(location).filter(|place| place.generation == generation)?;
        let keeps = matches!(state, PlaceState::Problem { .. } | PlaceState::Pending);
        place.set_state(state, again, now);
        let held = if keeps { None } else { place.holds.take() };
        held.and_then(|held| self.displace(&mut known, location, &held, now))
    }

    /// Records that a place holds this certificate.
    pub(crate) fn settle(
        &self,
        location: &Subject,
        generation: u64,
        chain: Arc<CertChain>,
        site: Site,
        now: Timestamp,
    ) -> Option<Settled> {
        let mut known = self.change();
        let subject = chain.subject().clone();
        let place = known.places.get_mut(location).filter(|place| place.generation == generation)?;
        let source = place.source();
        let held = place.holds.clone().filter(|held| *held != subject);
        place.set_state(PlaceState::Holds(subject.clone()), None, now);
        let displaced = held.and_then(|held| self.displace(&mut known, location, &held, now));
        known.generation += 1;
        let generation = known.generation;
        let new = !known.certificates.contains_key(&subject);
        // The inherited state stays until there is newer state to hand on: this stapler may end at any moment.
        let inherited = known.inherited.get(&subject).cloned().or_else(|| known.departed.take(&subject, now));
        let disowned = known.disowned.take(&subject);
        let entry = known
            .certificates
            .entry(subject)
            .or_insert_with(|| Box::new(CertificateRecord::new(chain, generation, inherited.as_ref(), disowned, now)));
        let revived = entry.enter(location, source, site);
        if matches!(*entry.standing, Standing::Expired | Standing::Retired) {
            // The certificate has returned, or the clock was wrong before: only certificates within their validity are
            // settled.
            entry.set_standing(entry.standing_within_validity(now), now);
        }
        Some(Settled {
            about: entry.about(),
            generation: entry.generation,
            sinks: self.sinks_of_entry(entry),
            staple: entry.staple.clone(),
            inherited: inherited.filter(|_| new),
            next: entry.next,
            new,
            revived,
            displaced,
        })
    }
}
