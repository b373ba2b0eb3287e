//! The parsed resource: original bytes plus one compact tree in FHIR's element model.
//!
//! The tree joins what JSON spreads out: a primitive and its `_name` sibling are one node with a value and children,
//! array items are sibling nodes of one name, and `resourceType` is the type of its node rather than a child. Every node
//! knows its element definition and type, so nothing downstream looks at names twice. XML is turned into JSON first, so
//! both formats give the same tree.

mod build;
mod node;

pub use node::{Items, Node, NodeKind};

use bytes::Bytes;

use crate::finding::{Finding, line_column};
use crate::json::Limits;
use crate::pack::{ElemId, NameId, Pack, TypeId};
use crate::xml::Order;

pub(crate) const NO: u32 = u32::MAX;

pub(crate) mod flag {
    pub const KIND: u16 = 0b111;
    pub const NONE: u16 = 0;
    pub const STRING: u16 = 1;
    pub const NUMBER: u16 = 2;
    pub const TRUE: u16 = 3;
    pub const FALSE: u16 = 4;
    pub const VALUE_SIDE: u16 = 1 << 3;
    pub const NAME_SIDE: u16 = 1 << 4;
    pub const IN_ARRAY: u16 = 1 << 5;
    /// Has a `_name` companion.
    pub const UNDER: u16 = 1 << 6;
    /// `resourceType` of a resource: not an element.
    pub const HIDDEN: u16 = 1 << 7;
    /// The source gives an object for the node (complex value).
    pub const OBJECT: u16 = 1 << 8;
}

/// One node; 42 bytes of facts. `val` is the span of the literal's text, or of the whole object for complex nodes.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub name: u32,
    pub name_len: u16,
    pub flags: u16,
    pub val: u32,
    pub val_len: u32,
    pub parent: u32,
    pub child: u32,
    pub next: u32,
    /// Place in the JSON array.
    pub place: u32,
    pub elem: ElemId,
    pub base_name: NameId,
    pub ty: TypeId,
}

/// Something odd that the parser met but could represent; the validator reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oddity {
    EmptyArray,
    EmptyObject,
    Null,
}

/// Where something odd stands: the element, or a member of it that made no element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Odd {
    pub node: u32,
    /// Span of the member's name; length 0 when the element itself is meant.
    pub name: u32,
    pub name_len: u16,
    pub name_side: bool,
    pub offset: u32,
    pub what: Oddity,
}

/// Line and column of generated JSON in the text it was made from (XML): (JSON offset, line, column), ascending.
pub(crate) type Origin = Vec<(u32, u32, u32)>;

/// An immutable parsed resource.
#[derive(Clone)]
pub struct Doc {
    bytes: Bytes,
    nodes: Vec<Raw>,
    side: String,
    odd: Vec<Odd>,
    origin: Option<Origin>,
    pack: &'static Pack,
}

impl std::fmt::Debug for Doc {
    /// Type and size only: content is health data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Doc({}, {} bytes)",
            self.resource_type(),
            self.bytes.len()
        )
    }
}

impl Doc {
    /// Parses a resource in JSON. The bytes are kept as they are.
    ///
    /// Errors: bad UTF-8 or JSON, duplicate members, a limit, or a shape that FHIR's JSON cannot mean
    /// (no `resourceType`, array in array, a `_name` sibling that does not fit).
    pub fn parse_json(bytes: Bytes, limits: &Limits) -> Result<Doc, Vec<Finding>> {
        Doc::parse(bytes, limits, None)
    }

    /// Parses a resource in XML (R4 §2.6.1); its bytes are the equivalent JSON, positions are those of the XML.
    pub fn parse_xml(xml: &[u8], limits: &Limits) -> Result<Doc, Vec<Finding>> {
        let (json, origin) = crate::xml::to_json(xml, limits, Order::Defined)?;
        Doc::parse(json, limits, Some(origin))
    }

