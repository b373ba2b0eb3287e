//! Claims: unique keys held in name spaces.

use super::db::unavailable;
use crate::StoreError;
use rusqlite::{Connection, OptionalExtension, params};

/// A claim as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub value: Vec<u8>,
    pub until: Option<i64>,
}

pub(super) fn read(log: &Connection, k: &[u8]) -> Result<Option<Held>, StoreError> {
    log.prepare_cached("SELECT value, until FROM claim WHERE k = ?1")
        .and_then(|mut s| {
            s.query_row([k], |r| {
                Ok(Held {
                    value: r.get(0)?,
                    until: r.get(1)?,
                })
            })
            .optional()
        })
        .map_err(unavailable)
}

/// Takes the claim, or frees it.
pub(super) fn write(log: &Connection, k: &[u8], held: Option<&Held>) -> Result<(), StoreError> {
    match held {
        Some(held) => log
            .prepare_cached("INSERT OR REPLACE INTO claim(k, value, until) VALUES(?1, ?2, ?3)")
            .and_then(|mut s| s.execute(params![k, held.value, held.until])),
        None => log
            .prepare_cached("DELETE FROM claim WHERE k = ?1")
            .and_then(|mut s| s.execute([k])),
    }
    .map(drop)
    .map_err(unavailable)
}

/// Removes claims that have ended, at most `limit`; how many.
pub(super) fn sweep(log: &Connection, now: i64, limit: usize) -> Result<usize, StoreError> {
    log.prepare_cached(
        "DELETE FROM claim WHERE k IN (SELECT k FROM claim WHERE until <= ?1 LIMIT ?2)",
    )
    .and_then(|mut s| s.execute(params![now, limit]))
    .map_err(unavailable)
}
