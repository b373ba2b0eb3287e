//! Critical information as FHIR (spec/kjernejournal.md §4.2, §4.3): values in, a resource and its class out.

use crate::Kjernejournal;
use crate::rules::Category;
use bytes::Bytes;
use records::write::prepare;
use registers::{FNR_SYSTEM, HPR_SYSTEM, ORGNR_SYSTEM, person_ref};
use serde_json::{Value, json};
use store::{Op, Privacy, Put, PutId, StoreError};
use trust::Controller;

const PROFILES: &str = "http://nhn.no/kj/fhir/StructureDefinition";
const SOURCE_SYSTEM: &str = "http://nhn.no/kj/fhir/CodeSystem/SourceOfInformation";
const ROLE_SYSTEM: &str = "http://nhn.no/kj/fhir/CodeSystem/CategoriesOfHealthProfessionals";

/// Who registered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorder {
    /// The patient herself.
    Patient,
    /// Health personnel.
    Personnel {
        /// HPR number.
        hpr: String,
        /// Role (9060).
        role: String,
        /// Name, for display.
        name: String,
        /// Organisation number.
        orgnr: String,
    },
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Category 1 or 2: coding system (URI), code and words.
    Allergy {
        /// Category 1 (medicine) or 2 (other).
        category: Category,
        /// System of the code.
        system: String,
        /// Code (ATC, 7514, …).
        code: String,
        /// Words.
        display: String,
        /// Criticality high.
        is_high: bool,
        /// Reaction in words.
        reaction: Option<String>,
    },
    /// Category 7.
    Implant {
        /// Words.
        display: String,
    },
    /// Category 8.
    TreatmentLimit {
        /// Valid until (shown as active even when it has passed).
        valid_until: jiff::civil::Date,
    },
}

/// One piece of critical information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriticalInfo {
    /// What.
    pub what: What,
    /// Confirmed by personnel.
    pub is_confirmed: bool,
    /// When it was registered.
    pub recorded: jiff::Timestamp,
    /// By whom.
    pub recorder: Recorder,
    /// Note, at most 500 characters.
    pub note: Option<String>,
}

impl Kjernejournal {
    /// The record to store for a patient; the caller commits it.
    pub fn critical_put(&self, nin: &str, info: &CriticalInfo) -> Result<Put, StoreError> {
        let (rtype, category, mut body) = resource(nin, info);
        let source = json!([{
            "url": format!("{PROFILES}/KjSourceOfInformation"),
            "valueCoding": { "system": SOURCE_SYSTEM, "code": "1" },
        }]);
        put(&mut body, "extension", source);
        let privacy = Privacy {
            controller: Controller::KJ.code().to_owned(),
            class: category.class().code(),
            author_org: match &info.recorder {
                Recorder::Personnel { orgnr, .. } => Some(orgnr.clone()),
                Recorder::Patient => None,
            },
            ..Privacy::default()
        };
        let repo = self.trust().store().repo(crate::REPOSITORY)?;
        let persons = vec![person_ref(nin)];
        prepare(
            repo,
            rtype,
            PutId::New,
            Op::Create,
            Bytes::from(body.to_string()),
            persons,
            privacy,
            Vec::new(),
        )
        .map_err(|findings| {
            let rules: Vec<String> = findings
                .iter()
                .map(|f| format!("{} {}", f.rule, f.expression))
                .collect();
            StoreError::Invalid(format!(
                "critical information is not valid: {}",
                rules.join(", ")
            ))
        })
    }
}

fn resource(nin: &str, info: &CriticalInfo) -> (&'static str, Category, Value) {
    let subject =
        json!({ "type": "Patient", "identifier": { "system": FNR_SYSTEM, "value": nin } });
    let recorded = info.recorded.to_string();
    let (recorder, contained) = recorder(&info.recorder, &subject);
    let note = info.note.as_ref().map(|text| json!([{ "text": text }]));
    let (rtype, category, mut body) = match &info.what {
        What::Allergy {
            category,
            system,
            code,
            display,
            is_high,
            reaction,
        } => {
            let status = if info.is_confirmed {
                "confirmed"
            } else {
                "unconfirmed"
            };
            let mut body = json!({
                "resourceType": "AllergyIntolerance",
                "meta": { "profile": [format!("{PROFILES}/KjAllergyIntolerance")] },
                "clinicalStatus": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active" }] },
                "verificationStatus": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "code": status }] },
                "category": [if *category == Category::MedicineReaction { "medication" } else { "environment" }],
                "criticality": if *is_high { "high" } else { "unable-to-assess" },
                "code": { "coding": [{ "system": system, "code": code, "display": display, "userSelected": true }], "text": display },
                "patient": subject,
                "recordedDate": recorded,
                "recorder": recorder,
            });
            if let Some(reaction) = reaction {
                let manifestation = json!([{ "manifestation": [{ "text": reaction }] }]);
                put(&mut body, "reaction", manifestation);
            }
            ("AllergyIntolerance", *category, body)
        }
        What::Implant { display } => (
            "DeviceUseStatement",
            Category::Implant,
            json!({
                "resourceType": "DeviceUseStatement",
                "meta": { "profile": [format!("{PROFILES}/KjDeviceUseStatement")] },
                "status": "active",
                "subject": subject,
                "recordedOn": recorded,
                "source": recorder,
                "device": { "reference": "#device", "display": display },
            }),
        ),
        What::TreatmentLimit { valid_until } => (
            "Consent",
            Category::TreatmentLimit,
            json!({
                "resourceType": "Consent",
                "meta": { "profile": [format!("{PROFILES}/KjConsentAvgrensningAvLivsforlengendeBehandling")] },
                "status": "active",
                "scope": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "adr" }] },
                "category": [{ "text": "Avgrensning av livsforlengende behandling" }],
                "patient": subject,
                "dateTime": recorded,
                "performer": [recorder],
                "policyRule": { "coding": [{ "system": "http://nhn.no/kj/fhir/CodeSystem/PolicyRule", "code": "1" }] },
                "provision": { "period": { "end": valid_until.to_string() } },
            }),
        ),
    };
    let mut contained = contained;
    if rtype == "DeviceUseStatement" {
        contained.push(json!({ "resourceType": "Device", "id": "device" }));
    }
    if !contained.is_empty() {
        put(&mut body, "contained", Value::from(contained));
    }
    match (rtype, note) {
        // R4's Consent has no note of its own.
        ("Consent", Some(note)) => {
            let text = note.pointer("/0/text").cloned();
            if let (Some(text), Some(category)) = (text, body.pointer_mut("/category/0")) {
                put(category, "text", text);
            }
        }
        (_, Some(note)) => put(&mut body, "note", note),
        (_, None) => {}
    }
    (rtype, category, body)
}

/// Sets a member of an object; nothing else is one.
fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// Reference to the recorder, with its contained PractitionerRole.
fn recorder(recorder: &Recorder, subject: &Value) -> (Value, Vec<Value>) {
    match recorder {
        Recorder::Patient => (subject.clone(), Vec::new()),
        Recorder::Personnel {
            hpr,
            role,
            name,
            orgnr,
        } => (
            json!({ "reference": "#recorder", "display": name }),
            vec![json!({
                "resourceType": "PractitionerRole",
                "id": "recorder",
                "practitioner": { "identifier": { "system": HPR_SYSTEM, "value": hpr }, "display": name },
                "organization": { "identifier": { "system": ORGNR_SYSTEM, "value": orgnr } },
                "code": [{ "coding": [{ "system": ROLE_SYSTEM, "code": role }] }],
            })],
        ),
    }
}
