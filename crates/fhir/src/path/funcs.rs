//! Functions on collections: existence, filtering, subsetting, combining, navigation, types.

use super::ast::Ast;
use super::eval::{
    Env, EvalError, Flow, Res, Scope, Sink, collect, collect_inner, each, inner, is_extension,
    is_type, name_of, resolve, send, single, truth,
};
use super::func::Func;
use super::value::{Item, equal};
use super::{boundary, coded, convert, math, text};
use crate::doc::Node;

/// Evaluates a call. Filters stream; what needs the whole collection gathers it.
pub(super) fn call<'a>(
    func: Func,
    base: Option<&'a Ast>,
    args: &'a [Ast],
    scope: Scope<'_, 'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    let env = scope.env;
    let arg = args.first();
    // Items left of the dot, one by one.
    let stream = |f: Sink<'_, 'a>| match base {
        Some(b) => each(b, scope, f),
        None => match scope.this {
            Some(t) => f(t.clone()),
            None => Ok(Flow::More),
        },
    };
    let gather = || match base {
        Some(b) => collect(b, scope),
        None => Ok(scope.this.cloned().into_iter().collect()),
    };
    match func {
        Func::Where => {
            let Some(criteria) = arg else {
                return Ok(Flow::More);
            };
            let mut index = -1;
            stream(&mut |i| {
                index += 1;
                if truth(criteria, scope.with(Some(&i), index))? == Some(true) {
                    sink(i)
                } else {
                    Ok(Flow::More)
                }
            })
        }
        Func::Select => {
            let Some(projection) = arg else {
                return Ok(Flow::More);
            };
            let mut index = -1;
            stream(&mut |i| {
                index += 1;
                inner(projection, scope.with(Some(&i), index), sink)
            })
        }
        Func::Exists | Func::Empty => {
            let mut found = false;
            let mut index = -1;
            stream(&mut |i| {
                index += 1;
                if let Some(criteria) = arg
                    && truth(criteria, scope.with(Some(&i), index))? != Some(true)
                {
                    return Ok(Flow::More);
                }
                found = true;
                Ok(Flow::Stop)
            })?;
            sink(Item::Bool(found == (func == Func::Exists)))
        }
        Func::All => {
            let Some(criteria) = arg else {
                return Ok(Flow::More);
            };
            let mut all = true;
            let mut index = -1;
            stream(&mut |i| {
                index += 1;
                all = truth(criteria, scope.with(Some(&i), index))? == Some(true);
                Ok(if all { Flow::More } else { Flow::Stop })
            })?;
            sink(Item::Bool(all))
        }
        Func::OfType | Func::As => {
            let Some(Ast::Is(_, spec)) = arg else {
                return Ok(Flow::More);
            };
            // The invariants of R4 use as() on collections, so it filters like ofType().
            stream(&mut |i| {
                if is_type(&i, spec, env.pack, false)? {
                    sink(i)
                } else {
                    Ok(Flow::More)
                }
            })
        }
        Func::First => {
            let mut out = Flow::More;
            stream(&mut |i| {
                out = sink(i)?;
                Ok(Flow::Stop)
            })?;
            Ok(out)
        }
        Func::Tail => skip(&stream, 1, sink),
        Func::Skip => {
            let n = integer(args, scope, func)?;
            skip(&stream, n.unwrap_or(0), sink)
        }
        Func::Take => {
            let Some(n) = integer(args, scope, func)? else {
                return Ok(Flow::More);
            };
            let mut left = n;
            let mut out = Flow::More;
            if n > 0 {
                stream(&mut |i| {
                    left -= 1;
                    out = sink(i)?;
                    Ok(if left == 0 { Flow::Stop } else { out })
                })?;
            }
            Ok(out)
        }
        Func::Count => {
            let mut n = 0;
            stream(&mut |_| {
                n += 1;
                Ok(Flow::More)
            })?;
            sink(Item::Int(n))
        }
        Func::Children => stream(&mut |i| match i {
            Item::Node(n) => send(n.fields().map(Item::Node), sink),
            _ => Ok(Flow::More),
        }),
        Func::Descendants => stream(&mut |i| match i {
            Item::Node(n) => descend(n, env, sink),
            _ => Ok(Flow::More),
        }),
        Func::Extension => {
            let Some(url) = arg
                .map(|a| single(a, scope, "extension()"))
                .transpose()?
                .flatten()
                .and_then(|i| i.as_text())
            else {
                return Ok(Flow::More);
            };
            stream(&mut |i| match i {
                Item::Node(n) => send(
                    n.fields()
                        .filter(|c| {
                            is_extension(c, env.pack) && c.str_at("url") == Some(url.as_ref())
                        })
                        .map(Item::Node),
                    sink,
                ),
                _ => Ok(Flow::More),
            })
        }
        Func::Resolve => stream(&mut |i| resolve(&i, env, sink)),
        Func::HasValue => {
            let items = gather()?;
            sink(Item::Bool(
                matches!(items.as_slice(), [i] if !matches!(i, Item::Node(n) if !n.has_value())),
            ))
        }
        Func::GetValue => stream(&mut |i| match i.system() {
            Item::Node(_) => Ok(Flow::More),
            v => sink(v),
        }),
        Func::Repeat => {
            let Some(projection) = arg else {
                return Ok(Flow::More);
            };
            repeat(gather()?, projection, scope, sink)
        }
        Func::DefineVariable => {
            let name = arg
                .map(|a| single(a, scope, "defineVariable()"))
                .transpose()?
                .flatten()
                .and_then(|i| i.as_text());
            let Some(name) = name else {
                return Err(EvalError::Type("defineVariable() takes a name".into()));
            };
            if env.vars.borrow().iter().any(|(n, _)| *n == name)
                || matches!(
                    name.as_ref(),
                    "context" | "resource" | "rootResource" | "ucum" | "sct" | "loinc"
                )
            {
                return Err(EvalError::Type(format!(
                    "variable %{name} is already defined"
                )));
            }
            let items = gather()?;
            let value = match args.get(1) {
                Some(e) => {
                    let mut value = Vec::new();
                    for (i, index) in items.iter().zip(0i64..) {
                        value.extend(collect_inner(e, scope.with(Some(i), index))?);
                    }
                    value
                }
                None => items.clone(),
            };
            env.vars.borrow_mut().push((name, value));
            send(items, sink)
        }
        Func::Iif => {
            let items = gather()?;
            if items.len() > 1 {
                return Err(EvalError::Single("iif()"));
            }
            let here = match (base, items.first()) {
                (Some(_), i) => scope.with(i, 0),
                (None, _) => scope,
            };
            let condition = match arg
                .map(|a| single(a, here, "iif()"))
                .transpose()?
                .flatten()
                .map(|i| i.system())
            {
                None => false,
                Some(Item::Bool(b)) => b,
                Some(_) => {
                    return Err(EvalError::Type(
                        "the condition of iif() is a boolean".into(),
                    ));
                }
            };
            match args.get(if condition { 1 } else { 2 }) {
                Some(branch) => inner(branch, here, sink),
                None => Ok(Flow::More),
            }
        }
        Func::Is => {
            let items = gather()?;
            match (items.as_slice(), arg) {
                ([i], Some(Ast::Is(_, spec))) => {
                    sink(Item::Bool(is_type(i, spec, env.pack, true)?))
                }
                ([], _) => Ok(Flow::More),
                _ => Err(EvalError::Single("is()")),
            }
        }
        Func::Now | Func::Today | Func::TimeOfDay => sink(convert::clock(func, env.now_us)),
        _ => gathered(func, gather()?, args, scope, sink),
    }
}

