//! The register: look-ups and writes over the kernel's register in memory.

use super::business::Business;
use super::hours::OpeningHours;
use crate::directory::{Organisation, Unit};
use crate::kernel::EntryId;
use crate::kernel::change::{ChangeError, Outcome};
use crate::kernel::identifiers::Packed;
use crate::kernel::indexed::{self, IndexedRegister};
use crate::kernel::log::Entry;
use crate::kernel::memory::MemoryRegister;
use crate::kernel::period::Moment;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use store::{Granted, Store, StoreError};

/// Entries written at a time.
const PAGE: usize = 1_000;

/// An organisation as it is held.
pub type Held = Arc<Entry<Business>>;

#[derive(Default)]
struct Index {
    /// Main units: number → name.
    mains: BTreeMap<String, String>,
    units: HashMap<String, BTreeSet<String>>,
    parent_of: HashMap<String, Option<String>>,
}

impl indexed::Index<Business> for Index {
    fn put(&mut self, entry: &Entry<Business>) {
        let business = &entry.content;
        let orgnr = &business.orgnr;
        if let Some(Some(old)) = self
            .parent_of
            .insert(orgnr.clone(), business.parent.clone())
            && let Some(units) = self.units.get_mut(&old)
        {
            units.remove(orgnr);
        }
        match &business.parent {
            Some(parent) => {
                self.mains.remove(orgnr);
                self.units
                    .entry(parent.clone())
                    .or_default()
                    .insert(orgnr.clone());
            }
            None => {
                self.mains.insert(orgnr.clone(), business.name.clone());
            }
        }
    }
}

/// The organisations of one process.
pub struct Businesses {
    register: IndexedRegister<Business, Index>,
}

impl Businesses {
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
            register: IndexedRegister::open_in(store, grant, folder)?,
        })
    }

    /// Takes over what was written since the last call, by any process.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(&self) -> Result<(), StoreError> {
        self.register.follow()
    }

    /// The register under it.
    #[must_use]
    pub fn register(&self) -> &MemoryRegister<Business> {
        &self.register
    }

    /// Number of main units.
    #[must_use]
    pub fn mains(&self) -> usize {
        self.register.index().mains.len()
    }

    /// Number of organisations and units.
    #[must_use]
    pub fn len(&self) -> usize {
        self.register.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.register.is_empty()
    }

    /// A main or sub unit by number; a negative number is that of a unit struck off.
    #[must_use]
    pub fn get(&self, orgnr: &str) -> Option<Held> {
        let digits = orgnr.strip_prefix('-').unwrap_or(orgnr);
        self.register.find(Packed::digits(digits)?)
    }

    /// Sub units of a main unit, in the order in which they came into the register.
    #[must_use]
    pub fn units(&self, orgnr: &str) -> Vec<Held> {
        let numbers = self.register.index().units.get(orgnr).cloned();
        let numbers = numbers.unwrap_or_default();
        let mut units: Vec<Held> = numbers.iter().filter_map(|n| self.get(n)).collect();
        units.sort_by_key(|unit| unit.no);
        units
    }

    /// Opening hours in force: the unit's own or those of the main unit.
    #[must_use]
    pub fn hours(&self, business: &Business) -> Option<OpeningHours> {
        business.hours.clone().or_else(|| {
            let parent = self.get(business.parent.as_deref()?)?;
            parent.content.hours.clone()
        })
    }

    /// Whether `child` is a unit of `parent` today (for tokens that name both).
    #[must_use]
    pub fn belongs(&self, child: &str, parent: &str, now: Moment) -> bool {
        self.get(child).is_some_and(|c| {
            c.content.parent.as_deref() == Some(parent) && c.content.valid.contains(now)
        })
    }

    /// Writes organisations; one with a known number is replaced. What is the same leaves no trace.
    ///
    /// # Errors
    /// The register's.
    pub fn put(&self, mut all: Vec<Business>) -> Result<Vec<Outcome>, ChangeError> {
        // Of several with one number the last counts.
        let mut seen = BTreeSet::new();
        all.reverse();
        all.retain(|b| seen.insert(b.orgnr.clone()));
        all.reverse();
        let mut outcomes = Vec::with_capacity(all.len());
        for chunk in all.chunks(PAGE) {
            let written = self.register.change_with(|| {
                let known = |orgnr: &str| self.get(orgnr).map(|entry| entry.id);
                let changes = chunk.iter().map(|business| {
                    let id = known(&business.orgnr).unwrap_or_else(EntryId::random);
                    (id, business.clone())
                });
                Ok::<_, ChangeError>(changes.collect())
            })?;
            outcomes.extend(written);
        }
        Ok(outcomes)
    }

    /// An organisation with its units, by main- or sub-unit number, as services ask for it.
    #[must_use]
    pub fn organisation(&self, orgnr: &str) -> Option<Organisation> {
        let found = self.get(orgnr)?;
        let main = match &found.content.parent {
            Some(parent) => self.get(parent)?,
            None => found,
        };
        Some(self.with_units(&main.content))
    }

    fn with_units(&self, main: &Business) -> Organisation {
        Organisation {
            orgnr: main.orgnr.clone(),
            name: main.name.clone(),
            kinds: main.kinds.clone(),
            type_code: main.type_code.clone().unwrap_or_default(),
            her_id: main.her_id.unwrap_or_default(),
            units: self
                .units(&main.orgnr)
                .iter()
                .map(|unit| Unit {
                    orgnr: unit.content.orgnr.clone(),
                    name: unit.content.name.clone(),
                    type_code: unit.content.type_code.clone(),
                })
                .collect(),
            approved: main.approved,
            story: main.story.clone(),
        }
    }

    /// Main units by name, at most `limit`.
    #[must_use]
    pub fn organisations(&self, limit: usize) -> Vec<Organisation> {
        let mut mains: Vec<(String, String)> = {
            let index = self.register.index();
            let mains = index.mains.iter();
            mains.map(|(o, n)| (n.clone(), o.clone())).collect()
        };
        mains.sort();
        mains
            .into_iter()
            .take(limit)
            .filter_map(|(_, orgnr)| self.get(&orgnr))
            .map(|main| self.with_units(&main.content))
            .collect()
    }
}

/// The units of an organisation that was given as one value, main unit first.
#[must_use]
pub fn as_businesses(organisation: &Organisation, at: Moment) -> Vec<Business> {
    let main = Business {
        kinds: organisation.kinds.clone(),
        type_code: Some(organisation.type_code.clone()).filter(|t| !t.is_empty()),
        her_id: Some(organisation.her_id).filter(|h| *h > 0),
        approved: organisation.approved,
        story: organisation.story.clone(),
        ..Business::new(&organisation.orgnr, &organisation.name, at)
    };
    let units = organisation.units.iter().map(|unit| Business {
        parent: Some(organisation.orgnr.clone()),
        type_code: unit.type_code.clone(),
        ..Business::new(&unit.orgnr, &unit.name, at)
    });
    std::iter::once(main).chain(units).collect()
}
