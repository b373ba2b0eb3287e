//! `ValueSet/$expand`.

use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::arguments::{Arguments, missing};
use super::code_system::{Concept, PropertyValue};
use super::compose::{Engine, Item, Stack, note_own_status};
use super::language::{Languages, is_display};
use super::source::{Layers, Source};
use super::value_set::ValueSet;
use super::{MAX_EXPANSION, TerminologyError};
use crate::build::Json;
use crate::doc::Node;

/// What the caller of [`expand`] supplies besides the arguments.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// `expansion.identifier`, a `urn:uuid:`.
    pub identifier: String,
    /// `expansion.timestamp`, a dateTime.
    pub timestamp: String,
}

struct Wish<'d> {
    filter: Vec<String>,
    offset: Option<usize>,
    count: Option<usize>,
    nested: bool,
    designations: bool,
    designation_filter: Vec<&'d str>,
    definition: bool,
    properties: Vec<&'d str>,
    exclude_abstract: bool,
    languages: Languages,
}

/// Expands a value set: `instance` (the resource at whose address the operation was called), `valueSet`, or `url`.
///
/// Errors: no value set named (400), unknown (404), too many codes or steps (422 `too-costly`), or a definition that
/// cannot be worked out (422).
pub fn expand(
    source: &dyn Source,
    arguments: &Arguments<'_>,
    instance: Option<Node<'_>>,
    moment: &Moment,
) -> Result<Value, TerminologyError> {
    let held = arguments.sent_along()?;
    let layers = Layers(vec![&held, source]);
    let set = value_set_of(&layers, arguments, instance)?;
    let mut settings = arguments.settings()?;
    settings.supplements.extend(set.supplements.iter().cloned());
    let engine = Engine::new(&layers, settings);
    for supplement in &engine.settings.supplements {
        engine.supplement(supplement)?;
    }
    let fixed_language = set
        .parameters
        .iter()
        .find(|(name, _)| name.as_ref() == "displayLanguage")
        .map(|(_, value)| value.as_ref());
    let wish = Wish {
        filter: arguments
            .text("filter")
            .or_else(|e| {
                if arguments.texts("filter") == [""] {
                    Ok(None)
                } else {
                    Err(e)
                }
            })?
            .map(codes::fold::fold)
            .map(|f| f.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        offset: arguments.number("offset")?,
        count: arguments.number("count")?,
        nested: arguments.flag("excludeNested")? != Some(true),
        designations: arguments.flag("includeDesignations")?.unwrap_or(false),
        designation_filter: arguments.texts("designation"),
        definition: arguments.flag("includeDefinition")?.unwrap_or(false),
        properties: arguments.texts("property"),
        exclude_abstract: arguments.flag("excludeNotForUI")?.unwrap_or(false),
        languages: arguments.languages(fixed_language)?,
    };
    engine.check_circles(&set)?;
    let mut items = engine.items(&set, &mut Stack::new(&set))?;
    note_own_status(&engine.used, &set);
    if wish.exclude_abstract {
        items.retain(|i| !i.is_abstract);
    }
    if !wish.filter.is_empty() {
        engine.step(items.len() * 4)?;
        items.retain(|item| matches_text(item, &wish.filter));
    }
    let total = items.len();
    let paged = wish.offset.is_some() || wish.count.is_some();
    if !paged && total > MAX_EXPANSION {
        return Err(TerminologyError::TooCostly(format!(
            "the value set has {total} codes, more than the {MAX_EXPANSION} of one answer; ask for pages with count and offset, or narrow it with filter"
        )));
    }
    let mixed = mixed_systems(&set);
    let page: Vec<&Item> = items
        .iter()
        .skip(wish.offset.unwrap_or(0))
        .take(wish.count.unwrap_or(MAX_EXPANSION).min(MAX_EXPANSION))
        .collect();
    // What is taken out leaves gaps that a tree would hide.
    let nested = wish.nested && !paged && wish.filter.is_empty() && set.exclude.is_empty();
    let contains = if nested {
        nested_contains(&page, &wish, &mixed)
    } else {
        page.iter()
            .map(|item| contained(item, &wish, &mixed).build())
            .collect()
    };
    let expansion = Json::new()
        .list("extension", extensions(&engine, &items, &wish))
        .put("identifier", moment.identifier.as_str())
        .put("timestamp", moment.timestamp.as_str())
        .put("total", total)
        .maybe("offset", paged.then(|| wish.offset.unwrap_or(0)))
        .list("parameter", parameters(arguments, &engine, &wish))
        .list("contains", contains)
        .build();
    answer(&set, expansion, wish.definition)
}

/// The value set that a call is about.
pub(super) fn value_set_of(
    source: &dyn Source,
    arguments: &Arguments<'_>,
    instance: Option<Node<'_>>,
) -> Result<Arc<ValueSet>, TerminologyError> {
    if let Some(node) = instance {
        return Ok(Arc::new(ValueSet::compile(node)?));
    }
    if let Some(node) = arguments.resource("valueSet", "ValueSet")? {
        return Ok(Arc::new(ValueSet::compile(node)?));
    }
    if arguments.has("context") {
        return Err(TerminologyError::Invalid {
            code: "not-supported",
            text: "context is not known here; name the value set with url".to_owned(),
        });
    }
    let Some(url) = arguments.text("url")? else {
        return Err(missing(
            "name a value set with url or valueSet, or call the operation on an instance",
        ));
    };
    let version = arguments.text("valueSetVersion")?;
    let engine = Engine::new(source, arguments.settings()?);
    engine
        .value_set(url, version)?
        .ok_or_else(|| TerminologyError::Unknown {
            kind: "ValueSet",
            url: version.map_or_else(|| url.to_owned(), |v| format!("{url}|{v}")),
        })
}

/// Systems that the value set names in several versions: there each code says its own.
fn mixed_systems(set: &ValueSet) -> BTreeSet<Arc<str>> {
    let mut first: HashMap<&str, Option<&str>> = HashMap::new();
    let mut mixed = BTreeSet::new();
    for part in &set.include {
        let Some(system) = part.system.as_deref() else {
            continue;
        };
        let version = part.version.as_deref();
        if *first.entry(system).or_insert(version) != version {
            mixed.insert(Arc::from(system));
        }
    }
    mixed
}

fn matches_text(item: &Item, words: &[String]) -> bool {
    let mut text = codes::fold::fold(&item.code);
    let mut add = |more: &str| {
        text.push(' ');
        text.push_str(&codes::fold::fold(more));
    };
    if let Some(display) = item.display() {
        add(display);
    }
    if let Some(concept) = item.concept() {
        concept.display.as_deref().into_iter().for_each(&mut add);
        concept.designations.iter().for_each(|d| add(&d.value));
    }
    words.iter().all(|word| text.contains(word.as_str()))
}

fn contained(item: &Item, wish: &Wish<'_>, mixed: &BTreeSet<Arc<str>>) -> Json {
    let designations = item.designations();
    let own_language = item
        .definition
        .as_ref()
        .and_then(|d| d.head.language.as_deref());
    let display = wish
        .languages
        .choose(item.display(), own_language, &designations);
    let mut out = Json::new()
        .list("extension", item_extensions(item, wish))
        .put("system", item.system.as_ref());
    if item.is_abstract {
        out = out.put("abstract", true);
    }
    if item.inactive {
        out = out.put("inactive", true);
    }
    if mixed.contains(&item.system) {
        out = out.maybe("version", item.version());
    }
    out = out
        .put("code", item.code.as_ref())
        .maybe("display", display);
    if wish.designations {
        let shown = designations
            .iter()
            .filter(|d| {
                wish.shows(
                    d.language.as_deref(),
                    d.usage.as_ref().map(|u| (&*u.0, &*u.1)),
                )
            })
            // The text shown in its place.
            .filter(|d| {
                !(is_display(d)
                    && Some(d.value.as_ref()) == display
                    && display != item.display()
                    && wish.languages.admits(d.language.as_deref()))
            });
        let mut list: Vec<Value> = Vec::new();
        // The system's own text stands among the designations when another one is shown.
        if let Some(own) = item.display()
            && Some(own) != display
            && wish.shows(own_language, None)
        {
            list.push(
                Json::new()
                    .maybe("language", own_language)
                    .put("value", own)
                    .build(),
            );
        }
        list.extend(shown.map(designation));
        out = out.list("designation", list);
    }
    out
}

/// A designation as ValueSet and Parameters hold it.
pub(super) fn designation(d: &super::code_system::Designation) -> Value {
    Json::new()
        .maybe("language", d.language.as_deref())
        .maybe(
            "use",
            d.usage
                .as_ref()
                .map(|(system, code, display)| crate::build::coding(system, code, display)),
        )
        .put("value", d.value.as_ref())
        .build()
}

impl Wish<'_> {
    /// `designation` asks for some uses or languages: `system|code` or `urn:ietf:bcp:47|nb`.
    fn shows(&self, language: Option<&str>, usage: Option<(&str, &str)>) -> bool {
        self.designation_filter.is_empty()
            || self
                .designation_filter
                .iter()
                .any(|wanted| match wanted.split_once('|') {
                    Some(("urn:ietf:bcp:47", tag)) => {
                        language.is_some_and(|l| l.eq_ignore_ascii_case(tag))
                    }
                    Some((system, code)) => usage == Some((system, code)),
                    None => language.is_some_and(|l| l.eq_ignore_ascii_case(wanted)),
                })
    }
}

