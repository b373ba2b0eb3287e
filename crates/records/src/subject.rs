//! Whom a clinical search is about: it must come down to exactly one patient (spec/privacy.md §10.4, DESIGN §4).
//!
//! Conditions that name the patient are taken out, resolved to a person, and put back as "refers to her by any of her
//! identifiers": stored records name persons by identifier, never by an id of this repository.

use crate::gate::Caller;
use crate::outcome::Failure;
use crate::params::{RawCondition, name_parts};
use crate::planner::PatientScope;
use crate::repository::{Repository, nobody};
use fhir::Pack;
use fhir::keys::query::{split, unescape};
use registers::FNR_SYSTEM;
use store::Snapshot;
use trust::gather::SubjectRef;

/// The subject of a search, and the conditions that named her.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub subject: Option<SubjectRef>,
    /// Reference parameters that must refer to her.
    pub by_reference: Vec<String>,
    /// All other conditions.
    pub rest: Vec<RawCondition>,
}

/// How a condition names a patient.
enum Who {
    Id(String),
    Identifier(String),
}

fn refuse_many() -> Failure {
    Failure::bad(
        "invalid",
        "a search must come down to exactly one patient: name one patient, once",
    )
}

/// The single value of a condition.
fn single(value: &str) -> Result<String, Failure> {
    match split(value, ',').as_slice() {
        [one] if !one.is_empty() => Ok(unescape(one)),
        _ => Err(refuse_many()),
    }
}

/// Identifier value of `system|value`, `|value` or `value`; other systems than the national id name nobody.
fn identifier(value: &str) -> Result<Who, Failure> {
    match split(value, ',').as_slice() {
        [one] if !one.is_empty() => {
            let parts: Vec<String> = split(one, '|').into_iter().map(unescape).collect();
            Ok(Who::Identifier(match parts.as_slice() {
                [value] => value.clone(),
                [system, value] if system.is_empty() || system == FNR_SYSTEM => value.clone(),
                // D-numbers and auxiliary numbers have systems of their own and lead to the same person.
                [system, value] if system.starts_with("urn:oid:2.16.578.1.12.4.1.4.") => {
                    value.clone()
                }
                _ => String::new(),
            }))
        }
        _ => Err(refuse_many()),
    }
}

/// Whether a parameter of a type can name the patient of a record.
fn is_patient_parameter(rtype: &str, code: &str) -> bool {
    matches!(code, "patient" | "subject")
        && Pack::r4().param(rtype, code).is_some_and(|p| {
            p.targets.is_empty() || p.targets.iter().any(|t| t.as_ref() == "Patient")
        })
}

fn who(
    repository: &Repository,
    rtype: &str,
    condition: &RawCondition,
) -> Result<Option<(Who, Option<String>)>, Failure> {
    let (name, value) = (condition.name.as_str(), condition.value.as_str());
    if rtype == "Patient" {
        return Ok(match name {
            "_id" => Some((Who::Id(single(value)?), None)),
            "identifier" => Some((identifier(value)?, None)),
            _ => None,
        });
    }
    let (code, modifier, rest) = name_parts(name);
    if !is_patient_parameter(rtype, code) {
        return Ok(None);
    }
    let code = Some(code.to_owned());
    Ok(match (modifier, rest) {
        (None | Some("Patient"), None) => {
            let value = single(value)?;
            let id = repository
                .config
                .bases
                .iter()
                .find_map(|b| value.strip_prefix(b.as_str())?.strip_prefix('/'))
                .unwrap_or(&value);
            let id = id.strip_prefix("Patient/").unwrap_or(id);
            Some((Who::Id(id.to_owned()), code))
        }
        (Some("identifier"), None) | (None | Some("Patient"), Some("identifier")) => {
            Some((identifier(value)?, code))
        }
        (None | Some("Patient"), Some("_id")) => Some((Who::Id(single(value)?), code)),
        _ => None,
    })
}

impl Repository {
    /// Finds the patient in the conditions. `compartment`: the id of an address below `Patient/`.
    pub(crate) fn named_subject(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        rtype: &str,
        conditions: &[RawCondition],
        compartment: Option<&str>,
    ) -> Result<Named, Failure> {
        let mut named = Named::default();
        let mut subjects = Vec::new();
        if let Some(id) = compartment {
            subjects.push(self.subject_of_id(id));
        }
        for condition in conditions {
            match who(self, rtype, condition)? {
                None => named.rest.push(condition.clone()),
                Some((who, code)) => {
                    subjects.push(match who {
                        Who::Id(id) => self.subject_of_id(&id),
                        Who::Identifier(value) => SubjectRef::Nin(value),
                    });
                    match code {
                        Some(code) => named.by_reference.push(code),
                        None => named.rest.push(condition.clone()),
                    }
                }
            }
        }
        if subjects.is_empty()
            && caller.named.is_none()
            && rtype != "Patient"
            && let Some(condition) = named.rest.iter().find(|c| c.name == "_id")
        {
            // A single id leads to its patient as a read by id does.
            let id = single(&condition.value)?;
            let owner = snapshot
                .read(&self.config.gate.hub_grant(), self.config.repo, rtype, &id)?
                .and_then(|r| r.head.persons.first().copied());
            subjects.push(owner.map_or_else(nobody, SubjectRef::Key));
        }
        let mut subjects = subjects.into_iter();
        named.subject = subjects.next();
        if let Some(first) = &named.subject {
            let first = self.identity(first)?;
            for other in subjects {
                if self.identity(&other)? != first {
                    return Err(refuse_many());
                }
            }
        }
        Ok(named)
    }

    fn subject_of_id(&self, id: &str) -> SubjectRef {
        self.person_of_patient_id(id)
            .map_or_else(nobody, SubjectRef::Key)
    }

    /// What two names of one person have in common: the key, else the text.
    fn identity(&self, subject: &SubjectRef) -> Result<(Option<u64>, String), Failure> {
        Ok(match subject {
            SubjectRef::Key(key) => (Some(key.0), String::new()),
            SubjectRef::Nin(nin) => match self.config.store.person(FNR_SYSTEM, nin)? {
                Some(key) => (Some(key.0), String::new()),
                None => (None, nin.clone()),
            },
        })
    }
}

/// "Refers to her", as conditions; `None` when nothing can.
pub(crate) fn references_to(
    scope: &PatientScope,
    by_reference: &[String],
) -> Option<Vec<RawCondition>> {
    if by_reference.is_empty() {
        return Some(Vec::new());
    }
    let value = scope.identifier_value()?;
    Some(
        by_reference
            .iter()
            .map(|code| RawCondition::new(format!("{code}:identifier"), value.clone()))
            .collect(),
    )
}
