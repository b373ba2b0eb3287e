//! Blobs by content hash, counted by the versions that refer to them.

use super::Inner;
use super::db::unavailable;
use crate::{BlobHash, StoreError};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

/// Staged blobs that no version refers to are removed after this long, µs.
const STAGED_FOR: i64 = 3_600_000_000;
/// Longest blob, bytes: what one SQLite value can hold, with room to spare.
const MAX_BLOB_BYTES: usize = 900 << 20;

/// The row of a blob.
pub(super) fn find(log: &Connection, hash: &BlobHash) -> Result<Option<u64>, StoreError> {
    log.prepare_cached("SELECT id FROM blob WHERE hash = ?1")
        .and_then(|mut s| s.query_row([hash], |r| r.get(0)).optional())
        .map_err(unavailable)
}

/// Keeps the bytes, without a reference yet; staging again makes the hour start anew.
pub(super) fn put(
    log: &Connection,
    hash: &BlobHash,
    bytes: &[u8],
    at: i64,
) -> Result<(), StoreError> {
    if let Some(id) = find(log, hash)? {
        return log
            .prepare_cached("UPDATE blob SET staged = ?2 WHERE id = ?1 AND refs = 0")
            .and_then(|mut s| s.execute(params![id, at]))
            .map(drop)
            .map_err(unavailable);
    }
    log.prepare_cached("INSERT INTO blob(hash, refs, staged, bytes) VALUES(?1, 0, ?2, ?3)")
        .and_then(|mut s| s.execute(params![hash, at, bytes]))
        .map(drop)
        .map_err(unavailable)
}

/// One version more (or less) refers to the blob.
pub(super) fn refer(log: &Connection, hash: &BlobHash, by: i64) -> Result<(), StoreError> {
    log.prepare_cached("UPDATE blob SET refs = max(refs + ?2, 0) WHERE hash = ?1")
        .and_then(|mut s| s.execute(params![hash, by]))
        .map(drop)
        .map_err(unavailable)
}

/// Removes the blob when nothing refers to it (any more).
pub(super) fn drop_unreferenced(log: &Connection, hash: &BlobHash) -> Result<(), StoreError> {
    log.prepare_cached("DELETE FROM blob WHERE hash = ?1 AND refs = 0")
        .and_then(|mut s| s.execute([hash]))
        .map(drop)
        .map_err(unavailable)
}

/// Removes blobs staged more than an hour ago that nothing refers to.
pub(super) fn sweep(log: &Connection, now: i64, limit: usize) -> Result<usize, StoreError> {
    log.prepare_cached(
        "DELETE FROM blob WHERE id IN (SELECT id FROM blob WHERE refs = 0 AND staged <= ?1 LIMIT ?2)",
    )
    .and_then(|mut s| s.execute(params![now - STAGED_FOR, limit]))
    .map_err(unavailable)
}

impl Inner {
    pub(super) fn stage_blob(&self, bytes: &[u8]) -> Result<BlobHash, StoreError> {
        self.running()?;
        if bytes.len() > MAX_BLOB_BYTES {
            return Err(StoreError::Invalid(format!(
                "a blob of {} bytes; at most {MAX_BLOB_BYTES}",
                bytes.len()
            )));
        }
        let hash = crate::sha256(bytes);
        let bytes = Bytes::copy_from_slice(bytes);
        self.in_writer(move |batch| put(batch.log, &hash, &bytes, batch.at))?;
        Ok(hash)
    }

    pub(super) fn blob(&self, hash: &BlobHash) -> Result<Option<Bytes>, StoreError> {
        self.running()?;
        self.pool.with(|reading| {
            reading
                .log
                .prepare_cached("SELECT bytes FROM blob WHERE hash = ?1")
                .and_then(|mut s| {
                    s.query_row([hash], |r| r.get::<_, Vec<u8>>(0).map(Bytes::from))
                        .optional()
                })
                .map_err(unavailable)
        })
    }
}
