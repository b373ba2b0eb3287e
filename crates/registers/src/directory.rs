//! What a register look-up returns, and the traits through which services ask.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Identifier system of Norwegian national identity numbers (fødselsnummer).
pub const FNR_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.4.1";
/// Identifier system of D-numbers.
pub const DNR_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.4.2";
/// Identifier system of HPR numbers.
pub const HPR_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.4.4";
/// Identifier system of organisation numbers.
pub const ORGNR_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.4.101";
/// Identifier system of HER-ids.
pub const HER_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.2";

/// Address protection of a person (spec/grunndata.md §3.7).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Protection {
    /// No protection.
    #[default]
    Unclassified,
    /// Client address.
    ClientAddress,
    /// "Kode 7".
    Confidential,
    /// "Kode 6".
    StrictlyConfidential,
}

/// Sex as registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
}

/// A person's name in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PersonName {
    /// Given names.
    pub given: String,
    /// Middle name, when registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub middle: Option<String>,
    /// Family name.
    pub family: String,
}

impl PersonName {
    /// The name as written on a page: given, middle, family.
    pub fn full(&self) -> String {
        match &self.middle {
            Some(middle) => format!("{} {} {}", self.given, middle, self.family),
            None => format!("{} {}", self.given, self.family),
        }
    }
}

/// A residential address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Street and number.
    pub street: String,
    /// Four-digit postcode.
    pub postcode: String,
    /// Postal place.
    pub place: String,
    /// Municipality number, four digits.
    pub municipality: String,
}

/// How two persons are related in the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RelationKind {
    /// The other is this person's mother.
    Mother,
    /// The other is this person's father.
    Father,
    /// The other is this person's child.
    Child,
    /// Married or registered partners.
    Spouse,
    /// The other has parental responsibility for this person.
    ParentalResponsibility,
    /// The other is guardian of this person.
    Guardian,
    /// Another family relation, without rights.
    Family,
}

/// One relation.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Relation {
    /// What the other is to this person.
    pub kind: RelationKind,
    /// National id of the other.
    pub nin: String,
}

/// A person as the register knows her today.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Person {
    /// Current national id (fnr, D-number, or FH-number where nothing else exists).
    pub nin: String,
    /// Earlier national ids that lead here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub historic: Vec<String>,
    /// Name.
    pub name: PersonName,
    /// Birth date as registered (never derived from the number; spec/grunndata.md §2.2).
    pub born: Option<Date>,
    /// Sex as registered.
    pub sex: Sex,
    /// Residential address; absent where none is known or none is stored.
    pub address: Option<Address>,
    /// Address protection.
    #[serde(default)]
    pub protection: Protection,
    /// Date of death.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<Date>,
    /// Preferred language (BCP 47).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Relations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<Relation>,
    /// GP association, when on a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gp: Option<GpRelation>,
    /// Short id of the demo story, when the person plays in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
}

impl Person {
    /// Completed years on `day` by the registered birth date; born 29 February counts from 1 March
    /// (spec/privacy.md §6.1). `None` without a birth date.
    pub fn age_on(&self, day: Date) -> Option<i16> {
        let born = self.born?;
        let mut age = day.year() - born.year();
        let birthday = Date::new(day.year(), born.month(), born.day())
            .or_else(|_| Date::new(day.year(), 3, 1))
            .unwrap_or(day);
        if day < birthday {
            age -= 1;
        }
        Some(age)
    }
}

/// National ids never reach a log through `{:?}`.
impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person(…)")
    }
}

impl fmt::Debug for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relation({:?})", self.kind)
    }
}

/// A person's place on a GP list (spec/grunndata.md §5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GpRelation {
    /// HPR number of the GP; absent on a list without doctor.
    pub hpr: Option<String>,
    /// HPR numbers of substitutes on the same contract, with their last day.
    #[serde(default)]
    pub substitutes: Vec<Substitute>,
    /// Sub-unit organisation number of the office.
    pub orgnr: String,
    /// HER-id of the GP's communication party.
    pub her_id: Option<u32>,
}

/// A substitute on a GP contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Substitute {
    /// HPR number.
    pub hpr: String,
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
}

