//! Rows → constraints, laid over those of the profile that a definition derives from.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use super::library::Library;
use super::read::{Definition, Row, Step, read};
use super::table::{
    Binding, Constraint, Discriminator, Kind, Openness, Profile, ProfileRule, Slicing, TypeRef,
    Walk,
};
use super::value::Value;
use crate::doc::{Doc, Node};
use crate::finding::{Finding, IssueCode, Severity, safe_name};
use crate::pack::{Pack, TypeId};
use crate::path;

/// Canonical base of the definitions that R4 itself has.
pub(super) const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";

/// Keys of the base definitions' invariants: they are checked without any profile.
static BASE_KEYS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let pack = Pack::r4();
    let mut keys: HashSet<&'static str> = HashSet::from(["ele-1"]);
    for (_, t) in pack.types() {
        keys.extend(t.rules.iter().map(|r| r.key.as_ref()));
        for e in t.elements.iter().filter_map(|e| pack.element(*e)) {
            keys.extend(e.rules.iter().map(|r| r.key.as_ref()));
        }
    }
    keys
});

/// Compiles a StructureDefinition. Profiles that it builds on come from the library.
///
/// Errors: the document is no StructureDefinition of R4, or larger than the limits. What cannot be used (an invariant that
/// does not compile, a base profile that is not known) is left out and stands in [`Profile::notes`].
pub fn compile(doc: Doc, library: &Library<'_>) -> Result<Profile, Vec<Finding>> {
    let definition = read(doc)?;
    let mut notes = Vec::new();
    let (mut root, rows) = start(&definition, library, &mut notes);
    let mut is_modifier = false;
    for row in rows {
        let node = Node::new(&definition.doc, row.node);
        if row.steps.is_empty() {
            is_modifier |= node.get("isModifier").and_then(|m| m.as_bool()) == Some(true);
        }
        let Some(target) = reach(&mut root, &row.steps) else {
            continue;
        };
        fill(target, &definition, node, &mut notes);
    }
    root.min = None;
    root.max = None;
    settle(&mut root);
    root.prune();
    Ok(Profile {
        url: definition.url,
        version: definition.version,
        ty: definition.ty,
        is_derived: !definition.base.starts_with(CORE),
        notes,
        contexts: definition.contexts,
        is_modifier,
        root,
    })
}

fn note(notes: &mut Vec<Finding>, text: impl Into<String>) {
    notes.push(Finding {
        severity: Severity::Information,
        ..Finding::error(IssueCode::NotSupported, "profile", text)
    });
}

/// The constraints to start from and the rows to lay over them: the base profile's with the differential, or the snapshot
/// when the base is not known or there is no differential.
fn start<'d>(
    d: &'d Definition,
    library: &Library<'_>,
    notes: &mut Vec<Finding>,
) -> (Constraint, &'d [Row]) {
    let pack = Pack::r4();
    let is_core = d
        .base
        .strip_prefix(CORE)
        .is_some_and(|n| pack.type_id(n).is_some());
    let base = if is_core || d.base.is_empty() {
        None
    } else {
        library.profile(&d.base)
    };
    match base {
        Some(base) if !d.differential.is_empty() || d.snapshot.is_empty() => {
            (base.root.clone(), &d.differential)
        }
        None if (is_core || d.snapshot.is_empty()) && !d.differential.is_empty() => {
            if !is_core {
                note(
                    notes,
                    "the profile that this one derives from is not known here",
                );
            }
            (Constraint::default(), &d.differential)
        }
        _ => (Constraint::default(), &d.snapshot),
    }
}

fn reach<'c>(from: &'c mut Constraint, steps: &[Step]) -> Option<&'c mut Constraint> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(from);
    };
    let child = from.child_mut(&step.name)?;
    child.is_choice |= step.is_choice;
    let target = match &step.slice {
        None => {
            child.is_explicit |= rest.is_empty();
            child
        }
        // `a/b` is a slice of the slice `a`.
        Some(name) => {
            let mut at = child;
            let mut end = 0;
            loop {
                end = name
                    .get(end..)
                    .and_then(|r| r.find('/'))
                    .map_or(name.len(), |n| end + n);
                at = at.slice_mut(name.get(..end)?)?;
                if end >= name.len() {
                    break at;
                }
                end += 1;
            }
        }
    };
    reach(target, rest)
}

