//! Versions and histories, newest first.

use super::{MAX_REMEMBERED, MAX_ROWS_LOOKED_AT, View, too_many};
use crate::sqlite::db::unavailable;
use crate::sqlite::lens::{ANY, Placed};
use crate::{Granted, Record, RepoId, StoreError};
use std::collections::HashMap;

impl View<'_> {
    /// Places of versions of these types before `before`, newest first, at most `limit`.
    fn places(
        &self,
        repo: RepoId,
        types: &[u32],
        before: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let mut places: Vec<u64> = Vec::new();
        let mut statement = self
            .lens
            .log
            .prepare_cached(
                "SELECT seq FROM version WHERE repo = ?1 AND type = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4",
            )
            .map_err(unavailable)?;
        for rtype in types {
            let rows = statement
                .query_map(
                    rusqlite::params![repo.0, rtype, before, limit as u64],
                    |r| r.get(0),
                )
                .map_err(unavailable)?;
            for place in rows {
                places.push(place.map_err(unavailable)?);
            }
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        places.truncate(limit);
        Ok(places)
    }

    /// A version, if it passes the filter itself.
    pub(super) fn version(
        &self,
        grant: &Granted,
        rid: u64,
        seq: u64,
    ) -> Result<Option<Record>, StoreError> {
        let Some(version) = self.lens.version(rid, seq)? else {
            return Ok(None);
        };
        let placed = Placed {
            seq,
            head: version.head,
        };
        let head = self.head(version.rid, placed)?;
        Ok(grant.filter().admits(&head).then_some(Record {
            head,
            body: version.body,
        }))
    }

    pub(super) fn instance_history(
        &self,
        grant: &Granted,
        rid: u64,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let Some(newest) = self.visible(grant, rid)? else {
            return Ok(Vec::new());
        };
        let mut out = Vec::new();
        for seq in self.lens.chain(newest.seq.0)? {
            if out.len() >= limit {
                break;
            }
            if seq < before
                && let Some(record) = self.version(grant, rid, seq)?
            {
                out.push(record);
            }
        }
        Ok(out)
    }

    pub(super) fn type_history(
        &self,
        grant: &Granted,
        repo: RepoId,
        types: &[u32],
        mut before: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut out = Vec::new();
        let mut verdicts: HashMap<u64, bool> = HashMap::new();
        let chunk = limit.clamp(64, 1_024);
        let mut looked_at = 0;
        while out.len() < limit {
            let places = self.places(repo, types, before, chunk)?;
            for seq in &places {
                before = *seq;
                looked_at += 1;
                if looked_at > MAX_ROWS_LOOKED_AT {
                    return Err(too_many(MAX_ROWS_LOOKED_AT));
                }
                let Some(record) = self.version(grant, ANY, *seq)? else {
                    continue;
                };
                let rid = record.head.rid.0;
                let shown = match verdicts.get(&rid) {
                    Some(shown) => *shown,
                    None => {
                        let shown = self.visible(grant, rid)?.is_some();
                        if verdicts.len() < MAX_REMEMBERED {
                            verdicts.insert(rid, shown);
                        }
                        shown
                    }
                };
                if shown {
                    out.push(record);
                }
                if out.len() >= limit {
                    break;
                }
            }
            if places.len() < chunk {
                break;
            }
        }
        Ok(out)
    }
}
