//! How many of which profession each cell has, and their personnel numbers, in closed form.

use codes::ident::HprNumber;

use super::plan::{CELL, Demography};

const FIRST_HPR: u64 = 566_000_001;

/// (category of list 9060, persons per 100 000 inhabitants): 350 000 of 5.55 millions in all.
const PROFESSIONS: &[(&str, u64)] = &[
    ("LE", 568),
    ("SP", 1_829),
    ("HF", 1_640),
    ("FT", 252),
    ("VP", 378),
    ("TL", 101),
    ("PS", 189),
    ("BI", 145),
    ("JO", 63),
    ("RA", 76),
    ("FA1", 76),
    ("HE", 300),
    ("AT", 190),
    ("TH", 150),
    ("ET", 130),
    ("AA", 110),
    ("HP", 60),
    ("FA2", 30),
    ("TP", 30),
];

/// One post: a profession and its number in the register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Post {
    pub(crate) role: &'static str,
    pub(crate) hpr: HprNumber,
}

/// Personnel of the background by cell.
#[derive(Clone, Debug)]
pub(crate) struct Staff {
    living: Vec<u64>,
}

impl Staff {
    pub(crate) fn new(demography: &Demography) -> Self {
        let mut living: Vec<u64> = (0..demography.cells())
            .map(|c| demography.start(c))
            .collect();
        living.push(
            demography
                .cells()
                .checked_sub(1)
                .map_or(0, |c| demography.start(c) + demography.size(c)),
        );
        Self { living }
    }

    /// Posts of a cell, doctors first.
    pub(crate) fn posts(&self, cell: u64) -> Vec<Post> {
        let Some((from, to)) = self.range(cell) else {
            return Vec::new();
        };
        let mut ordinal: u64 = PROFESSIONS.iter().map(|(_, per)| count(from, *per)).sum();
        let mut posts = Vec::new();
        for (role, per) in PROFESSIONS {
            for _ in count(from, *per)..count(to, *per) {
                let hpr = u32::try_from(FIRST_HPR + ordinal).unwrap_or(u32::MAX);
                posts.push(Post {
                    role,
                    hpr: HprNumber(hpr),
                });
                ordinal += 1;
            }
        }
        posts
    }

    /// The doctor who can have the cell's GP list: the first one, in cells large enough to be sure of finding a person.
    pub(crate) fn doctor_of(&self, cell: u64) -> Option<(HprNumber, u64)> {
        let (from, to) = self.range(cell)?;
        if to - from < CELL as u64 / 4 {
            return None;
        }
        self.posts(cell)
            .first()
            .filter(|p| p.role == "LE")
            .map(|p| (p.hpr, cell))
    }

    fn range(&self, cell: u64) -> Option<(u64, u64)> {
        let at = usize::try_from(cell).ok()?;
        Some((*self.living.get(at)?, *self.living.get(at + 1)?))
    }
}

fn count(persons: u64, per_100_000: u64) -> u64 {
    persons * per_100_000 / 100_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_are_unique_and_ascending_over_cells() {
        let staff = Staff::new(&Demography::new(50_300));
        let mut seen = HashSet::new();
        for cell in 0..50 {
            let posts = staff.posts(cell);
            assert!(posts.iter().filter(|p| p.role == "LE").count() >= 5);
            assert_eq!(
                staff.doctor_of(cell).map(|d| d.0),
                posts.first().map(|p| p.hpr)
            );
            for post in posts {
                assert!(seen.insert(post.hpr));
            }
        }
        let per_million = PROFESSIONS.iter().map(|p| p.1).sum::<u64>() * 10;
        assert!((62_000..64_500).contains(&per_million), "{per_million}");
    }
}
