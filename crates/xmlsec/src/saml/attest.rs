//! From the token claim of the trust framework to the attributes of an assertion (spec tillitsrammeverk §5).

use serde_json::{Map, Value};

use super::fragment::{Coded, Instance, PatientId, bare_oid};
use super::xua::{Decision, Xua};

/// Oldest attest that is translated, in seconds (ATT-58).
pub const MAX_ATTEST_AGE_S: i64 = 3_600;
/// How far ahead of our clock an attest's time may lie, in seconds.
const LEEWAY_S: i64 = 10;

/// What does not come from the attest.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The patient the request is about; never taken from the attest. With its system as OID, with or without prefix.
    pub patient: Option<(&'a str, &'a str)>,
    /// OID of our own community.
    pub home_community: &'a str,
    /// Level of the login.
    pub security_level: &'a str,
    /// `journaldokumenter_helsepersonell` for document sharing.
    pub scope: &'a str,
    /// Client of the token.
    pub client_id: &'a str,
    /// How the user logged in, if it is to be told.
    pub authentication_method: Option<&'a str>,
    /// Access basis (`UNNTAK` …) in any case, if one was given.
    pub access_basis: Option<&'a str>,
    /// Real time, seconds since 1970.
    pub now_unix_s: i64,
}

/// Why an attest cannot be translated. Says nothing of persons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// Not the claim that HelseID makes.
    #[error("the attest lacks {0}")]
    Lacks(&'static str),
    /// Older than an hour.
    #[error("attestation_has_expired: the attest is older than 60 minutes")]
    Expired,
    /// Made in the future.
    #[error("the attest's toa lies in the future")]
    FromTheFuture,
    /// An access basis that does not exist.
    #[error(
        "the access basis is none of UNNTAK, SAMTYKKE, FORHOYET_SAMTYKKE, AKUTT, FORHOYET_AKUTT"
    )]
    AccessBasis,
}

const ACP_ROOT: &str = "2.16.578.1.12.4.1.7.2.1";
/// Acknowledged digitally.
pub(super) const BPPC_DIGITAL: &str = "2.16.578.1.12.4.1.7.2.2.1";
const ROLE_LIST_NAME: &str = "Kategori helsepersonell";

/// The policy (OID) an access basis stands for (spec documents §6.3).
#[must_use]
pub fn acp_of_basis(basis: &str) -> Option<String> {
    let last = match basis.to_ascii_uppercase().as_str() {
        "UNNTAK" => 4,
        "SAMTYKKE" => 8,
        "FORHOYET_SAMTYKKE" => 5,
        "AKUTT" => 6,
        "FORHOYET_AKUTT" => 7,
        _ => return None,
    };
    Some(format!("{ACP_ROOT}.{last}"))
}

