//! `$meta`, `$meta-add`, `$meta-delete`.
//!
//! R4 leaves open whether changed labels make a new version; here they do: a version never changes once it was told.

use super::Target;
use super::input::Input;
use crate::change::{Preconditions, with_id};
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::planner::Evaluator;
use crate::read::{is_deleted, is_id};
use crate::render::{instant, splice};
use crate::repository::Repository;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use fhir::{Doc, Limits};
use serde_json::{Map, Value, json};
use store::{Record, Snapshot};
use trust::Action;

/// The members of `meta` that callers may change.
const LISTS: [&str; 3] = ["profile", "security", "tag"];
/// Records read at a time.
const CHUNK: usize = 500;

/// `$meta`: labels of one version, or all labels in use of a type or the whole repository.
pub(crate) fn get(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    Input::read(call)?.only(&[], call.is_lenient)?;
    let snapshot = repository.snapshot()?;
    let meta = match target {
        Target::Instance(rtype, id) => {
            if !is_id(id) || (repository.is_clinical() && rtype == "Patient") {
                return Err(Failure::not_found());
            }
            let gated = repository.decide_by_id(&snapshot, caller, rtype, id, Action::Read)?;
            let found = snapshot.read(&gated.granted, repository.config.repo, rtype, id)?;
            let items: Vec<String> = found.iter().map(|_| format!("{rtype}/{id}")).collect();
            repository.record(&gated, &items)?;
            meta_of(&live(found)?)?
        }
        Target::Type(rtype) => in_use(repository, caller, &snapshot, &[rtype])?,
        Target::System => in_use(repository, caller, &snapshot, &repository.types())?,
    };
    Ok(answer(&meta))
}

fn live(found: Option<Record>) -> Result<Record, Failure> {
    let record = found.ok_or_else(Failure::not_found)?;
    if is_deleted(&record) {
        return Err(Failure::gone());
    }
    Ok(record)
}

fn answer(meta: &Map<String, Value>) -> Answer {
    let value = if meta.is_empty() {
        json!({ "resourceType": "Parameters" })
    } else {
        json!({ "resourceType": "Parameters", "parameter": [{ "name": "return", "valueMeta": meta }] })
    };
    Answer::resource(StatusCode::OK, Bytes::from(value.to_string()))
}

/// A record's `meta` as readers get it.
fn meta_of(record: &Record) -> Result<Map<String, Value>, Failure> {
    let body = crate::render::resource(record)?;
    let doc = Doc::parse_json(body, &Limits::default()).map_err(|_| Failure::internal())?;
    meta_in(&doc)
}

fn meta_in(doc: &Doc) -> Result<Map<String, Value>, Failure> {
    match doc.root().get("meta") {
        None => Ok(Map::new()),
        Some(node) => serde_json::from_slice(&node.raw_json()).map_err(|_| Failure::internal()),
    }
}

/// Every profile, security label and tag in use.
fn in_use(
    repository: &Repository,
    caller: &Caller,
    snapshot: &Snapshot,
    types: &[&str],
) -> Result<Map<String, Value>, Failure> {
    let gated = repository.decide(snapshot, caller, None, Action::List, &[])?;
    let evaluator = Evaluator::new(
        snapshot,
        &gated.granted,
        repository.config.repo,
        &repository.options,
    );
    let mut all = Map::new();
    for rtype in types {
        for chunk in evaluator.all(rtype)?.chunks(CHUNK) {
            for record in snapshot.fetch(&gated.granted, chunk)? {
                if !record.body.windows(6).any(|w| w == b"\"meta\"") {
                    continue;
                }
                let Ok(doc) = Doc::parse_json(record.body, &Limits::default()) else {
                    continue;
                };
                add(&mut all, &meta_in(&doc)?);
            }
        }
    }
    Ok(all)
}

/// Whether two items of a list of `meta` are the same label.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.get("system") == b.get("system") && a.get("code") == b.get("code")
        }
        _ => a == b,
    }
}

fn items<'m>(meta: &'m Map<String, Value>, name: &str) -> &'m [Value] {
    meta.get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Puts labels that are not there yet.
fn add(to: &mut Map<String, Value>, more: &Map<String, Value>) {
    for name in LISTS {
        let mut list = items(to, name).to_vec();
        for item in items(more, name) {
            if !list.iter().any(|l| is_same(l, item)) {
                list.push(item.clone());
            }
        }
        if !list.is_empty() {
            to.insert(name.to_owned(), Value::Array(list));
        }
    }
}

