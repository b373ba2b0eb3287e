//! The person register of one hub process: the log, the read form and what changed since it was made.
//!
//! Reads are answered from the read form and the overlay and never wait for the store. History and events come from the
//! log. [`PersonRegister::maintain`] is the background work: it follows the feed and makes a new file when much has changed.

use super::codes::ProtectionLevel;
use super::document::PersonDocument;
use super::file::{Builder, FileError, ReadFile, Stamp};
use super::row::{self, Row};
use super::search::{Found, Overlay, Query, SearchError, View};
use crate::kernel::change::{ChangeError, MAX_CHANGES, Outcome, prepare};
use crate::kernel::identifiers::{Packed, resolve};
use crate::kernel::kept::make_private;
use crate::kernel::log::{AppendError, Content, Counters, RegisterLog, Upstream};
use crate::kernel::period::Moment;
use crate::kernel::{EntryId, EntryNo};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use store::{Granted, Seq, Store, StoreError};

mod decide;
mod load;
mod since;
#[cfg(test)]
mod tests;

use decide::Decide;

/// How often a write is decided anew because others were faster.
const ATTEMPTS: usize = 50;
/// Rows are kept in memory up to here: those of five and a half million people are 1.7 GiB. From the file a row costs a
/// call to the system, and a bulk look-up takes half as long again.
const MAX_RESIDENT_BYTES: u64 = 2 << 30;
/// With more rows than this in memory, they leave it while a new file is made: old rows, new indexes and what the making
/// needs would be more than 4 GiB together with all else that a hub has.
const MAX_RESIDENT_WHILE_BUILDING: u64 = 512 << 20;
/// All rows are looked at so often.
const PATROL_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// How a register is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the read form.
    pub folder: PathBuf,
    /// Keep rows in memory once opened, up to 2 GiB of them ([`ReadFile::make_resident`]).
    pub resident: bool,
    /// So many changed entries are kept beside the file before a new one is made.
    pub most_changed: usize,
    /// A search looks at no more rows than this.
    pub most_rows: usize,
    /// The folder goes away with the register.
    pub temporary: bool,
}

impl Options {
    /// The usual values.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            resident: false,
            most_changed: 20_000,
            most_rows: 300_000,
            temporary: false,
        }
    }

    /// In a folder of its own among the system's temporary files, which goes away with the register.
    #[must_use]
    pub fn temporary() -> Self {
        let name = format!("helsenav-persons-{}", uuid::Uuid::new_v4().simple());
        Self {
            temporary: true,
            ..Self::new(std::env::temp_dir().join(name))
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("persons.read")
    }
}

struct Held {
    file: Arc<ReadFile>,
    /// Searches hold on to it; a change then makes a copy.
    overlay: Arc<Overlay>,
    seq: Seq,
    /// The last event whose effect is in here.
    events: u64,
}

impl Held {
    fn view(&self) -> View<'_> {
        View {
            file: &self.file,
            overlay: &self.overlay,
        }
    }

    fn end(&self) -> u32 {
        self.file.len().max(self.overlay.end())
    }

    fn rows(&self, number: Packed) -> impl Iterator<Item = u32> + '_ {
        let in_file = self.file.by_number(number).iter().copied();
        let changed = self.overlay.by_number(number).iter().copied();
        in_file
            .filter(|row| self.overlay.row(EntryNo(*row)).is_none())
            .chain(changed)
    }

    fn number(&self, id: EntryId) -> Result<Option<EntryNo>, FileError> {
        match self.overlay.by_id(id) {
            Some(no) => Ok(Some(no)),
            None => self.file.by_id(id),
        }
    }

    fn merged_into(&self, no: EntryNo) -> Result<Option<EntryNo>, FileError> {
        match self.view().with(no, |row| row.merged_into())?.flatten() {
            Some(target) => self.number(target),
            None => Ok(None),
        }
    }
}

