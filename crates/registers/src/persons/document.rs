//! What the person register holds about one person: facts with their history (spec/grunndata.md §3.4).
//!
//! Parts that the hub has rules for are typed; the others are kept as they came ([`OtherPart`]).

use super::codes::{
    AddressForm, FamilyRole, Gender, GuardianshipScope, GuardianshipType, IdentifierKind,
    MaritalStatusType, OtherPart, PersonStatus, ProtectionLevel, ResponsibilityType, StayElsewhere,
};
use crate::kernel::EntryId;
use crate::kernel::identifiers::Packed;
use crate::kernel::period::Moment;
use crate::kernel::timeline::Timeline;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One identifier of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identifier {
    /// Its digits.
    #[serde(rename = "n")]
    pub number: Packed,
    /// Its kind.
    #[serde(rename = "k")]
    pub kind: IdentifierKind,
    /// In use, or discontinued (which still leads here).
    #[serde(rename = "u")]
    pub in_use: bool,
}

impl Identifier {
    /// From text: kind by form. `None` for anything but 11 or 12 digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = Packed::digits(text)?;
        let kind = match (text.len(), text.as_bytes().first()?) {
            (12, _) => IdentifierKind::ImmigrationAuthoritiesNumber,
            (11, b'8' | b'9') => IdentifierKind::AlternateIdentificationNumber,
            (11, b'4'..=b'7') => IdentifierKind::DNumber,
            (11, _) => IdentifierKind::NationalIdentityNumber,
            _ => return None,
        };
        // A DUF number begins with its year: with a leading zero it would be another's eleven digits.
        if text.len() == 12 && text.starts_with('0') {
            return None;
        }
        Some(Self {
            number,
            kind,
            in_use: true,
        })
    }

    /// Its digits as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.number.text(match self.kind {
            IdentifierKind::ImmigrationAuthoritiesNumber => 12,
            _ => 11,
        })
    }
}

/// A name in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Name {
    /// Given names.
    #[serde(rename = "g")]
    pub given: String,
    /// Middle name.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub middle: Option<String>,
    /// Family name.
    #[serde(rename = "f")]
    pub family: String,
}

/// A birth. Never derived from an identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Birth {
    /// The day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Date>,
    /// The year, where the day is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub year: Option<i16>,
    /// Place abroad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Municipality number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub municipality: Option<u16>,
    /// Country, alpha-3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

impl Birth {
    /// For ordering and ranges: year, month, day as one number, 00 for what is not known.
    #[must_use]
    pub fn key(&self) -> u32 {
        match (self.date, self.year) {
            (Some(d), _) => day_key(d),
            (None, Some(year)) => u32::try_from(year).unwrap_or(0) * 10_000,
            (None, None) => 0,
        }
    }
}

/// A day as one number that keeps the order: 20261123.
#[must_use]
pub fn day_key(day: Date) -> u32 {
    let part = |n: i8| u32::try_from(n).unwrap_or(0);
    u32::try_from(day.year()).unwrap_or(0) * 10_000 + part(day.month()) * 100 + part(day.day())
}

/// A residential, present or shared address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Its form.
    pub form: AddressForm,
    /// Street name; for cadastral addresses the additional name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub street: String,
    /// House number; for cadastral addresses `land/title/lease/section`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub number: String,
    /// House letter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub letter: String,
    /// Dwelling (bruksenhet, `H0101`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// C/o name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub care_of: String,
    /// Postcode.
    pub postcode: u16,
    /// Postal place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// Municipality number.
    pub municipality: u16,
    /// Urban district.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub district: Option<u32>,
    /// Basic statistical unit, eight digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_unit: Option<u32>,
    /// Day of moving in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Date>,
    /// Grading of this address.
    pub grading: ProtectionLevel,
    /// What only an address abroad has. Its street, place and c/o name stand in the members above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abroad: Option<Box<Abroad>>,
    /// Why the person stays here and not at home; present addresses only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<StayElsewhere>,
}

/// What an address abroad has beside street, place and c/o name. Empty where nothing is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Abroad {
    /// Building.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub building: String,
    /// Floor.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub floor: String,
    /// Flat or unit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Post box.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub post_box: String,
    /// Postcode, in the country's own form.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub postcode: String,
    /// District.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub district: String,
    /// Region.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Country, alpha-2.
    pub country: String,
}

