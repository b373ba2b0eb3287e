//! The part of XPath that `sel` of RFC 5261 needs: one node, named from the root.

use super::tree::{Element, Node, unescaped};
use super::{FHIR, fault, gone};
use crate::finding::{Finding, IssueCode};

/// Most steps of a path.
const MAX_STEPS: usize = 64;

/// What a selector found: places of children from the root on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Element(Vec<usize>),
    /// An attribute or namespace declaration of an element.
    Attribute(Vec<usize>, String),
    /// A text or comment: its parent and its place there.
    Leaf(Vec<usize>, usize),
}

impl Found {
    /// Parent and place among its children; `None` for the root and for attributes.
    pub fn place(&self) -> Option<(Vec<usize>, usize)> {
        match self {
            Self::Element(path) => {
                let (place, parent) = path.split_last()?;
                Some((parent.to_vec(), *place))
            }
            Self::Leaf(parent, place) => Some((parent.clone(), *place)),
            Self::Attribute(..) => None,
        }
    }
}

/// A step of a path.
#[derive(Debug)]
enum Step {
    /// Child elements; `None` = any name. Namespace and local name.
    Child(Option<(String, String)>, Vec<Test>),
    Attribute(String),
    Text(Option<usize>),
    Comment(Option<usize>),
    Namespace(String),
}

/// What stands in square brackets.
#[derive(Debug)]
enum Test {
    /// The n-th, from 1.
    Place(usize),
    /// A relative path has this text.
    Equals(Vec<Step>, String),
}

/// A compiled selector.
#[derive(Debug)]
pub(super) struct Selector(Vec<Step>);

fn wrong() -> Finding {
    fault(
        IssueCode::Value,
        "sel is a path like f:Patient/f:name[1]/@id; this part of XPath is all there is",
    )
}

impl Selector {
    /// `namespace`: what a prefix stands for.
    pub fn parse(text: &str, namespace: &dyn Fn(&str) -> Option<String>) -> Result<Self, Finding> {
        let mut parser = Parser {
            rest: text.trim(),
            namespace,
        };
        parser.eat("/");
        let steps = parser.path(0)?;
        if !parser.rest.is_empty() {
            return Err(wrong());
        }
        Ok(Self(steps))
    }

    /// The one node; none is not found, several are invalid.
    pub fn find(&self, root: &Element) -> Result<Found, Finding> {
        let outside = Element {
            children: vec![Node::Element(root.clone())],
            ..Element::default()
        };
        let mut found = walk(&outside, &self.0);
        let one = found.pop().ok_or_else(gone)?;
        if !found.is_empty() {
            return Err(fault(
                IssueCode::Invalid,
                "sel names several nodes, one is expected",
            ));
        }
        // Places count from the document; from the root on, the first is always the root itself.
        let inner = |path: Vec<usize>| path.get(1..).map(<[usize]>::to_vec).ok_or_else(gone);
        Ok(match one {
            Found::Element(path) => Found::Element(inner(path)?),
            Found::Attribute(path, name) => Found::Attribute(inner(path)?, name),
            Found::Leaf(path, place) => Found::Leaf(inner(path)?, place),
        })
    }
}

/// An element on the way, with the namespaces in force.
struct At<'e> {
    element: &'e Element,
    path: Vec<usize>,
    /// Prefix → namespace, the innermost last.
    scope: Vec<(String, String)>,
}

impl At<'_> {
    fn namespace(&self, prefix: &str) -> &str {
        self.scope
            .iter()
            .rev()
            .find(|(p, _)| p == prefix)
            .map_or("", |(_, ns)| ns)
    }
}

fn declared(element: &Element) -> impl Iterator<Item = (String, String)> + '_ {
    element.attributes.iter().filter_map(|(name, raw)| {
        let prefix = match name.as_str() {
            "xmlns" => "",
            name => name.strip_prefix("xmlns:")?,
        };
        Some((prefix.to_owned(), unescaped(raw)))
    })
}

/// All nodes of a path below an element.
fn walk(from: &Element, steps: &[Step]) -> Vec<Found> {
    let mut at = vec![At {
        element: from,
        path: Vec::new(),
        scope: Vec::new(),
    }];
    for (n, step) in steps.iter().enumerate() {
        let is_last = n + 1 == steps.len();
        match step {
            Step::Child(name, tests) => {
                at = at
                    .iter()
                    .flat_map(|a| children(a, name.as_ref(), tests))
                    .collect();
                if is_last {
                    return at.into_iter().map(|a| Found::Element(a.path)).collect();
                }
            }
            _ if !is_last => return Vec::new(),
            Step::Attribute(name) => {
                return at
                    .into_iter()
                    .filter(|a| a.element.has(name))
                    .map(|a| Found::Attribute(a.path, name.clone()))
                    .collect();
            }
            Step::Namespace(prefix) => {
                let name = format!("xmlns:{prefix}");
                return at
                    .into_iter()
                    .filter(|a| a.element.has(&name))
                    .map(|a| Found::Attribute(a.path, name.clone()))
                    .collect();
            }
            Step::Text(place) => {
                return leaves(
                    &at,
                    *place,
                    |n| matches!(n, Node::Text(t) if !t.trim().is_empty()),
                );
            }
            Step::Comment(place) => {
                return leaves(&at, *place, |n| matches!(n, Node::Comment(_)));
            }
        }
    }
    Vec::new()
}

