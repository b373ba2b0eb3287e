//! FHIRPath Patch (R4 fhirpatch page): a Parameters resource whose `operation` parameters add, insert, delete, replace
//! and move elements named by FHIRPath.

use bytes::Bytes;

use super::fault;
use crate::doc::{Doc, Node, NodeKind};
use crate::finding::{Finding, IssueCode};
use crate::json::Limits;
use crate::json::value::Value;
use crate::pack::{Element, Pack, TypeId, capitalised};
use crate::path::Expr;

/// Most operations in one patch; each reads the document anew.
const MAX_OPERATIONS: usize = 200;

/// Applies a FHIRPath Patch. Operations are applied in order, all or none.
pub fn fhirpath_patch(
    target: &Doc,
    patch: &Doc,
    limits: &Limits,
    now_us: i64,
) -> Result<Bytes, Vec<Finding>> {
    if patch.resource_type() != "Parameters" {
        return Err(vec![fault(
            IssueCode::Structure,
            "a FHIRPath Patch is a Parameters resource",
        )]);
    }
    let operations: Vec<Node<'_>> = patch.root().all("parameter").collect();
    if operations.len() > MAX_OPERATIONS {
        return Err(vec![fault(
            IssueCode::TooCostly,
            format!("a patch has at most {MAX_OPERATIONS} operations"),
        )]);
    }
    let mut current = target.clone();
    for (i, op) in operations.iter().enumerate() {
        let mut root = Value::parse(current.bytes(), limits)?;
        one(&mut root, &current, *op, now_us).map_err(|f| {
            vec![Finding {
                text: format!("operation {i}: {}", f.text),
                ..f
            }]
        })?;
        current = Doc::parse_json(Bytes::from(root.to_vec()), limits)?;
    }
    Ok(current.bytes().clone())
}

/// What an operation parameter holds.
struct Operation<'d> {
    kind: &'d str,
    path: &'d str,
    name: Option<&'d str>,
    value: Option<Node<'d>>,
    index: Option<i64>,
    source: Option<i64>,
    destination: Option<i64>,
}

fn read(op: Node<'_>) -> Result<Operation<'_>, Finding> {
    if op.str_at("name") != Some("operation") {
        return Err(fault(
            IssueCode::Structure,
            "every parameter is called operation",
        ));
    }
    let part = |name: &str| op.all("part").find(|p| p.str_at("name") == Some(name));
    let value_of = |p: Node<'_>| {
        p.fields()
            .find(|f| f.name().starts_with("value"))
            .map(|f| f.index())
    };
    let text = |name: &str| {
        let p = part(name)?;
        let index = value_of(p)?;
        Node::new(op.doc(), index).as_str()
    };
    let number = |name: &str| {
        let p = part(name)?;
        let index = value_of(p)?;
        Node::new(op.doc(), index).as_i64()
    };
    let required = |name: &str| {
        text(name).ok_or_else(|| fault(IssueCode::Required, format!("part {name} is missing")))
    };
    Ok(Operation {
        kind: required("type")?,
        path: required("path")?,
        name: text("name"),
        value: part("value"),
        index: number("index"),
        source: number("source"),
        destination: number("destination"),
    })
}

/// Where an element stands: the members to walk from the root, each with its place in an array.
type Step = (String, Option<usize>);

fn steps(node: Node<'_>) -> Vec<Step> {
    let mut out = Vec::new();
    let mut at = node;
    while let Some(parent) = at.parent() {
        out.push((at.name().to_owned(), at.place()));
        at = parent;
    }
    out.reverse();
    out
}

/// A value and what hangs on it (`name` and `_name` of JSON).
#[derive(Clone)]
struct Pair {
    value: Option<Value>,
    more: Option<Value>,
}

fn gone() -> Finding {
    fault(
        IssueCode::NotFound,
        "the path names an element that does not exist",
    )
}

