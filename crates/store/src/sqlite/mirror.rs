//! The second place: entries are numbered and stored in the commit's own transaction, then appended to the mirror and
//! flushed before the answer, then dropped here; what a crash leaves is appended at the next open.

use super::Inner;
use super::batch::Batch;
use super::codec::damaged;
use super::db::unavailable;
use crate::backup::mirror::{Mirror, MirrorEntry, Names};
use crate::{Commit, Committed, PersonKey, RepoId, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::atomic::Ordering::SeqCst;

/// Names inside the running transaction.
struct InBatch<'a> {
    inner: &'a Inner,
    log: &'a Connection,
}

impl Names for InBatch<'_> {
    fn repository(&self, repo: RepoId) -> Option<String> {
        let repositories = self.inner.repositories.get();
        let mut named = repositories.iter().filter(|(_, (id, _))| *id == repo.0);
        named.next().map(|(name, _)| name.clone())
    }

    fn identifier(&self, person: PersonKey) -> Option<(String, String)> {
        self.log
            .prepare_cached("SELECT system, value FROM person WHERE key = ?1 LIMIT 1")
            .and_then(|mut s| {
                s.query_row([person.0], |r| Ok((r.get(0)?, r.get(1)?)))
                    .optional()
            })
            .ok()
            .flatten()
    }
}

impl Batch<'_> {
    /// Notes what the second place must hold of this commit.
    pub(super) fn write_mirror(
        &mut self,
        commit: &Commit,
        committed: &Committed,
    ) -> Result<(), StoreError> {
        let mirrored = self.inner.mirrored && !self.inner.replaying.load(SeqCst);
        let concerned = commit.mirror || !commit.purge.is_empty();
        if !(mirrored && concerned) {
            return Ok(());
        }
        let names = InBatch {
            inner: self.inner,
            log: self.log,
        };
        let incarnation = *self.inner.incarnation.get();
        let committed = Committed {
            snapshot: crate::Seq(self.next.seq.saturating_sub(1)),
            ..committed.clone()
        };
        let n = self.next.mirror;
        if let Some(entry) = MirrorEntry::of(n, incarnation, commit, &committed, &names)? {
            self.next.mirror += 1;
            let bytes = serde_json::to_vec(&entry).map_err(|_| damaged("mirror entry"))?;
            self.execute(
                "INSERT INTO mirror(n, entry) VALUES(?1, ?2)",
                params![n, bytes],
            )?;
            self.mirror += 1;
        }
        Ok(())
    }
}

/// Appends what waits to the mirror; the next batch drops it here. Entries that the mirror has are skipped by number.
pub(super) fn append(mirror: &mut Mirror, log: &Connection) -> Result<(), StoreError> {
    let waiting: Vec<Vec<u8>> = log
        .prepare_cached("SELECT entry FROM mirror ORDER BY n")
        .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect::<Result<_, _>>())
        .map_err(unavailable)?;
    let entries: Vec<MirrorEntry> = waiting
        .iter()
        .map(|bytes| serde_json::from_slice(bytes).map_err(|_| damaged("mirror entry")))
        .collect::<Result<_, _>>()?;
    if entries.is_empty() {
        return Ok(());
    }
    mirror.append(&entries)
}