const PROPERTY_IN_R4: &str =
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.contains.property";
const DECLARED_IN_R4: &str =
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.property";

/// Properties asked for, as R4 carries what R5 has an element for.
fn item_extensions(item: &Item, wish: &Wish<'_>) -> Vec<Value> {
    let mut out = Vec::new();
    let mut add = |code: &str, value: Value| {
        let mut inner = Map::new();
        inner.insert("url".to_owned(), json!("value"));
        if let Value::Object(o) = value {
            inner.extend(o);
        }
        out.push(json!({
            "url": PROPERTY_IN_R4,
            "extension": [{ "url": "code", "valueCode": code }, inner],
        }));
    };
    for property in item.told() {
        add(&property.code, property_value(&property.value));
    }
    let Some(concept) = item.concept() else {
        return out;
    };
    // Why a code is inactive is told unasked.
    if let Some(status) = concept
        .status
        .as_deref()
        .filter(|_| tells_status(concept, wish))
    {
        add("status", json!({ "valueCode": status }));
    }
    let shows_all = wish.properties.contains(&"*");
    for property in &concept.properties {
        if shows_all || wish.properties.contains(&property.code.as_ref()) {
            add(&property.code, property_value(&property.value));
        }
    }
    if let Some(text) = &concept.definition
        && wish.properties.contains(&"definition")
    {
        add("definition", json!({ "valueString": text }));
    }
    out
}