/// Takes labels away.
fn take(from: &mut Map<String, Value>, less: &Map<String, Value>) {
    for name in LISTS {
        let list: Vec<Value> = items(from, name)
            .iter()
            .filter(|item| !items(less, name).iter().any(|l| is_same(l, item)))
            .cloned()
            .collect();
        if list.is_empty() {
            from.shift_remove(name);
        } else {
            from.insert(name.to_owned(), Value::Array(list));
        }
    }
}

/// `$meta-add`.
pub(crate) fn add_labels(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    change(repository, call, caller, target, add)
}

/// `$meta-delete`.
pub(crate) fn delete_labels(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    change(repository, call, caller, target, take)
}

fn change(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
    edit: fn(&mut Map<String, Value>, &Map<String, Value>),
) -> Result<Answer, Failure> {
    let Target::Instance(rtype, id) = target else {
        return Err(Failure::not_found());
    };
    if !is_id(id) {
        return Err(Failure::not_found());
    }
    let input = Input::read(call)?;
    let wish: Map<String, Value> = input
        .part("meta")
        .and_then(|p| p.get("valueMeta"))
        .and_then(|m| serde_json::from_slice(&m.raw_json()).ok())
        .ok_or_else(|| {
            Failure::bad(
                "required",
                "give Parameters with one parameter meta (valueMeta)",
            )
            .on("meta")
        })?;
    let snapshot = repository.snapshot()?;
    let gated = repository.decide(&snapshot, caller, None, Action::Update, &[])?;
    let preconditions = Preconditions {
        if_match: call.header("if-match").map(str::to_owned),
        ..Preconditions::default()
    };
    let stored = repository.retried(call, caller, &gated, |at| {
        let record = live(
            at.snapshot
                .read(&gated.granted, repository.config.repo, rtype, id)?,
        )?;
        let doc = Doc::parse_json(record.body.clone(), &Limits::default())
            .map_err(|f| Failure::findings(&f))?;
        let doc = with_meta(&with_id(&doc, id)?, |meta| edit(meta, &wish))?;
        repository.plan_update(at, rtype, id, &doc, &preconditions)
    })?;
    let snapshot = repository.snapshot()?;
    let record = live(snapshot.read(&gated.granted, repository.config.repo, rtype, id)?)?;
    let mut out = answer(&meta_of(&record)?);
    out.headers = stored
        .headers
        .into_iter()
        .filter(|(name, _)| *name == header::ETAG || *name == header::LAST_MODIFIED)
        .collect();
    Ok(out)
}

/// The document with an edited `meta`; every other byte stays.
fn with_meta(doc: &Doc, edit: impl FnOnce(&mut Map<String, Value>)) -> Result<Doc, Failure> {
    let node = doc.root().get("meta").ok_or_else(Failure::internal)?;
    let raw = node.raw_json();
    let at = (raw.as_ptr() as usize)
        .checked_sub(doc.bytes().as_ptr() as usize)
        .ok_or_else(Failure::internal)?;
    let mut meta: Map<String, Value> =
        serde_json::from_slice(&raw).map_err(|_| Failure::internal())?;
    edit(&mut meta);
    // The server's own members are made anew at every read; one stays, so that the object is never empty.
    meta.insert("lastUpdated".to_owned(), Value::String(instant(0)));
    let text = Value::Object(meta).to_string().into_bytes();
    let body = splice(doc.bytes(), vec![(at, at + raw.len(), text)]);
    Doc::parse_json(body, &Limits::default()).map_err(|f| Failure::findings(&f))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn labels_are_sets() {
        let mut meta = map(
            json!({ "versionId": "3", "tag": [{ "system": "s", "code": "a", "display": "A" }] }),
        );
        let more = map(
            json!({ "tag": [{ "system": "s", "code": "a" }, { "code": "a" }], "profile": ["p"], "source": "x" }),
        );
        add(&mut meta, &more);
        assert_eq!(
            meta["tag"],
            json!([{ "system": "s", "code": "a", "display": "A" }, { "code": "a" }])
        );
        assert_eq!(meta["profile"], json!(["p"]));
        assert!(!meta.contains_key("source"));
        take(&mut meta, &more);
        assert_eq!(meta, map(json!({ "versionId": "3" })));
    }

    #[test]
    fn other_bytes_stay() {
        let text = r#"{"resourceType":"Observation", "meta":{"tag":[{"code":"x"}]},"valueQuantity":{"value":1.00}}"#;
        let doc = Doc::parse_json(Bytes::from_static(text.as_bytes()), &Limits::default()).unwrap();
        let out = with_meta(&doc, |meta| {
            take(meta, &map(json!({ "tag": [{ "code": "x" }] })))
        })
        .unwrap();
        let text = String::from_utf8(out.bytes().to_vec()).unwrap();
        assert!(
            text.contains(r#""value":1.00"#) && !text.contains("tag"),
            "{text}"
        );
    }
}