/// Functions on a whole collection.
fn gathered<'a>(
    func: Func,
    items: Vec<Item<'a>>,
    args: &'a [Ast],
    scope: Scope<'_, 'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    let env = scope.env;
    env.spend(items.len() as u64)?;
    let other = || match args.first() {
        Some(a) => collect_inner(a, scope),
        None => Ok(Vec::new()),
    };
    match func {
        Func::AllTrue | Func::AnyTrue | Func::AllFalse | Func::AnyFalse => {
            let wanted = matches!(func, Func::AllTrue | Func::AnyTrue);
            let mut hits = 0;
            for i in &items {
                match i.system() {
                    Item::Bool(b) => hits += usize::from(b == wanted),
                    _ => {
                        return Err(EvalError::Type(format!(
                            "{}() takes booleans",
                            name_of(func)
                        )));
                    }
                }
            }
            sink(Item::Bool(
                if matches!(func, Func::AllTrue | Func::AllFalse) {
                    hits == items.len()
                } else {
                    hits > 0
                },
            ))
        }
        Func::Not => match items.as_slice() {
            [] => Ok(Flow::More),
            [i] => sink(Item::Bool(
                !matches!(i.system(), Item::Bool(true)) && matches!(i.system(), Item::Bool(_)),
            )),
            _ => Err(EvalError::Single("not()")),
        },
        Func::Distinct => send(distinct(items, env)?, sink),
        Func::IsDistinct => {
            let n = items.len();
            sink(Item::Bool(distinct(items, env)?.len() == n))
        }
        Func::Single => match items.len() {
            0 | 1 => send(items, sink),
            _ => Err(EvalError::Single("single()")),
        },
        Func::Last => send(items.into_iter().next_back(), sink),
        Func::Intersect => {
            let right = other()?;
            let kept = items.into_iter().filter(|i| has(&right, i, env)).collect();
            send(distinct(kept, env)?, sink)
        }
        Func::Exclude => {
            let right = other()?;
            send(items.into_iter().filter(|i| !has(&right, i, env)), sink)
        }
        Func::Union => {
            let mut all = items;
            all.extend(other()?);
            send(distinct(all, env)?, sink)
        }
        Func::Combine => {
            let right = other()?;
            send(items.into_iter().chain(right), sink)
        }
        Func::Coalesce => {
            for a in args {
                let found = collect_inner(a, scope)?;
                if !found.is_empty() {
                    return send(found, sink);
                }
            }
            Ok(Flow::More)
        }
        Func::SubsetOf => {
            let right = other()?;
            sink(Item::Bool(items.iter().all(|i| has(&right, i, env))))
        }
        Func::SupersetOf => sink(Item::Bool(other()?.iter().all(|i| has(&items, i, env)))),
        Func::Trace => {
            // The second argument is evaluated so that its faults show; where traces go is the host's business.
            if let Some(p) = args.get(1) {
                for (i, index) in items.iter().zip(0i64..) {
                    collect_inner(p, scope.with(Some(i), index))?;
                }
            }
            send(items, sink)
        }
        Func::Aggregate => {
            let mut total = match args.get(1) {
                Some(a) => collect_inner(a, scope)?,
                None => Vec::new(),
            };
            if let Some(step) = args.first() {
                for (i, index) in items.iter().zip(0i64..) {
                    let here = Scope {
                        env,
                        this: Some(i),
                        index,
                        total: &total,
                    };
                    total = collect_inner(step, here)?;
                }
            }
            send(total, sink)
        }
        Func::Sort => sort(items, args, scope, sink),
        Func::Type => match items.as_slice() {
            [] => Ok(Flow::More),
            [i] => sink(type_item(i, env)),
            _ => Err(EvalError::Single("type()")),
        },
        Func::ConformsTo => coded::conforms(&items, args, scope, sink),
        Func::MemberOf => coded::member_of(&items, args, scope, sink),
        Func::Subsumes => coded::subsumes(&items, &other()?, false, env, sink),
        Func::SubsumedBy => coded::subsumes(&items, &other()?, true, env, sink),
        Func::Slice => coded::slice(items, args, scope, sink),
        Func::CheckModifiers => coded::check_modifiers(items, args, scope, sink),
        Func::ElementDefinition => coded::element_definition(&items, env, sink),
        Func::HtmlChecks => sink(Item::Bool(items.iter().all(|i| {
            i.as_text().is_some_and(|t| {
                crate::xml::narrative_ok(&t) && crate::xml::narrative_has_content(&t)
            })
        }))),
        Func::Comparable => match (items.as_slice(), other()?.as_slice()) {
            ([a], [b]) => match (a.system(), b.system()) {
                (Item::Quantity(p), Item::Quantity(q)) => {
                    sink(Item::Bool(super::value::comparable(&p, &q)))
                }
                _ => Err(EvalError::Type("comparable() takes quantities".into())),
            },
            _ => Ok(Flow::More),
        },
        Func::Abs
        | Func::Ceiling
        | Func::Exp
        | Func::Floor
        | Func::Ln
        | Func::Log
        | Func::Power
        | Func::Round
        | Func::Sqrt
        | Func::Truncate => {
            let Some(item) = one(items, func)? else {
                return Ok(Flow::More);
            };
            let argument = args
                .first()
                .map(|a| single(a, scope, "this function"))
                .transpose()?
                .flatten();
            if !args.is_empty() && argument.is_none() {
                return Ok(Flow::More);
            }
            send(math::apply(func, &item, argument.as_ref())?, sink)
        }
        Func::LowBoundary | Func::HighBoundary | Func::Precision => {
            let Some(item) = one(items, func)? else {
                return Ok(Flow::More);
            };
            let digits = integer(args, scope, func)?;
            send(boundary::apply(func, &item, digits)?, sink)
        }
        Func::IndexOf
        | Func::LastIndexOf
        | Func::Substring
        | Func::StartsWith
        | Func::EndsWith
        | Func::ContainsText
        | Func::Upper
        | Func::Lower
        | Func::Replace
        | Func::Matches
        | Func::MatchesFull
        | Func::ReplaceMatches
        | Func::Length
        | Func::ToChars
        | Func::Encode
        | Func::Decode
        | Func::Escape
        | Func::Unescape
        | Func::Trim
        | Func::Split => {
            let Some(item) = one(items, func)? else {
                return Ok(Flow::More);
            };
            let Some(subject) = item.as_text() else {
                return Err(EvalError::Type(format!("{}() takes a text", name_of(func))));
            };
            let mut given = Vec::with_capacity(args.len());
            for a in args {
                match single(a, scope, "this function")? {
                    Some(v) => given.push(v.system()),
                    None => return Ok(Flow::More),
                }
            }
            env.spend(subject.len() as u64 / 16)?;
            send(text::apply(func, &subject, &given, env)?, sink)
        }
        Func::Join => {
            let separator = args
                .first()
                .map(|a| single(a, scope, "join()"))
                .transpose()?
                .flatten()
                .and_then(|i| i.as_text())
                .unwrap_or_default();
            let parts: Option<Vec<_>> = items.iter().map(Item::as_text).collect();
            match parts {
                Some(p) if p.is_empty() => Ok(Flow::More),
                Some(p) => {
                    let bytes = p.iter().map(|t| t.len() + separator.len()).sum();
                    text::fits(bytes)?;
                    env.spend(bytes as u64 / 64)?;
                    sink(Item::text(p.join(separator.as_ref())))
                }
                None => Err(EvalError::Type("join() takes texts".into())),
            }
        }
        _ => {
            let Some(item) = one(items, func)? else {
                return Ok(Flow::More);
            };
            let unit = args
                .first()
                .map(|a| single(a, scope, "this function"))
                .transpose()?
                .flatten()
                .and_then(|i| i.as_text());
            send(convert::apply(func, &item, unit.as_deref()), sink)
        }
    }
}

