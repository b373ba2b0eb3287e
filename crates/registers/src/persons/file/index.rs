//! Indexes in memory: sorted keys to rows, by number and by text.

/// Unique-ish numbers to rows (identifiers, public ids): sorted pairs, with a table of where each group of keys begins.
#[derive(Debug, Default)]
pub struct Numbers {
    keys: Vec<u64>,
    rows: Vec<u32>,
    /// Where the keys of each group begin, and the end.
    groups: Vec<u32>,
    group: Group,
    /// Groups are put together by these many bits where there are few keys.
    shift: u32,
}

/// How keys are grouped: groups ascend with the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// Identifiers of 11 digits: by their first six (day, month, year); longer ones together at the end.
    #[default]
    Digits,
    /// Random keys: by their highest 20 bits.
    HighBits,
}

impl Group {
    const BITS: u32 = 20;

    fn of(self, key: u64, shift: u32) -> usize {
        let group = match self {
            Self::Digits => key / 100_000,
            Self::HighBits => key >> 44,
        };
        let group = group.min((1 << Self::BITS) - 1) >> shift;
        usize::try_from(group).unwrap_or(0)
    }
}

impl Numbers {
    /// Over sorted keys with their rows. Unequal lengths give an empty index.
    #[must_use]
    pub fn new(keys: Vec<u64>, rows: Vec<u32>, group: Group) -> Self {
        if keys.len() != rows.len() {
            return Self::default();
        }
        let bits = keys.len().checked_ilog2().unwrap_or(0).min(Group::BITS);
        let shift = Group::BITS - bits;
        let mut groups = vec![0u32; (1 << bits) + 1];
        for key in &keys {
            if let Some(count) = groups.get_mut(group.of(*key, shift) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0u32;
        for start in &mut groups {
            sum += *start;
            *start = sum;
        }
        Self {
            keys,
            rows,
            groups,
            group,
            shift,
        }
    }

    /// Rows of a key: most often one.
    pub fn rows(&self, key: u64) -> &[u32] {
        let group = self.group.of(key, self.shift);
        let bounds = self.groups.get(group).zip(self.groups.get(group + 1));
        let Some((from, to)) = bounds.map(|(a, b)| (*a as usize, *b as usize)) else {
            return &[];
        };
        let keys = self.keys.get(from..to).unwrap_or_default();
        let start = from + keys.partition_point(|k| *k < key);
        let same = self.keys.get(start..to).unwrap_or_default();
        let count = same.iter().take_while(|k| **k == key).count();
        self.rows.get(start..start + count).unwrap_or_default()
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Numbers to lists of rows (birth dates, municipalities): rows ascend within a key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Keys, ascending.
    pub keys: Vec<u32>,
    /// Where the rows of each key begin, and the end.
    pub starts: Vec<u32>,
    /// Rows.
    pub rows: Vec<u32>,
}

impl Lists {
    /// From (key, row) in any order.
    #[must_use]
    pub fn of(mut pairs: Vec<(u32, u32)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let mut lists = Self::default();
        for (key, row) in pairs {
            if lists.keys.last() != Some(&key) {
                lists.keys.push(key);
                lists.starts.push(size(lists.rows.len()));
            }
            lists.rows.push(row);
        }
        lists.starts.push(size(lists.rows.len()));
        lists
    }

    /// Rows of the keys `from..=to`, a list for each key.
    pub fn range(&self, from: u32, to: u32) -> impl Iterator<Item = &[u32]> {
        let first = self.keys.partition_point(|k| *k < from);
        let end = self.keys.partition_point(|k| *k <= to);
        (first..end).map(|at| slice(&self.starts, &self.rows, at))
    }
}

/// Words to lists of rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// All words, ascending, one after the other.
    pub text: Vec<u8>,
    /// Where each word ends.
    pub ends: Vec<u32>,
    /// Where the rows of each word begin, and the end.
    pub starts: Vec<u32>,
    /// Rows.
    pub rows: Vec<u32>,
}

impl Words {
    /// From words in any order and (place of the word, row).
    #[must_use]
    pub fn of(words: Vec<Box<str>>, pairs: Vec<(u32, u32)>) -> Self {
        let mut order: Vec<u32> = (0..size(words.len())).collect();
        let word = |at: &u32| words.get(*at as usize).map_or("", |w| &**w);
        order.sort_unstable_by(|a, b| word(a).cmp(word(b)));
        let mut place = vec![0u32; words.len()];
        let mut index = Self::default();
        for (new, old) in order.iter().enumerate() {
            if let Some(at) = place.get_mut(*old as usize) {
                *at = size(new);
            }
            index.text.extend_from_slice(word(old).as_bytes());
            index.ends.push(size(index.text.len()));
        }
        let mut pairs = pairs;
        for (key, _) in &mut pairs {
            *key = place.get(*key as usize).copied().unwrap_or(0);
        }
        let lists = Lists::of(pairs);
        // Every word has a row, so the lists' keys are all the places.
        index.starts = lists.starts;
        index.rows = lists.rows;
        index
    }

    fn word(&self, at: usize) -> &[u8] {
        let start = match at.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).map_or(0, |e| *e as usize),
        };
        let end = self.ends.get(at).map_or(0, |e| *e as usize);
        self.text.get(start..end).unwrap_or_default()
    }

