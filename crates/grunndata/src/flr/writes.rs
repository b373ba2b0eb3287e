//! Changes, by the one writer ([`WRITE`]).

use super::reads::{allowed, nin};
use super::{Flr, WRITE, refused};
use crate::hpr::{moment, wrong};
use edge::soap::{Call, Fault, Object, Value};
use registers::gplists::register::WriteError;
use registers::gplists::{AwayOffice, DoctorCycle, GpContract, GpLists, Record, Team};
use registers::kernel::period::{Moment, Period};
use registers::personnel::Short;

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
/// Patients of one request.
const MOST: usize = 5_000;

type Answer = Result<Value, Fault>;

pub(super) fn given<'r>(request: &'r Object, name: &str) -> Result<&'r Object, Fault> {
    request
        .object(name)
        .ok_or_else(|| wrong(format!("{name} må oppgis")))
}

pub(super) fn code(object: &Object, name: &str) -> Result<Short, Fault> {
    code_value(object.object(name), name)
}

fn code_value(code: Option<&Object>, name: &str) -> Result<Short, Fault> {
    match code.and_then(|code| code.text("CodeValue")) {
        None => Ok(Short::default()),
        Some(value) => Short::new(value).ok_or_else(|| wrong(format!("{name} har en ukjent kode"))),
    }
}

fn codes(object: &Object, name: &str) -> Result<Vec<Short>, Fault> {
    object
        .objects(name)
        .map(|one| code_value(Some(one), name))
        .collect()
}

fn period(object: &Object, name: &str) -> Result<Period, Fault> {
    let given = given(object, name)?;
    let period = Period {
        from: given.time("From").map(moment),
        to: given.time("To").map(moment),
    };
    if period.from.is_none() || period.is_empty() {
        return Err(wrong(format!("{name} må begynne, og slutte etter det")));
    }
    Ok(period)
}

pub(super) fn number<T: TryFrom<i64>>(object: &Object, name: &str) -> Result<T, Fault> {
    let found = object.int(name).unwrap_or(0);
    T::try_from(found).map_err(|_| wrong(format!("{name} er ugyldig")))
}

pub(super) fn text(object: &Object, name: &str) -> String {
    object
        .text(name)
        .unwrap_or_default()
        .chars()
        .take(500)
        .collect()
}

impl Flr {
    pub(super) fn write(&self, call: &Call) -> Answer {
        allowed(&call.user, &[WRITE])?;
        let request = &call.request;
        let now = self.now();
        match call.operation.as_str() {
            "CreateGPContract" => self.create(given(request, "gpContract")?, now),
            "CreateGPContractBulk" => {
                let all = request.objects("gpContracts");
                all.map(|one| self.create(one, now))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(Value::Nil)
            }
            "UpdateGPContract" => {
                let from = given(request, "gpContract")?;
                self.edit(from.int("Id"), now, |c| contract(c, from))
            }
            "UpdateGPContractMaxPatients" => self.edit(request.int("gpContractId"), now, |c| {
                c.max_patients = number(request, "maxPatients")?;
                Ok(())
            }),
            "UpdateGPContractPatientsOnWaitingList" => {
                self.edit(request.int("gpContractId"), now, |c| {
                    c.waiting_told = number(request, "patientsOnWaitingList")?;
                    Ok(())
                })
            }
            "UpdateGPContractStatus" => self.edit(request.int("gpContractId"), now, |c| {
                c.status = code(request, "status")?;
                Ok(())
            }),
            "UpdateGPContractCoopMunicipalities" => {
                self.edit(request.int("gpContractId"), now, |c| {
                    c.coop = codes(request, "coopMunicipalities")?;
                    Ok(())
                })
            }
            "UpdateGPOfficeOnGPContracts" => self.move_office(request, now),
            "CancelGPContractAndMovePatients" => self.cancel_contract(request, now),
            "CreateOutOfOfficeLocation" => self.create_away(request, now),
            "UpdateOutOfOfficeLocation" => {
                let from = given(request, "outOfOfficeLocation")?;
                self.edit_part(from.int("Id"), now, |c, no| {
                    let found = c.away.iter_mut().find(|a| a.no == no);
                    away(
                        found.ok_or_else(|| refused(WriteError::NotFound))?,
                        from,
                        now,
                    )
                })
            }
            "RemoveOutOfOfficeLocation" => {
                self.edit_part(request.int("outOfOfficeLocationId"), now, |c, no| {
                    c.away.retain(|a| a.no != no);
                    Ok(())
                })
            }
            "CreateGPOnContractAssociation" => {
                self.create_cycle(given(request, "association")?, now)
            }
            "CreateGPOnContractAssociationBulk" => {
                let all = request.objects("associations");
                all.map(|one| self.create_cycle(one, now))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(Value::Nil)
            }
            "UpdateGPOnContractAssociation" => {
                let from = given(request, "association")?;
                self.edit_part(from.int("Id"), now, |c, no| {
                    let found = c.doctors.iter_mut().find(|d| d.no == no);
                    cycle(
                        found.ok_or_else(|| refused(WriteError::NotFound))?,
                        from,
                        now,
                    )
                })
            }
            "DeleteGPOnContractAssociation" => {
                self.edit_part(request.int("associationId"), now, |c, no| {
                    c.doctors.retain(|d| d.no != no);
                    Ok(())
                })
            }
            "UpdateGPLanguages" => {
                let languages = codes(request, "languages")?;
                let lists = &self.parts.lists;
                lists
                    .set_languages(number(request, "hprNumber")?, languages)
                    .map_err(refused)?;
                Ok(Value::Nil)
            }
            "SyncPrimaryHealthCareTeam" => {
                let team = team(given(request, "team")?)?;
                let (id, lists) = (team.id, &self.parts.lists);
                lists.set_team(id, Some(team)).map_err(refused)?;
                Ok(Value::Nil)
            }
            "DeletePrimaryHealthCareTeam" => {
                let id = request.int("id").unwrap_or(0);
                self.parts.lists.set_team(id, None).map_err(refused)?;
                Ok(Value::Nil)
            }
            // Persons are always at hand here.
            "EnsurePeopleInCache" => Ok(Value::Nil),
            _ => self.patients(call, now),
        }
    }

