//! Changing resources: JSON Patch (RFC 6902 with pointers of RFC 6901), JSON Merge Patch (RFC 7396), FHIRPath Patch and
//! XML Patch (RFC 5261).
//!
//! The operations work on [`Value`], which keeps number text and member order, so what a patch does not touch is written
//! as it was read. A patch is all or nothing.

mod fhirpath;
mod merge;
mod xml;

pub use fhirpath::fhirpath_patch;
pub use merge::merge_patch;
pub use xml::xml_patch;

use bytes::Bytes;

use crate::finding::{Finding, IssueCode};
use crate::json::Limits;
use crate::json::value::Value;

/// Most operations in one patch.
const MAX_OPERATIONS: usize = 10_000;
/// Most array and object members that one patch may copy.
const MAX_COPIED: usize = 1_000_000;

/// Applies a JSON Patch document to a JSON text. A failed `test` has the code `conflict`.
pub fn json_patch(target: &[u8], patch: &[u8], limits: &Limits) -> Result<Bytes, Vec<Finding>> {
    let mut value = Value::parse(target, limits)?;
    let patch = Value::parse(patch, limits)?;
    apply(&mut value, &patch).map_err(|f| vec![f])?;
    written(&value, limits)
}

/// The patched resource as a text, within the limit.
fn written(value: &Value, limits: &Limits) -> Result<Bytes, Vec<Finding>> {
    let out = value.to_vec();
    if out.len() > limits.max_bytes {
        return Err(vec![fault(
            IssueCode::TooLong,
            "the patched resource is larger than the limit",
        )]);
    }
    Ok(Bytes::from(out))
}

fn fault(code: IssueCode, text: impl Into<String>) -> Finding {
    Finding::error(code, "json-patch", text)
}

fn apply(target: &mut Value, patch: &Value) -> Result<(), Finding> {
    let Value::Array(operations) = patch else {
        return Err(fault(
            IssueCode::Structure,
            "a JSON Patch is an array of operations",
        ));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(fault(
            IssueCode::TooCostly,
            format!("a patch has at most {MAX_OPERATIONS} operations"),
        ));
    }
    let mut copied = 0;
    for (i, op) in operations.iter().enumerate() {
        one(target, op, &mut copied).map_err(|f| Finding {
            text: format!("operation {i}: {}", f.text),
            ..f
        })?;
    }
    Ok(())
}

fn one(target: &mut Value, op: &Value, copied: &mut usize) -> Result<(), Finding> {
    let text = |name: &str| {
        op.get(name).and_then(Value::as_str).ok_or_else(|| {
            fault(
                IssueCode::Required,
                format!("member \"{name}\" (a string) is missing"),
            )
        })
    };
    let value = || {
        op.get("value")
            .cloned()
            .ok_or_else(|| fault(IssueCode::Required, "member \"value\" is missing"))
    };
    let path = pointer(text("path")?)?;
    match text("op")? {
        "add" => add(target, &path, value()?),
        "remove" => remove(target, &path).map(drop),
        "replace" => {
            *find(target, &path)? = value()?;
            Ok(())
        }
        "move" => {
            let from = pointer(text("from")?)?;
            if path.starts_with(&from) && path.len() > from.len() {
                return Err(fault(
                    IssueCode::Invalid,
                    "an element cannot be moved into itself",
                ));
            }
            let v = remove(target, &from)?;
            add(target, &path, v)
        }
        "copy" => {
            let v = find(target, &pointer(text("from")?)?)?.clone();
            *copied += size(&v);
            if *copied > MAX_COPIED {
                return Err(fault(IssueCode::TooCostly, "the patch copies too much"));
            }
            add(target, &path, v)
        }
        "test" => {
            if find(target, &path)?.same(&value()?) {
                Ok(())
            } else {
                Err(fault(IssueCode::Conflict, "the test does not hold"))
            }
        }
        _ => Err(fault(
            IssueCode::NotSupported,
            "the operation is not one of add, remove, replace, move, copy, test",
        )),
    }
}

