//! Canonicals of search parameters: those that several types share have names of their own (R4 search parameter registry).

use fhir::pack::ParamInfo;

const ROOT: &str = "http://hl7.org/fhir/SearchParameter/";

/// Types of a shared parameter.
type Types = &'static [&'static str];

const CODE: Types = &[
    "AllergyIntolerance",
    "Condition",
    "DeviceRequest",
    "DiagnosticReport",
    "FamilyMemberHistory",
    "List",
    "Medication",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Procedure",
    "ServiceRequest",
];
const DATE: Types = &[
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "ClinicalImpression",
    "Composition",
    "Consent",
    "DiagnosticReport",
    "Encounter",
    "EpisodeOfCare",
    "FamilyMemberHistory",
    "Flag",
    "Immunization",
    "List",
    "Observation",
    "Procedure",
    "RiskAssessment",
    "SupplyRequest",
];
const IDENTIFIER: Types = &[
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Composition",
    "Condition",
    "Consent",
    "DetectedIssue",
    "DeviceRequest",
    "DiagnosticReport",
    "DocumentManifest",
    "DocumentReference",
    "Encounter",
    "EpisodeOfCare",
    "FamilyMemberHistory",
    "Goal",
    "ImagingStudy",
    "Immunization",
    "List",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "NutritionOrder",
    "Observation",
    "Procedure",
    "RiskAssessment",
    "ServiceRequest",
    "SupplyDelivery",
    "SupplyRequest",
    "VisionPrescription",
];
const PATIENT: Types = &[
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "ClinicalImpression",
    "Composition",
    "Condition",
    "Consent",
    "DetectedIssue",
    "DeviceRequest",
    "DeviceUseStatement",
    "DiagnosticReport",
    "DocumentManifest",
    "DocumentReference",
    "Encounter",
    "EpisodeOfCare",
    "FamilyMemberHistory",
    "Flag",
    "Goal",
    "ImagingStudy",
    "Immunization",
    "List",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "NutritionOrder",
    "Observation",
    "Procedure",
    "RiskAssessment",
    "ServiceRequest",
    "SupplyDelivery",
    "VisionPrescription",
];
const TYPE: Types = &[
    "AllergyIntolerance",
    "Composition",
    "DocumentManifest",
    "DocumentReference",
    "Encounter",
    "EpisodeOfCare",
];
const ENCOUNTER: Types = &[
    "Composition",
    "DeviceRequest",
    "DiagnosticReport",
    "DocumentReference",
    "Flag",
    "List",
    "NutritionOrder",
    "Observation",
    "Procedure",
    "RiskAssessment",
    "ServiceRequest",
    "VisionPrescription",
];
const CONFORMANCE: Types = &[
    "CapabilityStatement",
    "CodeSystem",
    "CompartmentDefinition",
    "ConceptMap",
    "GraphDefinition",
    "ImplementationGuide",
    "MessageDefinition",
    "NamingSystem",
    "OperationDefinition",
    "SearchParameter",
    "StructureDefinition",
    "StructureMap",
    "TerminologyCapabilities",
    "ValueSet",
];
/// [`CONFORMANCE`] types without a title.
const UNTITLED: Types = &[
    "CompartmentDefinition",
    "GraphDefinition",
    "NamingSystem",
    "SearchParameter",
];
const CONFORMANCE_IDENTIFIER: Types = &[
    "CodeSystem",
    "ConceptMap",
    "MessageDefinition",
    "StructureDefinition",
    "StructureMap",
    "ValueSet",
];
const MEDICATIONS: Types = &[
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
];
const INDIVIDUAL: Types = &["Patient", "Person", "Practitioner", "RelatedPerson"];

/// The group that a type shares a parameter with.
fn group(rtype: &str, code: &str) -> Option<&'static str> {
    let clinical = match code {
        "code" => CODE,
        "date" => DATE,
        "identifier" => IDENTIFIER,
        "patient" => PATIENT,
        "type" => TYPE,
        "encounter" => ENCOUNTER,
        _ => &[],
    };
    if clinical.contains(&rtype) {
        return Some("clinical");
    }
    let is_conformance = CONFORMANCE.contains(&rtype)
        && match code {
            "context"
            | "context-quantity"
            | "context-type"
            | "context-type-quantity"
            | "context-type-value"
            | "date"
            | "description"
            | "name"
            | "publisher"
            | "status" => true,
            "jurisdiction" => rtype != "CompartmentDefinition",
            "title" => !UNTITLED.contains(&rtype),
            "url" | "version" => rtype != "NamingSystem",
            "identifier" => CONFORMANCE_IDENTIFIER.contains(&rtype),
            _ => false,
        };
    if is_conformance {
        return Some("conformance");
    }
    let is_medication = match code {
        "medication" | "status" => MEDICATIONS.contains(&rtype),
        "prescription" => rtype == "MedicationDispense",
        "date" | "encounter" => rtype == "MedicationRequest",
        _ => false,
    };
    if is_medication {
        return Some("medications");
    }
    let is_individual = match code {
        "address" | "address-city" | "address-country" | "address-postalcode" | "address-state"
        | "address-use" | "gender" | "phonetic" => INDIVIDUAL.contains(&rtype),
        "birthdate" => INDIVIDUAL.contains(&rtype) && rtype != "Practitioner",
        "email" | "phone" | "telecom" => INDIVIDUAL.contains(&rtype) || rtype == "PractitionerRole",
        "family" | "given" => matches!(rtype, "Patient" | "Practitioner"),
        _ => false,
    };
    is_individual.then_some("individual")
}

/// Canonical of the SearchParameter behind a parameter of a type.
pub(super) fn canonical(param: &ParamInfo) -> String {
    let code = param.code.trim_start_matches('_');
    match group(&param.base, code) {
        Some(group) => format!("{ROOT}{group}-{code}"),
        None => format!("{ROOT}{}-{code}", param.base),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_and_own_parameters_have_their_registered_names() {
        for (rtype, code, expected) in [
            ("Patient", "name", "Patient-name"),
            ("Patient", "family", "individual-family"),
            ("Person", "name", "Person-name"),
            ("Observation", "code", "clinical-code"),
            ("Observation", "patient", "clinical-patient"),
            ("Observation", "subject", "Observation-subject"),
            ("Observation", "status", "Observation-status"),
            ("MedicationRequest", "status", "medications-status"),
            ("MedicationRequest", "code", "clinical-code"),
            ("MedicationRequest", "date", "medications-date"),
            ("ValueSet", "url", "conformance-url"),
            ("NamingSystem", "title", "NamingSystem-title"),
            ("Appointment", "date", "Appointment-date"),
            ("Patient", "_id", "Resource-id"),
            ("Patient", "_lastUpdated", "Resource-lastUpdated"),
        ] {
            let Some(param) = fhir::Pack::r4().param(rtype, code) else {
                assert_eq!(code, "title", "{rtype}.{code} is not there");
                continue;
            };
            assert_eq!(
                canonical(param),
                format!("{ROOT}{expected}"),
                "{rtype}.{code}"
            );
        }
    }
}
