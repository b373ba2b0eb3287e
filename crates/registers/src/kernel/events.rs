//! Numbered, append-only events of a register, kept in pages: one page per commit.
//!
//! Numbers begin at 1 and have no gap: a page is written only where the one before it ended (spec/grunndata.md §3.5, §11).

use super::EntryId;
use serde::{Deserialize, Serialize};

/// One event: a pointer. Readers fetch the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<K> {
    /// Its number, from 1.
    pub number: u64,
    /// The entry it is about.
    pub entry: EntryId,
    /// What happened.
    pub kind: K,
}

/// The events of one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<K> {
    first: u64,
    events: Vec<(EntryId, K)>,
}

impl<K: Clone> Page<K> {
    /// A page after the event `last`; `None` for no events.
    #[must_use]
    pub fn after(last: u64, events: Vec<(EntryId, K)>) -> Option<Self> {
        (!events.is_empty()).then_some(Self {
            first: last + 1,
            events,
        })
    }

    /// Number of the last event.
    #[must_use]
    pub fn last(&self) -> u64 {
        let count = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        self.first.saturating_add(count).saturating_sub(1)
    }

    /// Events from a number on.
    pub fn from(&self, number: u64) -> impl Iterator<Item = Event<K>> + '_ {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.events
            .iter()
            .enumerate()
            .skip(skip)
            .map(|(at, (entry, kind))| Event {
                number: self.first + u64::try_from(at).unwrap_or(u64::MAX),
                entry: *entry,
                kind: kind.clone(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_events_no_page() {
        assert!(Page::<u8>::after(7, Vec::new()).is_none());
    }

    proptest! {
        #[test]
        fn pages_read_from_any_number_are_gapless(
            sizes in proptest::collection::vec(1usize..5, 1..6),
            from in 0u64..30,
        ) {
            let mut last = 0;
            let mut pages = Vec::new();
            for size in sizes {
                let page = Page::after(last, vec![(EntryId(9), 'x'); size]).unwrap();
                last = page.last();
                pages.push(page);
            }
            let numbers: Vec<u64> = pages
                .iter()
                .filter(|p| p.last() >= from)
                .flat_map(|p| p.from(from).map(|e| e.number).collect::<Vec<_>>())
                .collect();
            let expected: Vec<u64> = (from.max(1)..=last).collect();
            prop_assert_eq!(numbers, expected);
        }
    }
}
