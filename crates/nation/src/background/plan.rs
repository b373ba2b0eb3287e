//! How many there are: ages and sexes, cells, municipalities, in closed form.

use codes::ident::Sex;
use codes::places::{self, Municipality};

/// Five-year age groups; the last one is 95 and older.
pub(crate) const GROUPS: usize = 20;

/// Living persons per thousand in each group.
pub(crate) const WEIGHTS: [u32; GROUPS] = [
    49, 54, 58, 60, 60, 64, 71, 69, 66, 63, 68, 66, 60, 54, 48, 43, 26, 13, 6, 2,
];

/// Recently dead persons per thousand living, on top of them.
const DEAD: [u32; GROUPS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 1, 1];

/// Living persons of a full cell.
pub(crate) const CELL: usize = 1_000;

/// Room for person numbers per cell.
pub(crate) const STRIDE: u32 = 1_600;

/// Person numbers below this are fixed people.
pub(crate) const FIRST_BACKGROUND: u32 = 1_000;

fn men_per_thousand(group: usize) -> u64 {
    match group {
        0..=11 => 513,
        12..=13 => 500,
        14..=15 => 480,
        16..=17 => 420,
        _ => 290,
    }
}

/// Sizes of the cells and their age groups.
#[derive(Clone, Debug)]
pub(crate) struct Demography {
    /// Full cells; there may be one more of another size.
    full: u64,
    /// Living persons per group of the last cell, when it is not a full one.
    last: Option<[u32; GROUPS]>,
}

/// Living and dead persons of one group and sex in one cell, with their place in the nation's numbering.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) first: u64,
    pub(crate) living: u32,
    pub(crate) dead: u32,
}

impl Demography {
    /// Divides this many background persons into cells.
    pub(crate) fn new(population: usize) -> Self {
        let (mut full, rest) = (population / CELL, population % CELL);
        if rest == 0 {
            return Self {
                full: full as u64,
                last: None,
            };
        }
        let mut size = rest;
        if rest < CELL / 2 && full > 0 {
            full -= 1;
            size += CELL;
        }
        Self {
            full: full as u64,
            last: Some(apportion(size)),
        }
    }

    pub(crate) fn cells(&self) -> u64 {
        self.full + u64::from(self.last.is_some())
    }

    /// Living persons before this cell.
    pub(crate) fn start(&self, cell: u64) -> u64 {
        cell.min(self.full) * CELL as u64
    }

    /// Living persons in this cell.
    pub(crate) fn size(&self, cell: u64) -> u64 {
        if cell < self.full {
            CELL as u64
        } else {
            self.last
                .map_or(0, |l| l.iter().map(|n| u64::from(*n)).sum())
        }
    }

    /// Persons of a group and sex, living and dead, before a cell.
    fn before(group: usize, sex: Sex, cells: u64) -> u64 {
        let all = cells * u64::from(full_with_dead(group));
        let men = men_among(group, all);
        if sex == Sex::Male { men } else { all - men }
    }

    /// What one cell has of a group and sex.
    pub(crate) fn share(&self, cell: u64, group: usize, sex: Sex) -> Share {
        let dead_of = |n: u64| {
            // every second dead is a man; among the oldest, where a cell may have no man at all, none is
            let men = if group >= 18 { 0 } else { n / 2 };
            if sex == Sex::Male { men } else { n - men }
        };
        let first = Self::before(group, sex, cell.min(self.full));
        let (total, dead) = if cell < self.full {
            let total = Self::before(group, sex, cell + 1) - first;
            let per_cell = u64::from(DEAD.get(group).copied().unwrap_or(0));
            (
                total,
                dead_of((cell + 1) * per_cell) - dead_of(cell * per_cell),
            )
        } else {
            let living = self.last.and_then(|l| l.get(group).copied()).unwrap_or(0);
            let men = men_among(group, u64::from(living));
            let total = if sex == Sex::Male {
                men
            } else {
                u64::from(living) - men
            };
            (total, 0)
        };
        Share {
            first,
            living: u32::try_from(total.saturating_sub(dead)).unwrap_or(0),
            dead: u32::try_from(dead).unwrap_or(0),
        }
    }

    /// Persons of a group and sex in the nation, living and dead.
    pub(crate) fn total(&self, group: usize, sex: Sex) -> u64 {
        let last = if self.last.is_some() {
            let share = self.share(self.full, group, sex);
            u64::from(share.living) + u64::from(share.dead)
        } else {
            0
        };
        Self::before(group, sex, self.full) + last
    }
}

fn full_with_dead(group: usize) -> u32 {
    WEIGHTS.get(group).copied().unwrap_or(0) + DEAD.get(group).copied().unwrap_or(0)
}

fn men_among(group: usize, n: u64) -> u64 {
    n * men_per_thousand(group) / 1_000
}

