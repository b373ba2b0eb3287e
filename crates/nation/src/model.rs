//! What a nation consists of, as plain values.

use std::fmt;

use codes::ident::{AkoNumber, HerId, HprNumber, Nin, Orgnr, ReshId, Sex};
use jiff::civil::Date;
use serde::Serialize;

/// Number of a person within one nation. Fixed people come first (below 1 000), the background after them; it means
/// nothing outside the nation and is never shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub struct PersonId(pub u32);

/// A person.
#[derive(Clone, PartialEq, Serialize)]
pub struct Person {
    /// Number within the nation.
    pub id: PersonId,
    /// Short key of a fixed person (`blokk`, `sol-datter`, `saether`, `id-merged`).
    pub key: Option<&'static str>,
    /// Short id under which facts.json lists the person: the eight of the story and the `id-…` cases.
    pub story: Option<&'static str>,
    /// One line that says why this person exists.
    pub what: Option<&'static str>,
    /// Current national identity number.
    pub nin: Nin,
    /// Earlier numbers that must keep leading here, newest first.
    pub historic: Vec<Historic>,
    /// Name.
    pub name: PersonName,
    /// Birth date as registered; never derived from the number.
    pub born: Date,
    /// Sex as registered.
    pub sex: Sex,
    /// Register status.
    pub status: Status,
    /// Day of death.
    pub died: Option<Date>,
    /// Residential address. Absent abroad, unknown, or strictly confidential (which the register never delivers).
    pub address: Option<Address>,
    /// Address protection.
    pub protection: Protection,
    /// Day since which the protection holds, where the story says it.
    pub protected_since: Option<Date>,
    /// Household number; persons with the same number live together.
    pub household: u32,
    /// Lives in a nursing home.
    pub nursing_home: bool,
    /// Languages in order of preference (`nb`, `nn`, `se`, `so`, `en`).
    pub languages: Vec<&'static str>,
    /// Marital status.
    pub marital: Marital,
    /// Relations of the population register, seen from this person.
    pub relations: Vec<Relation>,
    /// Guardianships of an adult, seen from the one who has the guardian.
    pub guardianships: Vec<Guardianship>,
    /// Powers of attorney given to others.
    pub powers: Vec<PowerOfAttorney>,
    /// Place on a GP list.
    pub gp: Option<GpRelation>,
    /// Number in the personnel register, for personnel.
    pub hpr: Option<HprNumber>,
    /// Standing in digital communication.
    pub digital: Digital,
    /// Standing in kjernejournal.
    pub kjernejournal: KjStanding,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Person({}, {})",
            self.id.0,
            self.key.unwrap_or("background")
        )
    }
}

impl Person {
    /// Completed years on a day; born on 29 February counts from 1 March.
    #[must_use]
    pub fn age_on(&self, day: Date) -> i16 {
        age(self.born, day)
    }

    /// Whether the person is alive and lives in the country.
    #[must_use]
    pub fn is_resident(&self) -> bool {
        matches!(self.status, Status::Resident)
    }

    /// Related persons of one kind.
    pub fn related(&self, kind: RelationKind) -> impl Iterator<Item = &Relation> {
        self.relations.iter().filter(move |r| r.kind == kind)
    }
}

/// Completed years.
pub(crate) fn age(born: Date, day: Date) -> i16 {
    let years = day.year() - born.year();
    if (day.month(), day.day()) < (born.month(), born.day()) {
        years - 1
    } else {
        years
    }
}

/// An earlier identity number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Historic {
    /// The number.
    pub nin: Nin,
    /// First day on which it was no longer in use.
    pub ended: Date,
    /// Why it ended.
    pub reason: EndReason,
}

/// Why an identity number ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum EndReason {
    /// A D-number gave way to a fødselsnummer.
    Replaced,
    /// Two records of one person were merged.
    Merged,
}

/// A name in parts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PersonName {
    /// Given names.
    pub given: String,
    /// Middle name.
    pub middle: Option<String>,
    /// Family name.
    pub family: String,
}

impl PersonName {
    /// Given, middle, family.
    #[must_use]
    pub fn full(&self) -> String {
        match &self.middle {
            Some(middle) => format!("{} {middle} {}", self.given, self.family),
            None => format!("{} {}", self.given, self.family),
        }
    }
}

/// Status in the population register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Status {
    /// Lives in the country.
    Resident,
    /// Moved abroad.
    Emigrated,
    /// Dead.
    Deceased,
    /// D-number holder who stays for a while.
    Temporary,
    /// Known only by a help number: a visitor.
    NotResident,
}

/// Address protection, ascending.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize)]
pub enum Protection {
    /// None.
    #[default]
    Unclassified,
    /// Client address.
    ClientAddress,
    /// Confidential ("code 7").
    Confidential,
    /// Strictly confidential ("code 6").
    StrictlyConfidential,
}

