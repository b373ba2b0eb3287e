//! What extensions tell of codes and of their texts: order, label, weight, standing; and which supplement said it.

use serde_json::{Value, json};

use super::*;

const HL7: &str = "http://hl7.org/fhir/StructureDefinition";
const DECLARED: &str =
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.property";

fn ranked() -> Value {
    let order =
        |n: u32| json!({ "url": format!("{HL7}/codesystem-conceptOrder"), "valueInteger": n });
    let standing = |s: &str| json!({ "url": format!("{HL7}/structuredefinition-standards-status"), "valueCode": s });
    json!({
        "resourceType": "CodeSystem", "url": "u:ranked", "status": "active", "content": "complete",
        "concept": [
            { "code": "a", "display": "A", "extension": [order(2)],
              "designation": [{ "language": "nb", "value": "Gammel", "extension": [standing("withdrawn")] }],
              "concept": [{ "code": "below", "display": "Below" }] },
            { "code": "b", "display": "B", "extension": [order(1), standing("deprecated")] },
        ],
    })
}

fn supplement() -> Value {
    json!({
        "resourceType": "CodeSystem", "url": "u:more", "version": "2", "status": "active",
        "content": "supplement", "supplements": "u:ranked",
        "concept": [{ "code": "a", "designation": [{ "language": "sv", "value": "Ah" }], "extension": [
            { "url": format!("{HL7}/itemWeight"), "valueDecimal": 1.25 },
            { "url": format!("{HL7}/codesystem-label"), "valueString": "a." },
        ] }],
    })
}

/// Properties of a code of an expansion: code and value, sorted.
fn told_of(expansion: &Value, code: &str) -> Vec<String> {
    let contains = expansion["expansion"]["contains"].as_array().unwrap();
    let item = contains.iter().find(|c| c["code"] == code).unwrap();
    let mut out: Vec<String> = item["extension"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| {
            let value = e["extension"][1].as_object().unwrap();
            let value = value
                .iter()
                .find(|(name, _)| name.starts_with("value"))
                .unwrap();
            format!(
                "{}={}",
                e["extension"][0]["valueCode"].as_str().unwrap(),
                value.1
            )
        })
        .collect();
    out.sort();
    out
}

#[test]
fn expansions_carry_what_extensions_tell() {
    let listed = json!({ "include": [{ "system": "u:ranked", "concept": [
        { "code": "b", "extension": [{ "url": format!("{HL7}/valueset-conceptOrder"), "valueInteger": 7 }] },
    ] }] });
    let source = held(&[
        ranked(),
        supplement(),
        set("u:all", json!({ "include": [{ "system": "u:ranked" }] })),
        set("u:listed", listed),
    ]);
    let all = expanded(&source, &[("url", "u:all"), ("excludeNested", "true")]).unwrap();
    assert_eq!(told_of(&all, "a"), ["order=2"]);
    assert_eq!(told_of(&all, "b"), ["order=1", "status=\"deprecated\""]);
    assert!(told_of(&all, "below").is_empty());
    let declared: Vec<&Value> = all["expansion"]["extension"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["url"] == DECLARED)
        .map(|e| &e["extension"][0]["valueCode"])
        .collect();
    assert_eq!(declared, ["order", "status"]);
    let more = [
        ("url", "u:all"),
        ("excludeNested", "true"),
        ("useSupplement", "u:more"),
    ];
    let more = expanded(&source, &more).unwrap();
    assert_eq!(
        told_of(&more, "a"),
        ["label=\"a.\"", "order=2", "weight=1.25"]
    );
    // What the value set says comes before what the system says.
    let listed = expanded(&source, &[("url", "u:listed")]).unwrap();
    assert_eq!(told_of(&listed, "b"), ["order=7", "status=\"deprecated\""]);
}

#[test]
fn a_value_set_with_exclusions_is_flat() {
    let source = held(&[
        ranked(),
        set("u:all", json!({ "include": [{ "system": "u:ranked" }] })),
        set(
            "u:some",
            json!({ "include": [{ "system": "u:ranked" }],
                    "exclude": [{ "system": "u:ranked", "concept": [{ "code": "b" }] }] }),
        ),
    ]);
    for (url, roots) in [("u:all", vec!["a", "b"]), ("u:some", vec!["a", "below"])] {
        let answer = expanded(&source, &[("url", url)]).unwrap();
        let contains = answer["expansion"]["contains"].as_array().unwrap();
        let codes: Vec<&str> = contains
            .iter()
            .map(|c| c["code"].as_str().unwrap())
            .collect();
        assert_eq!(codes, roots, "{url}");
    }
}

#[test]
fn a_withdrawn_text_is_right_but_worth_a_word() {
    let source = held(&[ranked()]);
    for (display, is_right, word) in [
        ("A", true, ""),
        ("Gammel", true, "display-comment"),
        ("Other", false, "invalid-display"),
    ] {
        let pairs = query(&[("url", "u:ranked"), ("code", "a"), ("display", display)]);
        let arguments = Arguments::from_query(&pairs).unwrap();
        let answer = validate_in_system(&source, &arguments, None).unwrap();
        assert_eq!(parameter(&answer, "result").unwrap(), is_right, "{display}");
        let text = answer.to_string();
        assert_eq!(text.contains("tx-issue-type"), !word.is_empty(), "{text}");
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn lookup_names_the_supplement_of_a_text() {
    let source = held(&[ranked(), supplement()]);
    let ask = |pairs: &[(&str, &str)]| {
        let pairs = query(pairs);
        lookup(&source, &Arguments::from_query(&pairs).unwrap(), None)
            .unwrap()
            .to_string()
    };
    let plain = [("system", "u:ranked"), ("code", "a")];
    assert!(!ask(&plain).contains("u:more"));
    let more = ask(&[plain[0], plain[1], ("useSupplement", "u:more")]);
    assert!(
        more.contains(r#"{"name":"source","valueCanonical":"u:more|2"}"#),
        "{more}"
    );
    assert!(
        more.contains(r#"{"name":"used-supplement","valueCanonical":"u:more|2"}"#),
        "{more}"
    );
}
