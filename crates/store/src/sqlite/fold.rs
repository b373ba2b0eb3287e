//! Folding: frozen generations become rows of `index.db`; rows of superseded versions leave it after the retention.
//! The index is derived: it remembers how far it has come, a restart replays the rest, and one that does not fit the
//! log is thrown away and made again.

use super::Inner;
use super::codec::{self, damaged, op};
use super::db::{self, unavailable};
use super::lens::{Lens, NEWEST, all_index_keys};
use super::memtable::{Generation, Row, RowKey, Superseded};
use super::pool::Stamps;
use super::shared::{LOAD_BASE, Loads, Published, Swap, locked};
use crate::StoreError;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

/// A generation is frozen when it holds this many rows.
pub(super) const GENERATION_ROWS: usize = 500_000;
/// Superseded versions whose rows are removed in one transaction.
const EXPIRE_AT_ONCE: usize = 20_000;
/// Generations that a replay leaves to be folded in the background.
const MAX_REPLAYED: usize = 4;

const INSERT: &str = "INSERT OR IGNORE INTO idx(term, rid, seq) VALUES(?1, ?2, ?3)";
const TERM: &str = "SELECT id FROM term WHERE k = ?1";

/// The only writer of `index.db`.
pub(super) struct Folder {
    pub index: Connection,
    /// Reads the log.
    pub log: Connection,
    stamps: Arc<Stamps>,
}

impl Folder {
    pub(super) fn open(
        path: &Path,
        sync: db::Sync,
        log: Connection,
        stamps: Arc<Stamps>,
    ) -> Result<Self, StoreError> {
        let index = db::open_writer(path, sync, 65_536)?;
        db::prepare_index(&index, path)?;
        Ok(Self { index, log, stamps })
    }

    fn meta<T: rusqlite::types::FromSql>(&self, key: &str) -> Result<Option<T>, StoreError> {
        self.index
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")
            .and_then(|mut s| s.query_row([key], |r| r.get(0)).optional())
            .map_err(unavailable)
    }

