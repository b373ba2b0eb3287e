//! Rules of the engine on small definitions of our own.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::base::Base;
use super::national::National;
use super::source::{Held, Layers};
use super::*;
use crate::doc::Doc;
use crate::json::Limits;

const CS: &str = "http://example.org/CodeSystem/food";

fn doc(value: &Value) -> Doc {
    Doc::parse_json(Bytes::from(value.to_string()), &Limits::default()).unwrap()
}

fn held(resources: &[Value]) -> Held {
    let mut held = Held::default();
    for r in resources {
        held.add(doc(r).root()).unwrap();
    }
    held
}

/// fruit > (apple > (cox, gala*), pear), herb > mint; tea is both a drink and a herb (property parent). * inactive
fn food() -> Value {
    json!({
        "resourceType": "CodeSystem", "url": CS, "version": "1.0", "name": "Food", "status": "active",
        "content": "complete", "caseSensitive": true, "language": "en",
        "property": [
            { "code": "colour", "type": "code" },
            { "code": "parent", "uri": "http://hl7.org/fhir/concept-properties#parent", "type": "code" },
            { "code": "group", "uri": "http://hl7.org/fhir/concept-properties#notSelectable", "type": "boolean" },
        ],
        "concept": [
            { "code": "fruit", "display": "Fruit", "property": [{ "code": "group", "valueBoolean": true }], "concept": [
                { "code": "apple", "display": "Apple", "definition": "A pome",
                  "designation": [{ "language": "nb", "value": "Eple" }, { "language": "nn", "value": "Eple (nn)" }],
                  "property": [{ "code": "colour", "valueCode": "red" }],
                  "concept": [
                    { "code": "cox", "display": "Cox", "property": [{ "code": "colour", "valueCode": "green" }] },
                    { "code": "gala", "display": "Gala", "property": [{ "code": "status", "valueCode": "retired" }] },
                ] },
                { "code": "pear", "display": "Pear", "property": [{ "code": "colour", "valueCode": "green" }] },
            ] },
            { "code": "herb", "display": "Herb", "concept": [{ "code": "mint", "display": "Mint" }] },
            { "code": "drink", "display": "Drink" },
            { "code": "tea", "display": "Tea", "property": [{ "code": "parent", "valueCode": "herb" }, { "code": "parent", "valueCode": "drink" }] },
        ],
    })
}

fn set(url: &str, compose: Value) -> Value {
    json!({ "resourceType": "ValueSet", "url": url, "status": "active", "compose": compose })
}

fn include(part: Value) -> Value {
    let mut part = part;
    part["system"] = json!(CS);
    json!({ "include": [part] })
}

fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

fn expanded(source: &dyn Source, pairs: &[(&str, &str)]) -> Result<Value, TerminologyError> {
    let pairs = query(pairs);
    let arguments = Arguments::from_query(&pairs)?;
    expand(source, &arguments, None, &Moment::default())
}

fn codes(expansion: &Value) -> Vec<String> {
    fn walk(list: &Value, out: &mut Vec<String>) {
        for item in list.as_array().into_iter().flatten() {
            out.push(item["code"].as_str().unwrap().to_owned());
            walk(&item["contains"], out);
        }
    }
    let mut out = Vec::new();
    walk(&expansion["expansion"]["contains"], &mut out);
    out
}

fn parameter<'v>(parameters: &'v Value, name: &str) -> Option<&'v Value> {
    parameters["parameter"]
        .as_array()?
        .iter()
        .find(|p| p["name"] == name)
        .and_then(|p| p.as_object()?.iter().find(|(k, _)| k.starts_with("value")))
        .map(|(_, v)| v)
}

