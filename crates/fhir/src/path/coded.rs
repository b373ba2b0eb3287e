//! FHIR's own functions that look beyond the document: value sets, subsumption, profiles, slices, definitions.

use bytes::Bytes;
use serde_json::json;

use super::ast::Ast;
use super::eval::{Env, EvalError, Flow, Res, Scope, Sink, send, single};
use super::value::Item;
use crate::doc::{Doc, Node};
use crate::json::Limits;
use crate::validate::grammar::Grammar;

/// A text argument; `None` when it is empty.
fn text<'a>(
    args: &'a [Ast],
    n: usize,
    scope: Scope<'_, 'a>,
    who: &'static str,
) -> Res<Option<String>> {
    Ok(args
        .get(n)
        .map(|a| single(a, scope, who))
        .transpose()?
        .flatten()
        .and_then(|i| i.as_text().map(|t| t.into_owned())))
}

/// `conformsTo()`: base definitions natively, profiles through the host.
pub(super) fn conforms<'a>(
    items: &[Item<'a>],
    args: &'a [Ast],
    scope: Scope<'_, 'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    let Some(url) = text(args, 0, scope, "conformsTo()")? else {
        return Ok(Flow::More);
    };
    let node = match items {
        [] => return Ok(Flow::More),
        [Item::Node(n)] => *n,
        [_] => {
            return Err(EvalError::Type(
                "conformsTo() takes an element of a resource".into(),
            ));
        }
        _ => return Err(EvalError::Single("conformsTo()")),
    };
    let pack = scope.env.pack;
    let base = url
        .strip_prefix("http://hl7.org/fhir/StructureDefinition/")
        .and_then(|n| pack.type_id(n));
    if let Some(ty) = base {
        return sink(Item::Bool(pack.is_a(node.type_id(), ty)));
    }
    let answer = scope.env.outside.and_then(|(host, _)| {
        // A profile is worth many steps.
        scope.env.spend(1000).ok()?;
        host.conforms(node, &url)
    });
    match answer {
        Some(b) => sink(Item::Bool(b)),
        None => Err(EvalError::Type(
            "conformsTo() was given a profile that is not known here".into(),
        )),
    }
}

/// Whether a code is in a value set: the definitions' own sets, then the host's terminology. `None` = cannot be told.
pub(crate) fn in_value_set(
    env: &Env<'_>,
    value_set: &str,
    system: Option<&str>,
    code: &str,
) -> Option<bool> {
    if let Some(set) = env.pack.value_set_by_url(value_set) {
        return Some(match system {
            Some(s) => set.contains(s, code),
            None => set.system_of(code).is_some(),
        });
    }
    if let Some(grammar) = Grammar::of(value_set) {
        return Some(system.is_none_or(|s| s == grammar.system()) && grammar.admits(code));
    }
    env.outside?
        .0
        .terminology()?
        .contains(value_set, system, code)
        .ok()
        .flatten()
}

/// `memberOf()`: empty when the value set is not known.
pub(super) fn member_of<'a>(
    items: &[Item<'a>],
    args: &'a [Ast],
    scope: Scope<'_, 'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    let Some(url) = text(args, 0, scope, "memberOf()")? else {
        return Ok(Flow::More);
    };
    let env = scope.env;
    env.spend(20)?;
    let answer = match items {
        [] => None,
        [Item::Node(n)] if n.has_value() => {
            n.as_str().and_then(|c| in_value_set(env, &url, None, c))
        }
        [Item::Node(n)] if n.type_id() == env.pack.known.codeable_concept => {
            let mut answer = Some(false);
            for c in n.all("coding") {
                match coding(&c, &url, env) {
                    Some(true) => {
                        answer = Some(true);
                        break;
                    }
                    Some(false) => {}
                    None => answer = None,
                }
            }
            answer
        }
        [Item::Node(n)] => coding(n, &url, env),
        [other] => other
            .as_text()
            .and_then(|c| in_value_set(env, &url, None, &c)),
        _ => return Err(EvalError::Single("memberOf()")),
    };
    match answer {
        Some(b) => sink(Item::Bool(b)),
        None => Ok(Flow::More),
    }
}

fn coding(c: &Node<'_>, url: &str, env: &Env<'_>) -> Option<bool> {
    match (c.str_at("system"), c.str_at("code")) {
        (Some(system), Some(code)) => in_value_set(env, url, Some(system), code),
        _ => Some(false),
    }
}

/// Codings of a Coding or CodeableConcept as (system, code).
fn codings<'a>(item: &Item<'a>) -> Vec<(&'a str, &'a str)> {
    let Item::Node(n) = item else {
        return Vec::new();
    };
    let pair = |c: Node<'a>| Some((c.str_at("system").unwrap_or_default(), c.str_at("code")?));
    if n.get("coding").is_some() {
        n.all("coding").filter_map(pair).collect()
    } else {
        pair(*n).into_iter().collect()
    }
}

