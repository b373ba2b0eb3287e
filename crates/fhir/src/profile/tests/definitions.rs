//! Definitions: derived, broken, unknown, built in and national ones; extensions; bounds of a check.

use super::{Given, by, check_all, core, definition, doc, found, observation, patient, profile};
use crate::json::Limits;
use crate::profile::*;
use crate::{Doc, Finding, Severity};
use bytes::Bytes;
use serde_json::{Value, json};

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
    let all = check_all(
        vec![profile("Patient", &rows)],
        &patient(json!({"name": names})),
    );
    assert!(
        all.iter().any(|f| f.rule == "limit-profile"),
        "{:?}",
        all.len()
    );
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
