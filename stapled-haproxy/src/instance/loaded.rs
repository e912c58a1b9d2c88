//! What a process has loaded, as far as it was looked at: certificates by name. Pure.
//!
//! HAProxy says what it has loaded one certificate at a time, so the register is filled, and gone over again and again,
//! in parts. Its list of responses is not asked for: HAProxy 3.0 keeps entries of it alive that were read in several
//! parts, and then takes responses for certificates that do not staple them any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::cli::reply::{Loaded, ShowReply, plain_serial};
use crate::instance::names::{Candidate, Names};

/// The certificates of one process.
#[derive(Debug, Default)]
pub(crate) struct Register {
    /// `None` until it was looked at, and where nothing is loaded under the name.
    certificates: BTreeMap<Arc<str>, Option<Loaded>>,
    by_serial: HashMap<String, BTreeSet<Arc<str>>>,
    by_file_name: Names,
    unseen: BTreeSet<Arc<str>>,
    /// Names that somebody waits for a change of.
    watched: BTreeSet<Arc<str>>,
    /// The name that was looked at last in the round.
    last: Option<Arc<str>>,
    is_listed: bool,
    generation: u64,
    identities: u64,
}

impl Register {
    /// An empty one, of a generation after this.
    pub(crate) fn after(generation: u64) -> Self {
        Register { generation: generation + 1, identities: generation + 1, ..Register::default() }
    }

    /// Changes with what is in it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Changes with the names and with which certificates are loaded under them, and used, whatever responses these have.
    pub(crate) fn identities(&self) -> u64 {
        self.identities
    }

    /// Whether everything was looked at once.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_listed && self.unseen.is_empty()
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Takes the list of names over; what is new in it is looked at next.
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
        self.by_file_name = Names::default();
        for name in names {
            self.by_file_name.add(name);
            if !self.certificates.contains_key(name.as_str()) {
                let name: Arc<str> = name.as_str().into();
                self.unseen.insert(Arc::clone(&name));
                self.certificates.insert(name, None);
            }
        }
    }

    /// Notes what HAProxy showed of a name. Names that are not listed are not noted.
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

    /// Names that were not looked at yet, at most so many.
    pub(crate) fn unseen(&self, most: usize) -> Vec<Arc<str>> {
        self.unseen.iter().take(most).map(Arc::clone).collect()
    }

    /// The watched names, at most so many.
    pub(crate) fn watched(&self, most: usize) -> Vec<Arc<str>> {
        self.watched.iter().take(most).map(Arc::clone).collect()
    }

    /// Has these names looked at more often than others, as far as they are listed until
    /// that is enough.
    pub(crate) fn watch(&mut self, names: impl IntoIterator<Item = Arc<str>>) {
        let names = names.into_iter().filter(|name| self.certificates.contains_key(name));
        self.watched.extend(names);
    }

    /// Ends that.
    pub(crate) fn unwatch_all(&mut self) {
        self.watched.clear();
    }

    /// The next names in the round, at most so many. After the last one comes the first again.
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

    /// Under which names a certificate is loaded, told by its serial number and SHA-1 hash in hexadecimal.
    pub(crate) fn find(&self, serial: &str, fingerprint: &str) -> Vec<(Arc<str>, &Loaded)> {
        let names = self.by_serial.get(&plain_serial(serial)).into_iter().flatten();
        names
            .filter_map(|name| Some((Arc::clone(name), self.certificates.get(name)?.as_ref()?)))
            .filter(|(_, loaded)| loaded.is(serial, fingerprint))
            .collect()
    }

    /// What is loaded under this name, as far as it was looked at.
    pub(crate) fn loaded(&self, name: &str) -> Option<&Loaded> {
        self.certificates.get(name)?.as_ref()
    }

    /// The listed names that may stand for this one.
    pub(crate) fn candidates(&self, name: &str) -> Vec<Candidate> {
        self.by_file_name.candidates(name)
    }

    /// Everything that is loaded.
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

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_listed_is_looked_at_once_and_then_in_rounds() {
        let mut register = Register::default();
        assert!(!register.is_complete());
        register.list(&names(&["a", "b", "c"]));
        assert_eq!(register.unseen(2).len(), 2);
        for name in register.unseen(9) {
            register.note(&name, &loaded("01", "AA"));
        }
        assert!(register.is_complete());
        let round: Vec<_> = (0..3).flat_map(|_| register.next(2)).collect();
        assert_eq!(round.iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "b", "c", "a", "b"]);
    }

    #[test]
    fn only_changes_change_the_generation() {
        let mut register = Register::default();
        register.list(&names(&["a"]));
        register.note("a", &loaded("01", "AA"));
        let before = register.generation();
        register.list(&names(&["a"]));
        register.note("a", &loaded("01", "AA"));
        register.note("unknown", &loaded("01", "AA"));
        assert_eq!(register.generation(), before);
        register.note("a", &loaded("02", "BB"));
        assert!(register.generation() > before);
        assert!(register.find("1", "AA").is_empty());
        assert_eq!(register.find("2", "bb").len(), 1);
        register.list(&names(&["b"]));
        assert!(register.find("2", "BB").is_empty());
        assert_eq!((register.len(), register.is_complete()), (1, false));
    }

    #[test]
    fn one_certificate_under_two_names_is_found_under_both() {
        let mut register = Register::default();
        register.list(&names(&["a", "b", "c"]));
        register.note("a", &loaded("0A", "AA"));
        register.note("b", &loaded("a", "AA"));
        // Another CA's certificate of the same number.
        register.note("c", &loaded("0A", "CC"));
        let found = register.find("A", "AA");
        assert_eq!(found.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_cannot_be_shown_just_now_is_as_it_was() {
        let mut register = Register::default();
        register.list(&names(&["a"]));
        register.note("a", &ShowReply::Locked);
        assert!(!register.is_complete());
        register.note("a", &loaded("01", "AA"));
        let before = register.generation();
        register.note("a", &ShowReply::Locked);
        assert_eq!((register.generation(), register.find("1", "AA").len()), (before, 1));
    }

    #[test]
    fn only_listed_names_are_watched() {
        let mut register = Register::default();
        register.list(&names(&["a", "b"]));
        register.watch(["a".into(), "x".into()]);
        assert_eq!(register.watched(9), ["a".into()]);
        register.unwatch_all();
        assert!(register.watched(9).is_empty());
    }
}
