//! The takeover of an inventory by that of the next stapler.

use std::sync::Arc;

use super::standing::{ProblemStatus, Standing};
use super::state::Inventory;
use crate::certificate::Certificate;
use crate::task::Subject;

/// The location of issuers of inherited certificates.
const LOCATION: &str = "inherited";

impl Inventory {
    /// Takes over what `from` knew. It applies to certificates when they are found again.
    pub(crate) fn inherit(&self, from: &Inventory) {
        let old = from.known();
        // State that `from` had inherited itself and not used yet is passed on.
        let mut inherited = old.inherited.clone();
        let mut issuers: Vec<Arc<Certificate>> = Vec::new();
        for (subject, entry) in &old.certificates {
            let is_as_it_was = || entry.inherited_as(Standing::clone(&entry.standing), |sink| from.sink_name(sink));
            inherited.entry(subject.clone()).or_insert_with(is_as_it_was);
            let issuer = entry.chain.issuer();
            if !issuers.iter().any(|known| known == issuer) {
                issuers.push(Arc::clone(issuer));
            }
        }
        let disowned = old.disowned.clone();
        let places = old.places.values().map(|place| (Arc::clone(&place.sighting.name), (place.state(), place.since)));
        let places = places.collect();
        let problem =
            |status: &ProblemStatus| ((status.problem.place.clone(), status.problem.error.what.clone()), status.since);
        let problems = old.problems.values().flatten().map(problem).collect();
        drop(old);
        let mut known = self.known();
        known.inherited = inherited;
        known.disowned = disowned;
        known.past_places = places;
        known.past_problems = problems;
        drop(known);
        self.add_issuers(&Subject::from(LOCATION), &mut issuers);
    }
}
