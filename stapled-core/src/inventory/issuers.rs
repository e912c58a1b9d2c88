//! The known certificates of CAs, by name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::by_subject::BySubject;
use crate::certificate::Certificate;
use crate::memo::Memo;
use crate::task::Subject;

/// The largest number of certificates of one name that are taken from one place.
const MAX_PER_PLACE: usize = 64;
/// The largest number of certificates of one name that are kept. More would cost too many signature checks.
const MAX_PER_NAME: usize = 1024;
/// The largest number of waiting certificates that a fetched issuer is checked against.
const MAX_CHECKED: usize = 64;

/// The longest encoding of a name whose comparison key is kept, in bytes.
const MAX_ENCODING: usize = 1024;

/// The name of an issuer in the form of [`Certificate::name_key`], once for all places.
type Name = Arc<[u8]>;

/// The certificates that one place holds, with their names. A place shares the list of the place that was added before it, if both have
/// the same certificates.
type Holding = Arc<Vec<(Name, Arc<Certificate>)>>;

#[derive(Debug, Default)]
pub(super) struct IssuerPool {
    by_name: HashMap<Name, Named>,
    /// The certificates of each place.
    holdings: BySubject<Holding>,
    /// The name of the issuer that each waiting place waits for.
    awaited: BySubject<Name>,
    /// The certificates of the place that was added last.
    last: Holding,
    /// The comparison keys of encoded names, which take long to make.
    keys: Memo<Box<[u8]>, Name>,
}

