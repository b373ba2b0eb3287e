//! Reads the tables.

use std::collections::HashMap;

use super::types::Simple;

const FILES: &[&str] = &[
    include_str!("tables/felleskomponent1.txt"),
    include_str!("tables/base64container.txt"),
    include_str!("tables/msghead-1.2.txt"),
    include_str!("tables/apprec-1.0.txt"),
    include_str!("tables/apprec-1.1.txt"),
    include_str!("tables/svarrapport-1.4.txt"),
    include_str!("tables/epikrise-1.2.txt"),
    include_str!("tables/pokomponent-2017.txt"),
    include_str!("tables/henvisning-2.0.txt"),
    include_str!("tables/dialogmelding-1.0.txt"),
    include_str!("tables/dialogmelding-1.1.txt"),
];

/// Other tables by the names used for them.
const ALIASES: &[(&str, &str)] = &[
    ("fk1", "http://www.kith.no/xmlstds/felleskomponent1"),
    ("po", "http://ehelse.no/xmlstds/po/poKomponent/2017-11-30"),
    ("ds", "http://www.w3.org/2000/09/xmldsig#"),
];

/// The type of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ty {
    /// Text of a simple type; no attributes.
    Simple(Simple),
    /// No content; attributes of a kith type.
    Attributes(&'static [(&'static str, Simple)]),
    /// Child elements.
    Model(&'static str, &'static str, bool),
    /// Anything; known elements inside are checked.
    Any,
    /// Known elements only (MsgHead `Content`).
    Payload,
}

#[derive(Debug)]
pub(super) struct Particle {
    pub min: u32,
    pub max: u32,
    pub term: Term,
}

#[derive(Debug)]
pub(super) enum Term {
    Local {
        ns: &'static str,
        name: &'static str,
        ty: Ty,
        fixed: Option<&'static str>,
    },
    Global {
        ns: &'static str,
        name: &'static str,
    },
    Sequence(Vec<Particle>),
    Choice(Vec<Particle>),
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    titles: HashMap<&'static str, &'static str>,
    globals: HashMap<(&'static str, &'static str), Ty>,
    /// Content models by namespace, name and whether it is a named type.
    models: HashMap<(&'static str, &'static str, bool), Particle>,
}

const CS: &[(&str, Simple)] = &[("V", Simple::Text), ("DN", Simple::Text)];
const CV: &[(&str, Simple)] = &[
    ("V", Simple::Text),
    ("S", Simple::Oid),
    ("DN", Simple::Text),
    ("OT", Simple::Text),
];
const TS: &[(&str, Simple)] = &[("V", Simple::Ts)];
const PQ: &[(&str, Simple)] = &[("V", Simple::Double), ("U", Simple::Text)];
const BL: &[(&str, Simple)] = &[("V", Simple::TrueFalse)];
const URL: &[(&str, Simple)] = &[("V", Simple::Text)];

impl Tables {
    pub fn load() -> Self {
        let mut out = Self::default();
        for file in FILES {
            out.file(file);
        }
        out
    }

    pub fn title(&self, ns: &str) -> Option<&'static str> {
        self.titles.get(ns).copied()
    }

    pub fn titles(&self) -> Vec<&'static str> {
        let mut all: Vec<_> = self.titles.values().copied().collect();
        all.sort_unstable();
        all
    }

    pub fn global(&self, ns: &str, name: &str) -> Option<Ty> {
        self.globals.get(&(ns, name)).copied()
    }

    pub fn model(&self, ns: &'static str, name: &'static str, named: bool) -> Option<&Particle> {
        self.models.get(&(ns, name, named))
    }

    fn file(&mut self, text: &'static str) {
        let mut title = "";
        let mut ns = "";
        for line in text.lines() {
            if let Some(t) = line.strip_prefix("# ") {
                title = t;
            } else if let Some(n) = line.strip_prefix("namespace ") {
                ns = n.trim();
                self.titles.insert(ns, title);
            } else if let Some((name, body)) = line.split_once(" = ") {
                let (name, named) = match name.strip_prefix("type ") {
                    Some(n) => (n, true),
                    None => (name, false),
                };
                let mut words = Words { rest: body, ns };
                let model = Particle {
                    min: 1,
                    max: 1,
                    term: words.group(None),
                };
                self.models.insert((ns, name, named), model);
                if !named {
                    self.globals.insert((ns, name), Ty::Model(ns, name, false));
                }
            } else if let Some((name, ty)) = line.split_once(" : ") {
                self.globals.insert((ns, name), ty_of(ty.trim(), ns));
            }
        }
    }
}

