//! The part of the inventory for issuers: the certificates of CAs that places hold, and the places that wait for one.

use std::sync::Arc;

use super::state::Inventory;
use crate::certificate::Certificate;
use crate::chain::issuance::Issuance;
use crate::task::Subject;

impl Inventory {
    /// Adds certificates of CAs from a place. Those that are known already give way to the known copies. Returns the places,
    /// with their generations, that wait for one of these issuers.
    pub(crate) fn add_issuers<'a>(
        &self,
        location: &Subject,
        issuers: impl IntoIterator<Item = &'a mut Arc<Certificate>>,
    ) -> Vec<(Subject, u64)> {
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
}
