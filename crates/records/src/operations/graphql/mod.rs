//! `$graphql`: reads by GraphQL (FHIR R4 graphql page), on the base and on one resource.
//!
//! GET with `query` (and `variables`, `operationName`), or POST of `application/json` or `application/graphql`. The answer is
//! GraphQL's JSON; what cannot be answered at all is an OperationOutcome as everywhere else.

mod out;
mod parse;
mod run;

use super::Target;
use crate::gate::Caller;
use crate::http::{Answer, Call, Content};
use crate::outcome::{Failure, Issue};
use crate::read::{is_deleted, is_id};
use crate::repository::Repository;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use fhir::{Doc, Limits};
use serde_json::{Map, Value};
use trust::Action;

/// A request, apart from its target.
struct Request {
    text: String,
    operation: Option<String>,
    variables: Map<String, Value>,
}

impl Request {
    fn read(call: &Call) -> Result<Self, Failure> {
        let of_url = |name: &str| {
            call.query
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
        };
        let mut request = Self {
            text: of_url("query").unwrap_or_default(),
            operation: of_url("operationName"),
            variables: match of_url("variables") {
                Some(text) => object(serde_json::from_str(&text).ok())?,
                None => Map::new(),
            },
        };
        if call.method == Method::POST {
            match call.media_type() {
                "application/graphql" => {
                    request.text = String::from_utf8(call.body.to_vec())
                        .map_err(|_| Failure::bad("invalid", "the query is not UTF-8"))?;
                }
                "application/json" | "application/graphql+json" | "application/fhir+json" => {
                    let mut body = object(serde_json::from_slice(&call.body).ok())?;
                    if let Some(Value::String(text)) = body.remove("query") {
                        request.text = text;
                    }
                    match body.remove("operationName") {
                        Some(Value::String(name)) => request.operation = Some(name),
                        None | Some(Value::Null) => {}
                        Some(_) => {
                            return Err(Failure::bad("value", "operationName must be a string"));
                        }
                    }
                    match body.remove("variables") {
                        None | Some(Value::Null) => {}
                        some => request.variables = object(some)?,
                    }
                }
                _ => {
                    return Err(Failure::new(
                        StatusCode::UNSUPPORTED_MEDIA_TYPE,
                        "not-supported",
                        "send application/json with a member query, or application/graphql",
                    ));
                }
            }
        }
        if request.text.trim().is_empty() {
            return Err(Failure::bad("required", "there is no query").on("query"));
        }
        Ok(request)
    }
}

fn object(value: Option<Value>) -> Result<Map<String, Value>, Failure> {
    match value {
        Some(Value::Object(object)) => Ok(object),
        _ => Err(Failure::bad("invalid", "a JSON object is expected")),
    }
}

pub(crate) fn run(
    repository: &Repository,
    call: &Call,
    caller: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    let request = Request::read(call)?;
    let document = parse::parse(&request.text).map_err(|error| {
        let mut failure = Failure::bad("invalid", error.to_string());
        if let Some(issue) = failure.issues.first_mut() {
            *issue = Issue {
                place: Some((
                    u32::try_from(error.line).unwrap_or(u32::MAX),
                    u32::try_from(error.column).unwrap_or(u32::MAX),
                )),
                ..issue.clone()
            };
        }
        failure
    })?;
    let snapshot = repository.snapshot()?;
    let gated = repository.decide(&snapshot, caller, None, Action::Read, &[])?;
    let focus = match target {
        Target::Instance(rtype, id) => {
            if !is_id(id) {
                return Err(Failure::not_found());
            }
            let found = snapshot.read(&gated.granted, repository.config.repo, rtype, id)?;
            let record = found.ok_or_else(Failure::not_found)?;
            if is_deleted(&record) {
                return Err(Failure::gone());
            }
            let body = crate::render::resource(&record)?;
            Some(Doc::parse_json(body, &Limits::default()).map_err(|_| Failure::internal())?)
        }
        _ => None,
    };
    let runner = run::Runner::new(
        repository,
        &snapshot,
        &gated.granted,
        &document,
        request.operation.as_deref(),
        &request.variables,
    )?;
    let data = runner.run(focus.as_ref())?;
    let mut json = Vec::with_capacity(4_096);
    json.extend_from_slice(b"{\"data\":");
    data.write(&mut json);
    json.push(b'}');
    Ok(Answer {
        content: Content::Raw("application/json".to_owned(), Bytes::from(json)),
        ..Answer::empty(StatusCode::OK)
    })
}
