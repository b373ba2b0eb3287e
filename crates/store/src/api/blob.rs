//! Blobs by content hash, and physical deletion.

use crate::{RecordId, RepoId};

/// Physical erasure of one record with all its versions, index rows, blob references (DESIGN §3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// Repository.
    pub repo: RepoId,
    /// Type.
    pub rtype: String,
    /// Id.
    pub id: RecordId,
}

/// Where a purge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeState {
    /// Numbered tombstone written: hidden everywhere.
    Hidden,
    /// Index rows, bodies, superseded rows, blob references and queue copies are gone from the files.
    Erased,
}
