//! XML → JSON bytes with the positions of the XML.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{NS, XHTML_NS};
use crate::doc::Origin;
use crate::finding::{Finding, IssueCode, line_column, safe_name};
use crate::json::{Limits, write_string};
use crate::pack::{ElemId, Pack, TypeId};

#[derive(Debug)]
struct Node {
    name: String,
    at: usize,
    elem: ElemId,
    ty: TypeId,
    resource: Option<String>,
    value: Option<String>,
    id: Option<String>,
    url: Option<String>,
    xhtml: Option<String>,
    children: Vec<Node>,
    /// The newest child that the definitions know, by its place.
    newest: Option<usize>,
}

struct XmlFault {
    at: usize,
    code: IssueCode,
    rule: &'static str,
    text: String,
}

fn fault<T>(
    at: usize,
    code: IssueCode,
    rule: &'static str,
    text: impl Into<String>,
) -> Result<T, XmlFault> {
    Err(XmlFault {
        at,
        code,
        rule,
        text: text.into(),
    })
}

/// Whether elements must stand in the order of their definitions, as FHIR's XML schemas want them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// They must.
    Defined,
    /// Any order: a text that a patch has put together.
    Any,
}

/// The JSON of an XML resource, and where its parts stand in the XML.
pub(crate) fn to_json(
    src: &[u8],
    limits: &Limits,
    order: Order,
) -> Result<(Bytes, Origin), Vec<Finding>> {
    let pack = Pack::r4();
    let normal = line_ends(src, limits);
    let src: &[u8] = &normal;
    let mut reader = Tree {
        src,
        limits,
        pack,
        order,
        nodes: 0,
    };
    match reader.read() {
        Ok(root) => {
            let lines: Vec<usize> = std::iter::once(0)
                .chain(
                    src.iter()
                        .enumerate()
                        .filter(|(_, b)| **b == b'\n')
                        .map(|(i, _)| i + 1),
                )
                .collect();
            let mut w = Writer {
                pack,
                src,
                lines,
                out: Vec::with_capacity(src.len()),
                origin: Vec::new(),
            };
            w.resource(&root);
            Ok((Bytes::from(w.out), w.origin))
        }
        Err(f) => {
            let (line, column) = line_column(src, f.at);
            Err(vec![
                Finding::error(f.code, f.rule, f.text).at(line, column),
            ])
        }
    }
}

/// Line ends as XML 1.0 §2.11 wants them read: CR LF and CR become LF.
fn line_ends<'s>(src: &'s [u8], limits: &Limits) -> Cow<'s, [u8]> {
    if src.len() > limits.max_bytes || !src.contains(&b'\r') {
        return Cow::Borrowed(src);
    }
    let mut out = Vec::with_capacity(src.len());
    let mut before = 0;
    for b in src {
        match (*b, before) {
            (b'\n', b'\r') => {}
            (b'\r', _) => out.push(b'\n'),
            (b, _) => out.push(b),
        }
        before = *b;
    }
    Cow::Owned(out)
}

struct Tree<'s> {
    src: &'s [u8],
    limits: &'s Limits,
    pack: &'static Pack,
    order: Order,
    nodes: usize,
}

