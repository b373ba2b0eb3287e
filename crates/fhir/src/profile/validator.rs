//! The validator: base definitions, invariants, profiles and extensions together.

use std::cell::Cell;

use super::binding::membership;
use super::library::Library;
use super::slicing::default_slicing;
use super::table::{Binding, Constraint, Profile, TypeRef};
use super::value::{fits_pattern, is_fixed};
use crate::doc::{Doc, Node};
use crate::finding::{Finding, IssueCode, Severity};
use crate::pack::file::TypeKind;
use crate::pack::{NameId, Pack, TypeId};
use crate::path::{Docs, Env, EvalError, Host, compare_nodes};
use crate::terminology::Terminology;
use crate::validate::{MAX_FINDINGS, MAX_REMARKS, RULE_STEPS, invariants, resources, validate};

/// Work of one check: an (element, constraint) pair is one unit, as are eight children looked through.
const MAX_WORK: u64 = 2_000_000;
/// Steps that all invariants of profiles may take together.
const MAX_STEPS: u64 = 20_000_000;
/// Rule of the finding that a check was cut short.
const LIMIT: &str = "limit-profile";
/// Deepest nesting of profiles that refer to each other (through references, `conformsTo`, slices by profile).
const MAX_NESTING: u32 = 6;

/// What a document is checked against besides the base definitions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// Canonicals that the resource itself must conform to. One that is not known here is an error.
    pub profiles: &'a [&'a str],
    /// Also check what `meta.profile` declares, on every resource in the document. One that is not known is a warning.
    pub declared: bool,
    /// Also check extensions against their own definitions, and what types ask for in words.
    pub extensions: bool,
}

/// Fetches the resource behind a literal reference.
pub type Fetch<'f> = dyn Fn(&str) -> Option<Doc> + 'f;

/// Checks documents with everything that is known: profiles, terminology, referenced resources.
pub struct Validator<'h> {
    /// Profiles.
    pub library: &'h Library<'h>,
    /// Value sets and code systems beyond those of the definitions.
    pub terminology: Option<&'h dyn Terminology>,
    /// What references lead to, as far as the caller may see it.
    pub references: Option<&'h Fetch<'h>>,
    /// `now()` in microseconds since 1970 UTC.
    pub now_us: i64,
}

impl Validator<'_> {
    /// Everything: structure, invariants, then what is asked for. Findings in that order, each once, at most a hundred.
    pub fn check(&self, doc: &Doc, asked: &Asked<'_>) -> Vec<Finding> {
        let pack = doc.pack();
        let mut found = validate(pack, doc);
        found.extend(invariants(pack, doc, self.now_us));
        found.extend(self.profiles(doc, asked));
        once(found)
    }

    /// Profiles and extensions only: for documents whose structure has been found sound.
    pub fn profiles(&self, doc: &Doc, asked: &Asked<'_>) -> Vec<Finding> {
        let world = World {
            validator: self,
            depth: Cell::new(0),
            work: Cell::new(MAX_WORK),
            steps: Cell::new(MAX_STEPS),
        };
        let docs = Docs::default();
        let mut run = Run::new(&world, &docs, doc.root());
        for url in asked.profiles {
            run.apply(doc.root(), url, None);
        }
        if asked.declared {
            for node in resources(doc) {
                for declared in node.all("meta").flat_map(|m| m.all("profile")) {
                    if let Some(url) = declared.as_str() {
                        run.apply(node, url, Some(declared));
                    }
                }
            }
        }
        if asked.extensions {
            run.extensions();
            run.usage();
        }
        if world.work.get() == 0 || world.steps.get() == 0 {
            run.add(
                doc.root(),
                Severity::Information,
                IssueCode::TooCostly,
                LIMIT,
                "the profiles ask for more than one check may cost; the rest was not checked"
                    .into(),
            );
        }
        once(run.found)
    }
}

/// Types that a definition may name by one of their bases.
fn is_open(pack: &Pack, ty: TypeId) -> bool {
    pack.type_of(ty)
        .is_some_and(|t| matches!(t.kind, TypeKind::Resource | TypeKind::Backbone))
}

