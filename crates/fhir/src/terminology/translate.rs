//! `ConceptMap/$translate`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::arguments::{Arguments, Coding, missing};
use super::compose::same_system;
use super::concept_map::{ConceptMap, Depends, Group, Mapping, Unmapped};
use super::source::{Layers, Source, split_canonical, version_fits};
use super::{MAX_STEPS, TerminologyError};
use crate::build::{Json, coding as coding_json};
use crate::doc::Node;

/// Most matches of one answer.
const MAX_MATCHES: usize = 1_000;
/// Longest chain of maps that stand in for each other.
const MAX_OTHER_MAPS: usize = 10;

struct Wish {
    codings: Vec<Coding>,
    source_set: Option<String>,
    target_set: Option<String>,
    target_system: Option<String>,
    dependencies: Vec<(String, String)>,
    reverse: bool,
}

struct Match {
    equivalence: String,
    concept: Value,
    map: String,
    comment: Option<String>,
    product: Vec<Value>,
    depends_on: Vec<Value>,
}

/// `ConceptMap/$translate`, forwards or in reverse; R5 names of the parameters are taken as well.
///
/// Errors: no code, or neither map nor system named (400), map unknown (404).
pub fn translate(
    source: &dyn Source,
    arguments: &Arguments<'_>,
    instance: Option<Node<'_>>,
) -> Result<Value, TerminologyError> {
    let held = arguments.sent_along()?;
    let layers = Layers(vec![&held, source]);
    let wish = Wish::read(arguments)?;
    let maps = maps_of(&layers, arguments, instance, &wish)?;
    let mut matches = Vec::new();
    let mut steps = 0u64;
    for coding in &wish.codings {
        for map in &maps {
            in_map(&layers, map, coding, &wish, 0, &mut steps, &mut matches)?;
        }
    }
    let is_match = |m: &Match| !matches!(m.equivalence.as_str(), "unmatched" | "disjoint");
    let result = matches.iter().any(is_match);
    let mut out = vec![json!({ "name": "result", "valueBoolean": result })];
    if !result {
        let text = if maps.is_empty() {
            "no concept map here maps codes of this system so"
        } else {
            "the concept map has no match for the code"
        };
        out.push(json!({ "name": "message", "valueString": text }));
    }
    for m in matches {
        let mut part = vec![json!({ "name": "equivalence", "valueCode": m.equivalence })];
        if !m.concept.is_null() {
            part.push(json!({ "name": "concept", "valueCoding": m.concept }));
        }
        if !m.map.is_empty() {
            part.push(json!({ "name": "source", "valueUri": m.map }));
        }
        for (name, list) in [("product", m.product), ("dependsOn", m.depends_on)] {
            for inner in list {
                part.push(json!({ "name": name, "part": inner }));
            }
        }
        if let Some(comment) = m.comment {
            part.push(json!({ "name": "comment", "valueString": comment }));
        }
        out.push(json!({ "name": "match", "part": part }));
    }
    Ok(json!({ "resourceType": "Parameters", "parameter": out }))
}

