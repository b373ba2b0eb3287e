//! All registers of one hub process behind [`Directory`]: the person register at national size, organisations, the address
//! register, and a plain table for what has no register of its own yet.
//!
//! Rows of the table are JSON bodies of type `Practitioner`, keyed by their natural id, in the internal repository
//! `registers`, held in memory. Writes go through the store; [`RegisterTable::follow`] takes over what other processes
//! wrote.

mod lists;
mod personnel;
mod rows;
mod staff;
mod tables;

pub use rows::Row;

use crate::directory::{
    Directory, GpRelation, Known, Organisation, Party, Person, Practitioner, Protection,
};
use crate::kernel::change::ChangeError;
use crate::kernel::identifiers::Packed;
use crate::kernel::keeping::Keeping;
use crate::kernel::period::Moment;
use crate::kernel::{EntryId, EntryNo};
use crate::organisations::Businesses;
use crate::organisations::register::as_businesses;
use crate::parties::Parties;
use crate::parties::register::as_record;
use crate::persons::file::FileError;
use crate::persons::register::{Options, PersonRegister};
use crate::persons::search::{Query, SearchError};
use crate::persons::{PersonDocument, view};
use bytes::Bytes;
use rows::{BESIDE, BesideRows, decode};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use store::{
    Alias, Commit, CommitError, FeedEvent, Granted, Op, PersonRef, Privacy, Purge, Put, PutId,
    RepoId, Rid, Seq, Store, StoreError,
};
use tables::Tables;

/// Repository name of the register rows.
pub const REPOSITORY: &str = "registers";
const ROWS_PER_COMMIT: usize = 1_000;
const PAGE: usize = 1_000;

/// A person on the way into an empty register.
#[derive(Clone)]
pub struct Newcomer {
    /// Public id.
    pub id: EntryId,
    /// What the person register holds.
    pub document: PersonDocument,
    /// Number by which other registers know the person.
    pub number: Packed,
    /// Place on a GP list.
    pub gp: Option<GpRelation>,
    /// Short id in the demo story.
    pub story: Option<String>,
}

/// The clock of rules, microseconds since 1970 UTC.
pub type ClockFn = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The registers of one hub process.
pub struct RegisterTable {
    store: Store,
    repo: RepoId,
    grant: Granted,
    tables: RwLock<Tables>,
    seen: RwLock<Seq>,
    /// Where the registers are kept between starts.
    folder: Option<PathBuf>,
    keeping: Option<Keeping>,
    persons: Arc<PersonRegister>,
    businesses: Arc<Businesses>,
    parties: Arc<Parties>,
    personnel: std::sync::OnceLock<Arc<crate::personnel::PersonnelRegister>>,
    lists: std::sync::OnceLock<Arc<crate::gplists::GpLists>>,
    staff: staff::Staff,
    clock: ClockFn,
}