/// An authorisation in HPR.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Authorisation {
    /// Profession, code list 9060 (`LE`, `SP`, …).
    pub role: String,
    /// First day.
    pub from: Date,
    /// Last day; absent = open.
    pub to: Option<Date>,
    /// Suspended from this day on.
    pub suspended_from: Option<Date>,
}

impl Authorisation {
    /// Whether it holds on `day`.
    pub fn is_active(&self, day: Date) -> bool {
        self.from <= day
            && self.to.is_none_or(|to| day <= to)
            && self.suspended_from.is_none_or(|suspended| day < suspended)
    }
}

/// Health personnel (spec/grunndata.md §4).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Practitioner {
    /// HPR number; absent for hub staff without one.
    pub hpr: Option<String>,
    /// National id.
    pub nin: String,
    /// Name.
    pub name: PersonName,
    /// Authorisations, newest first.
    pub authorisations: Vec<Authorisation>,
    /// Speciality in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speciality: Option<String>,
    /// Workplaces: sub-unit organisation numbers.
    pub workplaces: Vec<Workplace>,
    /// Key in the story (`moen`, `saether`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
}

impl fmt::Debug for Practitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Practitioner(hpr {})",
            self.hpr.as_deref().unwrap_or("-")
        )
    }
}

impl Practitioner {
    /// The active authorisation of `role` (or any, when `None`) on `day`.
    pub fn active(&self, role: Option<&str>, day: Date) -> Option<&Authorisation> {
        self.authorisations
            .iter()
            .find(|a| role.is_none_or(|r| a.role == r) && a.is_active(day))
    }
}

/// Where somebody works.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Workplace {
    /// Main unit.
    pub orgnr_parent: String,
    /// Sub unit.
    pub orgnr_child: String,
    /// Department in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// HER-id of the person's own communication party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub her_id: Option<u32>,
}

/// Kind of a communication party (spec/messaging.md §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PartyKind {
    /// An organisation (level 1).
    Organisation,
    /// A service below an organisation.
    Service,
    /// A person below an organisation.
    Person,
}

/// A communication party of the address register.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Party {
    /// HER-id.
    pub her_id: u32,
    /// HER-id of the organisation above; absent on level 1.
    pub parent_her_id: Option<u32>,
    /// Kind.
    pub kind: PartyKind,
    /// Name.
    pub name: String,
    /// Code list (8658, 8660, 8663, …) and code of a service.
    pub service: Option<ServiceCode>,
    /// Organisation number of the level-1 organisation.
    pub orgnr: String,
    /// EDI address.
    pub edi_address: String,
    /// Encryption certificate, DER; inherited from level 1.
    #[serde(with = "der_option", default)]
    pub encryption_certificate: Option<Vec<u8>>,
    /// Signing certificate, DER; inherited from level 1.
    #[serde(with = "der_option", default)]
    pub signing_certificate: Option<Vec<u8>>,
    /// Run by the hub itself.
    #[serde(default)]
    pub hub_run: bool,
}

/// A service-based addressing code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServiceCode {
    /// Code list number, e.g. `8668`.
    pub list: String,
    /// Code.
    pub code: String,
}

/// An organisation with its units.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Organisation {
    /// Main-unit organisation number.
    pub orgnr: String,
    /// Name of the main unit.
    pub name: String,
    /// Kinds as in facts.json (`gp_office`, `hospital`, …).
    pub kinds: Vec<String>,
    /// Type, code list 9040.
    pub type_code: String,
    /// HER-id of level 1.
    pub her_id: u32,
    /// Sub units.
    pub units: Vec<Unit>,
    /// Approved to use the national services.
    pub approved: bool,
    /// Key in the story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story: Option<String>,
}

/// A sub unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unit {
    /// Organisation number.
    pub orgnr: String,
    /// Name.
    pub name: String,
    /// Unit type (code list 9040), when it differs from the organisation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_code: Option<String>,
}

/// How a national id stands in the person register.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Known {
    /// Current id of this person.
    Current,
    /// An earlier id; this is the current one.
    Historic(String),
    /// Nobody has it.
    #[default]
    Nobody,
}

