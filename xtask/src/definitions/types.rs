//! Types and elements.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use fhir::pack::file::{ElementFact, RuleFact, TypeFact, TypeKind};
use serde_json::Value;

use super::{items, text};

/// Not types of R4 4.0.1: an interface without instances, and a resource of R4B.
const NOT_R4: [&str; 2] = ["MetadataResource", "SubscriptionStatus"];

/// Path → (place in the file, element) of the official data elements.
pub fn official(resources: &[Value]) -> HashMap<String, (usize, Value)> {
    let mut map = HashMap::new();
    for (i, r) in resources.iter().enumerate() {
        if let Some(e) = r.pointer("/snapshot/element/0") {
            map.insert(text(e, "path").to_owned(), (i, e.clone()));
        }
    }
    map
}

/// All types: data types first, then resources, each followed by its nested structures.
pub fn types(
    data_types: &[Value],
    resources: &[Value],
    official: &HashMap<String, (usize, Value)>,
    notes: &mut Vec<String>,
) -> Result<Vec<TypeFact>> {
    let constrained = constrained(data_types);
    let mut out = Vec::new();
    for sd in data_types.iter().chain(resources) {
        if text(sd, "resourceType") != "StructureDefinition"
            || text(sd, "derivation") == "constraint"
        {
            continue;
        }
        if NOT_R4.contains(&text(sd, "id")) {
            notes.push(format!("{} is not a type of R4, left out", text(sd, "id")));
            continue;
        }
        out.extend(structure(sd, official, &constrained, notes)?);
    }
    let known: HashSet<&str> = out.iter().map(|t| t.name.as_str()).collect();
    for t in &out {
        for e in &t.elements {
            for ty in &e.types {
                ensure!(
                    known.contains(ty.as_str()),
                    "{}.{} has the unknown type {ty}",
                    t.name,
                    e.name
                );
            }
        }
    }
    Ok(out)
}

/// Rules of the constrained data types, by their names.
type Constrained = HashMap<String, Vec<RuleFact>>;

fn constrained(data_types: &[Value]) -> Constrained {
    data_types
        .iter()
        .filter(|sd| text(sd, "derivation") == "constraint")
        .map(|sd| {
            let root = sd.pointer("/snapshot/element/0");
            let known = ["ele-1", "qty-3"];
            let own = root
                .map(|e| rules(e, text(sd, "url")))
                .unwrap_or_default()
                .into_iter()
                .filter(|r| !known.contains(&r.key.as_str()))
                .collect();
            (text(sd, "id").to_owned(), own)
        })
        .collect()
}

struct Kept<'v> {
    path: String,
    def: &'v Value,
    place: usize,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(p, _)| p)
}

fn last(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, l)| l)
}

fn is_container(e: &Value) -> bool {
    e.get("contentReference").is_some()
        || matches!(
            items(e, "type").first().map(|t| text(t, "code")),
            Some("BackboneElement" | "Element")
        )
}

/// The elements that R4 has, in definition order.
fn keep<'v>(
    name: &str,
    sd: &'v Value,
    official: &'v HashMap<String, (usize, Value)>,
    notes: &mut Vec<String>,
) -> Vec<Kept<'v>> {
    let mut kept: Vec<Kept<'v>> = Vec::new();
    let mut paths: HashSet<String> = HashSet::from([name.to_owned()]);
    let all = sd
        .pointer("/snapshot/element")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    for (place, e) in all.iter().enumerate().skip(1) {
        let path = text(e, "path");
        // A data element with max 0 describes a constraint on the type (SimpleQuantity), not the type.
        let def = if let Some((_, o)) = official.get(path).filter(|(_, o)| text(o, "max") != "0") {
            Some(o)
        } else if !paths.contains(parent(path)) {
            None
        } else {
            let base = e
                .pointer("/base/path")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let infrastructure = matches!(last(path), "id" | "extension" | "modifierExtension");
            let inherited = (base != path || official.contains_key(path))
                && (official.contains_key(base)
                    || base.starts_with("Element.")
                    || base.starts_with("BackboneElement."));
            let prefix = format!("{path}.");
            let structural = is_container(e)
                && (e.get("contentReference").is_some()
                    || official.keys().any(|k| k.starts_with(&prefix))
                    || text(sd, "kind") == "complex-type");
            // Data elements whose id would be longer than 64 characters were never published.
            let unpublished = path.len() > 61;
            (infrastructure || inherited || structural || unpublished).then_some(e)
        };
        match def {
            Some(def) => {
                paths.insert(path.to_owned());
                kept.push(Kept {
                    path: path.to_owned(),
                    def,
                    place: place * 1000,
                });
            }
            None => notes.push(format!("{path} is not in R4, left out")),
        }
    }
    let prefix = format!("{name}.");
    let mut missing: Vec<(&String, &(usize, Value))> = official
        .iter()
        .filter(|(p, _)| p.starts_with(&prefix) && !paths.contains(*p))
        .collect();
    missing.sort_by_key(|(_, (i, _))| *i);
    for (path, (index, def)) in missing {
        // After the sibling that stands before it in the data elements.
        let before = kept
            .iter()
            .filter(|k| {
                parent(&k.path) == parent(path)
                    && official.get(&k.path).is_some_and(|(i, _)| i < index)
            })
            .map(|k| k.place)
            .max();
        let place = before.unwrap_or(0) + 1;
        notes.push(format!("{path} taken from the data elements"));
        kept.push(Kept {
            path: path.clone(),
            def,
            place,
        });
    }
    kept.sort_by_key(|k| k.place);
    kept
}

