//! Searches (spec/grunndata.md §3.3): form fields into a query, and what is found into an answer.
//!
//! A caller without legal basis cannot find by what she may not see: graded addresses and confidential statuses do not
//! match (spec/privacy.md §7.5, §4.2).

use super::form::{Broken, Fields};
use registers::persons::codes::PersonStatus;
use registers::persons::search::{Query, Raw, Violation, Violations};
use trust::register::PersonGround;

/// Most persons of a search.
pub const MAX_FOUND: usize = 100;
/// Usual and largest page of a list of ids.
const PAGE_SIZE: i64 = 1_000;
const MAX_PAGE_SIZE: i64 = 10_000;
/// Most ids of a list that is not paged.
pub const MAX_UNPAGED: usize = 10_000;

/// A list of ids, or a page of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What is searched for; `None` = nothing can match.
    pub query: Option<Query>,
    /// So many ids.
    pub size: usize,
    /// From this entry on.
    pub from: u32,
}

/// A search for persons; `None` = nothing can match.
///
/// # Errors
/// Every rule that is broken.
pub fn persons(
    form: &Fields,
    ground: PersonGround,
    with_help_numbers: bool,
) -> Result<Option<Query>, Broken> {
    read(form, ground, with_help_numbers, Query::search)
}

/// A list of ids, paged.
///
/// # Errors
/// Every rule that is broken.
pub fn page(form: &Fields, ground: PersonGround, with_help_numbers: bool) -> Result<Page, Broken> {
    let mut broken = Broken::default();
    let size = form.number("PageSize", 1..=MAX_PAGE_SIZE, &mut broken);
    let from = form.number("IndexOffset", 0..=i64::from(i32::MAX), &mut broken);
    let query = read(form, ground, with_help_numbers, Query::list);
    let query = match query {
        Ok(query) => query,
        Err(more) => {
            broken.0.extend(more.0);
            None
        }
    };
    broken.unless(Page {
        query,
        size: usize::try_from(size.unwrap_or(PAGE_SIZE)).unwrap_or(MAX_UNPAGED),
        from: u32::try_from(from.unwrap_or(0)).unwrap_or(u32::MAX),
    })
}

fn read(
    form: &Fields,
    ground: PersonGround,
    with_help_numbers: bool,
    rules: impl Fn(&Raw<'_>) -> Result<Query, Violations>,
) -> Result<Option<Query>, Broken> {
    let mut broken = Broken::default();
    let statuses = form.values("PersonStatuses");
    let mut one = |name| form.one(name, &mut broken);
    let raw = Raw {
        given_name: one("GivenName"),
        middle_name: one("MiddleName"),
        family_name: one("FamilyName"),
        full_name: one("FullName"),
        street_address: one("StreetAddress"),
        postal_code: one("PostalCode"),
        city_name: one("CityName"),
        municipality_number: one("MunicipalityNumber"),
        basic_statistical_unit: one("BasicStatisticalUnit"),
        birth_date: one("BirthDate"),
        birth_date_from: one("BirthDateFrom"),
        birth_date_to: one("BirthDateTo"),
        gender: one("Gender"),
        person_statuses: &statuses,
    };
    let query = rules(&raw);
    match query {
        Ok(query) => broken.unless(narrowed(query, ground, with_help_numbers)),
        Err(violations) => {
            for violation in violations {
                broken.add(field(&violation), violation.to_string());
            }
            Err(broken)
        }
    }
}

fn narrowed(mut query: Query, ground: PersonGround, with_help_numbers: bool) -> Option<Query> {
    query.include_alternate = with_help_numbers;
    query.legal_basis = ground == PersonGround::LegalBasis;
    if !query.statuses.is_empty() {
        let is_shown = |status: &PersonStatus| ground.shows_status(*status);
        query.statuses.retain(is_shown);
        if query.statuses.is_empty() {
            return None;
        }
    }
    Some(query)
}

fn field(violation: &Violation) -> &'static str {
    match violation {
        Violation::TooLong { field, .. }
        | Violation::TooShort { field, .. }
        | Violation::NotLetters { field }
        | Violation::NotDigits { field, .. }
        | Violation::NotDate { field }
        | Violation::UnknownValue { field } => field,
        Violation::NotStreet => "StreetAddress",
        Violation::Backwards => "BirthDateFrom",
        _ => "",
    }
}

/// Index of the last one of a page: the next page begins one after it. `next` is where more begins, if there is more.
#[must_use]
pub fn end_index(from: u32, next: Option<u32>, last: Option<u32>) -> i64 {
    let past = next.or(last.map(|last| last.saturating_add(1)));
    i64::from(
        past.unwrap_or(from)
            .saturating_sub(1)
            .max(from.saturating_sub(1)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use PersonGround::{LegalBasis, NoLegalBasis};

    fn form(text: &str) -> Fields {
        Fields::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn confidential_statuses_cannot_be_searched_for_without_a_legal_basis() {
        let list = |text: &str, ground| page(&form(text), ground, false).unwrap().query;
        let both = "PersonStatuses=Disappeared&PersonStatuses=Resident";
        assert_eq!(
            list(both, NoLegalBasis).unwrap().statuses,
            [PersonStatus::Resident]
        );
        assert_eq!(list(both, LegalBasis).unwrap().statuses.len(), 2);
        assert_eq!(list("PersonStatuses=Disappeared", NoLegalBasis), None);
        assert!(list("PersonStatuses=Disappeared", LegalBasis).is_some());
        assert!(list("", NoLegalBasis).is_some());
    }

    #[test]
    fn every_broken_rule_is_told_under_its_field() {
        for (text, fields) in [
            ("", vec![""]),
            ("FullName=Kari&BirthDate=1.1.2000", vec!["BirthDate"]),
            ("FullName=K4ri&BirthDate=2000", vec!["FullName"]),
            ("FullName=Kari&BirthDate=2000&Gender=Other", vec!["Gender"]),
            (
                "FullName=Kari&FullName=Ola&BirthDate=2000",
                vec!["FullName"],
            ),
        ] {
            let broken = persons(&form(text), LegalBasis, false).unwrap_err();
            assert_eq!(broken.0.keys().collect::<Vec<_>>(), fields, "{text}");
        }
        let broken = page(
            &form("PageSize=0&IndexOffset=-1&GivenName=ab&BirthDateFrom=2001&BirthDateTo=2000"),
            LegalBasis,
            false,
        );
        let fields: Vec<String> = broken.unwrap_err().0.into_keys().collect();
        assert_eq!(
            fields,
            ["BirthDateFrom", "GivenName", "IndexOffset", "PageSize"]
        );
    }

    #[test]
    fn pages_have_the_sizes_of_the_contract() {
        let read = |text: &str| {
            let page = page(&form(text), LegalBasis, true).unwrap();
            (page.size, page.from, page.query.unwrap().include_alternate)
        };
        assert_eq!(read(""), (1_000, 0, true));
        assert_eq!(
            read("PageSize=10000&IndexOffset=2147483647"),
            (10_000, 2_147_483_647, true)
        );
    }

    #[test]
    fn the_next_page_begins_after_the_last_index() {
        for (from, next, last, index) in [
            (0, None, None, -1),
            (0, None, Some(4), 4),
            (0, Some(7), Some(4), 6),
            (7, None, None, 6),
            (7, None, Some(9), 9),
            (7, Some(12), Some(9), 11),
        ] {
            // Nothing found at the very beginning has no index before it.
            assert_eq!(
                end_index(from, next, last),
                index.max(0),
                "{from} {next:?} {last:?}"
            );
        }
    }
}
