//! Evaluation: items stream from left to right through the path into a callback.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::LazyLock;

use super::ast::{Ast, Literal, Name, Op, TypeSpec};
use super::host::{Docs, Host};
use super::value::{Item, Quantity};
use super::{Expr, func::Func, funcs, ops};
use crate::doc::{Doc, Node};
use crate::pack::{Pack, TypeId};

/// Why an evaluation ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// An operator or function met items that it is not for.
    #[error("FHIRPath: {0}")]
    Type(String),
    /// One item was expected and several came.
    #[error("FHIRPath: {0} takes a single item")]
    Single(&'static str),
    /// The step budget is spent.
    #[error("FHIRPath: the evaluation takes too many steps")]
    Budget,
}

/// What the receiver of items says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// Enough.
    Stop,
}

pub(super) type Res<T> = Result<T, EvalError>;
pub(super) type Sink<'s, 'a> = &'s mut dyn FnMut(Item<'a>) -> Res<Flow>;

/// Steps allowed in one evaluation unless set otherwise.
const STEPS: u64 = 500_000;
/// Bytes of text made or copied that cost one step.
const TEXT_PER_STEP: u64 = 64;

/// What an evaluation can see besides its focus.
pub struct Env<'a> {
    pub(super) pack: &'static Pack,
    pub(super) focus: Node<'a>,
    pub(super) resource: Node<'a>,
    pub(super) root: Node<'a>,
    /// `now()` in microseconds since 1970 UTC.
    pub(super) now_us: i64,
    pub(super) vars: RefCell<Vec<(Cow<'a, str>, Vec<Item<'a>>)>>,
    pub(super) outside: Option<(&'a dyn Host, &'a Docs)>,
    steps: Cell<u64>,
}

impl<'a> Env<'a> {
    /// Environment of an expression whose context is `focus`; `%resource` is the nearest resource around it.
    pub fn new(focus: Node<'a>, now_us: i64) -> Env<'a> {
        let mut resource = focus;
        while resource.resource_type().is_none() {
            match resource.parent() {
                Some(p) => resource = p,
                None => break,
            }
        }
        // %rootResource: out of a contained resource into its container; a Bundle entry is a root of its own.
        let root = match resource.parent() {
            Some(p) if resource.name() == "contained" => p,
            _ => resource,
        };
        Env {
            pack: focus.doc().pack(),
            focus,
            resource,
            root,
            now_us,
            vars: RefCell::new(Vec::new()),
            outside: None,
            steps: Cell::new(STEPS),
        }
    }

    /// The same environment with another number of steps.
    #[must_use]
    pub fn steps(self, steps: u64) -> Env<'a> {
        self.steps.set(steps);
        self
    }

    /// Steps that are left.
    pub fn left(&self) -> u64 {
        self.steps.get()
    }

    /// The same environment with a world around the document; what is fetched from it is kept in `docs`.
    #[must_use]
    pub fn outside(self, host: &'a dyn Host, docs: &'a Docs) -> Env<'a> {
        Env {
            outside: Some((host, docs)),
            ..self
        }
    }

    /// The same environment with a variable (`%name`).
    #[must_use]
    pub fn var(self, name: &'a str, value: Vec<Item<'a>>) -> Env<'a> {
        self.vars.borrow_mut().push((Cow::Borrowed(name), value));
        self
    }

    /// Pays for the copy of an item: texts that an expression has made cost by their length.
    pub(super) fn copy(&self, item: &Item<'a>) -> Res<Item<'a>> {
        if let Item::Str(Cow::Owned(text)) = item {
            self.spend(text.len() as u64 / TEXT_PER_STEP)?;
        }
        Ok(item.clone())
    }

    pub(super) fn spend(&self, n: u64) -> Res<()> {
        let left = self.steps.get();
        if left < n {
            return Err(EvalError::Budget);
        }
        self.steps.set(left - n);
        Ok(())
    }
}

