//! Holds a document against the tables.

use super::grammar::{Particle, Tables, Term, Ty};
use super::types::Simple;
use super::{Fault, MAX_FAULTS, Outcome};
use crate::xml::{Attr, Elem, Node};

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

pub(super) struct Run<'t> {
    pub tables: &'t Tables,
    pub out: Outcome,
}

/// How far a content model came with the children.
struct Cursor<'e> {
    kids: &'e [&'e Elem],
    pos: usize,
    /// Names that would have been right at `pos`.
    expected: Vec<&'static str>,
}

/// A required part was not there.
struct Missing(Vec<&'static str>);

enum Step {
    Consumed,
    Empty,
    Failed,
}

impl Cursor<'_> {
    fn particle(&mut self, p: &Particle) -> Result<bool, Missing> {
        let start = self.pos;
        let mut count = 0;
        let mut empty = false;
        while count < p.max {
            match self.term(&p.term)? {
                Step::Consumed => count += 1,
                Step::Empty => {
                    empty = true;
                    break;
                }
                Step::Failed => break,
            }
        }
        if count < p.min && !empty {
            let mut names = Vec::new();
            first(&p.term, &mut names);
            return Err(Missing(names));
        }
        Ok(self.pos > start)
    }

    fn term(&mut self, term: &Term) -> Result<Step, Missing> {
        let start = self.pos;
        match term {
            Term::Local { ns, name, .. } | Term::Global { ns, name } => {
                if self
                    .kids
                    .get(self.pos)
                    .is_some_and(|k| &*k.name == *name && &*k.ns == *ns)
                {
                    self.pos += 1;
                    self.expected.clear();
                    return Ok(Step::Consumed);
                }
                if !self.expected.contains(name) {
                    self.expected.push(name);
                }
                Ok(Step::Failed)
            }
            Term::Sequence(parts) => {
                for p in parts {
                    match self.particle(p) {
                        Ok(_) => {}
                        Err(_) if self.pos == start => return Ok(Step::Failed),
                        Err(m) => return Err(m),
                    }
                }
                Ok(if self.pos > start {
                    Step::Consumed
                } else {
                    Step::Empty
                })
            }
            Term::Choice(alternatives) => {
                let mut empty = false;
                for a in alternatives {
                    match self.particle(a) {
                        Ok(true) => return Ok(Step::Consumed),
                        Ok(false) => empty = true,
                        Err(_) if self.pos == start => {}
                        Err(m) => return Err(m),
                    }
                }
                Ok(if empty { Step::Empty } else { Step::Failed })
            }
        }
    }
}

/// Names a term can begin with.
fn first(term: &Term, out: &mut Vec<&'static str>) {
    match term {
        Term::Local { name, .. } | Term::Global { name, .. } => {
            if !out.contains(name) {
                out.push(name);
            }
        }
        Term::Sequence(parts) => {
            for p in parts {
                first(&p.term, out);
                if p.min > 0 {
                    break;
                }
            }
        }
        Term::Choice(alternatives) => {
            for a in alternatives {
                first(&a.term, out);
            }
        }
    }
}

/// The declaration of a child anywhere in a content model; in a deterministic schema a name has one type.
fn declaration<'p>(p: &'p Particle, child: &Elem) -> Option<&'p Term> {
    match &p.term {
        t @ (Term::Local { ns, name, .. } | Term::Global { ns, name }) => {
            (&*child.name == *name && &*child.ns == *ns).then_some(t)
        }
        Term::Sequence(parts) | Term::Choice(parts) => {
            parts.iter().find_map(|p| declaration(p, child))
        }
    }
}

fn all_names(p: &Particle, out: &mut Vec<&'static str>) {
    match &p.term {
        Term::Local { name, .. } | Term::Global { name, .. } => out.push(name),
        Term::Sequence(parts) | Term::Choice(parts) => parts.iter().for_each(|p| all_names(p, out)),
    }
}

