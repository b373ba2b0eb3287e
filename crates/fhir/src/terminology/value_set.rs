//! A ValueSet, compiled: what it includes and excludes, or its ready-made expansion.

use bytes::Bytes;

use super::code_system::{Designation, Head, Property, extension, standards_status, told};
use super::{MAX_CONCEPTS, TerminologyError};
use crate::doc::Node;

/// A code that a value set lists.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Code.
    pub code: Box<str>,
    /// Text to show instead of the system's.
    pub display: Option<Box<str>>,
    /// Texts besides the system's.
    pub designations: Vec<Designation>,
    /// The value set will not list it for long (extension `valueset-deprecated`).
    pub is_deprecated: bool,
    /// Order, label and weight, told by extensions.
    pub told: Vec<Property>,
}

/// A condition on the concepts of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Property, or `concept`, `code`, `display`.
    pub property: Box<str>,
    /// Operator code.
    pub op: Box<str>,
    /// Value.
    pub value: Box<str>,
}

/// An include or exclude.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Code system; `None` = drawn from value sets only.
    pub system: Option<Box<str>>,
    /// Its version; `*` and `x` stand for anything.
    pub version: Option<Box<str>>,
    /// Codes; none and no filters = all.
    pub concepts: Vec<Listed>,
    /// Conditions, all must hold.
    pub filters: Vec<Filter>,
    /// Value sets, a code must be in all.
    pub value_sets: Vec<Box<str>>,
}

/// A code of a ready-made expansion.
#[derive(Clone, Debug)]
pub struct Contained {
    /// Code system.
    pub system: Box<str>,
    /// Version of the system, when given.
    pub version: Option<Box<str>>,
    /// Code and texts.
    pub listed: Listed,
    /// For grouping only.
    pub is_abstract: bool,
    /// Not to be used any more.
    pub inactive: bool,
}

/// A compiled ValueSet.
#[derive(Debug)]
pub struct ValueSet {
    /// Identity.
    pub head: Head,
    /// Included.
    pub include: Vec<Part>,
    /// Taken away.
    pub exclude: Vec<Part>,
    /// `compose.inactive`.
    pub inactive: Option<bool>,
    /// It has a compose: else its expansion is all there is.
    pub has_compose: bool,
    /// Ready-made expansion, when there is no compose.
    pub expansion: Vec<Contained>,
    /// Code system supplements that it needs (extension `valueset-supplement`).
    pub supplements: Vec<Box<str>>,
    /// Parameters that its author fixed (extension `valueset-expansion-parameter`): name, value.
    pub parameters: Vec<(Box<str>, Box<str>)>,
    /// Value sets contained in the resource, by `#id`.
    pub contained: Vec<(Box<str>, ValueSet)>,
    /// The resource as JSON, for the answer of `$expand`.
    pub json: Bytes,
}

impl ValueSet {
    /// Compiles a ValueSet resource. At most [`MAX_CONCEPTS`] listed codes.
    pub fn compile(node: Node<'_>) -> Result<ValueSet, TerminologyError> {
        let mut set = ValueSet {
            head: Head::read(node),
            include: Vec::new(),
            exclude: Vec::new(),
            inactive: None,
            has_compose: false,
            expansion: Vec::new(),
            supplements: supplements(node),
            parameters: Vec::new(),
            contained: Vec::new(),
            json: node.raw_json(),
        };
        let mut listed = 0;
        if let Some(compose) = node.get("compose") {
            set.has_compose = true;
            set.inactive = compose.get("inactive").and_then(|n| n.as_bool());
            set.parameters = parameters(compose).chain(parameters(node)).collect();
            for part in compose.all("include") {
                set.include.push(Part::read(part, &mut listed)?);
            }
            for part in compose.all("exclude") {
                set.exclude.push(Part::read(part, &mut listed)?);
            }
        } else if let Some(expansion) = node.get("expansion") {
            let mut open: Vec<Node<'_>> = expansion.all("contains").collect();
            open.reverse();
            while let Some(item) = open.pop() {
                count(&mut listed)?;
                if item.get("code").is_some() {
                    set.expansion.push(Contained::read(item));
                }
                let below: Vec<_> = item.all("contains").collect();
                open.extend(below.into_iter().rev());
            }
        }
        for inner in node.all("contained") {
            if inner.resource_type() == Some("ValueSet")
                && let Some(id) = inner.str_at("id")
                && set.contained.len() < 100
            {
                let id = format!("#{id}").into_boxed_str();
                set.contained.push((id, ValueSet::compile(inner)?));
            }
        }
        Ok(set)
    }

    /// The value set of all codes of a system.
    pub fn all_of(system: &str, version: Option<&str>, url: &str) -> ValueSet {
        ValueSet::of(
            Head {
                url: Box::from(url),
                version: version.map(Box::from),
                status: Box::from("active"),
                ..Head::default()
            },
            Part {
                system: Some(Box::from(system)),
                version: version.map(Box::from),
                ..Part::default()
            },
        )
    }

