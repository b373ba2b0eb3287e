//! Translation, versions, what is built in, and what hostile definitions cost.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::terminology::base::Base;
use crate::terminology::national::National;
use crate::terminology::source::Layers;

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
    let above = face
        .ancestors("http://hl7.org/fhir/sid/icd-10-no", "I10.9", 10)
        .unwrap();
    assert_eq!(above.join(" "), "I I1 I10 I10.9");
    let pairs = query(&[
        ("system", "http://www.whocc.no/atc"),
        ("codeA", "C07"),
        ("codeB", "C07ZZ99"),
    ]);
    let told = subsumes(&layers, &Arguments::from_query(&pairs).unwrap(), None).unwrap();
    assert_eq!(parameter(&told, "outcome").unwrap(), "subsumes");
    assert!(face.is_lexical("http://www.whocc.no/atc") && !face.is_lexical("http://loinc.org"));
}

/// Every definition of the specification compiles, and every value set expands or says why not.
#[test]
fn every_definition_of_the_specification_works() {
    let layers = Layers(vec![&Base, &National]);
    for url in crate::terminology::base::urls("CodeSystem") {
        assert_eq!(Base.code_systems(url).unwrap().len(), 1, "{url}");
    }
    let mut done = 0;
    for url in crate::terminology::base::urls("ValueSet") {
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

/// JSON of any shape with the names that definitions use.
fn any_json() -> impl Strategy<Value = Value> {
    let name = proptest::sample::select(vec![
        "concept",
        "code",
        "display",
        "property",
        "valueCode",
        "compose",
        "include",
        "exclude",
        "system",
        "filter",
        "op",
        "value",
        "valueSet",
        "version",
        "group",
        "element",
        "target",
        "source",
        "equivalence",
        "unmapped",
        "mode",
        "url",
        "expansion",
        "contains",
        "content",
        "designation",
        "language",
        "contained",
        "id",
        "extension",
        "status",
        "caseSensitive",
    ]);
    let leaf = prop_oneof![
        "[a-c:|#u.x*]{0,6}".prop_map(Value::from),
        proptest::sample::select(vec![
            "u:x",
            "#a",
            "is-a",
            "regex",
            "parent",
            "supplement",
            "other-map"
        ])
        .prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Value::Array),
            proptest::collection::hash_map(name.clone(), inner, 1..6).prop_map(|m| Value::Object(
                m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
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

    /// Any resource compiles or is refused, and is answered about.
    #[test]
    fn any_definition_is_taken(definition in any_json(), kind in prop_oneof!["CodeSystem", "ValueSet", "ConceptMap"]) {
        let mut definition = definition;
        if !definition.is_object() {
            definition = json!({ "concept": definition });
        }
        definition["resourceType"] = json!(kind);
        definition["url"] = json!("u:x");
        if let Ok(doc) = Doc::parse_json(Bytes::from(definition.to_string()), &Limits::default()) {
            let mut source = Held::default();
            let _ = source.add(doc.root());
            let _ = expanded(&source, &[("url", "u:x")]);
            let _ = expanded(&source, &[("url", "u:x?fhir_vs")]);
            let pairs = query(&[("url", "u:x"), ("system", "u:x"), ("code", "a"), ("display", "b")]);
            let arguments = Arguments::from_query(&pairs).unwrap();
            let _ = validate_in_value_set(&source, &arguments, None);
            let _ = translate(&source, &arguments, None);
            let _ = lookup(&source, &arguments, None);
        }
    }

    /// Lists of languages, versions and canonicals of any kind are read.
    #[test]
    fn any_text_is_read(text in "\\PC{0,60}", other in "[0-9.x*a-z|#-]{0,20}") {
        let languages = crate::terminology::language::Languages::parse(&text);
        let _ = languages.choose(Some("x"), Some("nb"), &[]);
        let _ = crate::terminology::source::split_canonical(&text);
        let _ = crate::terminology::source::version_fits(&other, Some(&text));
        let _ = crate::terminology::source::compare_versions(Some(&other), Some(&text));
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
    // Each refers twice to the next: 2^30 evaluations when nothing stops them, which no test would live to see.
    let mut all: Vec<Value> = (0..30)
        .map(|i| set(&format!("u:{i}"), json!({ "include": [{ "valueSet": [format!("u:{}", i + 1)] }, { "valueSet": [format!("u:{}", i + 1)] }] })))
        .collect();
    all.push(set(
        "u:30",
        include(json!({ "concept": [{ "code": "cox" }] })),
    ));
    all.push(food());
    let source = held(&all);
    assert!(matches!(
        expanded(&source, &[("url", "u:0")]),
        Err(TerminologyError::TooCostly(_))
    ));
    let face = Face(source);
    assert!(matches!(
        face.contains("u:0", Some(CS), "mint"),
        Err(TerminologyError::TooCostly(_))
    ));
}
