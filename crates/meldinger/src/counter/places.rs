//! Where the parties of a message are and what they are, as the address register says (spec/messaging.md §9.1): health region,
//! municipality, type of organisation (9040).
//!
//! Nothing of it is kept with the numbers: an organisation that moves takes its numbers along, and the register stays the one
//! place where that is known.

use std::collections::HashMap;
use std::sync::Arc;

use codes::places::{Region, municipality};

use super::query::{CountRow, most_first};
use super::tally::Counts;

/// Where a level-1 party is and what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Municipality (3402), four digits.
    pub municipality: Option<String>,
    /// Type of organisation (9040).
    pub kind: Option<String>,
}

impl Origin {
    /// The health region of the municipality.
    #[must_use]
    pub fn region(&self) -> Option<Region> {
        let number = self.municipality.as_deref()?;
        Some(municipality(number)?.county()?.region)
    }
}

/// What the address register says of a level-1 HER-id.
pub type Origins = Arc<dyn Fn(u32) -> Origin + Send + Sync>;

/// A region as the tables write it.
#[must_use]
pub fn region_code(region: Region) -> &'static str {
    match region {
        Region::Nord => "nord",
        Region::Midt => "midt",
        Region::Vest => "vest",
        Region::SorOst => "sor-ost",
    }
}

/// The lists by place and type.
pub(super) struct Grouped {
    pub regions: Vec<CountRow>,
    pub municipalities: Vec<CountRow>,
    pub kinds: Vec<CountRow>,
}

/// Numbers of organisations grouped; an empty key is "the register does not say".
pub(super) fn group(organisations: &HashMap<u32, Counts>, origins: &Origins) -> Grouped {
    type List = HashMap<String, (Option<String>, Counts)>;
    let (mut regions, mut municipalities, mut kinds) = (List::new(), List::new(), List::new());
    for (her_id, counts) in organisations {
        let origin = origins(*her_id);
        let region = origin.region();
        let place = origin.municipality.unwrap_or_default();
        let place_name = municipality(&place).map(|m| m.name.to_owned());
        let kind = origin.kind.unwrap_or_default();
        let kind_name = codes::lists::display(&codes::oid::list(9040), &kind).map(str::to_owned);
        let region_key = region.map(region_code).unwrap_or_default().to_owned();
        let region_name = region.map(|region| region.name().to_owned());
        for (list, key, name) in [
            (&mut regions, region_key, region_name),
            (&mut municipalities, place, place_name),
            (&mut kinds, kind, kind_name),
        ] {
            let row = list.entry(key).or_insert_with(|| (name, Counts::default()));
            row.1.add(counts);
        }
    }
    let rows = |list: List| {
        let rows = list.into_iter().map(|(key, (name, counts))| CountRow {
            name,
            ..CountRow::of(key, counts)
        });
        most_first(rows.collect())
    };
    Grouped {
        regions: rows(regions),
        municipalities: rows(municipalities),
        kinds: rows(kinds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(messages: u64) -> Counts {
        Counts {
            messages,
            ..Counts::default()
        }
    }

    #[test]
    fn organisations_stand_together_by_place_and_type() {
        let origins: Origins = Arc::new(|her_id| {
            let (municipality, kind) = match her_id {
                1 => (Some("0301"), Some("103")),
                2 => (Some("1804"), Some("101")),
                3 => (Some("5501"), Some("103")),
                // Somewhere that no municipality is.
                4 => (Some("9999"), None),
                _ => (None, None),
            };
            Origin {
                municipality: municipality.map(str::to_owned),
                kind: kind.map(str::to_owned),
            }
        });
        let all = HashMap::from([1, 2, 3, 4, 5].map(|her_id| (her_id, counts(u64::from(her_id)))));
        let grouped = group(&all, &origins);
        let keys = |rows: &[CountRow]| -> Vec<(String, u64)> {
            rows.iter()
                .map(|row| (row.key.clone(), row.counts.messages))
                .collect()
        };
        assert_eq!(
            keys(&grouped.regions),
            [
                (String::new(), 9),
                ("nord".to_owned(), 5),
                ("sor-ost".to_owned(), 1)
            ]
        );
        assert_eq!(keys(&grouped.municipalities).len(), 5);
        assert_eq!(
            keys(&grouped.kinds),
            [
                (String::new(), 9),
                ("103".to_owned(), 4),
                ("101".to_owned(), 2)
            ]
        );
        let oslo = grouped.municipalities.iter().find(|row| row.key == "0301");
        assert_eq!(oslo.unwrap().name.as_deref(), Some("Oslo"));
        // Nothing is lost in any of them.
        for rows in [&grouped.regions, &grouped.municipalities, &grouped.kinds] {
            assert_eq!(rows.iter().map(|row| row.counts.messages).sum::<u64>(), 15);
        }
    }
}
