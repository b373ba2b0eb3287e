use bytes::Bytes;
use proptest::prelude::*;

use super::matches::matches;
use super::query::{Query, plan};
use super::*;
use crate::{Doc, Limits, Pack};

fn doc(v: serde_json::Value) -> Doc {
    Doc::parse_json(Bytes::from(v.to_string()), &Limits::default()).unwrap()
}

fn keys(d: &Doc) -> Vec<SearchKey> {
    extract(Pack::r4(), d, 0).unwrap()
}

/// The answer of the index: what the planner of a store would do.
fn by_index(q: &Query, keys: &[SearchKey], recheck: impl Fn() -> bool) -> bool {
    let mut hit = keys
        .iter()
        .any(|k| q.ranges.iter().any(|r| r.accepts(k.param, &k.value)));
    if hit && q.recheck {
        hit = recheck();
    }
    hit != q.negate
}

/// Whether the document is found; index and matcher must agree.
fn found(d: &Doc, name: &str, value: &str) -> bool {
    let (code, modifier) = match name.split_once(':') {
        Some((c, m)) => (c, Some(m)),
        None => (name, None),
    };
    let pack = Pack::r4();
    let options = Options {
        own_bases: vec!["https://own/fhir".into()],
        ..Options::default()
    };
    let param = pack
        .param(d.resource_type(), code)
        .unwrap_or_else(|| panic!("{code}"));
    let keys = extract_with(pack, d, 0, &options).unwrap();
    let q = plan(pack, param, modifier, value, &options);
    let m = matches(pack, param, modifier, value, d, &options);
    match (q, m) {
        (Ok(q), Ok(m)) => {
            assert_eq!(
                by_index(&q, &keys, || m ^ q.negate),
                m,
                "{name}={value}: index and matcher differ: {q:?}"
            );
            m
        }
        (Err(_), Err(_)) => false,
        (q, m) => panic!("{name}={value}: {q:?} {m:?}"),
    }
}

fn is_error(ty: &str, name: &str, value: &str) -> bool {
    let (code, modifier) = name
        .split_once(':')
        .map_or((name, None), |(c, m)| (c, Some(m)));
    let pack = Pack::r4();
    plan(
        pack,
        pack.param(ty, code).unwrap(),
        modifier,
        value,
        &Options::default(),
    )
    .is_err()
}

fn check(d: &Doc, yes: &[(&str, &str)], no: &[(&str, &str)]) {
    for (n, v) in yes {
        assert!(found(d, n, v), "{n}={v} must match");
    }
    for (n, v) in no {
        assert!(!found(d, n, v), "{n}={v} must not match");
    }
}

fn patient() -> Doc {
    doc(serde_json::json!({
        "resourceType": "Patient", "id": "p1", "active": true, "gender": "female", "birthDate": "1990-06-15",
        "meta": {"tag": [{"system": "http://t", "code": "T1"}], "profile": ["http://x/StructureDefinition/p|1.2.3"]},
        "identifier": [{"type": {"coding": [{"system": "http://v2", "code": "MR"}]}, "system": "urn:oid:1", "value": "AbC"}],
        "name": [{"family": "Bjørnåsen", "given": ["Åse Marie", "O'Hara"], "text": "Åse Marie Bjørnåsen"}],
        "telecom": [{"system": "phone", "value": "+47 1"}, {"system": "email", "value": "A@b.no"}],
        "deceasedDateTime": "2020-01-01",
        "generalPractitioner": [{"reference": "Practitioner/d1"}, {"identifier": {"system": "urn:hpr", "value": "77"}}, {"reference": "https://own/fhir/Organization/o1/_history/3"}, {"reference": "https://else/fhir/Organization/o2"}, {"reference": "urn:uuid:6e0b"}]
    }))
}