/// The object that holds an element's members; for a primitive its `_name` object, made when absent.
fn object<'v>(
    root: &'v mut Value,
    path: &[Step],
    last_is_primitive: bool,
) -> Result<&'v mut Value, Finding> {
    let mut at = root;
    for (i, (name, place)) in path.iter().enumerate() {
        let under = last_is_primitive && i + 1 == path.len();
        let name = if under {
            format!("_{name}")
        } else {
            name.clone()
        };
        if under && at.get(&name).is_none() {
            at.set(
                &name,
                if place.is_some() {
                    Value::Array(Vec::new())
                } else {
                    Value::Object(Vec::new())
                },
            );
        }
        let Value::Object(members) = at else {
            return Err(gone());
        };
        let member = members
            .iter_mut()
            .find(|(k, _)| *k == name)
            .map(|(_, v)| v)
            .ok_or_else(gone)?;
        at = match (member, place) {
            (Value::Array(items), Some(n)) => {
                while under && items.len() <= *n {
                    items.push(Value::Null);
                }
                let slot = items.get_mut(*n).ok_or_else(gone)?;
                if under && matches!(slot, Value::Null) {
                    *slot = Value::Object(Vec::new());
                }
                slot
            }
            (other, _) => other,
        };
    }
    Ok(at)
}

fn take(object: &mut Value, name: &str) -> Option<Value> {
    let Value::Object(members) = object else {
        return None;
    };
    let at = members.iter().position(|(k, _)| k == name)?;
    Some(members.remove(at).1)
}

/// The elements of one name of an object.
fn list(object: &Value, name: &str) -> Vec<Pair> {
    let items = |v: Option<&Value>| match v {
        Some(Value::Array(a)) => a.clone(),
        Some(v) => vec![v.clone()],
        None => Vec::new(),
    };
    let (values, more) = (
        items(object.get(name)),
        items(object.get(&format!("_{name}"))),
    );
    let there = |v: Option<&Value>| v.filter(|v| !matches!(v, Value::Null)).cloned();
    (0..values.len().max(more.len()))
        .map(|i| Pair {
            value: there(values.get(i)),
            more: there(more.get(i)),
        })
        .collect()
}

/// Writes the elements of one name back; none removes the members.
fn store(object: &mut Value, name: &str, list: Vec<Pair>, repeats: bool) {
    let under = format!("_{name}");
    let side = |get: fn(&Pair) -> Option<Value>| {
        if !list.iter().any(|p| get(p).is_some()) {
            return None;
        }
        let mut all: Vec<Value> = list.iter().map(|p| get(p).unwrap_or(Value::Null)).collect();
        if repeats {
            Some(Value::Array(all))
        } else {
            all.pop()
        }
    };
    for (member, v) in [
        (name, side(|p| p.value.clone())),
        (under.as_str(), side(|p| p.more.clone())),
    ] {
        match v {
            Some(v) => object.set(member, v),
            None => {
                take(object, member);
            }
        }
    }
}

/// The value part as JSON: `value[x]`, or an object made of nested parts of an unnamed type.
fn value(part: Node<'_>, ty: TypeId, pack: &Pack) -> Result<(Pair, Option<String>), Finding> {
    if let Some(v) = part.fields().find(|f| f.name().starts_with("value")) {
        let suffix = v.name().strip_prefix("value").map(str::to_owned);
        return Ok((pair(v)?, suffix));
    }
    let mut object = Value::Object(Vec::new());
    for p in part.all("part") {
        let Some(name) = p.str_at("name") else {
            return Err(fault(
                IssueCode::Required,
                "a part of the value has no name",
            ));
        };
        put(&mut object, ty, name, p, pack)?;
    }
    match &object {
        Value::Object(m) if m.is_empty() => {
            Err(fault(IssueCode::Required, "the value part is empty"))
        }
        _ => Ok((
            Pair {
                value: Some(object),
                more: None,
            },
            None,
        )),
    }
}

