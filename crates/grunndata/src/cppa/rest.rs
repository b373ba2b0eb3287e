//! The CPPA REST API: version 1 with `Bearer`, version 2 with DPoP (spec/messaging.md §7). Documents are XML, lists JSON.

use super::held::Agreement;
use super::{Cppa, CppaError, agreement_xml};
use crate::ar::rest::authorised;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use edge::Problem;
use edi::cppa::{Process, Taken, processes};
use jose::rs::{AccessToken, Requirement, ResourceServer, Scheme};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Where the API stands; version 2 below it at `/v2`.
pub const PREFIX: &str = "/nasjonal/cppa";
/// Audience of the tokens.
pub const AUDIENCE: &str = "nhn:cppa";
/// Scope of version 1.
pub const SCOPE_V1: &str = "nhn:cppa/access";
/// Scope of version 2.
pub const SCOPE_V2: &str = "nhn:cppa/access-with-dpop";
/// Longest body.
const MAX_BODY: usize = 256 * 1_024;

struct Api {
    cppa: Arc<Cppa>,
    server: ResourceServer,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// The routes. `clock` is the real clock in seconds, for tokens.
pub fn router(
    cppa: Arc<Cppa>,
    server: ResourceServer,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
) -> Router {
    let api = Arc::new(Api {
        cppa,
        server,
        clock,
    });
    Router::new()
        .route(PREFIX, axum::routing::get(overview))
        .route(&format!("{PREFIX}/{{*path}}"), axum::routing::any(handle))
        .with_state(api)
}

impl From<CppaError> for Problem {
    fn from(error: CppaError) -> Self {
        match error {
            CppaError::NotFound => Self::not_found(),
            CppaError::UnknownProcess | CppaError::TooMany => Self::bad_request(error.to_string()),
            CppaError::Store(error) => error.into(),
            other => {
                tracing::error!(error = %other, "the agreement register could not be written");
                Self::unavailable()
            }
        }
    }
}

/// What there is, for somebody who opens the address from the facts.
async fn overview() -> axum::Json<serde_json::Value> {
    axum::Json(serde_json::json!({
        "name": "CPPA",
        "versions": [
            { "at": PREFIX, "scope": SCOPE_V1 },
            { "at": format!("{PREFIX}/v2"), "scope": SCOPE_V2 },
        ],
    }))
}

async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let lower = parts.uri.path().to_ascii_lowercase();
    let rest = lower.get(PREFIX.len()..).unwrap_or_default().to_owned();
    let segments: Vec<&str> = rest.split('/').filter(|s| !s.is_empty()).collect();
    let (requirement, segments) = match segments.split_first() {
        Some((&"v2", below)) => (Requirement::scope(&[SCOPE_V2]), below.to_vec()),
        _ => {
            let bearer = Requirement {
                scheme: Scheme::Bearer,
                ..Requirement::scope(&[SCOPE_V1])
            };
            (bearer, segments)
        }
    };
    let token = match authorised(&api.server, &requirement, &parts, (api.clock)()) {
        Ok(token) => token,
        Err(refused) => return *refused,
    };
    let Ok(bytes) = to_bytes(body, MAX_BODY).await else {
        let problem = Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The request is too large.",
        );
        return problem.into_response();
    };
    let owned: Vec<String> = segments.into_iter().map(str::to_owned).collect();
    let work = move || {
        let segments: Vec<&str> = owned.iter().map(String::as_str).collect();
        api.answer(&parts, &segments, &bytes, &token)
    };
    match edge::blocking(work).await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) | Err(problem) => problem.into_response(),
    }
}

fn xml(text: String) -> Response {
    (
        [(header::CONTENT_TYPE, "application/xml; charset=utf-8")],
        Body::from(text),
    )
        .into_response()
}

