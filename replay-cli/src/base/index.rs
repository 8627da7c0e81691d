//! A map to numbers of things that hold their keys themselves: five bytes an entry, whatever the key takes.

use std::fmt;
use std::hash::{BuildHasher as _, Hash};

use hashbrown::HashTable;

use crate::base::hash::Quick;

/// Finds the number of a thing by its key. Each call is given the keys by number.
#[derive(Default)]
pub(crate) struct Index {
    numbers: HashTable<u32>,
    hash: Quick,
}

impl Index {
    /// The number that is known by this key.
    pub(crate) fn find<K: Hash + Eq>(
        &self,
        key: &K,
        of: impl Fn(usize) -> Option<K>,
    ) -> Option<usize> {
        let same = |number: &u32| of(*number as usize).as_ref() == Some(key);
        let found = self.numbers.find(self.hash.hash_one(key), same);
        found.map(|number| *number as usize)
    }

    /// Lets this number be known by its key; returns the number that it had before.
    pub(crate) fn insert<K: Hash + Eq>(
        &mut self,
        key: &K,
        number: usize,
        of: impl Fn(usize) -> Option<K>,
    ) -> Option<usize> {
        // Nothing that is counted here comes near: each takes a hundred bytes of memory.
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let hash = self.hash.hash_one(key);
        let same = |number: &u32| of(*number as usize).as_ref() == Some(key);
        if let Some(known) = self.numbers.find_mut(hash, same) {
            return Some(std::mem::replace(known, number) as usize);
        }
        self.numbers.insert_unique(hash, number, |number| {
            of(*number as usize).map_or(0, |key| self.hash.hash_one(&key))
        });
        None
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("entries", &self.numbers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_finds_the_newest_number_that_has_it() {
        let keys: Vec<u64> = (0..10_000).map(|number| number % 4_000).collect();
        let of = |number: usize| keys.get(number).copied();
        let mut index = Index::default();
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(index.find(key, of), number.checked_sub(4_000));
            assert_eq!(index.insert(key, number, of), number.checked_sub(4_000));
        }
        assert_eq!(index.find(&17, of), Some(8_017));
        assert_eq!(index.find(&4_000, of), None);
    }
}
