//! Rules of one element: cardinality, fixed values, bounds, types, targets, bindings, invariants.

use super::{
    Given, by, check_all, core, definition, doc, expect, found, observation, patient, profile,
};
use crate::profile::*;
use crate::{Finding, Severity};
use serde_json::{Value, json};

#[test]
fn cardinality() {
    let rows = [
        ("Patient.name", json!({"min": 1, "max": "1"})),
        ("Patient.name.family", json!({"min": 1})),
        ("Patient.photo", json!({"max": "0"})),
    ];
    expect(&rows, patient(json!({"name": [{"family": "A"}]})), &[]);
    expect(
        &rows,
        patient(json!({"active": true})),
        &[("profile-cardinality", "Patient.name")],
    );
    expect(
        &rows,
        patient(json!({"name": [{"family": "A"}, {"text": "B"}]})),
        &[
            ("profile-cardinality", "Patient.name"),
            ("profile-cardinality", "Patient.name[1].family"),
        ],
    );
    expect(
        &rows,
        patient(json!({"name": [{"family": "A"}], "photo": [{"url": "a"}]})),
        &[("profile-cardinality", "Patient.photo")],
    );
}

#[test]
fn fixed_values_and_patterns() {
    let rows = [("Observation.status", json!({"fixedCode": "final"}))];
    expect(&rows, observation(json!({})), &[]);
    expect(
        &rows,
        observation(json!({"status": "amended"})),
        &[("profile-fixed", "Observation.status")],
    );
    let coding = json!({"coding": [{"system": "http://loinc.org", "code": "1-8"}]});
    let pattern = [(
        "Observation.code",
        json!({"patternCodeableConcept": coding}),
    )];
    let richer = json!({"coding": [{"system": "urn:x", "code": "y"}, {"system": "http://loinc.org", "code": "1-8", "display": "d"}]});
    expect(&pattern, observation(json!({"code": richer})), &[]);
    expect(
        &pattern,
        observation(json!({"code": {"coding": [{"system": "http://loinc.org", "code": "2-6"}]}})),
        &[("profile-pattern", "Observation.code")],
    );
    let exact = [("Observation.code", json!({"fixedCodeableConcept": coding}))];
    expect(&exact, observation(json!({})), &[]);
    expect(
        &exact,
        observation(json!({"code": richer})),
        &[("profile-fixed", "Observation.code")],
    );
}

#[test]
fn bounds_and_lengths() {
    let rows = [
        (
            "Patient.birthDate",
            json!({"minValueDate": "1900-01-01", "maxValueDate": "2030-01-01"}),
        ),
        ("Patient.name.family", json!({"maxLength": 3})),
    ];
    expect(
        &rows,
        patient(json!({"birthDate": "1980-01-01", "name": [{"family": "Årø"}]})),
        &[],
    );
    expect(
        &rows,
        patient(json!({"birthDate": "1899-12-31"})),
        &[("profile-least", "Patient.birthDate")],
    );
    expect(
        &rows,
        patient(json!({"birthDate": "2031-01-01"})),
        &[("profile-greatest", "Patient.birthDate")],
    );
    expect(
        &rows,
        patient(json!({"name": [{"family": "Årøy"}]})),
        &[("profile-length", "Patient.name[0].family")],
    );
}