fn leaves(at: &[At<'_>], place: Option<usize>, is: impl Fn(&Node) -> bool) -> Vec<Found> {
    let mut out = Vec::new();
    for a in at {
        let mut n = 0;
        for (i, child) in a.element.children.iter().enumerate() {
            if is(child) {
                n += 1;
                if place.is_none_or(|p| p == n) {
                    out.push(Found::Leaf(a.path.clone(), i));
                }
            }
        }
    }
    out
}

fn children<'e>(at: &At<'e>, name: Option<&(String, String)>, tests: &[Test]) -> Vec<At<'e>> {
    let mut found: Vec<At<'e>> = Vec::new();
    for (place, child) in at.element.children.iter().enumerate() {
        let Node::Element(element) = child else {
            continue;
        };
        let mut scope = at.scope.clone();
        scope.extend(declared(element));
        let mut path = at.path.clone();
        path.push(place);
        let one = At {
            element,
            path,
            scope,
        };
        let fits = name.is_none_or(|(ns, local)| {
            element.local() == local && one.namespace(element.prefix()) == ns
        });
        if fits {
            found.push(one);
        }
    }
    for test in tests {
        let mut n = 0;
        found.retain(|a| {
            n += 1;
            match test {
                Test::Place(place) => *place == n,
                Test::Equals(steps, text) => has_text(a, steps, text),
            }
        });
    }
    found
}

/// Whether a relative path leads to this text.
fn has_text(at: &At<'_>, steps: &[Step], text: &str) -> bool {
    let Some((last, before)) = steps.split_last() else {
        return false;
    };
    let mut here = vec![At {
        element: at.element,
        path: Vec::new(),
        scope: at.scope.clone(),
    }];
    for step in before {
        let Step::Child(name, tests) = step else {
            return false;
        };
        here = here
            .iter()
            .flat_map(|a| children(a, name.as_ref(), tests))
            .collect();
    }
    here.iter().any(|a| match last {
        Step::Attribute(name) => a.element.attribute(name).as_deref() == Some(text),
        Step::Child(name, tests) => children(a, name.as_ref(), tests)
            .iter()
            .any(|c| unescaped(&c.element.raw_text()) == text),
        Step::Text(_) => unescaped(&a.element.raw_text()) == text,
        Step::Comment(_) | Step::Namespace(_) => false,
    })
}

struct Parser<'t> {
    rest: &'t str,
    namespace: &'t dyn Fn(&str) -> Option<String>,
}

impl<'t> Parser<'t> {
    fn eat(&mut self, mark: &str) -> bool {
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, mark: &str) -> Result<(), Finding> {
        if self.eat(mark) { Ok(()) } else { Err(wrong()) }
    }

    /// A name without prefix.
    fn name(&mut self) -> Option<&'t str> {
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!name.is_empty()).then_some(name)
    }

    fn number(&mut self) -> Option<usize> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at_checked(end)?;
        let number = digits.parse().ok()?;
        self.rest = rest;
        Some(number)
    }

    fn place(&mut self) -> Result<Option<usize>, Finding> {
        if !self.eat("[") {
            return Ok(None);
        }
        let number = self.number().ok_or_else(wrong)?;
        self.need("]")?;
        Ok(Some(number))
    }

    fn path(&mut self, depth: usize) -> Result<Vec<Step>, Finding> {
        if depth > 4 {
            return Err(wrong());
        }
        let mut steps = Vec::new();
        loop {
            if steps.len() >= MAX_STEPS {
                return Err(wrong());
            }
            steps.push(self.step(depth)?);
            if !self.eat("/") {
                return Ok(steps);
            }
        }
    }

    fn step(&mut self, depth: usize) -> Result<Step, Finding> {
        if self.eat("@") {
            return Ok(Step::Attribute(self.name().ok_or_else(wrong)?.to_owned()));
        }
        if self.eat("text()") {
            return Ok(Step::Text(self.place()?));
        }
        if self.eat("comment()") {
            return Ok(Step::Comment(self.place()?));
        }
        if self.eat("namespace::") {
            return Ok(Step::Namespace(self.name().ok_or_else(wrong)?.to_owned()));
        }
        let name = if self.eat("*") {
            None
        } else {
            let first = self.name().ok_or_else(wrong)?;
            let (prefix, local) = if self.eat(":") {
                (first, self.name().ok_or_else(wrong)?)
            } else {
                ("", first)
            };
            let namespace = match (self.namespace)(prefix) {
                Some(namespace) => namespace,
                None if prefix.is_empty() => FHIR.to_owned(),
                None => return Err(wrong()),
            };
            Some((namespace, local.to_owned()))
        };
        let mut tests = Vec::new();
        while self.eat("[") {
            if let Some(number) = self.number() {
                tests.push(Test::Place(number));
            } else {
                let path = self.path(depth + 1)?;
                self.rest = self.rest.trim_start();
                self.need("=")?;
                self.rest = self.rest.trim_start();
                let quote = if self.eat("'") {
                    '\''
                } else {
                    self.need("\"")?;
                    '"'
                };
                let (text, rest) = self.rest.split_once(quote).ok_or_else(wrong)?;
                self.rest = rest;
                tests.push(Test::Equals(path, text.to_owned()));
            }
            self.need("]")?;
        }
        Ok(Step::Child(name, tests))
    }
}
