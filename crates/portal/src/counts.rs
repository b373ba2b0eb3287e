//! `/drift/teller`: the message counter's numbers as JSON and CSV, and putting back what nobody has taken. An operator sees all parties, a party its own.

use crate::PortalState;
use crate::session::DriftSession;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Problem, blocking};
use serde::Deserialize;
use serde_json::Value;

/// Which numbers are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CountsQuery {
    /// First day, `yyyy-mm-dd`; without it the last seven days.
    pub from: Option<String>,
    /// Last day, included.
    pub to: Option<String>,
    /// From or to this HER-id.
    pub her_id: Option<u32>,
    /// Message function (8279); empty: uncategorised.
    pub function: Option<String>,
    /// `amqp`, `ebxml`, `rest` or `hub`.
    pub transport: Option<String>,
}

pub(crate) fn router() -> Router<PortalState> {
    Router::new()
        .route("/api/drift/counts", get(counts))
        .route("/api/drift/counts.csv", get(csv))
        .route("/api/drift/counts/again", post(again))
        .route("/api/drift/messages/{id}/put-back", post(put_back))
}

async fn counts(
    State(state): State<PortalState>,
    session: DriftSession,
    Query(query): Query<CountsQuery>,
) -> Result<Json<Value>, Problem> {
    blocking(move || state.operations.counts(session.orgnr(), &query).map(Json)).await?
}

async fn csv(
    State(state): State<PortalState>,
    session: DriftSession,
    Query(query): Query<CountsQuery>,
) -> Result<Response, Problem> {
    blocking(move || {
        let text = state.operations.counts_csv(session.orgnr(), &query)?;
        Ok(crate::citizen::download(
            text.into_bytes().into(),
            "text/csv; charset=utf-8",
            "meldinger.csv",
        ))
    })
    .await?
}

async fn again(
    State(state): State<PortalState>,
    session: DriftSession,
) -> Result<Json<Value>, Problem> {
    crate::drift::only_operator(&session)?;
    blocking(move || state.operations.count_again().map(Json)).await?
}

async fn put_back(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    blocking(move || state.operations.put_back(session.orgnr(), &id).map(Json)).await?
}