#[test]
fn strings() {
    let d = patient();
    check(
        &d,
        &[
            ("name", "bjorn"),
            ("name", "Bjørn"),
            ("family", "BJØRNÅSEN"),
            ("name", "åse"),
            ("given", "ase marie"),
            ("given", "o'hara"),
            ("given", "ohara"),
            ("given:exact", "Åse Marie"),
            ("family:contains", "nås"),
            ("name", "zzz,bjor"),
            ("name:missing", "false"),
            ("address:missing", "true"),
        ],
        &[
            ("name", "jorn"),
            ("given:exact", "ase marie"),
            ("given:exact", "Åse"),
            ("family:contains", "xyz"),
            ("name:missing", "true"),
            ("address", "a"),
            ("name", "%"),
        ],
    );
}

#[test]
fn tokens() {
    let d = patient();
    check(
        &d,
        &[
            ("identifier", "abc"),
            ("identifier", "urn:oid:1|ABC"),
            ("identifier", "urn:oid:1|"),
            ("identifier:of-type", "http://v2|MR|abc"),
            ("gender", "female"),
            ("gender", "http://hl7.org/fhir/administrative-gender|female"),
            ("gender:not", "male"),
            ("active", "true"),
            ("deceased", "true"),
            ("_id", "p1"),
            ("_tag", "http://t|T1"),
            ("_tag", "T1"),
            ("email", "a@B.no"),
            ("phone", "+47 1"),
            ("language:not", "x"),
            ("gender", "male,female"),
        ],
        &[
            ("identifier", "|abc"),
            ("identifier", "urn:oid:2|abc"),
            ("identifier:of-type", "http://v2|XX|abc"),
            ("gender", "Female"),
            ("gender", "fem"),
            ("gender:not", "female,male"),
            ("_tag", "t1"),
            ("phone", "a@b.no"),
            ("deceased", "false"),
            ("_id", "p"),
        ],
    );
    assert!(
        is_error("Patient", "identifier:of-type", "a|b")
            && is_error("Patient", "gender:exact", "x")
            && is_error("Patient", "gender", "")
            && is_error("Patient", "gender", "a|b|c")
    );
}

#[test]
fn values_without_a_system_are_found_by_one() {
    const BOOLEANS: &str = "http://terminology.hl7.org/CodeSystem/special-values";
    let d = doc(serde_json::json!({
        "resourceType": "Patient", "active": true, "deceasedBoolean": false,
        "telecom": [{"system": "phone", "use": "home", "value": "1"}, {"system": "email", "value": "A@b.no"}, {"value": "3"}],
    }));
    let of = |code: &str| format!("{BOOLEANS}|{code}");
    check(
        &d,
        &[
            ("active", &of("true")),
            ("active", &of("")),
            ("active:not", &of("false")),
            ("deceased", &of("false")),
            ("telecom", "phone|1"),
            ("telecom", "home|1"),
            ("telecom", "email|a@B.no"),
            ("telecom", "phone|"),
            ("telecom", "|1"),
            ("telecom", "3"),
            ("telecom", "fax|1,email|a@b.no"),
            ("telecom:not", "work|1"),
            ("phone", "phone|1"),
            ("email", "email|a@b.no"),
        ],
        &[
            ("active", &of("false")),
            ("active", "urn:x|true"),
            ("active:not", &of("true")),
            ("deceased", &of("true")),
            ("telecom", "email|1"),
            ("telecom", "work|1"),
            ("telecom", "phone|3"),
            ("telecom", "fax|"),
            ("telecom", r"phone\||1"),
            ("telecom:not", "home|1"),
            ("phone", "email|1"),
        ],
    );
}

