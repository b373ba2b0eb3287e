//! What types ask for in words: said by `$validate`, never by a write.

use super::*;
use crate::terminology::Face;
use crate::terminology::base::Base;

fn told(resource: &Value) -> Vec<String> {
    let terminology = Face(Base);
    let v = Validator {
        library: &Library::built_in(),
        terminology: Some(&terminology),
        references: None,
        now_us: 0,
    };
    let asked = Asked {
        extensions: true,
        ..Asked::default()
    };
    let plain = v.profiles(&doc(resource), &Asked::default());
    assert!(plain.is_empty(), "a write is not refused: {plain:?}");
    v.profiles(&doc(resource), &asked)
        .into_iter()
        .filter(|f| f.severity <= Severity::Warning)
        .map(|f| f.rule)
        .collect()
}

#[test]
fn references_have_a_form_and_a_type() {
    for (reference, rule) in [
        (json!({ "reference": "Patient/1" }), ""),
        (json!({ "reference": "Patient/1/_history/2" }), ""),
        (json!({ "reference": "#" }), ""),
        (json!({ "reference": "Patient?identifier=urn:x|1" }), ""),
        (json!({ "reference": "http://other.test/x" }), ""),
        (json!({ "reference": "urn:oid:1.2.3" }), ""),
        (
            json!({ "reference": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520" }),
            "",
        ),
        (
            json!({ "reference": "urn:uuid:C757873D-EC9A-4326-A141-556F43239520" }),
            "reference-form",
        ),
        (json!({ "reference": "urn:uuid:1" }), "reference-form"),
        (json!({ "reference": "garbage" }), "reference-form"),
        (json!({ "reference": "patient/1" }), "reference-form"),
        (json!({ "reference": "Patient/" }), "reference-form"),
        (json!({ "reference": "Patient/a_b" }), "reference-form"),
        (json!({ "reference": "fhir/Patient/1" }), "reference-form"),
        (json!({ "reference": "Nothing?x=1" }), "reference-form"),
        (json!({ "reference": "Patient/1", "type": "Patient" }), ""),
        (
            json!({ "reference": "Patient/1", "type": "Group" }),
            "reference-type",
        ),
        (
            json!({ "reference": "http://o.test/fhir/Patient/1", "type": "Group" }),
            "reference-type",
        ),
        (
            json!({ "identifier": { "system": "urn:x", "value": "1" } }),
            "",
        ),
        (
            json!({ "identifier": { "system": "x", "value": "1" } }),
            "system-absolute",
        ),
        (json!({ "display": "x" }), ""),
    ] {
        let told = told(&observation(json!({ "subject": reference })));
        let want: Vec<&str> = Some(rule).into_iter().filter(|r| !r.is_empty()).collect();
        assert_eq!(told, want, "{reference}");
    }
}

#[test]
fn codes_are_those_of_their_system() {
    for (system, code, rule) in [
        ("http://hl7.org/fhir/administrative-gender", "male", ""),
        (
            "http://hl7.org/fhir/administrative-gender",
            "zzz",
            "unknown-code",
        ),
        (
            "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus",
            "zzz",
            "unknown-code",
        ),
        ("http://loinc.org", "zzz", ""),
        ("urn:own", "zzz", ""),
        ("http://unitsofmeasure.org", "zzz", ""),
        ("own", "x", "system-absolute"),
        (
            "http://hl7.org/fhir/ValueSet/administrative-gender",
            "male",
            "system-value-set",
        ),
    ] {
        let code = json!({ "coding": [{ "system": system, "code": code }] });
        let told = told(&json!({ "resourceType": "Basic", "code": code }));
        let want: Vec<&str> = Some(rule).into_iter().filter(|r| !r.is_empty()).collect();
        assert_eq!(told, want, "{code}");
    }
}

#[test]
fn values_are_what_their_type_says() {
    let ucum = "http://unitsofmeasure.org";
    let sampled = |data: &str| json!({ "valueSampledData": { "origin": { "value": 1 }, "period": 1, "dimensions": 1, "data": data } });
    for (value, rule) in [
        (
            json!({ "valueQuantity": { "value": 1, "system": ucum, "code": "mg/dL" } }),
            "",
        ),
        (
            json!({ "valueQuantity": { "value": 1, "system": ucum, "code": "mgg" } }),
            "ucum",
        ),
        (
            json!({ "valueQuantity": { "value": 1, "system": "urn:x", "code": "mgg" } }),
            "",
        ),
        (sampled("1 -2.5 E L U"), ""),
        (sampled("1 x"), "sampled-data"),
        (json!({ "valueString": " x" }), "string-blanks"),
        (
            json!({ "text": { "status": "generated", "div": "<div>x</div>" } }),
            "narrative-namespace",
        ),
        (
            json!({ "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>" } }),
            "",
        ),
    ] {
        let told = told(&observation(value.clone()));
        let want: Vec<&str> = Some(rule).into_iter().filter(|r| !r.is_empty()).collect();
        assert_eq!(told, want, "{value}");
    }
    for (size, data, is_right) in [
        (3, "AAAA", true),
        (1, "AA==", true),
        (2, "AA A=", true),
        (4, "AAAA", false),
        (0, "AAAA", false),
    ] {
        let photo = json!([{ "contentType": "image/png", "data": data, "size": size }]);
        let told = told(&patient(json!({ "photo": photo })));
        assert_eq!(told.is_empty(), is_right, "{size} {data}");
    }
}

#[test]
fn entries_hold_what_their_full_url_names() {
    for (kind, url, id, is_right) in [
        (
            "collection",
            "http://x.test/fhir/Patient/1",
            Some("1"),
            true,
        ),
        ("collection", "http://x.test/fhir/Patient/1", None, true),
        (
            "collection",
            "http://x.test/fhir/Patient/1",
            Some("2"),
            false,
        ),
        ("collection", "http://x.test/fhir/Group/1", Some("1"), false),
        (
            "transaction",
            "http://x.test/fhir/Patient/1",
            Some("2"),
            true,
        ),
        (
            "collection",
            "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
            Some("1"),
            true,
        ),
        ("collection", "urn:uuid:1", Some("1"), false),
        ("collection", "http://x.test/anything", Some("1"), true),
    ] {
        let mut resource = json!({ "resourceType": "Patient", "active": true });
        if let Some(id) = id {
            resource["id"] = json!(id);
        }
        let bundle = json!({ "resourceType": "Bundle", "type": kind, "entry": [{ "fullUrl": url, "resource": resource }] });
        assert_eq!(told(&bundle).is_empty(), is_right, "{kind} {url} {id:?}");
    }
}
