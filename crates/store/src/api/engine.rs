//! The interface both engines implement, and the handle everybody holds.

use crate::backup::{LostSettings, Restored};
use crate::{
    Alias, AuditEntry, BlobHash, Commit, CommitError, Committed, DeadLetter, Direction, Durability,
    FeedEntry, Granted, Head, HistoryScope, IndexRow, JournalEntry, KeyRange, Leased, LogHead,
    MicrosUtc, Mint, PersonKey, PurgeState, QueueMessageId, QueueStats, Record, RepoId,
    RepositoryDecl, Rid, Seq, StoreError, Vno,
};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Which engine, and where.
#[derive(Clone, Debug)]
pub enum EngineConfig {
    /// Embedded SQLite: a folder with `log.db`, `index.db`, waiting messages and the access journal's segments.
    Sqlite {
        /// The folder; made when absent.
        folder: PathBuf,
    },
    /// PostgreSQL: the database is prepared (tables made) at first open.
    Postgres {
        /// Connection string of libpq form.
        url: String,
        /// Schema that holds the tables.
        schema: String,
        /// Connections for reads.
        max_connections: usize,
    },
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Engine.
    pub engine: EngineConfig,
    /// Repositories of this build; new ones are added, known ones must agree in kind.
    pub repositories: Vec<RepositoryDecl>,
    /// Second place for purges and settings (DESIGN §3.10): a folder.
    pub mirror: Option<PathBuf>,
    /// How long superseded index rows are kept for paging.
    pub snapshot_retention: Duration,
    /// Allow settings that would not survive power loss. Tests only.
    pub unsafe_no_sync: bool,
}

impl StoreConfig {
    /// SQLite in `folder` with the given repositories and the defaults.
    pub fn sqlite(folder: impl Into<PathBuf>, repositories: Vec<RepositoryDecl>) -> Self {
        Self {
            engine: EngineConfig::Sqlite {
                folder: folder.into(),
            },
            repositories,
            mirror: None,
            snapshot_retention: Duration::from_secs(3_600),
            unsafe_no_sync: false,
        }
    }

    /// PostgreSQL with the given repositories and the defaults.
    pub fn postgres(
        url: impl Into<String>,
        schema: impl Into<String>,
        repositories: Vec<RepositoryDecl>,
    ) -> Self {
        Self {
            engine: EngineConfig::Postgres {
                url: url.into(),
                schema: schema.into(),
                max_connections: 16,
            },
            ..Self::sqlite(PathBuf::new(), repositories)
        }
    }
}

/// A commit on its way; wait (thread) or await (task) for its durability.
#[derive(Debug)]
pub struct Pending(tokio::sync::oneshot::Receiver<Result<Committed, CommitError>>);

impl Pending {
    /// Made by engines.
    pub fn new(receiver: tokio::sync::oneshot::Receiver<Result<Committed, CommitError>>) -> Self {
        Self(receiver)
    }

    /// Blocks the thread until the commit is durable or refused. Not for async tasks: those `.await`.
    pub fn wait(self) -> Result<Committed, CommitError> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(lost()))
    }
}

impl Future for Pending {
    type Output = Result<Committed, CommitError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0)
            .poll(cx)
            .map(|r| r.unwrap_or_else(|_| Err(lost())))
    }
}

fn lost() -> CommitError {
    CommitError::OutcomeUnknown("the writer stopped".to_owned())
}

/// A snapshot that a task waits for.
pub type SnapshotSoon =
    std::pin::Pin<Box<dyn Future<Output = Result<Snapshot, StoreError>> + Send>>;

/// What is first looked at in a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct FirstLook<'a> {
    /// The range.
    pub range: &'a KeyRange,
    /// Rows that will be scanned for.
    pub limit: usize,
    /// Up to here its rows will be counted before ([`Reader::estimate_up_to`]).
    pub estimate: u64,
}