#[test]
fn token_text_looks_at_display() {
    let d = doc(
        serde_json::json!({"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "code": {"coding": [{"system": "s", "code": "c", "display": "Hodepine"}], "text": "Vondt i hodet"}}),
    );
    check(
        &d,
        &[
            ("code:text", "hode"),
            ("code:text", "VONDT"),
            ("code", "s|c"),
        ],
        &[("code:text", "pine"), ("code", "hodepine")],
    );
    let only_text = doc(
        serde_json::json!({"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "code": {"text": "Vondt"}}),
    );
    check(
        &only_text,
        &[
            ("code:missing", "false"),
            ("code:text", "vondt"),
            ("code:not", "c"),
        ],
        &[("code", "c"), ("code:missing", "true")],
    );
}

#[test]
fn references() {
    let d = patient();
    check(
        &d,
        &[
            ("general-practitioner", "Practitioner/d1"),
            ("general-practitioner", "d1"),
            ("general-practitioner:Practitioner", "d1"),
            ("general-practitioner", "https://own/fhir/Practitioner/d1"),
            ("general-practitioner", "Organization/o1"),
            ("general-practitioner:Organization", "Organization/o1"),
            ("general-practitioner", "https://else/fhir/Organization/o2"),
            ("general-practitioner", "urn:uuid:6e0b"),
            ("general-practitioner:identifier", "urn:hpr|77"),
            ("general-practitioner:identifier", "77"),
        ],
        &[
            ("general-practitioner", "Organization/d1"),
            ("general-practitioner", "d"),
            ("general-practitioner", "organization/o1"),
            ("general-practitioner", "o2"),
            ("general-practitioner:identifier", "urn:x|77"),
            ("general-practitioner", "77"),
        ],
    );
    assert!(
        is_error("Patient", "general-practitioner:Observation", "1")
            && is_error("Patient", "general-practitioner:Nope", "1")
    );
    let o = doc(
        serde_json::json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": "Patient/1"}, "performer": [{"reference": "Practitioner/2"}, {"reference": "Patient/3"}]}),
    );
    check(
        &o,
        &[
            ("patient", "1"),
            ("subject:Patient", "1"),
            ("patient", "Patient/1"),
        ],
        &[("patient", "3"), ("patient", "2"), ("subject:Device", "1")],
    );
    let group = doc(
        serde_json::json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": "Group/1"}}),
    );
    check(&group, &[("subject", "1")], &[("patient", "1")]);
}

#[test]
fn dates_at_their_precision() {
    let d = patient();
    check(
        &d,
        &[
            ("birthdate", "1990-06-15"),
            ("birthdate", "1990-06"),
            ("birthdate", "1990"),
            ("birthdate", "ge1990-06-15"),
            ("birthdate", "lt1990-06-16"),
            ("birthdate", "gt1990-06-14"),
            ("birthdate", "sa1990-06-14"),
            ("birthdate", "eb1990-06-16"),
            ("birthdate", "ne1990-06-14"),
            ("birthdate", "ap1990-06-16"),
            ("birthdate", "le1990-06-15"),
            ("birthdate", "lt1989,1990"),
        ],
        &[
            ("birthdate", "1990-06-14"),
            ("birthdate", "gt1990-06-15"),
            ("birthdate", "gt1990"),
            ("birthdate", "lt1990"),
            ("birthdate", "sa1990-06-15"),
            ("birthdate", "eb1990-06-15"),
            ("birthdate", "ne1990"),
            ("birthdate", "ap1990-06-19"),
            ("birthdate", "1990-06-15T10:00"),
        ],
    );
    let at = |v: serde_json::Value| {
        let mut o = serde_json::json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}});
        o.as_object_mut()
            .unwrap()
            .extend(v.as_object().unwrap().clone());
        doc(o)
    };
    // Near midnight in Oslo: the day begins at 22:00Z the evening before in summer.
    let near = at(serde_json::json!({"effectiveDateTime": "2026-06-14T22:30:00Z"}));
    check(
        &near,
        &[
            ("date", "2026-06-15"),
            ("date", "2026-06-15T00:30+02:00"),
            ("date", "2026-06-15T00:30 02:00"),
            ("date", "2026-06-14T22:30Z"),
            ("date", "2026-06-15T00:30"),
        ],
        &[("date", "2026-06-14")],
    );
    let open_end = at(serde_json::json!({"effectivePeriod": {"start": "2020-03-01"}}));
    check(
        &open_end,
        &[
            ("date", "gt2030"),
            ("date", "ge2020-03-01"),
            ("date", "sa2020-02-28"),
            ("date", "ne2020"),
            ("date", "ap2025"),
        ],
        &[
            ("date", "2020"),
            ("date", "eb2050"),
            ("date", "sa2020-03-01"),
            ("date", "lt2020-03-01"),
        ],
    );
    let open_start = at(serde_json::json!({"effectivePeriod": {"end": "2020-03-01"}}));
    check(
        &open_start,
        &[
            ("date", "lt1900"),
            ("date", "eb2020-03-02"),
            ("date", "le2020-03-01"),
        ],
        &[
            ("date", "2020"),
            ("date", "sa1900"),
            ("date", "gt2020-03-01"),
            ("date", "eb2020-03-01"),
        ],
    );
    let whole =
        at(serde_json::json!({"effectivePeriod": {"start": "2020-03-01", "end": "2020-03-10"}}));
    check(
        &whole,
        &[
            ("date", "2020-03"),
            ("date", "gt2020-03-05"),
            ("date", "lt2020-03-05"),
        ],
        &[("date", "2020-03-05"), ("date", "sa2020-03-01")],
    );
    let timing =
        at(serde_json::json!({"effectiveTiming": {"event": ["2020-01-01", "2020-01-05"]}}));
    check(
        &timing,
        &[("date", "2020-01"), ("date", "gt2020-01-04")],
        &[("date", "2020-01-01")],
    );
    for bad in [
        "1973-02-30",
        "***",
        "2020-1",
        "2020-01-01T10",
        "",
        "gt",
        "2020-01-01T24:00",
    ] {
        assert!(is_error("Patient", "birthdate", bad), "{bad}");
    }
}

fn lab(value: serde_json::Value) -> Doc {
    doc(
        serde_json::json!({"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}, "valueQuantity": value}),
    )
}

#[test]
fn quantities() {
    let d = lab(
        serde_json::json!({"value": 5.40, "unit": "milligram", "system": "http://unitsofmeasure.org", "code": "mg"}),
    );
    check(
        &d,
        &[
            ("value-quantity", "5.4"),
            ("value-quantity", "5.40"),
            ("value-quantity", "5"),
            ("value-quantity", "5.4|http://unitsofmeasure.org|mg"),
            ("value-quantity", "0.0054|http://unitsofmeasure.org|g"),
            ("value-quantity", "5.4||mg"),
            ("value-quantity", "5.4||milligram"),
            ("value-quantity", "gt5.3"),
            ("value-quantity", "ge5.4"),
            ("value-quantity", "le5400|http://unitsofmeasure.org|ug"),
            ("value-quantity", "ap5"),
            ("value-quantity", "ne6"),
            ("value-quantity", "lt0.0055|http://unitsofmeasure.org|g"),
            ("value-quantity", "54e-1"),
        ],
        &[
            ("value-quantity", "5.5"),
            ("value-quantity", "5.4|http://unitsofmeasure.org|g"),
            ("value-quantity", "5.4|http://else|mg"),
            ("value-quantity", "5.4||g"),
            ("value-quantity", "gt5.4"),
            ("value-quantity", "ne5.4"),
            ("value-quantity", "ap50"),
            ("value-quantity", "5.4|http://unitsofmeasure.org|mL"),
        ],
    );
    let below = lab(
        serde_json::json!({"value": 5, "comparator": "<", "system": "http://unitsofmeasure.org", "code": "mg"}),
    );
    check(
        &below,
        &[
            ("value-quantity", "lt1"),
            ("value-quantity", "le5"),
            ("value-quantity", "ne5"),
            ("value-quantity", "eb6|http://unitsofmeasure.org|mg"),
            ("value-quantity:missing", "false"),
        ],
        &[
            ("value-quantity", "5"),
            ("value-quantity", "gt5"),
            ("value-quantity", "sa1"),
            ("value-quantity:missing", "true"),
        ],
    );
    for bad in ["", "x", "5.", "5|mg", "5|a|b|c", "1e"] {
        assert!(is_error("Observation", "value-quantity", bad), "{bad}");
    }
}

#[test]
fn numbers_use_implicit_precision() {
    let d = doc(
        serde_json::json!({"resourceType": "RiskAssessment", "status": "final", "subject": {"reference": "Patient/1"}, "prediction": [{"probabilityDecimal": 99.6}]}),
    );
    check(
        &d,
        &[
            ("probability", "100"),
            ("probability", "1e2"),
            ("probability", "99.6"),
            ("probability", "ap95"),
            ("probability", "lt100"),
        ],
        &[
            ("probability", "100.0"),
            ("probability", "gt99.6"),
            ("probability", "99"),
            ("probability", "ge100"),
        ],
    );
    let range = doc(
        serde_json::json!({"resourceType": "RiskAssessment", "status": "final", "subject": {"reference": "Patient/1"}, "prediction": [{"probabilityRange": {"low": {"value": 10}, "high": {"value": 20}}}]}),
    );
    check(
        &range,
        &[
            ("probability:missing", "false"),
            ("probability", "gt15"),
            ("probability", "lt15"),
            ("probability", "ap15"),
            ("probability", "sa9"),
            ("probability", "eb21"),
            ("probability", "ne15"),
        ],
        &[
            ("probability", "15"),
            ("probability", "gt20"),
            ("probability", "sa10"),
            ("probability", "eb20"),
        ],
    );
}

#[test]
fn composites_hold_within_one_element() {
    let bp = doc(
        serde_json::json!({"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]}, "component": [
            {"code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}, "valueQuantity": {"value": 150, "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}},
            {"code": {"coding": [{"system": "http://loinc.org", "code": "8462-4"}]}, "valueQuantity": {"value": 80, "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}}
        ]}),
    );
    check(
        &bp,
        &[
            (
                "component-code-value-quantity",
                "http://loinc.org|8480-6$gt140",
            ),
            ("component-code-value-quantity", "8480-6$gt140"),
            ("component-code-value-quantity", "http://loinc.org|$80"),
            (
                "component-code-value-quantity",
                "8480-6$150|http://unitsofmeasure.org|mm[Hg]",
            ),
            ("combo-code-value-quantity", "8462-4$lt90"),
            ("component-code-value-quantity", "x$1,8480-6$150||mm[Hg]"),
            ("combo-code", "8480-6"),
            ("component-code-value-quantity:missing", "false"),
        ],
        &[
            ("component-code-value-quantity", "8462-4$gt140"),
            ("component-code-value-quantity", "8480-6$lt90"),
            ("code", "8480-6"),
            ("code-value-quantity", "8480-6$150"),
            ("code-value-quantity:missing", "false"),
            ("component-code-value-quantity", "8480-6$150||kPa"),
        ],
    );
    assert!(
        is_error("Observation", "code-value-quantity", "a")
            && is_error("Observation", "code-value-quantity", "a$b$c")
            && is_error("Observation", "code-value-quantity", "a$x")
    );
    let s = doc(
        serde_json::json!({"resourceType": "Observation", "status": "final", "code": {"coding": [{"code": "c"}]}, "valueString": "Positiv prøve"}),
    );
    check(
        &s,
        &[
            ("code-value-string", "c$positiv"),
            ("code-value-string", "|c$Positiv prove"),
        ],
        &[
            ("code-value-string", "c$prøve"),
            ("code-value-string", "d$positiv"),
        ],
    );
    let t = doc(
        serde_json::json!({"resourceType": "Observation", "status": "final", "code": {"coding": [{"code": "c"}]}, "valueDateTime": "2020-05-01"}),
    );
    check(
        &t,
        &[
            ("code-value-date", "c$2020"),
            ("code-value-date", "c$lt2021"),
        ],
        &[
            ("code-value-date", "c$2021"),
            ("code-value-date", "c$gt2020-05-01"),
        ],
    );
    let r = doc(
        serde_json::json!({"resourceType": "DocumentReference", "status": "current", "content": [{"attachment": {"url": "u"}}], "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/9"}}]}),
    );
    check(
        &r,
        &[
            ("relationship", "replaces$DocumentReference/9"),
            ("relationship", "replaces$9"),
        ],
        &[("relationship", "appends$9")],
    );
}

