//! The register of one process: look-ups, the one way of changing a person, numbers set aside, and what changed.

use super::record::{Institution, PartNo, Personnel, PersonnelEvent, Record, SETTINGS, Settings};
use crate::kernel::change::ChangeError;
use crate::kernel::events::Event;
use crate::kernel::identifiers::{Conflict, Packed};
use crate::kernel::log::Entry;
use crate::kernel::memory::MemoryRegister;
use crate::kernel::period::Moment;
use crate::kernel::{EntryId, EntryNo};
use std::path::Path;
use std::sync::Arc;
use store::{Granted, Store, StoreError};

/// Most versions of a person that are looked through for what changed.
const MAX_VERSIONS: usize = 1_000;
/// Parts of one entry: its numbers outside are entry number · this + part.
const PARTS: u32 = 1_000;
/// The first HPR number that is given.
const FIRST_NUMBER: u32 = 10_000_001;
/// Entries read at a time.
pub(super) const PAGE: usize = 1_000;

/// An entry as it is held.
pub type Held = Arc<Entry<Record>>;

/// Why nothing was written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// There is no such person or part.
    #[error("not in the register")]
    NotFound,
    /// The number or national id belongs to somebody else.
    #[error("the number or the national id belongs to another entry")]
    Taken,
    /// Changed since the caller read it.
    #[error("changed since it was read")]
    Stale,
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
            ChangeError::Conflict {
                conflict: Conflict::InUse { .. },
                ..
            } => Self::Taken,
            ChangeError::Conflict { .. } => Self::Invalid("the merge leads back to itself"),
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// One version of a person against the one before it.
#[derive(Debug)]
pub struct Step {
    /// Number of the version.
    pub version: u32,
    /// When it was written.
    pub at: Moment,
    /// Before; none for the first.
    pub before: Option<Personnel>,
    /// After.
    pub after: Personnel,
}

/// The personnel register of one process.
pub struct PersonnelRegister {
    register: MemoryRegister<Record>,
}

