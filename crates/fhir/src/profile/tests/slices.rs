//! Slices by every kind of discriminator.

use super::{by, check_all, core, definition, expect, observation, patient, profile};
use crate::Finding;
use serde_json::{Value, json};

#[test]
fn slices_by_value() {
    let rows = |rules: &str| {
        vec![
            ("Patient.identifier", by("value", "system", rules)),
            ("Patient.identifier:a", json!({"min": 1, "max": "1"})),
            (
                "Patient.identifier:a.system",
                json!({"min": 1, "fixedUri": "urn:a"}),
            ),
            ("Patient.identifier:a.value", json!({"min": 1})),
            ("Patient.identifier:b", json!({"max": "1"})),
            (
                "Patient.identifier:b.system",
                json!({"min": 1, "patternUri": "urn:b"}),
            ),
        ]
    };
    let ids = |list: &[(&str, &str)]| {
        let l: Vec<Value> = list
            .iter()
            .map(|(s, v)| json!({"system": s, "value": v}))
            .collect();
        patient(json!({ "identifier": l }))
    };
    let open = rows("open");
    expect(
        &open,
        ids(&[
            ("urn:a", "1"),
            ("urn:b", "2"),
            ("urn:c", "3"),
            ("urn:c", "4"),
        ]),
        &[],
    );
    expect(
        &open,
        ids(&[("urn:c", "3")]),
        &[("profile-slice", "Patient.identifier")],
    );
    expect(
        &open,
        ids(&[("urn:a", "1"), ("urn:a", "2")]),
        &[("profile-slice", "Patient.identifier")],
    );
    expect(
        &open,
        patient(json!({"identifier": [{"system": "urn:a"}]})),
        &[("profile-cardinality", "Patient.identifier[0].value")],
    );
    expect(
        &rows("closed"),
        ids(&[("urn:a", "1"), ("urn:c", "3")]),
        &[("profile-slice", "Patient.identifier[1]")],
    );
    let end = rows("openAtEnd");
    expect(&end, ids(&[("urn:a", "1"), ("urn:c", "3")]), &[]);
    expect(
        &end,
        ids(&[("urn:c", "3"), ("urn:a", "1")]),
        &[("profile-slice", "Patient.identifier[0]")],
    );
    let mut ordered = rows("open");
    ordered[0].1["slicing"]["ordered"] = json!(true);
    expect(&ordered, ids(&[("urn:a", "1"), ("urn:b", "2")]), &[]);
    expect(
        &ordered,
        ids(&[("urn:b", "2"), ("urn:a", "1")]),
        &[("profile-slice", "Patient.identifier[1]")],
    );
}

#[test]
fn default_slice_takes_the_rest() {
    let rows = [
        ("Patient.identifier", by("value", "system", "closed")),
        ("Patient.identifier:a.system", json!({"fixedUri": "urn:a"})),
        ("Patient.identifier:@default.value", json!({"min": 1})),
    ];
    expect(
        &rows,
        patient(json!({"identifier": [{"system": "urn:a"}]})),
        &[],
    );
    expect(
        &rows,
        patient(json!({"identifier": [{"system": "urn:x"}]})),
        &[("profile-cardinality", "Patient.identifier[0].value")],
    );
}

#[test]
fn slices_by_pattern_on_the_element_itself() {
    let vital = json!({"coding": [{"system": "urn:s", "code": "vital-signs"}]});
    let rows = [
        ("Observation.category", by("pattern", "$this", "open")),
        (
            "Observation.category:vs",
            json!({"min": 1, "patternCodeableConcept": vital}),
        ),
    ];
    expect(
        &rows,
        observation(json!({"category": [{"text": "x"}, vital]})),
        &[],
    );
    expect(
        &rows,
        observation(json!({"category": [{"text": "x"}]})),
        &[("profile-slice", "Observation.category")],
    );
}

#[test]
fn slices_by_existence() {
    let rows = [
        ("Patient.contact", by("exists", "organization", "open")),
        ("Patient.contact:firm", json!({"max": "1"})),
        ("Patient.contact:firm.organization", json!({"min": 1})),
        ("Patient.contact:person.organization", json!({"max": "0"})),
        ("Patient.contact:person.name", json!({"min": 1})),
    ];
    let firm = json!({"organization": {"display": "x"}});
    expect(
        &rows,
        patient(json!({"contact": [firm, {"name": {"text": "a"}}]})),
        &[],
    );
    expect(
        &rows,
        patient(json!({"contact": [firm, firm]})),
        &[("profile-slice", "Patient.contact")],
    );
    expect(
        &rows,
        patient(json!({"contact": [{"telecom": [{"system": "url", "value": "x"}]}]})),
        &[("profile-cardinality", "Patient.contact[0].name")],
    );
}

#[test]
fn slices_by_type_of_the_target() {
    let rows = [
        (
            "Observation.performer",
            by("type", "$this.resolve()", "closed"),
        ),
        (
            "Observation.performer:who",
            json!({"max": "1", "type": [{"code": "Reference", "targetProfile": [core("Practitioner")]}]}),
        ),
    ];
    expect(
        &rows,
        observation(json!({"performer": [{"reference": "Practitioner/1"}]})),
        &[],
    );
    expect(
        &rows,
        observation(
            json!({"performer": [{"reference": "Practitioner/1"}, {"reference": "Practitioner/2"}]}),
        ),
        &[("profile-slice", "Observation.performer")],
    );
    expect(
        &rows,
        observation(json!({"performer": [{"reference": "Organization/1"}]})),
        &[("profile-slice", "Observation.performer[0]")],
    );
}

#[test]
fn slices_by_type_and_profile_in_a_bundle() {
    let rows = [
        ("Bundle.entry", by("type", "resource", "closed")),
        ("Bundle.entry:pat", json!({"min": 1, "max": "1"})),
        (
            "Bundle.entry:pat.resource",
            json!({"min": 1, "type": [{"code": "Patient", "profile": ["http://named"]}]}),
        ),
    ];
    let given = vec![
        profile("Bundle", &rows),
        definition(
            "http://named",
            "Patient",
            &core("Patient"),
            &[("Patient.name", json!({"min": 1}))],
        ),
    ];
    let bundle = |r: Value| json!({"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "http://x/1", "resource": r}]});
    let rules = |v: &Value| {
        check_all(given.clone(), v)
            .into_iter()
            .filter(Finding::is_error)
            .map(|f| (f.rule, f.expression))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        rules(&bundle(patient(json!({"name": [{"text": "a"}]})))),
        []
    );
    assert_eq!(
        rules(&bundle(patient(json!({"active": true})))),
        [(
            "profile-cardinality".to_owned(),
            "Bundle.entry[0].resource.name".to_owned()
        )]
    );
    let wrong = rules(&bundle(
        json!({"resourceType": "Basic", "code": {"text": "x"}}),
    ));
    assert!(
        wrong.contains(&("profile-slice".into(), "Bundle.entry[0]".into())),
        "{wrong:?}"
    );
    let by_profile = [
        ("Bundle.entry", by("profile", "resource", "closed")),
        (
            "Bundle.entry:pat.resource",
            json!({"type": [{"code": "Patient", "profile": ["http://named"]}]}),
        ),
    ];
    let given = vec![profile("Bundle", &by_profile), given[1].clone()];
    let errors = |v: &Value| {
        check_all(given.clone(), v)
            .iter()
            .filter(|f| f.is_error())
            .count()
    };
    assert_eq!(
        errors(&bundle(patient(json!({"name": [{"text": "a"}]})))),
        0
    );
    assert_eq!(errors(&bundle(patient(json!({"active": true})))), 1);
}
