//! The part of the inventory for the finder and the parser: places and their contents.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::inherited::Inherited;
use super::{
    Entry, Inventory, Known, Place, PlaceState, ProblemStatus, Questions, RenewalMemory, SinkNumber, SourceNumber,
    Standing,
};
use super::{about, location};
use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::event::About;
use crate::issuance::Issuance;
use crate::place_fault::PlaceFault;
use crate::sink::Site;
use crate::source::{Material, Sighting, SourceProblem, Version};
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// The changes that a scan found.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// New or changed places, with the generation of their task *parse*.
    pub(crate) changed: Vec<(Subject, u64)>,
    /// Places that are gone.
    pub(crate) gone: Vec<Subject>,
    /// How many places the source has now.
    pub(crate) places: usize,
}

/// A certificate that was just found in a place.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) about: Arc<About>,
    pub(crate) generation: u64,
    pub(crate) sinks: BTreeSet<SinkNumber>,
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

/// A certificate that has lost a place.
#[derive(Clone, Debug)]
pub(crate) struct Displaced {
    pub(crate) subject: Subject,
    pub(crate) generation: u64,
    pub(crate) about: Arc<About>,
    pub(crate) sinks: BTreeSet<SinkNumber>,
    /// Whether that was its last place.
    pub(crate) retired: bool,
}

