//! The certificates of CAs that lie about, by name: whoever misses an issuer looks here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::certificate::{Certificate, name_key};
use crate::task::Subject;

/// How many certificates of one name are kept: enough for every key roll-over, too few to burn time on signatures.
const MAX_PER_NAME: usize = 32;

#[derive(Debug, Default)]
pub(super) struct IssuerPool {
    by_name: HashMap<Vec<u8>, Named>,
}

/// What bears one name, and who waits for it.
#[derive(Debug, Default)]
struct Named {
    certificates: Vec<(Arc<Certificate>, BTreeSet<Subject>)>,
    waiting: BTreeSet<Subject>,
}

impl IssuerPool {
    /// Adds what lies in a place; returns who waited for one of them.
    pub(super) fn add(&mut self, location: &Subject, issuers: &[Arc<Certificate>]) -> BTreeSet<Subject> {
        let mut awaited = BTreeSet::new();
        for issuer in issuers {
            let Some(key) = name_key(issuer.subject()) else { continue };
            let named = self.by_name.entry(key).or_default();
            if let Some((_, places)) = named.certificates.iter_mut().find(|(known, _)| known == issuer) {
                places.insert(location.clone());
            } else if named.certificates.len() < MAX_PER_NAME {
                named.certificates.push((Arc::clone(issuer), BTreeSet::from([location.clone()])));
                awaited.append(&mut named.waiting);
            }
        }
        awaited
    }

    pub(super) fn named(&self, name: &[u8]) -> Vec<Arc<Certificate>> {
        let named = name_key(name).and_then(|key| self.by_name.get(&key));
        named.map(|named| named.certificates.iter().map(|(issuer, _)| Arc::clone(issuer)).collect()).unwrap_or_default()
    }

    pub(super) fn wait(&mut self, location: &Subject, name: &[u8]) {
        if let Some(key) = name_key(name) {
            self.by_name.entry(key).or_default().waiting.insert(location.clone());
        }
    }

    pub(super) fn forget_place(&mut self, location: &Subject) {
        self.by_name.retain(|_, named| {
            named.waiting.remove(location);
            named.certificates.retain_mut(|(_, places)| {
                places.remove(location);
                !places.is_empty()
            });
            !named.certificates.is_empty() || !named.waiting.is_empty()
        });
    }
}