#[test]
fn uris_and_canonicals() {
    let d = doc(
        serde_json::json!({"resourceType": "ValueSet", "status": "draft", "url": "http://a.no/fhir/ValueSet/x"}),
    );
    check(
        &d,
        &[
            ("url", "http://a.no/fhir/ValueSet/x"),
            ("url:below", "http://a.no/fhir"),
            ("url:below", "http://a.no/fhir/"),
            ("url:above", "http://a.no/fhir/ValueSet/x/y/z"),
            ("url:contains", "ValueSet"),
        ],
        &[
            ("url", "http://a.no/fhir/valueset/x"),
            ("url:below", "http://a.no/fh"),
            ("url:above", "http://a.no/fhir"),
            ("url:contains", "Nope"),
            ("url:below", "urn"),
        ],
    );
    let p = patient();
    check(
        &p,
        &[
            ("_profile", "http://x/StructureDefinition/p"),
            ("_profile", "http://x/StructureDefinition/p|1.2.3"),
            ("_profile:below", "http://x/StructureDefinition/p|1.2"),
        ],
        &[
            ("_profile", "http://x/StructureDefinition/p|1.2"),
            ("_profile", "http://x/StructureDefinition"),
            ("_profile:below", "http://x/StructureDefinition/p|1.20"),
        ],
    );
}

