//! What may be asked (spec/grunndata.md §3.3). Every rule that is broken is named; nothing of the text is repeated.

use super::Query;
use crate::persons::codes::{Gender, PersonStatus};
use jiff::civil::Date;

/// Form fields as they came. Absent and empty are the same.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // the names of the national form
pub struct Raw<'a> {
    pub given_name: Option<&'a str>,
    pub middle_name: Option<&'a str>,
    pub family_name: Option<&'a str>,
    pub full_name: Option<&'a str>,
    pub street_address: Option<&'a str>,
    pub postal_code: Option<&'a str>,
    pub city_name: Option<&'a str>,
    pub municipality_number: Option<&'a str>,
    pub basic_statistical_unit: Option<&'a str>,
    pub birth_date: Option<&'a str>,
    pub birth_date_from: Option<&'a str>,
    pub birth_date_to: Option<&'a str>,
    pub gender: Option<&'a str>,
    pub person_statuses: &'a [&'a str],
}

/// A rule that a search breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// No name at all.
    #[error("at least one of GivenName, MiddleName, FamilyName and FullName must be given")]
    NoName,
    /// Too little of a name.
    #[error("the names must have at least three letters in total")]
    TooFewLetters,
    /// Nothing that narrows the name down.
    #[error(
        "BirthDate, MunicipalityNumber or a StreetAddress with at least three letters must be given"
    )]
    NothingNarrow,
    /// Too long.
    #[error("{field} has more than {most} characters")]
    TooLong {
        /// Form field.
        field: &'static str,
        /// Most characters.
        most: usize,
    },
    /// Too short.
    #[error("{field} has fewer than {least} characters")]
    TooShort {
        /// Form field.
        field: &'static str,
        /// Fewest characters.
        least: usize,
    },
    /// Characters that cannot be there.
    #[error("{field} may have letters, spaces and hyphens only")]
    NotLetters {
        /// Form field.
        field: &'static str,
    },
    /// Characters that cannot be there.
    #[error("StreetAddress may have letters, digits and spaces only")]
    NotStreet,
    /// Not so many digits.
    #[error("{field} must have exactly {digits} digits")]
    NotDigits {
        /// Form field.
        field: &'static str,
        /// How many.
        digits: usize,
    },
    /// No such date.
    #[error("{field} must be a date as YYYY, YYYY-MM or YYYY-MM-DD")]
    NotDate {
        /// Form field.
        field: &'static str,
    },
    /// From after to.
    #[error("BirthDateFrom is after BirthDateTo")]
    Backwards,
    /// No such code.
    #[error("{field} has an unknown value")]
    UnknownValue {
        /// Form field.
        field: &'static str,
    },
}

/// All rules that a search breaks.
pub type Violations = Vec<Violation>;

impl Query {
    /// A search for persons: needs a name, and something that narrows it down.
    ///
    /// # Errors
    /// Every rule that is broken.
    pub fn search(raw: &Raw<'_>) -> Result<Self, Violations> {
        let mut reader = Reader::default();
        let query = reader.common(raw, 1, 1);
        let names = [
            raw.given_name,
            raw.middle_name,
            raw.family_name,
            raw.full_name,
        ];
        let letters: usize = names.into_iter().map(|n| n.map_or(0, letters)).sum();
        if names.into_iter().all(|n| given(n).is_none()) {
            reader.broken.push(Violation::NoName);
        } else if letters < 3 {
            reader.broken.push(Violation::TooFewLetters);
        }
        let street = given(raw.street_address).is_some_and(|s| letters_of(s) >= 3);
        let narrow = given(raw.birth_date).is_some() || given(raw.municipality_number).is_some();
        if !street && !narrow {
            reader.broken.push(Violation::NothingNarrow);
        }
        let birth = reader.date("BirthDate", raw.birth_date);
        reader.done(Self { birth, ..query })
    }

    /// A list of all persons that match: every filter may be absent.
    ///
    /// # Errors
    /// Every rule that is broken.
    pub fn list(raw: &Raw<'_>) -> Result<Self, Violations> {
        let mut reader = Reader::default();
        let query = reader.common(raw, 3, 5);
        let from = reader.date("BirthDateFrom", raw.birth_date_from);
        let to = reader.date("BirthDateTo", raw.birth_date_to);
        let birth = match (from, to) {
            (None, None) => None,
            (from, to) => {
                let range = (from.map_or(0, |f| f.0), to.map_or(u32::MAX, |t| t.1));
                if range.0 > range.1 {
                    reader.broken.push(Violation::Backwards);
                }
                Some(range)
            }
        };
        let statuses = raw.person_statuses.iter().filter_map(|name| {
            let status = PersonStatus::parse(name);
            if status.is_none() {
                reader.broken.push(Violation::UnknownValue {
                    field: "PersonStatuses",
                });
            }
            status
        });
        let statuses = statuses.collect();
        let basic_unit = reader.digits("BasicStatisticalUnit", raw.basic_statistical_unit, 8);
        reader.done(Self {
            birth,
            statuses,
            basic_unit,
            ..query
        })
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|t| !t.is_empty())
}

fn letters(text: &str) -> usize {
    letters_of(text)
}

fn letters_of(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphabetic()).count()
}

