//! From items to the person register: whole persons at once into an empty register or one by one, events in their order,
//! exactly once.
//!
//! The number of the last event stands in the same commit as what the event changed, so an import that is broken off goes on
//! where it was; events that were followed before are passed over, and a missing number stops the import before anything
//! after it is used.

use super::event::{Event, Kind};
use super::person;
use super::source::{Item, SourceError};
use crate::kernel::change::{ChangeError, MAX_CHANGES, Outcome};
use crate::kernel::identifiers::Packed;
use crate::kernel::log::Upstream;
use crate::kernel::period::Moment;
use crate::kernel::timeline::Origin;
use crate::kernel::{EntryId, EntryNo};
use crate::persons::codes::PersonStatus;
use crate::persons::{PersonDocument, PersonRegister, life};
use jiff::civil::Date;
use std::collections::{HashMap, HashSet};
use store::StoreError;

/// Name of the feed whose position is kept.
pub const FEED: &str = "folkeregisteret";
/// Items in one commit. A merge changes two persons.
const BATCH: usize = MAX_CHANGES / 2;
/// Items that [`Importer::take_all`] takes.
pub const TOGETHER: usize = BATCH;
/// Source of a death that a notice told of.
const NOTICE: &str = "MELDING_OM_DOEDSFALL";

/// What came of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// New persons.
    pub created: u64,
    /// Persons that changed.
    pub changed: u64,
    /// Persons that were like this already.
    pub unchanged: u64,
    /// Events that were followed.
    pub events: u64,
    /// Events that had been followed before.
    pub duplicates: u64,
    /// Number of the last event that was followed.
    pub last_event: u64,
}

