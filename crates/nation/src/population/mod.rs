//! Charts for load: the nation's people with FHIR R4 resources at the density of a whole health record, the same for the
//! same seed, made one patient at a time.
//!
//! What a chart holds is drawn from ordinary practice (general practice, laboratory, hospital, vaccination) over the ten
//! years before the anchor; it is not the story's history. Every code system is the one that Norwegian systems use: LOINC
//! and the Norwegian laboratory list, ICPC-2 and ICD-10, ATC, UCUM.

mod chart;
mod tables;

use crate::model::{OrgKind, Person, Practitioner};
use crate::{Nation, NationError, Params};
use jiff::civil::Date;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// National identity number.
const FNR: &str = "urn:oid:2.16.578.1.12.4.1.4.1";
const HPR: &str = "urn:oid:2.16.578.1.12.4.1.4.4";
const ORGNR: &str = "urn:oid:2.16.578.1.12.4.1.4.101";

/// Resources of a chart when nothing else is asked for.
pub const DEFAULT_DENSITY: usize = 60;

/// How resources of one chart refer to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum References {
    /// `Patient/<id>`: for files that are loaded with their ids.
    Literal,
    /// `urn:uuid:<id>`: for transactions in which the server gives the ids.
    Urn,
}

/// One resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its type.
    pub rtype: &'static str,
    /// Its id: time-ordered UUIDs for charts, `org-<number>` and `hpr-<number>` for what is shared.
    pub id: String,
    /// The resource, with `id`.
    pub body: Value,
}

/// A population to be charted.
pub struct Population {
    nation: Nation,
    patients: usize,
    density: usize,
}

impl Population {
    /// The first `patients` inhabitants of a nation with this seed, each with `density` resources on average.
    ///
    /// # Errors
    /// As [`Nation::generate`].
    pub fn new(
        seed: u64,
        anchor: Date,
        patients: usize,
        density: usize,
    ) -> Result<Self, NationError> {
        // Some inhabitants of every cell have died or moved away; a nation of a little more has enough of the rest.
        let population = patients.saturating_add(patients / 10).max(2_000);
        Ok(Self {
            nation: Nation::generate(&Params {
                seed,
                anchor,
                population,
            })?,
            patients,
            density: density.max(1),
        })
    }

    /// The nation behind it.
    #[must_use]
    pub fn nation(&self) -> &Nation {
        &self.nation
    }

    /// Organisations and doctors that the charts refer to, with literal ids.
    #[must_use]
    pub fn shared(&self) -> Vec<Resource> {
        let mut out: Vec<Resource> = self
            .nation
            .organisations()
            .map(|o| {
                organisation(
                    &o.child().to_string(),
                    &o.name,
                    match o.kind() {
                        OrgKind::Hospital => "Sykehus",
                        _ => "Helsevirksomhet",
                    },
                )
            })
            .collect();
        let mut doctors = BTreeSet::new();
        let mut offices = BTreeSet::new();
        for list in self.nation.gp_lists() {
            doctors.extend(list.doctor.map(|d| d.0));
            doctors.extend(list.substitutes.iter().map(|s| s.hpr.0));
            offices.insert(list.office.to_string());
        }
        let known: BTreeSet<String> = out.iter().map(|r| r.id.clone()).collect();
        for office in offices {
            if !known.contains(&format!("org-{office}")) {
                out.push(organisation(&office, "Legekontor", "Legekontor"));
            }
        }
        let mut seen = BTreeSet::new();
        for doctor in self.nation.practitioners() {
            let Some(hpr) = doctor.hpr else { continue };
            if doctors.contains(&hpr.0) && seen.insert(hpr.0) {
                out.push(practitioner(&doctor, hpr.0));
            }
        }
        out
    }

    /// One chart after another: the Patient first, then the rest in order of time; a resource refers to earlier ones only.
    pub fn charts(&self, references: References) -> impl Iterator<Item = Vec<Resource>> + '_ {
        self.nation
            .background()
            .filter(Person::is_resident)
            .take(self.patients)
            .map(move |person| chart::make(&self.nation, &person, self.density, references))
    }
}

fn organisation(orgnr: &str, name: &str, kind: &str) -> Resource {
    let id = format!("org-{orgnr}");
    Resource {
        rtype: "Organization",
        body: json!({
            "resourceType": "Organization",
            "id": id,
            "identifier": [{ "system": ORGNR, "value": orgnr }],
            "active": true,
            "type": [{ "text": kind }],
            "name": name,
        }),
        id,
    }
}

fn practitioner(doctor: &Practitioner, hpr: u32) -> Resource {
    let id = format!("hpr-{hpr}");
    Resource {
        rtype: "Practitioner",
        body: json!({
            "resourceType": "Practitioner",
            "id": id,
            "identifier": [{ "system": HPR, "value": hpr.to_string() }],
            "active": true,
            "name": [{ "family": doctor.name.family, "given": [doctor.name.given] }],
            "birthDate": doctor.born.to_string(),
        }),
        id,
    }
}

/// A transaction that creates a chart; references must be [`References::Urn`].
#[must_use]
pub fn transaction(chart: Vec<Resource>) -> Value {
    let entries: Vec<Value> = chart
        .into_iter()
        .map(|r| {
            let full_url = format!("urn:uuid:{}", r.id);
            json!({
                "fullUrl": full_url,
                "resource": without_id(r.body),
                "request": { "method": "POST", "url": r.rtype },
            })
        })
        .collect();
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })
}

/// A transaction that puts resources under their own ids.
#[must_use]
pub fn put_all(resources: Vec<Resource>) -> Value {
    let entries: Vec<Value> = resources
        .into_iter()
        .map(|r| {
            json!({
                "request": { "method": "PUT", "url": format!("{}/{}", r.rtype, r.id) },
                "resource": r.body,
            })
        })
        .collect();
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })
}

fn without_id(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.shift_remove("id");
    }
    body
}