/// A residential address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Address {
    /// Street, number, letter.
    pub street: String,
    /// Postcode.
    pub postcode: &'static str,
    /// Postal place.
    pub place: &'static str,
    /// Municipality number.
    pub municipality: &'static str,
}

/// Marital status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Marital {
    /// Never married.
    Unmarried,
    /// Married.
    Married,
    /// Widow or widower.
    Widowed,
    /// Divorced.
    Divorced,
}

/// What the other is to this person.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum RelationKind {
    /// Mother.
    Mother,
    /// Father.
    Father,
    /// Child.
    Child,
    /// Brother or sister.
    Sibling,
    /// Husband or wife.
    Spouse,
    /// Former husband or wife.
    FormerSpouse,
    /// Lives together with, unmarried.
    Partner,
    /// The other has parental responsibility for this person, together with someone.
    ResponsibleJoint,
    /// The other has parental responsibility for this person alone.
    ResponsibleAlone,
    /// Partner of a parent: no responsibility.
    StepParent,
    /// Another family tie without rights (in-law).
    Family,
}

/// One relation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Relation {
    /// What the other is to this person.
    pub kind: RelationKind,
    /// The other.
    pub other: PersonId,
    /// The other's current identity number.
    pub nin: Nin,
}

/// Guardian of an adult.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Guardianship {
    /// The guardian.
    pub guardian: PersonId,
    /// The guardian's current identity number.
    pub nin: Nin,
    /// Whether the scope covers personal interests. Only then may the guardian act in health matters.
    pub personal: bool,
    /// Whether the scope covers financial interests.
    pub financial: bool,
    /// First day.
    pub from: Date,
}

/// Power of attorney (fullmakt) in the citizen portal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct PowerOfAttorney {
    /// Who may act.
    pub holder: PersonId,
    /// The holder's current identity number.
    pub nin: Nin,
    /// Areas by number: 1 insight, 3 health care.
    pub areas: &'static [u8],
    /// First day.
    pub from: Date,
}

/// Standing in the contact register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Digital {
    /// Uses the citizen portal with full consent.
    Full,
    /// Uses it with a reduced consent.
    BasisPlus,
    /// Reserved against digital communication.
    Reserved,
    /// Has chosen no consent level: never logged in, or too young.
    NoConsent,
}

/// Standing in kjernejournal at the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum KjStanding {
    /// Has one, nothing chosen.
    Normal,
    /// Opted out: has none.
    Reserved,
    /// Restricted: personnel need a stronger basis.
    Restricted,
    /// Has blocked somebody by name.
    BlockedSomebody,
}

/// A person's place on a GP list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GpRelation {
    /// Contract number.
    pub list: u32,
    /// HPR number of the GP; absent on a list without permanent doctor.
    pub hpr: Option<HprNumber>,
    /// Substitutes on the contract.
    pub substitutes: Vec<Substitute>,
    /// Sub unit of the office.
    pub office: Orgnr,
    /// Where messages to "my GP" go today: the GP, else the only substitute, else the office's service for lists
    /// without doctor, else nowhere.
    pub her_id: Option<HerId>,
    /// First day on the list.
    pub since: Date,
}

/// A substitute on a GP contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Substitute {
    /// HPR number.
    pub hpr: HprNumber,
    /// The substitute's own communication party.
    pub her_id: HerId,
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
}

/// A GP list (contract).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GpList {
    /// Contract number.
    pub id: u32,
    /// Main unit of the office.
    pub organisation: Orgnr,
    /// Sub unit of the office.
    pub office: Orgnr,
    /// Municipality of the office.
    pub municipality: &'static str,
    /// Permanent doctor.
    pub doctor: Option<HprNumber>,
    /// The doctor's own communication party.
    pub doctor_her: Option<HerId>,
    /// Substitutes.
    pub substitutes: Vec<Substitute>,
    /// Service of the office for lists without doctor (8663 KX17).
    pub no_doctor_her: Option<HerId>,
    /// Ceiling.
    pub max_patients: u16,
    /// Closed to new patients.
    pub closed: bool,
    /// Start of the contract.
    pub since: Date,
}

impl GpList {
    /// The relation of a patient on this list.
    #[must_use]
    pub fn relation(&self, since: Date, today: Date) -> GpRelation {
        GpRelation {
            list: self.id,
            hpr: self.doctor,
            substitutes: self.substitutes.clone(),
            office: self.office,
            her_id: self.her_id_on(today),
            since: since.max(self.since),
        }
    }

    /// HER-id for messages to "my GP" on a day.
    #[must_use]
    pub fn her_id_on(&self, day: Date) -> Option<HerId> {
        if self.doctor_her.is_some() {
            return self.doctor_her;
        }
        let mut active = self
            .substitutes
            .iter()
            .filter(|s| s.from <= day && day <= s.to);
        match (active.next(), active.next()) {
            (Some(only), None) => Some(only.her_id),
            _ => self.no_doctor_her,
        }
    }
}

