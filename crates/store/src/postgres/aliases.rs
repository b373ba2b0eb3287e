//! Merged persons: which key leads to which. The whole table is kept in memory; it is small.

use crate::PersonKey;
use std::collections::{BTreeSet, HashMap};

/// More steps than any real chain of merges; a circle cannot be committed, this is the second lock.
const MAX_STEPS: usize = 64;

/// Who leads to whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Aliases {
    to: HashMap<PersonKey, PersonKey>,
    from: HashMap<PersonKey, BTreeSet<PersonKey>>,
}

impl Aliases {
    /// `source` leads to `target`, and to nothing else.
    pub(super) fn set(&mut self, source: PersonKey, target: PersonKey) {
        self.remove(source);
        self.to.insert(source, target);
        self.from.entry(target).or_default().insert(source);
    }

    /// `source` stands alone; where it led to.
    pub(super) fn remove(&mut self, source: PersonKey) -> Option<PersonKey> {
        let old = self.to.remove(&source)?;
        if let Some(set) = self.from.get_mut(&old) {
            set.remove(&source);
        }
        Some(old)
    }

    /// The key in which the chain ends.
    pub(super) fn root(&self, key: PersonKey) -> PersonKey {
        let mut at = key;
        for _ in 0..MAX_STEPS {
            match self.to.get(&at) {
                Some(next) => at = *next,
                None => return at,
            }
        }
        at
    }

    /// All keys that end in the same key, itself included.
    pub(super) fn same(&self, key: PersonKey) -> BTreeSet<PersonKey> {
        let mut all = BTreeSet::from([self.root(key)]);
        let mut open: Vec<PersonKey> = all.iter().copied().collect();
        while let Some(next) = open.pop() {
            for source in self.from.get(&next).into_iter().flatten() {
                if all.insert(*source) {
                    open.push(*source);
                }
            }
        }
        all
    }

    /// Roots of a list, in its order, each once.
    pub(super) fn roots(&self, keys: &[PersonKey]) -> Vec<PersonKey> {
        let mut out: Vec<PersonKey> = Vec::with_capacity(keys.len());
        for key in keys {
            let root = self.root(*key);
            if !out.contains(&root) {
                out.push(root);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_end_and_split() {
        let k = PersonKey;
        let mut a = Aliases::default();
        a.set(k(1), k(2));
        a.set(k(2), k(3));
        a.set(k(4), k(2));
        assert_eq!(a.root(k(1)), k(3));
        assert_eq!(a.root(k(9)), k(9));
        assert_eq!(a.same(k(2)), [k(1), k(2), k(3), k(4)].into());
        assert_eq!(a.roots(&[k(1), k(9), k(3)]), [k(3), k(9)]);
        assert_eq!(a.remove(k(2)), Some(k(3)));
        assert_eq!(a.same(k(1)), [k(1), k(2), k(4)].into());
        a.set(k(2), k(1));
        let _ = a.root(k(1));
        assert_eq!(a.same(k(1)), [k(1), k(2), k(4)].into());
    }
}
