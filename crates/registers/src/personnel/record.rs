//! What the register holds.
//!
//! 350 000 rows stand in memory: short codes lie inside their field, what few rows have lies in a box of its own.

use crate::directory::{PersonName, Sex};
use crate::kernel::EntryId;
use crate::kernel::identifiers::{Claims, Packed};
use crate::kernel::log::Content;
use crate::kernel::period::{Moment, Period};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Repository of the register.
pub const REPOSITORY: &str = "personnel";

/// A code of at most seven bytes, held without a heap.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Short([u8; 7], u8);

impl Short {
    /// From text; `None` when it is longer than seven bytes.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut held = [0; 7];
        held.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(held, u8::try_from(text.len()).ok()?))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.0.get(..usize::from(self.1)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.1 == 0
    }
}

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Short {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Short {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::new(&text).ok_or_else(|| serde::de::Error::custom("a code of at most seven bytes"))
    }
}

/// Number of a part within its entry, from 1; outside it is entry number · 1000 + this.
pub type PartNo = u16;

/// A suspension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Suspension {
    pub no: PartNo,
    pub period: Period,
}

/// An administrative reaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Reaction {
    pub no: PartNo,
    pub kind: Short,
    pub period: Period,
}

/// A condition on an approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Condition {
    pub no: PartNo,
    pub kind: Short,
    pub text: String,
}

/// A right to prescribe (7701).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Requisition {
    /// Its number.
    pub no: PartNo,
    /// Code of list 7701.
    pub kind: Short,
    /// Valid.
    pub valid: Period,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Short::is_empty")]
    pub ended: Short,
    /// Suspensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspensions: Vec<Suspension>,
    /// Reactions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
}

/// A speciality (7426).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speciality {
    /// Its number.
    pub no: PartNo,
    /// Code of list 7426.
    pub kind: Short,
    /// Valid.
    pub valid: Period,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Short::is_empty")]
    pub ended: Short,
    /// Country it was converted from.
    #[serde(default, skip_serializing_if = "Short::is_empty")]
    pub converted_from: Short,
    /// Suspensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspensions: Vec<Suspension>,
    /// Reactions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
}

/// An additional competence (7702).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Competence {
    /// Its number.
    pub no: PartNo,
    /// Code of list 7702.
    pub kind: Short,
    /// Valid.
    pub valid: Period,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Short::is_empty")]
    pub ended: Short,
}

/// What few approvals have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seldom {
    /// Internship approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internship: Option<Moment>,
    /// Country it was converted from.
    #[serde(skip_serializing_if = "Short::is_empty")]
    pub converted_from: Short,
    /// Additional competences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub competences: Vec<Competence>,
    /// Suspensions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspensions: Vec<Suspension>,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Reactions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// Educations it rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub educations: Vec<PartNo>,
}

impl Seldom {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[allow(clippy::borrowed_box)]
fn is_nothing(seldom: &Box<Seldom>) -> bool {
    seldom.is_empty()
}

/// An approval (godkjenning): a profession (9060) with a kind of authorisation (7704).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Its number.
    pub no: PartNo,
    /// Code of list 9060.
    pub profession: Short,
    /// Code of list 7704; 1 = authorisation, others = licences.
    pub authorisation: Short,
    /// Valid.
    pub valid: Period,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Short::is_empty")]
    pub ended: Short,
    /// Rights to prescribe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requisitions: Vec<Requisition>,
    /// Specialities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub specialities: Vec<Speciality>,
    /// What few have.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub seldom: Box<Seldom>,
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PostalAddress {
    /// Code of list 3401.
    pub kind: Short,
    pub street: Option<String>,
    pub postbox: Option<String>,
    pub postcode: Option<String>,
    pub place: Option<String>,
    /// Code of list 9043.
    pub country: Short,
    pub description: Option<String>,
}

/// Another identifier of a person.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct OtherId {
    pub no: PartNo,
    pub kind: Short,
    pub value: String,
}

/// Identifiers never reach a log.
impl fmt::Debug for OtherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OtherId({:?})", self.kind)
    }
}

/// An education.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Education {
    /// Its number.
    pub no: PartNo,
    /// Kind.
    pub kind: Short,
    /// Country (9043).
    pub country: Short,
    /// Number of the institution.
    pub institution: Option<u32>,
    /// Date of the diploma.
    pub diploma: Option<Moment>,
}

/// What few persons have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rest {
    /// Addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<PostalAddress>,
    /// Other identifiers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_ids: Vec<OtherId>,
    /// Educations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub educations: Vec<Education>,
    /// Reactions against the person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// Earlier national ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier_nins: Vec<u64>,
    /// The HPR number that took this one's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<u32>,
    /// Deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

impl Rest {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[allow(clippy::borrowed_box)]
fn no_rest(rest: &Box<Rest>) -> bool {
    rest.is_empty()
}

/// Health personnel.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Personnel {
    /// HPR number.
    pub hpr: u32,
    /// National id as a number; absent for those without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nin: Option<u64>,
    /// Name.
    pub name: PersonName,
    /// Birth date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<Date>,
    /// Date of death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<Date>,
    /// Sex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sex: Option<Sex>,
    /// Citizenship (9043).
    #[serde(default, skip_serializing_if = "Short::is_empty")]
    pub citizenship: Short,
    /// Approvals.
    pub approvals: Vec<Approval>,
    /// What few have.
    #[serde(default, skip_serializing_if = "no_rest")]
    pub rest: Box<Rest>,
    /// Number of the last part made.
    pub last_part: PartNo,
    /// Last change.
    pub updated: Moment,
    /// The system user who made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
}

