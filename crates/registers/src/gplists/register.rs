//! The register of one process: who is on which list, when; and the ways of changing it.
//!
//! Where a patient is found is kept beside the kernel: (national id, page) in order, in one array, with what is new in a
//! small set. A patient is on at most one list at a time: checked on the state in memory, and written only where nobody has
//! written since.

use super::record::{
    Association, GpContract, GpListEvent, PAGE_LINES, PartNo, PatientPage, Record,
};
use super::rules::{self, WrongCycle};
use crate::kernel::change::{ChangeError, MAX_CHANGES};
use crate::kernel::events::Event;
use crate::kernel::indexed::{self, IndexedRegister};
use crate::kernel::log::Entry;
use crate::kernel::period::Moment;
use crate::kernel::{EntryId, EntryNo};
use crate::personnel::Short;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use store::{Granted, Store, StoreError};

/// New places of patients kept beside the array before it is made anew.
const MOST_NEW: usize = 50_000;
/// Parts of one entry: numbers outside are entry number · this + part.
const PARTS: i64 = 1_000;

/// An entry as it is held.
pub type Held = Arc<Entry<Record>>;

/// Why nothing was written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// No such contract, doctor or patient on it.
    #[error("not in the register")]
    NotFound,
    /// The number is in use.
    #[error("the number is in use")]
    Taken,
    /// The doctor cannot be on the contract like this.
    #[error(transparent)]
    Cycle(#[from] WrongCycle),
    /// What was given cannot be so.
    #[error("{0}")]
    Invalid(&'static str),
    /// The store.
    #[error("{0}")]
    Store(String),
}

impl From<ChangeError> for WriteError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Conflict { .. } => Self::Taken,
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// A patient's line with where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct OnList {
    /// The contract.
    pub contract: i64,
    /// Number outside.
    pub id: i64,
    /// The line.
    pub line: Association,
    /// Last change of the page.
    pub updated: Moment,
}

#[derive(Default)]
struct Index {
    /// (national id, number of the page), sorted.
    patients: Vec<(u64, u32)>,
    fresh: BTreeSet<(u64, u32)>,
    pages: HashMap<i64, BTreeSet<u32>>,
    /// Office → contracts.
    offices: BTreeMap<u32, BTreeSet<i64>>,
    office_of: HashMap<i64, u32>,
    doctors: HashMap<u32, BTreeSet<i64>>,
}

impl indexed::Index<Record> for Index {
    fn put(&mut self, entry: &Entry<Record>) {
        match &entry.content {
            Record::Contract(contract) => {
                let before = self.office_of.insert(contract.id, contract.office);
                if let Some(contracts) = before.and_then(|old| self.offices.get_mut(&old)) {
                    contracts.remove(&contract.id);
                }
                self.offices
                    .entry(contract.office)
                    .or_default()
                    .insert(contract.id);
                for doctor in &contract.doctors {
                    self.doctors
                        .entry(doctor.hpr)
                        .or_default()
                        .insert(contract.id);
                }
            }
            Record::Patients(page) => {
                self.file_page(entry.no, page);
                for line in &page.lines {
                    let place = (line.nin, entry.no.0);
                    if self.patients.binary_search(&place).is_err() {
                        self.fresh.insert(place);
                    }
                }
                if self.fresh.len() > MOST_NEW {
                    self.settle();
                }
            }
            Record::Languages(..) | Record::Team(_) | Record::Office(_) => {}
        }
    }

    fn put_first(&mut self, entry: &Entry<Record>) {
        match &entry.content {
            // In order once all are there: looking for each among millions takes longer.
            Record::Patients(page) => {
                self.file_page(entry.no, page);
                let lines = page.lines.iter();
                self.patients
                    .extend(lines.map(|line| (line.nin, entry.no.0)));
            }
            _ => self.put(entry),
        }
    }

    fn settle(&mut self) {
        self.patients.extend(std::mem::take(&mut self.fresh));
        self.patients.sort_unstable();
        self.patients.dedup();
    }
}

impl Index {
    fn file_page(&mut self, no: EntryNo, page: &PatientPage) {
        self.pages.entry(page.contract).or_default().insert(no.0);
    }

    fn pages_of(&self, nin: u64) -> Vec<u32> {
        let start = self.patients.partition_point(|(known, _)| *known < nin);
        let settled = self
            .patients
            .iter()
            .skip(start)
            .take_while(|(known, _)| *known == nin);
        let fresh = self.fresh.range((nin, 0)..=(nin, u32::MAX));
        settled.chain(fresh).map(|(_, page)| *page).collect()
    }
}

