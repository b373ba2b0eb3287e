//! Heads that a walk over index rows has just met: whoever walks fetches the records next, and need not have their heads
//! looked up again.

use crate::{Granted, Head, Rid};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// More are not kept.
const MOST: usize = 2_000;
/// For the next step of the same request and no longer: a purge hides a record at once.
const LIFE: Duration = Duration::from_millis(500);

/// Heads of live records at one snapshot, whatever grant they were met with.
#[derive(Default)]
pub(super) struct Met(Mutex<Heads>);

#[derive(Default)]
struct Heads {
    by_rid: HashMap<Rid, Head>,
    since: Option<Instant>,
}

impl Met {
    /// The heads, none that are older than their life.
    fn fresh(&self) -> MutexGuard<'_, Heads> {
        let mut heads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heads.since.is_none_or(|since| since.elapsed() > LIFE) {
            heads.by_rid.clear();
            heads.since = Some(Instant::now());
        }
        heads
    }

    /// Keeps some.
    pub(super) fn keep(&self, met: Vec<Head>) {
        let mut heads = self.fresh();
        if heads.by_rid.len() + met.len() <= MOST {
            heads.by_rid.extend(met.into_iter().map(|h| (h.rid, h)));
        }
    }

    /// Those of the records that the grant lets through; `None` unless all of them were met.
    pub(super) fn all(&self, grant: &Granted, rids: &[Rid]) -> Option<HashMap<Rid, Head>> {
        let heads = self.fresh();
        let all: Option<Vec<&Head>> = rids.iter().map(|rid| heads.by_rid.get(rid)).collect();
        let admitted = all?.into_iter().filter(|h| grant.filter().admits(h));
        Some(admitted.map(|h| (h.rid, h.clone())).collect())
    }
}
