//! Official schemas: imported once (`helsenav import standards`), kept in the store, used by every process of the hub at
//! once and after every restart. A folder named in the configuration counts instead.
//!
//! An import beside a running hub on the embedded store, which no second process can open, is left in the data folder; the
//! hub takes it into the store at the next message that it validates.

use anyhow::{Context, Result};
use bytes::Bytes;
use edi::xsd::{Archive, SchemaSet};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use store::{BlobHash, Commit, Granted, Op, Privacy, Put, PutId, RepoId, Store, StoreError, Vno};

/// Repository of the archive, of kind `Internal`.
pub const REPOSITORY: &str = "standarder";
/// Name of the file that an import into a folder writes last; it says when.
pub const IMPORTED: &str = "imported";

const RTYPE: &str = "SchemaArchive";
const ID: &str = "current";

/// What stands in the record; the schemas themselves are a blob.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    made_at: Timestamp,
    /// Hash of the archive, hexadecimal.
    archive: String,
    schemas: usize,
}

/// Puts an archive into the store in place of the one before.
///
/// # Errors
/// When the store does not take it.
pub fn keep(store: &Store, archive: &Archive, made_at: Timestamp) -> Result<()> {
    let hash = store.stage_blob(&archive.to_bytes())?;
    let kept = Kept {
        made_at,
        archive: hex(&hash),
        schemas: archive.schemas(),
    };
    let put = Put {
        repo: store.repo(REPOSITORY)?,
        rtype: RTYPE.to_owned(),
        id: PutId::Given(ID.to_owned()),
        op: Op::Update,
        body: Bytes::from(serde_json::to_vec(&kept)?),
        keys: Vec::new(),
        pack: 0,
        persons: Vec::new(),
        privacy: Privacy::default(),
        blobs: vec![hash],
    };
    store.commit(Commit {
        put: vec![put],
        ..Commit::default()
    })?;
    Ok(())
}

/// Leaves an archive's folder where a running hub finds it.
///
/// # Errors
/// When the folder cannot be written.
pub fn leave(folder: &Path, archive: &Archive, made_at: Timestamp) -> Result<()> {
    let write = |name: &str, bytes: &[u8]| -> Result<()> {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write(LEFT, &archive.to_bytes())?;
    write(IMPORTED, made_at.to_string().as_bytes())
}

/// Name of an archive that was left for a running hub.
const LEFT: &str = "archive.json";

/// The schemas to use now.
pub struct Standards {
    source: Source,
    held: Mutex<Held>,
}

enum Source {
    /// Named in the configuration.
    Folder(PathBuf),
    /// The store; imports beside the running hub are left in the folder.
    Store {
        store: Store,
        repo: RepoId,
        grant: Granted,
        left: PathBuf,
    },
}

/// What was read, and of which state.
#[derive(Default)]
struct Held {
    state: Option<State>,
    set: Option<Arc<SchemaSet>>,
    /// What was left in the folder and is in the store.
    taken: Option<SystemTime>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Folder(SystemTime),
    Version(Vno),
}

impl Standards {
    /// Of a folder, read anew when it changes.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self {
            source: Source::Folder(folder),
            held: Mutex::default(),
        }
    }

    /// Of the store; `grant` is the hub job's own right, `left` the place of imports beside a running hub.
    ///
    /// # Errors
    /// When the store lacks the repository.
    pub fn in_store(store: Store, grant: Granted, left: PathBuf) -> Result<Self, StoreError> {
        let repo = store.repo(REPOSITORY)?;
        Ok(Self {
            source: Source::Store {
                store,
                repo,
                grant,
                left,
            },
            held: Mutex::default(),
        })
    }

    /// The schemas, read anew after an import by whichever process. Blocks.
    #[must_use]
    pub fn current(&self) -> Option<Arc<SchemaSet>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = match &self.source {
            Source::Folder(folder) => look_in_folder(folder, &mut held),
            Source::Store {
                store,
                repo,
                grant,
                left,
            } => {
                if let Err(error) = take_in(store, *repo, grant, left, &mut held) {
                    tracing::warn!(%error, "schemas that were left in the data folder are not in the store");
                }
                look_in_store(store, *repo, grant, &mut held)
            }
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "schemas could not be loaded");
        }
        held.set.clone()
    }
}

fn look_in_folder(folder: &Path, held: &mut Held) -> Result<()> {
    let Some(stamp) = changed_at(&folder.join(IMPORTED)).or_else(|| changed_at(folder)) else {
        return Ok(());
    };
    let state = Some(State::Folder(stamp));
    if held.state != state {
        // Whatever comes of it: it is tried again when the folder changes.
        held.state = state;
        held.set = None;
        held.set = Some(Arc::new(SchemaSet::load(folder)?));
    }
    Ok(())
}

fn look_in_store(store: &Store, repo: RepoId, grant: &Granted, held: &mut Held) -> Result<()> {
    let Some((vno, kept)) = record(store, repo, grant)? else {
        return Ok(());
    };
    let state = Some(State::Version(vno));
    if held.state != state {
        let hash = unhex(&kept.archive).context("the record of the schemas names no archive")?;
        let bytes = store.blob(&hash)?.context("the archive is not there")?;
        held.state = state;
        held.set = None;
        let archive = Archive::from_bytes(&bytes).context("the archive cannot be read")?;
        held.set = Some(Arc::new(SchemaSet::from_archive(&archive)?));
    }
    Ok(())
}

/// Takes an import that was left beside this process into the store, unless what the store has is newer.
fn take_in(
    store: &Store,
    repo: RepoId,
    grant: &Granted,
    left: &Path,
    held: &mut Held,
) -> Result<()> {
    let marker = left.join(IMPORTED);
    let Some(stamp) = changed_at(&marker) else {
        return Ok(());
    };
    if held.taken == Some(stamp) {
        return Ok(());
    }
    let made_at = std::fs::read_to_string(&marker)?;
    // Without a time of its own it is older than anything.
    let made_at: Timestamp = made_at.trim().parse().unwrap_or_default();
    let before = record(store, repo, grant)?;
    if before.is_none_or(|(_, kept)| kept.made_at < made_at) {
        // Earlier versions of this program left the schemas as they were.
        let archive = match std::fs::read(left.join(LEFT)) {
            Ok(bytes) => Archive::from_bytes(&bytes).context("the archive cannot be read")?,
            Err(_) => Archive::read(left)?,
        };
        keep(store, &archive, made_at)?;
    }
    held.taken = Some(stamp);
    Ok(())
}

fn record(store: &Store, repo: RepoId, grant: &Granted) -> Result<Option<(Vno, Kept)>> {
    let record = store.snapshot()?.read(grant, repo, RTYPE, ID)?;
    let Some(record) = record.filter(|record| record.head.op != Op::Delete) else {
        return Ok(None);
    };
    Ok(Some((
        record.head.vno,
        serde_json::from_slice(&record.body)?,
    )))
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

fn hex(hash: &BlobHash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<BlobHash> {
    let mut hash = BlobHash::default();
    if text.len() != 2 * hash.len() {
        return None;
    }
    for (place, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests;
