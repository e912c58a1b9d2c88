//! A map of few entries, mostly one. A tree would take room for eleven in its first node, for each of a million certificates.

/// A map in the order of its keys, with room for the entries that there are.
#[derive(Clone, Debug)]
pub(super) struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Few(Vec::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(self.at(key).ok()?).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.at(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.at(key).is_ok()
    }

    /// Inserts an entry, or replaces it.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.at(&key) {
            Ok(at) => {
                if let Some(entry) = self.0.get_mut(at) {
                    *entry = (key, value);
                }
            }
            Err(at) => {
                // Few have a second entry; those that have many get room for more at once.
                if self.0.len() < 4 {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (key, value));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Ok(at) = self.at(key) {
            self.0.remove(at);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Where the entry is, or would be.
    fn at(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map_in_order_without_spare_room() {
        let mut few = Few::default();
        assert!(few.is_empty() && !few.contains_key(&2) && few.get(&2).is_none());
        for key in [2, 3, 1] {
            few.insert(key, key * 10);
        }
        assert_eq!(few.0.capacity(), 3);
        few.insert(2, 5);
        *few.get_mut(&3).unwrap() += 1;
        few.iter_mut().for_each(|(_, value)| *value += 1);
        assert_eq!(few.iter().collect::<Vec<_>>(), [(&1, &11), (&2, &6), (&3, &32)]);
        few.remove(&2);
        few.remove(&9);
        assert_eq!(few.values().collect::<Vec<_>>(), [&11, &32]);
        assert!(few.contains_key(&1) && !few.contains_key(&2) && !few.is_empty());
        // Many are inserted in the time that they need.
        (0..1000).for_each(|key| few.insert(key, key));
        assert_eq!(few.iter().map(|(key, _)| *key).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    }
}
