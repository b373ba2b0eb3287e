//! Index rows of commits that are flushed but not folded into `index.db` yet.
//!
//! A generation is filled by the writer, frozen at the end of a batch, folded in order, and dropped only after its fold
//! has committed. Readers pin generations (by `Arc`) before they look at the index file, so a row is always seen at least
//! once; seen twice does not matter, because (key, record, place) is unique.

use super::shared::locked;
use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

const PREFIX: usize = 16;

/// An index key in the shape that compares fast: most comparisons end in the first 16 bytes, and short keys own no heap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RowKey {
    prefix: [u8; PREFIX],
    // Order matters: for equal padded prefixes the rest decides, then the length (a shorter key of two short ones).
    rest: Box<[u8]>,
    len: u16,
}

impl RowKey {
    pub(super) fn new(k: &[u8]) -> Self {
        let mut prefix = [0; PREFIX];
        for (to, from) in prefix.iter_mut().zip(k) {
            *to = *from;
        }
        Self {
            prefix,
            rest: k.get(PREFIX..).unwrap_or_default().into(),
            len: k.len().min(u16::MAX.into()) as u16,
        }
    }

    /// The key's bytes, appended to a cleared buffer.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend(self.prefix.iter().take(self.len.into()));
        out.extend_from_slice(&self.rest);
    }

    #[cfg(test)]
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len.into());
        self.write_to(&mut out);
        out
    }
}

/// One row: key, record, place of the version that carries it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub key: RowKey,
    pub rid: u64,
    pub seq: u64,
}

/// A version that took another's place; the older one's rows are kept for paging and then removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superseded {
    /// The newer version.
    pub seq: u64,
    /// Its commit time.
    pub at: i64,
    pub rid: u64,
    /// The older version.
    pub prev_seq: u64,
    /// Of a repository that is never read by index at an earlier place: the older one's rows need not be kept.
    pub at_once: bool,
}

/// Rows of a stretch of the log.
#[derive(Debug, Default)]
pub(super) struct Generation {
    rows: RwLock<BTreeSet<Row>>,
    /// Rows that came and were not put in their places yet: whoever reads next does it, not the writer, whom everybody
    /// waits for.
    fresh: Mutex<Vec<Row>>,
    count: AtomicUsize,
    superseded: Mutex<Vec<Superseded>>,
    last_seq: AtomicU64,
}

impl Generation {
    /// Adds the rows of a flushed batch that ends at `last_seq`; how many there are now, repeated ones counted twice.
    pub(super) fn add(&self, rows: Vec<Row>, superseded: &[Superseded], last_seq: u64) -> usize {
        let count = self.count.fetch_add(rows.len(), SeqCst) + rows.len();
        locked(&self.fresh).extend(rows);
        locked(&self.superseded).extend_from_slice(superseded);
        self.last_seq.store(last_seq, SeqCst);
        count
    }

