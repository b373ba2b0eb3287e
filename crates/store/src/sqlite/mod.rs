//! The embedded engine: `log.db` (durable log, heads, queues), `index.db` (folded index), folders of the access journal and of
//! waiting messages.
//!
//! One writer thread puts what waits into one transaction of `log.db` and flushes it once (`writer`, `batch`, `apply`).
//! Index rows of flushed commits go to a memtable (`memtable`) and are folded into `index.db` by a second thread
//! (`fold`); a reader merges both (`walk`, `reader`). Checkpoints, sweeps, purges and sealing run in a third (`janitor`).
//!
//! Read first: `writer` (how a batch lives), `fold` (how the index follows), `reader` (what a row must pass).
//!
//! Invariants: nobody is answered before the flush; a commit time is larger than every earlier one; only flushed commits
//! enter the memtable; a reader pins generations before it opens the index, and a generation is dropped only after its
//! fold has committed; a row counts at a place only if its version is the record's newest one there; the index can be
//! made again from the log at any time. One process owns the folder.
//!
//! Rules: DESIGN §3; measurements: spec/dependencies.md §10.

mod access;
mod apply;
mod backup;
mod batch;
mod blobs;
mod bodies;
mod bulk;
mod claims;
mod codec;
mod db;
mod erase;
mod feed;
mod fold;
mod inbox;
mod janitor;
mod lens;
mod memtable;
mod mirror;
mod open;
mod pool;
mod queue;
mod reader;
mod recent;
mod rekey;
mod shared;
#[cfg(test)]
mod tests;
mod verify;
mod walk;
mod writer;

pub(crate) use db::keep_plans;
pub use open::open;

use crate::backup::{LostSettings, Restored};
use crate::journal::SegmentJournal;
use crate::{
    AuditEntry, BlobHash, BulkWriter, Commit, DeadLetter, Durability, Engine, FeedEntry,
    HeadSigner, JournalEntry, Leased, LogHead, MicrosUtc, Pending, PersonKey, PurgeState,
    QueueMessageId, QueueStats, Rekey, RepoId, RepoKind, Rid, Seq, Snapshot, StoreError,
};
use bytes::Bytes;
use shared::{Alarm, Aliases, Loads, Names, Published, Swap, Tide, locked};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The epoch table's key for the rules; person keys begin at 1.
const RULES: u64 = 0;

/// Numbers for metrics.
#[derive(Debug, Default)]
struct Stats {
    commits: AtomicU64,
    refused: AtomicU64,
    purges: AtomicU64,
    batches: AtomicU64,
    folds: AtomicU64,
    fold_waits: AtomicU64,
    checkpoints: AtomicU64,
    background_failures: AtomicU64,
    /// Time of the writer, µs: filling transactions, flushing them, making them visible.
    write_us: AtomicU64,
    flush_us: AtomicU64,
    publish_us: AtomicU64,
    fold_us: AtomicU64,
}

/// What all threads share.
struct Inner {
    log_path: PathBuf,
    index_path: PathBuf,
    /// Held for as long as the store is open.
    folder_lock: Mutex<Option<std::fs::File>>,
    repositories: Swap<HashMap<String, (u16, RepoKind)>>,
    incarnation: Swap<uuid::Uuid>,
    retention_us: i64,
    mirrored: bool,
    mirror_folder: Option<PathBuf>,
    /// Newest entry of the mirror.
    mirror_last: AtomicU64,
    /// A restore is under way: nobody else is served.
    restoring: AtomicBool,
    /// Commits come from the mirror: they stand there already.
    replaying: AtomicBool,
    /// Held while sealing, and by a backup.
    sealing: Mutex<()>,

    types: Swap<Names>,
    queue_names: Swap<Names>,
    aliases: Swap<Aliases>,
    loads: Swap<Loads>,
    /// Loads whose writer lives.
    loading: Mutex<HashSet<u64>>,
    published: Swap<Published>,
    /// Index rows of places below this one may be gone.
    floor: AtomicU64,

    inbox: inbox::Inbox,
    pool: pool::Pool,
    folder: Mutex<fold::Folder>,
    log_checkpointer: Mutex<rusqlite::Connection>,
    index_checkpointer: Mutex<rusqlite::Connection>,
    /// Held by the writer while it writes, by a checkpoint that must stop writing.
    gate: Mutex<()>,
    /// Keys are made anew by one at a time; true = a round broke off, and the mark stays in the index.
    rekeying: Mutex<bool>,
    /// Bytes committed since the last checkpoint.
    unsaved: AtomicU64,

    queues: queue::Queues,
    bodies: bodies::Bodies,
    tide: Tide,
    to_fold: Alarm,
    folded: Alarm,
    janitor: Alarm,
    journal: SegmentJournal,
    stats: Stats,
    stopping: AtomicBool,
    failed: AtomicBool,
}

impl Inner {
    /// Repositories of the hub's own bookkeeping: by index they are read as they are, never as they were.
    fn internal(&self) -> Vec<u16> {
        internal(&self.repositories.get())
    }

