//! One linear pass over the text that enforces the limits before a tree is built.
//!
//! It understands just enough XML to find tags, comments, CDATA sections and processing instructions. Where
//! the text is broken it stops counting only at the end of the input, so that the real parser can never get
//! further than this pass did.

use super::{Limits, XmlError, XmlErrorKind, line_column};

/// Work the parser may spend on copying namespace scopes: one unit per declaration in scope per declaring element.
const MAX_NAMESPACE_WORK: usize = 5_000_000;

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    limits: &'a Limits,
    nodes: usize,
    work: usize,
    scopes: Vec<usize>,
    in_scope: usize,
}

/// Checks the limits and that there is no DOCTYPE.
pub(super) fn scan(text: &str, limits: &Limits) -> Result<(), XmlError> {
    let mut s = Scan {
        text,
        bytes: text.as_bytes(),
        limits,
        nodes: 0,
        work: 0,
        scopes: Vec::new(),
        in_scope: 0,
    };
    let mut pos = 0;
    while let Some(at) = s.find(pos, b"<") {
        if at > pos {
            s.node(at)?;
        }
        s.node(at)?;
        let next = if s.starts(at, b"<!--") {
            s.find(at + 4, b"-->").map(|e| e + 3)
        } else if s.starts(at, b"<![CDATA[") {
            s.find(at + 9, b"]]>").map(|e| e + 3)
        } else if s.starts(at, b"<?") {
            s.find(at + 2, b"?>").map(|e| e + 2)
        } else if s.starts(at, b"<!") {
            return Err(XmlError::new(
                XmlErrorKind::Forbidden,
                line_column(text, at),
                "a document type declaration (DOCTYPE) or entity declaration is not allowed; remove it",
                "dokumenttypedeklarasjon (DOCTYPE) eller entitetsdeklarasjon er ikke tillatt; fjern den",
            ));
        } else if s.starts(at, b"</") {
            s.in_scope -= s.scopes.pop().unwrap_or(0);
            s.find(at + 2, b">").map(|e| e + 1)
        } else {
            s.open_tag(at)?
        };
        match next {
            Some(n) => pos = n,
            None => break,
        }
    }
    Ok(())
}

impl Scan<'_> {
    fn starts(&self, at: usize, what: &[u8]) -> bool {
        self.bytes.get(at..).is_some_and(|b| b.starts_with(what))
    }

    fn find(&self, from: usize, what: &[u8]) -> Option<usize> {
        let first = *what.first()?;
        let mut pos = from;
        loop {
            pos += self.bytes.get(pos..)?.iter().position(|b| *b == first)?;
            if self.starts(pos, what) {
                return Some(pos);
            }
            pos += 1;
        }
    }

    fn node(&mut self, at: usize) -> Result<(), XmlError> {
        self.nodes += 1;
        if self.nodes > self.limits.max_nodes {
            let max = self.limits.max_nodes;
            return Err(self.too_large(
                at,
                &format!("more than {max} nodes"),
                &format!("mer enn {max} noder"),
            ));
        }
        Ok(())
    }

    fn too_large(&self, at: usize, en: &str, nb: &str) -> XmlError {
        XmlError::new(
            XmlErrorKind::TooLarge,
            line_column(self.text, at),
            format!("the document has {en}"),
            format!("dokumentet har {nb}"),
        )
    }

    /// Reads a start or empty tag at `at`; answers where it ends, or `None` when it never does.
    fn open_tag(&mut self, at: usize) -> Result<Option<usize>, XmlError> {
        let mut pos = at + 1;
        let mut attributes = 0;
        let mut namespaces = 0;
        let mut after_space = false;
        loop {
            let Some(b) = self.bytes.get(pos).copied() else {
                return Ok(None);
            };
            match b {
                b'>' => break,
                b'"' | b'\'' => {
                    attributes += 1;
                    if attributes > self.limits.max_attributes {
                        let max = self.limits.max_attributes;
                        return Err(self.too_large(
                            at,
                            &format!("an element with more than {max} attributes"),
                            &format!("et element med mer enn {max} attributter"),
                        ));
                    }
                    match self.find(pos + 1, &[b]) {
                        Some(end) => pos = end,
                        None => return Ok(None),
                    }
                }
                b'x' if after_space && self.starts(pos, b"xmlns") => namespaces += 1,
                _ => {}
            }
            after_space = b.is_ascii_whitespace();
            pos += 1;
        }
        let scope = self.in_scope + namespaces;
        if namespaces > 0 {
            self.work += scope;
        }
        if scope > self.limits.max_namespaces || self.work > MAX_NAMESPACE_WORK {
            return Err(self.too_large(
                at,
                "too many namespace declarations",
                "for mange navneromsdeklarasjoner",
            ));
        }
        let empty = pos > at && self.bytes.get(pos - 1) == Some(&b'/');
        if !empty {
            self.scopes.push(namespaces);
            self.in_scope = scope;
            if self.scopes.len() > self.limits.max_depth {
                let max = self.limits.max_depth;
                return Err(self.too_large(
                    at,
                    &format!("elements nested deeper than {max} levels"),
                    &format!("elementer nøstet dypere enn {max} nivåer"),
                ));
            }
        }
        Ok(Some(pos + 1))
    }
}
