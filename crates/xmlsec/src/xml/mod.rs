//! A strict, read-only XML tree for signatures: every prefix, declaration and space is kept as canonical XML needs it.
//!
//! Not a general parser. A document type is refused, so there are no entities but the five of XML itself, and what one
//! reader sees every other reader sees too; a signature is worth nothing where two readers differ. Rules: XML 1.0
//! (fifth edition) and Namespaces in XML 1.0; version 1.1 is refused.
//!
//! Nodes are numbered in document order, so a subtree is a range of numbers.

mod escape;
mod names;
mod parse;
#[cfg(test)]
mod tests;

pub use escape::escaped;

/// Namespace of the `xml` prefix.
pub const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";
pub(crate) const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";

/// What a document may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest document in bytes.
    pub max_bytes: usize,
    /// Deepest nesting of elements.
    pub max_depth: usize,
    /// Most elements, texts, comments and instructions together.
    pub max_nodes: usize,
    /// Most attributes and declarations of one element.
    pub max_attributes: usize,
    /// Most namespace declarations in scope at one place.
    pub max_namespaces: usize,
}

impl Default for Limits {
    /// 64 MiB (a large message with its attachments inside), 128 levels, 1 048 576 nodes, 128 attributes, 96 namespaces.
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_depth: 128,
            max_nodes: 1 << 20,
            max_attributes: 128,
            max_namespaces: 96,
        }
    }
}

/// A document that is not well-formed, or is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} (line {line})")]
pub struct XmlError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong. Holds no content of the document.
    pub what: &'static str,
}

/// Number of a node; document order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The document itself: parent of the document element and of comments beside it.
    pub const DOCUMENT: Self = Self(0);

    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A name with its prefix as written and the namespace it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Prefix; empty when there is none.
    pub prefix: Box<str>,
    /// Local part.
    pub local: Box<str>,
    /// Namespace; empty when there is none.
    pub namespace: std::sync::Arc<str>,
}

impl Name {
    /// Whether it is this local name in this namespace.
    #[must_use]
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        *self.local == *local && *self.namespace == *namespace
    }
}

/// An attribute that is no namespace declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name.
    pub name: Name,
    /// Value after normalisation.
    pub value: Box<str>,
}

/// A namespace declaration on an element; the prefix is empty for the default namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Prefix.
    pub prefix: Box<str>,
    /// Namespace; empty takes the default namespace away.
    pub uri: std::sync::Arc<str>,
}

/// An element's own parts.
#[derive(Debug, Clone)]
pub struct Element {
    /// Name.
    pub name: Name,
    /// Declarations written on it.
    pub declarations: Vec<Declaration>,
    /// Attributes in the order written.
    pub attributes: Vec<Attribute>,
    /// First byte after the start tag in [`Document::source`].
    pub(crate) content_start: usize,
    /// First byte of the end tag.
    pub(crate) content_end: usize,
    pub(crate) self_closing: bool,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// The document.
    Document,
    /// An element.
    Element(Box<Element>),
    /// Text; adjacent texts, references and CDATA are one node.
    Text(Box<str>),
    /// A comment's content.
    Comment(Box<str>),
    /// A processing instruction.
    Instruction {
        /// Target.
        target: Box<str>,
        /// Everything after the white space behind the target.
        data: Box<str>,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub parent: u32,
    /// One past the last node of the subtree.
    pub end: u32,
    pub kind: Kind,
    /// First byte in the source.
    pub start: usize,
    /// One past the last byte in the source.
    pub stop: usize,
}

/// A parsed document.
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) nodes: Vec<Node>,
    pub(crate) source: String,
}

