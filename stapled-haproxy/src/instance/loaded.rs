//! The certificates that a process has loaded, by name, as far as HAProxy has shown them. Pure.
//!
//! HAProxy shows one loaded certificate at a time, so this is filled and refreshed in parts. HAProxy's list of responses is
//! not used: HAProxy 3.0 keeps entries of that list alive if the list is read in several parts, and then takes responses
//! for certificates that do not staple them any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::cli::identity::{Identity, plain_serial};
use crate::cli::reply::certificate::{Loaded, ShowReply};
use crate::instance::names::{Names, SameFileName};

/// The certificates that one process has loaded.
#[derive(Debug, Default)]
pub(crate) struct LoadedCertificates {
    /// `None` until HAProxy has shown the certificate, and if it shows none under the name.
    certificates: BTreeMap<Arc<str>, Option<Loaded>>,
    by_serial: HashMap<String, BTreeSet<Arc<str>>>,
    by_file_name: Names,
    /// Names of certificates that HAProxy has not shown yet.
    unseen: BTreeSet<Arc<str>>,
    /// Names of certificates whose change is awaited.
    watched: BTreeSet<Arc<str>>,
    /// The last name of the round so far.
    last: Option<Arc<str>>,
    is_listed: bool,
    generation: u64,
    identities: u64,
}

impl LoadedCertificates {
    /// No certificates, of a later generation than this.
    pub(crate) fn after(generation: u64) -> Self {
        LoadedCertificates { generation: generation + 1, identities: generation + 1, ..LoadedCertificates::default() }
    }

    /// A number that changes with every change of its contents.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// A number that changes with the names, the certificates loaded under them and whether these are used, but not with
    /// their responses.
    pub(crate) fn identities(&self) -> u64 {
        self.identities
    }

