//! A small XML tree that can be changed. Attribute values and texts are kept as written.

use quick_xml::Reader;
use quick_xml::events::Event;
use std::borrow::Cow;

use super::fault;
use crate::finding::{Finding, IssueCode};
use crate::json::Limits;

/// A node of the tree.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Element(Element),
    /// Text as written.
    Text(String),
    /// Between `<!--` and `-->`.
    Comment(String),
}

/// An element; names as written, with prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Element {
    pub name: String,
    /// Values as written, escapes included.
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Node>,
}

impl Element {
    /// Name without prefix.
    pub fn local(&self) -> &str {
        self.name.rsplit(':').next().unwrap_or_default()
    }

    /// Prefix of the name, empty when it has none.
    pub fn prefix(&self) -> &str {
        self.name.split_once(':').map_or("", |(prefix, _)| prefix)
    }

    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|n| match n {
            Node::Element(e) => Some(e),
            _ => None,
        })
    }

    pub fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|(n, _)| n == name)
    }

    /// An attribute's value, unescaped.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let (_, raw) = self.attributes.iter().find(|(n, _)| n == name)?;
        Some(unescaped(raw))
    }

    /// Sets an attribute to a value as written.
    pub fn set(&mut self, name: &str, raw: String) {
        let raw = raw.replace('"', "&quot;");
        match self.attributes.iter_mut().find(|(n, _)| n == name) {
            Some((_, value)) => *value = raw,
            None => self.attributes.push((name.to_owned(), raw)),
        }
    }

    /// Namespace that a prefix is declared for here; the empty prefix is the default namespace.
    pub fn declared(&self, prefix: &str) -> Option<String> {
        if prefix.is_empty() {
            self.attribute("xmlns")
        } else {
            self.attribute(&format!("xmlns:{prefix}"))
        }
    }

    /// Text of the element itself, as written.
    pub fn raw_text(&self) -> String {
        self.children
            .iter()
            .filter_map(|n| match n {
                Node::Text(t) => Some(t.as_str()),
                _ => None,
            })
            .collect()
    }

    /// The element at places of children, from here.
    pub fn at_mut(&mut self, path: &[usize]) -> Option<&mut Element> {
        path.iter()
            .try_fold(self, |e, place| match e.children.get_mut(*place)? {
                Node::Element(child) => Some(child),
                _ => None,
            })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(self.name.as_bytes());
        for (name, value) in &self.attributes {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            out.extend_from_slice(value.as_bytes());
            out.push(b'"');
        }
        if self.children.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        for child in &self.children {
            match child {
                Node::Element(e) => e.write(out),
                Node::Text(t) => out.extend_from_slice(t.as_bytes()),
                Node::Comment(c) => {
                    out.extend_from_slice(b"<!--");
                    out.extend_from_slice(c.as_bytes());
                    out.extend_from_slice(b"-->");
                }
            }
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'>');
    }
}

/// A text without its escapes; one with unknown entities stays as written.
pub(super) fn unescaped(raw: &str) -> String {
    quick_xml::escape::unescape(raw).map_or_else(|_| raw.to_owned(), Cow::into_owned)
}

/// Whether a text can be the name of an attribute.
pub(super) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))
}

/// Reads a document: no document type, bounded in size and depth.
pub(super) fn read(src: &[u8], limits: &Limits) -> Result<Element, Finding> {
    let malformed = || fault(IssueCode::Invalid, "the XML is not well formed");
    if src.len() > limits.max_bytes {
        return Err(fault(
            IssueCode::TooLong,
            "the XML is larger than the limit",
        ));
    }
    let text = std::str::from_utf8(src).map_err(|_| malformed())?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    reader.config_mut().check_end_names = true;
    let mut open: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    let mut nodes = 0usize;
    loop {
        nodes += 1;
        if nodes > limits.max_nodes {
            return Err(fault(IssueCode::TooCostly, "the XML has too many nodes"));
        }
        let leaf = |open: &mut Vec<Element>, node: Node| {
            if let Some(parent) = open.last_mut() {
                parent.children.push(node);
            }
        };
        match reader.read_event().map_err(|_| malformed())? {
            Event::Eof => break,
            Event::DocType(_) => {
                return Err(fault(
                    IssueCode::Invalid,
                    "a document type declaration is not allowed",
                ));
            }
            Event::Decl(_) | Event::PI(_) => {}
            Event::Start(start) => {
                if open.len() >= limits.max_depth {
                    return Err(fault(IssueCode::TooCostly, "the XML is nested too deeply"));
                }
                if open.is_empty() && root.is_some() {
                    return Err(malformed());
                }
                open.push(element(&start).ok_or_else(malformed)?);
            }
            Event::Empty(start) => {
                let element = element(&start).ok_or_else(malformed)?;
                match (open.last_mut(), &root) {
                    (Some(parent), _) => parent.children.push(Node::Element(element)),
                    (None, None) => root = Some(element),
                    (None, Some(_)) => return Err(malformed()),
                }
            }
            Event::End(_) => {
                let element = open.pop().ok_or_else(malformed)?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(Node::Element(element)),
                    None => root = Some(element),
                }
            }
            Event::Text(t) => {
                push_text(&mut open, &t);
            }
            Event::CData(t) => {
                let raw: &str = &t;
                push_text(&mut open, &quick_xml::escape::escape(raw));
            }
            Event::GeneralRef(name) => {
                let name: &str = &name;
                push_text(&mut open, &format!("&{name};"));
            }
            Event::Comment(c) => {
                let raw: &str = &c;
                leaf(&mut open, Node::Comment(raw.to_owned()));
            }
        }
    }
    if !open.is_empty() {
        return Err(malformed());
    }
    root.ok_or_else(malformed)
}

/// Adds text to the element that is open; pieces of one text become one node.
fn push_text(open: &mut [Element], raw: &str) {
    let Some(parent) = open.last_mut() else {
        return;
    };
    match parent.children.last_mut() {
        Some(Node::Text(text)) => text.push_str(raw),
        _ => parent.children.push(Node::Text(raw.to_owned())),
    }
}

fn element(start: &quick_xml::events::BytesStart<'_>) -> Option<Element> {
    let mut out = Element {
        name: start.name().as_ref().to_owned(),
        ..Element::default()
    };
    for attribute in start.attributes() {
        let attribute = attribute.ok()?;
        let name = attribute.key.as_ref().to_owned();
        let value: &str = &attribute.value;
        // Single quotes become double ones.
        out.attributes.push((name, value.replace('"', "&quot;")));
    }
    Some(out)
}
