//! From text to tree. The tokens come from `quick-xml`; everything that makes them well-formed XML is checked here.

use std::borrow::Cow;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesStart, Event};

use super::names::{is_char, is_ncname, is_space, split};
use super::{
    Attribute, Declaration, Document, Element, Kind, Limits, Name, Node, XML_NAMESPACE,
    XMLNS_NAMESPACE, XmlError,
};

type Fault = &'static str;

const TOO_MANY: Fault = "the document has more nodes than are read here";

pub(super) fn parse(text: &str, limits: &Limits) -> Result<Document, XmlError> {
    let fault = |line, what| XmlError { line, what };
    if text.len() > limits.max_bytes || u32::try_from(text.len()).is_err() {
        return Err(fault(1, "the document is larger than is read here"));
    }
    let source = single_line_feeds(text.strip_prefix('\u{feff}').unwrap_or(text)).into_owned();
    if source.starts_with('\u{feff}') {
        return Err(fault(1, "a second byte order mark"));
    }
    let line_at = |at: usize| {
        let before = source.as_bytes().get(..at).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    };
    if let Some((at, _)) = source.char_indices().find(|(_, c)| !is_char(*c)) {
        return Err(fault(line_at(at), "a character that XML does not allow"));
    }
    let mut reader = Reader::from_str(&source);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    let mut builder = Builder::new(limits);
    loop {
        let start = position(&reader);
        let event = reader
            .read_event()
            .map_err(|_| fault(line_at(start), "not well-formed XML"))?;
        let is_end = matches!(event, Event::Eof);
        let stop = position(&reader);
        builder
            .take(event, start, stop)
            .map_err(|what| fault(line_at(start), what))?;
        if is_end {
            break;
        }
    }
    let nodes = builder.nodes;
    Ok(Document { nodes, source })
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// XML 1.0 §2.11: `\r\n` and a lone `\r` are one `\n` before anything else is looked at.
fn single_line_feeds(text: &str) -> Cow<'_, str> {
    if !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
}

struct Builder<'a> {
    limits: &'a Limits,
    nodes: Vec<Node>,
    /// Open elements: index of the node, and how many declarations were in scope before it.
    open: Vec<(u32, usize)>,
    in_scope: Vec<Declaration>,
    text: String,
    text_start: usize,
    /// Character data was seen, even if it was empty (an empty CDATA section).
    has_text: bool,
    has_root: bool,
    empty: Arc<str>,
    xml: Arc<str>,
}

impl<'a> Builder<'a> {
    fn new(limits: &'a Limits) -> Self {
        let document = Node {
            parent: 0,
            end: 1,
            kind: Kind::Document,
            start: 0,
            stop: 0,
        };
        Self {
            limits,
            nodes: vec![document],
            open: Vec::new(),
            in_scope: Vec::new(),
            text: String::new(),
            text_start: 0,
            has_text: false,
            has_root: false,
            empty: Arc::from(""),
            xml: Arc::from(XML_NAMESPACE),
        }
    }

    fn take(&mut self, event: Event<'_>, start: usize, stop: usize) -> Result<(), Fault> {
        match event {
            Event::Text(text) => {
                if text.contains("]]>") {
                    return Err("]]> in a text");
                }
                self.characters(&text, start)
            }
            Event::CData(text) => {
                if self.open.is_empty() {
                    return Err("a CDATA section outside the document element");
                }
                self.characters(&text, start)
            }
            Event::GeneralRef(reference) => {
                if self.open.is_empty() {
                    return Err("a reference outside the document element");
                }
                let mut buffer = [0; 4];
                let c = resolve(&reference)?;
                self.characters(c.encode_utf8(&mut buffer), start)
            }
            Event::Start(tag) => self.start(&tag, false, start, stop),
            Event::Empty(tag) => self.start(&tag, true, start, stop),
            Event::End(tag) => self.end(tag.name().0, start, stop),
            Event::Comment(text) => {
                if text.contains("--") || text.ends_with('-') {
                    return Err("-- in a comment");
                }
                self.push(Kind::Comment(text.as_ref().into()), start, stop)
            }
            Event::PI(instruction) => {
                let (target, data) = instruction_parts(&instruction)?;
                let (target, data) = (target.into(), data.into());
                self.push(Kind::Instruction { target, data }, start, stop)
            }
            Event::Decl(declaration) => {
                if start != 0 {
                    return Err("an XML declaration that is not at the very start");
                }
                check_declaration(&declaration)
            }
            Event::DocType(_) => Err("a document type declaration, which is refused"),
            Event::Eof => self.finish(start),
        }
    }

    fn characters(&mut self, text: &str, start: usize) -> Result<(), Fault> {
        if self.open.is_empty() {
            return if text.chars().all(is_space) {
                Ok(())
            } else {
                Err("text outside the document element")
            };
        }
        if !self.has_text {
            self.has_text = true;
            self.text_start = start;
        }
        self.text.push_str(text);
        Ok(())
    }

