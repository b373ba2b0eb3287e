//! `$reindex`: POST makes the search keys of every record anew in the background, GET tells how far that has come.

use super::Target;
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde_json::json;
use std::sync::atomic::Ordering::Relaxed;

pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    _: &Caller,
    _: Target<'_>,
) -> Result<Answer, Failure> {
    let status = if call.method == Method::POST {
        repository.begin_reindex();
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let progress = &repository.reindex;
    let state = match (
        progress.is_running.load(Relaxed),
        progress.has_failed.load(Relaxed),
    ) {
        (true, _) => "in-progress",
        (false, true) => "failed",
        (false, false) => "completed",
    };
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let body = json!({
        "resourceType": "Parameters",
        "parameter": [
            { "name": "status", "valueCode": state },
            { "name": "records", "valueDecimal": number(progress.looked_at.load(Relaxed)) },
            { "name": "changed", "valueDecimal": number(progress.changed.load(Relaxed)) },
            { "name": "kept", "valueDecimal": number(progress.kept.load(Relaxed)) },
        ],
    });
    Ok(Answer::resource(status, Bytes::from(body.to_string())))
}
