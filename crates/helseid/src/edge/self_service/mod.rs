//! Selvbetjening: the API with which installations register themselves and clients renew their own keys (spec §14).
//!
//! NHN's `no.helseid:selfservice` reads every answer below 500 as a JSON object, so every refusal has a body, the 401
//! too. What may be done is decided in [`crate::registry`]; here is only the protocol.

mod body;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::routing::{get, post};
use jose::rs::{Presented, Requirement, ResourceServer, RsError, Scheme};
use serde_json::{Value, json};

use super::form::MAX_BODY_BYTES;
use super::{header_values, json_answer};
use crate::registry::model::{Configuration, ConfigurationState, Origin};
use crate::registry::rules::SELF_SERVICE_SCOPE;
use crate::registry::{Actor, Registry, RegistryError};

/// Where the API lies on the main listener; below it the paths are the original's.
pub const PREFIX: &str = "/nasjonal/selvbetjening";

/// What the API stands on.
#[derive(Clone)]
struct Desk {
    registry: Arc<Registry>,
    /// For audience `nhn:selvbetjening`, with the origins of the main listener.
    server: Arc<ResourceServer>,
}

/// The API below [`PREFIX`]. `server` checks tokens for audience `nhn:selvbetjening`.
pub fn router(registry: Arc<Registry>, server: ResourceServer) -> Router {
    let at = |path: &str| format!("{PREFIX}{path}");
    Router::new()
        .route(PREFIX, get(overview))
        .route(&at("/v1/client-drafts"), post(make_draft))
        // As in older documents.
        .route(&at("/v0.1/client-drafts"), post(make_draft))
        .route(&at("/v1/client"), get(show).put(replace))
        .route(&at("/v1/client-status"), get(status))
        .route(&at("/v1/client-secret"), get(list_keys).post(renew_key))
        .with_state(Desk {
            registry,
            server: Arc::new(server),
        })
}

/// What there is, for somebody who opens the address from the facts.
async fn overview() -> Response<Body> {
    let paths = ["client-drafts", "client", "client-status", "client-secret"];
    json_answer(
        StatusCode::OK,
        &json!({
            "name": "HelseID Selvbetjening",
            "scope": SELF_SERVICE_SCOPE,
            "paths": paths.map(|path| format!("{PREFIX}/v1/{path}")),
        }),
    )
}

/// A refusal (RFC 9457).
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    challenge: Option<String>,
}

impl Refusal {
    fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            challenge: None,
        }
    }

    fn request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid-request",
            "The request is not valid.",
            detail,
        )
    }

    fn answer(self, path: &str) -> Response<Body> {
        metrics::counter!("helseid_errors_total", "endpoint" => "selvbetjening", "error" => self.code)
            .increment(1);
        let body = json!({
            "type": format!("urn:helsenav:problem:{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": path,
        });
        let mut answer = json_answer(self.status, &body);
        let headers = answer.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(challenge) = self
            .challenge
            .and_then(|text| HeaderValue::from_str(&text).ok())
        {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        let detail = error.to_string();
        match error {
            RegistryError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "not-found",
                "There is no such client here.",
                "the client is not registered in self-service; clients of the issuer's configuration are changed there",
            ),
            RegistryError::Forbidden(_) => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed.", detail)
            }
            RegistryError::Invalid { .. } => Self::request(detail),
            RegistryError::KeyUsed => Self::new(
                StatusCode::BAD_REQUEST,
                "key-used",
                "The key was registered before.",
                detail,
            ),
            RegistryError::Conflict => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "Changed in the meantime.",
                detail,
            ),
            RegistryError::Unavailable(why) => {
                tracing::error!(%why, "helseid: the registry's store failed");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "The service cannot answer now.",
                    "try again in a moment",
                )
            }
        }
    }
}

fn answered(path: &str, answer: Result<Value, Refusal>) -> Response<Body> {
    match answer {
        Ok(body) => json_answer(StatusCode::OK, &body),
        Err(refusal) => refusal.answer(path),
    }
}

/// Runs store work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, Refusal> {
    let done = ::edge::blocking(work).await;
    done.unwrap_or_else(|_| {
        let why = "the work did not end as it should".to_owned();
        Err(RegistryError::Unavailable(why))
    })
    .map_err(Refusal::from)
}

async fn read_body(body: Body) -> Result<Value, Refusal> {
    let bytes = axum::body::to_bytes(body, MAX_BODY_BYTES)
        .await
        .map_err(|_| Refusal::request("the body is longer than 65536 bytes or broke off"))?;
    body::parse(&bytes).map_err(Refusal::request)
}

