//! Reads, with the roles and limits of spec/grunndata.md §5.2.

use super::{ADMINISTRATOR, ALL_PATIENTS, EXTENDED, Flr, LOOKUP, READ, WRITE};
use crate::hpr::{moment, wrong};
use codes::fold::fold;
use codes::ident::Nin;
use edge::soap::{Call, Fault, Object, User, Value};
use registers::directory::Protection;
use registers::gplists::rules::doctors_at;
use registers::gplists::{GpContract, OnList};
use registers::kernel::EntryNo;
use registers::kernel::identifiers::Packed;
use registers::kernel::period::Moment;

/// Most patients of one request.
const MOST_PATIENTS: usize = 1_000;
const MOST_PAGES: i64 = 100_000;
const MOST_OF_PAGE: i64 = 1_000;

type Answer = Result<Value, Fault>;

/// Roles beside [`ADMINISTRATOR`] that an operation asks for.
fn roles(operation: &str) -> &'static [&'static str] {
    match operation {
        "GetPatientGPDetails"
        | "GetPatientsGPDetails"
        | "GetPatientsGPDetailsAtTime"
        | "GetGPContract" => &[READ, LOOKUP, EXTENDED, ALL_PATIENTS],
        "GetGPContractForNav"
        | "NavGetEncryptedPatientList"
        | "NavGetEncryptedPatientListAlternate" => &[EXTENDED],
        "GetNavPatientLists" => &[ALL_PATIENTS],
        _ => &[READ, EXTENDED, ALL_PATIENTS],
    }
}

pub(super) fn allowed(user: &User, roles: &[&str]) -> Result<(), Fault> {
    if user.has_any(roles) || user.has_any(&[ADMINISTRATOR]) {
        Ok(())
    } else {
        Err(Fault::denied())
    }
}

/// A national id of a request. The text of the fault is what clients compare with.
pub(super) fn nin(text: Option<&str>, name: &str) -> Result<u64, Fault> {
    let invalid = || wrong(format!("{name} er ugyldig"));
    let text = text.ok_or_else(invalid)?;
    Nin::parse(text).map_err(|_| invalid())?;
    Packed::digits(text).map(|p| p.0).ok_or_else(invalid)
}

fn page(request: Option<&Object>) -> Result<(usize, usize), Fault> {
    let number = |name, most| {
        let number = request.and_then(|r| r.int(name)).unwrap_or(0);
        if (1..=most).contains(&number) {
            usize::try_from(number).map_err(|_| Fault::internal())
        } else {
            Err(wrong(format!("{name} må være 1 til {most}")))
        }
    };
    let (page, size) = (
        number("Page", MOST_PAGES)?,
        number("PageSize", MOST_OF_PAGE)?,
    );
    Ok(((page - 1) * size, size))
}

fn paged(results: Vec<Object>, total: usize) -> Value {
    Object::new()
        .with("Results", results)
        .with("Total", i64::try_from(total).unwrap_or(i64::from(i32::MAX)))
        .into()
}

impl Flr {
    pub(super) fn read(&self, call: &Call) -> Answer {
        let (operation, request, user) = (call.operation.as_str(), &call.request, &*call.user);
        if let Err(refused) = allowed(user, roles(operation)) {
            self.journal_refusal(user, operation)?;
            return Err(refused);
        }
        match operation {
            "GetPatientGPDetails" => self.of_patient(call),
            "GetPatientsGPDetails" => self.of_patients(call),
            "GetPatientsGPDetailsAtTime" => self.of_patients_at(call),
            "GetPatientGPHistory" => self.history(call),
            "GetGPContract" => {
                let (no, contract) = self.contract_of(request)?;
                Ok(self.contract(no, &contract, None).into())
            }
            "GetGPContractsOnOffice" => Ok(self.on_office(request)),
            "GetGPPatientList" => self.patient_list(call),
            "GetGPWithAssociatedGPContracts" => self.doctor(request),
            "ConfirmGP" => self.confirm(call),
            "GetGPContractForNav" => self.for_nav(request),
            "GetGPContractIdsOperatingInPostalCode" => self.in_postal_code(request),
            "SearchForGP" => self.search_doctors(request),
            "QueryGPContracts" => self.search_contracts(request),
            "GetPrimaryHealthCareTeam" => {
                let team = self.parts.lists.team(request.int("id").unwrap_or(0));
                let team = team.ok_or_else(|| wrong("Primærhelseteam finnes ikke"))?;
                Ok(self.team(&team).into())
            }
            // The forms of these lists are not in the published sources.
            _ => Err(Fault::generic(
                "NotImplemented",
                "Pasientlister for NAV leveres ikke av denne tjenesten. Bruk ExportGPContracts.",
            )),
        }
    }