fn one<'a>(items: Vec<Item<'a>>, func: Func) -> Res<Option<Item<'a>>> {
    if items.len() > 1 {
        return Err(EvalError::Single(name_of(func)));
    }
    Ok(items.into_iter().next())
}

fn integer<'a>(args: &'a [Ast], scope: Scope<'_, 'a>, func: Func) -> Res<Option<i64>> {
    match args
        .first()
        .map(|a| single(a, scope, "this function"))
        .transpose()?
        .flatten()
        .map(|i| i.system())
    {
        None => Ok(None),
        Some(Item::Int(n)) => Ok(Some(n)),
        Some(_) => Err(EvalError::Type(format!(
            "{}() takes an integer",
            name_of(func)
        ))),
    }
}

fn skip<'a>(stream: &dyn Fn(Sink<'_, 'a>) -> Res<Flow>, n: i64, sink: Sink<'_, 'a>) -> Res<Flow> {
    let mut left = n;
    stream(&mut |i| {
        if left > 0 {
            left -= 1;
            return Ok(Flow::More);
        }
        sink(i)
    })
}

fn descend<'a>(n: Node<'a>, env: &Env<'a>, sink: Sink<'_, 'a>) -> Res<Flow> {
    for c in n.fields() {
        env.spend(1)?;
        if sink(Item::Node(c))? == Flow::Stop || descend(c, env, sink)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::More)
}