/// The client whose token came with the request, from its own registration.
async fn caller(desk: &Desk, parts: &Parts) -> Result<Configuration, Refusal> {
    let authorization = header_values(&parts.headers, "Authorization");
    let is_bearer = authorization.iter().any(|value| {
        value
            .get(..7)
            .is_some_and(|s| s.eq_ignore_ascii_case("bearer "))
    });
    let requirement = Requirement {
        scheme: if is_bearer {
            Scheme::Bearer
        } else {
            Scheme::Dpop
        },
        ..Requirement::scope(&[SELF_SERVICE_SCOPE])
    };
    let now_s = desk.registry.now_s();
    let presented = Presented {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        authorization: &authorization,
        dpop: &header_values(&parts.headers, "DPoP"),
        now_s,
    };
    let refused = |error: RsError| {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        Refusal {
            challenge: Some(error.www_authenticate(desk.server.algs())),
            ..Refusal::new(
                status,
                "token",
                "The access token does not open this.",
                error.to_string(),
            )
        }
    };
    let token = desk
        .server
        .check(&presented, &requirement)
        .map_err(refused)?;
    if let (Some(helseid), Some(jti)) = (desk.registry.helseid(), token.jti())
        && helseid.inner.is_revoked(jti).await.unwrap_or(true)
    {
        return Err(refused(RsError::Revoked));
    }
    let client_id = token.client_id().unwrap_or_default();
    let (configuration, _) = desk.registry.configuration(client_id)?;
    // Its last token outlives a client that was closed.
    if configuration.state != ConfigurationState::Active {
        return Err(RegistryError::Forbidden("the client is closed").into());
    }
    Ok(configuration)
}

async fn make_draft(State(desk): State<Desk>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let answer = async {
        let keys = header_values(&parts.headers, "api-key");
        let [api_key] = keys.as_slice() else {
            return Err(no_system());
        };
        let draft = body::draft(&read_body(body).await?).map_err(Refusal::request)?;
        let (api_key, registry) = ((*api_key).to_owned(), desk.registry.clone());
        let made = ::edge::blocking(move || registry.draft(&api_key, &draft)).await;
        match made {
            Ok(Ok(client_id)) => Ok(json!({ "clientId": client_id })),
            Ok(Err(RegistryError::NotFound)) => Err(no_system()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(RegistryError::Unavailable(String::new()).into()),
        }
    };
    answered(parts.uri.path(), answer.await)
}

fn no_system() -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "api-key",
        "No client system has this api-key.",
        "send the api-key of your client system in the header api-key; its supplier makes one at the pages of self-service",
    )
}

async fn show(State(desk): State<Desk>, request: Request<Body>) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let answer = caller(&desk, &parts)
        .await
        .map(|found| desk.current(&found));
    answered(parts.uri.path(), answer)
}

async fn status(State(desk): State<Desk>, request: Request<Body>) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let answer = caller(&desk, &parts).await.map(|found| {
        let mut view = desk.current(&found);
        // What the registration sample reads under this path.
        if let (Some(view), Value::Object(older)) = (view.as_object_mut(), body::overall(&found)) {
            view.extend(older);
        }
        view
    });
    answered(parts.uri.path(), answer)
}

impl Desk {
    fn current(&self, configuration: &Configuration) -> Value {
        let fixed = self
            .registry
            .configuration(&configuration.client_id)
            .ok()
            .and_then(|(_, system)| system.redirect_uris);
        body::current(configuration, fixed.as_deref())
    }
}

async fn replace(State(desk): State<Desk>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let answer = async {
        let client_id = caller(&desk, &parts).await?.client_id;
        let update = body::update(&read_body(body).await?).map_err(Refusal::request)?;
        let registry = desk.registry.clone();
        let updated = blocking(move || {
            registry.update(&client_id, &update)?;
            registry.configuration(&client_id)
        });
        let (configuration, _) = updated.await?;
        Ok(desk.current(&configuration))
    };
    answered(parts.uri.path(), answer.await)
}

async fn list_keys(State(desk): State<Desk>, request: Request<Body>) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let answer = caller(&desk, &parts).await.map(|found| body::keys(&found));
    answered(parts.uri.path(), answer)
}

async fn renew_key(State(desk): State<Desk>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let answer = async {
        let client_id = caller(&desk, &parts).await?.client_id;
        let key = read_body(body).await?;
        let registry = desk.registry.clone();
        let actor = Actor::Client {
            client_id: client_id.clone(),
        };
        let expires_s =
            blocking(move || registry.add_key(&actor, &client_id, &key, Origin::Api)).await?;
        Ok(json!({ "expiration": crate::registry::view::time(expires_s) }))
    };
    answered(parts.uri.path(), answer.await)
}