fn pair(v: Node<'_>) -> Result<Pair, Finding> {
    let text = |n: &str| n.to_owned();
    let own = match v.kind() {
        NodeKind::String => v.as_str().map(|s| Value::String(text(s))),
        NodeKind::Number => v.as_decimal_text().map(|s| Value::Number(text(s))),
        NodeKind::Bool => v.as_bool().map(Value::Bool),
        NodeKind::None => None,
    };
    let parse = |b: &[u8]| {
        Value::parse(b, &Limits::default())
            .map_err(|_| fault(IssueCode::Invalid, "the value cannot be read"))
    };
    let raw = v.raw_json();
    if !raw.is_empty() {
        return Ok(Pair {
            value: Some(parse(&raw)?),
            more: None,
        });
    }
    let mut more = Value::Object(Vec::new());
    for c in v.fields() {
        let mut l = list(&more, c.name());
        l.push(pair(c)?);
        store(&mut more, c.name(), l, c.in_array());
    }
    let more = matches!(&more, Value::Object(m) if !m.is_empty()).then_some(more);
    Ok(Pair { value: own, more })
}

/// Adds one element called `name` to an object of type `ty`.
fn put(
    object: &mut Value,
    ty: TypeId,
    name: &str,
    part: Node<'_>,
    pack: &Pack,
) -> Result<(), Finding> {
    let element = element(ty, name, pack)?;
    let inner = element.types.first().copied().unwrap_or(TypeId::NONE);
    let (new, suffix) = value(part, inner, pack)?;
    let json = json_name(element, name, suffix.as_deref());
    let mut items = list(object, &json);
    if element.max == Some(1) && (!items.is_empty() || taken(object, element, pack)) {
        return Err(fault(
            IssueCode::Invalid,
            "the element is there already and cannot repeat; use replace",
        ));
    }
    items.push(new);
    store(object, &json, items, element.max != Some(1));
    Ok(())
}

/// Whether another type of the same choice is present.
fn taken(object: &Value, element: &Element, pack: &Pack) -> bool {
    element.choice
        && element.types.iter().any(|t| {
            object
                .get(&json_name(
                    element,
                    &element.name,
                    Some(&capitalised(pack.type_name(*t))),
                ))
                .is_some()
        })
}

/// The definition of an element by its name, with or without the type of a choice.
fn element<'p>(ty: TypeId, name: &str, pack: &'p Pack) -> Result<&'p Element, Finding> {
    let def = pack.type_of(ty).ok_or_else(|| {
        fault(
            IssueCode::NotFound,
            "the path names an element of unknown type",
        )
    })?;
    let by_name = def
        .elements
        .iter()
        .filter_map(|e| pack.element(*e))
        .find(|e| *e.name == *name);
    by_name
        .or_else(|| {
            pack.child(ty, name.as_bytes())
                .and_then(|(e, _, _)| pack.element(e))
        })
        .ok_or_else(|| {
            fault(
                IssueCode::NotFound,
                "the named element does not exist in the definitions",
            )
        })
}

fn json_name(element: &Element, name: &str, suffix: Option<&str>) -> String {
    match suffix {
        Some(s) if element.choice => format!("{}{s}", element.name),
        _ => name.to_owned(),
    }
}

