use std::collections::HashSet;

use super::*;

#[test]
fn the_pack_holds_all_of_r4() {
    let pack = Pack::r4();
    assert_eq!(pack.fhir_version.as_ref(), "4.0.1");
    // 148 resource types of R4: these and the two abstract ones.
    assert_eq!(pack.resource_types().count(), 146);
    for absent in ["SubscriptionStatus", "MetadataResource", "Citation"] {
        assert!(pack.type_id(absent).is_none(), "{absent}");
    }
    let file = Pack::r4_file().unwrap();
    assert_eq!(file.params.len(), 1708);
    assert_eq!(
        file.compartments
            .iter()
            .map(|c| c.code.as_str())
            .collect::<Vec<_>>(),
        [
            "Device",
            "Encounter",
            "Patient",
            "Practitioner",
            "RelatedPerson"
        ]
    );
}

#[test]
fn elements_and_choices() {
    let pack = Pack::r4();
    let obs = pack.type_id("Observation").unwrap();
    let (e, t, _) = pack.child(obs, b"valueQuantity").unwrap();
    let e = pack.element(e).unwrap();
    assert_eq!(
        (e.name.as_ref(), e.choice, e.min, e.max, pack.type_name(t)),
        ("value", true, 0, Some(1), "Quantity")
    );
    assert!(pack.child(obs, b"value").is_none() && pack.child(obs, b"valueAddress").is_none());
    // A content reference is the structure it names.
    let component = pack.type_id("Observation.component").unwrap();
    assert_eq!(
        pack.child(component, b"referenceRange")
            .map(|c| pack.type_name(c.1)),
        Some("Observation.referenceRange")
    );
    assert!(
        pack.is_a(pack.known.code, pack.known.string)
            && !pack.is_a(pack.known.string, pack.known.code)
    );
    // What the package's publisher has added is not there.
    assert!(
        pack.child(pack.type_id("Meta").unwrap(), b"project")
            .is_none()
    );
}

#[test]
fn value_sets_name_the_system_of_a_code() {
    let pack = Pack::r4();
    let set = pack
        .value_set_by_url("http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1")
        .unwrap();
    assert_eq!(
        set.system_of("female"),
        Some("http://hl7.org/fhir/administrative-gender")
    );
    assert!(
        set.contains("http://hl7.org/fhir/administrative-gender", "other")
            && !set.contains("x", "other")
            && set.system_of("nope").is_none()
    );
}

#[test]
fn parameter_ids_are_unique_and_leave_room_for_sub_kinds() {
    let file = Pack::r4_file().unwrap();
    let ids: HashSet<u32> = file.params.iter().map(|p| p.id).collect();
    assert_eq!(ids.len(), file.params.len());
    assert!(ids.iter().all(|i| *i < 1 << 28 && *i > 0));
    let pack = Pack::r4();
    let p = pack.param("Observation", "code").unwrap();
    assert_eq!(
        pack.param_by_id(p.id | 3).map(|q| q.code.as_ref()),
        Some("code")
    );
    assert_eq!(
        pack.param("Observation", "_id").map(|p| p.base.as_ref()),
        Some("Resource")
    );
    assert!(
        pack.param("Observation", "birthdate").is_none() && pack.param("Nope", "_id").is_none()
    );
}

#[test]
fn a_few_ids_are_pinned() {
    // Stored keys contain these numbers: a change here means that the pack was rebuilt without its former self.
    let pack = Pack::r4();
    let ids: Vec<(String, u32)> = [
        ("Observation", "code"),
        ("Observation", "date"),
        ("Patient", "identifier"),
        ("Patient", "name"),
        ("Patient", "_id"),
        ("DocumentReference", "patient"),
    ]
    .iter()
    .map(|(t, c)| (format!("{t}.{c}"), pack.param(t, c).unwrap().id))
    .collect();
    insta::assert_debug_snapshot!(ids);
}

#[test]
fn compartments_name_the_subject_first() {
    let pack = Pack::r4();
    let codes: Vec<&str> = pack
        .compartment("Patient", "Observation")
        .map(|p| p.code.as_ref())
        .collect();
    assert_eq!(codes, ["subject", "performer"]);
    assert_eq!(pack.compartment("Patient", "Organization").count(), 0);
    assert_eq!(pack.compartment_types("Patient").count(), 66);
}