impl Inventory {
    /// Applies the result of a scan: new, changed and vanished places. `hidden` tells whether a place that is missing
    /// from the scan is only unreadable at the moment.
    pub(crate) fn compare(
        &self,
        source: SourceNumber,
        sightings: Vec<Sighting>,
        hidden: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Difference {
        let mut known = self.known();
        let mut difference = Difference { places: sightings.len(), ..Difference::default() };
        let mut present = BTreeSet::new();
        for mut sighting in sightings {
            let location = location(source, &sighting.name);
            present.insert(location.clone());
            let unchanged = known.places.get(&location).is_some_and(|place| place.sighting.version == sighting.version);
            if unchanged {
                continue;
            }
            if let Material::Bytes(bytes) = &sighting.material {
                // Private keys among the bytes are not kept.
                sighting.material = Material::Bytes(Bundle::certificates_only(bytes).into());
            }
            known.generation += 1;
            let generation = known.generation;
            match known.places.get_mut(&location) {
                Some(place) => {
                    place.sighting = sighting;
                    place.generation = generation;
                }
                None => {
                    let state = PlaceState::Pending;
                    let place = Place { source, sighting, generation, state, since: now, again: None, holds: None };
                    known.places.insert(location.clone(), place);
                }
            }
            difference.changed.push((location, generation));
        }
        difference.gone = known
            .places
            .iter()
            .filter(|(location, place)| {
                place.source == source && !present.contains(location) && !hidden(&place.sighting.name)
            })
            .map(|(location, _)| location.clone())
            .collect();
        difference
    }

    /// Forgets the versions of a source's places, so that the next scan reports all of them as changed.
    pub(crate) fn forget_versions(&self, source: SourceNumber) {
        for place in self.known().places.values_mut().filter(|place| place.source == source) {
            place.sighting.version = Version::new([]);
        }
    }

    /// Records the parts of a source that cannot be read. Returns the new ones.
    pub(crate) fn set_problems(
        &self,
        source: SourceNumber,
        problems: Vec<SourceProblem>,
        now: Timestamp,
    ) -> Vec<SourceProblem> {
        let mut known = self.known();
        let before = known.problems.remove(&source).unwrap_or_default();
        let key = |problem: &SourceProblem| (problem.place.clone(), problem.error.what.clone());
        let before: HashMap<_, Timestamp> = before.iter().map(|old| (key(&old.problem), old.since)).collect();
        let mut new = Vec::new();
        let with_since = |problem: SourceProblem| {
            let since = before.get(&key(&problem)).copied();
            if since.is_none() {
                new.push(problem.clone());
            }
            ProblemStatus { problem, since: since.unwrap_or(now) }
        };
        let problems = problems.into_iter().map(with_since).collect();
        known.problems.insert(source, problems);
        new
    }

    /// Forgets a place. Returns the certificate that it held.
    pub(crate) fn forget_place(&self, location: &Subject, now: Timestamp) -> Option<Displaced> {
        let mut known = self.known();
        known.issuers.forget_place(location);
        let held = known.places.remove(location).and_then(|place| place.holds);
        held.and_then(|held| self.displace(&mut known, location, &held, now))
    }

    /// The contents of a place, if the task was made for its present generation.
    pub(crate) fn place(&self, location: &Subject, generation: u64) -> Option<Sighting> {
        let known = self.known();
        let place = known.places.get(location).filter(|place| place.generation == generation)?;
        Some(place.sighting.clone())
    }

    /// The fault that the last read of a place found, if there was one.
    pub(crate) fn fault_of(&self, location: &Subject) -> Option<PlaceFault> {
        match self.known().places.get(location)?.state {
            PlaceState::Problem { fault, .. } => Some(fault),
            PlaceState::Expired(_) => Some(PlaceFault::Expired),
            _ => None,
        }
    }

    /// Adds certificates of CAs from a place. Returns the places, with their generations, that wait for one of these
    /// issuers.
    pub(crate) fn add_issuers(&self, location: &Subject, issuers: &[Arc<Certificate>]) -> Vec<(Subject, u64)> {
        let mut known = self.known();
        let waiting = known.issuers.add(location, issuers);
        let generation = |waiting: Subject| {
            let generation = known.places.get(&waiting)?.generation;
            Some((waiting, generation))
        };
        waiting.into_iter().filter_map(generation).collect()
    }

    /// The known certificates whose subject is this issuer name.
    pub(crate) fn issuers_named(&self, name: &[u8]) -> Vec<Arc<Certificate>> {
        self.known().issuers.named(name)
    }

    /// Records that a place is parsed again when an issuer of this name is added.
    pub(crate) fn wait_for_issuer(&self, location: &Subject, certificate: &Arc<Certificate>) {
        self.known().issuers.wait(location, certificate);
    }

    /// Whether a certificate that waits for its issuer names this caIssuers URL.
    pub(crate) fn is_issuer_awaited_from(&self, url: &str) -> bool {
        self.known().issuers.is_awaited_from(url)
    }

    /// The candidates that issued a waiting certificate.
    pub(crate) fn confirmed_issuers(&self, candidates: &[Arc<Certificate>]) -> Vec<Arc<Certificate>> {
        self.issuers_that(candidates, Issuance::Signed)
    }

    /// The candidates that may have issued a waiting certificate, but whose signature algorithm is not supported.
    pub(crate) fn unsupported_issuers(&self, candidates: &[Arc<Certificate>]) -> Vec<Arc<Certificate>> {
        self.issuers_that(candidates, Issuance::Unsupported)
    }

    fn issuers_that(&self, candidates: &[Arc<Certificate>], issuance: Issuance) -> Vec<Arc<Certificate>> {
        let waiting = candidates.iter().map(|issuer| self.known().issuers.waiting_for(issuer));
        let pairs = candidates.iter().zip(waiting.collect::<Vec<_>>());
        let issued = |(issuer, waiting): &(&Arc<Certificate>, Vec<Arc<Certificate>>)| {
            waiting.iter().any(|certificate| Issuance::of(certificate, issuer) == issuance)
        };
        pairs.filter(issued).map(|(issuer, _)| Arc::clone(issuer)).collect()
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
        let _told = self.tell_when_done();
        let mut known = self.known();
        let place = known.places.get_mut(location).filter(|place| place.generation == generation)?;
        if place.state != state {
            place.since = now;
        }
        let keeps = matches!(state, PlaceState::Problem { .. } | PlaceState::Pending);
        place.state = state;
        place.again = again;
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
        let _told = self.tell_when_done();
        let mut known = self.known();
        let subject = chain.subject().clone();
        let place = known.places.get_mut(location).filter(|place| place.generation == generation)?;
        let source = place.source;
        let state = PlaceState::Holds(subject.clone());
        if place.state != state {
            place.since = now;
        }
        place.state = state;
        place.again = None;
        let held = place.holds.replace(subject.clone()).filter(|held| *held != subject);
        let displaced = held.and_then(|held| self.displace(&mut known, location, &held, now));
        known.generation += 1;
        let generation = known.generation;
        let new = !known.certificates.contains_key(&subject);
        // The inherited state stays until there is newer state to hand on: this stapler may end at any moment.
        let inherited = known.inherited.get(&subject).cloned().or_else(|| known.departed.take(&subject, now));
        let disowned = known.disowned.take(&subject);
        let entry = known.certificates.entry(subject).or_insert_with(|| Entry {
            about: Arc::new(about(&chain, &BTreeMap::new())),
            chain,
            generation,
            places: BTreeMap::new(),
            first_seen: inherited.as_ref().map_or(now, |inherited| inherited.first_seen),
            staple: None,
            standing: match (disowned, &inherited) {
                (Some(disowned), _) => disowned.standing().unwrap_or(Standing::Waiting),
                (None, Some(inherited)) => inherited.standing(),
                (None, None) => Standing::Waiting,
            },
            since: inherited.as_ref().map_or(now, |inherited| inherited.since),
            next: None,
            memory: RenewalMemory::default(),
            disowned: disowned.or(inherited.as_ref().and_then(|inherited| inherited.disowned)),
            unconfirmed: inherited.as_ref().is_some_and(|inherited| inherited.unconfirmed),
            put_off: 0,
            questions: Questions::default(),
            deliveries: BTreeMap::new(),
            in_hand: BTreeSet::new(),
        });
        let revived = entry.places.is_empty();
        entry.places.insert(location.clone(), (source, site));
        if matches!(entry.standing, Standing::Expired | Standing::Retired) {
            // The certificate has returned, or the clock was wrong before: only certificates within their validity are
            // settled.
            entry.set_standing(entry.standing_within_validity(now), now);
        }
        entry.about = Arc::new(about(&entry.chain, &entry.places));
        Some(Settled {
            about: Arc::clone(&entry.about),
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

    /// Removes a certificate from a place.
    fn displace(&self, known: &mut Known, location: &Subject, subject: &Subject, now: Timestamp) -> Option<Displaced> {
        let entry = known.certificates.get_mut(subject)?;
        let sinks = self.sinks_of_entry(entry);
        entry.places.remove(location);
        let retired = entry.places.is_empty();
        let about = Arc::clone(&entry.about);
        entry.about = Arc::new(self::about(&entry.chain, &entry.places));
        if retired {
            entry.set_standing(Standing::Retired, now);
        }
        Some(Displaced { subject: subject.clone(), generation: entry.generation, about, sinks, retired })
    }
}
