//! Health, metrics and the log's public keys and heads.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use edge::Problem;
use jose::keyring::Keyring;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use store::Store;

/// State of the operations routes.
#[derive(Clone)]
pub struct Ops {
    /// The store.
    pub store: Store,
    /// Set once everything is up.
    pub is_ready: Arc<AtomicBool>,
    /// Metrics.
    pub metrics: Option<PrometheusHandle>,
    /// Keys of the log heads.
    pub log_keys: Arc<Mutex<Keyring>>,
}

/// `/health/live`, `/health/ready`, `/metrics`, `/log/jwks`, `/log/heads`, `/log/proof/{entry}`.
pub fn router(ops: Ops) -> Router {
    Router::new()
        .route(
            "/health/live",
            get(|| async { Json(json!({ "status": "live" })) }),
        )
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/log/jwks", get(jwks))
        .route("/log/heads", get(heads))
        .with_state(ops)
}

async fn ready(State(ops): State<Ops>) -> Response {
    let store = ops.store.clone();
    let answers = edge::blocking(move || store.snapshot().is_ok())
        .await
        .unwrap_or(false);
    let status = if answers && ops.is_ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    };
    (status.0, Json(json!({ "status": status.1 }))).into_response()
}

async fn metrics(State(ops): State<Ops>) -> Response {
    let mut text = ops
        .metrics
        .as_ref()
        .map(PrometheusHandle::render)
        .unwrap_or_default();
    let store = ops.store.clone();
    if let Ok(counters) = edge::blocking(move || store.counters()).await {
        for (name, value) in counters {
            text.push_str(&format!(
                "# TYPE helsenav_store_{name} gauge\nhelsenav_store_{name} {value}\n"
            ));
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn jwks(State(ops): State<Ops>) -> Json<Value> {
    Json(
        ops.log_keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .jwks(),
    )
}

async fn heads(State(ops): State<Ops>) -> Result<Json<Value>, Problem> {
    let heads = edge::blocking(move || ops.store.heads(400)).await??;
    Ok(Json(json!({ "heads": heads })))
}

/// Time between two rounds of upkeep of the metrics.
const UPKEEP_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// Sums up what histograms gathered; without it every sample stays in memory until somebody asks for the metrics.
pub async fn upkeep(metrics: PrometheusHandle, shutdown: edge::listen::Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(UPKEEP_EVERY) => {
                let metrics = metrics.clone();
                let _ = edge::blocking(move || metrics.run_upkeep()).await;
            }
            () = shutdown.wait() => return,
        }
    }
}

/// Starts structured logs as configured. No national id and no health data is ever logged.
pub fn start_logging(config: &crate::Config) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let started = if config.log_json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    if let Err(error) = started {
        eprintln!("logging could not be started: {error}");
    }
}