/// Where an expression stands: `$this`, `$index`, `$total`.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 'a> {
    pub env: &'s Env<'a>,
    pub this: Option<&'s Item<'a>>,
    pub index: i64,
    pub total: &'s [Item<'a>],
}

impl<'s, 'a> Scope<'s, 'a> {
    /// At the beginning of an expression.
    fn of(env: &'s Env<'a>, focus: &'s Item<'a>) -> Self {
        Scope {
            env,
            this: Some(focus),
            index: 0,
            total: &[],
        }
    }

    pub(super) fn with(&self, this: Option<&'s Item<'a>>, index: i64) -> Scope<'s, 'a> {
        Scope {
            this,
            index,
            ..*self
        }
    }
}

impl Expr {
    /// All items that the expression yields on an element.
    pub fn eval<'a>(&'a self, focus: Node<'a>, now_us: i64) -> Result<Vec<Item<'a>>, EvalError> {
        self.eval_in(&Env::new(focus, now_us))
    }

    /// All items in an environment.
    pub fn eval_in<'a>(&'a self, env: &Env<'a>) -> Result<Vec<Item<'a>>, EvalError> {
        let focus = Item::Node(env.focus);
        collect(self.ast(), Scope::of(env, &focus))
    }

    /// Streams the items to `sink` without gathering them.
    pub fn for_each<'a>(
        &'a self,
        env: &Env<'a>,
        sink: &mut dyn FnMut(Item<'a>),
    ) -> Result<(), EvalError> {
        each_of(self.ast(), env, sink)
    }

    /// Streams the items, keeping those that a top-level union (`a | b`) would drop as equal to earlier ones: for callers
    /// that do not mind repeats, without the comparisons.
    pub fn for_each_repeated<'a>(
        &'a self,
        env: &Env<'a>,
        sink: &mut dyn FnMut(Item<'a>),
    ) -> Result<(), EvalError> {
        repeated(self.ast(), env, sink)
    }

    /// The expression as an invariant: true, false, or `None` when it yields nothing.
    pub fn test<'a>(&'a self, env: &Env<'a>) -> Result<Option<bool>, EvalError> {
        let focus = Item::Node(env.focus);
        truth(self.ast(), Scope::of(env, &focus))
    }
}

fn repeated<'a>(
    ast: &'a Ast,
    env: &Env<'a>,
    sink: &mut dyn FnMut(Item<'a>),
) -> Result<(), EvalError> {
    match ast {
        Ast::Binary(Op::Union, a, b) => {
            repeated(a, env, sink)?;
            repeated(b, env, sink)
        }
        other => each_of(other, env, sink),
    }
}

fn each_of<'a>(
    ast: &'a Ast,
    env: &Env<'a>,
    sink: &mut dyn FnMut(Item<'a>),
) -> Result<(), EvalError> {
    let focus = Item::Node(env.focus);
    each(ast, Scope::of(env, &focus), &mut |i| {
        sink(i);
        Ok(Flow::More)
    })?;
    Ok(())
}

/// Gathers a whole collection.
pub(super) fn collect<'a>(ast: &'a Ast, scope: Scope<'_, 'a>) -> Res<Vec<Item<'a>>> {
    let mut out = Vec::new();
    each(ast, scope, &mut |i| {
        out.push(i);
        Ok(Flow::More)
    })?;
    Ok(out)
}

/// Evaluates an argument in a scope of its own: variables defined inside end with it.
pub(super) fn inner<'a>(ast: &'a Ast, scope: Scope<'_, 'a>, sink: Sink<'_, 'a>) -> Res<Flow> {
    let mark = scope.env.vars.borrow().len();
    let flow = each(ast, scope, sink);
    scope.env.vars.borrow_mut().truncate(mark);
    flow
}

pub(super) fn collect_inner<'a>(ast: &'a Ast, scope: Scope<'_, 'a>) -> Res<Vec<Item<'a>>> {
    let mut out = Vec::new();
    inner(ast, scope, &mut |i| {
        out.push(i);
        Ok(Flow::More)
    })?;
    Ok(out)
}

