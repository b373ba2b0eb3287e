//! The attest of the trust framework (spec tillitsrammeverk §2 to §4): checked against login, client and registers,
//! then enriched with the names and texts the registers have. What the client writes as a name is thrown away.

use codes::lists;
use jiff::civil::Date;
use registers::directory::{Directory, Organisation};
use serde_json::{Map, Value, json};

use super::care_relation;
use super::claims::{Login, User};
use super::levels::Level;
use super::organisation::Organisations;
use super::structures::malformed;
use crate::error::{Code, OAuthError};

const ORGANISATION_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.4.101";
const RESH_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.4.102";
const AUTHORIZATION_SYSTEM: &str = "urn:oid:2.16.578.1.12.4.1.1.9060";
const PURPOSE_SYSTEM: &str = "urn:oid:2.16.840.1.113883.1.11.20448";
const PURPOSES: [(&str, &str); 4] = [
    ("TREAT", "Treatment"),
    ("ETREAT", "Emergency Treatment"),
    ("COC", "Coordination of care"),
    ("BTG", "Break the glass"),
];
/// Lists a healthcare service may come from, last part of `urn:oid:2.16.578.1.12.4.1.1.`.
const SERVICE_LISTS: [&str; 10] = [
    "8655", "8627", "8451", "8668", "8663", "8662", "8664", "8666", "7750", "8254",
];
/// The care relation list of specialist care: what clients send, and the address it was published under.
const CARE_RELATION_SYSTEMS: [&str; 2] = [
    "urn:AuditEventHL7Norway/CodeSystem/carerelation",
    "https://terminology.dips.com/decisiontemplate",
];
/// Fødselsnummer, D-number, common help number: what a patient may be named by.
const PATIENT_SYSTEMS: [&str; 3] = [
    "urn:oid:2.16.578.1.12.4.1.4.1",
    "urn:oid:2.16.578.1.12.4.1.4.2",
    "urn:oid:2.16.578.1.12.4.1.4.3",
];
const SKATTEETATEN: &str = "https://www.skatteetaten.no";
const HELSEDIREKTORATET: &str = "https://www.helsedirektoratet.no/";
const BRREG: &str = "https://www.brreg.no";
const NHN: &str = "https://www.nhn.no";
const VOLVEN: &str = "https://www.volven.no/";
const HL7: &str = "http://www.hl7.org/";
const HL7_NORWAY: &str = "https://www.hl7.no";
/// Oldest attest accepted, seconds (ATT-58).
pub const MAX_AGE_S: i64 = 3_600;

/// What an attest is checked against.
pub struct Context<'a> {
    /// The login; an attest without a user makes no sense.
    pub login: &'a Login,
    /// The user in the registers.
    pub user: &'a User,
    /// Organisations of the token.
    pub organisations: &'a Organisations,
    /// Registers.
    pub directory: &'a dyn Directory,
    /// Day for validity in the registers.
    pub today: Date,
    /// When the attest reached us, seconds since 1970; becomes `toa` unless the client sent one.
    pub received_s: i64,
}

/// Checks an attest and makes the claim of it.
///
/// # Errors
/// `access_denied` when the content contradicts login, client or registers; `invalid_request` (HID-1007) when its form
/// or a code is wrong.
pub fn enrich(
    attest: &Map<String, Value>,
    context: &Context<'_>,
) -> Result<Map<String, Value>, OAuthError> {
    if context.login.level < Level::High {
        return Err(denied("an attest needs a login at level 4"));
    }
    let practitioner =
        part(attest, "practitioner")?.ok_or_else(|| malformed("needs practitioner"))?;
    let relation = match part(attest, "care_relationship")? {
        Some(relation) => Some(relation),
        None => part(attest, "care_relation")?,
    };
    let relation = relation.ok_or_else(|| malformed("needs care_relationship"))?;
    let mut claim = Map::new();
    claim.insert(
        "practitioner".to_owned(),
        enrich_practitioner(practitioner, context)?.into(),
    );
    claim.insert(
        "care_relationship".to_owned(),
        enrich_relation(relation)?.into(),
    );
    claim.insert(
        "patients".to_owned(),
        enrich_patients(attest, context)?.into(),
    );
    claim.insert("toa".to_owned(), time_of_attest(attest, context)?.into());
    Ok(claim)
}