/// Each finding once: a profile's copy of a base rule says nothing new.
fn once(found: Vec<Finding>) -> Vec<Finding> {
    let mut out: Vec<Finding> = Vec::with_capacity(found.len());
    for f in found {
        let twice = out.iter().any(|o| {
            o.expression == f.expression
                && (o.rule == f.rule && o.text == f.text
                    || o.rule == "cardinality" && f.rule == "profile-cardinality"
                    || o.rule == "required-binding" && f.rule == "profile-binding"
                    || o.rule == "extensible-binding"
                        && f.rule == "profile-binding"
                        && f.severity == Severity::Warning)
        });
        if !twice {
            out.push(f);
        }
    }
    if out.len() > MAX_FINDINGS {
        // Errors first, so that none is lost to remarks.
        out.sort_by_key(|f| !f.is_error());
        out.truncate(MAX_FINDINGS + MAX_REMARKS);
    }
    out
}

/// The validator as expressions see it.
pub(super) struct World<'h> {
    validator: &'h Validator<'h>,
    depth: Cell<u32>,
    work: Cell<u64>,
    steps: Cell<u64>,
}

impl World<'_> {
    /// Runs `f` one level deeper; `None` at the limit.
    fn deeper<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        if self.depth.get() >= MAX_NESTING {
            return None;
        }
        self.depth.set(self.depth.get() + 1);
        let out = f();
        self.depth.set(self.depth.get() - 1);
        Some(out)
    }
}

impl Host for World<'_> {
    fn resolve(&self, reference: &str) -> Option<Doc> {
        self.validator.references.and_then(|f| f(reference))
    }

    fn conforms(&self, node: Node<'_>, profile: &str) -> Option<bool> {
        let p = self.validator.library.profile(profile)?;
        let ok = self.deeper(|| {
            let docs = Docs::default();
            Run::new(self, &docs, node).fits(node, &p)
        });
        Some(ok.unwrap_or(true))
    }

    fn in_slice(&self, node: Node<'_>, structure: &str, slice: &str) -> Option<bool> {
        let p = self.validator.library.profile(structure)?;
        let element = node.doc().pack().element(node.elem())?;
        let c = sliced(&p.root, &element.name, slice)?;
        let fallback = default_slicing(c);
        let docs = Docs::default();
        let mut run = Run::new(self, &docs, node);
        let at = run.slice_of(node, c, c.slicing.as_ref().unwrap_or(&fallback));
        Some(
            at.and_then(|i| c.slices.get(i))
                .is_some_and(|s| &*s.name == slice),
        )
    }

    fn terminology(&self) -> Option<&dyn Terminology> {
        self.validator.terminology
    }
}

/// The constraint of that element name that has a slice of that name.
fn sliced<'c>(c: &'c Constraint, name: &str, slice: &str) -> Option<&'c Constraint> {
    c.children
        .iter()
        .find(|k| &*k.name == name && k.slices.iter().any(|s| &*s.name == slice))
        .or_else(|| {
            c.children
                .iter()
                .chain(&c.slices)
                .find_map(|k| sliced(k, name, slice))
        })
}

/// One check under way.
pub(super) struct Run<'a, 'h> {
    world: &'a World<'h>,
    docs: &'a Docs,
    doc: &'a Doc,
    pub(super) found: Vec<Finding>,
    /// Findings that are no errors.
    remarks: usize,
    /// Only whether there is an error counts.
    quiet: bool,
    failed: bool,
}

impl<'a, 'h> Run<'a, 'h> {
    fn new(world: &'a World<'h>, docs: &'a Docs, node: Node<'a>) -> Run<'a, 'h> {
        Run {
            world,
            docs,
            doc: node.doc(),
            found: Vec::new(),
            remarks: 0,
            quiet: false,
            failed: false,
        }
    }

