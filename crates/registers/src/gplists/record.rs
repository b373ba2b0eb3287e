//! What the register holds.

use crate::kernel::EntryId;
use crate::kernel::identifiers::{Claims, Packed};
use crate::kernel::log::Content;
use crate::kernel::period::{Moment, Period};
use crate::personnel::Short;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Repository of the register.
pub const REPOSITORY: &str = "gplists";
/// Lines of one page of patients.
pub const PAGE_LINES: usize = 128;
/// Status of a list that takes patients (7751).
pub const OPEN: &str = "FAAA";
/// Relationship of the list's own doctor (7750).
pub const OWN_DOCTOR: &str = "LPFL";
/// Relationship of a substitute (7750).
pub const SUBSTITUTE: &str = "LPVI";

/// Number of a part within its entry, from 1.
pub type PartNo = u16;

/// A doctor on a contract for a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DoctorCycle {
    /// Its number.
    pub no: PartNo,
    /// HPR number of the doctor.
    pub hpr: u32,
    /// Set for a substitute: whom the doctor stands in for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub substitute_for: Option<u32>,
    /// When.
    pub valid: Period,
    /// Code of list 7750.
    pub relationship: Short,
    /// Per cent of a full position, 1 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<u8>,
    /// Days of the week, 0 = Sunday.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<u8>,
    /// Last change.
    pub updated: Moment,
}

/// Another place where patients of the list are met.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AwayOffice {
    /// Its number.
    pub no: PartNo,
    /// What it is.
    pub description: String,
    /// Street.
    pub street: String,
    /// Postcode, four digits.
    pub postcode: String,
    /// Postal place.
    pub place: String,
    /// When.
    pub valid: Period,
    /// Last change.
    pub updated: Moment,
}

/// A GP contract: a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpContract {
    /// Number given by Helfo.
    pub id: i64,
    /// Name.
    pub name: String,
    /// Organisation number of the office.
    pub office: u32,
    /// Code of list 7751.
    pub status: Short,
    /// Ceiling of the list.
    pub max_patients: u32,
    /// National ids of those who wait for a place, first come first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<u64>,
    /// Number who wait, where only the number is told.
    pub waiting_told: u32,
    /// The doctor has a salary.
    pub fixed_salary: bool,
    /// Takes part in a common list.
    pub common_list: bool,
    /// Code of list 7755.
    pub membership: Short,
    /// Municipality number (3402).
    pub municipality: Short,
    /// Municipalities it works with.
    pub coop: Vec<Short>,
    /// When it was agreed.
    pub agreed: Moment,
    /// Valid.
    pub valid: Period,
    /// Why it ended (7753).
    pub ended: Short,
    /// Primary health care team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<i64>,
    /// Doctors, earlier ones included.
    pub doctors: Vec<DoctorCycle>,
    /// Other places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub away: Vec<AwayOffice>,
    /// Number of the last part made.
    pub last_part: PartNo,
    /// Last change.
    pub updated: Moment,
}

impl GpContract {
    /// Id of the entry of a contract.
    #[must_use]
    pub fn id_of(id: i64) -> EntryId {
        EntryId((3 << 64) | u128::from(id.unsigned_abs()))
    }

    /// The number of a new part.
    pub fn next_part(&mut self) -> PartNo {
        self.last_part = self.last_part.saturating_add(1);
        self.last_part
    }
}

/// A patient on a list for a time.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Association {
    /// Number within its page.
    pub no: PartNo,
    /// National id as a number.
    pub nin: u64,
    /// First instant on the list.
    pub from: Moment,
    /// First instant not on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Moment>,
    /// Code of list 7754.
    #[serde(default, skip_serializing_if = "Short::is_empty")]
    pub begin: Short,
    /// Code of list 7753.
    #[serde(default, skip_serializing_if = "Short::is_empty")]
    pub end: Short,
}

/// National ids never reach a log.
impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Association({})", self.no)
    }
}

impl Association {
    /// When.
    #[must_use]
    pub fn period(&self) -> Period {
        Period {
            from: Some(self.from),
            to: self.to,
        }
    }
}

/// Lines of one contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatientPage {
    /// The contract.
    pub contract: i64,
    /// At most [`PAGE_LINES`].
    pub lines: Vec<Association>,
    /// Last change.
    pub updated: Moment,
}

/// A primary health care team.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Team {
    /// Its number.
    pub id: i64,
    /// Organisation number.
    pub orgnr: u32,
    /// HPR number of its leader.
    pub leader: u32,
    /// Members: HPR number, role (9060), substitute, per cent, when.
    pub people: Vec<(u32, Short, bool, Option<u8>, Period)>,
    /// Contracts, and since when.
    pub contracts: Vec<(i64, Period)>,
}

impl Team {
    /// Id of the entry of a team.
    #[must_use]
    pub fn id_of(id: i64) -> EntryId {
        EntryId((4 << 64) | u128::from(id.unsigned_abs()))
    }
}

/// What the register itself says of a GP office, beside what the organisation register says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OfficeFacts {
    /// Organisation number.
    pub orgnr: u32,
    /// Name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Urban district (3403).
    pub district: Short,
    /// Several doctors share it.
    pub is_group: bool,
    /// Electronic addresses: type of list 9044, address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub electronic: Vec<(Short, String)>,
    /// Visiting address of its own: street, postcode, postal place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visiting: Option<(String, String, String)>,
    /// Last change.
    pub updated: Moment,
}

impl OfficeFacts {
    /// Id of the entry of an office.
    #[must_use]
    pub fn id_of(orgnr: u32) -> EntryId {
        EntryId((6 << 64) | u128::from(orgnr))
    }
}