    fn patients(&self, call: &Call, now: Moment) -> Answer {
        let (request, lists) = (&call.request, &self.parts.lists);
        if let Some(done) = self.write_office(call, now) {
            return done;
        }
        match call.operation.as_str() {
            "CreatePatientToGPContractAssociation" => {
                let ids = self.put_on_lists(&[given(request, "association")?], now)?;
                Ok(ids.first().copied().unwrap_or(0).into())
            }
            "CreatePatientToGPContractAssociationBulk" => {
                let all: Vec<&Object> = request.objects("associations").collect();
                self.put_on_lists(&all, now)?;
                Ok(Value::Nil)
            }
            "MovePatients" => {
                let from: i64 = number(request, "fromGPContractId")?;
                let all: Vec<&Object> = request.objects("patientsToMove").collect();
                for one in &all {
                    let patient = nin(one.text("PatientNIN"), "PatientNIN")?;
                    let is_there = lists
                        .active(patient, now)
                        .is_some_and(|on| on.contract == from);
                    if !is_there {
                        return Err(refused(WriteError::NotFound));
                    }
                }
                self.put_on_lists(&all, now)?;
                Ok(Value::Nil)
            }
            "CancelPatientOnGPContract" => {
                let patient = nin(request.text("patientNin"), "patientNin")?;
                self.take_off(request, &[patient], now)
            }
            "CancelPatientsOnGPContract" => {
                let patients = request.texts("patientNins");
                let patients: Vec<u64> = patients
                    .map(|text| nin(Some(text), "patientNins"))
                    .collect::<Result<_, _>>()?;
                self.take_off(request, &patients, now)
            }
            "UpdatePatientNin" => {
                let old = nin(request.text("oldNin"), "oldNin")?;
                let new = nin(request.text("newNin"), "newNin")?;
                lists.change_nin(old, new, now).map_err(refused)?;
                Ok(Value::Nil)
            }
            other => {
                tracing::error!(
                    operation = other,
                    "an operation of the contract is not answered"
                );
                Err(Fault::internal())
            }
        }
    }

    fn edit(
        &self,
        id: Option<i64>,
        now: Moment,
        mut edit: impl FnMut(&mut GpContract) -> Result<(), Fault>,
    ) -> Answer {
        let mut own = None;
        let done = self.parts.lists.edit_contract(id.unwrap_or(0), now, |c| {
            edit(c).map_err(|fault| {
                own = Some(fault);
                WriteError::NotFound
            })
        });
        match done {
            Ok(_) => Ok(Value::Nil),
            Err(error) => Err(own.unwrap_or_else(|| refused(error))),
        }
    }