impl PersonnelRegister {
    /// Reads the register. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store, grant: Granted) -> Result<Self, StoreError> {
        Self::open_in(store, grant, None)
    }

    /// The same with a kept form in this folder ([`MemoryRegister::open_in`]).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_in(
        store: Store,
        grant: Granted,
        folder: Option<&Path>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            register: MemoryRegister::open_in(store, grant, folder)?,
        })
    }

    /// The register under it.
    #[must_use]
    pub fn register(&self) -> &MemoryRegister<Record> {
        &self.register
    }

    /// Takes over what other processes wrote.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<store::Seq, StoreError> {
        self.register.follow()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.register.is_empty()
    }

    /// Entries, institutions and settings included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.register.len()
    }

    /// The person that an HPR number leads to today: of a merged number the survivor.
    #[must_use]
    pub fn by_hpr(&self, hpr: u32) -> Option<Held> {
        if hpr == 0 {
            return None;
        }
        standing(self.register.find(Packed(hpr.into()))?)
    }

    /// Whether the number was ever given, deleted and merged ones included.
    #[must_use]
    pub fn knows(&self, hpr: u32) -> bool {
        self.register.get(Personnel::id_of(hpr)).is_some()
    }

    /// The person that a national id, current or earlier, leads to.
    #[must_use]
    pub fn by_nin(&self, nin: &str) -> Option<Held> {
        if nin.len() != 11 {
            return None;
        }
        standing(self.register.find(Packed::digits(nin)?)?)
    }

    /// The entry and part that a number outside stands for.
    #[must_use]
    pub fn by_part(&self, number: i64) -> Option<(Held, PartNo)> {
        let number = u32::try_from(number).ok()?;
        let (no, part) = (EntryNo(number / PARTS), number % PARTS);
        let entry = self.register.page(no, 1).into_iter().next()?;
        let part = PartNo::try_from(part).ok().filter(|part| *part > 0)?;
        (entry.no == no && person(&entry).is_some()).then_some((entry, part))
    }

    /// The number outside of a part.
    #[must_use]
    pub fn part_number(no: EntryNo, part: PartNo) -> i64 {
        i64::from(no.0) * i64::from(PARTS) + i64::from(part)
    }

    /// Entries from a number on.
    #[must_use]
    pub fn page(&self, from: EntryNo, limit: usize) -> Vec<Held> {
        self.register.page(from, limit)
    }

    /// Calls `each` for every entry that stands, by number, until it says no.
    pub fn each(&self, mut each: impl FnMut(&Held) -> bool) {
        let mut from = EntryNo(0);
        loop {
            let page = self.register.page(from, PAGE);
            let Some(last) = page.last() else { return };
            from = EntryNo(last.no.0.saturating_add(1));
            if !page.iter().all(&mut each) {
                return;
            }
        }
    }

    /// Institutions that stand, with their numbers.
    #[must_use]
    pub fn institutions(&self) -> Vec<(u32, Institution)> {
        let mut found = Vec::new();
        self.each(|entry| {
            if let Record::Institution(institution) = &entry.content
                && !institution.deleted
            {
                found.push((entry.no.0, (**institution).clone()));
            }
            true
        });
        found
    }

    /// An institution by number.
    #[must_use]
    pub fn institution(&self, number: u32) -> Option<Institution> {
        let entry = self.register.page(EntryNo(number), 1).into_iter().next()?;
        match &entry.content {
            Record::Institution(i) if entry.no.0 == number => Some((**i).clone()),
            _ => None,
        }
    }

    /// The register's settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        match self.register.get(SETTINGS).map(|e| e.content.clone()) {
            Some(Record::Settings(settings)) => *settings,
            _ => Settings::default(),
        }
    }

    /// Events from a number on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Event<PersonnelEvent>>, StoreError> {
        self.register.events(from, limit)
    }

    /// What changed about a person, newest first, since an instant.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn steps(&self, id: EntryId, since: Moment) -> Result<Vec<Step>, StoreError> {
        let versions = self.register.log().versions(id, MAX_VERSIONS)?;
        let persons: Vec<(u32, Moment, Personnel)> = versions
            .into_iter()
            .filter_map(|v| match v.entry.content {
                Record::Person(p) => Some((v.version, p.updated, *p)),
                _ => None,
            })
            .collect();
        let older = persons.iter().skip(1).map(|(_, _, p)| Some(p.clone()));
        let steps = persons.iter().zip(older.chain(std::iter::once(None)));
        Ok(steps
            .filter(|((_, at, _), _)| *at >= since)
            .map(|((version, at, after), before)| Step {
                version: *version,
                at: *at,
                before,
                after: after.clone(),
            })
            .collect())
    }

    /// Writes what `decide` wants, decided on the register as it is ([`MemoryRegister::change_with`]).
    fn write(
        &self,
        mut decide: impl FnMut() -> Result<Vec<(EntryId, Record)>, WriteError>,
    ) -> Result<(), WriteError> {
        self.register.change_with(&mut decide)?;
        Ok(())
    }

    fn written(&self, id: EntryId) -> Result<Held, WriteError> {
        self.register.get(id).ok_or(WriteError::NotFound)
    }

    /// Changes a person in one step and keeps who did it and when. `edit` is asked again when another process wrote
    /// meanwhile.
    ///
    /// # Errors
    /// What `edit` says, or a conflict.
    pub fn edit<T>(
        &self,
        id: EntryId,
        stamp: (Moment, &str),
        mut edit: impl FnMut(&mut Personnel) -> Result<T, WriteError>,
    ) -> Result<(Held, T), WriteError> {
        let mut done = None;
        self.write(|| {
            let entry = self.written(id)?;
            let mut person = person(&entry).ok_or(WriteError::NotFound)?.clone();
            if person.rest.deleted || person.rest.replaced_by.is_some() {
                return Err(WriteError::NotFound);
            }
            let before = person.clone();
            done = Some(edit(&mut person)?);
            if person.last_part >= PartNo::try_from(PARTS).unwrap_or(PartNo::MAX) {
                return Err(WriteError::Invalid("the person has too many parts"));
            }
            if person == before {
                return Ok(Vec::new());
            }
            person.updated = stamp.0.max(before.updated);
            person.by = stamp.1.to_owned();
            Ok(vec![(id, Record::Person(Box::new(person)))])
        })?;
        Ok((self.written(id)?, done.ok_or(WriteError::NotFound)?))
    }

    /// A new person. Without a number the next free one is given.
    ///
    /// # Errors
    /// When the number or the national id is taken.
    pub fn create(&self, mut person: Personnel) -> Result<Held, WriteError> {
        let given = person.hpr;
        let mut id = Personnel::id_of(given);
        self.write(|| {
            let before = self.settings();
            let mut settings = before.clone();
            person.hpr = match given {
                0 => self.free_number(&mut settings),
                given => given,
            };
            id = Personnel::id_of(person.hpr);
            if self.register.get(id).is_some() {
                return Err(WriteError::Taken);
            }
            settings.reserved.retain(|number| *number != person.hpr);
            let mut changes = vec![(id, Record::Person(Box::new(person.clone())))];
            if settings != before {
                changes.push((SETTINGS, Record::Settings(Box::new(settings))));
            }
            Ok(changes)
        })?;
        self.written(id)
    }

    fn free_number(&self, settings: &mut Settings) -> u32 {
        let mut number = settings.highest.max(FIRST_NUMBER - 1);
        loop {
            number = number.saturating_add(1);
            if self.register.get(Personnel::id_of(number)).is_none()
                && self.register.find(Packed(number.into())).is_none()
                && !settings.reserved.contains(&number)
            {
                settings.highest = number;
                return number;
            }
        }
    }

    /// Sets numbers aside.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn reserve(&self, count: usize) -> Result<Vec<u32>, WriteError> {
        let mut numbers = Vec::new();
        self.set(|register, settings| {
            numbers = (0..count).map(|_| register.free_number(settings)).collect();
            settings.reserved.extend(&numbers);
        })?;
        Ok(numbers)
    }

    /// Changes the settings in one step.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn set(&self, mut edit: impl FnMut(&Self, &mut Settings)) -> Result<(), WriteError> {
        self.write(|| {
            let mut settings = self.settings();
            edit(self, &mut settings);
            Ok(vec![(SETTINGS, Record::Settings(Box::new(settings)))])
        })
    }

    /// A new institution; its number.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn create_institution(&self, institution: Institution) -> Result<u32, WriteError> {
        let id = EntryId::random();
        let record = Record::Institution(Box::new(institution));
        self.write(|| Ok(vec![(id, record.clone())]))?;
        Ok(self.written(id)?.no.0)
    }

    /// Changes an institution in one step; what it is then.
    ///
    /// # Errors
    /// When there is none of that number.
    pub fn edit_institution(
        &self,
        number: u32,
        mut edit: impl FnMut(&mut Institution),
    ) -> Result<Institution, WriteError> {
        let mut made = None;
        self.write(|| {
            let entry = self.register.page(EntryNo(number), 1).into_iter().next();
            let entry = entry
                .filter(|e| e.no.0 == number)
                .ok_or(WriteError::NotFound)?;
            let mut institution = match &entry.content {
                Record::Institution(i) if !i.deleted => Institution::clone(i),
                _ => return Err(WriteError::NotFound),
            };
            edit(&mut institution);
            made = Some(institution.clone());
            Ok(vec![(entry.id, Record::Institution(Box::new(institution)))])
        })?;
        made.ok_or(WriteError::NotFound)
    }

    /// `gone` was found to be the same person as `stays`: the number of `gone` leads to `stays` from now on, which takes
    /// over what only `gone` had.
    ///
    /// # Errors
    /// When one of them is not there, or they are one.
    pub fn merge(&self, stays: u32, gone: u32, stamp: (Moment, &str)) -> Result<Held, WriteError> {
        if stays == gone {
            return Err(WriteError::Invalid("a number cannot be merged with itself"));
        }
        let (to, from) = (Personnel::id_of(stays), Personnel::id_of(gone));
        let read = |id| {
            let entry = self.written(id)?;
            match person(&entry) {
                Some(p) if !p.rest.deleted && p.rest.replaced_by.is_none() => Ok(p.clone()),
                _ => Err(WriteError::NotFound),
            }
        };
        self.write(|| {
            let (survivor, merged) = merged(read(to)?, read(from)?, stays, stamp);
            Ok(vec![
                (from, Record::Person(Box::new(merged))),
                (to, Record::Person(Box::new(survivor))),
            ])
        })?;
        self.written(to)
    }
}

