//! `CodeSystem/$lookup` and `CodeSystem/$subsumes`.

use serde_json::{Map, Value, json};

use super::arguments::{Arguments, Coding, missing};
use super::code_system::{CodeSystem, Concept, Content};
use super::compose::{Engine, same_system};
use super::expand::property_value;
use super::source::{Layers, Source, split_canonical};
use super::{TerminologyError, grammar};
use crate::doc::Node;
use std::sync::Arc;

/// Properties that are answered when none are asked for.
const DEFAULT_PROPERTIES: &[&str] = &[
    "system",
    "name",
    "version",
    "display",
    "definition",
    "designation",
    "parent",
    "child",
    "inactive",
    "notSelectable",
    "status",
];

fn unknown_system(url: &str, version: Option<&str>) -> TerminologyError {
    TerminologyError::Unknown {
        kind: "CodeSystem",
        url: version.map_or_else(|| url.to_owned(), |v| format!("{url}|{v}")),
    }
}

fn unknown_code(system: &CodeSystem, code: &str) -> TerminologyError {
    TerminologyError::Unknown {
        kind: "code",
        url: format!("{code} of code system {}", system.head.canonical()),
    }
}

/// The system that a call is about: the instance's, or the one that is named.
fn system_of(
    engine: &Engine<'_>,
    arguments: &Arguments<'_>,
    instance: Option<Node<'_>>,
    coding: Option<&Coding>,
) -> Result<Arc<CodeSystem>, TerminologyError> {
    if let Some(node) = instance {
        let compiled = CodeSystem::compile(node)?;
        if let Some(other) = coding.and_then(|c| c.system.as_deref())
            && !same_system(other, &compiled.head.url)
        {
            return Err(TerminologyError::Invalid {
                code: "invalid",
                text: "the coding is of another code system than the instance".to_owned(),
            });
        }
        return Ok(Arc::new(compiled));
    }
    let url = match coding.and_then(|c| c.system.as_deref()) {
        Some(url) => Some(url),
        None => arguments.text_of(&["system", "url"])?,
    };
    let Some(url) = url else {
        return Err(missing(
            "name the code system with system, or give a coding with one",
        ));
    };
    let (url, named) = split_canonical(url);
    let version = match coding.and_then(|c| c.version.as_deref()) {
        Some(version) => Some(version),
        None => arguments.text("version")?.or(named),
    };
    let found = engine
        .code_system(url, version)?
        .ok_or_else(|| unknown_system(url, version))?;
    if found.content == Content::NotPresent {
        return Err(TerminologyError::Unprocessable {
            code: "not-found",
            text: format!(
                "the codes of code system {} are not known here",
                found.head.canonical()
            ),
        });
    }
    Ok(found)
}