    fn contract_of(&self, request: &Object) -> Result<(EntryNo, GpContract), Fault> {
        let id = request.int("gpContractId").unwrap_or(0);
        self.parts
            .lists
            .contract_entry(id)
            .ok_or_else(|| wrong("Fastlegeavtale finnes ikke"))
    }

    /// The number under which a patient stands: today's of somebody with several.
    fn known(&self, number: u64) -> u64 {
        let text = Packed(number).text(11);
        let today = self.parts.directory.person(&text).map(|p| p.nin);
        today
            .and_then(|nin| Packed::digits(&nin))
            .map_or(number, |packed| packed.0)
    }

    fn active(&self, number: u64, at: Moment) -> Option<OnList> {
        let lists = &self.parts.lists;
        lists
            .active(number, at)
            .or_else(|| lists.active(self.known(number), at))
    }

    /// The same as far as the caller may know it: of a person with a protected address (kode 6 and 7) the contract's own
    /// office, the writer and the labour and welfare administration know whose patient she is; to others she is without
    /// a GP (spec/privacy.md §7.6).
    fn told(&self, user: &User, number: u64, at: Moment) -> Option<OnList> {
        let found = self.active(number, at)?;
        self.may_know(user, number, found.contract).then_some(found)
    }

    fn may_know(&self, user: &User, number: u64, contract: i64) -> bool {
        let person = self.parts.directory.person(&Packed(number).text(11));
        let is_protected = person.is_some_and(|p| p.protection >= Protection::Confidential);
        if !is_protected || user.has_any(&[ADMINISTRATOR, WRITE, EXTENDED, ALL_PATIENTS]) {
            return true;
        }
        let office = self.parts.lists.contract(contract).map(|c| c.office);
        let own = office.map(|office| self.of_office(&office.to_string()));
        own.unwrap_or_default()
            .iter()
            .any(|orgnr| user.orgnr() == Some(orgnr))
    }

    fn seen(&self, call: &Call, numbers: impl IntoIterator<Item = u64>) -> Result<(), Fault> {
        let nins: Vec<String> = numbers.into_iter().map(|n| Packed(n).text(11)).collect();
        self.journal(&call.user, &call.operation, &nins)
    }

    fn of_patient(&self, call: &Call) -> Answer {
        let number = nin(call.request.text("patientNin"), "patientNin")?;
        let now = self.now();
        let found = self.told(&call.user, number, now);
        self.seen(call, [number])?;
        match found {
            Some(on) => Ok(self.on_list(&on, Some(now), true, true, true).into()),
            None => Err(wrong("Pasienten har ingen fastlege")),
        }
    }

    fn of_patients(&self, call: &Call) -> Answer {
        let now = self.now();
        let numbers: Vec<u64> = call
            .request
            .texts("patientNins")
            .map(|text| nin(Some(text), "patientNins"))
            .collect::<Result<_, _>>()?;
        limited(numbers.len())?;
        self.seen(call, numbers.iter().copied())?;
        let each = |number: &u64| {
            let on = self
                .told(&call.user, *number, now)
                .ok_or_else(|| wrong("En av pasientene har ingen fastlege"))?;
            Ok(self.on_list(&on, Some(now), true, true, false))
        };
        let found: Vec<Object> = numbers.iter().map(each).collect::<Result<_, Fault>>()?;
        Ok(found.into())
    }

    fn of_patients_at(&self, call: &Call) -> Answer {
        let asked: Vec<(u64, Moment)> = call
            .request
            .objects("patientNins")
            .map(|one| {
                let at = one.time("AtTime").map(moment);
                let at = at.ok_or_else(|| wrong("AtTime må oppgis"))?;
                Ok((nin(one.text("NIN"), "NIN")?, at))
            })
            .collect::<Result<_, Fault>>()?;
        limited(asked.len())?;
        self.seen(call, asked.iter().map(|(number, _)| *number))?;
        let found: Vec<Object> = asked
            .iter()
            .filter_map(|(number, at)| {
                let on = self.told(&call.user, *number, *at)?;
                Some(self.on_list(&on, Some(*at), false, true, false))
            })
            .collect();
        Ok(found.into())
    }

    fn history(&self, call: &Call) -> Answer {
        let number = nin(call.request.text("patientNin"), "patientNin")?;
        let with_patient = call.request.flag("includePatientData");
        self.seen(call, [number])?;
        let mut found = self.parts.lists.history(number);
        if found.is_empty() {
            found = self.parts.lists.history(self.known(number));
        }
        found.retain(|on| self.may_know(&call.user, number, on.contract));
        let objects: Vec<Object> = found
            .iter()
            .map(|on| self.on_list(on, None, false, true, with_patient))
            .collect();
        Ok(objects.into())
    }