    fn place(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            if before(self.word(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Rows of exactly this word.
    #[must_use]
    pub fn exactly(&self, word: &str) -> &[u32] {
        let at = self.place(|w| w < word.as_bytes());
        if self.word(at) == word.as_bytes() {
            slice(&self.starts, &self.rows, at)
        } else {
            &[]
        }
    }

    /// Rows of the words that begin with `prefix`, a list for each word.
    pub fn starting(&self, prefix: &str) -> impl Iterator<Item = &[u32]> {
        let prefix = prefix.as_bytes();
        let first = self.place(|w| w < prefix);
        let end = self.place(|w| w < prefix || w.starts_with(prefix));
        (first..end).map(|at| slice(&self.starts, &self.rows, at))
    }
}

/// Gathers words for [`Words`].
#[derive(Debug, Default)]
pub struct WordGatherer {
    words: Vec<Box<str>>,
    places: std::collections::HashMap<Box<str>, u32>,
    pairs: Vec<(u32, u32)>,
}

impl WordGatherer {
    /// The word's own place, for later calls of [`WordGatherer::add`].
    pub fn place(&mut self, word: &str) -> u32 {
        if let Some(place) = self.places.get(word) {
            return *place;
        }
        let place = size(self.words.len());
        self.words.push(word.into());
        self.places.insert(word.into(), place);
        place
    }

    /// The word stands in the row.
    pub fn add(&mut self, place: u32, row: u32) {
        super::build::add(&mut self.pairs, (place, row));
    }

    /// Makes room for so many more.
    pub fn expect(&mut self, pairs: usize) {
        self.pairs.reserve_exact(pairs + pairs / 64);
    }

    /// The index.
    #[must_use]
    pub fn finish(self) -> Words {
        drop(self.places);
        Words::of(self.words, self.pairs)
    }
}

fn slice<'a>(starts: &[u32], rows: &'a [u32], at: usize) -> &'a [u32] {
    let bounds = starts.get(at).zip(starts.get(at + 1));
    bounds
        .and_then(|(from, to)| rows.get(*from as usize..*to as usize))
        .unwrap_or_default()
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn prefixes_of_words() {
        let mut g = WordGatherer::default();
        for (row, word) in ["berg", "bergan", "ås", "anne", "berg", ""]
            .iter()
            .enumerate()
        {
            let place = g.place(word);
            g.add(place, u32::try_from(row).unwrap());
        }
        let words = g.finish();
        let rows = |prefix: &str| {
            words
                .starting(prefix)
                .flatten()
                .copied()
                .collect::<Vec<_>>()
        };
        assert_eq!(rows("berg"), [0, 4, 1]);
        assert_eq!(rows("berga"), [1]);
        assert_eq!(rows("å"), [2]);
        assert_eq!(rows("x"), Vec::<u32>::new());
        assert_eq!(rows("").len(), 6);
        assert_eq!(words.exactly("berg"), [0, 4]);
        assert_eq!(words.exactly("ber"), [0u32; 0]);
        assert_eq!(words.exactly("z"), [0u32; 0]);
        assert_eq!(Words::default().starting("a").count(), 0);
    }

    proptest! {
        #[test]
        fn numbers_find_what_is_there(
            pairs in proptest::collection::btree_set((prop_oneof![0u64..50, any::<u64>()], 0u32..9), 0..60),
            ask in prop_oneof![0u64..60, any::<u64>()],
            digits in any::<bool>(),
        ) {
            let group = if digits { Group::Digits } else { Group::HighBits };
            let index = Numbers::new(
                pairs.iter().map(|p| p.0).collect(),
                pairs.iter().map(|p| p.1).collect(),
                group,
            );
            for key in pairs.iter().map(|p| p.0).chain([ask]) {
                let expected: Vec<u32> = pairs.iter().filter(|p| p.0 == key).map(|p| p.1).collect();
                prop_assert_eq!(index.rows(key), &expected[..]);
            }
        }

        #[test]
        fn lists_and_words_against_maps(
            pairs in proptest::collection::vec((0u32..20, 0u32..30), 0..80),
            from in 0u32..22,
            width in 0u32..22,
        ) {
            let mut model: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
            let mut gatherer = WordGatherer::default();
            for (key, row) in &pairs {
                model.entry(*key).or_default().insert(*row);
                let place = gatherer.place(&format!("{:b}", key + 1));
                gatherer.add(place, *row);
            }
            let lists = Lists::of(pairs);
            let found: Vec<Vec<u32>> = lists.range(from, from + width).map(<[u32]>::to_vec).collect();
            let expected: Vec<Vec<u32>> =
                model.range(from..=from + width).map(|(_, rows)| rows.iter().copied().collect()).collect();
            prop_assert_eq!(found, expected);
            let words = gatherer.finish();
            let prefix = format!("{:b}", from + 1);
            let found: BTreeSet<u32> = words.starting(&prefix).flatten().copied().collect();
            let expected: BTreeSet<u32> = model
                .iter()
                .filter(|(key, _)| format!("{:b}", **key + 1).starts_with(&prefix))
                .flat_map(|(_, rows)| rows.iter().copied())
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