/// What an engine offers for writing and for everything outside snapshots. All methods block; call them from
/// blocking threads (`tokio::task::spawn_blocking`), never from async tasks (except `submit`).
pub trait Engine: Send + Sync {
    /// Puts a commit into the next batch.
    fn submit(&self, commit: Commit) -> Pending;
    /// The newest flushed state.
    fn snapshot(&self) -> Result<Snapshot, StoreError>;
    /// The same, told which record is going to be read first: an engine behind a network asks for both at once. It promises
    /// nothing about the record; that is read, under a grant, from the snapshot.
    fn snapshot_for(&self, repo: RepoId, rtype: &str, id: &str) -> Result<Snapshot, StoreError> {
        let _ = (repo, rtype, id);
        self.snapshot()
    }
    /// The same, waited for by a task instead of a thread. Under a [`Patience`] that has run out the record can then be
    /// read on an async thread: either it is there, or the read refuses with [`StoreError::TimedOut`] instead of waiting.
    /// `None`: the engine has no such way for this record.
    ///
    /// [`Patience`]: crate::Patience
    fn snapshot_soon(&self, repo: RepoId, rtype: &str, id: &str) -> Option<SnapshotSoon> {
        let _ = (repo, rtype, id);
        None
    }
    /// The same for somebody who first walks a range from its beginning, ascending: his first rows come with the state.
    /// `None`: the engine has no such way.
    fn snapshot_soon_at(&self, repo: RepoId, look: &FirstLook<'_>) -> Option<SnapshotSoon> {
        let _ = (repo, look);
        None
    }
    /// The state at an earlier seq, for paging; `SnapshotExpired` when too old. Repositories of kind `Internal` need not be
    /// readable by index there: that may be refused with `SnapshotExpired` however young it is.
    fn snapshot_at(&self, seq: Seq) -> Result<Snapshot, StoreError>;
    /// Number of a declared repository.
    fn repository(&self, name: &str) -> Option<RepoId>;
    /// A read of one record takes some ten microseconds and waits for no network: it may run on an async thread.
    fn reads_are_quick(&self) -> bool {
        false
    }
    /// The store's incarnation (stands in page tokens and event positions).
    fn incarnation(&self) -> uuid::Uuid;

