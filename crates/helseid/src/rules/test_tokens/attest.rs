//! The attest of a test token, from the flat members of the request (spec §15, spec tillitsrammeverk §4).

use serde_json::{Map, Value, json};

use super::claims::{Ground, Person};
use super::{Fields, Refusal};

const ORGANISATION: [&str; 2] = ["urn:oid:2.16.578.1.12.4.1.4.101", "https://www.brreg.no"];
const DEPARTMENT: [&str; 2] = ["urn:oid:2.16.578.1.12.4.1.4.102", "https://www.nhn.no"];

/// `{id, name, system, authority}` from members with a common beginning; the id may fall back.
fn identity(
    fields: Fields<'_>,
    prefix: &str,
    id: Option<String>,
    name: Option<String>,
    [system, authority]: [&str; 2],
) -> Result<Option<Value>, Refusal> {
    let text = |rest: &str| fields.text(&format!("{prefix}{rest}"));
    let Some(id) = text("Id")?.or(id) else {
        return Ok(None);
    };
    let mut made = Map::new();
    made.insert("id".to_owned(), id.into());
    if let Some(name) = text("Name")?.or(name) {
        made.insert("name".to_owned(), name.into());
    }
    let system = text("System")?.unwrap_or_else(|| system.to_owned());
    let authority = text("Authority")?.unwrap_or_else(|| authority.to_owned());
    made.insert("system".to_owned(), system.into());
    made.insert("authority".to_owned(), authority.into());
    Ok(Some(Value::Object(made)))
}

/// `{code, text, system, assigner}`: code and text from members with one beginning, the rest with another.
fn coded(
    fields: Fields<'_>,
    (prefix, system_prefix): (&str, &str),
    [code, text, system, assigner]: [&str; 4],
) -> Result<Value, Refusal> {
    let get = |prefix: &str, rest: &str, default: &str| -> Result<String, Refusal> {
        let given = fields.text(&format!("{prefix}{rest}"))?;
        Ok(given.unwrap_or_else(|| default.to_owned()))
    };
    Ok(json!({
        "code": get(prefix, "Code", code)?,
        "text": get(prefix, "Text", text)?,
        "system": get(system_prefix, "System", system)?,
        "assigner": get(system_prefix, "Assigner", assigner)?,
    }))
}

/// The claim.
///
/// # Errors
/// A text that names the member of the wrong kind.
pub fn claim(
    fields: Fields<'_>,
    user: Option<&Person>,
    ground: &Ground<'_>,
) -> Result<Value, Refusal> {
    let mut claim = Map::new();
    claim.insert(
        "practitioner".to_owned(),
        practitioner(fields, user, ground)?.into(),
    );
    claim.insert(
        "care_relationship".to_owned(),
        care_relationship(fields)?.into(),
    );
    claim.insert("patients".to_owned(), patients(fields)?.into());
    claim.insert("toa".to_owned(), ground.now_s.into());
    Ok(Value::Object(claim))
}

