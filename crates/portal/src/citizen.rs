//! The citizen's pages (spec/portals.md §3).

use crate::PortalState;
use crate::session::{CitizenSession, Portal, Who, enter};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Problem, blocking};
use helsenorge::access::{AccessView, PractitionerHit, What, Whom};
use helsenorge::login::{LoggedIn, OnLogin};
use helsenorge::usage_log::{LogView, RegisterLooks};
use records::source::ViewContext;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use trust::Principal;
use trust::gather::SubjectRef;
use trust::{Basis, Interface};

const CLIENT_ID: &str = "helsenav-portal";

/// Takes over after the login page: an ID token of the citizen issuer is made and read, then the session begins.
pub(crate) fn on_login(state: PortalState) -> OnLogin {
    Arc::new(move |logged_in, headers| {
        let (state, headers) = (state.clone(), headers.clone());
        Box::pin(async move { enter_as(&state, &logged_in, &headers).await.into_response() })
    })
}

async fn enter_as(
    state: &PortalState,
    logged_in: &LoggedIn,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let nonce = edge::cookie::random_token();
    let issuer = &state.issuer;
    let proven = issuer
        .login_token(&logged_in.nin, CLIENT_ID, &nonce)
        .and_then(|token| issuer.verify_login_token(&token, CLIENT_ID, &nonce));
    let nin = proven.map_err(|error| {
        tracing::error!(%error, "citizen login failed");
        Problem::internal()
    })?;
    let who = Who::Citizen { nin };
    enter(state, Portal::Citizen, who, &logged_in.return_to, headers).await
}

pub(crate) fn router() -> Router<PortalState> {
    Router::new()
        .route("/api/citizen/overview", get(overview))
        .route("/api/citizen/results", get(results))
        .route("/api/citizen/results/{id}", get(result))
        .route("/api/citizen/letters", get(letters))
        .route("/api/citizen/letters/{id}", get(letter))
        .route("/api/citizen/letters/{id}/original", get(original))
        .route("/api/citizen/log", get(log))
        .route("/api/citizen/log/extract", get(extract))
        .route("/api/citizen/log/registers", get(register_looks))
        .route("/api/citizen/notices", get(notices))
        .route("/api/citizen/access", get(access))
        .route("/api/citizen/access/search", post(search))
        .route("/api/citizen/access/block", post(block))
        .route("/api/citizen/access/unblock", post(unblock))
        .route("/api/citizen/access/restrict", post(restrict))
        .route("/api/citizen/access/reserve", post(reserve))
}

/// The citizen looking at her own data through one page.
fn context(state: &PortalState, nin: &str, page: &str) -> Result<ViewContext, Problem> {
    Ok(ViewContext {
        trust: state.trust.clone(),
        snapshot: state.trust.store().snapshot()?,
        principal: Principal::Citizen {
            nin: nin.to_owned(),
            acting: None,
        },
        subject: SubjectRef::Nin(nin.to_owned()),
        interface: Interface::CitizenPortal,
        basis: Basis::None,
        elevated_part: None,
        service: "helsenorge",
        api: page.to_owned(),
        event_id: uuid::Uuid::now_v7(),
    })
}

async fn overview(
    State(state): State<PortalState>,
    session: CitizenSession,
) -> Result<Json<Value>, Problem> {
    blocking(move || {
        let citizen = state.helsenorge.citizen(&session.nin)?;
        let context = context(&state, &session.nin, "forside")?;
        let person = state.directory.person(&session.nin);
        let gp = person.as_ref().and_then(|p| p.gp.as_ref()).and_then(|gp| {
            let doctor = gp
                .hpr
                .as_ref()
                .and_then(|hpr| state.directory.practitioner_by_hpr(hpr));
            let office = state.directory.organisation(&gp.orgnr).map(|o| o.name);
            Some(json!({ "name": doctor?.name.full(), "office": office }))
        });
        // One source down never takes the page down.
        let results = state
            .provesvar
            .results_for_citizen(&context)
            .map_err(|e| e.code);
        let letters = state
            .dokumenter
            .letters_for_citizen(&context)
            .map_err(|e| e.code);
        let notices = state.helsenorge.notices(&citizen).map_err(|e| e.code);
        let critical = state
            .kjernejournal
            .critical_for_citizen(&context)
            .map_err(|e| e.code);
        let log = state
            .helsenorge
            .log_view(&citizen, None)
            .map_err(|e| e.code);
        Ok(Json(json!({
            "name": person.map(|p| p.name.given),
            "gp": gp,
            "results": section(results),
            "letters": section(letters),
            "notices": section(notices),
            "log": section(log),
            "critical": section(critical),
        })))
    })
    .await?
}

/// A part of a page with its own state.
fn section<T: serde::Serialize>(part: Result<T, String>) -> Value {
    match part {
        Ok(content) => json!({ "state": "ok", "content": content }),
        Err(code) => json!({ "state": "error", "code": code }),
    }
}

async fn results(
    State(state): State<PortalState>,
    session: CitizenSession,
) -> Result<Json<Value>, Problem> {
    blocking(move || {
        let context = context(&state, &session.nin, "prøvesvar")?;
        Ok(Json(json!(state.provesvar.results_for_citizen(&context)?)))
    })
    .await?
}

async fn result(
    State(state): State<PortalState>,
    session: CitizenSession,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    blocking(move || {
        let context = context(&state, &session.nin, "prøvesvar")?;
        Ok(Json(json!(
            state.provesvar.report_for_citizen(&context, &id)?
        )))
    })
    .await?
}

