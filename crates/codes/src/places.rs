//! Counties, municipalities (2024 structure) and a sample of postcodes: our own small tables.
//!
//! Populations are rounded or estimated so that every county's total fits. They give a synthetic nation its shape and are
//! never to be quoted as statistics.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::tsv;

/// Health region: the state's regional health authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Region {
    /// Nordland, Troms, Finnmark.
    Nord,
    /// Trøndelag, Møre og Romsdal.
    Midt,
    /// Vestland, Rogaland.
    Vest,
    /// The rest.
    SorOst,
}

impl Region {
    /// All regions, north to south.
    pub const ALL: [Self; 4] = [Self::Nord, Self::Midt, Self::Vest, Self::SorOst];

    /// Norwegian name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nord => "Nord",
            Self::Midt => "Midt-Norge",
            Self::Vest => "Vest",
            Self::SorOst => "Sør-Øst",
        }
    }
}

/// A county.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct County {
    /// Two digits.
    pub number: &'static str,
    /// Norwegian name.
    pub name: &'static str,
    /// Health region.
    pub region: Region,
    /// Latitude of a point near the middle, degrees north.
    pub latitude: f64,
    /// Longitude of that point, degrees east.
    pub longitude: f64,
}

/// A municipality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Municipality {
    /// Four digits, the first two the county's.
    pub number: &'static str,
    /// Norwegian name (not unique: there are two Herøy and two Våler).
    pub name: &'static str,
    /// Inhabitants, rounded or estimated.
    pub population: u32,
}

impl Municipality {
    /// Number of the county.
    #[must_use]
    pub fn county_number(&self) -> &'static str {
        self.number.get(..2).unwrap_or_default()
    }

    /// The county.
    #[must_use]
    pub fn county(&self) -> Option<&'static County> {
        county(self.county_number())
    }

    /// Its postcodes in our sample, ascending; never empty.
    #[must_use]
    pub fn postcodes(&self) -> &'static [Postcode] {
        TABLES.postcodes_of(self.number)
    }
}

/// A postcode of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postcode {
    /// Four digits.
    pub code: &'static str,
    /// Postal place.
    pub place: &'static str,
    /// Number of the municipality.
    pub municipality: &'static str,
}

/// All counties by number.
#[must_use]
pub fn counties() -> &'static [County] {
    &TABLES.counties
}

/// All 357 municipalities by number.
#[must_use]
pub fn municipalities() -> &'static [Municipality] {
    &TABLES.municipalities
}

/// The county with this number.
#[must_use]
pub fn county(number: &str) -> Option<&'static County> {
    TABLES.counties.iter().find(|c| c.number == number)
}

/// The municipality with this number.
#[must_use]
pub fn municipality(number: &str) -> Option<&'static Municipality> {
    let all = &TABLES.municipalities;
    all.binary_search_by(|m| m.number.cmp(number))
        .ok()
        .and_then(|at| all.get(at))
}

/// The postcode, if it is in the sample.
#[must_use]
pub fn postcode(code: &str) -> Option<&'static Postcode> {
    TABLES
        .by_code
        .get(code)
        .and_then(|at| TABLES.postcodes.get(*at))
}

/// Sum of all populations.
#[must_use]
pub fn national_population() -> u32 {
    TABLES.municipalities.iter().map(|m| m.population).sum()
}

struct Tables {
    counties: Vec<County>,
    municipalities: Vec<Municipality>,
    /// By municipality, then code.
    postcodes: Vec<Postcode>,
    ranges: HashMap<&'static str, (usize, usize)>,
    by_code: HashMap<&'static str, usize>,
}

