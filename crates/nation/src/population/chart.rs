//! One person's chart: encounters in order of time, each with what an encounter of its kind leaves behind.

use super::tables::{
    ALLERGENS, ANALYSES, Analysis, DIAGNOSES, MEDICINES, PROBLEMS, PROCEDURES, VACCINES, VITALS,
    Vital,
};
use super::{FNR, References, Resource};
use crate::Nation;
use crate::model::{OrgKind, Person};
use crate::rng::{Kind, Stream};
use codes::ident::Sex;
use codes::{lab, lists, oid};
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use serde_json::{Value, json};

const LOINC: &str = "http://loinc.org";
const UCUM: &str = "http://unitsofmeasure.org";
const ATC: &str = "http://www.whocc.no/atc";
const SNOMED: &str = "http://snomed.info/sct";
const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const INTERPRETATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
/// Resources that an encounter leaves on average, its own included; spreads encounters over the years.
const PER_ENCOUNTER: usize = 7;
/// Years that a chart covers.
const YEARS: i16 = 10;
/// Ids carry a time from here on; one millisecond for each person.
const FIRST_ID_MS: u64 = 1_700_000_000_000;

/// The chart of a person: `density` resources on average, fewer for the young, more for the old.
pub(super) fn make(
    nation: &Nation,
    person: &Person,
    density: usize,
    references: References,
) -> Vec<Resource> {
    let mut random = Stream::new(nation.params().seed, Kind::Chart, u64::from(person.id.0));
    let share = match person.age_on(nation.anchor()) {
        ..10 => 55,
        10..30 => 75,
        30..50 => 95,
        50..70 => 120,
        _ => 155,
    } + random.below(21)
        - 10;
    let share = usize::try_from(share).unwrap_or(100);
    let wanted = (density * share / 100).max(1);
    let mut maker = Maker {
        nation,
        person,
        references,
        out: Vec::with_capacity(wanted),
        number: 0,
        patient: Value::Null,
        doctor: Value::Null,
        office: Value::Null,
        hospital: Value::Null,
        random,
    };
    maker.patient();
    maker.places();
    if maker.random.chance(1_500) {
        maker.allergy(wanted);
    }
    let encounters = wanted / PER_ENCOUNTER + 1;
    let mut made = 0;
    while maker.out.len() < wanted {
        let when = maker.moment(made, encounters);
        maker.encounter(when, wanted);
        made += 1;
    }
    maker.out
}

struct Maker<'a> {
    nation: &'a Nation,
    person: &'a Person,
    references: References,
    out: Vec<Resource>,
    number: u64,
    patient: Value,
    doctor: Value,
    office: Value,
    hospital: Value,
    random: Stream,
}

