//! `/drift/api`: APIs for their owners, and terms of use for everybody (spec/helseid.md §7, §14). What a caller sees and may
//! do is decided by [`helseid::registry`]; scopes are decided on at the client, by [`crate::clients`].

use crate::PortalState;
use crate::clients::{actor, changer, work};
use crate::session::DriftSession;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::Problem;
use helseid::registry::{ApiPage, ApiRow};
use serde::Deserialize;

pub(crate) fn router() -> Router<PortalState> {
    Router::new()
        .route("/api/drift/api", get(list))
        .route("/api/drift/api/{audience}", get(show))
        .route("/api/drift/api/{audience}/terms", post(set_terms))
        .route("/api/drift/api/{audience}/accept", post(accept))
}

async fn list(
    State(state): State<PortalState>,
    session: DriftSession,
) -> Result<Json<Vec<ApiRow>>, Problem> {
    let actor = actor(&session);
    work(&state, move |registry| Ok(registry.api_rows(&actor)))
        .await
        .map(Json)
}

async fn show(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(audience): Path<String>,
) -> Result<Json<ApiPage>, Problem> {
    let actor = actor(&session);
    work(&state, move |registry| registry.api_page(&actor, &audience))
        .await
        .map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsBody {
    /// `null` takes them away.
    text: Option<String>,
}

async fn set_terms(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(audience): Path<String>,
    Json(body): Json<TermsBody>,
) -> Result<Json<ApiPage>, Problem> {
    let actor = changer(&session)?;
    work(&state, move |registry| {
        registry.set_terms(&actor, &audience, body.text.as_deref())?;
        registry.api_page(&actor, &audience)
    })
    .await
    .map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptBody {
    /// For whom; absent for the caller's own organisation.
    #[serde(default)]
    organisation: Option<String>,
    /// Version of the terms that were shown.
    version: u32,
    on: bool,
}

async fn accept(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(audience): Path<String>,
    Json(body): Json<AcceptBody>,
) -> Result<Json<ApiPage>, Problem> {
    let actor = changer(&session)?;
    let own = session.orgnr().map(str::to_owned);
    work(&state, move |registry| {
        let organisation = body.organisation.or(own).unwrap_or_default();
        registry.accept_terms(&actor, &audience, &organisation, body.version, body.on)?;
        registry.api_page(&actor, &audience)
    })
    .await
    .map(Json)
}
