//! Entries of the register in the words of the contract.

use super::Flr;
use super::codes::{code, short};
use crate::hpr::written;
use edge::soap::{DateTime, Object, Value};
use registers::directory::{Person, PersonName, Sex};
use registers::gplists::reach;
use registers::gplists::rules::{doctors_at, places};
use registers::gplists::{AwayOffice, DoctorCycle, GpContract, GpLists, OnList, Team};
use registers::kernel::EntryNo;
use registers::kernel::identifiers::Packed;
use registers::kernel::period::{Moment, Period};

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

fn period(period: &Period) -> Value {
    let from = period.from.unwrap_or(Moment(-62_135_596_800_000));
    Object::new()
        .with("From", written(from))
        .with("To", period.to.map(written))
        .into()
}

fn name(object: Object, name: &PersonName) -> Object {
    object
        .with("FirstName", name.given.clone())
        .with("LastName", name.family.clone())
        .with("MiddleName", name.middle.clone())
}

impl Flr {
    /// A person; those with a protected address without any address.
    fn person(&self, p: &Person) -> Object {
        let addresses: Vec<Object> = p
            .address
            .iter()
            .filter(|_| super::export::tells_address(p.protection))
            .map(|a| {
                Object::new()
                    .with("City", a.place.clone())
                    .with("Country", code(9043, "NO"))
                    .with("Description", None::<String>)
                    .with("Inherited", false)
                    .with("Municipality", code(3402, &a.municipality))
                    .with("PostalCode", a.postcode.parse::<u32>().unwrap_or(0))
                    .with("Postbox", None::<String>)
                    .with("StreetAddress", a.street.clone())
                    .with("Type", code(3401, "H"))
            })
            .collect();
        let sex = match p.sex {
            Sex::Male => "1",
            Sex::Female => "2",
        };
        let dates = Object::new()
            .with("DateOfBirth", p.born.map(DateTime::of_day))
            .with("DateOfDeath", p.died.map(DateTime::of_day));
        name(dates, &p.name)
            .with("NIN", p.nin.clone())
            .with("PhysicalAddresses", addresses)
            .with("Sex", code(3101, sex))
            .with("Status", Value::Nil)
    }

    /// A doctor: name and national id, by which stock clients know the GP in other registers.
    fn doctor_person(&self, hpr: u32) -> Option<Object> {
        let found = self.parts.directory.practitioner_by_hpr(&hpr.to_string())?;
        Some(name(Object::new(), &found.name).with("NIN", found.nin.clone()))
    }

    /// HER-id that messages to the list's GP go to now.
    pub(super) fn gp_her_id(&self, contract: &GpContract, at: Moment) -> Option<u32> {
        reach::her_id(&*self.parts.directory, contract, at)
    }

    /// A doctor on a contract.
    pub(super) fn cycle(&self, no: EntryNo, contract: &GpContract, d: &DoctorCycle) -> Object {
        let days: Vec<Value> = d
            .days
            .iter()
            .filter_map(|day| DAYS.get(usize::from(*day)))
            .map(|day| Value::from(*day))
            .collect();
        Object::new()
            .with("GP", self.doctor_person(d.hpr))
            .with("GPContract", Value::Nil)
            .with("GPContractId", contract.id)
            .with("HprNumber", d.hpr)
            .with("Id", GpLists::part_number(no, d.no))
            .with("Relationship", short(7750, d.relationship))
            .with("SubstituteForHprNumber", d.substitute_for)
            .with("UpdatedOn", written(d.updated))
            .with("Valid", period(&d.valid))
            .with("WorkingOnDays", days)
            .with("WorkingPercentage", d.percentage)
    }

    pub(super) fn away(&self, no: EntryNo, contract: &GpContract, a: &AwayOffice) -> Object {
        let address = Object::new()
            .with("City", a.place.clone())
            .with("PostalCode", a.postcode.parse::<u32>().unwrap_or(0))
            .with("StreetAddress", a.street.clone())
            .with("Type", code(3401, "RES"));
        Object::new()
            .with("Description", a.description.clone())
            .with("ElectronicAddresses", Vec::<Object>::new())
            .with("GPContractId", contract.id)
            .with("Id", GpLists::part_number(no, a.no))
            .with("PhysicalAddresses", vec![address])
            .with("UpdatedOn", written(a.updated))
            .with("Valid", period(&a.valid))
    }

