//! Transport C: the message service's REST interface ("Meldingstjener", EDI 2.0), versions 2 and 3.
//!
//! The client hands in a business document and the hub runs the message handler for it: it decides the road to each
//! receiver, keeps what comes until it was read, makes application receipts, and tells where a message is. Version 2
//! follows the national OpenAPI document; version 3 what is public of it (spec/messaging.md §6.2).
//!
//! **Access.** HelseID token with DPoP, audience and scope below; a caller acts for HER-ids below its own organisation.
//!
//! **What it deliberately does not do.** Bridge to the message bus (off by default in the norm), look into documents further
//! than their head, or tell anything of other organisations' messages.
//!
//! **Read first.** [`RestParts`], [`Roads`], then `send` (in) and `read` (out).

pub mod approval;
pub mod counter;
mod document;
mod fault;
mod notices;
mod query;
mod read;
mod receipt;
mod roads;
mod send;
mod settings;
mod v3;
pub mod validator;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use edge::headers::RequestId;
use jose::rs::{AccessToken, Presented, Requirement, ResourceServer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exchange::Exchange;
use crate::rules::envelope::organisation_of;
use fault::Fault;
pub use roads::Roads;
pub(crate) use roads::SERVICE_ADDRESS;

/// Where the service stands.
pub const PREFIX: &str = "/nasjonal/meldingstjener";
/// Audience of the tokens.
pub const AUDIENCE: &str = "nhn:msh";
/// Scope of the tokens.
pub const SCOPE: &str = "nhn:msh/api";

/// Largest request: 35 MB, as the national service has it.
const MAX_REQUEST_BYTES: usize = 35_000_000;

/// Version of the interface, by the header `api-version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiVersion {
    V2,
    V3,
}

/// What the service is made of.
#[derive(Clone)]
pub struct RestParts {
    /// The exchange.
    pub exchange: Exchange,
    /// Checks tokens for [`AUDIENCE`].
    pub server: ResourceServer,
    /// The real clock in seconds, for tokens.
    pub now_s: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Which road leads to whom.
    pub roads: Roads,
}

impl RestParts {
    /// Level-1 HER-id of the organisation in the request's token.
    fn organisation(&self, parts: &Parts) -> Result<u32, Fault> {
        let token = authorised(&self.server, parts, (self.now_s)())?;
        let directory = &self.exchange.inner.directory;
        [token.orgnr_parent(), token.orgnr_child()]
            .into_iter()
            .flatten()
            .find_map(|orgnr| directory.parties_of(orgnr).first().map(organisation_of))
            .ok_or_else(|| {
                let words = "The organisation of the token is not in the address register";
                Fault::new(StatusCode::FORBIDDEN, words)
            })
    }
}

pub(crate) struct Api {
    exchange: Exchange,
    server: ResourceServer,
    now_s: Arc<dyn Fn() -> i64 + Send + Sync>,
    roads: Roads,
}

/// Who calls.
pub(crate) struct Caller {
    /// Organisation numbers in the token.
    organisations: Vec<String>,
    /// Client in the token.
    client: String,
    /// Its system, by its own account.
    system: String,
}

impl Caller {
    fn new(token: &AccessToken, system: String) -> Self {
        let organisations = [token.orgnr_parent(), token.orgnr_child()];
        Self {
            organisations: organisations
                .into_iter()
                .flatten()
                .map(str::to_owned)
                .collect(),
            client: token.client_id().unwrap_or_default().to_owned(),
            system,
        }
    }
}

/// The routes.
pub fn router(parts: RestParts) -> Router {
    let api = Arc::new(Api {
        exchange: parts.exchange,
        server: parts.server,
        now_s: parts.now_s,
        roads: parts.roads,
    });
    Router::new()
        .route(PREFIX, axum::routing::get(overview))
        .route(&format!("{PREFIX}/{{*path}}"), axum::routing::any(handle))
        .with_state(api)
}

/// What there is, for somebody who opens the address from the facts.
async fn overview() -> axum::Json<Value> {
    let paths =
        |names: &[&str]| -> Vec<String> { names.iter().map(|n| format!("{PREFIX}/{n}")).collect() };
    axum::Json(json!({
        "name": "Meldingstjener",
        "audience": AUDIENCE,
        "scope": SCOPE,
        "versions": [
            { "api-version": "2", "paths": paths(&["Messages", "Messages/{id}", "Messages/{id}/business-document",
                "Messages/{id}/status", "Messages/{id}/apprec", "Messages/{id}/apprec/{appRecSenderHerId}",
                "Messages/{id}/read/{herId}"]) },
            { "api-version": "3", "paths": paths(&["mshconfigurations", "messages", "messages/{id}",
                "messages/{id}/business-document", "messages/{id}/status", "messages/{id}/apprec",
                "messages/{id}/downloaded", "notifications", "notifications/stream", "ping"]) },
        ],
    }))
}

