//! GP lists: a doctor on a contract as `PractitionerRole`, the contract as `HealthcareService` with what room it has.

use super::elements::Elements;
use super::kinds::{Kind, NO_BASIS};
use super::values::{day, extension, extensions, listed, meta, period, reference};
use fhir::build::Json;
use registers::gplists::record::{DoctorCycle, PartNo};
use registers::gplists::rules::{doctors_at, places};
use registers::gplists::{GpContract, GpLists};
use registers::kernel::period::Moment;
use serde_json::{Value, json};

/// Extension with the room of a list: no national profile has one.
const ROOM: &str = "https://helsenav.example/fhir/StructureDefinition/gp-list-room";

/// Id of a doctor on a contract.
pub(super) fn role_id(contract: i64, part: PartNo) -> String {
    format!("gp-{contract}-{part}")
}

/// Id of a contract.
pub(super) fn service_id(contract: i64) -> String {
    format!("gp-{contract}")
}

/// The contract of an id.
pub(super) fn contract_of(id: &str) -> Option<i64> {
    id.strip_prefix("gp-")?.parse().ok()
}

/// Contract and part of an id.
pub(super) fn role_of(id: &str) -> Option<(i64, PartNo)> {
    let (contract, part) = id.strip_prefix("gp-")?.split_once('-')?;
    Some((contract.parse().ok()?, part.parse().ok()?))
}

/// A doctor on a contract.
pub(super) fn role(
    contract: &GpContract,
    doctor: &DoctorCycle,
    location: Option<&str>,
    elements: &Elements,
    now: Moment,
) -> Value {
    let is_active = doctors_at(contract, now).any(|d| d.no == doctor.no);
    let code = doctor.relationship.as_str();
    let code = (!code.is_empty()).then(|| json!({ "coding": [listed(7750, code)] }));
    elements.of(Json::resource("PractitionerRole")
        .put("id", role_id(contract.id, doctor.no))
        .put("meta", meta(&Kind::PractitionerRole.profiles(), None))
        .put("active", is_active)
        .put("period", period(doctor.valid, day))
        .put(
            "practitioner",
            reference("Practitioner", &format!("hpr-{}", doctor.hpr)),
        )
        .put(
            "organization",
            reference(
                "Organization",
                &super::organisations::unit_id(&contract.office.to_string()),
            ),
        )
        .list("code", code)
        .list("location", location.map(|id| reference("Location", id)))
        .list(
            "healthcareService",
            Some(reference("HealthcareService", &service_id(contract.id))),
        )
        .build())
}

/// A contract.
pub(super) fn service(
    lists: &GpLists,
    contract: &GpContract,
    location: Option<&str>,
    elements: &Elements,
    now: Moment,
) -> Value {
    let active = lists.active_count(contract.id, now);
    let waiting = contract
        .waiting_told
        .max(u32::try_from(contract.waiting.len()).unwrap_or(0));
    let mut room = vec![
        extension("maxPatients", "valueUnsignedInt", contract.max_patients),
        extension(
            "placesAvailable",
            "valueUnsignedInt",
            places(contract, active, now),
        ),
        extension("waiting", "valueUnsignedInt", waiting),
    ];
    let status = contract.status.as_str();
    if !status.is_empty() {
        room.push(extension("status", "valueCoding", listed(7751, status)));
    }
    let office = super::organisations::unit_id(&contract.office.to_string());
    elements.of(Json::resource("HealthcareService")
        .put("id", service_id(contract.id))
        .put(
            "meta",
            meta(&[format!("{NO_BASIS}no-basis-HealthcareService")], None),
        )
        .put("extension", vec![extensions(ROOM, room)])
        .put("active", contract.valid.contains(now))
        .put("providedBy", reference("Organization", &office))
        .list("location", location.map(|id| reference("Location", id)))
        .put("name", contract.name.as_str())
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back() {
        assert_eq!(role_of(&role_id(1001, 2)), Some((1001, 2)));
        assert_eq!(contract_of(&service_id(1001)), Some(1001));
        for bad in ["gp-", "gp-1-", "gp-x-1", "her-1", "gp-1-70000"] {
            assert_eq!(role_of(bad), None, "{bad}");
        }
        assert_eq!(contract_of("gp-1-2"), None);
    }
}