#[test]
fn filters_choose_codes() {
    for (filters, expected) in [
        (json!([]), "fruit apple cox gala pear herb mint drink tea"),
        (json!([["concept", "is-a", "apple"]]), "apple cox gala"),
        (json!([["concept", "descendent-of", "apple"]]), "cox gala"),
        (json!([["concept", "is-a", "herb"]]), "herb mint tea"),
        (json!([["concept", "is-a", "drink"]]), "drink tea"),
        (
            json!([["concept", "is-not-a", "fruit"]]),
            "herb mint drink tea",
        ),
        (
            json!([["concept", "generalizes", "cox"]]),
            "fruit apple cox",
        ),
        (json!([["concept", "generalizes", "tea"]]), "herb drink tea"),
        (json!([["concept", "child-of", "fruit"]]), "apple pear"),
        (
            json!([["concept", "descendent-leaf", "fruit"]]),
            "cox gala pear",
        ),
        (json!([["concept", "is-a", "nothing"]]), ""),
        (
            json!([["concept", "is-not-a", "nothing"]]),
            "fruit apple cox gala pear herb mint drink tea",
        ),
        (json!([["code", "regex", "[a-d].*"]]), "apple cox drink"),
        (json!([["code", "regex", "p"]]), ""),
        (json!([["code", "in", "cox, pear"]]), "cox pear"),
        (
            json!([["concept", "not-in", "fruit,apple,cox,gala"]]),
            "pear herb mint drink tea",
        ),
        (json!([["colour", "=", "green"]]), "cox pear"),
        (json!([["colour", "in", "green,red"]]), "apple cox pear"),
        (
            json!([["colour", "not-in", "green"]]),
            "fruit apple gala herb mint drink tea",
        ),
        (json!([["colour", "exists", "true"]]), "apple cox pear"),
        (
            json!([["colour", "exists", "false"], ["concept", "is-a", "fruit"]]),
            "fruit gala",
        ),
        (json!([["colour", "regex", "gr.*"]]), "cox pear"),
        (
            json!([["concept", "is-a", "apple"], ["colour", "=", "green"]]),
            "cox",
        ),
        (json!([["parent", "=", "drink"]]), "tea"),
        (
            json!([["child", "exists", "false"], ["concept", "is-a", "apple"]]),
            "cox gala",
        ),
        (json!([["inactive", "=", "true"]]), "gala"),
        (json!([["group", "=", "true"]]), "fruit"),
        (json!([["display", "=", "Mint"]]), "mint"),
    ] {
        let list: Vec<Value> = filters
            .as_array()
            .unwrap()
            .iter()
            .map(|f| json!({ "property": f[0], "op": f[1], "value": f[2] }))
            .collect();
        let part = if list.is_empty() {
            json!({})
        } else {
            json!({ "filter": list })
        };
        let source = held(&[food(), set("http://example.org/vs", include(part))]);
        let result = expanded(
            &source,
            &[("url", "http://example.org/vs"), ("excludeNested", "true")],
        )
        .unwrap();
        assert_eq!(codes(&result).join(" "), expected, "{filters}");
        assert_eq!(result["expansion"]["total"], codes(&result).len());
        // Membership says the same of every code.
        let face = Face(source);
        for code in "fruit apple cox gala pear herb mint drink tea nothing".split(' ') {
            let is = face
                .contains("http://example.org/vs", Some(CS), code)
                .unwrap();
            let listed = expected.split(' ').any(|c| c == code);
            assert_eq!(is, Some(listed), "{filters} {code}");
        }
    }
}

#[test]
fn bad_filters_are_named() {
    for (property, op, value, code) in [
        ("concept", "is-a", "", "invalid"),
        ("concept", "like", "x", "not-supported"),
        ("taste", "=", "x", "not-found"),
        ("colour", "is-a", "x", "not-supported"),
        ("code", "regex", "(", "invalid"),
        ("code", "regex", "(a{1000}){1000}", "invalid"),
        ("colour", "exists", "maybe", "invalid"),
    ] {
        let part = json!({ "filter": [{ "property": property, "op": op, "value": value }] });
        let source = held(&[food(), set("u:vs", include(part))]);
        match expanded(&source, &[("url", "u:vs")]) {
            Err(TerminologyError::Unprocessable { code: c, .. }) => {
                assert_eq!(c, code, "{property} {op}")
            }
            other => panic!("{property} {op} {value}: {other:?}"),
        }
    }
}

#[test]
fn value_sets_are_joined_and_taken_away() {
    let a = set(
        "u:a",
        include(json!({ "filter": [{ "property": "concept", "op": "is-a", "value": "fruit" }] })),
    );
    let b = set(
        "u:b",
        include(
            json!({ "concept": [{ "code": "cox" }, { "code": "pear", "display": "A pear" }, { "code": "mint" }, { "code": "no-such" }] }),
        ),
    );
    for (compose, expected) in [
        (
            json!({ "include": [{ "valueSet": ["u:a", "u:b"] }] }),
            "cox pear",
        ),
        (
            json!({ "include": [{ "valueSet": ["u:b"] }] }),
            "cox pear mint",
        ),
        (
            json!({ "include": [{ "system": CS, "valueSet": ["u:b"] }] }),
            "cox pear mint",
        ),
        (
            json!({ "include": [{ "valueSet": ["u:a"] }], "exclude": [{ "valueSet": ["u:b"] }] }),
            "fruit apple gala",
        ),
        (
            json!({ "include": [{ "valueSet": ["u:a"] }, { "valueSet": ["u:b"] }] }),
            "fruit apple cox gala pear mint",
        ),
        (
            json!({ "inactive": false, "include": [{ "valueSet": ["u:a"] }] }),
            "fruit apple cox pear",
        ),
        (
            json!({ "include": [{ "system": CS, "concept": [{ "code": "cox" }] }], "exclude": [{ "system": CS, "concept": [{ "code": "cox" }] }] }),
            "",
        ),
    ] {
        let source = held(&[food(), a.clone(), b.clone(), set("u:c", compose.clone())]);
        let result = expanded(&source, &[("url", "u:c"), ("excludeNested", "true")]).unwrap();
        assert_eq!(codes(&result).join(" "), expected, "{compose}");
        let face = Face(source);
        for code in "fruit apple cox gala pear herb mint drink tea".split(' ') {
            let is = face.contains("u:c", Some(CS), code).unwrap();
            assert_eq!(
                is,
                Some(expected.split(' ').any(|c| c == code)),
                "{compose} {code}"
            );
        }
    }
}

