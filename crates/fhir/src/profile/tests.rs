use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::json::Limits;
use crate::{Doc, Finding, Severity};

/// Definitions given as values.
struct Given(Vec<Value>);

impl Source for Given {
    fn find(&self, canonical: &str) -> Option<Found> {
        let url = canonical.split('|').next()?;
        let text = self.0.iter().find(|v| v["url"] == url)?;
        Some(Found::Text(Box::new(doc(text))))
    }
}

fn doc(v: &Value) -> Doc {
    Doc::parse_json(Bytes::from(v.to_string()), &Limits::default()).unwrap()
}

/// A definition with only a differential; rows are (id, facts).
fn definition(url: &str, ty: &str, base: &str, rows: &[(&str, Value)]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|(id, facts)| {
            let path: Vec<&str> = id
                .split('.')
                .map(|s| s.split(':').next().unwrap())
                .collect();
            let mut row = json!({"id": id, "path": path.join(".")});
            if let Some((_, slice)) = id.rsplit('.').next().unwrap().split_once(':') {
                row["sliceName"] = json!(slice);
            }
            for (k, v) in facts.as_object().unwrap() {
                row[k] = v.clone();
            }
            row
        })
        .collect();
    json!({"resourceType": "StructureDefinition", "url": url, "type": ty, "baseDefinition": base, "derivation": "constraint", "differential": {"element": rows}})
}

fn core(name: &str) -> String {
    format!("http://hl7.org/fhir/StructureDefinition/{name}")
}

fn profile(ty: &str, rows: &[(&str, Value)]) -> Value {
    definition("http://p", ty, &core(ty), rows)
}

fn check_all(given: Vec<Value>, resource: &Value) -> Vec<Finding> {
    let source = Given(given);
    let library = Library::with(&source);
    let v = Validator {
        library: &library,
        terminology: None,
        references: None,
        now_us: 0,
    };
    let asked = Asked {
        profiles: &["http://p"],
        declared: true,
        extensions: true,
    };
    v.check(&doc(resource), &asked)
}

/// (rule, expression) of warnings and errors.
fn found(given: Value, resource: Value) -> Vec<(String, String)> {
    check_all(vec![given], &resource)
        .into_iter()
        .filter(|f| f.severity <= Severity::Warning)
        .map(|f| (f.rule, f.expression))
        .collect()
}

fn patient(v: Value) -> Value {
    let mut p = json!({"resourceType": "Patient"});
    for (k, x) in v.as_object().unwrap() {
        p[k] = x.clone();
    }
    p
}