fn one(root: &mut Value, doc: &Doc, op: Node<'_>, now_us: i64) -> Result<(), Finding> {
    let op = read(op)?;
    let pack = doc.pack();
    let expr = Expr::compile(op.path).map_err(|e| fault(IssueCode::Invalid, e.to_string()))?;
    let found = expr
        .eval(doc.root(), now_us)
        .map_err(|e| fault(IssueCode::Invalid, e.to_string()))?;
    let mut nodes = Vec::with_capacity(found.len());
    for i in &found {
        nodes.push(i.node().ok_or_else(|| {
            fault(
                IssueCode::Invalid,
                "the path yields a computed value, not an element",
            )
        })?);
    }
    let single = || match nodes.as_slice() {
        [n] => Ok(*n),
        [] => Err(gone()),
        _ => Err(fault(
            IssueCode::Invalid,
            "the path names several elements, one is expected",
        )),
    };
    let part = || {
        op.value
            .ok_or_else(|| fault(IssueCode::Required, "part value is missing"))
    };
    match op.kind {
        "add" => {
            let at = single()?;
            let name = op
                .name
                .ok_or_else(|| fault(IssueCode::Required, "part name is missing"))?;
            let target = object(root, &steps(at), pack.is_primitive(at.type_id()))?;
            put(target, at.type_id(), name, part()?, pack)
        }
        "replace" => {
            let at = single()?;
            let (new, suffix) = value(part()?, at.type_id(), pack)?;
            with_siblings(root, at, |object, name, mut items, place, repeats| {
                let json = match pack.element(at.elem()).filter(|e| e.choice) {
                    Some(e) => json_name(e, name, suffix.as_deref()),
                    None => name.to_owned(),
                };
                if json != name {
                    store(object, name, Vec::new(), repeats);
                }
                *items.get_mut(place).ok_or_else(gone)? = new;
                store(object, &json, items, repeats);
                Ok(())
            })
        }
        "delete" => match nodes.as_slice() {
            [] => Ok(()),
            _ => {
                with_siblings(
                    root,
                    single()?,
                    |object, name, mut items, place, repeats| {
                        if place >= items.len() {
                            return Err(gone());
                        }
                        items.remove(place);
                        store(object, name, items, repeats);
                        Ok(())
                    },
                )?;
                prune(root);
                Ok(())
            }
        },
        "insert" => {
            let first = *nodes.first().ok_or_else(gone)?;
            let place = position(op.index, "index")?;
            let (new, _) = value(part()?, first.type_id(), pack)?;
            with_siblings(root, first, |object, name, mut items, _, repeats| {
                if !repeats {
                    return Err(fault(IssueCode::Invalid, "the element cannot repeat"));
                }
                if place > items.len() {
                    return Err(fault(
                        IssueCode::Value,
                        "index is beyond the end of the list",
                    ));
                }
                items.insert(place, new);
                store(object, name, items, repeats);
                Ok(())
            })
        }
        "move" => {
            let first = *nodes.first().ok_or_else(gone)?;
            let (from, to) = (
                position(op.source, "source")?,
                position(op.destination, "destination")?,
            );
            with_siblings(root, first, |object, name, mut items, _, repeats| {
                if from >= items.len() || to >= items.len() {
                    return Err(fault(
                        IssueCode::Value,
                        "source or destination is beyond the end of the list",
                    ));
                }
                let v = items.remove(from);
                items.insert(to, v);
                store(object, name, items, repeats);
                Ok(())
            })
        }
        _ => Err(fault(
            IssueCode::NotSupported,
            "the type is not one of add, insert, delete, replace, move",
        )),
    }
}

/// Removes what a deletion has left without content; true when nothing remains.
fn prune(v: &mut Value) -> bool {
    match v {
        Value::Object(members) => {
            members.retain_mut(|(_, v)| !prune(v));
            members.is_empty()
        }
        Value::Array(items) => {
            // Nulls hold the places of primitives, so only whole elements fall.
            items.retain_mut(|v| !prune(v));
            items.iter().all(|v| matches!(v, Value::Null))
        }
        _ => false,
    }
}

fn position(n: Option<i64>, name: &str) -> Result<usize, Finding> {
    n.and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
        fault(
            IssueCode::Required,
            format!("part {name} (0 or more) is missing"),
        )
    })
}

