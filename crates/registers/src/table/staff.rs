//! Personnel by the words of their names and of the organisations where they work: for a search without a walk over all of
//! them.
//!
//! Made at the first search, and anew when what it was made of has changed. What it finds is compared with the registers as
//! they are before it is shown; somebody who came by a name since is found a little later where there are many.

use super::RegisterTable;
use super::tables::Tables;
use crate::directory::{Directory as _, Practitioner};
use crate::personnel::register::person;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// With more personnel than this a changed index is made anew no more often than [`AT_MOST_EVERY`].
const FEW: usize = 5_000;
const AT_MOST_EVERY: Duration = Duration::from_secs(30);

/// What an index was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made {
    rows: u64,
    personnel: u64,
    organisations: u64,
}

struct Index {
    of: Made,
    at: Instant,
    /// In the order of [`Tables::staff`].
    rows: Vec<Arc<Practitioner>>,
    /// Words with the places of the rows that have them, ascending.
    words: Vec<(Box<str>, Vec<u32>)>,
}

impl Index {
    /// Places of the rows with all these words, each inside a word of theirs, ascending.
    fn find(&self, wanted: &[&str]) -> Vec<u32> {
        let mut all = vec![u64::MAX; self.rows.len().div_ceil(64)];
        for part in wanted {
            let mut with = vec![0u64; all.len()];
            for (_, places) in self.words.iter().filter(|(word, _)| word.contains(part)) {
                for place in places {
                    if let Some(bits) = with.get_mut(*place as usize / 64) {
                        *bits |= 1 << (place % 64);
                    }
                }
            }
            for (bits, more) in all.iter_mut().zip(with) {
                *bits &= more;
            }
        }
        let count = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let is_set = |place: &u32| {
            let bits = all.get(*place as usize / 64).copied().unwrap_or(0);
            bits & (1 << (place % 64)) != 0
        };
        (0..count).filter(is_set).collect()
    }
}

/// The index, once there is one.
#[derive(Default)]
pub(super) struct Staff(RwLock<Option<Arc<Index>>>);

/// What is searched in, folded: the name, and the organisation of the first workplace.
fn text(name: &str, organisation: Option<&str>) -> String {
    codes::fold::fold(&format!("{name} {}", organisation.unwrap_or_default()))
}

impl RegisterTable {
    fn made_of(&self, tables: &Tables) -> Made {
        Made {
            rows: tables.employed,
            personnel: self.personnel_stamp().unwrap_or(0),
            organisations: self.businesses.register().stamp(),
        }
    }

    fn staff_index(&self) -> Arc<Index> {
        let now = self.made_of(&self.read());
        let held = |index: &Index| {
            let is_many = index.rows.len() > FEW;
            index.of == now || (is_many && index.at.elapsed() < AT_MOST_EVERY)
        };
        let found = self.staff.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = found.as_ref().filter(|index| held(index)) {
            return Arc::clone(index);
        }
        drop(found);
        // Who comes meanwhile waits for this one instead of making another.
        let mut place = self.staff.0.write().unwrap_or_else(PoisonError::into_inner);
        match place.as_ref().filter(|index| held(index)) {
            Some(index) => Arc::clone(index),
            None => Arc::clone(place.insert(Arc::new(self.make_staff_index()))),
        }
    }

    fn make_staff_index(&self) -> Index {
        let (of, rows) = {
            let tables = self.read();
            let rows: Vec<_> = tables
                .staff()
                .filter(|row| row.hpr.is_some())
                .cloned()
                .collect();
            (self.made_of(&tables), rows)
        };
        let mut organisations: HashMap<&str, Option<String>> = HashMap::new();
        let mut words: HashMap<Box<str>, Vec<u32>> = HashMap::new();
        for (place, row) in (0u32..).zip(&rows) {
            let number = row.hpr.as_deref().and_then(|hpr| hpr.parse().ok());
            let entry = number.and_then(|n| self.personnel.get()?.by_hpr(n));
            let name = entry.as_ref().and_then(person).map(|p| p.name.full());
            let organisation = row.workplaces.first().and_then(|w| {
                let known = organisations.entry(&w.orgnr_parent);
                let name = known.or_insert_with_key(|orgnr| Some(self.organisation(orgnr)?.name));
                name.as_deref()
            });
            let name = name.unwrap_or_else(|| row.name.full());
            for word in text(&name, organisation).split_whitespace() {
                match words.get_mut(word) {
                    Some(places) if places.last() == Some(&place) => {}
                    Some(places) => places.push(place),
                    None => {
                        words.insert(word.into(), vec![place]);
                    }
                }
            }
        }
        Index {
            of,
            at: Instant::now(),
            words: words.into_iter().collect(),
            rows,
        }
    }

    /// See [`crate::Directory::find_practitioners`].
    pub(super) fn find_staff(&self, words: &[&str], limit: usize) -> Vec<Practitioner> {
        let index = self.staff_index();
        let rows = index.find(words).into_iter();
        let rows = rows.filter_map(|place| index.rows.get(place as usize));
        let now = rows.filter_map(|row| {
            // The row of today, not the one the index was made of.
            let row = self.read().practitioners.get(&row.nin).cloned()?;
            let found = self.current(Practitioner::clone(&row))?;
            let workplace = found.workplaces.first();
            let organisation = workplace.and_then(|w| self.organisation(&w.orgnr_parent));
            let name = organisation.as_ref().map(|o| o.name.as_str());
            let text = text(&found.name.full(), name);
            words.iter().all(|w| text.contains(w)).then_some(found)
        });
        now.take(limit).collect()
    }
}