    /// Refuses when the store is closed or its disk has failed.
    fn running(&self) -> Result<(), StoreError> {
        if self.stopping.load(Relaxed) {
            return Err(StoreError::Unavailable("the store is closed".to_owned()));
        }
        if self.restoring.load(Relaxed) {
            return Err(StoreError::Unavailable("a restore is under way".to_owned()));
        }
        if self.failed.load(Relaxed) {
            return Err(StoreError::Unavailable(
                "the log could not be flushed; check the disk and start again".to_owned(),
            ));
        }
        Ok(())
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    fn fail(&self) {
        self.failed.store(true, SeqCst);
        self.inbox.close();
    }

    fn folder(&self) -> MutexGuard<'_, fold::Folder> {
        locked(&self.folder)
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let published = self.published.get();
        let rows: usize = published.generations.iter().map(|g| g.len()).sum();
        let (segments, body_bytes) = self.bodies.size();
        let mut all = vec![
            ("store_commits", self.stats.commits.load(Relaxed)),
            ("store_refused", self.stats.refused.load(Relaxed)),
            ("store_purges", self.stats.purges.load(Relaxed)),
            ("store_batches", self.stats.batches.load(Relaxed)),
            ("store_waiting", self.inbox.len() as u64),
            ("store_seq", published.seq),
            ("store_memtable_rows", rows as u64),
            ("store_folds", self.stats.folds.load(Relaxed)),
            ("store_fold_waits", self.stats.fold_waits.load(Relaxed)),
            ("store_checkpoints", self.stats.checkpoints.load(Relaxed)),
            ("store_log_wal_bytes", db::wal_bytes(&self.log_path)),
            ("store_index_wal_bytes", db::wal_bytes(&self.index_path)),
            ("store_write_us", self.stats.write_us.load(Relaxed)),
            ("store_flush_us", self.stats.flush_us.load(Relaxed)),
            ("store_publish_us", self.stats.publish_us.load(Relaxed)),
            ("store_body_segments", segments),
            ("store_body_bytes", body_bytes),
            ("store_fold_us", self.stats.fold_us.load(Relaxed)),
            (
                "store_background_failures",
                self.stats.background_failures.load(Relaxed),
            ),
        ];
        all.extend(self.journal.counters());
        all
    }
}

fn internal(repositories: &HashMap<String, (u16, RepoKind)>) -> Vec<u16> {
    let all = repositories.values();
    all.filter(|(_, kind)| *kind == RepoKind::Internal)
        .map(|(id, _)| *id)
        .collect()
}

/// The opened engine; dropping it closes the store.
struct SqliteEngine {
    inner: Arc<Inner>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Drop for SqliteEngine {
    fn drop(&mut self) {
        self.close();
    }
}

impl Engine for SqliteEngine {
    fn reads_are_quick(&self) -> bool {
        true
    }

    fn submit(&self, commit: Commit) -> Pending {
        self.inner.submit(commit)
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.inner.running()?;
        Ok(Arc::new(self.snap(self.inner.published.get(), None)))
    }

    fn snapshot_at(&self, seq: Seq) -> Result<Snapshot, StoreError> {
        self.inner.running()?;
        let published = self.inner.published.get();
        if seq.0 > published.seq {
            return Err(StoreError::Invalid(format!(
                "snapshot {} is ahead of the store",
                seq.0
            )));
        }
        if seq.0 == published.seq {
            return Ok(Arc::new(self.snap(published, None)));
        }
        let at = self.inner.snapshot_time(seq.0)?;
        Ok(Arc::new(self.snap(published, Some((seq.0, at)))))
    }

    fn repository(&self, name: &str) -> Option<RepoId> {
        let repositories = self.inner.repositories.get();
        repositories.get(name).map(|(id, _)| RepoId(*id))
    }

    fn incarnation(&self) -> uuid::Uuid {
        *self.inner.incarnation.get()
    }

    fn lease(&self, queue: &str, limit: usize, lease_ms: u64) -> Result<Vec<Leased>, StoreError> {
        self.inner.lease(queue, limit, lease_ms)
    }

    fn renew(&self, id: QueueMessageId, token: u64, lease_ms: u64) -> Result<bool, StoreError> {
        self.inner.renew(id, token, lease_ms)
    }

    fn peek(&self, queue: &str, limit: usize) -> Result<Vec<Leased>, StoreError> {
        self.inner.peek(queue, limit)
    }

    fn dead_letters(&self, queue: &str, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        self.inner.dead_letters(queue, limit)
    }

    fn revive(&self, id: QueueMessageId) -> Result<bool, StoreError> {
        self.inner.revive(id)
    }

    fn queue_stats(&self, queue: &str) -> Result<QueueStats, StoreError> {
        self.inner.queue_stats(queue)
    }

    fn queues(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.queues(prefix, limit)
    }

    fn wait_queue(&self, queues: &[String], timeout: Duration) {
        self.inner.wait_queue(queues, timeout);
    }