fn size(v: &Value) -> usize {
    match v {
        Value::Array(a) => 1 + a.iter().map(size).sum::<usize>(),
        Value::Object(o) => 1 + o.iter().map(|(_, v)| size(v)).sum::<usize>(),
        _ => 1,
    }
}

/// Reference tokens of a JSON Pointer.
fn pointer(text: &str) -> Result<Vec<String>, Finding> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err(fault(
            IssueCode::Value,
            "a path is empty or begins with '/'",
        ));
    };
    rest.split('/')
        .map(|t| {
            let mut bare = t.replace("~1", "/");
            if bare.replace("~0", "").contains('~') {
                return Err(fault(
                    IssueCode::Value,
                    "'~' in a path is followed by 0 or 1",
                ));
            }
            bare = bare.replace("~0", "~");
            Ok(bare)
        })
        .collect()
}

fn index(token: &str, len: usize) -> Result<usize, Finding> {
    let plain = token == "0"
        || (!token.starts_with('0')
            && !token.is_empty()
            && token.bytes().all(|b| b.is_ascii_digit()));
    match token.parse::<usize>() {
        Ok(n) if plain && n < len => Ok(n),
        Ok(_) if plain => Err(fault(
            IssueCode::NotFound,
            "the path names an array item that does not exist",
        )),
        _ => Err(fault(
            IssueCode::Value,
            "an array item is named by a number without leading zeros",
        )),
    }
}

fn nothing() -> Finding {
    fault(
        IssueCode::NotFound,
        "the path names an element that does not exist",
    )
}

fn find<'v>(target: &'v mut Value, path: &[String]) -> Result<&'v mut Value, Finding> {
    path.iter().try_fold(target, |v, token| match v {
        Value::Object(members) => members
            .iter_mut()
            .find(|(k, _)| k == token)
            .map(|(_, v)| v)
            .ok_or_else(nothing),
        Value::Array(items) => {
            let i = index(token, items.len())?;
            items.get_mut(i).ok_or_else(nothing)
        }
        _ => Err(nothing()),
    })
}