impl Address {
    /// Street, number and letter as written on an envelope.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}{}", self.street, self.number, self.letter)
    }
}

/// A family relation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FamilyRelation {
    /// The other's identifier, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Packed>,
    /// What the other is to this person.
    pub role: FamilyRole,
    /// What this person is to the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mine: Option<FamilyRole>,
}

/// Parental responsibility, seen from either side.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Responsibility {
    /// Kind.
    pub kind: ResponsibilityType,
    /// Who has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responsible: Option<Packed>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Packed>,
}

/// Marital status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Marital {
    /// Status.
    pub status: MaritalStatusType,
    /// Since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Date>,
    /// The spouse or partner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spouse: Option<Packed>,
}

/// A guardianship or power of attorney, seen from the one who has the guardian.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Guardianship {
    /// Kind.
    pub kind: GuardianshipType,
    /// The guardian.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardian: Option<Packed>,
    /// Scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<GuardianshipScope>,
    /// The scope covers personal interests: only then may the guardian act in health matters.
    pub personal: bool,
    /// The county governor's office.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub office: Option<String>,
}

/// Everything the register holds about one person.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PersonDocument {
    /// Identifiers.
    #[serde(rename = "ids")]
    pub identifiers: Timeline<Identifier>,
    /// Names.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub name: Timeline<Name>,
    /// Births.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub birth: Timeline<Birth>,
    /// Sex.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub gender: Timeline<Gender>,
    /// Status.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub status: Timeline<PersonStatus>,
    /// Day of death.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub death: Timeline<Date>,
    /// Residential addresses.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub residential: Timeline<Address>,
    /// Present addresses.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub present: Timeline<Address>,
    /// Shared residence.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub shared: Timeline<Address>,
    /// Address protection.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub protection: Timeline<ProtectionLevel>,
    /// Family.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub family: Timeline<FamilyRelation>,
    /// Parental responsibility.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub parental: Timeline<Responsibility>,
    /// Marital status.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub marital: Timeline<Marital>,
    /// Citizenships, alpha-3.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub citizenship: Timeline<String>,
    /// Guardianships.
    #[serde(default, skip_serializing_if = "Timeline::is_empty")]
    pub guardianship: Timeline<Guardianship>,
    /// Parts kept as they came.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<OtherPart, Timeline<serde_json::Value>>,
    /// This person was found to be the same as that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<EntryId>,
    /// Those found to be the same as this one, and since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absorbed: BTreeMap<EntryId, Moment>,
}

/// National ids and names never reach a log through `{:?}`.
impl fmt::Debug for PersonDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonDocument(…)")
    }
}

impl PersonDocument {
    /// Protection at an instant.
    #[must_use]
    pub fn protection_at(&self, at: Moment) -> ProtectionLevel {
        self.protection
            .one_at(at)
            .copied()
            .unwrap_or(ProtectionLevel::Unclassified)
    }

    /// Whether the person is strictly confidential by what was said last, and has no address.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        let said = self.protection.all().filter(|h| !h.annulled);
        said.last()
            .is_some_and(|h| h.value == ProtectionLevel::StrictlyConfidential)
            && [&self.residential, &self.present, &self.shared]
                .iter()
                .all(|line| line.is_empty())
    }

    /// Applies the address protection: of a strictly confidential person (kode 6) no residential, present or shared
    /// address is kept, not even earlier ones; others' addresses are graded at least as high as the person
    /// (spec/grunndata.md §3.7, rules 1 and 6: earlier addresses get the present level).
    pub fn obey_protection(&mut self, now: Moment) {
        let level = self.protection_at(now);
        for line in [&mut self.residential, &mut self.present, &mut self.shared] {
            if level == ProtectionLevel::StrictlyConfidential {
                *line = Timeline::default();
            } else if line.all().any(|h| h.value.grading < level) {
                *line = line
                    .all()
                    .cloned()
                    .map(|mut held| {
                        held.value.grading = held.value.grading.max(level);
                        held
                    })
                    .collect();
            }
        }
    }
}