/// The certificates of one name, each with the number of places that hold it, and the places that wait for one.
#[derive(Debug, Default)]
struct Named {
    certificates: Vec<(Arc<Certificate>, usize)>,
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
        let mut held: Vec<(Name, Arc<Certificate>)> = Vec::new();
        let mut taken: HashMap<Name, usize> = HashMap::new();
        for issuer in issuers {
            let Some(name) = self.name(issuer.subject()) else { continue };
            let taken = taken.entry(Arc::clone(&name)).or_default();
            *taken += 1;
            if *taken > MAX_PER_PLACE {
                continue;
            }
            let named = self.by_name.entry(Arc::clone(&name)).or_default();
            let has_room = named.certificates.len() < MAX_PER_NAME;
            match named.certificates.iter_mut().find(|(known, _)| known == issuer) {
                Some((known, places)) => {
                    issuer.clone_from(known);
                    // A file may have a certificate twice.
                    if held.iter().any(|(_, held)| Arc::ptr_eq(held, known)) {
                        continue;
                    }
                    *places += 1;
                }
                None if has_room => {
                    named.certificates.push((Arc::clone(issuer), 1));
                    awaited.extend(std::mem::take(&mut named.waiting).into_keys());
                }
                None => continue,
            }
            held.push((name, Arc::clone(issuer)));
        }
        for place in &awaited {
            self.awaited.remove(place);
        }
        if !held.is_empty() {
            let is_same = held.len() == self.last.len()
                && held.iter().zip(self.last.iter()).all(|((_, one), (_, other))| Arc::ptr_eq(one, other));
            if !is_same {
                self.last = Arc::new(held);
            }
            self.holdings.insert(location.clone(), Arc::clone(&self.last));
        }
        awaited
    }

    /// The comparison key of an encoded name.
    fn name(&mut self, encoded: &[u8]) -> Option<Name> {
        if let Some(name) = self.keys.get(encoded) {
            return Some(name);
        }
        let key = Certificate::name_key(encoded)?;
        let known = self.by_name.get_key_value(key.as_slice());
        let name = known.map_or_else(|| Name::from(key), |(name, _)| Arc::clone(name));
        if encoded.len() <= MAX_ENCODING {
            self.keys.insert(encoded, Arc::clone(&name));
        }
        Some(name)
    }

    /// The certificates of an encoded name, and the places that wait for one.
    fn known(&self, encoded: &[u8]) -> Option<&Named> {
        match self.keys.get(encoded) {
            Some(name) => self.by_name.get(&name),
            None => self.by_name.get(Certificate::name_key(encoded)?.as_slice()),
        }
    }

    pub(super) fn named(&self, name: &[u8]) -> Vec<Arc<Certificate>> {
        let certificates = self.known(name).into_iter().flat_map(|named| &named.certificates);
        certificates.map(|(issuer, _)| Arc::clone(issuer)).collect()
    }

    pub(super) fn wait(&mut self, location: &Subject, certificate: &Arc<Certificate>) {
        let Some(name) = self.name(certificate.issuer()) else { return };
        self.end_wait(location);
        let named = self.by_name.entry(Arc::clone(&name)).or_default();
        named.waiting.insert(location.clone(), Arc::clone(certificate));
        self.awaited.insert(location.clone(), name);
    }

    /// Whether this place waits for an issuer.
    pub(super) fn is_awaited_by(&self, location: &Subject) -> bool {
        self.awaited.contains_key(location)
    }

    /// Some of the certificates that wait for an issuer of this name. Those that name its key come first, since a CA
    /// may have several keys under one name.
    pub(super) fn waiting_for(&self, issuer: &Certificate) -> Vec<Arc<Certificate>> {
        let mut waiting: Vec<_> =
            self.known(issuer.subject()).into_iter().flat_map(|named| named.waiting.values()).collect();
        waiting.sort_by_key(|certificate| !certificate.names_key_of(issuer));
        waiting.into_iter().take(MAX_CHECKED).cloned().collect()
    }

    /// Whether a waiting certificate names this caIssuers URL.
    pub(super) fn is_awaited_from(&self, url: &str) -> bool {
        let mut waiting = self.by_name.values().flat_map(|named| named.waiting.values());
        waiting.any(|certificate| certificate.ca_issuers_urls().iter().any(|known| known == url))
    }

    pub(super) fn forget_place(&mut self, location: &Subject) {
        self.end_wait(location);
        let Some(holding) = self.holdings.remove(location) else { return };
        // Its last place is gone.
        if Arc::ptr_eq(&holding, &self.last) && Arc::strong_count(&holding) == 2 {
            self.last = Holding::default();
        }
        for (name, held) in holding.iter() {
            let Some(named) = self.by_name.get_mut(name) else { continue };
            if let Some(at) = named.certificates.iter().position(|(known, _)| Arc::ptr_eq(known, held))
                && let Some((_, places)) = named.certificates.get_mut(at)
            {
                *places -= 1;
                if *places == 0 {
                    named.certificates.remove(at);
                }
            }
            self.forget_if_empty(name);
        }
    }

    fn end_wait(&mut self, location: &Subject) {
        if self.awaited.is_empty() {
            return;
        }
        let Some(name) = self.awaited.remove(location) else { return };
        if let Some(named) = self.by_name.get_mut(&name) {
            named.waiting.remove(location);
        }
        self.forget_if_empty(&name);
    }

    fn forget_if_empty(&mut self, name: &Name) {
        if self.by_name.get(name).is_some_and(|named| named.certificates.is_empty() && named.waiting.is_empty()) {
            self.by_name.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use stapled_ca::Authority;

    use super::*;

    fn certificate(authority: &Authority) -> Arc<Certificate> {
        Arc::new(Certificate::from_der(authority.certificate()).unwrap())
    }

    #[test]
    fn a_certificate_is_known_as_long_as_a_place_holds_it() {
        let [one, other] = ["One CA", "Other CA"].map(|name| Authority::root(name).create().unwrap());
        let places = ["a", "b", "c"].map(Subject::from);
        let mut pool = IssuerPool::default();
        let count = |pool: &IssuerPool, authority| pool.named(certificate(authority).subject()).len();
        for place in &places {
            // Each place has a copy of its own, and one twice.
            let mut held = [certificate(&one), certificate(&other), certificate(&one)];
            assert!(pool.add(place, &mut held).is_empty());
            assert!(Arc::ptr_eq(&held[0], &held[2]) && Arc::ptr_eq(&held[0], &pool.named(held[0].subject())[0]));
        }
        assert!(Arc::ptr_eq(&pool.holdings[&places[0]], &pool.holdings[&places[2]]), "shared by the places");
        pool.forget_place(&places[0]);
        pool.forget_place(&places[0]);
        assert_eq!((count(&pool, &one), count(&pool, &other)), (1, 1));
        pool.add(&places[1], &mut [certificate(&other)]);
        assert_eq!((count(&pool, &one), count(&pool, &other)), (1, 1));
        pool.add(&places[2], &mut []);
        assert_eq!((count(&pool, &one), count(&pool, &other)), (0, 1));
        pool.forget_place(&places[1]);
        assert!(pool.by_name.is_empty() && pool.holdings.is_empty() && pool.awaited.is_empty() && pool.last.is_empty());
    }

    #[test]
    fn places_wait_until_one_has_their_issuer() {
        let ca = Authority::root("Awaited CA").create().unwrap();
        let (issuer, own) = (certificate(&ca), certificate(&Authority::root("Own CA").create().unwrap()));
        let [waits, leaves, has] = ["waits", "leaves", "has"].map(Subject::from);
        let mut pool = IssuerPool::default();
        pool.add(&waits, &mut [Arc::clone(&own)]);
        for place in [&waits, &leaves] {
            pool.wait(place, &issuer);
            pool.wait(place, &issuer);
            assert!(pool.is_awaited_by(place));
        }
        assert_eq!(pool.waiting_for(&issuer).len(), 2);
        pool.forget_place(&leaves);
        assert!(!pool.is_awaited_by(&leaves));
        let awaited = pool.add(&has, &mut [Arc::clone(&issuer)]);
        assert_eq!(awaited.into_iter().collect::<Vec<_>>(), std::slice::from_ref(&waits));
        assert!(!pool.is_awaited_by(&waits) && pool.waiting_for(&issuer).is_empty());
        [waits, has].iter().for_each(|place| pool.forget_place(place));
        assert!(pool.by_name.is_empty() && pool.holdings.is_empty() && pool.awaited.is_empty());
    }
}
