//! A map that is read without a lock. A change copies a small part of it.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use arc_swap::ArcSwap;

/// The number of maps over which the entries are spread.
const SHARDS: usize = 1024;

/// A map whose entries are spread over many maps, each of which is replaced as a whole.
pub(crate) struct Shards<K, V> {
    maps: Vec<ArcSwap<HashMap<K, V>>>,
    hasher: RandomState,
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    pub(crate) fn new() -> Self {
        Shards { maps: std::iter::repeat_with(ArcSwap::default).take(SHARDS).collect(), hasher: RandomState::new() }
    }

    fn map<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&ArcSwap<HashMap<K, V>>> {
        let number = self.hasher.hash_one(key) % self.maps.len() as u64;
        self.maps.get(usize::try_from(number).ok()?)
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.map(key)?.load().get(key).cloned()
    }

    /// Adds a value unless there is one already. Returns the value that is in the map, and whether it is the new one.
    pub(crate) fn get_or_insert(&self, key: K, value: &V) -> (V, bool) {
        let Some(map) = self.map(&key) else { return (value.clone(), false) };
        let mut present = None;
        map.rcu(|map| {
            let mut map = HashMap::clone(map);
            present = map.get(&key).cloned();
            if present.is_none() {
                map.insert(key.clone(), value.clone());
            }
            map
        });
        let is_new = present.is_none();
        (present.unwrap_or_else(|| value.clone()), is_new)
    }

    /// Sets a value, and returns the former one.
    pub(crate) fn insert(&self, key: K, value: &V) -> Option<V> {
        let mut before = None;
        self.map(&key)?.rcu(|map| {
            let mut map = HashMap::clone(map);
            before = map.insert(key.clone(), value.clone());
            map
        });
        before
    }

    /// Removes the value of a key, if it is such a one, and returns it.
    pub(crate) fn remove_if<Q: Hash + Eq + ?Sized>(&self, key: &Q, is_one: impl Fn(&V) -> bool) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut removed = None;
        self.map(key)?.rcu(|map| {
            let mut map = HashMap::clone(map);
            removed = if map.get(key).is_some_and(&is_one) { map.remove(key) } else { None };
            map
        });
        removed
    }

    /// Every entry. What changes meanwhile is in it or not.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (K, V)> {
        let entries = |map: &ArcSwap<HashMap<K, V>>| -> Vec<(K, V)> {
            map.load().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        self.maps.iter().flat_map(entries)
    }
}
