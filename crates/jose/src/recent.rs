//! A bounded memory of what was found recently, in two generations: what nobody asks for any more falls out by itself.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 8;

/// Keeps between `per_generation` and twice as many values.
pub(crate) struct Recent<K, V> {
    hasher: RandomState,
    shards: Vec<Mutex<Generations<K, V>>>,
    per_shard: usize,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(per_generation: usize) -> Self {
        let empty = || {
            Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
            })
        };
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| empty()).collect(),
            per_shard: per_generation.div_ceil(SHARDS).max(1),
        }
    }

    pub(crate) fn get<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut shard = self
            .shard(key)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = shard.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = shard.old.remove_entry(key)?;
        self.put(&mut shard, key, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        if let Some(shard) = self.shard(&key) {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            self.put(&mut shard, key, value);
        }
    }

    fn put(&self, shard: &mut Generations<K, V>, key: K, value: V) {
        if shard.young.len() >= self.per_shard {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(key, value);
    }

    fn shard<Q: ?Sized + Hash>(&self, key: &Q) -> Option<&Mutex<Generations<K, V>>> {
        #[allow(clippy::cast_possible_truncation)]
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards.get(at)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap());
        shards.map(|held| held.young.len() + held.old.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let recent: Recent<String, u32> = Recent::new(80);
        recent.insert("kept".to_owned(), 7);
        for number in 0..10_000 {
            recent.insert(number.to_string(), number);
            assert_eq!(recent.get("kept"), Some(7), "{number}");
        }
        assert!(recent.len() <= 2 * 80 + SHARDS, "{}", recent.len());
        assert_eq!(recent.get("9999"), Some(9_999));
        assert_eq!(recent.get("0"), None);
    }
}
