//! Validation against the base definitions (R4 validation page): structure always, invariants on demand.
//!
//! [`validate`] checks what every stored resource must satisfy: known elements, cardinality, types, primitive formats,
//! required bindings, reference targets. [`invariants`] evaluates the definitions' FHIRPath rules. National profiles come on top.

pub mod grammar;
mod primitive;

use std::fmt::Write;

use crate::doc::{Doc, Node, NodeKind, Oddity};
use crate::finding::{Finding, IssueCode, Severity, safe_name};
use crate::pack::file::TypeKind;
use crate::pack::{ElemId, Element, Pack, Rule, TypeId, ValueSet};
use crate::path::{Env, EvalError};
use crate::refs;

pub use crate::finding::outcome;
use grammar::Grammar;

/// Most errors in one answer; a last finding says that there are more.
pub(crate) const MAX_FINDINGS: usize = 100;
/// Most findings besides that are no errors.
pub(crate) const MAX_REMARKS: usize = 50;
/// Steps that one invariant may take on one element.
pub(crate) const RULE_STEPS: u64 = 200_000;
/// Steps that all invariants of a document may take together, and how many more for each of its elements.
const ALL_STEPS: (u64, u64) = (5_000_000, 200);

struct Report<'d> {
    doc: &'d Doc,
    findings: Vec<Finding>,
    /// Findings that are no errors: they have a limit of their own, so that they never crowd out an error.
    remarks: usize,
    /// Some findings were left out.
    cut: bool,
    /// No room for another error.
    full: bool,
}

impl<'d> Report<'d> {
    fn new(doc: &'d Doc) -> Report<'d> {
        Report {
            doc,
            findings: Vec::new(),
            remarks: 0,
            cut: false,
            full: false,
        }
    }
}

impl Report<'_> {
    fn add(
        &mut self,
        at: Node<'_>,
        suffix: &str,
        severity: Severity,
        code: IssueCode,
        rule: &str,
        text: String,
    ) {
        let is_remark = severity > Severity::Error;
        if self.findings.len() - self.remarks >= MAX_FINDINGS {
            (self.cut, self.full) = (true, true);
            return;
        }
        if is_remark {
            // Advice is given once per document.
            let is_known = severity == Severity::Information
                && self
                    .findings
                    .iter()
                    .any(|f| f.severity == severity && f.rule == rule);
            if is_known {
                return;
            }
            if self.remarks >= MAX_REMARKS {
                self.cut = true;
                return;
            }
            self.remarks += 1;
        }
        let (line, column) = at.position();
        self.findings.push(Finding {
            severity,
            code,
            expression: at.path() + suffix,
            line,
            column,
            rule: rule.to_owned(),
            text,
        });
    }

    fn error(&mut self, at: Node<'_>, code: IssueCode, rule: &str, text: impl Into<String>) {
        self.add(at, "", Severity::Error, code, rule, text.into());
    }

    fn finish(mut self) -> Vec<Finding> {
        if self.cut {
            let note = Finding {
                severity: Severity::Information,
                ..Finding::error(
                    IssueCode::TooCostly,
                    "limit-findings",
                    format!(
                        "only the first {MAX_FINDINGS} errors and {MAX_REMARKS} remarks are listed"
                    ),
                )
            };
            self.findings.push(note);
        }
        self.findings
    }
}

/// Structural findings; empty when the document conforms to the base definitions.
pub fn validate(pack: &Pack, doc: &Doc) -> Vec<Finding> {
    let mut r = Report::new(doc);
    for odd in doc.oddities() {
        let text = match odd.what {
            Oddity::EmptyArray => "an array must not be empty; leave the element out",
            Oddity::EmptyObject => "an object must not be empty; leave the element out",
            Oddity::Null => {
                "null is allowed only inside arrays of primitives; leave the element out"
            }
        };
        if r.findings.len() < MAX_FINDINGS {
            let node = Node::new(r.doc, odd.node);
            let mut path = node.path();
            if odd.name_len > 0 {
                let written = doc.slice(odd.name, u32::from(odd.name_len), odd.name_side);
                let element = pack
                    .child(node.type_id(), written)
                    .and_then(|(e, _, _)| pack.element(e));
                path.push('.');
                match element {
                    Some(e) => path.push_str(&e.name),
                    None => path.push_str(&safe_name(&String::from_utf8_lossy(written))),
                }
            }
            let (line, column) = doc.position(odd.offset as usize);
            r.findings.push(
                Finding::error(IssueCode::Structure, "json-empty", text)
                    .on(path)
                    .at(line, column),
            );
        }
    }
    for node in doc.nodes() {
        if r.full {
            break;
        }
        check(pack, node, &mut r);
    }
    r.finish()
}