/// An entry of the register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A contract.
    Contract(Box<GpContract>),
    /// Patients.
    Patients(Box<PatientPage>),
    /// Languages of a doctor (3303).
    Languages(u32, Vec<Short>),
    /// A team; none when it was deleted.
    Team(Option<Box<Team>>),
    /// A GP office.
    Office(Box<OfficeFacts>),
}

/// What happened (spec/grunndata.md §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Happened {
    ContractCreated,
    ContractUpdated,
    ContractCanceled,
    GPOnContractCreated,
    GPOnContractUpdated,
    GPOnContractDeleted,
    PatientOnContractCreated,
    PatientOnContractUpdated,
    PatientOnContractCanceled,
    PatientNinChanged,
    OutOfOfficeLocationCreated,
    OutOfOfficeLocationUpdated,
    OutOfOfficeLocationDeleted,
}

/// An event: what happened to which part of the entry (0: to the entry itself).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpListEvent(pub Happened, pub PartNo);

impl Happened {
    /// As subscribers see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ContractCreated => "ContractCreated",
            Self::ContractUpdated => "ContractUpdated",
            Self::ContractCanceled => "ContractCanceled",
            Self::GPOnContractCreated => "GPOnContractCreated",
            Self::GPOnContractUpdated => "GPOnContractUpdated",
            Self::GPOnContractDeleted => "GPOnContractDeleted",
            Self::PatientOnContractCreated => "PatientOnContractCreated",
            Self::PatientOnContractUpdated => "PatientOnContractUpdated",
            Self::PatientOnContractCanceled => "PatientOnContractCanceled",
            Self::PatientNinChanged => "PatientNinChanged",
            Self::OutOfOfficeLocationCreated => "OutOfOfficeLocationCreated",
            Self::OutOfOfficeLocationUpdated => "OutOfOfficeLocationUpdated",
            Self::OutOfOfficeLocationDeleted => "OutOfOfficeLocationDeleted",
        }
    }
}

/// What came, changed and went between two lists of parts.
fn parts<T: PartialEq>(
    before: &[T],
    after: &[T],
    no: impl Fn(&T) -> PartNo,
    [created, updated, deleted]: [Happened; 3],
    events: &mut Vec<GpListEvent>,
) {
    for part in after {
        match before.iter().find(|old| no(old) == no(part)) {
            None => events.push(GpListEvent(created, no(part))),
            Some(old) if old != part => events.push(GpListEvent(updated, no(part))),
            Some(_) => {}
        }
    }
    for old in before {
        if !after.iter().any(|part| no(part) == no(old)) {
            events.push(GpListEvent(deleted, no(old)));
        }
    }
}

fn contract_events(before: &GpContract, after: &GpContract) -> Vec<GpListEvent> {
    use Happened::*;
    let mut events = Vec::new();
    parts(
        &before.doctors,
        &after.doctors,
        |d| d.no,
        [
            GPOnContractCreated,
            GPOnContractUpdated,
            GPOnContractDeleted,
        ],
        &mut events,
    );
    parts(
        &before.away,
        &after.away,
        |a| a.no,
        [
            OutOfOfficeLocationCreated,
            OutOfOfficeLocationUpdated,
            OutOfOfficeLocationDeleted,
        ],
        &mut events,
    );
    if before.ended.is_empty() && !after.ended.is_empty() {
        events.push(GpListEvent(ContractCanceled, 0));
    } else if events.is_empty() {
        events.push(GpListEvent(ContractUpdated, 0));
    }
    events
}

fn patient_events(before: &[Association], after: &[Association]) -> Vec<GpListEvent> {
    use Happened::*;
    let mut events = Vec::new();
    for line in after {
        let what = match before.iter().find(|old| old.no == line.no) {
            None => PatientOnContractCreated,
            Some(old) if old == line => continue,
            Some(old) if old.nin != line.nin => PatientNinChanged,
            Some(old) if old.to.is_none() && line.to.is_some() => PatientOnContractCanceled,
            Some(_) => PatientOnContractUpdated,
        };
        events.push(GpListEvent(what, line.no));
    }
    if events.is_empty() {
        events.push(GpListEvent(PatientOnContractUpdated, 0));
    }
    events
}

impl Content for Record {
    type Kind = GpListEvent;
    const REPOSITORY: &'static str = REPOSITORY;

    fn claims(&self) -> Claims {
        let Self::Contract(contract) = self else {
            return Claims::default();
        };
        Claims {
            identifiers: vec![(Packed(contract.id.unsigned_abs()), true, Period::ALWAYS)],
            merged_into: None,
        }
    }

    fn events(before: Option<&Self>, after: &Self) -> Vec<GpListEvent> {
        match (before, after) {
            (None, Self::Contract(contract)) => {
                let mut events = vec![GpListEvent(Happened::ContractCreated, 0)];
                let doctors = contract.doctors.iter();
                events.extend(doctors.map(|d| GpListEvent(Happened::GPOnContractCreated, d.no)));
                events
            }
            (Some(Self::Contract(before)), Self::Contract(after)) => contract_events(before, after),
            (None, Self::Patients(after)) => patient_events(&[], &after.lines),
            (Some(Self::Patients(before)), Self::Patients(after)) => {
                patient_events(&before.lines, &after.lines)
            }
            _ => vec![GpListEvent(Happened::ContractUpdated, 0)],
        }
    }

    fn keep(&self, out: &mut Vec<u8>) {
        super::pack::keep(self, out);
    }

    fn kept(bytes: &[u8]) -> Option<Self> {
        super::pack::kept(bytes)
    }
}
