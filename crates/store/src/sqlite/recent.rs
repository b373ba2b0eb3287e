//! Records of a type by their newest version, newest first: the order of commit times without an index of them.
//!
//! Walks the log's own index by type. What a bulk load brought stands at one place, behind everything that came after it
//! (a load goes into an empty repository), and follows in record order.

use super::db::unavailable;
use super::reader::View;
use crate::{Granted, Head, Patience, RepoId, Rid, Seq, StoreError};

/// Places read at a time.
const CHUNK: u64 = 256;

impl View<'_> {
    /// Heads after a place, at most `limit`.
    pub(super) fn newest_of_type(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        after: Option<(Seq, Rid)>,
        limit: usize,
    ) -> Result<Vec<Head>, StoreError> {
        let mut out = Vec::new();
        let Some(number) = self.types.number(rtype) else {
            return Ok(out);
        };
        let is_loaded = after.is_some_and(|(seq, _)| self.lens.loads.is_load(seq.0));
        let mut before = after.map_or(self.lens.seq + 1, |(seq, _)| seq.0);
        while !is_loaded && out.len() < limit {
            Patience::check()?;
            let places = self.versions_before(repo, number, before)?;
            for (seq, rid) in &places {
                before = *seq;
                if let Some(head) = self.live(grant, *rid)?.filter(|h| h.seq.0 == *seq) {
                    out.push(head);
                    if out.len() >= limit {
                        return Ok(out);
                    }
                }
            }
            if (places.len() as u64) < CHUNK {
                break;
            }
        }
        for load in self.lens.loads.finished_in(repo.0) {
            if load > self.lens.seq || (is_loaded && after.is_some_and(|(seq, _)| seq.0 < load)) {
                continue;
            }
            let mut last = match after {
                Some((seq, rid)) if seq.0 == load => rid.0,
                _ => 0,
            };
            while out.len() < limit {
                Patience::check()?;
                let rids = self.loaded_after(load, number, last)?;
                for rid in &rids {
                    last = *rid;
                    if let Some(head) = self.live(grant, *rid)?.filter(|h| h.seq.0 == load) {
                        out.push(head);
                        if out.len() >= limit {
                            return Ok(out);
                        }
                    }
                }
                if (rids.len() as u64) < CHUNK {
                    break;
                }
            }
        }
        Ok(out)
    }

    /// (place, record) of versions before a place, newest first.
    fn versions_before(
        &self,
        repo: RepoId,
        rtype: u32,
        before: u64,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        self.lens
            .log
            .prepare_cached(
                "SELECT seq, rid FROM version WHERE repo = ?1 AND type = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4",
            )
            .and_then(|mut s| {
                s.query_map(rusqlite::params![repo.0, rtype, before, CHUNK], |r| {
                    Ok((r.get(0)?, r.get(1)?))
                })?
                .collect()
            })
            .map_err(unavailable)
    }

    /// Records of a load and type after a record, ascending.
    fn loaded_after(&self, seq: u64, rtype: u32, after: u64) -> Result<Vec<u64>, StoreError> {
        let Some(load) = self.lens.loads.number_at(seq) else {
            return Ok(Vec::new());
        };
        self.lens
            .log
            .prepare_cached(
                "SELECT rid FROM loaded WHERE rid > ?1 AND load = ?2 AND type = ?3 ORDER BY rid LIMIT ?4",
            )
            .and_then(|mut s| {
                s.query_map(rusqlite::params![after, load, rtype, CHUNK], |r| r.get(0))?
                    .collect()
            })
            .map_err(unavailable)
    }
}
