//! Newborn children in an import: first under a help number, by a notice of birth; then, when the population register has
//! given a number, the same entry under it.

use super::birth::{BirthNotice, Sought, confirm, renumber};
use super::import::{ImportError, Importer};
use crate::kernel::EntryId;
use crate::kernel::identifiers::Packed;
use crate::kernel::period::Moment;
use crate::persons::PersonDocument;
use crate::persons::codes::FamilyRole;
use codes::ident::NinBuilder;
use store::StoreError;

/// How often a help number is drawn.
const DRAWS: usize = 1_000;
/// A child is told of by a notice at most so long before the population register names it, ms. Older persons are not
/// looked for among the newborn.
const NEWBORN_MS: i64 = 2 * 366 * 86_400_000;

impl Importer<'_> {
    /// Takes a notice of birth.
    pub(super) fn birth(&mut self, place: u64, notice: &BirthNotice) -> Result<(), ImportError> {
        let mother = self
            .find(notice.mother)?
            .ok_or(ImportError::Nobody { place })?;
        if !notice.alive {
            for (parent, mine) in notice.parents() {
                if let Some(at) = self.find(parent)? {
                    notice.enter_stillborn(self.document(at)?, mine);
                }
            }
            self.note(place);
            return Ok(());
        }
        match self.newborn(mother, &Sought::told(notice))? {
            Some(at) => notice.correct(self.document(at)?),
            None => {
                let help_number = self.help_number()?;
                for (parent, mine) in notice.parents() {
                    if let Some(at) = self.find(parent)? {
                        notice.enter(self.document(at)?, mine, help_number);
                    }
                }
                self.put(EntryId::random(), notice.child(help_number));
            }
        }
        self.note(place);
        Ok(())
    }

    /// The entry of a child that a notice told of, and that the population register now knows by `number`, as `said`.
    /// Its help number ends at `at`.
    pub(super) fn named(
        &mut self,
        number: Packed,
        said: &PersonDocument,
        at: Moment,
    ) -> Result<Option<usize>, ImportError> {
        let Some(sought) = Sought::of(said) else {
            return Ok(None);
        };
        if Moment::of_day(sought.day).0 < self.now().0.saturating_sub(NEWBORN_MS) {
            return Ok(None);
        }
        let Some(mother) = self.find(sought.mother)? else {
            return Ok(None);
        };
        let Some(child) = self.newborn(mother, &sought)? else {
            return Ok(None);
        };
        let family = self.document(child)?.family.all();
        let parents: Vec<Packed> = family.filter_map(|h| h.value.person).collect();
        let help_numbers = confirm(self.document(child)?, at);
        for parent in parents {
            if let Some(at) = self.find(parent)? {
                renumber(self.document(at)?, &help_numbers, number);
            }
        }
        Ok(Some(child))
    }

    /// The only child of the mother that can be meant.
    fn newborn(&mut self, mother: usize, sought: &Sought) -> Result<Option<usize>, ImportError> {
        let family = self.document(mother)?.family.all();
        let children: Vec<Packed> = family
            .filter(|h| !h.annulled && h.value.role == FamilyRole::Child)
            .filter_map(|h| h.value.person)
            .collect();
        let mut found = Vec::new();
        for number in children {
            if let Some(at) = self.find(number)?
                && sought.is(self.document(at)?)
                && !found.contains(&at)
            {
                found.push(at);
            }
        }
        match *found.as_slice() {
            [only] => Ok(Some(only)),
            _ => Ok(None),
        }
    }

    /// A help number that nobody has (spec/grunndata.md §3.9).
    fn help_number(&mut self) -> Result<Packed, ImportError> {
        for _ in 0..DRAWS {
            let random = u64::try_from(EntryId::random().0 >> 64).unwrap_or(0);
            let drawn = NinBuilder::help_number(800_000_000 + random % 200_000_000);
            let Some(number) = drawn.map(|nin| Packed(nin.packed())) else {
                continue;
            };
            if self.find(number)?.is_none() {
                return Ok(number);
            }
        }
        Err(StoreError::Unavailable("no free help number was drawn".to_owned()).into())
    }
}
