//! Text to tree, on top of roxmltree, which checks well-formedness and namespaces.

use std::collections::HashMap;
use std::sync::Arc;

use super::{At, Attr, Elem, Limits, Node, Ns, XmlDoc, XmlError, XmlErrorKind, cap, decode, scan};

const XHTML: &str = "http://www.w3.org/1999/xhtml";

impl XmlDoc {
    /// Reads a document with the default [`Limits`].
    ///
    /// # Errors
    /// [`XmlError`] with its kind and place; never panics, whatever the bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, XmlError> {
        Self::parse_with(bytes, &Limits::default())
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`XmlError`] with its kind and place; never panics, whatever the bytes.
    pub fn parse_with(bytes: &[u8], limits: &Limits) -> Result<Self, XmlError> {
        if bytes.len() > limits.max_bytes {
            return Err(XmlError::new(
                XmlErrorKind::TooLarge,
                (0, 0),
                format!(
                    "the document is {} bytes; the limit is {}",
                    bytes.len(),
                    limits.max_bytes
                ),
                format!(
                    "dokumentet er {} byte; grensen er {}",
                    bytes.len(),
                    limits.max_bytes
                ),
            ));
        }
        let (text, encoding) = decode(bytes)?;
        scan::scan(&text, limits)?;
        let options = roxmltree::ParsingOptions {
            allow_dtd: false,
            nodes_limit: cap(limits.max_nodes.saturating_add(2)),
            ..roxmltree::ParsingOptions::default()
        };
        let doc =
            roxmltree::Document::parse_with_options(&text, options).map_err(|e| explain(&e))?;
        let mut build = Build {
            text: &text,
            names: HashMap::new(),
            offset: 0,
            line: 1,
            column: 1,
        };
        let root = build.elem(doc.root_element());
        Ok(Self {
            root,
            encoding,
            source: text.into_owned(),
        })
    }
}

/// Copies the borrowed tree; keeps a cursor so that places cost one pass over the text in all.
struct Build<'a> {
    text: &'a str,
    names: HashMap<String, Ns>,
    offset: usize,
    line: u32,
    column: u32,
}

impl<'a> Build<'a> {
    // Recursion is bounded by Limits::max_depth, which the scan has enforced.
    fn elem(&mut self, node: roxmltree::Node<'_, 'a>) -> Elem {
        let range = node.range();
        let (line, column) = self.place(range.start);
        let ns = self.ns(node.tag_name().namespace());
        let mut out = Elem {
            ns,
            name: node.tag_name().name().into(),
            attrs: Vec::with_capacity(node.attributes().len()),
            children: Vec::new(),
            at: At {
                line,
                column,
                start: cap(range.start),
                end: cap(range.end),
            },
        };
        for a in node.attributes() {
            let ns = self.ns(a.namespace());
            out.attrs.push(Attr {
                ns,
                name: a.name().into(),
                value: a.value().to_owned(),
            });
        }
        for child in node.children() {
            if child.is_element() {
                let e = self.elem(child);
                out.children.push(Node::Elem(e));
            } else if let (true, Some(text)) = (child.is_text(), child.text()) {
                match out.children.last_mut() {
                    Some(Node::Text(t)) => t.push_str(text),
                    _ => out.children.push(Node::Text(text.to_owned())),
                }
            }
        }
        // Whitespace between child elements is layout, not content; in XHTML it separates words.
        let layout = |n: &Node| matches!(n, Node::Text(t) if t.trim().is_empty());
        if &*out.ns != XHTML
            && out.elems().next().is_some()
            && out
                .children
                .iter()
                .all(|n| matches!(n, Node::Elem(_)) || layout(n))
        {
            out.children.retain(|n| !layout(n));
        }
        out
    }

    fn ns(&mut self, name: Option<&str>) -> Ns {
        let name = name.unwrap_or_default();
        if let Some(ns) = self.names.get(name) {
            return ns.clone();
        }
        let ns: Ns = Arc::from(name);
        self.names.insert(name.to_owned(), ns.clone());
        ns
    }

    fn place(&mut self, offset: usize) -> (u32, u32) {
        for c in self
            .text
            .get(self.offset..offset)
            .unwrap_or_default()
            .chars()
        {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.offset = self.offset.max(offset);
        (self.line, self.column)
    }
}

fn explain(e: &roxmltree::Error) -> XmlError {
    use roxmltree::Error as E;
    let pos = e.pos();
    let (kind, en, nb) = match e {
        E::DtdDetected => (
            XmlErrorKind::Forbidden,
            "a document type declaration (DOCTYPE) is not allowed; remove it",
            "dokumenttypedeklarasjon (DOCTYPE) er ikke tillatt; fjern den",
        ),
        E::NodesLimitReached | E::AttributesLimitReached | E::NamespacesLimitReached => (
            XmlErrorKind::TooLarge,
            "the document has too many nodes",
            "dokumentet har for mange noder",
        ),
        E::UnexpectedCloseTag(..) | E::UnexpectedEntityCloseTag(_) => (
            XmlErrorKind::NotWellFormed,
            "the end tag does not match the element that is open",
            "sluttkoden passer ikke med elementet som er åpent",
        ),
        E::UnclosedRootNode => (
            XmlErrorKind::NotWellFormed,
            "the document ends before its root element is closed",
            "dokumentet slutter før rotelementet er lukket",
        ),
        E::NoRootNode => (
            XmlErrorKind::NotWellFormed,
            "there is no XML element",
            "det finnes ikke noe XML-element",
        ),
        E::UnknownNamespace(..) => (
            XmlErrorKind::NotWellFormed,
            "a namespace prefix is used without being declared",
            "et navneromsprefiks er brukt uten å være deklarert",
        ),
        E::DuplicatedAttribute(..) | E::DuplicatedNamespace(..) => (
            XmlErrorKind::NotWellFormed,
            "an attribute occurs twice on the same element",
            "en attributt forekommer to ganger på samme element",
        ),
        E::UnknownEntityReference(..)
        | E::MalformedEntityReference(_)
        | E::EntityReferenceLoop(_) => (
            XmlErrorKind::NotWellFormed,
            "an entity reference that XML does not define; write & as &amp;",
            "en entitetsreferanse som XML ikke definerer; skriv & som &amp;",
        ),
        E::NonXmlChar(..) => (
            XmlErrorKind::NotWellFormed,
            "a control character that XML does not allow",
            "et kontrolltegn som XML ikke tillater",
        ),
        E::UnexpectedEndOfStream => (
            XmlErrorKind::NotWellFormed,
            "the document ends in the middle of a tag",
            "dokumentet slutter midt i en kode",
        ),
        E::UnexpectedDeclaration(_) => (
            XmlErrorKind::NotWellFormed,
            "the XML declaration must be the very first thing in the document",
            "XML-deklarasjonen må stå helt først i dokumentet",
        ),
        _ => (
            XmlErrorKind::NotWellFormed,
            "this is not well-formed XML",
            "dette er ikke velformet XML",
        ),
    };
    XmlError::new(kind, (pos.row, pos.col), en, nb)
}