fn legal(text: &str) -> bool {
    text.chars().all(|c| !matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'))
}

impl Tree<'_> {
    fn read(&mut self) -> Result<Node, XmlFault> {
        if self.src.len() > self.limits.max_bytes || self.src.len() > u32::MAX as usize / 8 {
            return fault(
                0,
                IssueCode::TooLong,
                "limit-bytes",
                format!(
                    "document is larger than the limit of {} bytes",
                    self.limits.max_bytes
                ),
            );
        }
        let text = match std::str::from_utf8(self.src) {
            Ok(t) => t.strip_prefix('\u{feff}').unwrap_or(t),
            Err(e) => {
                return fault(
                    e.valid_up_to(),
                    IssueCode::Invalid,
                    "utf-8",
                    "text is not valid UTF-8; send UTF-8",
                );
            }
        };
        let shift = self.src.len() - text.len();
        if let Some((at, _)) = text
            .char_indices()
            .find(|(_, c)| !legal(c.encode_utf8(&mut [0; 4])))
        {
            return fault(
                at + shift,
                IssueCode::Invalid,
                "xml-character",
                "control characters are not allowed in XML",
            );
        }
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        let mut stack: Vec<Node> = Vec::new();
        let mut root: Option<Node> = None;
        // Where a narrative began, its nesting, and the offset of its text.
        let mut xhtml: Option<(usize, usize)> = None;
        loop {
            let at = usize::try_from(reader.buffer_position()).unwrap_or(0);
            let event = match reader.read_event() {
                Ok(e) => e,
                Err(_) => {
                    return fault(
                        usize::try_from(reader.error_position()).unwrap_or(at) + shift,
                        IssueCode::Invalid,
                        "xml-syntax",
                        "the XML is not well formed here",
                    );
                }
            };
            let end = usize::try_from(reader.buffer_position()).unwrap_or(at);
            match event {
                Event::Eof => break,
                Event::DocType(_) => {
                    return fault(
                        at + shift,
                        IssueCode::Invalid,
                        "xml-doctype",
                        "a document type declaration is not allowed",
                    );
                }
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Start(e) => match &mut xhtml {
                    Some((_, depth)) => {
                        *depth += 1;
                        if *depth > self.limits.max_depth {
                            return fault(
                                at + shift,
                                IssueCode::TooCostly,
                                "limit-depth",
                                "narrative is nested too deeply",
                            );
                        }
                        narrative_tag(&e, at + shift)?;
                    }
                    None => {
                        let node = self.open(&e, at + shift, &stack, root.is_some())?;
                        if node.xhtml.is_some() {
                            narrative_tag(&e, at + shift)?;
                            xhtml = Some((at, 0));
                        }
                        stack.push(node);
                    }
                },
                Event::Empty(e) => {
                    if xhtml.is_some() {
                        narrative_tag(&e, at + shift)?;
                    } else {
                        let mut node = self.open(&e, at + shift, &stack, root.is_some())?;
                        if node.xhtml.is_some() {
                            narrative_tag(&e, at + shift)?;
                            node.xhtml = Some(text.get(at..end).unwrap_or_default().to_owned());
                        }
                        close(node, &mut stack, &mut root);
                    }
                }
                Event::End(_) => match &mut xhtml {
                    Some((_, depth)) if *depth > 0 => *depth -= 1,
                    other => {
                        let Some(mut node) = stack.pop() else {
                            return fault(
                                at + shift,
                                IssueCode::Invalid,
                                "xml-syntax",
                                "unexpected end tag",
                            );
                        };
                        if let Some((start, _)) = other.take() {
                            node.xhtml = Some(text.get(start..end).unwrap_or_default().to_owned());
                        }
                        close(node, &mut stack, &mut root);
                    }
                },
                Event::Text(t) => {
                    if xhtml.is_none() && !t.bytes().all(|b| b.is_ascii_whitespace()) {
                        return fault(
                            at + shift,
                            IssueCode::Structure,
                            "xml-text",
                            "text between elements is not allowed; values stand in the value attribute",
                        );
                    }
                }
                Event::CData(_) => {
                    if xhtml.is_none() {
                        return fault(
                            at + shift,
                            IssueCode::Structure,
                            "xml-text",
                            "text between elements is not allowed; values stand in the value attribute",
                        );
                    }
                }
                Event::GeneralRef(r) => {
                    let name: &str = &r;
                    let known = matches!(name, "lt" | "gt" | "amp" | "quot" | "apos")
                        || name.starts_with('#');
                    if xhtml.is_none() || !known {
                        return fault(
                            at + shift,
                            IssueCode::Invalid,
                            "xml-entity",
                            "only the five entities of XML and character references are allowed, and only in narrative",
                        );
                    }
                }
            }
        }
        match root {
            Some(r) if stack.is_empty() => Ok(r),
            _ => fault(
                self.src.len(),
                IssueCode::Invalid,
                "xml-syntax",
                "the document ends before its root element is closed",
            ),
        }
    }

    fn open(
        &mut self,
        e: &BytesStart<'_>,
        at: usize,
        stack: &[Node],
        done: bool,
    ) -> Result<Node, XmlFault> {
        self.nodes += 1;
        if self.nodes > self.limits.max_nodes {
            return fault(
                at,
                IssueCode::TooCostly,
                "limit-nodes",
                format!("more than {} elements", self.limits.max_nodes),
            );
        }
        if stack.len() >= self.limits.max_depth {
            return fault(
                at,
                IssueCode::TooCostly,
                "limit-depth",
                format!(
                    "nesting is deeper than the limit of {}",
                    self.limits.max_depth
                ),
            );
        }
        if done {
            return fault(
                at,
                IssueCode::Invalid,
                "xml-syntax",
                "there is more than one root element",
            );
        }
        let full = e.name();
        let name = full.local_name().as_ref().to_owned();
        if name.len() > 256 {
            return fault(
                at,
                IssueCode::TooLong,
                "limit-name",
                "an element name is longer than 256 bytes",
            );
        }
        let mut node = Node {
            name,
            at,
            elem: ElemId::NONE,
            ty: TypeId::NONE,
            resource: None,
            value: None,
            id: None,
            url: None,
            xhtml: None,
            children: Vec::new(),
            newest: None,
        };
        match stack.last() {
            None => {
                node.ty = self.pack.resource_type(&node.name).unwrap_or(TypeId::NONE);
                node.resource = Some(node.name.clone());
            }
            Some(p)
                if p.elem != ElemId::NONE
                    && p.resource.is_none()
                    && p.ty == self.pack.known.resource =>
            {
                // The resource inside `contained`, `entry.resource`, …
                if !p.children.is_empty() {
                    return fault(
                        at,
                        IssueCode::Structure,
                        "xml-resource",
                        "an element that holds a resource holds exactly one",
                    );
                }
                node.ty = self.pack.resource_type(&node.name).unwrap_or(TypeId::NONE);
                node.resource = Some(node.name.clone());
            }
            Some(p) => {
                if let Some((elem, ty, _)) = self.pack.child(p.ty, node.name.as_bytes()) {
                    node.elem = elem;
                    node.ty = ty;
                    self.in_order(p, &node)?;
                }
            }
        }
        let narrative = node.ty == self.pack.known.xhtml;
        if narrative {
            node.xhtml = Some(String::new());
        }
        let mut namespace = None;
        for attr in e.attributes() {
            let Ok(attr) = attr else {
                return fault(
                    at,
                    IssueCode::Invalid,
                    "xml-syntax",
                    "an attribute is not well formed or occurs twice",
                );
            };
            let key = attr.key.as_ref();
            let raw: String = attr
                .value
                .chars()
                .map(|c| {
                    if matches!(c, '\t' | '\n' | '\r') {
                        ' '
                    } else {
                        c
                    }
                })
                .collect();
            let Ok(value) = quick_xml::escape::unescape(&raw) else {
                return fault(
                    at,
                    IssueCode::Invalid,
                    "xml-entity",
                    "only the five entities of XML and character references are allowed",
                );
            };
            let value = value.into_owned();
            if !legal(&value) {
                return fault(
                    at,
                    IssueCode::Invalid,
                    "xml-character",
                    "control characters are not allowed in XML",
                );
            }
            let prefix = full.prefix().map(|p| p.as_ref().to_owned());
            if key == "xmlns" && prefix.is_none()
                || prefix
                    .as_ref()
                    .is_some_and(|p| key.strip_prefix("xmlns:") == Some(p.as_str()))
            {
                namespace = Some(value);
                continue;
            }
            if key.starts_with("xmlns") || key.starts_with("xsi:") || narrative {
                continue;
            }
            match key {
                "value" => node.value = Some(value),
                "id" if node.resource.is_none() => node.id = Some(value),
                "url" if node.ty == self.pack.known.extension => node.url = Some(value),
                other => {
                    let shown = safe_name(other);
                    return fault(
                        at,
                        IssueCode::Structure,
                        "xml-attribute",
                        format!("attribute \"{shown}\" is not allowed here"),
                    );
                }
            }
        }
        let wanted = if narrative { XHTML_NS } else { NS };
        match namespace {
            Some(ns) if ns != wanted => {
                return fault(
                    at,
                    IssueCode::Structure,
                    "xml-namespace",
                    format!("the namespace must be {wanted}"),
                );
            }
            None if stack.is_empty() => {
                return fault(
                    at,
                    IssueCode::Structure,
                    "xml-namespace",
                    format!("the root element must declare the namespace {NS}"),
                );
            }
            _ => {}
        }
        Ok(node)
    }
}