impl Xua {
    /// Translates the claim `nhn:tillitsrammeverk:parameters` of a HelseID access token.
    ///
    /// # Errors
    /// [`AttestError`]; an attest without its time counts as expired, since nobody could say how old it is.
    pub fn from_attest(
        claim: &Map<String, Value>,
        request: &Request<'_>,
    ) -> Result<Self, AttestError> {
        check_age(claim, request.now_unix_s)?;
        let practitioner =
            object(claim, "practitioner").ok_or(AttestError::Lacks("practitioner"))?;
        let relation =
            object(claim, "care_relationship").ok_or(AttestError::Lacks("care_relationship"))?;
        let identifier = object(practitioner, "identifier")
            .ok_or(AttestError::Lacks("practitioner.identifier"))?;
        let subject =
            text(identifier, "id").ok_or(AttestError::Lacks("practitioner.identifier.id"))?;
        let provider = object(practitioner, "hpr_nr")
            .and_then(instance)
            .or_else(|| instance(identifier))
            .ok_or(AttestError::Lacks("practitioner.identifier.system"))?;
        let (organization, organization_name) = organisation(practitioner, "legal_entity");
        let (child_organization, child_organization_name) =
            organisation(practitioner, "point_of_care");
        let (facility, facility_name) = organisation(practitioner, "department");
        let patient = claim
            .get("patients")
            .and_then(Value::as_array)
            .and_then(|patients| patients.first())
            .and_then(Value::as_object);
        let at_patient = |name| patient.map_or((None, None), |patient| organisation(patient, name));
        let (patient_organization, patient_organization_name) = at_patient("point_of_care");
        let (patient_facility, patient_facility_name) = at_patient("department");
        let acp = request
            .access_basis
            .map(|basis| acp_of_basis(basis).ok_or(AttestError::AccessBasis))
            .transpose()?;
        let mut role = object(practitioner, "authorization").and_then(coded);
        if let Some(role) = &mut role {
            role.system_name = Some(ROLE_LIST_NAME.to_owned());
            role.assigner = None;
        }
        let mut purpose = object(relation, "purpose_of_use").and_then(coded);
        if let Some(purpose) = &mut purpose {
            purpose.assigner = None;
        }
        Ok(Self {
            subject,
            subject_name: text(identifier, "name"),
            role,
            npi: Some(provider.extension.clone()),
            provider: Some(provider),
            organization_name,
            organization: Some(
                organization.ok_or(AttestError::Lacks("practitioner.legal_entity"))?,
            ),
            child_organization: Some(
                child_organization.ok_or(AttestError::Lacks("practitioner.point_of_care"))?,
            ),
            child_organization_name,
            facility,
            facility_name,
            healthcare_service: object(relation, "healthcare_service").and_then(coded),
            purpose: Some(purpose.ok_or(AttestError::Lacks("care_relationship.purpose_of_use"))?),
            purpose_details: object(relation, "purpose_of_use_details").and_then(coded),
            decision: Some(
                decision(relation).ok_or(AttestError::Lacks("care_relationship.decision_ref"))?,
            ),
            patient: request.patient.map(|(id, system)| PatientId {
                id: id.to_owned(),
                system: bare_oid(system).to_owned(),
            }),
            patient_organization,
            patient_organization_name,
            patient_facility,
            patient_facility_name,
            home_community: Some(bare_oid(request.home_community).to_owned()),
            security_level: Some(request.security_level.to_owned()),
            scopes: vec![request.scope.to_owned()],
            client_id: Some(request.client_id.to_owned()),
            authentication_method: request.authentication_method.map(str::to_owned),
            bppc: acp.as_ref().map(|_| BPPC_DIGITAL.to_owned()),
            acp,
        })
    }
}

fn check_age(claim: &Map<String, Value>, now_unix_s: i64) -> Result<(), AttestError> {
    let made_s = claim
        .get("toa")
        .and_then(Value::as_i64)
        .ok_or(AttestError::Expired)?;
    if made_s > now_unix_s.saturating_add(LEEWAY_S) {
        return Err(AttestError::FromTheFuture);
    }
    if made_s.saturating_add(MAX_ATTEST_AGE_S) < now_unix_s {
        return Err(AttestError::Expired);
    }
    Ok(())
}

fn object<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    map.get(name).and_then(Value::as_object)
}

fn text(map: &Map<String, Value>, name: &str) -> Option<String> {
    map.get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn instance(map: &Map<String, Value>) -> Option<Instance> {
    Some(Instance {
        extension: text(map, "id")?,
        root: bare_oid(&text(map, "system")?).to_owned(),
        assigner: None,
    })
}

/// Number and name. Authorities are written with a slash at the end, as the national issuer does.
fn organisation(map: &Map<String, Value>, name: &str) -> (Option<Instance>, Option<String>) {
    let Some(found) = object(map, name) else {
        return (None, None);
    };
    let number = instance(found).map(|mut number| {
        number.assigner = text(found, "authority").map(with_slash);
        number
    });
    (number, text(found, "name"))
}

fn with_slash(uri: String) -> String {
    if uri.starts_with("http") && !uri.ends_with('/') {
        uri + "/"
    } else {
        uri
    }
}

fn coded(map: &Map<String, Value>) -> Option<Coded> {
    Some(Coded {
        code: text(map, "code")?,
        system: text(map, "system")?,
        system_name: None,
        display: text(map, "text"),
        assigner: text(map, "assigner").map(with_slash),
    })
}

fn decision(relation: &Map<String, Value>) -> Option<Decision> {
    let found = object(relation, "decision_ref")?;
    Some(Decision {
        id: text(found, "id")?,
        user_selected: found.get("user_selected")?.as_bool()?,
    })
}