/// Health personnel, or an operator without authorisation.
#[derive(Clone, PartialEq, Serialize)]
pub struct Practitioner {
    /// Key in the story.
    pub key: Option<&'static str>,
    /// Number in the personnel register; absent for people without authorisation.
    pub hpr: Option<HprNumber>,
    /// The person.
    pub person: PersonId,
    /// Current identity number.
    pub nin: Nin,
    /// Name.
    pub name: PersonName,
    /// Birth date.
    pub born: Date,
    /// Authorisations.
    pub authorisations: Vec<Authorisation>,
    /// Speciality.
    pub speciality: Option<Speciality>,
    /// Where they work.
    pub workplaces: Vec<Workplace>,
    /// What they do in the story.
    pub what: Option<&'static str>,
}

impl fmt::Debug for Practitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Practitioner(hpr {})", self.hpr.map_or(0, |h| h.0))
    }
}

/// An authorisation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Authorisation {
    /// Category of list 9060.
    pub role: &'static str,
    /// First day.
    pub from: Date,
    /// First day on which it no longer holds; open when absent.
    pub to: Option<Date>,
    /// Suspended from this day on.
    pub suspended_from: Option<Date>,
}

impl Authorisation {
    /// Whether it holds on a day: begun, not ended, not suspended.
    #[must_use]
    pub fn is_active(&self, day: Date) -> bool {
        self.from <= day
            && self.to.is_none_or(|to| day < to)
            && self.suspended_from.is_none_or(|s| day < s)
    }
}

/// A medical speciality.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Speciality {
    /// Code of list 7426, where known.
    pub code: Option<&'static str>,
    /// Norwegian name.
    pub name: &'static str,
}

/// A place of work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Workplace {
    /// Main unit.
    pub parent: Orgnr,
    /// Sub unit.
    pub child: Orgnr,
    /// Department in words.
    pub department: Option<&'static str>,
    /// Own communication party.
    pub her_id: Option<HerId>,
}

/// Kind of an organisation, as in facts.json.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrgKind {
    /// General practice and other private health services.
    GpOffice,
    /// Hospital trust.
    Hospital,
    /// Laboratory.
    Laboratory,
    /// Pharmacy.
    Pharmacy,
    /// Municipality or inter-municipal body.
    Municipality,
    /// The hub itself.
    Hub,
}

impl OrgKind {
    /// Word of facts.json.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::GpOffice => "gp_office",
            Self::Hospital => "hospital",
            Self::Laboratory => "laboratory",
            Self::Pharmacy => "pharmacy",
            Self::Municipality => "municipality",
            Self::Hub => "hub",
        }
    }
}

/// An organisation: level 1 of the address register.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Organisation {
    /// Key in the story.
    pub key: Option<&'static str>,
    /// Name.
    pub name: String,
    /// Kinds, the main one first.
    pub kinds: Vec<OrgKind>,
    /// Type of list 9040.
    pub type_code: &'static str,
    /// Main unit.
    pub orgnr: Orgnr,
    /// Sub units, the first one is where most work is done.
    pub units: Vec<Unit>,
    /// HER-id of level 1.
    pub her_id: HerId,
    /// EDI address.
    pub edi_address: String,
    /// Municipality of the visiting address.
    pub municipality: &'static str,
    /// Pharmacy licence.
    pub ako: Option<AkoNumber>,
    /// Key of the organisation whose main unit this one shares.
    pub part_of: Option<&'static str>,
    /// Communication parties below.
    pub parties: Vec<Party>,
}

impl Organisation {
    /// Main kind.
    #[must_use]
    pub fn kind(&self) -> OrgKind {
        self.kinds.first().copied().unwrap_or(OrgKind::GpOffice)
    }

    /// First sub unit, or the main unit when there is none.
    #[must_use]
    pub fn child(&self) -> Orgnr {
        self.units.first().map_or(self.orgnr, |u| u.orgnr)
    }

    /// The party of a service code.
    #[must_use]
    pub fn service(&self, list: u32, code: &str) -> Option<&Party> {
        self.parties.iter().find(
            |p| matches!(&p.kind, PartyKind::Service { list: l, code: c, .. } if *l == list && *c == code),
        )
    }
}

/// A sub unit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unit {
    /// Organisation number.
    pub orgnr: Orgnr,
    /// Name.
    pub name: String,
}

/// A communication party below an organisation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Party {
    /// HER-id.
    pub her_id: HerId,
    /// Name. A generated GP's party is named by its function; the practitioner with the same HER-id carries the name.
    pub name: String,
    /// What it is.
    pub kind: PartyKind,
}

/// Kind of a communication party.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum PartyKind {
    /// A service with a code of service-based addressing.
    Service {
        /// Code list number.
        list: u32,
        /// Code.
        code: &'static str,
        /// Unit of the specialist health service.
        resh: Option<ReshId>,
    },
    /// A person in the organisation.
    Person {
        /// HPR number.
        hpr: HprNumber,
    },
}