impl Maker<'_> {
    /// A UUID of version 7: by person, then by number within the chart.
    fn id(&mut self) -> String {
        let ms = FIRST_ID_MS + u64::from(self.person.id.0) * 16 + (self.number >> 12);
        let counter = self.number & 0xfff;
        self.number += 1;
        let tail = self.random.next();
        format!(
            "{:08x}-{:04x}-7{counter:03x}-{:04x}-{:012x}",
            ms >> 16,
            ms & 0xffff,
            0x8000 | (tail >> 50 & 0x3fff),
            tail & 0xffff_ffff_ffff
        )
    }

    fn reference(&self, rtype: &str, id: &str) -> Value {
        let text = match self.references {
            References::Literal => format!("{rtype}/{id}"),
            References::Urn => format!("urn:uuid:{id}"),
        };
        json!({ "reference": text })
    }

    /// Adds a resource; its reference.
    fn add(&mut self, rtype: &'static str, mut body: Value) -> Value {
        let id = self.id();
        let reference = self.reference(rtype, &id);
        if let Some(members) = body.as_object_mut() {
            members.insert("id".to_owned(), Value::from(id.as_str()));
            members.retain(|_, value| !value.is_null());
        }
        self.out.push(Resource { rtype, id, body });
        reference
    }

    fn patient(&mut self) {
        let p = self.person;
        let mut given = vec![p.name.given.as_str()];
        given.extend(p.name.middle.as_deref());
        let address = p.address.as_ref().map(|a| {
            json!([{ "use": "home", "line": [a.street], "city": a.place, "postalCode": a.postcode, "country": "NO" }])
        });
        let body = json!({
            "resourceType": "Patient",
            "identifier": [{ "use": "official", "system": FNR, "value": p.nin.as_str() }],
            "active": true,
            "name": [{ "use": "official", "family": p.name.family, "given": given }],
            "telecom": [{ "system": "phone", "value": format!("+47 {}", 40_000_000 + p.id.0 % 10_000_000), "use": "mobile" }],
            "gender": match p.sex { Sex::Female => "female", Sex::Male => "male" },
            "birthDate": p.born.to_string(),
            "address": address,
            "communication": [{ "language": { "coding": [{ "system": "urn:ietf:bcp:47", "code": p.languages.first().copied().unwrap_or("nb") }] } }],
            "generalPractitioner": p.gp.as_ref().map(|g| json!([{ "reference": format!("Organization/org-{}", g.office) }])),
        });
        self.patient = self.add("Patient", body);
    }

    /// Where this person is treated.
    fn places(&mut self) {
        if let Some(gp) = &self.person.gp {
            self.office = json!({ "reference": format!("Organization/org-{}", gp.office) });
            if let Some(hpr) = gp.hpr.or(gp.substitutes.first().map(|s| s.hpr)) {
                self.doctor = json!({ "reference": format!("Practitioner/hpr-{hpr}") });
            }
        }
        let hospitals: Vec<_> = self
            .nation
            .organisations()
            .filter(|o| o.kind() == OrgKind::Hospital)
            .collect();
        let home = self.person.address.as_ref().map(|a| a.municipality);
        let near = hospitals
            .iter()
            .find(|o| Some(o.municipality) == home)
            .or_else(|| hospitals.get(self.person.household as usize % hospitals.len().max(1)));
        if let Some(hospital) = near {
            self.hospital =
                json!({ "reference": format!("Organization/org-{}", hospital.child()) });
        }
    }

    /// The start of encounter `k` of about `of`, in office hours, ascending.
    fn moment(&mut self, k: usize, of: usize) -> DateTime {
        let anchor = self.nation.anchor();
        let first = anchor
            .checked_sub(YEARS.years())
            .unwrap_or(anchor)
            .max(self.person.born);
        let days = (anchor - first).get_days().max(2);
        let step = (i64::from(days) / i64::try_from(of.max(1)).unwrap_or(1)).max(1);
        let day = step * i64::try_from(k).unwrap_or(0)
            + i64::try_from(self.random.below(step.unsigned_abs())).unwrap_or(0);
        let day = first
            .checked_add(day.min(i64::from(days) - 1).days())
            .unwrap_or(anchor);
        let hour = i8::try_from(8 + self.random.below(8)).unwrap_or(9);
        let minute = i8::try_from(self.random.below(12) * 5).unwrap_or(0);
        day.at(hour, minute, 0, 0)
    }

    fn encounter(&mut self, when: DateTime, wanted: usize) {
        match self.random.weighted(&[52, 26, 12, 10]) {
            0 => self.consultation(when, wanted),
            1 => self.laboratory(when, wanted),
            2 => self.stay(when, wanted),
            _ => self.vaccination(when, wanted),
        }
    }

    fn is_full(&self, wanted: usize) -> bool {
        self.out.len() >= wanted
    }

    fn visit(
        &mut self,
        when: DateTime,
        class: &str,
        text: &str,
        minutes: i64,
        place: Value,
    ) -> Value {
        let end = when.checked_add(minutes.minutes()).unwrap_or(when);
        let body = json!({
            "resourceType": "Encounter",
            "status": "finished",
            "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": class },
            "type": [{ "text": text }],
            "subject": self.patient,
            "participant": participant("individual", &self.doctor),
            "period": { "start": instant(when), "end": instant(end) },
            "serviceProvider": place,
        });
        self.add("Encounter", body)
    }

    fn consultation(&mut self, when: DateTime, wanted: usize) {
        let office = self.office.clone();
        let visit = self.visit(when, "AMB", "Konsultasjon hos fastlege", 20, office);
        if self.random.chance(4_000) {
            let code = self.random.pick(&PROBLEMS).copied().unwrap_or("A97");
            self.condition(when, &visit, oid::LIST_ICPC2, code, wanted);
        }
        if self.random.chance(6_000) {
            self.blood_pressure(when, &visit, wanted);
        }
        let count = 1 + self.random.index(5);
        self.vitals(when, &visit, count, wanted);
        if self.random.chance(4_500) {
            self.prescription(when, &visit, wanted);
        }
    }

    fn laboratory(&mut self, when: DateTime, wanted: usize) {
        let office = self.office.clone();
        let visit = self.visit(when, "AMB", "Prøvetaking", 10, office);
        let mut results = Vec::new();
        let first = self.random.index(ANALYSES.len());
        for k in 0..3 + self.random.index(6) {
            let Some(analysis) = ANALYSES.get((first + k) % ANALYSES.len()) else {
                break;
            };
            if self.is_full(wanted) {
                return;
            }
            results.push(self.result(when, &visit, analysis));
        }
        if self.is_full(wanted) {
            return;
        }
        let body = json!({
            "resourceType": "DiagnosticReport",
            "status": "final",
            "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB" }] }],
            "code": { "coding": [{ "system": LOINC, "code": "11502-2" }], "text": "Laboratoriesvar" },
            "subject": self.patient,
            "encounter": visit,
            "effectiveDateTime": instant(when),
            "issued": instant(when.checked_add(5.hours()).unwrap_or(when)),
            "performer": list(&self.hospital),
            "result": results,
        });
        self.add("DiagnosticReport", body);
    }

    fn stay(&mut self, when: DateTime, wanted: usize) {
        let hospital = self.hospital.clone();
        let minutes = 60 * 24 * (1 + i64::try_from(self.random.below(6)).unwrap_or(1));
        let visit = self.visit(when, "IMP", "Innleggelse", minutes, hospital);
        let code = self.random.pick(&DIAGNOSES).copied().unwrap_or("J189");
        self.condition(when, &visit, oid::LIST_ICD10, code, wanted);
        self.blood_pressure(when, &visit, wanted);
        let count = 3 + self.random.index(4);
        self.vitals(when, &visit, count, wanted);
        if !self.is_full(wanted) {
            let (code, text) = self
                .random
                .pick(&PROCEDURES)
                .copied()
                .unwrap_or(("399208008", "Røntgen thorax"));
            let body = json!({
                "resourceType": "Procedure",
                "status": "completed",
                "code": { "coding": [{ "system": SNOMED, "code": code, "display": text }], "text": text },
                "subject": self.patient,
                "encounter": visit,
                "performedDateTime": instant(when),
            });
            self.add("Procedure", body);
        }
        self.prescription(when, &visit, wanted);
        if !self.is_full(wanted) {
            let end = when.checked_add(minutes.minutes()).unwrap_or(when);
            let body = json!({
                "resourceType": "DocumentReference",
                "status": "current",
                "docStatus": "final",
                "type": { "coding": [{ "system": "urn:oid:2.16.578.1.12.4.1.1.9602", "code": "A03-2", "display": "Epikrise" }], "text": "Epikrise" },
                "subject": self.patient,
                "date": instant(end),
                "author": list(&self.hospital),
                "description": "Epikrise etter innleggelse",
                "content": [{ "attachment": {
                    "contentType": "text/plain",
                    "language": "nb",
                    "data": "SW5ubGFndCBmb3Igb2JzZXJ2YXNqb24gb2cgYmVoYW5kbGluZy4gVXRza3JldmV0IGkgYmVkcmluZy4=",
                    "title": "Epikrise",
                } }],
                "context": { "encounter": [visit] },
            });
            self.add("DocumentReference", body);
        }
    }

    fn vaccination(&mut self, when: DateTime, wanted: usize) {
        let office = self.office.clone();
        let visit = self.visit(when, "AMB", "Vaksinasjon", 10, office);
        for _ in 0..1 + self.random.index(2) {
            if self.is_full(wanted) {
                return;
            }
            let atc = self.random.pick(&VACCINES).copied().unwrap_or("J07BB02");
            let body = json!({
                "resourceType": "Immunization",
                "status": "completed",
                "vaccineCode": coded(ATC, atc, lists::display(oid::LIST_ATC, atc)),
                "patient": self.patient,
                "encounter": visit,
                "occurrenceDateTime": instant(when),
                "primarySource": true,
                "lotNumber": format!("L{:05}", self.random.below(100_000)),
                "performer": participant("actor", &self.doctor),
            });
            self.add("Immunization", body);
        }
    }

    fn allergy(&mut self, wanted: usize) {
        if self.is_full(wanted) {
            return;
        }
        let (code, text, category) =
            self.random
                .pick(&ALLERGENS)
                .copied()
                .unwrap_or(("256259004", "Pollen", "environment"));
        let body = json!({
            "resourceType": "AllergyIntolerance",
            "clinicalStatus": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active" }] },
            "verificationStatus": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "code": "confirmed" }] },
            "type": "allergy",
            "category": [category],
            "criticality": if category == "environment" { "low" } else { "high" },
            "code": { "coding": [{ "system": SNOMED, "code": code, "display": text }], "text": text },
            "patient": self.patient,
        });
        self.add("AllergyIntolerance", body);
    }

    fn condition(
        &mut self,
        when: DateTime,
        visit: &Value,
        system: &str,
        code: &str,
        wanted: usize,
    ) {
        if self.is_full(wanted) {
            return;
        }
        let body = json!({
            "resourceType": "Condition",
            "clinicalStatus": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": if self.random.chance(4_000) { "active" } else { "resolved" } }] },
            "verificationStatus": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "confirmed" }] },
            "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/condition-category", "code": "encounter-diagnosis" }] }],
            "code": coded(&format!("urn:oid:{system}"), code, lists::display(system, code)),
            "subject": self.patient,
            "encounter": visit,
            "onsetDateTime": when.date().to_string(),
            "recordedDate": instant(when),
        });
        self.add("Condition", body);
    }

    fn prescription(&mut self, when: DateTime, visit: &Value, wanted: usize) {
        if self.is_full(wanted) {
            return;
        }
        let (atc, dose) = self
            .random
            .pick(&MEDICINES)
            .copied()
            .unwrap_or(("N02BE01", "ved behov"));
        let body = json!({
            "resourceType": "MedicationRequest",
            "status": if self.random.chance(5_000) { "active" } else { "completed" },
            "intent": "order",
            "medicationCodeableConcept": coded(ATC, atc, lists::display(oid::LIST_ATC, atc)),
            "subject": self.patient,
            "encounter": visit,
            "authoredOn": instant(when),
            "requester": some(&self.doctor),
            "dosageInstruction": [{ "text": dose }],
        });
        self.add("MedicationRequest", body);
    }

    fn vitals(&mut self, when: DateTime, visit: &Value, count: usize, wanted: usize) {
        let first = self.random.index(VITALS.len());
        for k in 0..count {
            let Some(vital) = VITALS.get((first + k) % VITALS.len()) else {
                return;
            };
            if self.is_full(wanted) {
                return;
            }
            self.vital(when, visit, vital);
        }
    }

    fn vital(&mut self, when: DateTime, visit: &Value, vital: &Vital) {
        let value = decimal(
            self.random.normal(vital.mean, vital.sd).max(0.0),
            vital.decimals,
        );
        let body = json!({
            "resourceType": "Observation",
            "status": "final",
            "category": [{ "coding": [{ "system": CATEGORY, "code": "vital-signs" }] }],
            "code": { "coding": [{ "system": LOINC, "code": vital.loinc, "display": vital.name }], "text": vital.name },
            "subject": self.patient,
            "encounter": visit,
            "effectiveDateTime": instant(when),
            "issued": instant(when),
            "performer": list(&self.doctor),
            "valueQuantity": { "value": value, "unit": vital.unit, "system": UCUM, "code": vital.ucum },
        });
        self.add("Observation", body);
    }

    fn blood_pressure(&mut self, when: DateTime, visit: &Value, wanted: usize) {
        if self.is_full(wanted) {
            return;
        }
        let mut part = |loinc: &str, name: &str, mean: f64, sd: f64| {
            json!({
                "code": { "coding": [{ "system": LOINC, "code": loinc, "display": name }] },
                "valueQuantity": { "value": decimal(self.random.normal(mean, sd).max(30.0), 0), "unit": "mmHg", "system": UCUM, "code": "mm[Hg]" },
            })
        };
        let parts = [
            part("8480-6", "Systolisk blodtrykk", 131.0, 15.0),
            part("8462-4", "Diastolisk blodtrykk", 79.0, 9.0),
        ];
        let body = json!({
            "resourceType": "Observation",
            "status": "final",
            "category": [{ "coding": [{ "system": CATEGORY, "code": "vital-signs" }] }],
            "code": { "coding": [{ "system": LOINC, "code": "85354-9", "display": "Blodtrykk" }], "text": "Blodtrykk" },
            "subject": self.patient,
            "encounter": visit,
            "effectiveDateTime": instant(when),
            "performer": list(&self.doctor),
            "component": parts,
        });
        self.add("Observation", body);
    }

    fn result(&mut self, when: DateTime, visit: &Value, analysis: &Analysis) -> Value {
        let known = lab::analyte(analysis.nlk);
        let name = known.map_or(analysis.nlk, |a| a.short_name);
        let drawn = self.random.normal(analysis.mean, analysis.sd).max(0.1);
        let is_low = analysis.low.is_some_and(|low| drawn < low);
        let is_high = analysis.high.is_some_and(|high| drawn > high);
        let mark = match (is_low, is_high) {
            (true, _) => Some("L"),
            (_, true) => Some("H"),
            _ => None,
        };
        let unit = known.and_then(|a| a.unit).unwrap_or("1");
        let quantity = |value: f64| json!({ "value": decimal(value, analysis.decimals), "unit": unit, "system": UCUM, "code": known.and_then(|a| a.ucum).unwrap_or("1") });
        let mut limits = serde_json::Map::new();
        if let Some(low) = analysis.low {
            limits.insert("low".to_owned(), quantity(low));
        }
        if let Some(high) = analysis.high {
            limits.insert("high".to_owned(), quantity(high));
        }
        let body = json!({
            "resourceType": "Observation",
            "status": "final",
            "category": [{ "coding": [{ "system": CATEGORY, "code": "laboratory" }] }],
            "code": {
                "coding": [
                    { "system": format!("urn:oid:{}", oid::LIST_NLK), "code": analysis.nlk, "display": name },
                    { "system": LOINC, "code": analysis.loinc },
                ],
                "text": name,
            },
            "subject": self.patient,
            "encounter": visit,
            "effectiveDateTime": instant(when),
            "issued": instant(when.checked_add(5.hours()).unwrap_or(when)),
            "performer": list(&self.hospital),
            "valueQuantity": quantity(drawn),
            "interpretation": mark.map(|code| json!([{ "coding": [{ "system": INTERPRETATION, "code": code }] }])),
            "referenceRange": [limits],
        });
        self.add("Observation", body)
    }
}

