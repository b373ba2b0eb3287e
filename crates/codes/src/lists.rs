//! National code lists (Volven) as far as messages, addressing and pages need them, and the clinical codes that the demo
//! nation uses. Small text tables in `lists/`, one per list; each says in its first line what it is, and whether it is
//! whole or an extract. Licensed terminologies (ICD-10, ICPC-2, ATC, NLK) are never shipped whole: only the few codes
//! the demo needs are there, an operator imports the rest.

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::civil::Date;

use crate::{oid, tsv};

/// One code of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The code as it stands in messages.
    pub code: &'static str,
    /// Display text in bokmål, as messages carry it in `DN`.
    pub display: &'static str,
    /// Display text in English, where we have one.
    pub display_en: Option<&'static str>,
    /// First day on which the code may be used, when known.
    pub valid_from: Option<Date>,
    /// Last day on which the code may be used, when it is retired.
    pub valid_to: Option<Date>,
    /// Code of the same list that replaces a retired one.
    pub successor: Option<&'static str>,
}

impl Entry {
    /// Whether the code may be used on this day.
    #[must_use]
    pub fn valid_on(&self, day: Date) -> bool {
        self.valid_from.is_none_or(|from| from <= day) && self.valid_to.is_none_or(|to| day <= to)
    }

    /// Display text in the language asked for (`en`, anything else is bokmål), falling back to bokmål.
    #[must_use]
    pub fn display_in(&self, language: &str) -> &'static str {
        match (language, self.display_en) {
            ("en", Some(text)) => text,
            _ => self.display,
        }
    }
}

/// A code list: its identity, whether it is complete, and its entries in code order of the file.
#[derive(Debug)]
pub struct CodeList {
    /// OID without `urn:oid:`.
    pub oid: &'static str,
    /// Number of the list, the last part of the OID.
    pub number: u32,
    /// Norwegian name.
    pub name: &'static str,
    /// Whether all codes of the list are here. An unknown code of an incomplete list proves nothing.
    pub complete: bool,
    /// The codes.
    pub entries: Vec<Entry>,
    by_code: HashMap<&'static str, usize>,
}

impl CodeList {
    /// The entry of a code; codes are compared exactly.
    #[must_use]
    pub fn get(&self, code: &str) -> Option<&Entry> {
        self.by_code.get(code).and_then(|at| self.entries.get(*at))
    }
}

/// The entry of a code in a list. The system may be a bare OID, `urn:oid:…` or a `no-kodeverk` URL.
#[must_use]
pub fn lookup(system: &str, code: &str) -> Option<&'static Entry> {
    list(system)?.get(code)
}

/// Display text of a code in bokmål.
#[must_use]
pub fn display(system: &str, code: &str) -> Option<&'static str> {
    lookup(system, code).map(|e| e.display)
}

/// A whole list, under any spelling of its system.
#[must_use]
pub fn list(system: &str) -> Option<&'static CodeList> {
    LISTS.get(oid::canonical(system).as_ref())
}

/// All lists of this crate, in no particular order.
pub fn all() -> impl Iterator<Item = &'static CodeList> {
    LISTS.values()
}

static LISTS: LazyLock<HashMap<&'static str, CodeList>> = LazyLock::new(|| {
    tables::TABLES
        .iter()
        .filter_map(|text| read(text))
        .map(|l| (l.oid, l))
        .collect()
});

/// Reads one table. First line: `#list<TAB>oid<TAB>complete|extract<TAB>name`.
fn read(text: &'static str) -> Option<CodeList> {
    let head: Vec<&'static str> = text.lines().next()?.split('\t').collect();
    if tsv::field(&head, 0)? != "#list" {
        return None;
    }
    let oid = tsv::field(&head, 1)?;
    let mut list = CodeList {
        oid,
        number: oid::list_number(oid)?,
        complete: tsv::field(&head, 2)? == "complete",
        name: tsv::field(&head, 3)?,
        entries: Vec::new(),
        by_code: HashMap::new(),
    };
    for row in tsv::rows(text) {
        let (Some(code), Some(display)) = (tsv::field(&row, 0), tsv::field(&row, 1)) else {
            continue;
        };
        let date = |index| tsv::field(&row, index).and_then(|d| d.parse::<Date>().ok());
        list.by_code.insert(code, list.entries.len());
        list.entries.push(Entry {
            code,
            display,
            display_en: tsv::field(&row, 2),
            valid_from: date(3),
            valid_to: date(4),
            successor: tsv::field(&row, 5),
        });
    }
    Some(list)
}

mod tables;

#[cfg(test)]
mod tests;
