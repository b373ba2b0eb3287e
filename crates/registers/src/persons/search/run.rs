//! The search itself: lists of rows are intersected, what is left is looked at row by row, in order of entry numbers.

use super::Query;
use crate::kernel::EntryNo;
use crate::kernel::period::Moment;
use crate::kernel::{EntryId, identifiers::Packed};
use crate::persons::file::{FileError, ReadFile, mark};
use crate::persons::row::Row;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// So few candidates are looked at at once; intersecting further would cost more.
const FEW: usize = 256;
/// Lists of this many words or fewer are searched one by one for each candidate.
const FEW_LISTS: usize = 8;

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// More rows would have to be looked at than allowed.
    #[error("the search is too wide: please narrow it down")]
    TooWide,
    /// The read form.
    #[error(transparent)]
    File(#[from] FileError),
}

/// An entry that changed since the file was made.
#[derive(Clone, Debug)]
pub struct Overlaid {
    /// Its row.
    pub row: Arc<[u8]>,
    /// Place in the feed at which it was read.
    pub seq: u64,
}

/// All entries that changed since the file was made.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    rows: BTreeMap<u32, Overlaid>,
    by_number: HashMap<Packed, Vec<u32>>,
    by_id: HashMap<EntryId, EntryNo>,
}

impl Overlay {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes an entry in, in place of an older state of it.
    pub fn put(&mut self, no: EntryNo, row: Arc<[u8]>, seq: u64) {
        self.forget_numbers(no);
        let view = Row::new(&row);
        for held in view.identifiers() {
            let list = self.by_number.entry(held.value.number).or_default();
            if !list.contains(&no.0) {
                list.push(no.0);
            }
        }
        if let Some(id) = view.id() {
            self.by_id.insert(id, no);
        }
        self.rows.insert(no.0, Overlaid { row, seq });
    }

    fn forget_numbers(&mut self, no: EntryNo) {
        let Some(old) = self.rows.get(&no.0).map(|o| Arc::clone(&o.row)) else {
            return;
        };
        for held in Row::new(&old).identifiers() {
            if let Some(list) = self.by_number.get_mut(&held.value.number) {
                list.retain(|row| *row != no.0);
                if list.is_empty() {
                    self.by_number.remove(&held.value.number);
                }
            }
        }
    }

    /// Forgets entries that were read at `seq` or before: a newer file has them.
    pub fn forget_up_to(&mut self, seq: u64) {
        let kept = self.rows.iter().filter(|(_, o)| o.seq > seq);
        let kept: Vec<(u32, Overlaid)> = kept.map(|(no, o)| (*no, o.clone())).collect();
        *self = Self::default();
        for (no, held) in kept {
            self.put(EntryNo(no), held.row, held.seq);
        }
    }

    /// The row of an entry.
    #[must_use]
    pub fn row(&self, no: EntryNo) -> Option<&Arc<[u8]>> {
        self.rows.get(&no.0).map(|o| &o.row)
    }

    /// Every entry with its row, by number.
    pub fn iter(&self) -> impl Iterator<Item = (EntryNo, &Arc<[u8]>)> {
        self.rows.iter().map(|(no, held)| (EntryNo(*no), &held.row))
    }

    /// Entries that have or had the identifier.
    #[must_use]
    pub fn by_number(&self, number: Packed) -> &[u32] {
        self.by_number.get(&number).map_or(&[], Vec::as_slice)
    }

    /// The entry of a public id.
    #[must_use]
    pub fn by_id(&self, id: EntryId) -> Option<EntryNo> {
        self.by_id.get(&id).copied()
    }

    /// One past the highest entry number.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.rows.last_key_value().map_or(0, |(no, _)| no + 1)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Entries, ascending by number.
    pub entries: Vec<EntryNo>,
    /// The number at which the next page begins; `None` when there is nothing more.
    pub next: Option<EntryNo>,
}

/// A file with what changed since.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The file.
    pub file: &'a ReadFile,
    /// The changes.
    pub overlay: &'a Overlay,
}

