//! A document as a tree of names and texts, whether it came as XML or as JSON: the upstream service gives the same names in
//! both. Bounded in size, depth and number of nodes before anything is looked at.

use super::Wrong;
use xmlsec::xml::{Document, Kind, Limits, NodeId};

/// Largest single document, bytes.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Most members and texts of one document.
const MAX_NODES: usize = 200_000;
/// And of a file that holds many.
const MAX_NODES_WITHIN: usize = 8 << 20;

/// A node.
#[derive(Clone, PartialEq, Eq)]
pub enum Tree {
    /// A text, a number or a truth value as written.
    Text(String),
    /// Members in order; a repeated name is a list.
    Members(Vec<(String, Tree)>),
}

/// It is about people: `{:?}` does not show it.
impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tree(…)")
    }
}

impl Tree {
    /// All members.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members: &[(String, Self)] = match self {
            Self::Text(_) => &[],
            Self::Members(members) => members,
        };
        members.iter().map(|(name, tree)| (name.as_str(), tree))
    }

    /// Members of a name.
    pub fn all<'t>(&'t self, name: &'t str) -> impl Iterator<Item = &'t Self> {
        self.members()
            .filter(move |(found, _)| *found == name)
            .map(|(_, tree)| tree)
    }

    /// The first member of a name.
    #[must_use]
    pub fn one<'t>(&'t self, name: &'t str) -> Option<&'t Self> {
        self.all(name).next()
    }

    /// Its text, when it is one and not blank.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()).filter(|t| !t.is_empty()),
            Self::Members(_) => None,
        }
    }

    /// The text of the first member of a name.
    #[must_use]
    pub fn text<'t>(&'t self, name: &'t str) -> Option<&'t str> {
        self.one(name)?.as_text()
    }

    /// From XML: the local name of the root, and what is in it. Namespaces are not compared: each document has one.
    ///
    /// # Errors
    /// When it is not well-formed, has a document type, or is larger than allowed.
    pub fn of_xml(text: &str) -> Result<(String, Self), Wrong> {
        let limits = Limits {
            max_bytes: MAX_DOCUMENT_BYTES,
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            ..Limits::default()
        };
        let document = Document::parse_within(text, &limits)?;
        let root = document.root();
        let name = local(&document, root).ok_or(Wrong::Unknown)?;
        Ok((name, Self::of_element(&document, root)))
    }

    /// The documents within an XML text: its root when `is_known` says so, else each child of the root.
    ///
    /// # Errors
    /// As [`Tree::of_xml`], but for a larger text.
    pub fn within_xml(
        text: &str,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, Self)>, Wrong> {
        let limits = Limits {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES_WITHIN,
            ..Limits::default()
        };
        let document = Document::parse_within(text, &limits)?;
        let root = document.root();
        let named = |node| Some((local(&document, node)?, Self::of_element(&document, node)));
        let is_one = local(&document, root).is_some_and(|name| is_known(&name));
        Ok(if is_one {
            named(root).into_iter().collect()
        } else {
            document.elements(root).filter_map(named).collect()
        })
    }

    fn of_element(document: &Document, node: NodeId) -> Self {
        let members: Vec<(String, Self)> = document
            .elements(node)
            .filter_map(|child| Some((local(document, child)?, Self::of_element(document, child))))
            .collect();
        if members.is_empty() {
            Self::Text(document.text(node))
        } else {
            Self::Members(members)
        }
    }

    /// From a JSON object.
    ///
    /// # Errors
    /// When it is not JSON, or is larger than allowed.
    pub fn of_json(text: &str) -> Result<Self, Wrong> {
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(Wrong::TooMuch("4 MiB in one document"));
        }
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| Wrong::Json {
            line: e.line(),
            column: e.column(),
        })?;
        let mut nodes = 0;
        Self::of_value(value, 0, &mut nodes)
    }

    fn of_value(value: serde_json::Value, depth: usize, nodes: &mut usize) -> Result<Self, Wrong> {
        use serde_json::Value as V;
        *nodes += 1;
        if depth > MAX_DEPTH || *nodes > MAX_NODES {
            return Err(Wrong::TooMuch("32 levels or 200 000 members"));
        }
        Ok(match value {
            V::Null => Self::Text(String::new()),
            V::Bool(truth) => Self::Text(truth.to_string()),
            V::Number(number) => Self::Text(number.to_string()),
            V::String(text) => Self::Text(text),
            V::Array(items) => {
                let mut members = Vec::with_capacity(items.len());
                for item in items {
                    members.push((String::new(), Self::of_value(item, depth + 1, nodes)?));
                }
                Self::Members(members)
            }
            V::Object(object) => {
                let mut members = Vec::with_capacity(object.len());
                for (name, value) in object {
                    match value {
                        V::Array(items) => {
                            for item in items {
                                let item = Self::of_value(item, depth + 1, nodes)?;
                                members.push((name.clone(), item));
                            }
                        }
                        other => members.push((name, Self::of_value(other, depth + 1, nodes)?)),
                    }
                }
                Self::Members(members)
            }
        })
    }
}

fn local(document: &Document, node: NodeId) -> Option<String> {
    match document.kind(node) {
        Kind::Element(element) => Some(element.name.local.to_string()),
        _ => None,
    }
}
