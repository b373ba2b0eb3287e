//! Keys made anew for versions that stay as they are.
//!
//! New rows first, then the keys in the log, then the rows that are not wanted any more: a search finds a record by its
//! old keys or by its new ones at every moment. Between the two changes of the index a mark stands in it; an index that
//! is opened with the mark is made again from the log.

use super::Inner;
use super::codec::{self, CODEC_ERASED};
use super::db::unavailable;
use super::fold::Folder;
use super::lens::{Lens, NEWEST, all_index_keys};
use super::memtable::{Row, RowKey};
use super::shared::{LOAD_BASE, locked};
use crate::{IndexKey, MAX_KEY_BYTES, MAX_KEYS, MAX_REKEY, Rekey, RepoId, Rid, StoreError};
use rusqlite::params;
use std::collections::BTreeSet;
use std::time::Duration;

/// Mark in the index while its rows and the log's keys may differ.
pub(super) const MARK: &str = "rekeying";
/// How often a reader may stand in the way of bringing the mark to disk.
const PATIENCE: usize = 100;

/// An index row as stored: key, record, place.
type Stored = (Vec<u8>, u64, u64);

/// One version on its way.
struct Step {
    rid: u64,
    seq: u64,
    keys: Vec<u8>,
    pack: u32,
    old: BTreeSet<Stored>,
    new: BTreeSet<Stored>,
}

