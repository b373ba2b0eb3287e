//! `RelatedPerson` after gd-RelatedPerson: one for each pair of persons, with every relation between them
//! (spec/grunndata.md §3.8). Needs a legal basis. The id is the ids of the two entries, the patient's first.
//!
//! Relations to somebody who is not in the register have no resource here.

use super::elements::Elements;
use super::kinds::{GD, Kind, NO_BASIS};
use super::persons::{Shown, View};
use super::values::{extension, extensions, identifier, meta, metadata, name, reference, with};
use fhir::build::Json;
use registers::kernel::EntryId;
use registers::kernel::identifiers::Packed;
use registers::kernel::timeline::Held;
use registers::persons::codes::{
    FamilyRole, GuardianshipScope, GuardianshipType, IdentifierKind, MaritalStatusType,
    ResponsibilityType,
};
use registers::persons::document::{FamilyRelation, Guardianship, Marital, Responsibility};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::str::FromStr;

const FAMILY: &str = "http://hl7.no/fhir/CodeSystem/no-basis-family-relation";
const MARITAL: &str = "http://hl7.no/fhir/CodeSystem/no-basis-marital-status";
const PARENTAL: &str = "http://hl7.no/fhir/CodeSystem/no-basis-parental-responsibility";
const GUARDIAN: &str = "http://ehelse.no/fhir/CodeSystem/gd-person-guardiantype";

/// The id of a pair.
pub(super) fn id_of(patient: EntryId, related: EntryId) -> String {
    format!("{patient}{related}")
}

/// The pair of an id.
pub(super) fn pair(id: &str) -> Option<(EntryId, EntryId)> {
    let (patient, related) = id.split_at_checked(32)?;
    Some((
        EntryId::from_str(patient).ok()?,
        EntryId::from_str(related).ok()?,
    ))
}

/// Numbers of everybody a person is related to now.
pub(super) fn others(shown: &Shown, view: View) -> BTreeSet<Packed> {
    let d = &shown.document;
    let family = d.family.at(view.now).filter_map(|held| held.value.person);
    let spouse = d.marital.at(view.now).filter_map(|held| held.value.spouse);
    let parental = d
        .parental
        .at(view.now)
        .flat_map(|held| [held.value.responsible, held.value.subject])
        .flatten();
    let guardians = d
        .guardianship
        .at(view.now)
        .filter_map(|held| held.value.guardian);
    family
        .chain(spouse)
        .chain(parental)
        .chain(guardians)
        .collect()
}

/// What `related` is to `patient`; `None` when there is no relation now.
pub(super) fn resource(
    patient: &Shown,
    related: &Shown,
    elements: &Elements,
    view: View,
) -> Option<Value> {
    let relations = relations(patient, related, view);
    if relations.is_empty() {
        return None;
    }
    let kinds = [
        IdentifierKind::NationalIdentityNumber,
        IdentifierKind::DNumber,
    ];
    let current = related.identifiers(&kinds);
    let current = current.iter().filter(|held| held.value.in_use);
    let person = json!([extension(
        &format!("{NO_BASIS}no-basis-relatedperson-person-reference"),
        "valueReference",
        reference("Person", &patient.id.to_string()),
    )]);
    let of = with(
        reference("Patient", &patient.id.to_string()),
        "extension",
        person,
    );
    let names = related.document.name.at(view.now);
    let resource = Json::resource("RelatedPerson")
        .put("id", id_of(patient.id, related.id))
        .put(
            "meta",
            meta(&Kind::RelatedPerson.profiles(), Some(related.level)),
        )
        .list("identifier", current.map(|held| identifier(&held.value)))
        .put("active", true)
        .put("patient", of)
        .put("relationship", relations)
        .list("name", names.map(|held| name(&held.value, None)))
        .build();
    Some(elements.of(resource))
}

fn relations(patient: &Shown, related: &Shown, view: View) -> Vec<Value> {
    let d = &patient.document;
    let numbers: Vec<Packed> = related
        .document
        .identifiers
        .all()
        .map(|held| held.value.number)
        .collect();
    let is_she = |number: Option<Packed>| number.is_some_and(|number| numbers.contains(&number));
    let family = d
        .family
        .at(view.now)
        .filter(|held| is_she(held.value.person));
    let marital = d
        .marital
        .at(view.now)
        .filter(|held| is_she(held.value.spouse));
    let parental = d
        .parental
        .at(view.now)
        .filter(|held| is_she(held.value.responsible) || is_she(held.value.subject));
    let guardians = d
        .guardianship
        .at(view.now)
        .filter(|held| is_she(held.value.guardian));
    marital
        .map(|held| spouse(held, view))
        .chain(family.map(|held| kin(held, view)))
        .chain(parental.map(|held| responsibility(held, view)))
        .chain(guardians.map(|held| guardian(held, view)))
        .collect()
}

fn relation(system: &str, code: &str, about: Value) -> Value {
    json!({ "extension": [about], "coding": [{ "system": system, "code": code }] })
}

