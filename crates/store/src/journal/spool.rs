//! The embedded engine's journal: segment files in front, `journal.db` behind.
//!
//! One flusher thread writes what gathered while its last flush ran (group flush without a timer); entries that may wait
//! are taken along, at the latest after half a second. The sealer rotates the segment, moves its entries and the
//! engine's waiting rows into `journal.db` in transactions of its own, and deletes the file afterwards. A crash in
//! between leaves entries in both places; they are known by (id, `recorded_at`) and not sealed twice.

use super::segment::{self, Writer};
use super::sqlite_tables::{self, SqliteTables, failed};
use super::{Appended, Interner, PendingEntry, Sealing, Tables, head, proof, seal, verify};
use crate::backup::Item;
use crate::{
    AuditEntry, Durability, HeadSigner, JournalEntry, LogHead, MicrosUtc, PersonKey, StoreError,
};
use rusqlite::{Connection, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long an entry of [`Durability::WithinOneSecond`] may wait for company.
const LAZY: Duration = Duration::from_millis(500);
/// Entries that wait for a flush; beyond, appends are refused (the disk does not take them).
const MAX_BUFFERED_BYTES: usize = 16 << 20;
/// A segment beyond this is not written to any more.
const MAX_SEGMENT_BYTES: u64 = 64 << 20;
/// Entries sealed in one transaction.
const SEAL_BATCH: usize = 5_000;

/// The time source of appends and days; the real clock outside tests.
pub type Clock = Arc<dyn Fn() -> MicrosUtc + Send + Sync>;

/// Segment files and `journal.db` in one folder. One process at a time (the engine locks the folder).
pub struct SegmentJournal {
    inner: Arc<Inner>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    folder: PathBuf,
    sync: bool,
    clock: Clock,
    last_at: AtomicI64,
    buffer: Mutex<Buffer>,
    wake: Condvar,
    /// The open segment; held while a group is written, flushed and made readable.
    io: Mutex<Io>,
    /// Durable entries that are not sealed, by segment, oldest first.
    waiting: Mutex<Vec<(u64, Arc<Appended>)>>,
    /// The sealer's connection; held over a whole run.
    sealer: Mutex<Connection>,
    reader: Mutex<Connection>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    appended: AtomicU64,
    flushes: AtomicU64,
    failures: AtomicU64,
    sealed: AtomicU64,
}

#[derive(Default)]
struct Buffer {
    entries: Vec<Arc<Appended>>,
    bytes: Vec<u8>,
    /// Somebody waits for this group.
    urgent: bool,
    since: Option<Instant>,
    group: Arc<Group>,
    closed: bool,
}

/// One flush, and its outcome.
#[derive(Default)]
struct Group {
    done: Mutex<Option<Result<(), String>>>,
    changed: Condvar,
}

struct Io {
    writer: Option<Writer>,
    next: u64,
}

/// A panic elsewhere does not make the data behind a lock wrong here: every change is made in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    fn finish(&self, outcome: Result<(), String>) {
        *lock(&self.done) = Some(outcome);
        self.changed.notify_all();
    }

    fn wait(&self) -> Result<(), StoreError> {
        let mut done = lock(&self.done);
        loop {
            if let Some(outcome) = done.as_ref() {
                return outcome.clone().map_err(StoreError::Unavailable);
            }
            done = self
                .changed
                .wait(done)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl SegmentJournal {
    /// Opens (and makes, when absent) the journal in `folder`. `unsafe_no_sync`: tests only.
    ///
    /// A torn tail of a segment is passed over: nobody was answered for it. Damage before the tail is `Corrupt`.
    pub fn open(folder: &Path, unsafe_no_sync: bool) -> Result<Self, StoreError> {
        Self::open_at(folder, unsafe_no_sync, Arc::new(seal::now))
    }

    /// The same with another clock.
    pub fn open_at(folder: &Path, unsafe_no_sync: bool, clock: Clock) -> Result<Self, StoreError> {
        let cannot = |e: std::io::Error| StoreError::CannotOpen(format!("access journal: {e}"));
        std::fs::create_dir_all(folder).map_err(cannot)?;
        let sealer = sqlite_tables::open(&folder.join("journal.db"), unsafe_no_sync)?;
        let reader = sqlite_tables::open(&folder.join("journal.db"), unsafe_no_sync)?;
        if !unsafe_no_sync {
            std::fs::File::open(folder)
                .and_then(|f| f.sync_all())
                .map_err(cannot)?;
        }
        let (waiting, next) = load_segments(folder)?;
        let newest = waiting
            .iter()
            .map(|(_, a)| a.recorded_at)
            .max()
            .unwrap_or_default();
        let last_at = newest.max(SqliteTables(&reader).last_recorded()?);
        let inner = Arc::new(Inner {
            folder: folder.to_owned(),
            sync: !unsafe_no_sync,
            clock,
            last_at: AtomicI64::new(last_at),
            buffer: Mutex::default(),
            wake: Condvar::new(),
            io: Mutex::new(Io { writer: None, next }),
            waiting: Mutex::new(waiting),
            sealer: Mutex::new(sealer),
            reader: Mutex::new(reader),
            counts: Counts::default(),
        });
        let background = Arc::clone(&inner);
        let flusher = std::thread::Builder::new()
            .name("journal-flush".to_owned())
            .spawn(move || background.flush_loop())
            .map_err(cannot)?;
        Ok(Self {
            inner,
            flusher: Mutex::new(Some(flusher)),
        })
    }

    /// Appends an entry that belongs to no commit. With [`Durability::BeforeAnswer`] it is flushed on return; an error
    /// means that the answer must not go out.
    pub fn audit(&self, entry: AuditEntry, durability: Durability) -> Result<(), StoreError> {
        seal::check(&entry)?;
        let inner = &*self.inner;
        let appended = Arc::new(Appended {
            recorded_at: inner.next_instant(),
            entry,
        });
        let mut bytes = Vec::with_capacity(512);
        segment::encode(&appended, &mut bytes);
        let urgent = durability == Durability::BeforeAnswer;
        let group = {
            let mut buffer = lock(&inner.buffer);
            if buffer.closed {
                return Err(StoreError::Unavailable("the store is closed".to_owned()));
            }
            if buffer.bytes.len() + bytes.len() > MAX_BUFFERED_BYTES {
                return Err(StoreError::Unavailable(
                    "the access journal cannot be written".to_owned(),
                ));
            }
            buffer.bytes.extend_from_slice(&bytes);
            buffer.entries.push(appended);
            buffer.urgent |= urgent;
            if urgent || buffer.since.is_none() {
                buffer.since.get_or_insert_with(Instant::now);
                inner.wake.notify_one();
            }
            urgent.then(|| Arc::clone(&buffer.group))
        };
        inner.counts.appended.fetch_add(1, Ordering::Relaxed);
        group.map_or(Ok(()), |g| g.wait())
    }

    /// Flushes everything appended so far.
    pub fn flush(&self) -> Result<(), StoreError> {
        let group = {
            let mut buffer = lock(&self.inner.buffer);
            if buffer.entries.is_empty() {
                None
            } else {
                buffer.urgent = true;
                self.inner.wake.notify_one();
                Some(Arc::clone(&buffer.group))
            }
        };
        match group {
            Some(group) => group.wait(),
            // What was taken out of the buffer is being flushed under this lock.
            None => {
                drop(lock(&self.inner.io));
                Ok(())
            }
        }
    }

    /// Seals what the segments hold and what the engine brings, oldest first. `pending` must have been read in a
    /// transaction that is durable. On an error some may be sealed; calling again is right.
    pub fn seal(
        &self,
        persons: &dyn Interner,
        pending: Vec<PendingEntry>,
    ) -> Result<Sealing, StoreError> {
        let inner = &*self.inner;
        let mut db = lock(&inner.sealer);
        self.flush()?;
        let last_segment = {
            let mut io = lock(&inner.io);
            io.writer = None;
            io.next
        };
        let mut entries: Vec<Appended> = lock(&inner.waiting)
            .iter()
            .filter(|(segment, _)| *segment < last_segment)
            .map(|(_, a)| (**a).clone())
            .collect();
        let consumed = pending.iter().map(|p| p.position).collect();
        entries.extend(pending.into_iter().map(|p| p.appended));
        entries.sort_by_key(|a| a.recorded_at);
        let today = seal::day_of((inner.clock)())?;
        let mut sealed = 0;
        let mut rest = entries.into_iter().peekable();
        while rest.peek().is_some() {
            let batch = seal::resolve(persons, rest.by_ref().take(SEAL_BATCH).collect())?;
            let tx = db
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(failed)?;
            let mut tables = SqliteTables(&tx);
            let stream = tables.own_stream()?;
            sealed += seal::seal_into(&mut tables, &stream, &today, &batch)?;
            tx.commit().map_err(failed)?;
        }
        lock(&inner.waiting).retain(|(segment, _)| *segment >= last_segment);
        remove_segments(&inner.folder, last_segment)?;
        inner.counts.sealed.fetch_add(sealed, Ordering::Relaxed);
        Ok(Sealing { sealed, consumed })
    }

    /// Entries of a person under all its identities, newest first; see [`seal::entries_of`]. `pending` = the engine's
    /// waiting rows, read before this call.
    pub fn journal_of(
        &self,
        persons: &dyn Interner,
        person: PersonKey,
        before: Option<MicrosUtc>,
        limit: usize,
        pending: &[PendingEntry],
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let waiting = self.waiting();
        let all: Vec<&Appended> = waiting
            .iter()
            .map(|a| &**a)
            .chain(pending.iter().map(|p| &p.appended))
            .collect();
        self.read(|t| seal::entries_of(t, persons, person, before, limit, &all))
    }

    /// Streams of the sealed journal.
    pub fn streams(&self) -> Result<Vec<String>, StoreError> {
        self.read(|t| t.streams())
    }

    /// Sealed entries of a stream; see [`seal::entries_after`].
    pub fn journal_after(
        &self,
        persons: &dyn Interner,
        (stream, after): (&str, u64),
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.read(|t| seal::entries_after(t, persons, stream, after, limit))
    }

    /// One entry, sealed or waiting.
    pub fn journal_entry(
        &self,
        persons: &dyn Interner,
        id: Uuid,
        pending: &[PendingEntry],
    ) -> Result<Option<JournalEntry>, StoreError> {
        let waiting = self.waiting();
        if let Some(row) = self.read(|t| t.row_by_id(id))? {
            return seal::entry_of(persons, row).map(Some);
        }
        let mut all = waiting
            .iter()
            .map(|a| &**a)
            .chain(pending.iter().map(|p| &p.appended));
        all.find(|a| a.entry.id == id)
            .map(|a| seal::waiting_entry(persons, a))
            .transpose()
    }

    /// Makes and stores a signed head; see [`head::sign`].
    pub fn sign_head(
        &self,
        signer: &dyn HeadSigner,
        day: &str,
        close: bool,
    ) -> Result<LogHead, StoreError> {
        let now = (self.inner.clock)();
        self.change(|t| head::sign(t, signer, day, close, now))
    }

    /// Signed heads, newest first.
    pub fn heads(&self, limit: usize) -> Result<Vec<LogHead>, StoreError> {
        self.read(|t| head::heads(t, limit))
    }

    /// Proof of an entry; see [`proof::build`].
    pub fn proof(
        &self,
        id: Uuid,
        masked: &[&str],
    ) -> Result<Option<serde_json::Value>, StoreError> {
        self.read(|t| proof::build(t, id, masked))
    }

    /// Walks the whole sealed journal; see [`verify::walk`].
    pub fn verify(&self) -> Result<u64, StoreError> {
        self.read(|t| verify::walk(t))
    }

    /// Erases values and salts of these members of a sealed entry, physically; the tree stays valid. False when unknown.
    pub fn erase(&self, id: Uuid, members: &[&str]) -> Result<bool, StoreError> {
        let known = self.change(|t| seal::erase(t, id, members))?;
        let db = lock(&self.inner.sealer);
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(failed)?;
        Ok(known)
    }

    /// Whether nothing was ever appended.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        let waits =
            !lock(&self.inner.waiting).is_empty() || !lock(&self.inner.buffer).entries.is_empty();
        Ok(!waits && self.read(|t| t.is_empty())?)
    }

    /// Gives the sealed journal as items of a backup. Seal first: what waits is not in it.
    pub fn export(
        &self,
        emit: &mut dyn FnMut(Item) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.read(|t| {
            emit(Item::JournalLog(t.log_id()?))?;
            for stream in t.streams()? {
                let mut from = 1;
                loop {
                    let rows = t.rows(&stream, from, 500)?;
                    let Some(last) = rows.last() else { break };
                    from = last.seq + 1;
                    rows.into_iter()
                        .try_for_each(|row| emit(Item::JournalRow(Box::new(row))))?;
                }
            }
            t.all_lines(&mut |person, controller, state| {
                emit(Item::JournalLine(person, controller, state))
            })?;
            let mut heads = t.heads(None, usize::MAX)?;
            heads.reverse();
            heads
                .into_iter()
                .try_for_each(|head| emit(Item::JournalHead(head)))
        })
    }

    /// Takes the journal items of a backup into an empty journal, all or nothing: `next` gives them, `None` at the end.
    /// The log keeps its id; new entries go into a stream of this store's own.
    pub fn import(
        &self,
        next: &mut dyn FnMut() -> Result<Option<Item>, StoreError>,
    ) -> Result<(), StoreError> {
        if !self.is_empty()? {
            return Err(StoreError::Invalid(
                "the access journal is not empty".to_owned(),
            ));
        }
        self.change(|t| {
            let mut import = super::import::Import::default();
            while let Some(item) = next()? {
                if let Item::JournalLog(id) = &item {
                    t.set_log_id(id)?;
                }
                import.item(t, item)?;
            }
            import.finish(t)
        })
    }

    /// Counters for metrics.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let counts = &self.inner.counts;
        vec![
            ("journal_appended", counts.appended.load(Ordering::Relaxed)),
            ("journal_flushes", counts.flushes.load(Ordering::Relaxed)),
            (
                "journal_flush_failures",
                counts.failures.load(Ordering::Relaxed),
            ),
            ("journal_sealed", counts.sealed.load(Ordering::Relaxed)),
            ("journal_waiting", lock(&self.inner.waiting).len() as u64),
        ]
    }

    /// Flushes and stops; later appends are refused.
    pub fn close(&self) {
        lock(&self.inner.buffer).closed = true;
        self.inner.wake.notify_all();
        if let Some(flusher) = lock(&self.flusher).take() {
            let _ = flusher.join();
        }
    }

    fn waiting(&self) -> Vec<Arc<Appended>> {
        lock(&self.inner.waiting)
            .iter()
            .map(|(_, a)| Arc::clone(a))
            .collect()
    }

    fn read<T>(
        &self,
        run: impl FnOnce(&mut SqliteTables<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut db = lock(&self.inner.reader);
        let tx = db.transaction().map_err(failed)?;
        run(&mut SqliteTables(&tx))
    }

    fn change<T>(
        &self,
        run: impl FnOnce(&mut SqliteTables<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut db = lock(&self.inner.sealer);
        let tx = db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let out = run(&mut SqliteTables(&tx))?;
        tx.commit().map_err(failed)?;
        Ok(out)
    }
}

impl Drop for SegmentJournal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    /// Strictly increasing, so that two appends never share (id, instant).
    fn next_instant(&self) -> MicrosUtc {
        let now = (self.clock)();
        let previous = self
            .last_at
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| {
                Some(now.max(last + 1))
            });
        let last = previous.unwrap_or_else(|last| last);
        now.max(last + 1)
    }

    fn flush_loop(&self) {
        loop {
            let taken = {
                let mut buffer = lock(&self.buffer);
                loop {
                    let age = buffer.since.map_or(Duration::ZERO, |s| s.elapsed());
                    if !buffer.entries.is_empty() && (buffer.urgent || buffer.closed || age >= LAZY)
                    {
                        break;
                    }
                    if buffer.closed {
                        return;
                    }
                    let wait = buffer.since.map_or(LAZY * 20, |_| LAZY.saturating_sub(age));
                    let woken = self
                        .wake
                        .wait_timeout(buffer, wait.max(Duration::from_millis(1)));
                    buffer = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
                // The group cannot be flushed before `io` is ours, and nobody may find both buffer and `io` free
                // while entries are on their way (see `flush`).
                let closed = buffer.closed;
                let io = lock(&self.io);
                (
                    std::mem::replace(
                        &mut *buffer,
                        Buffer {
                            closed,
                            ..Buffer::default()
                        },
                    ),
                    io,
                )
            };
            let (group, mut io) = taken;
            let outcome = self.flush_group(&mut io, &group);
            drop(io);
            if let Err(error) = &outcome {
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, entries = group.entries.len(), "access journal not written");
            }
            let failed = outcome.is_err();
            group.group.finish(outcome);
            if failed {
                self.keep_for_later(group);
            }
        }
    }

    fn flush_group(&self, io: &mut Io, group: &Buffer) -> Result<(), String> {
        let written = self.write_group(io, group);
        self.counts.flushes.fetch_add(1, Ordering::Relaxed);
        match written {
            Ok(number) => {
                let entries = group.entries.iter().map(|a| (number, Arc::clone(a)));
                lock(&self.waiting).extend(entries);
                Ok(())
            }
            Err(error) => {
                // After a failed flush nothing is known of the file's end: this segment takes no more groups. Its
                // flushed groups stay; what follows them is a torn tail.
                io.writer = None;
                Err(format!("access journal: {error}"))
            }
        }
    }

    fn write_group(&self, io: &mut Io, group: &Buffer) -> std::io::Result<u64> {
        if io
            .writer
            .as_ref()
            .is_some_and(|w| w.bytes() > MAX_SEGMENT_BYTES)
        {
            io.writer = None;
        }
        let writer = match &mut io.writer {
            Some(writer) => writer,
            None => {
                let number = io.next;
                io.next += 1;
                io.writer
                    .insert(Writer::create(&self.folder, number, self.sync)?)
            }
        };
        writer.write(&group.bytes)?;
        if fault::answers_before_flush() {
            group.group.finish(Ok(()));
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.sync {
            writer.sync()?;
        }
        Ok(writer.number())
    }

    /// After a failed flush: those who waited were told so; entries that may wait go into the next attempt, which comes
    /// after a pause. Entries of both kinds are in one buffer by then, so all of them are kept: an access is rather
    /// noted without its answer than answered without its note.
    fn keep_for_later(&self, failed: Buffer) {
        {
            let mut buffer = lock(&self.buffer);
            if buffer.closed || buffer.bytes.len() + failed.bytes.len() > MAX_BUFFERED_BYTES {
                return;
            }
            let later = std::mem::take(&mut buffer.entries);
            let later_bytes = std::mem::take(&mut buffer.bytes);
            buffer.entries = failed.entries;
            buffer.entries.extend(later);
            buffer.bytes = failed.bytes;
            buffer.bytes.extend_from_slice(&later_bytes);
            buffer.since = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The deliberate fault of DESIGN §7: with it the crash harness must turn red. Not in release builds.
mod fault {
    #[cfg(debug_assertions)]
    pub(super) fn answers_before_flush() -> bool {
        static ON: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
            std::env::var("HELSENAV_FAULT").is_ok_and(|v| v == "answer-before-flush")
        });
        *ON
    }

    #[cfg(not(debug_assertions))]
    pub(super) fn answers_before_flush() -> bool {
        false
    }
}

type Waiting = Vec<(u64, Arc<Appended>)>;

/// Entries of all segments, and the number of the next segment.
fn load_segments(folder: &Path) -> Result<(Waiting, u64), StoreError> {
    let mut waiting = Waiting::new();
    let mut next = 0;
    for (number, path) in segments(folder)? {
        next = number + 1;
        let bytes = std::fs::read(&path)
            .map_err(|e| StoreError::CannotOpen(format!("{}: {e}", path.display())))?;
        let contents = segment::read(&bytes, number)
            .map_err(|e| StoreError::Corrupt(format!("{}: {e}", path.display())))?;
        if contents.torn {
            tracing::info!(
                segment = number,
                "unfinished flush at the end of a journal segment passed over"
            );
        }
        waiting.extend(contents.entries.into_iter().map(|a| (number, Arc::new(a))));
    }
    Ok((waiting, next))
}

/// Segment files, ascending by number.
fn segments(folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let failed = |e: std::io::Error| StoreError::Unavailable(format!("access journal: {e}"));
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        let number = path
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(segment::number_of);
        found.extend(number.map(|n| (n, path)));
    }
    found.sort();
    Ok(found)
}

fn remove_segments(folder: &Path, below: u64) -> Result<(), StoreError> {
    for (_, path) in segments(folder)?.into_iter().filter(|(n, _)| *n < below) {
        std::fs::remove_file(&path)
            .map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))?;
    }
    Ok(())
}