/// `subsumes()` and `subsumedBy()`: any pair of codings decides; empty when the code system is not known.
pub(super) fn subsumes<'a>(
    items: &[Item<'a>],
    other: &[Item<'a>],
    reversed: bool,
    env: &Env<'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    let (left, right) = match (items, other) {
        ([], _) | (_, []) => return Ok(Flow::More),
        ([a], [b]) if reversed => (codings(b), codings(a)),
        ([a], [b]) => (codings(a), codings(b)),
        _ => return Err(EvalError::Single("subsumes()")),
    };
    let mut answer = Some(false);
    for (system, code) in &left {
        for (other_system, narrower) in &right {
            env.spend(20)?;
            if (system, code) == (other_system, narrower) {
                return sink(Item::Bool(true));
            }
            if system != other_system {
                continue;
            }
            let above = env
                .outside
                .and_then(|(host, _)| host.terminology())
                .and_then(|t| t.ancestors(system, narrower, 10_000).ok());
            match above {
                Some(list) if list.iter().any(|a| a.as_ref() == *code) => {
                    return sink(Item::Bool(true));
                }
                Some(_) => {}
                None => answer = None,
            }
        }
    }
    match answer {
        Some(b) => sink(Item::Bool(b)),
        None => Ok(Flow::More),
    }
}

/// `slice(structure, name)`: the items that are in the slice.
pub(super) fn slice<'a>(
    items: Vec<Item<'a>>,
    args: &'a [Ast],
    scope: Scope<'_, 'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    let structure = text(args, 0, scope, "slice()")?;
    let name = text(args, 1, scope, "slice()")?;
    let (Some(structure), Some(name)) = (structure, name) else {
        return Ok(Flow::More);
    };
    let mut kept = Vec::new();
    for i in items {
        scope.env.spend(100)?;
        let answer = match (&i, scope.env.outside) {
            (Item::Node(n), Some((host, _))) => host.in_slice(*n, &structure, &name),
            _ => None,
        };
        match answer {
            Some(true) => kept.push(i),
            Some(false) => {}
            None => {
                return Err(EvalError::Type(
                    "slice() was given a slice that is not known here".into(),
                ));
            }
        }
    }
    send(kept, sink)
}

/// `checkModifiers(url…)`: passes items on, unless one has a modifier extension that the expression does not name.
pub(super) fn check_modifiers<'a>(
    items: Vec<Item<'a>>,
    args: &'a [Ast],
    scope: Scope<'_, 'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    let mut understood = Vec::new();
    for n in 0..args.len() {
        understood.extend(text(args, n, scope, "checkModifiers()")?);
    }
    for i in &items {
        let Item::Node(n) = i else { continue };
        let strange = n.all("modifierExtension").any(|x| {
            !x.str_at("url")
                .is_some_and(|u| understood.iter().any(|k| k == u))
        });
        if strange {
            return Err(EvalError::Type(
                "an element has a modifier extension that the expression does not understand"
                    .into(),
            ));
        }
    }
    send(items, sink)
}

/// `elementDefinition()`: what the base definitions say of each element. Needs a world to keep the made element in.
pub(super) fn element_definition<'a>(
    items: &[Item<'a>],
    env: &Env<'a>,
    sink: Sink<'_, 'a>,
) -> Res<Flow> {
    let Some((_, docs)) = env.outside else {
        return Ok(Flow::More);
    };
    for i in items {
        let Item::Node(n) = i else { continue };
        env.spend(500)?;
        let (path, min, max, types) = match (env.pack.element(n.elem()), n.parent()) {
            (Some(e), Some(parent)) => {
                let suffix = if e.choice { "[x]" } else { "" };
                let types = e.types.iter().map(|t| env.pack.type_name(*t)).collect();
                let path = format!("{}.{}{suffix}", parent.type_name(), e.name);
                (path, e.min, e.max, types)
            }
            _ => (n.type_name().to_owned(), 0, None, Vec::new()),
        };
        let key = format!("definition {path}");
        let doc = match docs.find(&key) {
            Some(known) => known,
            None => docs.keep(&key, definition(&path, min, max, &types)),
        };
        if let Some(node) = doc.and_then(|d| d.root().at("parameter.valueElementDefinition"))
            && sink(Item::Node(node))? == Flow::Stop
        {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::More)
}

/// An ElementDefinition needs a resource to live in: a Parameters resource with one value.
fn definition(path: &str, min: u32, max: Option<u32>, types: &[&str]) -> Option<Doc> {
    let mut value = json!({
        "path": path,
        "min": min,
        "max": max.map_or_else(|| "*".to_owned(), |m| m.to_string()),
    });
    if let (Some(o), false) = (value.as_object_mut(), types.is_empty()) {
        let types: Vec<_> = types.iter().map(|t| json!({ "code": t })).collect();
        o.insert("type".to_owned(), json!(types));
    }
    let body = json!({
        "resourceType": "Parameters",
        "parameter": [{ "name": "definition", "valueElementDefinition": value }],
    });
    Doc::parse_json(Bytes::from(body.to_string()), &Limits::default()).ok()
}
