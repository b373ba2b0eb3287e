//! Navigation over the tree.

use std::fmt::Write;

use bytes::Bytes;

use super::{Doc, NO, Raw, flag};
use crate::pack::{ElemId, NameId, TypeId};

/// What a node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// No value of its own: a complex element, or a primitive with extensions only.
    None,
    /// A JSON string.
    String,
    /// A JSON number.
    Number,
    /// A JSON boolean.
    Bool,
}

/// One element of a document. Cheap to copy.
///
/// A node got by name stands for all elements of that name: [`Node::items`] walks them, everything else speaks of the first.
#[derive(Clone, Copy)]
pub struct Node<'d> {
    doc: &'d Doc,
    index: u32,
    group: bool,
}

impl std::fmt::Debug for Node<'_> {
    /// Path only: values are health data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path())
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.doc, other.doc) && self.index == other.index
    }
}

static EMPTY: Raw = Raw {
    name: 0,
    name_len: 0,
    flags: 0,
    val: 0,
    val_len: 0,
    parent: NO,
    child: NO,
    next: NO,
    place: 0,
    elem: ElemId::NONE,
    base_name: NameId::NONE,
    ty: TypeId::NONE,
};

impl<'d> Node<'d> {
    pub(crate) fn new(doc: &'d Doc, index: u32) -> Node<'d> {
        Node {
            doc,
            index,
            group: false,
        }
    }

    #[inline]
    pub(crate) fn raw(&self) -> &'d Raw {
        self.doc.raw(self.index).unwrap_or(&EMPTY)
    }

