use super::*;
use proptest::prelude::*;

fn doc(text: &str) -> Doc {
    Doc::parse_json(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

fn fault(text: &str) -> Finding {
    Doc::parse_json(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
        .unwrap_err()
        .remove(0)
}

#[test]
fn navigation_and_types() {
    let d = doc(
        r#"{"resourceType":"Patient","id":"p1","active":true,"name":[{"family":"Nordmann","given":["Kari","Anne"]},{"text":"K"}],"multipleBirthInteger":2,"contained":[{"resourceType":"Organization","id":"o"}]}"#,
    );
    assert_eq!((d.resource_type(), d.id()), ("Patient", Some("p1")));
    let names: Vec<_> = d.root().all("name").collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0].type_name(), "HumanName");
    let given: Vec<_> = names[0]
        .get("given")
        .unwrap()
        .items()
        .map(|n| n.as_str().unwrap())
        .collect();
    assert_eq!(given, ["Kari", "Anne"]);
    assert_eq!(
        names[0].all("given").nth(1).unwrap().path(),
        "Patient.name[0].given[1]"
    );
    assert_eq!(
        d.root().get("multipleBirthInteger").unwrap().path(),
        "Patient.multipleBirth"
    );
    assert_eq!(
        d.root()
            .get("multipleBirthInteger")
            .unwrap()
            .as_decimal_text(),
        Some("2")
    );
    let org = d.root().get("contained").unwrap();
    assert_eq!(
        (org.resource_type(), org.type_name()),
        (Some("Organization"), "Organization")
    );
    assert_eq!(
        &org.raw_json()[..],
        br#"{"resourceType":"Organization","id":"o"}"#
    );
    assert!(d.root().get("resourceType").is_none());
    assert!(d.root().fields().all(|f| f.name() != "resourceType"));
}

#[test]
fn primitives_join_their_extensions_in_either_order() {
    for text in [
        r#"{"resourceType":"Patient","birthDate":"1970-01-01","_birthDate":{"extension":[{"url":"u"}]},"name":[{"given":["A",null,"C"],"_given":[null,{"id":"x"},{"id":"y"}]}]}"#,
        r#"{"resourceType":"Patient","_birthDate":{"extension":[{"url":"u"}]},"birthDate":"1970-01-01","name":[{"_given":[null,{"id":"x"},{"id":"y"}],"family":"F","given":["A",null,"C"]}]}"#,
    ] {
        let d = doc(text);
        let b = d.root().get("birthDate").unwrap();
        assert_eq!(b.as_str(), Some("1970-01-01"));
        assert_eq!(b.at("extension.url").and_then(|u| u.as_str()), Some("u"));
        let given: Vec<_> = d.root().get("name").unwrap().all("given").collect();
        assert_eq!(
            given.iter().map(|g| g.as_str()).collect::<Vec<_>>(),
            [Some("A"), None, Some("C")]
        );
        assert_eq!(given[1].get("id").unwrap().as_str(), Some("x"));
        assert_eq!(given[2].get("id").unwrap().as_str(), Some("y"));
        assert!(d.root().get("_birthDate").is_none());
    }
}

#[test]
fn an_element_called_resource_type_stays_an_element() {
    let d = doc(
        r#"{"resourceType":"ExampleScenario","status":"draft","instance":[{"resourceId":"a","resourceType":"Patient"}]}"#,
    );
    let i = d.root().get("instance").unwrap();
    assert_eq!(i.get("resourceType").unwrap().as_str(), Some("Patient"));
    assert_eq!(i.resource_type(), None);
}

#[test]
fn escapes_and_number_text_are_kept() {
    let d = doc(
        "{\"resourceType\":\"Observation\",\"\\u0073tatus\":\"fi\\u006eal\",\"valueQuantity\":{\"value\":1.00e1,\"unit\":\"\\ud83d\\ude00\"}}",
    );
    assert_eq!(d.root().get("status").unwrap().as_str(), Some("final"));
    assert_eq!(d.root().get("status").unwrap().path(), "Observation.status");
    assert_eq!(
        d.root()
            .at("valueQuantity.value")
            .unwrap()
            .as_decimal_text(),
        Some("1.00e1")
    );
    assert_eq!(
        d.root().at("valueQuantity.unit").unwrap().as_str(),
        Some("😀")
    );
}

#[test]
fn faults_say_where_and_what() {
    let cases = [
        (
            "{\"resourceType\":\"Basic\",\n \"id\":\"1\",\n \"id\":\"2\"}",
            "json-duplicate",
            (3, 2),
        ),
        (
            "{\"resourceType\":\"Basic\",\"x\":[[1]]}",
            "json-shape",
            (1, 30),
        ),
        (
            "{\"resourceType\":\"Basic\",\"x\":}",
            "json-syntax",
            (1, 29),
        ),
        ("{\"id\":\"1\"}", "resource-type", (1, 1)),
        ("[]", "json-root", (1, 1)),
        ("\"x\"", "json-root", (1, 1)),
        ("", "json-syntax", (1, 1)),
        ("{\"resourceType\":\"Basic\"} x", "json-syntax", (1, 26)),
        (
            "{\"resourceType\":\"Basic\",\"_id\":\"x\"}",
            "json-shape",
            (1, 31),
        ),
        (
            "{\"resourceType\":\"Patient\",\"name\":{\"family\":\"x\"},\"_name\":{\"id\":\"1\"}}",
            "json-shape",
            (1, 57),
        ),
        ("{\"resourceType\":3}", "resource-type", (1, 17)),
    ];
    for (text, rule, place) in cases {
        let f = fault(text);
        assert_eq!(
            (f.rule.as_str(), (f.line, f.column)),
            (rule, place),
            "{text}: {f:?}"
        );
    }
}

#[test]
fn limits_hold() {
    let small = Limits {
        max_bytes: 100,
        max_depth: 5,
        max_nodes: 10,
        max_fields: 4,
        max_findings: 10,
    };
    let check = |text: String| {
        Doc::parse_json(Bytes::from(text), &small)
            .unwrap_err()
            .remove(0)
            .rule
    };
    assert_eq!(
        check(format!(
            "{{\"resourceType\":\"Basic\",\"x\":\"{}\"}}",
            "a".repeat(200)
        )),
        "limit-bytes"
    );
    assert_eq!(
        check(format!(
            "{{\"resourceType\":\"Basic\",\"x\":{}1{}}}",
            "{\"a\":".repeat(8),
            "}".repeat(8)
        )),
        "limit-depth"
    );
    assert_eq!(
        check(format!(
            "{{\"resourceType\":\"Basic\",\"x\":[{}1]}}",
            "1,".repeat(12)
        )),
        "limit-nodes"
    );
    assert_eq!(
        check("{\"resourceType\":\"Basic\",\"a\":1,\"b\":1,\"c\":1,\"d\":1}".to_owned()),
        "limit-fields"
    );
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(Doc::parse_json(Bytes::from(deep), &Limits::default()).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Doc::parse_json(Bytes::from(bytes), &Limits::default());
    }

    #[test]
    fn json_like_text_never_panics(text in "\\{\"resourceType\":\"Patient\",[\\[\\]{}\",:_a-c0-9nulltrue .\\\\-]{0,80}\\}?") {
        if let Ok(d) = Doc::parse_json(Bytes::from(text), &Limits::default()) {
            for n in d.root().fields() {
                let _ = (n.path(), n.position(), n.value_text(), n.raw_json());
            }
        }
    }
}