fn enrich_practitioner(
    practitioner: &Map<String, Value>,
    context: &Context<'_>,
) -> Result<Map<String, Value>, OAuthError> {
    if let Some(identifier) = part(practitioner, "identifier")?
        && text(identifier, "id")?.is_some_and(|id| id != context.login.pid)
    {
        return Err(denied("practitioner.identifier is not the logged-in user"));
    }
    let mut enriched = Map::new();
    let system = person_system(&context.login.pid)?;
    enriched.insert(
        "identifier".to_owned(),
        json!({"id": context.login.pid, "name": context.user.name.full(), "system": system, "authority": SKATTEETATEN}),
    );
    if let Some(number) = context.user.hpr_number() {
        enriched.insert(
            "hpr_nr".to_owned(),
            json!({"id": number, "system": "urn:oid:2.16.578.1.12.4.1.4.4", "authority": HELSEDIREKTORATET}),
        );
    }
    if let Some(authorization) = authorization(practitioner, context)? {
        enriched.insert("authorization".to_owned(), authorization);
    }
    let (entity, entity_id) = organisation(practitioner, "legal_entity", context)?;
    if context.organisations.parent.as_deref() != Some(&entity_id) {
        return Err(denied(
            "practitioner.legal_entity is not the organisation the client acts for",
        ));
    }
    let (point, point_id) = organisation(practitioner, "point_of_care", context)?;
    let belongs = context
        .directory
        .organisation(&point_id)
        .is_some_and(|found| found.orgnr == entity_id);
    if !belongs {
        return Err(denied(
            "practitioner.point_of_care does not belong to legal_entity",
        ));
    }
    enriched.insert("legal_entity".to_owned(), entity);
    enriched.insert("point_of_care".to_owned(), point);
    if let Some(department) = department(practitioner, &entity_id)? {
        enriched.insert("department".to_owned(), department);
    }
    let child = context.organisations.child.as_deref();
    if child.is_some_and(|child| child != point_id) {
        tracing::warn!(
            "helseid: an attest's point of care is another unit than the token's child organisation"
        );
    }
    Ok(enriched)
}

/// Only people with a fødselsnummer or D-number attest (ATT-10).
fn person_system(pid: &str) -> Result<String, OAuthError> {
    codes::ident::Nin::parse(pid)
        .ok()
        .filter(|nin| nin.kind() != codes::ident::NinKind::Fhn)
        .map(|nin| urn(nin.system()))
        .ok_or_else(|| denied("an attest needs a user with a fødselsnummer or D-number"))
}

/// `authorization`, or the misspelt member of a national test client, which is never a reason to refuse (§2.1).
fn authorization(
    practitioner: &Map<String, Value>,
    context: &Context<'_>,
) -> Result<Option<Value>, OAuthError> {
    let held = |code: &str| {
        let practitioner = context.user.practitioner.as_ref();
        practitioner
            .is_some_and(|practitioner| practitioner.active(Some(code), context.today).is_some())
    };
    let coded = |code: &str| {
        json!({
            "code": code,
            "text": lists::display(AUTHORIZATION_SYSTEM, code).unwrap_or(code),
            "system": AUTHORIZATION_SYSTEM,
            "assigner": HELSEDIREKTORATET,
        })
    };
    if let Some(authorization) = part(practitioner, "authorization")? {
        let code = text(authorization, "code")?
            .ok_or_else(|| malformed("needs practitioner.authorization.code"))?;
        if text(authorization, "system")? != Some(AUTHORIZATION_SYSTEM) {
            return Err(malformed(
                "has an unknown practitioner.authorization.system",
            ));
        }
        if !held(code) {
            return Err(denied(
                "practitioner.authorization is not valid for this person in HPR",
            ));
        }
        return Ok(Some(coded(code)));
    }
    let misspelt = practitioner.get("auhtorization");
    let code = misspelt
        .and_then(|part| part.get("code"))
        .and_then(Value::as_str);
    let taken = code.filter(|code| held(code)).map(coded);
    if misspelt.is_some() && taken.is_none() {
        tracing::info!(
            "helseid: an attest's misspelt authorization is not held in HPR and was passed over"
        );
    }
    Ok(taken)
}