fn check(pack: &Pack, node: Node<'_>, r: &mut Report<'_>) {
    let elem = pack.element(node.elem());
    if let Some(e) = elem {
        if node.in_array() && e.max == Some(1) {
            r.error(
                node,
                IssueCode::Structure,
                "json-array",
                format!(
                    "{} occurs at most once and is not written as an array",
                    e.name
                ),
            );
        } else if !node.in_array() && e.max != Some(1) {
            r.error(
                node,
                IssueCode::Structure,
                "json-array",
                format!("{} can repeat and is written as an array", e.name),
            );
        }
    }
    let ty = node.type_id();
    if ty == TypeId::NONE {
        unknown(pack, node, elem, r);
        return;
    }
    let primitive = pack.is_primitive(ty);
    // A resource of nothing but its type is complete: the server adds its id.
    if !node.has_value() && !node.has_children() && node.resource_type().is_none() {
        // An empty array or object inside has been named already.
        if r.doc.oddities().iter().any(|o| o.node == node.index()) {
            return;
        }
        r.error(
            node,
            IssueCode::Required,
            "ele-1",
            "an element has a value or children",
        );
        return;
    }
    if primitive {
        if node.is_object() {
            r.error(
                node,
                IssueCode::Structure,
                "type",
                format!(
                    "{} is a {}: a plain value is expected, not an object",
                    display(elem, node),
                    pack.type_name(ty)
                ),
            );
            return;
        }
        if node.has_value()
            && let Some(fault) = primitive::fault(pack, node)
        {
            r.error(
                node,
                IssueCode::Value,
                "primitive-format",
                format!("{}: {fault}", pack.type_name(ty)),
            );
            return;
        }
    } else if node.has_value() {
        r.error(
            node,
            IssueCode::Structure,
            "type",
            format!(
                "{} is a {}: an object is expected, not a plain value",
                display(elem, node),
                pack.type_name(ty)
            ),
        );
        return;
    }
    if let Some(e) = elem {
        binding(pack, node, e, r);
        if ty == pack.known.reference {
            target(pack, node, e, r);
        }
    }
    cardinality(pack, node, ty, r);
}

fn display(elem: Option<&Element>, node: Node<'_>) -> String {
    elem.map_or_else(|| safe_name(node.name()), |e| e.name.to_string())
}

fn unknown(pack: &Pack, node: Node<'_>, elem: Option<&Element>, r: &mut Report<'_>) {
    match (elem, node.parent()) {
        (Some(_), _) => r.error(
            node,
            IssueCode::Structure,
            "resource-type",
            "a resource with a known resourceType is expected here",
        ),
        (None, None) => r.error(
            node,
            IssueCode::Structure,
            "resource-type",
            "resourceType is not a resource type of R4",
        ),
        (None, Some(p)) => {
            if p.type_id() != TypeId::NONE {
                r.error(
                    node,
                    IssueCode::Structure,
                    "unknown-element",
                    format!(
                        "{} has no element \"{}\"",
                        pack.type_name(p.type_id()),
                        safe_name(node.name())
                    ),
                );
            }
        }
    }
}