fn values<'a>(parts: &'a Parts, name: &str) -> Vec<&'a str> {
    let all = parts.headers.get_all(name).iter();
    all.filter_map(|value| value.to_str().ok()).collect()
}

/// What the headers say of the version; the default is 2.
fn version(parts: &Parts) -> Result<ApiVersion, Fault> {
    match values(parts, "api-version").as_slice() {
        [] => Ok(ApiVersion::V2),
        [one] => match one.trim() {
            "2" | "2.0" | "v2" => Ok(ApiVersion::V2),
            "3" | "3.0" | "v3" => Ok(ApiVersion::V3),
            _ => Err(Fault::invalid("The api-version must be 2 or 3.")),
        },
        _ => Err(Fault::invalid(
            "Exactly one api-version header is accepted.",
        )),
    }
}

/// An answer.
pub(crate) struct Reply {
    status: StatusCode,
    body: Option<Value>,
    location: Option<String>,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
            location: None,
        }
    }

    fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: None,
            location: None,
        }
    }

    fn created(id: Uuid) -> Self {
        Self {
            status: StatusCode::CREATED,
            body: Some(json!(id.to_string())),
            location: Some(format!("{PREFIX}/Messages/{id}")),
        }
    }

    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => (
                [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
                body.to_string(),
            )
                .into_response(),
            None => Response::new(Body::empty()),
        };
        *response.status_mut() = self.status;
        let location = self.location.and_then(|l| HeaderValue::from_str(&l).ok());
        if let Some(location) = location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let version_asked = version(&parts);
    let version = *version_asked.as_ref().unwrap_or(&ApiVersion::V2);
    let path = parts.uri.path().to_owned();
    let request_id = request_id(&parts);
    let refuse = |fault: &Fault| {
        let now = jiff::Timestamp::now().to_string();
        fault.response(version, &path, &request_id, &now)
    };
    let caller = match authorised(&api.server, &parts, (api.now_s)()) {
        Ok(token) => {
            let system = values(&parts, "nhn-source-system");
            let system = system.first().map_or("", |s| s.trim());
            Caller::new(&token, system.chars().take(100).collect())
        }
        Err(fault) => return refuse(&fault),
    };
    if let Err(fault) = &version_asked {
        return refuse(fault);
    }
    if caller.system.is_empty() {
        return refuse(&Fault::invalid("The nhn-source-system field is required."));
    }
    let Ok(body) = to_bytes(body, MAX_REQUEST_BYTES).await else {
        return refuse(&Fault::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The request is larger than 35 MB, or was cancelled",
        ));
    };
    if version == ApiVersion::V3 && v3::is_stream(&parts) {
        return match notices::stream(api.clone(), caller, &parts).await {
            Ok(response) => response,
            Err(fault) => refuse(&fault),
        };
    }
    let this = api.clone();
    let work = edge::blocking(move || this.answer(version, &parts, &caller, &body));
    match work.await {
        Ok(Ok(reply)) => reply.into_response(),
        Ok(Err(fault)) => refuse(&fault),
        Err(_) => refuse(&Fault::internal()),
    }
}

/// Who presents a token for the service.
fn authorised(server: &ResourceServer, parts: &Parts, now_s: i64) -> Result<AccessToken, Fault> {
    let presented = Presented {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        authorization: &values(parts, "authorization"),
        dpop: &values(parts, "dpop"),
        now_s,
    };
    let requirement = Requirement::scope(&[SCOPE]).with_organisation();
    server.check(&presented, &requirement).map_err(|error| {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        Fault {
            challenge: Some(error.www_authenticate(server.algs())),
            ..Fault::new(status, error.to_string())
        }
    })
}

/// The request's id, as it stands on the answer.
fn request_id(parts: &Parts) -> String {
    parts
        .extensions
        .get::<RequestId>()
        .map_or_else(|| Uuid::now_v7().to_string(), |id| id.0.clone())
}

