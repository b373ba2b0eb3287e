//! A CodeSystem, compiled: concepts in the order of the resource, their hierarchy, properties and designations.
//!
//! The hierarchy is what nesting says together with the properties `parent` and `child`; it may be a graph and, in bad
//! resources, may have cycles: every walk keeps what it has seen.

use std::collections::{HashMap, HashSet};

use super::{MAX_CONCEPTS, TerminologyError};
use crate::doc::Node;

/// How much of the system the resource holds (value set `codesystem-content-mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// All codes.
    Complete,
    /// Some codes: a code that is not there proves nothing.
    Fragment,
    /// No codes, only the system's identity; `example` counts as this.
    NotPresent,
    /// More about the codes of another system.
    Supplement,
}

/// Value of a concept property.
#[derive(Clone, Debug, PartialEq)]
pub enum PropertyValue {
    /// A code of the same system, or of the property's own.
    Code(Box<str>),
    /// A coding: system, code, display.
    Coding(Box<str>, Box<str>, Box<str>),
    /// Text.
    String(Box<str>),
    /// Whole number.
    Integer(i64),
    /// Truth value.
    Boolean(bool),
    /// Date and time as written.
    DateTime(Box<str>),
    /// Number as written.
    Decimal(Box<str>),
}

impl PropertyValue {
    /// The value as filters compare it.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Code(s) | Self::String(s) | Self::DateTime(s) | Self::Decimal(s) => {
                s.as_ref().into()
            }
            Self::Coding(_, code, _) => code.as_ref().into(),
            Self::Integer(n) => n.to_string().into(),
            Self::Boolean(b) => if *b { "true" } else { "false" }.into(),
        }
    }

    fn read(node: Node<'_>) -> Option<PropertyValue> {
        let text = |name: &str| node.str_at(name).map(Box::<str>::from);
        if let Some(code) = text("valueCode") {
            return Some(Self::Code(code));
        }
        if let Some(s) = text("valueString") {
            return Some(Self::String(s));
        }
        if let Some(s) = text("valueDateTime") {
            return Some(Self::DateTime(s));
        }
        if let Some(b) = node.get("valueBoolean").and_then(|n| n.as_bool()) {
            return Some(Self::Boolean(b));
        }
        if let Some(n) = node.get("valueInteger").and_then(|n| n.as_i64()) {
            return Some(Self::Integer(n));
        }
        if let Some(n) = node.get("valueDecimal").and_then(|n| n.as_decimal_text()) {
            return Some(Self::Decimal(n.into()));
        }
        let coding = node.get("valueCoding")?;
        let part = |name: &str| Box::from(coding.str_at(name).unwrap_or_default());
        Some(Self::Coding(part("system"), part("code"), part("display")))
    }
}

/// A property of a concept.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Code of the property.
    pub code: Box<str>,
    /// Its value.
    pub value: PropertyValue,
}

/// Another text for a concept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Designation {
    /// Language tag, when given.
    pub language: Option<Box<str>>,
    /// System, code and display of the use, when given.
    pub usage: Option<(Box<str>, Box<str>, Box<str>)>,
    /// The text.
    pub value: Box<str>,
    /// `withdrawn`, `deprecated`, … by the extension `structuredefinition-standards-status`.
    pub standards_status: Option<Box<str>>,
    /// Canonical of the supplement that it comes from.
    pub source: Option<Box<str>>,
}

impl Designation {
    pub(super) fn read(node: Node<'_>) -> Option<Designation> {
        Some(Designation {
            language: node.str_at("language").map(Box::from),
            usage: node.get("use").map(|u| {
                let part = |name: &str| Box::from(u.str_at(name).unwrap_or_default());
                (part("system"), part("code"), part("display"))
            }),
            value: Box::from(node.str_at("value")?),
            standards_status: standards_status(node).map(Box::from),
            source: None,
        })
    }
}

/// What R4 says of a code in extensions and an expansion carries as properties: code of the property, and the extensions.
const TOLD: [(&str, &[&str]); 3] = [
    ("weight", &["itemWeight", "codesystem-itemWeight"]),
    ("label", &["valueset-label", "codesystem-label"]),
    (
        "order",
        &["valueset-conceptOrder", "codesystem-conceptOrder"],
    ),
];