/// Everything services ask the registers. Look-ups are in memory and never block.
pub trait Directory: Send + Sync {
    /// A person by current or historic national id.
    fn person(&self, nin: &str) -> Option<Person>;
    /// How a national id stands.
    fn known(&self, nin: &str) -> Known {
        match self.person(nin) {
            None => Known::Nobody,
            Some(person) if person.nin == nin => Known::Current,
            Some(person) => Known::Historic(person.nin),
        }
    }
    /// When the register learnt that somebody is dead, microseconds UTC; `None`: it does not know.
    fn death_registered(&self, _nin: &str) -> Option<i64> {
        None
    }
    /// Personnel by HPR number.
    fn practitioner_by_hpr(&self, hpr: &str) -> Option<Practitioner>;
    /// Rises whenever what is known of personnel changes; `None`: it cannot be told.
    fn personnel_stamp(&self) -> Option<u64> {
        None
    }
    /// Personnel by national id.
    fn practitioner_by_nin(&self, nin: &str) -> Option<Practitioner>;
    /// Personnel whose workplace is one of this main or sub unit, at most `limit`.
    fn practitioners_of(&self, orgnr: &str, limit: usize) -> Vec<Practitioner>;
    /// A communication party by HER-id.
    fn party(&self, her_id: u32) -> Option<Party>;
    /// Parties of a level-1 organisation number.
    fn parties_of(&self, orgnr: &str) -> Vec<Party>;
    /// Every level-1 party.
    fn top_parties(&self) -> Vec<Party>;
    /// An organisation by main- or sub-unit number.
    fn organisation(&self, orgnr: &str) -> Option<Organisation>;
    /// All organisations, by name, at most `limit`.
    fn organisations(&self, limit: usize) -> Vec<Organisation>;
    /// Persons whose folded name contains all folded words of `query`, without persons with protected address, at most
    /// `limit`.
    fn search_persons(&self, query: &str, limit: usize) -> Vec<Person>;
    /// The same, of those born in a year, when one is given.
    fn find_persons(&self, query: &str, born: Option<i16>, limit: usize) -> Vec<Person> {
        const LOOKED_AT: usize = 5_000;
        let mut found = self.search_persons(query, LOOKED_AT);
        found.retain(|p| born.is_none_or(|year| p.born.is_some_and(|b| b.year() == year)));
        found.truncate(limit);
        found
    }
    /// Persons of the demo story, in story order.
    fn story_persons(&self) -> Vec<Person>;
    /// Personnel with an HPR number who have all of these folded words in their names or in the name of the organisation of
    /// their first workplace, in the order of [`Directory::practitioners`], at most `limit`.
    fn find_practitioners(&self, words: &[&str], limit: usize) -> Vec<Practitioner> {
        let mut found = self.practitioners(usize::MAX);
        found.retain(|p| {
            let workplace = p.workplaces.first();
            let organisation = workplace.and_then(|w| self.organisation(&w.orgnr_parent));
            let organisation = organisation.map(|o| o.name).unwrap_or_default();
            let text = codes::fold::fold(&format!("{} {organisation}", p.name.full()));
            p.hpr.is_some() && words.iter().all(|word| text.contains(word))
        });
        found.truncate(limit);
        found
    }
    /// All personnel, those of the demo story first, at most `limit` (test IdP pages, demo listing).
    fn practitioners(&self, limit: usize) -> Vec<Practitioner>;
}

mod der_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Vec<u8>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        value
            .as_ref()
            .map(|der| der.iter().map(|b| format!("{b:02x}")).collect::<String>())
            .serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let Some(hex) = Option::<String>::deserialize(d)? else {
            return Ok(None);
        };
        let nibble = |c: u8| (c as char).to_digit(16).map(|v| v as u8);
        hex.as_bytes()
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
                _ => None,
            })
            .collect::<Option<Vec<u8>>>()
            .map(Some)
            .ok_or_else(|| serde::de::Error::custom("not hexadecimal"))
    }
}

/// Reference to a person by national id. All national ids (fnr, D-number, FH-number) are interned under one system, so
/// that every spelling of the system leads to the same key (spec/privacy.md §7.10).
pub fn person_ref(nin: &str) -> store::PersonRef {
    store::PersonRef::id(FNR_SYSTEM, nin)
}