#[test]
fn near_a_place() {
    let oslo = doc(
        serde_json::json!({"resourceType": "Location", "position": {"latitude": 59.9139, "longitude": 10.7522}}),
    );
    check(
        &oslo,
        &[
            ("near", "59.95|10.75|5|km"),
            ("near", "59.95|10.75"),
            ("near", "60.39|5.32|200|[mi_i]"),
        ],
        &[("near", "60.39|5.32|50|km"), ("near", "59.95|10.75|100|m")],
    );
    assert!(
        is_error("Location", "near", "1")
            && is_error("Location", "near", "100|0")
            && is_error("Location", "near", "1|2|3|parsec")
    );
}

#[test]
fn long_values_still_match() {
    let long = format!("{}slutt", "lang tekst ".repeat(40));
    let d = doc(
        serde_json::json!({"resourceType": "Patient", "name": [{"text": long}], "identifier": [{"system": "s", "value": "x".repeat(500)}]}),
    );
    let (x500, x499) = ("x".repeat(500), "x".repeat(499));
    check(
        &d,
        &[
            ("name", &long),
            ("name:contains", "slutt"),
            ("name:exact", &long),
            ("identifier", &x500),
        ],
        &[("name", &format!("{long}!x")), ("identifier", &x499)],
    );
    assert!(keys(&d).iter().all(|k| k.value.len() <= encode::MAX_KEY));
}