impl Wish {
    fn read(arguments: &Arguments<'_>) -> Result<Wish, TerminologyError> {
        let is_target_given = ["targetCode", "targetCoding", "targetCodeableConcept"]
            .iter()
            .any(|name| arguments.has(name));
        let reverse = arguments.flag("reverse")?.unwrap_or(false) || is_target_given;
        let mut codings = Vec::new();
        for name in [
            "codeableConcept",
            "sourceCodeableConcept",
            "targetCodeableConcept",
        ] {
            if let Some(node) = arguments.concept(name)? {
                codings.extend(node.all("coding").take(100).map(Coding::read));
            }
        }
        for name in ["coding", "sourceCoding", "targetCoding"] {
            codings.extend(arguments.coding(name)?);
        }
        let system = arguments
            .text_of(&["system", "sourceSystem"])?
            .map(str::to_owned);
        if let Some(code) = arguments.text_of(&["code", "sourceCode", "targetCode"])? {
            let system = if arguments.has("targetCode") {
                arguments
                    .text("targetSystem")?
                    .map(str::to_owned)
                    .or(system)
            } else {
                system
            };
            codings.push(Coding {
                system,
                code: Some(code.to_owned()),
                version: arguments.text("version")?.map(str::to_owned),
                display: None,
            });
        }
        codings.retain(|c| c.code.is_some());
        if codings.is_empty() {
            return Err(missing(
                "give the code with code and system, with coding, or with codeableConcept",
            ));
        }
        let mut dependencies = Vec::new();
        for node in arguments.nodes("dependency") {
            let part = |name: &str| node.all("part").find(|p| p.str_at("name") == Some(name));
            let element = part("element").and_then(|p| {
                p.fields()
                    .find(|f| f.name().starts_with("value"))
                    .and_then(|f| f.value_text())
            });
            let value = part("concept").and_then(|p| {
                p.at("valueCodeableConcept.coding")
                    .and_then(|c| c.str_at("code"))
            });
            if let (Some(element), Some(value)) = (element, value) {
                dependencies.push((element.to_owned(), value.to_owned()));
            }
        }
        let text = |names: &[&str]| {
            Ok::<_, TerminologyError>(arguments.text_of(names)?.map(str::to_owned))
        };
        Ok(Wish {
            codings,
            source_set: text(&["source", "sourceScope"])?,
            target_set: text(&["target", "targetScope"])?,
            target_system: if is_target_given {
                None
            } else {
                text(&["targetsystem", "targetSystem"])?
            },
            dependencies,
            reverse,
        })
    }
}

fn maps_of(
    source: &dyn Source,
    arguments: &Arguments<'_>,
    instance: Option<Node<'_>>,
    wish: &Wish,
) -> Result<Vec<Arc<ConceptMap>>, TerminologyError> {
    if let Some(node) = instance {
        return Ok(vec![Arc::new(ConceptMap::compile(node)?)]);
    }
    if let Some(node) = arguments.resource("conceptMap", "ConceptMap")? {
        return Ok(vec![Arc::new(ConceptMap::compile(node)?)]);
    }
    if let Some(url) = arguments.text("url")? {
        let (plain, named) = split_canonical(url);
        let version = arguments.text("conceptMapVersion")?.or(named);
        let found = source
            .concept_maps(Some(plain), None)?
            .into_iter()
            .find(|m| version.is_none_or(|v| version_fits(v, m.head.version.as_deref())));
        return found
            .map(|m| vec![m])
            .ok_or_else(|| TerminologyError::Unknown {
                kind: "ConceptMap",
                url: version.map_or_else(|| plain.to_owned(), |v| format!("{plain}|{v}")),
            });
    }
    let system = wish.codings.iter().find_map(|c| c.system.as_deref());
    if system.is_none() && wish.source_set.is_none() && wish.target_set.is_none() {
        return Err(missing(
            "name the map with url, or the code's system with system",
        ));
    }
    let is_wished = |set: &Option<Box<str>>, wish: &Option<String>| {
        wish.as_deref().is_none_or(|w| {
            set.as_deref()
                .is_some_and(|s| split_canonical(s).0 == split_canonical(w).0)
        })
    };
    let mut maps = source.concept_maps(None, system.filter(|_| !wish.reverse))?;
    maps.retain(|m| {
        m.head.status.as_ref() != "retired"
            && is_wished(&m.source, &wish.source_set)
            && is_wished(&m.target, &wish.target_set)
    });
    Ok(maps)
}

fn in_map(
    source: &dyn Source,
    map: &ConceptMap,
    coding: &Coding,
    wish: &Wish,
    depth: usize,
    steps: &mut u64,
    out: &mut Vec<Match>,
) -> Result<(), TerminologyError> {
    let code = coding.code.as_deref().unwrap_or_default();
    for group in &map.groups {
        *steps += group.mappings.len() as u64;
        if *steps > MAX_STEPS || out.len() > MAX_MATCHES {
            return Err(TerminologyError::TooCostly(
                "the translation takes more steps than one question may cost; name the map with url"
                    .to_owned(),
            ));
        }
        let (from, to) = if wish.reverse {
            (&group.target, &group.source)
        } else {
            (&group.source, &group.target)
        };
        let fits = coding
            .system
            .as_deref()
            .is_none_or(|s| same_system(s, from))
            && wish
                .target_system
                .as_deref()
                .is_none_or(|s| same_system(s, to));
        if !fits {
            continue;
        }
        if wish.reverse {
            let back = group
                .mappings
                .iter()
                .filter(|m| m.target.as_deref() == Some(code));
            out.extend(back.map(|m| reversed(map, group, m)));
            continue;
        }
        let mut is_mapped = false;
        for m in group.mappings.iter().filter(|m| m.source.as_ref() == code) {
            is_mapped = true;
            if depends(m, wish) {
                out.push(forward(map, group, m));
            }
        }
        if !is_mapped {
            unmapped(source, map, group, coding, wish, depth, steps, out)?;
        }
    }
    Ok(())
}