    fn edit_part(
        &self,
        id: Option<i64>,
        now: Moment,
        mut edit: impl FnMut(&mut GpContract, u16) -> Result<(), Fault>,
    ) -> Answer {
        let found = self.parts.lists.by_part(id.unwrap_or(0));
        match found.as_ref().map(|(entry, part)| (&entry.content, *part)) {
            Some((Record::Contract(c), part)) => self.edit(Some(c.id), now, |c| edit(c, part)),
            _ => Err(refused(WriteError::NotFound)),
        }
    }

    fn create(&self, from: &Object, now: Moment) -> Answer {
        let mut made = GpContract {
            id: number(from, "Id")?,
            updated: now,
            ..GpContract::default()
        };
        contract(&mut made, from)?;
        for one in from.objects("DoctorCycles") {
            let mut doctor = DoctorCycle::default();
            cycle(&mut doctor, one, now)?;
            made.doctors.push(doctor);
        }
        let id = made.id;
        self.parts.lists.create_contract(made).map_err(refused)?;
        Ok(id.into())
    }

    fn move_office(&self, request: &Object, now: Moment) -> Answer {
        let old: u32 = number(request, "oldOrganizationNumber")?;
        let new: u32 = number(request, "newOrganizationNumber")?;
        for contract in self.parts.lists.of_office(old) {
            self.edit(Some(contract.id), now, |c| {
                c.office = new;
                Ok(())
            })?;
        }
        Ok(Value::Nil)
    }

    /// Those who are named come onto other lists; the others leave with the contract.
    fn cancel_contract(&self, request: &Object, now: Moment) -> Answer {
        let id: i64 = number(request, "gpContractId")?;
        let reason = code(request, "endReason")?;
        let ends = given(request, "period")?.time("To").map(moment);
        let ends = ends.ok_or_else(|| wrong("period.To må oppgis"))?;
        if reason.is_empty() {
            return Err(wrong("endReason må oppgis"));
        }
        let lists = &self.parts.lists;
        if lists.contract(id).is_none() {
            return Err(refused(WriteError::NotFound));
        }
        let moved: Vec<&Object> = request.objects("patientsToMove").collect();
        self.put_on_lists(&moved, now)?;
        let left: Vec<u64> = lists
            .patients(id, ends)
            .iter()
            .map(|on| on.line.nin)
            .collect();
        for some in left.chunks(MOST) {
            lists
                .cancel_patients(some, id, ends, reason)
                .map_err(refused)?;
        }
        self.edit(Some(id), now, |c| {
            c.ended = reason;
            c.valid.to = Some(ends);
            for doctor in &mut c.doctors {
                if doctor.valid.contains(ends) {
                    doctor.valid.to = Some(ends);
                }
            }
            Ok(())
        })
    }

    fn create_away(&self, request: &Object, now: Moment) -> Answer {
        let from = given(request, "outOfOfficeLocation")?;
        let id: i64 = number(from, "GPContractId")?;
        let mut part = 0;
        self.edit(Some(id), now, |c| {
            let mut made = AwayOffice {
                no: c.next_part(),
                ..AwayOffice::default()
            };
            away(&mut made, from, now)?;
            part = made.no;
            c.away.push(made);
            Ok(())
        })?;
        self.outside(id, part)
    }

    fn create_cycle(&self, from: &Object, now: Moment) -> Answer {
        let id: i64 = number(from, "GPContractId")?;
        let mut part = 0;
        self.edit(Some(id), now, |c| {
            let mut made = DoctorCycle {
                no: c.next_part(),
                ..DoctorCycle::default()
            };
            cycle(&mut made, from, now)?;
            part = made.no;
            c.doctors.push(made);
            Ok(())
        })?;
        self.outside(id, part)
    }

    fn outside(&self, contract: i64, part: u16) -> Answer {
        let held = self.parts.lists.contract_entry(contract);
        let (no, _) = held.ok_or_else(|| refused(WriteError::NotFound))?;
        Ok(GpLists::part_number(no, part).into())
    }

