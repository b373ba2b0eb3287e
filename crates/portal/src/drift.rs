//! `/drift`: message flow, validator, timeline, health (spec/portals.md §6). An operator sees flows and never content; a
//! party sees its own messages with their originals.

use crate::PortalState;
use crate::counts::CountsQuery;
use crate::session::{DriftSession, Portal, Who, enter};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Problem, blocking};
use serde::Deserialize;
use serde_json::Value;
use std::pin::Pin;

/// Largest message the validator takes, bytes.
pub const MAX_VALIDATE_BYTES: usize = 20 << 20;

/// Which messages are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MessageQuery {
    /// State word.
    pub state: Option<String>,
    /// Message function.
    pub function: Option<String>,
    /// HER-id of a party.
    pub her_id: Option<u32>,
    /// Older than this place.
    pub before: Option<String>,
}

/// Which communication parties are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartyQuery {
    /// Words of the name, a HER-id or an organisation number.
    pub text: Option<String>,
    /// `Organization`, `Service` or `Person`.
    pub kind: Option<String>,
    /// Type of list 9040.
    pub business_type: Option<String>,
    /// Municipality number.
    pub municipality: Option<String>,
    /// Page, from 1.
    pub page: Option<usize>,
}

/// What `/drift` asks of the hub; given by it.
pub trait Operations: Send + Sync {
    /// Checks an operator's password; the name shown. Slow on purpose: called on a blocking thread.
    fn operator(&self, username: &str, password: &str) -> Option<String>;
    /// Whether an operator who has logged in may go on: neither blocked nor removed meanwhile.
    fn may_go_on(&self, _username: &str) -> Result<bool, Problem> {
        Ok(true)
    }
    /// Message list for an organisation (`None` = operator: all, without content).
    fn messages(&self, orgnr: Option<&str>, query: &MessageQuery) -> Result<Value, Problem>;
    /// One message with every step.
    fn message(&self, orgnr: Option<&str>, id: &str) -> Result<Value, Problem>;
    /// The original, for its parties only.
    fn original(&self, orgnr: &str, id: &str) -> Result<(bytes::Bytes, String), Problem>;
    /// Sends once more what nobody has taken.
    fn put_back(&self, _orgnr: Option<&str>, _id: &str) -> Result<Value, Problem> {
        Err(Problem::not_found())
    }
    /// Numbers of messages.
    fn counts(&self, _orgnr: Option<&str>, _query: &CountsQuery) -> Result<Value, Problem> {
        Err(Problem::not_found())
    }
    /// The same as CSV.
    fn counts_csv(&self, _orgnr: Option<&str>, _query: &CountsQuery) -> Result<String, Problem> {
        Err(Problem::not_found())
    }
    /// Test and approval of vendors' systems.
    fn approvals(
        &self,
        _orgnr: Option<&str>,
        _act: crate::approvals::Act,
    ) -> Result<Value, Problem> {
        Err(Problem::not_found())
    }
    /// Begins counting anew from the log.
    fn count_again(&self) -> Result<Value, Problem> {
        Err(Problem::not_found())
    }
    /// Explains a message.
    fn validate(&self, bytes: &[u8], language: &str) -> Result<Value, Problem>;
    /// The story's steps with their states.
    fn timeline(&self) -> Value;
    /// Plays the story on, to and including a step.
    fn play(&self, until: String) -> Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>>;
    /// Moves the story clock forward by an ISO 8601 duration.
    fn advance(&self, duration: &str) -> Result<Value, Problem>;
    /// State of services, queues, certificates.
    fn health(&self) -> Value;
    /// A page of the address register; public information.
    fn parties(&self, _query: &PartyQuery) -> Result<Value, Problem> {
        Err(Problem::not_found())
    }
    /// Organisations by municipality; public information.
    fn party_map(&self) -> Result<Value, Problem> {
        Err(Problem::not_found())
    }
    /// One communication party.
    fn party(&self, _her_id: u32) -> Result<Value, Problem> {
        Err(Problem::not_found())
    }
}

