//! The opened engine: its tasks and threads, and the interface.

use super::bulk::Submit;
use super::check::askable;
use super::crowd::Crowd;
use super::journal::{self, Journal, Line};
use super::link::{Heard, Link};
use super::shared::{Counters, Guesses, Idents, Shared, Wake, count};
use super::writer::{self, Job};
use super::{blobs, bulk, feed, guard, keeper, queue, reader, rekey, schema, sink, source, write};
use crate::backup::{LostSettings, Restored};
use crate::{
    AuditEntry, BlobHash, BulkWriter, Commit, DeadLetter, Durability, Engine, EngineConfig,
    FeedEntry, FirstLook, HeadSigner, JournalEntry, Leased, LogHead, MicrosUtc, Pending, PersonKey,
    PurgeState, QueueMessageId, QueueStats, Rekey, RepoId, Rid, Seq, Snapshot, SnapshotSoon,
    StoreConfig, StoreError,
};
use bytes::Bytes;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often waiting journal entries are sealed.
const SEAL_EVERY: Duration = Duration::from_secs(2);
/// How often spent messages, superseded rows and erasures are looked for.
const MAINTAIN_EVERY: Duration = Duration::from_secs(15);
/// Longest wait for the tasks at close.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);
/// Lines of the journal that wait for the table.
const JOURNAL_QUEUE: usize = 20_000;

/// The engine.
struct Postgres {
    shared: Arc<Shared>,
    jobs: Arc<RwLock<Option<mpsc::UnboundedSender<Job>>>>,
    lines: RwLock<Option<mpsc::Sender<Line>>>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    keeper: Mutex<Option<std::thread::JoinHandle<()>>>,
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
}