/// `CodeSystem/$lookup`.
///
/// Errors: no code or system (400), system or code unknown (404).
pub fn lookup(
    source: &dyn Source,
    arguments: &Arguments<'_>,
    instance: Option<Node<'_>>,
) -> Result<Value, TerminologyError> {
    let held = arguments.sent_along()?;
    let layers = Layers(vec![&held, source]);
    let engine = Engine::new(&layers, arguments.settings()?);
    for supplement in &engine.settings.supplements {
        engine.supplement(supplement)?;
    }
    let coding = arguments.coding("coding")?;
    let code = match (&coding, arguments.text("code")?) {
        (Some(_), Some(_)) => return Err(missing("give code with system, or coding, not both")),
        (Some(coding), None) => coding
            .code
            .clone()
            .ok_or_else(|| missing("the coding has no code"))?,
        (None, Some(code)) => code.to_owned(),
        (None, None) => {
            return Err(missing(
                "give the code with code and system, or with coding",
            ));
        }
    };
    let system = match system_of(&engine, arguments, instance, coding.as_ref()) {
        Err(TerminologyError::Unknown { kind, url }) if grammar::has(&url, &code) == Some(true) => {
            let _ = kind;
            return Ok(by_grammar(&url, &code));
        }
        other => other?,
    };
    let place = system
        .place(&code)
        .ok_or_else(|| unknown_code(&system, &code))?;
    let concept = system
        .at(place)
        .ok_or_else(|| unknown_code(&system, &code))?;
    let asked = arguments.texts("property");
    let wants = |name: &str| {
        asked.contains(&"*")
            || if asked.is_empty() {
                DEFAULT_PROPERTIES.contains(&name)
            } else {
                asked.contains(&name)
            }
    };
    let languages = arguments.languages(None)?;
    let own_language = system.head.language.as_deref();
    let display = languages
        .choose(
            concept.display.as_deref(),
            own_language,
            &concept.designations,
        )
        .or(concept.display.as_deref())
        .unwrap_or(&concept.code);
    let name = [&system.head.name, &system.head.title, &system.head.url]
        .into_iter()
        .find(|t| !t.is_empty())
        .map_or("", |t| t.as_ref());
    let mut out = vec![json!({ "name": "name", "valueString": name })];
    if let Some(version) = &system.head.version {
        out.push(json!({ "name": "version", "valueString": version }));
    }
    out.push(json!({ "name": "display", "valueString": display }));
    out.push(json!({ "name": "code", "valueCode": concept.code }));
    out.push(json!({ "name": "system", "valueUri": system.head.url }));
    if concept.is_abstract {
        out.push(json!({ "name": "abstract", "valueBoolean": true }));
    }
    if let Some(definition) = concept
        .definition
        .as_deref()
        .filter(|_| wants("definition"))
    {
        out.push(json!({ "name": "definition", "valueString": definition }));
    }
    if let Some(own) = concept
        .display
        .as_deref()
        .filter(|own| wants("designation") && (own_language.is_some() || *own != display))
    {
        let mut part = Vec::new();
        if let Some(language) = own_language {
            part.push(json!({ "name": "language", "valueCode": language }));
        }
        part.push(json!({ "name": "value", "valueString": own }));
        out.push(json!({ "name": "designation", "part": part }));
    }
    let by_language = |language: Option<&str>| {
        asked
            .iter()
            .filter_map(|p| p.strip_prefix("lang."))
            .any(|tag| language.is_some_and(|l| super::language::speaks(tag, l)))
    };
    for d in &concept.designations {
        if wants("designation") || by_language(d.language.as_deref()) {
            out.push(designation(d));
        }
    }
    properties(&system, concept, &wants, asked.is_empty(), &mut out);
    for canonical in &engine.used.borrow().supplements {
        out.push(json!({ "name": "used-supplement", "valueCanonical": canonical }));
    }
    Ok(json!({ "resourceType": "Parameters", "parameter": out }))
}

/// A code of a system with a grammar is its own text.
fn by_grammar(url: &str, code: &str) -> Value {
    json!({ "resourceType": "Parameters", "parameter": [
        { "name": "name", "valueString": url },
        { "name": "display", "valueString": code },
        { "name": "code", "valueCode": code },
        { "name": "system", "valueUri": url },
    ] })
}

fn designation(d: &super::code_system::Designation) -> Value {
    let mut part = Vec::new();
    if let Some(language) = &d.language {
        part.push(json!({ "name": "language", "valueCode": language }));
    }
    if let Some((system, code, display)) = &d.usage {
        part.push(
            json!({ "name": "use", "valueCoding": crate::build::coding(system, code, display) }),
        );
    }
    if let Some(source) = &d.source {
        part.push(json!({ "name": "source", "valueCanonical": source }));
    }
    part.push(json!({ "name": "value", "valueString": d.value }));
    json!({ "name": "designation", "part": part })
}