    /// Whether HAProxy has shown every listed certificate once.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_listed && self.unseen.is_empty()
    }

    /// The number of names.
    pub(crate) fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Takes over the list of names. New names are unseen.
    pub(crate) fn list(&mut self, names: &[String]) {
        let is_same = self.is_listed
            && names.len() == self.certificates.len()
            && names.iter().all(|name| self.certificates.contains_key(name.as_str()));
        self.is_listed = true;
        if is_same {
            return;
        }
        self.generation += 1;
        self.identities += 1;
        let present: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let gone: Vec<Arc<str>> =
            self.certificates.keys().filter(|name| !present.contains(&***name)).map(Arc::clone).collect();
        for name in gone {
            self.set(&name, None);
            self.certificates.remove(&name);
            self.unseen.remove(&name);
            self.watched.remove(&name);
        }
        for name in names {
            if !self.certificates.contains_key(name.as_str()) {
                let name: Arc<str> = name.as_str().into();
                self.unseen.insert(Arc::clone(&name));
                self.certificates.insert(name, None);
            }
        }
        self.by_file_name = Names::of(self.certificates.keys());
    }

    /// Notes the certificate that HAProxy showed under a name, if the name is listed.
    pub(crate) fn note(&mut self, name: &str, shown: &ShowReply) {
        let Some((name, _)) = self.certificates.get_key_value(name) else { return };
        let name = Arc::clone(name);
        let loaded = match shown {
            ShowReply::Loaded(loaded) => Some(loaded.clone()),
            ShowReply::Locked => return,
            _ => None,
        };
        self.unseen.remove(&name);
        if self.certificates.get(&name) != Some(&loaded) {
            let identity = |loaded: &Option<Loaded>| {
                loaded.as_ref().map(|loaded| (loaded.serial.clone(), loaded.fingerprint.clone(), loaded.is_unused))
            };
            self.generation += 1;
            self.identities += u64::from(self.certificates.get(&name).map(identity) != Some(identity(&loaded)));
            self.set(&name, loaded);
        }
    }

    fn set(&mut self, name: &Arc<str>, loaded: Option<Loaded>) {
        let Some(known) = self.certificates.get_mut(name) else { return };
        if let Some(before) = known {
            let serial = plain_serial(&before.serial);
            if let Some(names) = self.by_serial.get_mut(&serial) {
                names.remove(name);
                if names.is_empty() {
                    self.by_serial.remove(&serial);
                }
            }
        }
        if let Some(now) = &loaded {
            self.by_serial.entry(plain_serial(&now.serial)).or_default().insert(Arc::clone(name));
        }
        *known = loaded;
    }

    /// At most `most` unseen names.
    pub(crate) fn unseen(&self, most: usize) -> Vec<Arc<str>> {
        self.unseen.iter().take(most).map(Arc::clone).collect()
    }

    /// At most `most` watched names.
    pub(crate) fn watched(&self, most: usize) -> Vec<Arc<str>> {
        self.watched.iter().take(most).map(Arc::clone).collect()
    }

    /// Watches these names, as far as they are listed: their certificates are looked at in every round.
    pub(crate) fn watch(&mut self, names: impl IntoIterator<Item = Arc<str>>) {
        let names = names.into_iter().filter(|name| self.certificates.contains_key(name));
        self.watched.extend(names);
    }

    /// Watches no names any more.
    pub(crate) fn unwatch_all(&mut self) {
        self.watched.clear();
    }

    /// At most `most` next names of the round. After the last name comes the first again.
    pub(crate) fn next(&mut self, most: usize) -> Vec<Arc<str>> {
        let after = match &self.last {
            Some(last) => Bound::Excluded(Arc::clone(last)),
            None => Bound::Unbounded,
        };
        let names: Vec<Arc<str>> =
            self.certificates.range((after, Bound::Unbounded)).take(most).map(|(name, _)| Arc::clone(name)).collect();
        self.last = if names.len() < most { None } else { names.last().map(Arc::clone) };
        names
    }

    /// The names under which a certificate is loaded.
    pub(crate) fn find(&self, identity: &Identity) -> Vec<(Arc<str>, &Loaded)> {
        let names = self.by_serial.get(&plain_serial(&identity.serial)).into_iter().flatten();
        names
            .filter_map(|name| Some((Arc::clone(name), self.certificates.get(name)?.as_ref()?)))
            .filter(|(_, loaded)| loaded.is(identity))
            .collect()
    }

    /// The certificate that HAProxy has shown under this name.
    pub(crate) fn loaded(&self, name: &str) -> Option<&Loaded> {
        self.certificates.get(name)?.as_ref()
    }

    /// The listed names with the last part of this path.
    pub(crate) fn same_file_name(&self, path: &str) -> Arc<SameFileName> {
        self.by_file_name.same_file_name(path)
    }

    /// All certificates that HAProxy has shown.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = (&Arc<str>, &Loaded)> {
        self.certificates.iter().filter_map(|(name, loaded)| Some((name, loaded.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(serial: &str, fingerprint: &str) -> ShowReply {
        ShowReply::Loaded(Loaded {
            serial: serial.to_owned(),
            fingerprint: fingerprint.to_owned(),
            ..Loaded::default()
        })
    }

    fn identity(serial: &str, fingerprint: &str) -> Identity {
        Identity { serial: serial.to_owned(), fingerprint: fingerprint.to_owned() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn listed_names_are_unseen_once_and_then_come_in_rounds() {
        let mut known = LoadedCertificates::default();
        assert!(!known.is_complete());
        known.list(&names(&["a", "b", "c"]));
        assert_eq!(known.unseen(2).len(), 2);
        for name in known.unseen(9) {
            known.note(&name, &loaded("01", "AA"));
        }
        assert!(known.is_complete());
        let round: Vec<_> = (0..3).flat_map(|_| known.next(2)).collect();
        assert_eq!(round.iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "b", "c", "a", "b"]);
    }

    #[test]
    fn only_changes_change_the_generation() {
        let mut known = LoadedCertificates::default();
        known.list(&names(&["a"]));
        known.note("a", &loaded("01", "AA"));
        let before = known.generation();
        known.list(&names(&["a"]));
        known.note("a", &loaded("01", "AA"));
        known.note("unknown", &loaded("01", "AA"));
        assert_eq!(known.generation(), before);
        known.note("a", &loaded("02", "BB"));
        assert!(known.generation() > before);
        assert!(known.find(&identity("1", "AA")).is_empty());
        assert_eq!(known.find(&identity("2", "bb")).len(), 1);
        known.list(&names(&["b"]));
        assert!(known.find(&identity("2", "BB")).is_empty());
        assert_eq!((known.len(), known.is_complete()), (1, false));
    }

    #[test]
    fn one_certificate_under_two_names_is_found_under_both() {
        let mut known = LoadedCertificates::default();
        known.list(&names(&["a", "b", "c"]));
        known.note("a", &loaded("0A", "AA"));
        known.note("b", &loaded("a", "AA"));
        // Another CA's certificate of the same number.
        known.note("c", &loaded("0A", "CC"));
        let found = known.find(&identity("A", "AA"));
        assert_eq!(found.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_locked_certificate_stays_as_it_was() {
        let mut known = LoadedCertificates::default();
        known.list(&names(&["a"]));
        known.note("a", &ShowReply::Locked);
        assert!(!known.is_complete());
        known.note("a", &loaded("01", "AA"));
        let before = known.generation();
        known.note("a", &ShowReply::Locked);
        assert_eq!((known.generation(), known.find(&identity("1", "AA")).len()), (before, 1));
    }

    #[test]
    fn only_listed_names_are_watched() {
        let mut known = LoadedCertificates::default();
        known.list(&names(&["a", "b"]));
        known.watch(["a".into(), "x".into()]);
        assert_eq!(known.watched(9), [Arc::<str>::from("a")]);
        known.unwatch_all();
        assert!(known.watched(9).is_empty());
    }
}