/// At most one item, or an error that names who wanted it.
pub(super) fn single<'a>(
    ast: &'a Ast,
    scope: Scope<'_, 'a>,
    who: &'static str,
) -> Res<Option<Item<'a>>> {
    let mut found = None;
    let mut many = false;
    inner(ast, scope, &mut |i| {
        if found.is_some() {
            many = true;
            return Ok(Flow::Stop);
        }
        found = Some(i);
        Ok(Flow::More)
    })?;
    if many {
        Err(EvalError::Single(who))
    } else {
        Ok(found)
    }
}

/// A collection as a truth value: a boolean, or true for any other single item; several are an error.
pub(super) fn truth<'a>(ast: &'a Ast, scope: Scope<'_, 'a>) -> Res<Option<bool>> {
    Ok(
        single(ast, scope, "a condition")?.map(|i| match i.system() {
            Item::Bool(b) => b,
            _ => true,
        }),
    )
}

/// The heart: sends every item of `ast` to `sink`.
pub(super) fn each<'a>(ast: &'a Ast, scope: Scope<'_, 'a>, sink: Sink<'_, 'a>) -> Res<Flow> {
    scope.env.spend(1)?;
    match ast {
        Ast::Empty => Ok(Flow::More),
        Ast::Literal(l) => sink(literal(l)),
        Ast::This => match scope.this {
            Some(t) => sink(scope.env.copy(t)?),
            None => Ok(Flow::More),
        },
        Ast::Index => sink(Item::Int(scope.index)),
        Ast::Total => {
            for i in scope.total {
                if sink(scope.env.copy(i)?)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            Ok(Flow::More)
        }
        Ast::Constant(name) => constant(name, scope, sink),
        Ast::Member { base: None, name } => match scope.this {
            Some(Item::Node(n)) if names_type(name, n, scope.env.pack) => sink(Item::Node(*n)),
            Some(t) => members(t, name, scope.env, sink),
            None => Ok(Flow::More),
        },
        Ast::Member {
            base: Some(b),
            name,
        } => each(b, scope, &mut |i| members(&i, name, scope.env, sink)),
        Ast::Item { base, index } => item(base, index, scope, sink),
        Ast::Call { base, func, args } => funcs::call(*func, base.as_deref(), args, scope, sink),
        Ast::Negate(e) => match single(e, scope, "-")?.map(|i| i.system()) {
            None => Ok(Flow::More),
            Some(Item::Int(n)) => sink(Item::Int(n.saturating_neg())),
            Some(Item::Dec(d)) => sink(Item::Dec(if d.is_zero() { d } else { -d })),
            Some(Item::Quantity(q)) => sink(Item::Quantity(Quantity {
                value: -q.value,
                ..q
            })),
            Some(_) => Err(EvalError::Type("- takes a number".into())),
        },
        Ast::Plus(e) => match single(e, scope, "+")?.map(|i| i.system()) {
            None => Ok(Flow::More),
            Some(i @ (Item::Int(_) | Item::Dec(_) | Item::Quantity(_))) => sink(i),
            Some(_) => Err(EvalError::Type("+ takes a number".into())),
        },
        Ast::Is(e, spec) => match single(e, scope, "is")? {
            None => Ok(Flow::More),
            Some(i) => sink(Item::Bool(is_type(&i, spec, scope.env.pack, true)?)),
        },
        Ast::As(e, spec) => each(e, scope, &mut |i| {
            if is_type(&i, spec, scope.env.pack, false)? {
                sink(i)
            } else {
                Ok(Flow::More)
            }
        }),
        Ast::Binary(op, a, b) => binary(*op, a, b, scope, sink),
    }
}

pub(super) fn send<'a>(items: impl IntoIterator<Item = Item<'a>>, sink: Sink<'_, 'a>) -> Res<Flow> {
    for i in items {
        if sink(i)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::More)
}