pub(crate) fn router() -> Router<PortalState> {
    Router::new()
        .route("/api/drift/login", post(login))
        .route("/api/drift/messages", get(messages))
        .route("/api/drift/messages/{id}", get(message))
        .route("/api/drift/messages/{id}/original", get(original))
        .route(
            "/api/drift/validate",
            post(validate).layer(DefaultBodyLimit::max(MAX_VALIDATE_BYTES)),
        )
        .route("/api/drift/timeline", get(timeline))
        .route("/api/drift/timeline/play", post(play))
        .route("/api/drift/timeline/advance", post(advance))
        .route("/api/drift/health", get(health))
        .route("/api/drift/parties", get(parties))
        .route("/api/drift/parties/map", get(party_map))
        .route("/api/drift/parties/{her_id}", get(party))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    username: String,
    password: String,
}

async fn login(
    State(state): State<PortalState>,
    headers: HeaderMap,
    Json(body): Json<Login>,
) -> Result<Response, Problem> {
    // A JSON body cannot be sent by a foreign form without a preflight, so this needs no CSRF token.
    let operations = state.operations.clone();
    let username = body.username.clone();
    let name = blocking(move || operations.operator(&body.username, &body.password)).await?;
    let name = name.ok_or_else(|| {
        Problem::new(
            axum::http::StatusCode::UNAUTHORIZED,
            "wrong-login",
            "Wrong user name or password.",
        )
    })?;
    enter(
        &state,
        Portal::Drift,
        Who::Operator { name, username },
        "/drift",
        &headers,
    )
    .await
}

async fn messages(
    State(state): State<PortalState>,
    session: DriftSession,
    Query(query): Query<MessageQuery>,
) -> Result<Json<Value>, Problem> {
    blocking(move || state.operations.messages(session.orgnr(), &query).map(Json)).await?
}

async fn message(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    blocking(move || state.operations.message(session.orgnr(), &id).map(Json)).await?
}

async fn parties(
    State(state): State<PortalState>,
    _session: DriftSession,
    Query(query): Query<PartyQuery>,
) -> Result<Json<Value>, Problem> {
    blocking(move || state.operations.parties(&query).map(Json)).await?
}

async fn party_map(
    State(state): State<PortalState>,
    _session: DriftSession,
) -> Result<Json<Value>, Problem> {
    blocking(move || state.operations.party_map().map(Json)).await?
}

async fn party(
    State(state): State<PortalState>,
    _session: DriftSession,
    Path(her_id): Path<u32>,
) -> Result<Json<Value>, Problem> {
    blocking(move || state.operations.party(her_id).map(Json)).await?
}

async fn original(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    blocking(move || {
        let orgnr = session
            .orgnr()
            .ok_or_else(|| Problem::forbidden("originals are shown to their parties only"))?;
        let (bytes, content_type) = state.operations.original(orgnr, &id)?;
        Ok(crate::citizen::download(
            bytes,
            &content_type,
            "melding.bin",
        ))
    })
    .await?
}

#[derive(Deserialize)]
struct Language {
    #[serde(default)]
    lang: String,
}

async fn validate(
    State(state): State<PortalState>,
    _: DriftSession,
    Query(query): Query<Language>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    blocking(move || state.operations.validate(&body, &query.lang).map(Json)).await?
}

async fn timeline(State(state): State<PortalState>, _: DriftSession) -> Json<Value> {
    Json(state.operations.timeline())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Play {
    until: String,
}

pub(crate) fn only_operator(session: &DriftSession) -> Result<(), Problem> {
    match session {
        DriftSession::Operator { .. } => Ok(()),
        DriftSession::Party(_) => Err(Problem::forbidden("only an operator may do this")),
    }
}

async fn play(
    State(state): State<PortalState>,
    session: DriftSession,
    Json(body): Json<Play>,
) -> Result<Json<Value>, Problem> {
    only_operator(&session)?;
    state.operations.play(body.until).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance: String,
}

async fn advance(
    State(state): State<PortalState>,
    session: DriftSession,
    Json(body): Json<Advance>,
) -> Result<Json<Value>, Problem> {
    only_operator(&session)?;
    blocking(move || state.operations.advance(&body.advance).map(Json)).await?
}

async fn health(State(state): State<PortalState>, _: DriftSession) -> Result<Json<Value>, Problem> {
    blocking(move || Json(state.operations.health())).await
}