    /// The document.
    pub fn doc(&self) -> &'d Doc {
        self.doc
    }

    /// Position in the arena: equal for the same element of the same document.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The JSON name (`valueQuantity`), empty for the root.
    pub fn name(&self) -> &'d str {
        let r = self.raw();
        self.doc.text(
            r.name,
            u32::from(r.name_len),
            r.flags & flag::NAME_SIDE != 0,
        )
    }

    #[inline]
    pub(crate) fn name_bytes(&self) -> &'d [u8] {
        let r = self.raw();
        self.doc.slice(
            r.name,
            u32::from(r.name_len),
            r.flags & flag::NAME_SIDE != 0,
        )
    }

    /// Element definition.
    #[inline]
    pub fn elem(&self) -> ElemId {
        self.raw().elem
    }

    /// Type of the element; for resources the concrete type.
    #[inline]
    pub fn type_id(&self) -> TypeId {
        self.raw().ty
    }

    /// Name of the type, empty when unknown.
    pub fn type_name(&self) -> &'d str {
        self.doc.pack.type_name(self.type_id())
    }

    /// What the node holds.
    pub fn kind(&self) -> NodeKind {
        match self.raw().flags & flag::KIND {
            flag::STRING => NodeKind::String,
            flag::NUMBER => NodeKind::Number,
            flag::TRUE | flag::FALSE => NodeKind::Bool,
            _ => NodeKind::None,
        }
    }

    /// Text of a string.
    #[inline]
    pub fn as_str(&self) -> Option<&'d str> {
        let r = self.raw();
        (r.flags & flag::KIND == flag::STRING).then(|| {
            self.doc
                .text(r.val, r.val_len, r.flags & flag::VALUE_SIDE != 0)
        })
    }

    /// Text of a number as written.
    pub fn as_decimal_text(&self) -> Option<&'d str> {
        let r = self.raw();
        (r.flags & flag::KIND == flag::NUMBER).then(|| self.doc.text(r.val, r.val_len, false))
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.raw().flags & flag::KIND {
            flag::TRUE => Some(true),
            flag::FALSE => Some(false),
            _ => None,
        }
    }

    /// An integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_decimal_text()?.parse().ok()
    }

    /// Text of any primitive value: string content, number text, `true`/`false`.
    pub fn value_text(&self) -> Option<&'d str> {
        let r = self.raw();
        (r.flags & flag::KIND != flag::NONE).then(|| {
            self.doc
                .text(r.val, r.val_len, r.flags & flag::VALUE_SIDE != 0)
        })
    }

    /// Whether a primitive value is present.
    pub fn has_value(&self) -> bool {
        self.raw().flags & flag::KIND != flag::NONE
    }

    /// Whether the source gives an object for the element itself (not only for its `_name` companion).
    pub(crate) fn is_object(&self) -> bool {
        self.raw().flags & flag::OBJECT != 0
    }

    /// Whether there are child elements.
    pub fn has_children(&self) -> bool {
        self.fields().next().is_some()
    }

    /// First child of this JSON name; stands for all of them (see [`Node::items`]).
    pub fn get(&self, name: &str) -> Option<Node<'d>> {
        let mut child = self.raw().child;
        while let Some(c) = self.doc.raw(child) {
            if c.flags & flag::HIDDEN == 0
                && self.doc.slice(
                    c.name,
                    u32::from(c.name_len),
                    c.flags & flag::NAME_SIDE != 0,
                ) == name.as_bytes()
            {
                return Some(Node {
                    doc: self.doc,
                    index: child,
                    group: true,
                });
            }
            child = c.next;
        }
        None
    }

    /// Follows a dotted path of JSON names, the first element at each step.
    pub fn at(&self, path: &str) -> Option<Node<'d>> {
        path.split('.').try_fold(*self, |n, name| n.get(name))
    }

    /// String at a dotted path.
    pub fn str_at(&self, path: &str) -> Option<&'d str> {
        self.at(path)?.as_str()
    }

    /// All elements of the name this node was got by; just the node itself when it was not got by name.
    pub fn items(&self) -> Items<'d> {
        Items {
            doc: self.doc,
            next: self.index,
            name: self.name_bytes(),
            one: !self.group,
        }
    }

    /// All children of a JSON name.
    pub fn all(&self, name: &str) -> Items<'d> {
        self.get(name).map_or(
            Items {
                doc: self.doc,
                next: NO,
                name: &[],
                one: true,
            },
            |n| n.items(),
        )
    }

    /// All child elements in document order.
    pub fn fields(&self) -> impl Iterator<Item = Node<'d>> + use<'d> {
        let doc = self.doc;
        let mut child = self.raw().child;
        std::iter::from_fn(move || {
            loop {
                let c = doc.raw(child)?;
                let index = child;
                child = c.next;
                if c.flags & flag::HIDDEN == 0 {
                    return Some(Node::new(doc, index));
                }
            }
        })
    }

    /// The parent element.
    pub fn parent(&self) -> Option<Node<'d>> {
        let p = self.raw().parent;
        self.doc.raw(p).map(|_| Node::new(self.doc, p))
    }

    /// Whether the source gives the element inside a JSON array.
    pub fn in_array(&self) -> bool {
        self.raw().flags & flag::IN_ARRAY != 0
    }

    /// Place in the JSON array, counted from 0; `None` outside arrays.
    pub fn place(&self) -> Option<usize> {
        self.in_array().then_some(self.raw().place as usize)
    }

    /// `resourceType` text, when the node is a resource.
    pub fn resource_type(&self) -> Option<&'d str> {
        let mut child = self.raw().child;
        while let Some(c) = self.doc.raw(child) {
            if c.flags & flag::HIDDEN != 0 {
                return Some(
                    self.doc
                        .text(c.val, c.val_len, c.flags & flag::VALUE_SIDE != 0),
                );
            }
            child = c.next;
        }
        None
    }

    /// The JSON text of a complex element, sharing the document's buffer; empty for primitives.
    pub fn raw_json(&self) -> Bytes {
        let r = self.raw();
        if r.flags & flag::OBJECT == 0 {
            return Bytes::new();
        }
        let (s, e) = (r.val as usize, r.val as usize + r.val_len as usize);
        if e <= self.doc.bytes.len() {
            self.doc.bytes.slice(s..e)
        } else {
            Bytes::new()
        }
    }

    /// Byte span of a string's literal in [`Doc::bytes`], between the quotes, escapes as written. `None` for other kinds, and
    /// for strings with escapes that stand in an array.
    pub fn literal_span(&self) -> Option<std::ops::Range<usize>> {
        let r = self.raw();
        if r.flags & flag::KIND != flag::STRING {
            return None;
        }
        if r.flags & flag::VALUE_SIDE == 0 {
            let start = r.val as usize;
            return Some(start..start + r.val_len as usize);
        }
        if r.flags & (flag::NAME_SIDE | flag::IN_ARRAY) != 0 {
            return None;
        }
        // The text was unescaped elsewhere; its literal follows the name: `name" : "text"`.
        let bytes: &[u8] = &self.doc.bytes;
        let mut at = r.name as usize + usize::from(r.name_len);
        for mark in [b'"', b':', b'"'] {
            while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
                at += 1;
            }
            if bytes.get(at) != Some(&mark) {
                return None;
            }
            at += 1;
        }
        let start = at;
        loop {
            match bytes.get(at)? {
                b'"' => return Some(start..at),
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
    }

    /// Line and column (1-based) in the text received.
    pub fn position(&self) -> (u32, u32) {
        let r = self.raw();
        // A value in the side arena has no offset of its own; its name has.
        let at = if r.flags & flag::VALUE_SIDE != 0 && r.flags & flag::NAME_SIDE == 0 {
            r.name
        } else {
            r.val
        };
        self.doc.position(at as usize)
    }

    /// 1-based line in the text received.
    pub fn line(&self) -> u32 {
        self.position().0
    }

    /// Simple FHIRPath of the element: `Patient.name[0].given[1]`, choices by their base name.
    pub fn path(&self) -> String {
        let mut chain = vec![*self];
        while let Some(p) = chain.last().and_then(Node::parent) {
            chain.push(p);
        }
        let mut out = String::new();
        for n in chain.iter().rev() {
            let elem = self.doc.pack.element(n.elem());
            if n.raw().parent == NO {
                out.push_str(n.resource_type().unwrap_or("Resource"));
                continue;
            }
            out.push('.');
            match elem {
                Some(e) => out.push_str(&e.name),
                None => out.push_str(&crate::finding::safe_name(n.name())),
            }
            if n.in_array() {
                let _ = write!(out, "[{}]", n.raw().place);
            }
        }
        out
    }
}

/// Elements of one name.
#[derive(Clone)]
pub struct Items<'d> {
    doc: &'d Doc,
    next: u32,
    name: &'d [u8],
    one: bool,
}

impl<'d> Iterator for Items<'d> {
    type Item = Node<'d>;

    fn next(&mut self) -> Option<Node<'d>> {
        loop {
            let raw = self.doc.raw(self.next)?;
            let node = Node::new(self.doc, self.next);
            self.next = if self.one { NO } else { raw.next };
            if self.one || node.name_bytes() == self.name {
                return Some(node);
            }
        }
    }
}
