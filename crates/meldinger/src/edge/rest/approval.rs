//! Test and approval over HTTP: the same runs as on the pages, for vendors who let their build try itself.
//!
//! Criteria and the list of approved systems are open. The rest needs a token as for the message service; a caller acts for the
//! organisation of its token. Nothing here carries the content of a message.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{ApiVersion, Fault, RestParts, json_body, parse};
use crate::approval::criteria::{CRITERIA, Kind};
use crate::approval::model::Declared;
use crate::approval::standard::{Case, Standard};
use crate::approval::{ApprovalError, Approvals, NewRun, NewSystem};
use crate::view::Viewer;

/// Where it stands.
pub const PREFIX: &str = "/nasjonal/samsvar";
/// Largest request, bytes.
const MAX_BYTES: usize = 16_384;

struct Edge {
    parts: RestParts,
    approvals: Approvals,
}

/// The routes.
pub fn router(parts: RestParts, approvals: Approvals) -> Router {
    let edge = Arc::new(Edge { parts, approvals });
    Router::new()
        .route(PREFIX, axum::routing::get(overview))
        .route(&format!("{PREFIX}/{{*path}}"), axum::routing::any(handle))
        .with_state(edge)
}

/// What a person who opens the address is told.
async fn overview(State(edge): State<Arc<Edge>>) -> axum::Json<Value> {
    let path = |tail: &str| format!("{PREFIX}/{tail}");
    axum::Json(json!({
        "service": "Test og godkjenning",
        "test_party": edge.approvals.her_id(),
        "open": { "criteria": path("criteria"), "approved": path("approved") },
        "with_token": {
            "audience": super::AUDIENCE,
            "scope": super::SCOPE,
            "paths": [
                "GET systems", "POST systems", "GET runs", "POST runs", "GET runs/{id}", "POST runs/{id}/cases/{case}/send",
                "PUT runs/{id}/declarations/{criterion}", "POST runs/{id}/finish",
            ],
        },
        "standards": Standard::ALL.iter().map(|standard| json!({
            "standard": standard.code(), "name": standard.name(), "functions": standard.functions(), "namespace": standard.namespace(),
        })).collect::<Vec<_>>(),
        "transports": ["amqp", "ebxml", "rest"],
        "directions": ["receive", "send"],
    }))
}

/// The criteria as they stand in the table.
#[must_use]
pub fn criteria() -> Value {
    let rows = CRITERIA.iter().map(|criterion| {
        json!({
            "id": criterion.id,
            "direction": criterion.direction,
            "family": criterion.family,
            "rule": criterion.rule,
            "words": criterion.words,
            "self_declared": criterion.kind == Kind::Declared,
        })
    });
    Value::Array(rows.collect())
}

async fn handle(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let request_id = super::request_id(&parts);
    let refuse = |fault: &Fault| {
        let now = jiff::Timestamp::now().to_string();
        fault.response(ApiVersion::V3, &path, &request_id, &now)
    };
    let Ok(body) = to_bytes(body, MAX_BYTES).await else {
        let text = "The request is larger than 16 KB, or was cancelled";
        return refuse(&Fault::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    };
    let this = edge.clone();
    let (answered, path) = (
        edge::blocking(move || this.answer(&parts, &body)).await,
        path.clone(),
    );
    match answered {
        Ok(Ok((status, value))) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json; charset=utf-8"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (status, headers, Body::from(value.to_string())).into_response()
        }
        Ok(Err(fault)) => refuse(&fault),
        Err(_) => {
            tracing::error!(path, "test and approval could not answer");
            refuse(&Fault::internal())
        }
    }
}

impl From<ApprovalError> for Fault {
    fn from(error: ApprovalError) -> Self {
        let text = error.to_string();
        match error {
            ApprovalError::NotFound => Self::new(StatusCode::NOT_FOUND, text),
            ApprovalError::Invalid(_) => Self::invalid(text),
            ApprovalError::NotNow(_) | ApprovalError::Conflict => {
                Self::new(StatusCode::CONFLICT, text)
            }
            ApprovalError::Exchange(error) => error.into(),
        }
    }
}

fn value_of<T: serde::Serialize>(value: &T) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(|_| Fault::internal())
}

impl Edge {
    fn answer(&self, parts: &Parts, body: &[u8]) -> Result<(StatusCode, Value), Fault> {
        let path = parts.uri.path();
        let rest = path.get(PREFIX.len()..).unwrap_or_default();
        let segments: Vec<&str> = rest.split('/').filter(|s| !s.is_empty()).collect();
        let method = &parts.method;
        let ok = |value| Ok((StatusCode::OK, value));
        match segments.as_slice() {
            ["criteria"] if *method == Method::GET => return ok(criteria()),
            ["approved"] if *method == Method::GET => {
                return ok(value_of(&self.approvals.approved()?)?);
            }
            _ => {}
        }
        let organisation = self.parts.organisation(parts)?;
        let own = Viewer::Party { organisation };
        let approvals = &self.approvals;
        match segments.as_slice() {
            ["systems"] if *method == Method::GET => ok(value_of(&approvals.systems(own)?)?),
            ["systems"] if *method == Method::POST => {
                json_body(parts)?;
                let new: NewSystem = parse(body)?;
                let made = approvals.register(organisation, &new)?;
                Ok((StatusCode::CREATED, value_of(&made)?))
            }
            ["runs"] if *method == Method::GET => ok(value_of(&approvals.runs(own)?)?),
            ["runs"] if *method == Method::POST => {
                json_body(parts)?;
                let new: NewRun = parse(body)?;
                Ok((StatusCode::CREATED, approvals.start(organisation, &new)?))
            }
            ["runs", id] if *method == Method::GET => ok(approvals.report(own, id)?),
            ["runs", id, "cases", case, "send"] if *method == Method::POST => {
                let case =
                    Case::parse(case).ok_or_else(|| Fault::invalid("there is no such case"))?;
                ok(approvals.send_again(organisation, id, case)?)
            }
            ["runs", id, "declarations", criterion] if *method == Method::PUT => {
                json_body(parts)?;
                let declared: Declared = parse(body)?;
                ok(approvals.declare(organisation, id, criterion, &declared)?)
            }
            ["runs", id, "finish"] if *method == Method::POST => {
                ok(approvals.finish(organisation, id)?)
            }
            ["criteria" | "approved" | "systems" | "runs"]
            | ["runs", _]
            | ["runs", _, "finish"]
            | ["runs", _, "declarations", _]
            | ["runs", _, "cases", _, "send"] => Err(Fault::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "The method is not allowed here",
            )),
            _ => Err(Fault::new(
                StatusCode::NOT_FOUND,
                "There is nothing at this address",
            )),
        }
    }
}
