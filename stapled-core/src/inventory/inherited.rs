//! The state of a certificate that another stapler held, or that this one held before.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disowned::Disowned;
use super::past::{Past, PastDelivery};
use super::renewal_memory::RenewalMemory;
use super::standing::Standing;
use crate::staple::Staple;
use crate::time::Timestamp;

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
    pub(super) renewed: Option<Timestamp>,
    pub(super) deliveries: BTreeMap<Arc<str>, PastDelivery>,
    pub(super) was: Standing,
}

impl Inherited {
    /// The standing of the certificate until its CA is asked again: revoked if it was revoked.
    pub(super) fn standing(&self) -> Standing {
        match &self.was {
            revoked @ Standing::Revoked { .. } => revoked.clone(),
            _ => Standing::Waiting,
        }
    }

    /// The times for the records of this stapler.
    pub(super) fn past(&self) -> Past {
        Past::new((self.was.clone(), self.since), self.deliveries.clone())
    }

    /// Since when the certificate was good, if it was.
    pub(crate) fn good_since(&self) -> Option<Timestamp> {
        (self.was == Standing::Good).then_some(self.since)
    }
}