/// The GP lists of one process.
pub struct GpLists {
    register: IndexedRegister<Record, Index>,
}

impl GpLists {
    /// Reads the register. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store, grant: Granted) -> Result<Self, StoreError> {
        Self::open_in(store, grant, None)
    }

    /// The same with a kept form in this folder ([`crate::kernel::memory::MemoryRegister::open_in`]).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_in(
        store: Store,
        grant: Granted,
        folder: Option<&Path>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            register: IndexedRegister::open_in(store, grant, folder)?,
        })
    }

    /// Takes over what other processes wrote.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<(), StoreError> {
        self.register.follow()
    }

    /// The background work: writes the kept form where much has changed since. Whether something was written.
    ///
    /// # Errors
    /// When the store cannot be read or a file not be written.
    pub fn keep(&self) -> Result<bool, StoreError> {
        self.register.keep()
    }

    /// Whether there is no contract.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.register.is_empty()
    }

    /// Loads an empty register: contracts, each with those on its list.
    ///
    /// # Errors
    /// When it is not empty, or the store refuses.
    pub fn load(
        &self,
        contracts: impl IntoIterator<Item = (GpContract, Vec<Association>)>,
    ) -> Result<usize, StoreError> {
        let entries = contracts.into_iter().flat_map(|(contract, lines)| {
            let (id, updated) = (contract.id, contract.updated);
            let pages: Vec<(EntryId, Record)> = lines
                .chunks(PAGE_LINES)
                .map(|chunk| {
                    let mut lines = chunk.to_vec();
                    for (line, no) in lines.iter_mut().zip(1..) {
                        line.no = no;
                    }
                    let page = PatientPage {
                        contract: id,
                        lines,
                        updated,
                    };
                    (EntryId::random(), Record::Patients(Box::new(page)))
                })
                .collect();
            let record = Record::Contract(Box::new(contract));
            std::iter::once((GpContract::id_of(id), record)).chain(pages)
        });
        let count = self.register.load(entries)?;
        self.register.follow()?;
        Ok(count)
    }

    /// A contract.
    #[must_use]
    pub fn contract(&self, id: i64) -> Option<GpContract> {
        self.contract_entry(id).map(|(_, contract)| contract)
    }

    /// A contract with the number of its entry.
    #[must_use]
    pub fn contract_entry(&self, id: i64) -> Option<(EntryNo, GpContract)> {
        let entry = self.register.get(GpContract::id_of(id))?;
        match &entry.content {
            Record::Contract(contract) if contract.id == id => {
                Some((entry.no, GpContract::clone(contract)))
            }
            _ => None,
        }
    }

    /// Number outside of a part.
    #[must_use]
    pub fn part_number(no: EntryNo, part: PartNo) -> i64 {
        i64::from(no.0) * PARTS + i64::from(part)
    }

    /// Entry and part that a number outside stands for.
    #[must_use]
    pub fn by_part(&self, number: i64) -> Option<(Held, PartNo)> {
        let no = EntryNo(u32::try_from(number.div_euclid(PARTS)).ok()?);
        let part = PartNo::try_from(number.rem_euclid(PARTS)).ok()?;
        let entry = self.register.page(no, 1).into_iter().next()?;
        (entry.no == no && part > 0).then_some((entry, part))
    }

    /// Calls `each` for every entry; those of contracts are of use.
    pub fn each_contract(&self, mut each: impl FnMut(&Held)) {
        let ids: Vec<i64> = self
            .register
            .index()
            .offices
            .values()
            .flatten()
            .copied()
            .collect();
        for id in ids {
            if let Some(entry) = self.register.get(GpContract::id_of(id)) {
                each(&entry);
            }
        }
    }

    /// Contracts of an office, by number.
    #[must_use]
    pub fn of_office(&self, office: u32) -> Vec<GpContract> {
        let ids = self.register.index().offices.get(&office).cloned();
        let ids = ids.unwrap_or_default();
        ids.into_iter().filter_map(|id| self.contract(id)).collect()
    }

    /// Contracts a doctor is or was on, by number.
    #[must_use]
    pub fn of_doctor(&self, hpr: u32) -> Vec<GpContract> {
        let ids = self.register.index().doctors.get(&hpr).cloned();
        let ids = ids.unwrap_or_default();
        ids.into_iter().filter_map(|id| self.contract(id)).collect()
    }

    /// HPR numbers of all doctors on contracts.
    #[must_use]
    pub fn all_doctors(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.register.index().doctors.keys().copied().collect();
        all.sort_unstable();
        all
    }

    fn page_lines<T>(&self, no: u32, of: impl FnOnce(EntryNo, &PatientPage) -> T) -> Option<T> {
        let entry = self.register.page(EntryNo(no), 1).into_iter().next()?;
        match &entry.content {
            Record::Patients(page) if entry.no.0 == no => Some(of(entry.no, page)),
            _ => None,
        }
    }

    /// All lines of a patient, the latest first.
    #[must_use]
    pub fn history(&self, nin: u64) -> Vec<OnList> {
        let pages = self.register.index().pages_of(nin);
        let mut found = Vec::new();
        for no in pages {
            self.page_lines(no, |no, page| {
                let lines = page.lines.iter().filter(|line| line.nin == nin);
                found.extend(lines.map(|line| OnList {
                    contract: page.contract,
                    id: Self::part_number(no, line.no),
                    line: line.clone(),
                    updated: page.updated,
                }));
            });
        }
        found.sort_by_key(|on| std::cmp::Reverse((on.line.from, on.id)));
        found
    }

    /// Whose list a patient is on at a time.
    #[must_use]
    pub fn active(&self, nin: u64, at: Moment) -> Option<OnList> {
        let history = self.history(nin);
        history.into_iter().find(|on| on.line.period().contains(at))
    }

    /// Those on a list at a time, in the order in which they came.
    #[must_use]
    pub fn patients(&self, contract: i64, at: Moment) -> Vec<OnList> {
        let mut found = Vec::new();
        self.lines(contract, |no, page, line| {
            if line.period().contains(at) {
                found.push(OnList {
                    contract,
                    id: Self::part_number(no, line.no),
                    line: line.clone(),
                    updated: page.updated,
                });
            }
        });
        found
    }

    /// All who are or were on a list, in the order in which they came.
    #[must_use]
    pub fn all_patients(&self, contract: i64) -> Vec<OnList> {
        let mut found = Vec::new();
        self.lines(contract, |no, page, line| {
            found.push(OnList {
                contract,
                id: Self::part_number(no, line.no),
                line: line.clone(),
                updated: page.updated,
            });
        });
        found
    }

    /// How many are on a list at a time.
    #[must_use]
    pub fn active_count(&self, contract: i64, at: Moment) -> usize {
        let mut count = 0;
        self.lines(contract, |_, _, line| {
            count += usize::from(line.period().contains(at));
        });
        count
    }

    fn lines(&self, contract: i64, mut each: impl FnMut(EntryNo, &PatientPage, &Association)) {
        let pages = self.register.index().pages.get(&contract).cloned();
        for no in pages.unwrap_or_default() {
            self.page_lines(no, |no, page| {
                page.lines.iter().for_each(|line| each(no, page, line));
            });
        }
    }

    /// An entry as it stands.
    #[must_use]
    pub fn entry(&self, id: EntryId) -> Option<Held> {
        self.register.get(id)
    }

    /// Events from a number on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events(&self, from: u64, limit: usize) -> Result<Vec<Event<GpListEvent>>, StoreError> {
        self.register.events(from, limit)
    }

    /// Writes what `decide` wants, decided on the lists as they are ([`IndexedRegister::change_with`]).
    pub(super) fn write<E: From<WriteError>>(
        &self,
        mut decide: impl FnMut() -> Result<Vec<(EntryId, Record)>, E>,
    ) -> Result<(), E> {
        enum Stopped<E> {
            Here(E),
            There(ChangeError),
        }
        impl<E> From<ChangeError> for Stopped<E> {
            fn from(error: ChangeError) -> Self {
                Self::There(error)
            }
        }
        let written = self
            .register
            .change_with(|| decide().map_err(Stopped::Here));
        match written {
            Ok(_) => Ok(()),
            Err(Stopped::Here(error)) => Err(error),
            Err(Stopped::There(error)) => Err(WriteError::from(error).into()),
        }
    }

    pub(super) fn put(&self, changes: &[(EntryId, Record)]) -> Result<(), WriteError> {
        self.write(|| Ok(changes.to_vec()))
    }

    /// A new contract.
    ///
    /// # Errors
    /// When the number is in use, or a doctor cannot be on it like this.
    pub fn create_contract(&self, mut contract: GpContract) -> Result<(), WriteError> {
        let id = GpContract::id_of(contract.id);
        if contract.id <= 0 {
            return Err(WriteError::Invalid("the number of a contract is positive"));
        }
        for at in 0..contract.doctors.len() {
            let no = contract.next_part();
            if let Some(doctor) = contract.doctors.get_mut(at) {
                doctor.no = no;
            }
        }
        for doctor in &contract.doctors {
            rules::check_cycle(&contract, doctor)?;
        }
        self.write(|| {
            if self.register.get(id).is_some() {
                return Err(WriteError::Taken);
            }
            Ok(vec![(id, Record::Contract(Box::new(contract.clone())))])
        })
    }

    /// Changes a contract in one step. `at` is kept as its last change, unless it is earlier. `edit` is asked again when
    /// another process changed the lists meanwhile.
    ///
    /// # Errors
    /// What `edit` says.
    pub fn edit_contract<T>(
        &self,
        id: i64,
        at: Moment,
        mut edit: impl FnMut(&mut GpContract) -> Result<T, WriteError>,
    ) -> Result<(GpContract, T), WriteError> {
        let mut made = None;
        self.write(|| {
            let (_, before) = self.contract_entry(id).ok_or(WriteError::NotFound)?;
            let mut contract = before.clone();
            let done = edit(&mut contract)?;
            let change = changed_contract(&before, &mut contract, at)?;
            made = Some((contract, done));
            Ok::<_, WriteError>(change.into_iter().collect())
        })?;
        made.ok_or(WriteError::NotFound)
    }

    /// Puts patients on a list; the line of the list they were on ends then.
    ///
    /// # Errors
    /// When there is no such list, or a patient came onto a list at that time or later.
    pub fn move_patients(
        &self,
        nins: &[u64],
        contract: i64,
        from: Moment,
        begin: Short,
    ) -> Result<Vec<i64>, WriteError> {
        let mut ids = Vec::new();
        self.write(|| {
            let draft = self.moved(nins, contract, from, begin)?;
            ids = draft.ids(nins, contract, from);
            Ok::<_, WriteError>(draft.changes())
        })?;
        Ok(ids
            .into_iter()
            .filter_map(|(id, part)| {
                let entry = self.register.get(id)?;
                Some(Self::part_number(entry.no, part))
            })
            .collect())
    }

    /// The pages as they are when patients have come onto a list.
    pub(super) fn moved(
        &self,
        nins: &[u64],
        contract: i64,
        from: Moment,
        begin: Short,
    ) -> Result<Draft<'_>, WriteError> {
        let held = self.contract(contract).ok_or(WriteError::NotFound)?;
        if !held.valid.contains(from) {
            return Err(WriteError::Invalid("the list is not valid at that time"));
        }
        let mut draft = Draft::new(self, from);
        for nin in nins {
            draft.end_active(*nin, from, Short::default(), Some(contract))?;
            draft.add(contract, *nin, from, begin);
        }
        if draft.pages.len() > MAX_CHANGES {
            return Err(WriteError::Invalid("too many patients at once"));
        }
        Ok(draft)
    }

    /// Takes patients off a list.
    ///
    /// # Errors
    /// When one of them is not on it.
    pub fn cancel_patients(
        &self,
        nins: &[u64],
        contract: i64,
        at: Moment,
        end: Short,
    ) -> Result<(), WriteError> {
        self.write(|| {
            let mut draft = Draft::new(self, at);
            for nin in nins {
                let is_on = self
                    .active(*nin, at)
                    .is_some_and(|on| on.contract == contract);
                if !is_on {
                    return Err(WriteError::NotFound);
                }
                draft.end_active(*nin, at, end, None)?;
            }
            Ok(draft.changes())
        })
    }

    /// A patient has another national id from now on: all lines carry it, and no event tells of another list.
    ///
    /// # Errors
    /// When nobody has the old one, or the new one is on a list already.
    pub fn change_nin(&self, old: u64, new: u64, at: Moment) -> Result<(), WriteError> {
        self.write(|| {
            if self.history(old).is_empty() {
                return Err(WriteError::NotFound);
            }
            if self.active(new, at).is_some() && self.active(old, at).is_some() {
                return Err(WriteError::Taken);
            }
            let mut draft = Draft::new(self, at);
            for on in self.history(old) {
                draft.with_line(on.id, |line| line.nin = new);
            }
            Ok(draft.changes())
        })
    }
}

