//! The addresses of a job: `[base]/_jobs/[id]` to ask and to cancel, `[base]/_jobs/[id]/[file]` to fetch.

use super::{FileRow, Row, State, actor, erase, find, made_at, of};
use crate::gate::Caller;
use crate::http::{Answer, Call, Content};
use crate::outcome::Failure;
use crate::render::{http_date, instant};
use crate::repository::Repository;
use axum::http::{HeaderName, StatusCode, header};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;
use uuid::Uuid;

const X_PROGRESS: HeaderName = HeaderName::from_static("x-progress");

/// 202 with the address to ask at.
pub(crate) fn accepted(call: &Call, row: &Row) -> Answer {
    Answer::empty(StatusCode::ACCEPTED).with(
        header::CONTENT_LOCATION,
        &format!("{}/_jobs/{}", call.base, row.id),
    )
}

/// Whatever is below `_jobs`.
pub(crate) fn serve(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    rest: &[&str],
) -> Result<Answer, Failure> {
    of(repository)?;
    let id = rest
        .first()
        .and_then(|text| Uuid::parse_str(text).ok())
        .ok_or_else(Failure::not_found)?;
    let row = own(repository, caller, id)?;
    match (rest.get(1), rest.len(), call.method.as_str()) {
        (None, 1, "GET") => status(repository, call, &row),
        (None, 1, "DELETE") => cancel(repository, &row),
        (None, 1, _) => Err(Failure::method("GET, HEAD, DELETE")),
        (Some(name), 2, "GET") => file(repository, &row, name),
        (Some(_), 2, _) => Err(Failure::method("GET, HEAD")),
        _ => Err(Failure::not_found()),
    }
}

/// The caller's own job. 410 for one that has expired, 404 for others.
fn own(repository: &Repository, caller: &Caller, id: Uuid) -> Result<Row, Failure> {
    let now = edge::clock::real_now_us();
    let expired = || {
        Failure::new(
            StatusCode::GONE,
            "deleted",
            "the job and its files have expired; ask anew",
        )
    };
    match find(repository, id)? {
        Some(row) if row.actor != actor(caller) => Err(Failure::not_found()),
        Some(row) if row.expires_at <= now => Err(expired()),
        Some(row) => Ok(row),
        None if made_at(id).is_some_and(|at| at + super::LIFETIME_US < now && at > 0) => {
            Err(expired())
        }
        None => Err(Failure::not_found()),
    }
}

fn status(repository: &Repository, call: &Call, row: &Row) -> Result<Answer, Failure> {
    match (row.state, &row.failure) {
        (State::Waiting, _) => {
            let text = of(repository)?
                .progress(row.id)
                .map_or_else(|| "waiting".to_owned(), |p| p.text());
            Ok(Answer::empty(StatusCode::ACCEPTED)
                .with(X_PROGRESS, &text)
                .with(header::RETRY_AFTER, "1"))
        }
        (State::Done, _) => Ok(Answer {
            content: Content::Raw(
                "application/json".to_owned(),
                Bytes::from(manifest(call, row).to_string()),
            ),
            ..Answer::empty(StatusCode::OK)
        }
        .with(header::EXPIRES, &http_date(row.expires_at))),
        (State::Failed, failure) => {
            let (status, outcome) = failure
                .clone()
                .unwrap_or((500, Failure::internal().outcome()));
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Ok(Answer::resource(status, Bytes::from(outcome.to_string())))
        }
    }
}

/// What a finished job left (Bulk Data, "response - complete status").
pub(crate) fn manifest(call: &Call, row: &Row) -> Value {
    let outcome = row.outcome.clone().unwrap_or_default();
    let list = |files: &[FileRow]| -> Vec<Value> {
        files
            .iter()
            .map(|f| {
                json!({
                    "type": f.rtype,
                    "url": format!("{}/_jobs/{}/{}", call.base, row.id, f.name),
                    "count": f.count,
                })
            })
            .collect()
    };
    let mut manifest = json!({
        "transactionTime": instant(outcome.transaction_time),
        "request": row.request,
        "requiresAccessToken": false,
        "output": list(&outcome.output),
        "deleted": list(&outcome.deleted),
        "error": list(&outcome.error),
    });
    if let (Some(object), false) = (manifest.as_object_mut(), outcome.extension.is_empty()) {
        object.insert("extension".to_owned(), Value::Object(outcome.extension));
    }
    manifest
}

fn cancel(repository: &Repository, row: &Row) -> Result<Answer, Failure> {
    if let Some(progress) = of(repository)?.progress(row.id) {
        progress.is_cancelled.store(true, Relaxed);
    }
    erase(repository, row.id)?;
    Ok(Answer::empty(StatusCode::ACCEPTED))
}

fn file(repository: &Repository, row: &Row, name: &str) -> Result<Answer, Failure> {
    let known = row
        .outcome
        .iter()
        .flat_map(super::Outcome::files)
        .find(|f| f.name == name)
        .ok_or_else(Failure::not_found)?;
    let path = of(repository)?.folder(row.id).join(&known.name);
    let opened = std::fs::File::open(path).and_then(|f| {
        let length = f.metadata()?.len();
        Ok((f, length))
    });
    // A file of another node, or one that an operator removed.
    let (file, length) = opened
        .map_err(|_| Failure::new(StatusCode::GONE, "deleted", "the file is gone; ask anew"))?;
    Ok(Answer {
        content: Content::File("application/fhir+ndjson".to_owned(), file, length),
        ..Answer::empty(StatusCode::OK)
    }
    .with(header::EXPIRES, &http_date(row.expires_at)))
}
