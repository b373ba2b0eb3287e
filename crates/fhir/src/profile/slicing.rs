//! Slicing: which named part of a repeating element (or which type of a choice) an item belongs to.

use super::table::{Constraint, Discriminator, Kind, Openness, Slicing, Walk};
use super::target::Target;
use super::validator::Run;
use super::value::{fits_pattern, is_fixed};
use crate::doc::Node;
use crate::finding::IssueCode;
use crate::pack::TypeId;

/// Name of the slice for what no other slice takes.
const REST: &str = "@default";

impl<'a> Run<'a, '_> {
    /// Checks the items of a sliced element: which slice each belongs to, how many each slice has, and their content.
    pub(super) fn slices(
        &mut self,
        parent: Node<'a>,
        c: &Constraint,
        nodes: &[Node<'a>],
        shown: &str,
    ) {
        let fallback = default_slicing(c);
        let slicing = c.slicing.as_ref().unwrap_or(&fallback);
        let mut members: Vec<Vec<Node<'a>>> = vec![Vec::new(); c.slices.len()];
        let mut furthest = 0usize;
        let mut unmatched_before: Option<Node<'a>> = None;
        for node in nodes {
            let Some(at) = self.slice_of(*node, c, slicing) else {
                match slicing.rules {
                    Openness::Closed => self.error(
                        *node,
                        IssueCode::Structure,
                        "profile-slice",
                        format!("{shown} matches none of the slices that the profile allows"),
                    ),
                    _ => unmatched_before = Some(*node),
                }
                continue;
            };
            if slicing.rules == Openness::OpenAtEnd
                && let Some(early) = unmatched_before.take()
            {
                self.error(
                    early,
                    IssueCode::Structure,
                    "profile-slice",
                    format!("{shown} outside the profile's slices stands at the end"),
                );
            }
            if slicing.ordered {
                if at < furthest {
                    self.error(
                        *node,
                        IssueCode::Structure,
                        "profile-slice",
                        format!("{shown} is not in the order that the profile wants"),
                    );
                }
                furthest = furthest.max(at);
            }
            if let Some(list) = members.get_mut(at) {
                list.push(*node);
            }
        }
        for (slice, list) in c.slices.iter().zip(members) {
            let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
            self.count(parent, &c.name, Some(&slice.name), slice, count);
            for node in &list {
                self.element(*node, slice);
            }
            if !slice.slices.is_empty() {
                self.slices(parent, slice, &list, shown);
            }
        }
    }

    /// Place of the slice that an item belongs to.
    pub(super) fn slice_of(
        &mut self,
        node: Node<'a>,
        c: &Constraint,
        slicing: &Slicing,
    ) -> Option<usize> {
        let named = c
            .slices
            .iter()
            .position(|s| &*s.name != REST && self.is_in(node, s, slicing));
        named.or_else(|| c.slices.iter().position(|s| &*s.name == REST))
    }

    fn is_in(&mut self, node: Node<'a>, slice: &Constraint, slicing: &Slicing) -> bool {
        if !self.spend() {
            return false;
        }
        if slicing.discriminators.is_empty() {
            return self.fits_quietly(node, slice);
        }
        slicing
            .discriminators
            .iter()
            .all(|d| self.discriminates(node, slice, d))
    }

    fn discriminates(&mut self, node: Node<'a>, slice: &Constraint, d: &Discriminator) -> bool {
        if let Some(told) = self.plainly(node, slice, d) {
            return told;
        }
        let nodes = self.walk(node, &d.path);
        let places = self.constraints_at(slice, &d.path);
        match d.kind {
            Kind::Value => {
                let mut decided = false;
                for c in &places {
                    for n in &nodes {
                        match self.satisfies(*n, c, 0) {
                            Some(true) => return true,
                            Some(false) => decided = true,
                            None => {}
                        }
                    }
                    decided |= nodes.is_empty() && self.decides(c, 0);
                }
                // Nothing fixed there: what the slice asks for as a whole decides.
                !decided && self.fits_quietly(node, slice)
            }
            Kind::Exists => {
                let absent = places.iter().any(|c| c.max == Some(Some(0)));
                nodes.is_empty() == absent
            }
            Kind::Type => {
                let resolves = d.path.last() == Some(&Walk::Resolve);
                let wanted: Vec<TypeId> = places
                    .iter()
                    .flat_map(|c| &c.types)
                    .flat_map(|t| {
                        if resolves && !t.targets.is_empty() {
                            t.targets
                                .iter()
                                .filter_map(|u| self.target_type(u))
                                .collect()
                        } else {
                            vec![t.ty]
                        }
                    })
                    .collect();
                if resolves && nodes.is_empty() {
                    // The resource is elsewhere; its type may still be told.
                    let (_, head) = d.path.split_last().unwrap_or((&Walk::Resolve, &[]));
                    return self.walk(node, head).into_iter().any(|n| {
                        matches!(self.target_of(n), Target::Type(ty) if wanted.iter().any(|w| self.pack().is_a(ty, *w)))
                    });
                }
                nodes
                    .iter()
                    .any(|n| wanted.iter().any(|w| self.pack().is_a(n.type_id(), *w)))
            }
            Kind::Profile => {
                let urls: Vec<Box<str>> = places
                    .iter()
                    .flat_map(|c| &c.types)
                    .flat_map(|t| t.profiles.iter().chain(&t.targets).cloned())
                    .collect();
                nodes.iter().any(|n| {
                    urls.iter().any(|u| {
                        self.target_type(u)
                            .is_some_and(|ty| self.pack().is_a(n.type_id(), ty))
                            && self.conforms_to(*n, u) != Some(false)
                    })
                })
            }
        }
    }

    /// The common discriminators, without copies: a value that the slice itself fixes, and the URL of an extension.
    fn plainly(&self, node: Node<'a>, slice: &Constraint, d: &Discriminator) -> Option<bool> {
        if d.kind != Kind::Value {
            return None;
        }
        if let [Walk::Member(name)] = d.path.as_slice()
            && **name == *"url"
            && let Some(url) = node.str_at("url")
            && node.type_id() == self.pack().known.extension
            && slice.child("url").is_none()
        {
            let mut profiles = slice.types.iter().flat_map(|t| &t.profiles).peekable();
            profiles.peek()?;
            return Some(profiles.any(|p| p.split('|').next() == Some(url)));
        }
        let mut c = slice;
        for step in &d.path {
            let Walk::Member(name) = step else {
                return None;
            };
            c = c.child(name)?;
        }
        if c.fixed.is_none() && c.pattern.is_none() {
            return None;
        }
        let nodes = self.walk(node, &d.path);
        Some(nodes.iter().any(|n| self.satisfies(*n, c, 0) == Some(true)))
    }

    /// Elements at a discriminator path.
    fn walk(&self, from: Node<'a>, path: &[Walk]) -> Vec<Node<'a>> {
        let mut at = vec![from];
        for step in path {
            let mut next = Vec::new();
            for n in at {
                match step {
                    Walk::Member(name) => next.extend(self.named(n, name)),
                    Walk::Extension(url) => next.extend(
                        n.all("extension")
                            .filter(|x| x.str_at("url") == Some(url.as_ref())),
                    ),
                    Walk::OfType(name) => {
                        let ty = self.pack().type_id(name);
                        if ty.is_some_and(|t| self.pack().is_a(n.type_id(), t)) {
                            next.push(n);
                        }
                    }
                    Walk::Resolve => {
                        if let Target::Resource(r) = self.target_of(n) {
                            next.push(r);
                        }
                    }
                }
            }
            at = next;
        }
        at
    }

    /// What a slice says of the element at a discriminator path, in its own rows and in the profiles of its types.
    fn constraints_at(&self, slice: &Constraint, path: &[Walk]) -> Vec<Constraint> {
        // Copies are dear: this is for what `plainly` cannot tell.
        self.spend_units(50);
        let mut at = vec![slice.clone()];
        for step in path {
            let mut next = Vec::new();
            for c in &at {
                let mut places = vec![c.clone()];
                for url in c.types.iter().flat_map(|t| &t.profiles) {
                    places.extend(self.profile(url).map(|p| p.root.clone()));
                }
                for place in places {
                    match step {
                        Walk::Member(name) => next.extend(place.child(name).cloned()),
                        Walk::Extension(url) => next.extend(
                            place
                                .child("extension")
                                .into_iter()
                                .flat_map(|x| &x.slices)
                                .filter(|s| {
                                    s.types.iter().any(|t| t.profiles.iter().any(|p| p == url))
                                        || s.child("url")
                                            .and_then(|u| u.fixed.as_ref())
                                            .is_some_and(|f| {
                                                f.node().as_str() == Some(url.as_ref())
                                            })
                                })
                                .cloned(),
                        ),
                        Walk::OfType(name) => {
                            let ty = self.pack().type_id(name);
                            let typed = place
                                .slices
                                .iter()
                                .filter(|s| s.types.iter().any(|t| Some(t.ty) == ty));
                            next.extend(typed.cloned());
                            next.push(place);
                        }
                        Walk::Resolve => {
                            let targets: Vec<Box<str>> = place
                                .types
                                .iter()
                                .flat_map(|t| t.targets.iter().cloned())
                                .collect();
                            for url in &targets {
                                next.extend(self.profile(url).map(|p| p.root.clone()));
                            }
                            next.push(place);
                        }
                    }
                }
            }
            at = next;
        }
        at
    }

    /// Whether an element has the values that a constraint fixes, itself or below; `None` when it fixes none.
    pub(super) fn satisfies(&self, node: Node<'a>, c: &Constraint, depth: usize) -> Option<bool> {
        if depth > 12 {
            return None;
        }
        let mut answer = None;
        let mut note = |ok: bool| answer = Some(answer.unwrap_or(true) && ok);
        if let Some(v) = &c.fixed {
            note(is_fixed(node, v.node()));
        }
        if let Some(v) = &c.pattern {
            note(fits_pattern(node, v.node()));
        }
        if let Some(b) = c.binding.as_ref().filter(|b| b.required)
            && let Some(ok) = self.in_value_set(node, &b.value_set)
        {
            note(ok);
        }
        for child in &c.children {
            let mut told = None;
            for n in self.named(node, &child.name) {
                match self.satisfies(n, child, depth + 1) {
                    Some(true) => {
                        told = Some(true);
                        break;
                    }
                    Some(false) => told = Some(false),
                    None => {}
                }
            }
            if told.is_none()
                && self.decides(child, depth + 1)
                && self.named(node, &child.name).is_empty()
            {
                told = Some(false);
            }
            if let Some(ok) = told {
                note(ok);
            }
            for slice in &child.slices {
                if slice.min.unwrap_or(0) == 0 || !self.decides(slice, depth + 1) {
                    continue;
                }
                let any = self
                    .named(node, &child.name)
                    .into_iter()
                    .any(|n| self.satisfies(n, slice, depth + 1) == Some(true));
                note(any);
            }
        }
        for t in &c.types {
            if let [url] = t.profiles.as_slice()
                && let Some(p) = self.profile(url)
                && let Some(ok) = self.satisfies(node, &p.root, depth + 1)
            {
                note(ok);
            }
        }
        answer
    }

    /// Whether the constraint fixes a value, itself or below.
    fn decides(&self, c: &Constraint, depth: usize) -> bool {
        if depth > 12 {
            return false;
        }
        c.fixed.is_some()
            || c.pattern.is_some()
            || c.binding.as_ref().is_some_and(|b| b.required)
            || c.children.iter().any(|k| self.decides(k, depth + 1))
            || c.types.iter().any(|t| {
                t.profiles.iter().any(|u| {
                    self.profile(u)
                        .is_some_and(|p| self.decides(&p.root, depth + 1))
                })
            })
    }
}

/// How slices are told apart when no row says so: extensions by URL, choices by type, others by all that they ask for.
pub(super) fn default_slicing(c: &Constraint) -> Slicing {
    let discriminators = if matches!(&*c.name, "extension" | "modifierExtension") {
        vec![Discriminator {
            kind: Kind::Value,
            path: vec![Walk::Member(Box::from("url"))],
        }]
    } else if c.is_choice {
        vec![Discriminator {
            kind: Kind::Type,
            path: Vec::new(),
        }]
    } else {
        Vec::new()
    };
    Slicing {
        discriminators,
        rules: Openness::Open,
        ordered: false,
    }
}
