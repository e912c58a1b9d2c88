//! State that an inventory takes over from that of another stapler.

use std::sync::Arc;

use super::disowned::Disowned;
use super::{Entry, Inventory, RenewalMemory, Standing};
use crate::certificate::Certificate;
use crate::staple::Staple;
use crate::task::Subject;
use crate::time::Timestamp;

/// The location of issuers of inherited certificates.
const LOCATION: &str = "inherited";

/// The state of a certificate in another inventory.
#[derive(Clone, Debug)]
pub(crate) struct Inherited {
    pub(crate) first_seen: Timestamp,
    pub(crate) staple: Option<Arc<Staple>>,
    pub(crate) memory: RenewalMemory,
    pub(crate) next: Option<Timestamp>,
    /// Whether another client took its staple out of service since the CA's last answer.
    pub(crate) unconfirmed: bool,
    pub(super) disowned: Option<Disowned>,
    pub(super) since: Timestamp,
    was: Standing,
}

impl Inherited {
    /// The state to remember of a certificate that leaves the inventory, if it has a staple.
    pub(super) fn of_departed(entry: &Entry) -> Option<Self> {
        entry.staple.is_some().then(|| Inherited::of(entry, Standing::Good))
    }

    fn of(entry: &Entry, was: Standing) -> Self {
        Inherited {
            first_seen: entry.first_seen,
            staple: entry.staple.clone(),
            memory: entry.memory.clone(),
            next: entry.next,
            unconfirmed: entry.unconfirmed,
            disowned: entry.disowned,
            since: entry.since,
            was,
        }
    }

    /// The standing of the certificate until its CA is asked again: revoked if it was revoked.
    pub(super) fn standing(&self) -> Standing {
        match &self.was {
            revoked @ Standing::Revoked { .. } => revoked.clone(),
            _ => Standing::Waiting,
        }
    }

    /// Since when the certificate was good, if it was.
    pub(crate) fn good_since(&self) -> Option<Timestamp> {
        (self.was == Standing::Good).then_some(self.since)
    }
}

impl Inventory {
    /// Takes over what `from` knew. It applies to certificates when they are found again.
    pub(crate) fn inherit(&self, from: &Inventory) {
        let old = from.known();
        // State that `from` had inherited itself and not used yet is passed on.
        let mut inherited = old.inherited.clone();
        let mut issuers: Vec<Arc<Certificate>> = Vec::new();
        for (subject, entry) in &old.certificates {
            inherited.entry(subject.clone()).or_insert_with(|| Inherited::of(entry, entry.standing.clone()));
            let issuer = entry.chain.issuer();
            if !issuers.iter().any(|known| known == issuer) {
                issuers.push(Arc::clone(issuer));
            }
        }
        let disowned = old.disowned.clone();
        drop(old);
        let mut known = self.known();
        known.inherited = inherited;
        known.disowned = disowned;
        drop(known);
        self.add_issuers(&Subject::from(LOCATION), &issuers);
    }
}