/// The change from one state of a contract to another, where there is one: `at` is kept in it as its last change.
///
/// # Errors
/// When it has too many parts, or a doctor cannot be on it like this.
pub(super) fn changed_contract(
    before: &GpContract,
    contract: &mut GpContract,
    at: Moment,
) -> Result<Option<(EntryId, Record)>, WriteError> {
    if i64::from(contract.last_part) >= PARTS {
        return Err(WriteError::Invalid("the contract has too many parts"));
    }
    for doctor in &contract.doctors {
        rules::check_cycle(contract, doctor)?;
    }
    if contract == before {
        return Ok(None);
    }
    contract.updated = at.max(before.updated);
    let id = GpContract::id_of(before.id);
    Ok(Some((id, Record::Contract(Box::new(contract.clone())))))
}

/// Pages as they will be.
pub(super) struct Draft<'a> {
    lists: &'a GpLists,
    at: Moment,
    pages: BTreeMap<EntryId, PatientPage>,
    /// The page of a contract that takes new lines.
    open: HashMap<i64, EntryId>,
}

impl<'a> Draft<'a> {
    fn new(lists: &'a GpLists, at: Moment) -> Self {
        Self {
            lists,
            at,
            pages: BTreeMap::new(),
            open: HashMap::new(),
        }
    }

