//! Physical erasure in steps (DESIGN §3.10): the tombstone hides at once; then index rows go, then the versions are
//! overwritten in place, then the write-ahead logs are truncated; only then is it reported done. Every step can be
//! repeated after a crash.

use super::Inner;
use super::apply::unpack_blobs;
use super::batch::Batch;
use super::blobs;
use super::codec::{self, CODEC_ERASED};
use super::db::unavailable;
use super::lens::{Lens, NEWEST};
use super::shared::locked;
use crate::StoreError;
use rusqlite::{OptionalExtension, params};

/// Tombstone written.
pub(super) const HIDDEN: u8 = 1;
/// Index rows, bodies, keys and blob references are gone from the tables.
const OVERWRITTEN: u8 = 2;
/// And from the files.
pub(super) const ERASED: u8 = 3;

/// A purge that is not done.
#[derive(Clone, Debug)]
struct Open {
    seq: u64,
    rid: u64,
    last_seq: u64,
    state: u8,
}

impl Inner {
    fn open_purges(&self) -> Result<Vec<Open>, StoreError> {
        self.pool.with(|reading| {
            reading
                .log
                .prepare_cached(
                    "SELECT seq, rid, last_seq, state FROM purge WHERE state < 3 ORDER BY seq LIMIT 1000",
                )
                .and_then(|mut s| {
                    s.query_map([], |r| {
                        Ok(Open {
                            seq: r.get(0)?,
                            rid: r.get(1)?,
                            last_seq: r.get(2)?,
                            state: r.get(3)?,
                        })
                    })?
                    .collect::<Result<_, _>>()
                })
                .map_err(unavailable)
        })
    }

    /// Takes every purge as far as it goes now. False when a reader still stands in the way; try again later.
    pub(super) fn advance_purges(&self) -> Result<bool, StoreError> {
        loop {
            let open = self.open_purges()?;
            if open.is_empty() {
                return Ok(true);
            }
            let hidden: Vec<Open> = open.iter().filter(|p| p.state == HIDDEN).cloned().collect();
            if !hidden.is_empty() && !self.remove_and_overwrite(hidden)? {
                return Ok(false);
            }
            if !self.truncate_log()? {
                return Ok(false);
            }
            self.in_writer(move |batch| {
                for purge in open {
                    batch.execute(
                        "UPDATE purge SET state = ?2 WHERE seq = ?1 AND state < 3",
                        params![purge.seq, ERASED],
                    )?;
                }
                Ok(())
            })?;
        }
    }

    /// Index rows first: once the keys are overwritten nobody knows which rows they were.
    fn remove_and_overwrite(&self, hidden: Vec<Open>) -> Result<bool, StoreError> {
        self.fold_all()?;
        {
            let folder = locked(&self.folder);
            let loads = self.loads.get();
            let lens = Lens {
                log: &folder.log,
                loads: &loads,
                seq: NEWEST,
            };
            let mut rows = Vec::new();
            for purge in &hidden {
                for seq in lens.chain(purge.last_seq)? {
                    rows.extend(lens.index_rows(purge.rid, seq)?);
                }
            }
            rows.sort_unstable();
            folder.in_tx(|f| f.remove(&rows))?;
        }
        // The removal must be on disk before the log forgets the keys.
        if !self.truncate_index()? {
            return Ok(false);
        }
        self.in_writer(move |batch| hidden.iter().try_for_each(|p| batch.overwrite(p)))?;
        Ok(true)
    }
}

impl Batch<'_> {
    /// Overwrites all versions of a purged record with as many zeros: the same cells, so nothing moves and no copy stays.
    fn overwrite(&mut self, purge: &Open) -> Result<(), StoreError> {
        for seq in self.lens().chain(purge.last_seq)? {
            let (table, key) = if self.loads.is_load(seq) {
                ("loaded WHERE rid = ?1", purge.rid)
            } else {
                ("version WHERE seq = ?1", seq)
            };
            let row: Option<(Vec<u8>, Vec<u8>, u8)> = self
                .log
                .prepare_cached(&format!("SELECT head, blobs, codec FROM {table}"))
                .and_then(|mut s| {
                    s.query_row([key], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
                        .optional()
                })
                .map_err(unavailable)?;
            let Some((head, hashes, codec)) = row else {
                continue;
            };
            if codec == CODEC_ERASED {
                continue;
            }
            for hash in unpack_blobs(&hashes) {
                blobs::refer(self.log, &hash, -1)?;
                blobs::drop_unreferenced(self.log, &hash)?;
            }
            let named = bare_head(&head)?;
            let (table, condition) = table.split_once(' ').unwrap_or((table, ""));
            self.execute(
                &format!(
                    "UPDATE {table} SET head = ?2, keys = zeroblob(length(keys)), blobs = zeroblob(length(blobs)),
                     codec = {CODEC_ERASED}, body = zeroblob(length(body)) {condition}"
                ),
                params![key, named],
            )?;
        }
        self.execute(
            "UPDATE purge SET state = ?2 WHERE seq = ?1 AND state < ?2",
            params![purge.seq, OVERWRITTEN],
        )
    }
}

/// A head with nothing but the record's name, as long as the original.
fn bare_head(original: &[u8]) -> Result<Vec<u8>, StoreError> {
    let head = codec::unpack_head(original)?;
    let mut bare = codec::pack_head(&codec::RawHead {
        repo: head.repo,
        rtype: head.rtype,
        op: head.op,
        vno: head.vno,
        at: head.at,
        id: head.id,
        ..codec::RawHead::default()
    });
    bare.resize(original.len().max(bare.len()), 0);
    Ok(bare)
}