fn has(list: &[Item<'_>], item: &Item<'_>, env: &Env<'_>) -> bool {
    env.spend(list.len() as u64).is_ok() && list.iter().any(|i| equal(i, item) == Some(true))
}

/// The items without those equal to an earlier one.
pub(super) fn distinct<'a>(items: Vec<Item<'a>>, env: &Env<'a>) -> Res<Vec<Item<'a>>> {
    // Texts, the common case (codes, ids, URLs), are told apart by hashing.
    if items.len() > 8 {
        let texts: Option<Vec<_>> = items
            .iter()
            .map(|i| match i.system() {
                Item::Str(text) => Some(text),
                _ => None,
            })
            .collect();
        if let Some(texts) = texts {
            env.spend(items.len() as u64 * 4)?;
            let mut seen = std::collections::HashSet::with_capacity(items.len());
            let fresh: Vec<bool> = texts.iter().map(|t| seen.insert(t.as_ref())).collect();
            return Ok(items
                .into_iter()
                .zip(fresh)
                .filter_map(|(i, is_fresh)| is_fresh.then_some(i))
                .collect());
        }
    }
    let mut out: Vec<Item<'a>> = Vec::with_capacity(items.len());
    for i in items {
        env.spend(out.len() as u64)?;
        if !out.iter().any(|o| equal(o, &i) == Some(true)) {
            out.push(i);
        }
    }
    Ok(out)
}

fn repeat<'a>(
    start: Vec<Item<'a>>,
    projection: &'a Ast,
    scope: Scope<'_, 'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    let mut queue = std::collections::VecDeque::from(start);
    let mut seen: Vec<Item<'a>> = Vec::new();
    let mut nodes = std::collections::HashSet::new();
    while let Some(i) = queue.pop_front() {
        for found in collect_inner(projection, scope.with(Some(&i), 0))? {
            // Nodes are told apart by place first: equal content elsewhere is rare and costs a deep comparison.
            let fresh = match &found {
                Item::Node(n) => nodes.insert((std::ptr::from_ref(n.doc()), n.index())),
                other => {
                    scope.env.spend(seen.len() as u64)?;
                    let new = !seen.iter().any(|s| equal(s, other) == Some(true));
                    if new {
                        seen.push(other.clone());
                    }
                    new
                }
            };
            if fresh {
                queue.push_back(found.clone());
                if sink(found)? == Flow::Stop {
                    return Ok(Flow::Stop);
                }
            }
        }
    }
    Ok(Flow::More)
}