fn cardinality(pack: &Pack, node: Node<'_>, ty: TypeId, r: &mut Report<'_>) {
    let Some(def) = pack.type_of(ty) else { return };
    let first = def.elements.first().map_or(0, |e| e.0);
    // Element numbers of a type follow each other, so counts fit in one small array.
    let mut counts = [0u32; 128];
    for c in node.fields() {
        if c.elem() != ElemId::NONE
            && let Some(n) = counts.get_mut(usize::from(c.elem().0.wrapping_sub(first)))
        {
            *n += 1;
        }
    }
    for (id, count) in def.elements.iter().zip(counts) {
        let Some(e) = pack.element(*id) else { continue };
        if count < e.min {
            let suffix = format!(".{}", e.name);
            r.add(
                node,
                &suffix,
                Severity::Error,
                IssueCode::Required,
                "cardinality",
                format!(
                    "{} is mandatory: at least {} expected, {count} found",
                    e.name, e.min
                ),
            );
        }
        if e.max.is_some_and(|m| count > m) {
            let suffix = format!(".{}", e.name);
            let what = if e.choice {
                " (all types together)"
            } else {
                ""
            };
            r.add(
                node,
                &suffix,
                Severity::Error,
                IssueCode::Structure,
                "cardinality",
                format!(
                    "{} occurs {count} times{what}, at most {} allowed",
                    e.name,
                    e.max.unwrap_or(1)
                ),
            );
        }
    }
}

fn binding(pack: &Pack, node: Node<'_>, e: &Element, r: &mut Report<'_>) {
    if let Some(set) = e.required.and_then(|v| pack.value_set(v)) {
        if !is_member(pack, node, set) {
            r.error(
                node,
                IssueCode::CodeInvalid,
                "required-binding",
                format!("the code is not in the required value set {}", set.url),
            );
        }
    } else if let Some(grammar) = e.grammar
        && !follows(pack, node, grammar)
    {
        r.error(
            node,
            IssueCode::CodeInvalid,
            "required-binding",
            format!("the code does not follow the rules of {}", grammar.system()),
        );
    }
}

/// Whether a coded element names a member of the set; without a code there is nothing to check.
pub(crate) fn is_member(pack: &Pack, node: Node<'_>, set: &ValueSet) -> bool {
    let k = &pack.known;
    let ty = node.type_id();
    let coding = |c: Node<'_>| match (c.str_at("system"), c.str_at("code")) {
        (Some(s), Some(code)) => set.contains(s, code),
        // Without a system nothing can be found.
        (_, code) => code.is_none(),
    };
    if ty == k.coding || pack.is_a(ty, k.quantity) {
        coding(node)
    } else if ty == k.codeable_concept {
        node.get("coding").is_none() || node.all("coding").any(coding)
    } else if pack.is_primitive(ty) {
        node.as_str().is_none_or(|c| set.system_of(c).is_some())
    } else {
        true
    }
}

fn follows(pack: &Pack, node: Node<'_>, grammar: Grammar) -> bool {
    let k = &pack.known;
    let ty = node.type_id();
    let coding = |c: Node<'_>| match (c.str_at("system"), c.str_at("code")) {
        (Some(s), Some(code)) => s == grammar.system() && grammar.admits(code),
        (_, code) => code.is_none(),
    };
    if ty == k.coding || pack.is_a(ty, k.quantity) {
        coding(node)
    } else if ty == k.codeable_concept {
        node.get("coding").is_none() || node.all("coding").any(coding)
    } else {
        node.as_str().is_none_or(|c| grammar.admits(c))
    }
}

/// A warning where an extensible binding's set is left without need being shown.
fn extensible(pack: &Pack, node: Node<'_>, e: &Element, r: &mut Report<'_>) {
    let Some(set) = e.extensible.and_then(|v| pack.value_set(v)) else {
        return;
    };
    if !is_member(pack, node, set) {
        r.add(
            node,
            "",
            Severity::Warning,
            IssueCode::CodeInvalid,
            "extensible-binding",
            format!(
                "no code is from the value set {}; use one of it when it fits",
                set.url
            ),
        );
    }
}