    /// Leases up to `limit` visible messages of a queue, oldest first, for `lease_ms` milliseconds.
    fn lease(&self, queue: &str, limit: usize, lease_ms: u64) -> Result<Vec<Leased>, StoreError>;
    /// Prolongs a lease; false when it is lost.
    fn renew(&self, id: QueueMessageId, token: u64, lease_ms: u64) -> Result<bool, StoreError>;
    /// Looks without leasing, oldest first.
    fn peek(&self, queue: &str, limit: usize) -> Result<Vec<Leased>, StoreError>;
    /// Dead letters, newest first.
    fn dead_letters(&self, queue: &str, limit: usize) -> Result<Vec<DeadLetter>, StoreError>;
    /// Puts a dead letter back into its queue.
    fn revive(&self, id: QueueMessageId) -> Result<bool, StoreError>;
    /// Numbers of a queue.
    fn queue_stats(&self, queue: &str) -> Result<QueueStats, StoreError>;
    /// Names of queues that begin with `prefix` and hold something, at most `limit`.
    fn queues(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError>;
    /// Blocks until something may be visible in one of the queues, at most `timeout`. Spurious wake-ups are allowed.
    fn wait_queue(&self, queues: &[String], timeout: Duration);

    /// Feed entries after `after`, in order, at most `limit`; never a gap.
    fn feed(&self, after: Seq, limit: usize) -> Result<Vec<FeedEntry>, StoreError>;
    /// Blocks until the feed is beyond `after`, at most `timeout`; returns its end.
    fn wait_feed(&self, after: Seq, timeout: Duration) -> Seq;
    /// Where a consumer stands (0 = never moved).
    fn position(&self, consumer: &str) -> Result<Seq, StoreError>;

    /// Key of a person when known, aliases followed. Not part of a snapshot: identities only grow.
    fn person(&self, system: &str, value: &str) -> Result<Option<PersonKey>, StoreError>;
    /// Identifiers of a person, all that lead to the key, as (system, value).
    fn person_identifiers(&self, key: PersonKey) -> Result<Vec<(String, String)>, StoreError>;

    /// Stages a large blob ahead of the commit that refers to it (swept after an hour if none does).
    fn stage_blob(&self, bytes: &[u8]) -> Result<BlobHash, StoreError>;
    /// A blob. The caller has read a record that refers to it under a grant.
    fn blob(&self, hash: &BlobHash) -> Result<Option<Bytes>, StoreError>;

    /// How far a purge of a record has come.
    fn purge_state(
        &self,
        repo: RepoId,
        rtype: &str,
        id: &str,
    ) -> Result<Option<PurgeState>, StoreError>;
    /// Runs purges, sweeps and expiries that are due, now. The engine also does so by itself.
    fn maintain(&self) -> Result<(), StoreError>;

    /// Loads many records into an empty repository at once, outside the commit path (DESIGN §3.1).
    fn bulk_load(&self, repo: RepoId) -> Result<Box<dyn BulkWriter>, StoreError>;

    /// Appends an access-journal entry that belongs to no commit (reads, denials).
    fn audit(&self, entry: AuditEntry, durability: Durability) -> Result<(), StoreError>;
    /// Entries in which the person stands, newest `recorded_at` first, before `before`, at most `limit`; sealed or not.
    fn journal_of(
        &self,
        person: PersonKey,
        before: Option<MicrosUtc>,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError>;
    /// One entry.
    fn journal_entry(&self, id: uuid::Uuid) -> Result<Option<JournalEntry>, StoreError>;
    /// Streams of the sealed journal, ascending by id.
    fn journal_streams(&self) -> Result<Vec<String>, StoreError>;
    /// Sealed entries of a stream numbered after `after` (0 = from its beginning), ascending, at most `limit`: for jobs that
    /// read everything once. Nothing comes before a number that was given out already.
    fn journal_after(
        &self,
        stream: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError>;
    /// Seals what was appended (also done in the background); returns how many.
    fn seal(&self) -> Result<u64, StoreError>;
    /// Makes and stores a signed head: of the running day (interim), or closing `day`.
    fn sign_head(
        &self,
        signer: &dyn crate::HeadSigner,
        day: &str,
        close: bool,
    ) -> Result<LogHead, StoreError>;
    /// Signed heads, newest first.
    fn heads(&self, limit: usize) -> Result<Vec<LogHead>, StoreError>;
    /// Proof of an entry as spec/privacy.md §9.3, members in `masked` shown as hash only.
    fn proof(
        &self,
        id: uuid::Uuid,
        masked: &[&str],
    ) -> Result<Option<serde_json::Value>, StoreError>;
    /// Walks the whole sealed journal; `Err(Corrupt)` names the first entry that does not verify.
    fn verify_journal(&self) -> Result<u64, StoreError>;

    /// Writes the logical backup stream at one snapshot (both engines, one format).
    fn backup(&self, out: &mut dyn std::io::Write) -> Result<Seq, StoreError>;
    /// Fills an empty store from a backup stream.
    fn restore_with(
        &self,
        input: &mut dyn std::io::Read,
        lost: LostSettings,
    ) -> Result<Restored, StoreError>;
    /// Live records of a repository whose keys were made by another version of the definition pack than this one,
    /// ascending after `after`, at most `limit`. Looks at every record: for background work.
    fn outdated(
        &self,
        repo: RepoId,
        pack: u32,
        after: Rid,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError>;
    /// Gives newest versions new keys; no version, no feed entry, nothing else changes. Until it returns, a record is
    /// found by its old keys or by its new ones. Versions that are not the newest any more, or too fresh, are left out:
    /// how many were changed. At most [`crate::MAX_REKEY`] at once.
    fn rekey(&self, repo: RepoId, changes: &[crate::Rekey]) -> Result<usize, StoreError>;
    /// Recomputes the index from the log and compares; `Err(Corrupt)` names the first difference.
    fn verify_index(&self) -> Result<u64, StoreError>;
    /// Named counters for metrics and the health page: (name, value).
    fn counters(&self) -> Vec<(&'static str, u64)>;
    /// Flushes and stops background work; later calls fail with `Unavailable`.
    fn close(&self);
}

/// A writer of a bulk load; nothing is visible before `finish`.
pub trait BulkWriter: Send {
    /// Adds a record (its `op` must be `Create`).
    fn put(&mut self, put: crate::Put) -> Result<(), StoreError>;
    /// Switches the load in with one feed entry; returns its seq.
    fn finish(self: Box<Self>) -> Result<Seq, StoreError>;
}

/// A state of the store to read from. Cheap to clone; holds no open database transaction for longer than a call
/// unless the engine says otherwise.
pub type Snapshot = Arc<dyn Reader>;

/// Reads at one snapshot. Every method that returns records or rows evaluates the grant's filter before it counts,
/// limits or returns anything.
pub trait Reader: Send + Sync {
    /// The snapshot.
    fn seq(&self) -> Seq;
    /// Commit time of the snapshot's newest commit.
    fn at(&self) -> MicrosUtc;
    /// Newest version of a record at this snapshot, deletions included (`head.op == Delete`), if visible.
    fn read(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        id: &str,
    ) -> Result<Option<Record>, StoreError>;
    /// What [`Reader::read`] gives for each of these ids, in no order; those that it gives nothing for are left out. An engine
    /// behind a network asks for all of them at once.
    fn read_all(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        ids: &[String],
    ) -> Result<Vec<Record>, StoreError> {
        let found = ids.iter().map(|id| self.read(grant, repo, rtype, id));
        found.filter_map(Result::transpose).collect()
    }
    /// One version, if the record's newest version and that version are visible.
    fn vread(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        id: &str,
        vno: Vno,
    ) -> Result<Option<Record>, StoreError>;
    /// Versions, newest first, of records visible now, before `before`, at most `limit`.
    fn history(
        &self,
        grant: &Granted,
        scope: &HistoryScope,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;
    /// Live visible records with a value in the range: ids, ascending, without duplicates, at most `limit` rows visited
    /// (`Invalid` beyond: the caller answers too-costly).
    fn range(
        &self,
        grant: &Granted,
        repo: RepoId,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError>;
    /// The same rows in order of (value, rid), after `after`, at most `limit` returned.
    fn scan(
        &self,
        grant: &Granted,
        repo: RepoId,
        range: &KeyRange,
        direction: Direction,
        after: Option<&IndexRow>,
        limit: usize,
    ) -> Result<Vec<IndexRow>, StoreError>;
    /// Rough number of rows of a range, without the filter; for planning only, never shown.
    fn estimate(&self, repo: RepoId, range: &KeyRange) -> Result<u64, StoreError>;
    /// The same, counted no further than `most`: cheap for small limits.
    fn estimate_up_to(&self, repo: RepoId, range: &KeyRange, most: u64) -> Result<u64, StoreError> {
        Ok(self.estimate(repo, range)?.min(most))
    }
    /// All live visible records of a type, ascending by rid, after `after`, at most `limit` returned.
    fn type_rids(
        &self,
        grant: &Granted,
        repo: RepoId,
        rtype: &str,
        after: Rid,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError>;
    /// Live visible records of a type by the place of their newest version, falling (records of one place ascending by
    /// rid), after a place, at most `limit`. `None` = this engine has no such order at hand.
    fn newest(
        &self,
        _grant: &Granted,
        _repo: RepoId,
        _rtype: &str,
        _after: Option<(Seq, Rid)>,
        _limit: usize,
    ) -> Result<Option<Vec<Head>>, StoreError> {
        Ok(None)
    }
    /// Live visible records in which one of the persons stands, ascending by rid (the compartment index).
    fn compartment(
        &self,
        grant: &Granted,
        repo: RepoId,
        persons: &BTreeSet<PersonKey>,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError>;
    /// Heads of live visible records among these; invisible ones are left out.
    fn heads(&self, grant: &Granted, rids: &[Rid]) -> Result<Vec<Head>, StoreError>;
    /// Records with the places of their newest versions, of live visible records among these: what [`Reader::heads`] tells,
    /// without the heads.
    fn places(&self, grant: &Granted, rids: &[Rid]) -> Result<Vec<(Rid, Seq)>, StoreError> {
        let heads = self.heads(grant, rids)?;
        Ok(heads.into_iter().map(|h| (h.rid, h.seq)).collect())
    }
    /// Records of live visible records among these, in the order asked.
    fn fetch(&self, grant: &Granted, rids: &[Rid]) -> Result<Vec<Record>, StoreError>;
    /// All keys of a live visible record (for sorting, re-checks and the offline checker).
    fn keys(&self, grant: &Granted, rid: Rid) -> Result<Vec<crate::IndexKey>, StoreError>;
    /// Keys of several records, in the order asked; invisible ones are left out.
    fn keys_of(
        &self,
        grant: &Granted,
        rids: &[Rid],
    ) -> Result<Vec<(Rid, Vec<crate::IndexKey>)>, StoreError> {
        let mut out = Vec::with_capacity(rids.len());
        for head in self.heads(grant, rids)? {
            out.push((head.rid, self.keys(grant, head.rid)?));
        }
        Ok(out)
    }
    /// Privacy epoch of a person at this snapshot (0 = never raised).
    fn epoch(&self, person: PersonKey) -> Result<Seq, StoreError>;
    /// Epoch of rules and organisation approval.
    fn rules_epoch(&self) -> Result<Seq, StoreError>;
    /// Value of a claim, if held now.
    fn claim(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
}

/// The handle everybody holds. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<dyn Engine>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens (and creates, when absent) the store. Call from a blocking thread. The [`Mint`] is given exactly once per
    /// opened store: hand it to `trust`.
    pub fn open(config: StoreConfig) -> Result<(Self, Mint), StoreError> {
        let engine: Arc<dyn Engine> = match &config.engine {
            EngineConfig::Sqlite { .. } => crate::sqlite::open(config)?,
            EngineConfig::Postgres { .. } => crate::postgres::open(config)?,
        };
        Ok((Self(engine), Mint::new()))
    }

    /// [`Engine::restore_with`], refusing when settings made after the backup are lost; the newest place.
    ///
    /// # Errors
    /// As there.
    pub fn restore(&self, input: &mut dyn std::io::Read) -> Result<Seq, StoreError> {
        let restored = self.0.restore_with(input, LostSettings::Refuse)?;
        Ok(restored.seq)
    }

    /// Commits and waits. Not for async tasks: those use `submit(..).await`.
    pub fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.0.submit(commit).wait()
    }

    /// Number of a repository that this build declares; `Invalid` otherwise.
    pub fn repo(&self, name: &str) -> Result<RepoId, StoreError> {
        self.0
            .repository(name)
            .ok_or_else(|| StoreError::Invalid(format!("unknown repository {name}")))
    }

    /// Makes sure that a person has a key (a write; use `PersonRef::Id` inside commits where possible).
    pub fn intern_person(&self, system: &str, value: &str) -> Result<PersonKey, StoreError> {
        if let Some(key) = self.0.person(system, value)? {
            return Ok(key);
        }
        let person = crate::PersonRef::id(system, value);
        let alias = Alias::AlsoKnownAs {
            person,
            system: system.to_owned(),
            value: value.to_owned(),
        };
        self.commit(Commit {
            alias: vec![alias],
            ..Commit::default()
        })
        .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        self.0
            .person(system, value)?
            .ok_or_else(|| StoreError::Corrupt("person not interned".to_owned()))
    }
}

impl std::ops::Deref for Store {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