    pub(super) fn pack(&self) -> &'static Pack {
        self.doc.pack()
    }

    pub(super) fn doc(&self) -> &'a Doc {
        self.doc
    }

    pub(super) fn docs(&self) -> &'a Docs {
        self.docs
    }

    pub(super) fn world(&self) -> &'a World<'h> {
        self.world
    }

    pub(super) fn terminology(&self) -> Option<&'a dyn Terminology> {
        self.world.validator.terminology
    }

    pub(super) fn now_us(&self) -> i64 {
        self.world.validator.now_us
    }

    pub(super) fn profile(&self, url: &str) -> Option<std::sync::Arc<Profile>> {
        self.world.validator.library.profile(url)
    }

    /// One unit of work; false when there is none left.
    pub(super) fn spend(&self) -> bool {
        self.spend_units(1)
    }

    pub(super) fn spend_units(&self, n: u64) -> bool {
        let left = self.world.work.get();
        self.world.work.set(left.saturating_sub(n));
        left > 0
    }

    pub(super) fn add(
        &mut self,
        at: Node<'_>,
        severity: Severity,
        code: IssueCode,
        rule: &str,
        text: String,
    ) {
        self.put(at, "", severity, code, rule, text);
    }

    fn put(
        &mut self,
        at: Node<'_>,
        suffix: &str,
        severity: Severity,
        code: IssueCode,
        rule: &str,
        text: String,
    ) {
        self.failed |= severity <= Severity::Error;
        if self.quiet {
            return;
        }
        // Remarks have a limit of their own, so that they never crowd out an error; advice on one rule is given once.
        if severity > Severity::Error {
            let is_known = severity == Severity::Information
                && self.found.iter().any(|f| {
                    f.severity == severity && f.rule == rule && f.code == code && f.text == text
                });
            if is_known || (self.remarks >= MAX_REMARKS && rule != LIMIT) {
                return;
            }
            self.remarks += 1;
        } else if self.found.len() - self.remarks >= MAX_FINDINGS {
            return;
        }
        let (line, column) = at.position();
        self.found.push(Finding {
            severity,
            code,
            expression: at.path() + suffix,
            line,
            column,
            rule: rule.to_owned(),
            text,
        });
    }

    pub(super) fn error(
        &mut self,
        at: Node<'_>,
        code: IssueCode,
        rule: &str,
        text: impl Into<String>,
    ) {
        self.add(at, Severity::Error, code, rule, text.into());
    }

    /// A profile that was asked for, or declared by the resource at `declared`.
    fn apply(&mut self, node: Node<'a>, url: &str, declared: Option<Node<'a>>) {
        let is_base = url
            .split('|')
            .next()
            .and_then(|u| u.strip_prefix(super::compile::CORE))
            .and_then(|n| self.pack().type_id(n));
        if let Some(ty) = is_base {
            if !self.pack().is_a(node.type_id(), ty) {
                self.wrong_type(node, ty);
            }
            return;
        }
        match (self.profile(url), declared) {
            (None, Some(at)) => self.add(
                at,
                Severity::Warning,
                IssueCode::NotFound,
                "profile-unknown",
                "this profile is not known here; the resource was not checked against it".into(),
            ),
            (None, None) => self.error(
                node,
                IssueCode::NotFound,
                "profile-unknown",
                "the profile asked for is not known here; the resource was not checked against it",
            ),
            (Some(p), _) if !self.pack().is_a(node.type_id(), p.ty) => self.wrong_type(node, p.ty),
            (Some(p), _) => {
                for n in &p.notes {
                    self.add(node, n.severity, n.code, &n.rule, n.text.clone());
                }
                self.element(node, &p.root);
            }
        }
    }

    fn wrong_type(&mut self, node: Node<'a>, ty: TypeId) {
        let text = format!("the profile is for {}", self.pack().type_name(ty));
        self.error(node, IssueCode::Structure, "profile-type", text);
    }

    /// Whether an element conforms, without saying why not.
    fn fits(&mut self, node: Node<'a>, p: &Profile) -> bool {
        self.pack().is_a(node.type_id(), p.ty) && self.fits_quietly(node, &p.root)
    }

    pub(super) fn fits_quietly(&mut self, node: Node<'a>, c: &Constraint) -> bool {
        let before = (self.quiet, self.failed);
        (self.quiet, self.failed) = (true, false);
        self.element(node, c);
        let ok = !self.failed;
        (self.quiet, self.failed) = before;
        ok
    }

    /// Whether an element conforms to the profile behind a canonical; `None` when it is not known.
    pub(super) fn conforms_to(&mut self, node: Node<'a>, url: &str) -> Option<bool> {
        let p = self.profile(url)?;
        if self.world.depth.get() >= MAX_NESTING {
            return Some(true);
        }
        let depth = &self.world.depth;
        depth.set(depth.get() + 1);
        let ok = self.fits(node, &p);
        depth.set(depth.get() - 1);
        Some(ok)
    }

    pub(super) fn in_value_set(&self, node: Node<'a>, value_set: &str) -> Option<bool> {
        membership(
            self.pack(),
            node,
            value_set,
            self.world.validator.terminology,
        )
    }

    /// Child elements of a base name.
    pub(super) fn named(&self, parent: Node<'a>, name: &str) -> Vec<Node<'a>> {
        let id = self.pack().name_id(name).unwrap_or(NameId::NONE);
        let mut seen = 0u64;
        let found = parent
            .fields()
            .filter(|c| {
                seen += 1;
                let raw = c.raw();
                (id != NameId::NONE && raw.base_name == id)
                    || (raw.ty == TypeId::NONE && c.name() == name)
            })
            .collect();
        self.spend_units(seen / 8);
        found
    }

    /// Checks one element and what is below it.
    pub(super) fn element(&mut self, node: Node<'a>, c: &Constraint) {
        if !self.spend() || (self.quiet && self.failed) {
            return;
        }
        if !c.types.is_empty() {
            self.types(node, &c.types);
        }
        if let Some(v) = &c.fixed
            && !is_fixed(node, v.node())
        {
            self.error(
                node,
                IssueCode::Value,
                "profile-fixed",
                "the value is not the one that the profile fixes",
            );
        }
        if let Some(v) = &c.pattern
            && !fits_pattern(node, v.node())
        {
            self.error(
                node,
                IssueCode::Value,
                "profile-pattern",
                "the value lacks something of the pattern that the profile asks for",
            );
        }
        self.value(node, c);
        if let Some(b) = &c.binding {
            self.bound(node, b);
        }
        for rule in &c.rules {
            self.rule(node, rule);
        }
        for child in &c.children {
            let nodes = self.named(node, &child.name);
            let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            self.count(node, &child.name, None, child, count);
            for n in &nodes {
                self.element(*n, child);
            }
            if !child.slices.is_empty() {
                self.slices(node, child, &nodes, &child.name);
            }
        }
    }

    /// How often an element or slice occurs.
    pub(super) fn count(
        &mut self,
        parent: Node<'a>,
        name: &str,
        slice: Option<&str>,
        c: &Constraint,
        count: u32,
    ) {
        let suffix = format!(".{name}");
        let shown = match slice {
            Some(s) => format!("{name} (slice {})", crate::finding::safe_name(s)),
            None => name.to_owned(),
        };
        let rule = if slice.is_some() {
            "profile-slice"
        } else {
            "profile-cardinality"
        };
        if let Some(min) = c.min.filter(|m| count < *m) {
            self.put(
                parent,
                &suffix,
                Severity::Error,
                IssueCode::Required,
                rule,
                format!("the profile asks for at least {min} of {shown}, {count} found"),
            );
        }
        if let Some(max) = c.max.flatten().filter(|m| count > *m) {
            self.put(
                parent,
                &suffix,
                Severity::Error,
                IssueCode::Structure,
                rule,
                format!("the profile allows at most {max} of {shown}, {count} found"),
            );
        }
    }

    fn types(&mut self, node: Node<'a>, types: &[TypeRef]) {
        let pack = self.pack();
        let ty = node.type_id();
        let fitting: Vec<&TypeRef> = types
            .iter()
            .filter(|t| {
                // A choice names data types exactly (`code` is not `string` there); resources may be of derived types, and a
                // nested structure is called by its kind.
                t.ty == TypeId::NONE || t.ty == ty || (is_open(pack, ty) && pack.is_a(ty, t.ty))
            })
            .collect();
        let Some(first) = fitting.first() else {
            let names: Vec<&str> = types.iter().map(|t| pack.type_name(t.ty)).collect();
            self.error(
                node,
                IssueCode::Structure,
                "profile-type",
                format!("the profile allows {} here", names.join(" or ")),
            );
            return;
        };
        if fitting.iter().all(|t| !t.profiles.is_empty()) {
            let urls: Vec<&str> = fitting
                .iter()
                .flat_map(|t| t.profiles.iter().map(AsRef::as_ref))
                .collect();
            self.of_profile(node, &urls);
        }
        if ty == pack.known.reference {
            self.reference(node, first);
        }
    }

    /// The element conforms to one of the profiles; with a single one its findings are told.
    fn of_profile(&mut self, node: Node<'a>, urls: &[&str]) {
        if let [url] = urls {
            let Some(p) = self.profile(url) else { return };
            if !self.pack().is_a(node.type_id(), p.ty) {
                self.wrong_type(node, p.ty);
            } else if self.world.depth.get() < MAX_NESTING {
                let depth = &self.world.depth;
                depth.set(depth.get() + 1);
                self.element(node, &p.root);
                depth.set(depth.get() - 1);
            }
            return;
        }
        let ok = urls
            .iter()
            .any(|u| self.conforms_to(node, u).unwrap_or(true));
        if !ok {
            self.error(
                node,
                IssueCode::Structure,
                "profile-none",
                "the element conforms to none of the profiles that are allowed here",
            );
        }
    }

    /// Length and bounds.
    fn value(&mut self, node: Node<'a>, c: &Constraint) {
        if let Some(max) = c.max_length
            && node
                .as_str()
                .is_some_and(|t| t.chars().count() > max as usize)
        {
            self.error(
                node,
                IssueCode::TooLong,
                "profile-length",
                format!("the profile allows at most {max} characters"),
            );
        }
        let wrong = |bound: &Option<super::value::Value>, beyond: std::cmp::Ordering| {
            bound
                .as_ref()
                .is_some_and(|b| compare_nodes(node, b.node()) == Some(beyond))
        };
        if wrong(&c.least, std::cmp::Ordering::Less) {
            self.error(
                node,
                IssueCode::Value,
                "profile-least",
                "the value is below the least that the profile allows",
            );
        }
        if wrong(&c.greatest, std::cmp::Ordering::Greater) {
            self.error(
                node,
                IssueCode::Value,
                "profile-greatest",
                "the value is above the greatest that the profile allows",
            );
        }
    }

    fn bound(&mut self, node: Node<'a>, b: &Binding) {
        let set = b.value_set.as_ref();
        match (self.in_value_set(node, set), b.required) {
            (Some(true), _) => {}
            (Some(false), true) => self.error(
                node,
                IssueCode::CodeInvalid,
                "profile-binding",
                format!("the code is not in the required value set {set}"),
            ),
            (Some(false), false) => self.add(
                node,
                Severity::Warning,
                IssueCode::CodeInvalid,
                "profile-binding",
                format!("no code is from the value set {set}; use one of it when it fits"),
            ),
            (None, true) => self.add(
                node,
                Severity::Information,
                IssueCode::NotFound,
                "profile-binding",
                format!("the value set {set} is not known here; the code was not checked"),
            ),
            (None, false) => {}
        }
    }

    fn rule(&mut self, node: Node<'a>, rule: &super::table::ProfileRule) {
        let docs = self.docs;
        let left = self.world.steps.get();
        let steps = RULE_STEPS.min(left);
        if steps == 0 {
            return;
        }
        let answer = {
            let env = Env::new(node, self.now_us())
                .steps(steps)
                .outside(self.world, docs);
            let answer = rule.expr.test(&env);
            // A rule may have run others meanwhile (`conformsTo`).
            let used = steps - env.left().min(steps);
            let now = self.world.steps.get();
            self.world.steps.set(now.saturating_sub(used.max(1)));
            answer
        };
        match answer {
            Ok(Some(true) | None) => {}
            Ok(Some(false)) => self.add(
                node,
                rule.severity,
                IssueCode::Invariant,
                &rule.key,
                rule.human.to_string(),
            ),
            Err(e) => {
                let code = if e == EvalError::Budget {
                    IssueCode::TooCostly
                } else {
                    IssueCode::NotSupported
                };
                self.add(
                    node,
                    Severity::Information,
                    code,
                    &rule.key,
                    format!("the rule was not checked: {e}"),
                );
            }
        }
    }
}