fn sort<'a>(
    items: Vec<Item<'a>>,
    args: &'a [Ast],
    scope: Scope<'_, 'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    let mut keyed = Vec::with_capacity(items.len());
    for (i, index) in items.into_iter().zip(0i64..) {
        let mut keys = Vec::new();
        if args.is_empty() {
            keys.push((Some(i.clone()), false));
        }
        for a in args {
            // A key with a minus sorts downwards, also for texts, which cannot be negated.
            let (key, down) = match a {
                Ast::Negate(k) => (k.as_ref(), true),
                k => (k, false),
            };
            keys.push((single(key, scope.with(Some(&i), index), "sort()")?, down));
        }
        keyed.push((keys, i));
    }
    scope.env.spend((keyed.len() as u64).saturating_mul(16))?;
    let mut fault = None;
    keyed.sort_by(|(a, _), (b, _)| {
        for ((x, down), (y, _)) in a.iter().zip(b) {
            let order = match (x, y) {
                (None, None) => std::cmp::Ordering::Equal,
                // What has no key comes first, upwards and downwards.
                (None, Some(_)) => return std::cmp::Ordering::Less,
                (Some(_), None) => return std::cmp::Ordering::Greater,
                (Some(x), Some(y)) => super::value::compare(x, y).unwrap_or_else(|_| {
                    fault = Some(EvalError::Type("sort() keys cannot be compared".into()));
                    std::cmp::Ordering::Equal
                }),
            };
            let order = if *down { order.reverse() } else { order };
            if order != std::cmp::Ordering::Equal {
                return order;
            }
        }
        std::cmp::Ordering::Equal
    });
    match fault {
        Some(f) => Err(f),
        None => send(keyed.into_iter().map(|(_, i)| i), sink),
    }
}

fn type_item<'a>(i: &Item<'a>, env: &Env<'a>) -> Item<'a> {
    match i {
        Item::Node(n) => {
            let ty = env.pack.type_of(n.type_id());
            let name = match ty {
                Some(t) if t.kind == crate::pack::file::TypeKind::Backbone => {
                    env.pack.type_name(t.base)
                }
                Some(t) => t.name.as_ref(),
                None => "",
            };
            Item::Type("FHIR", name.into())
        }
        Item::Remote(t) => Item::Type("FHIR", (*t).into()),
        Item::Type(..) => Item::Type("System", "TypeInfo".into()),
        other => Item::Type("System", other.system_type().into()),
    }
}
