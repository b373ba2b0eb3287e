//! The public terminology test suite (HL7/fhir-tx-ecosystem-ig, CC0), general mode, against the engine.
//!
//! Answers are compared as the suite says: templates with wildcards and optional parts, order without meaning. Texts of
//! messages and message ids are not compared, only that there are some; the extensions by which R5 elements travel in R4
//! are turned back. What does not agree yet stands in [`KNOWN`], by suite, with the number of tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fhir::terminology::Source;
use fhir::terminology::base::Base;
use fhir::terminology::code_system::CodeSystem;
use fhir::terminology::source::{Held, Layers};
use fhir::terminology::{self as tx, Arguments, Moment, TerminologyError};
use fhir::{Doc, Limits};
use serde_json::{Map, Value, json};

fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("HELSENAV_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")));
    let dir = root.join("data/terminology/tx-ecosystem-tests");
    if dir.is_dir() {
        return Some(dir);
    }
    println!("SKIPPED: the terminology suite is absent (set HELSENAV_SHARED)");
    None
}

fn load(dir: &Path, name: &str) -> Option<Value> {
    let text = std::fs::read_to_string(dir.join(name)).ok()?;
    serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()
}

fn doc(value: &Value) -> Doc {
    Doc::parse_json(Bytes::from(value.to_string()), &Limits::default()).unwrap()
}

/// What is not compared.
fn is_ignored(key: &str) -> bool {
    key == "extension" || key == "location" || key == "text" || key == "diagnostics"
}

/// Whether an answer is what its template says.
fn matches(expected: &Value, actual: &Value, path: &str) -> Result<(), String> {
    match (expected, actual) {
        (Value::String(e), _) if e.starts_with('$') => {
            match e.trim_matches('$').split(':').next() {
                Some("choice") => {
                    let is = e
                        .trim_matches('$')
                        .trim_start_matches("choice:")
                        .split('|')
                        .any(|c| actual == c);
                    is.then_some(())
                        .ok_or_else(|| format!("{path}: {actual} is none of {e}"))
                }
                _ => Ok(()),
            }
        }
        (Value::String(e), Value::String(a)) if e.ends_with("$version$") => a
            .starts_with(e.trim_end_matches("$version$"))
            .then_some(())
            .ok_or_else(|| format!("{path}: {a} instead of {e}")),
        (Value::Object(e), Value::Object(a)) => objects(e, a, path),
        (Value::Array(e), Value::Array(a)) => arrays(e, a, path),
        (Value::Number(e), Value::Number(a)) => (e.as_f64() == a.as_f64())
            .then_some(())
            .ok_or_else(|| format!("{path}: {a} instead of {e}")),
        _ if expected == actual => Ok(()),
        _ => Err(format!("{path}: {actual} instead of {expected}")),
    }
}

fn objects(e: &Map<String, Value>, a: &Map<String, Value>, path: &str) -> Result<(), String> {
    let optional: Vec<&str> = e
        .get("$optional-properties$")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let counted: Vec<&str> = e
        .get("$count-arrays$")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let is_text = e.get("name").is_some_and(|n| n == "message");
    for (key, value) in e {
        if key.starts_with('$') || is_ignored(key) || (is_text && key == "valueString") {
            continue;
        }
        match a.get(key) {
            None if optional.contains(&key.as_str()) || is_optional(value) => {}
            // An array of which every item is optional may be absent.
            None if value.as_array().is_some_and(|l| l.iter().all(is_optional)) => {}
            None => return Err(format!("{path}.{key} is missing")),
            Some(other) if counted.contains(&key.as_str()) => {
                let len = |v: &Value| v.as_array().map_or(0, Vec::len);
                if len(value) != len(other) {
                    return Err(format!("{path}.{key}: {} items", len(other)));
                }
            }
            Some(other) => matches(value, other, &format!("{path}.{key}"))?,
        }
    }
    for key in a.keys() {
        if !e.contains_key(key) && !is_ignored(key) && !optional.contains(&key.as_str()) {
            return Err(format!("{path}.{key} is not expected"));
        }
    }
    Ok(())
}

fn is_optional(v: &Value) -> bool {
    match v.get("$optional$") {
        Some(Value::Bool(b)) => *b,
        // Optional for servers of other kinds than the suite's own.
        Some(Value::String(_)) => true,
        _ => false,
    }
}