fn literal(l: &Literal) -> Item<'_> {
    match l {
        Literal::Bool(b) => Item::Bool(*b),
        Literal::Int(n) => Item::Int(*n),
        Literal::Dec(d) => Item::Dec(*d),
        Literal::Str(s) => Item::Str(Cow::Borrowed(s)),
        Literal::Date(m) => Item::Date(*m),
        Literal::DateTime(m) => Item::DateTime(*m),
        Literal::Time(c) => Item::Time(*c),
        Literal::Quantity(v, unit) => {
            let calendar = super::calendar_unit(unit) == Some(unit);
            Item::Quantity(Quantity {
                value: *v,
                unit: Cow::Borrowed(unit),
                calendar,
            })
        }
    }
}

/// Whether the first step of a path names the type of the context itself (`Patient.name`).
fn names_type(name: &Name, n: &Node<'_>, pack: &Pack) -> bool {
    match name.ty {
        Some(ty) if name.text.starts_with(|c: char| c.is_ascii_uppercase()) => {
            pack.is_a(n.type_id(), ty)
        }
        _ => {
            name.text.starts_with(|c: char| c.is_ascii_uppercase())
                && n.resource_type() == Some(name.text.as_ref())
        }
    }
}

/// Children of an item by element name; choices answer to their base name.
pub(super) fn members<'a>(
    item: &Item<'a>,
    name: &'a Name,
    env: &Env<'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    match item {
        Item::Node(n) => {
            for child in n.fields() {
                env.spend(1)?;
                let raw = child.raw();
                let hit = match name.id {
                    Some(id) => raw.base_name == id,
                    None => false,
                } || (raw.ty == TypeId::NONE
                    && child.name_bytes() == name.text.as_bytes());
                if hit && sink(Item::Node(child))? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
            Ok(Flow::More)
        }
        Item::Type(namespace, type_name) => match name.text.as_ref() {
            "namespace" => sink(Item::Str(Cow::Borrowed(namespace))),
            "name" => sink(Item::Str(type_name.clone())),
            _ => Ok(Flow::More),
        },
        Item::Quantity(q) => match name.text.as_ref() {
            "value" => sink(Item::Dec(q.value)),
            "unit" | "code" => sink(Item::Str(q.unit.clone())),
            _ => Ok(Flow::More),
        },
        _ => Ok(Flow::More),
    }
}

fn item<'a>(base: &'a Ast, index: &'a Ast, scope: Scope<'_, 'a>, sink: Sink<'_, 'a>) -> Res<Flow> {
    let wanted = match single(index, scope, "[ ]")?.map(|i| i.system()) {
        Some(Item::Int(n)) => n,
        None => return Ok(Flow::More),
        Some(_) => return Err(EvalError::Type("an index is an integer".into())),
    };
    let mut at = 0;
    let mut out = Flow::More;
    each(base, scope, &mut |i| {
        at += 1;
        if at - 1 == wanted {
            out = sink(i)?;
            return Ok(Flow::Stop);
        }
        Ok(Flow::More)
    })?;
    Ok(out)
}

fn constant<'a>(name: &'a str, scope: Scope<'_, 'a>, sink: Sink<'_, 'a>) -> Res<Flow> {
    let env = scope.env;
    let defined = env
        .vars
        .borrow()
        .iter()
        .rev()
        .find(|(n, _)| n == name)
        .map(|(_, v)| v.clone());
    if let Some(items) = defined {
        for i in &items {
            env.copy(i)?;
        }
        return send(items, sink);
    }
    match name {
        "context" => sink(Item::Node(env.focus)),
        "resource" => sink(Item::Node(env.resource)),
        "rootResource" => sink(Item::Node(env.root)),
        "sct" => sink(Item::text("http://snomed.info/sct")),
        "loinc" => sink(Item::text("http://loinc.org")),
        "ucum" => sink(Item::text("http://unitsofmeasure.org")),
        _ => {
            if let Some(vs) = name.strip_prefix("vs-") {
                sink(Item::text(format!("http://hl7.org/fhir/ValueSet/{vs}")))
            } else if let Some(ext) = name.strip_prefix("ext-") {
                sink(Item::text(format!(
                    "http://hl7.org/fhir/StructureDefinition/{ext}"
                )))
            } else {
                Err(EvalError::Type(format!("%{name} is not defined")))
            }
        }
    }
}