impl Tables {
    fn postcodes_of(&'static self, municipality: &str) -> &'static [Postcode] {
        self.ranges
            .get(municipality)
            .and_then(|(from, to)| self.postcodes.get(*from..*to))
            .unwrap_or_default()
    }
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let counties = tsv::rows(include_str!("places/counties.tsv"))
        .filter_map(|r| county_row(&r))
        .collect();
    let mut municipalities: Vec<Municipality> =
        tsv::rows(include_str!("places/municipalities.tsv"))
            .filter_map(|r| {
                Some(Municipality {
                    number: tsv::field(&r, 0)?,
                    name: tsv::field(&r, 1)?,
                    population: tsv::field(&r, 2)?.parse().ok()?,
                })
            })
            .collect();
    municipalities.sort_by_key(|m| m.number);
    let mut postcodes: Vec<Postcode> = tsv::rows(include_str!("places/postcodes.tsv"))
        .filter_map(|r| {
            Some(Postcode {
                code: tsv::field(&r, 0)?,
                place: tsv::field(&r, 1)?,
                municipality: tsv::field(&r, 2)?,
            })
        })
        .collect();
    postcodes.sort_by_key(|p| (p.municipality, p.code));
    let mut ranges: HashMap<&'static str, (usize, usize)> = HashMap::new();
    for (at, p) in postcodes.iter().enumerate() {
        ranges.entry(p.municipality).or_insert((at, at)).1 = at + 1;
    }
    let by_code = postcodes
        .iter()
        .enumerate()
        .map(|(at, p)| (p.code, at))
        .collect();
    Tables {
        counties,
        municipalities,
        postcodes,
        ranges,
        by_code,
    }
});

fn county_row(row: &[&'static str]) -> Option<County> {
    let region = match tsv::field(row, 2)? {
        "Nord" => Region::Nord,
        "Midt-Norge" => Region::Midt,
        "Vest" => Region::Vest,
        "Sør-Øst" => Region::SorOst,
        _ => return None,
    };
    Some(County {
        number: tsv::field(row, 0)?,
        name: tsv::field(row, 1)?,
        region,
        latitude: tsv::field(row, 3)?.parse().ok()?,
        longitude: tsv::field(row, 4)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_whole() {
        assert_eq!(counties().len(), 15);
        assert_eq!(municipalities().len(), 357);
        assert_eq!(national_population(), 5_550_203);
        for m in municipalities() {
            assert!(m.county().is_some(), "{}", m.number);
            assert!(m.population >= 200, "{}", m.number);
            assert!(!m.postcodes().is_empty(), "{}", m.number);
        }
        assert!(
            municipalities()
                .windows(2)
                .all(|w| w[0].number < w[1].number)
        );
    }

    #[test]
    fn size_classes_and_county_totals() {
        let class = |from: u32, to: u32| {
            municipalities()
                .iter()
                .filter(|m| (from..to).contains(&m.population))
                .count()
        };
        assert_eq!(class(100_000, u32::MAX), 7);
        assert_eq!(class(50_000, 100_000), 13);
        assert_eq!(class(20_000, 50_000), 40);
        assert_eq!(class(10_000, 20_000), 50);
        assert_eq!(class(5_000, 10_000), 65);
        assert_eq!(class(2_000, 5_000), 95);
        assert_eq!(class(0, 2_000), 87);
        let total = |c: &str| -> u32 {
            municipalities()
                .iter()
                .filter(|m| m.county_number() == c)
                .map(|m| m.population)
                .sum()
        };
        assert_eq!(
            (total("55"), total("56"), total("03")),
            (169_610, 75_053, 717_710)
        );
    }

    #[test]
    fn lookups() {
        assert_eq!(municipality("5501").unwrap().name, "Tromsø");
        assert_eq!(postcode("9730").unwrap().municipality, "5610");
        for code in ["9008", "9009", "9010", "9011", "9016"] {
            assert_eq!(postcode(code).unwrap().municipality, "5501", "{code}");
        }
        assert_eq!(postcode("0150").unwrap().place, "Oslo");
        assert!(municipality("9999").is_none() && postcode("9999").is_none());
        assert_eq!(county("55").unwrap().region, Region::Nord);
    }
}
