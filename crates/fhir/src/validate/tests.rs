use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::Limits;

fn found(text: &str) -> Vec<(String, String)> {
    let d = Doc::parse_json(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap();
    validate(Pack::r4(), &d)
        .into_iter()
        .map(|f| (f.rule, f.expression))
        .collect()
}

fn one(text: &str, rule: &str, expression: &str) {
    assert_eq!(
        found(text),
        [(rule.to_owned(), expression.to_owned())],
        "{text}"
    );
}

#[test]
fn structure() {
    assert!(found(r#"{"resourceType":"Patient","active":true,"name":[{"given":["A"]}],"contained":[{"resourceType":"Organization","name":"x"}]}"#).is_empty());
    one(
        r#"{"resourceType":"Patient","activ":true}"#,
        "unknown-element",
        "Patient.activ",
    );
    one(
        r#"{"resourceType":"Patient","name":[{"families":"x"}]}"#,
        "unknown-element",
        "Patient.name[0].families",
    );
    one(
        r#"{"resourceType":"Nope","x":{"y":1}}"#,
        "resource-type",
        "Nope",
    );
    one(
        r#"{"resourceType":"Patient","contained":[{"id":"1"}]}"#,
        "resource-type",
        "Patient.contained[0]",
    );
    one(
        r#"{"resourceType":"Patient","name":{"text":"x"}}"#,
        "json-array",
        "Patient.name",
    );
    one(
        r#"{"resourceType":"Patient","active":[true]}"#,
        "json-array",
        "Patient.active[0]",
    );
    one(
        r#"{"resourceType":"Patient","name":["x"]}"#,
        "type",
        "Patient.name[0]",
    );
    one(
        r#"{"resourceType":"Patient","name":[]}"#,
        "json-empty",
        "Patient.name",
    );
    one(
        r#"{"resourceType":"Patient","active":null}"#,
        "json-empty",
        "Patient.active",
    );
    assert!(
        found(r#"{"resourceType":"Patient","name":[{}]}"#)
            .iter()
            .any(|f| f.0 == "json-empty")
    );
    one(
        r#"{"resourceType":"Patient","name":[{"given":["A",null]}]}"#,
        "ele-1",
        "Patient.name[0].given[1]",
    );
    one(
        r#"{"resourceType":"Observation","status":"final"}"#,
        "cardinality",
        "Observation.code",
    );
    one(
        r#"{"resourceType":"Patient","deceasedBoolean":true,"deceasedDateTime":"2020"}"#,
        "cardinality",
        "Patient.deceased",
    );
    one(
        r#"{"resourceType":"Patient","contact":[{"gender":"nope"}]}"#,
        "required-binding",
        "Patient.contact[0].gender",
    );
    one(
        r#"{"resourceType":"Patient","managingOrganization":{"reference":"Practitioner/1"}}"#,
        "reference-target",
        "Patient.managingOrganization",
    );
    one(
        r#"{"resourceType":"Patient","extension":[{"valueString":"x"}]}"#,
        "cardinality",
        "Patient.extension[0].url",
    );
    one(
        r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","x":1}}]}"#,
        "unknown-element",
        "Bundle.entry[0].resource.x",
    );
}

#[test]
fn primitive_formats() {
    // (type as Extension.value[x], value as JSON, good)
    for (ty, value, good) in [
        ("Boolean", "true", true),
        ("Boolean", "\"true\"", false),
        ("Integer", "1", true),
        ("Integer", "1.0", false),
        ("Integer", "2147483648", false),
        ("Integer", "\"1\"", false),
        ("PositiveInt", "0", false),
        ("UnsignedInt", "0", true),
        ("UnsignedInt", "-1", false),
        ("Decimal", "1.00e3", true),
        ("Decimal", "\"1\"", false),
        ("String", "\"\"", false),
        ("String", "\" \"", true),
        ("String", "\"a\\u0001\"", false),
        ("Code", "\"a b\"", true),
        ("Code", "\" a\"", false),
        ("Code", "\"a  b\"", false),
        ("Id", "\"a-1.B\"", true),
        ("Id", "\"a_1\"", false),
        ("Uri", "\"a b\"", false),
        ("Uri", "\"urn:x\"", true),
        ("Oid", "\"urn:oid:2.16.578\"", true),
        ("Oid", "\"urn:oid:2.016\"", false),
        ("Oid", "\"2.16\"", false),
        (
            "Uuid",
            "\"urn:uuid:c757873d-ec9a-4326-a141-556f43239520\"",
            true,
        ),
        (
            "Uuid",
            "\"urn:uuid:C757873D-ec9a-4326-a141-556f43239520\"",
            false,
        ),
        ("Base64Binary", "\"YWJj\"", true),
        ("Base64Binary", "\"YWJ\"", false),
        ("Base64Binary", "\"Y=Jj\"", false),
        ("Date", "\"2020-02-29\"", true),
        ("Date", "\"2021-02-29\"", false),
        ("Date", "\"2020-02-29T00:00:00Z\"", false),
        ("DateTime", "\"2020\"", true),
        ("DateTime", "\"2020-01-01T10:00:00Z\"", true),
        ("DateTime", "\"2020-01-01T10:00Z\"", false),
        ("DateTime", "\"2020-01-01T10:00:00\"", false),
        ("Instant", "\"2020-01-01T10:00:00.123+02:00\"", true),
        ("Instant", "\"2020-01-01\"", false),
        ("Time", "\"10:00:00\"", true),
        ("Time", "\"10:00\"", false),
        ("Time", "\"24:00:00\"", false),
    ] {
        let text = format!(
            r#"{{"resourceType":"Basic","code":{{"text":"x"}},"extension":[{{"url":"http://u","value{ty}":{value}}}]}}"#
        );
        let f = found(&text);
        assert_eq!(f.is_empty(), good, "{ty} {value}: {f:?}");
    }
}

#[test]
fn narrative() {
    for (div, good) in [
        (
            "<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\"><p>x <b>y</b></p></div>",
            true,
        ),
        ("<div><script>x</script></div>", false),
        ("<div onclick=\\\"x\\\">a</div>", false),
        ("<p>x</p>", false),
        ("<div><p>x</div>", false),
        ("<div><a href=\\\"javascript:x\\\">a</a></div>", false),
        ("<div><img src=\\\"http://x/y.png\\\"/></div>", false),
        ("<div><img src=\\\"#a\\\"/></div>", true),
        ("<div>a</div><div>b</div>", false),
    ] {
        let text = format!(
            r#"{{"resourceType":"Basic","code":{{"text":"x"}},"text":{{"status":"generated","div":"{div}"}}}}"#
        );
        assert_eq!(found(&text).is_empty(), good, "{div}");
    }
}

#[test]
fn invariants_of_the_definitions() {
    let rules = |text: &str| {
        let d =
            Doc::parse_json(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap();
        assert!(
            validate(Pack::r4(), &d).is_empty(),
            "{:?}",
            validate(Pack::r4(), &d)
        );
        invariants(Pack::r4(), &d, 0)
            .into_iter()
            .filter(Finding::is_error)
            .map(|f| f.rule)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        rules(r#"{"resourceType":"Patient","contact":[{"gender":"male"}]}"#),
        ["pat-1"]
    );
    assert_eq!(
        rules(
            r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueString":"x","dataAbsentReason":{"text":"y"}}"#
        ),
        ["obs-6"]
    );
    assert_eq!(
        rules(r#"{"resourceType":"Patient","extension":[{"url":"http://u"}]}"#),
        ["ext-1"]
    );
    assert_eq!(
        rules(
            r#"{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","name":"x"}]}"#
        ),
        ["dom-3"]
    );
    assert!(rules(r##"{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o","name":"x"}],"managingOrganization":{"reference":"#o"}}"##).is_empty());
    assert_eq!(
        rules(
            r#"{"resourceType":"Patient","contact":[{"period":{"start":"2020-02-01","end":"2020-01-01"},"name":{"text":"x"}}]}"#
        ),
        ["per-1"]
    );
}

#[test]
fn every_invariant_compiles() {
    let pack = Pack::r4();
    let mut bad = Vec::new();
    for (_, t) in pack.types() {
        let own = t.rules.iter().chain(
            t.elements
                .iter()
                .filter_map(|e| pack.element(*e))
                .flat_map(|e| &e.rules),
        );
        bad.extend(
            own.filter(|r| r.expr.is_none())
                .map(|r| format!("{} {}", t.name, r.key)),
        );
    }
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn outcome_carries_place_and_rule() {
    let d = Doc::parse_json(
        Bytes::from_static(b"{\"resourceType\":\"Patient\",\n  \"activ\": true}"),
        &Limits::default(),
    )
    .unwrap();
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&outcome(&validate(Pack::r4(), &d))).unwrap()
    );
}

#[test]
fn findings_are_bounded_and_hold_no_values() {
    let many = format!(
        r#"{{"resourceType":"Patient",{}"active":true}}"#,
        (0..150)
            .map(|i| format!("\"x{i}\":\"hemmelig\","))
            .collect::<String>()
    );
    let d = Doc::parse_json(Bytes::from(many), &Limits::default()).unwrap();
    let f = validate(Pack::r4(), &d);
    assert_eq!(f.len(), MAX_FINDINGS + 1);
    assert!(!format!("{f:?}").contains("hemmelig"));
}

proptest! {
    #[test]
    fn never_panics(text in "\\{\"resourceType\":\"(Patient|Bundle|Observation)\",(\"(name|status|contained|valueQuantity|_name|entry)\":[\\[\\]{}\",:a-f0-9.]{0,30},?){0,2}\\}") {
        if let Ok(d) = Doc::parse_json(Bytes::from(text), &Limits::default()) {
            let _ = validate_all(Pack::r4(), &d, 0);
            let _ = d.to_xml();
        }
    }
}
