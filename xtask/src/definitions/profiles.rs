//! The profiles and extensions that R4 itself defines, cut down to what a validator reads: one line of JSON each.

use serde_json::{Map, Value};

use super::{items, text};

/// Members of an element definition that constrain.
const KEPT: [&str; 12] = [
    "id",
    "path",
    "sliceName",
    "slicing",
    "min",
    "max",
    "contentReference",
    "type",
    "maxLength",
    "binding",
    "constraint",
    "isModifier",
];

/// Lines in order of their canonical URLs, and the URLs of all value sets they bind to.
pub fn profiles(resources: &[Value], notes: &mut Vec<String>) -> (String, Vec<String>) {
    let mut found: Vec<(&str, Value)> = Vec::new();
    let mut bound = Vec::new();
    for sd in resources {
        let url = text(sd, "url");
        if text(sd, "resourceType") != "StructureDefinition"
            || text(sd, "derivation") != "constraint"
        {
            continue;
        }
        if found.iter().any(|(u, _)| *u == url) {
            notes.push(format!("{url} is defined twice, the first counts"));
            continue;
        }
        found.push((url, cut(sd, &mut bound)));
    }
    found.sort_by_key(|(url, _)| *url);
    bound.sort();
    bound.dedup();
    let lines = found.iter().map(|(_, v)| format!("{v}\n")).collect();
    (lines, bound)
}

fn cut(sd: &Value, bound: &mut Vec<String>) -> Value {
    let mut out = Map::new();
    for name in [
        "resourceType",
        "url",
        "version",
        "name",
        "kind",
        "abstract",
        "context",
        "type",
        "baseDefinition",
        "derivation",
    ] {
        if let Some(v) = sd.get(name) {
            out.insert(name.to_owned(), v.clone());
        }
    }
    let rows = |part: &str| {
        sd.pointer(&format!("/{part}/element"))
            .and_then(Value::as_array)
            .filter(|l| !l.is_empty())
            .map(|l| (part.to_owned(), l))
    };
    if let Some((part, list)) = rows("differential").or_else(|| rows("snapshot")) {
        let list: Vec<Value> = list.iter().map(|e| element(e, bound)).collect();
        out.insert(part, serde_json::json!({ "element": list }));
    }
    Value::Object(out)
}

fn element(e: &Value, bound: &mut Vec<String>) -> Value {
    let mut out = Map::new();
    for (name, v) in e.as_object().into_iter().flatten() {
        let is_value = ["fixed", "pattern", "minValue", "maxValue"]
            .iter()
            .any(|p| name.starts_with(p));
        if !is_value && !KEPT.contains(&name.as_str()) {
            continue;
        }
        let v = match name.as_str() {
            "binding" => {
                if matches!(text(v, "strength"), "required" | "extensible") {
                    let url = text(v, "valueSet").split('|').next().unwrap_or_default();
                    bound.push(url.to_owned());
                }
                serde_json::json!({ "strength": v.get("strength"), "valueSet": v.get("valueSet") })
            }
            "constraint" => items(e, "constraint")
                .iter()
                .map(|c| {
                    serde_json::json!({
                        "key": c.get("key"), "severity": c.get("severity"),
                        "human": c.get("human"), "expression": c.get("expression"),
                    })
                })
                .collect(),
            "slicing" => {
                let mut s = v.clone();
                if let Some(o) = s.as_object_mut() {
                    o.remove("description");
                    o.remove("id");
                }
                s
            }
            _ => v.clone(),
        };
        out.insert(name.clone(), without_nulls(v));
    }
    Value::Object(out)
}

fn without_nulls(v: Value) -> Value {
    match v {
        Value::Object(o) => Value::Object(
            o.into_iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k, without_nulls(v)))
                .collect(),
        ),
        Value::Array(a) => Value::Array(a.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
