//! The second place: purges and settings, appended with the commit to a folder elsewhere (DESIGN §3.10), so that a
//! restore of an older backup neither brings back what was erased nor forgets what a citizen has blocked.
//!
//! One entry per commit that purges or is marked `mirror`. Entries are numbered without gaps. How an engine keeps the
//! mirror exact over crashes: it numbers the entry and stores it in the commit's own transaction (an outbox row), then
//! appends it here and flushes *before* it answers, then drops the row; at open it appends the rows that
//! [`Mirror::last`] shows missing.

use crate::{
    Alias, Commit, Committed, IndexKey, MicrosUtc, Op, PersonKey, PersonRef, Privacy, RepoId, Seq,
    StoreError,
};
use serde::{Deserialize, Serialize};
use std::path::Path;
use uuid::Uuid;

/// One mirrored commit, with names that mean the same in every store.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MirrorEntry {
    /// Number, gapless from 1, over all incarnations that used this mirror.
    pub n: u64,
    /// Incarnation that wrote it.
    pub incarnation: Uuid,
    /// Last place in the log of the commit.
    pub seq: Seq,
    /// Commit time.
    pub at: MicrosUtc,
    /// New versions (only of commits marked `mirror`).
    pub puts: Vec<MirrorPut>,
    /// Purges: repository name, type, id.
    pub purges: Vec<(String, String, String)>,
    /// Raised persons.
    pub raise: Vec<PersonRef>,
    /// Rules epoch raised.
    pub raise_rules: bool,
    /// Merges and splits.
    pub aliases: Vec<MirrorAlias>,
}

/// National ids and settings never reach a log through `{:?}`.
impl std::fmt::Debug for MirrorEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MirrorEntry({})", self.n)
    }
}

/// A mirrored version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MirrorPut {
    /// Repository name.
    pub repo: String,
    /// Type.
    pub rtype: String,
    /// Id.
    pub id: String,
    /// What was done.
    pub op: Op,
    /// Body, base64url.
    pub body: String,
    /// Keys.
    pub keys: Vec<IndexKey>,
    /// Definition pack.
    pub pack: u32,
    /// Persons by identifier.
    pub persons: Vec<PersonRef>,
    /// Privacy columns, persons by identifier.
    pub privacy: Privacy,
}

/// A mirrored merge or split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MirrorAlias {
    /// `from` leads to `to`.
    Merge {
        /// Ends.
        from: PersonRef,
        /// Stays.
        to: PersonRef,
    },
    /// Stands alone again.
    Split {
        /// Was merged.
        from: PersonRef,
    },
    /// One more identifier.
    AlsoKnownAs {
        /// Person.
        person: PersonRef,
        /// System.
        system: String,
        /// Value.
        value: String,
    },
}

/// What a mirror asks of the engine to give names.
pub trait Names {
    /// Name of a repository.
    fn repository(&self, repo: RepoId) -> Option<String>;
    /// Some identifier of a person.
    fn identifier(&self, person: PersonKey) -> Option<(String, String)>;
}

impl MirrorEntry {
    /// The entry of a commit; `None` when there is nothing to mirror. `n` is the next number.
    pub fn of(
        _n: u64,
        _incarnation: Uuid,
        _commit: &Commit,
        _committed: &Committed,
        _names: &dyn Names,
    ) -> Result<Option<Self>, StoreError> {
        let _ = |a: &Alias| matches!(a, Alias::Split { .. });
        Err(StoreError::Unavailable(
            "the mirror is being built".to_owned(),
        ))
    }

    /// The commit that plays the entry again. `None` when it names a repository that this store does not have.
    pub fn to_commit(&self, _repository: &dyn Fn(&str) -> Option<RepoId>) -> Option<Commit> {
        None
    }
}

/// The mirror's file, open for appending. One writer.
#[derive(Debug)]
pub struct Mirror {
    last: u64,
}

impl Mirror {
    /// Opens (and makes, when absent) the mirror in `folder`; cuts a torn tail.
    pub fn open(_folder: &Path, _unsafe_no_sync: bool) -> Result<Self, StoreError> {
        Err(StoreError::Unavailable(
            "the mirror is being built".to_owned(),
        ))
    }

    /// Number of the newest entry; 0 = none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Appends entries (numbers following [`Mirror::last`]; older ones are skipped) and flushes them.
    pub fn append(&mut self, _entries: &[MirrorEntry]) -> Result<(), StoreError> {
        Err(StoreError::Unavailable(
            "the mirror is being built".to_owned(),
        ))
    }
}

/// Entries with `n > after`, ascending. `Corrupt` when one is missing or damaged before the end.
pub fn read_after(_folder: &Path, _after: u64) -> Result<Vec<MirrorEntry>, StoreError> {
    Err(StoreError::Unavailable(
        "the mirror is being built".to_owned(),
    ))
}
