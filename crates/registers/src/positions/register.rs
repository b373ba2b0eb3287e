//! The register of one process.

use super::record::{Approval, Distribution, Employment, Kind, Position, PositionEvent, Record};
use super::rules::{self, Broken};
use crate::kernel::change::ChangeError;
use crate::kernel::events::Event;
use crate::kernel::indexed::{self, IndexedRegister};
use crate::kernel::log::Entry;
use crate::kernel::memory::MemoryRegister;
use crate::kernel::period::Moment;
use crate::personnel::Short;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{Granted, Store, StoreError};

/// Why nothing was written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// What is changed, or what it refers to, is not in the register.
    #[error("not in the register")]
    NotFound,
    /// A rule.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// There are as many as there can be.
    #[error("the register is full")]
    Full,
    /// The store.
    #[error("{0}")]
    Store(String),
}

impl From<ChangeError> for WriteError {
    fn from(error: ChangeError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// Which positions are searched for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Of this employer.
    pub employer: Option<u32>,
    /// In this speciality.
    pub speciality: Option<Short>,
    /// That exist then.
    pub at: Option<Moment>,
}

#[derive(Default)]
struct Index {
    numbers: BTreeMap<Kind, BTreeSet<u32>>,
    /// HPR number → employments.
    people: BTreeMap<u32, BTreeSet<u32>>,
    /// Position → employments.
    held: BTreeMap<u32, BTreeSet<u32>>,
}

impl indexed::Index<Record> for Index {
    /// Employments that move to another position or person stay under the old one too: readers look again.
    fn put(&mut self, entry: &Entry<Record>) {
        let record = &entry.content;
        let numbers = self.numbers.entry(record.kind()).or_default();
        numbers.insert(record.number());
        if let Record::Employment(employment) = record {
            self.people
                .entry(employment.hpr)
                .or_default()
                .insert(employment.id);
            self.held
                .entry(employment.position)
                .or_default()
                .insert(employment.id);
        }
    }
}

/// The training positions of one process.
pub struct Positions {
    register: IndexedRegister<Record, Index>,
}

impl Positions {
    /// Reads the register. Call from a blocking thread.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store, grant: Granted) -> Result<Self, StoreError> {
        Ok(Self {
            register: IndexedRegister::open(store, grant)?,
        })
    }