/// Whether an item is of a type. With `derived`, subtypes count for primitives too (`is`); `as` and `ofType` take
/// primitives only as themselves, as FHIR's test suite has it.
pub(super) fn is_type(item: &Item<'_>, spec: &TypeSpec, pack: &Pack, derived: bool) -> Res<bool> {
    let known_system = matches!(
        spec.name.as_ref(),
        "Boolean"
            | "Integer"
            | "Decimal"
            | "String"
            | "Date"
            | "DateTime"
            | "Time"
            | "Quantity"
            | "Any"
    );
    if spec.ty.is_none() && !known_system && spec.namespace.as_ref() != "System" {
        return Err(EvalError::Type(format!("there is no type {}", spec.name)));
    }
    Ok(match item {
        Item::Node(n) => match spec.ty {
            Some(ty) if derived || !pack.is_primitive(n.type_id()) => pack.is_a(n.type_id(), ty),
            Some(ty) => n.type_id() == ty,
            None => false,
        },
        Item::Remote(name) => spec
            .ty
            .is_some_and(|ty| pack.type_id(name).is_some_and(|t| pack.is_a(t, ty))),
        Item::Type(..) => false,
        other => {
            spec.namespace.as_ref() != "FHIR"
                && (other.system_type() == spec.name.as_ref() || spec.name.as_ref() == "Any")
        }
    })
}

fn binary<'a>(
    op: Op,
    a: &'a Ast,
    b: &'a Ast,
    scope: Scope<'_, 'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    match op {
        Op::Union => {
            let mut left = collect_inner(a, scope)?;
            left.extend(collect_inner(b, scope)?);
            send(funcs::distinct(left, scope.env)?, sink)
        }
        Op::And | Op::Or | Op::Xor | Op::Implies => {
            let left = truth(a, scope)?;
            // Short cuts keep the right side from failing where the left has decided.
            match (op, left) {
                (Op::And, Some(false)) => return sink(Item::Bool(false)),
                (Op::Or, Some(true)) | (Op::Implies, Some(false)) => return sink(Item::Bool(true)),
                _ => {}
            }
            match ops::logic(op, left, truth(b, scope)?) {
                Some(v) => sink(Item::Bool(v)),
                None => Ok(Flow::More),
            }
        }
        Op::Eq | Op::Ne | Op::Equiv | Op::NotEquiv => {
            let (x, y) = (collect_inner(a, scope)?, collect_inner(b, scope)?);
            scope.env.spend((x.len() * y.len()) as u64)?;
            match ops::equality(op, &x, &y) {
                Some(v) => sink(Item::Bool(v)),
                None => Ok(Flow::More),
            }
        }
        Op::In | Op::Contains => {
            let (element, list) = if op == Op::In { (a, b) } else { (b, a) };
            let Some(wanted) = single(element, scope, "in")? else {
                return Ok(Flow::More);
            };
            let items = collect_inner(list, scope)?;
            scope.env.spend(items.len() as u64)?;
            sink(Item::Bool(
                items
                    .iter()
                    .any(|i| super::value::equal(i, &wanted) == Some(true)),
            ))
        }
        Op::Concat => {
            let text = |i: Option<Item<'a>>| match i {
                None => Ok(Cow::Borrowed("")),
                Some(i) => i
                    .as_text()
                    .ok_or_else(|| EvalError::Type("& takes texts".into())),
            };
            let (x, y) = (text(single(a, scope, "&")?)?, text(single(b, scope, "&")?)?);
            scope
                .env
                .spend((x.len() + y.len()) as u64 / TEXT_PER_STEP)?;
            super::text::fits(x.len() + y.len())?;
            sink(Item::Str(Cow::Owned(format!("{x}{y}"))))
        }
        _ => {
            let (x, y) = (
                single(a, scope, "an operator")?,
                single(b, scope, "an operator")?,
            );
            match (x, y) {
                (Some(x), Some(y)) => match ops::arithmetic(op, &x, &y)? {
                    Some(v) => sink(v),
                    None => Ok(Flow::More),
                },
                _ => Ok(Flow::More),
            }
        }
    }
}

