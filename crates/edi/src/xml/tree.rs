//! The owned light tree.

use std::sync::Arc;

use super::Encoding;

/// A namespace name; empty for "no namespace". Shared by all elements of a document.
pub type Ns = Arc<str>;

/// A place in a document. Two places are always equal: equality of values never depends on where they stood.
#[derive(Debug, Clone, Copy, Default)]
pub struct At {
    /// Line, from 1; 0 for a value that was not read from a document.
    pub line: u32,
    /// Column in characters, from 1; 0 for a value that was not read from a document.
    pub column: u32,
    /// First byte of the element in [`XmlDoc::source`].
    pub start: u32,
    /// First byte after the element in [`XmlDoc::source`].
    pub end: u32,
}

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for At {}

/// An attribute (namespace declarations are not attributes here).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attr {
    /// Namespace, empty for none.
    pub ns: Ns,
    /// Local name.
    pub name: Box<str>,
    /// Value, normalised as XML 1.0 §3.3.3.
    pub value: String,
}

/// What an element holds. Comments and processing instructions are dropped on reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A child element.
    Elem(Elem),
    /// Character data.
    Text(String),
}

/// An element with its place in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elem {
    /// Namespace, empty for none.
    pub ns: Ns,
    /// Local name.
    pub name: Box<str>,
    /// Attributes in document order.
    pub attrs: Vec<Attr>,
    /// Content in document order.
    pub children: Vec<Node>,
    /// Where the start tag begins.
    pub at: At,
}

impl Elem {
    /// A new element without content.
    pub fn new(ns: &Ns, name: &str) -> Self {
        Self {
            ns: ns.clone(),
            name: name.into(),
            attrs: Vec::new(),
            children: Vec::new(),
            at: At::default(),
        }
    }

    /// Adds an attribute without namespace.
    #[must_use]
    pub fn with_attr(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set_attr(name, value);
        self
    }

    /// Adds text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }

    /// Adds a child element.
    #[must_use]
    pub fn with_child(mut self, child: Elem) -> Self {
        self.children.push(Node::Elem(child));
        self
    }

    /// Adds an attribute without namespace in place.
    pub fn set_attr(&mut self, name: &str, value: impl Into<String>) {
        self.attrs.push(Attr {
            ns: Arc::from(""),
            name: name.into(),
            value: value.into(),
        });
    }

    /// Child elements.
    pub fn elems(&self) -> impl Iterator<Item = &Elem> {
        self.children.iter().filter_map(|n| match n {
            Node::Elem(e) => Some(e),
            Node::Text(_) => None,
        })
    }

    /// Child elements with this local name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Elem> {
        self.elems().filter(move |e| &*e.name == name)
    }

    /// First child element with this local name.
    pub fn child(&self, name: &str) -> Option<&Elem> {
        self.elems().find(|e| &*e.name == name)
    }

    /// First element reached by following local names downwards.
    pub fn descend(&self, path: &[&str]) -> Option<&Elem> {
        path.iter().try_fold(self, |e, name| e.child(name))
    }

    /// Value of an attribute without namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|a| a.ns.is_empty() && &*a.name == name)
            .map(|a| a.value.as_str())
    }

    /// The element's own character data, untrimmed.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for n in &self.children {
            if let Node::Text(t) = n {
                out.push_str(t);
            }
        }
        out
    }

    /// Trimmed text of the first child with this name; `None` when there is none or it is blank.
    pub fn child_text(&self, name: &str) -> Option<String> {
        let text = self.child(name)?.text();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Calls `f` for this element and everything below it, in document order.
    pub fn walk<'a>(&'a self, f: &mut impl FnMut(&'a Elem)) {
        f(self);
        for e in self.elems() {
            e.walk(f);
        }
    }

    /// First element at or below this one for which `f` holds.
    pub fn find(&self, f: &impl Fn(&Elem) -> bool) -> Option<&Elem> {
        if f(self) {
            Some(self)
        } else {
            self.elems().find_map(|e| e.find(f))
        }
    }
}

/// A document that was read.
#[derive(Debug, Clone)]
pub struct XmlDoc {
    /// The root element.
    pub root: Elem,
    /// How the bytes were encoded.
    pub encoding: Encoding,
    pub(super) source: String,
}

impl XmlDoc {
    /// The whole document as text, without byte order mark; [`At::start`] and [`At::end`] point into it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of an element exactly as received.
    pub fn slice(&self, at: At) -> &str {
        self.source
            .get(at.start as usize..at.end as usize)
            .unwrap_or_default()
    }

    /// Path of the element at a place, such as `/MsgHead/Document[2]/RefDoc`; the deepest element that covers it.
    pub fn path(&self, at: At) -> String {
        let mut out = format!("/{}", self.root.name);
        let mut e = &self.root;
        while e.at.start != at.start || e.at.end != at.end {
            let next = e
                .elems()
                .find(|c| c.at.start <= at.start && at.end <= c.at.end && c.at.end > c.at.start);
            let Some(next) = next else { break };
            step(&mut out, e, next);
            e = next;
        }
        out
    }

    /// Path and element whose start tag begins at, or last before, a line and column.
    pub fn locate(&self, line: u32, column: u32) -> (String, At) {
        let mut best = &self.root;
        self.root.walk(&mut |e| {
            if (e.at.line, e.at.column) <= (line, column) {
                best = e;
            }
        });
        (self.path(best.at), best.at)
    }
}

/// Appends one path step; the index appears only where the name is repeated.
pub(crate) fn step(out: &mut String, parent: &Elem, child: &Elem) {
    out.push('/');
    out.extend(child.name.chars().take(60));
    let mut position = 0;
    let mut count = 0;
    for e in parent.all(&child.name) {
        count += 1;
        if std::ptr::eq(e, child) {
            position = count;
        }
    }
    if count > 1 {
        out.push_str(&format!("[{position}]"));
    }
}