impl Document {
    /// Parses with the usual [`Limits`].
    ///
    /// # Errors
    /// [`XmlError`].
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        Self::parse_within(text, &Limits::default())
    }

    /// Parses a text; an `encoding` in its XML declaration counts no more, since it is decoded already.
    ///
    /// # Errors
    /// [`XmlError`].
    pub fn parse_within(text: &str, limits: &Limits) -> Result<Self, XmlError> {
        parse::parse(text, limits)
    }

    /// Parses bytes in UTF-8, with or without byte order mark.
    ///
    /// # Errors
    /// [`XmlError`].
    pub fn from_utf8(bytes: &[u8], limits: &Limits) -> Result<Self, XmlError> {
        let text = std::str::from_utf8(bytes).map_err(|_| XmlError {
            line: 1,
            what: "the document is not UTF-8",
        })?;
        Self::parse_within(text, limits)
    }

    /// The text as parsed: line ends are single line feeds, and there is no byte order mark.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The document element.
    #[must_use]
    pub fn root(&self) -> NodeId {
        self.children(NodeId::DOCUMENT)
            .find(|child| self.element(*child).is_some())
            .unwrap_or(NodeId::DOCUMENT)
    }

    /// What a node is.
    #[must_use]
    pub fn kind(&self, node: NodeId) -> &Kind {
        self.nodes
            .get(node.index())
            .map_or(&Kind::Document, |node| &node.kind)
    }

    /// The element, if the node is one.
    #[must_use]
    pub fn element(&self, node: NodeId) -> Option<&Element> {
        match self.kind(node) {
            Kind::Element(element) => Some(element),
            _ => None,
        }
    }

    /// Whether the node is an element of this name.
    #[must_use]
    pub fn is(&self, node: NodeId, namespace: &str, local: &str) -> bool {
        self.element(node)
            .is_some_and(|element| element.name.is(namespace, local))
    }

    /// The parent; the document has none.
    #[must_use]
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        (node != NodeId::DOCUMENT)
            .then(|| self.nodes.get(node.index()).map(|node| NodeId(node.parent)))
            .flatten()
    }

    /// One past the last number of the subtree.
    pub(crate) fn end(&self, node: NodeId) -> NodeId {
        self.nodes
            .get(node.index())
            .map_or(node, |node| NodeId(node.end))
    }

    /// First byte in [`Document::source`].
    pub(crate) fn start(&self, node: NodeId) -> usize {
        self.nodes.get(node.index()).map_or(0, |node| node.start)
    }

    /// One past the last byte in [`Document::source`].
    pub(crate) fn stop(&self, node: NodeId) -> usize {
        self.nodes.get(node.index()).map_or(0, |node| node.stop)
    }

    /// Line of the node's first byte, from 1.
    #[must_use]
    pub fn line(&self, node: NodeId) -> usize {
        let before = self.source.as_bytes().get(..self.start(node));
        1 + before.map_or(0, |b| b.iter().filter(|byte| **byte == b'\n').count())
    }

    /// All nodes of the subtree in document order, the node itself first.
    pub fn subtree(&self, node: NodeId) -> impl Iterator<Item = NodeId> + use<> {
        (node.0..self.end(node).0).map(NodeId)
    }

    /// The children in order.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let end = self.end(node);
        let mut next = NodeId(node.0 + 1);
        std::iter::from_fn(move || {
            (next < end).then(|| {
                let child = next;
                next = self.end(child).max(NodeId(child.0 + 1));
                child
            })
        })
    }

    /// The child elements in order.
    pub fn elements(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.children(node)
            .filter(|child| self.element(*child).is_some())
    }

    /// The child elements of this name.
    pub fn named<'a>(
        &'a self,
        node: NodeId,
        namespace: &'a str,
        local: &'a str,
    ) -> impl Iterator<Item = NodeId> + 'a {
        self.elements(node)
            .filter(move |child| self.is(*child, namespace, local))
    }

    /// The only child element of this name; nothing when there are none or several.
    #[must_use]
    pub fn only(&self, node: NodeId, namespace: &str, local: &str) -> Option<NodeId> {
        let mut found = self.named(node, namespace, local);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Value of an attribute; an empty namespace means one without prefix.
    #[must_use]
    pub fn attribute(&self, node: NodeId, namespace: &str, local: &str) -> Option<&str> {
        self.element(node)?
            .attributes
            .iter()
            .find(|attribute| attribute.name.is(namespace, local))
            .map(|attribute| &*attribute.value)
    }

    /// All text below a node, comments and instructions left out (so that a comment cannot cut a value in two).
    #[must_use]
    pub fn text(&self, node: NodeId) -> String {
        self.subtree(node)
            .filter_map(|node| match self.kind(node) {
                Kind::Text(text) => Some(&**text),
                _ => None,
            })
            .collect()
    }

    /// The namespace a prefix stands for at an element; empty prefix for the default namespace.
    #[must_use]
    pub fn namespace_of(&self, node: NodeId, prefix: &str) -> Option<&str> {
        if prefix == "xml" {
            return Some(XML_NAMESPACE);
        }
        let mut at = Some(node);
        while let Some(node) = at {
            let declared = self.element(node).and_then(|element| {
                element
                    .declarations
                    .iter()
                    .find(|declaration| *declaration.prefix == *prefix)
            });
            if let Some(declaration) = declared {
                return Some(&*declaration.uri).filter(|uri| !uri.is_empty());
            }
            at = self.parent(node);
        }
        None
    }

    /// Whether `node` is `ancestor` or lies below it.
    #[must_use]
    pub fn is_within(&self, node: NodeId, ancestor: NodeId) -> bool {
        ancestor <= node && node < self.end(ancestor)
    }
}