/// `resolve()`: the contained resource or bundle entry, else what the reference's text tells of the target's type.
pub(super) fn resolve<'a>(item: &Item<'a>, env: &Env<'a>, sink: Sink<'_, 'a>) -> Res<Flow> {
    let (text, declared) = match item {
        Item::Node(n) if n.has_value() => (n.as_str(), None),
        Item::Node(n) => (n.str_at("reference"), n.str_at("type")),
        Item::Str(Cow::Borrowed(s)) => (Some(*s), None),
        _ => (None, None),
    };
    let Some(text) = text else {
        return match declared {
            Some(t) => sink(Item::Remote(t)),
            None => Ok(Flow::More),
        };
    };
    if let Some(id) = text.strip_prefix('#') {
        if id.is_empty() {
            return sink(Item::Node(env.root));
        }
        let found = env
            .root
            .all("contained")
            .find(|c| c.str_at("id") == Some(id));
        return match found {
            Some(n) => sink(Item::Node(n)),
            None => Ok(Flow::More),
        };
    }
    if let Some(n) = in_bundle(env.resource.doc(), text, env)? {
        return sink(Item::Node(n));
    }
    if let Some((host, docs)) = env.outside {
        let found = match docs.find(text) {
            Some(known) => known,
            None if docs.has_room() => {
                env.spend(1000)?;
                docs.keep(text, host.resolve(text))
            }
            None => None,
        };
        if let Some(doc) = found {
            return sink(Item::Node(doc.root()));
        }
    }
    match crate::refs::type_in_url(text, env.pack).or(declared) {
        Some(t) => sink(Item::Remote(t)),
        None => Ok(Flow::More),
    }
}

/// The first thing that a reference element leads to: the resource, or only its type.
pub(crate) fn resolve_reference<'a>(item: &Item<'a>, env: &Env<'a>) -> Option<Item<'a>> {
    let mut found = None;
    resolve(item, env, &mut |i| {
        found = Some(i);
        Ok(Flow::Stop)
    })
    .ok()?;
    found
}

fn in_bundle<'a>(doc: &'a Doc, reference: &str, env: &Env<'a>) -> Res<Option<Node<'a>>> {
    let bundle = doc.root();
    if bundle.resource_type() != Some("Bundle") {
        return Ok(None);
    }
    for entry in bundle.all("entry") {
        env.spend(1)?;
        let Some(url) = entry.str_at("fullUrl") else {
            continue;
        };
        if url == reference
            || url
                .strip_suffix(reference)
                .is_some_and(|head| head.ends_with('/'))
        {
            return Ok(entry.get("resource"));
        }
    }
    Ok(None)
}

/// The extension url of a constant expression, kept for the fast path of `extension('…')`.
pub(super) fn is_extension(name: &Node<'_>, pack: &Pack) -> bool {
    static NAME: LazyLock<Option<crate::pack::NameId>> =
        LazyLock::new(|| Pack::r4().name_id("extension"));
    NAME.map_or_else(
        || name.name() == "extension",
        |id| name.raw().base_name == id,
    ) && name.type_id() == pack.known.extension
}

/// Whether a function's result depends on nothing but its base (used to tell names in errors).
pub(super) fn name_of(func: Func) -> &'static str {
    func.name()
}
