//! A register held in memory: for those of some hundred thousand entries at most (personnel, parties, organisations,
//! contracts). Persons have a read form of their own.
//!
//! Every process holds all entries; what others write comes through the feed. A write is decided on the state in memory
//! and holds only if nobody wrote in between. At national size a start reads the kept form ([`super::kept`]) and follows
//! the feed from there.

use super::change::{ChangeError, Outcome, State, prepare};
use super::events::Event;
use super::identifiers::{Book, Claims, Holders, Holding, Packed, resolve};
use super::keeping::{Due, Keeping, Standing, place};
use super::log::{AppendError, Content, Counters, Entry, Home, RegisterLog};
use super::period::Moment;
use super::{EntryId, EntryNo};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use store::{Granted, Seq, Store, StoreError};

/// How often a write is decided anew because others were faster.
const ATTEMPTS: usize = 50;

struct Held<C> {
    entries: Vec<Option<Arc<Entry<C>>>>,
    book: Book,
    seq: Seq,
    /// The last event whose effect is in here.
    events: u64,
    /// Whether there is a kept form, and so what changed is noted.
    keeps: bool,
    /// The file with everything that this state goes on from.
    base: Option<u128>,
    /// What changed since, where in the feed.
    changed: BTreeMap<u32, Seq>,
    /// How often the register was read anew as a whole.
    readings: u64,
}

impl<C: Content> Held<C> {
    fn empty() -> Self {
        Self {
            entries: Vec::new(),
            book: Book::default(),
            seq: Seq(0),
            events: 0,
            keeps: false,
            base: None,
            changed: BTreeMap::new(),
            readings: 0,
        }
    }

    /// Takes an entry in that changed at a place of the feed.
    fn put(&mut self, entry: Entry<C>, at: Seq) {
        if self.keeps {
            self.changed.insert(entry.no.0, at);
        }
        let claims = entry.content.claims();
        self.take(Arc::new(entry), claims);
    }

    fn take(&mut self, entry: Arc<Entry<C>>, claims: Claims) {
        let at = entry.no.0 as usize;
        if self.entries.len() <= at {
            self.entries.resize(at + 1, None);
        }
        self.book.put(entry.no, entry.id, claims);
        if let Some(place) = self.entries.get_mut(at) {
            *place = Some(entry);
        }
    }

    /// Where the register stands in this state: what a batch decided on it must expect.
    fn counters(&self) -> Counters {
        Counters {
            events: self.events,
            entries: u32::try_from(self.entries.len()).unwrap_or(u32::MAX),
        }
    }

    fn by_number(&self, no: EntryNo) -> Option<&Arc<Entry<C>>> {
        self.entries.get(no.0 as usize).and_then(Option::as_ref)
    }
}

/// The state that the kept form holds, where it can be believed.
fn kept<C: Content>(
    log: &RegisterLog<C>,
    keeping: &Keeping,
) -> Result<Option<Held<C>>, StoreError> {
    let found = keeping.read(log.store(), |bytes| {
        let (no, rest) = bytes.split_first_chunk::<4>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (home, content) = rest.split_first()?;
        let entry = Entry {
            no: EntryNo(u32::from_le_bytes(*no)),
            id: EntryId(u128::from_le_bytes(*id)),
            content: C::kept(content)?,
            home: Home::of_byte(*home)?,
        };
        let claims = entry.content.claims();
        Some((Arc::new(entry), claims))
    })?;
    let Some(found) = found else { return Ok(None) };
    let most = found.all.len() + found.since.len();
    let numbered = |(entry, _): &(Arc<Entry<C>>, Claims)| (entry.no.0 as usize) < most;
    if !found.all.iter().chain(&found.since).all(numbered) {
        return Ok(None);
    }
    let mut held = Held::empty();
    for (entry, claims) in found.all {
        held.take(entry, claims);
    }
    for (entry, claims) in found.since {
        held.changed.insert(entry.no.0, Seq(found.place.seq));
        held.take(entry, claims);
    }
    // Entries are numbered without a gap.
    if held.entries.iter().any(Option::is_none) {
        return Ok(None);
    }
    held.base = Some(found.mark);
    held.seq = Seq(found.place.seq);
    held.events = found.place.events;
    Ok(Some(held))
}

fn never<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

impl<C: Content> Holders for Held<C> {
    type Error = StoreError;

    fn holdings(&self, identifier: Packed) -> Result<Vec<Holding>, StoreError> {
        Ok(never(self.book.holdings(identifier)))
    }

    fn number(&self, id: EntryId) -> Option<EntryNo> {
        self.book.number(id)
    }

    fn merged_into(&self, no: EntryNo) -> Result<Option<EntryNo>, StoreError> {
        Ok(never(self.book.merged_into(no)))
    }
}

impl<C: Content> State<C> for Held<C> {
    fn entry(&self, id: EntryId) -> Result<Option<Entry<C>>, StoreError> {
        let entry = self.book.number(id).and_then(|no| self.by_number(no));
        Ok(entry.map(|e| Entry::clone(e)))
    }
}