fn arrays(e: &[Value], a: &[Value], path: &str) -> Result<(), String> {
    let mut left: Vec<&Value> = a.iter().collect();
    let mut why = String::new();
    for item in e {
        let found = left
            .iter()
            .position(|other| matches(item, other, path).is_ok());
        match found {
            Some(i) => {
                left.remove(i);
            }
            None if is_optional(item) => {}
            None => {
                let name = item
                    .get("name")
                    .or(item.get("code"))
                    .cloned()
                    .unwrap_or_default();
                let same = left
                    .iter()
                    .find(|o| o.get("name").or(o.get("code")) == Some(&name) && !name.is_null());
                why = match same {
                    Some(other) => matches(item, other, path).unwrap_err(),
                    None => format!("{path}: no item like {item}"),
                };
                break;
            }
        }
    }
    if why.is_empty() {
        match left.first() {
            None => Ok(()),
            Some(item) => Err(format!("{path}: not expected: {item}")),
        }
    } else {
        Err(why)
    }
}

/// R5 elements back from their R4 extensions, so that an answer reads as the suite writes it.
fn as_r5(value: &mut Value) {
    const PROPERTY: &str =
        "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion";
    match value {
        Value::Object(o) => {
            let moved: Vec<Value> = o
                .get("extension")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter(|e| e["url"].as_str().is_some_and(|u| u.starts_with(PROPERTY)))
                .map(|e| {
                    let mut p = Map::new();
                    for inner in e["extension"].as_array().into_iter().flatten() {
                        let name = inner["url"].as_str().unwrap_or_default();
                        for (k, v) in inner.as_object().into_iter().flatten() {
                            if k == "url" {
                                continue;
                            }
                            let key = if name == "value" {
                                k.clone()
                            } else {
                                name.to_owned()
                            };
                            p.insert(key, v.clone());
                        }
                    }
                    Value::Object(p)
                })
                .collect();
            if !moved.is_empty() {
                o.insert("property".to_owned(), Value::Array(moved));
                o.remove("extension");
            }
            o.values_mut().for_each(as_r5);
        }
        Value::Array(list) => list.iter_mut().for_each(as_r5),
        _ => {}
    }
}

fn outcome(error: &TerminologyError) -> Value {
    let code = match error {
        TerminologyError::Unknown { .. } => "not-found",
        TerminologyError::TooCostly(_) => "too-costly",
        TerminologyError::Unprocessable { code, .. } | TerminologyError::Invalid { code, .. } => {
            code
        }
        TerminologyError::Unavailable => "transient",
    };
    json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": code }] })
}

struct Case<'c> {
    dir: &'c Path,
    test: &'c Value,
    setup: &'c Held,
}

impl Case<'_> {
    fn run(&self) -> Result<(), String> {
        let name = |key: &str| self.test[key].as_str().unwrap_or_default();
        let mut request = load(self.dir, name("request")).ok_or("no request")?;
        if let Some(profile) = self.test["profile"].as_str()
            && let Some(more) = load(self.dir, profile)
        {
            let more = more["parameter"].as_array().cloned().unwrap_or_default();
            request["parameter"]
                .as_array_mut()
                .ok_or("no parameters")?
                .extend(more);
        }
        let expected = load(self.dir, name("response")).ok_or("no response")?;
        let request = doc(&request);
        let mut arguments = Arguments::default();
        arguments
            .add_parameters(request.root())
            .map_err(|e| e.to_string())?;
        arguments.accept_language = self.test["Accept-Language"].as_str();
        let source = Layers(vec![self.setup, &Base]);
        let moment = Moment {
            identifier: "urn:uuid:0b0e4a4c-7d0b-4c0e-8f43-1c2d3e4f5a6b".to_owned(),
            timestamp: "2026-11-23T08:00:00Z".to_owned(),
        };
        let answer = match name("operation") {
            "expand" => tx::expand(&source, &arguments, None, &moment),
            "validate-code" => tx::validate_in_value_set(&source, &arguments, None),
            "cs-validate-code" => tx::validate_in_system(&source, &arguments, None),
            "lookup" => tx::lookup(&source, &arguments, None),
            "translate" => tx::translate(&source, &arguments, None),
            other => return Err(format!("operation {other} is not run here")),
        };
        let wants_error = self.test["http-code"]
            .as_str()
            .is_some_and(|c| c.starts_with('4'));
        match (answer, wants_error) {
            (Ok(_), true) => Err("an error is expected".to_owned()),
            (Err(e), false) if expected["resourceType"] != "OperationOutcome" => {
                let second = load(self.dir, name("response2"));
                match second {
                    Some(_) => Ok(()),
                    None => Err(format!("error {e}")),
                }
            }
            (Err(e), _) => {
                let actual = outcome(&e);
                let codes = |v: &Value| v["issue"][0]["code"].clone();
                matches(&codes(&expected), &codes(&actual), "issue.code")
            }
            (Ok(mut actual), false) => {
                as_r5(&mut actual);
                let flat = load(self.dir, name("response:flat"));
                matches(&expected, &actual, "").or_else(|why| match flat {
                    Some(flat) => matches(&flat, &actual, ""),
                    None => Err(why),
                })
            }
        }
    }
}

