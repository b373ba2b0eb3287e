//! Tree to text.

use super::{Elem, Node, Ns};

/// Namespaces that are written with a prefix, declared once on the root. All others become the default namespace.
const PREFIXES: &[(&str, &str)] = &[
    ("fk1", "http://www.kith.no/xmlstds/felleskomponent1"),
    ("po", "http://ehelse.no/xmlstds/po/poKomponent/2017-11-30"),
    ("ds", "http://www.w3.org/2000/09/xmldsig#"),
    ("xsi", "http://www.w3.org/2001/XMLSchema-instance"),
];
const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
const XHTML: &str = "http://www.w3.org/1999/xhtml";

/// Writes a document: XML declaration, UTF-8, two spaces of indentation where that cannot change content.
///
/// Characters that XML 1.0 cannot carry (most control characters) become U+FFFD.
pub fn to_xml(root: &Elem) -> String {
    let mut used = vec![false; PREFIXES.len()];
    root.walk(&mut |e| {
        for ns in std::iter::once(&e.ns).chain(e.attrs.iter().map(|a| &a.ns)) {
            if let Some(i) = PREFIXES.iter().position(|(_, uri)| *uri == &**ns)
                && let Some(u) = used.get_mut(i)
            {
                *u = true;
            }
        }
    });
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let declared: Vec<(&str, &str)> = PREFIXES
        .iter()
        .zip(&used)
        .filter(|(p, u)| **u && p.1 != &*root.ns)
        .map(|(p, _)| *p)
        .collect();
    Writer {
        out: &mut out,
        declared: &declared,
    }
    .elem(root, "", 0, true, true);
    out.push('\n');
    out
}

struct Writer<'a> {
    out: &'a mut String,
    declared: &'a [(&'static str, &'static str)],
}

impl Writer<'_> {
    fn elem(&mut self, e: &Elem, default: &str, depth: usize, indent: bool, root: bool) {
        let prefix = self
            .declared
            .iter()
            .find(|(_, uri)| *uri == &*e.ns)
            .map(|(p, _)| *p);
        self.out.push('<');
        let name = match prefix {
            Some(p) => format!("{p}:{}", e.name),
            None => e.name.to_string(),
        };
        self.out.push_str(&name);
        let mut default = default;
        if prefix.is_none() && default != &*e.ns {
            self.attr("xmlns", &e.ns);
            default = &e.ns;
        }
        if root {
            for (p, uri) in self.declared {
                self.attr(&format!("xmlns:{p}"), uri);
            }
        }
        self.attrs(e);
        if e.children.is_empty() {
            self.out.push_str("/>");
            return;
        }
        self.out.push('>');
        let indent =
            indent && &*e.ns != XHTML && e.children.iter().all(|n| matches!(n, Node::Elem(_)));
        for n in &e.children {
            if indent {
                self.line(depth + 1);
            }
            match n {
                Node::Elem(c) => self.elem(c, default, depth + 1, indent, false),
                Node::Text(t) => escape(self.out, t, false),
            }
        }
        if indent {
            self.line(depth);
        }
        self.out.push_str("</");
        self.out.push_str(&name);
        self.out.push('>');
    }

    fn attrs(&mut self, e: &Elem) {
        let mut made: Vec<Ns> = Vec::new();
        for a in &e.attrs {
            let prefix = if a.ns.is_empty() {
                None
            } else if &*a.ns == XML_NS {
                Some("xml".to_owned())
            } else if let Some((p, _)) = self.declared.iter().find(|(_, uri)| *uri == &*a.ns) {
                Some((*p).to_owned())
            } else {
                let i = made.iter().position(|n| *n == a.ns).unwrap_or_else(|| {
                    made.push(a.ns.clone());
                    made.len() - 1
                });
                if i + 1 == made.len()
                    && !e
                        .attrs
                        .iter()
                        .take_while(|b| !std::ptr::eq(*b, a))
                        .any(|b| b.ns == a.ns)
                {
                    self.attr(&format!("xmlns:a{i}"), &a.ns);
                }
                Some(format!("a{i}"))
            };
            match prefix {
                Some(p) => self.attr(&format!("{p}:{}", a.name), &a.value),
                None => self.attr(&a.name, &a.value),
            }
        }
    }

    fn attr(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(self.out, value, true);
        self.out.push('"');
    }

    fn line(&mut self, depth: usize) {
        self.out.push('\n');
        for _ in 0..depth {
            self.out.push_str("  ");
        }
    }
}

fn escape(out: &mut String, text: &str, attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\t' if attribute => out.push_str("&#9;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
}