/// Divides a number of persons among the groups by largest remainder.
fn apportion(size: usize) -> [u32; GROUPS] {
    let mut out = [0_u32; GROUPS];
    let mut rest = Vec::new();
    let mut given = 0;
    for (group, weight) in WEIGHTS.iter().enumerate() {
        let exact = size * *weight as usize;
        let whole = exact / 1_000;
        if let Some(slot) = out.get_mut(group) {
            *slot = u32::try_from(whole).unwrap_or(0);
        }
        given += whole;
        rest.push((exact % 1_000, group));
    }
    rest.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, group) in rest.into_iter().take(size - given) {
        if let Some(slot) = out.get_mut(group) {
            *slot += 1;
        }
    }
    out
}

/// Municipalities that are inhabited below a population of 50 000: the story's three places and their neighbours.
const SMALL_NATION: &[&str] = &[
    "0301", "3201", "3205", "3207", "3222", "3232", "3234", "5501", "5532", "5534", "5536", "5538",
    "5601", "5610", "5612", "5622", "5628",
];

/// Population from which on all municipalities are inhabited.
pub(crate) const WHOLE_COUNTRY: usize = 50_000;

/// Which part of the background lives where.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Inhabited municipalities by number, with the number of background persons before them.
    inhabited: Vec<(&'static Municipality, u64)>,
    total: u64,
}

/// Part of a municipality within a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) municipality: &'static Municipality,
    pub(crate) persons: u64,
}

impl Places {
    pub(crate) fn new(population: usize, background: u64) -> Self {
        let chosen: Vec<&'static Municipality> = places::municipalities()
            .iter()
            .filter(|m| population >= WHOLE_COUNTRY || SMALL_NATION.contains(&m.number))
            .collect();
        let weight: u64 = chosen.iter().map(|m| u64::from(m.population)).sum();
        // one person each beforehand, the rest in proportion
        let each = u64::from(background >= 2 * chosen.len() as u64);
        let spread = background - each * chosen.len() as u64;
        let mut before = 0_u64;
        let inhabited = chosen
            .into_iter()
            .zip(0_u64..)
            .map(|(m, at)| {
                let start = at * each + before * spread / weight.max(1);
                before += u64::from(m.population);
                (m, start)
            })
            .collect();
        Self {
            inhabited,
            total: background,
        }
    }

    pub(crate) fn inhabited(&self) -> impl Iterator<Item = &'static Municipality> + '_ {
        self.inhabited.iter().map(|(m, _)| *m)
    }

    /// Persons of each inhabited municipality.
    pub(crate) fn persons(&self, at: usize) -> u64 {
        let start = self.inhabited.get(at).map_or(self.total, |m| m.1);
        let end = self.inhabited.get(at + 1).map_or(self.total, |m| m.1);
        end - start
    }

    /// The municipalities of the persons `from..to`, in order, each with at least one person.
    pub(crate) fn slices(&self, from: u64, to: u64) -> Vec<Slice> {
        let mut at = self
            .inhabited
            .partition_point(|m| m.1 <= from)
            .saturating_sub(1);
        let mut slices = Vec::new();
        while let Some((municipality, start)) = self.inhabited.get(at).copied() {
            if start >= to {
                break;
            }
            let end = self.inhabited.get(at + 1).map_or(self.total, |m| m.1);
            let persons = end.min(to).saturating_sub(start.max(from));
            if persons > 0 {
                slices.push(Slice {
                    municipality,
                    persons,
                });
            }
            at += 1;
        }
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_per_thousand() {
        assert_eq!(WEIGHTS.iter().sum::<u32>(), 1_000);
    }

    #[test]
    fn every_size_is_met_exactly() {
        for n in [
            0, 1, 3, 499, 500, 999, 1_000, 1_001, 1_499, 1_500, 1_937, 100_000, 123_456,
        ] {
            let d = Demography::new(n);
            let mut living = 0;
            let mut all = 0;
            for cell in 0..d.cells() {
                let mut in_cell = 0;
                for group in 0..GROUPS {
                    for sex in [Sex::Female, Sex::Male] {
                        let share = d.share(cell, group, sex);
                        in_cell += u64::from(share.living);
                        all += u64::from(share.living + share.dead);
                    }
                }
                assert_eq!(in_cell, d.size(cell), "{n} cell {cell}");
                living += in_cell;
            }
            assert_eq!(living, n as u64);
            let total: u64 = (0..GROUPS)
                .map(|g| d.total(g, Sex::Female) + d.total(g, Sex::Male))
                .sum();
            assert_eq!(total, all, "{n}");
        }
    }

    #[test]
    fn every_inhabited_municipality_has_persons() {
        for (population, count) in [(2_000, 17), (50_000, 357), (5_500_000, 357)] {
            let places = Places::new(population, population as u64 - 60);
            assert_eq!(places.inhabited().count(), count);
            for at in 0..count {
                assert!(places.persons(at) >= 1, "{population} {at}");
            }
            let slices = places.slices(0, population as u64 - 60);
            assert_eq!(slices.len(), count);
            assert_eq!(
                slices.iter().map(|s| s.persons).sum::<u64>(),
                population as u64 - 60
            );
        }
    }
}