/// The properties that extensions of a concept tell.
pub(super) fn told(node: Node<'_>) -> Vec<Property> {
    let mut out = Vec::new();
    for e in node.all("extension") {
        let Some(name) = e
            .str_at("url")
            .and_then(|u| u.strip_prefix("http://hl7.org/fhir/StructureDefinition/"))
        else {
            continue;
        };
        let Some((code, _)) = TOLD.iter().find(|(_, names)| names.contains(&name)) else {
            continue;
        };
        let value = match PropertyValue::read(e) {
            Some(PropertyValue::Integer(n)) => PropertyValue::Decimal(n.to_string().into()),
            Some(value) => value,
            None => continue,
        };
        out.push(Property {
            code: Box::from(*code),
            value,
        });
    }
    out
}

/// A concept.
#[derive(Clone, Debug, Default)]
pub struct Concept {
    /// Code.
    pub code: Box<str>,
    /// Text in the system's language.
    pub display: Option<Box<str>>,
    /// Definition.
    pub definition: Option<Box<str>>,
    /// Other texts.
    pub designations: Vec<Designation>,
    /// Properties.
    pub properties: Vec<Property>,
    /// Places of concepts directly above.
    pub parents: Vec<u32>,
    /// Places of concepts directly below.
    pub children: Vec<u32>,
    /// Not to be used any more.
    pub inactive: bool,
    /// For grouping only (`notSelectable`).
    pub is_abstract: bool,
    /// Value of the property `status`, when given.
    pub status: Option<Box<str>>,
    /// An extension says that it is `deprecated`, `withdrawn`, ….
    pub has_standing: bool,
    /// Order, label and weight, told by extensions.
    pub told: Vec<Property>,
}

/// A property that concepts may have.
#[derive(Clone, Debug)]
pub struct PropertyDefinition {
    /// Code.
    pub code: Box<str>,
    /// Canonical meaning, empty when not given.
    pub uri: Box<str>,
}

/// What canonical resources have in common.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Canonical URL; empty for one sent along without.
    pub url: Box<str>,
    /// Business version.
    pub version: Option<Box<str>>,
    /// Computable name.
    pub name: Box<str>,
    /// Name for people.
    pub title: Box<str>,
    /// Publication status.
    pub status: Box<str>,
    /// For trials only.
    pub experimental: bool,
    /// `deprecated`, `withdrawn`, … by the extension `structuredefinition-standards-status`.
    pub standards_status: Option<Box<str>>,
    /// Language of the texts.
    pub language: Option<Box<str>>,
}

impl Head {
    pub(super) fn read(node: Node<'_>) -> Head {
        let text = |name: &str| Box::<str>::from(node.str_at(name).unwrap_or_default());
        Head {
            url: text("url"),
            version: node.str_at("version").map(Box::from),
            name: text("name"),
            title: text("title"),
            status: text("status"),
            experimental: node.get("experimental").and_then(|n| n.as_bool()) == Some(true),
            standards_status: standards_status(node).map(Box::from),
            language: node.str_at("language").map(Box::from),
        }
    }

    /// `url|version`, or the URL alone.
    pub fn canonical(&self) -> String {
        match &self.version {
            Some(version) => format!("{}|{version}", self.url),
            None => self.url.to_string(),
        }
    }
}

/// Standing by the extension `structuredefinition-standards-status`.
pub(super) fn standards_status(node: Node<'_>) -> Option<&str> {
    extension(
        node,
        "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status",
    )?
    .str_at("valueCode")
}

/// The first extension with a URL.
pub(super) fn extension<'d>(node: Node<'d>, url: &str) -> Option<Node<'d>> {
    node.all("extension").find(|e| e.str_at("url") == Some(url))
}

const PROPERTIES: &str = "http://hl7.org/fhir/concept-properties#";

/// A compiled CodeSystem.
#[derive(Debug)]
pub struct CodeSystem {
    /// Identity.
    pub head: Head,
    /// Whether codes are case sensitive; `None` = not said, taken as true.
    pub case_sensitive: Option<bool>,
    /// How much is here.
    pub content: Content,
    /// Canonical of the system that this one supplements.
    pub supplements: Option<Box<str>>,
    /// Canonical of the value set of all codes.
    pub value_set: Option<Box<str>>,
    /// Declared properties.
    pub properties: Vec<PropertyDefinition>,
    concepts: Vec<Concept>,
    by_code: HashMap<Box<str>, u32>,
}

