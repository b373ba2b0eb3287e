//! Blobs outside commits: staging large ones, reading.

use super::shared::Shared;
use crate::{BlobHash, StoreError, sha256};
use bytes::Bytes;

/// Largest blob, bytes.
const MAX_BLOB_BYTES: usize = 512 << 20;

/// Stores a blob ahead of the commit that will refer to it.
pub(super) fn stage(shared: &Shared, bytes: &[u8]) -> Result<BlobHash, StoreError> {
    if bytes.len() > MAX_BLOB_BYTES {
        return Err(StoreError::Invalid(format!(
            "a blob may have {MAX_BLOB_BYTES} bytes"
        )));
    }
    let hash = sha256(bytes);
    // staged again: its hour begins again
    let sql = "INSERT INTO blob (hash, at, bytes) VALUES ($1, now_us(), $2) ON CONFLICT (hash) DO UPDATE SET at = excluded.at";
    shared.read(async |conn| conn.execute(sql, &[&&hash[..], &bytes]).await)?;
    Ok(hash)
}

/// A blob's bytes.
pub(super) fn blob(shared: &Shared, hash: &BlobHash) -> Result<Option<Bytes>, StoreError> {
    let sql = "SELECT bytes FROM blob WHERE hash = $1";
    let row = shared.read(async |conn| conn.query_opt(sql, &[&&hash[..]]).await)?;
    Ok(row.map(|r| Bytes::from(r.get::<_, Vec<u8>>(0))))
}