    fn flush(&mut self, stop: usize) -> Result<(), Fault> {
        if !std::mem::take(&mut self.has_text) || self.text.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.text).into_boxed_str();
        self.node(Kind::Text(text), self.text_start, stop)
            .map(|_| ())
    }

    fn push(&mut self, kind: Kind, start: usize, stop: usize) -> Result<(), Fault> {
        self.flush(start)?;
        self.node(kind, start, stop).map(|_| ())
    }

    fn node(&mut self, kind: Kind, start: usize, stop: usize) -> Result<u32, Fault> {
        if self.nodes.len() >= self.limits.max_nodes {
            return Err(TOO_MANY);
        }
        let id = u32::try_from(self.nodes.len()).map_err(|_| TOO_MANY)?;
        self.nodes.push(Node {
            parent: self.open.last().map_or(0, |(parent, _)| *parent),
            end: id + 1,
            kind,
            start,
            stop,
        });
        Ok(id)
    }

    fn start(
        &mut self,
        tag: &BytesStart<'_>,
        self_closing: bool,
        start: usize,
        stop: usize,
    ) -> Result<(), Fault> {
        self.flush(start)?;
        if self.open.is_empty() && std::mem::replace(&mut self.has_root, true) {
            return Err("a second document element");
        }
        if self.open.len() >= self.limits.max_depth {
            return Err("elements nested deeper than is read here");
        }
        let scope = self.in_scope.len();
        let element = self.read_tag(tag, self_closing, stop)?;
        let id = self.node(Kind::Element(Box::new(element)), start, stop)?;
        if self_closing {
            self.in_scope.truncate(scope);
        } else {
            self.open.push((id, scope));
        }
        Ok(())
    }

    fn read_tag(
        &mut self,
        tag: &BytesStart<'_>,
        self_closing: bool,
        stop: usize,
    ) -> Result<Element, Fault> {
        let (prefix, local) = split(tag.name().0).ok_or("an element name that is not allowed")?;
        let raw = read_attributes(tag.attributes_raw(), self.limits.max_attributes)?;
        let mut declarations: Vec<Declaration> = Vec::new();
        for (name, value) in &raw {
            let Some(prefix) = declared_prefix(name) else {
                continue;
            };
            let declaration = self.declaration(prefix, value)?;
            if declarations
                .iter()
                .any(|known| known.prefix == declaration.prefix)
            {
                return Err("the same attribute twice");
            }
            declarations.push(declaration);
        }
        self.in_scope.extend(declarations.iter().cloned());
        if self.in_scope.len() > self.limits.max_namespaces {
            return Err("more namespace declarations than are read here");
        }
        let mut attributes = Vec::new();
        for (name, value) in raw {
            if declared_prefix(name).is_some() {
                continue;
            }
            let (prefix, local) = split(name).ok_or("an attribute name that is not allowed")?;
            let namespace = if prefix.is_empty() {
                Arc::clone(&self.empty)
            } else {
                self.resolve_prefix(prefix)?
            };
            attributes.push(Attribute {
                name: named(prefix, local, namespace),
                value: value.into(),
            });
        }
        refuse_doubles(&attributes)?;
        let namespace = self.resolve_prefix(prefix)?;
        Ok(Element {
            name: named(prefix, local, namespace),
            declarations,
            attributes,
            content_start: stop,
            content_end: stop,
            self_closing,
        })
    }

    fn declaration(&self, prefix: &str, uri: &str) -> Result<Declaration, Fault> {
        let wrong = "a namespace declaration that is not allowed";
        let is_xml = prefix == "xml";
        if !prefix.is_empty() && (!is_ncname(prefix) || uri.is_empty()) {
            return Err(wrong);
        }
        if prefix == "xmlns" || uri == XMLNS_NAMESPACE || is_xml != (uri == XML_NAMESPACE) {
            return Err(wrong);
        }
        // The same few namespaces are declared over and over again.
        let known = self
            .in_scope
            .iter()
            .rev()
            .find(|declaration| *declaration.uri == *uri);
        Ok(Declaration {
            prefix: prefix.into(),
            uri: known.map_or_else(|| Arc::from(uri), |known| Arc::clone(&known.uri)),
        })
    }

    fn resolve_prefix(&self, prefix: &str) -> Result<Arc<str>, Fault> {
        if prefix == "xml" {
            return Ok(Arc::clone(&self.xml));
        }
        let declared = self
            .in_scope
            .iter()
            .rev()
            .find(|declaration| *declaration.prefix == *prefix);
        match declared {
            Some(declaration) => Ok(Arc::clone(&declaration.uri)),
            None if prefix.is_empty() => Ok(Arc::clone(&self.empty)),
            None => Err("a prefix that is not declared"),
        }
    }

    fn end(&mut self, name: &str, start: usize, stop: usize) -> Result<(), Fault> {
        self.flush(start)?;
        let (id, scope) = self.open.pop().ok_or("an end tag too many")?;
        self.in_scope.truncate(scope);
        let end = u32::try_from(self.nodes.len()).map_err(|_| TOO_MANY)?;
        let node = self.nodes.get_mut(id as usize).ok_or(TOO_MANY)?;
        node.end = end;
        node.stop = stop;
        let Kind::Element(element) = &mut node.kind else {
            return Err(TOO_MANY);
        };
        element.content_end = start;
        let (prefix, local) = split(name).ok_or("an end tag that is not allowed")?;
        if *element.name.prefix == *prefix && *element.name.local == *local {
            Ok(())
        } else {
            Err("an end tag for another element")
        }
    }

    fn finish(&mut self, stop: usize) -> Result<(), Fault> {
        if !self.open.is_empty() {
            return Err("an element without its end tag");
        }
        if !self.has_root {
            return Err("no document element");
        }
        let end = u32::try_from(self.nodes.len()).map_err(|_| TOO_MANY)?;
        if let Some(document) = self.nodes.first_mut() {
            document.end = end;
            document.stop = stop;
        }
        Ok(())
    }
}