    /// The same with elements in any order: what an XML Patch has put together, whose author may leave the place of an
    /// addition open.
    ///
    /// # Errors
    /// As [`Doc::parse_xml`], the order aside.
    pub fn parse_patched_xml(xml: &[u8], limits: &Limits) -> Result<Doc, Vec<Finding>> {
        let (json, origin) = crate::xml::to_json(xml, limits, Order::Any)?;
        Doc::parse(json, limits, Some(origin))
    }

    fn parse(bytes: Bytes, limits: &Limits, origin: Option<Origin>) -> Result<Doc, Vec<Finding>> {
        let pack = Pack::r4();
        match build::build(&bytes, limits, pack) {
            Ok(built) => Ok(Doc {
                bytes,
                nodes: built.nodes,
                side: built.side,
                odd: built.odd,
                origin,
                pack,
            }),
            Err(fault) => {
                let mut f = fault.finding(&bytes);
                if let Some(o) = &origin {
                    (f.line, f.column) = origin_of(o, fault.offset);
                }
                Err(vec![f])
            }
        }
    }

    /// A resource inside the document as a document of its own, with the lines and columns of the whole text; `None` when the
    /// node is no resource.
    pub fn part(&self, node: Node<'_>) -> Option<Doc> {
        node.resource_type()?;
        let raw = node.raw();
        let (start, end) = (raw.val as usize, raw.val as usize + raw.val_len as usize);
        // What stands before is blanked, so that offsets stay.
        let mut text: Vec<u8> = self
            .bytes
            .get(..start)?
            .iter()
            .map(|b| if *b == b'\n' { b'\n' } else { b' ' })
            .collect();
        text.extend_from_slice(self.bytes.get(start..end)?);
        let limits = Limits {
            max_bytes: usize::MAX,
            ..Limits::default()
        };
        Doc::parse(Bytes::from(text), &limits, self.origin.clone()).ok()
    }

    /// The JSON text, exactly as it came (for XML: the equivalent JSON).
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The resource itself.
    pub fn root(&self) -> Node<'_> {
        Node::new(self, 0)
    }

    /// `resourceType` of the document.
    pub fn resource_type(&self) -> &str {
        self.root().resource_type().unwrap_or_default()
    }

    /// Logical id, when present.
    pub fn id(&self) -> Option<&str> {
        self.root().get("id").and_then(|n| n.as_str())
    }

    /// Every element in document order, the root first.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.nodes
            .iter()
            .zip(0u32..)
            .filter(|(r, _)| r.flags & flag::HIDDEN == 0)
            .map(|(_, i)| Node::new(self, i))
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never true: a document has at least its root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The definitions that the tree was read against.
    pub fn pack(&self) -> &'static Pack {
        self.pack
    }

    /// The document as FHIR XML.
    pub fn to_xml(&self) -> Bytes {
        crate::xml::from_doc(self)
    }

    /// Line and column (1-based) of a byte offset, in the text that was received.
    pub(crate) fn position(&self, offset: usize) -> (u32, u32) {
        match &self.origin {
            Some(o) => origin_of(o, offset),
            None => line_column(&self.bytes, offset),
        }
    }

    pub(crate) fn raw(&self, index: u32) -> Option<&Raw> {
        self.nodes.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn slice(&self, at: u32, len: u32, side: bool) -> &[u8] {
        let (start, end) = (at as usize, at as usize + len as usize);
        let source: &[u8] = if side {
            self.side.as_bytes()
        } else {
            &self.bytes
        };
        source.get(start..end).unwrap_or_default()
    }

    pub(crate) fn text(&self, at: u32, len: u32, side: bool) -> &str {
        if side {
            self.side
                .get(at as usize..at as usize + len as usize)
                .unwrap_or_default()
        } else {
            std::str::from_utf8(self.slice(at, len, false)).unwrap_or_default()
        }
    }

    pub(crate) fn oddities(&self) -> &[Odd] {
        &self.odd
    }
}

fn origin_of(origin: &[(u32, u32, u32)], offset: usize) -> (u32, u32) {
    let i = origin.partition_point(|(o, _, _)| *o as usize <= offset);
    origin
        .get(i.saturating_sub(1))
        .map_or((1, 1), |(_, l, c)| (*l, *c))
}

#[cfg(test)]
mod tests;