    fn page(&mut self, entry: &Held) -> Option<&mut PatientPage> {
        let Record::Patients(page) = &entry.content else {
            return None;
        };
        let at = self.at;
        let page = self.pages.entry(entry.id).or_insert_with(|| {
            let mut page = PatientPage::clone(page);
            page.updated = at.max(page.updated);
            page
        });
        Some(page)
    }

    fn with_line(&mut self, id: i64, edit: impl FnOnce(&mut Association)) {
        let Some((entry, part)) = self.lists.by_part(id) else {
            return;
        };
        let line = self
            .page(&entry)
            .and_then(|page| page.lines.iter_mut().find(|line| line.no == part));
        if let Some(line) = line {
            edit(line);
        }
    }

    fn end_active(
        &mut self,
        nin: u64,
        at: Moment,
        end: Short,
        unless_on: Option<i64>,
    ) -> Result<(), WriteError> {
        for on in self.lists.history(nin) {
            if on.line.from >= at && on.line.to != Some(on.line.from) {
                return Err(WriteError::Invalid(
                    "the patient came onto a list at that time or later",
                ));
            }
            if on.line.period().contains(at) {
                if unless_on == Some(on.contract) {
                    return Err(WriteError::Invalid("the patient is on the list already"));
                }
                self.with_line(on.id, |line| {
                    line.to = Some(at);
                    line.end = end;
                });
            }
        }
        Ok(())
    }