/// A register in memory over its log.
pub struct MemoryRegister<C: Content> {
    log: RegisterLog<C>,
    held: RwLock<Held<C>>,
    /// One writer of this process at a time: the others would only be refused.
    writing: Mutex<()>,
    keeping: Option<Keeping>,
}

impl<C: Content> MemoryRegister<C> {
    /// Reads the whole register. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store, grant: Granted) -> Result<Self, StoreError> {
        Self::open_in(store, grant, None)
    }

    /// The same with a kept form in this folder, for [`MemoryRegister::keep`] to write and the next start to read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_in(
        store: Store,
        grant: Granted,
        folder: Option<&Path>,
    ) -> Result<Self, StoreError> {
        let keeping = folder.map(|f| Keeping::new(f, C::REPOSITORY, C::KEPT_FORM));
        Self::with(RegisterLog::new(store, grant)?, keeping)
    }

    fn with(log: RegisterLog<C>, keeping: Option<Keeping>) -> Result<Self, StoreError> {
        let held = match &keeping {
            Some(keeping) => kept(&log, keeping)?,
            None => None,
        };
        let is_kept = held.is_some();
        let mut held = held.unwrap_or_else(Held::empty);
        held.keeps = keeping.is_some();
        let register = Self {
            log,
            held: RwLock::new(held),
            writing: Mutex::new(()),
            keeping,
        };
        if is_kept {
            register.follow()?;
        } else {
            register.reload()?;
        }
        Ok(register)
    }

    /// The background work: writes the kept form where much has changed since. Whether something was written.
    ///
    /// # Errors
    /// When the store cannot be read or a file not be written.
    pub fn keep(&self) -> Result<bool, StoreError> {
        let Some(keeping) = &self.keeping else {
            return Ok(false);
        };
        let _turn = keeping.turn();
        let (due, entries, base, seq, events, readings) = {
            let held = self.read();
            let due = keeping.due(Standing {
                entries: held.entries.len(),
                changed: held.changed.len(),
                seq: held.seq,
                has_base: held.base.is_some(),
            });
            let entries: Vec<Option<Arc<Entry<C>>>> = match due {
                Due::Nothing => return Ok(false),
                Due::Everything => held.entries.clone(),
                Due::Since => {
                    let changed = held.changed.keys();
                    changed
                        .map(|no| held.by_number(EntryNo(*no)).cloned())
                        .collect()
                }
            };
            let state = (held.base, held.seq, held.events, held.readings);
            (due, entries, state.0, state.1, state.2, state.3)
        };
        let place = place(self.log.store(), seq, events)?;
        let encode = |entry: Arc<Entry<C>>, out: &mut Vec<u8>| {
            out.extend_from_slice(&entry.no.0.to_le_bytes());
            out.extend_from_slice(&entry.id.0.to_le_bytes());
            out.push(entry.home.byte());
            entry.content.keep(out);
        };
        let entries = entries.into_iter().flatten();
        match (due, base) {
            (Due::Since, Some(mark)) => {
                keeping.write_since((mark, place), entries.collect(), encode)?;
            }
            _ => {
                let mark = keeping.write_all(place, entries, encode)?;
                let mut held = self.write();
                // A register that was loaded anew meanwhile does not go on from it.
                if held.readings == readings {
                    held.base = Some(mark);
                    held.changed.retain(|_, at| *at > seq);
                }
            }
        }
        Ok(true)
    }

    fn reload(&self) -> Result<(), StoreError> {
        let mut fresh = Held::empty();
        let (counters, seq) = self.log.scan(|entry| {
            let claims = entry.content.claims();
            fresh.take(Arc::new(entry), claims);
            Ok(())
        })?;
        fresh.seq = seq;
        fresh.events = counters.events;
        fresh.keeps = self.keeping.is_some();
        let mut held = self.write();
        fresh.readings = held.readings + 1;
        *held = fresh;
        Ok(())
    }

    /// The log under it.
    #[must_use]
    pub fn log(&self) -> &RegisterLog<C> {
        &self.log
    }

    /// Takes over what was committed since the last call. Returns the place in the feed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<Seq, StoreError> {
        loop {
            let seq = self.read().seq;
            let news = self.log.news(seq)?;
            if news.reloaded {
                self.reload()?;
                continue;
            }
            if news.seq == seq {
                return Ok(seq);
            }
            let mut held = self.write();
            if held.seq == seq {
                for entry in news.entries {
                    held.put(entry, news.seq);
                }
                held.seq = news.seq;
                held.events = held.events.max(news.events);
            }
        }
    }

    /// Writes entries, all or none; an unknown id is a new entry. What is the same already leaves no trace.
    ///
    /// # Errors
    /// A conflict of identifiers, or the store's.
    pub fn change(&self, changes: &[(EntryId, C)]) -> Result<Vec<Outcome>, ChangeError> {
        self.change_with(|| Ok(changes.to_vec()))
    }

    /// Writes what `decide` wants, decided on this register as it is: whoever else writes meanwhile, here or in another
    /// process, `decide` is asked again, so that no change is made on something that was not there any more.
    ///
    /// # Errors
    /// What `decide` says, a conflict of identifiers, or the store's.
    pub fn change_with<E: From<ChangeError>>(
        &self,
        mut decide: impl FnMut() -> Result<Vec<(EntryId, C)>, E>,
    ) -> Result<Vec<Outcome>, E> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            self.follow().map_err(ChangeError::from)?;
            let at = self.counters();
            let wanted = decide();
            // Followed further while it was decided: it may have seen some of the old and some of the new.
            if self.counters() != at {
                continue;
            }
            let (batch, outcomes) = prepare(&*self.read(), at, wanted?)?;
            if batch.entries.is_empty() {
                return Ok(outcomes);
            }
            match self.log.append(&batch) {
                Ok(seq) => {
                    let mut held = self.write();
                    // Where the feed was followed beyond it already, it may know something newer.
                    if seq > held.seq {
                        for entry in batch.entries {
                            held.put(entry, seq);
                        }
                        held.events = batch.then.events;
                        // Nobody wrote between the state it was decided on and this commit.
                        held.seq = seq;
                    }
                    return Ok(outcomes);
                }
                // Unknown: if it was written, deciding anew finds the same contents.
                Err(AppendError::Moved | AppendError::Unknown(_)) => {}
                Err(AppendError::Store(e)) => return Err(ChangeError::from(e).into()),
            }
        }
        Err(ChangeError::Busy.into())
    }

    /// Where the register stands in this process.
    pub(super) fn counters(&self) -> Counters {
        self.read().counters()
    }

    /// Loads an empty register at once.
    ///
    /// # Errors
    /// When it is not empty, or the store refuses.
    pub fn load(
        &self,
        contents: impl IntoIterator<Item = (EntryId, C)>,
    ) -> Result<usize, StoreError> {
        let (then, _) = self.log.load(contents.into_iter().map(Ok), |_| Ok(()))?;
        let batch = super::log::Batch {
            at: Counters::default(),
            then,
            entries: Vec::new(),
            events: Vec::new(),
            aliases: Vec::new(),
            erase: Vec::new(),
            upstream: None,
        };
        self.log.append(&batch).map_err(|e| match e {
            AppendError::Store(e) => e,
            other => StoreError::Unavailable(other.to_string()),
        })?;
        self.follow()?;
        Ok(self.len())
    }

    /// Number of entries, merged ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rises whenever an entry changes: for whoever keeps what was made of the entries.
    #[must_use]
    pub fn stamp(&self) -> u64 {
        let held = self.read();
        held.events + held.entries.len() as u64
    }

    /// An entry by its id; a merged one as it stands, not what it was merged into.
    #[must_use]
    pub fn get(&self, id: EntryId) -> Option<Arc<Entry<C>>> {
        let held = self.read();
        held.book
            .number(id)
            .and_then(|no| held.by_number(no))
            .cloned()
    }

    /// The entry that an identifier leads to today.
    #[must_use]
    pub fn find(&self, identifier: Packed) -> Option<Arc<Entry<C>>> {
        self.found(identifier, None)
    }

    /// The entry that had the identifier at an instant, as what it is today.
    #[must_use]
    pub fn find_at(&self, identifier: Packed, at: Moment) -> Option<Arc<Entry<C>>> {
        self.found(identifier, Some(at))
    }

    fn found(&self, identifier: Packed, at: Option<Moment>) -> Option<Arc<Entry<C>>> {
        let held = self.read();
        let no = never(resolve(&held.book, identifier, at))?;
        held.by_number(no).cloned()
    }

    /// Entries from a number on, at most `limit`: for exports, which then follow the events.
    #[must_use]
    pub fn page(&self, from: EntryNo, limit: usize) -> Vec<Arc<Entry<C>>> {
        self.read()
            .entries
            .iter()
            .skip(from.0 as usize)
            .flatten()
            .take(limit)
            .cloned()
            .collect()
    }

    /// Hands every entry to `each`, by number. Some at a time: a change does not wait until all were seen, and is or is not
    /// among what is seen after it.
    pub fn each(&self, mut each: impl FnMut(&Arc<Entry<C>>)) {
        /// Entries looked at in one step.
        const STEP: usize = 1_000;
        let mut from = EntryNo(0);
        loop {
            let page = self.page(from, STEP);
            let Some(last) = page.last() else { return };
            from = EntryNo(last.no.0.saturating_add(1));
            page.iter().for_each(&mut each);
        }
    }

    /// Events from a number on (inclusive), at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events(&self, from: u64, limit: usize) -> Result<Vec<Event<C::Kind>>, StoreError> {
        self.log.events(from, limit)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Held<C>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Held<C>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}