#[test]
fn types_of_choices() {
    let rows = [(
        "Observation.value[x]",
        json!({"type": [{"code": "Quantity"}, {"code": "string"}]}),
    )];
    expect(&rows, observation(json!({"valueString": "a"})), &[]);
    expect(
        &rows,
        observation(json!({"valueBoolean": true})),
        &[("profile-type", "Observation.value")],
    );
    // The short form constrains the choice to that type.
    let short = [
        ("Observation.valueQuantity", json!({"min": 1})),
        ("Observation.valueQuantity.code", json!({"min": 1})),
    ];
    let q = json!({"value": 1, "system": "http://unitsofmeasure.org", "code": "mg"});
    expect(&short, observation(json!({"valueQuantity": q})), &[]);
    expect(
        &short,
        observation(json!({"valueQuantity": {"value": 1}})),
        &[("profile-cardinality", "Observation.value.code")],
    );
    let wrong = found(
        profile("Observation", &short),
        observation(json!({"valueString": "a"})),
    );
    assert!(
        wrong.contains(&("profile-type".into(), "Observation.value".into())),
        "{wrong:?}"
    );
    // Slices by type say nothing about other types.
    let sliced = [
        (
            "Observation.value[x]",
            json!({"slicing": {"discriminator": [{"type": "type", "path": "$this"}], "rules": "open"}}),
        ),
        (
            "Observation.value[x]:valueQuantity",
            json!({"type": [{"code": "Quantity"}]}),
        ),
        ("Observation.value[x]:valueQuantity.unit", json!({"min": 1})),
    ];
    expect(&sliced, observation(json!({"valueString": "a"})), &[]);
    expect(
        &sliced,
        observation(json!({"valueQuantity": {"value": 1}})),
        &[("profile-cardinality", "Observation.value.unit")],
    );
}

#[test]
fn references_and_their_targets() {
    let named = definition(
        "http://named",
        "Patient",
        &core("Patient"),
        &[("Patient.name", json!({"min": 1}))],
    );
    let rows = [(
        "Observation.subject",
        json!({"type": [{"code": "Reference", "targetProfile": ["http://named"], "aggregation": ["contained"]}]}),
    )];
    let given = vec![profile("Observation", &rows), named];
    let rules = |v: Value| {
        check_all(given.clone(), &v)
            .into_iter()
            .filter(Finding::is_error)
            .map(|f| f.rule)
            .collect::<Vec<_>>()
    };
    let with = |p: Value| observation(json!({"contained": [p], "subject": {"reference": "#p"}}));
    assert_eq!(
        rules(with(
            json!({"resourceType": "Patient", "id": "p", "name": [{"text": "a"}]})
        )),
        Vec::<String>::new()
    );
    assert_eq!(
        rules(with(
            json!({"resourceType": "Patient", "id": "p", "active": true})
        )),
        ["profile-target"]
    );
    assert_eq!(
        rules(observation(json!({"subject": {"reference": "Patient/1"}}))),
        ["profile-aggregation"]
    );
    assert_eq!(
        rules(observation(json!({"subject": {"reference": "Group/1"}}))),
        ["profile-aggregation", "profile-target"]
    );
    // What a reference leads to elsewhere is fetched and checked too.
    let open = [(
        "Observation.subject",
        json!({"type": [{"code": "Reference", "targetProfile": ["http://named"]}]}),
    )];
    let source = Given(vec![profile("Observation", &open), given[1].clone()]);
    let library = Library::with(&source);
    let fetch = |r: &str| match r {
        "Patient/1" => Some(doc(&patient(json!({"id": "1", "active": true})))),
        "Patient/2" => Some(doc(&patient(json!({"id": "2", "name": [{"text": "x"}]})))),
        _ => None,
    };
    let v = Validator {
        library: &library,
        terminology: None,
        references: Some(&fetch),
        now_us: 0,
    };
    let asked = Asked {
        profiles: &["http://p"],
        ..Asked::default()
    };
    for (reference, good) in [
        ("Patient/1", false),
        ("Patient/2", true),
        ("Patient/3", true),
    ] {
        let d = doc(&observation(json!({"subject": {"reference": reference}})));
        assert_eq!(
            !v.profiles(&d, &asked).iter().any(Finding::is_error),
            good,
            "{reference}"
        );
    }
}

