//! Value sets of required bindings.

use std::collections::{BTreeSet, HashMap};

use fhir::pack::file::{TypeFact, ValueSetFact};
use serde_json::Value;

use super::{items, text};

/// The members of every value set that a required binding names and that can be listed.
pub fn value_sets(
    types: &[TypeFact],
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
        .map(|e| e.required.as_str())
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
    if compose.get("exclude").is_some() || depth > 5 {
        return None;
    }
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |system: &str, codes: Vec<String>| match out.iter_mut().find(|(s, _)| s == system)
    {
        Some((_, list)) => {
            let fresh: Vec<String> = codes.into_iter().filter(|c| !list.contains(c)).collect();
            list.extend(fresh);
        }
        None => out.push((system.to_owned(), codes)),
    };
    for include in items(compose, "include") {
        if include.get("filter").is_some() {
            return None;
        }
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
            add(system, codes);
        } else {
            add(
                system,
                listed.iter().map(|c| text(c, "code").to_owned()).collect(),
            );
        }
    }
    Some(out)
}

fn flatten(v: &Value, out: &mut Vec<String>) {
    for c in items(v, "concept") {
        out.push(text(c, "code").to_owned());
        flatten(c, out);
    }
}