fn properties(
    system: &CodeSystem,
    concept: &Concept,
    wants: &impl Fn(&str) -> bool,
    all_own: bool,
    out: &mut Vec<Value>,
) {
    let mut add = |code: &str, value: Value, description: Option<&str>| {
        let mut parts = vec![json!({ "name": "code", "valueCode": code })];
        let mut p = Map::new();
        p.insert("name".to_owned(), json!("value"));
        if let Value::Object(o) = value {
            p.extend(o);
        }
        parts.push(Value::Object(p));
        if let Some(text) = description {
            parts.push(json!({ "name": "description", "valueString": text }));
        }
        out.push(json!({ "name": "property", "part": parts }));
    };
    for (name, places) in [("parent", &concept.parents), ("child", &concept.children)] {
        if !wants(name) {
            continue;
        }
        for other in places.iter().filter_map(|p| system.at(*p)) {
            add(
                name,
                json!({ "valueCode": other.code }),
                other.display.as_deref(),
            );
        }
    }
    let is_said = concept
        .properties
        .iter()
        .any(|p| p.code.as_ref() == "inactive");
    if wants("inactive") && !is_said {
        add(
            "inactive",
            json!({ "valueBoolean": concept.inactive }),
            None,
        );
    }
    for property in &concept.properties {
        let name = property.code.as_ref();
        // Told above, by what they mean.
        if matches!(name, "parent" | "child") || !(all_own || wants(name)) {
            continue;
        }
        add(name, property_value(&property.value), None);
    }
}

/// `CodeSystem/$subsumes`.
///
/// Errors: codes or system missing, or of two systems (400), system or a code unknown (404).
pub fn subsumes(
    source: &dyn Source,
    arguments: &Arguments<'_>,
    instance: Option<Node<'_>>,
) -> Result<Value, TerminologyError> {
    let held = arguments.sent_along()?;
    let layers = Layers(vec![&held, source]);
    let engine = Engine::new(&layers, arguments.settings()?);
    let mut codes = Vec::new();
    let mut systems: Vec<Coding> = Vec::new();
    for (code, coding) in [("codeA", "codingA"), ("codeB", "codingB")] {
        let given = match (arguments.text(code)?, arguments.coding(coding)?) {
            (Some(code), None) => code.to_owned(),
            (None, Some(coding)) => {
                let code = coding.code.clone();
                systems.push(coding);
                code.ok_or_else(|| missing("a coding has no code"))?
            }
            _ => return Err(missing(format!("give {code} with system, or {coding}"))),
        };
        codes.push(given);
    }
    if let [a, b] = systems.as_slice()
        && let (Some(x), Some(y)) = (&a.system, &b.system)
        && !same_system(x, y)
    {
        return Err(TerminologyError::Invalid {
            code: "invalid",
            text: "the two codes are of different code systems".to_owned(),
        });
    }
    let system = system_of(
        &engine,
        arguments,
        instance,
        systems.iter().find(|c| c.system.is_some()),
    )?;
    // Codes that show their place need not be known to be compared.
    if super::national::is_lexical(&system.head.url)
        && let [a, b] = codes.as_slice()
    {
        return Ok(outcome(
            b.starts_with(a.as_str()),
            a.starts_with(b.as_str()),
        ));
    }
    let mut places = codes.iter().map(|code| {
        system
            .place(code)
            .ok_or_else(|| unknown_code(&system, code))
    });
    let (Some(a), Some(b)) = (places.next(), places.next()) else {
        return Err(missing("give codeA and codeB"));
    };
    let (a, b) = (a?, b?);
    Ok(outcome(
        a == b || system.subsumes(a, b),
        a == b || system.subsumes(b, a),
    ))
}

/// The answer: whether the first is above the second, and the second above the first.
fn outcome(above: bool, below: bool) -> Value {
    let code = match (above, below) {
        (true, true) => "equivalent",
        (true, false) => "subsumes",
        (false, true) => "subsumed-by",
        (false, false) => "not-subsumed",
    };
    json!({
        "resourceType": "Parameters",
        "parameter": [{ "name": "outcome", "valueCode": code }],
    })
}