/// The folded text with numbers and words apart: `storgata12B` and `Storgata 12 b` are the same.
pub(crate) fn spaced(text: &str) -> String {
    let folded = codes::fold::fold(text);
    let mut out = String::with_capacity(folded.len() + 4);
    let mut last: Option<char> = None;
    for c in folded.chars() {
        let digit = |c: char| c.is_ascii_digit();
        if last.is_some_and(|l| l != ' ' && c != ' ' && digit(l) != digit(c)) {
            out.push(' ');
        }
        out.push(c);
        last = Some(c);
    }
    out
}

#[derive(Default)]
struct Reader {
    broken: Violations,
}

impl Reader {
    fn common(&mut self, raw: &Raw<'_>, least_name: usize, least_street: usize) -> Query {
        let mut name = |field, text, most| self.name(field, text, least_name, most);
        let names = (
            name("GivenName", raw.given_name, 200),
            name("MiddleName", raw.middle_name, 200),
            name("FamilyName", raw.family_name, 200),
            name("FullName", raw.full_name, 600),
        );
        Query {
            given: names.0,
            middle: names.1,
            family: names.2,
            full: names
                .3
                .map(|full| full.split(' ').take(3).map(str::to_owned).collect())
                .unwrap_or_default(),
            street: self.street(raw.street_address, least_street),
            postcode: self.digits("PostalCode", raw.postal_code, 4),
            city: self.name("CityName", raw.city_name, 1, 100),
            municipality: self.digits("MunicipalityNumber", raw.municipality_number, 4),
            gender: given(raw.gender).and_then(|text| {
                let gender = Gender::parse(text);
                if gender.is_none() {
                    self.broken
                        .push(Violation::UnknownValue { field: "Gender" });
                }
                gender
            }),
            ..Query::default()
        }
    }

    fn length(&mut self, field: &'static str, text: &str, least: usize, most: usize) -> bool {
        let length = text.chars().count();
        if length > most {
            self.broken.push(Violation::TooLong { field, most });
        } else if length < least {
            self.broken.push(Violation::TooShort { field, least });
        }
        (least..=most).contains(&length)
    }

    fn name(
        &mut self,
        field: &'static str,
        text: Option<&str>,
        least: usize,
        most: usize,
    ) -> Option<String> {
        let text = given(text)?;
        if !self.length(field, text, least, most) {
            return None;
        }
        // Marks are letters written in two characters.
        let allowed = |c: char| {
            c.is_alphabetic()
                || c.is_whitespace()
                || c == '-'
                || ('\u{300}'..='\u{36f}').contains(&c)
        };
        let folded = codes::fold::fold(text);
        if !text.chars().all(allowed) || folded.is_empty() {
            self.broken.push(Violation::NotLetters { field });
            return None;
        }
        Some(folded)
    }

    fn street(&mut self, text: Option<&str>, least: usize) -> Option<String> {
        let text = given(text)?;
        if !self.length("StreetAddress", text, least, 200) {
            return None;
        }
        let allowed = |c: char| {
            c.is_alphanumeric() || c.is_whitespace() || ('\u{300}'..='\u{36f}').contains(&c)
        };
        let spaced = spaced(text);
        if !text.chars().all(allowed) || spaced.is_empty() {
            self.broken.push(Violation::NotStreet);
            return None;
        }
        Some(spaced)
    }

    fn digits<T: std::str::FromStr>(
        &mut self,
        field: &'static str,
        text: Option<&str>,
        digits: usize,
    ) -> Option<T> {
        let text = given(text)?;
        let right = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        let number = right.then(|| text.parse().ok()).flatten();
        if number.is_none() {
            self.broken.push(Violation::NotDigits { field, digits });
        }
        number
    }

    fn date(&mut self, field: &'static str, text: Option<&str>) -> Option<(u32, u32)> {
        let range = birth_range(given(text)?);
        if range.is_none() {
            self.broken.push(Violation::NotDate { field });
        }
        range
    }

    fn done(self, query: Query) -> Result<Query, Violations> {
        if self.broken.is_empty() {
            Ok(query)
        } else {
            Err(self.broken)
        }
    }
}

/// `YYYY`, `YYYY-MM` or `YYYY-MM-DD` as first and last key.
fn birth_range(text: &str) -> Option<(u32, u32)> {
    let number = |part: &str, digits: usize| -> Option<u32> {
        let right = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        right.then(|| part.parse().ok()).flatten()
    };
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4)?;
    let month = parts.next().map(|m| number(m, 2));
    let day = parts.next().map(|d| number(d, 2));
    if parts.next().is_some() || year == 0 {
        return None;
    }
    match (month, day) {
        (None, _) => Some((year * 10_000, year * 10_000 + 9_999)),
        (Some(month), None) => {
            let month = month.filter(|m| (1..=12).contains(m))?;
            let first = year * 10_000 + month * 100;
            Some((first, first + 99))
        }
        (Some(month), Some(day)) => {
            let (month, day) = (month?, day?);
            let date = Date::new(
                i16::try_from(year).ok()?,
                i8::try_from(month).ok()?,
                i8::try_from(day).ok()?,
            );
            let key = crate::persons::document::day_key(date.ok()?);
            Some((key, key))
        }
    }
}
