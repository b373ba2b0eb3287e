//! Tests: every primitive type of R4 against its expression and range, in JSON and in XML; the edge of both formats.

use bytes::Bytes;

use super::*;
use crate::Limits;

/// Values that a type takes, as JSON, and values that it refuses.
struct Format {
    ty: &'static str,
    good: &'static [&'static str],
    bad: &'static [&'static str],
}

const FORMATS: &[Format] = &[
    Format {
        ty: "Boolean",
        good: &["true", "false"],
        bad: &[r#""true""#, "1", "0", r#""""#, r#""TRUE""#],
    },
    Format {
        ty: "Integer",
        good: &["0", "1", "-1", "2147483647", "-2147483648"],
        bad: &[
            "-0",
            "1.0",
            "1e0",
            "0.5",
            "2147483648",
            "-2147483649",
            r#""1""#,
            "true",
            "99999999999999999999",
        ],
    },
    Format {
        ty: "UnsignedInt",
        good: &["0", "1", "2147483647"],
        bad: &["-1", "-0", "1.0", "2147483648", r#""0""#],
    },
    Format {
        ty: "PositiveInt",
        good: &["1", "2147483647"],
        bad: &["0", "-1", "1.5", "2147483648", r#""1""#],
    },
    Format {
        ty: "Decimal",
        good: &[
            "0",
            "0.0",
            "-1",
            "1.00",
            "-0.010",
            "1e3",
            "1.5E-7",
            "1E+2",
            "123456789012345678.123456789012345678",
            "1e400",
        ],
        bad: &[r#""1.0""#, r#""""#, "true"],
    },
    Format {
        ty: "String",
        good: &[
            r#""a""#,
            r#"" ""#,
            r#""a\nb\tc\r""#,
            r#""\u00e5\ud83d\ude00""#,
            r#""null""#,
        ],
        bad: &[
            r#""""#,
            "1",
            "true",
            r#""a\u0000""#,
            r#""\u0001""#,
            r#""a\u000bb""#,
            r#""\u001f""#,
        ],
    },
    Format {
        ty: "Markdown",
        good: &[r#""*a*\n\n b""#, r##""# h""##],
        bad: &[r#""""#, "5", r#""\u0002""#],
    },
    Format {
        ty: "Code",
        good: &[r#""a""#, r#""a b""#, r#""a-b.c/d""#, r#""a\tb""#],
        bad: &[
            r#""""#,
            r#"" a""#,
            r#""a ""#,
            r#""a  b""#,
            r#"" ""#,
            "1",
            r#""a \tb""#,
        ],
    },
    Format {
        ty: "Id",
        good: &[
            r#""a""#,
            r#""A-1.b""#,
            r#""1""#,
            r#""aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#,
        ],
        bad: &[
            r#""""#,
            r#""a_b""#,
            r#""a b""#,
            r#""å""#,
            r#""a/b""#,
            r#""aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#,
            "1",
        ],
    },
    Format {
        ty: "Uri",
        good: &[
            r#""a""#,
            r#""http://x/y?z=1#f""#,
            r#""urn:oid:1.2""#,
            r#""a|b""#,
            r#""http://x/å""#,
        ],
        bad: &[r#""""#, r#""a b""#, r#"" a""#, r#""a\n""#, "1"],
    },
    Format {
        ty: "Url",
        good: &[r#""https://x""#, r#""mailto:a@b""#, r#""x/y""#],
        bad: &[r#""""#, r#""a b""#, "true"],
    },
    Format {
        ty: "Canonical",
        good: &[r#""http://x|1.0""#, r##""#a""##],
        bad: &[r#""""#, r#""http://x | 1""#],
    },
    Format {
        ty: "Oid",
        good: &[
            r#""urn:oid:2.16.578.1""#,
            r#""urn:oid:0.0""#,
            r#""urn:oid:1.2.0.3""#,
        ],
        bad: &[
            r#""2.16.578""#,
            r#""urn:oid:3.1""#,
            r#""urn:oid:2""#,
            r#""urn:oid:2.""#,
            r#""urn:oid:2.01""#,
            r#""urn:oid:2..1""#,
            r#""URN:OID:2.1""#,
            r#""urn:oid:2.1 ""#,
        ],
    },
    Format {
        ty: "Uuid",
        good: &[r#""urn:uuid:c757873d-ec9a-4326-a141-556f43239520""#],
        bad: &[
            r#""c757873d-ec9a-4326-a141-556f43239520""#,
            r#""urn:uuid:C757873D-EC9A-4326-A141-556F43239520""#,
            r#""urn:uuid:c757873d-ec9a-4326-a141-556f4323952""#,
            r#""urn:uuid:c757873dec9a-4326-a141-556f43239520-""#,
        ],
    },
    Format {
        ty: "Base64Binary",
        good: &[
            r#""YQ==""#,
            r#""YWI=""#,
            r#""YWJj""#,
            r#""YWJj\nYWJj""#,
            r#"" YWJj YWI= ""#,
        ],
        bad: &[
            r#""""#,
            r#""YQ""#,
            r#""YQ=""#,
            r#""Y=Q=""#,
            r#""YWJj=""#,
            r#""====""#,
            r#""Y WJj""#,
            r#""YW_-""#,
            r#""å===""#,
        ],
    },
    Format {
        ty: "Date",
        good: &[
            r#""0001""#,
            r#""9999""#,
            r#""2020-02""#,
            r#""2020-02-29""#,
            r#""2000-02-29""#,
            r#""1900-02-28""#,
        ],
        bad: &[
            r#""0000""#,
            r#""20""#,
            r#""20200""#,
            r#""2020-13""#,
            r#""2020-00""#,
            r#""2020-1""#,
            r#""2020-01-32""#,
            r#""2020-01-00""#,
            r#""2021-02-29""#,
            r#""1900-02-29""#,
            r#""2020-01-01T00:00:00Z""#,
            r#""2020/01/01""#,
            r#"" 2020""#,
            "2020",
            r#""-2020""#,
            r#""2020-01-""#,
        ],
    },
    Format {
        ty: "DateTime",
        good: &[
            r#""2020""#,
            r#""2020-01""#,
            r#""2020-01-01""#,
            r#""2020-01-01T00:00:00Z""#,
            r#""2020-01-01T23:59:60Z""#,
            r#""2020-01-01T10:00:00.123456789012345+02:00""#,
            r#""2020-01-01T10:00:00-00:00""#,
            r#""2020-01-01T10:00:00+14:00""#,
            r#""2020-01-01T10:00:00-13:59""#,
        ],
        bad: &[
            r#""2020-01-01T10""#,
            r#""2020-01-01T10:00Z""#,
            r#""2020-01-01T10:00:00""#,
            r#""2020-01-01T24:00:00Z""#,
            r#""2020-01-01T10:60:00Z""#,
            r#""2020-01-01T10:00:61Z""#,
            r#""2020-01-01T10:00:00.Z""#,
            r#""2020-01-01T10:00:00+14:01""#,
            r#""2020-01-01T10:00:00+15:00""#,
            r#""2020-01-01T10:00:00+0100""#,
            r#""2020-01-01 10:00:00Z""#,
            r#""2020-01-01t10:00:00z""#,
            r#""2020-01T10:00:00Z""#,
            r#""2021-02-29T10:00:00Z""#,
            r#""2020-01-01T""#,
        ],
    },
    Format {
        ty: "Instant",
        good: &[
            r#""2020-01-01T10:00:00Z""#,
            r#""2020-01-01T10:00:00.1+01:00""#,
            r#""0001-01-01T00:00:00Z""#,
        ],
        bad: &[
            r#""2020""#,
            r#""2020-01-01""#,
            r#""2020-01-01T10:00Z""#,
            r#""2020-01-01T10:00:00""#,
            r#""2020-02-30T10:00:00Z""#,
        ],
    },
    Format {
        ty: "Time",
        good: &[r#""00:00:00""#, r#""23:59:59.999""#, r#""10:00:60""#],
        bad: &[
            r#""24:00:00""#,
            r#""10:00""#,
            r#""10""#,
            r#""10:00:00Z""#,
            r#""10:00:00+01:00""#,
            r#""1:00:00""#,
            r#""10:60:00""#,
            r#""T10:00:00""#,
        ],
    },
];

fn holder(ty: &str, value: &str) -> String {
    format!(
        r#"{{"resourceType":"Basic","code":{{"text":"x"}},"extension":[{{"url":"http://u","value{ty}":{value}}}]}}"#
    )
}

#[test]
fn every_primitive_in_json() {
    let mut wrong = Vec::new();
    for f in FORMATS {
        let cases = f
            .good
            .iter()
            .map(|v| (v, true))
            .chain(f.bad.iter().map(|v| (v, false)));
        for (value, good) in cases {
            let text = holder(f.ty, value);
            let doc = Doc::parse_json(Bytes::from(text), &Limits::default())
                .unwrap_or_else(|e| panic!("{} {value}: {e:?}", f.ty));
            let found = validate(Pack::r4(), &doc);
            if found.is_empty() != good {
                wrong.push(format!("{} {value}: {found:?}", f.ty));
            }
            for x in &found {
                assert_eq!(x.expression, "Basic.extension[0].value", "{} {value}", f.ty);
                assert_eq!((x.code, x.line), (IssueCode::Value, 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same through XML, where every value is an attribute's text.
#[test]
fn every_primitive_in_xml() {
    let mut wrong = Vec::new();
    for f in FORMATS {
        let cases = f
            .good
            .iter()
            .map(|v| (v, true))
            .chain(f.bad.iter().map(|v| (v, false)));
        for (value, good) in cases {
            let quoted = value.starts_with('"');
            let is_text = !matches!(
                f.ty,
                "Boolean" | "Integer" | "UnsignedInt" | "PositiveInt" | "Decimal"
            );
            // In XML there is no kind to get wrong, and blanks in attributes are normalised.
            if quoted != is_text || value.contains("\\u0") || value.contains('\\') {
                continue;
            }
            let plain = value.trim_matches('"');
            let xml = format!(
                r#"<Basic xmlns="http://hl7.org/fhir"><extension url="http://u"><value{} value="{plain}"/></extension><code><text value="x"/></code></Basic>"#,
                f.ty
            );
            let ok = match Doc::parse_xml(xml.as_bytes(), &Limits::default()) {
                Ok(doc) => validate(Pack::r4(), &doc).is_empty(),
                Err(_) => false,
            };
            if ok != good {
                wrong.push(format!("{} {plain}", f.ty));
            }
        }
    }
    for (ty, plain) in [
        ("Integer", "+5"),
        ("Integer", "05"),
        ("Decimal", "01.0"),
        ("Decimal", ".5"),
        ("Decimal", "1."),
        ("Decimal", "NaN"),
        ("Boolean", "True"),
        ("Boolean", "1"),
        ("Integer", " 5x"),
    ] {
        let xml = format!(
            r#"<Basic xmlns="http://hl7.org/fhir"><extension url="http://u"><value{ty} value="{plain}"/></extension><code><text value="x"/></code></Basic>"#
        );
        let doc = Doc::parse_xml(xml.as_bytes(), &Limits::default());
        if doc.is_ok_and(|d| validate(Pack::r4(), &d).is_empty()) {
            wrong.push(format!("{ty} {plain} in XML"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lengths() {
    let long = "a".repeat(1_048_576);
    for (ty, text, good) in [
        ("String", long.clone(), true),
        ("String", format!("{long}a"), false),
        ("Markdown", format!("{long}a"), false),
    ] {
        let doc = Doc::parse_json(
            Bytes::from(holder(ty, &format!("\"{text}\""))),
            &Limits::default(),
        )
        .unwrap();
        assert_eq!(validate(Pack::r4(), &doc).is_empty(), good, "{ty}");
    }
}

/// What JSON can say that FHIR cannot: rule, where, and how bad (a shape that cannot be read, or a finding).
#[test]
fn the_edge_of_json() {
    let read = |text: &str| match Doc::parse_json(
        Bytes::copy_from_slice(text.as_bytes()),
        &Limits::default(),
    ) {
        Ok(d) => validate(Pack::r4(), &d),
        Err(f) => f,
    };
    for (text, rule, expression) in [
        (
            r#"{"resourceType":"Patient","active":null}"#,
            "json-empty",
            "Patient.active",
        ),
        (
            r#"{"resourceType":"Patient","name":null}"#,
            "json-empty",
            "Patient.name",
        ),
        (
            r#"{"resourceType":"Patient","name":[null]}"#,
            "ele-1",
            "Patient.name[0]",
        ),
        (
            r#"{"resourceType":"Patient","name":[]}"#,
            "json-empty",
            "Patient.name",
        ),
        (
            r#"{"resourceType":"Patient","_birthDate":{}}"#,
            "json-empty",
            "Patient.birthDate",
        ),
        (
            r#"{"resourceType":"Patient","birthDate":""}"#,
            "primitive-format",
            "Patient.birthDate",
        ),
        (
            r#"{"resourceType":"Patient","active":"true"}"#,
            "primitive-format",
            "Patient.active",
        ),
        (
            r#"{"resourceType":"Patient","multipleBirthInteger":"3"}"#,
            "primitive-format",
            "Patient.multipleBirth",
        ),
        (
            r#"{"resourceType":"Patient","birthDate":1980}"#,
            "primitive-format",
            "Patient.birthDate",
        ),
        (
            r#"{"resourceType":"Patient","birthDate":{"value":"1980"}}"#,
            "type",
            "Patient.birthDate",
        ),
        (
            r#"{"resourceType":"Patient","name":"Kari"}"#,
            "json-array",
            "Patient.name",
        ),
        (
            r#"{"resourceType":"Patient","name":["Kari"]}"#,
            "type",
            "Patient.name[0]",
        ),
        (
            r#"{"resourceType":"Patient","gender":["male"]}"#,
            "json-array",
            "Patient.gender[0]",
        ),
        (
            r#"{"resourceType":"Patient","unknown":1}"#,
            "unknown-element",
            "Patient.unknown",
        ),
        (
            r#"{"resourceType":"Patient","valueString":"x"}"#,
            "unknown-element",
            "Patient.valueString",
        ),
        (
            r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"value":"x"}"#,
            "unknown-element",
            "Observation.value",
        ),
        (
            r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueCode":"x"}"#,
            "unknown-element",
            "Observation.valueCode",
        ),
        (
            r#"{"resourceType":"Patient","active":true,"active":true}"#,
            "json-duplicate",
            "",
        ),
        (
            r#"{"resourceType":"Patient","birthDate":"1980","_birthDate":[{"id":"a"}]}"#,
            "json-shape",
            "",
        ),
        (
            r#"{"resourceType":"Patient","name":[{"given":["a"],"_given":{"id":"a"}}]}"#,
            "json-shape",
            "",
        ),
        (
            r#"{"resourceType":"Patient","_birthDate":"x"}"#,
            "json-shape",
            "",
        ),
        (
            r#"{"resourceType":"Patient","name":[["a"]]}"#,
            "json-shape",
            "",
        ),
        (r#"{"active":true}"#, "resource-type", ""),
        (r#"{"resourceType":1}"#, "resource-type", ""),
        (
            r#"{"resourceType":"patient","active":true}"#,
            "resource-type",
            "patient",
        ),
        ("[]", "json-root", ""),
        ("\"a\"", "json-root", ""),
    ] {
        let found = read(text);
        assert!(
            found
                .iter()
                .any(|f| f.rule == rule && f.expression == expression && f.is_error()),
            "{text}: {found:?}"
        );
        assert!(
            found.iter().all(|f| f.line == 1 && f.column > 0),
            "{text}: {found:?}"
        );
    }
    for good in [
        r#"{"resourceType":"Patient","name":[{"given":["a",null],"_given":[null,{"id":"x"}]}]}"#,
        r#"{"resourceType":"Patient","name":[{"_given":[{"extension":[{"url":"http://u","valueString":"x"}]}]}]}"#,
        r#"{"resourceType":"Patient","birthDate":"1980","_birthDate":{"id":"x"}}"#,
        r#"{"resourceType":"Patient","_gender":{"extension":[{"url":"http://u","valueCode":"x"}]}}"#,
    ] {
        assert_eq!(read(good), [], "{good}");
    }
}

/// The same faults in XML are found at the same elements.
#[test]
fn the_edge_of_xml() {
    let read = |inner: &str| {
        let xml = format!("<Patient xmlns=\"http://hl7.org/fhir\">\n{inner}\n</Patient>");
        match Doc::parse_xml(xml.as_bytes(), &Limits::default()) {
            Ok(d) => validate(Pack::r4(), &d),
            Err(f) => f,
        }
    };
    assert_eq!(read("<active value=\"true\"/>"), []);
    for inner in [
        "<active value=\"\"/>",
        "<active/>",
        "<active value=\"maybe\"/>",
        "<activ value=\"true\"/>",
        "<active value=\"true\"/><active value=\"true\"/>",
        "<birthDate>1980</birthDate>",
        "<name><family value=\"\"/></name>",
        "<name/>",
        "<name>Kari</name>",
        "<gender value=\"nope\"/>",
        "<active xmlns=\"urn:other\" value=\"true\"/>",
        "<active value=\"true\" other=\"x\"/>",
    ] {
        let found = read(inner);
        assert!(
            found.iter().any(|f| f.is_error() && f.line == 2),
            "{inner}: {found:?}"
        );
    }
}