    fn set_meta(&self, key: &str, value: impl rusqlite::ToSql) -> Result<(), StoreError> {
        self.index
            .prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)")
            .and_then(|mut s| s.execute(params![key, value]))
            .map(drop)
            .map_err(unavailable)
    }

    /// How far the index has come; `None` when it belongs to another store.
    pub(super) fn applied(&self, incarnation: uuid::Uuid) -> Result<Option<u64>, StoreError> {
        match self.meta::<Vec<u8>>("incarnation")? {
            None => {
                self.set_meta("incarnation", incarnation.as_bytes())?;
                Ok(Some(0))
            }
            // Stopped while keys were made anew: its rows are neither the old ones nor the new ones.
            Some(_) if self.meta::<i64>(super::rekey::MARK)?.is_some() => Ok(None),
            Some(bytes) if bytes == incarnation.as_bytes() => {
                Ok(Some(self.meta("applied")?.unwrap_or(0)))
            }
            Some(_) => Ok(None),
        }
    }

    /// How far the index has come.
    pub(super) fn applied_now(&self) -> Result<u64, StoreError> {
        Ok(self.meta("applied")?.unwrap_or(0))
    }

    /// Empties the index; it belongs to this store from now on.
    pub(super) fn reset(&self, incarnation: uuid::Uuid) -> Result<(), StoreError> {
        self.in_tx(|folder| {
            folder
                .index
                .execute_batch(
                    "DELETE FROM idx; DELETE FROM term; DELETE FROM superseded; DELETE FROM meta;",
                )
                .map_err(unavailable)?;
            folder.set_meta("incarnation", incarnation.as_bytes())
        })
    }

    /// Writes sorted rows of a bulk load.
    pub(super) fn insert(&self, rows: &[Row]) -> Result<(), StoreError> {
        self.in_tx(|folder| {
            let mut terms = Terms::of(folder)?;
            for row in rows {
                terms.add(row)?;
            }
            terms.write(folder)
        })
    }

    /// Index rows of a bulk load that is switched in, made again.
    fn replay_load(&self, number: u64) -> Result<(), StoreError> {
        let mut statement = self
            .log
            .prepare("SELECT rid, head, keys, codec FROM loaded WHERE load = ?1")
            .map_err(unavailable)?;
        let mut loaded = statement.query([number]).map_err(unavailable)?;
        let mut rows = Vec::new();
        while let Some(row) = loaded.next().map_err(unavailable)? {
            let rid = row.get(0).map_err(unavailable)?;
            let codec: u8 = row.get(3).map_err(unavailable)?;
            if codec == codec::CODEC_ERASED {
                continue;
            }
            let head = codec::unpack_head(&row.get::<_, Vec<u8>>(1).map_err(unavailable)?)?;
            let keys = codec::unpack_keys(&row.get::<_, Vec<u8>>(2).map_err(unavailable)?)?;
            rows.extend(all_index_keys(&head, &keys).iter().map(|k| Row {
                key: RowKey::new(k),
                rid,
                seq: LOAD_BASE + number,
            }));
            if rows.len() >= GENERATION_ROWS {
                rows.sort_unstable();
                self.insert(&rows)?;
                rows.clear();
            }
        }
        rows.sort_unstable();
        self.insert(&rows)
    }

    /// Places below this one cannot be read by index any more.
    pub(super) fn floor(&self) -> Result<u64, StoreError> {
        Ok(self.meta("floor")?.unwrap_or(0))
    }

    pub(super) fn in_tx<T>(
        &self,
        f: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.index
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(unavailable)?;
        let out = f(self).and_then(|value| {
            self.index
                .execute_batch("COMMIT")
                .map_err(unavailable)
                .map(|()| value)
        });
        Stamps::committed(&self.stamps.index);
        if out.is_err() && !self.index.is_autocommit() {
            let _ = self.index.execute_batch("ROLLBACK");
        }
        out
    }

    /// Writes a frozen generation.
    pub(super) fn fold(&self, generation: &Generation) -> Result<(), StoreError> {
        self.in_tx(|folder| {
            let begin = folder.applied_now()?;
            let mut terms = Terms::of(folder)?;
            let superseded = generation.for_index(begin, |row| terms.add(row))?;
            terms.write(folder)?;
            let mut later = folder
                .index
                .prepare_cached(
                    "INSERT OR IGNORE INTO superseded(seq, at, rid, prev_seq) VALUES(?1, ?2, ?3, ?4)",
                )
                .map_err(unavailable)?;
            for s in superseded {
                later
                    .execute(params![s.seq, s.at, s.rid, s.prev_seq])
                    .map_err(unavailable)?;
            }
            folder.set_meta("applied", generation.last_seq().max(begin))
        })
    }

    /// Removes rows of versions that were superseded before `before` (µs); how many versions.
    pub(super) fn expire(&self, inner: &Inner, before: i64) -> Result<usize, StoreError> {
        let due: Vec<(u64, u64, u64)> = self
            .index
            .prepare_cached(
                "SELECT seq, rid, prev_seq FROM superseded WHERE at <= ?1 ORDER BY seq LIMIT ?2",
            )
            .and_then(|mut s| {
                s.query_map(params![before, EXPIRE_AT_ONCE], |r| {
                    Ok((r.get(0)?, r.get(1)?, r.get(2)?))
                })?
                .collect::<Result<_, _>>()
            })
            .map_err(unavailable)?;
        let Some(last) = due.iter().map(|(seq, ..)| *seq).max() else {
            return Ok(0);
        };
        // Readers look at the floor after they have opened the index: raised first, removed afterwards.
        inner.floor.fetch_max(last, SeqCst);
        let mut rows = Vec::new();
        let loads = inner.loads.get();
        let lens = Lens {
            log: &self.log,
            loads: &loads,
            seq: NEWEST,
        };
        for (_, rid, prev) in &due {
            rows.extend(lens.index_rows(*rid, *prev)?);
        }
        rows.sort_unstable();
        self.in_tx(|folder| {
            folder.remove(&rows)?;
            let mut done = folder
                .index
                .prepare_cached("DELETE FROM superseded WHERE seq = ?1")
                .map_err(unavailable)?;
            for (seq, ..) in &due {
                done.execute([seq]).map_err(unavailable)?;
            }
            folder.set_meta("floor", last.max(folder.floor()?))
        })?;
        Ok(due.len())
    }

    /// Removes rows, sorted, and the terms that nothing is left of: a term is somebody's name or number.
    pub(super) fn remove(&self, rows: &[(Vec<u8>, u64, u64)]) -> Result<(), StoreError> {
        let prepare = |sql| self.index.prepare_cached(sql).map_err(unavailable);
        let mut find = prepare(TERM)?;
        let mut delete = prepare("DELETE FROM idx WHERE term = ?1 AND rid = ?2 AND seq = ?3")?;
        let mut forget = prepare(
            "DELETE FROM term WHERE k = ?1 AND NOT EXISTS(SELECT 1 FROM idx WHERE idx.term = term.id)",
        )?;
        for rows in rows.chunk_by(|a, b| a.0 == b.0) {
            let Some((k, ..)) = rows.first() else {
                continue;
            };
            let id: Option<i64> = find
                .query_row([k], |r| r.get(0))
                .optional()
                .map_err(unavailable)?;
            let Some(id) = id else { continue };
            for (_, rid, seq) in rows {
                delete.execute(params![id, rid, seq]).map_err(unavailable)?;
            }
            forget.execute([k]).map_err(unavailable)?;
        }
        Ok(())
    }

    /// Replays the log beyond `applied` into generations, oldest first; the last one is to be filled further. Of many,
    /// the oldest are folded here, so that memory stays bounded.
    pub(super) fn replay(
        &self,
        applied: u64,
        loads: &Loads,
        internal: Vec<u16>,
    ) -> Result<Vec<Arc<Generation>>, StoreError> {
        let mut replay = Replay {
            folder: self,
            internal,
            done: VecDeque::new(),
            rows: Vec::new(),
            superseded: Vec::new(),
            last_seq: applied,
        };
        let mut statement = self
            .log
            .prepare("SELECT seq, rid, prev_seq, op, at, head, keys, codec, repo FROM version WHERE seq > ?1 ORDER BY seq")
            .map_err(unavailable)?;
        let mut rows = statement.query([applied]).map_err(unavailable)?;
        while let Some(row) = rows.next().map_err(unavailable)? {
            replay.version(row, loads)?;
        }
        replay.cut()?;
        Ok(replay.done.into())
    }
}