impl Inner {
    pub(super) fn outdated(
        &self,
        repo: RepoId,
        pack: u32,
        after: Rid,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError> {
        self.running()?;
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.pool.with(|reading| {
            let mut statement = reading
                .log
                .prepare_cached(
                    "SELECT h.rid FROM head h JOIN version v ON v.seq = h.seq
                      WHERE h.rid > ?1 AND v.repo = ?2 AND v.op IN (2, 3) AND v.pack <> ?3 AND v.codec <> ?4
                     UNION
                     SELECT h.rid FROM loaded l JOIN load n ON n.n = l.load AND n.seq IS NOT NULL
                       JOIN head h ON h.rid = l.rid AND h.seq = ?5 + l.load
                      WHERE h.rid > ?1 AND n.repo = ?2 AND l.pack <> ?3 AND l.codec <> ?4
                     ORDER BY 1 LIMIT ?6",
                )
                .map_err(unavailable)?;
            let base = i64::try_from(LOAD_BASE).unwrap_or(i64::MAX);
            let rows = statement
                .query_map(
                    params![after, repo.0, pack, CODEC_ERASED, base, limit],
                    |r| r.get(0),
                )
                .and_then(Iterator::collect::<Result<Vec<u64>, _>>)
                .map_err(unavailable)?;
            Ok(rows.into_iter().map(Rid).collect())
        })
    }

    pub(super) fn rekey(&self, repo: RepoId, changes: &[Rekey]) -> Result<usize, StoreError> {
        self.running()?;
        check(changes)?;
        // One at a time: the mark belongs to one round.
        let mut is_broken = locked(&self.rekeying);
        let was_broken = *is_broken;
        self.fold_all()?;
        let steps = {
            let folder = locked(&self.folder);
            let steps = self.steps(&folder, repo, changes)?;
            if steps.is_empty() {
                return Ok(0);
            }
            let mut rows: Vec<Row> = steps
                .iter()
                .flat_map(|s| s.new.difference(&s.old))
                .map(|(k, rid, seq)| Row {
                    key: RowKey::new(k),
                    rid: *rid,
                    seq: *seq,
                })
                .collect();
            rows.sort_unstable();
            folder.mark(true)?;
            *is_broken = true;
            folder.insert(&rows)?;
            steps
        };
        let mut tries = 0;
        while !self.truncate_index()? {
            tries += 1;
            if tries > PATIENCE {
                return Err(StoreError::Unavailable(
                    "a long reader stands in the way of making keys anew".to_owned(),
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let writes: Vec<(u64, u64, Vec<u8>, u32)> = steps
            .iter()
            .map(|s| (s.rid, s.seq, s.keys.clone(), s.pack))
            .collect();
        self.in_writer(move |batch| {
            for (rid, seq, keys, pack) in &writes {
                let (sql, key) = if batch.loads.is_load(*seq) {
                    (
                        "UPDATE loaded SET keys = ?2, pack = ?3 WHERE rid = ?1 AND codec <> ?4",
                        rid,
                    )
                } else {
                    (
                        "UPDATE version SET keys = ?2, pack = ?3 WHERE seq = ?1 AND codec <> ?4",
                        seq,
                    )
                };
                batch.execute(sql, params![key, keys, pack, CODEC_ERASED])?;
            }
            Ok(())
        })?;
        let folder = locked(&self.folder);
        let loads = self.loads.get();
        let lens = Lens {
            log: &folder.log,
            loads: &loads,
            seq: NEWEST,
        };
        let mut gone = Vec::new();
        for step in &steps {
            // Erased meanwhile: nothing of it stays. Superseded: its rows leave with the others, by the keys in the log.
            let keeps: BTreeSet<Stored> =
                lens.index_rows(step.rid, step.seq)?.into_iter().collect();
            gone.extend(
                step.old
                    .union(&step.new)
                    .filter(|r| !keeps.contains(*r))
                    .cloned(),
            );
            if !folder.counts(&lens, step)? {
                gone.extend(keeps);
            }
        }
        gone.sort_unstable();
        gone.dedup();
        folder.in_tx(|f| {
            f.remove(&gone)?;
            // What an earlier round left behind is only mended by an index made again.
            if was_broken { Ok(()) } else { f.mark(false) }
        })?;
        *is_broken = was_broken;
        Ok(steps.len())
    }

    /// What changes for the versions that are still the newest of their records, and folded.
    fn steps(
        &self,
        folder: &Folder,
        repo: RepoId,
        changes: &[Rekey],
    ) -> Result<Vec<Step>, StoreError> {
        let applied = folder.applied_now()?;
        let loads = self.loads.get();
        let lens = Lens {
            log: &folder.log,
            loads: &loads,
            seq: NEWEST,
        };
        let mut steps = Vec::with_capacity(changes.len());
        for change in changes {
            let Some(placed) = lens.head(change.rid.0)? else {
                continue;
            };
            let is_it = placed.head.repo == repo.0
                && placed.head.vno == change.vno.0
                && placed.head.live()
                && placed.seq <= applied;
            let old = lens.index_rows(change.rid.0, placed.seq)?;
            if !is_it || old.is_empty() {
                continue;
            }
            let mut keys = change.keys.clone();
            keys.sort_unstable();
            keys.dedup();
            let stored = loads.stored(placed.seq);
            let new = all_index_keys(&placed.head, &keys)
                .into_iter()
                .map(|k| (k, change.rid.0, stored))
                .collect();
            steps.push(Step {
                rid: change.rid.0,
                seq: placed.seq,
                keys: codec::pack_keys(&keys),
                pack: change.pack,
                old: old.into_iter().collect(),
                new,
            });
        }
        Ok(steps)
    }
}

impl Folder {
    fn mark(&self, is_set: bool) -> Result<(), StoreError> {
        let sql = if is_set {
            "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, 1)"
        } else {
            "DELETE FROM meta WHERE key = ?1"
        };
        self.index
            .prepare_cached(sql)
            .and_then(|mut s| s.execute([MARK]))
            .map(drop)
            .map_err(unavailable)
    }

    /// The version still is the newest of its record, or was until lately: its rows are looked at.
    fn counts(&self, lens: &Lens<'_>, step: &Step) -> Result<bool, StoreError> {
        if lens.newest(step.rid)? == Some(step.seq) {
            return Ok(true);
        }
        let seq = i64::try_from(step.seq).unwrap_or(i64::MAX);
        let applied = i64::try_from(self.applied_now()?).unwrap_or(i64::MAX);
        let is_kept: bool = self
            .index
            .prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM superseded WHERE rid = ?1 AND prev_seq = ?2)",
            )
            .and_then(|mut s| s.query_row(params![step.rid, seq], |r| r.get(0)))
            .map_err(unavailable)?;
        // A successor that is not folded yet is not in that table yet.
        let is_to_come: bool = lens
            .log
            .prepare_cached("SELECT EXISTS(SELECT 1 FROM version WHERE seq > ?1 AND rid = ?2)")
            .and_then(|mut s| s.query_row(params![applied, step.rid], |r| r.get(0)))
            .map_err(unavailable)?;
        Ok(is_kept || is_to_come)
    }
}

fn check(changes: &[Rekey]) -> Result<(), StoreError> {
    if changes.len() > MAX_REKEY {
        return Err(StoreError::Invalid(format!(
            "more than {MAX_REKEY} versions at once"
        )));
    }
    let is_wrong = |key: &IndexKey| key.value.len() > MAX_KEY_BYTES;
    match changes
        .iter()
        .any(|c| c.keys.len() > MAX_KEYS || c.keys.iter().any(is_wrong))
    {
        true => Err(StoreError::Invalid(format!(
            "a version has at most {MAX_KEYS} keys of at most {MAX_KEY_BYTES} bytes"
        ))),
        false => Ok(()),
    }
}