/// National ids and names never reach a log through `{:?}`.
impl fmt::Debug for Personnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Personnel(hpr {})", self.hpr)
    }
}

impl Personnel {
    /// A person without anything yet.
    #[must_use]
    pub fn new(hpr: u32, name: PersonName) -> Self {
        Self {
            hpr,
            nin: None,
            name,
            born: None,
            died: None,
            sex: None,
            citizenship: Short::default(),
            approvals: Vec::new(),
            rest: Box::default(),
            last_part: 0,
            updated: Moment(0),
            by: String::new(),
        }
    }

    /// Id of the entry of an HPR number.
    #[must_use]
    pub fn id_of(hpr: u32) -> EntryId {
        EntryId((1 << 64) | u128::from(hpr))
    }

    /// The number of a new part.
    pub fn next_part(&mut self) -> PartNo {
        self.last_part = self.last_part.saturating_add(1);
        self.last_part
    }

    /// National id with its eleven digits.
    #[must_use]
    pub fn nin_text(&self) -> Option<String> {
        self.nin.map(|nin| Packed(nin).text(11))
    }

    fn competences(&self) -> usize {
        self.approvals
            .iter()
            .map(|a| a.seldom.competences.len())
            .sum()
    }
}

/// An educational institution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Institution {
    /// Name.
    pub name: String,
    /// Organisation number.
    pub orgnr: Option<u32>,
    /// Kind.
    pub kind: Short,
    /// Addresses.
    pub addresses: Vec<PostalAddress>,
    /// Deleted.
    pub deleted: bool,
    /// Last change.
    pub updated: Moment,
}

/// What the register keeps for itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// HPR numbers set aside.
    pub reserved: Vec<u32>,
    /// The highest number ever set aside.
    pub highest: u32,
    /// Professions that allow an internship, where it was set.
    pub internships: Vec<(Short, bool)>,
}

/// Id of the entry with the register's settings.
pub const SETTINGS: EntryId = EntryId(2 << 64);

/// An entry of the register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// Health personnel.
    Person(Box<Personnel>),
    /// An educational institution.
    Institution(Box<Institution>),
    /// Settings.
    Settings(Box<Settings>),
}

/// Events (spec/grunndata.md §4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum PersonnelEvent {
    PersonCreated,
    PersonUpdated,
    PersonDeleted,
    HprNumbersMerged,
    SpecialCompetenceAdded,
    UtdanningsinstitusjonCreated,
    UtdanningsinstitusjonUpdated,
    UtdanningsinstitusjonDeleted,
    HelsepersonellkategorierSomTillaterTurnusUpdated,
    /// Of the register alone: subscribers know no such event.
    NumbersSetAside,
}

impl PersonnelEvent {
    /// As subscribers see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PersonCreated => "PersonCreated",
            Self::PersonUpdated => "PersonUpdated",
            Self::PersonDeleted => "PersonDeleted",
            Self::HprNumbersMerged => "HprNumbersMerged",
            Self::SpecialCompetenceAdded => "SpecialCompetenceAdded",
            Self::UtdanningsinstitusjonCreated => "UtdanningsinstitusjonCreated",
            Self::UtdanningsinstitusjonUpdated => "UtdanningsinstitusjonUpdated",
            Self::UtdanningsinstitusjonDeleted => "UtdanningsinstitusjonDeleted",
            Self::HelsepersonellkategorierSomTillaterTurnusUpdated => {
                "HelsepersonellkategorierSomTillaterTurnusUpdated"
            }
            Self::NumbersSetAside => "NumbersSetAside",
        }
    }
}

impl Content for Record {
    type Kind = PersonnelEvent;
    const REPOSITORY: &'static str = REPOSITORY;

    fn claims(&self) -> Claims {
        let Self::Person(person) = self else {
            return Claims::default();
        };
        let in_use = !person.rest.deleted;
        let number = |number: u64, in_use| (Packed(number), in_use, Period::ALWAYS);
        let mut identifiers = vec![number(person.hpr.into(), in_use)];
        identifiers.extend(person.nin.map(|nin| number(nin, in_use)));
        let earlier = &person.rest.earlier_nins;
        identifiers.extend(earlier.iter().map(|nin| number(*nin, false)));
        Claims {
            identifiers,
            merged_into: person.rest.replaced_by.map(Personnel::id_of),
        }
    }

    fn events(before: Option<&Self>, after: &Self) -> Vec<PersonnelEvent> {
        use PersonnelEvent::*;
        match (before, after) {
            (None, Self::Person(_)) => vec![PersonCreated],
            (Some(Self::Person(before)), Self::Person(after)) => {
                if after.rest.deleted && !before.rest.deleted {
                    return vec![PersonDeleted];
                }
                if after.rest.replaced_by.is_some() && before.rest.replaced_by.is_none() {
                    return vec![HprNumbersMerged];
                }
                let mut events = vec![PersonUpdated];
                if after.competences() > before.competences() {
                    events.push(SpecialCompetenceAdded);
                }
                events
            }
            (None, Self::Institution(_)) => vec![UtdanningsinstitusjonCreated],
            (Some(Self::Institution(before)), Self::Institution(after)) => {
                if after.deleted && !before.deleted {
                    vec![UtdanningsinstitusjonDeleted]
                } else {
                    vec![UtdanningsinstitusjonUpdated]
                }
            }
            (before, Self::Settings(after)) => {
                let known = match before {
                    Some(Self::Settings(before)) => before.internships.as_slice(),
                    _ => &[],
                };
                if known == after.internships {
                    vec![NumbersSetAside]
                } else {
                    vec![HelsepersonellkategorierSomTillaterTurnusUpdated]
                }
            }
            _ => vec![PersonUpdated],
        }
    }
}