    /// A contract as of a time (none: with all its history). Patients are another question.
    pub(super) fn contract(
        &self,
        no: EntryNo,
        contract: &GpContract,
        at: Option<Moment>,
    ) -> Object {
        let now = at.unwrap_or_else(|| self.now());
        let active = self.parts.lists.active_count(contract.id, now);
        let coop: Vec<Value> = contract.coop.iter().map(|m| short(3402, *m)).collect();
        let away: Vec<Object> = contract
            .away
            .iter()
            .filter(|a| at.is_none_or(|at| a.valid.contains(at)))
            .map(|a| self.away(no, contract, a))
            .collect();
        let waiting = contract
            .waiting_told
            .max(u32::try_from(contract.waiting.len()).unwrap_or(0));
        Object::new()
            .with("AgreementDate", written(contract.agreed))
            .with("CoopMunicipalities", coop)
            .with("DoctorCycles", self.cycles(no, contract, at))
            .with("EndReason", short(7753, contract.ended))
            .with("GPOffice", self.office(contract))
            .with("GPOfficeOrganizationNumber", contract.office)
            .with("Id", contract.id)
            .with("IsFixedSalary", contract.fixed_salary)
            .with("MaxPatients", contract.max_patients)
            .with("Municipality", short(3402, contract.municipality))
            .with("Name", contract.name.clone())
            .with("OutOfOfficeOffices", away)
            .with("ParticipatesOnCommonList", contract.common_list)
            .with("PatientList", Value::Nil)
            .with("PatientsOnWaitingList", waiting)
            .with("PlacesAvailable", places(contract, active, now))
            .with("PrimaryHealthCareTeamId", contract.team)
            .with("RequiresMembership", short(7755, contract.membership))
            .with("Status", short(7751, contract.status))
            .with("UpdatedOn", written(contract.updated))
            .with("Valid", period(&contract.valid))
    }

    /// Doctors of a contract, as of a time or all.
    pub(super) fn cycles(
        &self,
        no: EntryNo,
        contract: &GpContract,
        at: Option<Moment>,
    ) -> Vec<Object> {
        match at {
            Some(at) => doctors_at(contract, at)
                .map(|d| self.cycle(no, contract, d))
                .collect(),
            None => contract
                .doctors
                .iter()
                .map(|d| self.cycle(no, contract, d))
                .collect(),
        }
    }

    /// A patient on a list. `today`: with the HER-id that messages go to; `whole`: with contract and doctors.
    pub(super) fn on_list(
        &self,
        on: &OnList,
        at: Option<Moment>,
        today: bool,
        whole: bool,
        patient: bool,
    ) -> Object {
        let held = self.parts.lists.contract_entry(on.contract);
        let nin = Packed(on.line.nin).text(11);
        let her_id = held
            .as_ref()
            .filter(|_| today)
            .and_then(|(_, contract)| self.gp_her_id(contract, at.unwrap_or_else(|| self.now())));
        let contract = held.as_ref().filter(|_| whole);
        let person = patient.then(|| self.parts.directory.person(&nin)).flatten();
        Object::new()
            .with("BeginCode", short(7754, on.line.begin))
            .with(
                "DoctorCycles",
                contract.map(|(no, c)| Value::from(self.cycles(*no, c, at))),
            )
            .with("EndCode", short(7753, on.line.end))
            .with(
                "GPContract",
                contract.map(|(no, c)| self.contract(*no, c, at)),
            )
            .with("GPContractId", on.contract)
            .with("GPHerId", her_id)
            .with("Id", on.id)
            .with("Patient", person.map(|p| self.person(&p)))
            .with("PatientNIN", nin)
            .with("Period", period(&on.line.period()))
            .with("UpdatedOn", written(on.updated))
    }

    /// A team.
    pub(super) fn team(&self, team: &Team) -> Object {
        let contracts: Vec<Object> = team
            .contracts
            .iter()
            .zip(1i64..)
            .map(|((contract, valid), id)| {
                Object::new()
                    .with("FlrId", *contract)
                    .with("Id", id)
                    .with("MembershipPeriod", period(valid))
            })
            .collect();
        let people: Vec<Object> = team
            .people
            .iter()
            .zip(1i64..)
            .map(|((hpr, role, substitute, percentage, valid), id)| {
                Object::new()
                    .with("HprNumber", *hpr)
                    .with("Id", id)
                    .with("IsSubstitute", *substitute)
                    .with("MembershipPeriod", period(valid))
                    .with("Role", short(9060, *role))
                    .with("WorkingPercentage", *percentage)
            })
            .collect();
        Object::new()
            .with("Id", team.id)
            .with("OrganizationNumber", team.orgnr)
            .with("PrimaryHealthCareContracts", contracts)
            .with("PrimaryHealthCareLeaderHprNumber", team.leader)
            .with("PrimaryHealthCarePeople", people)
    }
}