fn coded(system: &str, code: &str, display: Option<&str>) -> Value {
    match display {
        Some(display) => {
            json!({ "coding": [{ "system": system, "code": code, "display": display }], "text": display })
        }
        None => json!({ "coding": [{ "system": system, "code": code }] }),
    }
}

fn some(reference: &Value) -> Option<&Value> {
    (!reference.is_null()).then_some(reference)
}

fn list(reference: &Value) -> Option<[&Value; 1]> {
    some(reference).map(|r| [r])
}

fn participant(role: &str, doctor: &Value) -> Option<Value> {
    some(doctor).map(|d| json!([{ role: d }]))
}

/// A decimal as a number with its digits kept.
fn decimal(value: f64, decimals: usize) -> Value {
    let text = format!("{value:.decimals$}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// Norwegian time with its offset (EU rule: summer from the last Sunday of March to the last of October).
fn instant(at: DateTime) -> String {
    let date = at.date();
    let last_sunday = |month: i8| {
        let last = Date::constant(date.year(), month, 31);
        last.checked_sub(i64::from(last.weekday().to_sunday_zero_offset()).days())
            .unwrap_or(last)
    };
    let offset = if date >= last_sunday(3) && date < last_sunday(10) {
        "+02:00"
    } else {
        "+01:00"
    };
    format!("{}T{:02}:{:02}:00{offset}", date, at.hour(), at.minute())
}
