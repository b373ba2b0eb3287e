use bytes::Bytes;
use proptest::prelude::*;

use crate::{Doc, Limits};

fn xml(text: &str) -> Doc {
    Doc::parse_xml(text.as_bytes(), &Limits::default()).unwrap()
}

const PATIENT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Patient xmlns="http://hl7.org/fhir">
  <id value="p1"/>
  <text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p>Kari &amp; co</p></div></text>
  <contained><Organization><id value="o"/><name value="O"/></Organization></contained>
  <extension url="http://e"><valueDecimal value="1.00"/></extension>
  <active value="true"/>
  <name id="n1"><family value="Nordmann"/><given value="Kari"><extension url="http://g"><valueString value="x"/></extension></given><given value="Anne"/></name>
  <multipleBirthInteger value="2"/>
</Patient>"#;

#[test]
fn xml_reads_as_the_json_that_says_the_same() {
    let d = xml(PATIENT);
    assert_eq!(
        std::str::from_utf8(d.bytes()).unwrap(),
        concat!(
            r#"{"resourceType":"Patient","id":"p1","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>Kari &amp; co</p></div>"},"#,
            r#""contained":[{"resourceType":"Organization","id":"o","name":"O"}],"extension":[{"url":"http://e","valueDecimal":1.00}],"active":true,"#,
            r#""name":[{"id":"n1","family":"Nordmann","given":["Kari","Anne"],"_given":[{"extension":[{"url":"http://g","valueString":"x"}]},null]}],"multipleBirthInteger":2}"#
        )
    );
    assert_eq!(d.root().get("active").unwrap().position(), (7, 3));
}

#[test]
fn narrative_that_names_no_namespace_gets_one() {
    const NS: &str = r#" xmlns="http://www.w3.org/1999/xhtml""#;
    for (div, expected) in [
        ("<div>x</div>".to_owned(), format!("<div{NS}>x</div>")),
        (
            "<div title='a>b' class='c'><p>x</p></div>".to_owned(),
            format!("<div{NS} title='a>b' class='c'><p>x</p></div>"),
        ),
        (format!("<div{NS}>x</div>"), format!("<div{NS}>x</div>")),
        (
            format!("<div title='>'{NS}>x</div>"),
            format!("<div title='>'{NS}>x</div>"),
        ),
    ] {
        let json = serde_json::json!({
            "resourceType": "Basic", "text": { "status": "generated", "div": div }, "code": { "text": "x" },
        });
        let doc = Doc::parse_json(Bytes::from(json.to_string()), &Limits::default()).unwrap();
        let written = String::from_utf8(doc.to_xml().to_vec()).unwrap();
        assert!(written.contains(&expected), "{written}");
        let again = Doc::parse_xml(written.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(again.root().str_at("text.div"), Some(expected.as_str()));
    }
}

#[test]
fn xml_round_trips_through_the_tree() {
    let first = xml(PATIENT);
    let again = Doc::parse_xml(&first.to_xml(), &Limits::default()).unwrap();
    assert_eq!(first.bytes(), again.bytes());
    // From JSON with members in another order, XML comes out in definition order.
    let d = Doc::parse_json(
        Bytes::from_static(
            br#"{"resourceType":"Patient","gender":"female","id":"1","active":false}"#,
        ),
        &Limits::default(),
    )
    .unwrap();
    assert_eq!(
        std::str::from_utf8(&d.to_xml()).unwrap(),
        r#"<Patient xmlns="http://hl7.org/fhir"><id value="1"/><active value="false"/><gender value="female"/></Patient>"#
    );
}

#[test]
fn what_xml_must_not_hold() {
    for (text, rule) in [
        (
            r#"<!DOCTYPE x [<!ENTITY a "b">]><Patient xmlns="http://hl7.org/fhir"/>"#,
            "xml-doctype",
        ),
        (
            r#"<Patient xmlns="http://hl7.org/fhir"><id value="&a;"/></Patient>"#,
            "xml-entity",
        ),
        (
            r#"<Patient xmlns="http://hl7.org/fhir">text</Patient>"#,
            "xml-text",
        ),
        (r#"<Patient xmlns="urn:x"/>"#, "xml-namespace"),
        (r#"<Patient/>"#, "xml-namespace"),
        (
            r#"<Patient xmlns="http://hl7.org/fhir"><id foo="1"/></Patient>"#,
            "xml-attribute",
        ),
        (
            r#"<Patient xmlns="http://hl7.org/fhir"><id value="1"></Patient>"#,
            "xml-syntax",
        ),
        (
            r#"<Patient xmlns="http://hl7.org/fhir"><id value="&#1;"/></Patient>"#,
            "xml-character",
        ),
        (
            r#"<Patient xmlns="http://hl7.org/fhir"/><Patient xmlns="http://hl7.org/fhir"/>"#,
            "xml-syntax",
        ),
        (r#"<Patient xmlns="http://hl7.org/fhir">"#, "xml-syntax"),
    ] {
        let f = Doc::parse_xml(text.as_bytes(), &Limits::default())
            .unwrap_err()
            .remove(0);
        assert_eq!(f.rule, rule, "{text}: {f:?}");
    }
    let deep = format!(
        "<Patient xmlns=\"http://hl7.org/fhir\">{}",
        "<extension url=\"a\">".repeat(5000)
    );
    assert_eq!(
        Doc::parse_xml(deep.as_bytes(), &Limits::default())
            .unwrap_err()
            .remove(0)
            .rule,
        "limit-depth"
    );
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "(<Patient xmlns=\"http://hl7.org/fhir\">)?[<>/&;\"' =!?\\[\\]a-d#0-9]{0,60}") {
        let _ = Doc::parse_xml(text.as_bytes(), &Limits::default());
    }
}