fn practitioner(
    fields: Fields<'_>,
    user: Option<&Person>,
    ground: &Ground<'_>,
) -> Result<Map<String, Value>, Refusal> {
    let mut made = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            made.insert(name.to_owned(), value);
        }
    };
    let name = user.map(|user| {
        let (given, middle, family) = &user.names;
        super::claims::full_name(given, middle.as_deref(), family)
    });
    let name = name.filter(|name| !name.is_empty());
    set(
        "identifier",
        identity(
            fields,
            "practitionerIdentifier",
            user.map(|user| user.pid.clone()),
            name,
            [
                "urn:oid:2.16.578.1.12.4.1.4.1",
                "https://www.skatteetaten.no",
            ],
        )?,
    );
    if !fields.flag("dontSetPractitionerHprNr")? {
        let number = user.and_then(|user| user.hpr.clone());
        let system = [
            "urn:oid:2.16.578.1.12.4.1.4.4",
            "https://www.helsedirektoratet.no/",
        ];
        set(
            "hpr_nr",
            identity(fields, "practitionerHprNr", number, None, system)?,
        );
    }
    if !fields.flag("dontSetPractitionerAuthorization")? {
        let defaults = [
            "LE",
            "Lege",
            "urn:oid:2.16.578.1.12.4.1.1.9060",
            "https://www.helsedirektoratet.no/",
        ];
        let prefix = "practitionerAuthorization";
        set(
            "authorization",
            Some(coded(fields, (prefix, prefix), defaults)?),
        );
    }
    let old = |name: &str| fields.text(name);
    let entity = old("legalEntityId")?.or_else(|| ground.organisation.clone());
    let point = old("pointOfCareId")?.or_else(|| ground.organisation.clone());
    for (member, prefix, id, name) in [
        (
            "legal_entity",
            "practitionerLegalEntity",
            entity,
            old("legalEntityName")?,
        ),
        (
            "point_of_care",
            "practitionerPointOfCare",
            point,
            old("pointOfCareName")?,
        ),
    ] {
        set(member, identity(fields, prefix, id, name, ORGANISATION)?);
    }
    if !fields.flag("dontSetPractitionerDepartment")? {
        let id = Some("705592".to_owned());
        set(
            "department",
            identity(fields, "practitionerDepartment", id, None, DEPARTMENT)?,
        );
    }
    Ok(made)
}

fn care_relationship(fields: Fields<'_>) -> Result<Map<String, Value>, Refusal> {
    let mut made = Map::new();
    if !fields.flag("dontSetCareRelationshipHealthcareService")? {
        let defaults = [
            "KX17",
            "Fastlege, liste uten fast lege",
            "urn:oid:2.16.578.1.12.4.1.1.8663",
            "https://www.volven.no/",
        ];
        let prefixes = (
            "careRelationshipHealthcareService",
            "careRelationshipHealthcare",
        );
        made.insert(
            "healthcare_service".to_owned(),
            coded(fields, prefixes, defaults)?,
        );
    }
    let purpose = [
        "TREAT",
        "Treatment",
        "urn:oid:2.16.840.1.113883.1.11.20448",
        "http://www.hl7.org/",
    ];
    let prefix = "careRelationshipPurposeOfUse";
    made.insert(
        "purpose_of_use".to_owned(),
        coded(fields, (prefix, prefix), purpose)?,
    );
    if !fields.flag("dontSetCareRelationshipPurposeOfUseDetails")? {
        let details = [
            "BEHANDLER",
            "Bruker har behandlingsansvar for pasienten",
            "urn:AuditEventHL7Norway/CodeSystem/carerelation",
            "https://www.hl7.no",
        ];
        let prefix = "careRelationshipPurposeOfUseDetails";
        made.insert(
            "purpose_of_use_details".to_owned(),
            coded(fields, (prefix, prefix), details)?,
        );
    }
    let id = fields
        .text("careRelationshipDecisionRefId")?
        .or(fields.text("careRelationshipTracingRefId")?)
        .unwrap_or_else(|| "test-token".to_owned());
    let has = |name: &str| fields.get(name).is_some();
    let member = "careRelationshipDecisionRefUserSelected";
    let selected = !has(member) || fields.flag(member)?;
    made.insert(
        "decision_ref".to_owned(),
        json!({ "id": id, "user_selected": selected }),
    );
    Ok(made)
}

fn patients(fields: Fields<'_>) -> Result<Vec<Value>, Refusal> {
    let mut one = Map::new();
    for (member, switch, prefix, system) in [
        (
            "point_of_care",
            "dontSetPatientsPointOfCare",
            "patientsPointOfCare",
            ORGANISATION,
        ),
        (
            "department",
            "dontSetPatientsDepartment",
            "patientsDepartment",
            DEPARTMENT,
        ),
    ] {
        if fields.flag(switch)? {
            continue;
        }
        if let Some(unit) = identity(fields, prefix, None, None, system)? {
            one.insert(member.to_owned(), unit);
        }
    }
    Ok(if one.is_empty() {
        Vec::new()
    } else {
        vec![Value::Object(one)]
    })
}
