//! The walk that writes canonical XML. No recursion: nodes are numbered in document order.

use std::collections::BTreeMap;

use super::{C14nError, Method, Scope, Selection};
use crate::xml::{Attribute, Document, Element, Kind, NodeId, XML_NAMESPACE};

pub(super) struct Writer<'a> {
    document: &'a Document,
    method: &'a Method,
    out: Vec<u8>,
    /// Elements whose end tag is still to come.
    open: Vec<Open<'a>>,
    /// Declarations written by the open elements: prefix and namespace, the innermost last.
    written: Vec<(&'a str, &'a str)>,
}

struct Open<'a> {
    element: &'a Element,
    end: NodeId,
    /// Length of `written` before this element.
    written: usize,
}

impl<'a> Writer<'a> {
    pub fn new(document: &'a Document, method: &'a Method) -> Self {
        Self {
            document,
            method,
            out: Vec::new(),
            open: Vec::new(),
            written: Vec::new(),
        }
    }

    pub fn write(mut self, selection: &Selection) -> Result<Vec<u8>, C14nError> {
        let end = self.document.end(selection.apex);
        let mut left_out = selection.left_out.iter().copied().peekable();
        let mut at = selection.apex;
        while at < end {
            self.close_before(at);
            while left_out.next_if(|top| *top < at).is_some() {}
            if left_out.next_if_eq(&at).is_some() {
                at = self.document.end(at);
                continue;
            }
            self.node(at, at == selection.apex)?;
            at = at.next();
        }
        self.close_before(end);
        Ok(self.out)
    }

    fn close_before(&mut self, at: NodeId) {
        while let Some(open) = self.open.pop_if(|open| open.end <= at) {
            self.written.truncate(open.written);
            self.text("</");
            self.name(open.element);
            self.text(">");
        }
    }

    fn node(&mut self, node: NodeId, is_apex: bool) -> Result<(), C14nError> {
        let document = self.document;
        match document.kind(node) {
            Kind::Document => {}
            Kind::Element(element) => self.start_tag(node, element, is_apex)?,
            Kind::Text(text) => self.escaped(text, |c| match c {
                b'&' => Some("&amp;"),
                b'<' => Some("&lt;"),
                b'>' => Some("&gt;"),
                b'\r' => Some("&#xD;"),
                _ => None,
            }),
            Kind::Comment(text) if self.method.comments => {
                self.beside_root(node, |writer| {
                    writer.text("<!--");
                    writer.text(text);
                    writer.text("-->");
                });
            }
            Kind::Comment(_) => {}
            Kind::Instruction { target, data } => self.beside_root(node, |writer| {
                writer.text("<?");
                writer.text(target);
                if !data.is_empty() {
                    writer.text(" ");
                    writer.text(data);
                }
                writer.text("?>");
            }),
        }
        Ok(())
    }

    /// Comments and instructions outside the document element stand on lines of their own.
    fn beside_root(&mut self, node: NodeId, write: impl FnOnce(&mut Self)) {
        let is_outside = self.document.parent(node) == Some(NodeId::DOCUMENT);
        let is_behind = is_outside && node > self.document.root();
        if is_behind {
            self.text("\n");
        }
        write(self);
        if is_outside && !is_behind {
            self.text("\n");
        }
    }

    fn start_tag(
        &mut self,
        node: NodeId,
        element: &'a Element,
        is_apex: bool,
    ) -> Result<(), C14nError> {
        let written = self.written.len();
        let declarations = self.declarations(node, element, is_apex);
        self.text("<");
        self.name(element);
        for (prefix, uri) in declarations {
            if !uri.is_empty() && !has_scheme(uri) {
                return Err(C14nError::RelativeNamespace);
            }
            self.text(if prefix.is_empty() {
                " xmlns"
            } else {
                " xmlns:"
            });
            self.text(prefix);
            self.value(uri);
            self.written.push((prefix, uri));
        }
        let mut attributes: Vec<&Attribute> = element.attributes.iter().collect();
        if is_apex && self.method.scope == Scope::Inclusive {
            attributes.extend(self.inherited(node, element));
        }
        attributes
            .sort_unstable_by_key(|attribute| (&*attribute.name.namespace, &*attribute.name.local));
        for attribute in attributes {
            self.text(" ");
            if !attribute.name.prefix.is_empty() {
                self.text(&attribute.name.prefix);
                self.text(":");
            }
            self.text(&attribute.name.local);
            self.value(&attribute.value);
        }
        self.text(">");
        self.open.push(Open {
            element,
            end: self.document.end(node),
            written,
        });
        Ok(())
    }