/// What is told of the dependencies must agree; what is not told is the caller's to check.
fn depends(mapping: &Mapping, wish: &Wish) -> bool {
    mapping.depends_on.iter().all(|d| {
        wish.dependencies
            .iter()
            .filter(|(element, _)| *element == *d.property)
            .all(|(_, value)| *value == *d.value)
    })
}

#[allow(clippy::too_many_arguments)]
fn unmapped(
    source: &dyn Source,
    map: &ConceptMap,
    group: &Group,
    coding: &Coding,
    wish: &Wish,
    depth: usize,
    steps: &mut u64,
    out: &mut Vec<Match>,
) -> Result<(), TerminologyError> {
    let plain = |equivalence: &str, code: &str, display: Option<&str>| Match {
        equivalence: equivalence.to_owned(),
        concept: coding_json(&group.target, code, display.unwrap_or_default()),
        map: map.head.url.to_string(),
        comment: None,
        product: Vec::new(),
        depends_on: Vec::new(),
    };
    match &group.unmapped {
        None => {}
        Some(Unmapped::Provided) => out.push(plain(
            "equal",
            coding.code.as_deref().unwrap_or_default(),
            coding.display.as_deref(),
        )),
        Some(Unmapped::Fixed(code, display)) => {
            out.push(plain("inexact", code, display.as_deref()));
        }
        Some(Unmapped::OtherMap(url)) => {
            if depth >= MAX_OTHER_MAPS {
                return Err(TerminologyError::TooCostly(format!(
                    "concept maps may stand in for each other over at most {MAX_OTHER_MAPS} steps"
                )));
            }
            let (url, version) = split_canonical(url);
            let other = source
                .concept_maps(Some(url), None)?
                .into_iter()
                .find(|m| version.is_none_or(|v| version_fits(v, m.head.version.as_deref())));
            if let Some(other) = other {
                in_map(source, &other, coding, wish, depth + 1, steps, out)?;
            }
        }
    }
    Ok(())
}

fn concept(system: &str, version: Option<&str>, code: &str, display: Option<&str>) -> Value {
    Json::new()
        .put("system", system)
        .maybe("version", version)
        .put("code", code)
        .maybe("display", display)
        .build()
}

fn forward(map: &ConceptMap, group: &Group, m: &Mapping) -> Match {
    Match {
        equivalence: m.equivalence.to_string(),
        concept: m.target.as_deref().map_or(Value::Null, |code| {
            concept(
                &group.target,
                group.target_version.as_deref(),
                code,
                m.target_display.as_deref(),
            )
        }),
        map: map.head.url.to_string(),
        comment: m.comment.as_deref().map(str::to_owned),
        product: m.product.iter().map(told).collect(),
        depends_on: m.depends_on.iter().map(told).collect(),
    }
}

fn reversed(map: &ConceptMap, group: &Group, m: &Mapping) -> Match {
    let turned = match m.equivalence.as_ref() {
        "wider" => "narrower",
        "narrower" => "wider",
        "subsumes" => "specializes",
        "specializes" => "subsumes",
        same => same,
    };
    Match {
        equivalence: turned.to_owned(),
        concept: concept(
            &group.source,
            group.source_version.as_deref(),
            &m.source,
            m.source_display.as_deref(),
        ),
        map: map.head.url.to_string(),
        comment: m.comment.as_deref().map(str::to_owned),
        product: Vec::new(),
        depends_on: Vec::new(),
    }
}

/// A product or dependency as the answer holds it.
fn told(d: &Depends) -> Value {
    json!([
        { "name": "element", "valueUri": d.property },
        { "name": "concept", "valueCoding": coding_json(
            d.system.as_deref().unwrap_or_default(),
            &d.value,
            d.display.as_deref().unwrap_or_default(),
        ) },
    ])
}