fn structure(
    sd: &Value,
    official: &HashMap<String, (usize, Value)>,
    constrained: &Constrained,
    notes: &mut Vec<String>,
) -> Result<Vec<TypeFact>> {
    let name = text(sd, "id");
    let kind = match text(sd, "kind") {
        "primitive-type" => TypeKind::Primitive,
        "resource" => TypeKind::Resource,
        _ => TypeKind::Complex,
    };
    let kept = keep(name, sd, official, notes);
    let mut out = vec![TypeFact {
        name: name.to_owned(),
        kind,
        base: last_url(text(sd, "baseDefinition")).to_owned(),
        is_abstract: sd
            .get("abstract")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        elements: Vec::new(),
        rules: sd
            .pointer("/snapshot/element/0")
            .map(|e| rules(e, text(sd, "url")))
            .unwrap_or_default(),
    }];
    let nested: HashSet<&str> = kept
        .iter()
        .filter(|k| kept.iter().any(|c| parent(&c.path) == k.path))
        .map(|k| k.path.as_str())
        .collect();
    for k in &kept {
        if kind == TypeKind::Primitive && last(&k.path) == "value" {
            continue;
        }
        let owner = parent(&k.path);
        let mut fact = element(k, kind == TypeKind::Resource && owner == name, constrained);
        if nested.contains(k.path.as_str()) {
            fact.types = vec![k.path.clone()];
            out.push(TypeFact {
                name: k.path.clone(),
                kind: TypeKind::Backbone,
                base: items(k.def, "type")
                    .first()
                    .map(|t| text(t, "code"))
                    .unwrap_or("BackboneElement")
                    .to_owned(),
                is_abstract: false,
                elements: Vec::new(),
                rules: Vec::new(),
            });
        }
        if let Some(t) = out.iter_mut().find(|t| t.name == owner) {
            t.elements.push(fact);
        }
    }
    Ok(out)
}

fn last_url(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, l)| l)
}

fn element(k: &Kept<'_>, of_resource: bool, constrained: &Constrained) -> ElementFact {
    let e = k.def;
    let name = last(&k.path);
    let max = text(e, "max");
    let mut types = Vec::new();
    let mut targets = Vec::new();
    for t in items(e, "type") {
        let code = text(t, "code");
        let code = if let Some(system) = code.strip_prefix("http://hl7.org/fhirpath/System.") {
            let declared = t
                .pointer("/extension/0/valueUrl")
                .and_then(Value::as_str)
                .unwrap_or("string");
            if of_resource && name == "id" {
                "id"
            } else if declared == "string" && system != "String" {
                "string"
            } else {
                declared
            }
        } else {
            code
        };
        if !types.iter().any(|x| x == code) {
            types.push(code.to_owned());
        }
        for p in items(t, "targetProfile").iter().filter_map(Value::as_str) {
            let target = last_url(p);
            if target != "Resource" && !targets.iter().any(|x| x == target) {
                targets.push(target.to_owned());
            }
        }
    }
    if let Some(r) = e.get("contentReference").and_then(Value::as_str) {
        types = vec![r.trim_start_matches('#').to_owned()];
    }
    let binding = |strength: &str| {
        e.get("binding")
            .filter(|b| text(b, "strength") == strength)
            .map(|b| text(b, "valueSet"))
            .and_then(|url| url.split('|').next())
            .unwrap_or_default()
            .to_owned()
    };
    let mut own_rules = rules(e, "");
    // A constrained data type (SimpleQuantity, MoneyQuantity) is its base type with rules of its own.
    for profile in items(e, "type")
        .iter()
        .flat_map(|t| items(t, "profile"))
        .filter_map(Value::as_str)
    {
        own_rules.extend(
            constrained
                .get(last_url(profile))
                .into_iter()
                .flatten()
                .cloned(),
        );
    }
    ElementFact {
        name: name.trim_end_matches("[x]").to_owned(),
        min: e
            .get("min")
            .and_then(Value::as_u64)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or_default(),
        max: if max == "*" {
            0
        } else {
            max.parse().unwrap_or(1)
        },
        choice: name.ends_with("[x]"),
        types,
        targets,
        summary: e
            .get("isSummary")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        modifier: e
            .get("isModifier")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        required: binding("required"),
        extensible: binding("extensible"),
        rules: own_rules,
    }
}

/// Invariants that belong here: `ele-1` is checked natively, `ext-1` stands on Extension, inherited ones on their own type.
fn rules(e: &Value, own_url: &str) -> Vec<RuleFact> {
    items(e, "constraint")
        .iter()
        .filter(|c| {
            let (key, source) = (text(c, "key"), text(c, "source"));
            let foreign = !source.is_empty() && (own_url.is_empty() || source != own_url);
            key != "ele-1" && !foreign && !text(c, "expression").is_empty()
        })
        .map(|c| RuleFact {
            key: text(c, "key").to_owned(),
            severity: if is_advice(c) {
                "advice"
            } else {
                text(c, "severity")
            }
            .to_owned(),
            expression: corrected(text(c, "key"), text(c, "expression")),
            human: text(c, "human").to_owned(),
        })
        .collect()
}

/// Faults of the published expressions: key, what stands there, what is meant.
const ERRATA: [(&str, &str, &str); 1] = [("que-7", "answer is Boolean", "answer is boolean")];

fn corrected(key: &str, expression: &str) -> String {
    ERRATA
        .iter()
        .filter(|(k, _, _)| *k == key)
        .fold(expression.to_owned(), |e, (_, wrong, right)| {
            e.replace(wrong, right)
        })
}

/// The definitions call the rule best practice.
fn is_advice(constraint: &Value) -> bool {
    items(constraint, "extension").iter().any(|x| {
        text(x, "url").ends_with("/elementdefinition-bestpractice")
            && x.get("valueBoolean").and_then(Value::as_bool) == Some(true)
    })
}
