//! A map of few entries, mostly one. A tree would take room for eleven in its first node, for each of a million certificates.

/// A map in the order of its keys. One entry takes no memory of its own.
#[derive(Clone, Debug, Default)]
pub(super) enum Few<K, V> {
    #[default]
    None,
    One([(K, V); 1]),
    /// Several, or as many as are left of several.
    More(Vec<(K, V)>),
}

impl<K: Ord, V> Few<K, V> {
    fn entries(&self) -> &[(K, V)] {
        match self {
            Few::None => &[],
            Few::One(entry) => entry,
            Few::More(entries) => entries,
        }
    }

    fn entries_mut(&mut self) -> &mut [(K, V)] {
        match self {
            Few::None => &mut [],
            Few::One(entry) => entry,
            Few::More(entries) => entries,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries().get(self.at(key).ok()?).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.at(key).ok()?;
        self.entries_mut().get_mut(at).map(|(_, value)| value)
    }

    pub(super) fn contains_key(&self, key: &K) -> bool {
        self.at(key).is_ok()
    }

    /// Inserts an entry, or replaces it.
    pub(super) fn insert(&mut self, key: K, value: V) {
        let at = match self.at(&key) {
            Ok(at) => {
                if let Some(entry) = self.entries_mut().get_mut(at) {
                    *entry = (key, value);
                }
                return;
            }
            Err(at) => at,
        };
        *self = match std::mem::take(self) {
            Few::None => Few::One([(key, value)]),
            Few::One(entry) => {
                let mut entries = Vec::from(entry);
                entries.insert(at, (key, value));
                Few::More(entries)
            }
            Few::More(mut entries) => {
                entries.insert(at, (key, value));
                Few::More(entries)
            }
        };
    }

    pub(super) fn remove(&mut self, key: &K) {
        let Ok(at) = self.at(key) else { return };
        match self {
            Few::More(entries) if entries.len() > 1 => drop(entries.remove(at)),
            _ => *self = Few::None,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries().iter().map(|(key, value)| (key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries_mut().iter_mut().map(|(key, value)| (&*key, value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries().iter().map(|(_, value)| value)
    }

    /// Where the entry is, or would be.
    fn at(&self, key: &K) -> Result<usize, usize> {
        self.entries().binary_search_by(|(known, _)| known.cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map_in_order() {
        let mut few = Few::default();
        assert!(few.is_empty() && !few.contains_key(&2) && few.get(&2).is_none());
        for key in [2, 3, 1] {
            few.insert(key, key * 10);
        }
        few.insert(2, 5);
        *few.get_mut(&3).unwrap() += 1;
        few.iter_mut().for_each(|(_, value)| *value += 1);
        assert_eq!(few.iter().collect::<Vec<_>>(), [(&1, &11), (&2, &6), (&3, &32)]);
        few.remove(&2);
        few.remove(&9);
        assert_eq!(few.values().collect::<Vec<_>>(), [&11, &32]);
        assert!(few.contains_key(&1) && !few.contains_key(&2) && !few.is_empty());
        let mut one = Few::default();
        one.insert(1, 2);
        one.remove(&5);
        assert_eq!((one.get(&1), size_of::<Few<usize, u64>>()), (Some(&2), 24));
        one.remove(&1);
        assert!(one.is_empty());
        // Many are inserted in the time that they need.
        (0..1000).for_each(|key| few.insert(key, key));
        assert_eq!(few.iter().map(|(key, _)| *key).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    }
}
