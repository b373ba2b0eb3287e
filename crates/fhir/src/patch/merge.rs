//! JSON Merge Patch (RFC 7396): an object whose members replace those of the target; `null` takes a member away.

use bytes::Bytes;

use super::{fault, written};
use crate::finding::{Finding, IssueCode};
use crate::json::Limits;
use crate::json::value::Value;

/// Applies a JSON Merge Patch to a JSON text. Arrays are replaced as wholes.
pub fn merge_patch(target: &[u8], patch: &[u8], limits: &Limits) -> Result<Bytes, Vec<Finding>> {
    let mut value = Value::parse(target, limits)?;
    let patch = Value::parse(patch, limits)?;
    if !matches!(patch, Value::Object(_)) {
        return Err(vec![fault(
            IssueCode::Structure,
            "a JSON Merge Patch of a resource is an object",
        )]);
    }
    merge(&mut value, patch);
    written(&value, limits)
}

/// Depth is bounded by the limits of both texts.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(members) = patch else {
        *target = patch;
        return;
    };
    if !matches!(target, Value::Object(_)) {
        *target = Value::Object(Vec::new());
    }
    for (name, new) in members {
        let Value::Object(own) = target else {
            return;
        };
        let at = own.iter().position(|(n, _)| *n == name);
        match (at.and_then(|at| own.get_mut(at)), new) {
            (Some(_), Value::Null) => own.retain(|(n, _)| *n != name),
            (None, Value::Null) => {}
            (Some((_, old)), new) => merge(old, new),
            (None, new) => {
                let mut fresh = Value::Null;
                merge(&mut fresh, new);
                own.push((name, fresh));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(target: &str, patch: &str) -> Result<String, usize> {
        merge_patch(target.as_bytes(), patch.as_bytes(), &Limits::default())
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .map_err(|f| f.len())
    }

    #[test]
    fn members_are_replaced_added_and_taken_away() {
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":1.50}"#, r#"{"a":2.0}"#, r#"{"e":1.50,"a":2.0}"#),
            (
                r#"{}"#,
                r#"{"a":{"bb":{"ccc":null}}}"#,
                r#"{"a":{"bb":{}}}"#,
            ),
        ] {
            assert_eq!(merged(target, patch).as_deref(), Ok(expected), "{patch}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for patch in ["[]", "1", "null", "{", r#"{"a":1,"a":2}"#] {
            assert!(merged("{}", patch).is_err(), "{patch}");
        }
    }
}
