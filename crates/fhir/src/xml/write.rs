//! Tree → XML, in definition order.

use bytes::Bytes;

use super::NS;
use crate::doc::{Doc, Node};
use crate::pack::{ElemId, Pack};

/// The document as FHIR XML. Elements that the definitions do not know come last, in their own order.
pub(crate) fn from_doc(doc: &Doc) -> Bytes {
    let mut w = Writer {
        pack: doc.pack(),
        out: String::with_capacity(doc.bytes().len() * 2),
    };
    w.resource(doc.root(), true);
    Bytes::from(w.out.into_bytes())
}

struct Writer {
    pack: &'static Pack,
    out: String,
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            '\t' => out.push_str("&#x9;"),
            // XML cannot hold these; the validator refuses them on input, so this is for old data only.
            c if (c as u32) < 0x20 => out.push('?'),
            c => out.push(c),
        }
    }
}

/// A name fit to be an XML tag: what the definitions know always is.
fn tag(name: &str) -> String {
    let mut t: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect();
    if !t.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        t.insert(0, '_');
    }
    t
}

impl Writer {
    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(&mut self.out, value);
        self.out.push('"');
    }

    fn resource(&mut self, node: Node<'_>, root: bool) {
        let name = tag(node.resource_type().unwrap_or("Resource"));
        self.out.push('<');
        self.out.push_str(&name);
        if root {
            self.attribute("xmlns", NS);
        }
        self.body(node, &name, true);
    }

    /// The rest of an element whose start tag is still open.
    fn body(&mut self, node: Node<'_>, name: &str, resource: bool) {
        let mut children: Vec<Node<'_>> = Vec::new();
        for c in self.ordered(node) {
            if !resource && c.name() == "id" && c.has_value() {
                self.attribute("id", c.value_text().unwrap_or_default());
            } else if node.type_id() == self.pack.known.extension && c.name() == "url" {
                self.attribute("url", c.value_text().unwrap_or_default());
            } else {
                children.push(c);
            }
        }
        if let Some(v) = node.value_text() {
            self.attribute("value", v);
        }
        if children.is_empty() {
            self.out.push_str("/>");
            return;
        }
        self.out.push('>');
        for c in children {
            self.element(c);
        }
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    fn element(&mut self, node: Node<'_>) {
        if node.type_id() == self.pack.known.xhtml
            && let Some(x) = node.as_str()
        {
            // Stored as XML text already; the reader and the validator saw to its form. JSON may leave out its namespace.
            match x.strip_prefix("<div").filter(|_| !names_namespace(x)) {
                Some(rest) => {
                    self.out.push_str("<div xmlns=\"");
                    self.out.push_str(super::XHTML_NS);
                    self.out.push('"');
                    self.out.push_str(rest);
                }
                None => self.out.push_str(x),
            }
            return;
        }
        let name = tag(node.name());
        self.out.push('<');
        self.out.push_str(&name);
        if node.resource_type().is_some() {
            self.out.push('>');
            self.resource(node, false);
            self.out.push_str("</");
            self.out.push_str(&name);
            self.out.push('>');
        } else {
            self.body(node, &name, false);
        }
    }

    fn ordered<'d>(&self, node: Node<'d>) -> Vec<Node<'d>> {
        let rank = |e: ElemId| {
            if e == ElemId::NONE {
                u32::MAX
            } else {
                u32::from(e.0)
            }
        };
        let mut v: Vec<Node<'d>> = node.fields().collect();
        // Element numbers of one type follow its definition order; the sort is stable for repeats.
        v.sort_by_key(|n| rank(n.elem()));
        v
    }
}

/// Whether the first tag of a narrative declares a namespace.
pub(crate) fn names_namespace(text: &str) -> bool {
    let mut quote = None;
    let end = text.bytes().position(|b| {
        match (quote, b) {
            (None, b'"' | b'\'') => quote = Some(b),
            (Some(q), b) if q == b => quote = None,
            _ => {}
        }
        quote.is_none() && b == b'>'
    });
    let tag = end.and_then(|end| text.get(..end)).unwrap_or(text);
    tag.split_ascii_whitespace()
        .any(|a| a.starts_with("xmlns="))
}