impl Tree<'_> {
    /// The order of elements is part of FHIR's XML: element numbers of one type follow its definition.
    fn in_order(&self, parent: &Node, node: &Node) -> Result<(), XmlFault> {
        let before = parent.newest.and_then(|place| parent.children.get(place));
        match before.filter(|b| self.order == Order::Defined && b.elem.0 > node.elem.0) {
            None => Ok(()),
            Some(before) => fault(
                node.at,
                IssueCode::Structure,
                "xml-order",
                format!(
                    "element {} must stand before element {}: elements stand in the order of their definition",
                    node.name, before.name
                ),
            ),
        }
    }
}

/// Attributes of the narrative are well formed; what they may say is [`super::narrative_ok`]'s business.
fn narrative_tag(e: &BytesStart<'_>, at: usize) -> Result<(), XmlFault> {
    for a in e.attributes() {
        if a.is_err() {
            return fault(
                at,
                IssueCode::Invalid,
                "xml-syntax",
                "an attribute in the narrative is not well formed",
            );
        }
    }
    Ok(())
}

fn close(node: Node, stack: &mut [Node], root: &mut Option<Node>) {
    match stack.last_mut() {
        Some(p) => {
            if node.elem != ElemId::NONE {
                p.newest = Some(p.children.len());
            }
            p.children.push(node);
        }
        None => *root = Some(node),
    }
}