fn named(prefix: &str, local: &str, namespace: Arc<str>) -> Name {
    Name {
        prefix: prefix.into(),
        local: local.into(),
        namespace,
    }
}

/// The prefix a declaration is for, when the attribute is one.
fn declared_prefix(name: &str) -> Option<&str> {
    match name {
        "xmlns" => Some(""),
        _ => name.strip_prefix("xmlns:"),
    }
}

/// Two attributes may differ in prefix and still be the same one.
fn refuse_doubles(attributes: &[Attribute]) -> Result<(), Fault> {
    let mut names: Vec<(&str, &str)> = attributes
        .iter()
        .map(|attribute| (&*attribute.name.namespace, &*attribute.name.local))
        .collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err("the same attribute twice");
    }
    Ok(())
}

/// `S Name Eq AttValue` until the end of the tag; values with references resolved and white space normalised.
fn read_attributes(mut rest: &str, most: usize) -> Result<Vec<(&str, String)>, Fault> {
    let wrong = "attributes that are not well-formed";
    let mut attributes = Vec::new();
    loop {
        let after_space = rest.trim_start_matches(is_space);
        if after_space.is_empty() {
            return Ok(attributes);
        }
        if after_space.len() == rest.len() {
            return Err(wrong);
        }
        let (name, after) = after_space.split_once('=').ok_or(wrong)?;
        let after = after.trim_start_matches(is_space);
        let quote = after
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''))
            .ok_or(wrong)?;
        let (value, after) = after
            .strip_prefix(quote)
            .and_then(|inside| inside.split_once(quote))
            .ok_or(wrong)?;
        if attributes.len() == most {
            return Err("more attributes than are read here");
        }
        attributes.push((name.trim_end_matches(is_space), normalised_value(value)?));
        rest = after;
    }
}

/// XML 1.0 §3.3.3 for attributes of type CDATA, which all are without a document type.
fn normalised_value(raw: &str) -> Result<String, Fault> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '<', '\t', '\n']) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        if special.starts_with('<') {
            return Err("< in an attribute value");
        }
        match special.strip_prefix('&') {
            Some(reference) => {
                let (name, after) = reference
                    .split_once(';')
                    .ok_or("a reference without semicolon")?;
                out.push(resolve(name)?);
                rest = after;
            }
            None => {
                out.push(' ');
                rest = special.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// A character reference or one of the five entities of XML itself.
fn resolve(name: &str) -> Result<char, Fault> {
    let wrong = "a reference that is not allowed";
    let Some(number) = name.strip_prefix('#') else {
        return match name {
            "amp" => Ok('&'),
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err("an entity that XML itself does not have"),
        };
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    if digits.is_empty() || digits.len() > 32 || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(wrong);
    }
    u32::from_str_radix(digits.trim_start_matches('0'), radix)
        .ok()
        .and_then(char::from_u32)
        .filter(|c| is_char(*c))
        .ok_or(wrong)
}

/// Target and data; quick-xml leaves the white space between them.
fn instruction_parts(content: &str) -> Result<(&str, &str), Fault> {
    let (target, data) = content
        .split_once(is_space)
        .map_or((content, ""), |(target, data)| {
            (target, data.trim_start_matches(is_space))
        });
    if !is_ncname(target) || target.eq_ignore_ascii_case("xml") {
        return Err("a processing instruction that is not allowed");
    }
    Ok((target, data))
}

/// Production `XMLDecl`.
fn check_declaration(declaration: &BytesDecl<'_>) -> Result<(), Fault> {
    let wrong = "an XML declaration that is not allowed";
    let raw = declaration.strip_prefix("xml").ok_or(wrong)?;
    let parts = read_attributes(raw, 3)?;
    let mut parts = parts
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .peekable();
    if parts.next() != Some(("version", "1.0")) {
        return Err("an XML version other than 1.0");
    }
    parts.next_if(|(name, value)| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        *name == "encoding"
            && value.starts_with(|c: char| c.is_ascii_alphabetic())
            && value.chars().all(allowed)
    });
    parts.next_if(|(name, value)| *name == "standalone" && matches!(*value, "yes" | "no"));
    if parts.next().is_some() {
        return Err(wrong);
    }
    Ok(())
}