fn ty_of(name: &'static str, ns: &'static str) -> Ty {
    match name {
        "CS" => Ty::Attributes(CS),
        "CV" => Ty::Attributes(CV),
        "TS" => Ty::Attributes(TS),
        "PQ" => Ty::Attributes(PQ),
        "BL" => Ty::Attributes(BL),
        "URL" => Ty::Attributes(URL),
        "any" => Ty::Any,
        "payload" => Ty::Payload,
        _ => match Simple::named(name) {
            Some(s) => Ty::Simple(s),
            None => {
                let (ns, name) = resolve(name, ns);
                Ty::Model(ns, name, true)
            }
        },
    }
}

fn resolve(name: &'static str, ns: &'static str) -> (&'static str, &'static str) {
    match name.split_once('.') {
        Some((alias, local)) => (
            ALIASES
                .iter()
                .find(|(a, _)| *a == alias)
                .map_or("", |(_, uri)| uri),
            local,
        ),
        None => (ns, name),
    }
}

/// Splits one line into words; a fixed value in quotes belongs to its word.
struct Words {
    rest: &'static str,
    ns: &'static str,
}

impl Words {
    fn next(&mut self) -> Option<&'static str> {
        let text = self.rest.trim_start();
        let mut quoted = false;
        let end = text
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                *c == ' ' && !quoted
            })
            .map_or(text.len(), |(i, _)| i);
        let (word, rest) = text.split_at_checked(end)?;
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    /// Reads to the closing bracket (or the end) and leaves its occurrence mark in `close`.
    fn group(&mut self, mut close: Option<&mut &'static str>) -> Term {
        let mut items = Vec::new();
        let mut choice = false;
        while let Some(word) = self.next() {
            if let Some(mark) = word.strip_prefix(')') {
                if let Some(c) = close.as_mut() {
                    **c = mark;
                }
                break;
            }
            match word {
                "|" => choice = true,
                "(" => {
                    let mut mark = "";
                    let term = self.group(Some(&mut mark));
                    let (min, max) = occurs(mark);
                    items.push(Particle { min, max, term });
                }
                _ => items.push(self.item(word)),
            }
        }
        if choice {
            Term::Choice(items)
        } else {
            Term::Sequence(items)
        }
    }

    fn item(&self, word: &'static str) -> Particle {
        let bare = word.trim_end_matches(['?', '*', '+']);
        let (min, max) = occurs(word.strip_prefix(bare).unwrap_or_default());
        let term = match bare.split_once(':') {
            Some((name, ty)) => {
                let (ty, fixed) = match ty.split_once('=') {
                    Some((ty, value)) => (ty, Some(value.trim_matches('"'))),
                    None => (ty, None),
                };
                Term::Local {
                    ns: self.ns,
                    name,
                    ty: ty_of(ty, self.ns),
                    fixed,
                }
            }
            None => {
                let (ns, name) = resolve(bare, self.ns);
                Term::Global { ns, name }
            }
        };
        Particle { min, max, term }
    }
}

fn occurs(mark: &str) -> (u32, u32) {
    match mark {
        "?" => (0, 1),
        "*" => (0, u32::MAX),
        "+" => (1, u32::MAX),
        _ => (1, 1),
    }
}

#[cfg(test)]
impl Tables {
    /// Every model and global that a table names must exist (XML-DSig excepted: it has no table).
    pub fn assert_complete(&self) {
        fn walk(t: &Tables, p: &Particle) {
            match &p.term {
                Term::Local {
                    ty: Ty::Model(ns, name, named),
                    ..
                } => {
                    assert!(t.model(ns, name, *named).is_some(), "type {ns} {name}");
                }
                Term::Local { .. } => {}
                Term::Global { ns, name } => {
                    assert!(
                        ns.contains("xmldsig") || t.global(ns, name).is_some(),
                        "element {ns} {name}"
                    );
                }
                Term::Sequence(parts) | Term::Choice(parts) => {
                    parts.iter().for_each(|p| walk(t, p))
                }
            }
        }
        self.models.values().for_each(|p| walk(self, p));
    }
}