struct Writer<'s> {
    pack: &'static Pack,
    src: &'s [u8],
    lines: Vec<usize>,
    out: Vec<u8>,
    origin: Origin,
}

impl Writer<'_> {
    fn mark(&mut self, at: usize) {
        let line = self.lines.partition_point(|l| *l <= at);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self
            .src
            .get(start..at)
            .unwrap_or_default()
            .iter()
            .filter(|b| (**b & 0xC0) != 0x80)
            .count()
            + 1;
        let n = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
        self.origin.push((n(self.out.len()), n(line), n(column)));
    }

    fn key(&mut self, first: &mut bool, name: &str) {
        if !std::mem::take(first) {
            self.out.push(b',');
        }
        write_string(&mut self.out, name);
        self.out.push(b':');
    }

    fn resource(&mut self, node: &Node) {
        self.mark(node.at);
        self.out.push(b'{');
        let mut first = true;
        if let Some(r) = &node.resource {
            self.key(&mut first, "resourceType");
            write_string(&mut self.out, r);
        }
        self.members(node, &mut first);
        self.out.push(b'}');
    }

    fn members(&mut self, node: &Node, first: &mut bool) {
        if let Some(id) = &node.id {
            self.key(first, "id");
            write_string(&mut self.out, id);
        }
        if let Some(url) = &node.url {
            self.key(first, "url");
            write_string(&mut self.out, url);
        }
        // Elements of one name become one member, at the place of the first.
        let mut groups: Vec<Vec<&Node>> = Vec::new();
        let mut place: HashMap<&str, usize> = HashMap::new();
        for child in &node.children {
            let at = *place.entry(&child.name).or_insert(groups.len());
            match groups.get_mut(at) {
                Some(g) => g.push(child),
                None => groups.push(vec![child]),
            }
        }
        for group in &groups {
            self.group(group, first);
        }
    }

    fn group(&mut self, group: &[&Node], first: &mut bool) {
        let Some(head) = group.first() else { return };
        let repeats = group.len() > 1
            || self
                .pack
                .element(head.elem)
                .is_some_and(|e| e.max != Some(1));
        let primitive = self.pack.is_primitive(head.ty)
            || (head.ty == TypeId::NONE
                && head.resource.is_none()
                && group.iter().any(|n| n.value.is_some()));
        if !primitive {
            self.key(first, &head.name);
            self.list(group, repeats, |w, n| w.complex(n));
            return;
        }
        let has_value = |n: &Node| n.value.is_some() || n.xhtml.is_some();
        let has_more = |n: &Node| n.id.is_some() || !n.children.is_empty();
        if group.iter().any(|n| has_value(n)) || !group.iter().any(|n| has_more(n)) {
            self.key(first, &head.name);
            self.list(group, repeats, |w, n| w.primitive(n));
        }
        if group.iter().any(|n| has_more(n)) {
            self.key(first, &format!("_{}", head.name));
            self.list(group, repeats, |w, n| {
                if has_more(n) {
                    w.mark(n.at);
                    w.out.push(b'{');
                    let mut f = true;
                    w.members(n, &mut f);
                    w.out.push(b'}');
                } else {
                    w.out.extend_from_slice(b"null");
                }
            });
        }
    }

    fn list(&mut self, group: &[&Node], repeats: bool, mut each: impl FnMut(&mut Self, &Node)) {
        if repeats {
            self.out.push(b'[');
        }
        for (i, n) in group.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            each(self, n);
        }
        if repeats {
            self.out.push(b']');
        }
    }

    fn complex(&mut self, node: &Node) {
        if node.elem != ElemId::NONE && node.ty == self.pack.known.resource {
            match node.children.first() {
                Some(inner) => self.resource(inner),
                None => self.out.extend_from_slice(b"{}"),
            }
            return;
        }
        self.resource(node);
    }

    fn primitive(&mut self, node: &Node) {
        self.mark(node.at);
        if let Some(x) = &node.xhtml {
            write_string(&mut self.out, x);
            return;
        }
        let Some(value) = &node.value else {
            self.out.extend_from_slice(b"null");
            return;
        };
        let k = &self.pack.known;
        let bare = if node.ty == k.boolean {
            value == "true" || value == "false"
        } else if self.pack.is_a(node.ty, k.integer) || node.ty == k.decimal {
            json_number(value)
        } else {
            false
        };
        if bare {
            self.out.extend_from_slice(value.as_bytes());
        } else {
            write_string(&mut self.out, value);
        }
    }
}

/// Whether the text is a number as JSON writes one; anything else stays a string for the validator to refuse.
fn json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    crate::decimal::Num::parse(text).is_some()
        && !text.starts_with('+')
        && (!digits.starts_with('0')
            || digits.len() == 1
            || digits.starts_with("0.")
            || digits.starts_with("0e")
            || digits.starts_with("0E"))
}