fn fill(c: &mut Constraint, d: &Definition, e: Node<'_>, notes: &mut Vec<Finding>) {
    if let Some(min) = e.get("min").and_then(|n| n.as_i64()) {
        c.min = u32::try_from(min).ok();
    }
    match e.str_at("max") {
        Some("*") => c.max = Some(None),
        Some(n) => c.max = n.parse().ok().map(Some),
        None => {}
    }
    if let Some(n) = e.get("maxLength").and_then(|n| n.as_i64()) {
        c.max_length = u32::try_from(n).ok();
    }
    if e.get("type").is_some() {
        c.types = e.all("type").map(type_ref).collect();
    }
    for v in e.fields() {
        let value = || Some(Value::new(&d.doc, v));
        let name = v.name();
        if name.starts_with("fixed") {
            c.fixed = value();
        } else if name.starts_with("pattern") {
            c.pattern = value();
        } else if name.starts_with("minValue") {
            c.least = value();
        } else if name.starts_with("maxValue") {
            c.greatest = value();
        }
    }
    if let Some(b) = e.get("binding") {
        let required = match b.str_at("strength") {
            Some("required") => Some(true),
            Some("extensible") => Some(false),
            _ => None,
        };
        c.binding = required
            .zip(b.str_at("valueSet"))
            .map(|(required, set)| Binding {
                required,
                value_set: Box::from(set),
            });
    }
    for k in e.all("constraint") {
        rule(c, k, notes);
    }
    if let Some(s) = e.get("slicing") {
        c.slicing = Some(slicing(s, notes));
    }
}

fn type_ref(t: Node<'_>) -> TypeRef {
    let code = t.str_at("code").unwrap_or_default();
    let list = |name: &str| {
        t.all(name)
            .filter_map(|n| n.as_str())
            .map(Box::from)
            .collect::<Vec<Box<str>>>()
    };
    // A core type as profile says nothing new.
    let beyond = |l: Vec<Box<str>>| {
        let is_type = |u: &str| {
            u.strip_prefix(CORE)
                .is_some_and(|n| Pack::r4().type_id(n).is_some())
        };
        if l.iter().any(|u| is_type(u)) {
            Vec::new()
        } else {
            l
        }
    };
    TypeRef {
        ty: Pack::r4().type_id(code).unwrap_or(TypeId::NONE),
        profiles: beyond(list("profile")),
        targets: list("targetProfile"),
        aggregation: list("aggregation"),
    }
}

fn rule(c: &mut Constraint, k: Node<'_>, notes: &mut Vec<Finding>) {
    let key = k.str_at("key").unwrap_or_default();
    if BASE_KEYS.contains(key) {
        return;
    }
    let shown = safe_name(key);
    let Some(text) = k.str_at("expression") else {
        note(
            notes,
            format!("the constraint {shown} has no expression and is not checked"),
        );
        return;
    };
    match path::compiled(text) {
        Ok(expr) => {
            c.rules.retain(|r| *r.key != *key);
            c.rules.push(ProfileRule {
                key: Box::from(shown),
                severity: match k.str_at("severity") {
                    Some("warning") => Severity::Warning,
                    _ => Severity::Error,
                },
                human: Box::from(k.str_at("human").unwrap_or("the constraint does not hold")),
                expr,
            });
        }
        Err(e) => note(
            notes,
            format!(
                "the constraint {shown} is not checked: its expression has a fault at character {}",
                e.offset
            ),
        ),
    }
}