fn observation(v: Value) -> Value {
    let mut o = json!({"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "1-8"}]}});
    for (k, x) in v.as_object().unwrap() {
        o[k] = x.clone();
    }
    o
}

#[track_caller]
fn expect(rows: &[(&str, Value)], resource: Value, want: &[(&str, &str)]) {
    let ty = resource["resourceType"].as_str().unwrap().to_owned();
    let want: Vec<_> = want
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect();
    assert_eq!(
        found(profile(&ty, rows), resource.clone()),
        want,
        "{resource}"
    );
}

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
    let richer = json!({"coding": [{"system": "x", "code": "y"}, {"system": "http://loinc.org", "code": "1-8", "display": "d"}]});
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

fn by(kind: &str, path: &str, rules: &str) -> Value {
    json!({"slicing": {"discriminator": [{"type": kind, "path": path}], "rules": rules}})
}

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
    let vital = json!({"coding": [{"system": "s", "code": "vital-signs"}]});
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
        &observation(json!({"method": {"coding": [{"system": "s", "code": "c"}]}})),
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
        observation(json!({"method": {"coding": [{"system": "s", "code": "c"}]}})),
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

#[test]
fn profiles_derive_from_profiles() {
    let base = profile("Patient", &[("Patient.name", json!({"min": 1}))]);
    let derived = definition(
        "http://d",
        "Patient",
        "http://p",
        &[
            ("Patient.name", json!({"max": "1"})),
            ("Patient.birthDate", json!({"min": 1})),
        ],
    );
    let p = |v: Value| {
        let source = Given(vec![base.clone(), derived.clone()]);
        let library = Library::with(&source);
        let validator = Validator {
            library: &library,
            terminology: None,
            references: None,
            now_us: 0,
        };
        let asked = Asked {
            profiles: &["http://d"],
            ..Asked::default()
        };
        validator
            .profiles(&doc(&patient(v)), &asked)
            .into_iter()
            .map(|f| f.expression)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        p(json!({"active": true})),
        ["Patient.name", "Patient.birthDate"]
    );
    assert_eq!(
        p(json!({"name": [{"text": "a"}, {"text": "b"}], "birthDate": "2000"})),
        ["Patient.name"]
    );
    // A profile that derives from itself ends, and says so.
    let a = definition(
        "http://p",
        "Patient",
        "http://b",
        &[("Patient.name", json!({"min": 1}))],
    );
    let b = definition(
        "http://b",
        "Patient",
        "http://p",
        &[("Patient.birthDate", json!({"min": 1}))],
    );
    let all = check_all(vec![a, b], &patient(json!({"active": true})));
    assert!(all.iter().any(|f| f.rule == "profile-cardinality"));
}

#[test]
fn a_snapshot_says_what_its_differential_says() {
    let mut snapshot = profile(
        "Patient",
        &[
            ("Patient", json!({})),
            (
                "Patient.name",
                json!({"min": 1, "max": "*", "type": [{"code": "HumanName"}]}),
            ),
        ],
    );
    snapshot["snapshot"] = snapshot["differential"].take();
    snapshot.as_object_mut().unwrap().remove("differential");
    assert_eq!(
        found(snapshot.clone(), patient(json!({"active": true}))),
        [("profile-cardinality".to_owned(), "Patient.name".to_owned())]
    );
    assert_eq!(
        found(snapshot, patient(json!({"name": [{"text": "a"}]}))),
        []
    );
}

#[test]
fn rows_without_ids_are_placed_by_path_and_slice_name() {
    let rows = json!([
        {"path": "Patient.identifier", "slicing": {"discriminator": [{"type": "value", "path": "system"}], "rules": "open"}},
        {"path": "Patient.identifier", "sliceName": "a", "min": 1},
        {"path": "Patient.identifier.system", "fixedUri": "urn:a"},
        {"path": "Patient.identifier", "sliceName": "b"},
        {"path": "Patient.identifier.system", "fixedUri": "urn:b"},
        {"path": "Patient.birthDate", "min": 1}
    ]);
    let p = json!({"resourceType": "StructureDefinition", "url": "http://p", "type": "Patient", "baseDefinition": core("Patient"), "derivation": "constraint", "differential": {"element": rows}});
    assert_eq!(
        found(
            p.clone(),
            patient(
                json!({"birthDate": "2000", "identifier": [{"system": "urn:b"}, {"system": "urn:a"}]})
            )
        ),
        []
    );
    assert_eq!(
        found(p, patient(json!({"identifier": [{"system": "urn:b"}]}))),
        [
            ("profile-slice".to_owned(), "Patient.identifier".to_owned()),
            (
                "profile-cardinality".to_owned(),
                "Patient.birthDate".to_owned()
            )
        ]
    );
}

#[test]
fn extensions_and_their_definitions() {
    let ext = |rows: &[(&str, Value)], on: &str| {
        let mut d = definition("http://e", "Extension", &core("Extension"), rows);
        d["context"] = json!([{"type": "element", "expression": on}]);
        d
    };
    let simple = ext(
        &[
            ("Extension.url", json!({"fixedUri": "http://e"})),
            (
                "Extension.value[x]",
                json!({"min": 1, "type": [{"code": "string"}]}),
            ),
        ],
        "Patient.name",
    );
    let any = profile("Patient", &[]);
    let rules = |d: &Value, v: Value| {
        check_all(vec![any.clone(), d.clone()], &patient(v))
            .into_iter()
            .filter(|f| f.rule != "dom-6")
            .map(|f| (f.rule, f.severity.as_str()))
            .collect::<Vec<_>>()
    };
    let on_name = |e: Value| json!({"name": [{"text": "a", "extension": [e]}]});
    assert_eq!(
        rules(
            &simple,
            on_name(json!({"url": "http://e", "valueString": "x"}))
        ),
        []
    );
    assert_eq!(
        rules(
            &simple,
            on_name(json!({"url": "http://e", "valueCode": "x"}))
        ),
        [("profile-type".to_owned(), "error")]
    );
    assert_eq!(
        rules(
            &simple,
            json!({"extension": [{"url": "http://e", "valueString": "x"}]})
        ),
        [("extension-context".to_owned(), "error")]
    );
    assert_eq!(
        rules(
            &simple,
            json!({"extension": [{"url": "http://other", "valueString": "x"}]})
        ),
        [("extension".to_owned(), "information")]
    );
    assert_eq!(
        rules(
            &simple,
            json!({"modifierExtension": [{"url": "http://other", "valueString": "x"}]})
        ),
        [("modifier-extension".to_owned(), "error")]
    );
    let complex = ext(
        &[
            ("Extension.extension", by("value", "url", "open")),
            ("Extension.extension:a", json!({"min": 1, "max": "1"})),
            ("Extension.extension:a.url", json!({"fixedUri": "a"})),
            (
                "Extension.extension:a.value[x]",
                json!({"type": [{"code": "boolean"}]}),
            ),
            ("Extension.url", json!({"fixedUri": "http://e"})),
            ("Extension.value[x]", json!({"max": "0"})),
        ],
        "Patient",
    );
    let part = |v: Value| json!({"extension": [{"url": "http://e", "extension": [v]}]});
    assert_eq!(
        rules(&complex, part(json!({"url": "a", "valueBoolean": true}))),
        []
    );
    assert_eq!(
        rules(&complex, part(json!({"url": "a", "valueString": "x"}))),
        [("profile-type".to_owned(), "error")]
    );
    assert_eq!(
        rules(&complex, part(json!({"url": "b", "valueString": "x"}))),
        [("profile-slice".to_owned(), "error")]
    );
}

#[test]
fn a_check_is_bounded() {
    let rows = [
        (
            "Patient.name",
            json!({"slicing": {"discriminator": [{"type": "exists", "path": "period"}], "rules": "open"}}),
        ),
        (
            "Patient.name.given",
            json!({"constraint": [{"key": "slow", "severity": "error", "human": "h", "expression": "%resource.descendants().select(%resource.descendants().count()).count() >= 0"}]}),
        ),
    ];
    let given: Vec<String> = (0..300).map(|i| format!("g{i}")).collect();
    let names: Vec<Value> = (0..100).map(|_| json!({"given": given})).collect();
    let started = std::time::Instant::now();
    let all = check_all(
        vec![profile("Patient", &rows)],
        &patient(json!({"name": names})),
    );
    assert!(
        all.iter().any(|f| f.rule == "limit-profile"),
        "{:?}",
        all.len()
    );
    assert!(started.elapsed().as_secs() < 30);
}

#[test]
fn unknown_profiles() {
    let given = vec![profile("Patient", &[])];
    let declared = check_all(
        given,
        &patient(json!({"meta": {"profile": ["http://nowhere"]}, "active": true})),
    );
    let f = declared
        .iter()
        .find(|f| f.rule == "profile-unknown")
        .unwrap();
    assert_eq!(
        (f.severity, f.expression.as_str()),
        (Severity::Warning, "Patient.meta.profile[0]")
    );
    let asked = check_all(Vec::new(), &patient(json!({"active": true})));
    assert!(
        asked
            .iter()
            .any(|f| f.rule == "profile-unknown" && f.is_error())
    );
    // A base type is a profile of itself.
    let base = check_all(
        vec![profile("Patient", &[])],
        &patient(
            json!({"meta": {"profile": [core("Patient"), core("Observation")]}, "active": true}),
        ),
    );
    assert_eq!(
        base.iter()
            .filter(|f| f.is_error())
            .map(|f| f.rule.as_str())
            .collect::<Vec<_>>(),
        ["profile-type"]
    );
}

#[test]
fn vital_signs_of_r4() {
    let vitals = |v: Value| {
        let mut o = observation(json!({
            "meta": {"profile": [core("bodyweight")]},
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
            "subject": {"reference": "Patient/1"}, "effectiveDateTime": "2026-11-23",
            "valueQuantity": {"value": 70, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}
        }));
        for (k, x) in v.as_object().unwrap() {
            if x.is_null() {
                o.as_object_mut().unwrap().remove(k);
            } else {
                o[k] = x.clone();
            }
        }
        let library = Library::built_in();
        let validator = Validator {
            library: &library,
            terminology: None,
            references: None,
            now_us: 0,
        };
        let asked = Asked {
            declared: true,
            ..Asked::default()
        };
        validator
            .check(&doc(&o), &asked)
            .into_iter()
            .filter(Finding::is_error)
            .map(|f| format!("{} {}", f.rule, f.expression))
            .collect::<Vec<_>>()
    };
    assert_eq!(vitals(json!({})), Vec::<String>::new());
    assert_eq!(
        vitals(json!({"subject": null})),
        ["profile-cardinality Observation.subject"]
    );
    assert_eq!(
        vitals(json!({"category": null})),
        [
            "profile-cardinality Observation.category",
            "profile-slice Observation.category"
        ]
    );
    let pound = json!({"value": 70, "unit": "stone", "system": "http://unitsofmeasure.org", "code": "[st_av]"});
    assert_eq!(
        vitals(json!({"valueQuantity": pound})),
        ["profile-binding Observation.value.code"]
    );
    assert_eq!(vitals(json!({"valueQuantity": null})), ["vs-2 Observation"]);
}

#[test]
fn every_built_in_profile_compiles() {
    let library = Library::built_in();
    let mut bad = Vec::new();
    for url in builtin::urls() {
        match builtin::profile(url, &library) {
            None => bad.push(format!("{url}: not a profile")),
            Some(p) => bad.extend(p.notes.iter().map(|n| format!("{url}: {}", n.text))),
        }
    }
    bad.sort();
    assert!(builtin::urls().len() > 440);
    assert!(bad.is_empty(), "{}\n{}", bad.len(), bad.join("\n"));
}

#[test]
fn national_profiles() {
    let no = |n: &str| format!("http://hl7.no/fhir/StructureDefinition/{n}");
    let errors = |v: &Value| {
        let library = Library::built_in();
        let validator = Validator {
            library: &library,
            terminology: None,
            references: None,
            now_us: 0,
        };
        let asked = Asked {
            declared: true,
            extensions: true,
            ..Asked::default()
        };
        validator
            .check(&doc(v), &asked)
            .into_iter()
            .filter(Finding::is_error)
            .map(|f| format!("{} {}", f.rule, f.expression))
            .collect::<Vec<_>>()
    };
    let fnr = "urn:oid:2.16.578.1.12.4.1.4.1";
    let p = |identifier: Value, name: Value| json!({"resourceType": "Patient", "meta": {"profile": [no("no-basis-Patient")]}, "identifier": identifier, "name": name});
    let middle = json!([{"family": "Bjørnstad", "given": ["Kari"], "extension": [{"url": no("no-basis-middlename"), "valueString": "Nes"}]}]);
    assert_eq!(
        errors(&p(
            json!([{"system": fnr, "value": "05898597468"}]),
            middle.clone()
        )),
        Vec::<String>::new()
    );
    assert_eq!(
        errors(&p(json!([{"system": fnr}]), middle.clone())),
        ["profile-cardinality Patient.identifier[0].value"]
    );
    assert_eq!(
        errors(&p(
            json!([{"system": fnr, "value": "1"}, {"system": fnr, "value": "2"}]),
            middle.clone()
        )),
        ["profile-slice Patient.identifier"]
    );
    let hnr = json!([{"type": {"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.8327", "code": "HNR"}]}, "value": "x"}]);
    assert_eq!(errors(&p(hnr, middle)), ["no-hnr-1 Patient"]);
    let code = json!([{"family": "A", "extension": [{"url": no("no-basis-middlename"), "valueCode": "Nes"}]}]);
    assert_eq!(
        errors(&p(json!([{"value": "1"}]), code)),
        ["profile-type Patient.name[0].extension[0].value"]
    );
    let org = json!({"resourceType": "Organization", "meta": {"profile": [no("no-basis-Organization")]}, "name": "x", "identifier": [{"system": "urn:oid:2.16.578.1.12.4.1.2", "value": "1"}]});
    assert_eq!(errors(&org), ["no-her-1 Organization"]);
}

proptest::proptest! {
    #[test]
    fn any_definition_is_read_or_refused(text in "\\{\"resourceType\":\"StructureDefinition\",\"url\":\"http://p\",\"type\":\"(Patient|Extension|x)\",\"differential\":\\{\"element\":\\[(\\{\"id\":\"Patient\\.(name|identifier:a)(\\.[a-z:@/]{0,9}){0,3}\",\"path\":\"(Patient|Extension)(\\.[a-zA-Z\\[\\]]{0,12}){0,4}\",\"sliceName\":\"[a-z/@]{0,5}\",\"min\":[0-9]{1,3},\"max\":\"[0-9*]{1,2}\",\"slicing\":\\{\"discriminator\":\\[\\{\"type\":\"(value|exists|type|profile)\",\"path\":\"[a-z.$()']{0,12}\"\\}\\],\"rules\":\"closed\"\\}\\},?){0,1}\\]\\}\\}") {
        if let Ok(d) = Doc::parse_json(Bytes::from(text), &Limits::default()) {
            let v: Value = serde_json::from_slice(d.bytes()).unwrap();
            let _ = check_all(vec![v], &patient(json!({"name": [{"text": "a"}], "identifier": [{"system": "urn:a"}]})));
        }
    }
}