    /// All rows that were added before.
    fn rows(&self) -> RwLockReadGuard<'_, BTreeSet<Row>> {
        if !locked(&self.fresh).is_empty() {
            // Whoever finds nothing fresh because of this waits for the rows themselves.
            let mut set = self.rows.write().unwrap_or_else(PoisonError::into_inner);
            let mut fresh = std::mem::take(&mut *locked(&self.fresh));
            // Neighbours find the same nodes; a set made of sorted rows is built in one go.
            fresh.sort_unstable();
            if set.is_empty() {
                *set = fresh.into_iter().collect();
            } else {
                set.extend(fresh);
            }
        }
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq.load(SeqCst)
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(SeqCst)
    }

    fn superseded(&self) -> Vec<Superseded> {
        locked(&self.superseded).clone()
    }

    /// Rows that the index gets, in order, and the versions whose rows stay there for a while; only for frozen
    /// generations. A version that came after `begin` and was superseded here gets no rows at all when they need not be
    /// kept: most records of a queue come and change within seconds. Whoever could still read them pins this generation.
    pub(super) fn for_index<E>(
        &self,
        begin: u64,
        mut f: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<Vec<Superseded>, E> {
        let (passed, kept): (Vec<_>, Vec<_>) = self
            .superseded()
            .into_iter()
            .partition(|s| s.at_once && s.prev_seq > begin);
        let passed: HashSet<u64> = passed.into_iter().map(|s| s.prev_seq).collect();
        self.rows()
            .iter()
            .filter(|row| !passed.contains(&row.seq))
            .try_for_each(&mut f)?;
        Ok(kept)
    }

    /// Up to `limit` rows inside the bounds, ascending or descending.
    pub(super) fn chunk(
        &self,
        bounds: (Bound<Row>, Bound<Row>),
        descending: bool,
        limit: usize,
    ) -> Vec<Row> {
        if crossed(&bounds) {
            return Vec::new();
        }
        let set = self.rows();
        let range = set.range(bounds);
        if descending {
            range.rev().take(limit).cloned().collect()
        } else {
            range.take(limit).cloned().collect()
        }
    }

    /// How many rows there are inside the bounds, up to `limit`.
    pub(super) fn count(&self, bounds: (Bound<Row>, Bound<Row>), limit: usize) -> usize {
        if crossed(&bounds) {
            return 0;
        }
        let set = self.rows();
        set.range(bounds).take(limit).count()
    }
}

/// `BTreeSet::range` panics on crossed bounds.
fn crossed(bounds: &(Bound<Row>, Bound<Row>)) -> bool {
    match bounds {
        (Bound::Included(a), Bound::Included(b)) => a > b,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
            a >= b
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn row_keys_order_like_their_bytes(
            a in prop::collection::vec(0u8..3, 0..24), b in prop::collection::vec(0u8..3, 0..24)
        ) {
            let (x, y) = (RowKey::new(&a), RowKey::new(&b));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.bytes(), a);
        }
    }

    #[test]
    fn chunks_respect_bounds_and_direction() {
        let row = |k: u8, rid| Row {
            key: RowKey::new(&[k]),
            rid,
            seq: 1,
        };
        let g = Generation::default();
        g.add((0..10).map(|k| row(k, 1)).collect(), &[], 10);
        let bounds = (Bound::Included(row(2, 0)), Bound::Excluded(row(5, 0)));
        let firsts = |rows: Vec<Row>| rows.iter().map(|r| r.key.bytes()[0]).collect::<Vec<_>>();
        assert_eq!(firsts(g.chunk(bounds.clone(), false, 9)), [2, 3, 4]);
        assert_eq!(firsts(g.chunk(bounds, true, 2)), [4, 3]);
        let crossed = (Bound::Excluded(row(5, 0)), Bound::Excluded(row(5, 0)));
        assert!(g.chunk(crossed.clone(), false, 9).is_empty());
        let bounds = (Bound::Included(row(2, 0)), Bound::Excluded(row(5, 0)));
        assert_eq!((g.count(bounds.clone(), 9), g.count(bounds, 2)), (3, 2));
        assert_eq!(g.count(crossed, 9), 0);
    }

    #[test]
    fn what_came_and_went_in_one_generation_gets_no_rows() {
        let row = |k: u8, seq| Row {
            key: RowKey::new(&[k]),
            rid: 1,
            seq,
        };
        let gone = |seq, prev_seq, at_once| Superseded {
            seq,
            at: 0,
            rid: 1,
            prev_seq,
            at_once,
        };
        let g = Generation::default();
        let rows = [(1, 11), (2, 12), (3, 13), (4, 14)].map(|(k, seq)| row(k, seq));
        // 9 stands in the index already; 12 must be kept; 13 is the newest of its record.
        let superseded = [gone(11, 9, true), gone(12, 11, true), gone(14, 12, false)];
        g.add(rows.into(), &superseded, 14);
        let mut places = Vec::new();
        let kept = g.for_index(10, |row| {
            places.push(row.seq);
            Ok::<_, ()>(())
        });
        assert_eq!(places, [12, 13, 14]);
        assert_eq!(kept, Ok(vec![superseded[0], superseded[2]]));
    }
}