fn tells_status(concept: &Concept, wish: &Wish<'_>) -> bool {
    (concept.inactive || concept.has_standing)
        && !["*", "status"].iter().any(|p| wish.properties.contains(p))
}

/// `value[x]` of a property.
pub(super) fn property_value(value: &PropertyValue) -> Value {
    match value {
        PropertyValue::Code(v) => json!({ "valueCode": v }),
        PropertyValue::String(v) => json!({ "valueString": v }),
        PropertyValue::DateTime(v) => json!({ "valueDateTime": v }),
        PropertyValue::Boolean(v) => json!({ "valueBoolean": v }),
        PropertyValue::Integer(v) => json!({ "valueInteger": v }),
        PropertyValue::Decimal(v) => match serde_json::from_str::<serde_json::Number>(v) {
            Ok(number) => json!({ "valueDecimal": number }),
            Err(_) => json!({ "valueString": v }),
        },
        PropertyValue::Coding(system, code, display) => {
            json!({ "valueCoding": crate::build::coding(system, code, display) })
        }
    }
}

/// Properties that the expansion carries, and that it is not closed when part of a system stands for the whole.
fn extensions(engine: &Engine<'_>, items: &[Item], wish: &Wish<'_>) -> Vec<Value> {
    let mut out = Vec::new();
    if engine.used.borrow().is_open {
        out.push(json!({
            "url": "http://hl7.org/fhir/StructureDefinition/valueset-unclosed",
            "valueBoolean": true,
        }));
    }
    let mut told: BTreeSet<&str> = items
        .iter()
        .flat_map(|item| item.told().map(|p| p.code.as_ref()))
        .collect();
    if items
        .iter()
        .filter_map(Item::concept)
        .any(|c| c.status.is_some() && tells_status(c, wish))
    {
        told.insert("status");
    }
    let asked = wish.properties.iter().copied();
    let asked: Vec<&str> = asked.filter(|code| !told.contains(code)).collect();
    for code in told.into_iter().chain(asked) {
        let uri = items
            .iter()
            .filter_map(|i| i.definition.as_ref())
            .map(|d| d.property_uri(code))
            .find(|uri| !uri.is_empty());
        let uri = match (uri, code) {
            (Some(uri), _) => uri.to_owned(),
            (None, "weight") => "http://hl7.org/fhir/concept-properties#itemWeight".to_owned(),
            (None, "definition" | "status" | "label" | "order") => {
                format!("http://hl7.org/fhir/concept-properties#{code}")
            }
            _ => continue,
        };
        out.push(json!({
            "url": DECLARED_IN_R4,
            "extension": [{ "url": "code", "valueCode": code }, { "url": "uri", "valueUri": uri }],
        }));
    }
    out
}

