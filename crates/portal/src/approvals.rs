//! `/drift/samsvar`: test and approval of vendors' systems. An organisation registers and tries its own; an operator sees how far everybody has
//! come. What is asked and how it is judged is decided by the message exchange.

use crate::PortalState;
use crate::session::DriftSession;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Problem, blocking};
use serde_json::Value;

/// Largest request, bytes.
const MAX_BYTES: usize = 16_384;

/// What the pages ask for or do.
#[derive(Clone, Debug)]
pub enum Act {
    /// Systems, runs, the published list, and what can be chosen.
    Overview,
    /// The report of a run.
    Run {
        /// Run.
        id: String,
    },
    /// Registers a system.
    Register {
        /// The form.
        form: Value,
    },
    /// Begins a run.
    Start {
        /// The form.
        form: Value,
    },
    /// Sends a case once more.
    Send {
        /// Run.
        id: String,
        /// Case.
        case: String,
    },
    /// Says something that the hub cannot see.
    Declare {
        /// Run.
        id: String,
        /// Criterion.
        criterion: String,
        /// The form.
        form: Value,
    },
    /// Approves a run that has everything.
    Finish {
        /// Run.
        id: String,
    },
}

pub(crate) fn router() -> Router<PortalState> {
    const BASE: &str = "/api/drift/approvals";
    Router::new()
        .route(BASE, get(overview))
        .route(&format!("{BASE}/systems"), post(register))
        .route(&format!("{BASE}/runs"), post(start))
        .route(&format!("{BASE}/runs/{{id}}"), get(run))
        .route(
            &format!("{BASE}/runs/{{id}}/cases/{{case}}/send"),
            post(send),
        )
        .route(
            &format!("{BASE}/runs/{{id}}/declarations/{{criterion}}"),
            post(declare),
        )
        .route(&format!("{BASE}/runs/{{id}}/finish"), post(finish))
        .layer(DefaultBodyLimit::max(MAX_BYTES))
}

async fn done(state: PortalState, session: DriftSession, act: Act) -> Result<Json<Value>, Problem> {
    let is_change = !matches!(act, Act::Overview | Act::Run { .. });
    if is_change && session.orgnr().is_none() {
        return Err(Problem::forbidden(
            "only the vendor's own organisation tries its systems",
        ));
    }
    blocking(move || state.operations.approvals(session.orgnr(), act).map(Json)).await?
}

async fn overview(
    State(state): State<PortalState>,
    session: DriftSession,
) -> Result<Json<Value>, Problem> {
    done(state, session, Act::Overview).await
}

async fn run(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    done(state, session, Act::Run { id }).await
}

async fn register(
    State(state): State<PortalState>,
    session: DriftSession,
    Json(form): Json<Value>,
) -> Result<Json<Value>, Problem> {
    done(state, session, Act::Register { form }).await
}

async fn start(
    State(state): State<PortalState>,
    session: DriftSession,
    Json(form): Json<Value>,
) -> Result<Json<Value>, Problem> {
    done(state, session, Act::Start { form }).await
}

async fn send(
    State(state): State<PortalState>,
    session: DriftSession,
    Path((id, case)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    done(state, session, Act::Send { id, case }).await
}

async fn declare(
    State(state): State<PortalState>,
    session: DriftSession,
    Path((id, criterion)): Path<(String, String)>,
    Json(form): Json<Value>,
) -> Result<Json<Value>, Problem> {
    let act = Act::Declare {
        id,
        criterion,
        form,
    };
    done(state, session, act).await
}

async fn finish(
    State(state): State<PortalState>,
    session: DriftSession,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    done(state, session, Act::Finish { id }).await
}