/// Rows on their way into the index: their keys get numbers in the order of keys, then they are written in the order of
/// numbers, so that both tables are touched from left to right.
struct Terms<'a> {
    find: rusqlite::CachedStatement<'a>,
    make: rusqlite::CachedStatement<'a>,
    next: i64,
    /// The key seen last, and its number.
    known: Option<(RowKey, i64)>,
    k: Vec<u8>,
    rows: Vec<(i64, u64, u64)>,
}

impl<'a> Terms<'a> {
    fn of(folder: &'a Folder) -> Result<Self, StoreError> {
        let last: i64 = folder
            .index
            .prepare_cached("SELECT coalesce(max(term), 0) FROM idx")
            .and_then(|mut s| s.query_row([], |r| r.get(0)))
            .map_err(unavailable)?;
        let prepare = |sql| folder.index.prepare_cached(sql).map_err(unavailable);
        Ok(Self {
            find: prepare(TERM)?,
            make: prepare("INSERT INTO term(k, id) VALUES(?1, ?2)")?,
            next: last + 1,
            known: None,
            k: Vec::new(),
            rows: Vec::new(),
        })
    }

    /// Takes a row; rows come sorted.
    fn add(&mut self, row: &Row) -> Result<(), StoreError> {
        let known = self.known.as_ref().filter(|(key, _)| *key == row.key);
        let id = match known {
            Some((_, id)) => *id,
            None => {
                row.key.write_to(&mut self.k);
                let found: Option<i64> = self
                    .find
                    .query_row([&self.k], |r| r.get(0))
                    .optional()
                    .map_err(unavailable)?;
                let id = match found {
                    Some(id) => id,
                    None => {
                        let id = self.next;
                        self.next += 1;
                        self.make
                            .execute(params![self.k, id])
                            .map_err(unavailable)?;
                        id
                    }
                };
                self.known = Some((row.key.clone(), id));
                id
            }
        };
        self.rows.push((id, row.rid, row.seq));
        Ok(())
    }

    fn write(mut self, folder: &Folder) -> Result<(), StoreError> {
        self.rows.sort_unstable();
        let mut insert = folder.index.prepare_cached(INSERT).map_err(unavailable)?;
        for (id, rid, seq) in self.rows {
            insert.execute(params![id, rid, seq]).map_err(unavailable)?;
        }
        Ok(())
    }
}