#[test]
fn every_key_belongs_to_a_parameter_of_its_type() {
    let d = patient();
    for k in keys(&d) {
        let p = Pack::r4().param_by_id(k.param).unwrap();
        assert!(Pack::r4().param("Patient", &p.code).is_some());
    }
}

#[test]
fn all_official_parameters_extract_from_the_examples() {
    let root = std::env::var_os("HELSENAV_SHARED")
        .map(std::path::PathBuf::from)
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into());
    let Ok(dir) = std::fs::read_dir(root.join("data/fhir/examples")) else {
        println!("SKIPPED: official material examples is absent (set HELSENAV_SHARED)");
        return;
    };
    let mut rows = 0;
    for e in dir {
        let path = e.unwrap().path();
        let text = std::fs::read(&path).unwrap();
        let parsed = if path.extension().is_some_and(|x| x == "xml") {
            Doc::parse_xml(&text, &Limits::default())
        } else {
            Doc::parse_json(Bytes::from(text), &Limits::default())
        };
        let d = parsed.unwrap();
        let k = extract(Pack::r4(), &d, 0).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        rows += k.len();
    }
    println!("{rows} keys");
    assert!(rows > 500);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Index and linear matcher agree on random values and conditions.
    #[test]
    fn index_equals_matcher(
        value in prop_oneof![Just("5"), Just("5.4"), Just("-3e2"), Just("0"), Just("100.00")],
        unit in prop_oneof![Just("mg"), Just("g"), Just("mm[Hg]"), Just("zz")],
        comparator in prop_oneof![Just(""), Just("<"), Just(">="), Just(">")],
        start in prop_oneof![Just(""), Just("2020"), Just("2020-03-01"), Just("2020-03-01T10:00:00+01:00")],
        end in prop_oneof![Just(""), Just("2021"), Just("2020-03-02"), Just("2020-03-01T09:30:00Z")],
        prefix in prop_oneof![Just(""), Just("ne"), Just("gt"), Just("lt"), Just("ge"), Just("le"), Just("sa"), Just("eb"), Just("ap")],
        number in prop_oneof![Just("5"), Just("5.40"), Just("0.0054"), Just("-300"), Just("1e2"), Just("99.9"), Just("0")],
        tail in prop_oneof![Just(""), Just("|http://unitsofmeasure.org|g"), Just("|http://unitsofmeasure.org|mg"), Just("||mg"), Just("||zz"), Just("|http://unitsofmeasure.org|zz")],
        date in prop_oneof![Just("2020"), Just("2020-03"), Just("2020-03-01"), Just("2020-03-01T10:00"), Just("2020-03-01T09:00:00Z"), Just("2021-12-31")],
    ) {
        let mut q = serde_json::json!({"system": "http://unitsofmeasure.org", "code": unit});
        q["value"] = serde_json::from_str(value).unwrap();
        if !comparator.is_empty() {
            q["comparator"] = comparator.into();
        }
        let mut period = serde_json::Map::new();
        for (k, v) in [("start", start), ("end", end)] {
            if !v.is_empty() {
                period.insert(k.into(), v.into());
            }
        }
        let d = doc(serde_json::json!({"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "s", "code": "c"}]}, "valueQuantity": q, "effectivePeriod": period}));
        found(&d, "value-quantity", &format!("{prefix}{number}{tail}"));
        found(&d, "date", &format!("{prefix}{date}"));
        found(&d, "code-value-quantity", &format!("s|c${prefix}{number}{tail}"));
        found(&d, "code-value-quantity", &format!("c${prefix}{number}{tail}"));
    }

    #[test]
    fn no_condition_panics(name in 0usize..60, modifier in prop_oneof![Just(None), Just(Some("exact")), Just(Some("missing")), Just(Some("not")), Just(Some("below")), Just(Some("text")), Just(Some("contains")), Just(Some("Patient"))], value in "\\PC{0,30}") {
        let pack = Pack::r4();
        let ty = pack.type_id("Observation").unwrap();
        if let Some(p) = pack.params(ty).nth(name) {
            let o = Options::default();
            let d = lab(serde_json::json!({"value": 1}));
            let a = plan(pack, p, modifier, &value, &o).is_ok();
            if p.expr.is_some() && modifier != Some("Patient") {
                prop_assert_eq!(a, matches(pack, p, modifier, &value, &d, &o).is_ok(), "{} {:?}", p.code, modifier);
            }
        }
    }

    #[test]
    fn extraction_never_panics(text in "\\{\"resourceType\":\"Observation\",(\"value(Quantity|Period|String)\":[\\[\\]{}\",:a-f0-9.]{0,30},?)?(\"subject\":\\{\"reference\":\"[A-Za-z/#0-9|:]{0,20}\"\\})?\\}") {
        if let Ok(d) = Doc::parse_json(Bytes::from(text), &Limits::default()) {
            let _ = extract(Pack::r4(), &d, 0);
        }
    }
}