fn organisation(
    practitioner: &Map<String, Value>,
    name: &'static str,
    context: &Context<'_>,
) -> Result<(Value, String), OAuthError> {
    let sent = part(practitioner, name)?
        .ok_or_else(|| malformed(&format!("needs practitioner.{name}")))?;
    named_organisation(sent, context)?.ok_or_else(|| {
        malformed(&format!(
            "needs an organisation of the unit register in practitioner.{name}"
        ))
    })
}

fn named_organisation(
    sent: &Map<String, Value>,
    context: &Context<'_>,
) -> Result<Option<(Value, String)>, OAuthError> {
    let (Some(id), Some(ORGANISATION_SYSTEM)) = (text(sent, "id")?, text(sent, "system")?) else {
        return Ok(None);
    };
    let Some(organisation) = context.directory.organisation(id) else {
        return Ok(None);
    };
    let enriched = json!({
        "id": id,
        "name": unit_name(&organisation, id),
        "system": ORGANISATION_SYSTEM,
        "authority": BRREG,
    });
    Ok(Some((enriched, id.to_owned())))
}

fn unit_name<'a>(organisation: &'a Organisation, orgnr: &str) -> &'a str {
    let unit = organisation.units.iter().find(|unit| unit.orgnr == orgnr);
    match unit {
        Some(unit) if organisation.orgnr != orgnr => &unit.name,
        _ => &organisation.name,
    }
}

/// Departments have no register here yet: the id is kept, a name is not invented (ATT-28).
fn department(
    parent: &Map<String, Value>,
    legal_entity: &str,
) -> Result<Option<Value>, OAuthError> {
    let Some(sent) = part(parent, "department")? else {
        return Ok(None);
    };
    let (Some(id), Some(system)) = (text(sent, "id")?, text(sent, "system")?) else {
        return Err(malformed("needs id and system in department"));
    };
    let authority = if system == RESH_SYSTEM {
        NHN
    } else {
        legal_entity
    };
    Ok(Some(
        json!({"id": id, "system": system, "authority": authority}),
    ))
}

fn enrich_relation(relation: &Map<String, Value>) -> Result<Map<String, Value>, OAuthError> {
    let mut enriched = Map::new();
    if let Some(service) = part(relation, "healthcare_service")? {
        let system = text(service, "system")?.unwrap_or_default();
        let list = system.strip_prefix("urn:oid:2.16.578.1.12.4.1.1.");
        if !list.is_some_and(|list| SERVICE_LISTS.contains(&list)) {
            return Err(malformed("has an unknown healthcare_service.system"));
        }
        enriched.insert("healthcare_service".to_owned(), coded(service, VOLVEN)?);
    }
    let purpose =
        part(relation, "purpose_of_use")?.ok_or_else(|| malformed("needs purpose_of_use"))?;
    let code = text(purpose, "code")?.unwrap_or_default();
    let Some((code, display)) = PURPOSES.iter().find(|(known, _)| *known == code) else {
        return Err(malformed("has an unknown purpose_of_use.code"));
    };
    if text(purpose, "system")? != Some(PURPOSE_SYSTEM) {
        return Err(malformed("has an unknown purpose_of_use.system"));
    }
    enriched.insert(
        "purpose_of_use".to_owned(),
        json!({"code": code, "text": display, "system": PURPOSE_SYSTEM, "assigner": HL7}),
    );
    if let Some(details) = part(relation, "purpose_of_use_details")? {
        let is_care_relation =
            text(details, "system")?.is_some_and(|system| CARE_RELATION_SYSTEMS.contains(&system));
        let assigner = if is_care_relation { HL7_NORWAY } else { VOLVEN };
        enriched.insert(
            "purpose_of_use_details".to_owned(),
            coded(details, assigner)?,
        );
    }
    if !enriched.contains_key("healthcare_service")
        && !enriched.contains_key("purpose_of_use_details")
    {
        return Err(malformed(
            "needs healthcare_service or purpose_of_use_details",
        ));
    }
    enriched.insert("decision_ref".to_owned(), decision(relation)?);
    Ok(enriched)
}

fn coded(sent: &Map<String, Value>, assigner: &str) -> Result<Value, OAuthError> {
    let (Some(code), Some(system)) = (text(sent, "code")?, text(sent, "system")?) else {
        return Err(malformed("has a coded attribute without code or system"));
    };
    let mut enriched = Map::new();
    enriched.insert("code".to_owned(), code.into());
    let display = if CARE_RELATION_SYSTEMS.contains(&system) {
        care_relation::display(code)
    } else {
        lists::display(system, code)
    };
    if let Some(display) = display {
        enriched.insert("text".to_owned(), display.into());
    }
    enriched.insert("system".to_owned(), system.into());
    enriched.insert("assigner".to_owned(), assigner.into());
    Ok(Value::Object(enriched))
}

