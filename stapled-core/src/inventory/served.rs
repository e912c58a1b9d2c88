//! Views of the inventory for the responder that answers the questions of servers.

use std::sync::Arc;

use super::standing::Standing;
use super::state::Inventory;
use crate::chain::CertChain;
use crate::task::Subject;

impl Inventory {
    /// The chains of the certificates that want a staple, in no order, and the revision that this is.
    pub(crate) fn chains(&self) -> (Vec<Arc<CertChain>>, u64) {
        let known = self.known();
        let entries = known.certificates.values().filter(|entry| *entry.standing != Standing::Retired);
        (entries.map(|entry| Arc::clone(&entry.chain)).collect(), known.revision)
    }

    /// The present revision. It grows with each change of a certificate, in the instant in which the change can be seen.
    pub(crate) fn revision(&self) -> u64 {
        self.known().revision
    }

    /// The standing of a certificate. `None`: it is not known any more.
    pub(crate) fn standing_of(&self, subject: &Subject) -> Option<Standing> {
        let known = self.known();
        known
            .certificates
            .get(subject)
            .map(|entry| Standing::clone(&entry.standing))
            .filter(|at| *at != Standing::Retired)
    }

    /// Whether every place that was found has been parsed.
    pub(crate) fn is_parsed(&self) -> bool {
        self.known().places.values().all(|place| !place.is_pending())
    }
}
