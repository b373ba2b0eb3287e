//! The embedded engine's journal: segment files in front, `journal.db` behind.

use super::{Interner, PendingEntry, Sealing};
use crate::{
    AuditEntry, Durability, HeadSigner, JournalEntry, LogHead, MicrosUtc, PersonKey, StoreError,
};
use std::path::Path;
use uuid::Uuid;

/// Segment files and `journal.db` in one folder.
pub struct SegmentJournal {}

fn being_built<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable(
        "the journal is being built".to_owned(),
    ))
}

impl SegmentJournal {
    /// Opens (and makes, when absent) the journal in `folder`. `unsafe_no_sync`: tests only.
    pub fn open(_folder: &Path, _unsafe_no_sync: bool) -> Result<Self, StoreError> {
        being_built()
    }

    /// Appends an entry that belongs to no commit.
    pub fn audit(&self, _entry: AuditEntry, _durability: Durability) -> Result<(), StoreError> {
        being_built()
    }

    /// Seals what the segments hold and what the engine brings; see [`Sealing`].
    pub fn seal(
        &self,
        _persons: &dyn Interner,
        _pending: Vec<PendingEntry>,
    ) -> Result<Sealing, StoreError> {
        being_built()
    }

    /// Entries of a person under all its identities, newest first; `pending` = the engine's waiting rows.
    pub fn journal_of(
        &self,
        _persons: &dyn Interner,
        _person: PersonKey,
        _before: Option<MicrosUtc>,
        _limit: usize,
        _pending: &[PendingEntry],
    ) -> Result<Vec<JournalEntry>, StoreError> {
        being_built()
    }

    /// One entry.
    pub fn journal_entry(
        &self,
        _persons: &dyn Interner,
        _id: Uuid,
        _pending: &[PendingEntry],
    ) -> Result<Option<JournalEntry>, StoreError> {
        being_built()
    }

    /// Makes and stores a signed head.
    pub fn sign_head(
        &self,
        _signer: &dyn HeadSigner,
        _day: &str,
        _close: bool,
    ) -> Result<LogHead, StoreError> {
        being_built()
    }

    /// Signed heads, newest first.
    pub fn heads(&self, _limit: usize) -> Result<Vec<LogHead>, StoreError> {
        being_built()
    }

    /// Proof of an entry.
    pub fn proof(
        &self,
        _id: Uuid,
        _masked: &[&str],
    ) -> Result<Option<serde_json::Value>, StoreError> {
        being_built()
    }

    /// Walks the whole sealed journal; number of entries.
    pub fn verify(&self) -> Result<u64, StoreError> {
        being_built()
    }

    /// Erases values and salts of these members of an entry, physically; the tree stays valid. False when unknown.
    pub fn erase(&self, _id: Uuid, _members: &[&str]) -> Result<bool, StoreError> {
        being_built()
    }

    /// Runs an operation of [`crate::backup`] on the sealed tables inside one transaction.
    pub fn with_tables<T>(
        &self,
        _run: &mut dyn FnMut(&mut dyn super::Tables) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        being_built()
    }

    /// Counters for metrics.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// Flushes and stops.
    pub fn close(&self) {}
}
