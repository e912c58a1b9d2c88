//! A memory of results that take long to make, such as parsed URLs, by the texts that they are made from.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// The most results that are remembered.
const MOST: usize = 1024;

/// Results by their keys. With too many, all are forgotten: keys come from certificates, which anybody can make.
#[derive(Debug)]
pub(crate) struct Memo<K, V>(HashMap<K, V>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Memo(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).cloned()
    }

    pub(crate) fn insert(&mut self, key: impl Into<K>, value: V) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(key.into(), value);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_a_limited_number() {
        let mut memo: Memo<Box<str>, usize> = Memo::default();
        for number in 0..10 * MOST {
            memo.insert(number.to_string(), number);
            assert_eq!(memo.get(number.to_string().as_str()), Some(number));
            assert!(memo.0.len() <= MOST);
        }
        memo.clear();
        assert_eq!(memo.get("1"), None);
    }
}
