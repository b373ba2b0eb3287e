//! Who is born when, and the identity number that follows: unique over the whole nation without a table.
//!
//! The persons of one five-year group and sex are numbered through all cells; a keyed permutation turns that number into
//! a (birth date, serial) pair, and the serial into an individual number of that date, counted down as the story's rule says.

use std::collections::{HashMap, HashSet};

use codes::ident::{MonthOffset, Nin, NinBuilder, Sex};
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::plan::{Demography, GROUPS};
use crate::NationError;
use crate::rng::{Kind, Permutation, Stream};

/// Birth dates of one five-year group and sex.
struct Group {
    permutation: Permutation,
    /// Date ranges with the number of slots in them: most of the oldest group is 95 to 99.
    spans: [Span; 2],
}

#[derive(Clone, Copy, Default)]
struct Span {
    slots: u64,
    first: Date,
    days: u64,
}

/// Birth dates and numbers of the background.
pub(crate) struct Births {
    groups: Vec<[Group; 2]>,
    /// Fixed numbers per date, so that the rest keeps away from them.
    fixed: HashMap<Date, HashSet<Nin>>,
}

/// A place in the birth order: who has it can have this date and these numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) born: Date,
    pub(crate) serial: usize,
    pub(crate) sex: Sex,
}

/// Oldest age in the nation, completed years.
const OLDEST: i32 = 107;

impl Births {
    pub(crate) fn new(
        seed: u64,
        anchor: Date,
        demography: &Demography,
        used: &HashSet<Nin>,
    ) -> Result<Self, NationError> {
        let mut groups = Vec::new();
        for group in 0..GROUPS {
            let mut pair = Vec::new();
            for sex in [Sex::Female, Sex::Male] {
                let n = demography.total(group, sex);
                let key = Stream::new(
                    seed,
                    Kind::Births,
                    (group * 2 + usize::from(sex == Sex::Male)) as u64,
                )
                .next();
                pair.push(Group {
                    permutation: Permutation::new(key, n),
                    spans: spans(anchor, group, n)?,
                });
            }
            let pair: [Group; 2] = pair.try_into().map_err(|_| NationError::Anchor)?;
            groups.push(pair);
        }
        let mut fixed: HashMap<Date, HashSet<Nin>> = HashMap::new();
        for nin in used {
            if let Some(born) = nin.birth_date() {
                fixed.entry(born).or_default().insert(*nin);
            }
        }
        Ok(Self { groups, fixed })
    }

    /// Slot of person number `index` of a group and sex.
    pub(crate) fn slot(&self, group: usize, sex: Sex, index: u64) -> Option<Slot> {
        let group = self.groups.get(group)?.get(usize::from(sex == Sex::Male))?;
        let mut at = group.permutation.at(index);
        for span in group.spans {
            if at < span.slots {
                let (row, column) = (at / span.days.max(1), at % span.days.max(1));
                // a row that does not fill the span is spread over all of it, so that a small nation has birthdays all year
                let in_row = (span.slots - row * span.days).min(span.days).max(1);
                let days = i64::try_from(column * span.days / in_row).ok()?;
                return Some(Slot {
                    born: span.first.checked_add(days.days()).ok()?,
                    serial: usize::try_from(row).ok()?,
                    sex,
                });
            }
            at -= span.slots;
        }
        None
    }

    /// The number of a slot.
    pub(crate) fn number(&self, slot: Slot, dnr: bool) -> Option<Nin> {
        let builder = NinBuilder {
            born: slot.born,
            sex: slot.sex,
            offset: MonthOffset::Plus80,
            dnr,
        };
        match self.fixed.get(&slot.born) {
            None => builder.nth(slot.serial),
            Some(taken) => builder
                .numbers()
                .filter(|nin| !taken.contains(nin))
                .nth(slot.serial),
        }
    }
}

fn spans(anchor: Date, group: usize, slots: u64) -> Result<[Span; 2], NationError> {
    let youngest = i32::try_from(group * 5).map_err(|_| NationError::Anchor)?;
    let main = span(anchor, youngest, youngest + 4)?;
    if group + 1 < GROUPS {
        return Ok([Span { slots, ..main }, Span::default()]);
    }
    let old = slots / 7;
    let tail = span(anchor, youngest + 5, OLDEST)?;
    Ok([
        Span {
            slots: slots - old,
            ..main
        },
        Span { slots: old, ..tail },
    ])
}

/// Birth dates of those who have completed `from..=to` years on the anchor.
fn span(anchor: Date, from: i32, to: i32) -> Result<Span, NationError> {
    let last = anchor
        .checked_sub(from.years())
        .map_err(|_| NationError::Anchor)?;
    // One day in: nobody's birthday is the anchor of the older year, whatever the leap years do.
    let first = anchor
        .checked_sub((to + 1).years())
        .and_then(|d| d.checked_add(2.days()))
        .map_err(|_| NationError::Anchor)?;
    let days = (last - first).get_days();
    Ok(Span {
        slots: 0,
        first,
        days: u64::try_from(days).map_err(|_| NationError::Anchor)? + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_a_group_are_unique_and_in_range() {
        let anchor = jiff::civil::date(2028, 2, 29);
        let demography = Demography::new(20_000);
        let births = Births::new(3, anchor, &demography, &HashSet::new()).unwrap();
        for group in 0..GROUPS {
            let mut seen = HashSet::new();
            for sex in [Sex::Female, Sex::Male] {
                for i in 0..demography.total(group, sex) {
                    let slot = births.slot(group, sex, i).unwrap();
                    assert!(seen.insert((slot.born, slot.serial, slot.sex == Sex::Male)));
                    let age = usize::try_from(crate::model::age(slot.born, anchor)).unwrap();
                    assert_eq!((age / 5).min(GROUPS - 1), group, "{}", slot.born);
                    assert!(age <= 107);
                    assert_eq!(
                        births.number(slot, false).unwrap().birth_date(),
                        Some(slot.born)
                    );
                }
            }
        }
    }

    #[test]
    fn five_and_a_half_million_fit_into_the_series() {
        let demography = Demography::new(5_550_000);
        for group in 0..GROUPS {
            for sex in [Sex::Female, Sex::Male] {
                let a_day = demography.total(group, sex) / (365 * 5) + 1;
                assert!(a_day < 190, "group {group}: {a_day} births a day");
            }
        }
    }
}