    fn on_office(&self, request: &Object) -> Value {
        let office = request.int("organizationNumber").unwrap_or(0);
        let office = u32::try_from(office).unwrap_or(0);
        let at = request.time("atTime").map(moment);
        let lists = &self.parts.lists;
        let objects: Vec<Object> = lists
            .of_office(office)
            .iter()
            .filter(|c| at.is_none_or(|at| c.valid.contains(at)))
            .filter_map(|c| {
                let (no, _) = lists.contract_entry(c.id)?;
                Some(self.contract(no, c, at))
            })
            .collect();
        objects.into()
    }

    /// The list of a contract goes to its own office, and to those who may have all lists.
    fn patient_list(&self, call: &Call) -> Answer {
        let (_, contract) = self.contract_of(&call.request)?;
        let office = contract.office.to_string();
        let own = self.of_office(&office);
        let orgnr = call.user.orgnr();
        if !orgnr.is_some_and(|orgnr| own.iter().any(|o| o == orgnr)) {
            allowed(&call.user, &[ALL_PATIENTS])?;
        }
        let now = self.now();
        let patients = self.parts.lists.patients(contract.id, now);
        self.seen(call, patients.iter().map(|on| on.line.nin))?;
        let objects: Vec<Object> = patients
            .iter()
            .map(|on| self.on_list(on, Some(now), false, false, true))
            .collect();
        Ok(objects.into())
    }

    fn doctor_object(&self, hpr: u32, at: Option<Moment>) -> Option<Object> {
        let lists = &self.parts.lists;
        let mut cycles = Vec::new();
        let mut person = Value::Nil;
        for contract in lists.of_doctor(hpr) {
            let Some((no, _)) = lists.contract_entry(contract.id) else {
                continue;
            };
            for cycle in contract.doctors.iter().filter(|d| d.hpr == hpr) {
                if at.is_some_and(|at| !cycle.valid.contains(at) || !contract.valid.contains(at)) {
                    continue;
                }
                let mut written = self.cycle(no, &contract, cycle);
                if let Some(gp) = written.get("GP") {
                    person = gp.clone();
                }
                written.set("GPContract", self.contract(no, &contract, at));
                cycles.push(written);
            }
        }
        if cycles.is_empty() {
            return None;
        }
        let languages: Vec<Value> = lists
            .languages(hpr)
            .into_iter()
            .map(|language| super::codes::short(3303, language))
            .collect();
        Some(
            Object::new()
                .with("Contracts", cycles)
                .with("GP", person)
                .with("HprNumber", hpr)
                .with("Languages", languages),
        )
    }

    fn doctor(&self, request: &Object) -> Answer {
        let hpr = request.int("hprNumber").unwrap_or(0);
        let at = request.time("atTime").map(moment);
        u32::try_from(hpr)
            .ok()
            .and_then(|hpr| self.doctor_object(hpr, at))
            .map(Value::from)
            .ok_or_else(|| wrong("Fastlege finnes ikke"))
    }

    fn confirm(&self, call: &Call) -> Answer {
        let number = nin(call.request.text("patientNin"), "patientNin")?;
        let hpr = call.request.int("hprNumber").unwrap_or(0);
        let at = call.request.time("atTime").map(moment);
        let at = at.unwrap_or_else(|| self.now());
        self.seen(call, [number])?;
        let is_gp = self.told(&call.user, number, at).is_some_and(|on| {
            self.parts
                .lists
                .contract(on.contract)
                .is_some_and(|c| doctors_at(&c, at).any(|d| i64::from(d.hpr) == hpr))
        });
        Ok(is_gp.into())
    }

    fn for_nav(&self, request: &Object) -> Answer {
        let number = nin(request.text("doctorNin"), "doctorNin")?;
        let text = Packed(number).text(11);
        let municipality = request.text("municipalityNr").unwrap_or_default();
        let substitutes = request.flag("doSubstituteSearch");
        let not_found = || wrong("Fastlegeavtale finnes ikke");
        let doctor = self.parts.directory.practitioner_by_nin(&text);
        let hpr: u32 = doctor
            .and_then(|d| d.hpr)
            .and_then(|hpr| hpr.parse().ok())
            .ok_or_else(not_found)?;
        let now = self.now();
        let lists = &self.parts.lists;
        let found = lists.of_doctor(hpr).into_iter().find(|c| {
            c.municipality.as_str() == municipality
                && doctors_at(c, now)
                    .any(|d| d.hpr == hpr && (substitutes || d.substitute_for.is_none()))
        });
        let contract = found.ok_or_else(not_found)?;
        let (no, _) = lists.contract_entry(contract.id).ok_or_else(not_found)?;
        Ok(self.contract(no, &contract, Some(now)).into())
    }

