//! Canonical XML 1.0 and Exclusive XML Canonicalization 1.0, with and without comments.
//!
//! What is canonicalised is a [`Selection`]: a subtree less whole subtrees inside it. That is all that enveloped
//! signatures and the message filter of ebXML ask for; free XPath node sets do not exist here, because what was signed
//! must be something that can be pointed at. An element that is in the selection is there with all its attributes and
//! namespaces.
//!
//! Rules: W3C Canonical XML 1.0 (2001), Exclusive XML Canonicalization 1.0 (2002).

#[cfg(test)]
pub(crate) mod tests;
mod write;

use crate::xml::{Document, Kind, NodeId};

/// A canonicalisation method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Which rules for namespaces.
    pub scope: Scope,
    /// Whether comments are kept.
    pub comments: bool,
}

/// Which namespace declarations an element carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All in scope (Canonical XML 1.0).
    Inclusive,
    /// Those used by names, and these prefixes; the empty prefix stands for `#default` (exclusive).
    Exclusive(Vec<String>),
}

/// Identifier of Canonical XML 1.0.
pub const INCLUSIVE: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
/// Identifier of Canonical XML 1.0 with comments.
pub const INCLUSIVE_WITH_COMMENTS: &str =
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments";
/// Identifier of exclusive canonicalisation, and namespace of its `InclusiveNamespaces`.
pub const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
/// Identifier of exclusive canonicalisation with comments.
pub const EXCLUSIVE_WITH_COMMENTS: &str = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments";

impl Method {
    /// Canonical XML 1.0 without comments.
    pub const INCLUSIVE: Self = Self {
        scope: Scope::Inclusive,
        comments: false,
    };
    /// Exclusive, without comments and without a prefix list.
    pub const EXCLUSIVE: Self = Self {
        scope: Scope::Exclusive(Vec::new()),
        comments: false,
    };

    /// The method of an identifier; `prefixes` is the `PrefixList` beside it, if any.
    #[must_use]
    pub fn from_uri(uri: &str, prefixes: Option<&str>) -> Option<Self> {
        let listed = || {
            prefixes
                .unwrap_or_default()
                .split_ascii_whitespace()
                .map(|prefix| if prefix == "#default" { "" } else { prefix }.to_owned())
                .collect()
        };
        let (scope, comments) = match uri {
            INCLUSIVE => (Scope::Inclusive, false),
            INCLUSIVE_WITH_COMMENTS => (Scope::Inclusive, true),
            EXCLUSIVE => (Scope::Exclusive(listed()), false),
            EXCLUSIVE_WITH_COMMENTS => (Scope::Exclusive(listed()), true),
            _ => return None,
        };
        Some(Self { scope, comments })
    }

    /// Its identifier.
    #[must_use]
    pub fn uri(&self) -> &'static str {
        match (&self.scope, self.comments) {
            (Scope::Inclusive, false) => INCLUSIVE,
            (Scope::Inclusive, true) => INCLUSIVE_WITH_COMMENTS,
            (Scope::Exclusive(_), false) => EXCLUSIVE,
            (Scope::Exclusive(_), true) => EXCLUSIVE_WITH_COMMENTS,
        }
    }
}

/// A subtree without some subtrees of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Its top: the document or an element.
    pub apex: NodeId,
    /// Tops of the subtrees left out, in document order.
    pub left_out: Vec<NodeId>,
}

impl Selection {
    /// A whole subtree.
    #[must_use]
    pub fn all_of(apex: NodeId) -> Self {
        Self {
            apex,
            left_out: Vec::new(),
        }
    }

    /// Leaves a subtree out.
    pub fn leave_out(&mut self, node: NodeId) {
        if let Err(at) = self.left_out.binary_search(&node) {
            self.left_out.insert(at, node);
        }
    }

    /// Whether a node, with everything that is below it and not left out, is in the selection.
    #[must_use]
    pub fn contains(&self, document: &Document, node: NodeId) -> bool {
        document.is_within(node, self.apex)
            && !self
                .left_out
                .iter()
                .any(|top| document.is_within(node, *top))
    }
}

/// Why there is no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum C14nError {
    /// Canonical XML has no form for these.
    #[error("a namespace name that is a relative reference")]
    RelativeNamespace,
    /// The apex is a text, a comment or an instruction.
    #[error("only a document or an element can be canonicalised")]
    NotAnElement,
}

/// The canonical octets of a selection, in UTF-8.
///
/// # Errors
/// [`C14nError`].
pub fn canonicalize(
    document: &Document,
    selection: &Selection,
    method: &Method,
) -> Result<Vec<u8>, C14nError> {
    if !matches!(
        document.kind(selection.apex),
        Kind::Element(_) | Kind::Document
    ) {
        return Err(C14nError::NotAnElement);
    }
    write::Writer::new(document, method).write(selection)
}
