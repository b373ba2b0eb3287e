//! `Patient` after no-basis-Patient: the same person for those who look up patients. Her GP is a PractitionerRole, shown
//! with a legal basis, and never of a person with kode 6 or 7 (spec/privacy.md §7.6).

use super::elements::Elements;
use super::kinds::Kind;
use super::lists::role_id;
use super::person::{addresses, gender_code};
use super::persons::{Shown, View};
use super::values::{identifier, meta, name, reference, with};
use fhir::build::Json;
use registers::gplists::GpLists;
use registers::gplists::rules::own_doctor;
use registers::kernel::EntryId;
use registers::kernel::period::Moment;
use registers::persons::codes::{IdentifierKind, ProtectionLevel};
use serde_json::{Value, json};

/// The numbers that identify a patient.
const KINDS: [IdentifierKind; 3] = [
    IdentifierKind::NationalIdentityNumber,
    IdentifierKind::DNumber,
    IdentifierKind::AlternateIdentificationNumber,
];

/// A patient. `gp`: roles of her GP.
pub(super) fn resource(
    shown: &Shown,
    elements: &Elements,
    view: View,
    gp: impl FnOnce() -> Vec<Value>,
) -> Value {
    let d = &shown.document;
    // The profile has room for one number of each kind: the one in use. Earlier ones still lead here.
    let mut identifiers = shown.identifiers(&KINDS);
    let mut kinds = Vec::new();
    identifiers.retain(|held| {
        let is_first = !kinds.contains(&held.value.kind);
        kinds.push(held.value.kind);
        is_first
    });
    let gender = d.gender.at(view.now).last();
    let birth = d.birth.at(view.now).last();
    let shows_gp = elements.has("generalPractitioner")
        && view.ground.shows_confidential_parts()
        && shown.level < ProtectionLevel::Confidential;
    let resource = Json::resource("Patient")
        .put("id", shown.id.to_string())
        .put("meta", meta(&Kind::Patient.profiles(), Some(shown.level)))
        .list(
            "identifier",
            identifiers.iter().map(|held| {
                let made = identifier(&held.value);
                match held.value.in_use {
                    true => made,
                    false => with(made, "use", "old"),
                }
            }),
        )
        .put("active", true)
        .list(
            "name",
            d.name.at(view.now).map(|held| name(&held.value, None)),
        )
        .maybe("gender", gender.map(|held| gender_code(held.value)))
        .maybe(
            "birthDate",
            birth
                .and_then(|held| held.value.date)
                .map(|day| day.to_string()),
        )
        .maybe(
            "deceasedDateTime",
            d.death
                .at(view.now)
                .last()
                .map(|held| held.value.to_string()),
        )
        .put("address", addresses(shown, view, false))
        .put(
            "generalPractitioner",
            if shows_gp { gp() } else { Vec::new() },
        )
        .build();
    elements.of(resource)
}

/// An id that was merged into another: nothing but where to go.
pub(super) fn replaced(old: EntryId, by: EntryId) -> Value {
    json!({
        "resourceType": "Patient",
        "id": old.to_string(),
        "meta": meta(&Kind::Patient.profiles(), None),
        "active": false,
        "link": [{ "other": reference("Patient", &by.to_string()), "type": "replaced-by" }],
    })
}

/// Roles of the doctor whose list she is on now; of a list without one, the list itself has none.
pub(super) fn gp(lists: &GpLists, shown: &Shown, norwegian_now: Moment) -> Vec<Value> {
    let numbers = shown.identifiers(&KINDS);
    let on = numbers
        .iter()
        .find_map(|held| lists.active(held.value.number.0, norwegian_now));
    let contract = on.and_then(|on| lists.contract(on.contract));
    let doctor = contract
        .as_ref()
        .and_then(|contract| Some((contract, own_doctor(contract, norwegian_now)?)));
    doctor
        .map(|(contract, doctor)| reference("PractitionerRole", &role_id(contract.id, doctor.no)))
        .into_iter()
        .collect()
}