async fn letters(
    State(state): State<PortalState>,
    session: CitizenSession,
) -> Result<Json<Value>, Problem> {
    blocking(move || {
        let context = context(&state, &session.nin, "brev")?;
        Ok(Json(json!(state.dokumenter.letters_for_citizen(&context)?)))
    })
    .await?
}

async fn letter(
    State(state): State<PortalState>,
    session: CitizenSession,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    blocking(move || {
        let context = context(&state, &session.nin, "brev")?;
        Ok(Json(json!(
            state.dokumenter.letter_for_citizen(&context, &id)?
        )))
    })
    .await?
}

/// The untouched bytes, as a download: never rendered by the browser.
async fn original(
    State(state): State<PortalState>,
    session: CitizenSession,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    blocking(move || {
        let context = context(&state, &session.nin, "brev")?;
        let original = state.dokumenter.original(&context, &id)?;
        Ok(download(
            original.bytes,
            &original.content_type,
            &original.file_name,
        ))
    })
    .await?
}

/// Bytes as a file to keep.
pub(crate) fn download(bytes: bytes::Bytes, content_type: &str, file_name: &str) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    let value = |text: &str, other: &'static str| {
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(other))
    };
    headers.insert(
        header::CONTENT_TYPE,
        value(content_type, "application/octet-stream"),
    );
    headers.insert(
        header::CONTENT_DISPOSITION,
        value(
            &format!("attachment; filename=\"{file_name}\""),
            "attachment",
        ),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    response
}

#[derive(Deserialize)]
struct LogQuery {
    before: Option<i64>,
}

async fn log(
    State(state): State<PortalState>,
    session: CitizenSession,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogView>, Problem> {
    blocking(move || {
        let citizen = state.helsenorge.citizen(&session.nin)?;
        state.helsenorge.log_view(&citizen, query.before).map(Json)
    })
    .await?
}

async fn register_looks(
    State(state): State<PortalState>,
    session: CitizenSession,
) -> Result<Json<RegisterLooks>, Problem> {
    blocking(move || {
        let citizen = state.helsenorge.citizen(&session.nin)?;
        state.helsenorge.register_looks(&citizen).map(Json)
    })
    .await?
}

async fn extract(
    State(state): State<PortalState>,
    session: CitizenSession,
) -> Result<Response, Problem> {
    blocking(move || {
        let citizen = state.helsenorge.citizen(&session.nin)?;
        let extract = state.helsenorge.log_extract(&citizen, (state.log_jwks)())?;
        let bytes = serde_json::to_vec_pretty(&extract).map_err(|_| Problem::internal())?;
        Ok(download(
            bytes.into(),
            "application/json",
            "innsynslogg.json",
        ))
    })
    .await?
}

async fn notices(
    State(state): State<PortalState>,
    session: CitizenSession,
) -> Result<Json<Value>, Problem> {
    blocking(move || {
        let citizen = state.helsenorge.citizen(&session.nin)?;
        Ok(Json(
            json!({ "notices": state.helsenorge.notices(&citizen)? }),
        ))
    })
    .await?
}

async fn access(
    State(state): State<PortalState>,
    session: CitizenSession,
) -> Result<Json<AccessView>, Problem> {
    blocking(move || {
        let citizen = state.helsenorge.citizen(&session.nin)?;
        state.helsenorge.access_view(&citizen).map(Json)
    })
    .await?
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    query: String,
}

async fn search(
    State(state): State<PortalState>,
    _: CitizenSession,
    Json(body): Json<Search>,
) -> Result<Json<Vec<PractitionerHit>>, Problem> {
    blocking(move || Ok(Json(state.helsenorge.search_practitioners(&body.query)))).await?
}

async fn block(
    State(state): State<PortalState>,
    session: CitizenSession,
    Json(whom): Json<Whom>,
) -> Result<Json<AccessView>, Problem> {
    blocking(move || {
        let citizen = state.helsenorge.citizen(&session.nin)?;
        state.helsenorge.block(&citizen, &whom).map(Json)
    })
    .await?
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unblock {
    hpr: String,
}

async fn unblock(
    State(state): State<PortalState>,
    session: CitizenSession,
    Json(body): Json<Unblock>,
) -> Result<Json<AccessView>, Problem> {
    blocking(move || {
        let citizen = state.helsenorge.citizen(&session.nin)?;
        state.helsenorge.unblock(&citizen, &body.hpr).map(Json)
    })
    .await?
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restrict {
    what: What,
    on: bool,
}

async fn restrict(
    State(state): State<PortalState>,
    session: CitizenSession,
    Json(body): Json<Restrict>,
) -> Result<Json<AccessView>, Problem> {
    blocking(move || {
        let citizen = state.helsenorge.citizen(&session.nin)?;
        state
            .helsenorge
            .restrict(&citizen, &body.what, body.on)
            .map(Json)
    })
    .await?
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reserve {
    on: bool,
}

async fn reserve(
    State(state): State<PortalState>,
    session: CitizenSession,
    Json(body): Json<Reserve>,
) -> Result<Json<AccessView>, Problem> {
    blocking(move || {
        let citizen = state.helsenorge.citizen(&session.nin)?;
        state.helsenorge.reserve(&citizen, body.on).map(Json)
    })
    .await?
}