impl RegisterTable {
    /// Opens all registers, with the read form of persons in a temporary folder that goes away with them. `grant` is the
    /// hub job's own right to the repositories. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store, grant: Granted) -> Result<Self, StoreError> {
        let clock = Arc::new(|| jiff::Timestamp::now().as_microsecond());
        Self::open_in(store, grant, Options::temporary(), clock)
    }

    /// The same with the read form of persons where `persons` says, and the clock of rules.
    ///
    /// # Errors
    /// When the store cannot be read, or the read form not be made.
    pub fn open_in(
        store: Store,
        grant: Granted,
        persons: Options,
        clock: ClockFn,
    ) -> Result<Self, StoreError> {
        let folder = (!persons.temporary).then(|| persons.folder.clone());
        let repo = store.repo(REPOSITORY)?;
        let keeping = folder.as_deref().map(tables::keeping);
        // At national size each takes a second or two to read: side by side.
        let (persons, parties, businesses, rows) = std::thread::scope(|scope| {
            let persons =
                scope.spawn(|| PersonRegister::open(store.clone(), grant.clone(), persons));
            let parties =
                scope.spawn(|| Parties::open_in(store.clone(), grant.clone(), folder.as_deref()));
            let businesses = Businesses::open_in(store.clone(), grant.clone(), folder.as_deref());
            let rows = tables::open(&store, (repo, &grant), keeping.as_ref());
            (ended(persons), ended(parties), businesses, rows)
        });
        let (tables, seen) = rows?;
        let table = Self {
            repo,
            grant,
            tables: RwLock::new(tables),
            seen: RwLock::new(seen),
            folder,
            keeping,
            persons: Arc::new(persons?),
            businesses: Arc::new(businesses?),
            parties: Arc::new(parties?),
            personnel: std::sync::OnceLock::new(),
            lists: std::sync::OnceLock::new(),
            staff: staff::Staff::default(),
            clock,
            store,
        };
        table.follow_rows()?;
        for rtype in ["Person", "Organisation", "Party"] {
            table.move_old(rtype)?;
        }
        Ok(table)
    }

    /// The person register.
    #[must_use]
    pub fn persons(&self) -> &Arc<PersonRegister> {
        &self.persons
    }

    /// The organisations.
    #[must_use]
    pub fn businesses(&self) -> &Arc<Businesses> {
        &self.businesses
    }

    /// The address register.
    #[must_use]
    pub fn parties(&self) -> &Arc<Parties> {
        &self.parties
    }

    /// Rows of data folders made before there was a register for them.
    fn move_old(&self, rtype: &str) -> Result<(), StoreError> {
        loop {
            let snapshot = self.store.snapshot()?;
            let rids = snapshot.type_rids(&self.grant, self.repo, rtype, Rid(0), PAGE)?;
            if rids.is_empty() {
                return Ok(());
            }
            let (mut rows, mut purge) = (Vec::new(), Vec::new());
            for record in snapshot.fetch(&self.grant, &rids)? {
                rows.push(decode(rtype, &record.body)?);
                purge.push(Purge {
                    repo: self.repo,
                    rtype: rtype.to_owned(),
                    id: record.head.id.clone(),
                });
            }
            self.import(rows)?;
            self.commit(Commit {
                purge,
                ..Commit::default()
            })?;
        }
    }

    /// Whether nothing has been imported yet.
    pub fn is_empty(&self) -> bool {
        self.persons.is_empty() && self.businesses.is_empty()
    }

    /// Writes rows in commits of 1 000; a row that exists is replaced. Historic ids of persons become aliases.
    ///
    /// # Errors
    /// When the store refuses, or a person cannot be what the row says.
    pub fn import(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        for chunk in rows.chunks(ROWS_PER_COMMIT) {
            let mut commit = Commit::default();
            for row in chunk {
                let persons = match row {
                    Row::Practitioner(p) => vec![PersonRef::id(crate::FNR_SYSTEM, &p.nin)],
                    _ => continue,
                };
                if let Row::Practitioner(p) = row
                    && let Some(hpr) = &p.hpr
                {
                    commit.alias.push(Alias::AlsoKnownAs {
                        person: PersonRef::id(crate::FNR_SYSTEM, &p.nin),
                        system: crate::HPR_SYSTEM.to_owned(),
                        value: hpr.clone(),
                    });
                }
                let id = PutId::Given(row.id());
                commit
                    .put
                    .push(self.put(row.rtype(), id, row.body()?, persons));
            }
            if !commit.put.is_empty() {
                self.commit(commit)?;
            }
            let persons = chunk.iter().filter_map(|row| match row {
                Row::Person(person) => Some(&**person),
                _ => None,
            });
            self.import_persons(persons)?;
            self.import_organisations(chunk)?;
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            for row in chunk {
                tables.insert(row.clone());
            }
        }
        Ok(())
    }

    fn import_organisations(&self, rows: &[Row]) -> Result<(), StoreError> {
        let at = self.now();
        let (mut businesses, mut parties) = (Vec::new(), Vec::new());
        for row in rows {
            match row {
                Row::Organisation(organisation) => {
                    businesses.extend(as_businesses(organisation, at));
                }
                Row::Business(business) => businesses.push((**business).clone()),
                Row::Party(party) => parties.push(as_record(party, at)),
                Row::CommunicationParty(party) => parties.push((**party).clone()),
                Row::Person(_) | Row::Practitioner(_) => {}
            }
        }
        let refused = |error: ChangeError| match error {
            ChangeError::Store(error) => error,
            other => StoreError::Invalid(other.to_string()),
        };
        if !businesses.is_empty() {
            self.businesses.put(businesses).map_err(refused)?;
        }
        if !parties.is_empty() {
            self.parties.put(parties).map_err(refused)?;
        }
        Ok(())
    }

    fn import_persons<'p>(
        &self,
        persons: impl Iterator<Item = &'p Person>,
    ) -> Result<(), StoreError> {
        let (mut changes, mut beside) = (Vec::new(), BesideRows::default());
        let mut commit = Commit::default();
        for person in persons {
            let refused = || StoreError::Invalid("a person's identifiers are not valid".to_owned());
            let document = view::document(person).ok_or_else(refused)?;
            let number = Packed::digits(&person.nin).ok_or_else(refused)?;
            let known = self.find(number).map_err(unreadable)?;
            let id = known.and_then(|no| self.persons.with(no, |row| row.id()).ok()??);
            changes.push((id.unwrap_or_else(EntryId::random), document));
            if person.gp.is_some() || self.read().gp_of.contains_key(&number.0) {
                beside.on_list(person.gp.clone(), number);
            }
            if let Some(story) = &person.story {
                beside.story(&person.nin, story);
            }
            // Whoever comes in one by one is known to the store from the start.
            commit.alias.push(Alias::AlsoKnownAs {
                person: PersonRef::id(crate::FNR_SYSTEM, &person.nin),
                system: crate::FNR_SYSTEM.to_owned(),
                value: person.nin.clone(),
            });
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.persons
            .change(changes, self.now())
            .map_err(|e| StoreError::Invalid(e.to_string()))?;
        self.put_on_lists(&beside)?;
        self.add(beside, commit)
    }

    /// Loads persons into an empty person register at once, outside the commit path. `told` hears how many are in. Where the
    /// same persons are there already, because a load was broken off after they had appeared, what is known besides the
    /// register is written again; the last one counts.
    ///
    /// # Errors
    /// When the store refuses; nothing is loaded then.
    pub fn load_persons(
        &self,
        newcomers: impl IntoIterator<Item = Newcomer>,
        told: impl FnMut(u32),
    ) -> Result<u32, StoreError> {
        let mut beside = BesideRows::default();
        let documents = newcomers.into_iter().map(|newcomer| {
            if newcomer.gp.is_some() {
                beside.on_list(newcomer.gp, newcomer.number);
            }
            if let Some(story) = &newcomer.story {
                beside.story(&newcomer.number.text(11), story);
            }
            (newcomer.id, newcomer.document)
        });
        let count = self.persons.load_or_complete(documents, self.now(), told)?;
        self.add(beside, Commit::default())?;
        Ok(count)
    }

    /// Writes what is known besides the register, some rows in a commit.
    fn add(&self, rows: BesideRows, first: Commit) -> Result<(), StoreError> {
        let rows = rows.rows();
        let mut commit = first;
        for row in &rows {
            let body = serde_json::to_vec(row).map_err(|e| StoreError::Invalid(e.to_string()))?;
            let put = self.put(BESIDE, PutId::New, body.into(), Vec::new());
            commit.put.push(put);
            if commit.put.len() >= 100 {
                self.commit(std::mem::take(&mut commit))?;
            }
        }
        if !commit.put.is_empty() || !commit.alias.is_empty() {
            self.commit(commit)?;
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            tables.learn(row);
        }
        Ok(())
    }

    fn put(&self, rtype: &str, id: PutId, body: Bytes, persons: Vec<PersonRef>) -> Put {
        Put {
            repo: self.repo,
            rtype: rtype.to_owned(),
            op: if matches!(id, PutId::New) {
                Op::Create
            } else {
                Op::Update
            },
            id,
            body,
            keys: Vec::new(),
            pack: 0,
            persons,
            privacy: Privacy::default(),
            blobs: Vec::new(),
        }
    }

    fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.store.commit(commit).map(|_| ()).map_err(|e| match e {
            CommitError::Invalid(text) => StoreError::Invalid(text),
            other => StoreError::Unavailable(other.to_string()),
        })
    }

    /// Now on the clock of rules.
    fn now(&self) -> Moment {
        Moment((self.clock)().div_euclid(1_000))
    }

    fn find(&self, number: Packed) -> Result<Option<EntryNo>, FileError> {
        self.persons.find(number)
    }

    /// What `read` makes of the row that a national id leads to. A damaged read form is made anew in the background;
    /// until then its damaged rows are nobody.
    fn at<R>(&self, nin: &str, read: impl FnOnce(crate::persons::row::Row<'_>) -> R) -> Option<R> {
        let number = Packed::digits(nin).filter(|_| matches!(nin.len(), 11 | 12))?;
        let no = self.find(number).inspect_err(told).ok()??;
        self.persons.with(no, read).inspect_err(told).ok()?
    }

    /// With what other registers know.
    fn completed(&self, mut person: Person) -> Person {
        person.gp = self.gp_of(&person);
        person.story = self.read().story(&person);
        person
    }

    fn search(&self, query: &Query, limit: usize) -> Vec<Person> {
        let now = self.now();
        let (mut found, mut from) = (Vec::new(), EntryNo(0));
        while found.len() < limit {
            let page = match self.persons.search(query, now, from, limit.min(PAGE)) {
                Ok(page) => page,
                // Too wide to be answered: nothing rather than an arbitrary part.
                Err(SearchError::TooWide) => return Vec::new(),
                Err(SearchError::File(error)) => {
                    told(&error);
                    return Vec::new();
                }
            };
            for no in page.entries {
                let person = self.persons.with(no, |row| view::person(row, now));
                if let Ok(Some(Some(person))) = person
                    && person.protection < Protection::Confidential
                    && found.len() < limit
                {
                    found.push(self.completed(person));
                }
            }
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        found
    }

    /// Takes over rows that other processes committed since the last call. Returns the place in the feed reached.
    pub fn follow(&self) -> Result<Seq, StoreError> {
        self.persons.follow()?;
        self.businesses.follow()?;
        self.parties.follow()?;
        self.follow_rows()
    }

    /// The background work: writes what a start reads instead of the store, where much has changed, of the attached registers
    /// too. Whether something was written.
    ///
    /// # Errors
    /// When the store cannot be read or a file not be written.
    pub fn keep(&self) -> Result<bool, StoreError> {
        let seen = *self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let rows = match &self.keeping {
            Some(keeping) => tables::keep(&self.store, keeping, &self.tables, seen)?,
            None => false,
        };
        let mut written = self.businesses.register().keep()? || rows;
        written |= self.parties.register().keep()?;
        if let Some(personnel) = self.personnel.get() {
            written |= personnel.register().keep()?;
        }
        if let Some(lists) = self.lists.get() {
            written |= lists.keep()?;
        }
        Ok(written)
    }

    /// The folder in which registers are kept between starts, for those that are opened beside this one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    fn follow_rows(&self) -> Result<Seq, StoreError> {
        loop {
            let after = *self.seen.read().unwrap_or_else(PoisonError::into_inner);
            let entries = self.store.feed(after, PAGE)?;
            let Some(last) = entries.last().map(|e| e.seq) else {
                return Ok(after);
            };
            let snapshot = self.store.snapshot()?;
            for entry in entries {
                if let FeedEvent::Version {
                    repo, rtype, rid, ..
                } = entry.event
                    && repo == self.repo
                {
                    for record in snapshot.fetch(&self.grant, &[rid])? {
                        self.tables
                            .write()
                            .unwrap_or_else(PoisonError::into_inner)
                            .take(&rtype, &record.body, Some(entry.seq))?;
                    }
                }
            }
            *self.seen.write().unwrap_or_else(PoisonError::into_inner) = last;
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended<T>(
    thread: std::thread::ScopedJoinHandle<'_, Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let died = || StoreError::Unavailable("reading a register was broken off".to_owned());
    thread.join().unwrap_or_else(|_| Err(died()))
}

fn unreadable(error: FileError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn told(error: &FileError) {
    tracing::warn!(%error, "the person register could not be read");
}

impl Directory for RegisterTable {
    fn person(&self, nin: &str) -> Option<Person> {
        let now = self.now();
        let person = self.at(nin, |row| view::person(row, now))??;
        Some(self.completed(person))
    }

    fn known(&self, nin: &str) -> Known {
        self.at(nin, |row| view::known(row, nin))
            .unwrap_or(Known::Nobody)
    }

    fn death_registered(&self, nin: &str) -> Option<i64> {
        let now = self.now();
        let at = self.at(nin, |row| view::death_registered(row, now))??;
        Some(at.0.saturating_mul(1_000))
    }

    fn practitioner_by_hpr(&self, hpr: &str) -> Option<Practitioner> {
        self.by_hpr(hpr)
    }

    fn personnel_stamp(&self) -> Option<u64> {
        self.personnel.get().map(|p| p.register().stamp())
    }

    fn practitioner_by_nin(&self, nin: &str) -> Option<Practitioner> {
        self.by_nin(nin)
    }

    fn practitioners_of(&self, orgnr: &str, limit: usize) -> Vec<Practitioner> {
        let works = |p: &&Arc<Practitioner>| {
            p.workplaces
                .iter()
                .any(|w| w.orgnr_parent == orgnr || w.orgnr_child == orgnr)
        };
        let tables = self.read();
        let rows = tables.practitioners.values().filter(works);
        let rows: Vec<Practitioner> = rows
            .take(limit)
            .map(|row| Practitioner::clone(row))
            .collect();
        drop(tables);
        rows.into_iter().filter_map(|p| self.current(p)).collect()
    }

    fn party(&self, her_id: u32) -> Option<Party> {
        self.parties.party(her_id)
    }

    fn parties_of(&self, orgnr: &str) -> Vec<Party> {
        let held = self.parties.of_organisation(orgnr);
        held.iter()
            .filter_map(|p| self.parties.party(p.content.her_id))
            .collect()
    }

    fn top_parties(&self) -> Vec<Party> {
        let held = self.parties.organisations();
        held.iter()
            .filter_map(|p| self.parties.party(p.content.her_id))
            .collect()
    }

    fn organisation(&self, orgnr: &str) -> Option<Organisation> {
        self.businesses.organisation(orgnr)
    }

    fn organisations(&self, limit: usize) -> Vec<Organisation> {
        self.businesses.organisations(limit)
    }

    fn search_persons(&self, query: &str, limit: usize) -> Vec<Person> {
        self.find_persons(query, None, limit)
    }

    fn find_persons(&self, query: &str, born: Option<i16>, limit: usize) -> Vec<Person> {
        let words = codes::fold::words(query);
        if words.is_empty() {
            return Vec::new();
        }
        let year = born.and_then(|year| u32::try_from(year).ok());
        let query = Query {
            full: words,
            birth: year.map(|year| (year * 10_000, year * 10_000 + 9_999)),
            include_alternate: true,
            ..Query::default()
        };
        self.search(&query, limit)
    }

    fn story_persons(&self) -> Vec<Person> {
        let stories = self.read().stories.clone();
        stories
            .values()
            .filter_map(|nin| self.person(nin))
            .collect()
    }

    fn find_practitioners(&self, words: &[&str], limit: usize) -> Vec<Practitioner> {
        self.find_staff(words, limit)
    }

    fn practitioners(&self, limit: usize) -> Vec<Practitioner> {
        let tables = self.read();
        let rows = tables.staff().take(limit);
        let rows: Vec<Practitioner> = rows.map(|row| Practitioner::clone(row)).collect();
        drop(tables);
        rows.into_iter().filter_map(|p| self.current(p)).collect()
    }
}
