//! Resources as they were written into a page, kept for the next page: the first page of a common search is asked for
//! again and again, and to fetch, unpack and dress its records costs more than all else in it.
//!
//! Only what a version of a record *is* is kept, never whether it counts: which version is the newest one, and whether
//! the reader may see it, the store tells for every page anew ([`store::Reader::places`]). A version never changes, so
//! what is kept of it is never old; a record that was changed, deleted or purged has no such version any more, although
//! its bytes stay in this memory until another resource takes their place. Kept for open repositories only, which hold
//! synthetic data: elsewhere what a resource looks like depends on who reads it, and nothing may outlive a purge.

use crate::outcome::Failure;
use crate::render::{self, Entry};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::{Granted, Record, Rid, Seq, Snapshot};

/// Places for resources.
const PLACES: usize = 1 << 14;
/// Larger resources are not kept: [`PLACES`] of them bound the memory (64 MiB).
const MAX_BYTES: usize = 4 << 10;

/// A version of a record.
struct Kept {
    /// After a restore a place may mean another version.
    incarnation: uuid::Uuid,
    rid: Rid,
    seq: Seq,
    /// `Type/id`.
    address: String,
    json: Bytes,
}

/// Resources of one repository; each has one place, which the next one takes from it.
pub(crate) struct Rendered {
    places: Box<[Mutex<Option<Arc<Kept>>>]>,
    incarnation: Box<dyn Fn() -> uuid::Uuid + Send + Sync>,
}

impl Rendered {
    /// Empty.
    pub fn new(incarnation: impl Fn() -> uuid::Uuid + Send + Sync + 'static) -> Self {
        Self {
            places: (0..PLACES).map(|_| Mutex::default()).collect(),
            incarnation: Box::new(incarnation),
        }
    }

    fn place(&self, rid: Rid) -> Option<&Mutex<Option<Arc<Kept>>>> {
        // Records of one load follow one another: neighbours get places far apart.
        let mixed = rid.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.places.get(usize::try_from(mixed).ok()? % PLACES)
    }

    fn kept(&self, rid: Rid, incarnation: uuid::Uuid) -> Option<Arc<Kept>> {
        let kept = self
            .place(rid)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        (kept.rid == rid && kept.incarnation == incarnation).then_some(kept)
    }

    fn keep(&self, kept: &Arc<Kept>) {
        if kept.json.len() <= MAX_BYTES
            && let Some(place) = self.place(kept.rid)
        {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(kept));
        }
    }

    /// Matches of a page as entries, in their order, whole; what is not live or not visible at the snapshot is left out.
    pub fn entries(
        &self,
        snapshot: &Snapshot,
        granted: &Granted,
        rids: &[Rid],
        base: &str,
    ) -> Result<Vec<Entry>, Failure> {
        let incarnation = (self.incarnation)();
        let mut found: HashMap<Rid, Arc<Kept>> = HashMap::with_capacity(rids.len());
        for rid in rids {
            if let Some(kept) = self.kept(*rid, incarnation) {
                found.insert(*rid, kept);
            }
        }
        let known: Vec<Rid> = found.keys().copied().collect();
        let places: HashMap<Rid, Seq> = snapshot.places(granted, &known)?.into_iter().collect();
        found.retain(|rid, kept| places.get(rid) == Some(&kept.seq));
        let missing: Vec<Rid> = rids
            .iter()
            .filter(|rid| !found.contains_key(rid))
            .copied()
            .collect();
        if !missing.is_empty() {
            for record in snapshot.fetch(granted, &missing)? {
                let kept = Arc::new(of(&record, incarnation)?);
                self.keep(&kept);
                found.insert(kept.rid, kept);
            }
        }
        Ok(rids
            .iter()
            .filter_map(|rid| found.get(rid))
            .map(|kept| Entry {
                full_url: Some(format!("{base}/{}", kept.address)),
                resource: Some(kept.json.clone()),
                search_mode: Some("match"),
                ..Entry::default()
            })
            .collect())
    }
}

fn of(record: &Record, incarnation: uuid::Uuid) -> Result<Kept, Failure> {
    let head = &record.head;
    Ok(Kept {
        incarnation,
        rid: head.rid,
        seq: head.seq,
        address: format!("{}/{}", head.rtype, head.id),
        json: render::resource(record)?,
    })
}