/// Opens the engine: prepares the tables, checks the server's settings, starts the committer.
pub fn open(config: StoreConfig) -> Result<Arc<dyn Engine>, StoreError> {
    let EngineConfig::Postgres {
        url,
        schema,
        max_connections,
    } = &config.engine
    else {
        return Err(StoreError::CannotOpen(
            "not a PostgreSQL configuration".to_owned(),
        ));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("store-pg")
        .enable_all()
        .build()
        .map_err(|e| StoreError::CannotOpen(format!("runtime: {e}")))?;
    let link = Link::new(url, schema, *max_connections, runtime.handle().clone())?;
    let opened = runtime.block_on(async {
        let conn = link
            .connect()
            .await
            .map_err(|e| StoreError::CannotOpen(e.to_string()))?;
        schema::check_settings(&conn, config.unsafe_no_sync).await?;
        let opened = schema::prepare(&conn, schema, &config.repositories).await?;
        Ok::<_, StoreError>(opened)
    })?;
    let declared = |name: &String| config.repositories.iter().any(|d| d.name == *name);
    let by_name: std::collections::BTreeMap<_, _> = opened
        .repositories
        .into_iter()
        .filter(|(name, _)| declared(name))
        .collect();
    let repositories = by_name
        .iter()
        .map(|(name, (id, _))| (*id, name.clone()))
        .collect();
    let shared = Arc::new(Shared {
        channel: format!("hn_{schema}"),
        link,
        crowd: Crowd::default(),
        idents: Idents::default(),
        guesses: Guesses::default(),
        process: uuid::Uuid::new_v4(),
        holder: guard::name(),
        committer: AtomicI32::new(0),
        by_name,
        repositories: Arc::new(repositories),
        incarnation: RwLock::new(opened.incarnation),
        retention: config.snapshot_retention,
        mirror: config.mirror.clone(),
        unsafe_no_sync: config.unsafe_no_sync,
        names: RwLock::new(Arc::new(super::names::Names::unread())),
        wake: Wake::default(),
        counters: Counters::default(),
        closed: AtomicBool::new(false),
        swept_to: AtomicI64::new(0),
    });
    if let Some(folder) = &shared.mirror {
        // what a crash left in the outbox goes to the mirror before anything else is committed
        let known = crate::backup::mirror::Mirror::open(folder, shared.unsafe_no_sync)?.last();
        let last = i64::try_from(known).unwrap_or(i64::MAX);
        shared.once(async |conn| {
            super::mirror::drain(&shared, conn).await?;
            conn.execute("UPDATE clock SET mirror = $1 WHERE mirror < $1", &[&last])
                .await
        })?;
    }
    let (jobs, waiting_jobs) = mpsc::unbounded_channel();
    let (lines, waiting_lines) = mpsc::channel(JOURNAL_QUEUE);
    let tasks = vec![
        runtime.spawn(writer::run(shared.clone(), waiting_jobs)),
        runtime.spawn(journal::write_lines(shared.clone(), waiting_lines)),
    ];
    runtime.spawn(listen(shared.clone()));
    runtime.spawn(guard::run(shared.clone()));
    let jobs = Arc::new(RwLock::new(Some(jobs)));
    let keeper = spawn_keeper(shared.clone(), submitter(&shared, &jobs))
        .map_err(|e| StoreError::CannotOpen(format!("keeper thread: {e}")))?;
    Ok(Arc::new(Postgres {
        shared,
        jobs,
        lines: RwLock::new(Some(lines)),
        tasks: Mutex::new(tasks),
        keeper: Mutex::new(Some(keeper)),
        runtime: Mutex::new(Some(runtime)),
    }))
}

fn submitter(
    shared: &Arc<Shared>,
    jobs: &Arc<RwLock<Option<mpsc::UnboundedSender<Job>>>>,
) -> Submit {
    let (shared, jobs) = (shared.clone(), jobs.clone());
    Arc::new(move |commit| submit(&shared, &jobs, commit))
}

fn submit(
    shared: &Shared,
    jobs: &RwLock<Option<mpsc::UnboundedSender<Job>>>,
    commit: Commit,
) -> Pending {
    let jobs = jobs.read().unwrap_or_else(PoisonError::into_inner);
    match jobs.as_ref() {
        Some(jobs) => writer::submit(shared, jobs, commit),
        None => {
            let (answer, pending) = tokio::sync::oneshot::channel();
            let closed = "the store is closed".to_owned();
            // the receiver is right here
            let _ = answer.send(Err(crate::CommitError::Unavailable(closed)));
            Pending::new(pending)
        }
    }
}

fn heard_of(shared: &Shared, heard: Heard<'_>) {
    match heard {
        Heard::Anything => {
            shared.wake.feed(None);
            shared.wake.queues();
        }
        // the committer of this process has told it already
        Heard::Note { sender, .. } if sender == shared.committer.load(Ordering::Acquire) => {}
        Heard::Note { payload, .. } => {
            let (seq, queues) = write::read_note(payload);
            shared.wake.feed(seq);
            if queues {
                shared.wake.queues();
            }
        }
    }
}

/// Hears of commits of other processes.
async fn listen(shared: Arc<Shared>) {
    while shared.open().is_ok() {
        let heard = |heard: Heard<'_>| heard_of(&shared, heard);
        if let Err(error) = shared.link.listen(&shared.channel, heard).await {
            tracing::debug!(%error, "not listening for other processes; trying again");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn spawn_keeper(
    shared: Arc<Shared>,
    submit: Submit,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name("store-keeper".to_owned())
        .spawn(move || {
            let mut maintained = Instant::now();
            loop {
                if shared.wake.wait_end(Instant::now() + SEAL_EVERY) {
                    return;
                }
                let journal = Journal {
                    shared: &shared,
                    submit: &*submit,
                };
                let mut result = journal.anything_waits().and_then(|any| match any {
                    true => journal.seal().map(|_| ()),
                    false => Ok(()),
                });
                if maintained.elapsed() >= MAINTAIN_EVERY {
                    result = result.and(keeper::maintain(&shared));
                    maintained = Instant::now();
                }
                if let Err(error) = result {
                    count(&shared.counters.keeper_errors, 1);
                    tracing::warn!(%error, "housekeeping of the store failed; it is tried again");
                }
            }
        })
}

impl Postgres {
    fn submitter(&self) -> Submit {
        submitter(&self.shared, &self.jobs)
    }

    fn journal<T>(&self, work: impl FnOnce(Journal<'_>) -> T) -> T {
        let submit = |commit: Commit| submit(&self.shared, &self.jobs, commit);
        work(Journal {
            shared: &self.shared,
            submit: &submit,
        })
    }
}

impl Engine for Postgres {
    fn submit(&self, commit: Commit) -> Pending {
        submit(&self.shared, &self.jobs, commit)
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        reader::newest(&self.shared)
    }

    fn snapshot_for(&self, repo: RepoId, rtype: &str, id: &str) -> Result<Snapshot, StoreError> {
        reader::newest_for(&self.shared, repo, rtype, id)
    }

    fn snapshot_soon(&self, repo: RepoId, rtype: &str, id: &str) -> Option<SnapshotSoon> {
        reader::newest_soon(&self.shared, repo, rtype, id)
    }

    fn snapshot_soon_at(&self, repo: RepoId, look: &FirstLook<'_>) -> Option<SnapshotSoon> {
        reader::newest_at_soon(&self.shared, repo, look)
    }

    fn snapshot_at(&self, seq: Seq) -> Result<Snapshot, StoreError> {
        reader::earlier(&self.shared, seq)
    }

    fn repository(&self, name: &str) -> Option<RepoId> {
        self.shared.by_name.get(name).map(|(id, _)| *id)
    }

    fn incarnation(&self) -> uuid::Uuid {
        *self
            .shared
            .incarnation
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(&self, queue: &str, limit: usize, lease_ms: u64) -> Result<Vec<Leased>, StoreError> {
        if !askable(queue) {
            return Ok(Vec::new());
        }
        queue::lease(&self.shared, queue, limit, lease_ms)
    }

    fn renew(&self, id: QueueMessageId, token: u64, lease_ms: u64) -> Result<bool, StoreError> {
        queue::renew(&self.shared, id, token, lease_ms)
    }

    fn peek(&self, queue: &str, limit: usize) -> Result<Vec<Leased>, StoreError> {
        if !askable(queue) {
            return Ok(Vec::new());
        }
        queue::peek(&self.shared, queue, limit)
    }

    fn dead_letters(&self, queue: &str, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        if !askable(queue) {
            return Ok(Vec::new());
        }
        queue::dead_letters(&self.shared, queue, limit)
    }

    fn revive(&self, id: QueueMessageId) -> Result<bool, StoreError> {
        queue::revive(&self.shared, id)
    }

    fn queue_stats(&self, queue: &str) -> Result<QueueStats, StoreError> {
        if !askable(queue) {
            return Ok(QueueStats::default());
        }
        queue::stats(&self.shared, queue)
    }

    fn queues(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        if !askable(prefix) {
            return Ok(Vec::new());
        }
        queue::names(&self.shared, prefix, limit)
    }

    fn wait_queue(&self, queues: &[String], timeout: Duration) {
        queue::wait(&self.shared, queues, timeout);
    }

    fn feed(&self, after: Seq, limit: usize) -> Result<Vec<FeedEntry>, StoreError> {
        feed::entries(&self.shared, after, limit)
    }

    fn wait_feed(&self, after: Seq, timeout: Duration) -> Seq {
        feed::wait(&self.shared, after, timeout)
    }

    fn position(&self, consumer: &str) -> Result<Seq, StoreError> {
        if !askable(consumer) {
            return Ok(Seq(0));
        }
        let sql = "SELECT seq FROM position WHERE consumer = $1";
        let row = self
            .shared
            .read(async |conn| conn.query_opt(sql, &[&consumer]).await)?;
        Ok(Seq(row.map_or(0, |r| r.get::<_, i64>(0) as u64)))
    }

    fn person(&self, system: &str, value: &str) -> Result<Option<PersonKey>, StoreError> {
        if !askable(system) || !askable(value) {
            return Ok(None);
        }
        let name = (system.to_owned(), value.to_owned());
        let known = self.shared.idents.known(std::iter::once(&name)).pop();
        let key = match known {
            Some((_, key)) => key,
            None => {
                let sql = "SELECT person FROM ident WHERE system = $1 AND value = $2";
                let row = self
                    .shared
                    .read(async |conn| conn.query_opt(sql, &[&system, &value]).await)?;
                let Some(row) = row else { return Ok(None) };
                let key = PersonKey(row.get::<_, i64>(0) as u64);
                self.shared.idents.learn(vec![(name, key)]);
                key
            }
        };
        // read after the person: merges are seen at once
        let (_, names) = self.shared.crowd.tip(&self.shared)?;
        Ok(Some(names.aliases.root(key)))
    }

    fn person_identifiers(&self, key: PersonKey) -> Result<Vec<(String, String)>, StoreError> {
        let sql =
            "SELECT system, value FROM ident WHERE person = ANY($1) ORDER BY person, system, value";
        self.shared.read(async |conn| {
            let (_, names) = self.shared.tip(conn).await?;
            let same: Vec<i64> = names.aliases.same(key).iter().map(|k| k.0 as i64).collect();
            let rows = conn.query(sql, &[&same]).await?;
            Ok(rows.iter().map(|r| (r.get(0), r.get(1))).collect())
        })
    }

    fn stage_blob(&self, bytes: &[u8]) -> Result<BlobHash, StoreError> {
        blobs::stage(&self.shared, bytes)
    }

    fn blob(&self, hash: &BlobHash) -> Result<Option<Bytes>, StoreError> {
        blobs::blob(&self.shared, hash)
    }

    fn purge_state(
        &self,
        repo: RepoId,
        rtype: &str,
        id: &str,
    ) -> Result<Option<PurgeState>, StoreError> {
        if !askable(rtype) || !askable(id) {
            return Ok(None);
        }
        keeper::purge_state(&self.shared, repo, rtype, id)
    }

    fn maintain(&self) -> Result<(), StoreError> {
        keeper::maintain(&self.shared)
    }

    fn bulk_load(&self, repo: RepoId) -> Result<Box<dyn BulkWriter>, StoreError> {
        Ok(Box::new(bulk::begin(&self.shared, self.submitter(), repo)?))
    }

    fn audit(&self, entry: AuditEntry, durability: Durability) -> Result<(), StoreError> {
        let lines = self
            .lines
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match lines {
            Some(lines) => journal::audit(&self.shared, &lines, entry, durability),
            None => Err(StoreError::Unavailable("the store is closed".to_owned())),
        }
    }

    fn journal_of(
        &self,
        person: PersonKey,
        before: Option<MicrosUtc>,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.journal(|j| j.journal_of(person, before, limit))
    }

    fn journal_entry(&self, id: uuid::Uuid) -> Result<Option<JournalEntry>, StoreError> {
        self.journal(|j| j.journal_entry(id))
    }

    fn journal_streams(&self) -> Result<Vec<String>, StoreError> {
        self.journal(|j| j.streams())
    }

    fn journal_after(
        &self,
        stream: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.journal(|j| j.journal_after(stream, after, limit))
    }

    fn seal(&self) -> Result<u64, StoreError> {
        self.journal(|j| j.seal())
    }

    fn sign_head(
        &self,
        signer: &dyn HeadSigner,
        day: &str,
        close: bool,
    ) -> Result<LogHead, StoreError> {
        self.journal(|j| j.sign_head(signer, day, close))
    }

    fn heads(&self, limit: usize) -> Result<Vec<LogHead>, StoreError> {
        self.journal(|j| j.heads(limit))
    }

    fn proof(
        &self,
        id: uuid::Uuid,
        masked: &[&str],
    ) -> Result<Option<serde_json::Value>, StoreError> {
        self.journal(|j| j.proof(id, masked))
    }

    fn verify_journal(&self) -> Result<u64, StoreError> {
        self.journal(|j| j.verify())
    }

    fn backup(&self, out: &mut dyn Write) -> Result<Seq, StoreError> {
        // what waits is not in a backup: it is sealed first
        self.seal()?;
        let source = source::PgSource::new(&self.shared)?;
        Ok(crate::backup::write(&source, out)?.seq)
    }

    fn restore_with(
        &self,
        input: &mut dyn Read,
        lost: LostSettings,
    ) -> Result<Restored, StoreError> {
        let mut sink = sink::PgSink::new(&self.shared, self.submitter());
        let mirror = self.shared.mirror.as_deref();
        let (summary, settings) = crate::backup::restore(input, &mut sink, mirror, lost)?;
        Ok(Restored {
            seq: summary.seq,
            settings,
        })
    }

    fn outdated(
        &self,
        repo: RepoId,
        pack: u32,
        after: Rid,
        limit: usize,
    ) -> Result<Vec<Rid>, StoreError> {
        rekey::outdated(&self.shared, repo, pack, after, limit)
    }

    fn rekey(&self, repo: RepoId, changes: &[Rekey]) -> Result<usize, StoreError> {
        rekey::rekey(&self.shared, repo, changes)
    }

    fn verify_index(&self) -> Result<u64, StoreError> {
        keeper::verify_index(&self.shared)
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let c = &self.shared.counters;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("store_batches", of(&c.batches)),
            ("store_seq", self.shared.wake.now().seq),
            ("store_commits", of(&c.commits)),
            ("store_refused", of(&c.refused)),
            ("store_failed", of(&c.failed)),
            ("store_waiting", of(&c.waiting)),
            ("store_reconnects", of(&c.reconnects)),
            ("journal_appended", of(&c.audited)),
            ("journal_sealed", of(&c.sealed)),
            ("store_purges", of(&c.erased)),
            ("store_background_failures", of(&c.keeper_errors)),
            ("store_leases_freed", of(&c.freed)),
        ]
    }

    fn close(&self) {
        // no new work; what is on its way is flushed and answered
        self.jobs
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.lines
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.shared.wake.close();
        let keeper = self
            .keeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if keeper.is_some_and(|k| k.join().is_err()) {
            tracing::error!("the store's keeper thread had panicked");
        }
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let runtime = self
            .runtime
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(runtime) = runtime else { return };
        for task in tasks {
            let ended = runtime.block_on(async { tokio::time::timeout(CLOSE_WITHIN, task).await });
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!("a task of the store did not end in order");
            }
        }
        self.shared.closed.store(true, Ordering::Release);
        self.shared.link.close();
        runtime.shutdown_background();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // a last handle may be dropped by an async task, where nothing may block
        let closed = std::thread::scope(|scope| scope.spawn(|| self.close()).join());
        if closed.is_err() {
            tracing::error!("closing the store had panicked");
        }
    }
}