#[test]
fn bindings_by_strength() {
    let gender = "http://hl7.org/fhir/ValueSet/administrative-gender";
    let required = [(
        "Observation.interpretation",
        json!({"binding": {"strength": "required", "valueSet": gender}}),
    )];
    let good = json!([{"coding": [{"system": "http://hl7.org/fhir/administrative-gender", "code": "male"}]}]);
    let bad = json!([{"coding": [{"system": "http://hl7.org/fhir/administrative-gender", "code": "neither"}]}]);
    let only =
        |v: Vec<(String, String)>| v.into_iter().filter(|f| f.0 == "profile-binding").count();
    assert_eq!(
        only(found(
            profile("Observation", &required),
            observation(json!({"interpretation": good}))
        )),
        0
    );
    assert_eq!(
        only(found(
            profile("Observation", &required),
            observation(json!({"interpretation": bad}))
        )),
        1
    );
    let unknown = [(
        "Observation.method",
        json!({"binding": {"strength": "required", "valueSet": "http://nowhere"}}),
    )];
    let all = check_all(
        vec![profile("Observation", &unknown)],
        &observation(json!({"method": {"coding": [{"system": "urn:s", "code": "c"}]}})),
    );
    assert!(all.iter().all(|f| !f.is_error()));
    assert!(
        all.iter()
            .any(|f| f.rule == "profile-binding" && f.severity == Severity::Information)
    );
    let extensible = [(
        "Observation.method",
        json!({"binding": {"strength": "extensible", "valueSet": gender}}),
    )];
    expect(
        &extensible,
        observation(json!({"method": {"coding": [{"system": "urn:s", "code": "c"}]}})),
        &[("profile-binding", "Observation.method")],
    );
}

#[test]
fn invariants_of_profiles() {
    let rows = [
        (
            "Patient",
            json!({"constraint": [{"key": "x-1", "severity": "error", "human": "h", "expression": "name.exists() or identifier.exists()"}]}),
        ),
        (
            "Patient.name",
            json!({"constraint": [{"key": "x-2", "severity": "warning", "human": "h", "expression": "given.exists()"}]}),
        ),
        (
            "Patient.contact",
            json!({"constraint": [{"key": "x-3", "severity": "error", "human": "h", "expression": "no such ( thing"}]}),
        ),
    ];
    expect(
        &rows,
        patient(json!({"active": true})),
        &[("x-1", "Patient")],
    );
    expect(
        &rows,
        patient(json!({"name": [{"family": "a"}]})),
        &[("x-2", "Patient.name[0]")],
    );
    let p = compile(doc(&profile("Patient", &rows)), &Library::built_in()).unwrap();
    assert_eq!(p.notes.len(), 1);
    assert!(p.notes[0].text.contains("x-3"), "{:?}", p.notes);
}

#[test]
fn conforms_to_and_slices_in_expressions() {
    let rows = [
        (
            "Observation",
            json!({"constraint": [{"key": "c-1", "severity": "error", "human": "h", "expression": "contained.all(conformsTo('http://named'))"}]}),
        ),
        ("Observation.identifier", by("value", "system", "open")),
        (
            "Observation.identifier:a.system",
            json!({"fixedUri": "urn:a"}),
        ),
    ];
    let given = vec![
        profile("Observation", &rows),
        definition(
            "http://named",
            "Patient",
            &core("Patient"),
            &[("Patient.name", json!({"min": 1}))],
        ),
        definition(
            "http://s",
            "Observation",
            "http://p",
            &[(
                "Observation",
                json!({"constraint": [{"key": "c-2", "severity": "error", "human": "h", "expression": "identifier.slice('http://p', 'a').count() = 1"}]}),
            )],
        ),
    ];
    let o = |p: Value, system: &str| {
        observation(
            json!({"meta": {"profile": ["http://s"]}, "contained": [p], "subject": {"reference": "#p"}, "identifier": [{"system": system, "value": "1"}]}),
        )
    };
    let rules = |v: &Value| {
        let mut r: Vec<String> = check_all(given.clone(), v)
            .into_iter()
            .filter(Finding::is_error)
            .map(|f| f.rule)
            .collect();
        r.dedup();
        r
    };
    let good = json!({"resourceType": "Patient", "id": "p", "name": [{"text": "a"}]});
    assert_eq!(rules(&o(good.clone(), "urn:a")), Vec::<String>::new());
    assert_eq!(rules(&o(good, "urn:b")), ["c-2"]);
    assert_eq!(
        rules(&o(
            json!({"resourceType": "Patient", "id": "p", "active": true}),
            "urn:a"
        )),
        ["c-1"]
    );
}