    /// All are read before any is written; those of one list and time are one step.
    fn put_on_lists(&self, all: &[&Object], now: Moment) -> Result<Vec<i64>, Fault> {
        if all.len() > MOST {
            return Err(wrong(format!("Høyst {MOST} pasienter i en forespørsel")));
        }
        let mut groups: Vec<((i64, Moment, Short), Vec<u64>)> = Vec::new();
        for one in all {
            let patient = nin(one.text("PatientNIN"), "PatientNIN")?;
            let from = one.object("Period").and_then(|p| p.time("From"));
            let key = (
                number(one, "GPContractId")?,
                from.map_or(now, moment),
                code(one, "BeginCode")?,
            );
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, patients)) => patients.push(patient),
                None => groups.push((key, vec![patient])),
            }
        }
        let mut ids = Vec::new();
        for ((contract, from, begin), patients) in groups {
            let lists = &self.parts.lists;
            let made = lists.move_patients(&patients, contract, from, begin);
            ids.extend(made.map_err(refused)?);
        }
        Ok(ids)
    }

    fn take_off(&self, request: &Object, patients: &[u64], now: Moment) -> Answer {
        if patients.is_empty() || patients.len() > MOST {
            return Err(wrong(format!("1 til {MOST} pasienter i en forespørsel")));
        }
        let at = request.time("lastChanged").map_or(now, moment);
        let lists = &self.parts.lists;
        let contract = number(request, "gpContractId")?;
        lists
            .cancel_patients(patients, contract, at, code(request, "endReason")?)
            .map_err(refused)?;
        Ok(Value::Nil)
    }
}

fn contract(into: &mut GpContract, from: &Object) -> Result<(), Fault> {
    into.name = text(from, "Name");
    into.office = number(from, "GPOfficeOrganizationNumber")?;
    into.status = code(from, "Status")?;
    into.max_patients = number(from, "MaxPatients")?;
    into.waiting_told = number(from, "PatientsOnWaitingList")?;
    into.fixed_salary = from.flag("IsFixedSalary");
    into.common_list = from.flag("ParticipatesOnCommonList");
    into.membership = code(from, "RequiresMembership")?;
    into.municipality = code(from, "Municipality")?;
    into.coop = codes(from, "CoopMunicipalities")?;
    into.agreed = from.time("AgreementDate").map_or(Moment(0), moment);
    into.valid = period(from, "Valid")?;
    into.ended = code(from, "EndReason")?;
    into.team = from.int("PrimaryHealthCareTeamId");
    if into.office == 0 || into.status.is_empty() {
        return Err(wrong("GPOfficeOrganizationNumber og Status må oppgis"));
    }
    Ok(())
}

fn cycle(into: &mut DoctorCycle, from: &Object, now: Moment) -> Result<(), Fault> {
    into.hpr = number(from, "HprNumber")?;
    into.substitute_for = match from.int("SubstituteForHprNumber") {
        None => None,
        Some(_) => Some(number(from, "SubstituteForHprNumber")?),
    };
    into.valid = period(from, "Valid")?;
    into.relationship = code(from, "Relationship")?;
    into.percentage = match from.int("WorkingPercentage") {
        None => None,
        Some(_) => Some(number(from, "WorkingPercentage")?),
    };
    into.days = from
        .texts("WorkingOnDays")
        .filter_map(|day| DAYS.iter().position(|known| *known == day))
        .filter_map(|day| u8::try_from(day).ok())
        .collect();
    into.updated = now;
    if into.hpr == 0 {
        return Err(wrong("HprNumber må oppgis"));
    }
    Ok(())
}

fn away(into: &mut AwayOffice, from: &Object, now: Moment) -> Result<(), Fault> {
    into.description = text(from, "Description");
    into.valid = period(from, "Valid")?;
    into.updated = now;
    if let Some(address) = from.objects("PhysicalAddresses").next() {
        into.street = text(address, "StreetAddress");
        into.place = text(address, "City");
        let postcode: u16 = number(address, "PostalCode")?;
        into.postcode = format!("{postcode:04}");
    }
    Ok(())
}

fn team(from: &Object) -> Result<Team, Fault> {
    let mut people = Vec::new();
    for one in from.objects("PrimaryHealthCarePeople") {
        let percentage = one.int("WorkingPercentage");
        people.push((
            number(one, "HprNumber")?,
            code(one, "Role")?,
            one.flag("IsSubstitute"),
            percentage.and_then(|p| u8::try_from(p).ok()),
            period(one, "MembershipPeriod")?,
        ));
    }
    let mut contracts = Vec::new();
    for one in from.objects("PrimaryHealthCareContracts") {
        contracts.push((number(one, "FlrId")?, period(one, "MembershipPeriod")?));
    }
    Ok(Team {
        id: number(from, "Id")?,
        orgnr: number(from, "OrganizationNumber")?,
        leader: number(from, "PrimaryHealthCareLeaderHprNumber")?,
        people,
        contracts,
    })
}