#[test]
fn what_cannot_be_worked_out_is_said() {
    let circle = [
        set("u:1", json!({ "include": [{ "valueSet": ["u:2"] }] })),
        set("u:2", json!({ "include": [{ "valueSet": ["u:1"] }] })),
        set(
            "u:open",
            json!({ "include": [{ "system": "http://loinc.org" }] }),
        ),
        set(
            "u:lost",
            json!({ "include": [{ "valueSet": ["u:nowhere"] }] }),
        ),
    ];
    let source = held(&circle);
    for url in ["u:1", "u:2"] {
        let error = expanded(&source, &[("url", url)]).unwrap_err();
        assert!(
            matches!(
                error,
                TerminologyError::Unprocessable {
                    code: "processing",
                    ..
                }
            ),
            "{error:?}"
        );
    }
    let error = expanded(&source, &[("url", "u:open")]).unwrap_err();
    assert!(matches!(
        error,
        TerminologyError::Unprocessable {
            code: "not-found",
            ..
        }
    ));
    for url in ["u:lost", "u:nowhere"] {
        let error = expanded(&source, &[("url", url)]).unwrap_err();
        assert!(matches!(
            error,
            TerminologyError::Unknown {
                kind: "ValueSet",
                ..
            }
        ));
    }
    for missing in [&[][..], &[("filter", "x")]] {
        assert!(matches!(
            expanded(&source, missing),
            Err(TerminologyError::Invalid {
                code: "required",
                ..
            })
        ));
    }
    for bad in [
        ("count", "-1"),
        ("count", "x"),
        ("activeOnly", "yes"),
        ("offset", "1.5"),
        ("system-version", "u:x"),
    ] {
        let result = expanded(&source, &[("url", "u:1"), bad]);
        assert!(
            matches!(result, Err(TerminologyError::Invalid { code: "value", .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn an_expansion_is_paged_filtered_and_nested() {
    let source = held(&[
        food(),
        set("u:all", include(json!({}))),
        set(
            "u:listed",
            include(json!({ "concept": [{ "code": "cox" }, { "code": "apple" }] })),
        ),
    ]);
    let flat = |pairs: &[(&str, &str)]| {
        let mut all = vec![("url", "u:all")];
        all.extend_from_slice(pairs);
        codes(&expanded(&source, &all).unwrap()).join(" ")
    };
    assert_eq!(flat(&[("count", "3")]), "fruit apple cox");
    assert_eq!(flat(&[("count", "3"), ("offset", "3")]), "gala pear herb");
    assert_eq!(flat(&[("count", "3"), ("offset", "9")]), "");
    assert_eq!(flat(&[("count", "0")]), "");
    assert_eq!(flat(&[("filter", "EPLE")]), "apple");
    assert_eq!(flat(&[("filter", "ap nn")]), "apple");
    assert_eq!(
        flat(&[("activeOnly", "true"), ("filter", "a")]),
        "apple pear tea"
    );
    assert_eq!(
        flat(&[("excludeNotForUI", "true"), ("count", "1")]),
        "apple"
    );
    assert_eq!(flat(&[("exclude-system", CS)]), "");
    let nested = expanded(&source, &[("url", "u:all")]).unwrap();
    assert_eq!(nested["expansion"]["total"], 9);
    let top: Vec<_> = nested["expansion"]["contains"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["code"].as_str().unwrap())
        .collect();
    assert_eq!(top, ["fruit", "herb", "drink"]);
    assert_eq!(nested["expansion"]["contains"][0]["abstract"], true);
    assert_eq!(
        nested["expansion"]["contains"][0]["contains"][0]["contains"][1]["inactive"],
        true
    );
    let listed = expanded(&source, &[("url", "u:listed")]).unwrap();
    assert_eq!(
        listed["expansion"]["contains"].as_array().unwrap().len(),
        2,
        "listed codes stay side by side"
    );
    let used = listed["expansion"]["parameter"].to_string();
    assert!(used.contains(&format!("{CS}|1.0")), "{used}");
}

#[test]
fn texts_follow_the_language() {
    let source = held(&[
        food(),
        set(
            "u:all",
            include(json!({ "concept": [{ "code": "apple" }] })),
        ),
    ]);
    let display = |language: &str| {
        let result = expanded(&source, &[("url", "u:all"), ("displayLanguage", language)]).unwrap();
        result["expansion"]["contains"][0]["display"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(display("nb"), "Eple");
    assert_eq!(display("nn-NO"), "Eple (nn)");
    assert_eq!(display("de"), "Apple");
    let with = expanded(
        &source,
        &[
            ("url", "u:all"),
            ("includeDesignations", "true"),
            ("designation", "nn"),
        ],
    )
    .unwrap();
    assert_eq!(
        with["expansion"]["contains"][0]["designation"],
        json!([{ "language": "nn", "value": "Eple (nn)" }])
    );
}

#[test]
fn codes_are_looked_up() {
    let source = held(&[food()]);
    let ask = |pairs: &[(&str, &str)]| {
        let pairs = query(pairs);
        lookup(&source, &Arguments::from_query(&pairs).unwrap(), None)
    };
    let apple = ask(&[("system", CS), ("code", "apple"), ("displayLanguage", "nb")]).unwrap();
    assert_eq!(parameter(&apple, "name").unwrap(), "Food");
    assert_eq!(parameter(&apple, "display").unwrap(), "Eple");
    assert_eq!(parameter(&apple, "definition").unwrap(), "A pome");
    let text = apple.to_string();
    for part in [
        r#""valueCode":"cox""#,
        r#""valueCode":"fruit""#,
        r#""valueCode":"red""#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let only = ask(&[("system", CS), ("code", "apple"), ("property", "colour")])
        .unwrap()
        .to_string();
    assert!(only.contains("red") && !only.contains("cox") && !only.contains("Eple"));
    for unknown in [
        &[("system", CS), ("code", "x")][..],
        &[("system", "u:x"), ("code", "x")],
    ] {
        assert!(matches!(
            ask(unknown),
            Err(TerminologyError::Unknown { .. })
        ));
    }
    for missing in [&[("code", "x")][..], &[("system", CS)], &[]] {
        assert!(matches!(
            ask(missing),
            Err(TerminologyError::Invalid {
                code: "required",
                ..
            })
        ));
    }
    assert_eq!(
        parameter(
            &ask(&[("system", "http://unitsofmeasure.org"), ("code", "mg")]).unwrap(),
            "display"
        )
        .unwrap(),
        "mg"
    );
}

#[test]
fn codes_subsume_each_other() {
    let source = held(&[food()]);
    for (a, b, outcome) in [
        ("fruit", "cox", "subsumes"),
        ("cox", "fruit", "subsumed-by"),
        ("cox", "cox", "equivalent"),
        ("cox", "pear", "not-subsumed"),
        ("drink", "tea", "subsumes"),
        ("herb", "tea", "subsumes"),
    ] {
        let pairs = query(&[("system", CS), ("codeA", a), ("codeB", b)]);
        let result = subsumes(&source, &Arguments::from_query(&pairs).unwrap(), None).unwrap();
        assert_eq!(parameter(&result, "outcome").unwrap(), outcome, "{a} {b}");
    }
    for bad in [
        &[("system", CS), ("codeA", "cox")][..],
        &[("codeA", "cox"), ("codeB", "cox")],
    ] {
        let pairs = query(bad);
        assert!(matches!(
            subsumes(&source, &Arguments::from_query(&pairs).unwrap(), None),
            Err(TerminologyError::Invalid { .. })
        ));
    }
    let pairs = query(&[("system", CS), ("codeA", "cox"), ("codeB", "x")]);
    assert!(matches!(
        subsumes(&source, &Arguments::from_query(&pairs).unwrap(), None),
        Err(TerminologyError::Unknown { .. })
    ));
}

#[test]
fn codes_are_validated() {
    let fragment = json!({ "resourceType": "CodeSystem", "url": "u:part", "status": "active", "content": "fragment", "concept": [{ "code": "a" }] });
    let folded = json!({ "resourceType": "CodeSystem", "url": "u:folded", "status": "active", "content": "complete", "caseSensitive": false, "concept": [{ "code": "Abc", "display": "ABC" }] });
    let source = held(&[
        food(),
        fragment,
        folded,
        set(
            "u:fruit",
            include(
                json!({ "filter": [{ "property": "concept", "op": "is-a", "value": "fruit" }] }),
            ),
        ),
        set(
            "u:active",
            json!({ "inactive": false, "include": [{ "system": CS }] }),
        ),
        set("u:part-all", json!({ "include": [{ "system": "u:part" }] })),
        set(
            "u:folded-all",
            json!({ "include": [{ "system": "u:folded" }] }),
        ),
        set(
            "u:loinc",
            json!({ "include": [{ "system": "http://loinc.org", "concept": [{ "code": "718-7", "display": "Hb" }] }] }),
        ),
    ]);
    // (value set, system, code, display, result, kinds of issues)
    for (vs, system, code, display, result, kinds) in [
        ("u:fruit", CS, "cox", "", true, ""),
        ("u:fruit", CS, "cox", "COX", true, ""),
        ("u:fruit", CS, "apple", "Eple", true, ""),
        ("u:fruit", CS, "cox", "Gala", false, "invalid-display"),
        ("u:fruit", CS, "mint", "", false, "not-in-vs"),
        ("u:fruit", CS, "x", "", false, "not-in-vs invalid-code"),
        ("u:fruit", CS, "Cox", "", false, "not-in-vs invalid-code"),
        (
            "u:fruit",
            "u:nowhere",
            "cox",
            "",
            false,
            "not-found not-in-vs",
        ),
        (
            "u:fruit",
            "u:fruit",
            "cox",
            "",
            false,
            "invalid-data not-in-vs",
        ),
        ("u:fruit", CS, "gala", "", true, "code-comment"),
        (
            "u:active",
            CS,
            "gala",
            "",
            false,
            "code-rule not-in-vs code-comment",
        ),
        ("u:part-all", "u:part", "a", "", true, ""),
        ("u:part-all", "u:part", "b", "", true, "invalid-code"),
        ("u:folded-all", "u:folded", "aBC", "", true, "code-rule"),
        (
            "u:loinc",
            "http://loinc.org",
            "718-7",
            "",
            true,
            "not-found",
        ),
        (
            "u:loinc",
            "http://loinc.org",
            "1",
            "",
            false,
            "not-in-vs not-found",
        ),
    ] {
        let mut pairs = vec![("url", vs), ("system", system), ("code", code)];
        if !display.is_empty() {
            pairs.push(("display", display));
        }
        let pairs = query(&pairs);
        let answer =
            validate_in_value_set(&source, &Arguments::from_query(&pairs).unwrap(), None).unwrap();
        assert_eq!(
            parameter(&answer, "result").unwrap(),
            result,
            "{vs} {system} {code}: {answer}"
        );
        let mut found: Vec<String> = answer["parameter"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|p| p["name"] == "issues")
            .flat_map(|p| {
                p["resource"]["issue"].as_array().unwrap().iter().map(|i| {
                    i["details"]["coding"][0]["code"]
                        .as_str()
                        .unwrap()
                        .to_owned()
                })
            })
            .collect();
        found.sort();
        let mut expected: Vec<&str> = kinds.split_whitespace().collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{vs} {system} {code}");
        let is_said = !(kinds.is_empty() || (result && kinds == "code-rule"));
        assert_eq!(parameter(&answer, "message").is_some(), is_said, "{answer}");
    }
    // The system of a code that came without one.
    let pairs = query(&[("url", "u:fruit"), ("code", "cox")]);
    let answer =
        validate_in_value_set(&source, &Arguments::from_query(&pairs).unwrap(), None).unwrap();
    assert_eq!(parameter(&answer, "system").unwrap(), CS);
    let pairs = query(&[("url", "u:nowhere"), ("code", "cox"), ("system", CS)]);
    assert!(matches!(
        validate_in_value_set(&source, &Arguments::from_query(&pairs).unwrap(), None),
        Err(TerminologyError::Unknown { .. })
    ));
    let pairs = query(&[("url", "u:fruit")]);
    assert!(matches!(
        validate_in_value_set(&source, &Arguments::from_query(&pairs).unwrap(), None),
        Err(TerminologyError::Invalid { .. })
    ));
    // In the system alone.
    for (code, result) in [("cox", true), ("x", false)] {
        let pairs = query(&[("url", CS), ("code", code)]);
        let answer =
            validate_in_system(&source, &Arguments::from_query(&pairs).unwrap(), None).unwrap();
        assert_eq!(
            parameter(&answer, "result").unwrap(),
            result,
            "{code} {answer}"
        );
    }
}

#[test]
fn a_codeable_concept_needs_one_member() {
    let source = held(&[
        food(),
        set(
            "u:fruit",
            include(
                json!({ "filter": [{ "property": "concept", "op": "is-a", "value": "fruit" }] }),
            ),
        ),
    ]);
    for (codings, result) in [
        (
            json!([{ "system": CS, "code": "mint" }, { "system": CS, "code": "cox" }]),
            true,
        ),
        (json!([{ "system": CS, "code": "mint" }]), false),
        (json!([{ "code": "cox" }]), false),
    ] {
        let body = doc(&json!({ "resourceType": "Parameters", "parameter": [
            { "name": "url", "valueUri": "u:fruit" },
            { "name": "codeableConcept", "valueCodeableConcept": { "coding": codings } },
        ] }));
        let mut arguments = Arguments::default();
        arguments.add_parameters(body.root()).unwrap();
        let answer = validate_in_value_set(&source, &arguments, None).unwrap();
        assert_eq!(
            parameter(&answer, "result").unwrap(),
            result,
            "{codings} {answer}"
        );
    }
}

#[test]
fn codes_are_translated_there_and_back() {
    let map = |url: &str, unmapped: Value| {
        json!({
            "resourceType": "ConceptMap", "url": url, "status": "active",
            "group": [{ "source": CS, "target": "u:colours", "unmapped": unmapped, "element": [
                { "code": "cox", "target": [{ "code": "green", "equivalence": "wider", "product": [{ "property": "u:p", "system": "u:s", "value": "v" }] }] },
                { "code": "mint", "target": [{ "equivalence": "unmatched" }] },
            ] }],
        })
    };
    let source = held(&[
        map("u:map", json!({ "mode": "fixed", "code": "grey" })),
        map("u:same", json!({ "mode": "provided" })),
        map("u:other", json!({ "mode": "other-map", "url": "u:map" })),
        map("u:self", json!({ "mode": "other-map", "url": "u:self" })),
    ]);
    let ask = |pairs: &[(&str, &str)]| {
        let pairs = query(pairs);
        translate(&source, &Arguments::from_query(&pairs).unwrap(), None)
    };
    for (url, code, result, equivalence, to) in [
        ("u:map", "cox", true, "wider", "green"),
        ("u:map", "mint", false, "unmatched", ""),
        ("u:map", "tea", true, "inexact", "grey"),
        ("u:same", "tea", true, "equal", "tea"),
        ("u:other", "tea", true, "inexact", "grey"),
    ] {
        let answer = ask(&[("url", url), ("system", CS), ("code", code)]).unwrap();
        assert_eq!(
            parameter(&answer, "result").unwrap(),
            result,
            "{url} {code}"
        );
        let text = answer.to_string();
        assert!(
            text.contains(&format!(r#""valueCode":"{equivalence}""#)),
            "{text}"
        );
        assert!(
            to.is_empty() || text.contains(&format!(r#""code":"{to}""#)),
            "{text}"
        );
    }
    let back = ask(&[
        ("url", "u:map"),
        ("system", "u:colours"),
        ("code", "green"),
        ("reverse", "true"),
    ])
    .unwrap()
    .to_string();
    assert!(
        back.contains("narrower") && back.contains(r#""code":"cox""#),
        "{back}"
    );
    assert!(matches!(
        ask(&[("url", "u:self"), ("system", CS), ("code", "tea")]),
        Err(TerminologyError::TooCostly(_))
    ));
    assert!(matches!(
        ask(&[("url", "u:none"), ("system", CS), ("code", "tea")]),
        Err(TerminologyError::Unknown { .. })
    ));
    assert!(matches!(
        ask(&[("url", "u:map")]),
        Err(TerminologyError::Invalid { .. })
    ));
    let found = ask(&[
        ("system", CS),
        ("code", "cox"),
        ("targetsystem", "u:colours"),
    ])
    .unwrap();
    assert_eq!(parameter(&found, "result").unwrap(), true);
}

#[test]
fn versions_and_supplements_are_chosen() {
    let of = |version: &str, status: &str, display: &str| {
        json!({
            "resourceType": "CodeSystem", "url": CS, "version": version, "status": status, "content": "complete",
            "concept": [{ "code": "a", "display": display }],
        })
    };
    let supplement = json!({
        "resourceType": "CodeSystem", "url": "u:supplement", "status": "active", "content": "supplement", "supplements": CS, "language": "nb",
        "concept": [{ "code": "a", "display": "Norsk" }],
    });
    let source = held(&[
        of("1.9", "active", "nine"),
        of("1.10", "active", "ten"),
        of("2.0", "draft", "draft"),
        supplement,
        set("u:all", include(json!({}))),
    ]);
    let display = |pairs: &[(&str, &str)]| {
        let mut all = vec![("url", "u:all")];
        all.extend_from_slice(pairs);
        expanded(&source, &all).map(|v| {
            v["expansion"]["contains"][0]["display"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
    };
    let pin = |v: &str| format!("{CS}|{v}");
    assert_eq!(display(&[]).unwrap(), "ten");
    assert_eq!(display(&[("system-version", &pin("1.9"))]).unwrap(), "nine");
    assert_eq!(
        display(&[("force-system-version", &pin("2.0"))]).unwrap(),
        "draft"
    );
    assert_eq!(display(&[("system-version", &pin("1.x"))]).unwrap(), "ten");
    assert!(display(&[("system-version", &pin("9"))]).is_err());
    assert_eq!(
        display(&[("useSupplement", "u:supplement"), ("displayLanguage", "nb")]).unwrap(),
        "Norsk"
    );
    assert!(matches!(
        display(&[("useSupplement", "u:none")]),
        Err(TerminologyError::Unprocessable {
            code: "not-found",
            ..
        })
    ));
    assert!(matches!(
        expanded(&source, &[("url", "u:supplement?fhir_vs")]),
        Err(TerminologyError::Unknown { .. })
    ));
    assert_eq!(
        codes(&expanded(&source, &[("url", &format!("{CS}?fhir_vs"))]).unwrap()),
        ["a"]
    );
    assert_eq!(
        codes(&expanded(&source, &[("url", &format!("{CS}?fhir_vs=isa/a"))]).unwrap()),
        ["a"]
    );
}

#[test]
fn the_specification_and_the_national_lists_are_there() {
    let layers = Layers(vec![&Base, &National]);
    let gender = expanded(
        &layers,
        &[("url", "http://hl7.org/fhir/ValueSet/administrative-gender")],
    )
    .unwrap();
    assert_eq!(codes(&gender), ["male", "female", "other", "unknown"]);
    let face = Face(Layers(vec![&Base, &National]));
    for (vs, system, code, is) in [
        (
            "http://hl7.org/fhir/ValueSet/observation-status",
            None,
            "final",
            Some(true),
        ),
        (
            "http://hl7.org/fhir/ValueSet/observation-status|4.0.1",
            None,
            "done",
            Some(false),
        ),
        (
            "http://hl7.org/fhir/ValueSet/languages",
            Some("urn:ietf:bcp:47"),
            "no",
            Some(true),
        ),
        (
            "http://hl7.org/fhir/ValueSet/all-languages",
            Some("urn:ietf:bcp:47"),
            "nb-NO",
            Some(true),
        ),
        (
            "http://hl7.org/fhir/ValueSet/mimetypes",
            None,
            "text/plain",
            Some(true),
        ),
        (
            "http://hl7.org/fhir/ValueSet/observation-codes",
            Some("http://loinc.org"),
            "718-7",
            None,
        ),
        ("http://hl7.org/fhir/ValueSet/nothing", None, "x", None),
        (
            "http://helsedir.no/fhir/ValueSet/no-kodeverk-3101",
            Some("urn:oid:2.16.578.1.12.4.1.1.3101"),
            "1",
            Some(true),
        ),
        (
            "urn:oid:2.16.578.1.12.4.1.1.3101?fhir_vs",
            Some("http://helsedir.no/fhir/CodeSystem/no-kodeverk-3101"),
            "1",
            Some(true),
        ),
    ] {
        let told = face.contains(vs, system, code).unwrap();
        assert_eq!(told, is, "{vs} {code}");
    }
    let open = face
        .members("http://hl7.org/fhir/ValueSet/observation-codes", 100)
        .unwrap();
    assert_eq!(open.systems, [Box::from("http://loinc.org")]);
    let below = face
        .descendants(
            "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "_ActCoverageTypeCode",
            1_000,
        )
        .unwrap();
    assert!(below.len() > 5 && below.iter().any(|c| c.as_ref() == "EHCPOL"));
    let above = face
        .ancestors(
            "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "EHCPOL",
            1_000,
        )
        .unwrap();
    assert!(above.iter().any(|c| c.as_ref() == "_ActCoverageTypeCode"));
    assert_eq!(
        *face.descendants("http://loinc.org", "718-7", 5).unwrap(),
        [Box::from("718-7")]
    );
    assert!(face.is_lexical("http://www.whocc.no/atc") && !face.is_lexical("http://loinc.org"));
}

/// Every definition of the specification compiles, and every value set expands or says why not.
#[test]
fn every_definition_of_the_specification_works() {
    let layers = Layers(vec![&Base, &National]);
    for url in super::base::urls("CodeSystem") {
        assert_eq!(Base.code_systems(url).unwrap().len(), 1, "{url}");
    }
    let mut done = 0;
    for url in super::base::urls("ValueSet") {
        match expanded(&layers, &[("url", url), ("count", "10")]) {
            Ok(_) => done += 1,
            Err(
                TerminologyError::Unprocessable {
                    code: "not-found", ..
                }
                | TerminologyError::Unknown { .. },
            ) => {}
            Err(other) => panic!("{url}: {other:?}"),
        }
    }
    assert!(done > 1_000, "{done} value sets expand");
}

fn any_system() -> impl Strategy<Value = Value> {
    // Twelve codes, each with parents anywhere: cycles and several parents included.
    proptest::collection::vec(proptest::collection::vec(0..12u8, 0..3), 12).prop_map(|parents| {
        let concepts: Vec<Value> = parents
            .iter()
            .enumerate()
            .map(|(i, above)| {
                json!({ "code": format!("c{i}"), "display": format!("C {i}"),
                    "property": above.iter().map(|p| json!({ "code": "parent", "valueCode": format!("c{p}") })).collect::<Vec<_>>() })
            })
            .map(|mut c| {
                if c["property"].as_array().unwrap().is_empty() {
                    c.as_object_mut().unwrap().remove("property");
                }
                c
            })
            .collect();
        json!({ "resourceType": "CodeSystem", "url": CS, "status": "active", "content": "complete", "concept": concepts })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// On any graph: expansion, membership, subsumption and paging tell one story.
    #[test]
    fn hierarchies_with_cycles_are_walked_once(system in any_system(), top in 0..12u8, op in prop_oneof!["is-a", "descendent-of", "is-not-a", "generalizes", "child-of", "descendent-leaf"]) {
        let part = json!({ "filter": [{ "property": "concept", "op": op, "value": format!("c{top}") }] });
        let source = held(&[system, set("u:vs", include(part))]);
        let whole = expanded(&source, &[("url", "u:vs"), ("excludeNested", "true")]).unwrap();
        let all = codes(&whole);
        let nested = expanded(&source, &[("url", "u:vs")]).unwrap();
        let mut sorted = codes(&nested);
        sorted.sort();
        let mut plain = all.clone();
        plain.sort();
        prop_assert_eq!(sorted, plain);
        let mut paged = Vec::new();
        for offset in (0..12).step_by(5) {
            let offset = offset.to_string();
            paged.extend(codes(&expanded(&source, &[("url", "u:vs"), ("count", "5"), ("offset", &offset)]).unwrap()));
        }
        prop_assert_eq!(&paged, &all);
        let face = Face(source);
        for i in 0..12 {
            let code = format!("c{i}");
            prop_assert_eq!(face.contains("u:vs", Some(CS), &code).unwrap(), Some(all.contains(&code)));
            if op == "is-a" {
                let below = face.descendants(CS, &format!("c{top}"), 100).unwrap();
                prop_assert_eq!(below.iter().any(|c| **c == *code), all.contains(&code));
            }
        }
    }

    /// Filters from outside never panic and never run away.
    #[test]
    fn any_filter_is_answered(property in "[a-z]{0,8}|concept|code|colour", op in "[a-z-]{0,10}|regex|is-a|in", value in "\\PC{0,40}") {
        let part = json!({ "filter": [{ "property": property, "op": op, "value": value }] });
        let source = held(&[food(), set("u:vs", include(part))]);
        let _ = expanded(&source, &[("url", "u:vs")]);
        let _ = Face(source).contains("u:vs", Some(CS), "cox");
    }

    /// Any shape of resource compiles or is refused.
    #[test]
    fn any_compose_is_answered(refs in proptest::collection::vec(proptest::collection::vec(0..6u8, 0..4), 6), excludes in proptest::collection::vec(0..6u8, 6)) {
        let sets: Vec<Value> = refs.iter().zip(&excludes).enumerate().map(|(i, (list, out))| {
            let include: Vec<Value> = list.iter().map(|r| json!({ "valueSet": [format!("u:{r}")] })).chain([json!({ "system": CS })]).collect();
            set(&format!("u:{i}"), json!({ "include": include, "exclude": [{ "valueSet": [format!("u:{out}")] }] }))
        }).collect();
        let mut all = sets;
        all.push(food());
        let source = held(&all);
        let _ = expanded(&source, &[("url", "u:0"), ("filter", "a")]);
        let _ = Face(source).contains("u:0", Some(CS), "cox");
    }

    /// A query string of any kind is answered.
    #[test]
    fn any_arguments_are_answered(pairs in proptest::collection::vec(("[a-zA-Z-]{1,16}|url|code|system|coding|count", "\\PC{0,30}"), 0..6)) {
        let pairs: Vec<(String, String)> = pairs;
        let source = held(&[food()]);
        let arguments = Arguments::from_query(&pairs).unwrap();
        let _ = expand(&source, &arguments, None, &Moment::default());
        let _ = validate_in_value_set(&source, &arguments, None);
        let _ = validate_in_system(&source, &arguments, None);
        let _ = lookup(&source, &arguments, None);
        let _ = subsumes(&source, &arguments, None);
        let _ = translate(&source, &arguments, None);
    }
}

#[test]
fn a_doubling_of_value_sets_is_stopped() {
    // Each refers twice to the next: 2^30 evaluations when nothing stops them.
    let mut all: Vec<Value> = (0..30)
        .map(|i| set(&format!("u:{i}"), json!({ "include": [{ "valueSet": [format!("u:{}", i + 1)] }, { "valueSet": [format!("u:{}", i + 1)] }] })))
        .collect();
    all.push(set(
        "u:30",
        include(json!({ "concept": [{ "code": "cox" }] })),
    ));
    all.push(food());
    let source = held(&all);
    let began = std::time::Instant::now();
    assert!(matches!(
        expanded(&source, &[("url", "u:0")]),
        Err(TerminologyError::TooCostly(_))
    ));
    let face = Face(source);
    assert!(matches!(
        face.contains("u:0", Some(CS), "mint"),
        Err(TerminologyError::TooCostly(_))
    ));
    assert!(began.elapsed().as_secs() < 20);
}
