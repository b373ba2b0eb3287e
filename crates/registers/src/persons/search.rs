//! Person search: its rules as values, and the search over the read form (spec/grunndata.md §3.3).

pub(crate) mod rules;
mod run;

pub use rules::{Raw, Violation, Violations};
pub use run::{Found, Overlaid, Overlay, SearchError, View};

use super::codes::{Gender, IdentifierKind, PersonStatus, ProtectionLevel};
use super::document::Address;
use super::row::{Row, tag};
use crate::kernel::period::Moment;

/// A valid search. Text is folded already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Begins the given names.
    pub given: Option<String>,
    /// Begins the middle name.
    pub middle: Option<String>,
    /// Begins the family name.
    pub family: Option<String>,
    /// Each begins some word of the name; at most three.
    pub full: Vec<String>,
    /// Begins the street address, words and numbers apart.
    pub street: Option<String>,
    /// Postcode.
    pub postcode: Option<u16>,
    /// Postal place.
    pub city: Option<String>,
    /// Municipality.
    pub municipality: Option<u16>,
    /// Basic statistical unit.
    pub basic_unit: Option<u32>,
    /// Birth, first and last key ([`super::document::Birth::key`]).
    pub birth: Option<(u32, u32)>,
    /// Sex.
    pub gender: Option<Gender>,
    /// One of these.
    pub statuses: Vec<PersonStatus>,
    /// Persons with nothing but help numbers too.
    pub include_alternate: bool,
    /// The caller has a legal basis: graded addresses match, except strictly confidential ones.
    pub legal_basis: bool,
}

impl Query {
    /// Whether something about an address is asked.
    #[must_use]
    pub fn asks_address(&self) -> bool {
        self.street.is_some()
            || self.postcode.is_some()
            || self.city.is_some()
            || self.municipality.is_some()
            || self.basic_unit.is_some()
    }

    /// Whether a row matches at an instant: cheap conditions first.
    #[must_use]
    pub fn matches(&self, row: Row<'_>, now: Moment) -> bool {
        row.merged_into().is_none()
            && self.matches_birth(row, now)
            && self.matches_codes(row, now)
            && (self.include_alternate || has_own_number(row))
            && self.matches_address(row, now)
            && self.matches_name(row, now)
    }

    fn matches_birth(&self, row: Row<'_>, now: Moment) -> bool {
        self.birth.is_none_or(|(from, to)| {
            let mut births = row.births().filter(|h| h.holds_at(now));
            births.any(|h| (from..=to).contains(&h.value.key()))
        })
    }

    fn matches_codes(&self, row: Row<'_>, now: Moment) -> bool {
        let gender = |asked| row.gender().any(|h| h.holds_at(now) && h.value == asked);
        let status = |asked: &[PersonStatus]| {
            row.status()
                .any(|h| h.holds_at(now) && asked.contains(&h.value))
        };
        self.gender.is_none_or(gender) && (self.statuses.is_empty() || status(&self.statuses))
    }

    fn matches_address(&self, row: Row<'_>, now: Moment) -> bool {
        if !self.asks_address() {
            return true;
        }
        let level = row.protection_at(now);
        let most = if self.legal_basis {
            ProtectionLevel::Confidential
        } else {
            ProtectionLevel::Unclassified
        };
        [tag::RESIDENTIAL, tag::PRESENT, tag::SHARED]
            .iter()
            .any(|kind| {
                row.addresses(*kind, now)
                    .filter(|h| h.holds_at(now) && level.max(h.value.grading) <= most)
                    .any(|h| self.is_at(&h.value))
            })
    }

    fn is_at(&self, address: &Address) -> bool {
        self.postcode.is_none_or(|p| p == address.postcode)
            && self.municipality.is_none_or(|m| m == address.municipality)
            && self
                .basic_unit
                .is_none_or(|u| Some(u) == address.basic_unit)
            && self
                .city
                .as_ref()
                .is_none_or(|c| codes::fold::fold(&address.place) == *c)
            && self
                .street
                .as_ref()
                .is_none_or(|s| begins_line(&rules::spaced(&address.line()), s))
    }

    fn matches_name(&self, row: Row<'_>, now: Moment) -> bool {
        let asked = [&self.given, &self.middle, &self.family];
        if asked.iter().all(|a| a.is_none()) && self.full.is_empty() {
            return true;
        }
        row.names().filter(|h| h.holds_at(now)).any(|h| {
            let name = h.value;
            let fields = [name.given, name.middle.unwrap_or_default(), name.family]
                .map(|text| codes::fold::fold(&text));
            let begins = |(asked, field): (&&Option<String>, &String)| {
                asked.as_ref().is_none_or(|a| field.starts_with(a.as_str()))
            };
            let some_word = |asked: &String| {
                let mut words = fields.iter().flat_map(|f| f.split(' '));
                words.any(|w| w.starts_with(asked.as_str()))
            };
            asked.iter().zip(&fields).all(begins) && self.full.iter().all(some_word)
        })
    }
}

/// Whether the line begins with the text; a number is not the beginning of a longer one.
fn begins_line(line: &str, asked: &str) -> bool {
    let Some(rest) = line.strip_prefix(asked) else {
        return false;
    };
    let number = asked.ends_with(|c: char| c.is_ascii_digit());
    !(number && rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether there is an identifier other than help numbers.
fn has_own_number(row: Row<'_>) -> bool {
    row.identifiers()
        .any(|h| h.value.kind != IdentifierKind::AlternateIdentificationNumber)
}

#[cfg(test)]
mod tests;
