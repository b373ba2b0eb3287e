//! The access journal: who did what with whose data, provably complete (spec/privacy.md §9, DESIGN §3.6).
//!
//! An entry is *appended* (durable, in a segment file or in the commit it belongs to), then *sealed* by one sealer: it
//! gets its number in a stream, its place in that day's Merkle tree and its number in the person's line. Days are
//! closed by signed heads; from a head and a path anybody can check one entry offline.
//!
//! The journal does not know why an access was allowed, who may read an entry, or how keys sign: it is given a
//! [`crate::HeadSigner`] and, for verification, a public key set. It is never rolled back.
//!
//! Read first: [`chain`] (what is hashed), [`seal`] (how an entry gets its place, for both engines, over [`Tables`]),
//! [`SegmentJournal`] (the embedded engine's journal: segment files and `journal.db`).
//!
//! Invariants: an append is sealed exactly once, known by (entry id, `recorded_at`), across crashes; an entry belongs to
//! the day it is sealed on; a stream's numbers have no gap; a person's numbers have no gap per controller; erasing
//! values and salts changes no hash.
//!
//! Sources: spec/privacy.md §9.3, RFC 6962 §2.1 (trees), RFC 8785 (canonical JSON), RFC 7515 (signed heads).

pub mod chain;
pub(crate) mod groups;
pub mod head;
pub mod import;
pub mod jcs;
pub mod merkle;
pub mod proof;
pub mod seal;
mod segment;
mod spool;
mod sqlite_tables;
mod tables;
pub mod verify;

pub(crate) use groups::crc32c;
pub use spool::{Clock, SegmentJournal};
pub use tables::{
    DayStream, HeadRow, LineState, Member, Node, RowColumns, SealedRow, StreamState, Tables,
};

use crate::{AuditEntry, MicrosUtc, PersonKey, StoreError};
use serde::{Deserialize, Serialize};

/// SHA-256 as used all over the journal.
pub type Hash = [u8; 32];

/// Most members of one entry, those the journal adds not counted.
pub const MAX_MEMBERS: usize = 128;
/// Longest entry in its binary form, bytes.
pub const MAX_ENTRY_BYTES: usize = 1 << 20;
/// Most persons of one entry.
pub const MAX_PERSONS: usize = 1_000;

/// An entry that is durable but has no place in the chain yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Appended {
    /// What was written.
    pub entry: AuditEntry,
    /// Real time at the append: of the commit for entries inside one. Together with the entry's id it names the append;
    /// the same pair is sealed once only.
    pub recorded_at: MicrosUtc,
}

/// An appended entry that waits in the engine's own tables (it belonged to a commit).
#[derive(Clone, Debug, PartialEq)]
pub struct PendingEntry {
    /// The engine's number of the row, handed back in [`Sealing::consumed`].
    pub position: u64,
    /// The entry.
    pub appended: Appended,
}

/// What a run of the sealer did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealing {
    /// Entries that got their place.
    pub sealed: u64,
    /// [`PendingEntry::position`]s that are durably sealed (now or by an earlier run): the engine deletes these rows.
    pub consumed: Vec<u64>,
}

/// What the journal asks of the engine about persons.
pub trait Interner {
    /// Own keys of identifiers (system, value), in order, made and durable when unknown. Aliases are *not* followed, so
    /// that a later split finds each entry under the identity it was written for.
    fn intern(&self, identifiers: &[(String, String)]) -> Result<Vec<PersonKey>, StoreError>;
    /// Own key of an identifier when known; makes nothing, follows no alias.
    fn known(&self, system: &str, value: &str) -> Result<Option<PersonKey>, StoreError>;
    /// Identifiers (system, value) that stand directly under any of these own keys.
    fn identifiers(&self, keys: &[PersonKey]) -> Result<Vec<(String, String)>, StoreError>;
    /// The key in which the aliases of this one end; itself when it has none.
    fn resolve(&self, key: PersonKey) -> Result<PersonKey, StoreError>;
    /// All keys that end in the same key as this one, itself included.
    fn same(&self, key: PersonKey) -> Result<Vec<PersonKey>, StoreError>;
}

#[cfg(test)]
mod tests;