fn number(text: &str) -> Result<u32, Problem> {
    text.parse()
        .map_err(|_| Problem::bad_request("The HER-id must be a number."))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Given {
    #[serde(alias = "processId", alias = "id")]
    uuid: String,
    version: String,
    role: String,
}

fn roles(bytes: &[u8]) -> Result<Vec<Taken>, Problem> {
    let wrong = || {
        Problem::bad_request("The body must be a JSON array of {\"uuid\", \"version\", \"role\"}.")
    };
    let given: Vec<Given> = match serde_json::from_slice(bytes) {
        Ok(given) => given,
        Err(_) => vec![serde_json::from_slice(bytes).map_err(|_| wrong())?],
    };
    Ok(given
        .into_iter()
        .map(|g| Taken {
            uuid: g.uuid,
            version: g.version,
            role: g.role,
        })
        .collect())
}

fn process_json(process: &Process) -> Value {
    json!({
        "name": process.name,
        "version": process.version,
        "uuid": process.uuid,
        "roles": process.roles.iter().map(|role| json!({
            "name": role.name,
            "service": role.service,
        })).collect::<Vec<_>>(),
    })
}

fn taken_json(taken: &Taken) -> Value {
    let name = taken.resolve().map(|(process, _)| process.name);
    json!({ "name": name, "uuid": taken.uuid, "version": taken.version, "role": taken.role })
}

fn summary(agreement: &Agreement) -> Value {
    json!({
        "cpaId": agreement.id,
        "herIds": [agreement.first.her_id, agreement.second.her_id],
        "validFrom": agreement.created.timestamp().to_string(),
        "validTo": agreement.end.timestamp().to_string(),
        "status": if agreement.is_current() { "Active" } else { "Terminated" },
    })
}

impl Api {
    /// Only the party's own organisation may edit or agree.
    fn may_edit(&self, token: &AccessToken, her_id: u32) -> Result<(), Problem> {
        let orgnr = self.cppa.orgnr(her_id).ok_or_else(Problem::not_found)?;
        let of_caller = [token.orgnr_parent(), token.orgnr_child()];
        if of_caller.contains(&Some(orgnr.as_str())) {
            Ok(())
        } else {
            Err(Problem::forbidden(
                "Only the party's own organisation can change its profile and agreements.",
            ))
        }
    }

    fn answer(
        &self,
        parts: &Parts,
        segments: &[&str],
        body: &[u8],
        token: &AccessToken,
    ) -> Result<Response, Problem> {
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        match segments {
            ["profiles", her_id] if is_read => {
                let text = self.cppa.profile_xml(number(her_id)?);
                Ok(xml(text.ok_or_else(Problem::not_found)?))
            }
            ["profiles", her_id, "history"] if is_read => {
                let versions = self.cppa.history(number(her_id)?)?;
                let rows: Vec<Value> = versions
                    .iter()
                    .map(|v| {
                        json!({
                            "cppId": v.entry.content.cppid,
                            "changed": v.entry.content.changed.timestamp().to_string(),
                            "processes": v.entry.content.roles.iter().map(taken_json).collect::<Vec<_>>(),
                        })
                    })
                    .collect();
                Ok(axum::Json(rows).into_response())
            }
            ["profiles", her_id, "processes"] => {
                self.profile_processes(parts, number(her_id)?, body, token)
            }
            ["profiles", her_id, "processes", uuid, version, role]
                if parts.method == Method::DELETE =>
            {
                self.remove_process(number(her_id)?, [uuid, version, role], token)
            }
            ["agreements", "herids", first, second] if is_read => {
                let (first, second) = (number(first)?, number(second)?);
                // Everyone may look, only the parties themselves make agreements.
                let is_own =
                    self.may_edit(token, first).is_ok() || self.may_edit(token, second).is_ok();
                let found = if is_own {
                    self.cppa.agree(first, second)?
                } else {
                    self.cppa.look(first, second)
                };
                Ok(xml(agreement_xml(&found.ok_or_else(Problem::not_found)?)))
            }
            ["agreements", id] => {
                let id: uuid::Uuid = id.parse().map_err(|_| Problem::not_found())?;
                self.agreement(parts, id, token)
            }
            ["agreementsummaries", her_id] if is_read => {
                let all = self.cppa.agreements_of(number(her_id)?);
                let rows: Vec<Value> = all.iter().map(summary).collect();
                Ok(axum::Json(rows).into_response())
            }
            ["processes"] if is_read => {
                let rows: Vec<Value> = processes().iter().map(process_json).collect();
                Ok(axum::Json(rows).into_response())
            }
            _ => Err(Problem::not_found()),
        }
    }

    fn profile_processes(
        &self,
        parts: &Parts,
        her_id: u32,
        body: &[u8],
        token: &AccessToken,
    ) -> Result<Response, Problem> {
        let there = self.cppa.profile(her_id).map(|p| p.roles);
        match parts.method {
            Method::GET | Method::HEAD => {
                let roles = there.ok_or_else(Problem::not_found)?;
                let rows: Vec<Value> = roles.iter().map(taken_json).collect();
                return Ok(axum::Json(rows).into_response());
            }
            Method::PUT => {
                self.may_edit(token, her_id)?;
                self.cppa.set_roles(her_id, roles(body)?)?;
            }
            Method::POST | Method::PATCH => {
                self.may_edit(token, her_id)?;
                let mut all = there.unwrap_or_default();
                all.extend(roles(body)?);
                self.cppa.set_roles(her_id, all)?;
            }
            Method::DELETE => {
                self.may_edit(token, her_id)?;
                self.cppa.set_roles(her_id, Vec::new())?;
            }
            _ => return Err(Problem::not_found()),
        }
        self.cppa.reconcile(her_id)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// Path segments came in lower case: compared without regard to it.
    fn remove_process(
        &self,
        her_id: u32,
        [uuid, version, role]: [&str; 3],
        token: &AccessToken,
    ) -> Result<Response, Problem> {
        self.may_edit(token, her_id)?;
        let mut roles = self
            .cppa
            .profile(her_id)
            .ok_or_else(Problem::not_found)?
            .roles;
        let before = roles.len();
        roles.retain(|taken| {
            !(taken.uuid.eq_ignore_ascii_case(uuid)
                && taken.version == version
                && taken.role.eq_ignore_ascii_case(role))
        });
        if roles.len() == before {
            return Err(Problem::not_found());
        }
        self.cppa.set_roles(her_id, roles)?;
        self.cppa.reconcile(her_id)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    fn agreement(
        &self,
        parts: &Parts,
        id: uuid::Uuid,
        token: &AccessToken,
    ) -> Result<Response, Problem> {
        let found = self.cppa.agreement(id).ok_or_else(Problem::not_found)?;
        match parts.method {
            Method::GET | Method::HEAD => Ok(xml(agreement_xml(&found))),
            Method::DELETE => {
                self.may_edit(token, found.first.her_id)
                    .or_else(|_| self.may_edit(token, found.second.her_id))?;
                self.cppa.revoke(id)?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            _ => Err(Problem::not_found()),
        }
    }
}