impl Api {
    fn answer(
        &self,
        version: ApiVersion,
        parts: &Parts,
        caller: &Caller,
        body: &Bytes,
    ) -> Result<Reply, Fault> {
        let path = parts.uri.path().to_ascii_lowercase();
        let rest = path.get(PREFIX.len()..).unwrap_or_default();
        let segments: Vec<&str> = rest.split('/').filter(|s| !s.is_empty()).collect();
        match version {
            ApiVersion::V2 => self.v2(parts, &segments, caller, body),
            ApiVersion::V3 => self.v3(parts, &segments, caller, body),
        }
    }

    fn v2(
        &self,
        parts: &Parts,
        segments: &[&str],
        caller: &Caller,
        body: &Bytes,
    ) -> Result<Reply, Fault> {
        let method = &parts.method;
        match segments {
            ["messages"] if *method == Method::GET => self.unread(parts.uri.query(), caller),
            ["messages"] if *method == Method::POST => {
                let sent = self.post_v2(parts, caller, body)?;
                Ok(Reply::created(sent))
            }
            ["messages", id] if *method == Method::GET => self.message(uuid(id)?, caller),
            ["messages", id, "business-document"] if *method == Method::GET => {
                self.business_document(uuid(id)?, caller)
            }
            ["messages", id, "status"] if *method == Method::GET => self.status(uuid(id)?, caller),
            ["messages", id, "apprec"] if *method == Method::GET => {
                self.receipts(uuid(id)?, caller)
            }
            ["messages", id, "apprec", her_id] if *method == Method::POST => {
                json_body(parts)?;
                let made = self.post_receipt_v2(uuid(id)?, her_id_of(her_id)?, caller, body)?;
                Ok(Reply::created(made))
            }
            ["messages", id, "read", her_id] if *method == Method::PUT => {
                self.read(uuid(id)?, her_id_of(her_id)?, caller)
            }
            _ => Err(unknown(segments)),
        }
    }

    /// The exchange's view of a party, if the caller's organisation has it.
    fn own_party(&self, caller: &Caller, her_id: u32) -> Option<registers::directory::Party> {
        let party = self.exchange.inner.directory.party(her_id)?;
        caller.organisations.contains(&party.orgnr).then_some(party)
    }

    /// Those of some HER-ids that are not the caller's make a refusal.
    fn must_own(&self, caller: &Caller, her_ids: &[u32]) -> Result<(), Fault> {
        let foreign: Vec<u32> = her_ids
            .iter()
            .copied()
            .filter(|id| self.own_party(caller, *id).is_none())
            .take(20)
            .collect();
        if foreign.is_empty() {
            Ok(())
        } else {
            Err(Fault::not_authorized(&foreign))
        }
    }
}

/// A path that is there answers another method with 405, others with 404.
fn unknown(segments: &[&str]) -> Fault {
    match segments {
        ["messages"]
        | ["messages", _]
        | [
            "messages",
            _,
            "business-document" | "status" | "apprec" | "downloaded",
        ]
        | ["messages", _, "apprec" | "read", _]
        | ["mshconfigurations" | "notifications" | "ping"] => Fault::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "The method is not allowed here",
        ),
        _ => Fault::new(StatusCode::NOT_FOUND, "There is nothing at this address"),
    }
}

fn uuid(text: &str) -> Result<Uuid, Fault> {
    Uuid::try_parse(text).map_err(|_| Fault::invalid("The id must be a valid Guid."))
}

fn her_id_of(text: &str) -> Result<u32, Fault> {
    text.parse::<u32>()
        .ok()
        .filter(|id| i32::try_from(*id).is_ok())
        .ok_or_else(|| Fault::invalid("The HER-id must be a number."))
}

/// JSON under one of the names that the contract has.
fn json_body(parts: &Parts) -> Result<(), Fault> {
    let kind = values(parts, "content-type");
    let kind = kind.first().copied().unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim();
    let media = media.to_ascii_lowercase();
    let is_json = media == "application/json"
        || media == "text/json"
        || (media.starts_with("application/") && media.ends_with("+json"));
    if is_json {
        Ok(())
    } else {
        Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body must be JSON (Content-Type: application/json)",
        ))
    }
}

/// A body of the contract, or what is wrong with it. The parser's words may quote the body, so only the place is told.
fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => {
                "a field is missing or of another type than the contract has"
            }
            _ => "the body is not JSON",
        };
        Fault::invalid(format!(
            "{what} (line {}, column {}).",
            error.line(),
            error.column()
        ))
    })
}
