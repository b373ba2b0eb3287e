//! Rules of the engine on small definitions of our own.

mod told;
mod wide;

use bytes::Bytes;
use serde_json::{Value, json};

use super::source::Held;
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