fn slicing(s: Node<'_>, notes: &mut Vec<Finding>) -> Slicing {
    let mut discriminators = Vec::new();
    for d in s.all("discriminator") {
        let kind = match d.str_at("type") {
            Some("value" | "pattern") => Kind::Value,
            Some("exists") => Kind::Exists,
            Some("type") => Kind::Type,
            Some("profile") => Kind::Profile,
            _ => continue,
        };
        match walk(d.str_at("path").unwrap_or_default()) {
            Some(path) => discriminators.push(Discriminator { kind, path }),
            None => note(
                notes,
                "a discriminator's path is not of the restricted form; its slices are told apart by what they ask for",
            ),
        }
    }
    Slicing {
        discriminators,
        rules: match s.str_at("rules") {
            Some("closed") => Openness::Closed,
            Some("openAtEnd") => Openness::OpenAtEnd,
            _ => Openness::Open,
        },
        ordered: s.get("ordered").and_then(|o| o.as_bool()) == Some(true),
    }
}

/// A discriminator path: names, `$this`, `extension('…')`, `ofType(…)`, `resolve()`.
fn walk(text: &str) -> Option<Vec<Walk>> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (head, tail) = if let Some(r) = rest.strip_prefix("extension(") {
            let quote = r.chars().next().filter(|q| matches!(q, '\'' | '"'))?;
            let (url, tail) = r.get(1..)?.split_once(quote)?;
            (
                Some(Walk::Extension(Box::from(url))),
                tail.strip_prefix(')')?,
            )
        } else if let Some(r) = rest.strip_prefix("ofType(") {
            let (name, tail) = r.split_once(')')?;
            let name = name.trim().trim_start_matches("FHIR.");
            (Some(Walk::OfType(Box::from(name))), tail)
        } else if let Some(tail) = rest.strip_prefix("resolve()") {
            (Some(Walk::Resolve), tail)
        } else if let Some(tail) = rest.strip_prefix("$this") {
            (None, tail)
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let (name, tail) = rest.split_at_checked(end)?;
            let plain = name.trim_end_matches("[x]");
            if plain.is_empty()
                || !plain
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_')
            {
                return None;
            }
            (Some(Walk::Member(Box::from(plain))), tail)
        };
        out.extend(head);
        rest = match tail.strip_prefix('.') {
            Some(r) => r,
            None if tail.is_empty() => tail,
            None => return None,
        };
    }
    (out.len() <= 20).then_some(out)
}

/// What the rows imply once all are there: types of choices written in the short form only.
fn settle(c: &mut Constraint) {
    for child in &mut c.children {
        settle(child);
        for s in &mut child.slices {
            settle(s);
        }
        if !child.is_choice || child.slices.is_empty() {
            continue;
        }
        for s in &mut child.slices {
            if s.types.is_empty()
                && let Some(ty) = choice_type(&child.name, &s.name)
            {
                s.types.push(TypeRef {
                    ty,
                    profiles: Vec::new(),
                    targets: Vec::new(),
                    aggregation: Vec::new(),
                });
            }
        }
        if !child.is_explicit && child.types.is_empty() {
            let types: Vec<TypeRef> = child.slices.iter().flat_map(|s| s.types.clone()).collect();
            if child.slices.iter().all(|s| !s.types.is_empty()) {
                child.types = types
                    .into_iter()
                    .map(|t| TypeRef {
                        profiles: Vec::new(),
                        targets: Vec::new(),
                        aggregation: Vec::new(),
                        ..t
                    })
                    .collect();
            }
        }
    }
}

/// The type that a choice slice's name ends with (`valueQuantity` → Quantity).
fn choice_type(base: &str, slice: &str) -> Option<TypeId> {
    let suffix = slice.strip_prefix(base)?;
    let pack = Pack::r4();
    let mut c = suffix.chars();
    let first = c.next()?;
    let lower: String = std::iter::once(first.to_ascii_lowercase())
        .chain(c)
        .collect();
    pack.type_id(suffix).or_else(|| pack.type_id(&lower))
}

/// Shares a compiled profile.
pub(super) fn shared(doc: Doc, library: &Library<'_>) -> Option<Arc<Profile>> {
    compile(doc, library).ok().map(Arc::new)
}
