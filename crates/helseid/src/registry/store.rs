//! What the registry needs of wherever its records are kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::model::Kind;
use super::rules::Actor;

/// One record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Kind.
    pub kind: Kind,
    /// Record id.
    pub id: String,
    /// Version.
    pub version: u64,
    /// JSON; `None` when it was deleted.
    pub body: Option<Vec<u8>>,
}

/// One record on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Kind.
    pub kind: Kind,
    /// Record id.
    pub id: String,
    /// Version it must have now; `None`: there must be none.
    pub was: Option<u64>,
    /// JSON; `None` deletes it.
    pub body: Option<Vec<u8>>,
}

/// What stands in the access journal about a change.
#[derive(Debug, Clone)]
pub struct Journal {
    /// What was done, e.g. `client.key.add`.
    pub action: &'static str,
    /// Who.
    pub actor: Actor,
    /// Client ids, system ids, audiences it was done to.
    pub on: Vec<String>,
    /// More, e.g. the scope; never keys or national ids.
    pub details: BTreeMap<&'static str, Value>,
}

/// A change: all of it or nothing.
#[derive(Debug, Clone)]
pub struct Act {
    /// Records.
    pub writes: Vec<Write>,
    /// Thumbprints of new keys with their client ids. A key belongs to the first client that brought it, for ever.
    pub new_keys: Vec<(String, String)>,
    /// The line in the journal; also kept when the rest is refused.
    pub journal: Journal,
}

/// Why a change did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// A record is not what it was: read the news and decide anew.
    #[error("a record changed in the meantime")]
    Conflict,
    /// A key was brought before, by this client or another.
    #[error("a key was registered before")]
    KeyUsed,
    /// The place behind cannot write now.
    #[error("{0}")]
    Unavailable(String),
}

/// Keeps the registry's records. Calls block; they come from blocking threads. All processes of a cluster share one.
pub trait RegistryStore: Send + Sync + 'static {
    /// All live records; [`RegistryStore::news`] goes on from here.
    ///
    /// # Errors
    /// A text for the operator.
    fn load(&self) -> Result<Vec<Stored>, String>;
    /// What was committed since the last call of this or [`RegistryStore::load`], by any process, in order.
    ///
    /// # Errors
    /// A text for the operator.
    fn news(&self) -> Result<Vec<Stored>, String>;
    /// Commits a change durably and gives the new versions, one per write.
    ///
    /// # Errors
    /// See [`ActError`].
    fn commit(&self, act: Act) -> Result<Vec<u64>, ActError>;
}

/// A registry store that forgets at the end of the process: for tests and examples. Several registries may share one.
#[derive(Debug, Default)]
pub struct MemoryRegistryStore(Mutex<Memory>);

/// Kind and record id.
type Place = (Kind, String);
/// Version, and the body unless it was deleted.
type Versioned = (u64, Option<Vec<u8>>);

#[derive(Debug, Default)]
struct Memory {
    records: HashMap<Place, Versioned>,
    keys: HashMap<String, String>,
    journal: Vec<Journal>,
}

impl MemoryRegistryStore {
    /// What was journalled, oldest first.
    pub fn journal(&self) -> Vec<Journal> {
        self.lock().journal.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RegistryStore for MemoryRegistryStore {
    fn load(&self) -> Result<Vec<Stored>, String> {
        let stored = |((kind, id), (version, body)): (&Place, &Versioned)| Stored {
            kind: *kind,
            id: id.clone(),
            version: *version,
            body: body.clone(),
        };
        Ok(self.lock().records.iter().map(stored).collect())
    }

    fn news(&self) -> Result<Vec<Stored>, String> {
        self.load()
    }

    fn commit(&self, act: Act) -> Result<Vec<u64>, ActError> {
        let mut memory = self.lock();
        memory.journal.push(act.journal);
        for write in &act.writes {
            let live = memory
                .records
                .get(&(write.kind, write.id.clone()))
                .filter(|(_, body)| body.is_some())
                .map(|(version, _)| *version);
            if live != write.was {
                return Err(ActError::Conflict);
            }
        }
        if act
            .new_keys
            .iter()
            .any(|(thumbprint, _)| memory.keys.contains_key(thumbprint))
        {
            return Err(ActError::KeyUsed);
        }
        memory.keys.extend(act.new_keys);
        let mut versions = Vec::with_capacity(act.writes.len());
        for write in act.writes {
            let slot = memory.records.entry((write.kind, write.id)).or_default();
            *slot = (slot.0 + 1, write.body);
            versions.push(slot.0);
        }
        Ok(versions)
    }
}
