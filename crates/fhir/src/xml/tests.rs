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

#[test]
fn elements_out_of_order_are_named_with_their_line() {
    let inside =
        |body: &str| format!("<Patient xmlns=\"http://hl7.org/fhir\">\n{body}\n</Patient>");
    for (body, line, says) in [
        (
            "<active value='true'/>\n<id value='1'/>",
            3,
            "id must stand before element active",
        ),
        // Elements of one name stand together.
        (
            "<name><text value='a'/></name>\n<gender value='male'/>\n<name><text value='b'/></name>",
            4,
            "name must stand before element gender",
        ),
        (
            "<name><given value='a'/>\n<family value='b'/></name>",
            3,
            "family must stand before element given",
        ),
        (
            "<name><given value='a'/></name>\n<extension url='u'><valueString value='v'/></extension>",
            3,
            "extension must stand before element name",
        ),
        // What nobody knows is the validator's business and hides nothing.
        (
            "<active value='true'/>\n<hat value='x'/>\n<id value='1'/>",
            4,
            "id must stand before element active",
        ),
        (
            "<contained><Patient><active value='true'/>\n<id value='1'/></Patient></contained>",
            3,
            "id must stand before element active",
        ),
        (
            "<deceasedBoolean value='false'/>\n<birthDate value='2000'/>",
            3,
            "birthDate must stand before element deceasedBoolean",
        ),
    ] {
        let text = inside(body);
        let f = Doc::parse_xml(text.as_bytes(), &Limits::default())
            .unwrap_err()
            .remove(0);
        assert_eq!((&*f.rule, f.line), ("xml-order", line), "{text}: {f:?}");
        assert!(f.text.contains(says), "{}", f.text);
        // A patched text may have any order; what is made of it has the defined one again.
        let any = Doc::parse_patched_xml(text.as_bytes(), &Limits::default()).unwrap();
        if !body.contains("hat") {
            xml(std::str::from_utf8(&any.to_xml()).unwrap());
        }
    }
    // Within one element of choice, and between texts of one name, there is no order.
    xml(&inside(
        "<name><given value='b'/><given value='a'/></name><extension_ value='x'/>",
    ));
}

#[test]
fn every_type_is_written_in_the_order_that_is_read() {
    // The base comes first in every resource: what the schemas say of the inherited elements.
    let pack = crate::Pack::r4();
    for name in pack.resource_types() {
        let ty = pack.type_id(name).unwrap();
        let place = |element: &str| pack.child(ty, element.as_bytes()).map(|(e, _, _)| e.0);
        let base = [
            "id",
            "meta",
            "implicitRules",
            "language",
            "text",
            "contained",
            "extension",
            "modifierExtension",
        ];
        let places: Vec<u16> = base.iter().filter_map(|e| place(e)).collect();
        assert!(
            places.len() >= 4 && places.is_sorted(),
            "{name}: {places:?}"
        );
        let own = pack.type_of(ty).unwrap().elements.iter().map(|e| e.0);
        assert_eq!(own.min(), place("id"), "{name}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "(<Patient xmlns=\"http://hl7.org/fhir\">)?[<>/&;\"' =!?\\[\\]a-d#0-9]{0,60}") {
        let _ = Doc::parse_xml(text.as_bytes(), &Limits::default());
    }
}