/// Codes below a code of the expansion that is directly above them; listed and drawn codes stay side by side.
fn nested_contains(items: &[&Item], wish: &Wish<'_>, mixed: &BTreeSet<Arc<str>>) -> Vec<Value> {
    let mut at: HashMap<(&str, u32), usize> = HashMap::new();
    for (i, item) in items.iter().enumerate() {
        if let Some(place) = item
            .place
            .filter(|_| item.listed.is_none() && !item.is_drawn)
        {
            at.insert((&item.system, place), i);
        }
    }
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    let mut roots = Vec::new();
    let mut depths: Vec<usize> = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        // A parent stands before its children; one that does not is part of a cycle.
        let above = parent(item, &at)
            .filter(|above| *above < i)
            .and_then(|above| Some((above, depths.get(above)? + 1)))
            .filter(|(_, depth)| *depth < MAX_NESTING);
        depths.push(above.map_or(0, |(_, depth)| depth));
        match above.and_then(|(above, _)| below.get_mut(above)) {
            Some(list) => list.push(i),
            None => roots.push(i),
        }
    }
    // One walk from the end builds the tree.
    let mut built: Vec<Option<Value>> = vec![None; items.len()];
    for i in (0..items.len()).rev() {
        let Some(item) = items.get(i) else { continue };
        let children: Vec<Value> = below
            .get(i)
            .into_iter()
            .flatten()
            .filter_map(|c| built.get_mut(*c).and_then(Option::take))
            .collect();
        let value = contained(item, wish, mixed)
            .list("contains", children)
            .build();
        if let Some(slot) = built.get_mut(i) {
            *slot = Some(value);
        }
    }
    roots
        .into_iter()
        .filter_map(|i| built.get_mut(i).and_then(Option::take))
        .collect()
}

/// Deepest nesting of an expansion.
const MAX_NESTING: usize = 40;

fn parent(item: &Item, at: &HashMap<(&str, u32), usize>) -> Option<usize> {
    let is_placed = item.listed.is_none() && !item.is_drawn;
    let definition = item.definition.as_ref().filter(|_| is_placed)?;
    definition
        .at(item.place?)?
        .parents
        .iter()
        .find_map(|place| at.get(&(item.system.as_ref(), *place)).copied())
}

/// What the expansion was made with and from.
fn parameters(arguments: &Arguments<'_>, engine: &Engine<'_>, wish: &Wish<'_>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    let mut add = |name: &str, kind: &str, value: Value| {
        let mut p = Map::new();
        p.insert("name".to_owned(), json!(name));
        p.insert(kind.to_owned(), value);
        out.push(Value::Object(p));
    };
    for name in [
        "activeOnly",
        "excludeNested",
        "excludeNotForUI",
        "excludePostCoordinated",
        "includeDefinition",
        "includeDesignations",
        "limitedExpansion",
    ] {
        if let Ok(Some(flag)) = arguments.flag(name) {
            add(name, "valueBoolean", json!(flag));
        }
    }
    for name in ["count", "offset"] {
        if let Ok(Some(number)) = arguments.number(name) {
            add(name, "valueInteger", json!(number));
        }
    }
    if let Ok(Some(text)) = arguments.text("filter") {
        add("filter", "valueString", json!(text));
    }
    for text in arguments.texts("designation") {
        add("designation", "valueString", json!(text));
    }
    if let Some(language) = arguments.texts("displayLanguage").first() {
        add("displayLanguage", "valueCode", json!(language));
    } else if let Some(language) = wish.languages.first() {
        add("displayLanguage", "valueCode", json!(language));
    }
    for name in [
        "exclude-system",
        "check-system-version",
        "force-system-version",
        "default-valueset-version",
    ] {
        for text in arguments.texts(name) {
            add(name, "valueUri", json!(text));
        }
    }
    let used = engine.used.borrow();
    for (name, list) in [
        ("system-version", &used.defaults),
        ("used-codesystem", &used.systems),
        ("used-valueset", &used.value_sets),
        ("used-supplement", &used.supplements),
    ] {
        for canonical in list {
            add(name, "valueUri", json!(canonical));
        }
    }
    for (what, canonical) in &used.warnings {
        add(&format!("warning-{what}"), "valueUri", json!(canonical));
    }
    out
}

/// The value set with its expansion; its definition only when asked for.
fn answer(
    set: &ValueSet,
    expansion: Value,
    with_definition: bool,
) -> Result<Value, TerminologyError> {
    let mut resource: Map<String, Value> =
        serde_json::from_slice(&set.json).map_err(|_| TerminologyError::Unprocessable {
            code: "processing",
            text: "the value set cannot be written".to_owned(),
        })?;
    resource.remove("expansion");
    resource.remove("text");
    if !with_definition {
        resource.shift_remove("compose");
        resource.shift_remove("contained");
        resource.shift_remove("description");
    }
    resource.insert("expansion".to_owned(), expansion);
    Ok(Value::Object(resource))
}