    fn add(&mut self, contract: i64, nin: u64, from: Moment, begin: Short) {
        let id = self.room(contract);
        if let Some(page) = self.pages.get_mut(&id) {
            let last = page.lines.iter().map(|line| line.no).max().unwrap_or(0);
            page.lines.push(Association {
                no: last.saturating_add(1),
                nin,
                from,
                to: None,
                begin,
                end: Short::default(),
            });
        }
    }

    /// A page of the contract with room for a line.
    fn room(&mut self, contract: i64) -> EntryId {
        let has_room = |page: &PatientPage| page.lines.len() < PAGE_LINES;
        if let Some(id) = self.open.get(&contract)
            && self.pages.get(id).is_some_and(has_room)
        {
            return *id;
        }
        let newest = self
            .lists
            .register
            .index()
            .pages
            .get(&contract)
            .and_then(|pages| pages.last().copied());
        let entry = newest.and_then(|no| {
            self.lists
                .register
                .page(EntryNo(no), 1)
                .into_iter()
                .find(|entry| entry.no.0 == no)
        });
        let found = entry.filter(|entry| self.page(entry).is_some_and(|page| has_room(page)));
        let id = match found {
            Some(entry) => entry.id,
            None => {
                let id = EntryId::random();
                self.pages.insert(
                    id,
                    PatientPage {
                        contract,
                        lines: Vec::new(),
                        updated: self.at,
                    },
                );
                id
            }
        };
        self.open.insert(contract, id);
        id
    }

    /// Where the new lines stand.
    fn ids(&self, nins: &[u64], contract: i64, from: Moment) -> Vec<(EntryId, PartNo)> {
        let mut found = Vec::new();
        for nin in nins {
            for (id, page) in &self.pages {
                let line = page
                    .lines
                    .iter()
                    .find(|line| line.nin == *nin && line.from == from && line.to.is_none());
                if let Some(line) = line.filter(|_| page.contract == contract) {
                    found.push((*id, line.no));
                }
            }
        }
        found
    }

    pub(super) fn changes(self) -> Vec<(EntryId, Record)> {
        let pages = self.pages.into_iter();
        pages
            .map(|(id, page)| (id, Record::Patients(Box::new(page))))
            .collect()
    }
}
