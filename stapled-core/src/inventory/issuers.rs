//! The known certificates of CAs, by name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::few::Few;
use crate::certificate::Certificate;
use crate::task::Subject;

/// The largest number of certificates of one name that are taken from one place.
const MAX_PER_PLACE: usize = 64;
/// The largest number of certificates of one name that are kept. More would cost too many signature checks.
const MAX_PER_NAME: usize = 1024;
/// The largest number of waiting certificates that a fetched issuer is checked against.
const MAX_CHECKED: usize = 64;

/// The name of an issuer in the form of [`Certificate::name_key`], once for all places.
type Name = Arc<[u8]>;

#[derive(Debug, Default)]
pub(super) struct IssuerPool {
    by_name: HashMap<Name, Named>,
    /// The names of the issuers that each place holds or waits for.
    by_place: HashMap<Subject, Few<Name, ()>>,
}

/// The certificates of one name, and the places that wait for one.
#[derive(Debug, Default)]
struct Named {
    certificates: Vec<(Arc<Certificate>, BTreeSet<Subject>)>,
    waiting: BTreeMap<Subject, Arc<Certificate>>,
}

impl IssuerPool {
    /// Replaces the certificates of a place. One that is known already gives way to the known copy, so that there is one for all
    /// places. Returns the places that waited for one of the new ones.
    pub(super) fn add<'a>(
        &mut self,
        location: &Subject,
        issuers: impl IntoIterator<Item = &'a mut Arc<Certificate>>,
    ) -> BTreeSet<Subject> {
        self.forget_place(location);
        let mut awaited = BTreeSet::new();
        let mut taken: HashMap<Name, usize> = HashMap::new();
        for issuer in issuers {
            let Some(key) = Certificate::name_key(issuer.subject()) else { continue };
            let key = self.name(key);
            let taken = taken.entry(Arc::clone(&key)).or_default();
            *taken += 1;
            if *taken > MAX_PER_PLACE {
                continue;
            }
            let named = self.by_name.entry(Arc::clone(&key)).or_default();
            if let Some((known, places)) = named.certificates.iter_mut().find(|(known, _)| known == issuer) {
                places.insert(location.clone());
                issuer.clone_from(known);
            } else if named.certificates.len() < MAX_PER_NAME {
                named.certificates.push((Arc::clone(issuer), BTreeSet::from([location.clone()])));
                awaited.extend(std::mem::take(&mut named.waiting).into_keys());
            }
            self.by_place.entry(location.clone()).or_default().insert(key, ());
        }
        awaited
    }

    /// The shared copy of a name.
    fn name(&self, key: Vec<u8>) -> Name {
        self.by_name.get_key_value(key.as_slice()).map_or_else(|| key.into(), |(name, _)| Arc::clone(name))
    }

    pub(super) fn named(&self, name: &[u8]) -> Vec<Arc<Certificate>> {
        let named = Certificate::name_key(name).and_then(|key| self.by_name.get(key.as_slice()));
        named.map(|named| named.certificates.iter().map(|(issuer, _)| Arc::clone(issuer)).collect()).unwrap_or_default()
    }

    pub(super) fn wait(&mut self, location: &Subject, certificate: &Arc<Certificate>) {
        if let Some(key) = Certificate::name_key(certificate.issuer()) {
            let key = self.name(key);
            let named = self.by_name.entry(Arc::clone(&key)).or_default();
            named.waiting.insert(location.clone(), Arc::clone(certificate));
            self.by_place.entry(location.clone()).or_default().insert(key, ());
        }
    }

    /// Whether this place waits for an issuer.
    pub(super) fn is_awaited_by(&self, location: &Subject) -> bool {
        let mut names = self.by_place.get(location).into_iter().flat_map(Few::iter);
        names.any(|(name, ())| self.by_name.get(name).is_some_and(|named| named.waiting.contains_key(location)))
    }

    /// Some of the certificates that wait for an issuer of this name. Those that name its key come first, since a CA
    /// may have several keys under one name.
    pub(super) fn waiting_for(&self, issuer: &Certificate) -> Vec<Arc<Certificate>> {
        let named = Certificate::name_key(issuer.subject()).and_then(|key| self.by_name.get(key.as_slice()));
        let mut waiting: Vec<_> = named.into_iter().flat_map(|named| named.waiting.values()).collect();
        waiting.sort_by_key(|certificate| !certificate.names_key_of(issuer));
        waiting.into_iter().take(MAX_CHECKED).cloned().collect()
    }

    /// Whether a waiting certificate names this caIssuers URL.
    pub(super) fn is_awaited_from(&self, url: &str) -> bool {
        let mut waiting = self.by_name.values().flat_map(|named| named.waiting.values());
        waiting.any(|certificate| certificate.ca_issuers_urls().iter().any(|known| known == url))
    }

    pub(super) fn forget_place(&mut self, location: &Subject) {
        for (key, ()) in self.by_place.remove(location).unwrap_or_default().iter() {
            let Some(named) = self.by_name.get_mut(key) else { continue };
            named.waiting.remove(location);
            named.certificates.retain_mut(|(_, places)| {
                places.remove(location);
                !places.is_empty()
            });
            if named.certificates.is_empty() && named.waiting.is_empty() {
                self.by_name.remove(key);
            }
        }
    }
}