fn decision(relation: &Map<String, Value>) -> Result<Value, OAuthError> {
    let decision =
        part(relation, "decision_ref")?.ok_or_else(|| malformed("needs decision_ref"))?;
    let id = text(decision, "id")?
        .filter(|id| id.len() <= 256)
        .ok_or_else(|| malformed("needs decision_ref.id"))?;
    let selected = decision
        .get("user_selected")
        .and_then(Value::as_bool)
        .ok_or_else(|| malformed("needs decision_ref.user_selected as true or false"))?;
    Ok(json!({"id": id, "user_selected": selected}))
}

/// At most one patient: the consumer of document sharing cannot take two (T15).
fn enrich_patients(
    attest: &Map<String, Value>,
    context: &Context<'_>,
) -> Result<Vec<Value>, OAuthError> {
    let patients = match attest.get("patients") {
        Some(Value::Array(patients)) => patients.as_slice(),
        None | Some(Value::Null) => &[],
        Some(_) => return Err(malformed("needs patients as an array")),
    };
    if patients.len() > 1 {
        return Err(malformed("can name one patient only"));
    }
    let mut enriched = Vec::new();
    for patient in patients {
        let sent = patient
            .as_object()
            .ok_or_else(|| malformed("has a patient that is no object"))?;
        let mut patient = Map::new();
        if let Some(identifier) = part(sent, "identifier")? {
            let (Some(id), Some(system)) = (text(identifier, "id")?, text(identifier, "system")?)
            else {
                return Err(malformed("needs id and system in the patient's identifier"));
            };
            if !PATIENT_SYSTEMS.contains(&system)
                || id.len() != 11
                || !id.bytes().all(|byte| byte.is_ascii_digit())
            {
                return Err(malformed(
                    "names the patient by something else than a national id of eleven digits",
                ));
            }
            patient.insert(
                "identifier".to_owned(),
                json!({"id": id, "system": system, "authority": SKATTEETATEN}),
            );
        }
        if let Some(point) = part(sent, "point_of_care")? {
            let (point, _) = named_organisation(point, context)?.ok_or_else(|| {
                malformed(
                    "needs an organisation of the unit register in the patient's point_of_care",
                )
            })?;
            patient.insert("point_of_care".to_owned(), point);
        }
        let legal_entity = context.organisations.parent.as_deref().unwrap_or_default();
        if let Some(department) = department(sent, legal_entity)? {
            patient.insert("department".to_owned(), department);
        }
        enriched.push(Value::Object(patient));
    }
    Ok(enriched)
}

fn time_of_attest(attest: &Map<String, Value>, context: &Context<'_>) -> Result<i64, OAuthError> {
    match attest.get("toa") {
        None | Some(Value::Null) => Ok(context.received_s),
        Some(value) => {
            let made_s = value
                .as_i64()
                .ok_or_else(|| malformed("needs toa as seconds since 1970"))?;
            if made_s > context.received_s + 10 {
                return Err(denied("the attest's toa lies in the future"));
            }
            if made_s + MAX_AGE_S < context.received_s {
                return Err(OAuthError::new(
                    Code::AccessDenied,
                    "attestation_has_expired: the attest is older than 60 minutes",
                ));
            }
            Ok(made_s)
        }
    }
}

/// A member that is an object. Null is absent; anything else is refused, not passed over.
fn part<'a>(
    map: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, OAuthError> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(part)) => Ok(Some(part)),
        Some(_) => Err(malformed(&format!("needs {name} as an object"))),
    }
}

/// A member that is a text. Null and the empty text are absent; anything else is refused.
fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, OAuthError> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(malformed(&format!("needs {name} as a text"))),
    }
}

fn urn(system: &str) -> String {
    if system.starts_with("urn:") {
        system.to_owned()
    } else {
        format!("urn:oid:{system}")
    }
}

fn denied(what: &str) -> OAuthError {
    OAuthError::new(Code::AccessDenied, format!("attest: {what}"))
}