fn target(pack: &Pack, node: Node<'_>, e: &Element, r: &mut Report<'_>) {
    if e.targets.is_empty() {
        return;
    }
    let named = node.str_at("type").or_else(|| {
        node.str_at("reference")
            .and_then(|t| refs::type_in_url(t, pack))
    });
    let Some(ty) = named.and_then(|n| pack.resource_type(n)) else {
        return;
    };
    if !e.targets.iter().any(|t| pack.is_a(ty, *t)) {
        let mut allowed = String::new();
        for t in &e.targets {
            let _ = write!(
                allowed,
                "{}{}",
                if allowed.is_empty() { "" } else { ", " },
                pack.type_name(*t)
            );
        }
        r.error(
            node,
            IssueCode::Structure,
            "reference-target",
            format!(
                "{} may refer to {allowed}, not to {}",
                e.name,
                pack.type_name(ty)
            ),
        );
    }
}

/// Every resource in the document: itself, contained ones, entries, parameters.
pub fn resources(doc: &Doc) -> impl Iterator<Item = Node<'_>> {
    let pack = doc.pack();
    doc.nodes().filter(move |n| {
        pack.type_of(n.type_id())
            .is_some_and(|t| t.kind == TypeKind::Resource)
    })
}

/// Findings of the definitions' invariants; a rule that cannot be evaluated within bounds gives an information.
pub fn invariants(pack: &Pack, doc: &Doc, now_us: i64) -> Vec<Finding> {
    let mut r = Report::new(doc);
    let mut left = ALL_STEPS.0 + ALL_STEPS.1 * doc.len() as u64;
    for node in doc.nodes() {
        if r.full || left == 0 {
            break;
        }
        let mut ty = node.type_id();
        while let Some(t) = pack.type_of(ty) {
            for rule in &t.rules {
                apply(rule, node, now_us, &mut left, &mut r);
            }
            ty = t.base;
            if t.kind == TypeKind::Primitive {
                break;
            }
        }
        if let Some(e) = pack.element(node.elem()) {
            for rule in &e.rules {
                apply(rule, node, now_us, &mut left, &mut r);
            }
            extensible(pack, node, e, &mut r);
        }
    }
    if left == 0 {
        r.add(
            doc.root(),
            "",
            Severity::Information,
            IssueCode::TooCostly,
            "limit-invariants",
            "the invariants take too many steps on this document; the rest was not checked".into(),
        );
    }
    r.finish()
}

fn apply(rule: &Rule, node: Node<'_>, now_us: i64, left: &mut u64, r: &mut Report<'_>) {
    let Some(expr) = &rule.expr else { return };
    // Best practice is for resources that stand alone: contained ones have no narrative of their own.
    if rule.severity == Severity::Information && node.name() == "contained" {
        return;
    }
    let steps = RULE_STEPS.min(*left);
    let env = Env::new(node, now_us).steps(steps);
    let answer = expr.test(&env);
    *left = left.saturating_sub(steps - env.left().min(steps));
    match answer {
        Ok(Some(true) | None) => {}
        Ok(Some(false)) => {
            r.add(
                node,
                "",
                rule.severity,
                IssueCode::Invariant,
                &rule.key,
                rule.human.to_string(),
            );
        }
        Err(EvalError::Budget) => r.add(
            node,
            "",
            Severity::Information,
            IssueCode::TooCostly,
            &rule.key,
            "the rule takes too many steps on this element and was not checked".into(),
        ),
        Err(e) => r.add(
            node,
            "",
            Severity::Information,
            IssueCode::NotSupported,
            &rule.key,
            format!("the rule was not checked: {e}"),
        ),
    }
}

/// Structure and invariants together: what `$validate` without a profile answers. Invariants are looked at only when the
/// structure is sound.
pub fn validate_all(pack: &Pack, doc: &Doc, now_us: i64) -> Vec<Finding> {
    let found = validate(pack, doc);
    if found.iter().any(Finding::is_error) {
        found
    } else {
        invariants(pack, doc, now_us)
    }
}

/// What JSON kind a primitive type is written as.
fn json_kind(pack: &Pack, ty: TypeId) -> NodeKind {
    let k = &pack.known;
    if ty == k.boolean {
        NodeKind::Bool
    } else if ty == k.decimal || pack.is_a(ty, k.integer) {
        NodeKind::Number
    } else {
        NodeKind::String
    }
}

#[cfg(test)]
mod formats;
#[cfg(test)]
mod tests;
