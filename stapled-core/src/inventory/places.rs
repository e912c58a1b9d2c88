//! The part of the inventory for the finder: which places a source has.

use std::collections::{HashMap, HashSet};

use super::displaced::Displaced;
use super::place::{Place, SourceNumber, location};
use super::standing::ProblemStatus;
use super::state::{Inventory, Known};
use crate::bundle::Bundle;
use crate::source::{Material, Sighting, SourceProblem, Version};
use crate::task::Subject;
use crate::time::Timestamp;

impl Inventory {
    /// Applies a part of what a scan has found. Returns the new and changed places, with the generation of their task *parse*.
    /// `present` gets the locations of all.
    pub(crate) fn sight(
        &self,
        source: SourceNumber,
        found: Vec<Sighting>,
        present: &mut HashSet<Subject>,
        now: Timestamp,
    ) -> Vec<(Subject, u64)> {
        let mut known = self.known();
        let sight = |sighting: Sighting| {
            let location = location(source, &sighting.name);
            present.insert(location.clone());
            known.sight(source, location, sighting, now)
        };
        found.into_iter().filter_map(sight).collect()
    }

    /// The places of a source that a scan has not found. `hidden` tells whether such a place is only unreadable at the moment.
    pub(crate) fn gone(
        &self,
        source: SourceNumber,
        present: &HashSet<Subject>,
        hidden: impl Fn(&str) -> bool,
    ) -> Vec<Subject> {
        let known = self.known();
        let of_source = known.places.iter().filter(|(_, place)| place.source() == source);
        let gone = of_source.filter(|(location, place)| !present.contains(*location) && !hidden(&place.sighting.name));
        gone.map(|(location, _)| location.clone()).collect()
    }

    /// Records that a scan of a source goes on.
    pub(crate) fn begin_scan(&self, source: SourceNumber) {
        self.known().scans.entry(source).or_default();
    }

    /// Whether a scan of a source goes on. If so, the place is returned at its end.
    pub(crate) fn defer(&self, source: SourceNumber, location: &Subject) -> bool {
        let mut known = self.known();
        let deferred = known.scans.get_mut(&source);
        deferred.map(|deferred| deferred.push(location.clone())).is_some()
    }

    /// Ends the scan of a source. Returns the deferred places that still wait for an issuer, with their generations.
    pub(crate) fn end_scan(&self, source: SourceNumber) -> Vec<(Subject, u64)> {
        let mut known = self.known();
        let deferred = known.scans.remove(&source).unwrap_or_default();
        let waiting = |location: Subject| {
            let place = known.places.get(&location).filter(|_| known.issuers.is_awaited_by(&location))?;
            Some((location, place.generation))
        };
        deferred.into_iter().filter_map(waiting).collect()
    }

    /// Forgets the versions of a source's places, so that the next scan reports all of them as changed.
    pub(crate) fn forget_versions(&self, source: SourceNumber) {
        for place in self.known().places.values_mut().filter(|place| place.source() == source) {
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
            let key = key(&problem);
            let since = before.get(&key).copied();
            if since.is_none() {
                new.push(problem.clone());
            }
            ProblemStatus { problem, since: since.or_else(|| known.past_problems.remove(&key)).unwrap_or(now) }
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
}

impl Known {
    /// Records a place as a scan found it. Returns a new or changed one, with the generation of its task *parse*.
    fn sight(
        &mut self,
        source: SourceNumber,
        location: Subject,
        mut sighting: Sighting,
        now: Timestamp,
    ) -> Option<(Subject, u64)> {
        if self.places.get(&location).is_some_and(|place| place.sighting.version == sighting.version) {
            return None;
        }
        if let Material::Bytes(bytes) = &sighting.material {
            // Private keys among the bytes are not kept, only that there is one. Other bytes stay shared with the source.
            sighting.is_presented |= Bundle::has_private_key(bytes);
            let certificates = Bundle::certificates_only(bytes);
            if certificates != **bytes {
                sighting.material = Material::Bytes(certificates.into());
            }
        }
        self.generation += 1;
        let generation = self.generation;
        match self.places.get_mut(&location) {
            Some(place) => {
                place.sighting = sighting;
                place.generation = generation;
            }
            None => {
                let past = self.past_places.remove(&sighting.name).map(Box::new);
                let mut place = Place::new(source, sighting, generation, now);
                place.past = past;
                self.places.insert(location.clone(), Box::new(place));
            }
        }
        Some((location, generation))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn bytes_without_a_key_are_not_copied() {
        let inventory = Inventory::new(vec![BTreeSet::new()], Vec::new(), BTreeSet::new());
        let kept = |name: &str, pem: &str| {
            let bytes: Arc<[u8]> = pem.as_bytes().into();
            let sighting = Sighting::bytes(name, Arc::clone(&bytes), Version::new("1"));
            inventory.sight(0, vec![sighting], &mut HashSet::new(), Timestamp::from_unix(0));
            let known = inventory.known();
            match &known.places[&location(0, name)].sighting.material {
                Material::Bytes(kept) => (Arc::ptr_eq(kept, &bytes), String::from_utf8_lossy(kept).into_owned()),
                other => panic!("{other:?}"),
            }
        };
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(kept("a", certificate), (true, certificate.to_owned()));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(kept("b", &format!("{certificate}{key}")), (false, certificate.to_owned()));
    }
}
