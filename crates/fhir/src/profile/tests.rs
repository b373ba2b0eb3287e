//! Definitions given as values, and what is found with them.

mod definitions;
mod elements;
mod slices;
mod usage;

use super::*;
use crate::json::Limits;
use crate::{Doc, Finding, Severity};
use bytes::Bytes;
use serde_json::{Value, json};

/// Definitions given as values.
struct Given(Vec<Value>);

impl Source for Given {
    fn find(&self, canonical: &str) -> Option<Found> {
        let url = canonical.split('|').next()?;
        let text = self.0.iter().find(|v| v["url"] == url)?;
        Some(Found::Text(Box::new(doc(text))))
    }
}

fn doc(v: &Value) -> Doc {
    Doc::parse_json(Bytes::from(v.to_string()), &Limits::default()).unwrap()
}

/// A definition with only a differential; rows are (id, facts).
fn definition(url: &str, ty: &str, base: &str, rows: &[(&str, Value)]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|(id, facts)| {
            let path: Vec<&str> = id
                .split('.')
                .map(|s| s.split(':').next().unwrap())
                .collect();
            let mut row = json!({"id": id, "path": path.join(".")});
            if let Some((_, slice)) = id.rsplit('.').next().unwrap().split_once(':') {
                row["sliceName"] = json!(slice);
            }
            for (k, v) in facts.as_object().unwrap() {
                row[k] = v.clone();
            }
            row
        })
        .collect();
    json!({"resourceType": "StructureDefinition", "url": url, "type": ty, "baseDefinition": base, "derivation": "constraint", "differential": {"element": rows}})
}

fn core(name: &str) -> String {
    format!("http://hl7.org/fhir/StructureDefinition/{name}")
}

fn profile(ty: &str, rows: &[(&str, Value)]) -> Value {
    definition("http://p", ty, &core(ty), rows)
}

fn check_all(given: Vec<Value>, resource: &Value) -> Vec<Finding> {
    let source = Given(given);
    let library = Library::with(&source);
    let v = Validator {
        library: &library,
        terminology: None,
        references: None,
        now_us: 0,
    };
    let asked = Asked {
        profiles: &["http://p"],
        declared: true,
        extensions: true,
    };
    v.check(&doc(resource), &asked)
}

/// (rule, expression) of warnings and errors.
fn found(given: Value, resource: Value) -> Vec<(String, String)> {
    check_all(vec![given], &resource)
        .into_iter()
        .filter(|f| f.severity <= Severity::Warning)
        .map(|f| (f.rule, f.expression))
        .collect()
}

fn patient(v: Value) -> Value {
    let mut p = json!({"resourceType": "Patient"});
    for (k, x) in v.as_object().unwrap() {
        p[k] = x.clone();
    }
    p
}

fn observation(v: Value) -> Value {
    let mut o = json!({"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "1-8"}]}});
    for (k, x) in v.as_object().unwrap() {
        o[k] = x.clone();
    }
    o
}

fn by(kind: &str, path: &str, rules: &str) -> Value {
    json!({"slicing": {"discriminator": [{"type": kind, "path": path}], "rules": rules}})
}

#[track_caller]
fn expect(rows: &[(&str, Value)], resource: Value, want: &[(&str, &str)]) {
    let ty = resource["resourceType"].as_str().unwrap().to_owned();
    let want: Vec<_> = want
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect();
    assert_eq!(
        found(profile(&ty, rows), resource.clone()),
        want,
        "{resource}"
    );
}