impl CodeSystem {
    /// Compiles a CodeSystem resource. At most [`MAX_CONCEPTS`] concepts.
    pub fn compile(node: Node<'_>) -> Result<CodeSystem, TerminologyError> {
        let mut system = CodeSystem {
            head: Head::read(node),
            case_sensitive: node.get("caseSensitive").and_then(|n| n.as_bool()),
            content: match node.str_at("content") {
                Some("fragment") => Content::Fragment,
                Some("not-present" | "example") => Content::NotPresent,
                Some("supplement") => Content::Supplement,
                _ => Content::Complete,
            },
            supplements: node.str_at("supplements").map(Box::from),
            value_set: node.str_at("valueSet").map(Box::from),
            properties: node
                .all("property")
                .map(|p| PropertyDefinition {
                    code: Box::from(p.str_at("code").unwrap_or_default()),
                    uri: Box::from(p.str_at("uri").unwrap_or_default()),
                })
                .collect(),
            concepts: Vec::new(),
            by_code: HashMap::new(),
        };
        // Depth first in document order; the stack holds what is still to be read, last first.
        let mut open: Vec<(Node<'_>, Option<u32>)> =
            node.all("concept").map(|c| (c, None)).collect();
        open.reverse();
        while let Some((concept, parent)) = open.pop() {
            let place = system.add(Concept::read(concept), parent)?;
            let below: Vec<_> = concept.all("concept").collect();
            open.extend(below.into_iter().rev().map(|c| (c, Some(place))));
        }
        system.finish();
        Ok(system)
    }

    /// A system made from plain facts (the national lists).
    pub fn made(
        head: Head,
        content: Content,
        concepts: impl IntoIterator<Item = Concept>,
    ) -> Result<CodeSystem, TerminologyError> {
        let mut system = CodeSystem {
            head,
            case_sensitive: Some(true),
            content,
            supplements: None,
            value_set: None,
            properties: Vec::new(),
            concepts: Vec::new(),
            by_code: HashMap::new(),
        };
        for concept in concepts {
            system.add(concept, None)?;
        }
        system.finish();
        Ok(system)
    }

    fn add(&mut self, concept: Concept, parent: Option<u32>) -> Result<u32, TerminologyError> {
        if self.concepts.len() >= MAX_CONCEPTS {
            return Err(TerminologyError::TooCostly(format!(
                "a code system may have at most {MAX_CONCEPTS} concepts"
            )));
        }
        let place = u32::try_from(self.concepts.len()).unwrap_or(u32::MAX);
        let key = self.key(&concept.code);
        self.by_code.entry(key).or_insert(place);
        self.concepts.push(concept);
        if let Some(parent) = parent {
            self.link(parent, place);
        }
        Ok(place)
    }

    fn link(&mut self, parent: u32, child: u32) {
        if parent == child {
            return;
        }
        let (above, below) = (parent as usize, child as usize);
        if let Some(c) = self.concepts.get_mut(below)
            && !c.parents.contains(&parent)
        {
            c.parents.push(parent);
            if let Some(p) = self.concepts.get_mut(above) {
                p.children.push(child);
            }
        }
    }

    /// Hierarchy and states that are told by properties.
    fn finish(&mut self) {
        let named = |system: &CodeSystem, name: &str| -> Vec<Box<str>> {
            let uri = format!("{PROPERTIES}{name}");
            let mut codes: Vec<Box<str>> = system
                .properties
                .iter()
                .filter(|p| p.uri.as_ref() == uri)
                .map(|p| p.code.clone())
                .collect();
            // A property of this code with another meaning is not it.
            let is_other = system
                .properties
                .iter()
                .any(|p| p.code.as_ref() == name && !p.uri.is_empty() && p.uri.as_ref() != uri);
            if !is_other || codes.is_empty() {
                codes.push(Box::from(name));
            }
            codes
        };
        let parent = named(self, "parent");
        let child = named(self, "child");
        let inactive = named(self, "inactive");
        let status = named(self, "status");
        let abstracts = named(self, "notSelectable");
        let mut links = Vec::new();
        for (concept, place) in self.concepts.iter_mut().zip(0u32..) {
            for p in &concept.properties {
                let text = p.value.text();
                if parent.contains(&p.code) {
                    links.push((text.into_owned(), place, true));
                } else if child.contains(&p.code) {
                    links.push((text.into_owned(), place, false));
                } else if inactive.contains(&p.code) {
                    concept.inactive |= text == "true";
                } else if status.contains(&p.code) {
                    concept.inactive |= matches!(text.as_ref(), "retired" | "inactive");
                    concept.status = Some(Box::from(text.as_ref()));
                } else if abstracts.contains(&p.code) {
                    concept.is_abstract |= text == "true";
                }
            }
        }
        for (code, place, is_parent) in links {
            if let Some(other) = self.place(&code) {
                if is_parent {
                    self.link(other, place);
                } else {
                    self.link(place, other);
                }
            }
        }
    }

    fn key(&self, code: &str) -> Box<str> {
        if self.case_sensitive == Some(false) {
            code.to_lowercase().into()
        } else {
            code.into()
        }
    }

    /// Place of a code, compared as the system's case rule says.
    pub fn place(&self, code: &str) -> Option<u32> {
        self.by_code.get(&self.key(code)).copied()
    }

    /// The concept at a place.
    pub fn at(&self, place: u32) -> Option<&Concept> {
        self.concepts.get(place as usize)
    }

    /// The concept of a code.
    pub fn get(&self, code: &str) -> Option<&Concept> {
        self.at(self.place(code)?)
    }

    /// Concepts in the order of the resource.
    pub fn concepts(&self) -> &[Concept] {
        &self.concepts
    }

    /// Whether an unknown code proves that it does not exist.
    pub fn is_complete(&self) -> bool {
        self.content == Content::Complete
    }

    /// The canonical meaning of a property code, empty when not declared.
    pub fn property_uri(&self, code: &str) -> &str {
        self.properties
            .iter()
            .find(|p| p.code.as_ref() == code)
            .map_or("", |p| &p.uri)
    }

    /// A concept and all below it (`down`) or above it, each once, nearest first.
    pub fn closure(&self, start: u32, down: bool) -> Vec<u32> {
        let mut seen = HashSet::from([start]);
        let mut out = vec![start];
        let mut i = 0;
        while let Some(concept) = out.get(i).copied().and_then(|place| self.at(place)) {
            let next = if down {
                &concept.children
            } else {
                &concept.parents
            };
            out.extend(next.iter().filter(|place| seen.insert(**place)));
            i += 1;
        }
        out
    }

    /// Whether `above` is `below` or an ancestor of it.
    pub fn subsumes(&self, above: u32, below: u32) -> bool {
        above == below
            || (self.at(above).is_some_and(|c| !c.children.is_empty())
                && self.closure(below, false).contains(&above))
    }

    /// The same concepts with what a supplement adds to them: designations and properties.
    #[must_use]
    pub fn supplemented(&self, with: &CodeSystem) -> CodeSystem {
        let mut concepts = self.concepts.clone();
        let source: Box<str> = with.head.canonical().into();
        for added in &with.concepts {
            let Some(concept) = self
                .place(&added.code)
                .and_then(|place| concepts.get_mut(place as usize))
            else {
                continue;
            };
            let in_language = added.display.iter().map(|value| Designation {
                language: with.head.language.clone(),
                value: value.clone(),
                source: Some(source.clone()),
                ..Designation::default()
            });
            concept.designations.extend(in_language);
            let others = added.designations.iter().map(|d| Designation {
                source: Some(source.clone()),
                ..d.clone()
            });
            concept.designations.extend(others);
            concept.properties.extend(added.properties.iter().cloned());
            let is_new = |p: &Property| added.told.iter().all(|a| a.code != p.code);
            concept.told.retain(is_new);
            concept.told.extend(added.told.iter().cloned());
        }
        let mut properties = self.properties.clone();
        properties.extend(with.properties.iter().cloned());
        CodeSystem {
            head: self.head.clone(),
            case_sensitive: self.case_sensitive,
            content: self.content,
            supplements: None,
            value_set: self.value_set.clone(),
            properties,
            concepts,
            by_code: self.by_code.clone(),
        }
    }

    /// Roughly the bytes it takes in memory.
    pub fn weight(&self) -> usize {
        let of = |c: &Concept| {
            200 + c.code.len() * 2
                + c.display.as_ref().map_or(0, |d| d.len())
                + c.definition.as_ref().map_or(0, |d| d.len())
                + c.designations
                    .iter()
                    .map(|d| 80 + d.value.len())
                    .sum::<usize>()
                + c.properties.len() * 60
        };
        self.concepts.iter().map(of).sum()
    }
}

impl Concept {
    fn read(node: Node<'_>) -> Concept {
        Concept {
            code: Box::from(node.str_at("code").unwrap_or_default()),
            display: node.str_at("display").map(Box::from),
            definition: node.str_at("definition").map(Box::from),
            designations: node
                .all("designation")
                .filter_map(Designation::read)
                .collect(),
            properties: node
                .all("property")
                .filter_map(|p| {
                    Some(Property {
                        code: Box::from(p.str_at("code")?),
                        value: PropertyValue::read(p)?,
                    })
                })
                .collect(),
            status: standards_status(node).map(Box::from),
            has_standing: standards_status(node).is_some_and(|s| s != "normative"),
            told: told(node),
            ..Concept::default()
        }
    }
}