    /// Takes over what other processes wrote.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<(), StoreError> {
        self.register.follow()
    }

    /// The register under it.
    #[must_use]
    pub fn register(&self) -> &MemoryRegister<Record> {
        &self.register
    }

    /// Events from a number on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events(&self, from: u64, limit: usize) -> Result<Vec<Event<PositionEvent>>, StoreError> {
        self.register.events(from, limit)
    }

    fn entry(&self, kind: Kind, number: u32) -> Option<Arc<Entry<Record>>> {
        self.register.get(Record::id_of(kind, number))
    }

    /// A position.
    #[must_use]
    pub fn position(&self, number: u32) -> Option<Position> {
        match &self.entry(Kind::Position, number)?.content {
            Record::Position(position) => Some(position.clone()),
            _ => None,
        }
    }

    /// An employment.
    #[must_use]
    pub fn employment(&self, number: u32) -> Option<Employment> {
        match &self.entry(Kind::Employment, number)?.content {
            Record::Employment(employment) => Some(employment.clone()),
            _ => None,
        }
    }

    /// An approval.
    #[must_use]
    pub fn approval(&self, number: u32) -> Option<Approval> {
        match &self.entry(Kind::Approval, number)?.content {
            Record::Approval(approval) => Some(approval.clone()),
            _ => None,
        }
    }

    /// A distribution; one that was taken back too.
    #[must_use]
    pub fn distribution(&self, number: u32) -> Option<Distribution> {
        match &self.entry(Kind::Distribution, number)?.content {
            Record::Distribution(distribution) => Some(distribution.clone()),
            _ => None,
        }
    }

    fn numbers(&self, kind: Kind) -> BTreeSet<u32> {
        let index = self.register.index();
        index.numbers.get(&kind).cloned().unwrap_or_default()
    }

    /// Positions that fit, by number: `size` of them after `skip`; and how many there are.
    #[must_use]
    pub fn search(&self, wanted: &Wanted, skip: usize, size: usize) -> (Vec<Position>, usize) {
        let (mut page, mut total) = (Vec::new(), 0);
        for number in self.numbers(Kind::Position) {
            let Some(position) = self.position(number) else {
                continue;
            };
            let fits = wanted.employer.is_none_or(|e| e == position.employer)
                && wanted.speciality.is_none_or(|s| s == position.speciality)
                && wanted.at.is_none_or(|at| position.valid.contains(at));
            if fits {
                if total >= skip && page.len() < size {
                    page.push(position);
                }
                total += 1;
            }
        }
        (page, total)
    }

    /// Employments of somebody, earlier ones included, the latest first.
    #[must_use]
    pub fn of_person(&self, hpr: u32) -> Vec<Employment> {
        let numbers = self.register.index().people.get(&hpr).cloned();
        let mut found = self.employments(numbers.unwrap_or_default());
        found.retain(|e| e.hpr == hpr);
        found.sort_by_key(|e| std::cmp::Reverse((e.valid.from, e.id)));
        found
    }

    /// Employments in a position, earlier ones included, by number.
    #[must_use]
    pub fn in_position(&self, position: u32) -> Vec<Employment> {
        let numbers = self.register.index().held.get(&position).cloned();
        let mut found = self.employments(numbers.unwrap_or_default());
        found.retain(|e| e.position == position);
        found
    }

    fn employments(&self, numbers: BTreeSet<u32>) -> Vec<Employment> {
        numbers
            .into_iter()
            .filter_map(|n| self.employment(n))
            .collect()
    }

    /// Approvals of a unit, or all, by number.
    #[must_use]
    pub fn approvals(&self, unit: Option<u32>) -> Vec<Approval> {
        let all = self.numbers(Kind::Approval).into_iter();
        let all = all.filter_map(|number| self.approval(number));
        all.filter(|a| unit.is_none_or(|unit| a.unit == unit))
            .collect()
    }

    /// What was distributed in a year, by number.
    #[must_use]
    pub fn distributions(&self, year: i16) -> Vec<Distribution> {
        let all = self.numbers(Kind::Distribution).into_iter();
        let all = all.filter_map(|number| self.distribution(number));
        all.filter(|d| d.year == year && !d.deleted).collect()
    }

    /// Writes an entry: a new one when its number is 0, which it is given then. Says the number.
    ///
    /// # Errors
    /// An unknown number or reference, or a rule that is broken.
    pub fn put(&self, record: Record) -> Result<u32, WriteError> {
        let mut given = 0;
        self.register.change_with(|| {
            let mut wanted = record.clone();
            let kind = wanted.kind();
            if wanted.number() == 0 {
                let last = self.numbers(kind).last().copied().unwrap_or(0);
                wanted.set_number(last.checked_add(1).ok_or(WriteError::Full)?);
            } else if self.entry(kind, wanted.number()).is_none() {
                return Err(WriteError::NotFound);
            }
            self.check(&wanted)?;
            given = wanted.number();
            Ok(vec![(Record::id_of(kind, given), wanted)])
        })?;
        Ok(given)
    }

    fn check(&self, record: &Record) -> Result<(), WriteError> {
        match record {
            Record::Position(position) => {
                let approval = match position.approval {
                    None => None,
                    Some(number) => Some(self.approval(number).ok_or(WriteError::NotFound)?),
                };
                rules::check_position(position, approval.as_ref())?;
                for employment in self.in_position(position.id) {
                    rules::check_employment(&employment, position, std::iter::empty())?;
                }
            }
            Record::Employment(employment) => {
                let position = self.position(employment.position);
                let position = position.ok_or(WriteError::NotFound)?;
                let others = self.in_position(position.id);
                rules::check_employment(employment, &position, others.iter())?;
            }
            Record::Approval(approval) => rules::check_approval(approval)?,
            Record::Distribution(distribution) => rules::check_distribution(distribution)?,
        }
        Ok(())
    }
}
