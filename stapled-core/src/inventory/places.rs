//! Places, and what lies in them: the finder's and the parser's part of the inventory.

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

/// What a scan changed.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// New or changed places, with the generation to parse them for.
    pub(crate) changed: Vec<(Subject, u64)>,
    /// Places that are no more.
    pub(crate) gone: Vec<Subject>,
    /// How many places the source has now.
    pub(crate) places: usize,
}

/// A certificate that has just come to a place.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) about: Arc<About>,
    pub(crate) generation: u64,
    pub(crate) sinks: BTreeSet<SinkNumber>,
    pub(crate) staple: Option<Arc<Staple>>,
    /// What another stapler knew of it.
    pub(crate) inherited: Option<Inherited>,
    /// When its CA is asked next, as far as that was planned.
    pub(crate) next: Option<Timestamp>,
    /// Whether nothing was known of the certificate before.
    pub(crate) new: bool,
    /// Whether it lay nowhere before: its renewals may have ended.
    pub(crate) revived: bool,
    /// The certificate that lay in this place before: its sinks have something to take back.
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
    /// Takes a scan over: what is new, what changed, what is gone. `hidden` says of a place that is not among the
    /// sightings whether it is only out of sight.
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
                // Whatever private key is among them is not kept.
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

    /// Forgets which versions of a source's places were seen: the next scan finds all of them changed.
    pub(crate) fn forget_versions(&self, source: SourceNumber) {
        for place in self.known().places.values_mut().filter(|place| place.source == source) {
            place.sighting.version = Version::new([]);
        }
    }

    /// Notes what of a source cannot be looked at; returns what is new among it.
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

    /// Forgets a place; returns the certificate that lay there.
    pub(crate) fn forget_place(&self, location: &Subject, now: Timestamp) -> Option<Displaced> {
        let mut known = self.known();
        known.issuers.forget_place(location);
        let held = known.places.remove(location).and_then(|place| place.holds);
        held.and_then(|held| self.displace(&mut known, location, &held, now))
    }

    /// What is in a place, if the task was made for its present state.
    pub(crate) fn place(&self, location: &Subject, generation: u64) -> Option<Sighting> {
        let known = self.known();
        let place = known.places.get(location).filter(|place| place.generation == generation)?;
        Some(place.sighting.clone())
    }

    /// What was wrong with a place when it was read last; none where it is in order.
    pub(crate) fn fault_of(&self, location: &Subject) -> Option<PlaceFault> {
        match self.known().places.get(location)?.state {
            PlaceState::Problem { fault, .. } => Some(fault),
            PlaceState::Expired(_) => Some(PlaceFault::Expired),
            _ => None,
        }
    }

    /// Adds certificates of CAs that lie in a place. Returns the places, with their generations, that wait for one of
    /// these issuers.
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

    /// Notes that a place is to be parsed again when an issuer of this name turns up.
    pub(crate) fn wait_for_issuer(&self, location: &Subject, certificate: &Arc<Certificate>) {
        self.known().issuers.wait(location, certificate);
    }

    /// Whether a certificate waits for its issuer that says that it is at this URL.
    pub(crate) fn is_issuer_awaited_from(&self, url: &str) -> bool {
        self.known().issuers.is_awaited_from(url)
    }

    /// Those of these certificates that issued one that waits for its issuer.
    pub(crate) fn confirmed_issuers(&self, candidates: &[Arc<Certificate>]) -> Vec<Arc<Certificate>> {
        self.issuers_that(candidates, Issuance::Signed)
    }

    /// Those of these certificates that may have issued one that waits for its issuer, which cannot be checked.
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

    /// Notes how a place stands that holds no certificate to be stapled. Returns what lay there before; but a
    /// certificate keeps its place while there is only a problem with what came after it, since servers go on with the
    /// old one.
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

    /// Notes that this certificate lies in a place.
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
        // It stays until there is something better to hand on: this stapler may end in the next moment.
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
            // It is back, or the clock was wrong before: only certificates within their validity are settled.
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

    /// Takes a place from the certificate that lies there.
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
