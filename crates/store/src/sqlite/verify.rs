//! The index compared with the log, row by row.

use super::Inner;
use super::db::{ReadTx, unavailable};
use super::lens::Lens;
use crate::StoreError;
use rusqlite::params;
use std::collections::HashSet;

impl Inner {
    /// Recomputes every row from the log and looks for it; then looks for rows that nothing explains. Returns how many
    /// rows count. Works on one state of both files; nobody waits for it.
    pub(super) fn verify_index(&self) -> Result<u64, StoreError> {
        self.running()?;
        self.fold_all()?;
        let reading = self.pool.fresh()?;
        // The index first: the log is then at least as far.
        let _index = ReadTx::begin(&reading.index)?;
        let applied: u64 = reading
            .index
            .query_row(
                "SELECT coalesce(max(value), 0) FROM meta WHERE key = 'applied'",
                [],
                |r| r.get(0),
            )
            .map_err(unavailable)?;
        let _log = ReadTx::begin(&reading.log)?;
        let loads = self.loads.get();
        let lens = Lens {
            log: &reading.log,
            loads: &loads,
            seq: applied,
        };
        let mut present = reading
            .index
            .prepare("SELECT EXISTS(SELECT 1 FROM idx WHERE term = (SELECT id FROM term WHERE k = ?1) AND rid = ?2 AND seq = ?3)")
            .map_err(unavailable)?;
        let mut heads = reading
            .log
            .prepare("SELECT rid FROM head")
            .map_err(unavailable)?;
        let mut heads = heads.query([]).map_err(unavailable)?;
        let mut expected = 0u64;
        while let Some(row) = heads.next().map_err(unavailable)? {
            let rid: u64 = row.get(0).map_err(unavailable)?;
            let Some(placed) = lens.head(rid)? else {
                continue;
            };
            for (k, rid, stored) in lens.index_rows(rid, placed.seq)? {
                let there: bool = present
                    .query_row(params![k, rid, stored], |r| r.get(0))
                    .map_err(unavailable)?;
                if !there {
                    return Err(StoreError::Corrupt(format!(
                        "index: a row of record {rid} at place {} is missing",
                        placed.seq
                    )));
                }
                expected += 1;
            }
        }
        let idle: bool = reading
            .index
            .query_row(
                "SELECT EXISTS(SELECT 1 FROM term WHERE NOT EXISTS(SELECT 1 FROM idx WHERE idx.term = term.id))",
                [],
                |r| r.get(0),
            )
            .map_err(unavailable)?;
        if idle {
            return Err(StoreError::Corrupt(
                "index: a term of no record was left behind".to_owned(),
            ));
        }
        let superseded = pairs(&reading.index, "SELECT rid, prev_seq FROM superseded")?;
        let purged: HashSet<u64> = pairs(&reading.log, "SELECT rid, state FROM purge")?
            .into_iter()
            .map(|(rid, _)| rid)
            .collect();
        let mut all = reading
            .index
            .prepare("SELECT rid, seq FROM idx")
            .map_err(unavailable)?;
        let mut all = all.query([]).map_err(unavailable)?;
        let mut counting = 0u64;
        while let Some(row) = all.next().map_err(unavailable)? {
            let (rid, stored): (u64, u64) = (
                row.get(0).map_err(unavailable)?,
                row.get(1).map_err(unavailable)?,
            );
            let Some(seq) = loads.place(stored).filter(|s| *s <= applied) else {
                continue;
            };
            if lens.newest(rid)? == Some(seq) {
                counting += 1;
            } else if !superseded.contains(&(rid, seq)) && !purged.contains(&rid) {
                return Err(StoreError::Corrupt(format!(
                    "index: a row of record {rid} at place {seq} was left behind"
                )));
            }
        }
        if counting != expected {
            return Err(StoreError::Corrupt(format!(
                "index: {counting} rows count, {expected} should"
            )));
        }
        Ok(expected)
    }
}

fn pairs(conn: &rusqlite::Connection, sql: &str) -> Result<HashSet<(u64, u64)>, StoreError> {
    conn.prepare(sql)
        .and_then(|mut s| {
            s.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect::<Result<_, _>>()
        })
        .map_err(unavailable)
}
