//! Value sets of required and extensible bindings.

use std::collections::{BTreeSet, HashMap};

use fhir::pack::file::{TypeFact, ValueSetFact};
use serde_json::Value;

use super::{items, text};

/// The members of every value set that a required or extensible binding of the types, or one of the `more`, names and
/// that can be listed.
pub fn value_sets(
    types: &[TypeFact],
    more: &[String],
    terminology: &[Value],
    notes: &mut Vec<String>,
) -> Vec<ValueSetFact> {
    let by_url: HashMap<&str, &Value> = terminology.iter().map(|r| (text(r, "url"), r)).collect();
    let sets: HashMap<&str, &Value> = terminology
        .iter()
        .filter(|r| text(r, "resourceType") == "ValueSet")
        .map(|r| (text(r, "url"), r))
        .collect();
    let systems: HashMap<&str, &Value> = terminology
        .iter()
        .filter(|r| text(r, "resourceType") == "CodeSystem")
        .map(|r| (text(r, "url"), r))
        .collect();
    debug_assert!(by_url.len() <= terminology.len());
    let needed: BTreeSet<&str> = types
        .iter()
        .flat_map(|t| &t.elements)
        .flat_map(|e| [e.required.as_str(), e.extensible.as_str()])
        .chain(more.iter().map(String::as_str))
        .filter(|u| !u.is_empty())
        .collect();
    let mut out = Vec::new();
    for url in needed {
        match sets.get(url).and_then(|v| expand(v, &sets, &systems, 0)) {
            Some(systems) if !systems.is_empty() => out.push(ValueSetFact {
                url: url.to_owned(),
                systems,
            }),
            _ => notes.push(format!(
                "members of {url} cannot be listed; the binding is not checked"
            )),
        }
    }
    out
}

/// (system, codes) of a value set; `None` when part of it is not in the package.
fn expand(
    set: &Value,
    sets: &HashMap<&str, &Value>,
    systems: &HashMap<&str, &Value>,
    depth: usize,
) -> Option<Vec<(String, Vec<String>)>> {
    let compose = set.get("compose")?;
    if depth > 5 {
        return None;
    }
    let mut out = union(items(compose, "include"), sets, systems, depth)?;
    for (system, codes) in union(items(compose, "exclude"), sets, systems, depth)? {
        for (s, list) in &mut out {
            if *s == system {
                list.retain(|c| !codes.contains(c));
            }
        }
    }
    out.retain(|(_, codes)| !codes.is_empty());
    Some(out)
}

/// The members of several `include` or `exclude` parts together.
fn union(
    parts: &[Value],
    sets: &HashMap<&str, &Value>,
    systems: &HashMap<&str, &Value>,
    depth: usize,
) -> Option<Vec<(String, Vec<String>)>> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |system: &str, codes: Vec<String>| match out.iter_mut().find(|(s, _)| s == system)
    {
        Some((_, list)) => {
            let fresh: Vec<String> = codes.into_iter().filter(|c| !list.contains(c)).collect();
            list.extend(fresh);
        }
        None => out.push((system.to_owned(), codes)),
    };
    for include in parts {
        let system = text(include, "system");
        for inner in items(include, "valueSet").iter().filter_map(Value::as_str) {
            let inner = sets.get(inner.split('|').next().unwrap_or_default())?;
            for (s, codes) in expand(inner, sets, systems, depth + 1)? {
                add(&s, codes);
            }
        }
        if system.is_empty() {
            continue;
        }
        let listed = items(include, "concept");
        if listed.is_empty() {
            let cs = systems
                .get(system)
                .filter(|c| text(c, "content") == "complete")?;
            let mut codes = Vec::new();
            flatten(cs, &mut codes);
            for filter in items(include, "filter") {
                let kept = filtered(cs, filter)?;
                codes.retain(|c| kept.contains(c));
            }
            add(system, codes);
        } else if include.get("filter").is_some() {
            return None;
        } else {
            add(
                system,
                listed.iter().map(|c| text(c, "code").to_owned()).collect(),
            );
        }
    }
    Some(out)
}

/// Codes of a system that a filter on the hierarchy lets through; `None` for other filters.
fn filtered(cs: &Value, filter: &Value) -> Option<BTreeSet<String>> {
    if text(filter, "property") != "concept" {
        return None;
    }
    let root = text(filter, "value");
    let mut kept = BTreeSet::from([root.to_owned()]);
    let mut pairs = Vec::new();
    parents(cs, "", &mut pairs);
    loop {
        let before = kept.len();
        for (parent, child) in &pairs {
            if kept.contains(parent) {
                kept.insert(child.clone());
            }
        }
        if kept.len() == before {
            break;
        }
    }
    match text(filter, "op") {
        "is-a" => {}
        "descendent-of" => {
            kept.remove(root);
        }
        _ => return None,
    }
    Some(kept)
}

/// (parent, child) pairs of a code system: by nesting, and by the `subsumedBy` property of the v3 systems.
fn parents(v: &Value, parent: &str, out: &mut Vec<(String, String)>) {
    for c in items(v, "concept") {
        let code = text(c, "code");
        if !parent.is_empty() {
            out.push((parent.to_owned(), code.to_owned()));
        }
        for p in items(c, "property") {
            if text(p, "code") == "subsumedBy" {
                out.push((text(p, "valueCode").to_owned(), code.to_owned()));
            }
        }
        parents(c, code, out);
    }
}

fn flatten(v: &Value, out: &mut Vec<String>) {
    for c in items(v, "concept") {
        out.push(text(c, "code").to_owned());
        flatten(c, out);
    }
}