/// Why an import stopped. What came before it stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// An item cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Events are missing.
    #[error(
        "item {place}: event {expected} is missing, {found} comes next; fetch the feed from {expected} on"
    )]
    Gap {
        /// Which item, from 1.
        place: u64,
        /// The event that must come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// An event or a notice about somebody that the register does not know.
    #[error("item {place}: the person is not in the register")]
    Nobody {
        /// Which item, from 1.
        place: u64,
    },
    /// Two persons of a file that fills an empty register have the same number in use.
    #[error("item {place}: another person of the file has the same identifier in use")]
    Twice {
        /// Which item, from 1.
        place: u64,
    },
    /// The register refuses one of the items.
    #[error("items {first} to {last}: {error}")]
    Refused {
        /// First item of the batch.
        first: u64,
        /// Last item of the batch.
        last: u64,
        /// Why.
        error: ChangeError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Imports into one register.
pub struct Importer<'r> {
    register: &'r PersonRegister,
    now: Moment,
    report: Report,
    batch: Batch,
    /// Persons of the items that come next, read all at once.
    ahead: HashMap<EntryId, PersonDocument>,
}

/// What is decided and not yet written.
#[derive(Default)]
struct Batch {
    persons: Vec<(EntryId, PersonDocument)>,
    at: HashMap<EntryId, usize>,
    numbers: HashMap<Packed, EntryId>,
    items: u64,
    first: u64,
    last: u64,
    /// The last event of the batch.
    event: Option<u64>,
}

impl<'r> Importer<'r> {
    /// An importer. `now` decides what is current.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(register: &'r PersonRegister, now: Moment) -> Result<Self, StoreError> {
        let last_event = register.log().upstream(FEED)?;
        Ok(Self {
            register,
            now,
            report: Report {
                last_event,
                ..Report::default()
            },
            batch: Batch::default(),
            ahead: HashMap::new(),
        })
    }

    /// What came of it so far.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report
    }

    /// The register is empty: takes in the persons at the beginning of the items at once, all or none of them. Returns the
    /// first item that is no person.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing is in the register then.
    pub fn load(
        &mut self,
        items: &mut impl Iterator<Item = Result<(u64, Item), SourceError>>,
        mut told: impl FnMut(u32),
    ) -> Result<Option<(u64, Item)>, ImportError> {
        let (mut stopped, mut next) = (None, None);
        let mut in_use: HashSet<Packed> = HashSet::new();
        let persons = std::iter::from_fn(|| match items.next()? {
            Err(error) => {
                stopped = Some(ImportError::from(error));
                Some(Err(StoreError::Invalid("stopped".to_owned())))
            }
            Ok((place, Item::Person(person))) => {
                let numbers = person.identifiers.all().filter(|h| !h.annulled);
                for held in numbers.filter(|h| h.value.in_use) {
                    if !in_use.insert(held.value.number) {
                        stopped = Some(ImportError::Twice { place });
                        return Some(Err(StoreError::Invalid("stopped".to_owned())));
                    }
                }
                Some(Ok((EntryId::random(), *person)))
            }
            Ok(other) => {
                next = Some(other);
                None
            }
        });
        let loaded = self.register.load_checked(persons, self.now, &mut told);
        match (loaded, stopped) {
            (_, Some(error)) => Err(error),
            (Err(error), None) => Err(error.into()),
            (Ok(count), None) => {
                self.report.created += u64::from(count);
                Ok(next)
            }
        }
    }

    /// Takes items that come one after the other, at most [`TOGETHER`]: the persons they are about are read at once.
    ///
    /// # Errors
    /// As [`Importer::take`], at the first item that is wrong.
    pub fn take_all(&mut self, items: Vec<(u64, Item)>) -> Result<(), ImportError> {
        self.look_ahead(&items)?;
        let taken = items
            .into_iter()
            .try_for_each(|(place, item)| self.take(place, item));
        // Somebody else may change them from now on.
        self.ahead.clear();
        taken
    }

    fn look_ahead(&mut self, items: &[(u64, Item)]) -> Result<(), ImportError> {
        let mut ids = HashSet::new();
        for (_, item) in items.iter().take(TOGETHER) {
            let number = match item {
                Item::Person(person) => life::leading(person),
                Item::Event(_, event) => Some(event.person),
                Item::Death(number, _) => Some(*number),
                Item::Birth(_) => None,
            };
            let Some(number) = number else { continue };
            if let Some(no) = self.register.find(number).map_err(unreadable)? {
                let id = self.register.with(no, |row| row.id()).map_err(unreadable)?;
                ids.extend(id.flatten().filter(|id| !self.batch.at.contains_key(id)));
            }
        }
        let ids: Vec<EntryId> = ids.into_iter().collect();
        let entries = self.register.log().entries(&ids)?.into_iter();
        self.ahead = entries.map(|entry| (entry.id, entry.content)).collect();
        Ok(())
    }

    /// Takes one item. It is written with those around it; [`Importer::finish`] writes the rest.
    ///
    /// # Errors
    /// What is wrong; what came before stands or is written first.
    pub fn take(&mut self, place: u64, item: Item) -> Result<(), ImportError> {
        let taken = match item {
            Item::Person(person) => self.person(place, *person),
            Item::Event(number, event) => self.event(place, number, &event),
            Item::Birth(notice) => self.birth(place, &notice),
            Item::Death(number, day) => self.death(place, number, day),
        };
        if let Err(error) = taken {
            // What came before it is not lost with it.
            self.finish()?;
            return Err(error);
        }
        if self.batch.persons.len() >= BATCH || self.batch.items >= MAX_CHANGES as u64 {
            self.finish()?;
        }
        Ok(())
    }

    /// Decides what is current.
    pub(super) fn now(&self) -> Moment {
        self.now
    }

    pub(super) fn put(&mut self, id: EntryId, document: PersonDocument) {
        self.batch.put(id, document);
    }

    pub(super) fn note(&mut self, place: u64) {
        if self.batch.items == 0 {
            self.batch.first = place;
        }
        self.batch.items += 1;
        self.batch.last = place;
    }

    fn person(&mut self, place: u64, person: PersonDocument) -> Result<(), ImportError> {
        let numbers: Vec<Packed> = person.identifiers.all().map(|h| h.value.number).collect();
        let mut known = None;
        for number in numbers {
            known = self.find(number)?;
            if known.is_some() {
                break;
            }
        }
        if known.is_none()
            && let Some(number) = life::leading(&person)
        {
            known = self.named(number, &person, self.now)?;
        }
        match known {
            Some(at) => {
                let old = self.document(at)?;
                *old = person::replacing(old, person);
            }
            None => self.put(EntryId::random(), person),
        }
        self.note(place);
        Ok(())
    }

    fn event(&mut self, place: u64, number: u64, event: &Event) -> Result<(), ImportError> {
        let last = self.batch.event.unwrap_or(self.report.last_event);
        if number <= last {
            self.report.duplicates += 1;
            return Ok(());
        }
        // A register that followed no event yet begins with whichever comes first: the persons were fetched until there.
        if last > 0 && number != last + 1 {
            return Err(ImportError::Gap {
                place,
                expected: last + 1,
                found: number,
            });
        }
        let merges = matches!(
            event.kind,
            Kind::Continued | Kind::Duplicate | Kind::Restored
        );
        if merges {
            // These ask who holds a number by itself, which the register answers for what is written.
            self.finish()?;
        }
        match event.kind {
            Kind::Continued => self.merge(place, event)?,
            Kind::Duplicate | Kind::Restored => self.once_merged(place, event)?,
            Kind::Created | Kind::Other => {
                let at = match (self.find(event.person)?, event.kind) {
                    (Some(at), _) => at,
                    (None, Kind::Created) => self.created(event)?,
                    (None, _) => return Err(ImportError::Nobody { place }),
                };
                self.apply(at, event)?;
            }
        }
        self.batch.event = Some(number);
        self.report.events += 1;
        self.note(place);
        Ok(())
    }

    /// Somebody new: a child that a notice of birth told of, or an entry of its own.
    fn created(&mut self, event: &Event) -> Result<usize, ImportError> {
        let mut said = PersonDocument::default();
        event.apply(&mut said);
        if let Some(child) = self.named(event.person, &said, event.at)? {
            return Ok(child);
        }
        self.put(EntryId::random(), PersonDocument::default());
        Ok(self.batch.persons.len() - 1)
    }

    fn apply(&mut self, at: usize, event: &Event) -> Result<(), ImportError> {
        let document = self.document(at)?;
        event.apply(document);
        let numbers: Vec<Packed> = document.identifiers.all().map(|h| h.value.number).collect();
        if let Some((id, _)) = self.batch.persons.get(at) {
            let id = *id;
            self.batch
                .numbers
                .extend(numbers.into_iter().map(|n| (n, id)));
        }
        Ok(())
    }

    /// The person stays; whoever else holds a number that the event calls discontinued was the same.
    fn merge(&mut self, place: u64, event: &Event) -> Result<(), ImportError> {
        let stays = self
            .find(event.person)?
            .ok_or(ImportError::Nobody { place })?;
        for number in event.discontinued() {
            let Some(gone) = self.find(number)?.filter(|gone| *gone != stays) else {
                continue;
            };
            let pair = self.batch.persons.get(gone).cloned();
            let pair = pair.zip(self.batch.persons.get(stays).cloned());
            if let Some(((gone_id, mut gone_document), (stays_id, mut stays_document))) = pair {
                life::merge(
                    (gone_id, &mut gone_document),
                    (stays_id, &mut stays_document),
                    event.at,
                );
                *self.document(gone)? = gone_document;
                *self.document(stays)? = stays_document;
            }
        }
        self.apply(stays, event)
    }

    /// About a person that another one stands for: the entry that held the number before the merge.
    fn once_merged(&mut self, place: u64, event: &Event) -> Result<(), ImportError> {
        let holders = self.register.holders(event.person).map_err(unreadable)?;
        let merged = holders.iter().find(|(_, into)| into.is_some());
        let (no, into) = match merged.or(holders.first()) {
            Some((no, into)) => (*no, *into),
            None => return Err(ImportError::Nobody { place }),
        };
        let gone = self.read(no)?;
        if event.kind == Kind::Restored
            && let Some(stays) = into
            && let Some(stays_no) = self.register.number(stays).map_err(unreadable)?
        {
            let stays = self.read(stays_no)?;
            let pair = self.batch.persons.get(gone).cloned();
            let pair = pair.zip(self.batch.persons.get(stays).cloned());
            if let Some(((gone_id, mut gone_document), (stays_id, mut stays_document))) = pair {
                life::split(
                    (gone_id, &mut gone_document),
                    (stays_id, &mut stays_document),
                    event.at,
                );
                *self.document(gone)? = gone_document;
                *self.document(stays)? = stays_document;
            }
        }
        event.apply(self.document(gone)?);
        Ok(())
    }

    fn death(&mut self, place: u64, number: Packed, day: Date) -> Result<(), ImportError> {
        let at = self.find(number)?.ok_or(ImportError::Nobody { place })?;
        let (from, registered) = (Moment::of_day(day), self.now);
        let origin = || Origin {
            source: Some(NOTICE.to_owned()),
            ..Origin::at(registered)
        };
        let document = self.document(at)?;
        let _ = document.death.set(day, from, origin());
        let _ = document.status.set(PersonStatus::Deceased, from, origin());
        self.note(place);
        Ok(())
    }

    /// The person that a number leads to, brought into the batch.
    pub(super) fn find(&mut self, number: Packed) -> Result<Option<usize>, ImportError> {
        if let Some(at) = self
            .batch
            .numbers
            .get(&number)
            .and_then(|id| self.batch.at.get(id))
        {
            return Ok(Some(*at));
        }
        match self.register.find(number).map_err(unreadable)? {
            Some(no) => self.read(no).map(Some),
            None => Ok(None),
        }
    }

    fn read(&mut self, no: EntryNo) -> Result<usize, ImportError> {
        let id = self.register.with(no, |row| row.id()).map_err(unreadable)?;
        let gone = || StoreError::Corrupt("an entry of the person register has no id".to_owned());
        let id = id.flatten().ok_or_else(gone)?;
        if let Some(at) = self.batch.at.get(&id) {
            return Ok(*at);
        }
        // Once only: what was read ahead is old as soon as a batch with it is written.
        let content = match self.ahead.remove(&id) {
            Some(content) => content,
            None => self.register.log().entry(id)?.ok_or_else(gone)?.content,
        };
        self.batch.put(id, content);
        Ok(self.batch.persons.len() - 1)
    }

    pub(super) fn document(&mut self, at: usize) -> Result<&mut PersonDocument, ImportError> {
        let found = self.batch.persons.get_mut(at);
        found.map(|(_, document)| document).ok_or_else(|| {
            StoreError::Invalid("an import lost a person of its own batch".to_owned()).into()
        })
    }

    /// Writes what is waiting.
    ///
    /// # Errors
    /// When the register refuses it.
    pub fn finish(&mut self) -> Result<(), ImportError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.items == 0 {
            return Ok(());
        }
        let upstream = batch.event.map(|to| Upstream {
            feed: FEED.to_owned(),
            at: self.report.last_event,
            to,
        });
        let written = self
            .register
            .change_from(upstream.as_ref(), batch.persons, self.now);
        let outcomes = written.map_err(|error| ImportError::Refused {
            first: batch.first,
            last: batch.last,
            error,
        })?;
        if let Some(to) = batch.event {
            self.report.last_event = to;
        }
        for outcome in outcomes {
            match outcome {
                Outcome::Created(_) => self.report.created += 1,
                Outcome::Changed(_) => self.report.changed += 1,
                Outcome::Same => self.report.unchanged += 1,
            }
        }
        Ok(())
    }
}

impl Batch {
    fn put(&mut self, id: EntryId, document: PersonDocument) {
        for held in document.identifiers.all() {
            self.numbers.insert(held.value.number, id);
        }
        self.at.insert(id, self.persons.len());
        self.persons.push((id, document));
    }
}

fn unreadable(error: crate::persons::file::FileError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