impl Run<'_> {
    pub fn root(&mut self, e: &Elem) {
        match self.tables.global(&e.ns, &e.name) {
            Some(ty) => self.typed(e, ty, None),
            None if self.tables.title(&e.ns).is_some() => {
                let name = shown(&e.name);
                self.fault(
                    e,
                    format!("<{name}> er ikke et rotelement i denne standarden"),
                    format!("<{name}> is no root element of this standard"),
                );
            }
            None => self.unknown_namespace(e),
        }
    }

    fn unknown_namespace(&mut self, e: &Elem) {
        if !self.out.unchecked.iter().any(|n| **n == *e.ns) && self.out.unchecked.len() < MAX_FAULTS
        {
            self.out.unchecked.push(e.ns.to_string());
        }
    }

    fn fault(&mut self, e: &Elem, text_nb: String, text_en: String) {
        if self.out.faults.len() < MAX_FAULTS {
            let table = self.tables.title(&e.ns).unwrap_or("MsgHead 1.2");
            let rule = format!("{table}: {}", shown(&e.name));
            self.out.faults.push(Fault {
                at: e.at,
                text_nb,
                text_en,
                rule,
            });
        }
    }

    // Recursion is bounded by the depth limit of the reader.
    fn typed(&mut self, e: &Elem, ty: Ty, fixed: Option<&str>) {
        match ty {
            Ty::Any => self.lax(e),
            Ty::Payload => {
                self.no_text(e);
                for child in e.elems() {
                    self.root(child);
                }
            }
            Ty::Simple(s) => {
                self.attributes(e, &[]);
                self.simple(e, s, fixed);
            }
            Ty::Attributes(known) => {
                self.attributes(e, known);
                if !e.children.is_empty() {
                    let name = shown(&e.name);
                    self.fault(
                        e,
                        format!("<{name}> skal være tomt: verdien står i attributter som V"),
                        format!("<{name}> must be empty: its value stands in attributes such as V"),
                    );
                }
            }
            Ty::Model(ns, name, named) => {
                self.attributes(e, &[]);
                if let Some(model) = self.tables.model(ns, name, named) {
                    self.content(e, model);
                }
            }
        }
    }

    fn lax(&mut self, e: &Elem) {
        for child in e.elems() {
            match self.tables.global(&child.ns, &child.name) {
                Some(ty) => self.typed(child, ty, None),
                None => self.lax(child),
            }
        }
    }

    fn no_text(&mut self, e: &Elem) {
        if e.children
            .iter()
            .any(|n| matches!(n, Node::Text(t) if !t.trim().is_empty()))
        {
            let name = shown(&e.name);
            self.fault(
                e,
                format!("<{name}> kan bare inneholde elementer, ikke tekst"),
                format!("<{name}> may hold elements only, no text"),
            );
        }
    }

    fn simple(&mut self, e: &Elem, ty: Simple, fixed: Option<&str>) {
        let name = shown(&e.name);
        if let Some(child) = e.elems().next() {
            self.fault(
                child,
                format!("<{name}> skal inneholde tekst, ikke elementer"),
                format!("<{name}> must hold text, no elements"),
            );
            return;
        }
        let text = e.text();
        if let Some(fixed) = fixed.filter(|f| *f != text) {
            self.fault(
                e,
                format!("<{name}> skal alltid ha verdien «{fixed}»"),
                format!("<{name}> must always have the value \"{fixed}\""),
            );
        } else if !ty.accepts(&text) {
            let (nb, en) = ty.wants();
            self.fault(
                e,
                format!("Verdien i <{name}> har feil form; ventet {nb}"),
                format!("The value of <{name}> has the wrong form; expected {en}"),
            );
        }
    }

    fn attributes(&mut self, e: &Elem, known: &[(&'static str, Simple)]) {
        for Attr { ns, name, value } in &e.attrs {
            if &**ns == XSI {
                continue;
            }
            let element = shown(&e.name);
            let attribute = shown(name);
            match known.iter().find(|(n, _)| ns.is_empty() && *n == &**name) {
                None => self.fault(
                    e,
                    format!("Attributten {attribute} er ikke tillatt på <{element}>"),
                    format!("Attribute {attribute} is not allowed on <{element}>"),
                ),
                Some((_, ty)) if !ty.accepts(value) => {
                    let (nb, en) = ty.wants();
                    self.fault(
                        e,
                        format!(
                            "Attributten {attribute} på <{element}> har feil form; ventet {nb}"
                        ),
                        format!(
                            "Attribute {attribute} of <{element}> has the wrong form; expected {en}"
                        ),
                    );
                }
                Some(_) => {}
            }
        }
    }

    fn content(&mut self, e: &Elem, model: &Particle) {
        self.no_text(e);
        let kids: Vec<&Elem> = e.elems().collect();
        let mut cursor = Cursor {
            kids: &kids,
            pos: 0,
            expected: Vec::new(),
        };
        // A sequence that fails before it has taken anything names what it wanted as missing, too.
        let missing = match cursor.particle(model) {
            Ok(_) => None,
            Err(Missing(names)) => Some(names),
        };
        let (pos, expected) = (cursor.pos, cursor.expected);
        if missing.is_some() || pos < kids.len() {
            let before = pos.checked_sub(1).and_then(|i| kids.get(i)).copied();
            self.explain(
                e,
                model,
                (before, kids.get(pos).copied()),
                missing,
                &expected,
            );
        }
        for child in kids {
            match declaration(model, child) {
                Some(Term::Local { ty, fixed, .. }) => self.typed(child, *ty, *fixed),
                Some(Term::Global { ns, name }) => match self.tables.global(ns, name) {
                    Some(ty) => self.typed(child, ty, None),
                    None => self.unknown_namespace(child),
                },
                _ => {}
            }
        }
    }

    fn explain(
        &mut self,
        parent: &Elem,
        model: &Particle,
        (before, found): (Option<&Elem>, Option<&Elem>),
        missing: Option<Vec<&'static str>>,
        expected: &[&'static str],
    ) {
        let inside = shown(&parent.name);
        let Some(found) = found else {
            let list = names(&missing.unwrap_or_default());
            self.fault(
                parent,
                format!("{} mangler i <{inside}>", list.0),
                format!("{} is missing in <{inside}>", list.1),
            );
            return;
        };
        let name = shown(&found.name);
        let known = declaration(model, found).is_some();
        let repeated = before.is_some_and(|b| b.name == found.name && b.ns == found.ns);
        match missing {
            Some(missing) if known && !repeated => {
                let list = names(&missing);
                self.fault(
                    found,
                    format!("{} mangler før <{name}> i <{inside}>", list.0),
                    format!("{} is missing before <{name}> in <{inside}>", list.1),
                );
            }
            _ if known => {
                let (mut nb, mut en) = (
                    format!("<{name}> står på feil plass eller for mange ganger i <{inside}>"),
                    format!("<{name}> is in the wrong place or too many times in <{inside}>"),
                );
                if !expected.is_empty() {
                    let list = names(expected);
                    nb.push_str(&format!("; her kan stå {}", list.0));
                    en.push_str(&format!("; what may stand here: {}", list.1));
                }
                self.fault(found, nb, en);
            }
            missing => {
                let (mut nb, mut en) = (
                    format!("<{name}> er ikke tillatt i <{inside}>"),
                    format!("<{name}> is not allowed in <{inside}>"),
                );
                let mut all = Vec::new();
                all_names(model, &mut all);
                let wrong_ns = all.contains(&&*found.name);
                let near = all
                    .iter()
                    .find(|n| distance(n, &found.name) <= 1 + n.len() / 5)
                    .filter(|_| !wrong_ns);
                if wrong_ns {
                    nb.push_str(" med dette navnerommet");
                    en.push_str(" with this namespace");
                } else if let Some(near) = near {
                    nb.push_str(&format!("; mente du <{near}>?"));
                    en.push_str(&format!("; did you mean <{near}>?"));
                } else {
                    let wanted = missing.as_deref().unwrap_or(expected);
                    if !wanted.is_empty() {
                        let list = names(wanted);
                        nb.push_str(&format!("; ventet {}", list.0));
                        en.push_str(&format!("; expected {}", list.1));
                    }
                }
                self.fault(found, nb, en);
            }
        }
    }
}

/// A name from the document, made harmless for texts.
fn shown(name: &str) -> String {
    name.chars().take(60).collect()
}

/// At most five names, `<A>, <B> eller <C>`, Norwegian and English.
fn names(list: &[&str]) -> (String, String) {
    let shown: Vec<String> = list.iter().take(5).map(|n| format!("<{n}>")).collect();
    let join = |or: &str| match shown.split_last() {
        Some((last, rest)) if !rest.is_empty() && list.len() <= 5 => {
            format!("{} {or} {last}", rest.join(", "))
        }
        _ if list.len() > 5 => format!("{} …", shown.join(", ")),
        _ => shown.join(""),
    };
    (join("eller"), join("or"))
}

/// Edit distance, for "did you mean"; capped by the short names it is used on.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(60).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (cb, up) in b.iter().zip(row.iter().skip(1)) {
            let cost = if ca == *cb {
                diagonal
            } else {
                1 + diagonal.min(left).min(*up)
            };
            diagonal = *up;
            left = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
