//! One-time ids that have been used, in memory: a bounded set whose members expire.
//!
//! A mark is 16 bytes of a hash, so that a million of them cost some 60 MB whatever the senders' ids looked like.
//! Invariants: of several insertions of one id at the same moment one succeeds; a live mark is never forgotten to make
//! room, a full set refuses.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::encoding::sha256;
use crate::state::StateError;

const SHARDS: usize = 16;

/// What is remembered of a one-time id.
pub type MarkId = [u8; 16];

/// The mark of a key.
#[must_use]
pub fn mark_id(key: &str) -> MarkId {
    let mut id = MarkId::default();
    let digest = sha256(key.as_bytes());
    let (half, _) = digest.split_at(id.len());
    id.copy_from_slice(half);
    id
}

/// The set.
pub struct MarkSet {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    max_per_shard: usize,
}

#[derive(Default)]
struct Shard {
    live: HashMap<MarkId, i64>,
    by_expiry: BTreeMap<i64, Vec<MarkId>>,
}

impl Shard {
    fn sweep(&mut self, now_s: i64) {
        while let Some(first) = self.by_expiry.first_entry()
            && *first.key() <= now_s
        {
            for id in first.remove() {
                // A mark that was taken back and set again stands in two lists.
                if self.live.get(&id).is_some_and(|at_s| *at_s <= now_s) {
                    self.live.remove(&id);
                }
            }
        }
    }
}

impl MarkSet {
    /// A set of about `max` live marks.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max_per_shard: max.div_ceil(SHARDS).max(1),
        }
    }

    /// Sets a mark; `false` when it is set already.
    ///
    /// # Errors
    /// [`StateError::Full`].
    pub fn insert(&self, id: MarkId, expires_s: i64, now_s: i64) -> Result<bool, StateError> {
        let mut shard = self.shard(&id).ok_or(StateError::Full)?;
        shard.sweep(now_s);
        if shard.live.contains_key(&id) {
            return Ok(false);
        }
        // Already over: nothing to remember, and nothing would ever sweep it.
        if expires_s <= now_s {
            return Ok(true);
        }
        if shard.live.len() >= self.max_per_shard {
            return Err(StateError::Full);
        }
        shard.live.insert(id, expires_s);
        shard.by_expiry.entry(expires_s).or_default().push(id);
        Ok(true)
    }

    /// Sets all marks, or none: then the number of the first that is set already. While this runs, another caller may
    /// be refused because of a mark that is taken back afterwards; never may two callers succeed.
    ///
    /// # Errors
    /// [`StateError::Full`].
    pub fn insert_all(
        &self,
        marks: &[(MarkId, i64)],
        now_s: i64,
    ) -> Result<Option<usize>, StateError> {
        for (number, (id, expires_s)) in marks.iter().enumerate() {
            match self.insert(*id, *expires_s, now_s) {
                Ok(true) => {}
                taken_or_full => {
                    for (id, _) in marks.iter().take(number) {
                        self.remove(id);
                    }
                    return taken_or_full.map(|_| Some(number));
                }
            }
        }
        Ok(None)
    }

    /// Whether a live mark is set.
    #[must_use]
    pub fn contains(&self, id: &MarkId, now_s: i64) -> bool {
        let shard = self.shard(id);
        shard.is_some_and(|shard| shard.live.get(id).is_some_and(|at_s| *at_s > now_s))
    }

    /// Takes a mark back, whose act did not come about.
    pub fn remove(&self, id: &MarkId) {
        if let Some(mut shard) = self.shard(id) {
            shard.live.remove(id);
        }
    }

    /// Number of marks kept.
    #[must_use]
    pub fn len(&self) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| lock(shard).live.len()).sum()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, id: &MarkId) -> Option<MutexGuard<'_, Shard>> {
        #[allow(clippy::cast_possible_truncation)]
        let at = self.hasher.hash_one(id) as usize % SHARDS;
        self.shards.get(at).map(lock)
    }
}

/// Every operation leaves a shard consistent, so a poisoned lock is still usable.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn id(number: u32) -> MarkId {
        mark_id(&number.to_string())
    }

    #[test]
    fn of_many_callers_one_succeeds() {
        let set = MarkSet::new(1_000);
        for round in 0..50 {
            let wins = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        if set.insert(id(round), 100, 0).unwrap() {
                            wins.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
            assert_eq!(wins.into_inner(), 1, "{round}");
        }
    }

    #[test]
    fn all_or_none() {
        let set = MarkSet::new(1_000);
        assert_eq!(set.insert_all(&[(id(1), 10), (id(2), 10)], 0), Ok(None));
        assert_eq!(
            set.insert_all(&[(id(3), 10), (id(2), 10), (id(4), 10)], 0),
            Ok(Some(1))
        );
        assert_eq!(set.len(), 2, "the third was taken back");
        assert_eq!(set.insert_all(&[(id(3), 10), (id(4), 10)], 0), Ok(None));
        assert_eq!(set.insert_all(&[(id(5), 10), (id(5), 10)], 0), Ok(Some(1)));
    }

    #[test]
    fn marks_expire_and_make_room() {
        let set = MarkSet::new(SHARDS);
        let mut kept = 0;
        for number in 0..200 {
            match set.insert(id(number), 10, 0) {
                Ok(true) => kept += 1,
                other => assert_eq!(other, Err(StateError::Full)),
            }
        }
        assert!(kept <= SHARDS, "{kept}");
        assert_eq!(set.len(), kept);
        assert_eq!(set.insert(id(1_000), 20, 10), Ok(true));
        assert_eq!(set.insert(id(1_000), 20, 19), Ok(false));
        assert!(set.contains(&id(1_000), 19) && !set.contains(&id(1_000), 20));
        assert!(!set.contains(&id(1_001), 19));
        assert_eq!(set.insert(id(1_000), 30, 20), Ok(true));
        assert_eq!(set.insert(id(1_000), 30, 21), Ok(false), "set anew");
        for number in 0..200 {
            assert_eq!(set.insert(id(number), 21, 21), Ok(true), "over already");
        }
    }

    #[test]
    fn a_mark_taken_back_and_set_again_lives_as_long_as_the_second_says() {
        let set = MarkSet::new(100);
        assert_eq!(set.insert(id(1), 10, 0), Ok(true));
        set.remove(&id(1));
        assert_eq!(set.insert(id(1), 20, 0), Ok(true));
        assert_eq!(set.insert(id(1), 30, 15), Ok(false));
        assert_eq!(set.insert(id(1), 30, 20), Ok(true));
    }
}