    fn feed(&self, after: Seq, limit: usize) -> Result<Vec<FeedEntry>, StoreError> {
        self.inner.feed(after, limit)
    }

    fn wait_feed(&self, after: Seq, timeout: Duration) -> Seq {
        self.inner.wait_feed(after, timeout)
    }

    fn position(&self, consumer: &str) -> Result<Seq, StoreError> {
        self.inner.position(consumer)
    }

    fn person(&self, system: &str, value: &str) -> Result<Option<PersonKey>, StoreError> {
        self.inner.person(system, value)
    }

    fn person_identifiers(&self, key: PersonKey) -> Result<Vec<(String, String)>, StoreError> {
        self.inner.person_identifiers(key)
    }

    fn stage_blob(&self, bytes: &[u8]) -> Result<BlobHash, StoreError> {
        self.inner.stage_blob(bytes)
    }

    fn blob(&self, hash: &BlobHash) -> Result<Option<Bytes>, StoreError> {
        self.inner.blob(hash)
    }

    fn purge_state(
        &self,
        repo: RepoId,
        rtype: &str,
        id: &str,
    ) -> Result<Option<PurgeState>, StoreError> {
        self.inner.purge_state(repo, rtype, id)
    }

    fn maintain(&self) -> Result<(), StoreError> {
        self.inner.maintain()
    }

    fn bulk_load(&self, repo: RepoId) -> Result<Box<dyn BulkWriter>, StoreError> {
        bulk::begin(&self.inner, repo)
    }

    fn audit(&self, entry: AuditEntry, durability: Durability) -> Result<(), StoreError> {
        self.inner.audit(entry, durability)
    }

    fn journal_of(
        &self,
        person: PersonKey,
        before: Option<MicrosUtc>,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.inner.journal_of(person, before, limit)
    }

    fn journal_entry(&self, id: uuid::Uuid) -> Result<Option<JournalEntry>, StoreError> {
        self.inner.journal_entry(id)
    }

    fn journal_streams(&self) -> Result<Vec<String>, StoreError> {
        self.inner.journal_streams()
    }

    fn journal_after(
        &self,
        stream: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.inner.journal_after(stream, after, limit)
    }

    fn seal(&self) -> Result<u64, StoreError> {
        self.inner.seal()
    }

    fn sign_head(
        &self,
        signer: &dyn HeadSigner,
        day: &str,
        close: bool,
    ) -> Result<LogHead, StoreError> {
        self.inner.seal()?;
        self.inner.journal.sign_head(signer, day, close)
    }

    fn heads(&self, limit: usize) -> Result<Vec<LogHead>, StoreError> {
        self.inner.running()?;
        self.inner.journal.heads(limit)
    }

    fn proof(
        &self,
        id: uuid::Uuid,
        masked: &[&str],
    ) -> Result<Option<serde_json::Value>, StoreError> {
        self.inner.running()?;
        self.inner.journal.proof(id, masked)
    }

    fn verify_journal(&self) -> Result<u64, StoreError> {
        self.inner.running()?;
        self.inner.journal.verify()
    }

    fn backup(&self, out: &mut dyn std::io::Write) -> Result<Seq, StoreError> {
        self.inner.backup(out)
    }

    fn restore_with(
        &self,
        input: &mut dyn std::io::Read,
        lost: LostSettings,
    ) -> Result<Restored, StoreError> {
        self.inner.restore(input, lost)
    }

    fn outdated(
        &self,
        repo: RepoId,
        pack: u32,
        after: Rid,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError> {
        self.inner.outdated(repo, pack, after, limit)
    }

    fn rekey(&self, repo: RepoId, changes: &[Rekey]) -> Result<usize, StoreError> {
        self.inner.rekey(repo, changes)
    }

    fn verify_index(&self) -> Result<u64, StoreError> {
        self.inner.verify_index()
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.inner.counters()
    }

    fn close(&self) {
        self.inner.inbox.close();
        let threads = std::mem::take(&mut *locked(&self.threads));
        if threads.is_empty() {
            return;
        }
        // The writer finishes what waits; then the others are told to stop.
        let mut threads = threads.into_iter();
        if let Some(writer) = threads.next() {
            let _ = writer.join();
        }
        self.inner.stopping.store(true, SeqCst);
        self.inner.to_fold.ring();
        self.inner.folded.ring();
        self.inner.janitor.ring();
        self.inner.queues.wake_all();
        self.inner.tide.raise(self.inner.published.get().seq);
        for thread in threads {
            let _ = thread.join();
        }
        self.inner.journal.close();
        self.inner.pool.close();
        *locked(&self.inner.folder_lock) = None;
    }
}

impl SqliteEngine {
    fn snap(&self, published: Arc<Published>, earlier: Option<(u64, i64)>) -> reader::Snap {
        let (seq, at) = earlier.unwrap_or((published.seq, published.at));
        reader::Snap {
            inner: Arc::clone(&self.inner),
            is_past: earlier.is_some(),
            pinned: published,
            seq,
            at,
            known: Mutex::default(),
            seen: Mutex::default(),
        }
    }
}