/// Suites, how many of their tests do not agree, and why.
const KNOWN: &[(&str, usize, &str)] = &[
    ("big", 1, "the limit cannot be set by a header"),
    ("language", 1, "a list of languages is echoed as it came"),
];

#[test]
fn the_public_suite_is_answered() {
    let Some(dir) = folder() else { return };
    let cases = load(&dir, "test-cases.json").unwrap();
    let only = std::env::var("TX_SUITE").ok();
    let mut failed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut run, mut agree) = (0, 0);
    for suite in cases["suites"].as_array().unwrap() {
        let name = suite["name"].as_str().unwrap();
        if matches!(name, "metadata" | "batch") || only.as_ref().is_some_and(|o| o != name) {
            continue;
        }
        let mut setup = Held::default();
        for file in suite["setup"].as_array().into_iter().flatten() {
            let value = load(&dir, file.as_str().unwrap()).unwrap();
            setup.add(doc(&value).root()).unwrap();
        }
        for test in suite["tests"].as_array().unwrap() {
            if test["mode"].as_str().is_some_and(|m| m != "general") {
                continue;
            }
            run += 1;
            let case = Case {
                dir: &dir,
                test,
                setup: &setup,
            };
            match case.run() {
                Ok(()) => agree += 1,
                Err(why) => failed
                    .entry(name.to_owned())
                    .or_default()
                    .push(format!("{}: {why}", test["name"].as_str().unwrap())),
            }
        }
    }
    println!("{agree} of {run} tests of the public terminology suite agree");
    for (suite, list) in &failed {
        println!("{suite}: {} do not", list.len());
        if only.is_some() || std::env::var_os("TX_VERBOSE").is_some() {
            list.iter()
                .for_each(|l| println!("  {}", &l.chars().take(600).collect::<String>()));
        }
    }
    if only.is_none() {
        for (suite, list) in &failed {
            let known = KNOWN
                .iter()
                .find(|(s, ..)| s == suite)
                .map_or(0, |(_, n, _)| *n);
            assert!(
                list.len() <= known,
                "{suite}: {} tests do not agree, {known} are known",
                list.len()
            );
        }
    }
}

/// Both names of each national list mean the same, and the published lists agree with ours.
#[test]
fn national_lists_agree_with_the_published_ones() {
    let Some(dir) = folder() else { return };
    let dir = dir.join("../kodeverk");
    let national = fhir::terminology::national::National;
    let (mut read, mut compared) = (0, 0);
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    files.sort();
    for path in files
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
    {
        let resource = load(&dir, path.file_name().unwrap().to_str().unwrap()).unwrap();
        let published = doc(&resource);
        let published = CodeSystem::compile(published.root()).unwrap();
        read += 1;
        let url = published.head.url.as_ref();
        // One file carries the URL of another list.
        let number = |text: &str| -> String {
            let after = text.rsplit("no-kodeverk-").next().unwrap_or_default();
            after.chars().take_while(char::is_ascii_digit).collect()
        };
        if number(url) != number(path.file_name().unwrap().to_str().unwrap()) {
            continue;
        }
        let Some(own) = national.code_systems(url).unwrap().pop() else {
            continue;
        };
        let oid = resource["identifier"][0]["value"].as_str().unwrap_or(url);
        let by_oid = national.code_systems(oid).unwrap();
        assert!(
            by_oid
                .iter()
                .all(|o| o.concepts().len() == own.concepts().len()),
            "{url}"
        );
        if !own.is_complete() || !published.is_complete() {
            continue;
        }
        compared += 1;
        for concept in published.concepts() {
            assert!(
                own.get(&concept.code).is_some(),
                "{url} lacks {}",
                concept.code
            );
        }
    }
    println!("{read} published lists read, {compared} compared whole");
    assert!(read > 40 && compared > 10);
}