/// The survivor with what only the other had, and the other with its way to the survivor.
fn merged(
    mut survivor: Personnel,
    mut merged: Personnel,
    stays: u32,
    stamp: (Moment, &str),
) -> (Personnel, Personnel) {
    for approval in &merged.approvals {
        let same = |a: &super::Approval| {
            a.profession == approval.profession
                && a.authorisation == approval.authorisation
                && a.valid == approval.valid
        };
        if !survivor.approvals.iter().any(same) {
            let mut taken = approval.clone();
            renumber(&mut survivor, &mut taken);
            survivor.approvals.push(taken);
        }
    }
    let earlier = &mut survivor.rest.earlier_nins;
    earlier.extend(merged.nin.filter(|nin| survivor.nin != Some(*nin)));
    earlier.extend(&merged.rest.earlier_nins);
    if survivor.nin.is_none() {
        survivor.nin = merged.nin;
        survivor
            .rest
            .earlier_nins
            .retain(|n| Some(*n) != merged.nin);
    }
    merged.rest.replaced_by = Some(stays);
    for p in [&mut survivor, &mut merged] {
        p.updated = stamp.0.max(p.updated);
        p.by = stamp.1.to_owned();
    }
    (survivor, merged)
}

fn renumber(survivor: &mut Personnel, taken: &mut super::Approval) {
    taken.no = survivor.next_part();
    for requisition in &mut taken.requisitions {
        requisition.no = survivor.next_part();
        for s in &mut requisition.suspensions {
            s.no = survivor.next_part();
        }
    }
    for speciality in &mut taken.specialities {
        speciality.no = survivor.next_part();
        for s in &mut speciality.suspensions {
            s.no = survivor.next_part();
        }
    }
    for competence in &mut taken.seldom.competences {
        competence.no = survivor.next_part();
    }
    for s in &mut taken.seldom.suspensions {
        s.no = survivor.next_part();
    }
    for condition in &mut taken.seldom.conditions {
        condition.no = survivor.next_part();
    }
    for reaction in &mut taken.seldom.reactions {
        reaction.no = survivor.next_part();
    }
    // They name educations of the other entry.
    taken.seldom.educations.clear();
}

/// The person of an entry.
#[must_use]
pub fn person(entry: &Held) -> Option<&Personnel> {
    match &entry.content {
        Record::Person(person) => Some(person),
        _ => None,
    }
}

fn standing(entry: Held) -> Option<Held> {
    person(&entry)
        .is_some_and(|p| !p.rest.deleted)
        .then_some(entry)
}