fn kin(held: &Held<FamilyRelation>, view: View) -> Value {
    let mine = held.value.mine.map(family_code);
    let mut inner: Vec<Value> = mine
        .map(|code| extension("roleOfRelatedPersonInstance", "valueCode", code))
        .into_iter()
        .collect();
    inner.push(metadata(held, view.now));
    let about = extensions(&format!("{GD}gd-family-relation"), inner);
    relation(FAMILY, family_code(held.value.role), about)
}

fn spouse(held: &Held<Marital>, view: View) -> Value {
    let since = held.value.since.map(|day| day.to_string());
    let mut inner: Vec<Value> = since
        .map(|day| extension("maritalDate", "valueDate", day))
        .into_iter()
        .collect();
    inner.push(metadata(held, view.now));
    let about = extensions(&format!("{GD}gd-marital-status"), inner);
    relation(MARITAL, marital_code(held.value.status), about)
}

/// The national ids that the extension has room for are left out: who is meant is said by the resource.
fn responsibility(held: &Held<Responsibility>, view: View) -> Value {
    let about = extensions(&format!("{GD}gd-parental"), vec![metadata(held, view.now)]);
    relation(PARENTAL, responsibility_code(held.value.kind), about)
}

fn guardian(held: &Held<Guardianship>, view: View) -> Value {
    let guardianship = &held.value;
    let mut inner = Vec::new();
    if let Some(office) = guardianship
        .office
        .as_deref()
        .filter(|text| !text.is_empty())
    {
        inner.push(extension("office", "valueString", office));
    }
    if let Some(scope) = guardianship.scope {
        let system = "http://ehelse.no/fhir/CodeSystem/gd-person-guardianscope";
        let coding = json!({ "system": system, "code": scope_code(scope) });
        inner.push(extension("scope", "valueCoding", coding));
    }
    inner.push(extension(
        "personalScope",
        "valueBoolean",
        guardianship.personal,
    ));
    inner.push(metadata(held, view.now));
    let about = extensions(&format!("{GD}gd-guardianship"), inner);
    relation(GUARDIAN, guardian_code(guardianship.kind), about)
}

fn family_code(role: FamilyRole) -> &'static str {
    match role {
        FamilyRole::Mother => "mor",
        FamilyRole::Father => "far",
        FamilyRole::CoMother => "medmor",
        FamilyRole::Child => "barn",
        FamilyRole::Sibling => "søsken",
        FamilyRole::SpouseOrPartner => "ektefelleEllerPartner",
        FamilyRole::StillbornChild => "dødfødtBarn",
    }
}

fn marital_code(status: MaritalStatusType) -> &'static str {
    match status {
        MaritalStatusType::Unspecified => "uoppgitt",
        MaritalStatusType::Unmarried => "ugift",
        MaritalStatusType::Married => "gift",
        MaritalStatusType::WidowOrWidower => "enkeEllerEnkemann",
        MaritalStatusType::Divorced => "skilt",
        MaritalStatusType::Separated => "separert",
        MaritalStatusType::RegisteredPartner => "registrertPartner",
        MaritalStatusType::SeparatedPartner => "separertPartner",
        MaritalStatusType::DivorcedPartner => "skiltPartner",
        MaritalStatusType::SurvivingPartner => "gjenlevende_partner",
    }
}

fn responsibility_code(kind: ResponsibilityType) -> &'static str {
    match kind {
        ResponsibilityType::Joint => "felles",
        ResponsibilityType::Mother => "mor",
        ResponsibilityType::Father => "far",
        ResponsibilityType::CoMother => "medmor",
        ResponsibilityType::Other => "andre",
        ResponsibilityType::Unknown => "ukjent",
    }
}

fn guardian_code(kind: GuardianshipType) -> &'static str {
    match kind {
        GuardianshipType::SingleMinorAsylumSeeker => "ensligMindreaarigAsylsoeker",
        GuardianshipType::SingleMinorRefugee => "ensligMindreaarigFlyktning",
        GuardianshipType::Adult => "voksen",
        GuardianshipType::TemporaryForAdult => "midlertidigForVoksen",
        GuardianshipType::Minor => "mindreaarig",
        GuardianshipType::TemporaryForMinor => "midlertidigForMindreaarig",
        GuardianshipType::ManagementOutsideGuardianship => "forvaltningUtenforVergemaal",
        GuardianshipType::ConfirmedFuturePowerOfAttorney => "stadfestetFremtidsfullmakt",
    }
}

fn scope_code(scope: GuardianshipScope) -> &'static str {
    match scope {
        GuardianshipScope::ImmigrationPersonalAndFinancialInterests => {
            "utlendingssakerPersonligeOgOekonomiskeInteresser"
        }
        GuardianshipScope::PersonalAndFinancialInterests => "personligeOgOekonomiskeInteresser",
        GuardianshipScope::FinancialInterests => "oekonomiskeInteresser",
        GuardianshipScope::PersonalInterests => "personligeInteresser",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_its_id() {
        let (one, other) = (EntryId(7), EntryId(u128::MAX));
        let id = id_of(one, other);
        assert!(id.len() == 64, "as long as an id may be");
        assert_eq!(pair(&id), Some((one, other)));
        for bad in [
            "",
            "7",
            id.get(1..).unwrap(),
            &format!("{id}0"),
            &"ø".repeat(32),
        ] {
            assert_eq!(pair(bad), None);
        }
    }
}
