//! Names and numbers of the store.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Place in the log. Every version, purge and generation switch takes one; gapless, ascending, from 1.
/// A snapshot is a `Seq` too, always at the end of a commit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Seq(pub u64);

/// Internal number of a record inside the store. Never leaves the hub.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Rid(pub u64);

/// Version number of a record, counted from 1 per record.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Vno(pub u32);

/// Repository number: one repository = one service's records. Given by [`RepositoryDecl`] at open, stored, never reused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RepoId(pub u16);

/// Internal key of a person. Interned at the first sight of (identifier system, value); never leaves the hub
/// (spec/privacy.md §7.10, spec/fhir-server.md §8.1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct PersonKey(pub u64);

/// A person as a writer names one: by key, or by identifier (interned inside the commit).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PersonRef {
    /// A key read from this store before.
    Key(PersonKey),
    /// An identifier: system (URI, e.g. `urn:oid:2.16.578.1.12.4.1.4.1`) and value.
    Id {
        /// Identifier system as URI.
        system: String,
        /// The identifier. A national id: never print it.
        value: String,
    },
}

impl PersonRef {
    /// By identifier system and value.
    pub fn id(system: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Id {
            system: system.into(),
            value: value.into(),
        }
    }
}

/// National ids never reach a log through `{:?}`.
impl fmt::Debug for PersonRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "PersonRef({})", key.0),
            Self::Id { system, .. } => write!(f, "PersonRef({system}|…)"),
        }
    }
}

/// What kind of data a repository holds; decides which grants open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RepoKind {
    /// Patient data: every read needs a [`crate::Granted`] of `trust`; ids are made by the server.
    Patient,
    /// No privacy filter (the FHIR sandbox, public catalogues): `Filter::Open` is allowed.
    Open,
    /// The hub's own bookkeeping (sessions, message tracking, settings); read by hub actors only.
    Internal,
}

/// One repository, declared at open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryDecl {
    /// Short stable name as in URLs: `kjernejournal`, `provesvar`, `sandbox`, …
    pub name: String,
    /// Kind of data.
    pub kind: RepoKind,
}

impl RepositoryDecl {
    /// A repository by name and kind.
    pub fn new(name: &str, kind: RepoKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
        }
    }
}

/// Public id of a record inside (repository, type): `[A-Za-z0-9\-\.]{1,64}` (spec/fhir-server.md §1).
pub type RecordId = String;

/// Microseconds since 1970-01-01T00:00:00Z on the real clock.
pub type MicrosUtc = i64;

/// SHA-256 of a blob's bytes; its address.
pub type BlobHash = [u8; 32];