impl View<'_> {
    /// Hands the present row of an entry to `read`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn with<R>(
        &self,
        no: EntryNo,
        read: impl FnOnce(Row<'_>) -> R,
    ) -> Result<Option<R>, FileError> {
        match self.overlay.row(no) {
            Some(row) => Ok(Some(read(Row::new(row)))),
            None => self.file.with(no, read),
        }
    }

    /// Entries that match, from a number on, at most `limit`. At most `most_rows` rows of the file are looked at.
    ///
    /// # Errors
    /// [`SearchError::TooWide`], or when the file cannot be read.
    pub fn search(
        &self,
        query: &Query,
        now: Moment,
        from: EntryNo,
        limit: usize,
        most_rows: usize,
    ) -> Result<Found, SearchError> {
        let mut found = Found::default();
        self.each(query, now, from, most_rows, |no| {
            if found.entries.len() == limit {
                found.next = Some(no);
                return false;
            }
            found.entries.push(no);
            true
        })?;
        Ok(found)
    }

    /// How many entries match.
    ///
    /// # Errors
    /// As [`View::search`].
    pub fn count(&self, query: &Query, now: Moment, most_rows: usize) -> Result<u64, SearchError> {
        let mut count = 0;
        self.each(query, now, EntryNo(0), most_rows, |_| {
            count += 1;
            true
        })?;
        Ok(count)
    }

    /// Calls `take` with every match in order until it says no.
    fn each(
        &self,
        query: &Query,
        now: Moment,
        from: EntryNo,
        most_rows: usize,
        mut take: impl FnMut(EntryNo) -> bool,
    ) -> Result<(), SearchError> {
        let mut changed = self
            .overlay
            .rows
            .range(from.0..)
            .filter(|(_, o)| query.matches(Row::new(&o.row), now))
            .map(|(no, _)| *no)
            .peekable();
        let mut looked = 0;
        let candidates: Box<dyn Iterator<Item = u32>> = match candidates(self.file, query) {
            None => Box::new(from.0..self.file.len()),
            Some(rows) => Box::new(rows.into_iter().filter(move |row| *row >= from.0)),
        };
        for row in candidates {
            while let Some(no) = changed.next_if(|no| *no < row) {
                if !take(EntryNo(no)) {
                    return Ok(());
                }
            }
            if self.overlay.rows.contains_key(&row) {
                continue;
            }
            looked += 1;
            if looked > most_rows {
                return Err(SearchError::TooWide);
            }
            let matches = self.file.with(EntryNo(row), |r| query.matches(r, now))?;
            if matches == Some(true) && !take(EntryNo(row)) {
                return Ok(());
            }
        }
        for no in changed {
            if !take(EntryNo(no)) {
                break;
            }
        }
        Ok(())
    }
}

/// One condition as lists of rows, each ascending.
struct Leg<'a> {
    lists: Vec<&'a [u32]>,
    total: usize,
}

impl<'a> Leg<'a> {
    fn of(lists: impl Iterator<Item = &'a [u32]>) -> Self {
        let lists: Vec<&[u32]> = lists.filter(|l| !l.is_empty()).collect();
        let total = lists.iter().map(|l| l.len()).sum();
        Self { lists, total }
    }

    fn merged(&self) -> Vec<u32> {
        let mut rows = self.lists.concat();
        if self.lists.len() > 1 {
            rows.sort_unstable();
            rows.dedup();
        }
        rows
    }
}

/// Rows of the file that can match, ascending; `None` when no condition has a list.
fn candidates(file: &ReadFile, query: &Query) -> Option<Vec<u32>> {
    let mut legs = legs(file, query);
    legs.sort_by_key(|leg| leg.total);
    let mut legs = legs.into_iter();
    let mut rows = legs.next()?.merged();
    for leg in legs {
        if rows.len() <= FEW {
            break;
        }
        if leg.lists.len() <= FEW_LISTS {
            rows.retain(|row| leg.lists.iter().any(|l| l.binary_search(row).is_ok()));
        } else {
            let mut there = vec![false; file.len() as usize];
            for row in leg.lists.iter().copied().flatten() {
                if let Some(place) = there.get_mut(*row as usize) {
                    *place = true;
                }
            }
            rows.retain(|row| there.get(*row as usize).copied().unwrap_or(false));
        }
    }
    Some(rows)
}

fn legs<'a>(file: &'a ReadFile, query: &Query) -> Vec<Leg<'a>> {
    let mut legs = Vec::new();
    if let Some((from, to)) = query.birth {
        legs.push(Leg::of(file.births.range(from, to)));
    }
    let firsts = [&query.given, &query.middle, &query.family]
        .into_iter()
        .flatten()
        .filter_map(|text| text.split(' ').next());
    for word in firsts.chain(query.full.iter().map(String::as_str)) {
        legs.push(Leg::of(file.words.starting(word)));
    }
    // Graded rows may match for those with a legal basis; their rows are looked at.
    let graded: &[u32] = if query.legal_basis { &file.graded } else { &[] };
    let marks = [
        query.municipality.map(mark::municipality),
        query.postcode.map(mark::postcode),
        query.basic_unit.map(mark::basic_unit),
    ];
    for key in marks.into_iter().flatten() {
        legs.push(Leg::of(file.marks.range(key, key).chain([graded])));
    }
    if let Some(street) = &query.street {
        // Either the street goes on where the text ends, or a number follows the street in the text.
        let mut lists: Vec<&[u32]> = file.streets.starting(street).collect();
        for (at, _) in street.match_indices(' ') {
            lists.push(file.streets.exactly(street.split_at(at).0));
        }
        legs.push(Leg::of(lists.into_iter().chain([graded])));
    }
    if !query.statuses.is_empty() && query.statuses.iter().all(|s| mark::is_rare(*s)) {
        let keys = query.statuses.iter().map(|s| mark::status(*s));
        legs.push(Leg::of(keys.flat_map(|key| file.marks.range(key, key))));
    }
    legs
}
