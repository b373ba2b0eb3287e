//! `Composition/[id]/$document`: the Composition and everything it leans on, as one document Bundle.

use super::Target;
use super::input::Input;
use super::supporting::{local, references};
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::read::{is_deleted, is_id};
use crate::render::{Subset, instant};
use crate::repository::Repository;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use fhir::{Doc, Limits};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
use store::{PersonKey, Record};
use trust::Action;

/// Most resources of a document.
const MAX_ENTRIES: usize = 2_000;
/// Most steps away from the Composition.
const MAX_STEPS: usize = 5;

pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    let Target::Instance(rtype, id) = target else {
        return Err(Failure::not_found());
    };
    let input = Input::read(call)?;
    if input.all("graph").next().is_some() {
        return Err(Failure::bad("not-supported", "graph is not supported").on("graph"));
    }
    input.only(&["persist"], call.is_lenient)?;
    let persists = input.flag("persist")?.unwrap_or(false);
    if !is_id(id) {
        return Err(Failure::not_found());
    }
    let snapshot = repository.snapshot()?;
    let gated = repository.decide_by_id(&snapshot, caller, rtype, id, Action::Read)?;
    let composition = snapshot
        .read(&gated.granted, repository.config.repo, rtype, id)?
        .ok_or_else(Failure::not_found)?;
    if is_deleted(&composition) {
        return Err(Failure::gone());
    }
    let persons: BTreeSet<PersonKey> = composition.head.persons.iter().copied().collect();
    let mut seen: HashSet<(String, String)> = HashSet::new();
    seen.insert((rtype.to_owned(), id.to_owned()));
    let mut records = vec![composition];
    let mut from = 0;
    for step in 0..MAX_STEPS {
        let mut next: Vec<(String, String)> = Vec::new();
        for record in records.get(from..).unwrap_or_default() {
            for text in references(&record.body) {
                if let Some((rtype, id)) = local(repository, text)
                    && seen.insert((rtype.to_owned(), id.to_owned()))
                {
                    next.push((rtype.to_owned(), id.to_owned()));
                }
            }
        }
        from = records.len();
        for (rtype, id) in next {
            let found = snapshot
                .read(&gated.granted, repository.config.repo, &rtype, &id)?
                .filter(|r| !is_deleted(r));
            match found {
                // A document without a part that its Composition names would be another document.
                None if step == 0 => {
                    return Err(Failure::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "not-found",
                        format!("the Composition refers to a {rtype} that is not here"),
                    ));
                }
                Some(record) if step == 0 || belongs(&record, &persons) => records.push(record),
                _ => {}
            }
        }
        if records.len() > MAX_ENTRIES {
            return Err(Failure::too_costly(format!(
                "the document has more than {MAX_ENTRIES} resources"
            )));
        }
        if records.len() == from {
            break;
        }
    }
    let bundle = bundle(repository, call, &records)?;
    if !persists {
        return Ok(Answer::resource(StatusCode::OK, bundle));
    }
    let doc = Doc::parse_json(bundle, &Limits::default()).map_err(|f| Failure::findings(&f))?;
    let gated = repository.decide(&snapshot, caller, None, Action::Create, &[])?;
    let none = crate::change::Preconditions::default();
    let stored = repository.retried(call, caller, &gated, |at| {
        repository.plan_create(at, "Bundle", &doc, &none, None)
    })?;
    Ok(Answer {
        status: StatusCode::OK,
        headers: stored
            .headers
            .into_iter()
            .filter(|(name, _)| *name == header::LOCATION || *name == header::ETAG)
            .collect(),
        content: stored.content,
    })
}

/// What is reached through others belongs to the same persons or to nobody.
fn belongs(record: &Record, persons: &BTreeSet<PersonKey>) -> bool {
    record.head.persons.iter().all(|p| persons.contains(p))
}

fn bundle(repository: &Repository, call: &Call, records: &[Record]) -> Result<Bytes, Failure> {
    let now = instant(edge::clock::real_now_us());
    let head = json!({
        "resourceType": "Bundle",
        "identifier": { "system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{}", uuid::Uuid::now_v7()) },
        "type": "document",
        "timestamp": now,
    })
    .to_string();
    let mut out = head.strip_suffix('}').unwrap_or(&head).as_bytes().to_vec();
    out.extend_from_slice(b",\"entry\":[");
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let url = format!("{}/{}/{}", call.base, record.head.rtype, record.head.id);
        out.extend_from_slice(b"{\"fullUrl\":");
        out.extend_from_slice(json!(url).to_string().as_bytes());
        out.extend_from_slice(b",\"resource\":");
        out.extend_from_slice(&repository.rendered(record, None, &Subset::default())?);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(Bytes::from(out))
}
