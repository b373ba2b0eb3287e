//! A ConceptMap, compiled, and what a code becomes through it.

use super::code_system::Head;
use super::{MAX_CONCEPTS, TerminologyError};
use crate::doc::Node;

/// A product or dependency of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depends {
    /// Property.
    pub property: Box<str>,
    /// System of the value, when given.
    pub system: Option<Box<str>>,
    /// Value (a code when there is a system).
    pub value: Box<str>,
    /// Text of the value.
    pub display: Option<Box<str>>,
}

/// One mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Code that is mapped.
    pub source: Box<str>,
    /// Its text.
    pub source_display: Option<Box<str>>,
    /// Code it becomes; `None` for `unmatched`.
    pub target: Option<Box<str>>,
    /// Its text.
    pub target_display: Option<Box<str>>,
    /// How they relate (value set `concept-map-equivalence`).
    pub equivalence: Box<str>,
    /// Comment of the author.
    pub comment: Option<Box<str>>,
    /// What must hold for the mapping to count.
    pub depends_on: Vec<Depends>,
    /// What else follows.
    pub product: Vec<Depends>,
}

/// What happens to codes that have no mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmapped {
    /// The same code in the target system.
    Provided,
    /// This code.
    Fixed(Box<str>, Option<Box<str>>),
    /// Another map.
    OtherMap(Box<str>),
}

/// Mappings between two systems.
#[derive(Clone, Debug)]
pub struct Group {
    /// System of the sources.
    pub source: Box<str>,
    /// Its version.
    pub source_version: Option<Box<str>>,
    /// System of the targets.
    pub target: Box<str>,
    /// Its version.
    pub target_version: Option<Box<str>>,
    /// Mappings in the order of the resource.
    pub mappings: Vec<Mapping>,
    /// For codes without one.
    pub unmapped: Option<Unmapped>,
}

/// A compiled ConceptMap.
#[derive(Debug)]
pub struct ConceptMap {
    /// Identity.
    pub head: Head,
    /// Value set that the sources come from.
    pub source: Option<Box<str>>,
    /// Value set that the targets come from.
    pub target: Option<Box<str>>,
    /// Groups.
    pub groups: Vec<Group>,
}

impl ConceptMap {
    /// Compiles a ConceptMap resource. At most [`MAX_CONCEPTS`] mappings.
    pub fn compile(node: Node<'_>) -> Result<ConceptMap, TerminologyError> {
        let mut left = MAX_CONCEPTS;
        let first = |names: [&str; 2]| {
            names
                .iter()
                .find_map(|n| node.str_at(n))
                .map(Box::<str>::from)
        };
        let mut groups = Vec::new();
        for group in node.all("group") {
            let mut mappings = Vec::new();
            for element in group.all("element") {
                let source: Box<str> = Box::from(element.str_at("code").unwrap_or_default());
                let source_display = element.str_at("display").map(Box::<str>::from);
                for target in element.all("target") {
                    left = left.checked_sub(1).ok_or_else(|| {
                        TerminologyError::TooCostly(format!(
                            "a concept map may have at most {MAX_CONCEPTS} mappings"
                        ))
                    })?;
                    mappings.push(Mapping {
                        source: source.clone(),
                        source_display: source_display.clone(),
                        target: target.str_at("code").map(Box::from),
                        target_display: target.str_at("display").map(Box::from),
                        equivalence: Box::from(target.str_at("equivalence").unwrap_or("relatedto")),
                        comment: target.str_at("comment").map(Box::from),
                        depends_on: target.all("dependsOn").map(Depends::read).collect(),
                        product: target.all("product").map(Depends::read).collect(),
                    });
                }
            }
            let unmapped = group.get("unmapped").and_then(|u| match u.str_at("mode") {
                Some("provided") => Some(Unmapped::Provided),
                Some("fixed") => Some(Unmapped::Fixed(
                    Box::from(u.str_at("code")?),
                    u.str_at("display").map(Box::from),
                )),
                Some("other-map") => Some(Unmapped::OtherMap(Box::from(u.str_at("url")?))),
                _ => None,
            });
            groups.push(Group {
                source: Box::from(group.str_at("source").unwrap_or_default()),
                source_version: group.str_at("sourceVersion").map(Box::from),
                target: Box::from(group.str_at("target").unwrap_or_default()),
                target_version: group.str_at("targetVersion").map(Box::from),
                mappings,
                unmapped,
            });
        }
        Ok(ConceptMap {
            head: Head::read(node),
            source: first(["sourceUri", "sourceCanonical"]),
            target: first(["targetUri", "targetCanonical"]),
            groups,
        })
    }

    /// Roughly the bytes it takes in memory.
    pub fn weight(&self) -> usize {
        self.groups
            .iter()
            .map(|g| 200 + g.mappings.len() * 250)
            .sum()
    }
}

impl Depends {
    fn read(node: Node<'_>) -> Depends {
        let text = |name: &str| node.str_at(name).map(Box::<str>::from);
        Depends {
            property: text("property").unwrap_or_default(),
            system: text("system"),
            value: text("value").unwrap_or_default(),
            display: text("display"),
        }
    }
}
