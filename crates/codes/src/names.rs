//! First names with weights and typical age, surnames, and street names for synthetic persons: our own small tables.
//!
//! A name's weight for a person of age `a` is `weight · exp(−((a − m)/15)²)` with `m` the name's typical age, so that babies
//! are not called Bjørg. The groups are groups of names, nothing more: a name says nothing about anybody.

use std::sync::LazyLock;

use crate::ident::Sex;
use crate::tsv;

/// Group of names that usually occur together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameGroup {
    /// Most common in Norway.
    General,
    /// Sami.
    Sami,
    /// Polish, Lithuanian, other eastern Europe.
    EasternEurope,
    /// Somali, Eritrean, Ethiopian.
    EastAfrica,
    /// Pakistani, Afghan, Iranian, Iraqi, Syrian, Turkish.
    WestAsia,
    /// Vietnamese, Filipino, Thai, Chinese, Indian, Tamil.
    EastAsia,
    /// Nordic, western Europe, Latin America.
    WesternEurope,
}

impl NameGroup {
    /// All groups.
    pub const ALL: [Self; 7] = [
        Self::General,
        Self::Sami,
        Self::EasternEurope,
        Self::EastAfrica,
        Self::WestAsia,
        Self::EastAsia,
        Self::WesternEurope,
    ];

    fn read(code: &str) -> Option<Self> {
        Some(match code {
            "no" => Self::General,
            "se" => Self::Sami,
            "ee" => Self::EasternEurope,
            "ea" => Self::EastAfrica,
            "me" => Self::WestAsia,
            "as" => Self::EastAsia,
            "we" => Self::WesternEurope,
            _ => return None,
        })
    }
}

/// A first name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FirstName {
    /// The name.
    pub name: &'static str,
    /// Sex of most bearers.
    pub sex: Sex,
    /// Group of names.
    pub group: NameGroup,
    /// How common, relative to the others of the group.
    pub weight: f64,
    /// Typical age of its bearers, years.
    pub typical_age: f64,
}

impl FirstName {
    /// Weight for a person of this age, years.
    #[must_use]
    pub fn weight_at(&self, age: f64) -> f64 {
        let away = (age - self.typical_age) / 15.0;
        self.weight * (-away * away).exp()
    }
}

/// A surname.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surname {
    /// The name.
    pub name: &'static str,
    /// Form that women carry, where it differs.
    pub feminine: Option<&'static str>,
    /// Group of names.
    pub group: NameGroup,
    /// How common, relative to the others of the group.
    pub weight: f64,
}

impl Surname {
    /// The form for this sex.
    #[must_use]
    pub fn form(&self, sex: Sex) -> &'static str {
        match (sex, self.feminine) {
            (Sex::Female, Some(form)) => form,
            _ => self.name,
        }
    }
}

/// All first names.
#[must_use]
pub fn first_names() -> &'static [FirstName] {
    &FIRST
}

/// All surnames.
#[must_use]
pub fn surnames() -> &'static [Surname] {
    &SURNAMES
}

/// Invented street names; each municipality of a synthetic nation draws from them.
#[must_use]
pub fn streets() -> &'static [&'static str] {
    &STREETS
}

static FIRST: LazyLock<Vec<FirstName>> = LazyLock::new(|| {
    tsv::rows(include_str!("names/first_names.tsv"))
        .filter_map(|r| {
            Some(FirstName {
                name: tsv::field(&r, 0)?,
                sex: match tsv::field(&r, 1)? {
                    "F" => Sex::Female,
                    "M" => Sex::Male,
                    _ => return None,
                },
                group: NameGroup::read(tsv::field(&r, 2)?)?,
                weight: tsv::field(&r, 3)?.parse().ok()?,
                typical_age: tsv::field(&r, 4)
                    .and_then(|a| a.parse().ok())
                    .unwrap_or(45.0),
            })
        })
        .collect()
});

static SURNAMES: LazyLock<Vec<Surname>> = LazyLock::new(|| {
    tsv::rows(include_str!("names/surnames.tsv"))
        .filter_map(|r| {
            Some(Surname {
                name: tsv::field(&r, 0)?,
                group: NameGroup::read(tsv::field(&r, 1)?)?,
                weight: tsv::field(&r, 2)?.parse().ok()?,
                feminine: tsv::field(&r, 3),
            })
        })
        .collect()
});

static STREETS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    tsv::rows(include_str!("names/streets.tsv"))
        .filter_map(|r| tsv::field(&r, 0))
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_names_of_both_sexes() {
        let rows = |text: &'static str| tsv::rows(text).count();
        assert_eq!(
            first_names().len(),
            rows(include_str!("names/first_names.tsv"))
        );
        assert_eq!(surnames().len(), rows(include_str!("names/surnames.tsv")));
        for group in NameGroup::ALL {
            for sex in [Sex::Female, Sex::Male] {
                let n = first_names()
                    .iter()
                    .filter(|f| f.group == group && f.sex == sex)
                    .count();
                assert!(n >= 10, "{group:?} {sex:?} {n}");
            }
            assert!(
                surnames().iter().filter(|s| s.group == group).count() >= 10,
                "{group:?}"
            );
        }
        assert!(streets().len() >= 80);
    }

    #[test]
    fn names_belong_to_their_cohort() {
        let weight = |name: &str, age: f64| {
            first_names()
                .iter()
                .find(|f| f.name == name)
                .map(|f| f.weight_at(age))
                .unwrap()
        };
        assert!(weight("Bjørg", 80.0) > 1000.0 * weight("Bjørg", 5.0));
        assert!(weight("Emma", 6.0) > weight("Emma", 60.0));
        let kowalski = surnames().iter().find(|s| s.name == "Kowalski").unwrap();
        assert_eq!(kowalski.form(Sex::Female), "Kowalska");
        assert_eq!(kowalski.form(Sex::Male), "Kowalski");
    }
}