    /// The declarations to write, by prefix; an empty namespace takes a written default namespace away.
    fn declarations(
        &self,
        node: NodeId,
        element: &'a Element,
        is_apex: bool,
    ) -> BTreeMap<&'a str, &'a str> {
        let mut wanted: BTreeMap<&'a str, &'a str> = BTreeMap::new();
        // Below the apex only what this element declares itself can differ from what is written already.
        let in_scope = if is_apex {
            self.all_in_scope(node)
        } else {
            element
                .declarations
                .iter()
                .map(|declaration| (&*declaration.prefix, &*declaration.uri))
                .collect()
        };
        match &self.method.scope {
            Scope::Inclusive => wanted = in_scope,
            Scope::Exclusive(listed) => {
                wanted.extend(
                    in_scope
                        .into_iter()
                        .filter(|(prefix, _)| listed.iter().any(|listed| listed == prefix)),
                );
                let names = element.attributes.iter().map(|attribute| &attribute.name);
                for name in names.filter(|name| !name.prefix.is_empty()) {
                    wanted.insert(&name.prefix, &name.namespace);
                }
                wanted.insert(&element.name.prefix, &element.name.namespace);
            }
        }
        wanted.retain(|prefix, uri| {
            let before = self
                .written
                .iter()
                .rev()
                .find(|(written, _)| written == prefix)
                .map_or("", |(_, uri)| *uri);
            *prefix != "xml" && before != *uri
        });
        wanted
    }

    /// Everything in scope at a node; a default namespace taken away counts as none.
    fn all_in_scope(&self, node: NodeId) -> BTreeMap<&'a str, &'a str> {
        let document = self.document;
        let mut all = BTreeMap::new();
        let mut at = Some(node);
        while let Some(node) = at {
            for declaration in document
                .element(node)
                .map_or(&[][..], |element| &element.declarations)
            {
                all.entry(&*declaration.prefix).or_insert(&*declaration.uri);
            }
            at = document.parent(node);
        }
        all
    }

    /// Canonical XML 1.0 §2.4: the apex takes over the `xml:` attributes of elements above it that it has not itself.
    fn inherited(&self, node: NodeId, element: &'a Element) -> Vec<&'a Attribute> {
        let document = self.document;
        let mut found: Vec<&'a Attribute> = Vec::new();
        let mut at = document.parent(node);
        while let Some(node) = at {
            let above = document
                .element(node)
                .map_or(&[][..], |element| &element.attributes);
            for attribute in above {
                let is_new = !element
                    .attributes
                    .iter()
                    .chain(found.iter().copied())
                    .any(|known| known.name.is(XML_NAMESPACE, &attribute.name.local));
                if *attribute.name.namespace == *XML_NAMESPACE && is_new {
                    found.push(attribute);
                }
            }
            at = document.parent(node);
        }
        found
    }

    fn name(&mut self, element: &Element) {
        if !element.name.prefix.is_empty() {
            self.text(&element.name.prefix);
            self.text(":");
        }
        self.text(&element.name.local);
    }

    fn value(&mut self, value: &str) {
        self.text("=\"");
        self.escaped(value, |c| match c {
            b'&' => Some("&amp;"),
            b'<' => Some("&lt;"),
            b'"' => Some("&quot;"),
            b'\t' => Some("&#x9;"),
            b'\n' => Some("&#xA;"),
            b'\r' => Some("&#xD;"),
            _ => None,
        });
        self.text("\"");
    }

    fn escaped(&mut self, text: &str, escape: impl Fn(u8) -> Option<&'static str>) {
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| escape(*byte).is_some()) {
            let (plain, special) = rest.split_at(at);
            self.out.extend_from_slice(plain);
            if let Some((byte, after)) = special.split_first() {
                self.text(escape(*byte).unwrap_or_default());
                rest = after;
            }
        }
        self.out.extend_from_slice(rest);
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

/// Whether a namespace name is an absolute URI, as far as its first characters show.
fn has_scheme(uri: &str) -> bool {
    let Some((scheme, _)) = uri.split_once(':') else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}