fn damaged(e: FileError) -> StoreError {
    StoreError::Unavailable(e.to_string())
}

/// The person register.
pub struct PersonRegister {
    log: RegisterLog<PersonDocument>,
    options: Options,
    held: RwLock<Held>,
    writing: Mutex<()>,
    building: Mutex<()>,
    rotten: AtomicBool,
    /// The file still has an address that must not be kept.
    must_forget: AtomicBool,
    /// When all rows were last looked at.
    patrolled: Mutex<Option<Instant>>,
    /// The file of what changed since.
    since: Mutex<since::Written>,
}

impl PersonRegister {
    /// Opens the read form; makes it from the log when it is missing, torn, of another store or of another version. Call
    /// from a blocking thread.
    ///
    /// # Errors
    /// When the store cannot be read or the file not be made.
    pub fn open(store: Store, grant: Granted, options: Options) -> Result<Self, StoreError> {
        let log = RegisterLog::new(store, grant)?;
        make_private(&options.folder).map_err(|e| damaged(e.into()))?;
        // What a broken-off build left behind may hold what must be forgotten since.
        if let Err(error) = std::fs::remove_file(options.path().with_extension("part"))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(damaged(error.into()));
        }
        let incarnation = log.store().incarnation().as_u128();
        // A store that was put back is behind its read form.
        let end = log.store().snapshot()?.seq();
        let file = match ReadFile::open(&options.path()) {
            Ok(file) if file.stamp().incarnation == incarnation && file.stamp().seq <= end.0 => {
                file
            }
            Ok(_) => from_log(&log, &options.path())?,
            Err(reason) => {
                if options.path().exists() {
                    tracing::info!(%reason, "the read form of persons is made from the log");
                }
                from_log(&log, &options.path())?
            }
        };
        let register = Self {
            log,
            held: RwLock::new(Held {
                seq: Seq(file.stamp().seq),
                events: file.stamp().events,
                file: Arc::new(file),
                overlay: Arc::default(),
            }),
            options,
            writing: Mutex::new(()),
            building: Mutex::new(()),
            rotten: AtomicBool::new(false),
            must_forget: AtomicBool::new(false),
            patrolled: Mutex::default(),
            since: Mutex::default(),
        };
        register.take_since()?;
        register.follow()?;
        Ok(register)
    }

    /// The log under it: versions, events.
    #[must_use]
    pub fn log(&self) -> &RegisterLog<PersonDocument> {
        &self.log
    }

    /// Number of entries, merged ones included.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.read().end()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that changed since the file was made.
    #[must_use]
    pub fn changed(&self) -> usize {
        self.read().overlay.len()
    }

    /// Number of the last event whose effect is in what is read here: no older state of any entry is ever shown.
    #[must_use]
    pub fn last_event(&self) -> u64 {
        self.read().events
    }

    /// The entry that an identifier (11 or 12 digits) leads to today.
    ///
    /// # Errors
    /// When the read form is damaged; it is made anew in the background then.
    pub fn find(&self, number: Packed) -> Result<Option<EntryNo>, FileError> {
        let held = self.read();
        let mut rows = held.rows(number);
        let found = match (rows.next(), rows.next()) {
            (None, _) => Ok(None),
            // Nearly always: one holder, who stands.
            (Some(row), None) => match held.view().with(EntryNo(row), |row| row.merged_into()) {
                Ok(Some(None)) => Ok(Some(EntryNo(row))),
                Ok(_) => self.find_slowly(&held, number, None),
                Err(e) => Err(e),
            },
            _ => self.find_slowly(&held, number, None),
        };
        self.noticed(found)
    }

    /// The entry that had the identifier at an instant, as what it is today.
    ///
    /// # Errors
    /// As [`PersonRegister::find`].
    pub fn find_at(&self, number: Packed, at: Moment) -> Result<Option<EntryNo>, FileError> {
        let held = self.read();
        self.noticed(self.find_slowly(&held, number, Some(at)))
    }

    /// Entries that have or had the identifier, each with the one it was merged into; in no order.
    ///
    /// # Errors
    /// As [`PersonRegister::find`].
    pub fn holders(&self, number: Packed) -> Result<Vec<(EntryNo, Option<EntryId>)>, FileError> {
        let held = self.read();
        let rows: Vec<u32> = held.rows(number).collect();
        let holders = rows.into_iter().filter_map(|no| {
            let into = held.view().with(EntryNo(no), |row| row.merged_into());
            into.map(|into| into.map(|into| (EntryNo(no), into)))
                .transpose()
        });
        let holders = holders.collect();
        self.noticed(holders)
    }

    fn find_slowly(
        &self,
        held: &Held,
        number: Packed,
        at: Option<Moment>,
    ) -> Result<Option<EntryNo>, FileError> {
        let decide = Decide::new(held, &self.log);
        resolve(&decide, number, at)
            .map_err(|e| FileError::Io(std::io::Error::other(e.to_string())))
    }

    /// The number of an entry by its public id; merged ones too.
    ///
    /// # Errors
    /// As [`PersonRegister::find`].
    pub fn number(&self, id: EntryId) -> Result<Option<EntryNo>, FileError> {
        self.noticed(self.read().number(id))
    }

    /// Hands the row of an entry to `read`.
    ///
    /// # Errors
    /// As [`PersonRegister::find`].
    pub fn with<R>(
        &self,
        no: EntryNo,
        read: impl FnOnce(Row<'_>) -> R,
    ) -> Result<Option<R>, FileError> {
        self.noticed(self.read().view().with(no, read))
    }

    /// Entries that match a valid query, from a number on, at most `limit`.
    ///
    /// # Errors
    /// When the search is too wide, or as [`PersonRegister::find`].
    pub fn search(
        &self,
        query: &Query,
        now: Moment,
        from: EntryNo,
        limit: usize,
    ) -> Result<Found, SearchError> {
        let (file, overlay, ..) = self.state();
        let view = View {
            file: &file,
            overlay: &overlay,
        };
        let found = view.search(query, now, from, limit, self.options.most_rows);
        if let Err(SearchError::File(FileError::Damaged { .. })) = &found {
            self.rotten.store(true, Ordering::Relaxed);
        }
        found
    }

    /// How many entries match. Looks at all rows when it must.
    ///
    /// # Errors
    /// As [`PersonRegister::find`].
    pub fn count(&self, query: &Query, now: Moment) -> Result<u64, SearchError> {
        let (file, overlay, ..) = self.state();
        let view = View {
            file: &file,
            overlay: &overlay,
        };
        view.count(query, now, usize::MAX)
    }

    fn state(&self) -> (Arc<ReadFile>, Arc<Overlay>, Seq, u64) {
        let held = self.read();
        let overlay = Arc::clone(&held.overlay);
        (Arc::clone(&held.file), overlay, held.seq, held.events)
    }

    fn noticed<T>(&self, result: Result<T, FileError>) -> Result<T, FileError> {
        if let Err(FileError::Damaged { .. }) = &result {
            self.rotten.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Takes over what was committed since the last call, by any process.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<Seq, StoreError> {
        loop {
            let seq = self.read().seq;
            let news = self.log.news(seq)?;
            if news.reloaded {
                self.rebuild_from_log()?;
                continue;
            }
            if news.seq == seq {
                return Ok(seq);
            }
            let now = Moment::from(jiff::Timestamp::now());
            let rows: Vec<(EntryNo, Arc<[u8]>)> = news
                .entries
                .iter()
                .map(|e| (e.no, row::pack(e.id, &e.content, now).into()))
                .collect();
            let mut held = self.write();
            if held.seq == seq {
                self.watch(&held, &rows, now);
                if !rows.is_empty() {
                    let overlay = Arc::make_mut(&mut held.overlay);
                    for (no, row) in rows {
                        overlay.put(no, row, news.seq.0);
                    }
                }
                held.seq = news.seq;
                held.events = held.events.max(news.events);
            }
        }
    }

    /// Notes whether a file has an address of somebody whose new row must not have one.
    fn watch(&self, held: &Held, rows: &[(EntryNo, Arc<[u8]>)], now: Moment) {
        let has_since = self.since_written().seq > 0;
        let forgets = rows.iter().any(|(no, row)| {
            Row::new(row).protection_at(now) == ProtectionLevel::StrictlyConfidential
                && held.has_shown(*no, has_since)
        });
        if forgets {
            self.must_forget.store(true, Ordering::Relaxed);
        }
    }

    /// Writes persons, all or none, at most [`MAX_CHANGES`] at once; an unknown id is a new person. What is the same
    /// already leaves no trace. Address protection is applied first.
    ///
    /// # Errors
    /// A conflict of identifiers, or the store's.
    pub fn change(
        &self,
        changes: Vec<(EntryId, PersonDocument)>,
        now: Moment,
    ) -> Result<Vec<Outcome>, ChangeError> {
        self.change_from(None, changes, now)
    }

    /// The same, from a feed: how far it was followed moves on in the same commit, also when nothing changes.
    ///
    /// # Errors
    /// [`ChangeError::Overtaken`] when the feed was followed by somebody else meanwhile; a conflict of identifiers; the
    /// store's.
    pub fn change_from(
        &self,
        upstream: Option<&Upstream>,
        mut changes: Vec<(EntryId, PersonDocument)>,
        now: Moment,
    ) -> Result<Vec<Outcome>, ChangeError> {
        for (_, document) in &mut changes {
            document.obey_protection(now);
        }
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            self.follow()?;
            if let Some(upstream) = upstream
                && self.log.upstream(&upstream.feed)? != upstream.at
            {
                return Err(ChangeError::Overtaken);
            }
            let (mut batch, outcomes) = {
                // As long as the commit is expected to be the next one, nothing newer can be overlooked.
                let held = self.read();
                let at = Counters {
                    events: held.events,
                    entries: held.end(),
                };
                let decide = Decide::having_read(&held, &self.log, &changes)?;
                prepare(&decide, at, changes.clone())?
            };
            if batch.entries.is_empty() && upstream.is_none() {
                return Ok(outcomes);
            }
            batch.upstream = upstream.cloned();
            match self.log.append(&batch) {
                Ok(seq) => {
                    let rows: Vec<(EntryNo, Arc<[u8]>)> = batch
                        .entries
                        .iter()
                        .map(|e| (e.no, row::pack(e.id, &e.content, now).into()))
                        .collect();
                    let mut held = self.write();
                    // Where the feed was followed beyond it already, it may know something newer.
                    if seq > held.seq {
                        self.watch(&held, &rows, now);
                        let overlay = Arc::make_mut(&mut held.overlay);
                        for (no, row) in rows {
                            overlay.put(no, row, seq.0);
                        }
                        held.events = batch.then.events;
                        // Nobody wrote between the state it was decided on and this commit.
                        held.seq = seq;
                    }
                    return Ok(outcomes);
                }
                Err(AppendError::Moved | AppendError::Unknown(_)) => {}
                Err(AppendError::Store(e)) => return Err(e.into()),
            }
        }
        Err(ChangeError::Busy)
    }

    /// Loads an empty register at once: the log, and the read form in the same pass. `told` hears of the progress. The
    /// load is one event ([`PersonEvent::PersonPopulated`] of the first person), not one for each person.
    ///
    /// # Errors
    /// When the register is not empty, or the store or the file refuse.
    pub fn load(
        &self,
        persons: impl IntoIterator<Item = (EntryId, PersonDocument)>,
        now: Moment,
        told: impl FnMut(u32),
    ) -> Result<u32, StoreError> {
        self.load_checked(persons.into_iter().map(Ok), now, told)
    }

    /// The same from a source that can fail: an error among the persons ends the load, and nothing of it stays.
    ///
    /// # Errors
    /// As [`PersonRegister::load`], and the first error of the source.
    pub fn load_checked(
        &self,
        persons: impl IntoIterator<Item = Result<(EntryId, PersonDocument), StoreError>>,
        now: Moment,
        mut told: impl FnMut(u32),
    ) -> Result<u32, StoreError> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let _alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.options.path();
        let mut builder = Builder::create(&path, now).map_err(|e| damaged(e.into()))?;
        let mut aliases = Vec::new();
        let sealed = persons.into_iter().map(|next| {
            let (id, mut document) = next?;
            document.obey_protection(now);
            Ok((id, document))
        });
        let mut first = None;
        let (mut then, seq) = self.log.load(sealed, |entry| {
            first = first.or(Some(entry.id));
            aliases.extend(PersonDocument::aliases(None, &entry.content, None));
            told(entry.no.0 + 1);
            let row = row::pack(entry.id, &entry.content, now);
            builder.push(Row::new(&row)).map_err(|e| damaged(e.into()))
        })?;
        then.events = u64::from(first.is_some());
        load::announce(&self.log, Counters::default(), then, first, &aliases)?;
        let stamp = Stamp {
            incarnation: self.log.store().incarnation().as_u128(),
            seq: seq.0,
            events: then.events,
        };
        builder.finish(stamp).map_err(|e| damaged(e.into()))?;
        let file = ReadFile::open(&path).map_err(damaged)?;
        self.install(file);
        Ok(then.entries)
    }

    /// The background work: follows the feed; makes a new file when the old one is damaged or much has changed; otherwise
    /// reads rows into memory when so configured. Returns whether a new file was made.
    ///
    /// # Errors
    /// When the store cannot be read or the file not be made.
    pub fn maintain(&self) -> Result<bool, StoreError> {
        self.follow()?;
        // First, so that the patrol finds the rows in memory.
        self.take_rows()?;
        self.patrol()?;
        let made = if self.rotten.load(Ordering::Relaxed) {
            self.rebuild_from_log()?;
            true
        } else if self.must_forget.load(Ordering::Relaxed)
            || self.changed() >= self.options.most_changed.max(1)
        {
            self.rebuild()?;
            true
        } else {
            self.keep_since()?;
            false
        };
        // The rows of a new file come into memory the next time only: what its making took is given back to the system a
        // second later, and both together would be 300 MB more than ever after.
        Ok(made)
    }

    /// Reads rows into memory when so configured.
    fn take_rows(&self) -> Result<(), StoreError> {
        let file = Arc::clone(&self.read().file);
        if self.options.resident && file.rows_bytes() <= MAX_RESIDENT_BYTES {
            file.make_resident().map_err(damaged)?;
        }
        Ok(())
    }

    /// Looks at every row, soon after the start and then once a day: protection that was known beforehand may have begun,
    /// which nobody writes; and rows may have rotten.
    fn patrol(&self) -> Result<(), StoreError> {
        {
            let mut last = self
                .patrolled
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|at| at.elapsed() < PATROL_EVERY) {
                return Ok(());
            }
            *last = Some(Instant::now());
        }
        let now = Moment::from(jiff::Timestamp::now());
        let mut begun: Vec<EntryId> = Vec::new();
        for no in (0..self.len()).map(EntryNo) {
            let id = self.with(no, |row| row.id().filter(|_| row.has_hidden_address(now)));
            // A damaged row is noticed, and the file made anew.
            begun.extend(id.ok().flatten().flatten());
        }
        for ids in begun.chunks(MAX_CHANGES) {
            let entries = self.log.entries(ids)?.into_iter();
            let changes = entries.map(|entry| (entry.id, entry.content)).collect();
            self.change(changes, now)
                .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        }
        Ok(())
    }

    /// Makes a new file from the old one and the changes. Reads and writes go on meanwhile.
    ///
    /// # Errors
    /// When the old file is damaged (it is made from the log next time), or the new one cannot be made.
    pub fn rebuild(&self) -> Result<(), StoreError> {
        let _alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the state is taken: what comes after it asks for another file.
        let must_forget = self.must_forget.swap(false, Ordering::Relaxed);
        self.leave_rows();
        let (file, overlay, seq, events) = self.state();
        let now = Moment::from(jiff::Timestamp::now());
        let path = self.options.path();
        let view = View {
            file: &file,
            overlay: &overlay,
        };
        let made = copy(
            view,
            &path,
            now,
            Stamp {
                incarnation: file.stamp().incarnation,
                seq: seq.0,
                events,
            },
        );
        let file = self.noticed(made).map_err(|e| {
            self.must_forget.fetch_or(must_forget, Ordering::Relaxed);
            damaged(e)
        })?;
        self.install(file);
        Ok(())
    }

    /// Makes a new file from the log.
    ///
    /// # Errors
    /// When the store cannot be read or the file not be made.
    pub fn rebuild_from_log(&self) -> Result<(), StoreError> {
        let _alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        self.leave_rows();
        let file = from_log(&self.log, &self.options.path())?;
        self.rotten.store(false, Ordering::Relaxed);
        self.install(file);
        Ok(())
    }

    /// Many rows are read from the file again, until there is a new one.
    fn leave_rows(&self) {
        let mut held = self.write();
        if held.file.is_resident() && held.file.rows_bytes() > MAX_RESIDENT_WHILE_BUILDING {
            held.file = Arc::new(held.file.without_rows());
        }
    }

    fn install(&self, file: ReadFile) {
        self.forget_since();
        let mut held = self.write();
        let stamp = file.stamp();
        Arc::make_mut(&mut held.overlay).forget_up_to(stamp.seq);
        held.seq = held.seq.max(Seq(stamp.seq));
        held.events = held.events.max(stamp.events);
        held.file = Arc::new(file);
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PersonRegister {
    fn drop(&mut self) {
        if self.options.temporary {
            // What stays behind is among the system's temporary files.
            let _ = std::fs::remove_dir_all(&self.options.folder);
        }
    }
}

fn from_log(log: &RegisterLog<PersonDocument>, path: &Path) -> Result<ReadFile, StoreError> {
    let now = Moment::from(jiff::Timestamp::now());
    let mut builder = Builder::create(path, now).map_err(|e| damaged(e.into()))?;
    let (counters, seq) = log.scan(|entry| {
        let row = row::pack(entry.id, &entry.content, now);
        builder.push(Row::new(&row)).map_err(|e| damaged(e.into()))
    })?;
    let stamp = Stamp {
        incarnation: log.store().incarnation().as_u128(),
        seq: seq.0,
        events: counters.events,
    };
    builder.finish(stamp).map_err(|e| damaged(e.into()))?;
    ReadFile::open(path).map_err(damaged)
}

fn copy(view: View<'_>, path: &Path, now: Moment, stamp: Stamp) -> Result<ReadFile, FileError> {
    let mut builder = Builder::create(path, now)?;
    builder.expect(view.file);
    for no in 0..view.file.len().max(view.overlay.end()) {
        let pushed = view.with(EntryNo(no), |row| {
            // Protection that was known beforehand has begun since the row was made.
            match row.id().filter(|_| row.has_hidden_address(now)) {
                Some(id) => {
                    let row = row::pack(id, &row.document(), now);
                    builder.push(Row::new(&row))
                }
                None => builder.push(row),
            }
        })?;
        pushed.ok_or(FileError::Damaged { row: no })??;
    }
    builder.finish(stamp)?;
    ReadFile::open(path)
}