/// A replay under way.
struct Replay<'a> {
    folder: &'a Folder,
    internal: Vec<u16>,
    done: VecDeque<Arc<Generation>>,
    rows: Vec<Row>,
    superseded: Vec<Superseded>,
    last_seq: u64,
}

impl Replay<'_> {
    /// Columns (seq, rid, prev_seq, op, at, head, keys, codec, repo).
    fn version(&mut self, row: &rusqlite::Row<'_>, loads: &Loads) -> Result<(), StoreError> {
        let number = |i| row.get::<_, u64>(i).map_err(unavailable);
        let blob = |i| {
            row.get_ref(i)
                .map_err(unavailable)?
                .as_blob()
                .map_err(|_| damaged("version"))
        };
        let (seq, rid, prev_seq) = (number(0)?, number(1)?, number(2)?);
        let (code, codec) = (number(3)?, number(7)?);
        self.last_seq = seq;
        if let Some(load) = loads.number_at(seq) {
            self.folder.replay_load(load)?;
        }
        let live = code == u64::from(op::CREATE) || code == u64::from(op::UPDATE);
        if live && codec != u64::from(codec::CODEC_ERASED) {
            let head = codec::unpack_head(blob(5)?)?;
            let keys = codec::unpack_keys(blob(6)?)?;
            let all = all_index_keys(&head, &keys);
            self.rows.extend(all.iter().map(|k| Row {
                key: RowKey::new(k),
                rid,
                seq,
            }));
        }
        if prev_seq > 0 {
            self.superseded.push(Superseded {
                seq,
                at: row.get(4).map_err(unavailable)?,
                rid,
                prev_seq,
                at_once: self.internal.contains(&row.get(8).map_err(unavailable)?)
                    && !loads.is_load(prev_seq),
            });
        }
        if self.rows.len() >= GENERATION_ROWS || self.superseded.len() >= GENERATION_ROWS {
            self.cut()?;
        }
        Ok(())
    }

    /// Ends a generation.
    fn cut(&mut self) -> Result<(), StoreError> {
        let generation = Generation::default();
        let rows = std::mem::take(&mut self.rows);
        generation.add(rows, &self.superseded, self.last_seq);
        self.superseded.clear();
        self.done.push_back(Arc::new(generation));
        if self.done.len() > MAX_REPLAYED
            && let Some(oldest) = self.done.pop_front()
        {
            self.folder.fold(&oldest)?;
        }
        Ok(())
    }
}

/// Takes a folded generation out of what readers pin from now on.
fn drop_folded(published: &Swap<Published>, folded: &Arc<Generation>) {
    published.update(|p| Published {
        generations: p
            .generations
            .iter()
            .filter(|g| !Arc::ptr_eq(g, folded))
            .cloned()
            .collect(),
        ..p.clone()
    });
}

impl Inner {
    /// Folds every frozen generation; how many.
    pub(super) fn fold_frozen(&self) -> Result<usize, StoreError> {
        let folder = locked(&self.folder);
        let mut folded = 0;
        loop {
            let generations = self.published.get().generations.clone();
            let Some((_, frozen)) = generations.split_last() else {
                return Ok(folded);
            };
            let Some(oldest) = frozen.first() else {
                return Ok(folded);
            };
            let started = Instant::now();
            folder.fold(oldest)?;
            let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(0);
            self.stats.fold_us.fetch_add(took, SeqCst);
            drop_folded(&self.published, oldest);
            self.folded.ring();
            if let Err(e) = self.checkpoint_index(&folder) {
                tracing::warn!(error = %e, "the index cannot be copied back; it is tried after the next fold");
            }
            self.stats.folds.fetch_add(1, SeqCst);
            folded += 1;
        }
    }

    /// Removes what the retention has let go.
    pub(super) fn expire_superseded(&self) -> Result<usize, StoreError> {
        let before = super::shared::now_micros().saturating_sub(self.retention_us);
        let folder = locked(&self.folder);
        let mut expired = 0;
        loop {
            let n = folder.expire(self, before)?;
            expired += n;
            if n < EXPIRE_AT_ONCE {
                return Ok(expired);
            }
        }
    }

    /// Freezes the running generation and folds everything up to now.
    pub(super) fn fold_all(&self) -> Result<(), StoreError> {
        self.in_writer(|batch| {
            batch.rotate = true;
            Ok(())
        })?;
        self.fold_frozen().map(drop)
    }
}