/// Runs `f` on the object that holds an element, with all elements of its name and its place among them.
fn with_siblings(
    root: &mut Value,
    node: Node<'_>,
    f: impl FnOnce(&mut Value, &str, Vec<Pair>, usize, bool) -> Result<(), Finding>,
) -> Result<(), Finding> {
    let mut path = steps(node);
    let Some((name, place)) = path.pop() else {
        return Err(fault(
            IssueCode::Invalid,
            "the whole resource cannot be changed this way",
        ));
    };
    let primitive = node
        .parent()
        .is_some_and(|p| p.doc().pack().is_primitive(p.type_id()));
    let object = object(root, &path, primitive)?;
    let items = list(object, &name);
    f(object, &name, items, place.unwrap_or(0), place.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(target: &str, ops: serde_json::Value) -> Result<String, IssueCode> {
        let doc = |t: &str| {
            Doc::parse_json(Bytes::copy_from_slice(t.as_bytes()), &Limits::default()).unwrap()
        };
        let patch = json!({"resourceType": "Parameters", "parameter": ops});
        fhirpath_patch(
            &doc(target),
            &doc(&patch.to_string()),
            &Limits::default(),
            0,
        )
        .map(|b| String::from_utf8(b.to_vec()).unwrap())
        .map_err(|f| f[0].code)
    }

    fn op(kind: &str, path: &str, more: &[serde_json::Value]) -> serde_json::Value {
        let mut parts = vec![
            json!({"name": "type", "valueCode": kind}),
            json!({"name": "path", "valueString": path}),
        ];
        parts.extend(more.iter().cloned());
        json!({"name": "operation", "part": parts})
    }

    #[test]
    fn primitives_keep_their_extensions_apart() {
        let target = r#"{"resourceType":"Patient","name":[{"given":["A","B"],"_given":[null,{"id":"b"}]}],"birthDate":"2000-01-01","multipleBirthInteger":1}"#;
        assert_eq!(
            run(target, json!([op("delete", "Patient.name.given[0]", &[])])).unwrap(),
            r#"{"resourceType":"Patient","name":[{"given":["B"],"_given":[{"id":"b"}]}],"birthDate":"2000-01-01","multipleBirthInteger":1}"#
        );
        let add = op(
            "add",
            "Patient.birthDate",
            &[
                json!({"name": "name", "valueString": "extension"}),
                json!({"name": "value", "valueExtension": {"url": "u", "valueDecimal": 1}}),
            ],
        );
        assert!(
            run(target, json!([add]))
                .unwrap()
                .ends_with(r#","_birthDate":{"extension":[{"url":"u","valueDecimal":1}]}}"#)
        );
        let choice = op(
            "replace",
            "Patient.multipleBirth",
            &[json!({"name": "value", "valueBoolean": true})],
        );
        assert!(
            run(target, json!([choice]))
                .unwrap()
                .ends_with(r#","multipleBirthBoolean":true}"#)
        );
        let second = op(
            "add",
            "Patient",
            &[
                json!({"name": "name", "valueString": "multipleBirth"}),
                json!({"name": "value", "valueBoolean": true}),
            ],
        );
        assert_eq!(run(target, json!([second])), Err(IssueCode::Invalid));
    }

    #[test]
    fn refusals() {
        let target =
            r#"{"resourceType":"Patient","active":true,"name":[{"text":"a"},{"text":"b"}]}"#;
        let value = json!({"name": "value", "valueString": "x"});
        for (ops, code) in [
            (
                json!([op("delete", "Patient.name", &[])]),
                IssueCode::Invalid,
            ),
            (
                json!([op(
                    "replace",
                    "Patient.gender",
                    std::slice::from_ref(&value)
                )]),
                IssueCode::NotFound,
            ),
            (
                json!([op(
                    "add",
                    "Patient",
                    &[
                        json!({"name": "name", "valueString": "nope"}),
                        value.clone()
                    ]
                )]),
                IssueCode::NotFound,
            ),
            (
                json!([op(
                    "add",
                    "Patient",
                    &[
                        json!({"name": "name", "valueString": "active"}),
                        json!({"name": "value", "valueBoolean": true})
                    ]
                )]),
                IssueCode::Invalid,
            ),
            (
                json!([op(
                    "move",
                    "Patient.name",
                    &[
                        json!({"name": "source", "valueInteger": 0}),
                        json!({"name": "destination", "valueInteger": 2})
                    ]
                )]),
                IssueCode::Value,
            ),
            (
                json!([op("insert", "Patient.name", std::slice::from_ref(&value))]),
                IssueCode::Required,
            ),
            (json!([op("nope", "Patient", &[])]), IssueCode::NotSupported),
            (json!([op("delete", "Patient.(", &[])]), IssueCode::Invalid),
            (
                json!([op("replace", "Patient", &[value])]),
                IssueCode::Invalid,
            ),
            (json!([{"name": "other"}]), IssueCode::Structure),
        ] {
            assert_eq!(run(target, ops.clone()), Err(code), "{ops}");
        }
        assert_eq!(
            run(target, json!([op("delete", "Patient.gender", &[])])).as_deref(),
            Ok(target)
        );
    }
}