fn add(target: &mut Value, path: &[String], value: Value) -> Result<(), Finding> {
    let Some((last, parents)) = path.split_last() else {
        *target = value;
        return Ok(());
    };
    match find(target, parents)? {
        parent @ Value::Object(_) => parent.set(last, value),
        Value::Array(items) => {
            let at = if last == "-" {
                items.len()
            } else {
                index(last, items.len() + 1)?
            };
            items.insert(at, value);
        }
        _ => return Err(nothing()),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &[String]) -> Result<Value, Finding> {
    let Some((last, parents)) = path.split_last() else {
        return Err(fault(
            IssueCode::Invalid,
            "the whole resource cannot be removed",
        ));
    };
    match find(target, parents)? {
        Value::Object(members) => {
            let at = members
                .iter()
                .position(|(k, _)| k == last)
                .ok_or_else(nothing)?;
            Ok(members.remove(at).1)
        }
        Value::Array(items) => {
            let at = index(last, items.len())?;
            Ok(items.remove(at))
        }
        _ => Err(nothing()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(target: &str, patch: &str) -> Result<String, IssueCode> {
        json_patch(target.as_bytes(), patch.as_bytes(), &Limits::default())
            .map(|b| String::from_utf8(b.to_vec()).unwrap())
            .map_err(|f| f[0].code)
    }

    #[test]
    fn operations_of_rfc_6902() {
        for (target, patch, want) in [
            (
                r#"{"foo":"bar"}"#,
                r#"[{"op":"add","path":"/baz","value":"qux"}]"#,
                r#"{"foo":"bar","baz":"qux"}"#,
            ),
            (
                r#"{"foo":["bar","baz"]}"#,
                r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
                r#"{"foo":["bar","qux","baz"]}"#,
            ),
            (
                r#"{"foo":["bar"]}"#,
                r#"[{"op":"add","path":"/foo/-","value":["a"]}]"#,
                r#"{"foo":["bar",["a"]]}"#,
            ),
            (
                r#"{"baz":"qux","foo":"bar"}"#,
                r#"[{"op":"remove","path":"/baz"}]"#,
                r#"{"foo":"bar"}"#,
            ),
            (
                r#"{"a":1.00,"b":[1,2]}"#,
                r#"[{"op":"replace","path":"/b/0","value":3.10}]"#,
                r#"{"a":1.00,"b":[3.10,2]}"#,
            ),
            (
                r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
                r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
                r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
            ),
            (
                r#"{"foo":["all","grass","cows","eat"]}"#,
                r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
                r#"{"foo":["all","cows","eat","grass"]}"#,
            ),
            (
                r#"{"a":{"b":1}}"#,
                r#"[{"op":"copy","from":"/a","path":"/c"},{"op":"test","path":"/c","value":{"b":1.0}}]"#,
                r#"{"a":{"b":1},"c":{"b":1}}"#,
            ),
            (
                r#"{"a/b":1,"m~n":2}"#,
                r#"[{"op":"test","path":"/a~1b","value":1},{"op":"test","path":"/m~0n","value":2}]"#,
                r#"{"a/b":1,"m~n":2}"#,
            ),
            (
                r#"{"a":1}"#,
                r#"[{"op":"replace","path":"","value":{"b":2}}]"#,
                r#"{"b":2}"#,
            ),
        ] {
            assert_eq!(run(target, patch).as_deref(), Ok(want), "{patch}");
        }
    }

    #[test]
    fn refusals_name_the_kind() {
        for (patch, code) in [
            (
                r#"[{"op":"test","path":"/a","value":2}]"#,
                IssueCode::Conflict,
            ),
            (r#"[{"op":"remove","path":"/x"}]"#, IssueCode::NotFound),
            (
                r#"[{"op":"add","path":"/x/y","value":1}]"#,
                IssueCode::NotFound,
            ),
            (
                r#"[{"op":"add","path":"/l/5","value":1}]"#,
                IssueCode::NotFound,
            ),
            (
                r#"[{"op":"add","path":"/l/01","value":1}]"#,
                IssueCode::Value,
            ),
            (r#"[{"op":"add","path":"a","value":1}]"#, IssueCode::Value),
            (r#"[{"op":"add","path":"/~2","value":1}]"#, IssueCode::Value),
            (r#"[{"op":"add","path":"/a"}]"#, IssueCode::Required),
            (r#"[{"op":"nope","path":"/a"}]"#, IssueCode::NotSupported),
            (
                r#"[{"op":"move","from":"/l","path":"/l/0"}]"#,
                IssueCode::Invalid,
            ),
            (r#"[{"op":"remove","path":""}]"#, IssueCode::Invalid),
            (r#"{}"#, IssueCode::Structure),
            (r#"["#, IssueCode::Invalid),
        ] {
            assert_eq!(run(r#"{"a":1,"l":[1]}"#, patch), Err(code), "{patch}");
        }
    }

    #[test]
    fn doubling_is_bounded() {
        let ops: Vec<String> = (0..40)
            .map(|_| r#"{"op":"copy","from":"/l","path":"/l/-"}"#.to_owned())
            .collect();
        assert_eq!(
            run(r#"{"l":[1]}"#, &format!("[{}]", ops.join(","))),
            Err(IssueCode::TooCostly)
        );
    }

    proptest! {
        #[test]
        fn never_panics(path in "[/a-c0-9~-]{0,12}", op in "(add|remove|replace|move|copy|test)") {
            let patch = serde_json::json!([{"op": op, "path": path, "from": path, "value": {"a": [1]}}]).to_string();
            let _ = run(r#"{"a":{"b":[1,{"c":2}]},"1":[[]]}"#, &patch);
        }
    }
}