    /// A value set of one include.
    pub fn of(head: Head, part: Part) -> ValueSet {
        let filters: Vec<_> = part
            .filters
            .iter()
            .map(|f| serde_json::json!({ "property": f.property, "op": f.op, "value": f.value }))
            .collect();
        let json = crate::build::Json::resource("ValueSet")
            .put("url", head.url.as_ref())
            .maybe("version", head.version.as_deref())
            .put("status", head.status.as_ref())
            .put(
                "compose",
                serde_json::json!({ "include": [crate::build::Json::new()
                    .maybe("system", part.system.as_deref())
                    .maybe("version", part.version.as_deref())
                    .list("filter", filters)
                    .build()] }),
            )
            .to_bytes();
        ValueSet {
            head,
            include: vec![part],
            exclude: Vec::new(),
            inactive: None,
            has_compose: true,
            expansion: Vec::new(),
            supplements: Vec::new(),
            parameters: Vec::new(),
            contained: Vec::new(),
            json,
        }
    }

    /// Roughly the bytes it takes in memory.
    pub fn weight(&self) -> usize {
        let listed: usize = self
            .include
            .iter()
            .chain(&self.exclude)
            .map(|p| p.concepts.len())
            .sum();
        self.json.len() + (listed + self.expansion.len()) * 120 + 500
    }
}

/// Supplements that a value set names (extension `valueset-supplement`).
fn supplements(node: Node<'_>) -> Vec<Box<str>> {
    node.all("extension")
        .filter(|e| {
            e.str_at("url") == Some("http://hl7.org/fhir/StructureDefinition/valueset-supplement")
        })
        .filter_map(|e| e.str_at("valueCanonical").or(e.str_at("valueUri")))
        .map(Box::from)
        .collect()
}

fn parameters(node: Node<'_>) -> impl Iterator<Item = (Box<str>, Box<str>)> + use<'_> {
    node.all("extension")
        .filter(|e| {
            e.str_at("url").is_some_and(|u| {
                u.ends_with("/valueset-expansion-parameter")
                    || u.ends_with("/valueset-expand-parameter")
            })
        })
        .filter_map(|e| {
            let name = extension(e, "name")?;
            let value = extension(e, "value")?;
            let text = |n: Node<'_>| {
                n.fields()
                    .find(|f| f.name().starts_with("value"))
                    .and_then(|f| f.value_text().map(Box::<str>::from))
            };
            Some((text(name)?, text(value)?))
        })
}

fn count(listed: &mut usize) -> Result<(), TerminologyError> {
    *listed += 1;
    if *listed > MAX_CONCEPTS {
        return Err(TerminologyError::TooCostly(format!(
            "a value set may list at most {MAX_CONCEPTS} codes"
        )));
    }
    Ok(())
}

impl Listed {
    fn read(node: Node<'_>) -> Listed {
        Listed {
            code: Box::from(node.str_at("code").unwrap_or_default()),
            display: node.str_at("display").map(Box::from),
            designations: node
                .all("designation")
                .filter_map(Designation::read)
                .collect(),
            is_deprecated: extension(
                node,
                "http://hl7.org/fhir/StructureDefinition/valueset-deprecated",
            )
            .and_then(|e| e.get("valueBoolean").or(e.get("valueCode")))
            .and_then(|v| v.value_text())
                == Some("true")
                || standards_status(node) == Some("deprecated"),
            told: told(node),
        }
    }
}

impl Part {
    fn read(node: Node<'_>, listed: &mut usize) -> Result<Part, TerminologyError> {
        let mut part = Part {
            system: node.str_at("system").map(Box::from),
            version: node.str_at("version").map(Box::from),
            concepts: Vec::new(),
            filters: node
                .all("filter")
                .map(|f| Filter {
                    property: Box::from(f.str_at("property").unwrap_or_default()),
                    op: Box::from(f.str_at("op").unwrap_or_default()),
                    value: Box::from(f.str_at("value").unwrap_or_default()),
                })
                .collect(),
            value_sets: node
                .all("valueSet")
                .filter_map(|v| v.as_str().map(Box::from))
                .collect(),
        };
        for concept in node.all("concept") {
            count(listed)?;
            part.concepts.push(Listed::read(concept));
        }
        Ok(part)
    }
}

impl Contained {
    fn read(node: Node<'_>) -> Contained {
        let is = |name: &str| node.get(name).and_then(|n| n.as_bool()) == Some(true);
        Contained {
            system: Box::from(node.str_at("system").unwrap_or_default()),
            version: node.str_at("version").map(Box::from),
            listed: Listed::read(node),
            is_abstract: is("abstract"),
            inactive: is("inactive"),
        }
    }
}