    fn in_postal_code(&self, request: &Object) -> Answer {
        let prefix = request.text("postNr").unwrap_or_default();
        let fits = (2..=4).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_digit());
        if !fits {
            return Err(wrong("postNr må være to til fire siffer"));
        }
        let now = self.now();
        let mut found = Vec::new();
        self.parts.lists.each_contract(|entry| {
            if let registers::gplists::Record::Contract(c) = &entry.content
                && c.valid.contains(now)
                && (c
                    .away
                    .iter()
                    .any(|a| a.valid.contains(now) && a.postcode.starts_with(prefix))
                    || self.visits_in(c.office, prefix))
            {
                found.push(Value::from(c.id));
            }
        });
        Ok(Value::List(found))
    }

    /// Whether the office has a visiting address there, of its own or in the organisation register.
    fn visits_in(&self, office: u32, prefix: &str) -> bool {
        let visiting = self.parts.lists.office(office).and_then(|o| o.visiting);
        let registered = self.places(office);
        let registered = registered.iter().flat_map(|b| &b.content.physical);
        let is_here = |postcode: &str| postcode.starts_with(prefix);
        visiting.is_some_and(|(_, postcode, _)| is_here(&postcode))
            || registered
                .filter(|a| a.code == "RES")
                .any(|a| a.postcode.as_deref().is_some_and(is_here))
    }

    fn search_doctors(&self, request: &Object) -> Answer {
        let asked = request.object("searchParameters");
        let (skip, size) = page(asked)?;
        let words = fold(asked.and_then(|a| a.text("FullText")).unwrap_or_default());
        let municipality = asked
            .and_then(|a| a.object("HasGPOfficeInMunicipality"))
            .and_then(|code| code.text("CodeValue"))
            .map(str::to_owned);
        let now = self.now();
        let lists = &self.parts.lists;
        let fits = |hpr: &u32| {
            let name = self.parts.directory.practitioner_by_hpr(&hpr.to_string());
            let name = name.map_or_else(String::new, |p| fold(&p.name.full()));
            let here = |c: &GpContract| {
                doctors_at(c, now).any(|d| d.hpr == *hpr)
                    && municipality
                        .as_ref()
                        .is_none_or(|m| c.municipality.as_str() == m)
            };
            let is_word = |word: &str| {
                name.split_whitespace().any(|n| n.starts_with(word)) || hpr.to_string() == word
            };
            words.split_whitespace().all(is_word) && lists.of_doctor(*hpr).iter().any(here)
        };
        let found: Vec<u32> = lists
            .all_doctors()
            .into_iter()
            .filter(|h| fits(h))
            .collect();
        let results = found
            .iter()
            .skip(skip)
            .take(size)
            .filter_map(|hpr| self.doctor_object(*hpr, Some(now)))
            .collect();
        Ok(paged(results, found.len()))
    }

    fn search_contracts(&self, request: &Object) -> Answer {
        let asked = request.object("queryParameters");
        let (skip, size) = page(asked)?;
        let words = fold(asked.and_then(|a| a.text("FullText")).unwrap_or_default());
        let municipality = asked
            .and_then(|a| a.object("Municipality"))
            .and_then(|code| code.text("CodeValue"));
        let team = match asked.and_then(|a| a.get("HasPrimaryHealthCareTeam")) {
            Some(Value::Bool(has)) => Some(*has),
            _ => None,
        };
        let now = self.now();
        let mut found: Vec<(EntryNo, GpContract)> = Vec::new();
        self.parts.lists.each_contract(|entry| {
            if let registers::gplists::Record::Contract(c) = &entry.content
                && c.valid.contains(now)
                && municipality.is_none_or(|m| c.municipality.as_str() == m)
                && team.is_none_or(|has| c.team.is_some() == has)
                && words.split_whitespace().all(|w| fold(&c.name).contains(w))
            {
                found.push((entry.no, GpContract::clone(c)));
            }
        });
        found.sort_by_key(|(_, c)| c.id);
        let results = found
            .iter()
            .skip(skip)
            .take(size)
            .map(|(no, c)| self.contract(*no, c, Some(now)))
            .collect();
        Ok(paged(results, found.len()))
    }
}

fn limited(count: usize) -> Result<(), Fault> {
    match count {
        0 => Err(wrong("patientNins må oppgis")),
        count if count > MOST_PATIENTS => Err(wrong(format!(
            "Høyst {MOST_PATIENTS} pasienter i en forespørsel"
        ))),
        _ => Ok(()),
    }
}
